"""One comparison by itself: every page of every list, windows of time where ids say nothing, positions and funding."""

import pickle
from ast import literal_eval
from decimal import Decimal

import msgspec
import pytest
from test_account import fill, place, report
from test_positions import BTC, COIN, Contracts, payment, position, said

from connector.domain.account import FundingPayment, Position
from connector.domain.facts import BalanceReport, PositionReport
from connector.domain.instruments import Instrument, InstrumentStatus, InstrumentTable
from connector.domain.orders import Fill, FillKind, Order, OrderStatus
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_S
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.trading import Auth, OrderRules
from connector.errors import ConnectorBug, VenueUnavailable, WireFormatError
from connector.venue import comparison
from connector.venue.account import DAY_NS
from connector.venue.comparison import (
    BALANCES,
    FILLS,
    FUNDING,
    ORDERS,
    OVERLAP_NS,
    POSITIONS,
    WITH_POSITIONS,
    Comparison,
    Question,
)

AUTH = Auth("key", lambda payload: "signature", "hmac")
LATE_NS = 2 * NS_PER_S
NOW_NS = DAY_NS + 3_600 * NS_PER_S
S = OrderStatus
d = Decimal


class Pages:
    """A venue that answers everything in pages of two, and names the next by a cursor. `told` is what it has, by kind."""

    def __init__(self, counted=False, since_s=None, **told):
        self.rules = OrderRules(
            "[a-z]+", 36, 5_000, 1.0, 1.0, frozenset(), frozenset(), "", fill_ids_counted=counted, since_s=since_s
        )
        self.told = told
        self.asked = []
        self.fails_at = None

    # requests

    def _ask(self, what, **query):
        return HttpRequest("GET", what, repr({**query, "at": 0}))

    def open_orders(self, instrument, auth, now_ms):
        return self._ask("open")

    def balances(self, auth, now_ms):
        return self._ask("balances")

    def order(self, client_id, venue_id, instrument, auth, now_ms, current=None):
        return self._ask("order", client_id=client_id, venue_id=venue_id, current=current and current.client_id)

    def fills(self, instrument, from_id, start_ns, venue_id, auth, now_ms):
        return self._ask("fills", from_id=from_id, start_ns=start_ns, venue_id=venue_id)

    def positions(self, auth, now_ms):
        return self._ask("positions", settle="USDT"), self._ask("positions", settle="BTC")

    def funding(self, start_ns, auth, now_ms):
        return self._ask("funding", start_ns=start_ns)

    def more(self, request, response, auth, now_ms):
        query = literal_eval(request.query)
        if not pickle.loads(response.body)[1]:
            return None
        return HttpRequest("GET", request.path, repr({**query, "at": query["at"] + 2}))

    # answers

    def answer(self, request):
        query = literal_eval(request.query)
        self.asked.append((request.path, query))
        if self.fails_at == (request.path, query["at"]):
            return HttpResponse(503, {}, b"", NOW_NS, NOW_NS)
        rows = list(self.told.get(request.path, ()))
        if request.path == "positions":
            rows = [each for each in rows if each.symbol.settle == query["settle"]]
        elif request.path in ("fills", "funding") and query.get("start_ns") is not None:
            start_ns, since_s = query["start_ns"], self.rules.since_s
            end_ns = NOW_NS if since_s is None else start_ns + int(since_s * NS_PER_S)
            rows = [each for each in rows if start_ns <= each.event_time_ns < end_ns]
        elif request.path == "fills" and query["from_id"] is not None:
            rows = [each for each in rows if int(each.trade_id) >= int(query["from_id"])]
        page = rows[query["at"] : query["at"] + 2]
        body = pickle.dumps((page, query["at"] + 2 < len(rows)))
        return HttpResponse(200, {}, body, NOW_NS, NOW_NS)

    def failure(self, response, *, write):
        return None if response.status == 200 else VenueUnavailable("503")

    def _rows(self, response):
        failure = self.failure(response, write=False)
        if failure is not None:
            raise failure
        return pickle.loads(response.body)[0]

    def read_orders(self, response, instruments):
        return tuple(self._rows(response))

    def read_order(self, response, instrument):
        return None

    def read_fills(self, response, instrument):
        return tuple(self._rows(response))

    def read_balances(self, response):
        return BalanceReport("far", None, NOW_NS, tuple(self._rows(response)), True)

    def read_positions(self, responses, instruments):
        rows = tuple(row for response in responses for row in self._rows(response))
        return PositionReport("far", NOW_NS, NOW_NS, rows, True)

    def read_funding(self, response, instruments):
        return tuple(self._rows(response))


