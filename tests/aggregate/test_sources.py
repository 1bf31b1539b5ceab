"""What an engine has to state before books are put side by side, and that nothing is assumed in its place."""

from decimal import Decimal, localcontext

import pytest

from connector.aggregate import Consolidation, Rate, Source, Terms
from connector.aggregate.sources import rate_of_book
from connector.domain import Symbol
from connector.errors import InvalidRequest

USDT, USDC = Source.of("alpha", "BTC/USDT"), Source.of("beta", "BTC/USDC")


def test_prices_in_different_quotes_are_refused_without_a_stated_rate():
    with pytest.raises(InvalidRequest, match="say in which quote"):
        Consolidation([USDT, USDC])
    with pytest.raises(InvalidRequest, match="prices in USDC cannot be put beside prices in USDT: state a rate"):
        Consolidation([USDT, USDC], "USDT")

    assert Consolidation([USDT, USDC], "USDT", {"USDC": 1}).rates == {"USDC": Decimal(1)}


def test_an_inverse_contract_is_priced_in_another_asset_too():
    inverse = Source.of("alpha", "BTC/USD:BTC")

    with pytest.raises(InvalidRequest, match="prices in USD "):
        Consolidation([USDT, inverse], "USDT")
    assert Consolidation([USDT, inverse], "USDT", {"USD": "1"}).base == "BTC"


def test_products_of_one_base_and_quote_need_no_rate():
    assert Consolidation([USDT, Source.of("alpha", "BTC/USDT:USDT")]).quote == "USDT"


@pytest.mark.parametrize(
    ("sources", "quote", "rates", "text"),
    [
        ([], None, {}, "there are no sources"),
        ([USDT, USDT], None, {}, "named twice"),
        ([USDT, Source.of("alpha", "ETH/USDT")], None, {}, "BTC, ETH"),
        ([USDT], "USDT", {"USDC": 1}, "rates of USDC, in which no source is priced"),
        ([USDT, USDC], "USDT", {"USDC": 0}, "more than 0"),
        ([USDT, USDC], "USDT", {"USDC": 1.0}, "never a float"),
        ([USDT, USDC], "USDT", {"USDC": "one"}, "expected a number"),
        ([USDT, USDC], "USDT", {"USDC": "NaN"}, "finite"),
        ([USDT, USDC], "USDT", {"USDC": Source.of("alpha", "EUR/USDT")}, "tells no rate of USDC in USDT"),
        ([USDT, USDC], "USDT", {"USDC": Source.of("alpha", "USDC/USDT:USDT")}, "tells no rate"),
    ],
)
def test_what_cannot_be_put_side_by_side_is_refused_with_what_was_expected(sources, quote, rates, text):
    with pytest.raises(InvalidRequest, match=text):
        Consolidation(sources, quote, rates)


@pytest.mark.parametrize("fee", [0.001, "much", "1", "-1", True, "Infinity"])
def test_a_fee_is_an_exact_part_of_the_price(fee):
    with pytest.raises(InvalidRequest, match="taker_fee"):
        Source.of("alpha", "BTC/USDT", fee)


def test_what_is_sold_is_changed_at_the_bid_and_what_is_bought_at_the_ask():
    terms = Terms(Rate(Decimal("0.99"), Decimal("1.01")))

    assert terms.bid(Decimal(100)) == Decimal(99)
    assert terms.ask(Decimal(100)) == Decimal(101)


def test_a_fee_lowers_what_a_bid_brings_and_raises_what_an_ask_costs():
    terms = Terms(fee=Decimal("0.001"))

    assert terms.bid(Decimal("64000.01")) == Decimal("63936.00999")
    assert terms.ask(Decimal("64000.01")) == Decimal("64064.01001")


def test_a_rate_is_read_off_a_book_either_way_round_and_rounded_against_us():
    there = rate_of_book("USDC", "USDT", Symbol("USDC", "USDT"), Decimal("0.9998"), Decimal("0.9999"))
    back = rate_of_book("EUR", "USDT", Symbol("USDT", "EUR"), Decimal("0.9"), Decimal("0.93"))

    assert there == Rate(Decimal("0.9998"), Decimal("0.9999"))
    with localcontext(prec=200):
        assert 1 - Decimal("1e-50") < back.bid * Decimal("0.93") < 1
        assert 1 < back.ask * Decimal("0.9") < 1 + Decimal("1e-50")


def test_a_rate_may_be_a_number_that_an_engine_states(make):
    euro = Source.of("beta", "BTC/EUR")
    core = Consolidation([USDT, euro], "USDT", {"EUR": "1.08"})

    *_, quote = core.on_book(euro.key, make.book(euro, {100: 1}, {200: 1}))

    assert (quote.best_bid.price, quote.best_ask.price) == (108, 216)
