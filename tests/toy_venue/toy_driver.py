"""An invented exchange of inverse contracts, written after docs/guides/adding-an-exchange.md: everything is an array.

Its manners are none of the mock's: answers are `[code, …]` with status 200 and 0 for success, orders are answered by receipts,
trade ids say nothing, deltas name the one before, the account's events come on a connection whose address holds a key, and keys
have a passphrase. Source of all of it: this file.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from connector.books.rule import BookRule, Continuity
from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, Configure, PlaceOrder, PlaceOrderList
from connector.domain.contracts import base_units, contracts_for
from connector.domain.credentials import Credentials
from connector.domain.facts import AccountFact, BalanceReport, ListReport, OrderReport, PositionReport, StreamEnded
from connector.domain.instruments import AmountFilter, Instrument, InstrumentStatus, InstrumentTable, PriceFilter
from connector.domain.market import BookDelta, MarketEvent, OrderBook, Side, Trade
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.queries import DepthQuery, InstrumentsQuery, Query, RecentTradesQuery, ServerTimeQuery
from connector.domain.symbols import Product, Symbol
from connector.domain.topics import Topic, TopicKind
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.drivers.contract import (
    Ack,
    Capability,
    ConnectionEnding,
    Control,
    Driver,
    Environment,
    Heartbeat,
    Hosts,
    Noise,
    Refusal,
    SkippedInstrument,
    StreamLimits,
    TopicReader,
    VenueInfo,
)
from connector.drivers.trading import (
    Auth,
    CancelAnswer,
    KeyRule,
    OrderRules,
    PlaceAnswer,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    ConnectorError,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)

VENUE = "toy"
SOURCE = "The toy venue's documents, which are its driver, 2026-11"
MS = 1_000_000

# ---------------------------------------------------------------- facts

HOSTS = MappingProxyType(
    {Environment.DEMO: Hosts("https://toy.invalid", "wss://toy.invalid", events="wss://me.toy.invalid")}
)
LIMITS = (BudgetLimit("calls", 60, 6.0, False, SOURCE),)
STREAM_LIMITS = StreamLimits(
    topics_per_connection=20,
    names_per_frame=10,
    frame_spacing_s=0.1,
    connects=10,
    connects_window_s=10.0,
    max_age_s=None,
    rollover_before_s=0.0,
    server_ping_s=15.0,
    source=SOURCE,
    heartbeat=Heartbeat(25.0, b'["ping"]'),
    ack_proves=False,
)
GONE, DONE, TWICE = "31", "32", "33"
TWICE_TEXT = "that id is taken"
ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "10": "unknown",
        "11": "wait",
        "12": "clock",
        "20": "key",
        "30": "refused",
        GONE: "refused",
        DONE: "refused",
        TWICE: "refused",
    }
)

# ---------------------------------------------------------------- wire

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]
Ms = Annotated[int, msgspec.Meta(ge=0, le=1 << 43)]
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
Level = tuple[Decimal, Decimal]


class Row(msgspec.Struct, array_like=True):
    """An array whose places have names; further places are of later versions and are not looked at."""


class ContractRow(Row):
    name: str
    base: str
    size: Decimal
    tick: Decimal
    lot: Decimal
    state: str


class TapeRow(Row):
    id: str
    seq: Count
    price: Decimal
    contracts: Decimal
    side: Literal["B", "S"]
    at: Ms


class Tape(Row):
    kind: Literal["t"]
    name: str
    rows: list[TapeRow]


class Change(Row):
    kind: Literal["d"]
    name: str
    previous: Count
    last: Count
    bids: list[Level]
    asks: list[Level]
    at: Ms


class FillRow(Row):
    name: str
    id: str
    order: str
    client_id: str
    side: Literal["B", "S"]
    price: Decimal
    contracts: Decimal
    fee: Decimal
    asset: str
    role: Literal["m", "t"]
    at: Ms


class OrderRow(Row):
    name: str
    id: str
    client_id: str
    side: Literal["B", "S"]
    type: str
    state: str
    contracts: Decimal
    done: Decimal
    average: Decimal | None
    price: Decimal | None
    at: Ms
    version: Count
    fill: FillRow | None = None


class WalletRow(Row):
    asset: str
    amount: Decimal


class PositionRow(Row):
    name: str
    contracts: Decimal
    entry: Decimal | None
    unrealized: Decimal
    at: Ms


def decoded(what: str, kind: Any, raw: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as problem:
        raise WireFormatError(what, str(problem) or type(problem).__name__, bytes(raw)) from problem


def sound(what: str, *numbers: Decimal, least: int = 1) -> None:
    """`least`: 1 for numbers above zero, 0 for zero too, -1 for any sign."""
    for number in numbers:
        if not number.is_finite() or abs(number.adjusted()) > 20 or (least >= 0 and number.is_signed() and number):
            raise WireFormatError(what, f"{number!s:.40} is no amount")
        if least == 1 and not number:
            raise WireFormatError(what, "zero of something")


def side_of(letter: str) -> Side:
    return Side.BUY if letter == "B" else Side.SELL


def levels(what: str, rows: Sequence[Level], instrument: Instrument, *, removals: bool) -> tuple[Level, ...]:
    """Contracts to base units at their level's price."""
    for price, contracts in rows:
        sound(what, price)
        sound(what, contracts, least=0 if removals else 1)
    if len({price for price, _ in rows}) < len(rows):
        raise WireFormatError(what, "a price stands there twice")
    return tuple((price, base_units(instrument, contracts, price)) for price, contracts in rows)


