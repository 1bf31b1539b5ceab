"""Positions, funding and settings of a whole venue under a seeded scheduler, sessions cut and answers lost.

The far side lists spot symbols only; that it holds positions in them is its own affair.
"""

import json
import os
import pickle
import random
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from account_far_side import BTC, ETH, NAME, FarSide
from test_account_deterministic import Run

from connector.domain.account import FundingPayment, MarginMode, Position, PositionSide
from connector.domain.commands import SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.facts import PositionReport
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import (
    InvalidRequest,
    LinkError,
    NotConnected,
    OutcomeUnknown,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)
from connector.orders.lifecycle import Alarm
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash

SEEDS = range(int(os.environ.get("SEEDS", "8")))
d = Decimal


class PositionWords:
    """Positions, in pickles."""

    def positions(self, auth, now_ms):
        return (HttpRequest("GET", "/account/positions", f"t={now_ms}"),)

    def read_positions(self, responses, instruments):
        return pickle.loads(responses[0].body)

    def funding(self, start_ns, auth, now_ms):
        return HttpRequest("GET", "/account/funding", f"start_ns={start_ns}&t={now_ms}")

    def read_funding(self, response, instruments):
        if response.status != 200:
            raise VenueUnavailable(f"status {response.status}")
        return pickle.loads(response.body)

    def configure(self, command, instrument, auth, now_ms):
        if isinstance(command, SetPositionMode):
            raise Unsupported("there is one mode. Nothing was sent.")
        if isinstance(command, SetMarginMode) and command.symbol is not None:
            raise InvalidRequest("the margin mode is the account's; give no symbol.")
        value = str(command.leverage) if isinstance(command, SetLeverage) else command.mode.value
        return HttpRequest("POST", "/account/configure", f"value={value}&symbol={command.symbol}&t={now_ms}")

    def read_configured(self, command, response):
        if response.status == 503:
            raise VenueUnavailable("status 503")
        if response.status == 200 and not response.body:
            raise WireFormatError("configure", "nothing was said")
        answer = json.loads(response.body)
        if answer != "ok":
            raise VenueRejected(NAME, "110090", answer)


class Holding(FarSide):
    """The exchange, with a position per symbol that follows its fills."""

    def __init__(self, runtime, chance):
        super().__init__(runtime, chance)
        self.held = {BTC: d(0), ETH: d(0)}
        self.sequence = 0
        self.payments = []
        self.leverage = {BTC: d(10), ETH: d(10)}
        self.configure_answer = None
        self.configured = []
        self.is_mute_about_settings = False

    def parts(self):
        parts = super().parts()
        driver = replace(parts.driver("binance"), positions=PositionWords())
        return replace(parts, driver=lambda name: driver)

    def fill(self, order, quantity):
        super().fill(order, quantity)
        self.move(order.symbol, quantity if order.side is Side.BUY else -quantity)

    def move(self, symbol, quantity):
        self.held[symbol] += quantity
        self.sequence += 1
        self.tell(PositionReport(NAME, self.now_ns(), self.now_ns(), (self.position(symbol),), False))

    def position(self, symbol):
        held = self.held[symbol]
        return Position(
            NAME,
            symbol,
            self.now_ns(),
            self.now_ns(),
            PositionSide.NET,
            held,
            d(100) if held else None,
            leverage=self.leverage[symbol],
            sequence=self.sequence,
        )

    def pay(self, amount, symbol=BTC, said=True):
        payment = FundingPayment(
            NAME, symbol, self.now_ns(), self.now_ns(), f"f{len(self.payments)}", "USDT", d(amount)
        )
        self.payments.append(payment)
        if said:
            self.tell(payment)

    def liquidate(self, symbol):
        """All of a position, by an order of the venue's own."""
        self.next_id += 1
        order = self.place(f"autoclose-{self.next_id}", symbol, Side.SELL, str(self.held[symbol]))
        self.fill(order, self.held[symbol])

    def account_answer(self, what, query):
        if what == "positions":
            held = tuple(self.position(symbol) for symbol, quantity in self.held.items() if quantity)
            return PositionReport(NAME, self.now_ns(), self.now_ns(), held, True)
        if what == "funding":
            return tuple(each for each in self.payments if each.event_time_ns >= int(query["start_ns"]))
        found = super().account_answer(what, query)
        if what == "fills":
            return tuple(self.forced(each) for each in found)
        return found

    def forced(self, fill):
        order = next(each for each in self.orders.values() if each.venue_id == fill.venue_id)
        is_forced = order.client_id.startswith("autoclose")
        return msgspec.structs.replace(fill, kind=FillKind.LIQUIDATION) if is_forced else fill

    def _changed(self, order, fill=None):
        super()._changed(order, None if fill is None else self.forced(fill))

    def answer(self, request):
        if request.path != "/account/configure":
            return super().answer(request)
        if self.is_mute_about_settings:
            return None
        if isinstance(self.configure_answer, Exception):
            return self.configure_answer
        query = dict(part.split("=") for part in request.query.split("&"))
        self.configured.append(query["value"])
        if self.configure_answer is None:
            if query["symbol"] != "None":
                self.leverage[BTC] = d(query["value"])
            return HttpResponse(200, {}, b'"ok"', self.now_ns(), self.now_ns())
        status, body = self.configure_answer
        return HttpResponse(status, {}, body, self.now_ns(), self.now_ns())


