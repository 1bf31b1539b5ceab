"""Refusals of the futures hosts: every code and text, classed by what the caller must do, per product."""

from __future__ import annotations

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR

from connector.domain.queries import DepthQuery
from connector.drivers.binance import COINM, SPOT, USDM
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    Misconfigured,
    OutcomeUnknown,
    RateLimited,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
)

R, RR = VenueRejected, (VenueRejected, VenueRejected)


def span(high, low):
    """Codes are negative: span(-4001, -4007) holds both ends."""
    return range(low, high + 1)


# code -> (class on a read, class on a write), copied by hand from the documents, not from the driver's table
SHARED = {
    **dict.fromkeys([-1000, -1001, -1006, -1007, -2012], (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys([-1003, -1015], (RateLimited, RateLimited)),
    **dict.fromkeys([-1008, -1016, 239999], (VenueUnavailable, VenueUnavailable)),
    **dict.fromkeys([-1021, -5028], (ClockRejected, ClockRejected)),
    **dict.fromkeys(
        [-1002, -1004, -1005, -1011, -1022, -1099, -2014, -2015, -2017, -4056, -4057],
        (AuthenticationFailed, AuthenticationFailed),
    ),
    -1125: RR,
    **dict.fromkeys([-1010, -1013, -1014, -1020, -1023, *span(-1100, -1106), -1108, -1109], RR),
    **dict.fromkeys([*span(-1110, -1118), *span(-1120, -1122), *span(-1126, -1128), -1130, -1136], RR),
    **dict.fromkeys([-2010, -2011, -2013, *span(-2018, -2028)], RR),
    **dict.fromkeys([-4000, *span(-4001, -4007), *span(-4008, -4012), -4013, -4014, -4015, -4016], RR),
    **dict.fromkeys([*span(-4017, -4019), -4020, -4021, -4023, -4024, *span(-4025, -4027), -4028, -4029], RR),
    **dict.fromkeys([-4030, -4031, -4032, -4045, -4046, -4047, -4048, *span(-4049, -4055), -4059], RR),
    **dict.fromkeys([-4060, -4061, -4062, -4067, -4068, -4082, -4083, -4084, -4087, -4088, -4104], RR),
    **dict.fromkeys([-4109, -4114, -4115, -4116, -4117, -4118, -4120, -4131, *span(-4135, -4139)], RR),
    **dict.fromkeys([-4140, -4141, -4142, -4144, -4161, -4164, -4165, -4166, *span(-4167, -4170), -4171], RR),
    **dict.fromkeys([-4172, -4183, -4184, -4192, *span(-4202, -4209), -4210, -4211, *span(-4400, -4403)], RR),
    **dict.fromkeys([-4531, -5021, -5022, -5024, -5025, -5026, -5027, -5029, *span(-5037, -5041), -5043], RR),
    **dict.fromkeys([-5047, -21015], RR),
}
COINM_ONLY = {
    **dict.fromkeys([-4087, -4088, -4089, -4090, *span(-4110, -4113), -4150, -4151, -4152, -4154, -4155], RR),
    **dict.fromkeys([-4178, *span(-4194, -4202)], RR),
    -4188: (ClockRejected, ClockRejected),
}
EXPECTED = {USDM.name: SHARED, COINM.name: SHARED | COINM_ONLY}


@pytest.fixture
def failed(answer):
    def failed(driver, body, status=400, *, write=False, **headers):
        return driver.rest.failure(answer(body, status, **headers), write=write)

    return failed


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_the_table_has_exactly_the_documented_codes(driver):
    assert set(driver.error_codes) == {str(code) for code in EXPECTED[driver.name]}
    assert all(driver.error_codes.values())


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_code_is_classed_by_what_the_caller_must_do(failed, driver):
    for code, classes in EXPECTED[driver.name].items():
        for write, kind in zip((False, True), classes, strict=True):
            error = failed(driver, {"code": code, "msg": "said the venue"}, write=write)
            assert type(error) is kind, code
            assert "said the venue" in str(error) and str(code) in str(error) and driver.name in str(error)


def test_codes_that_mean_other_things_than_on_spot_are_not_read_as_spots(failed):
    body = {"code": -2021, "msg": "Order would immediately trigger."}
    assert type(SPOT.rest.failure(_response(body), write=True)) is OutcomeUnknown
    assert type(failed(USDM, body, write=True)) is VenueRejected
    assert type(failed(USDM, {"code": -2028, "msg": "Leverage is too small."}, write=True)) is VenueRejected


def _response(body):
    import json

    from connector.domain.wire import HttpResponse

    return HttpResponse(400, {}, json.dumps(body).encode(), 1, 2)


def test_the_late_code_of_each_product_measures_the_clock_again(failed):
    assert type(failed(COINM, {"code": -4188, "msg": "x"}, write=True)) is ClockRejected
    assert type(failed(USDM, {"code": -4188, "msg": "x"}, write=True)) is VenueRejected


@pytest.mark.parametrize("code", [-4000, -4999, -5000, -5999, -4188])
def test_an_unlisted_code_of_the_engine_refused_the_request(failed, code):
    error = failed(USDM, {"code": code, "msg": "brand new"}, write=True)
    assert type(error) is VenueRejected and (error.code, error.reason, error.status) == (str(code), "brand new", 400)


@pytest.mark.parametrize("code", [-3999, -6000, -9999, 0, 4000, "x"])
def test_any_other_unlisted_code_leaves_a_write_unknown(failed, code):
    assert type(failed(USDM, {"code": code, "msg": "brand new"}, write=True)) is OutcomeUnknown
    assert type(failed(USDM, {"code": code, "msg": "brand new"})) is VenueRejected


UNKNOWN = "Unknown error, please check your request or try again later."
FAILED = ["Service Unavailable.", "Internal error; unable to process your request. Please try again."]
THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
)


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_a_503_is_judged_by_its_text(failed, driver):
    for text in FAILED:
        for code in (-1000, -1001):
            assert type(failed(driver, {"code": code, "msg": text}, 503, write=True)) is VenueUnavailable
    assert type(failed(driver, {"code": -1008, "msg": THROTTLED}, 503, write=True)) is VenueUnavailable
    assert type(failed(driver, {"code": -1008, "msg": THROTTLED}, 429, write=True)) is VenueUnavailable


@pytest.mark.parametrize(
    "body",
    [
        {"code": -1000, "msg": UNKNOWN},
        {"code": -1000, "msg": "Service Unavailable"},
        {"code": -1000, "msg": "Service Unavailable. Or was it?"},
        {"code": -1007, "msg": "Timeout waiting for response from backend server."},
        {"code": -1016, "msg": "shutting down"},
        b"Service Unavailable.",
        b"<html>503 Service Unavailable.</html>",
        b"",
    ],
)
def test_any_other_503_leaves_a_write_unknown(failed, body):
    assert type(failed(USDM, body, 503, write=True)) is OutcomeUnknown
    assert type(failed(USDM, body, 503)) is VenueUnavailable


def test_408_is_never_evidence_about_a_write(failed):
    for body in ({"code": -1007, "msg": "Timeout"}, {"code": -2010, "msg": "x"}, b""):
        assert type(failed(USDM, body, 408, write=True)) is OutcomeUnknown
        assert type(failed(USDM, body, 408)) is VenueUnavailable


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (418, {"code": -1003, "msg": "banned until 1800000060000"}, Banned),
        (429, {"code": -1003, "msg": "Too many requests"}, RateLimited),
        (429, {"code": -4999, "msg": "x"}, RateLimited),
        (403, b"<html>", VenueUnavailable),
        (451, {"code": 0, "msg": "restricted location"}, Misconfigured),
        (410, b"", Unsupported),
        (401, b"", AuthenticationFailed),
        (500, {"code": -2010, "msg": "x"}, OutcomeUnknown),
        (502, b"<html>", OutcomeUnknown),
    ],
)
def test_status_counts_where_it_says_more_than_the_code(failed, status, body, kind):
    assert type(failed(USDM, body, status, write=True)) is kind


def test_refusals_name_the_product(failed, answer):
    for driver, symbol in ((USDM, ETH_LINEAR), (COINM, BTC_INVERSE)):
        with pytest.raises(VenueRejected) as caught:
            driver.rest.read(DepthQuery(symbol), answer({"code": -4021, "msg": "Invalid depth"}, 400), None)
        assert caught.value.venue == driver.name


def test_success_is_no_failure(failed):
    assert failed(USDM, {}, 200, write=True) is None
