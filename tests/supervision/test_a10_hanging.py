"""A10: hanging and fencing."""

import socket
import statistics
import threading
import time
from collections import deque

import pytest

from connector.supervision import (
    GIVE_UP,
    PROBE,
    Backoff,
    EndKind,
    EventKind,
    InterruptedHandler,
    Reason,
    Restarted,
)
from connector.supervision import decisions as do

QUICK = {"busy_limit_s": 0.1, "interrupt_grace_s": 0.02}


def hang_here(gate, entered):
    def hang(_actor):
        entered.set()
        gate.wait(20)
        return "too late"

    return hang


def test_hung_handler_is_noticed_with_the_stack_of_its_thread(threads):
    """Statements 82, 83."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("a", **QUICK), tree={"watch_every_s": 0.05})
    ref = tree.ref("/a")
    began_s = time.monotonic()
    hung = ref.ask(hang_here(gate, entered), block=False)
    behind = ref.ask(lambda actor: actor.who, block=False)
    with pytest.raises(Restarted):
        hung.get(timeout=5)
    assert behind.get(timeout=5) == "/a#2"
    threads.wait(lambda: EventKind.HUNG in threads.kinds())
    event = threads.of(EventKind.HUNG)[0]
    gate.set()

    assert "gate.wait(20)" in event.reason.stack and event.path == "/a"
    assert 0.1 <= event.at_s - began_s < 0.1 + 0.05 + 0.25  # the last is for a busy machine
    assert threads.lines("interrupt") == ["interrupt a#1"]


@pytest.mark.parametrize("limit_s", [1.0, 5.0])
def test_noticed_within_the_limit_and_one_scan(lab, limit_s):
    """Statement 82."""
    tree = lab.tree(lab.child("a", busy_limit_s=limit_s), tree={"watch_every_s": 0.5})
    began_s = lab.runtime.monotonic_s()
    tree.ref("/a").tell(lambda actor: lab.advance(60.0))
    lab.settle()
    event = lab.of(EventKind.HUNG)[0]
    assert limit_s <= event.at_s - began_s <= limit_s + 0.5


def test_clean_up_that_hangs_is_noticed_too(lab):
    """Statement 82."""
    lab.stop_plans["/a"] = [lambda actor: lab.advance(60.0)]
    tree = lab.tree(lab.child("a", shutdown_s=2.0, interrupt_grace_s=0.5))
    lab.crash(tree.ref("/a"))
    lab.advance(1.0)
    hung = lab.of(EventKind.HUNG)[0]
    assert hung.reason.text.endswith("cleaning up") and tree.ref("/a").epoch == 2


def test_watchdog_can_be_switched_off(lab):
    """Statement 82."""
    tree = lab.tree(lab.child("a", busy_limit_s=None))
    assert tree.ref("/a").ask(lambda actor: lab.advance(20.0) or "done", timeout=60) == "done"
    assert EventKind.HUNG not in lab.kinds()


def test_abandoned_incarnation_reaches_nobody(threads):
    """Statement 83."""
    gate, entered, effects = threading.Event(), threading.Event(), []
    tree = threads.tree(threads.child("a", **QUICK), tree={"watch_every_s": 0.02})
    ref = tree.ref("/a")

    def zombie(actor):
        entered.set()
        gate.wait(20)
        context = actor.context
        effects.append(("current", context.is_current()))
        effects.append(("emit", context.emit("from the dead")))
        context.call_later(0.0, "timer from the dead")
        context.crash(ValueError("a crash from the dead"))
        return "an answer from the dead"

    hung = ref.ask(zombie, block=False)
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#2"
    old = tree.abandoned[0]
    gate.set()
    threads.wait(lambda: old.life.value == "gone")
    for number in range(200):
        ref.tell(number)
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#2"

    assert effects == [("current", False), ("emit", False)]
    with pytest.raises(Restarted):
        hung.get(timeout=0)
    assert {line.split()[1] for line in threads.lines("got")} == {"a#2"}
    assert not any("dead" in line for line in threads.journal)
    assert EventKind.USER not in threads.kinds()


def test_fenced_consumer_between_two_messages_takes_none(threads):
    """Statement 83."""
    tree = threads.tree(threads.child("a"))
    ref, cell = tree.ref("/a"), tree.ref("/a")._cell
    for _ in range(100):  # an idle one, asleep on its bell, is cut off and its message goes to the next
        old = cell.incarnation
        tree.root.proxy().terminate_child("a").get(timeout=5)
        tree.root.proxy().restart_child("a").get(timeout=5)
        assert ref.ask(lambda actor: actor.context.epoch, timeout=5) == old.epoch + 1


def test_message_taken_in_the_very_moment_of_the_fence_goes_to_the_successor(lab):
    """Statements 74, 83."""
    tree = lab.tree(lab.child("a"))
    cell = tree.ref("/a")._cell
    hung = Reason(EndKind.HUNG)

    class FencedWhileTaking(deque):
        def popleft(self):
            entry = super().popleft()
            if cell.incarnation is not None and cell.epoch == 1:
                cell.fence(cell.incarnation, hung)
                cell.notify(do.Ended("a", 1, hung))
            return entry

    cell.inbox.queue = FencedWhileTaking()
    for number in range(3):
        cell.inbox.push((number, None))
    lab.settle()
    assert lab.lines("got") == ["got a#2 0", "got a#2 1", "got a#2 2"]


def test_interrupt_hook_unblocks_a_socket_and_the_thread_is_not_lost(threads):
    """Statements 84, 85."""
    ours, theirs = socket.socketpair()

    class Reader(threads.Probe):
        def on_start(self):
            self.socket = ours if self.context.epoch == 1 else None
            super().on_start()

        def on_interrupt(self):
            threads.write("thread " + threading.current_thread().name)
            ours.shutdown(socket.SHUT_RDWR)

        def on_stop(self):
            if self.socket is not None:
                self.socket.close()
            super().on_stop()

    tree = threads.tree(
        threads.child("a", Reader, busy_limit_s=0.1, interrupt_grace_s=5.0), tree={"watch_every_s": 0.02}
    )
    ref = tree.ref("/a")
    ref.tell(lambda actor: actor.socket.recv(10))
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#2"
    theirs.close()

    assert threads.lines("thread") == ["thread connector:/a#1:interrupt"]
    assert tree.abandoned == () and ours.fileno() == -1  # closed before the successor began
    assert threads.journal.index("stop a#1") < threads.journal.index("start a#2")
    threads.wait(lambda: EventKind.ENDED in threads.kinds("/a"))
    assert threads.of(EventKind.ENDED)[0].reason.kind is EndKind.HUNG


def test_ladder_is_cancel_then_interrupt_then_grace_then_fence(lab):
    """Statements 84, 85."""
    seen = []
    lab.interrupts["/a"] = lambda actor: seen.append(
        ("interrupt", actor.context.cancelled.is_set(), actor.context.epoch)
    )
    tree = lab.tree(lab.child("a", busy_limit_s=2.0, interrupt_grace_s=3.0))
    tree.ref("/a").tell(lambda actor: lab.advance(60.0))
    lab.settle()
    assert seen == [("interrupt", True, 1)]
    at_s = {event.kind: event.at_s for event in lab.events if event.path == "/a" and event.epoch == 1}
    assert at_s[EventKind.ABANDONED] - at_s[EventKind.HUNG] == pytest.approx(3.0, abs=0.01)
    started = [event for event in lab.of(EventKind.STARTED) if event.path == "/a"][1]
    assert started.at_s >= at_s[EventKind.ABANDONED]


def test_failing_interrupt_hook_is_reported_and_changes_nothing(lab):
    """Statement 84."""

    def fail(_actor):
        raise SystemExit("in the hook")

    lab.interrupts["/a"] = fail
    tree = lab.tree(lab.child("a", busy_limit_s=1.0))
    tree.ref("/a").tell(lambda actor: lab.advance(60.0))
    lab.settle()
    assert tree.ref("/a").ask("back") == "back"
    assert [event.detail for event in lab.of(EventKind.CLEANUP_FAILED)] == ["on_interrupt"]


def test_abandoned_threads_are_counted_named_and_exposed(threads):
    """Statement 86."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("a", **QUICK), tree={"watch_every_s": 0.02})
    ref = tree.ref("/a")
    ref.tell(hang_here(gate, entered))
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#2"
    snapshot = tree.snapshot().find("/a")
    assert snapshot.abandoned == 1 and set(snapshot.threads) == {"connector:/a#1", "connector:/a#2"}
    assert "abandoned=1" in tree.render()
    gate.set()
    threads.wait(lambda: EventKind.RETURNED in threads.kinds())
    assert tree.snapshot().find("/a").abandoned == 0


