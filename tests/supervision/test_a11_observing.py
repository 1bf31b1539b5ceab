"""A11: observing, and the injected clock, chance and scheduler."""

import threading

import pytest

from connector.supervision import PROBE, TEMPORARY, Backoff, EventKind, Ignore, Intensity, Level
from connector.testing.deterministic import Deadlock, DeterministicRuntime


def test_everything_that_happens_is_one_structured_event(lab):
    """Statement 89."""
    slow = Backoff(base_s=2.0, max_s=2.0, jitter=0.0)
    tree = lab.tree(
        lab.child("a", backoff=slow, max_restarts=Intensity(2, 60)),
        lab.child("h", busy_limit_s=1.0),
        lab.child("t", restart=TEMPORARY),
    )
    for wait_s in (0.0, 2.5, 0.0):
        lab.crash(tree.ref("/a"))
        lab.advance(wait_s)
    tree.ref("/h").tell(lambda actor: lab.advance(30.0))
    tree.ref("/t").tell(lambda actor: (actor.actor_ref.tell("never handled"), exec("raise ValueError")))
    tree.ref("/h").ask(lambda actor: actor.context.emit({"own": "payload"}))
    lab.settle()
    tree.stop()
    lab.settle()

    kinds = set(lab.kinds())
    assert kinds >= {
        *(EventKind.STARTED, EventKind.ENDED, EventKind.RESTARTING, EventKind.BACKOFF, EventKind.GAVE_UP),
        *(EventKind.HUNG, EventKind.ABANDONED, EventKind.RETURNED, EventKind.DEAD_LETTERS, EventKind.USER),
        EventKind.TREE_ENDED,
    }
    backoff = lab.of(EventKind.BACKOFF)[0]
    assert (backoff.path, backoff.epoch, backoff.restarts, backoff.failures) == ("/a", 2, 2, 2)
    assert backoff.delay_s == 2.0 and isinstance(backoff.reason.cause, lab.Boom)
    times = [event.at_s for event in lab.events]
    assert times == sorted(times) and all(event.time_ns > 1_700_000_000_000_000_000 for event in lab.events)
    assert lab.of(EventKind.USER)[0].payload == {"own": "payload"}
    assert str(backoff).startswith("/a#2 backoff (crashed: Boom(")


def test_failing_event_hook_changes_nothing_else(lab):
    """Statement 89."""
    tree = lab.tree(lab.child("a"))

    def fail(event):
        raise SystemExit("a hook that wants the process to end")

    hook = tree.subscribe(fail)
    after = []
    tree.subscribe(after.append)
    lab.crash(tree.ref("/a"))
    assert tree.ref("/a").ask("there") == "there"
    assert hook.failures == len(after) >= 3 and isinstance(hook.last_error, SystemExit)


def test_hook_that_hangs_loses_its_own_events_only(threads):
    """Statement 89."""
    at_once, unlimited = Backoff(reset_after_s=1e-9), Intensity(10**6, 0.001)
    tree = threads.tree(threads.child("a", backoff=at_once), on_limit=PROBE, intensity=unlimited)
    gate = threading.Event()
    hook = tree.subscribe(lambda event: gate.wait(20), capacity=5)
    before = len(threads.events)
    for number in range(10):
        threads.crash(tree.ref("/a"))
        assert tree.ref("/a").ask(lambda actor: actor.context.epoch, timeout=5) == number + 2
    threads.wait(lambda: len(threads.events) >= before + 30)
    assert hook.dropped >= 20
    gate.set()


def test_repeated_failures_become_louder(lab):
    """Statement 89."""
    slow = Backoff(base_s=1.0, max_s=1.0, jitter=0.0)
    tree = lab.tree(lab.child("a", backoff=slow), intensity=Intensity(10, 100), error_after=3)
    lab.start_plans["/a"] = [lab.Boom()] * 4
    lab.crash(tree.ref("/a"))
    lab.advance(10.0)
    ended = [event.level for event in lab.of(EventKind.ENDED)]
    assert ended == [Level.WARNING, Level.WARNING, Level.ERROR, Level.ERROR, Level.ERROR]


