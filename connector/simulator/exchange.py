"""One simulated exchange without its sockets: clock, limits, ledger, topics, faults in force, and the source of its data.

The server owns one and calls it from its loop thread; nothing here blocks, sleeps or starts anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Literal

from connector.simulator.accounts import Account, AccountOrder
from connector.simulator.contracts import ContractDesk
from connector.simulator.dialect import Dialect, Source, load_dialect
from connector.simulator.flow import Flow
from connector.simulator.hub import Connection, Hub, text_frame
from connector.simulator.instruments import SCALE, e8
from connector.simulator.keys import ApiKey
from connector.simulator.ledger import BookLevels, Records, TradeRecord
from connector.simulator.limits import AddressLimits
from connector.simulator.market import Level, Market
from connector.simulator.settings import AccountSettings, Live, Replay, SimulatorSettings

__all__ = ["CallFault", "EventFault", "Exchange", "Plan", "SimClock", "Use"]


class SimClock:
    """The exchange's time in UTC: the given clock, moved by a skew, or a time set by a replay."""

    def __init__(self, base: Callable[[], int], factor: float = 1.0) -> None:
        self._base = base
        self.factor = factor
        self._start_ns = base() if factor != 1.0 else 0
        self.skew_ns = 0

    def now_ns(self) -> int:
        """UTC nanoseconds as the exchange believes."""
        if self.factor == 1.0:
            return self._base() + self.skew_ns
        return self._start_ns + int((self._base() - self._start_ns) * self.factor) + self.skew_ns

    def now_us(self) -> int:
        """UTC microseconds."""
        return self.now_ns() // 1_000

    def now_ms(self) -> int:
        """UTC milliseconds."""
        return self.now_ns() // 1_000_000

    def now_s(self) -> float:
        """UTC seconds."""
        return self.now_ns() / 1e9

    def follow(self, base: Callable[[], int]) -> None:
        """Take the time from elsewhere from now on."""
        self._base = base


@dataclass
class Use:
    """A fault that is used up: by a count of uses, or at a moment on the loop's clock (None: never).

    With a share, only about that part of the occasions is used, drawn from `rng`.
    """

    count: int | None = 1
    until_s: float | None = None
    share: float = 1.0
    rng: random.Random | None = None

    def take(self, now_s: float) -> bool:
        """Use it once; False when it is spent, or spares this occasion."""
        if (self.until_s is not None and now_s >= self.until_s) or self.count == 0:
            return False
        if self.rng is not None and self.rng.random() >= self.share:
            return False
        if self.count is not None:
            self.count -= 1
        return True


@dataclass
class RestError:
    """Answer matching requests with a status and a body."""

    use: Use
    status: int
    path: str | None
    body: bytes | None
    headers: dict[str, str]


@dataclass
class UpgradeRefusal:
    """Answer upgrades with a status; None leaves them unanswered."""

    use: Use
    status: int | None
    headers: dict[str, str]


@dataclass
class CallFault:
    """What goes wrong with one call, REST or WebSocket alike.

    `wanted` says which calls, `at` whether it concerns the way in or the way out: `lost`, then `silent` or cut off, or late by
    a time drawn between the two of `late_s`. With a `status` the answer is an error, of that `code`; `done` says whether
    the call was carried out all the same. `taken_only`: an error that would be a lie where no order was taken is not told then.
    """

    use: Use
    wanted: Callable[[str], bool]
    at: Literal["request", "answer"] = "answer"
    lost: bool = False
    silent: bool = False
    late_s: tuple[float, float] | None = None
    status: int = 0
    code: int = 0
    done: bool = True
    taken_only: bool = False


@dataclass
class EventFault:
    """What goes wrong with account events on their way: lost, doubled, swapped with the next, or late."""

    use: Use
    kind: Literal["lost", "doubled", "swapped", "late"]
    event: str = ""
    late_s: tuple[float, float] = (0.0, 0.0)


@dataclass
class Plan:
    """Faults in force that concern requests, upgrades, control frames, calls and account events."""

    rest_errors: list[RestError] = field(default_factory=list)
    rest_delay_s: float = 0.0
    rest_cuts: list[tuple[Use, int]] = field(default_factory=list)
    upgrades: list[UpgradeRefusal] = field(default_factory=list)
    close_on_open: Use | None = None
    ack_drops: Use | None = None
    ack_delay_s: float = 0.0
    rejections: list[tuple[Use, int, str]] = field(default_factory=list)
    stale_snapshots: dict[str, tuple[Use, int]] = field(default_factory=dict)
    calls: list[CallFault] = field(default_factory=list)
    events: list[EventFault] = field(default_factory=list)
    events_after_s: float = 0.0
    blind_us: int = 0
    races: list[tuple[Use, float]] = field(default_factory=list)

    def visible(self, at_us: int, now_us: int) -> bool:
        """Whether queries already see what happened at that time."""
        return not self.blind_us or now_us - at_us >= self.blind_us


