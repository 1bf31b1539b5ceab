"""A4: intensity and escalation."""

import pytest

from connector.supervision import (
    GIVE_UP,
    ONE_FOR_ALL,
    PROBE,
    TRANSIENT,
    Backoff,
    EndKind,
    EventKind,
    Intensity,
    Level,
)


@pytest.mark.parametrize("allowed", [0, 1, 2, 5])
def test_exactly_max_restarts_are_done_and_the_next_failure_ends_the_supervisor(lab, allowed):
    """Statements 29, 30."""
    tree = lab.tree(*lab.children("abc"), intensity=Intensity(allowed, 5.0))
    ref = tree.ref("/b")
    for number in range(allowed):
        lab.crash(ref)
        assert ref.epoch == number + 2 and not tree.ended
    lab.clear()
    lab.crash(ref)

    assert tree.ended and tree.reason.kind is EndKind.GAVE_UP
    assert f"{allowed} restarts in 5 s" in tree.reason.text
    assert lab.lines("start", "stop") == [f"stop b#{allowed + 1}", "stop c#1", "stop a#1"]
    assert isinstance(tree.reason.cause, lab.Boom)


def test_window_slides_with_the_resolution_of_the_clock():
    """Statement 31."""
    limit, window = Intensity(3, 1.0), ()
    for at_s in (0.0, 0.4, 0.8):
        window = limit.charge(window, at_s)
    assert limit.charge(window, 0.999) is None
    assert limit.charge(window, 1.0) is None  # inclusive
    assert limit.charge(window, 1.001) == (0.4, 0.8, 1.001)  # the first has left the window, the others have not
    assert limit.charge((0.4, 0.8, 1.001), 1.3) is None


def test_window_slides_in_a_running_tree(lab):
    """Statement 31."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(2, 1.0))
    for _ in range(10):  # never more than two within a second
        lab.crash(tree.ref("/a"))
        lab.advance(0.55)
    assert tree.ref("/a").epoch == 11
    lab.crash(tree.ref("/a"))
    lab.crash(tree.ref("/a"))
    assert tree.ended


def test_failed_start_attempts_count_like_crashes(lab):
    """Statement 32."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(2, 5))
    lab.start_plans["/a"] = [lab.Boom("one"), lab.Boom("two")]
    lab.crash(tree.ref("/a"))
    lab.advance(0.1)
    assert lab.lines("start", "failed") == ["start a#1", "failed a#2", "failed a#3"]
    assert tree.ended and tree.reason.kind is EndKind.GAVE_UP


def test_group_restart_counts_once(lab):
    """Statement 33."""
    tree = lab.tree(*lab.children("abcdef"), strategy=ONE_FOR_ALL, intensity=Intensity(2, 5))
    lab.crash(tree.ref("/a"))
    lab.crash(tree.ref("/f"))
    assert not tree.ended and tree.ref("/c").epoch == 3


def test_starts_and_stops_by_hand_are_not_counted(lab):
    """Statement 34."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(0, 5))
    root = tree.root.proxy()
    for _ in range(5):
        assert root.terminate_child("a").get() is True
        assert root.restart_child("a").get().is_alive()
    root.start_child(lab.child("b")).get()
    assert tree.ref("/b").stop() is True
    assert not tree.ended and tree.ref("/a").epoch == 6


def test_failed_start_by_hand_is_not_counted_and_not_repeated(lab):
    """Statement 34."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(0, 5))
    tree.ref("/a").stop()
    lab.start_plans["/a"] = [lab.Boom("not today")]
    with pytest.raises(Exception, match="not today"):
        tree.root.proxy().restart_child("a").get()
    lab.advance(60)
    assert not tree.ended and tree.ref("/a").epoch == 2 and lab.state(tree, "/a") == "stopped"


def test_shared_budget_is_spent_by_all(lab):
    """Statement 35."""
    tree = lab.tree(*lab.children("abc"), intensity=Intensity(2, 5))
    for id in "abc":
        lab.crash(tree.ref(f"/{id}"))
    assert tree.ended