@pytest.mark.parametrize(("on_limit", "ends"), [(GIVE_UP, True), (PROBE, False)])
def test_above_a_limit_of_abandoned_threads_the_supervisor_escalates(lab, on_limit, ends):
    """Statement 86."""
    tree = lab.tree(
        *lab.children("abc", busy_limit_s=1.0, interrupt_grace_s=0.1), max_abandoned=2, on_limit=on_limit, probe_s=5.0
    )
    for id in "abc":
        tree.ref(f"/{id}").tell(lambda actor: actor.context.clock.run_while(lambda: True, 60.0))
    lab.advance(10.0)
    assert tree.ended is ends
    give_up = lab.of(EventKind.GAVE_UP)[0]
    assert "max_abandoned=2" in (str(give_up.reason) + give_up.detail)


def test_injected_exception_is_opt_in_and_ends_a_pure_python_loop(threads):
    """Statement 87."""
    assert issubclass(InterruptedHandler, Exception)
    stop, spinning = [], threading.Event()

    def spin(_actor):
        spinning.set()
        while not stop:
            pass

    def spec(id, opt_in):
        return threads.child(id, busy_limit_s=0.1, interrupt_grace_s=5.0 if opt_in else 0.05, async_exception=opt_in)

    tree = threads.tree(spec("a", True), spec("b", False), tree={"watch_every_s": 0.02})
    tree.ref("/a").tell(spin)
    assert tree.ref("/a").ask(lambda actor: actor.who, timeout=10) == "/a#2"
    assert tree.abandoned == ()  # its own thread came to an end
    threads.wait(lambda: EventKind.ENDED in threads.kinds("/a"))
    ended = threads.of(EventKind.ENDED)[0]
    assert ended.reason.kind is EndKind.HUNG and isinstance(ended.reason.cause, InterruptedHandler)

    tree.ref("/b").tell(spin)
    assert tree.ref("/b").ask(lambda actor: actor.who, timeout=10) == "/b#2"
    assert len(tree.abandoned) == 1  # nothing was injected: it spins on
    stop.append(True)
    threads.wait(lambda: not tree.abandoned)


