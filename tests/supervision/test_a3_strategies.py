"""A3: strategies, with real supervisors under the seeded scheduler, and the pure decisions where order is everything."""

import pytest

from connector.supervision import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    REST_FOR_ONE,
    TEMPORARY,
    ChildSpec,
    EndKind,
    EventKind,
    Intensity,
    Reason,
    SupervisorSpec,
    TooManyChildren,
)
from connector.supervision import decisions as do


def test_one_for_one_touches_only_the_failed_child(lab):
    """Statement 21."""
    tree = lab.tree(*lab.children("abc"))
    tree.ref("/a").ask(lambda actor: setattr(actor, "kept", "state"))
    before = tree.snapshot()
    lab.crash(tree.ref("/b"))

    assert [tree.ref(f"/{id}").epoch for id in "abc"] == [1, 2, 1]
    assert tree.ref("/a").ask(lambda actor: actor.kept) == "state"
    assert tree.snapshot().find("/a").threads == before.find("/a").threads
    assert lab.lines() == ["start a#1", "start b#1", "start c#1", "stop b#1", "start b#2"]


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(lab):
    """Statement 22."""
    tree = lab.tree(*lab.children("abcd"), strategy=ONE_FOR_ALL)
    lab.clear()
    lab.crash(tree.ref("/b"))
    assert lab.lines() == [
        "stop b#1",  # its own clean-up after the crash
        *("stop d#1", "stop c#1", "stop a#1"),
        *("start a#2", "start b#2", "start c#2", "start d#2"),
    ]


def test_rest_for_one_leaves_those_before_it_alone(lab):
    """Statement 23."""
    tree = lab.tree(*lab.children("abcd"), strategy=REST_FOR_ONE)
    lab.clear()
    lab.crash(tree.ref("/b"))
    assert lab.lines() == ["stop b#1", "stop d#1", "stop c#1", "start b#2", "start c#2", "start d#2"]


def test_rest_for_one_goes_on_from_the_child_that_did_not_start(lab):
    """Statement 24."""
    tree = lab.tree(*lab.children("abcd"), strategy=REST_FOR_ONE, intensity=Intensity(5, 5))
    lab.clear()
    lab.start_plans["/c"] = [lab.Boom(), lab.Boom()]
    lab.crash(tree.ref("/b"))
    lab.advance(1.0)
    assert lab.lines("start", "failed") == ["start b#2", "failed c#2", "failed c#3", "start c#4", "start d#2"]


def test_one_for_all_stops_what_it_had_started_and_begins_again(lab):
    """Statement 24."""
    tree = lab.tree(*lab.children("abc"), strategy=ONE_FOR_ALL, intensity=Intensity(5, 5))
    lab.clear()
    lab.start_plans["/c"] = [lab.Boom()]
    lab.crash(tree.ref("/b"))
    lab.advance(1.0)
    assert lab.lines("start", "failed", "stop")[3:] == [
        *("start a#2", "start b#2", "failed c#2", "stop c#2"),
        *("stop b#2", "stop a#2"),
        *("start a#3", "start b#3", "start c#3"),
    ]


class Core:
    """The pure decisions with a short hand: what was asked for, as "start a#1" and "stop a"."""

    def __init__(self, ids, **spec):
        children = tuple(ChildSpec(id, object) for id in ids)
        self.state = do.initial_state(SupervisorSpec(children=children, **spec))
        self.now_s = 100.0
        self.send(do.Begin())
        for id in ids:
            self.send(do.Started(id, 1))

    def send(self, event):
        self.state, actions = do.decide(self.state, event, self.now_s, 0.5)
        short = {
            do.Start: "start {0.id}#{0.epoch}",
            do.AskStop: "stop {0.id}",
            do.Finish: "finish {0.reason.kind.name}",
        }
        return [short[type(action)].format(action) for action in actions if type(action) in short]

    def crash(self, id, epoch=1):
        return self.send(do.Ended(id, epoch, Reason(EndKind.CRASHED, ValueError(id))))

    def stopped(self, id, epoch=1):
        return self.send(do.Ended(id, epoch, Reason(EndKind.STOPPED)))


def test_sibling_that_dies_during_a_group_restart_is_absorbed():
    """Statement 25."""
    core = Core("abc", strategy=ONE_FOR_ALL, intensity=Intensity(1, 5))
    assert core.crash("b") == ["stop c"]
    assert core.crash("a") == []  # before it was asked to stop: counts nothing, restarts nothing
    assert core.stopped("c") == ["start a#2"]
    assert len(core.state.window) == 1
    assert core.send(do.Started("a", 2)) == ["start b#2"]
    assert core.send(do.Started("b", 2)) == ["start c#2"]
    assert core.send(do.Started("c", 2)) == [] and core.state.plan is None


