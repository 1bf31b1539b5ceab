"""A6: stopping."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pykka
import pytest

import connector
from connector.supervision import (
    BRUTAL,
    INFINITY,
    PROBE,
    Backoff,
    ChildSpec,
    EndKind,
    EventKind,
    InboxPolicy,
    Intensity,
    Reason,
    SelfAsk,
    Stopped,
    SupervisorSpec,
    ThreadRuntime,
    start_tree,
)
from connector.supervision import decisions as do


def test_children_stop_in_reverse_order_each_after_the_previous_has_fully_ended(lab):
    """Statement 51."""
    for id in "abc":
        lab.stop_plans[f"/{id}"] = [
            lambda actor: (actor.context.clock.run_while(lambda: True, 1.0), lab.note("closed", actor))
        ]
    tree = lab.tree(*lab.children("abc"))
    tree.stop()
    assert lab.lines("stop", "closed") == [f"{word} {id}#1" for id in "cba" for word in ("stop", "closed")]


def test_thread_of_a_child_is_gone_before_the_next_is_asked(threads):
    """Statement 51."""
    alive = []

    def look(actor):
        names = [thread.name for thread in threading.enumerate()]
        alive.append([name for name in names if name.startswith("connector:/") and name != f"connector:{actor.who}"])

    for id in "abc":
        threads.stop_plans[f"/{id}"] = [look]
    threads.tree(*threads.children("abc")).stop()
    assert [len([name for name in names if name[11] in "abc"]) for names in alive] == [2, 1, 0]


def test_thread_that_lingers_after_its_last_words_is_waited_for(threads):
    """Statement 51."""
    lingers = []

    class Lingering(ThreadRuntime):
        def run_loop(self, name, loop):
            if "/b#" not in name:
                return super().run_loop(name, loop)

            def run():
                loop.run()
                threading.Event().wait(0.1)  # what the interpreter may take to end a thread on a bad day
                lingers.append("gone")

            return self._start(name, run)

    threads.stop_plans["/a"] = [lambda actor: lingers.append("next asked")]
    runtime = Lingering()
    start_tree(SupervisorSpec(children=threads.children("ab")), runtime=runtime).stop()
    runtime.close()
    assert lingers == ["gone", "next asked"]


def test_stop_takes_at_most_the_sum_of_the_shutdown_times(lab):
    """Statement 52."""
    tree = lab.tree(*lab.children("abc", shutdown_s=2.0, interrupt_grace_s=0.5, busy_limit_s=None))
    for id in "ab":
        tree.ref(f"/{id}").tell(lambda _actor: lab.advance(1000.0))
    began_s = lab.runtime.monotonic_s()
    tree.request_stop()
    lab.advance(10.0)
    ended = {event.path: event for event in lab.of(EventKind.ENDED)}
    assert ended["/a"].at_s - began_s <= 4.0 + 0.01
    assert ended["/a"].reason.kind is EndKind.KILLED and ended["/c"].reason.kind is EndKind.STOPPED


def test_child_that_does_not_stop_is_interrupted_then_killed_within_its_time(threads):
    """Statements 52, 84."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("a", shutdown_s=0.3, interrupt_grace_s=0.1), threads.child("b"))
    tree.ref("/a").tell(lambda _actor: (entered.set(), gate.wait(10)))
    assert entered.wait(5)
    assert tree.ref("/a").stop(timeout=5) is True
    threads.wait(lambda: EventKind.ABANDONED in threads.kinds("/a"))

    hung = threads.of(EventKind.HUNG)[0]
    ended = next(event for event in threads.of(EventKind.ENDED) if event.path == "/a")
    assert "gate.wait(10)" in hung.reason.stack and threads.lines("interrupt") == ["interrupt a#1"]
    assert ended.reason.kind is EndKind.KILLED and tree.ref("/b").ask("fine", timeout=1) == "fine"
    gate.set()
    threads.wait(lambda: not tree.abandoned)


def test_infinity_waits_for_as_long_as_it_takes(lab):
    """Statement 53."""
    lab.stop_plans["/a"] = [lambda actor: actor.context.clock.run_while(lambda: True, 3600.0)]
    tree = lab.tree(lab.child("a", shutdown_s=INFINITY))
    assert tree.ref("/a").stop(timeout=7200.0) is True
    lab.settle()
    assert lab.of(EventKind.ENDED)[0].reason.kind is EndKind.STOPPED