class Exchange:
    """Everything of one exchange that is not a socket."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.clock = SimClock(settings.clock, settings.time_factor)
        self.records = Records(settings.keep)
        self.plan = Plan()
        self.rng = random.Random(f"{settings.seed}:faults")
        self.limits: dict[str, AddressLimits] = {}
        self.loop_s: Callable[[], float] = lambda: 0.0
        self.close: Callable[[Connection, int, str], None] = _no_close
        self.later: Callable[[float, Callable[[], None]], object] = _no_loop
        now_us = self.clock.now_us()
        live, deep = isinstance(settings.source, Live), isinstance(settings.source, Live) and settings.source.deep
        self.markets: dict[str, Market] = {
            entry.symbol: Market(entry, settings.seed, now_us, settings.keep, deep)
            for entry in (settings.listings() if live else ())
        }
        self.dialect: Dialect = load_dialect(settings.dialect)(self)
        self.hub = Hub(self.records, self.dialect.parse_stream, self.now_s)
        self.desk = ContractDesk(self.markets, self.clock.now_us, self.dialect.publish, self.dialect.tell)
        for entry in settings.accounts:
            self.add_account(entry)
        self.source: Source = LiveSource(self) if live else self.dialect.replay()

    def add_account(self, entry: AccountSettings) -> Account:
        """Open an account.

        Raises:
            ValueError: its name or key is taken, or the public key is none.
        """
        desk, chosen = self.desk, self.settings
        if isinstance(chosen.source, Replay):
            raise ValueError("a replay has no accounts: nothing can trade in a recording")
        if entry.name in desk.accounts or entry.key in desk.keys:
            raise ValueError(f"there is an account of the name or key of {entry.name!r} already")
        if entry.public_key is not None:
            key = ApiKey.public(entry.key, entry.name, entry.public_key)
        else:
            key = ApiKey.hmac(entry.key, entry.name, entry.secret or "")
        account = Account(
            entry.name,
            1_000_001 + len(desk.accounts),
            e8(entry.maker_rate),
            e8(entry.taker_rate),
            entry.orders_per_10s or chosen.orders_per_10s,
            entry.orders_per_day or chosen.orders_per_day,
            chosen.orders_per_minute,
        )
        account.can_trade = entry.can_trade
        account.discount_asset, account.discount_rate = entry.discount_asset, SCALE - e8(entry.discount)
        account.updated_us = self.clock.now_us()
        for asset, amount in entry.balances.items():
            account.balance(asset).free = e8(amount)
            desk.clearing.deposited(asset, e8(amount))
        desk.keys[entry.key] = key
        desk.accounts[entry.name] = account
        return account

    def account(self, who: str) -> Account:
        """An account by its name or by one of its keys.

        Raises:
            LookupError: there is none.
        """
        key = self.desk.keys.get(who)
        account = self.desk.accounts.get(who if key is None else key.account)
        if account is None:
            raise LookupError(f"there is no account {who!r}; there are {', '.join(self.desk.accounts) or 'none'}")
        return account

    def now_s(self) -> float:
        """Seconds on the loop's clock, whichever that is by now."""
        return self.loop_s()

    def call_fault(self, name: str) -> CallFault | None:
        """What goes wrong with the next call of that name, if anything."""
        now_s = self.loop_s()
        return next((fault for fault in self.plan.calls if fault.wanted(name) and fault.use.take(now_s)), None)

    def errs(self, fault: CallFault, orders_before: int) -> bool:
        """Whether the call of that fault, carried out or not, is answered with its error."""
        return bool(fault.status) and not (fault.taken_only and self.desk.orders_taken == orders_before)

    def real_s(self, seconds: float) -> float:
        """Seconds of the exchange's time on a real clock."""
        return seconds / self.clock.factor

    def race(self, order: AccountOrder) -> None:
        """A cancel of that order is about to be taken: a fault may let somebody trade with it first."""
        for use, share in self.plan.races:
            if order.open and order.engine_id is not None and use.take(self.loop_s()):
                self.desk.fill(order, max(1, int(order.left * share)))
                return

    def tell_connection(self, connection: Connection, kind: str, frame: bytes) -> int:
        """Send an account event on its way, through whatever faults are on. Returns how many copies go."""
        plan, now_s = self.plan, self.loop_s()
        frames, copies, late_s = [frame], 1, plan.events_after_s
        for fault in plan.events:
            if not kind.startswith(fault.event) or (fault.kind == "swapped" and connection.held):
                continue  # one at a time is held back
            if not fault.use.take(now_s):
                continue
            if fault.kind == "lost":
                return 0
            if fault.kind == "doubled":
                frames, copies = [frame, frame], 2
            elif fault.kind == "swapped":
                connection.held.append(frame)
                return 1
            else:
                late_s = self.rng.uniform(*fault.late_s)
            break
        else:
            frames += connection.held
            connection.held.clear()
        for each in frames:
            if late_s:
                self.later(self.real_s(late_s), partial(connection.send_now, each))
            else:
                connection.send_now(each)
        return copies

    def reply(self, connection: Connection, payload: bytes) -> None:
        """Answer a control frame, unless a fault eats or delays the answer."""
        plan = self.plan
        if plan.ack_drops is not None and plan.ack_drops.take(self.loop_s()):
            return
        frame = text_frame(payload)
        if plan.ack_delay_s:
            self.later(plan.ack_delay_s, lambda: connection.send_now(frame))
        else:
            connection.send_now(frame)

    def rejected(self) -> tuple[int, str] | None:
        """(code, message) when a fault refuses the next subscription."""
        now_s = self.loop_s()
        return next(((code, text) for use, code, text in self.plan.rejections if use.take(now_s)), None)

    def limits_of(self, address: str) -> AddressLimits:
        """The counters of one client address."""
        limits = self.limits.get(address)
        if limits is None:
            chosen = self.settings
            limits = self.limits[address] = AddressLimits(
                chosen.request_weight_per_minute,
                chosen.raw_requests_per_5min,
                chosen.connects_per_5min,
                chosen.ignored_429s,
                chosen.ban_s,
                enforced=chosen.enforce_limits,
            )
        return limits


