"""Who is told of order events: each once, in order, over crashes, abandoned incarnations and consumers that misbehave."""

import threading
from types import SimpleNamespace

import pytest
from test_account import S, fill, place, report

from connector.errors import InvalidRequest
from connector.orders.lifecycle import Alarm, AlarmKind, apply_report, new_record
from connector.telemetry import Counters, OncePerKind
from connector.venue import order_events
from connector.venue.delivery import Closed
from connector.venue.order_events import OrderEvents


def hub():
    alarms = []
    events = OrderEvents("far", Counters(), OncePerKind("far", emit=lambda kind, detail: alarms.append(kind)))
    return events, alarms


def order(status=S.NEW, filled="0", version=1):
    return apply_report(new_record(place()), report(status, filled, version))[1][-1]


ALARM = Alarm(AlarmKind.CORRECTED, "a", "it was not so")


def taken(listener):
    found = []
    while listener.waiting:
        found.append(listener.get(0))
    return found


def test_everybody_who_listens_gets_every_event_in_order():
    events, _ = hub()
    called = []
    queue, callback = events.listen(), events.listen(called.append)
    sent = [fill(1), order(), ALARM, ALARM, fill(2)]
    events.prepare(sent)
    events.deliver()

    assert taken(queue) == sent == called
    assert (queue.delivered, callback.delivered, events.waiting) == (5, 5, 0)


def test_a_listener_hears_what_comes_after_it_began_to_listen():
    events, _ = hub()
    events.prepare([fill(1)])
    late = events.listen()
    events.deliver()
    events.prepare([fill(2)])
    events.deliver()
    assert [event.trade_id for event in taken(late)] == ["2"]


def test_a_fill_and_a_state_told_before_are_not_told_again():
    events, _ = hub()
    listener = events.listen()
    events.prepare([fill(1), order()])
    events.deliver()
    events.prepare([fill(1), order(), order(S.CANCELED, version=2)])
    events.deliver()
    assert taken(listener) == [fill(1), order(), order(S.CANCELED, version=2)]


def test_what_a_crash_left_is_handed_over_once_by_the_next_incarnation():
    events, _ = hub()
    listener = events.listen()
    events.prepare([fill(1), fill(2)])  # and then the actor crashed
    events.recover()
    events.recover()
    events.deliver()
    assert [event.trade_id for event in taken(listener)] == ["1", "2"]


def test_an_abandoned_incarnation_that_comes_back_hands_over_nothing():
    events, _ = hub()
    current, heard = [True], []

    def hang(event):
        heard.append(event.trade_id)
        current[0] = False  # the supervisor gave this incarnation up while it stood in here
        events.recover(lambda: True)  # the next one begins
        events.prepare([fill(3)])  # and has something to tell

    first, second = events.listen(hang), events.listen()
    events.prepare([fill(1), fill(2)])
    events.deliver(lambda: current[0])

    assert heard == ["1"], "the one that did not return is taken off"
    assert first.is_closed
    assert events.waiting == 1, "what the next one is about to tell is not touched"
    assert [event.trade_id for event in taken(second)] == ["1", "2"]
    assert events.listeners == (second,)


def test_a_callback_that_raises_is_counted_and_goes_on():
    events, _ = hub()

    def fail(event):
        raise SystemExit("no")

    failing, other = events.listen(fail), events.listen()
    events.prepare([fill(1), fill(2)])
    events.deliver()
    assert (failing.failures, failing.delivered, len(taken(other))) == (2, 2, 2)
    assert isinstance(failing.last_failure, SystemExit)


def test_nothing_is_dropped_and_many_waiting_are_an_alarm(monkeypatch):
    monkeypatch.setattr(order_events, "WARN_AT", 10)
    events, alarms = hub()
    listener = events.listen()
    events.prepare([fill(number) for number in range(1, 101)])
    events.deliver()
    assert listener.waiting == 100
    assert alarms == ["order events are not taken"]
    assert events._counters.get("account.events_piled_up") == 4, "at 10, 20, 40 and 80"


def test_what_was_told_is_remembered_within_a_bound(monkeypatch):
    monkeypatch.setattr(order_events, "REMEMBERED", 3)
    events, _ = hub()
    events.prepare([fill(number) for number in range(1, 6)])
    assert len(events._fills_told) == 3


def test_a_closed_subscription_gives_out_what_it_has_and_then_says_so():
    events, _ = hub()
    with events.listen() as listener:
        events.prepare([fill(1)])
        events.deliver()
    events.prepare([fill(2)])
    events.deliver()
    assert [event.trade_id for event in listener] == ["1"]
    with pytest.raises(Closed):
        listener.get()
    assert events.listeners == ()


def test_who_waits_for_an_event_is_woken_when_all_is_over():
    events, _ = hub()
    listener = events.listen()
    ended = threading.Event()

    def read():
        for _ in listener:
            pass
        ended.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    events.close()
    assert ended.wait(5.0)
    thread.join(5.0)


def test_a_queue_that_stays_empty_says_so_in_time_and_a_callback_has_none():
    events, _ = hub()
    with pytest.raises(TimeoutError, match="no order event of far"):
        events.listen().get(0.01)
    with pytest.raises(TypeError, match="no queue to read"):
        events.listen(print).get()


def test_an_inbox_is_told_every_event_and_a_full_one_is_counted():
    from test_account_deterministic import Run

    with Run() as run:
        heard = []
        inbox = run.venue.orders_stream(inbox=SimpleNamespace(tell=heard.append))
        with pytest.raises(InvalidRequest, match="not both"):
            run.venue.orders_stream(callback=print, inbox=inbox)
        run.far.come_up()
        placed = run.place()
        run.runtime.advance(1.0)
        assert [event.client_id for event in heard] == [placed.client_id]
        assert inbox.delivered == 1
