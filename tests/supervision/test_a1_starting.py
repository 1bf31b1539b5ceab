"""A1: starting. Each test names its statement of the supervision page."""

import threading

import pytest

from connector.supervision import (
    ANY_SIGNIFICANT,
    KEEP,
    PERMANENT,
    TEMPORARY,
    Backoff,
    BreakerSpec,
    ChildSpec,
    EndKind,
    EventKind,
    Ignore,
    InboxPolicy,
    Intensity,
    MailRule,
    SpecError,
    StartFailed,
    SupervisorSpec,
    start_tree,
)


def test_children_start_one_after_another_in_their_order(lab):
    """Statement 1."""
    # Each start gives way in the middle; nobody else may begin meanwhile.
    for path in ("/a", "/b", "/c"):
        lab.start_plans[path] = [lambda actor: (lab.note("begin", actor), actor.context.cancelled.wait(1.0))]
    lab.tree(*lab.children("abc"))

    assert lab.lines("begin", "start") == [f"{word} {id}#1" for id in "abc" for word in ("begin", "start")]


def test_start_returns_after_every_init_has_finished(lab):
    """Statement 2."""
    lab.start_plans["/venue/b"] = [lambda actor: actor.context.cancelled.wait(3.0)]
    tree = lab.tree(lab.nested("venue", *lab.children("ab")), lab.child("c"))

    assert lab.lines("start") == ["start venue/a#1", "start venue/b#1", "start c#1"]
    assert [child.state for child in tree.snapshot().children] == ["running", "running"]


def test_start_child_returns_after_its_init_has_finished(lab):
    """Statement 2."""
    tree = lab.tree()
    lab.start_plans["/late"] = [lambda actor: actor.context.cancelled.wait(2.0)]
    ref = tree.root.proxy().start_child(lab.child("late")).get()

    assert lab.lines("start") == ["start late#1"] and ref.ask("hello") == "hello"


def test_failing_child_stops_those_before_it_in_reverse_and_is_named(lab):
    """Statement 3."""
    lab.start_plans["/c"] = [lab.Boom("no network")]
    with pytest.raises(StartFailed, match=r"'c'.*no network") as failure:
        lab.tree(*lab.children("abcd"))

    assert lab.lines() == ["start a#1", "start b#1", "failed c#1", "stop c#1", "stop b#1", "stop a#1"]
    assert isinstance(failure.value.__cause__, lab.Boom)
    assert lab.runtime.threads == ()


