"""Positions, their settings and funding on Binance futures: signed requests out, answers in as facts.

USDⓈ-M is asked by the older of its two position calls: the newer one names neither leverage nor margin mode, and a second
question beside it could be answered at another moment. Rows without a position are left out: the report is complete.

A setting that is so already is answered by a refusal, which `Trading.failure` takes for the success it is. Position mode is the
account's, for both products at once, and cannot be changed while either has orders or positions.

Source: venue API docs, "Position Information", "Change Initial Leverage", "Income History", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from connector.domain.account import FundingPayment, MarginMode, PositionMode
from connector.domain.commands import Configure, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.facts import PositionReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.binance import checks, wire
from connector.drivers.binance.futures import facts, reports
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.orders import Params
from connector.drivers.binance.futures.trading import FUNDING_PAGE, Trading
from connector.drivers.binance.signing import signed_request
from connector.drivers.trading import Auth
from connector.errors import InvalidRequest, Unsupported, WireFormatError

__all__ = ["Positions"]

_LEVERAGE_MOST = 125
_MARGIN_MODES = {MarginMode.CROSS: "CROSSED", MarginMode.ISOLATED: "ISOLATED"}
_FUNDING = "FUNDING_FEE"

_POSITIONS = msgspec.json.Decoder(list[reports.PositionRow])
_INCOME = msgspec.json.Decoder(list[reports.IncomeRow])


class _Leverage(msgspec.Struct):
    leverage: int


_LEVERAGE = msgspec.json.Decoder(_Leverage)


@dataclass(frozen=True, slots=True)
class Positions:
    """PositionLanguage of one of the products; see `drivers.trading`."""

    futures: Futures
    trading: Trading

    def _signed(self, method: str, tail: str, params: Params, auth: Auth, now_ms: int, weight: int) -> HttpRequest:
        costs = (Charge(facts.REQUEST_WEIGHT, weight),)
        window_ms = self.trading.rules.recv_window_ms
        return signed_request(method, self.futures.root + tail, params, auth, now_ms, window_ms, costs)

    # ------------------------------------------------------------ positions and funding

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        if self.futures.contracts:
            return (self._signed("GET", "/v1/positionRisk", [], auth, now_ms, 1),)
        return (self._signed("GET", "/v2/positionRisk", [], auth, now_ms, 5),)

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        found, received_ns = [], 0
        for response in responses:
            error = self.trading.failure(response, write=False)
            if error is not None:
                raise error
            received_ns = max(received_ns, response.received_ns)
            with checks.Readable("positions", response):
                for row in wire.decode("positions", _POSITIONS, response.body):
                    instrument = instruments.by_name(row.symbol)
                    if instrument is not None and row.position_amt:
                        found.append(reports.position("positions", row, instrument, response.received_ns))
        return PositionReport(self.futures.venue, None, received_ns, tuple(found), complete=True)

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """Three months back; a full page is followed by the next, from its last row's time on."""
        params: Params = [
            ("incomeType", _FUNDING),
            ("startTime", checks.since_ms(start_ns)),
            ("limit", FUNDING_PAGE),
        ]
        return self._signed("GET", "/v1/income", params, auth, now_ms, 20 if self.futures.contracts else 30)

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]:
        error = self.trading.failure(response, write=False)
        if error is not None:
            raise error
        rows = wire.decode("funding", _INCOME, response.body)
        with checks.Readable("funding", response):
            listed = ((row, instruments.by_name(row.symbol)) for row in rows if row.income_type == _FUNDING)
            return tuple(
                reports.funding_payment("funding", row, instrument, response.received_ns)
                for row, instrument in listed
                if instrument is not None
            )

    # ------------------------------------------------------------ settings

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        tail, params = self._setting(command, instrument)
        return self._signed("POST", tail, params, auth, now_ms, 1)

    def _setting(self, command: Configure, instrument: Instrument | None) -> tuple[str, Params]:
        title = self.futures.title
        if isinstance(command, SetPositionMode):
            if command.symbol is not None:
                raise InvalidRequest(f"the position mode of {title} is the whole account's. Leave the symbol away.")
            hedge = command.mode is PositionMode.HEDGE
            return "/v1/positionSide/dual", [("dualSidePosition", "true" if hedge else "false")]
        if instrument is None or command.symbol != instrument.symbol:
            raise InvalidRequest(f"{type(command).__name__} is a contract's at {title}: give its symbol.")
        params: Params = [("symbol", instrument.venue_name)]
        if isinstance(command, SetMarginMode):
            word = _MARGIN_MODES.get(command.mode)
            if word is None:
                raise Unsupported(
                    f"{title} has no {command.mode.value} margin per contract; it has cross and isolated."
                )
            return "/v1/marginType", [*params, ("marginType", word)]
        leverage = command.leverage
        if leverage != leverage.to_integral_value() or not 1 <= leverage <= _LEVERAGE_MOST:
            raise InvalidRequest(
                f"leverage is {leverage!s:.40}. {title} takes a whole number from 1 to {_LEVERAGE_MOST}."
            )
        return "/v1/leverage", [*params, ("leverage", int(leverage))]

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        error = self.trading.failure(response, write=True)
        if error is not None:
            raise error
        if isinstance(command, SetLeverage):
            set_to = wire.decode("leverage", _LEVERAGE, response.body).leverage
            if set_to != command.leverage:
                raise WireFormatError("leverage", f"it was set to {set_to}, not to {command.leverage}", response.body)