def test_broken_repr_of_a_message_or_error_breaks_no_report(lab):
    """Statement 89."""

    class Nasty(Exception):
        def __repr__(self):
            raise SystemExit("in repr")

        __str__ = __repr__

    tree = lab.tree(lab.child("a", restart=TEMPORARY))
    tree.ref("/a").tell(lambda actor: (actor.actor_ref.tell(Nasty()), (_ for _ in ()).throw(Nasty())))
    lab.settle()
    assert "whose repr raises" in str(lab.of(EventKind.ENDED)[0])
    assert "whose repr raises" in tree.dead_letters.recent()[0].message


def test_snapshot_is_a_value_and_render_a_picture_of_it(lab):
    """Statement 89."""
    tree = lab.tree(lab.nested("venue", lab.child("a")), lab.child("c"))
    before = tree.snapshot()
    lab.crash(tree.ref("/venue/a"))
    assert before.find("/venue/a").epoch == 1 and tree.snapshot().find("/venue/a").epoch == 2
    assert hash(before.find("/c")) == hash(before.children[1])
    lines = tree.render().splitlines()
    assert lines[1].startswith("├─ ● venue") and lines[2].startswith("│  └─ ● a  running  #2") and "└─ ● c" in lines[3]
    with pytest.raises(LookupError):
        before.find("/nobody")
    lab.start_plans["/later"] = [Ignore()]
    tree.root.proxy().start_child(lab.child("later")).get()
    assert "○ later  stopped" in tree.render()


def storm(seed, make):
    """A scripted storm over every kind of thing that can happen, on a seeded runtime."""
    lab = make(DeterministicRuntime(seed))
    tree = lab.tree(
        lab.nested("venue", *lab.children("abc"), strategy=__import__("connector").supervision.ONE_FOR_ALL),
        lab.child("d", busy_limit_s=2.0),
        on_limit=PROBE,
        probe_s=5.0,
    )
    for number in range(6):
        for path in ("/venue/a", "/venue/b", "/venue/c", "/d"):
            tree.ref(path).tell(number)
        tree.ref("/venue/b").tell(lambda actor: exec("raise ValueError"))
        tree.ref("/d").tell(lambda actor: actor.context.spawn("work", lambda: iter(range(3))))
        lab.advance(1.7)
    tree.ref("/d").tell(lambda actor: actor.context.cancelled.wait(20))
    lab.advance(40.0)
    tree.stop()
    return lab.runtime.trace_hash, lab.journal


def test_same_seed_same_trace_other_seed_other_trace(lab):
    """Statement 90."""
    runs = [storm(seed, type(lab)) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_sixty_simulated_minutes_pass_in_no_time(lab):
    """Statement 90."""
    tree = lab.tree(lab.child("a", backoff=Backoff(max_s=30.0)), on_limit=PROBE)
    lab.start_plans["/a"] = [lab.Boom()] * 60
    lab.crash(tree.ref("/a"))
    lab.advance(3600.0)
    assert tree.ref("/a").ask("back after an hour") == "back after an hour"
    assert not tree.ended


def test_waiting_for_what_cannot_happen_is_an_error_not_a_hang():
    """Statement 90."""
    runtime = DeterministicRuntime()
    with pytest.raises(Deadlock):
        runtime.make_flag().wait()


def test_user_timers_run_on_the_injected_clock(lab):
    """Statement 90."""
    tree = lab.tree(lab.child("a"))
    ref, timers = tree.ref("/a"), []
    ref.ask(lambda actor: timers.append(actor.context.call_every(10.0, "tick")))
    ref.ask(lambda actor: timers.append(actor.context.call_later(5.0, "once")))
    ref.ask(lambda actor: timers.append(actor.context.call_later(6.0, "never")))
    timers[2].cancel()
    lab.advance(35.0)
    assert [line.split()[-1] for line in lab.lines("got")] == ["once", "tick", "tick", "tick"]
    timers[0].cancel()
    lab.advance(100.0)
    assert len(lab.lines("got")) == 4
