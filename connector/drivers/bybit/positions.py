"""Positions, funding and settings of contracts: signed REST about them, and what is read from the answers.

Leverage belongs to a symbol and is set for both sides alike; the margin mode to the whole account; the position mode to a
symbol. The venue can switch all contracts of a coin at once, but passes over those with positions or orders and does not say
which, so that is not done here. "Not modified" is success everywhere.

Source: venue API docs, "Position", "Set Margin Mode", "Transaction Log", 2026-07, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from connector.domain.account import FundingPayment, MarginMode, PositionMode
from connector.domain.commands import Configure, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.facts import PositionReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.times import NS_PER_MS
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.bybit import reports, wire
from connector.drivers.bybit.facts import ERRORS, Market, Reaction
from connector.drivers.bybit.orders import WINDOW_MS, since_ms
from connector.drivers.bybit.trading import Readable, Trading
from connector.drivers.trading import Auth
from connector.errors import InvalidRequest, Unsupported, VenueRejected

__all__ = ["Positions"]

_POSITIONS_PAGE = 200
_MARGIN_MODES = {
    MarginMode.CROSS: "REGULAR_MARGIN",
    MarginMode.ISOLATED: "ISOLATED_MARGIN",
    MarginMode.PORTFOLIO: "PORTFOLIO_MARGIN",
}
_POSITION_MODES = {PositionMode.ONE_WAY: 0, PositionMode.HEDGE: 3}
_LEVERAGE_MOST = Decimal(1_000)
_UNCHANGED = frozenset(code for code, what in ERRORS.items() if what is Reaction.UNCHANGED)
_MARGIN_REFUSED = "3400045"


class _Reason(msgspec.Struct, rename="camel"):
    reason_code: str = ""
    reason_msg: str = ""


class _MarginResult(msgspec.Struct):
    reasons: tuple[_Reason, ...] = ()


_LIST = wire.answer_decoder(wire.Listed[reports.PositionRow])
_LOG = wire.answer_decoder(wire.Listed[reports.LogRow])
_MARGIN = wire.answer_decoder(_MarginResult)


@dataclass(frozen=True, slots=True)
class Positions:
    """PositionLanguage of one product of contracts; see `drivers.trading`."""

    market: Market
    trading: Trading

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        """One question a settle coin, where they cannot be asked for together; open positions only."""
        ask, page = self.trading.ask, _POSITIONS_PAGE
        if not self.market.settles:
            return (ask("positions", auth, now_ms, limit=page),)
        coins = self.market.settles
        return tuple(ask("positions", auth, now_ms + at, settleCoin=coin, limit=page) for at, coin in enumerate(coins))

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        """Contracts that are not in the table are left out: they cannot be traded here."""
        found = []
        times = []
        for response in responses:
            answer = self.trading.answer("positions", _LIST, response, write=False)
            times.append(answer.time)
            with Readable("positions", response):
                for row in answer.result.list:
                    instrument = instruments.by_name(row.symbol)
                    if instrument is not None:
                        seen_ns = response.received_ns
                        found.append(reports.position("positions", row, instrument, self.market, seen_ns))
        at_ns = min(times) * NS_PER_MS if times else None
        received_ns = min((response.received_ns for response in responses), default=0)
        return PositionReport(self.market.name, at_ns, received_ns, tuple(found), True)

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """The transaction log of a week from a time on."""
        start = since_ms(start_ns)
        end = start + WINDOW_MS - 1
        return self.trading.ask(
            "funding", auth, now_ms, accountType="UNIFIED", type="SETTLEMENT", startTime=start, endTime=end
        )

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]:
        """Oldest first. A line may hold funding beside a session's settlement of USDC contracts; only the funding is told."""
        rows = self.trading.answer("funding", _LOG, response, write=False).result.list
        with Readable("funding", response):
            told = (
                reports.funding_of_log("funding", row, instruments, self.market, response.received_ns)
                for row in reversed(rows)
            )
            found = [payment for payment in told if payment is not None]
        return tuple(sorted(found, key=lambda payment: payment.event_time_ns))

    # ------------------------------------------------------------ settings

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        if isinstance(command, SetLeverage):
            return self.trading.post("leverage", self._leverage(command, instrument), auth, now_ms)
        if isinstance(command, SetMarginMode):
            if command.symbol is not None:
                raise InvalidRequest(
                    f"{self.market.name}: the margin mode is the whole account's. Leave the symbol away."
                )
            return self.trading.post("margin mode", {"setMarginMode": _MARGIN_MODES[command.mode]}, auth, now_ms)
        return self.trading.post("position mode", self._position_mode(command, instrument), auth, now_ms)

    def _leverage(self, command: SetLeverage, instrument: Instrument | None) -> dict[str, str | int | bool]:
        leverage = command.leverage
        if not leverage.is_finite() or not 1 <= leverage <= _LEVERAGE_MOST:
            raise InvalidRequest(
                f"leverage is {leverage!s:.40}. Expected 1 to {_LEVERAGE_MOST}; see the instrument's own bound."
            )
        named = self._of(command, instrument)
        text = format(leverage, "f")
        return {**named, "buyLeverage": text, "sellLeverage": text}

    def _position_mode(self, command: SetPositionMode, instrument: Instrument | None) -> dict[str, str | int | bool]:
        if self.market.is_inverse:
            raise Unsupported(f"{self.market.name} has one position a symbol, always: there is no mode to set.")
        mode = _POSITION_MODES[command.mode]
        if command.symbol is None:
            raise InvalidRequest(f"{self.market.name}: the position mode is a symbol's. Give the symbol.")
        if command.mode is PositionMode.HEDGE and command.symbol.settle != "USDT":
            raise Unsupported(f"{self.market.name} holds positions side by side in contracts that settle in USDT only.")
        return {**self._of(command, instrument), "mode": mode}

    def _of(self, command: SetLeverage | SetPositionMode, instrument: Instrument | None) -> dict[str, str | int | bool]:
        if instrument is None or instrument.symbol != command.symbol:
            raise InvalidRequest(f"the command is about {command.symbol}, and the instrument given is another.")
        return {"category": self.market.category, "symbol": instrument.venue_name}

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        error = self.trading.failure(response, write=True)
        if isinstance(error, VenueRejected):
            if error.code in _UNCHANGED:
                return
            if error.code == _MARGIN_REFUSED:
                raise VenueRejected(error.venue, error.code, _reasons(error.reason, response), status=error.status)
        if error is not None:
            raise error


def _reasons(text: str, response: HttpResponse) -> str:
    """The venue's list of what stands in the way, behind its text."""
    try:
        reasons = _MARGIN.decode(response.body).result.reasons
    except wire.UNREADABLE:
        return text
    return "; ".join([text, *(f"{each.reason_code} {each.reason_msg}"[:200] for each in reasons[:5])])