def test_child_restarted_in_a_group_that_dies_before_the_group_is_up_counts_afterwards():
    """Statement 25."""
    core = Core("abc", strategy=ONE_FOR_ALL, intensity=Intensity(2, 5))
    core.crash("b")
    core.stopped("c")
    core.stopped("a")
    core.send(do.Started("a", 2))
    assert core.crash("a", 2) == []  # b is on its way up
    assert core.send(do.Started("b", 2)) == ["start c#2"]
    assert core.send(do.Started("c", 2)) == ["stop c"]  # now it is the turn of a's own end
    assert len(core.state.window) == 2


def test_late_notice_of_an_older_incarnation_changes_nothing():
    """Statement 26."""
    core = Core("ab")
    assert core.crash("a") == ["start a#2"]
    before = core.state
    for late in (
        do.Ended("a", 1, Reason(EndKind.CRASHED)),
        do.Started("a", 1),
        do.Overdue("a", 1, "run", 99.0),
        do.GraceElapsed("a", 1),
        do.ShutdownElapsed("a", 1),
        do.InterruptDue("a", 1),
        do.Healthy("a", 1),
        do.RetryDue("a", 0),
        do.Ended("unknown", 1, Reason(EndKind.CRASHED)),
    ):
        assert core.send(late) == []
        assert core.state == before


def test_dynamic_supervisor_starts_children_of_one_kind_with_their_own_arguments(lab):
    """Statement 27."""
    tree = lab.tree(template=lab.child("any", lab.Probe, restart=TEMPORARY), max_children=5)
    root = tree.root.proxy()
    refs = [root.start_child(id=f"s{number}", args=(number,)).get() for number in range(5)]
    assert [ref.ask(lambda actor: actor.more) for ref in refs] == [(number,) for number in range(5)]
    with pytest.raises(TooManyChildren):
        root.start_child(id="s5").get()


def test_dynamic_supervisor_stops_its_children_concurrently(lab):
    """Statement 27."""
    tree = lab.tree(template=lab.child("any"))
    for number in range(20):
        lab.stop_plans[f"/s{number}"] = [lambda actor: actor.context.clock.advance(0.0)]
        tree.root.proxy().start_child(id=f"s{number}").get()
    tree.request_stop()
    lab.runtime.run_until_idle()
    asked = {state for child in lab.of(EventKind.STARTED) for state in [child.path]}
    assert len(asked) == 21 and tree.ended
    # Sequentially they would end strictly from the last to the first; the scheduler mixes concurrent ones.
    order = [line.split()[1].split("#")[0] for line in lab.lines("stop")]
    assert sorted(order) == sorted(f"s{number}" for number in range(20))
    assert order != [f"s{number}" for number in reversed(range(20))]


@pytest.mark.parametrize("keep", [False, True])
def test_dynamic_children_come_back_with_their_supervisor_only_when_asked_for(lab, keep):
    """Statement 28."""
    tree = lab.tree(lab.nested("venue", lab.child("a"), keep_dynamic=keep))
    venue = tree.ref("/venue")
    added = venue.proxy().start_child(lab.child("added")).get()
    downs = []
    added.watch(downs.append)

    def break_it(_supervisor):
        raise lab.Boom("a handler of the supervisor itself")

    tree.ref("/venue/a").ask(lambda actor: actor.context.parent._cell.incarnation.crash(lab.Boom("supervisor")))
    lab.settle()
    assert venue.epoch == 2 and tree.ref("/venue/a").ask("there") == "there"
    assert added.is_alive() is keep
    assert len(downs) == (0 if keep else 1)
    if keep:
        assert added.ask("there") == "there" and added.epoch == 2


def test_dynamic_child_added_again_never_repeats_an_epoch(lab):
    """Statements 26, 28."""
    tree = lab.tree(lab.nested("venue"))
    venue = tree.ref("/venue")
    assert venue.proxy().start_child(lab.child("x")).get().epoch == 1
    venue._cell.incarnation.crash(lab.Boom("supervisor"))
    lab.settle()
    assert venue.proxy().start_child(lab.child("x")).get().epoch == 2


def test_subtree_added_again_never_repeats_an_epoch(lab):
    """Statement 26."""
    tree = lab.tree()
    root, venue = tree.root.proxy(), lab.nested("venue", lab.child("a"))
    root.start_child(venue).get()
    root.terminate_child("venue").get()
    root.delete_child("venue").get()
    root.start_child(venue).get()
    assert tree.ref("/venue/a").epoch == 2


def test_strategies_are_what_their_names_say():
    """Statements 21, 22, 23."""
    expected = {ONE_FOR_ONE: {"b"}, ONE_FOR_ALL: {"a", "b", "c"}, REST_FOR_ONE: {"b", "c"}}
    for strategy, restarted in expected.items():
        core, started = Core("abc", strategy=strategy), set()
        todo = core.crash("b")
        while todo:
            word, _, what = todo.pop(0).partition(" ")
            if word == "stop":
                todo += core.stopped(what)
            else:
                id, _, epoch = what.partition("#")
                started.add(id)
                todo += core.send(do.Started(id, int(epoch)))
        assert started == restarted