TABLE = InstrumentTable(
    "far",
    [
        Instrument("far", symbol, f"N{number}", InstrumentStatus.TRADING, "T", 8, 8, (), ())
        for number, symbol in enumerate((BTC, COIN))
    ],
)


def begin(kit, venue, parts=WITH_POSITIONS):
    return Comparison(
        kit.model,
        venue,
        TABLE,
        frozenset(parts),
        started_ns=NOW_NS,
        venue_ns=NOW_NS,
        late_ns=LATE_NS,
        auth=AUTH,
        positions=venue,
    )


def run(kit, venue, parts=WITH_POSITIONS):
    going = begin(kit, venue, parts)
    while (question := going.next()) is not None:
        request = going.request(question, AUTH, 1)
        try:
            going.answer(question, request, venue.answer(request))
        except (VenueUnavailable, WireFormatError):
            continue
    assert going.is_over
    return going


def kit_with_order(symbol=BTC, client_id="a"):
    kit = Contracts()
    kit.clock.advance(3_600)
    intent = place(client_id, symbol, at_ns=NOW_NS - 60 * NS_PER_S)
    kit.store.append([intent])
    kit.model.intend(intent)
    return kit


def asked(venue, what):
    return [query for path, query in venue.asked if path == what]


def test_every_page_of_open_orders_is_read_before_an_order_counts_as_missing():
    kit = kit_with_order(client_id="e")
    others = [report(S.NEW, client_id=name, venue_id=name, symbol=BTC) for name in "abcde"]
    venue = Pages(open=others)
    run(kit, venue, {ORDERS}).finish()
    assert [query["at"] for query in asked(venue, "open")] == [0, 2, 4]
    assert asked(venue, "order") == [], "it was on the last page"
    assert kit.model.orders["e"].order.status is S.NEW
    assert len(kit.model.external) == 4


def test_a_list_of_which_a_page_failed_makes_nothing_missing():
    kit = kit_with_order(client_id="e")
    venue = Pages(open=[report(S.NEW, client_id=name, venue_id=name, symbol=BTC) for name in "abcde"])
    venue.fails_at = ("open", 2)
    going = run(kit, venue, {ORDERS})
    assert going.failures and asked(venue, "order") == []
    going.finish()
    assert kit.model.orders["e"].order.status is S.UNKNOWN


def test_balances_of_all_pages_are_one_list():
    kit = Contracts()
    venue = Pages(balances=[(asset, d(1), d(0)) for asset in "ABCDE"])
    run(kit, venue, {BALANCES}).finish()
    assert sorted(kit.model.balances) == list("ABCDE")
    assert kit.model.balances_complete
    venue.fails_at = ("balances", 4)
    venue.told["balances"] = [(asset, d(2), d(0)) for asset in "ABCDE"]
    assert run(kit, venue, {BALANCES}).failures
    assert kit.model.balances["A"].free == 1, "half a list is none"


def test_a_venue_that_names_a_next_page_for_ever_has_failed(monkeypatch):
    monkeypatch.setattr(comparison, "MOST_PAGES", 5)
    venue = Pages(open=[report(S.NEW, client_id=f"o{n}", venue_id=str(n), symbol=BTC) for n in range(40)])
    going = run(Contracts(), venue, {ORDERS})
    assert len(asked(venue, "open")) == 5
    assert "next page" in going.failures[0]


def test_a_page_is_made_anew_when_it_is_sent_and_never_after_the_last():
    venue = Pages(open=[report(S.NEW, client_id=name, venue_id=name, symbol=BTC) for name in "abc"])
    going = begin(Contracts(), venue, {ORDERS})
    first = going.next()
    request = going.request(first, AUTH, 1)
    going.answer(first, request, venue.answer(request))
    second = going.next()
    assert (second.page, literal_eval(going.request(second, AUTH, 2).query)["at"]) == (1, 2)
    venue.more = lambda *_: None
    with pytest.raises(ConnectorBug, match="the last"):
        going.request(second, AUTH, 2)


def test_a_question_about_an_order_carries_what_is_known_of_it():
    kit = kit_with_order(client_id="a")
    kit.model.take(report(S.NEW, symbol=BTC, event_time_ns=1), "stream")
    venue = Pages()
    run(kit, venue, {ORDERS})
    assert asked(venue, "order") == [{"client_id": "a", "venue_id": None, "current": "a", "at": 0}]


def test_an_order_is_looked_for_in_every_list_the_venue_keeps():
    kit = kit_with_order(client_id="a")
    kit.model.take(report(S.NEW, symbol=BTC, event_time_ns=1), "stream")
    ended = report(S.CANCELED, "0", 9, symbol=BTC)
    venue = Pages(order=["active", "", "history", ""])
    venue.read_order = lambda response, instrument: ended if "history" in pickle.loads(response.body)[0] else None
    events, _ = run(kit, venue, {ORDERS}).finish()
    assert [query["at"] for query in asked(venue, "order")] == [0, 2]
    assert kit.model.orders["a"].order.status is S.CANCELED
    assert [each.status for each in events if isinstance(each, Order)] == [S.CANCELED]


