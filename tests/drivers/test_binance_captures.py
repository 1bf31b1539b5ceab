"""Recorded traffic of 2021: every frame routes and reads, every book rebuilds, every name goes both ways."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import pytest

from connector.books import exact
from connector.books.rule import Continuity
from connector.domain import AggTrade, BookDelta, BookTicker, Candle, Symbol, Topic, TopicKind
from connector.domain.queries import DepthQuery, InstrumentsQuery

FILES = {"binance-spot-2021-10-12.jsonl.gz": (1695, 265), "binance-us-spot-2021-10-12.jsonl.gz": (121, 480)}
COMPARED = {"binance-spot-2021-10-12.jsonl.gz": 26, "binance-us-spot-2021-10-12.jsonl.gz": 56}

pytestmark = [pytest.mark.captures, pytest.mark.parametrize("name", FILES)]


@pytest.fixture
def rows(recorded, name):
    return recorded(name)


def told(driver, answer, rows):
    (body,) = (row["body"] for row in rows if "exchangeInfo" in row["url"])
    return driver.rest.read(InstrumentsQuery(), answer(body.encode()), None)


def readers(driver, table):
    found = {}
    for symbol, instrument in table.items():
        for topic in (
            Topic(TopicKind.BOOK, symbol),
            Topic(TopicKind.BOOK_TICKER, symbol),
            Topic(TopicKind.CANDLES, symbol, interval="1m"),
            Topic(TopicKind.AGG_TRADES, symbol),
        ):
            found[driver.streams.name(topic).encode()] = driver.streams.reader(topic, instrument)
    return found


def test_recorded_instruments_are_all_read(driver, answer, rows, name):
    info = told(driver, answer, rows)

    assert len(info.instruments) == FILES[name][0]
    assert info.skipped == ()
    assert {limit.name for limit in info.limits} == {limit.name for limit in driver.limits}
    assert all(instrument.price_tick and instrument.quantity_step for instrument in info.instruments.values())


def test_every_recorded_name_goes_both_ways(driver, answer, rows, name):
    table = told(driver, answer, rows).instruments
    for symbol, instrument in table.items():
        assert driver.wire_name(symbol) == instrument.venue_name
        assert table.by_name(driver.wire_name(symbol)) is instrument
        assert Symbol.parse(str(symbol)) == symbol


def test_every_recorded_frame_routes_and_reads(driver, answer, rows, name):
    by_name = readers(driver, told(driver, answer, rows).instruments)
    seen = Counter()
    for row in rows:
        if row["kind"] != "ws-in":
            continue
        frame = row["body"].encode()
        event = by_name[driver.streams.route(frame)](frame, 7)
        data = json.loads(row["body"])["data"]
        seen[type(event)] += 1
        assert driver.wire_name(event.symbol) == data["s"] and event.received_ns == 7
        match event:
            case BookDelta():
                assert (event.first_update_id, event.last_update_id) == (data["U"], data["u"])
                assert [event.bids, event.asks] == [data["b"], data["a"]]
                for raw in (event.bids, event.asks):
                    assert exact(raw) == tuple((Decimal(price), Decimal(quantity)) for price, quantity in raw)
            case BookTicker():
                assert [str(event.bid), str(event.ask), event.update_id] == [data["b"], data["a"], data["u"]]
            case Candle():
                assert [str(event.close), event.closed] == [data["k"]["c"], data["k"]["x"]]
            case AggTrade():
                assert [str(event.price), event.agg_id] == [data["p"], data["a"]]

    assert sum(seen.values()) == FILES[name][1]
    assert set(seen) == {BookDelta, BookTicker, Candle, AggTrade}


def test_recorded_snapshots_and_deltas_join_without_a_gap(driver, answer, rows, name):
    """Books kept by the rule end where a plain dict, fed by hand from the same bytes, ends; best prices agree on the way."""
    table = told(driver, answer, rows).instruments
    by_name, rule = readers(driver, table), driver.book_rule
    waiting, books, ids, best = {}, {}, {}, {}
    verdicts, compared = Counter(), 0

    def apply(symbol, delta, judge):
        verdict = judge(ids[symbol], delta)
        verdicts[verdict] += 1
        assert verdict is not Continuity.GAP
        if verdict is Continuity.NEXT:
            for side, levels in zip(books[symbol], (delta.bids, delta.asks), strict=True):
                for price, quantity in exact(levels):
                    side.pop(price, None) if not quantity else side.__setitem__(price, quantity)
            ids[symbol] = delta.last_update_id

    for row in rows:
        if row["kind"] == "http" and "/depth" in row["url"]:
            venue_name = row["url"].partition("symbol=")[2].partition("&")[0]
            symbol = table.by_name(venue_name).symbol
            snapshot = driver.rest.read(DepthQuery(symbol, 1000), answer(row["body"].encode()), table)
            assert rule.joins(snapshot, waiting[symbol][0])
            books[symbol], ids[symbol] = (dict(snapshot.bids), dict(snapshot.asks)), snapshot.update_id
            for delta in waiting[symbol]:
                apply(symbol, delta, rule.first)
        elif row["kind"] == "ws-in":
            frame = row["body"].encode()
            event = by_name[driver.streams.route(frame)](frame, 7)
            if isinstance(event, BookDelta):
                if event.symbol in ids:
                    apply(event.symbol, event, rule.continuity)
                    at = best.get(event.symbol)
                    if at is not None and at.update_id == ids[event.symbol]:  # the same book, told by two streams
                        bids, asks = books[event.symbol]
                        assert (max(bids), min(asks)) == (at.bid, at.ask)
                        assert (bids[at.bid], asks[at.ask]) == (at.bid_quantity, at.ask_quantity)
                        compared += 1
                else:
                    waiting.setdefault(event.symbol, []).append(event)
            elif isinstance(event, BookTicker):
                best[event.symbol] = event  # comes before the delta that holds its update

    assert len(books) == 4 and verdicts[Continuity.NEXT] > 100
    assert all(max(bids) < min(asks) for bids, asks in books.values())
    assert compared == COMPARED[name]