def trade(row: TapeRow, instrument: Instrument, received_ns: int) -> Trade:
    sound("trade", row.price, row.contracts)
    quantity, side = base_units(instrument, row.contracts, row.price), side_of(row.side)
    at_ns, contracts = row.at * MS, row.contracts
    return Trade(
        VENUE, instrument.symbol, at_ns, received_ns, row.id, row.price, quantity, side, False, contracts, row.seq
    )


# ---------------------------------------------------------------- names and instruments


def wire_name(symbol: Symbol) -> str:
    if symbol.quote != "USD" or symbol.settle != symbol.base or symbol.expiry is not None:
        raise Unsupported(f"{symbol}: {VENUE} has contracts on US dollars that settle in what they are on.")
    return f"{symbol.base}x"


def instrument_of(raw: msgspec.Raw) -> Instrument:
    row: ContractRow = msgspec.json.decode(raw, type=ContractRow)
    sound("contract", row.size, row.tick, row.lot)
    symbol = Symbol(row.base, "USD", row.base)
    if wire_name(symbol) != row.name:
        raise ValueError(f"{row.name!r:.40} is not how {symbol} is called")
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        venue_name=row.name,
        status={"open": InstrumentStatus.TRADING, "shut": InstrumentStatus.HALTED}.get(
            row.state, InstrumentStatus.OTHER
        ),
        status_text=row.state,
        base_decimals=8,
        quote_decimals=2,
        order_types=("L", "M"),
        filters=(PriceFilter(row.tick, None, row.tick), AmountFilter(row.lot, None, row.lot)),
        contract_size=row.size,
    )


def name_in(raw: msgspec.Raw) -> str:
    try:
        first = msgspec.json.decode(raw, type=list[Any])[0]
        return first[:40] if isinstance(first, str) else ""
    except (*UNREADABLE, IndexError):
        return ""


# ---------------------------------------------------------------- REST