# ---------------------------------------------------------------- fills by time


def named(name, at_ns):
    """A fill whose id tells nothing of when it was."""
    return msgspec.structs.replace(fill(1, "0.1", "", "77", BTC, event_time_ns=at_ns, received_ns=at_ns), trade_id=name)


def kit_with_reported_order():
    kit = kit_with_order()
    kit.model.take(report(S.NEW, symbol=BTC), "stream")
    return kit


def test_fills_whose_ids_say_nothing_are_read_from_a_time_through_all_pages():
    kit = kit_with_reported_order()
    fills = [named(name, NOW_NS - 10 * NS_PER_S) for name in ("zz", "a-1", "0f", "b")]
    venue = Pages(fills=fills, open=[report(S.NEW, symbol=BTC)])
    events, _ = run(kit, venue, {FILLS, ORDERS}).finish()
    assert {each.trade_id for each in events if isinstance(each, Fill)} == {"zz", "a-1", "0f", "b"}
    assert [query["at"] for query in asked(venue, "fills")] == [0, 2]
    assert kit.model.last_fill(BTC) == str(NOW_NS - LATE_NS)


def test_the_next_reading_begins_a_little_before_and_counts_nothing_twice():
    kit = kit_with_reported_order()
    venue = Pages(fills=[named("x", NOW_NS - 10 * NS_PER_S)], open=[report(S.NEW, symbol=BTC)])
    run(kit, venue, {FILLS, ORDERS}).finish()
    venue.asked.clear()
    venue.told["fills"] = [*venue.told["fills"], named("a", NOW_NS - 20 * NS_PER_S)]  # shown late
    events, _ = run(kit, venue, {FILLS, ORDERS}).finish()
    assert [each.trade_id for each in events if isinstance(each, Fill)] == ["a"]
    assert asked(venue, "fills")[0]["start_ns"] == NOW_NS - LATE_NS - OVERLAP_NS


def test_a_long_time_is_read_in_windows_the_venue_takes():
    kit = kit_with_reported_order()
    first_ns = NOW_NS - 60 * NS_PER_S - 60 * NS_PER_S  # a minute before the symbol was traded first
    venue = Pages(fills=[named("x", NOW_NS - 5 * NS_PER_S)], since_s=50.0, open=[report(S.NEW, symbol=BTC)])
    events, _ = run(kit, venue, {FILLS, ORDERS}).finish()
    assert [query["start_ns"] for query in asked(venue, "fills")] == [first_ns + n * 50 * NS_PER_S for n in range(3)]
    assert [each.trade_id for each in events if isinstance(each, Fill)] == ["x"]


def test_a_window_that_failed_moves_no_place():
    kit = kit_with_reported_order()
    venue = Pages(fills=[named(name, NOW_NS - 10 * NS_PER_S) for name in "abc"], open=[report(S.NEW, symbol=BTC)])
    venue.fails_at = ("fills", 2)
    going = run(kit, venue, {FILLS, ORDERS})
    going.finish()
    assert going.failures
    assert kit.model.last_fill(BTC) is None


def test_counted_fills_are_read_by_id_as_ever():
    kit = kit_with_reported_order()
    fills = [fill(n, "0.1", "", "77", BTC, event_time_ns=NOW_NS - 10 * NS_PER_S) for n in range(1, 6)]
    venue = Pages(counted=True, fills=fills, open=[report(S.NEW, symbol=BTC)])
    run(kit, venue, {FILLS, ORDERS}).finish()
    assert kit.model.last_fill(BTC) == "5"
    venue.asked.clear()
    run(kit, venue, {FILLS, ORDERS}).finish()
    assert asked(venue, "fills")[0]["from_id"] == "5"


def test_counted_fills_are_looked_for_window_by_window_until_there_is_an_id_to_go_on_from():
    kit = kit_with_reported_order()
    fills = [fill(n, "0.1", "", "77", BTC, event_time_ns=NOW_NS - 40 * NS_PER_S) for n in range(1, 4)]
    venue = Pages(counted=True, since_s=50.0, fills=fills, open=[report(S.NEW, symbol=BTC)])
    events, _ = run(kit, venue, {FILLS, ORDERS}).finish()
    assert [each.trade_id for each in events if isinstance(each, Fill)] == ["1", "2", "3"]
    begun = [query["start_ns"] for query in asked(venue, "fills") if query["from_id"] is None and not query["at"]]
    assert begun == [NOW_NS - (120 - 50 * n) * NS_PER_S for n in range(2)]


