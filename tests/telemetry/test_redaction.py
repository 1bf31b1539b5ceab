"""What looks like a secret is hidden, what was registered is hidden, the rest stays readable."""

from __future__ import annotations

import base64
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.telemetry import forget_secret, redact, register_secret
from connector.telemetry.redaction import is_secret_name, redact_value


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/v3/order?symbol=BTCUSDT&timestamp=1&signature=S3CRET",
        "X-MBX-APIKEY: S3CRET",
        "{'X-MBX-APIKEY': 'S3CRET', 'a': 1}",
        '{"apiKey":"S3CRET","params":{}}',
        '{\\"apiKey\\":\\"S3CRET\\"}',
        '{"op":"login","args":[{"passphrase":"S3CRET","sign":"S3CRET"}]}',
        "OK-ACCESS-SIGN=S3CRET",
        "KC-API-SIGN: S3CRET",
        "X-BAPI-SIGN: S3CRET",
        "Authorization: Bearer S3CRET",
        "api_secret = S3CRET",
        "listenKey=S3CRET",
        "token=S3CRET&connectId=1",
        "Cookie: S3CRET",
        'password: "S3CRET with spaces and \\" quotes S3CRET"',
        "apiKey: 'S3CRET and no end",
        "wss://user:S3CRET@host/path",
        "socks5h://S3CRET:S3CRET@127.0.0.1:1080",
        "jwt eyJhbGciOiJIUzI1NiJ9.S3CRET.S3CRET-_",
        "-----BEGIN EC PRIVATE KEY-----\nS3CRET\nS3CRET==\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nS3CRET cut off",
    ],
)
def test_value_behind_a_telling_name_is_hidden(text):
    shown = redact(text)
    assert "S3CRET" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "BTC/USDT: update starts at 7, expected 5 (2 missing). The book is dropped; a snapshot is on its way.",
        "GET /api/v3/depth?symbol=BTCUSDT&limit=1000",
        "wss://stream.binance.com:9443/stream",
        "connection lost after 12.0 s (code 1006), next attempt in 0.4 s",
        "the venue signed off; design=blue",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert redact(text) == text


@given(secret=st.text(min_size=4, max_size=40), before=st.text(max_size=20), after=st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_registered_secret_vanishes_in_every_spelling(secret, before, after):
    if secret in "***" or "***" in secret:
        return
    register_secret(secret)
    try:
        for spelling in (
            secret,
            quote(secret, safe=""),
            secret.encode("unicode_escape").decode(),
            base64.b64encode(secret.encode()).decode(),
        ):
            shown = redact(before + spelling + after)
            assert spelling.rstrip("=") not in shown.replace("***", "\0")
    finally:
        forget_secret(secret)


def test_secret_registered_twice_is_hidden_until_forgotten_twice():
    register_secret("twice-told")
    register_secret("twice-told")
    forget_secret("twice-told")
    assert redact("twice-told") == "***"
    forget_secret("twice-told")
    forget_secret("twice-told")
    assert redact("twice-told") == "twice-told"


def test_longer_secret_wins_over_one_it_contains():
    register_secret("abcd")
    register_secret("abcdefgh")
    try:
        assert redact("x abcdefgh y") == "x *** y"
    finally:
        forget_secret("abcd")
        forget_secret("abcdefgh")


def test_secret_across_the_cut_of_a_long_text_does_not_show_in_part():
    register_secret("0123456789abcdef")
    try:
        shown = redact("x" * 16_380 + "0123456789abcdef" + "y" * 100)
        assert "0123" not in shown
        assert "more characters" in shown
    finally:
        forget_secret("0123456789abcdef")


@pytest.mark.parametrize(
    "unit", ["a", "a-", "apiKey", '"', "=", "token=", "eyJ", "://", "-----BEGIN PRIVATE KEY-----", "sign-"]
)
def test_no_text_takes_long_however_it_is_made(unit):
    start_s = time.perf_counter()
    redact(unit * (2_000_000 // len(unit)))
    assert time.perf_counter() - start_s < 2.0


def test_fields_keep_numbers_and_structure_and_lose_secrets():
    class Odd:
        def __str__(self) -> str:
            return "signature=abc"

    shown = redact_value({"n": 1, "ok": True, "none": None, "apiKey": "x", "list": (1.5, "token=x"), "odd": Odd()})
    assert shown == {
        "n": 1,
        "ok": True,
        "none": None,
        "apiKey": "***",
        "list": [1.5, "token=***"],
        "odd": "signature=***",
    }


@pytest.mark.parametrize("name", ["apiKey", "X-MBX-APIKEY", "OK-ACCESS-SIGN", "passphrase", "sign", "listen_key"])
def test_names_of_secrets_are_known(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["symbol", "venue", "design", "signal", "assigned", "key_count"])
def test_names_of_other_things_are_not(name):
    assert not is_secret_name(name)
