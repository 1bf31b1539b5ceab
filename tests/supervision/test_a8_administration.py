"""A8: administration while running."""

import pytest

from connector.supervision import (
    ONE_FOR_ALL,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    Intensity,
    NoSuchChild,
    RestartChild,
    SpecError,
    StartChild,
    SupervisorEnding,
    TakeSnapshot,
    TerminateChild,
    WhichChildren,
)
from connector.supervision import decisions as do

SLOW = Backoff(base_s=5.0, max_s=5.0, jitter=0.0, first_at_once=False)
ROOMY = Intensity(20, 1000)


def test_start_child_appends_to_the_start_order(lab):
    """Statement 69."""
    tree = lab.tree(*lab.children("ab"), strategy=ONE_FOR_ALL)
    tree.root.proxy().start_child(lab.child("c")).get()
    lab.clear()
    lab.crash(tree.ref("/b"))
    assert lab.lines("start") == ["start a#2", "start b#2", "start c#2"]


def test_known_id_is_refused_telling_running_from_merely_present(lab):
    """Statement 69."""
    tree = lab.tree(*lab.children("ab"))
    root = tree.root.proxy()
    with pytest.raises(AlreadyStarted):
        root.start_child(lab.child("a")).get()
    root.terminate_child("a").get()
    with pytest.raises(AlreadyPresent):
        root.start_child(lab.child("a")).get()


def test_child_that_does_not_start_by_hand_leaves_nothing_behind(lab):
    """Statement 69."""
    tree = lab.tree()
    lab.start_plans["/new"] = [lab.Boom("no")]
    with pytest.raises(Exception, match="no"):
        tree.root.proxy().start_child(lab.child("new")).get()
    assert tree.root.proxy().which_children().get() == ()
    with pytest.raises(LookupError):
        tree.ref("/new")


def test_terminate_restart_delete_each_with_its_own_errors(lab):
    """Statement 70."""
    tree = lab.tree(lab.child("a"), lab.child("b", backoff=SLOW), intensity=ROOMY)
    root, ref = tree.root, tree.ref("/a")
    for request, error in (
        (TerminateChild("x"), NoSuchChild),
        (RestartChild("x"), NoSuchChild),
        (DeleteChild("x"), NoSuchChild),
        (RestartChild("a"), ChildRunning),
        (DeleteChild("a"), ChildRunning),
    ):
        with pytest.raises(error):
            root.ask(request)
    lab.crash(tree.ref("/b"))
    for request in (RestartChild("b"), DeleteChild("b")):
        with pytest.raises(ChildRestarting):
            root.ask(request)

    assert root.ask(TerminateChild("a")) is True
    lab.advance(60.0)
    assert not ref.is_alive() and ref.epoch == 1
    assert root.ask(TerminateChild("a")) is True  # it is stopped already
    assert root.ask(RestartChild("a")) is ref and ref.ask("again") == "again"
    root.ask(TerminateChild("a"))
    assert root.ask(DeleteChild("a")) is True
    with pytest.raises(NoSuchChild):
        root.ask(RestartChild("a"))
    assert root.ask(StartChild(lab.child("a"))).ask("a new one") == "a new one"


def test_which_and_count_are_right_in_every_state(lab):
    """Statement 71."""
    tree = lab.tree(
        lab.child("up"), lab.child("away", backoff=SLOW), lab.child("down"), lab.nested("venue"), intensity=ROOMY
    )
    tree.ref("/down").stop()
    lab.crash(tree.ref("/away"))
    states = {info.id: info.state for info in tree.root.ask(WhichChildren())}
    assert states == {"up": "running", "away": "restarting", "down": "stopped", "venue": "running"}
    assert tree.root.ask(CountChildren()) == {"specs": 4, "active": 2, "supervisors": 1, "workers": 3}
    lab.advance(6.0)
    assert tree.root.ask(CountChildren())["active"] == 3


def test_requests_during_a_strategy_action_are_queued_not_lost(lab):
    """Statement 72."""
    tree = lab.tree(*lab.children("abc"), strategy=ONE_FOR_ALL)
    root = tree.root.proxy()
    answers = []
    # While c stops for b's restart, somebody asks for changes: nothing acts before the group is up again.
    lab.stop_plans["/c"] = [
        lambda actor: (
            answers.append(root.start_child(lab.child("new"))),
            answers.append(root.terminate_child("a")),
            actor.context.clock.run_while(lambda: True, 1.0),
        )
    ]
    lab.clear()
    lab.crash(tree.ref("/b"))
    lab.advance(2.0)
    assert [answer.get(timeout=1) for answer in answers] == [tree.ref("/new"), True]
    starts = lab.lines("start")
    assert starts[:3] == ["start a#2", "start b#2", "start c#2"] and starts[3] == "start new#1"
    assert lab.state(tree, "/a") == "stopped"


