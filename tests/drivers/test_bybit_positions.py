"""Positions, funding and settings of contracts: questions and commands out, answers in."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from connector.domain import Symbol
from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.facts import PositionReport
from connector.domain.wire import Charge
from connector.drivers.bybit.signing import hmac_signer
from connector.drivers.trading import Auth
from connector.errors import InvalidRequest, OutcomeUnknown, Unsupported, VenueRejected, WireFormatError

D = Decimal
MS = 1_000_000
AUTH = Auth("DUMMYKEY0123456789", hmac_signer("DUMMYSECRETabcdefghijklmnopqrstuvwxyz"), "hmac")
NOW_MS = 1_767_225_700_000
GOT = 1_767_225_700_005_000_000
WEEK_MS = 7 * 86_400_000
LINEAR, USDC, INVERSE = Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USDC", "USDC"), Symbol("BTC", "USD", "BTC")

ROW = {
    "positionIdx": 0,
    "symbol": "BTCUSDT",
    "side": "Buy",
    "size": "0.5",
    "avgPrice": "27464.5",
    "positionValue": "13732.25",
    "tradeMode": 0,
    "positionStatus": "Normal",
    "leverage": "10",
    "markPrice": "28224.50",
    "liqPrice": "25000.5",
    "unrealisedPnl": "380",
    "seq": 5723621632,
    "updatedTime": "1697673600012",
}
LINE = {
    "id": "592324_XRPUSDT_161440249321",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "funding": "-0.003676",
    "orderLinkId": "",
    "fee": "0.00000000",
    "change": "-0.003676",
    "cashFlow": "0",
    "transactionTime": "1672128000000",
    "type": "SETTLEMENT",
    "currency": "USDT",
    "category": "linear",
    "tradeId": "534c0003-4bf7-486f-aa02-78cee36825e4",
}


@pytest.fixture
def of(bybit_drivers):
    return lambda name="bybit-linear": bybit_drivers[name].positions


@pytest.fixture
def reads(of, bybit_answer, bybit_tables):
    def reads(*rows, name="bybit-linear"):
        return of(name).read_positions([bybit_answer({"list": list(rows), "nextPageCursor": ""})], bybit_tables[name])

    return reads


def test_spot_has_no_positions(bybit_drivers):
    assert bybit_drivers["bybit"].positions is None


def test_positions_of_linear_contracts_are_asked_for_coin_by_coin(of, bybit_drivers, bybit_answer):
    requests = of().positions(AUTH, NOW_MS)
    base = "/v5/position/list?category=linear&settleCoin={}&limit=200"
    assert [request.target for request in requests] == [base.format("USDT"), base.format("USDC")]
    assert len({request.headers["X-BAPI-TIMESTAMP"] for request in requests}) == 2
    assert requests[0].charges == (Charge("position/list contracts", 1), Charge("IP/5s", 1))
    (inverse,) = of("bybit-inverse").positions(AUTH, NOW_MS)
    assert inverse.target == "/v5/position/list?category=inverse&limit=200"
    more = bybit_drivers["bybit-linear"].trading.more
    page = bybit_answer({"list": [ROW], "nextPageCursor": "BTCUSDT%2C1"})
    assert more(requests[0], page, AUTH, NOW_MS).target == base.format("USDT") + "&cursor=BTCUSDT%2C1"
    assert more(requests[0], bybit_answer({"list": [ROW], "nextPageCursor": ""}), AUTH, NOW_MS) is None


def test_all_pages_together_name_every_position(of, bybit_answer, bybit_tables):
    answers = [
        bybit_answer({"list": [ROW], "nextPageCursor": ""}),
        bybit_answer({"list": [{**ROW, "symbol": "BTCPERP", "side": "Sell"}, {**ROW, "symbol": "NEWUSDT"}]}),
    ]
    long = Position(
        venue="bybit-linear",
        symbol=LINEAR,
        event_time_ns=1697673600012 * MS,
        received_ns=GOT,
        side=PositionSide.NET,
        quantity=D("0.5"),
        entry_price=D("27464.5"),
        unrealized=D(380),
        liquidation_price=D("25000.5"),
        leverage=D(10),
        mark_price=D("28224.50"),
        sequence=5723621632,
    )
    report = of().read_positions(answers, bybit_tables["bybit-linear"])
    assert isinstance(report, PositionReport) and report.complete
    assert (report.venue, report.event_time_ns, report.received_ns) == ("bybit-linear", NOW_MS * MS, GOT)
    assert report.positions[0] == long
    assert [(each.symbol, each.quantity) for each in report.positions] == [(LINEAR, D("0.5")), (USDC, D("-0.5"))]


def test_position_of_an_inverse_contract_is_contracts_and_their_worth_at_entry(reads):
    (held,) = reads(
        {**ROW, "symbol": "BTCUSD", "side": "Sell", "size": "300", "avgPrice": "30000"}, name="bybit-inverse"
    ).positions
    assert (held.contracts, held.quantity) == (D(-300), D("-0.01"))


def test_both_sides_of_a_hedge_are_told_apart(reads):
    held = reads({**ROW, "positionIdx": 1}, {**ROW, "positionIdx": 2, "side": "Sell"}).positions
    assert [(each.side, each.quantity) for each in held] == [
        (PositionSide.LONG, D("0.5")),
        (PositionSide.SHORT, D("-0.5")),
    ]


def test_figures_the_venue_leaves_empty_are_none_and_not_zero(reads):
    (held,) = reads({**ROW, "liqPrice": "", "leverage": "", "unrealisedPnl": "", "markPrice": "", "seq": -1}).positions
    empty = (held.liquidation_price, held.leverage, held.unrealized, held.mark_price, held.sequence)
    assert empty == (None,) * 5


@pytest.mark.parametrize(
    "fields",
    [{"side": ""}, {"size": "NaN"}, {"size": "-1"}, {"positionIdx": 7}, {"liqPrice": "1e99"}, {"updatedTime": "x"}],
)
def test_position_that_cannot_be_read_refuses_the_answer(reads, fields):
    with pytest.raises(WireFormatError):
        reads({**ROW, **fields})


def test_answer_that_is_an_error_is_raised(of, bybit_answer, bybit_tables):
    with pytest.raises(VenueRejected):
        of().read_positions([bybit_answer(code=10001, text="x")], bybit_tables["bybit-linear"])


# ---------------------------------------------------------------- funding


def test_funding_is_read_from_the_log_of_a_week_page_by_page(of, bybit_drivers, bybit_answer):
    start = NOW_MS - WEEK_MS - 5
    first = of().funding(start * MS, AUTH, NOW_MS)
    assert first.target == (
        "/v5/account/transaction-log?category=linear&accountType=UNIFIED&type=SETTLEMENT"
        f"&startTime={start}&endTime={start + WEEK_MS - 1}&limit=50"
    )
    assert first.charges[0] == Charge("account/transaction-log account", 1)
    more = bybit_drivers["bybit-linear"].trading.more
    assert more(first, bybit_answer({"list": [LINE], "nextPageCursor": ""}), AUTH, NOW_MS) is None
    page = bybit_answer({"list": [LINE], "nextPageCursor": "21963%3A1%2C14954%3A1"})
    assert more(first, page, AUTH, NOW_MS).query == first.query + "&cursor=21963%3A1%2C14954%3A1"


def test_funding_lines_become_payments_oldest_first(of, bybit_answer, bybit_tables):
    rows = [
        {
            **LINE,
            "transactionTime": "1672156800000",
            "funding": "0.5",
            "symbol": "BTCPERP",
            "currency": "USDC",
            "tradeId": "",
        },
        LINE,
        {**LINE, "funding": "", "cashFlow": "7"},
        {**LINE, "category": "inverse"},
        {**LINE, "symbol": "GONEUSDT", "tradeId": "", "id": "", "transactionTime": "1672099200000"},
    ]
    payments = of().read_funding(bybit_answer({"list": rows, "nextPageCursor": ""}), bybit_tables["bybit-linear"])
    assert payments == (
        FundingPayment(
            "bybit-linear", None, 1672099200000 * MS, GOT, "GONEUSDT-1672099200000-Buy-USDT", "USDT", D("-0.003676")
        ),
        FundingPayment("bybit-linear", LINEAR, 1672128000000 * MS, GOT, LINE["tradeId"], "USDT", D("-0.003676")),
        FundingPayment("bybit-linear", USDC, 1672156800000 * MS, GOT, LINE["id"], "USDC", D("0.5")),
    )


def test_funding_that_is_no_number_refuses_the_answer(of, bybit_answer, bybit_tables):
    with pytest.raises(WireFormatError):
        of().read_funding(bybit_answer({"list": [{**LINE, "funding": "Infinity"}]}), bybit_tables["bybit-linear"])


# ---------------------------------------------------------------- settings


@pytest.fixture
def configures(of, bybit_tables):
    def configures(command, name="bybit-linear"):
        symbol = command.symbol
        instrument = None if symbol is None else bybit_tables[name][symbol]
        request = of(name).configure(command, instrument, AUTH, NOW_MS)
        assert (request.method, request.safe, request.query) == ("POST", False, "")
        return request.path, json.loads(request.body)

    return configures


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        (
            SetLeverage(symbol=LINEAR, leverage=D("12.5")),
            "/v5/position/set-leverage",
            {"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "12.5", "sellLeverage": "12.5"},
        ),
        (
            SetPositionMode(mode=PositionMode.HEDGE, symbol=LINEAR),
            "/v5/position/switch-mode",
            {"category": "linear", "symbol": "BTCUSDT", "mode": 3},
        ),
        (
            SetPositionMode(mode=PositionMode.ONE_WAY, symbol=USDC),
            "/v5/position/switch-mode",
            {"category": "linear", "symbol": "BTCPERP", "mode": 0},
        ),
        (SetMarginMode(mode=MarginMode.CROSS), "/v5/account/set-margin-mode", {"setMarginMode": "REGULAR_MARGIN"}),
        (SetMarginMode(mode=MarginMode.ISOLATED), "/v5/account/set-margin-mode", {"setMarginMode": "ISOLATED_MARGIN"}),
        (
            SetMarginMode(mode=MarginMode.PORTFOLIO),
            "/v5/account/set-margin-mode",
            {"setMarginMode": "PORTFOLIO_MARGIN"},
        ),
    ],
)
def test_setting_goes_out_in_the_venues_words(configures, command, path, body):
    assert configures(command) == (path, body)


@pytest.mark.parametrize(
    ("command", "name", "error", "says"),
    [
        (SetLeverage(symbol=LINEAR, leverage=D("0.5")), "bybit-linear", InvalidRequest, "1 to 1000"),
        (SetMarginMode(mode=MarginMode.CROSS, symbol=LINEAR), "bybit-linear", InvalidRequest, "whole account"),
        (SetPositionMode(mode=PositionMode.HEDGE, symbol=USDC), "bybit-linear", Unsupported, "USDT only"),
        (SetPositionMode(mode=PositionMode.HEDGE), "bybit-linear", InvalidRequest, "Give the symbol"),
        (SetPositionMode(mode=PositionMode.HEDGE, symbol=INVERSE), "bybit-inverse", Unsupported, "no mode"),
        (SetPositionMode(mode=PositionMode.ONE_WAY), "bybit-inverse", Unsupported, "no mode"),
    ],
)
def test_setting_the_venue_does_not_have_is_refused(configures, command, name, error, says):
    with pytest.raises(error, match=says):
        configures(command, name)


def test_leverage_needs_its_own_instrument(of, bybit_tables):
    command = SetLeverage(symbol=LINEAR, leverage=D(5))
    for instrument in (None, bybit_tables["bybit-linear"][USDC]):
        with pytest.raises(InvalidRequest, match="another"):
            of().configure(command, instrument, AUTH, NOW_MS)


@pytest.mark.parametrize("code", [0, 110025, 110026, 110043])
def test_what_is_so_already_is_no_error(of, bybit_answer, code):
    command = SetLeverage(symbol=LINEAR, leverage=D(5))
    assert of().read_configured(command, bybit_answer(code=code, text="not modified")) is None


def test_refused_margin_mode_says_what_stands_in_the_way(of, bybit_answer):
    reasons = {
        "reasons": [{"reasonCode": "3400000", "reasonMsg": "Equity needs to be equal to or greater than 1000 USDC"}]
    }
    with pytest.raises(VenueRejected, match="greater than 1000 USDC") as refused:
        of().read_configured(
            SetMarginMode(mode=MarginMode.PORTFOLIO), bybit_answer(reasons, code=3400045, text="failed")
        )
    assert refused.value.code == "3400045"
    with pytest.raises(VenueRejected, match="failed"):
        of().read_configured(SetMarginMode(mode=MarginMode.PORTFOLIO), bybit_answer([], code=3400045, text="failed"))


def test_other_refusals_are_what_the_table_says(of, bybit_answer):
    command = SetPositionMode(mode=PositionMode.HEDGE, symbol=LINEAR)
    for code, kind in ((110024, VenueRejected), (10016, OutcomeUnknown), (424242, OutcomeUnknown)):
        with pytest.raises(kind):
            of().read_configured(command, bybit_answer(code=code, text="x"))
