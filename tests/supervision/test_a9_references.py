"""A9: references and messages."""

import gc
import threading
import weakref

import pykka
import pytest

from connector.supervision import (
    DROP_NEWEST,
    DROP_OLDEST,
    EMPTY,
    PROBE,
    TEMPORARY,
    Backoff,
    DeadlinePassed,
    Down,
    EndKind,
    EventKind,
    InboxFull,
    InboxPolicy,
    Intensity,
    Restarted,
    SelfAsk,
    Stopped,
)

ALWAYS_AT_ONCE = Backoff(base_s=1e-6, max_s=1e-6, reset_after_s=1e-9)
UNLIMITED = {"intensity": Intensity(10**9, 0.001), "on_limit": PROBE}


def test_reference_stays_valid_and_unhandled_messages_go_on_in_order(lab):
    """Statement 74."""
    tree = lab.tree(lab.child("a"))
    ref = tree.ref("/a")
    ref.tell(0)
    ref.tell(lambda actor: exec("raise ValueError"))
    for number in (1, 2, 3):
        ref.tell(number)
    lab.settle()
    assert lab.lines("got") == ["got a#1 0", "got a#2 1", "got a#2 2", "got a#2 3"]
    assert isinstance(ref, pykka.ActorRef) and tree.ref("/a") is ref