def test_requests_while_a_group_waits_get_a_definite_error(lab):
    """Statement 72."""
    tree = lab.tree(*lab.children("ab", backoff=SLOW), strategy=ONE_FOR_ALL, intensity=ROOMY)
    lab.crash(tree.ref("/a"))
    for request in (StartChild(lab.child("new")), RestartChild("b"), DeleteChild("b")):
        with pytest.raises(ChildRestarting):
            tree.root.ask(request)


def test_requests_to_a_supervisor_that_stops_get_a_definite_error():
    """Statement 72."""
    from connector.supervision import EndKind, Reason, SupervisorSpec

    spec = SupervisorSpec(children=(ChildSpec("a", object), ChildSpec("b", object)))
    state = do.initial_state(spec)
    for event in (do.Begin(), do.Started("a", 1), do.Started("b", 1), do.StopAll(Reason(EndKind.STOPPED))):
        state, _ = do.decide(state, event, 0.0)
    for request in (StartChild(ChildSpec("c", object), ticket=1), RestartChild("a", ticket=1)):
        _, actions = do.decide(state, request, 0.0)
        assert [type(action.error) for action in actions] == [SupervisorEnding]


def test_effective_spec_can_be_read_back(lab):
    """Statement 73."""
    tree = lab.tree(lab.child("a"), lab.nested("venue"))
    spec = tree.root.ask(GetChildSpec("a"))
    assert (spec.shutdown_s, spec.start_timeout_s, spec.busy_limit_s, spec.inbox.capacity) == (5.0, 10.0, 10.0, 10_000)
    assert tree.root.proxy().child_spec("venue").get().shutdown_s == float("inf")
    with pytest.raises(NoSuchChild):
        tree.root.ask(GetChildSpec("x"))
    assert tree.root.epoch == 1  # a wrong question does not crash the supervisor


def test_limits_can_be_changed_while_running(lab):
    """Statement 73."""
    tree = lab.tree(lab.child("a"), intensity=Intensity(1, 5))
    tree.root.proxy().set_intensity(Intensity(3, 5)).get()
    assert tree.root.proxy().supervisor_spec().get().intensity == Intensity(3, 5)
    for _ in range(3):
        lab.crash(tree.ref("/a"))
    assert not tree.ended
    lab.crash(tree.ref("/a"))
    assert tree.ended


def test_wrong_requests_are_the_callers_mistake(lab):
    """Statement 70."""
    tree = lab.tree(lab.child("a"))
    with pytest.raises(SpecError, match="template"):
        tree.root.proxy().start_child(id="b").get()
    with pytest.raises(AttributeError):
        tree.root.proxy().no_such_method  # noqa: B018
    assert tree.root.epoch == 1


def test_snapshot_by_message_equals_the_one_from_outside(lab):
    """Statement 71."""
    tree = lab.tree(lab.child("a"), lab.nested("venue", lab.child("b")))
    assert tree.root.ask(TakeSnapshot()).find("/venue/b").state == "running"
    assert tree.ref("/venue").proxy().snapshot().get().path == "/venue"


def test_child_outside_the_group_that_waits_is_dealt_with_as_ever(lab):
    """Statement 72."""
    from connector.supervision import REST_FOR_ONE

    tree = lab.tree(*lab.children("abc", backoff=SLOW), strategy=REST_FOR_ONE, intensity=ROOMY)
    tree.ref("/a").stop()
    lab.crash(tree.ref("/b"))
    assert tree.root.ask(RestartChild("a")).ask("up") == "up"
    with pytest.raises(ChildRunning):
        tree.root.ask(RestartChild("a"))
    lab.advance(6.0)
    assert [lab.state(tree, f"/{id}") for id in "abc"] == ["running"] * 3


def test_revived_child_has_one_turn_per_group_restart(lab):
    """Statements 6, 14."""
    from connector.supervision import Ignore

    tree = lab.tree(lab.child("a"), lab.child("b", revive=True), strategy=ONE_FOR_ALL)
    lab.start_plans["/b"] = [Ignore("not now")]
    lab.crash(tree.ref("/a"))
    assert lab.state(tree, "/b") == "stopped"
    lab.crash(tree.ref("/a"))
    assert lab.state(tree, "/b") == "running"


def test_end_of_an_earlier_sibling_is_looked_at_before_a_long_wait_not_after_it(lab):
    """Statement 25."""
    from connector.supervision import REST_FOR_ONE

    tree = lab.tree(lab.child("a"), *lab.children("bc", backoff=SLOW), strategy=REST_FOR_ONE, intensity=ROOMY)
    lab.stop_plans["/c"] = [lambda actor: tree.ref("/a")._cell.incarnation.crash(lab.Boom("meanwhile"))]
    lab.crash(tree.ref("/b"))
    assert [lab.state(tree, f"/{id}") for id in "abc"] == ["restarting"] * 3
    lab.advance(5.1)
    assert [tree.ref(f"/{id}").epoch for id in "abc"] == [2, 2, 2]