def test_brutal_does_not_ask_first(lab):
    """Statement 53."""
    tree = lab.tree(lab.child("a", shutdown_s=BRUTAL), lab.child("b"))
    began_s = lab.runtime.monotonic_s()
    assert tree.ref("/a").stop() is True
    assert lab.runtime.monotonic_s() == began_s and tree.ref("/a")._cell.incarnation is None
    lab.settle()
    assert sorted(lab.lines("interrupt", "stop")) == ["interrupt a#1", "stop a#1"]
    ended = [event for event in lab.of(EventKind.ENDED) if event.path == "/a"]
    assert [event.reason.kind for event in ended] == [EndKind.KILLED]
    assert not tree.abandoned


def test_stop_overtakes_a_long_queue(threads):
    """Statements 54, 55."""
    entered, gate = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("a", inbox=InboxPolicy(capacity=200_000)))
    ref = tree.ref("/a")
    ref.tell(lambda _actor: (entered.set(), gate.wait(10)))
    assert entered.wait(5)
    for number in range(100_000):
        ref.tell(number)
    asked = ref.ask("the last in the queue", block=False)
    stopping = ref.stop(block=False)
    gate.set()

    assert stopping.get(timeout=5) is True
    assert threads.lines("got") == []
    with pytest.raises(Stopped, match="stopped"):
        asked.get(timeout=1)
    threads.wait(lambda: threads.of(EventKind.DEAD_LETTERS))
    assert [event.count for event in threads.of(EventKind.DEAD_LETTERS)] == [100_000]
    assert tree.dead_letters.count == 100_000 and len(tree.dead_letters.recent()) == 20


def test_drain_is_a_request_of_its_own_and_handles_the_queue_first(lab):
    """Statement 54."""
    tree = lab.tree(lab.child("a"))
    ref = tree.ref("/a")
    for number in range(5):
        ref.tell(number)
    done = ref.stop(block=False, drain_s=10.0)
    with pytest.raises(Stopped, match="drained"):
        ref.tell("too late")
    assert done.get() is True
    assert lab.lines("got", "stop") == [*(f"got a#1 {number}" for number in range(5)), "stop a#1"]


def test_drain_has_a_deadline(lab):
    """Statement 54."""
    tree = lab.tree(lab.child("a", busy_limit_s=None))
    ref = tree.ref("/a")
    for number in range(5):
        ref.tell(lambda actor, number=number: (actor.context.cancelled.wait(4.0), lab.note("got", actor, number)))
    began_s = lab.runtime.monotonic_s()
    assert ref.stop(drain_s=6.0) is True
    assert lab.lines("got") == ["got a#1 0", "got a#1 1"]
    assert lab.runtime.monotonic_s() - began_s == pytest.approx(6.0, abs=0.1)
    assert tree.dead_letters.count == 3


@pytest.mark.parametrize("way", ["tell", "ask", "ask_later", "put"])
def test_inbox_closed_between_the_look_and_the_append_leaves_nothing_behind(lab, way):
    """Statement 56."""
    tree = lab.tree(lab.child("a"))
    ref, inbox = tree.ref("/a"), tree.ref("/a")._cell.inbox

    class ClosesWhenLookedAt:
        """Stands in for the limit: the comparison every sender makes first is when the actor stops."""

        def __le__(self, length):
            ref.stop(block=False)
            lab.runtime.run_until_idle()
            return False

        def __gt__(self, length):
            return not self.__le__(length)

    inbox.limit = ClosesWhenLookedAt()
    if way == "ask":
        with pytest.raises(Stopped):
            ref.ask("in between")
    elif way == "ask_later":
        with pytest.raises(Stopped):
            ref.ask("in between", block=False).get(timeout=0)
    else:
        ref.tell("in between") if way == "tell" else inbox.push(("in between", None))
        assert tree.dead_letters.count == 1
    assert not ref.is_alive() and len(inbox) == 0


