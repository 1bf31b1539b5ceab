"""A2: who is restarted, and what the end of an incarnation is called."""

import asyncio

import pytest

from connector.supervision import (
    ONE_FOR_ALL,
    PERMANENT,
    TEMPORARY,
    TRANSIENT,
    Backoff,
    EndKind,
    EventKind,
    Intensity,
    Reaction,
    Restarted,
)

ENDS = {
    "normal": lambda actor: actor.stop(),
    "left": lambda actor: actor.context.stop_self("done for good"),
    "crash": None,
}


@pytest.mark.parametrize(
    ("restart", "end", "comes_back"),
    [
        (PERMANENT, "normal", True),
        (PERMANENT, "crash", True),
        (PERMANENT, "left", False),
        (TRANSIENT, "normal", False),
        (TRANSIENT, "crash", True),
        (TRANSIENT, "left", False),
        (TEMPORARY, "normal", False),
        (TEMPORARY, "crash", False),
        (TEMPORARY, "left", False),
    ],
)
def test_restart_type_decides_by_the_way_it_ended(lab, restart, end, comes_back):
    """Statements 11, 12, 13, 18."""
    tree = lab.tree(lab.child("a", restart=restart))
    ref = tree.ref("/a")
    how = ENDS[end]
    lab.crash(ref) if how is None else ref.tell(how)
    lab.settle()

    assert ref.is_alive() is comes_back
    assert ref.epoch == (2 if comes_back else 1)
    known = [info.id for info in tree.root.proxy().which_children().get()]
    assert known == ([] if restart is TEMPORARY else ["a"])


def test_temporary_child_stopped_by_a_siblings_restart_is_gone(lab):
    """Statement 13."""
    tree = lab.tree(lab.child("a"), lab.child("b", restart=TEMPORARY), lab.child("c"), strategy=ONE_FOR_ALL)
    lab.crash(tree.ref("/a"))

    assert lab.lines("start") == ["start a#1", "start b#1", "start c#1", "start a#2", "start c#2"]
    with pytest.raises(LookupError, match="no actor at '/b'"):
        tree.ref("/b")


@pytest.mark.parametrize("revive", [False, True])
def test_ended_transient_child_is_revived_by_its_group_only_when_the_spec_says_so(lab, revive):
    """Statement 14."""
    tree = lab.tree(lab.child("a"), lab.child("b", restart=TRANSIENT, revive=revive), strategy=ONE_FOR_ALL)
    tree.ref("/b").tell(lambda actor: actor.stop())
    lab.settle()
    assert not tree.ref("/b").is_alive()
    lab.crash(tree.ref("/a"))
    assert tree.ref("/b").is_alive() is revive


def test_ended_transient_child_keeps_its_spec_and_starts_by_hand(lab):
    """Statement 14."""
    tree = lab.tree(lab.child("b", restart=TRANSIENT))
    tree.ref("/b").tell(lambda actor: actor.stop())
    lab.settle()
    assert tree.root.proxy().restart_child("b").get().ask("again") == "again"


def test_restart_type_belongs_to_the_child(lab):
    """Statement 15."""
    tree = lab.tree(lab.child("p"), lab.child("t", restart=TRANSIENT), lab.child("x", restart=TEMPORARY))
    for id in "ptx":
        tree.ref(f"/{id}").tell(lambda actor: actor.stop())
    lab.settle()
    assert [info.id for info in tree.root.proxy().which_children().get()] == ["p", "t"]
    assert [tree.ref(f"/{id}").is_alive() for id in "pt"] == [True, False]


def test_reason_reaches_event_watcher_and_snapshot_unchanged(lab):
    """Statement 16."""
    tree = lab.tree(lab.child("a", restart=TEMPORARY))
    ref, seen, error = tree.ref("/a"), [], ValueError("exactly this one")
    ref.watch(seen.append)
    lab.crash(ref, error)

    ended = next(event for event in lab.of(EventKind.ENDED) if event.path == "/a")
    assert ended.reason.kind is EndKind.CRASHED and ended.reason.cause is error
    assert seen[0].reason is ended.reason
    assert error.__traceback__ is not None  # where it happened is not lost


def test_kinds_of_ends_are_kept_apart(lab):
    """Statement 16."""
    tree = lab.tree(*lab.children("abcde", restart=TRANSIENT, busy_limit_s=2.0, interrupt_grace_s=0.5))
    tree.ref("/a").tell(lambda actor: actor.stop())
    tree.ref("/b").stop()
    lab.crash(tree.ref("/c"))
    tree.ref("/d").tell(lambda actor: actor.context.cancelled.wait(30))
    tree.ref("/e").tell(lambda actor: actor.context.stop_self())
    lab.advance(5.0)

    kinds = {event.path[1:]: event.reason.kind for event in lab.of(EventKind.ENDED)}
    assert kinds == {
        "a": EndKind.NORMAL,
        "b": EndKind.STOPPED,
        "c": EndKind.CRASHED,
        "d": EndKind.HUNG,
        "e": EndKind.LEFT,
    }