def failure(response: HttpResponse, *, write: bool) -> ConnectorError | None:
    said = f"{VENUE} answered with status {response.status}"
    unknown = OutcomeUnknown(said) if write else VenueUnavailable(said)
    if response.status != 200:
        return RateLimited(said) if response.status == 429 else unknown
    try:
        parts = msgspec.json.decode(response.body, type=list[msgspec.Raw])
        code = msgspec.json.decode(parts[0], type=int)
        text = msgspec.json.decode(parts[1], type=str)[:200] if code else ""
    except (*UNREADABLE, IndexError):
        return unknown
    if code == 0:
        return None
    said = f"{VENUE} answered with code {code}: {text}"
    match ERRORS.get(str(code)):
        case "wait":
            return RateLimited(said, retry_after_s=6.0, code=str(code))
        case "clock":
            return ClockRejected(said, code=str(code))
        case "key":
            return AuthenticationFailed(said, code=str(code))
        case "refused":
            return VenueRejected(VENUE, str(code), text)
    return OutcomeUnknown(said) if write else VenueUnavailable(said, code=str(code))


def payload(what: str, response: HttpResponse, kind: Any, *, write: bool = False) -> Any:
    """What stands behind the 0 of a success, as a tuple of `kind`."""
    error = failure(response, write=write)
    if error is not None:
        raise error
    return decoded(what, tuple[(int, *kind)], response.body)[1:]


def target(path: str, params: Sequence[tuple[str, str]]) -> HttpRequest:
    query = urlencode(params, quote_via=quote, safe="")
    return HttpRequest("GET", path, query, safe=True, charges=(Charge("calls", 1),))