class Holder(Run):
    """One process of an engine that holds positions."""

    def __init__(self, seed=0, **changes):
        runtime = changes.pop("runtime", None) or DeterministicRuntime(seed)
        far = changes.pop("far", None) or Holding(runtime, random.Random(seed))
        super().__init__(seed, far=far, runtime=runtime, **changes)

    def positions(self):
        found, freshness = self.venue.positions()
        return {each.symbol: each.quantity for each in found}, freshness


def test_positions_are_asked_for_followed_and_stale_while_nobody_listens():
    with Holder() as run:
        run.far.come_up()
        run.runtime.advance(5.0)
        assert run.positions()[0] == {}
        order = run.place(quantity="3")
        run.far.fill(order, d(3))
        run.runtime.advance(1.0)
        held, freshness = run.positions()
        assert (held, freshness.stale) == ({BTC: d(3)}, False)
        one, _ = run.venue.position("BTC/USDT")
        other, _ = run.venue.position(ETH, "net")
        assert (one.quantity, one.leverage, other.quantity, other.entry_price) == (3, 10, 0, None)
        told = run.told()
        assert [each.quantity for each in told if isinstance(each, Position)] == [d(3)]
        assert run.memory.trading.view.positions == {BTC: d(3)}
        run.far.go_down()
        run.runtime.advance(0.1)
        assert run.positions()[1].stale


def test_what_the_venue_has_not_told_yet_is_refused():
    run = Holder()
    run.far.is_mute = True
    with run:
        for ask in (run.venue.positions, run.venue.funding_payments, lambda: run.venue.position("BTC/USDT")):
            with pytest.raises(NotConnected, match="being asked for"):
                ask()
        assert run.memory.trading.view.positions is None
        assert run.memory.trading.view.day_results is None
        run.far.is_mute = False
        run.runtime.advance(60.0)
        assert run.positions()[0] == {}
        assert run.memory.trading.view.positions == {}


def test_spot_has_no_positions():
    with Run() as spot:
        for ask in (spot.venue.positions, spot.venue.funding_payments, lambda: spot.venue.position("BTC/USDT")):
            with pytest.raises(Unsupported, match="trades spot"):
                ask()
        market = (
            spot.venue.mark_prices,
            lambda: spot.venue.funding_rates("BTC/USDT", limit=1),
            lambda: spot.venue.open_interest("BTC/USDT"),
            lambda: spot.venue.subscribe_mark_price("BTC/USDT"),
            lambda: spot.venue.subscribe_liquidations("BTC/USDT", capacity=5),
        )
        for ask in market:
            with pytest.raises(Unsupported):
                ask()


def test_a_liquidation_nobody_listened_to_is_found_told_and_alarmed():
    with Holder() as run:
        run.far.come_up()
        order = run.place(quantity="3")
        run.far.fill(order, d(3))
        run.runtime.advance(5.0)
        run.told()
        run.far.go_down()
        run.far.liquidate(BTC)
        run.runtime.advance(15.0)
        told = run.told()
        forced = [each for each in told if isinstance(each, Fill)]
        assert [(each.kind, each.quantity, each.recovered) for each in forced] == [(FillKind.LIQUIDATION, 3, True)]
        assert [each.kind.value for each in told if isinstance(each, Alarm)] == ["forced"]
        assert [each.quantity for each in told if isinstance(each, Position)] == [d(0)]
        assert run.memory.alarms.counts()["order: forced"] == 1


def test_a_liquidation_that_is_heard_is_told_at_once():
    with Holder() as run:
        run.far.come_up()
        run.far.fill(run.place(quantity="3"), d(3))
        run.runtime.advance(2.0)
        run.told()
        run.far.liquidate(BTC)
        run.runtime.advance(0.5)
        kinds = [each.kind for each in run.told() if isinstance(each, Fill)]
        assert kinds == [FillKind.LIQUIDATION]
        fills, _ = run.venue.fills()
        assert [each.kind for each in fills] == [FillKind.TRADE, FillKind.LIQUIDATION]