def test_failing_child_of_a_nested_supervisor_fails_the_whole_start(lab):
    """Statement 3."""
    lab.start_plans["/venue/b"] = [lab.Boom("no network")]
    with pytest.raises(StartFailed, match=r"'venue'.*'b'"):
        lab.tree(lab.child("first"), lab.nested("venue", *lab.children("ab")))

    assert lab.lines("stop") == ["stop venue/b#1", "stop venue/a#1", "stop first#1"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("where", ["init_plans", "start_plans"])
def test_any_exception_in_init_is_a_start_failure(lab, error, where):
    """Statement 4."""

    def fail(_actor):
        raise error

    getattr(lab, where)["/a"] = [fail]
    with pytest.raises(StartFailed) as failure:
        lab.tree(lab.child("a"))

    assert failure.value.__cause__ is error
    assert lab.runtime.threads == ()


def test_base_exception_in_init_leaves_no_ghost_on_real_threads(threads):
    """Statement 4."""

    def fail(_actor):
        raise SystemExit(1)

    threads.init_plans["/a"] = [fail]
    before = {thread.ident for thread in threading.enumerate()}
    with pytest.raises(StartFailed):
        threads.tree(threads.child("a"))

    assert {thread.ident for thread in threading.enumerate()} <= before


def test_start_has_a_deadline(lab):
    """Statement 5."""
    lab.start_plans["/a"] = [lambda actor: actor.lab.advance(60)]  # does not even look at its cancel token
    with pytest.raises(StartFailed, match="start timed out"):
        lab.tree(lab.child("a", start_timeout_s=5.0, interrupt_grace_s=1.0))

    hung = lab.of(EventKind.HUNG)[0]
    assert hung.reason.kind is EndKind.START_TIMEOUT
    assert lab.lines("interrupt", "stop") == ["interrupt a#1", "stop a#1"]


def test_late_init_is_thrown_away_and_what_it_opened_is_closed(threads):
    """Statement 5."""
    gate, opened = threading.Event(), []

    def slow(actor):
        opened.append(actor)
        assert gate.wait(10)

    tree = threads.tree(tree={"watch_every_s": 0.02})
    threads.init_plans["/slow"] = [slow]
    spec = threads.child("slow", start_timeout_s=0.05, interrupt_grace_s=0.01)
    with pytest.raises(StartFailed, match="timed out"):
        tree.root.proxy().start_child(spec).get(timeout=5)
    ref = tree.root.proxy().start_child(spec).get(timeout=5)
    gate.set()  # the late one comes back only now
    threads.wait(lambda: "stop slow#1" in threads.journal)

    assert ref.ask("who", timeout=1) == "who"
    assert "start slow#1" not in threads.journal  # fenced before its on_start
    threads.wait(lambda: not tree.abandoned)


def test_child_may_decline_to_start(lab):
    """Statement 6."""
    lab.start_plans["/a"] = [Ignore("nothing to do today")]
    lab.start_plans["/b"] = [Ignore("nor here")]
    tree = lab.tree(lab.child("a"), lab.child("b", restart=TEMPORARY), lab.child("c"), intensity=Intensity(0, 5))

    infos = {info.id: info.state for info in tree.root.proxy().which_children().get()}
    assert infos == {"a": "stopped", "c": "running"}
    assert not tree.ref("/a").is_alive() and tree.snapshot().find("/a").failures == 0
    assert tree.root.proxy().restart_child("a").get().is_alive()


def _factory():
    raise AssertionError("specs are checked without running anything")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ChildSpec("", _factory),
        lambda: ChildSpec("a/b", _factory),
        lambda: ChildSpec("a", None),
        lambda: ChildSpec("a", _factory, restart="permanent"),
        lambda: ChildSpec("a", _factory, shutdown_s=0),
        lambda: ChildSpec("a", _factory, start_timeout_s=-1),
        lambda: ChildSpec("a", _factory, busy_limit_s=0),
        lambda: ChildSpec("a", _factory, restart=PERMANENT, significant=True),
        lambda: ChildSpec("a", _factory, on_error={ValueError: "restart"}),
        lambda: ChildSpec("a", _factory, on_error={"ValueError": None}),
        lambda: SupervisorSpec(children=(ChildSpec("a", _factory), ChildSpec("a", _factory))),
        lambda: SupervisorSpec(strategy="one_for_none"),
        lambda: SupervisorSpec(auto_shutdown="sometimes"),
        lambda: SupervisorSpec(on_limit="never"),
        lambda: SupervisorSpec(children=("a",)),
        lambda: SupervisorSpec(max_children=0, children=(ChildSpec("a", _factory),)),
        lambda: SupervisorSpec(children=(ChildSpec("a", _factory, restart=TEMPORARY, significant=True),)),
        lambda: SupervisorSpec(max_abandoned=-1),
        lambda: SupervisorSpec(probe_s=0),
        lambda: Intensity(-1, 5),
        lambda: Intensity(1.5, 5),
        lambda: Intensity(3, 0),
        lambda: Intensity(3, float("nan")),
        lambda: Backoff(base_s=0),
        lambda: Backoff(base_s=2, max_s=1),
        lambda: Backoff(jitter=1.5),
        lambda: Backoff(factor=0.5),
        lambda: Backoff(reset_after_s=0),
        lambda: BreakerSpec(fail_max=0),
        lambda: BreakerSpec(probe_s=float("inf")),
        lambda: InboxPolicy(capacity=0),
        lambda: InboxPolicy(when_full=KEEP),
        lambda: InboxPolicy(over_restart=MailRule.REFUSE),
        lambda: InboxPolicy(during_backoff=MailRule.EMPTY),
        # a limit the delays keep out of reach, and a breaker that opens after the supervisor has given up
        lambda: SupervisorSpec(intensity=Intensity(10, 5), children=(ChildSpec("a", _factory),)),
        lambda: SupervisorSpec(children=(ChildSpec("a", _factory, breaker=BreakerSpec(fail_max=9)),)),
    ],
)
def test_wrong_specs_are_refused_before_anything_starts(make):
    """Statement 7."""
    with pytest.raises(SpecError) as refusal:
        make()
    assert len(str(refusal.value)) > 20  # says what, and what was expected


def test_right_specs_that_look_like_the_wrong_ones_are_taken():
    """Statement 7."""
    SupervisorSpec(
        auto_shutdown=ANY_SIGNIFICANT,
        intensity=Intensity(10, 200),
        children=(
            ChildSpec("a", _factory, restart=TEMPORARY, significant=True),
            ChildSpec("b", _factory, breaker=BreakerSpec(fail_max=11)),
        ),
    )