@pytest.mark.usefixtures("busy_switching")
def test_closing_is_atomic_with_sending(threads):
    """Statements 56, 76."""
    tree = threads.tree(intensity=Intensity(0, 1))
    root = tree.root.proxy()
    sent, refused, answers = [0], [0], []
    for round_number in range(60):
        ref = root.start_child(threads.child(f"a{round_number}", inbox=InboxPolicy(capacity=10**6))).get()
        futures = []
        begun = threading.Barrier(4)

        def ask(ref=ref, futures=futures, begun=begun):
            begun.wait(5)
            while True:
                future = ref.ask(1, block=False)
                futures.append(future)
                if not ref.is_alive():
                    return

        def tell(ref=ref, begun=begun):
            begun.wait(5)
            try:
                while True:
                    ref.tell(1)
                    sent[0] += 1
            except Stopped:
                refused[0] += 1

        senders = [threading.Thread(target=ask), threading.Thread(target=ask), threading.Thread(target=tell)]
        for sender in senders:
            sender.start()
        begun.wait(5)
        ref.stop(timeout=5)
        for sender in senders:
            sender.join(10)
        assert all(future.is_set() for future in futures), "an ask was left behind"
        assert len(ref._cell.inbox) == 0, "a message was left in a dead inbox"
        answers += futures
    handled = len(threads.lines("got")) - sum(future._error is None for future in answers)
    assert refused[0] == 60
    assert handled + tree.dead_letters.count == sent[0]  # each tell was handled or is a dead letter


def test_every_stop_returns_after_the_clean_up_with_the_same_result(threads):
    """Statement 57."""
    gate, results = threading.Event(), []
    threads.stop_plans["/a"] = [lambda actor: (gate.wait(5), threads.note("closed", actor))]
    tree = threads.tree(threads.child("a"))
    ref = tree.ref("/a")

    def stop():
        results.append((ref.stop(timeout=5), "closed a#1" in threads.journal))
        threads.write("returned")

    stoppers = [threading.Thread(target=stop) for _ in range(5)]
    for stopper in stoppers:
        stopper.start()
    threads.wait(lambda: "stop a#1" in threads.journal)
    assert results == []
    gate.set()
    for stopper in stoppers:
        stopper.join(5)
    assert results == [(True, True)] * 5 and threads.lines("closed") == ["closed a#1"]
    assert ref.stop() is False  # it had stopped before


def test_every_stop_of_the_tree_returns_the_same_report(threads):
    """Statement 57."""
    tree = threads.tree(*threads.children("abc"))
    reports = []
    stoppers = [threading.Thread(target=lambda: reports.append(tree.stop())) for _ in range(4)]
    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join(5)
    assert len(reports) == 4 and all(report is reports[0] for report in reports)
    assert tree.stop() is reports[0]


@pytest.mark.parametrize("error", [ValueError("while closing"), SystemExit(3), KeyboardInterrupt()])
def test_exception_during_shutdown_is_reported_and_interrupts_nothing(lab, error):
    """Statement 58."""

    def fail(_actor):
        raise error

    lab.stop_plans["/b"] = [fail]
    tree = lab.tree(*lab.children("abc"))
    report = tree.stop()
    assert lab.lines("stop") == ["stop c#1", "stop b#1", "stop a#1"] and report.ok
    failures = lab.of(EventKind.CLEANUP_FAILED)
    assert [(event.path, event.reason.cause) for event in failures] == [("/b", error)]
    assert lab.lines("start")[3:] == []


def test_exception_in_the_clean_up_after_a_crash_does_not_prevent_the_restart(lab):
    """Statement 58."""

    def fail(_actor):
        raise lab.Boom("and again while cleaning up")

    lab.stop_plans["/a"] = [fail]
    tree = lab.tree(lab.child("a"))
    lab.crash(tree.ref("/a"))
    assert tree.ref("/a").ask("there") == "there"
    assert len(lab.of(EventKind.CLEANUP_FAILED)) == 1


def test_child_that_ends_by_itself_while_asked_to_stop_keeps_its_real_reason(threads):
    """Statement 59."""
    tree, entered = threads.tree(*threads.children("ab")), threading.Event()

    def die_when_asked(actor):
        entered.set()
        actor.context.cancelled.wait(10)
        raise threads.Boom("just then")

    tree.ref("/b").tell(die_when_asked)
    assert entered.wait(5) and tree.ref("/b").stop(timeout=5) is True
    threads.wait(lambda: [event for event in threads.of(EventKind.ENDED) if event.path == "/b"])
    assert threads.of(EventKind.ENDED)[0].reason.kind is EndKind.CRASHED
    assert threads.state(tree, "/b") == "stopped" and tree.ref("/b").epoch == 1