def _no_loop(delay_s: float, action: Callable[[], None]) -> None:
    raise RuntimeError("this exchange has no loop yet; the simulator gives it one when it starts")


def _no_close(connection: Connection, code: int, reason: str) -> None:
    raise RuntimeError("this exchange has no server yet; the simulator gives it one when it starts")


class LiveSource:
    """The seeded crowd and the markets it trades on."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._markets = exchange.markets
        source = exchange.settings.source
        assert not isinstance(source, Replay)
        self._warm = source.warm_up
        self._owed = 0.0
        self._events = 0
        self._flow = Flow(list(self._markets.values()), exchange.settings.seed, source.resting_orders)

    def wake(self, now_us: int) -> None:
        if self._warm:
            self._flow.warm_up(now_us)

    def advance(self, elapsed_s: float) -> None:
        rate = self._exchange.settings.events_per_s
        self._owed = min(self._owed + rate * elapsed_s, rate / 2 + 1)  # after a stall, half a second is made up for
        whole = int(self._owed)
        self._owed -= whole
        self.step(whole)

    def step(self, count: int) -> int:
        desk = self._exchange.desk
        for done in range(count):
            event = self._flow.step()
            if event is None:
                return done
            desk.happened(*event)
        self._events += count
        return count

    def resume(self) -> None:
        pass  # pausing is the server's; a live market has nothing else to wait for

    def finished(self) -> bool:
        return False

    def status(self) -> str:
        return f"live symbols={len(self._markets)} events={self._events}"

    def tick(self, now_us: int, force: bool = False) -> None:
        self._exchange.desk.tick(now_us)
        self._exchange.dialect.publish_timed(now_us, force)

    # the truth

    def symbols(self) -> list[str]:
        return list(self._markets)

    def _market(self, symbol: str) -> Market:
        market = self._markets.get(symbol)
        if market is None:
            raise LookupError(f"{symbol} is not listed here; listed are {', '.join(self._markets)}")
        return market

    def book_update_id(self, symbol: str) -> int:
        return self._market(symbol).update_id

    def book(self, symbol: str, update_id: int) -> tuple[BookLevels, BookLevels]:
        market = self._market(symbol)
        market.log.prepare(market.engine)

        def decimals(levels: list[Level]) -> BookLevels:
            listing = market.listing
            return [
                (Decimal(price * listing.tick_e8) / SCALE, Decimal(lots * listing.step_e8) / SCALE)
                for price, lots in levels
            ]

        bids, asks = market.log.at(update_id)
        return decimals(bids), decimals(asks)

    def trade_count(self, symbol: str) -> int:
        market = self._market(symbol)
        return len(market.trades) + market.dropped_trades

    def trades(self, symbol: str) -> list[TradeRecord]:
        market = self._market(symbol)
        tick, step = market.listing.tick_e8, market.listing.step_e8
        return [
            TradeRecord(
                trade.trade_id,
                Decimal(trade.price * tick) / SCALE,
                Decimal(trade.quantity * step) / SCALE,
                trade.time_us,
                trade.buyer_is_maker,
                trade.agg_id,
            )
            for trade in market.trades
        ]