def test_child_with_a_limit_of_its_own_takes_nobody_down(lab):
    """Statement 35."""
    tree = lab.tree(lab.child("feed", max_restarts=Intensity(2, 5)), lab.child("orders"), intensity=Intensity(0, 5))
    feed, downs = tree.ref("/feed"), []
    feed.watch(downs.append)
    for _ in range(3):
        lab.crash(feed)

    assert not feed.is_alive() and not tree.ended and tree.ref("/orders").ask("still here") == "still here"
    assert downs[0].reason.kind is EndKind.GAVE_UP and "limit of its own" in downs[0].reason.text
    assert [event.level for event in lab.of(EventKind.GAVE_UP)] == [Level.ERROR]


def test_supervisor_that_gave_up_is_an_abnormal_end_for_its_parent(lab):
    """Statement 36."""
    inner = lab.nested("venue", lab.child("a"), intensity=Intensity(1, 5), child={"restart": TRANSIENT})
    tree = lab.tree(inner, lab.child("other"))
    for _ in range(2):
        lab.crash(tree.ref("/venue/a"))

    assert tree.ref("/venue").epoch == 2  # transient, and restarted all the same
    assert tree.ref("/venue/a").ask("reached through the same reference") == "reached through the same reference"
    ended = [event for event in lab.of(EventKind.ENDED) if event.path == "/venue"]
    assert [event.reason.kind for event in ended] == [EndKind.GAVE_UP]


def test_limits_multiply_and_the_tree_prints_the_product(lab):
    """Statement 37."""
    inner = lab.nested("venue", lab.child("a"), intensity=Intensity(10, 5))
    tree = lab.tree(inner, intensity=Intensity(10, 5))
    assert tree.snapshot().worst_restarts == 10 + 11 * 10
    assert "at most 120 restarts" in tree.render()

    restarts = 0
    while not tree.ended:
        lab.crash(tree.ref("/venue/a"))
        restarts += 1
    assert restarts - 1 == 120


def test_end_of_the_top_is_told_through_one_channel(lab):
    """Statement 38."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(0, 5), on_limit=GIVE_UP)
    lab.crash(tree.ref("/a"))

    assert tree.ended and tree.wait_ended(0) and tree.reason.is_abnormal
    last = lab.events[-1]
    assert last.kind is EventKind.TREE_ENDED and last.reason is tree.reason and last.level is Level.ERROR
    assert tree.stop().reason is tree.reason


def test_tree_that_never_gives_up_probes_what_exceeded_its_limit(lab):
    """Statement 38."""
    tree = lab.tree(*lab.children("ab"), intensity=Intensity(1, 5), on_limit=PROBE, probe_s=20.0)
    lab.start_plans["/a"] = [lab.Boom("down for a while")] * 6
    lab.crash(tree.ref("/a"))
    lab.advance(0.1)
    assert lab.state(tree, "/a") == "probing"
    assert tree.snapshot().find("/a").next_attempt_s == pytest.approx(20.0, abs=0.2)
    lab.advance(200.0)
    assert tree.ref("/a").ask("back") == "back" and tree.ref("/b").epoch == 1 and not tree.ended
    attempts = [event.delay_s for event in lab.of(EventKind.PROBING)]
    assert 3 <= len(attempts) <= 5 and set(attempts) == {20.0}


def test_root_that_fails_itself_is_rebuilt_where_nothing_gives_up(lab):
    """Statement 38."""
    tree = lab.tree(lab.child("a"), on_limit=PROBE)
    ref = tree.ref("/a")
    tree.root_cell.incarnation.crash(lab.Boom("the root's own end"))
    lab.advance(2.0)
    assert not tree.ended and tree.root.epoch == 2
    assert ref.ask(lambda actor: actor.who) == "/a#2"  # stopped with the old root, started by the new one
    assert lab.lines() == ["start a#1", "stop a#1", "start a#2"]


def test_delays_longer_than_the_window_are_found_when_the_spec_is_made(lab):
    """Statement 29."""
    from connector.supervision import SpecError

    slow = Backoff(base_s=10.0, max_s=10.0)
    with pytest.raises(SpecError, match="might never be reached"):
        lab.tree(lab.child("a", backoff=slow), intensity=Intensity(3, 5))