def test_child_that_wants_its_own_end_gets_an_error_not_a_deadlock(lab):
    """Statement 60."""
    tree = lab.tree(lab.nested("venue", lab.child("a")))
    ref = tree.ref("/venue/a")

    class Refused(Exception):
        pass

    def ways(actor):
        refusals = []
        for way in (
            actor.actor_ref.stop,
            actor.context.parent.stop,
            tree.root.stop,
            tree.stop,
            lambda: actor.context.parent.ask(TerminateChild("a")),
            lambda: tree.root.ask(TerminateChild("venue")),
        ):
            with pytest.raises(SelfAsk):
                way()
            refusals.append(way)
        return len(refusals)

    from connector.supervision import TerminateChild

    assert ref.ask(ways) == 6
    assert ref.epoch == 1 and ref.is_alive()


def test_child_may_call_its_supervisor_during_its_own_stop(lab):
    """Statement 60."""
    lab.stop_plans["/a"] = [
        lambda actor: lab.write("counted " + str(actor.context.parent.proxy().count_children().get()["specs"]))
    ]
    tree = lab.tree(*lab.children("ab"))
    tree.stop()
    assert "counted 2" in lab.journal


def test_request_for_ones_own_end_is_queued(lab):
    """Statement 60."""
    tree = lab.tree(lab.child("a"))
    assert tree.ref("/a").ask(lambda actor: actor.actor_ref.stop(block=False) is not None) is True
    lab.settle()
    assert not tree.ref("/a").is_alive()


def test_stop_during_init_ends_within_the_start_deadline(lab):
    """Statement 61."""
    tree = lab.tree()
    lab.start_plans["/slow"] = [lambda actor: lab.advance(1000.0)]  # ignores its cancel token
    spec = lab.child("slow", start_timeout_s=3.0, interrupt_grace_s=0.5, shutdown_s=INFINITY)
    starting = tree.root.proxy().start_child(spec)
    began_s = lab.runtime.monotonic_s()
    stopping = tree.ref("/").proxy().terminate_child("slow")
    assert stopping.get(timeout=60) is True
    ended = next(event for event in lab.of(EventKind.ENDED) if event.path == "/slow")
    assert ended.at_s - began_s <= 3.0 + 0.5 + 0.3
    with pytest.raises(Exception, match="stopped while it started"):
        starting.get()


def test_after_a_stop_nothing_is_left(threads):
    """Statement 62."""
    before = {thread.ident for thread in threading.enumerate()}
    tree = threads.tree(threads.nested("venue", *threads.children("abc")), threads.child("d"))

    def helpers(actor):
        actor.context.spawn("reader", lambda: actor.context.cancelled.wait(30))
        actor.context.call_every(0.01, "tick")
        actor.context.call_later(60.0, "never")

    for path in ("/venue/a", "/d"):
        tree.ref(path).ask(helpers)
    assert tree.root in pykka.ActorRegistry.get_all()
    report = tree.stop()

    assert report.ok and report.unstopped == () and report.took_s < 5
    assert {thread.ident for thread in threading.enumerate()} <= before
    assert pykka.ActorRegistry.get_all() == []
    assert tree.runtime._timers == []


def test_report_names_each_thread_that_would_not_stop(threads):
    """Statement 62."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("stuck", shutdown_s=0.1, interrupt_grace_s=0.05), threads.child("fine"))
    tree.ref("/stuck").tell(lambda _actor: (entered.set(), gate.wait(20)))
    assert entered.wait(5)
    report = tree.stop(timeout_s=2.0)
    gate.set()
    assert not report.ok and report.unstopped == ("connector:/stuck#1",)


def test_tree_that_does_not_stop_in_time_is_ended_by_force(threads):
    """Statement 62."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("first"), threads.child("stuck", shutdown_s=INFINITY, busy_limit_s=None))
    tree.ref("/stuck").tell(lambda _actor: (entered.set(), gate.wait(20)))
    assert entered.wait(5)
    report = tree.stop(timeout_s=0.2)
    gate.set()
    assert "connector:/stuck#1" in report.unstopped and tree.ended
    assert not tree.ref("/first").is_alive() and not tree.ref("/stuck").is_alive()


def test_two_hundred_trees_leave_no_thread_behind(threads):
    """Statement 62."""
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(200):
        tree = threads.tree(threads.nested("venue", *threads.children("ab")))
        assert tree.stop().ok
    assert {thread.ident for thread in threading.enumerate()} <= before


