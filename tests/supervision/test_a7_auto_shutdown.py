"""A7: automatic shutdown."""

import pytest

from connector.supervision import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    NEVER,
    ONE_FOR_ALL,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    EndKind,
    SpecError,
    SupervisorSpec,
)


def end_normally(lab, ref):
    ref.tell(lambda actor: actor.stop())
    lab.settle()


@pytest.mark.parametrize(
    ("restart", "crash", "ends"),
    [(TRANSIENT, False, True), (TRANSIENT, True, False), (TEMPORARY, False, True), (TEMPORARY, True, True)],
)
def test_any_significant_child_that_ends_ends_its_supervisor(lab, restart, crash, ends):
    """Statement 65."""
    tree = lab.tree(
        lab.child("plain"), lab.child("s", restart=restart, significant=True), auto_shutdown=ANY_SIGNIFICANT
    )
    (lab.crash if crash else lambda ref: end_normally(lab, ref))(tree.ref("/s"))
    assert tree.ended is ends
    if ends:
        assert tree.reason.kind is EndKind.SHUTDOWN and lab.lines("stop")[-1] == "stop plain#1"


def test_all_significant_waits_for_the_last_of_them(lab):
    """Statement 66."""
    tree = lab.tree(
        *lab.children("ab", restart=TRANSIENT, significant=True),
        lab.child("plain", restart=TRANSIENT),
        auto_shutdown=ALL_SIGNIFICANT,
    )
    end_normally(lab, tree.ref("/a"))
    end_normally(lab, tree.ref("/plain"))
    assert not tree.ended
    end_normally(lab, tree.ref("/b"))
    assert tree.ended and tree.reason.kind is EndKind.SHUTDOWN


def test_end_the_supervisor_caused_never_triggers_it(lab):
    """Statement 67."""
    tree = lab.tree(
        lab.child("plain"),
        lab.child("t", restart=TEMPORARY, significant=True),
        lab.child("h", restart=TRANSIENT, significant=True),
        auto_shutdown=ANY_SIGNIFICANT,
        strategy=ONE_FOR_ALL,
    )
    assert tree.ref("/h").stop() is True  # by hand
    lab.crash(tree.ref("/plain"))  # the sibling's restart takes the temporary one with it
    lab.settle()
    assert not tree.ended and [info.id for info in tree.root.proxy().which_children().get()] == ["plain", "h"]


def test_significant_is_refused_where_it_means_nothing():
    """Statement 68."""
    with pytest.raises(SpecError, match="permanent"):
        ChildSpec("a", object, significant=True)
    with pytest.raises(SpecError, match="auto_shutdown is NEVER"):
        SupervisorSpec(children=(ChildSpec("a", object, restart=TRANSIENT, significant=True),), auto_shutdown=NEVER)


def test_end_of_the_last_child_does_not_end_the_supervisor_unless_asked_for(lab):
    """Statement 68."""
    tree = lab.tree(lab.child("only", restart=TEMPORARY))
    end_normally(lab, tree.ref("/only"))
    assert not tree.ended and tree.root.proxy().count_children().get()["specs"] == 0


def test_nested_supervisor_that_shut_down_counts_as_a_normal_end(lab):
    """Statement 65."""
    significant = lab.child("s", restart=TRANSIENT, significant=True)
    tree = lab.tree(lab.nested("batch", significant, auto_shutdown=ANY_SIGNIFICANT, child={"restart": TRANSIENT}))
    end_normally(lab, tree.ref("/batch/s"))
    assert lab.state(tree, "/batch") == "stopped" and not tree.ended