# ---------------------------------------------------------------- positions and funding


def test_all_pages_of_all_requests_are_one_list_of_positions():
    kit = Contracts()
    held = [position(str(n + 1), NOW_NS, symbol=Symbol(f"C{n}", "USDT", "USDT")) for n in range(3)]
    venue = Pages(positions=[*held, position("-9", NOW_NS, symbol=COIN)])
    events, _ = run(kit, venue, {POSITIONS}).finish()
    assert len(asked(venue, "positions")) == 3
    assert len([each for each in events if isinstance(each, Position)]) == 4
    assert kit.model.positions.is_complete
    assert kit.view().positions[COIN] == -9


@pytest.mark.parametrize("place_of_failure", [0, 2])
def test_positions_of_which_a_page_failed_are_unknown_and_nothing_is_flat(place_of_failure):
    kit = Contracts()
    kit.model.take(said(position("1", symbol=COIN)), "stream")
    venue = Pages(positions=[position(str(n + 1), NOW_NS, symbol=Symbol(f"C{n}", "USDT", "USDT")) for n in range(3)])
    venue.fails_at = ("positions", place_of_failure)
    going = run(kit, venue, {POSITIONS})
    going.finish()
    assert going.failures
    assert not kit.model.positions.is_complete
    assert [each.symbol for each in kit.model.positions.open()] == [COIN]


def test_a_position_closed_while_nobody_listened_has_its_fills_read_and_the_forced_one_is_told():
    kit = Contracts()
    kit.clock.advance(3_600)
    kit.model.take_positions(said(position("2", received_ns=NOW_NS - 30 * NS_PER_S), complete=True), asked_ns=1)
    kit.announced.clear()
    liquidation = fill(7, "2", "", "9", BTC, event_time_ns=NOW_NS - 9 * NS_PER_S, kind=FillKind.LIQUIDATION)
    venue = Pages(fills=[liquidation])
    events, _ = run(kit, venue).finish()
    assert [each.quantity for each in events if isinstance(each, Position)] == [d(0)]
    assert kit.model.due_symbols() == (BTC,)
    events, _ = run(kit, venue, {FILLS}).finish()
    assert [(each.kind, each.recovered) for each in events if isinstance(each, Fill)] == [(FillKind.LIQUIDATION, True)]
    assert asked(venue, "fills")[0]["start_ns"] == NOW_NS - 90 * NS_PER_S


def test_funding_is_read_from_the_day_on_through_all_pages_and_then_from_where_it_was():
    kit = Contracts()
    kit.clock.advance(3_600)
    venue = Pages(funding=[payment(str(n), "-1", DAY_NS + n * NS_PER_S) for n in range(1, 6)])
    events, _ = run(kit, venue, {FUNDING}).finish()
    assert [each.recovered for each in events if isinstance(each, FundingPayment)] == [True] * 5
    assert kit.view().day_results == {"USDT": d(-5)}
    venue.asked.clear()
    events, _ = run(kit, venue, {FUNDING}).finish()
    assert events == ()
    assert asked(venue, "funding")[0]["start_ns"] == NOW_NS - 3_600 * NS_PER_S


def test_funding_of_which_a_page_failed_leaves_the_day_unknown():
    kit = Contracts()
    venue = Pages(funding=[payment(str(n), "-1", DAY_NS + n) for n in range(1, 6)])
    venue.fails_at = ("funding", 4)
    run(kit, venue, {FUNDING}).finish()
    assert kit.view().day_results is None


def test_funding_of_a_long_time_is_read_in_windows():
    kit = Contracts()
    kit.clock.advance(3_600)
    venue = Pages(since_s=1_800.0, funding=[payment("late", "-1", NOW_NS - NS_PER_S)])
    run(kit, venue, {FUNDING}).finish()
    assert len(asked(venue, "funding")) == 5
    assert kit.view().day_results == {"USDT": d(-1)}


def test_an_account_of_assets_is_asked_for_no_positions():
    kit, venue = Contracts(), Pages()
    going = Comparison(
        kit.model, venue, TABLE, WITH_POSITIONS, started_ns=1, venue_ns=1, late_ns=1, auth=AUTH, positions=None
    )
    kinds = []
    while (question := going.next()) is not None:
        kinds.append(question.kind)
        request = going.request(question, AUTH, 1)
        going.answer(question, request, venue.answer(request))
    assert kinds == ["open_orders", "balances"]


def test_a_question_without_a_symbol_it_needs_is_our_mistake():
    with pytest.raises(ConnectorBug, match="names no symbol"):
        Question("fills").request(Pages(), TABLE, AUTH, 1)
