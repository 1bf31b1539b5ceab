"""What crosses between two processes arrives as it was sent, or is refused where it was meant."""

from __future__ import annotations

import pickle
import threading
from decimal import Decimal

import msgspec
import pytest

from connector import Symbol
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    Evidence,
    OrderOutcome,
    OutcomeKind,
    PlaceBatch,
    PlaceOrder,
)
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    Gap,
    Liquidation,
    MarkPrice,
    OrderBook,
    Side,
    Ticker,
    Trade,
)
from connector.domain.orders import OrderType
from connector.domain.topics import Topic, TopicKind
from connector.errors import ConnectorError, InvalidRequest, OutcomeUnknown, RateLimited, UnknownSymbol, VenueRejected
from connector.isolation.line import READ_BYTES, Line, LineEnded, pair
from connector.isolation.wire import (
    Tag,
    Void,
    Whole,
    decoders,
    encode_notice,
    encoder,
    facts_packet,
    flat_error,
    opened,
    raised_error,
    read_facts,
    read_reply,
    reply_packet,
    seal,
)
from connector.orders.lifecycle import IntentRecord, new_record
from connector.supervision import Restarted
from connector.venue.delivery import TopicState, TopicStatus
from connector.venue.state import GetInstrument
from connector.venue.stream import StreamStatus

BTC_USDT = Symbol("BTC", "USDT")
D = Decimal
HEAD = ("binance", BTC_USDT, 1_760_000_000_123_000_000, 1_760_000_000_125_000_001)
LEVELS = ((D("100.10"), D("0.5")), (D("100.00"), D("2")))
VALUES = {
    TopicKind.TRADES: Trade(*HEAD, 7, D("100.10"), D("0.50"), Side.SELL, True, None, 9),
    TopicKind.AGG_TRADES: AggTrade(*HEAD, 7, D("100.10"), D("0.5"), Side.BUY, 1, 3),
    TopicKind.CANDLES: Candle(*HEAD, "1m", 1, 2, D(1), D(3), D(1), D(2), D(10), True, D(20)),
    TopicKind.TICKER: Ticker(*HEAD, D(1), None, None, D(2), D(3), D(1), D(1), D(1), D(9), D(9)),
    TopicKind.BOOK_TICKER: BookTicker("binance", BTC_USDT, None, 5, D(1), D(2), D(3), D(4), 6),
    TopicKind.PARTIAL_BOOK: OrderBook(*HEAD, 6, LEVELS, ()),
    TopicKind.BOOK: BookDelta(*HEAD, 6, 8, [("100.10", "0.50")], [("100.20", "0")], 5),
    TopicKind.MARK_PRICE: MarkPrice(*HEAD, D("1.5")),
    TopicKind.LIQUIDATIONS: Liquidation(*HEAD, Side.BUY, D(1), D(2)),
}


def topic_of(kind: TopicKind) -> Topic:
    return Topic(
        kind, BTC_USDT, "1m" if kind is TopicKind.CANDLES else None, 5 if kind is TopicKind.PARTIAL_BOOK else None
    )


@pytest.mark.parametrize("kind", TopicKind)
def test_a_value_of_every_kind_of_topic_arrives_as_it_was_sent(kind):
    topic, value = topic_of(kind), VALUES[kind]
    packet = facts_packet(1.5, [(3, Tag.VALUES, encoder(topic)([value, value]))])
    at_s, ((number, tag, payload),) = read_facts(memoryview(packet))

    assert (at_s, number, tag) == (1.5, 3, Tag.VALUES)
    found = decoders("binance", topic)[tag](payload)
    assert found == [value, value] and type(found[0]) is type(value)
    assert str(found) == str([value, value])


def test_levels_of_a_delta_made_of_numbers_arrive_as_text_of_the_same_digits():
    topic = topic_of(TopicKind.BOOK)
    (found,) = decoders("binance", topic)[0](encoder(topic)([BookDelta(*HEAD, 6, 8, LEVELS, (), 5)]))

    assert list(found.bids) == [("100.10", "0.5"), ("100.00", "2")]


def test_notices_arrive_as_they_were_sent():
    topic = topic_of(TopicKind.BOOK)
    read = decoders("binance", topic)
    gap = Gap("binance", str(topic), 1, 2, "lost", 3, 4, 2, 1)
    status = TopicStatus("binance", topic, TopicState.STALE, "why", 5, 6)
    whole = Whole.of(OrderBook(*HEAD, 6, LEVELS, ()), (-1, 1 << 200))

    assert read[Tag.GAP](encode_notice(gap)) == gap
    assert read[Tag.STATUS](encode_notice(status)) == status
    assert read[Tag.VOID](encode_notice(Void("invalid", "why"))) == Void("invalid", "why")
    assert read[Tag.WHOLE](encode_notice(whole)) == whole and whole.reach == (-1, 1 << 200)