def test_thread_that_cannot_be_made_is_a_start_failure(lab, monkeypatch):
    """Statement 8."""
    original = lab.runtime.run_loop

    def run_loop(name, loop):
        if "/b#" in name:
            raise RuntimeError("can't start new thread")
        return original(name, loop)

    monkeypatch.setattr(lab.runtime, "run_loop", run_loop)
    with pytest.raises(StartFailed, match="can't start new thread"):
        lab.tree(*lab.children("abc"))
    assert lab.lines() == ["start a#1", "stop a#1"]
    assert lab.runtime.threads == ()


def test_thread_that_cannot_be_made_for_a_restart_is_tried_again(lab, monkeypatch):
    """Statement 8."""
    tree = lab.tree(lab.child("a"))
    original, refusals = lab.runtime.run_loop, ["once"]

    def run_loop(name, loop):
        if refusals and "/a#" in name:
            refusals.pop()
            raise RuntimeError("can't start new thread")
        return original(name, loop)

    monkeypatch.setattr(lab.runtime, "run_loop", run_loop)
    lab.crash(tree.ref("/a"))
    assert tree.ref("/a").ask("there?") == "there?" and tree.ref("/a").epoch == 3


def test_restart_begins_anew_with_the_original_arguments(lab):
    """Statement 9."""
    shared = ["the caller's own"]
    tree = lab.tree(lab.child("a", lab.Probe, 42, shared))
    ref = tree.ref("/a")

    def leave_traces(actor):
        actor.secret = "state"
        actor.context.call_later(5.0, "timer of the old one")
        actor.context.call_every(1.0, "period of the old one")

    ref.ask(leave_traces)
    lab.advance(1.0)  # a tick is queued, or handled, by the old one
    lab.crash(ref)
    lab.clear()
    lab.advance(30.0)

    assert ref.ask(lambda actor: (actor.more, hasattr(actor, "secret"))) == ((42, shared), False)
    assert lab.lines("got") == []


def test_tick_queued_before_a_crash_is_void_for_the_next_incarnation(lab):
    """Statement 9."""
    tree = lab.tree(lab.child("a"))
    ref = tree.ref("/a")

    def arm_then_die(actor):
        actor.context.call_later(1.0, "tick")
        lab.advance(2.0)  # the tick is in the inbox now, behind this message
        raise lab.Boom("with a tick in the inbox")

    ref.tell(arm_then_die)
    ref.tell("plain message")
    lab.settle()
    assert lab.lines("got") == ["got a#2 plain message"]


def test_messages_sent_while_init_runs_are_handled_in_order_after_it(lab):
    """Statement 10."""

    def send(actor):
        for number in range(3):
            actor.actor_ref.tell(number)
        actor.context.cancelled.wait(1.0)

    lab.start_plans["/a"] = [send]
    lab.tree(lab.child("a"))
    assert lab.lines("start", "got") == ["start a#1", "got a#1 0", "got a#1 1", "got a#1 2"]


def test_messages_sent_while_init_runs_end_when_it_fails_for_good(lab):
    """Statement 10."""
    asked = []

    def send_then_fail(actor):
        actor.actor_ref.tell("tell")
        asked.append(actor.actor_ref.ask("ask", block=False))
        raise lab.Boom("for good")

    lab.start_plans["/a"] = [send_then_fail]
    with pytest.raises(StartFailed):
        lab.tree(lab.child("a"))
    lab.settle()

    with pytest.raises(Exception, match="stopped before handling"):
        asked[0].get(timeout=0)
    letters = lab.of(EventKind.DEAD_LETTERS)
    assert [event.count for event in letters] == [1] and letters[0].path == "/a"


def test_actor_made_by_hand_is_refused_with_the_way_to_do_it():
    """Statement 4."""
    from connector.supervision import SupervisedActor

    with pytest.raises(TypeError, match="ChildSpec"):
        SupervisedActor()
    with pytest.raises(TypeError, match="start_tree"):
        SupervisedActor.start()


def test_factory_that_makes_no_supervised_actor_is_a_start_failure(lab):
    """Statement 4."""
    with pytest.raises(StartFailed, match="expected a SupervisedActor"):
        start_tree(SupervisorSpec(children=(ChildSpec("a", dict),)), runtime=lab.runtime)