def test_funding_is_told_once_by_whatever_way_and_over_crashes():
    with Holder() as run:
        run.far.come_up()
        run.runtime.advance(2.0)
        run.far.pay("-1.5")
        run.far.pay("0.5", said=False)
        run.runtime.advance(70.0)
        crash(run.venue.state)
        run.runtime.advance(70.0)
        paid = [each for each in run.told() if isinstance(each, FundingPayment)]
        assert [(each.amount, each.recovered) for each in paid] == [(d("-1.5"), False), (d("0.5"), True)]
        assert [each.amount for each in run.venue.funding_payments("BTC/USDT")[0]] == [d("-1.5"), d("0.5")]
        assert run.memory.trading.view.day_results == {"USDT": d(-1)}


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_storm_positions_payments_and_forced_fills_are_the_far_sides(seed):
    with Holder(seed) as run:
        far, chance = run.far, run.chance
        far.storming, far.bad_answers = True, 0.2
        for _ in range(40):
            deed = chance.random()
            if far.connection is None and deed < 0.4:
                far.come_up()
            elif far.connection is not None and deed < 0.1:
                far.go_down()
            elif deed < 0.2:
                far.pay(str(chance.choice([-1, 1]) * (len(far.payments) + 1)), chance.choice([BTC, ETH]))
            elif deed < 0.3 and any(far.held.values()):
                far.liquidate(next(symbol for symbol, held in far.held.items() if held))
            elif deed < 0.35:
                with suppress(Exception):
                    crash(run.venue.state)
            else:
                symbol = chance.choice([BTC, ETH])
                order = run.place(symbol, quantity=str(chance.randint(1, 3)))
                far.fill(order, order.quantity)
            run.runtime.advance(chance.choice([0.1, 1.0, 5.0]))
        far.storming, far.bad_answers = False, 0.0
        if far.connection is None:
            far.come_up()
        run.runtime.advance(200.0)

        held, freshness = run.positions()
        assert held == {symbol: quantity for symbol, quantity in far.held.items() if quantity}
        assert not freshness.stale
        told = run.told()
        paid = [each.payment_id for each in told if isinstance(each, FundingPayment)]
        assert sorted(paid) == sorted(each.payment_id for each in far.payments)
        fills = [each.trade_id for each in told if isinstance(each, Fill)]
        assert sorted(fills) == sorted(each.trade_id for each in far.trades()), "forced ones too, each once"
        last = {}
        for each in told:
            if isinstance(each, Position):
                assert last.get(each.symbol) != each.quantity, "no change is told twice"
                last[each.symbol] = each.quantity
        assert all(last.get(symbol, d(0)) == quantity for symbol, quantity in far.held.items())


# ---------------------------------------------------------------- settings


def settle(run, command):
    asked = run.venue.orders.ask(command, block=False)
    run.runtime.advance(12.0)
    return asked.get(timeout=0)


LEVERAGE = SetLeverage(symbol=BTC, leverage=d(7))


def test_a_setting_is_answered_once_the_venue_has_it_and_the_position_shows_it():
    with Holder() as run:
        run.far.come_up()
        run.far.fill(run.place(quantity="3"), d(3))
        run.runtime.advance(2.0)
        assert settle(run, LEVERAGE) is None
        assert settle(run, SetMarginMode(mode=MarginMode.CROSS)) is None
        assert run.far.configured == ["7", "cross"]
        assert run.venue.position(BTC)[0].leverage == 7


@pytest.mark.parametrize(
    "answer", [LinkError("cut"), (503, b""), (200, b"")], ids=["no answer", "not an exchange's", "not to be read"]
)
def test_a_setting_whose_answer_is_lost_is_unknown_and_may_be_sent_again(answer):
    with Holder() as run:
        run.far.come_up()
        run.far.configure_answer = answer
        with pytest.raises(OutcomeUnknown, match=r"SetLeverage took effect is not known.*Send it again"):
            settle(run, LEVERAGE)
        run.far.configure_answer = None
        run.runtime.advance(60.0)
        assert settle(run, LEVERAGE) is None


def test_a_setting_the_venue_refuses_is_refused_with_its_word():
    with Holder() as run:
        run.far.come_up()
        run.far.configure_answer = (400, b'"leverage is too high"')
        with pytest.raises(VenueRejected, match="110090"):
            settle(run, LEVERAGE)


def test_what_cannot_be_set_is_refused_before_anything_is_sent():
    with Holder() as run:
        run.far.come_up()
        with pytest.raises(Unsupported, match="one mode"):
            run.venue.set_position_mode("hedge")
        with pytest.raises(InvalidRequest, match="the account's"):
            run.venue.set_margin_mode("cross", "BTC/USDT")
        with pytest.raises(UnknownSymbol):
            run.venue.set_leverage("XYZ/USDT", 3)
        with pytest.raises(InvalidRequest, match="float"):
            run.venue.set_leverage("BTC/USDT", 3.5)
        with pytest.raises(InvalidRequest, match="expected one of"):
            run.venue.set_position_mode("sideways")
        assert run.far.configured == []
    with Run() as spot, pytest.raises(Unsupported, match="trades spot"):
        spot.venue.set_leverage("BTC/USDT", 3)


def test_a_setting_nobody_answers_ends_unknown():
    with Holder() as run:
        run.far.come_up()
        run.far.is_mute_about_settings = True
        with pytest.raises(OutcomeUnknown):
            settle(run, LEVERAGE)