class Refused(Exception):
    pass


class RefusedForNow(Refused):
    pass


def test_nearest_class_in_the_childs_table_wins_then_the_supervisors(lab):
    """Statement 17."""
    rules = {Exception: Reaction.RESTART, Refused: Reaction.STOP, RefusedForNow: Reaction.BACK_OFF}
    patient = Backoff(base_s=4.0, max_s=8.0, jitter=0.0)
    tree = lab.tree(
        *lab.children("abc", on_error=rules, backoff=patient, max_restarts=Intensity(3, 60)),
        lab.child("d"),
        on_error={Refused: Reaction.STOP, Exception: Reaction.ESCALATE},
    )
    lab.crash(tree.ref("/a"), Refused())
    lab.crash(tree.ref("/b"), RefusedForNow())
    lab.crash(tree.ref("/c"), ValueError())
    lab.crash(tree.ref("/d"), Refused())

    states = {id: lab.state(tree, f"/{id}") for id in "abcd"}
    assert states == {"a": "stopped", "b": "restarting", "c": "running", "d": "stopped"}
    assert tree.snapshot().find("/b").next_attempt_s == pytest.approx(4.0, abs=0.01)


def test_unmatched_class_takes_the_default(lab):
    """Statement 17."""
    tree = lab.tree(lab.child("a", on_error={Refused: Reaction.STOP}))
    lab.crash(tree.ref("/a"), ValueError())
    assert tree.ref("/a").epoch == 2


def test_escalation_ends_the_supervisor(lab):
    """Statement 17."""
    tree = lab.tree(lab.child("a", on_error={Refused: Reaction.ESCALATE}))
    lab.crash(tree.ref("/a"), Refused("keys revoked"))
    assert tree.ended and tree.reason.kind is EndKind.GAVE_UP and isinstance(tree.reason.cause, Refused)


def test_child_can_end_the_whole_tree(lab):
    """Statement 18."""
    tree = lab.tree(lab.child("first"), lab.nested("venue", lab.child("a")))
    tree.ref("/venue/a").tell(lambda actor: actor.context.give_up("account closed"))
    lab.settle()

    assert tree.ended and tree.reason.kind is EndKind.END_TREE and "account closed" in tree.reason.text
    assert lab.lines("stop") == ["stop venue/a#1", "stop first#1"]


def test_resume_skips_the_message_and_keeps_the_state_where_declared(lab):
    """Statement 19."""
    tree = lab.tree(lab.child("a", on_error={Refused: Reaction.RESUME}), lab.child("b"))

    def fail(actor):
        actor.kept = "state"
        raise Refused("this one message")

    for path in ("/a", "/b"):
        with pytest.raises((Refused, Restarted)):
            tree.ref(path).ask(fail)
    lab.settle()
    assert tree.ref("/a").ask(lambda actor: actor.kept) == "state" and tree.ref("/a").epoch == 1
    assert tree.ref("/b").epoch == 2


def test_resume_never_applies_to_an_exception_during_start(lab):
    """Statement 19."""
    tree = lab.tree(lab.child("a", on_error={Refused: Reaction.RESUME}))
    lab.start_plans["/a"] = [Refused("while starting")]
    lab.crash(tree.ref("/a"))
    assert lab.lines() == ["start a#1", "stop a#1", "failed a#2", "stop a#2", "start a#3"]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
@pytest.mark.parametrize("asked", [False, True])
def test_base_exceptions_end_that_child_only(threads, error, asked):
    """Statement 20."""
    tree = threads.tree(*threads.children("ab"))
    a, b = tree.ref("/a"), tree.ref("/b")

    def die(_actor):
        raise error

    if asked:
        with pytest.raises(Restarted) as told:
            a.ask(die, timeout=5)
        assert told.value.__cause__ is error
    else:
        a.tell(die)
    assert a.ask(lambda actor: actor.who, timeout=5) == "/a#2"
    assert b.ask(lambda actor: actor.who, timeout=5) == "/b#1"
    threads.wait(lambda: threads.of(EventKind.RESTARTING))
    assert [event.path for event in threads.of(EventKind.RESTARTING)] == ["/a"]


def test_declared_errors_are_returned_and_nothing_crashes(lab):
    """Statement 19."""

    class Careful(lab.Probe):
        declared_errors = (Refused,)

    tree = lab.tree(lab.child("a", Careful))

    def refuse(_actor):
        raise Refused("no such instrument")

    with pytest.raises(Refused, match="no such instrument"):
        tree.ref("/a").ask(refuse)
    tree.ref("/a").tell(refuse)  # nobody to return it to: an event, not silence
    lab.settle()
    assert tree.ref("/a").epoch == 1
    assert [event.reason.cause.args for event in lab.of(EventKind.UNANSWERED)] == [("no such instrument",)]
