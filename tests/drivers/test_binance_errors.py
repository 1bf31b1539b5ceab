"""Refusals: every code and status, classed by what the caller must do, for reads and for writes."""

from __future__ import annotations

import pytest

from connector.domain import Symbol
from connector.domain.queries import CandlesQuery, PricesQuery, ServerTimeQuery
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    Misconfigured,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
)

BTC = Symbol("BTC", "USDT")

PARAMETERS = [
    *range(-1106, -1099),
    -1108,
    -1111,
    *range(-1122, -1113),
    -1128,
    -1130,
    -1134,
    -1135,
    -1139,
    -1145,
    -1151,
    -1194,
]

# code -> (class on a read, class on a write), copied by hand from the documents, not from the driver's table
EXPECTED = {
    **dict.fromkeys([-1000, -1001, -1006, -1007, -1008], (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys([-1003, -1015, -1034], (RateLimited, RateLimited)),
    -1016: (VenueUnavailable, VenueUnavailable),
    -1021: (ClockRejected, ClockRejected),
    **dict.fromkeys([-1002, -1022, -2014, -2015, -2028, -1193], (AuthenticationFailed, AuthenticationFailed)),
    **dict.fromkeys([-1013, -1014, -1020, -1125, -1127, -1220, *PARAMETERS], (VenueRejected, VenueRejected)),
    **dict.fromkeys(
        [-2010, -2011, -2013, -2016, -2022, -2026, -2035, -2036, -2038, -2039, -2043], (VenueRejected,) * 2
    ),
    -2021: (VenueRejected, OutcomeUnknown),
    -2042: (NotConnected, NotConnected),
}


@pytest.fixture
def failed(driver, answer):
    def failed(body, status=400, *, write=False, **headers):
        return driver.rest.failure(answer(body, status, **headers), write=write)

    return failed


def test_the_table_has_exactly_the_documented_codes(driver):
    assert set(driver.error_codes) == {str(code) for code in EXPECTED}
    assert all(driver.error_codes.values())


@pytest.mark.parametrize(("code", "classes"), EXPECTED.items())
def test_code_is_classed_by_what_the_caller_must_do(failed, code, classes):
    for write, kind in zip((False, True), classes, strict=True):
        error = failed({"code": code, "msg": "said the venue"}, 400, write=write)
        assert type(error) is kind
        assert "said the venue" in str(error) and str(code) in str(error)
        if not isinstance(error, OutcomeUnknown):
            assert error.code == str(code)


def test_rejection_keeps_code_text_and_status(failed):
    error = failed({"code": -2010, "msg": "Account has insufficient balance for requested action."}, write=True)
    assert (error.code, error.reason, error.status) == (
        "-2010",
        "Account has insufficient balance for requested action.",
        400,
    )


@pytest.mark.parametrize("write", [False, True])
def test_success_is_no_failure(failed, write):
    assert failed({}, 200, write=write) is None
    assert failed(b"", 204, write=write) is None


@pytest.mark.parametrize("write", [False, True])
def test_rate_limit_obeys_retry_after(failed, write):
    error = failed({"code": -1003, "msg": "Too much request weight used"}, 429, write=write, retry_after="17")
    assert type(error) is RateLimited and error.retry_after_s == 17.0
    assert failed({"code": -1015, "msg": "Too many new orders"}, 429, write=write).retry_after_s is None
    assert type(failed(b"<html>slow down</html>", 429, write=write, retry_after="3")) is RateLimited


@pytest.mark.parametrize(
    "header", ["", "soon", "-1", "NaN", "inf", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 30, "１７"]
)
def test_unreadable_retry_after_is_no_time(failed, header):
    assert failed({"code": -1003, "msg": "x"}, 429, retry_after=header).retry_after_s is None


def test_ban_obeys_the_header_or_the_text_whichever_is_later(failed):
    text = "Way too much request weight used; IP banned until 1000000060000. Please use WebSocket Streams."
    body = {"code": -1003, "msg": text}
    sent_ns = 1_000_000_000_000 * 1_000_000 - 5_000_000  # received at 1,000,000,000,000 ms: a minute before the end

    for status in (418, 429, 403):
        error = failed(body, status, sent_ns=sent_ns)
        assert type(error) is Banned and error.retry_after_s == pytest.approx(60.0)
    assert failed(body, 418, sent_ns=sent_ns, retry_after="120").retry_after_s == 120.0
    assert failed(body, 418, sent_ns=sent_ns, retry_after="1").retry_after_s == pytest.approx(60.0)
    assert failed(b"", 418, retry_after="9", write=True).retry_after_s == 9.0
    assert failed(b"<html>", 418).retry_after_s is None
    assert failed(body, 418, sent_ns=2 * sent_ns).retry_after_s == 0.0


@pytest.mark.parametrize("write", [False, True])
def test_firewall_page_asks_for_minutes(failed, write):
    error = failed(b"<html><body>403 Forbidden</body></html>", 403, write=write)
    assert type(error) is VenueUnavailable and error.retry_after_s >= 120
    assert failed(b"<html>", 403, retry_after="900").retry_after_s == 900


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", {"code": -1121, "msg": "x"}, {"code": -1007, "msg": "t"}]
)
def test_server_error_is_unknown_for_a_write_and_later_for_a_read(failed, status, body):
    assert type(failed(body, status, write=True)) is OutcomeUnknown
    assert type(failed(body, status, write=False)) is VenueUnavailable


def test_unknown_code_is_unknown_for_a_write_and_an_error_for_a_read(failed):
    body = {"code": -9999, "msg": "news"}
    assert type(failed(body, 400, write=True)) is OutcomeUnknown
    error = failed(body, 400, write=False)
    assert type(error) is VenueRejected and error.code == "-9999"
    assert type(failed({"code": "A1", "msg": "news"}, 409, write=True)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (301, VenueUnavailable, OutcomeUnknown),
        (400, VenueUnavailable, OutcomeUnknown),
        (401, AuthenticationFailed, AuthenticationFailed),
        (404, VenueRejected, OutcomeUnknown),
        (405, VenueUnavailable, OutcomeUnknown),
        (409, VenueUnavailable, OutcomeUnknown),
        (410, Unsupported, Unsupported),
        (451, Misconfigured, Misconfigured),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>x</html>", b"[" * 10_000, b"\xff\xfe", b"{}", b'{"code":null}', b'{"code":[]}']
)
def test_status_decides_where_the_body_says_nothing(failed, status, read, write, body):
    assert type(failed(body, status)) is read
    assert type(failed(body, status, write=True)) is write


def test_restricted_place_is_for_an_operator(failed):
    body = {"code": 0, "msg": "Service unavailable from a restricted location"}
    assert type(failed(body, 451)) is Misconfigured


def test_cancel_replace_half_done_is_unknown_whatever_the_status(failed):
    body = {"code": -2021, "msg": "Order cancel-replace partially failed.", "data": {"cancelResult": "SUCCESS"}}
    assert type(failed(body, 409, write=True)) is OutcomeUnknown
    assert type(failed(body, 429, write=True)) is OutcomeUnknown


def test_long_pages_are_shown_in_part(failed):
    assert len(str(failed(b"<html>" + b"x" * 50_000_000, 400))) < 600
    assert len(str(failed({"code": -1100, "msg": "y" * 100_000}, 400))) < 600


# ---------------------------------------------------------------- read raises what failure says


def test_refused_symbol_is_named_with_its_likes(driver, answer, table):
    refused = answer({"code": -1121, "msg": "Invalid symbol."}, 400)
    with pytest.raises(UnknownSymbol, match="BTC/USDT") as raised:
        driver.rest.read(CandlesQuery(Symbol("BTX", "USDT"), "1m"), refused, table)
    assert raised.value.symbol == "BTX/USDT" and raised.value.__cause__.code == "-1121"

    with pytest.raises(UnknownSymbol) as raised:
        driver.rest.read(PricesQuery((BTC, Symbol("NO", "SUCH"))), refused, table)
    assert raised.value.symbol == "NO/SUCH"
    with pytest.raises(UnknownSymbol):
        driver.rest.read(CandlesQuery(BTC, "1m"), refused, None)
    with pytest.raises(VenueRejected):
        driver.rest.read(ServerTimeQuery(), refused, table)


def test_read_raises_the_failure(driver, answer, table):
    with pytest.raises(VenueUnavailable):
        driver.rest.read(CandlesQuery(BTC, "1m"), answer(b"", 503), table)
