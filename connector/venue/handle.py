"""One venue as an engine sees it: subscribe, ask, look. The same object over every restart of the actors behind it.

All methods are safe on any thread and run on the caller's; what blocks takes a timeout. Data is handed over by the feeds, not
by this class.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
import pykka

from connector.domain.account import Balance, FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import Configure, Evidence, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import (
    AggTrade,
    BookTicker,
    Candle,
    Freshness,
    FundingRate,
    MarkPrice,
    OpenInterest,
    OrderBook,
    Price,
    Ticker,
    Trade,
)
from connector.domain.orders import Fill, Order
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Symbol
from connector.domain.topics import Topic, TopicKind
from connector.errors import BookNotValid, InvalidRequest, NotConnected, Unsupported
from connector.orders.lifecycle import Event
from connector.supervision import StableProxy, StableRef
from connector.telemetry.diagnostics import VenueDiagnostics
from connector.venue.account_side import (
    CompareAccount,
    ExplainOrder,
    GetBalance,
    GetBalances,
    GetFills,
    GetFundingPayments,
    GetOpenOrders,
    GetOrder,
    GetOrderByVenueId,
    GetOrderHistory,
    GetPosition,
    GetPositions,
)
from connector.venue.book_feed import BookFeed
from connector.venue.delivery import Overflow, Subscription, TopicState
from connector.venue.memory import VenueMemory
from connector.venue.messages import SubscriptionsChanged
from connector.venue.order_events import OrderSubscription
from connector.venue.state import GetInstrument, GetInstruments

__all__ = ["TopicSnapshot", "VenueHandle", "VenueSnapshot"]


class TopicSnapshot(msgspec.Struct, frozen=True):
    """One topic at a glance. `values` were handed over, `recovered` of them fetched after an outage."""

    topic: Topic
    state: TopicState
    freshness: Freshness
    consumers: int
    values: int
    duplicates: int
    gaps: int
    recovered: int
    unreadable: int
    book: str = ""


class VenueSnapshot(msgspec.Struct, frozen=True):
    """One venue at a glance. `counters` and `alarms` (surprises by kind, each logged once) are since the Connector was made.

    Attributes:
        health: how reads, orders and cancels go: "closed" is well, "open for 3.2s, …" is not. See `connector.venue.health`.
    """

    name: str
    instruments: int
    topics: tuple[TopicSnapshot, ...]
    counters: dict[str, int]
    alarms: dict[str, int]
    budget: str
    health: dict[str, str]


class VenueHandle:
    """What `Connector.venue(name)` returns.

    Attributes:
        name: of the venue, as in its settings.
    """

    def __init__(self, memory: VenueMemory, find: Callable[[str], StableRef]) -> None:
        self.name = memory.name
        self._memory, self._find = memory, find

    # ------------------------------------------------------------ actors

    @property
    def exchange(self) -> StableRef:
        """The exchange actor. References stay valid over restarts; `ask`, `tell` and `proxy()` work as in Pykka."""
        return self._find(f"/{self.name}")

    @property
    def rest(self) -> StableRef:
        return self._find(f"/{self.name}/rest")

    @property
    def stream(self) -> StableRef:
        return self._find(f"/{self.name}/stream")

    @property
    def state(self) -> StableRef:
        return self._find(f"/{self.name}/state")

    @property
    def orders(self) -> StableRef:
        return self._find(f"/{self.name}/orders")

    # ------------------------------------------------------------ streams

    def subscribe(
        self,
        kind: TopicKind | str,
        symbol: Symbol | str,
        *,
        interval: str | None = None,
        depth: int | None = None,
        speed_ms: int | None = None,
        callback: Callable[[Any], object] | None = None,
        inbox: StableRef | StableProxy | Any = None,
        capacity: int = 10_000,
        overflow: Overflow | str = Overflow.REPORT_GAP,
        notices: bool = False,
    ) -> Subscription:
        """Listen to one stream of one instrument, from now until closed, over every reconnect and restart.

        Args:
            kind: TopicKind or its text: "trades", "agg_trades", "candles", "ticker", "book_ticker", "partial_book", "book", and
                of contracts "mark_price", "liquidations".
            symbol: e.g. "BTC/USDT".
            interval: candles only, e.g. "1m". depth: books only. speed_ms: None takes the venue's fastest.
            callback: called with every value on the reader thread of the connection: must return fast, must not block.
            inbox: an actor (any Pykka ActorRef) that is told every value.
            capacity, overflow: of the queue read by `Subscription.get`, when neither callback nor inbox is given.
            notices: deliver `Gap` and `TopicStatus` values too, in their place between the data.

        Returns:
            Subscription: at once; data follows when the venue is connected (`Subscription.wait_live`).

        Raises:
            NotConnected: the connector was stopped.
            UnknownSymbol, InvalidRequest, Unsupported: known to be wrong now. A symbol given before the instrument list
                has arrived is checked when it does; the subscription's state then turns REFUSED.
        """
        if callback is not None and inbox is not None:
            raise InvalidRequest("give a callback or an inbox, not both; subscribe twice to have both.")
        if capacity < 1:
            raise InvalidRequest(f"capacity is {capacity}; a queue holds 1 value or more.")
        topic = Topic(_member(TopicKind, kind), Symbol.parse(symbol), interval, depth, speed_ms)
        feed = self._memory.feed(topic)
        subscription = Subscription(
            feed,
            self._memory.clock,
            callback=callback if inbox is None else inbox.tell,
            into_inbox=inbox is not None,
            capacity=capacity,
            overflow=_member(Overflow, overflow),
            notices=notices,
            on_close=self._changed,
        )
        feed.attach(subscription)
        if self._memory.closed:  # looked at after attaching: a stop meanwhile has either seen it, or is seen here
            subscription.close()
            raise NotConnected(f"{self.name} is stopped; subscribe on a new Connector.")
        self._changed()
        return subscription

    def subscribe_mark_price(self, symbol: Symbol | str, **options: Any) -> Subscription:
        """What positions of a contract are valued at, with the funding that goes with it; options as of `subscribe`."""
        return self.subscribe(TopicKind.MARK_PRICE, symbol, **options)

    def subscribe_liquidations(self, symbol: Symbol | str, **options: Any) -> Subscription:
        """Positions of anybody that the venue closes. Venues leave some out when there are many; options as of `subscribe`."""
        return self.subscribe(TopicKind.LIQUIDATIONS, symbol, **options)

    def _changed(self) -> None:
        """Wake the stream actor. When it cannot be told, it finds the change by itself within a tick or at its start."""
        self._memory.note_change()
        with suppress(NotConnected, pykka.ActorDeadError):
            self.stream.tell(SubscriptionsChanged())

    # ------------------------------------------------------------ books

    def book(self, symbol: Symbol | str, depth: int | None = 20) -> OrderBook:
        """A copy of a subscribed book, `depth` levels a side (None: all).

        Raises:
            BookNotValid: it is syncing or was seen to be wrong; or nobody subscribes "book" of this symbol.
        """
        book: OrderBook = self.live_book(symbol).snapshot(depth)
        return book

    def live_book(self, symbol: Symbol | str) -> Any:
        """The book itself, kept up by the reader thread: `best()`, `snapshot(depth)`, `state`, `update_id`.

        Raises:
            BookNotValid: nobody subscribes "book" of this symbol.
        """
        parsed = Symbol.parse(symbol)
        for feed in self._memory.feeds():
            if isinstance(feed, BookFeed) and feed.topic.symbol == parsed and feed.consumers:
                return feed.book
        raise BookNotValid(str(parsed), "absent", f'nobody subscribes it; subscribe("book", "{parsed}") first')

    # ------------------------------------------------------------ questions

    def ask(self, query: Query, timeout_s: float | None = None) -> Any:
        """Ask the venue by REST; the query's docstring says what the answer is.

        Args:
            timeout_s: waiting for request budget included; the venue settings' `request_timeout_s` by default.

        Raises:
            UnknownSymbol, InvalidRequest, VenueRejected: as it stands it will be refused again.
            RetryLater: the venue or the network is not able now; nothing is wrong with the question.
            pykka.Timeout: no answer in time. pykka.ActorDeadError: the connector stops, or the REST actor restarted.
        """
        limit_s = self._memory.settings.request_timeout_s + 1.0 if timeout_s is None else timeout_s
        return self.rest.ask(query, timeout=limit_s)

    def server_time_ns(self, timeout_s: float | None = None) -> int:
        time_ns: int = self.ask(ServerTimeQuery(), timeout_s)
        return time_ns

    def candles(
        self,
        symbol: Symbol | str,
        interval: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[Candle, ...]:
        """One page of candles, oldest first; the last may still be open."""
        query = CandlesQuery(Symbol.parse(symbol), interval, start_ns, end_ns, limit)
        answer: tuple[Candle, ...] = self.ask(query, timeout_s)
        return answer

    def recent_trades(
        self, symbol: Symbol | str, limit: int | None = None, timeout_s: float | None = None
    ) -> tuple[Trade, ...]:
        answer: tuple[Trade, ...] = self.ask(RecentTradesQuery(Symbol.parse(symbol), limit), timeout_s)
        return answer

    def historical_trades(
        self,
        symbol: Symbol | str,
        *,
        from_id: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[Trade, ...]:
        answer: tuple[Trade, ...] = self.ask(HistoricalTradesQuery(Symbol.parse(symbol), from_id, limit), timeout_s)
        return answer

    def agg_trades(
        self,
        symbol: Symbol | str,
        *,
        from_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[AggTrade, ...]:
        query = AggTradesQuery(Symbol.parse(symbol), from_id, start_ns, end_ns, limit)
        answer: tuple[AggTrade, ...] = self.ask(query, timeout_s)
        return answer

    def depth(self, symbol: Symbol | str, limit: int | None = None, timeout_s: float | None = None) -> OrderBook:
        """A book by REST, as the venue has it now; for a book that is kept up, subscribe "book"."""
        answer: OrderBook = self.ask(DepthQuery(Symbol.parse(symbol), limit), timeout_s)
        return answer

    def tickers(self, *symbols: Symbol | str, timeout_s: float | None = None) -> tuple[Ticker, ...]:
        """24 h statistics; of every instrument when none is named."""
        answer: tuple[Ticker, ...] = self.ask(TickersQuery(tuple(map(Symbol.parse, symbols))), timeout_s)
        return answer

    def book_tickers(self, *symbols: Symbol | str, timeout_s: float | None = None) -> tuple[BookTicker, ...]:
        answer: tuple[BookTicker, ...] = self.ask(BookTickersQuery(tuple(map(Symbol.parse, symbols))), timeout_s)
        return answer

    def prices(self, *symbols: Symbol | str, timeout_s: float | None = None) -> tuple[Price, ...]:
        answer: tuple[Price, ...] = self.ask(PricesQuery(tuple(map(Symbol.parse, symbols))), timeout_s)
        return answer

    def mark_prices(self, *symbols: Symbol | str, timeout_s: float | None = None) -> tuple[MarkPrice, ...]:
        """What positions are valued at; of every contract when none is named."""
        answer: tuple[MarkPrice, ...] = self.ask(MarkPricesQuery(tuple(map(Symbol.parse, symbols))), timeout_s)
        return answer

    def funding_rates(
        self,
        symbol: Symbol | str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[FundingRate, ...]:
        """Funding that was paid, whoever held what; oldest first, the newest when no time is given."""
        query = FundingRatesQuery(Symbol.parse(symbol), start_ns, end_ns, limit)
        answer: tuple[FundingRate, ...] = self.ask(query, timeout_s)
        return answer

    def open_interest(self, symbol: Symbol | str, timeout_s: float | None = None) -> OpenInterest:
        answer: OpenInterest = self.ask(OpenInterestQuery(Symbol.parse(symbol)), timeout_s)
        return answer

    # ------------------------------------------------------------ the account

    def orders_stream(
        self,
        callback: Callable[[Event], object] | None = None,
        inbox: StableRef | StableProxy | Any = None,
    ) -> OrderSubscription:
        """Everything that happens to our orders from now on: `Fill`, `Order` and `Alarm`, in order, each once per process.

        With contracts also `Position`, when its size, entry price or settings changed, and `FundingPayment`; what the venue
        forces on us (`Fill.kind` liquidation, deleveraging, settlement) comes with an alarm, though the order is not ours.

        A fill comes before the state of the order it led to. What was missed in an outage comes marked `recovered`. Nothing is
        ever dropped: what is not taken waits without a bound, and many waiting are an alarm.

        Args:
            callback: called on the state actor's thread: must return fast; one that does not return is taken off.
            inbox: an actor (any Pykka ActorRef) that is told every event.

        Returns:
            OrderSubscription: read with `get` when neither is given.

        Raises:
            Unsupported: the venue has no credentials.
        """
        if callback is not None and inbox is not None:
            raise InvalidRequest("give a callback or an inbox, not both; subscribe twice to have both.")
        trading = self._memory.trading
        if trading is None:
            raise Unsupported(f"{self.name} has no credentials; give VenueSettings(credentials=…) to see orders.")
        return trading.events.listen(callback if inbox is None else inbox.tell)

    def open_orders(
        self, symbol: Symbol | str | None = None, *, external: bool = False, timeout_s: float = 10.0
    ) -> tuple[tuple[Order, ...], Freshness]:
        """Our orders that are not final, unknown ones included; with `external`, those of other programs instead.

        This and the following ask the read model, not the venue. All raise Unsupported without credentials.
        """
        question = GetOpenOrders(None if symbol is None else Symbol.parse(symbol), external)
        answer: tuple[tuple[Order, ...], Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def order(self, client_id: str, timeout_s: float = 10.0) -> tuple[Order | None, Freshness]:
        """One of our orders, however old; None: it is not ours."""
        answer: tuple[Order | None, Freshness] = self.state.ask(GetOrder(client_id), timeout=timeout_s)
        return answer

    def order_by_venue_id(
        self, symbol: Symbol | str, venue_id: str, timeout_s: float = 10.0
    ) -> tuple[Order | None, Freshness]:
        """One order that is open or ended lately, ours or another program's, by the venue's id."""
        question = GetOrderByVenueId(Symbol.parse(symbol), venue_id)
        answer: tuple[Order | None, Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def order_history(
        self, symbol: Symbol | str | None = None, since_ns: int = 0, timeout_s: float = 10.0
    ) -> tuple[tuple[Order, ...], Freshness]:
        """Our orders meant at or after `since_ns` by our clock, oldest first.

        Raises:
            StoreFailed: the older ones cannot be read.
        """
        question = GetOrderHistory(None if symbol is None else Symbol.parse(symbol), since_ns)
        answer: tuple[tuple[Order, ...], Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def fills(
        self, symbol: Symbol | str | None = None, since_ns: int = 0, timeout_s: float = 10.0
    ) -> tuple[tuple[Fill, ...], Freshness]:
        """Our fills, and those the venue forced on us, at or after `since_ns` by the venue's clock, oldest first.

        Raises:
            StoreFailed: the older ones cannot be read.
        """
        question = GetFills(None if symbol is None else Symbol.parse(symbol), since_ns)
        answer: tuple[tuple[Fill, ...], Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def balances(self, timeout_s: float = 10.0) -> tuple[dict[str, Balance], Freshness]:
        """Every asset of which there is something.

        Raises:
            NotConnected: the venue has not told the balances yet.
        """
        answer: tuple[dict[str, Balance], Freshness] = self.state.ask(GetBalances(), timeout=timeout_s)
        return answer

    def balance(self, asset: str, timeout_s: float = 10.0) -> tuple[Balance, Freshness]:
        """One asset; zeros when there is nothing of it.

        Raises:
            NotConnected: the venue has not told the balances yet.
        """
        answer: tuple[Balance, Freshness] = self.state.ask(GetBalance(asset), timeout=timeout_s)
        return answer

    def positions(
        self, symbol: Symbol | str | None = None, timeout_s: float = 10.0
    ) -> tuple[tuple[Position, ...], Freshness]:
        """Positions with something in them, by symbol and side.

        Raises:
            NotConnected: the venue has not told the positions yet.
            Unsupported: this driver trades spot, where there are balances.
        """
        question = GetPositions(None if symbol is None else Symbol.parse(symbol))
        answer: tuple[tuple[Position, ...], Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def position(
        self, symbol: Symbol | str, side: PositionSide | str = PositionSide.NET, timeout_s: float = 10.0
    ) -> tuple[Position, Freshness]:
        """One position, flat when there is nothing in it; in hedge mode its side is "long" or "short".

        Raises:
            NotConnected, Unsupported: as `positions`.
        """
        question = GetPosition(Symbol.parse(symbol), _member(PositionSide, side))
        answer: tuple[Position, Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def funding_payments(
        self, symbol: Symbol | str | None = None, since_ns: int = 0, timeout_s: float = 10.0
    ) -> tuple[tuple[FundingPayment, ...], Freshness]:
        """Funding paid and received at or after `since_ns` by the venue's clock, oldest first.

        At hand are the payments of the day this process began in, and all since.

        Raises:
            NotConnected, Unsupported: as `positions`.
        """
        question = GetFundingPayments(None if symbol is None else Symbol.parse(symbol), since_ns)
        answer: tuple[tuple[FundingPayment, ...], Freshness] = self.state.ask(question, timeout=timeout_s)
        return answer

    def set_leverage(self, symbol: Symbol | str, leverage: Decimal | int, timeout_s: float = 15.0) -> None:
        """Returns once the venue has it so, also when it had it so before.

        Raises:
            OutcomeUnknown: no trustworthy answer came; repeating it is safe.
            Unsupported: the venue has no such setting. Rejected: it refused. RetryLater: nothing was sent, or not taken.
            pykka.Timeout: as OutcomeUnknown.
        """
        self._configure(SetLeverage(symbol=Symbol.parse(symbol), leverage=_decimal(leverage)), timeout_s)

    def set_margin_mode(
        self, mode: MarginMode | str, symbol: Symbol | str | None = None, timeout_s: float = 15.0
    ) -> None:
        """Cross, isolated or portfolio margin, of one symbol or of the whole account as the venue has it.

        Raises:
            as `set_leverage`; InvalidRequest: a symbol is missing, or there is one where the mode is the account's.
        """
        parsed = None if symbol is None else Symbol.parse(symbol)
        self._configure(SetMarginMode(mode=_member(MarginMode, mode), symbol=parsed), timeout_s)

    def set_position_mode(
        self, mode: PositionMode | str, symbol: Symbol | str | None = None, timeout_s: float = 15.0
    ) -> None:
        """One position a symbol ("one_way"), or a long and a short one side by side ("hedge").

        Raises:
            as `set_margin_mode`.
        """
        parsed = None if symbol is None else Symbol.parse(symbol)
        self._configure(SetPositionMode(mode=_member(PositionMode, mode), symbol=parsed), timeout_s)

    def _configure(self, command: Configure, timeout_s: float) -> None:
        self.orders.ask(command, timeout=timeout_s)

    def explain(self, client_id: str, timeout_s: float = 10.0) -> tuple[tuple[Evidence, ...], Freshness]:
        """All that is known of one of our orders and whence, oldest first; empty when it is not ours."""
        answer: tuple[tuple[Evidence, ...], Freshness] = self.state.ask(ExplainOrder(client_id), timeout=timeout_s)
        return answer

    def reconcile(self, timeout_s: float = 30.0) -> Freshness:
        """Compare the account with the venue now; how far it can be trusted afterwards.

        Raises:
            pykka.Timeout: it was not over in time; it goes on.
        """
        answer: Freshness = self.state.ask(CompareAccount(), timeout=timeout_s)
        return answer

    # ------------------------------------------------------------ looking in

    def instrument(self, symbol: Symbol | str, timeout_s: float = 10.0) -> Instrument:
        """What the venue says about one instrument.

        Raises:
            UnknownSymbol: it lists none of this name, and listed none while this venue ran.
            NotConnected: its list has not arrived yet.
        """
        found: Instrument = self.state.ask(GetInstrument(Symbol.parse(symbol)), timeout=timeout_s)
        return found

    def instruments(self, timeout_s: float = 10.0) -> tuple[InstrumentTable, Freshness]:
        answer: tuple[InstrumentTable, Freshness] = self.state.ask(GetInstruments(), timeout=timeout_s)
        return answer

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the instrument list has arrived; False when it has not within `timeout_s`."""
        return self._memory.wait_instruments(timeout_s)

    def snapshot(self) -> VenueSnapshot:
        """Every topic and counter of this venue. Never blocks on the network or on an actor."""
        memory = self._memory
        return VenueSnapshot(
            name=self.name,
            instruments=len(memory.instruments) if memory.instruments is not None else 0,
            topics=tuple(
                TopicSnapshot(
                    topic=feed.topic,
                    state=feed.state,
                    freshness=feed.freshness(),
                    consumers=len(feed.consumers),
                    values=feed.values,
                    duplicates=feed.duplicates,
                    gaps=feed.gaps,
                    recovered=feed.recovered_values,
                    unreadable=feed.unreadable,
                    book=repr(feed.book) if isinstance(feed, BookFeed) else "",
                )
                for feed in memory.feeds()
            ),
            counters=memory.counters.snapshot(),
            alarms=memory.alarms.counts(),
            budget=repr(memory.ledger),
            health=memory.health.snapshot(),
        )

    def diagnostics(self) -> VenueDiagnostics:
        """Where this venue runs. Never blocks."""
        return VenueDiagnostics("thread", os.getpid())

    def __repr__(self) -> str:
        return f"<VenueHandle {self._memory!r}>"


def _decimal(value: Decimal | int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise InvalidRequest(f"{value!r} is a {type(value).__name__}; give a Decimal or an int.")
    return Decimal(value)


def _member(kind: Any, value: Any) -> Any:
    """An enum member from itself or its text."""
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(repr(member.value) for member in kind)
        raise InvalidRequest(f"{value!r} is not a {kind.__name__}; expected one of {names}.") from None