@pytest.mark.usefixtures("busy_switching")
def test_crashes_under_load_lose_nothing_and_keep_each_senders_order(threads):
    """Statement 74."""
    child = threads.child("a", backoff=ALWAYS_AT_ONCE, inbox=InboxPolicy(capacity=10**6))
    tree = threads.tree(child, **UNLIMITED)
    ref, got, count, crashes = tree.ref("/a"), [], 4000, 60
    done = threading.Event()

    class Note:
        def __init__(self, *what):
            self.what = what

        def __call__(self, actor):
            got.append(self.what)
            if len(got) == 4 * count:
                done.set()

    def crash(_actor):
        raise threads.Boom("under load")

    def produce(producer):
        for number in range(count):
            ref.tell(Note(producer, number))
            if number % (4 * count // crashes) == producer:
                ref.tell(crash)

    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join(30)
    assert done.wait(30), f"{len(got)} of {4 * count} delivered"
    for producer in range(4):
        assert [number for who, number in got if who == producer] == list(range(count))
    assert ref.epoch >= crashes and tree.dead_letters.count == 0


def test_killed_a_hundred_times_every_reference_lives_and_the_restart_is_prompt(threads):
    """Statements 74, 79."""
    tree = threads.tree(threads.child("a", backoff=ALWAYS_AT_ONCE), threads.child("b"), **UNLIMITED)
    ref, proxy = tree.ref("/a"), tree.ref("/a").proxy()
    for number in range(100):
        threads.crash(ref)
        assert ref.ask(lambda actor: actor.context.epoch, timeout=5) == number + 2
        assert proxy.echo(number).get(timeout=5) == number
    threads.wait(lambda: len([kind for kind in threads.kinds("/a") if kind is EventKind.STARTED]) == 101)
    ended = {event.epoch: event.at_s for event in threads.of(EventKind.ENDED)}
    started = {event.old_epoch: event.at_s for event in threads.of(EventKind.STARTED) if event.path == "/a"}
    took_s = sorted(started[epoch] - ended[epoch] for epoch in ended)
    assert took_s[97] < 0.1 and took_s[-1] < 2.0  # the last two belong to a busy machine
    assert tree.ref("/b").epoch == 1


def test_message_in_hand_at_the_crash_is_not_run_again_and_its_asker_is_told(lab):
    """Statement 75."""
    tree = lab.tree(lab.child("a"))
    runs = []

    def half_done(_actor):
        runs.append("half")
        raise lab.Boom("in the middle")

    with pytest.raises(Restarted, match="effect is unknown") as told:
        tree.ref("/a").ask(half_done)
    lab.settle()
    assert runs == ["half"] and isinstance(told.value.__cause__, lab.Boom)
    assert isinstance(told.value, pykka.ActorDeadError)


def test_every_ask_ends(lab):
    """Statement 76."""
    tree = lab.tree(lab.child("a", busy_limit_s=2.0, interrupt_grace_s=0.5, inbox=InboxPolicy(capacity=1)))
    ref = tree.ref("/a")
    assert ref.ask("reply") == "reply"
    with pytest.raises(Restarted):
        ref.ask(lambda actor: exec("raise ValueError"))
    lab.settle()
    with pytest.raises(Restarted):
        ref.ask(lambda actor: lab.advance(100.0))
    lab.settle()
    ref.tell("fills the inbox")
    with pytest.raises(InboxFull):
        ref.ask("no room")
    lab.settle()
    ref.stop()
    with pytest.raises(Stopped):
        ref.ask("dead")


def test_timeout_covers_queuing_too(lab):
    """Statement 76."""
    tree = lab.tree(lab.child("a", busy_limit_s=None))
    ref = tree.ref("/a")
    ref.tell(lambda actor: actor.context.clock.run_while(lambda: True, 5.0))
    began_s = lab.runtime.monotonic_s()
    with pytest.raises(pykka.Timeout):
        ref.ask("behind it", timeout=2.0)
    assert lab.runtime.monotonic_s() - began_s <= 5.0  # waits nest here: not before the handler around is over


def test_ask_without_a_timeout_is_bounded_all_the_same(lab):
    """Statement 76."""
    tree = lab.tree(
        lab.child("a", backoff=Backoff(base_s=100, max_s=100, jitter=0, first_at_once=False)), on_limit=PROBE
    )
    lab.crash(tree.ref("/a"))
    began_s = lab.runtime.monotonic_s()
    with pytest.raises(pykka.Timeout):
        tree.ref("/a").ask("nobody there")
    assert lab.runtime.monotonic_s() - began_s == pytest.approx(30.0)


def test_reply_after_the_timeout_disturbs_nobody(threads):
    """Statement 77."""
    tree = threads.tree(threads.child("a"))
    ref, gate = tree.ref("/a"), threading.Event()
    with pytest.raises(pykka.Timeout):
        ref.ask(lambda _actor: gate.wait(5) and "late", timeout=0.02)
    given_up = ref.ask(lambda _actor: gate.wait(5) and "later", block=False)
    given_up.set("the caller's own idea")  # what kills a plain Pykka actor
    gate.set()
    assert ref.ask(lambda actor: actor.who, timeout=5) == "/a#1"
    assert given_up.get() == "the caller's own idea"


def test_ask_is_not_executed_after_its_deadline(threads):
    """Statement 77."""
    tree = threads.tree(threads.child("a"))
    ref, gate, entered, done = tree.ref("/a"), threading.Event(), threading.Event(), []
    ref.tell(lambda _actor: (entered.set(), gate.wait(5)))
    assert entered.wait(5)
    with pytest.raises(pykka.Timeout):
        ref.ask(lambda _actor: done.append("order sent"), timeout=0.02)
    unwatched = ref.ask(lambda _actor: done.append("another"), block=False, timeout=0.01)
    with pytest.raises(pykka.Timeout):
        unwatched.get(timeout=0.05)
    gate.set()
    ref.ask("everything before this is over", timeout=5)
    assert done == []
    with pytest.raises(DeadlinePassed):
        unwatched.get(timeout=1)


def test_watch_gives_exactly_one_notice_of_the_final_end(lab):
    """Statement 78."""
    tree = lab.tree(lab.child("a"), lab.child("watcher"))
    ref, seen = tree.ref("/a"), []
    ref.watch(seen.append)
    ref.watch(tree.ref("/watcher"))
    cancelled = ref.watch(lambda down: seen.append("cancelled"))
    cancelled.cancel()
    lab.crash(ref)
    assert seen == []  # a restart is not an end
    ref.stop()
    lab.settle()
    ref.stop()
    tree.stop()

    assert [(down.path, down.reason.kind) for down in seen] == [("/a", EndKind.STOPPED)]
    assert len([line for line in lab.lines("got") if "Down" in line]) == 1


def test_watch_is_used_up_by_its_notice(lab):
    """Statement 78."""
    tree = lab.tree(lab.child("a"))
    ref, seen = tree.ref("/a"), []
    ref.watch(seen.append)
    for _ in range(2):
        ref.stop()
        tree.root.proxy().restart_child("a").get()
    ref.stop()
    lab.settle()
    assert len(seen) == 1


def test_watch_after_the_end_gives_the_notice_at_once(lab):
    """Statement 78."""
    tree = lab.tree(lab.child("a", restart=TEMPORARY))
    ref, seen = tree.ref("/a"), []
    lab.crash(ref)
    ref.watch(seen.append)
    lab.settle()
    assert [type(down) for down in seen] == [Down] and seen[0].reason.kind is EndKind.CRASHED


def test_watch_notices_are_not_held_up_by_a_full_inbox(lab):
    """Statements 78, 80."""
    tree = lab.tree(lab.child("watcher", inbox=InboxPolicy(capacity=1)), lab.child("a", restart=TEMPORARY))
    watcher = tree.ref("/watcher")
    tree.ref("/a").watch(watcher)
    tree.ref("/a").tell(lambda actor: (watcher.tell("fills the inbox"), exec("raise ValueError")))
    lab.settle()
    assert any("Down" in line for line in lab.lines("got"))


def test_restart_is_visible_with_old_and_new_epoch(lab):
    """Statement 79."""
    tree = lab.tree(lab.child("a"))
    lab.crash(tree.ref("/a"))
    started = [event for event in lab.of(EventKind.STARTED) if event.path == "/a"]
    assert [(event.old_epoch, event.epoch, event.restarts) for event in started] == [(0, 1, 0), (1, 2, 1)]


def test_inbox_emptied_by_a_restart_announces_the_gap(lab):
    """Statements 74, 79."""
    tree = lab.tree(lab.child("a", inbox=InboxPolicy(over_restart=EMPTY)))
    ref = tree.ref("/a")
    ref.tell(lambda actor: exec("raise ValueError"))
    for number in range(3):
        ref.tell(number)
    asked = ref.ask("also lost", block=False)
    lab.settle()
    assert lab.lines("got") == []
    assert [(event.count, event.epoch) for event in lab.of(EventKind.DISCARDED)] == [(4, 2)]
    with pytest.raises(Stopped, match="emptied"):
        asked.get(timeout=0)


@pytest.mark.parametrize(("rule", "kept"), [(DROP_OLDEST, [3, 4]), (DROP_NEWEST, [0, 1])])
def test_full_inbox_drops_by_its_rule_and_counts(lab, rule, kept):
    """Statement 80."""
    tree = lab.tree(lab.child("a", inbox=InboxPolicy(capacity=2, when_full=rule)))
    ref = tree.ref("/a")
    asks = [ref.ask(number, block=False) for number in range(5)]
    lab.settle()
    assert lab.lines("got") == [f"got a#1 {number}" for number in kept]
    for number, ask in enumerate(asks):
        if number in kept:
            assert ask.get(timeout=0) == number
        else:
            with pytest.raises(InboxFull):
                ask.get(timeout=0)
    assert tree.snapshot().find("/a").inbox_dropped == 3


def test_full_inbox_blocks_neither_stop_nor_supervision(threads):
    """Statement 80."""
    gate, entered = threading.Event(), threading.Event()
    tree = threads.tree(threads.child("a", inbox=InboxPolicy(capacity=1)))
    ref = tree.ref("/a")
    ref.tell(lambda actor: (entered.set(), actor.context.cancelled.wait(10)))
    assert entered.wait(5)
    ref.tell("fills it")
    with pytest.raises(InboxFull):
        ref.tell("refused")
    assert ref.stop(timeout=5) is True
    gate.set()


def test_period_does_not_pile_up_behind_a_long_message(lab):
    """Statement 80."""
    tree = lab.tree(lab.child("a", busy_limit_s=None))

    def busy(actor):
        actor.context.call_every(1.0, "tick")
        lab.advance(10.0)

    tree.ref("/a").tell(busy)
    lab.settle()
    assert lab.lines("got") == ["got a#1 tick"]
    lab.advance(1.0)
    assert lab.lines("got") == ["got a#1 tick"] * 2


def test_timer_gets_through_a_full_inbox(lab):
    """Statement 80."""
    tree = lab.tree(lab.child("a", inbox=InboxPolicy(capacity=1)))
    ref = tree.ref("/a")

    def busy(actor):
        actor.context.call_later(1.0, "tick")
        ref.tell("fills it")
        lab.advance(2.0)

    ref.tell(busy)
    lab.settle()
    assert lab.lines("got") == ["got a#1 fills it", "got a#1 tick"]


def test_asking_oneself_is_an_error_at_once(lab):
    """Statement 81."""
    tree = lab.tree(lab.child("a"))
    ref = tree.ref("/a")

    def ask_myself(actor):
        with pytest.raises(SelfAsk):
            actor.actor_ref.ask("me")
        future = actor.actor_ref.ask("me", block=False)
        with pytest.raises(SelfAsk):
            future.get()
        with pytest.raises(SelfAsk):
            actor.actor_ref.proxy().echo(1).get()
        return "refused"

    assert ref.ask(ask_myself) == "refused"


def test_cycle_of_asks_is_found(lab):
    """Statement 81."""
    tree = lab.tree(*lab.children("abc"))
    a, b, c = (tree.ref(f"/{id}") for id in "abc")

    def close_the_circle(_actor):
        with pytest.raises(SelfAsk, match="nobody could answer"):
            a.ask("you wait for me")
        return "found"

    assert a.ask(lambda _: b.ask(lambda _: c.ask(close_the_circle))) == "found"
    assert [ref.epoch for ref in (a, b, c)] == [1, 1, 1]


def test_two_that_ask_each_other_at_the_same_time_do_not_hang(threads):
    """Statement 81."""
    tree = threads.tree(*threads.children("ab"))
    a, b, both = tree.ref("/a"), tree.ref("/b"), threading.Barrier(2)

    def ask(other):
        both.wait(5)
        try:
            return other.ask("you", timeout=5)
        except SelfAsk:
            return "cycle"

    answers = [a.ask(lambda _: ask(b), block=False), b.ask(lambda _: ask(a), block=False)]
    assert "cycle" in [answer.get(timeout=10) for answer in answers]


def test_proxy_follows_the_incarnations_and_keeps_none_alive(lab):
    """Statement 74."""

    class Playback:
        pykka_traversable = True

        def __init__(self, epoch):
            self.epoch = epoch

        def play(self):
            return self.epoch

    class Player(lab.Probe):
        def on_start(self):
            self.playback = Playback(self.context.epoch)
            self.label = f"player {self.context.epoch}"

    tree = lab.tree(lab.child("a", Player))
    proxy = tree.ref("/a").proxy()
    assert proxy.playback.play().get() == 1 and proxy.label.get() == "player 1" and proxy.who.get() == "/a#1"
    old = weakref.ref(tree.ref("/a")._cell.actor)
    sub = proxy.playback
    lab.crash(tree.ref("/a"))
    gc.collect()

    assert sub.play().get() == 2 and proxy.playback.play().get() == 2 and proxy.label.get() == "player 2"
    assert old() is None
    proxy.label = "renamed"
    assert proxy.label.get() == "renamed"
    assert proxy == tree.ref("/a").proxy() and proxy != proxy.playback and "echo" in dir(proxy)


def test_proxy_works_between_two_incarnations(lab):
    """Statements 74, 46."""
    patient = Backoff(base_s=5.0, max_s=5.0, jitter=0.0, first_at_once=False)
    tree = lab.tree(lab.child("a", backoff=patient), intensity=Intensity(3, 60))
    lab.crash(tree.ref("/a"))
    proxy = tree.ref("/a").proxy()
    answer = proxy.echo("kept")
    proxy.echo.defer("told")
    lab.advance(6.0)
    assert answer.get(timeout=0) == "kept" and proxy.who.get() == "/a#2"


def test_futures_map_join_and_await_as_pykkas_do(lab):
    """Statement 76."""
    tree = lab.tree(lab.child("a"))
    futures = [tree.ref("/a").ask(number, block=False) for number in range(3)]
    assert pykka.get_all(futures) == [0, 1, 2]
    assert futures[0].join(*futures[1:]).get() == [0, 1, 2]
    assert futures[2].map(lambda value: value * 10).get() == 20


def test_deferred_reply_is_answered_later_or_ends_with_the_incarnation(lab):
    """Statements 75, 76."""
    tree = lab.tree(lab.child("a"))
    ref, kept = tree.ref("/a"), []
    later = ref.ask(lambda actor: kept.append(actor.context.defer_reply()), block=False)
    never = ref.ask(lambda actor: kept.append(actor.context.defer_reply()), block=False)
    lab.settle()
    assert not later.is_set() and ref.ask("not blocked") == "not blocked"
    kept[0].set("at last")
    lab.crash(ref)
    assert later.get(timeout=0) == "at last"
    with pytest.raises(Restarted):
        never.get(timeout=0)
    kept[1].set("too late, and nobody is hurt")


def test_references_find_each_other_by_path(lab):
    """Statement 74."""
    tree = lab.tree(lab.nested("venue", *lab.children("ab")), lab.child("c"))

    def look(actor):
        context = actor.context
        names = [context.sibling("b").path, context.parent.path, context.lookup("/c").path, context.id, context.path]
        with pytest.raises(LookupError, match="no actor at"):
            context.sibling("zz")
        return names

    assert tree.ref("/venue/a").ask(look) == ["/venue/b", "/venue", "/c", "a", "/venue/a"]
    assert tree.ref("/c").ask(lambda actor: actor.context.sibling("venue").path) == "/venue"