def test_injected_exception_that_comes_late_is_a_crash_like_any_other(threads):
    """Statement 87."""
    tree = threads.tree(threads.child("a", backoff=Backoff()))
    thread = tree.ref("/a")._cell.incarnation.thread
    assert thread.inject(InterruptedHandler) is True  # while idle: strikes at the next wake-up, outside any handler
    tree.ref("/a").tell("wake up")
    assert tree.ref("/a").ask("still served", timeout=5) == "still served"


def test_no_user_code_runs_on_the_supervisors_thread(threads):
    """Statement 88."""
    names = set()

    def note(actor):
        names.add(threading.current_thread().name)

    class Everywhere(threads.Probe):
        def __init__(self, lab):
            super().__init__(lab)
            note(self)

        def on_start(self):
            note(self)

        def on_stop(self):
            note(self)

        def on_interrupt(self):
            note(self)

    tree = threads.tree(threads.child("a", Everywhere, **QUICK), tree={"watch_every_s": 0.02})
    tree.subscribe(lambda event: names.add(threading.current_thread().name))
    tree.ref("/a").watch(lambda down: names.add(threading.current_thread().name))
    gate, entered = threading.Event(), threading.Event()
    tree.ref("/a").tell(hang_here(gate, entered))
    tree.ref("/a").ask(note, timeout=5)
    tree.ref("/a").stop(timeout=5)
    threads.wait(lambda: "connector:notices" in names)
    gate.set()
    tree.stop()
    supervisor = {
        name for name in names if name.startswith("connector:/#") or name in ("MainThread", "connector:timers")
    }
    assert not supervisor and {"connector:/a#1", "connector:/a#2", "connector:/a#1:interrupt"} <= names


