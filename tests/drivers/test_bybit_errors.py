"""Refusals: every code and status, classed by what the caller must do, for reads and for writes."""

from __future__ import annotations

import json

import pytest

from connector.domain.wire import HttpResponse
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    Misconfigured,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)

# code -> (class on a read, class on a write), copied by hand from the documents, not from the driver's table
EXPECTED = {
    **dict.fromkeys([10000, 10016, 10014], (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys([170001, 170234, 170007, 170032, 170146, 170147, 170310], (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys([170149, 170150, 170311], (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys([429, 10429, 170005, 170222, 20003], (RateLimited, OutcomeUnknown)),
    **dict.fromkeys([10006, 10403], (RateLimited, RateLimited)),
    10018: (Banned, Banned),
    **dict.fromkeys([10002, -1], (ClockRejected, ClockRejected)),
    10019: (NotConnected, NotConnected),
    20006: (VenueRejected, OutcomeUnknown),
    **dict.fromkeys([10003, 10004, 10005, 10007, 10008, 10027, 33004, -2015], (AuthenticationFailed,) * 2),
    **dict.fromkeys([10010, 10009, 10024], (AuthenticationFailed,) * 2),
    **dict.fromkeys([10028, 100028, 10017], (Misconfigured,) * 2),
    **dict.fromkeys(
        [
            *(10001, 10029, 110132, 170209, 170348),
            *(110001, 170213, 170143, 110008, 110010, 170139, 170142, 170190),
            *(110079, 170212, 170191, 30035, 40004, 110072, 170141),
            *(110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051, 110052, 110053, 170131, 170033),
            *(110003, 110120, 110121, 30208, 30209, 170132, 170133, 170192, 170193, 170194, 170371, 170372),
            *(110017, 110094, 170140, 170134, 170137, 170148, 170124, 170136, 170341, 170381, 170382),
            *(110009, 110020, 110061, 170810, 110022, 110023, 110042, 30228, 110024, 110028, 110029),
            *(110013, 110090, 110086, 110025, 110026, 110027, 110043, 34040, 20001),
            *(110063, 110066, 110074, 170151, 110095, 110098, 110099, 110103, 170159, 170206, 170217),
            *(110119, 170355, 181017, 10404, 3400045),
        ],
        (VenueRejected, VenueRejected),
    ),
}


@pytest.fixture(params=["bybit", "bybit-linear", "bybit-inverse"])
def failed(request, bybit_drivers, bybit_answer):
    rest = bybit_drivers[request.param].rest

    def failed(code=None, status=200, *, write=False, body=None, text="said the venue", **headers):
        if body is None:
            return rest.failure(bybit_answer(code=code, text=text, status=status, **headers), write=write)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return rest.failure(HttpResponse(status, headers, raw, 1, 2), write=write)

    return failed


def test_the_table_has_exactly_the_documented_codes(bybit_drivers):
    for driver in bybit_drivers.values():
        assert set(driver.error_codes) == {str(code) for code in EXPECTED}
        assert all(driver.error_codes.values())


def test_code_is_classed_by_what_the_caller_must_do(failed):
    for code, classes in EXPECTED.items():
        for write, kind in zip((False, True), classes, strict=True):
            error = failed(code, write=write)
            assert type(error) is kind, code
            assert "said the venue" in str(error) and str(code) in str(error)
            if not isinstance(error, OutcomeUnknown) and kind is not Misconfigured:
                assert error.code == str(code)


@pytest.mark.parametrize("write", [False, True])
def test_success_is_no_failure_whatever_its_text(failed, write):
    for text in ("OK", "success", "SUCCESS", ""):
        assert failed(0, write=write, text=text) is None
    assert failed(body={"retCode": 0, "retMsg": None, "result": None}, write=write) is None


def test_code_that_is_not_in_the_table_is_unknown_for_a_write_and_an_error_for_a_read(failed):
    assert type(failed(999999, write=True)) is OutcomeUnknown
    error = failed(999999)
    assert type(error) is VenueRejected and (error.code, error.reason) == ("999999", "said the venue")


def test_endpoint_limit_waits_until_the_venue_says_by_the_venues_own_clock(failed):
    error = failed(10006, write=True, x_bapi_limit_reset_timestamp="1767225700750")
    assert type(error) is RateLimited and error.retry_after_s == pytest.approx(0.75)


@pytest.mark.parametrize(
    "header", ["", "soon", "-1", "1767225699999", "9" * 13, "9" * 30, "１７６７２２５７００７５０"]
)
def test_unreadable_or_absurd_reset_is_no_time(failed, header):
    assert failed(10006, x_bapi_limit_reset_timestamp=header).retry_after_s is None


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    "body", [b"access too frequent", b"<html>403 Forbidden</html>", b"", {"retCode": 77, "retMsg": "x"}]
)
def test_forbidden_means_ten_minutes_of_silence(failed, write, body):
    error = failed(status=403, body=body, write=write)
    assert type(error) is Banned and error.retry_after_s == 600.0


def test_forbidden_by_country_needs_an_operator(failed):
    page = b"The Amazon CloudFront distribution is configured to block access from your country."
    assert type(failed(status=403, body=page, write=True)) is Misconfigured


@pytest.mark.parametrize("write", [False, True])
def test_missing_key_is_for_an_operator(failed, write):
    assert type(failed(status=401, body=b"", write=write)) is AuthenticationFailed
    assert type(failed(10003, 401, write=write)) is AuthenticationFailed


def test_overload_leaves_a_write_unknown_and_a_read_for_later(failed):
    assert type(failed(status=429, body=b"", write=True)) is OutcomeUnknown
    assert type(failed(status=429, body=b"")) is RateLimited


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", {"retCode": 110001}, {"retCode": 0}])
def test_server_error_is_unknown_for_a_write_and_later_for_a_read(failed, status, body):
    assert type(failed(status=status, body=body, write=True)) is OutcomeUnknown
    assert type(failed(status=status, body=body)) is VenueUnavailable


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"retCode":"x"}', b'{"retCode":0', b"\xff"])
def test_ok_that_is_not_the_venues_json_proves_nothing(failed, body):
    assert type(failed(status=200, body=body, write=True)) is OutcomeUnknown
    assert type(failed(status=200, body=body)) is VenueUnavailable


def test_wrong_path_is_an_error_for_a_read_and_unknown_for_a_write(failed):
    assert type(failed(status=404, body=b"not found")) is VenueRejected
    assert type(failed(status=404, body=b"not found", write=True)) is OutcomeUnknown


def test_long_texts_and_codes_are_cut(failed):
    assert len(str(failed(10001, text="x" * 10_000))) < 500
    assert len(str(failed(status=502, body=b"x" * 10_000))) < 500