PROGRAM = """
import os, signal, sys, threading
from connector.supervision import ChildSpec, SupervisedActor, SupervisorSpec, install_exit_handlers, start_tree

class Polite(SupervisedActor):
    def on_stop(self):
        os.write(1, b"closed %s\\n" % self.context.id.encode())
        if len(sys.argv) > 2:
            os.write(1, b"hanging\\n")
            threading.Event().wait(60)

tree = start_tree(SupervisorSpec(children=(ChildSpec("a", Polite, shutdown_s=30), ChildSpec("b", Polite, shutdown_s=30))))
install_exit_handlers(tree, within_s=float(sys.argv[1]))
os.write(1, b"up\\n")
if sys.stdin.readline().strip() == "raise":
    raise RuntimeError("main failed")
"""


def _program(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path(connector.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize(("said", "code"), [("", 0), ("raise", 1)])
def test_interpreter_exit_stops_in_order_and_the_process_ends(said, code):
    """Statement 63."""
    process = _program("5")
    output, _ = process.communicate(said + "\n", timeout=20)
    assert output.splitlines() == ["closed b", "closed a"] and process.returncode == code


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_stops_in_order(number):
    """Statement 63."""
    process = _program("5")
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert output.splitlines() == ["closed b", "closed a"] and process.returncode == 128 + number


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX")
def test_second_signal_ends_at_once_and_a_hung_stop_ends_at_the_deadline():
    """Statement 63."""
    hung = _program("30", "hang")
    hung.send_signal(signal.SIGTERM)
    assert [hung.stdout.readline() for _ in range(2)] == ["closed b\n", "hanging\n"]
    hung.send_signal(signal.SIGTERM)
    assert hung.wait(5) == 128 + signal.SIGTERM
    hung.communicate()

    late = _program("0.3", "hang")
    late.send_signal(signal.SIGTERM)
    late.communicate(timeout=10)
    assert late.returncode == 128 + signal.SIGTERM


def test_children_of_a_crashed_supervisor_are_stopped(lab):
    """Statement 64."""
    tree = lab.tree(lab.nested("venue", *lab.children("ab")), lab.child("c"))
    old = [tree.ref(f"/venue/{id}")._cell.incarnation for id in "ab"]
    tree.ref("/venue")._cell.incarnation.crash(lab.Boom("the supervisor"))
    lab.settle()
    assert lab.lines("stop") == ["stop venue/b#1", "stop venue/a#1"]
    assert all(one.life.value == "gone" for one in old)
    assert [tree.ref(f"/venue/{id}").epoch for id in "ab"] == [2, 2] and tree.ref("/c").epoch == 1


def test_children_of_a_supervisor_whose_deciding_fails_are_stopped_too(lab, monkeypatch):
    """Statement 64."""
    from connector.supervision import supervisor

    tree = lab.tree(lab.nested("venue", *lab.children("ab")), on_limit=PROBE)
    original, broken = supervisor.decide, [tree.ref("/venue")._cell.incarnation]

    def decide(state, *rest):
        if broken and tree.ref("/venue")._cell.incarnation is broken[0] and len(state.children) == 2:
            raise RuntimeError("a fault in deciding")
        return original(state, *rest)

    monkeypatch.setattr(supervisor, "decide", decide)
    lab.crash(tree.ref("/venue/a"))
    lab.advance(1.0)
    broken.clear()
    lab.advance(30.0)
    assert "stop venue/b#1" in lab.journal
    assert tree.ref("/venue").epoch == 2 and tree.ref("/venue/b").ask("there") == "there"


def test_pykkas_stop_all_stops_the_tree_in_order(lab):
    """Statements 51, 62."""
    tree = lab.tree(lab.child("a", backoff=Backoff()), lab.nested("venue", lab.child("b")))
    pykka.ActorRegistry.stop_all()
    assert lab.lines("stop") == ["stop venue/b#1", "stop a#1"] and tree.ended
    assert pykka.ActorRegistry.get_all() == []


def test_child_that_ended_before_its_supervisor_heard_of_the_stop_is_neither_restarted_nor_counted():
    """Statements 34, 54."""
    spec = SupervisorSpec(children=(ChildSpec("a", object),), intensity=Intensity(0, 5))
    state = do.initial_state(spec)
    for event in (do.Begin(), do.Started("a", 1), do.Ended("a", 1, Reason(EndKind.STOPPED))):
        state, _ = do.decide(state, event, 0.0)
    state, actions = do.decide(state, do.TerminateChild("a", ticket="asker"), 0.0)
    assert state.phase is do.Phase.RUNNING and state.children["a"].state is do.ChildState.STOPPED
    assert actions == (do.Reply("asker", True),)