def test_supervisor_reacts_in_bounded_time_under_four_burning_threads(threads):
    """Statement 88."""
    tree = threads.tree(threads.child("a", backoff=Backoff(reset_after_s=1e-9)), threads.child("b"), on_limit=PROBE)
    stop = []

    def burn():
        number = 0
        while not stop:
            number = (number * 31 + 7) & 0xFFFFFF

    burners = [threading.Thread(target=burn, daemon=True) for _ in range(4)]
    for burner in burners:
        burner.start()
    try:
        spent = []
        for _ in range(5):
            began_s = time.monotonic()
            tree.root.proxy().count_children().get(timeout=10)
            spent.append(time.monotonic() - began_s)
    finally:
        stop.append(True)
    for burner in burners:
        burner.join(5)
    # Each hand-over waits for at most one switch interval (5 ms) per burner, twice; the rest is for a busy machine.
    assert statistics.median(spent) < 1.0


def test_hung_child_does_not_slow_the_supervisor(threads):
    """Statement 88."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("stuck", busy_limit_s=None), threads.child("b"))
    tree.ref("/stuck").tell(hang_here(gate, entered))
    assert entered.wait(5)
    threads.init_plans["/slow"] = [lambda actor: gate.wait(20)]
    starting = tree.root.proxy().start_child(threads.child("slow"))
    threads.crash(tree.ref("/b"))
    assert tree.ref("/b").ask(lambda actor: actor.who, timeout=2) == "/b#2"
    states = {info.id: info.state for info in tree.root.proxy().which_children().get(timeout=2)}
    assert states == {"stuck": "running", "b": "running", "slow": "starting"}
    gate.set()
    assert starting.get(timeout=5).is_alive()


def test_crash_of_a_spawned_thread_is_the_actors_crash(threads):
    """Statements 16, 83."""
    tree = threads.tree(threads.child("a"))
    ref, names = tree.ref("/a"), []

    def read():
        names.append(threading.current_thread().name)
        raise threads.Boom("in the reader thread")

    ref.ask(lambda actor: actor.context.spawn("reader", read) and None)
    threads.wait(lambda: EventKind.STARTED in [event.kind for event in threads.events if event.epoch == 2])
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#2" and names == ["connector:/a#1:reader"]
    assert isinstance(threads.of(EventKind.ENDED)[0].reason.cause, threads.Boom)


def test_spawned_threads_are_joined_and_those_that_will_not_end_are_reported(threads):
    """Statements 62, 86."""
    gate = threading.Event()
    threads.interrupts["/a"] = lambda actor: threads.write("unblock")
    tree = threads.tree(threads.child("a", shutdown_s=0.4))

    def spawn(actor):
        actor.context.spawn("good", lambda: actor.context.cancelled.wait(20))
        actor.context.spawn("bad", lambda: gate.wait(20))

    ref = tree.ref("/a")
    ref.ask(spawn)
    assert ref.stop(timeout=5) is True
    threads.wait(lambda: threads.of(EventKind.UNSTOPPED))
    assert threads.of(EventKind.UNSTOPPED)[0].detail == "connector:/a#1:bad" and "unblock" in threads.journal
    report = tree.stop()
    gate.set()
    assert report.unstopped == ("connector:/a#1:bad",)


def test_hung_supervisor_is_reaped_with_its_children_before_a_successor_starts(threads):
    """Statements 64, 85, 86."""
    from connector.supervision import ChildSpec, Supervisor, SupervisorSpec

    gate, entered = threading.Event(), threading.Event()

    class Venue(Supervisor):
        def on_receive(self, message):
            entered.set()
            gate.wait(20)

    inner = SupervisorSpec(children=(threads.child("a"),))
    tree = threads.tree(ChildSpec("venue", Venue, args=(inner,), **QUICK), tree={"watch_every_s": 0.02})
    a = tree.ref("/venue/a")
    tree.ref("/venue").tell("hang")
    assert entered.wait(5)
    threads.wait(lambda: "start venue/a#2" in threads.journal)
    assert threads.lines() == ["start venue/a#1", "stop venue/a#1", "start venue/a#2"]
    assert a.ask(lambda actor: actor.who, timeout=5) == "/venue/a#2"
    gate.set()
    threads.wait(lambda: not tree.abandoned)
    assert a.ask(lambda actor: actor.who, timeout=5) == "/venue/a#2"