@pytest.mark.parametrize(
    "error",
    [
        UnknownSymbol("NO/SUCH", "binance", ("BTC/USDT",)),
        VenueRejected("binance", "-2010", "no funds", status=400),
        RateLimited("wait", retry_after_s=2.5),
        Restarted("gone"),
        KeyError("x"),
    ],
)
def test_an_error_arrives_as_the_same_class_with_everything_it_says(error):
    error.__cause__ = ValueError("why")
    _, value, found = read_reply(memoryview(reply_packet(7, None, error)))

    assert value is None and type(found) is type(error) and str(found) == str(error)
    assert vars(found) == vars(error)
    assert repr(found.__cause__) == repr(error.__cause__)


def test_an_error_of_a_class_nobody_else_knows_arrives_as_its_text():
    class Mine(Exception):
        pass

    found = raised_error(pickle.loads(pickle.dumps(flat_error(Mine("in words", threading.Lock())))))

    assert type(found) is ConnectorError
    assert "Mine" in str(found) and "in words" in str(found) and "lock" in str(found)


def test_what_cannot_leave_its_process_is_refused_in_words():
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        seal(lambda: None)
    number, _, error = read_reply(memoryview(reply_packet(7, threading.Lock(), None)))

    assert number == 7 and isinstance(error, InvalidRequest) and "cannot leave" in str(error)


LIMIT = PlaceOrder(
    symbol=BTC_USDT, side=Side.BUY, type=OrderType.LIMIT, quantity=D("0.10"), price=D("6E+4"), client_id="mine"
)
ORDER = new_record(IntentRecord.of(LIMIT, venue="binance", client_id="mine", at_ns=1, recv_window_ms=5_000)).order


@pytest.mark.parametrize(
    "said",
    [
        LIMIT,
        CancelOrder(symbol=BTC_USDT, client_id="mine"),
        AmendOrder(symbol=BTC_USDT, client_id="mine", quantity=D("0E-8")),
        PlaceBatch(orders=(LIMIT, LIMIT)),
        GetInstrument(BTC_USDT),
        OrderOutcome(OutcomeKind.UNKNOWN, "mine", ORDER, evidence=(Evidence(1, "journal", "written"),)),
        StreamStatus,
        StreamStatus(1, 2, 3, 4, 5, 6, 7),
        {"of": "an engine's own"},
        None,
    ],
    ids=lambda said: said.__name__ if isinstance(said, type) else type(said).__name__,
)
def test_messages_and_answers_arrive_exactly_as_they_were(said):
    for _ in range(2):
        found = opened(memoryview(seal(said)))
        number, answer, error = read_reply(memoryview(reply_packet(7, said, None)))
        assert found == answer == said and type(found) is type(said) and (number, error) == (7, None)
        assert repr(found) == repr(said), "with every digit that was written"


def test_a_field_that_is_not_what_its_type_says_is_refused_in_words_and_as_an_answer_leaves_the_effect_unknown():
    with pytest.raises(InvalidRequest, match=r"PlaceOrder holds a field of another type.*symbol"):
        opened(memoryview(seal(msgspec.structs.replace(LIMIT, symbol="BTC/USDT"))))
    _, _, error = read_reply(memoryview(reply_packet(7, OrderOutcome(OutcomeKind.ACCEPTED, 5, None), None)))
    assert isinstance(error, OutcomeUnknown)


# ---------------------------------------------------------------- the line


@pytest.fixture
def ends():
    """Two lines over one pair, the writer of the first on a thread."""
    one, other = (Line(end) for end in pair())
    writer = threading.Thread(target=one.write, name="writer")
    writer.start()
    yield one, other
    for line in (one, other):
        line.abandon()
    other.shutdown()
    other.write()
    writer.join(5.0)
    assert not writer.is_alive()


def test_packets_of_any_size_arrive_whole_and_in_order(ends):
    one, other = ends
    sizes = [0, 1, 3, 4, 5, READ_BYTES - 4, READ_BYTES, 3 * READ_BYTES + 1, 7, 0, 2 * READ_BYTES]
    for number, size in enumerate(sizes * 3):
        one.send(bytes([number]) * size)

    for number, size in enumerate(sizes * 3):
        assert bytes(other.take(5.0)) == bytes([number]) * size
    with pytest.raises(TimeoutError):
        other.take(0.0)
    assert one.backlog == 0


def test_sending_never_waits_and_what_waits_is_counted(ends):
    one, other = ends
    for _ in range(100):
        one.send(b"x" * 100_000)

    assert one.backlog > 0
    assert not other.is_ended and other.has_unread()
    for _ in range(100):
        assert len(other.take(5.0)) == 100_000


def test_the_end_of_one_side_ends_the_other_after_what_was_sent(ends):
    one, other = ends
    one.send(b"last")
    one.shutdown()

    assert bytes(other.take(5.0)) == b"last"
    assert other.take(5.0) is None and other.take() is None and other.is_ended
    with pytest.raises(LineEnded):
        other.send(b"too late")
    with pytest.raises(LineEnded):
        one.send(b"too late")
