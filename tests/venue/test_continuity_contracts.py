"""What follows what on topics of contracts, and on trades whose ids say nothing."""

import dataclasses
from decimal import Decimal

from msgspec.structs import replace

from connector.domain import Liquidation, MarkPrice, Side, Symbol, Topic, TopicKind, Trade
from connector.domain.queries import MarkPricesQuery, RecentTradesQuery
from connector.drivers.registry import find_driver
from connector.venue.continuity import CONTINUITY, OPAQUE_TRADES, continuity_of

BTC = Symbol("BTC", "USDT")
ONE = Decimal(1)
TRADES = Topic(TopicKind.TRADES, BTC)


def trade(number):
    return Trade("venue", BTC, number, 0, number, ONE, ONE, Side.BUY)


PERP = Symbol("BTC", "USDT", "USDT")


def mark(price, at_ns=1):
    return MarkPrice("venue", PERP, at_ns, at_ns, Decimal(price))


def test_a_silent_mark_price_is_compared_with_the_venues():
    rules = CONTINUITY[TopicKind.MARK_PRICE]
    topic = Topic(TopicKind.MARK_PRICE, PERP)
    assert rules.probe(topic) == MarkPricesQuery((PERP,))
    assert rules.shows_newer(mark("100"), (mark("100.1", 9),))
    assert not rules.shows_newer(mark("100"), (mark("100.0", 9),))
    assert not rules.shows_newer(mark("100"), ())
    assert rules.missing is None


def test_silence_about_liquidations_proves_nothing_and_two_of_one_moment_are_two():
    rules = CONTINUITY[TopicKind.LIQUIDATIONS]
    assert rules.probe is None
    one, other = (Liquidation("venue", PERP, 5, 5, side, ONE, ONE) for side in (Side.BUY, Side.SELL))
    assert rules.key(one) == rules.key(other)
    assert rules.distinct(one) != rules.distinct(other)
    assert rules.distinct(one) == rules.distinct(replace(one, received_ns=9))


def test_trades_whose_ids_say_nothing_are_ordered_by_sequence_and_told_apart_by_id():
    first, second = (replace(trade(0), trade_id=name, sequence=7) for name in ("x", "a"))
    assert OPAQUE_TRADES.key(first) == OPAQUE_TRADES.key(second) == 7
    assert OPAQUE_TRADES.distinct(first) != OPAQUE_TRADES.distinct(second)
    later = replace(first, sequence=9)
    hole = OPAQUE_TRADES.missing(TRADES, first, later)
    assert (hole.count, hole.query) == (None, RecentTradesQuery(BTC))
    assert OPAQUE_TRADES.after_loss, "a jump of the sequence alone shows no hole"
    assert OPAQUE_TRADES.missing(TRADES, first, replace(later, sequence=None)) is None
    assert OPAQUE_TRADES.shows_newer(first, (later,))
    assert not OPAQUE_TRADES.shows_newer(later, (first,))


def test_the_rules_of_trades_are_the_drivers_choice():
    counted = find_driver("binance")
    opaque = dataclasses.replace(counted, trade_ids="opaque")
    assert continuity_of(counted, TopicKind.TRADES) is CONTINUITY[TopicKind.TRADES]
    assert continuity_of(opaque, TopicKind.TRADES) is OPAQUE_TRADES
    assert continuity_of(opaque, TopicKind.BOOK) is CONTINUITY[TopicKind.BOOK]