class Rest:
    def request(self, query: Query) -> HttpRequest:
        match query:
            case ServerTimeQuery():
                return target("/v1/time", [])
            case InstrumentsQuery():
                return target("/v1/contracts", [])
            case RecentTradesQuery():
                return target("/v1/tape", [("name", wire_name(query.symbol)), ("n", self._rows(query.limit, 50))])
            case DepthQuery():
                return target("/v1/book", [("name", wire_name(query.symbol)), ("n", self._rows(query.limit, 25))])
        raise Unsupported(f"{VENUE} cannot be asked {type(query).__name__}.")

    def _rows(self, limit: int | None, most: int) -> str:
        if limit is not None and not 1 <= limit <= most:
            raise InvalidRequest(f"limit is {limit!r:.20}. {VENUE} gives 1 to {most} rows.")
        return str(limit or most)

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        match query:
            case ServerTimeQuery():
                return payload("time", response, (Ms,))[0] * MS
            case InstrumentsQuery():
                return self._contracts(response)
        self.request(query)  # raises what cannot be asked
        assert instruments is not None
        try:
            return self._market(query, response, instruments.require(query.symbol))  # type: ignore[union-attr]
        except UNREADABLE as problem:
            raise WireFormatError("answer", str(problem), response.body) from problem

    def _contracts(self, response: HttpResponse) -> VenueInfo:
        at, _, rows = payload("contracts", response, (Ms, str | None, list[msgspec.Raw]))
        found, skipped = [], []
        for raw in rows:
            try:
                found.append(instrument_of(raw))
            except (*UNREADABLE, ConnectorError) as problem:
                skipped.append(SkippedInstrument(name_in(raw), str(problem)[:200]))
        return VenueInfo(InstrumentTable(VENUE, found), (), at * MS, tuple(skipped))

    def _market(self, query: Query, response: HttpResponse, instrument: Instrument) -> Any:
        at_ns = response.received_ns
        if isinstance(query, RecentTradesQuery):
            (rows,) = payload("tape", response, (list[TapeRow],))
            return tuple(trade(row, instrument, at_ns) for row in sorted(rows, key=lambda row: row.seq))
        last, at, bids, asks = payload("book", response, (Count, Ms, list[Level], list[Level]))
        sides = [levels("book", rows, instrument, removals=False) for rows in (bids, asks)]
        ordered = [sorted(side, reverse=best) for side, best in zip(sides, (True, False), strict=True)]
        if [list(side) for side in sides] != ordered:
            raise WireFormatError("book", "levels are not best first", response.body)
        return OrderBook(VENUE, instrument.symbol, at * MS, at_ns, last, sides[0], sides[1])

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failure(response, write=write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        if not isinstance(query, InstrumentsQuery):
            return None
        try:
            after = payload("contracts", response, (Ms, str | None, list[msgspec.Raw]))[1]
        except ConnectorError:
            return None
        return None if after is None else target("/v1/contracts", [("after", after)])

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        found = [each for part in parts for each in part.instruments.values()]
        skipped = tuple(each for part in parts for each in part.skipped)
        return VenueInfo(InstrumentTable(VENUE, found), (), parts[-1].server_time_ns, skipped)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return {}


# ---------------------------------------------------------------- streams

LETTERS = {TopicKind.TRADES: "t", TopicKind.BOOK: "d"}
ROUTE = re.compile(rb'\["([td])","([A-Za-z0-9]+)",')


class Streams:
    limits = STREAM_LIMITS

    def group(self, topic: Topic) -> str:
        return "tape" if self.name(topic)[0] == "t" else "books"

    def url(self, hosts: Hosts, group: str = "") -> str:
        return f"{hosts.public_stream}/{group}"

    def name(self, topic: Topic) -> str:
        letter = LETTERS.get(topic.kind)
        if letter is None:
            raise Unsupported(f"{VENUE} has no stream of {topic.kind.value}.")
        if topic.speed_ms is not None or topic.depth is not None:
            raise InvalidRequest(f"{topic}: {VENUE} offers no choice of depth or speed. Leave both away.")
        return f"{letter}:{wire_name(topic.symbol)}"

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode(["join", *names])

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode(["leave", *names])

    def route(self, frame: bytes) -> bytes | None:
        found = ROUTE.match(frame)
        return None if found is None else found[1] + b":" + found[2]

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        name = self.name(topic)
        if name != f"{LETTERS[topic.kind]}:{instrument.venue_name}":
            raise InvalidRequest(f"{topic} is not about {instrument.symbol}.")
        symbol = instrument.symbol
        decoder = msgspec.json.Decoder(Tape if topic.kind is TopicKind.TRADES else Change)

        def read(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent]:
            try:
                said: Any = decoder.decode(frame)
                if said.name != instrument.venue_name:
                    raise WireFormatError(name, f"frame of {said.name!r:.40}", frame)
                if isinstance(said, Tape):
                    return [trade(row, instrument, received_ns) for row in said.rows]
                if said.last <= said.previous:
                    raise WireFormatError(name, "updates run backwards", frame)
                bids, asks = (levels(name, rows, instrument, removals=True) for rows in (said.bids, said.asks))
                first, last, before = said.previous + 1, said.last, said.previous
                return BookDelta(VENUE, symbol, said.at * MS, received_ns, first, last, bids, asks, before)
            except UNREADABLE as problem:
                raise WireFormatError(name, str(problem) or type(problem).__name__, frame) from problem

        return read

    def control(self, frame: bytes) -> Control:
        try:
            said = msgspec.json.decode(frame, type=list[Any])
        except UNREADABLE:
            return Noise("unreadable frame", known=False)
        match said:
            case ["ok", list(), *_]:
                return Ack(None)
            case ["no", int(code), str(text), *_]:
                body = msgspec.json.encode([code, text]) if abs(code) < 1 << 53 else b""
                error = failure(HttpResponse(200, {}, body, 0, 0), write=False)
                return Refusal(None, error or VenueUnavailable(f"{VENUE} refused, and gave no reason"))
            case ["bye", str(why), *_]:
                return ConnectionEnding(why[:80])
            case ["pong", *_]:
                return Noise("pong", known=True)
            case [str(kind), *_]:
                return Noise(f"kind {plain(kind)}", known=False)
        return Noise("frame of an unknown form", known=False)


def plain(text: str) -> str:
    return "".join(sign for sign in text[:30] if sign.isascii() and sign.isalnum())


# ---------------------------------------------------------------- books: each delta names the one before


def continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.previous_update_id == update_id else Continuity.GAP


def first(update_id: int, delta: BookDelta) -> Continuity:
    """A snapshot may lie inside a delta, whose numbers are absolute."""
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.GAP if delta.first_update_id > update_id + 1 else Continuity.NEXT


RULE = BookRule(
    snapshot_limit=25,
    continuity=continuity,
    joins=lambda snapshot, delta: snapshot.update_id >= delta.first_update_id - 1,
    first=first,
    source=SOURCE,
)

# ---------------------------------------------------------------- the account's facts

CLIENT_ID = r"[a-zA-Z0-9]{1,24}"
TYPES = {"L": OrderType.LIMIT, "M": OrderType.MARKET}
STATES = {
    "live": OrderStatus.NEW,
    "part": OrderStatus.PARTIALLY_FILLED,
    "done": OrderStatus.FILLED,
    "cut": OrderStatus.CANCELED,
    "late": OrderStatus.EXPIRED,
}


def fill_fact(row: FillRow, table: InstrumentTable, received_ns: int) -> Fill:
    instrument = listed(row.name, table)
    sound("fill", row.price, row.contracts)
    sound("fill", row.fee, least=-1)
    return Fill(
        VENUE,
        instrument.symbol,
        row.at * MS,
        received_ns,
        row.id,
        row.client_id,
        row.order,
        side_of(row.side),
        row.price,
        base_units(instrument, row.contracts, row.price),
        row.fee,
        row.asset,
        row.role == "m",
        contracts=row.contracts,
    )


def order_fact(row: OrderRow, table: InstrumentTable, received_ns: int) -> OrderReport:
    instrument = listed(row.name, table)
    sound("order", row.contracts)
    sound("order", row.done, least=0)
    sound("order", *(price for price in (row.average, row.price) if price is not None))
    if row.done > row.contracts or (row.done and row.average is None):
        raise WireFormatError("order", f"{row.done} of {row.contracts} are done at {row.average}")
    at = row.price or row.average
    return OrderReport(
        venue=VENUE,
        symbol=instrument.symbol,
        event_time_ns=row.at * MS,
        received_ns=received_ns,
        client_id=row.client_id,
        venue_id=row.id,
        side=side_of(row.side),
        type=TYPES.get(row.type, OrderType.OTHER),
        type_text=row.type,
        time_in_force=TimeInForce.GTC,
        status=STATES.get(row.state),
        status_text=row.state,
        quantity=Decimal(0) if at is None else base_units(instrument, row.contracts, at),
        filled=Decimal(0) if row.average is None else base_units(instrument, row.done, row.average),
        price=row.price,
        version=row.version,
        fill=None if row.fill is None else fill_fact(row.fill, table, received_ns),
        contracts=row.contracts,
        filled_contracts=row.done,
    )


def position_fact(row: PositionRow, table: InstrumentTable, received_ns: int) -> Position:
    instrument = listed(row.name, table)
    sound("position", row.contracts, row.unrealized, least=-1)
    entry = row.entry if row.contracts else None
    if row.contracts and entry is None:
        raise WireFormatError("position", "a position without a price")
    if entry is not None:
        sound("position", entry)
    quantity = Decimal(0) if entry is None else base_units(instrument, row.contracts, entry)
    return Position(
        VENUE,
        instrument.symbol,
        row.at * MS,
        received_ns,
        PositionSide.NET,
        quantity,
        entry,
        unrealized=row.unrealized,
        contracts=row.contracts,
    )


def wallet_fact(rows: Sequence[WalletRow], at: int, received_ns: int, *, complete: bool) -> BalanceReport:
    for row in rows:
        sound("wallet", row.amount, least=-1)
    held = tuple((row.asset, row.amount, Decimal(0)) for row in rows)  # a margin account: nothing is locked
    return BalanceReport(VENUE, at * MS, received_ns, held, complete)


def listed(name: str, table: InstrumentTable) -> Instrument:
    found = table.by_name(name)
    if found is None:
        raise WireFormatError("account", f"{name!r:.40} is not listed")
    return found


# ---------------------------------------------------------------- signed calls


class Trading:
    rules = OrderRules(
        client_id=CLIENT_ID,
        client_id_length=24,
        recv_window_ms=3_000,
        backend_s=2.0,
        visible_after_s=1.0,
        lists=frozenset(),
        amends=frozenset(),
        source=SOURCE,
        ack_is_receipt=True,
        fill_ids_counted=False,
        since_s=7 * 86_400.0,
    )
    limits: tuple[BudgetLimit, ...] = ()
    not_open_codes = frozenset({GONE, DONE})
    duplicate_id_texts = frozenset({TWICE_TEXT})

    def auth(self, credentials: Credentials) -> Auth:
        secret, passphrase = credentials.reveal("secret"), credentials.reveal("passphrase")
        if secret is None or passphrase is None:
            raise SettingsError(f"{VENUE} wants the secret of an HMAC key and its passphrase.")

        def sign(text: str) -> str:
            return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha512).digest()).decode()

        return Auth(credentials.key, sign, "hmac", lambda: passphrase)

    def _signed(
        self, method: str, path: str, auth: Auth, now_ms: int, params: Any = (), body: Any = None
    ) -> HttpRequest:
        query = urlencode(params, quote_via=quote, safe="")
        content = b"" if body is None else msgspec.json.encode(body)
        where = f"{path}?{query}" if query else path
        headers = {
            "Toy-Key": auth.key,
            "Toy-Pass": auth.passphrase() if auth.passphrase is not None else "",
            "Toy-Time": str(now_ms),
            "Toy-Sign": auth.sign(f"{now_ms}|{method}|{where}|{content.decode()}"),
        }
        return HttpRequest(method, path, query, content, headers, method == "GET", (Charge("calls", 1),))

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        if order.symbol != instrument.symbol:
            raise InvalidRequest(f"the command is about {order.symbol}, the instrument is {instrument.symbol}.")
        letter = {kind: word for word, kind in TYPES.items()}.get(order.type)
        plain_order = PlaceOrder(
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            price=order.price,
            contracts=order.contracts,
            client_id=order.client_id,
        )
        if (
            letter is None
            or order.time_in_force not in (None, TimeInForce.GTC)
            or plain_order != msgspec.structs.replace(order, time_in_force=None)
        ):
            raise Unsupported(f"{VENUE} has limit and market orders, good till cancelled, and nothing besides.")
        if (order.price is None) is (letter == "L"):
            raise InvalidRequest(f"{order.type.value}: a limit order has a price, a market order has none.")
        if not re.fullmatch(CLIENT_ID, client_id, re.ASCII):
            raise InvalidRequest(f"client id {client_id!r:.40}: {VENUE} takes 1 to 24 letters and digits.")
        contracts = self._contracts(order, instrument)
        side = "B" if order.side is Side.BUY else "S"
        price = None if order.price is None else self._plain("price", order.price)
        return self._signed(
            "POST", "/v1/orders", auth, now_ms, body=[instrument.venue_name, side, letter, contracts, price, client_id]
        )

    def _contracts(self, order: PlaceOrder, instrument: Instrument) -> str:
        if (order.contracts is None) is (order.quantity is None):
            raise InvalidRequest("an order has a quantity or contracts, and one of them.")
        if order.contracts is not None:
            return self._plain("contracts", order.contracts)
        if order.price is None:
            raise InvalidRequest("a market order on an inverse contract is counted in contracts.")
        assert order.quantity is not None
        self._plain("price", order.price)
        contracts = contracts_for(instrument, order.quantity, order.price)
        if contracts != contracts.to_integral_value():
            raise InvalidRequest(f"{order.quantity} are {contracts:.4f} contracts; they are traded whole.")
        return self._plain("quantity", contracts.to_integral_value())

    def _plain(self, name: str, value: Decimal) -> str:
        if not value.is_finite() or value <= 0:
            raise InvalidRequest(f"{name} is {value!s:.40}; {VENUE} takes numbers above zero.")
        return format(value, "f")

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        raise Unsupported(f"{VENUE} has no order lists.")

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        return self._signed("DELETE", "/v1/orders", auth, now_ms, [("mine", order.client_id)])

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        raise Unsupported(f"{VENUE} amends nothing. Cancel the order and place another.")

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        which = ("mine", client_id) if client_id is not None else ("id", venue_id or "")
        return self._signed("GET", "/v1/order", auth, now_ms, [which])

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/v1/orders", auth, now_ms, self._of(instrument))

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        more = (("after", from_id), ("since", None if start_ns is None else str(start_ns // MS)), ("order", venue_id))
        params = [*self._of(instrument), *((name, value) for name, value in more if value is not None)]
        return self._signed("GET", "/v1/fills", auth, now_ms, params)

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/v1/history", auth, now_ms, [*self._of(instrument), ("since", str(start_ns // MS))])

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/v1/wallet", auth, now_ms)

    def _of(self, instrument: Instrument | None) -> list[tuple[str, str]]:
        return [] if instrument is None else [("name", instrument.venue_name)]

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        if request.path not in ("/v1/orders", "/v1/history", "/v1/fills"):
            return None
        after = payload("page", response, (str | None, msgspec.Raw))[0]
        if after is None:
            return None
        params = dict(parse_qsl(request.query)) | {"page": after}
        return self._signed("GET", request.path, auth, now_ms, list(params.items()))

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        return None

    # ------------------------------------------------------------ answers

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        return PlaceAnswer(None, (), payload("receipt", response, (str,), write=True)[0])

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        raise Unsupported(f"{VENUE} has no order lists.")

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        payload("receipt", response, (str,), write=True)
        return CancelAnswer(None)

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        raise Unsupported(f"{VENUE} amends nothing.")

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        error = failure(response, write=False)
        if isinstance(error, VenueRejected) and error.code == GONE:
            return None
        (row,) = payload("order", response, (OrderRow,))
        return self._facts(order_fact, [row], InstrumentTable(VENUE, [instrument]), response)[0]  # type: ignore[no-any-return]

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        _, rows = payload("orders", response, (str | None, list[OrderRow]))
        known = [row for row in rows if instruments.by_name(row.name) is not None]
        return self._facts(order_fact, known, instruments, response)

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        _, rows = payload("fills", response, (str | None, list[FillRow]))
        rows.sort(key=lambda row: row.at)
        return self._facts(fill_fact, rows, InstrumentTable(VENUE, [instrument]), response)

    def _facts(
        self, make: Callable[..., Any], rows: Sequence[Any], table: InstrumentTable, response: HttpResponse
    ) -> Any:
        try:
            return tuple(make(row, table, response.received_ns) for row in rows)
        except UNREADABLE as problem:
            raise WireFormatError("account", str(problem), response.body) from problem

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        at, rows = payload("wallet", response, (Ms, list[WalletRow]))
        return wallet_fact(rows, at, response.received_ns, complete=True)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        raise Unsupported(f"{VENUE} does not tell how many orders were placed.")

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failure(response, write=write)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return {}

    # ------------------------------------------------------------ positions

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        return (self._signed("GET", "/v1/positions", auth, now_ms),)

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        found: list[Position] = []
        for response in responses:
            at, rows = payload("positions", response, (Ms, list[PositionRow]))
            found += self._facts(position_fact, rows, instruments, response)
        return PositionReport(VENUE, at * MS, responses[-1].received_ns, tuple(found), complete=True)

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        raise Unsupported(f"{VENUE} has no funding.")

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]:
        raise Unsupported(f"{VENUE} has no funding.")

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        raise Unsupported(f"{VENUE} has nothing to set; leverage follows from the size of a position.")

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        raise Unsupported(f"{VENUE} has nothing to set.")


TRADING = Trading()

# ---------------------------------------------------------------- the account's events


class Events:
    max_age_s: float | None = 3_600.0
    rollover_before_s = 60.0
    key = KeyRule(
        open=lambda auth: HttpRequest("POST", "/v1/key", headers={"Toy-Key": auth.key}, charges=(Charge("calls", 1),)),
        read=lambda response: payload("key", response, (str,))[0],
        renew=lambda key, auth: HttpRequest("PUT", "/v1/key", f"key={key}", charges=(Charge("calls", 1),)),
        renew_every_s=900.0,
    )

    def url(self, hosts: Hosts, key: str = "") -> str:
        return f"{hosts.events_root}/{key}"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return ()

    def probe(self, request_id: str) -> SessionRequest | None:
        return None

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            parts = msgspec.json.decode(frame, type=list[msgspec.Raw])
            kind = msgspec.json.decode(parts[0], type=str)
        except (*UNREADABLE, IndexError):
            return SessionNoise("unreadable frame", known=False)
        if kind == "pong":
            return SessionNoise("pong", known=True)
        try:
            if kind == "bye":
                return SessionEnding(msgspec.json.decode(parts[1], type=str)[:80])
            fact = self._fact(kind, parts, received_ns, instruments)
        except (*UNREADABLE, ConnectorError, IndexError):
            return SessionNoise(f"unreadable {plain(kind)}", known=False)
        return SessionNoise(f"kind {plain(kind)}", known=False) if fact is None else SessionEvents((fact,))

    def _fact(self, kind: str, parts: list[msgspec.Raw], at_ns: int, table: InstrumentTable) -> AccountFact | None:
        match kind:
            case "o":
                return order_fact(msgspec.json.decode(parts[1], type=OrderRow), table, at_ns)
            case "f":
                return fill_fact(msgspec.json.decode(parts[1], type=FillRow), table, at_ns)
            case "w":
                rows = msgspec.json.decode(parts[2], type=list[WalletRow])
                return wallet_fact(rows, msgspec.json.decode(parts[1], type=Ms), at_ns, complete=False)
            case "p":
                found = msgspec.json.decode(parts[2], type=list[PositionRow])
                at = msgspec.json.decode(parts[1], type=Ms)
                positions = tuple(position_fact(row, table, at_ns) for row in found)
                return PositionReport(VENUE, at * MS, at_ns, positions, complete=False)
            case "gone":
                return StreamEnded("the key is not valid any more")
        return None


# ---------------------------------------------------------------- the driver

TOY = Driver(
    name=VENUE,
    products=frozenset({Product.INVERSE}),
    hosts=HOSTS,
    rest=Rest(),
    streams=Streams(),
    limits=LIMITS,
    book_rule=RULE,
    capabilities=frozenset(
        [Capability("query", name) for name in ("server time", "instruments", "recent trades", "depth")]
        + [Capability("stream", kind.value) for kind in LETTERS]
        + [Capability("environment", environment.value) for environment in HOSTS]
        + [Capability("order", kind.value, "in contracts") for kind in TYPES.values()]
        + [Capability("command", name, "answered by a receipt") for name in ("place", "cancel")]
        + [
            Capability("account", name)
            for name in ("order", "open orders", "fills", "orders since", "balances", "positions")
        ]
        + [
            Capability("account", "events", "own connection, with a key"),
            Capability("key", "hmac", "with a passphrase"),
        ]
    ),
    wire_name=wire_name,
    error_codes=ERRORS,
    trading=TRADING,
    events=Events(),
    positions=TRADING,
    trade_ids="opaque",
    trade_limit=50,
)
