"""Who may ask: keys, signatures and times, checked as the venue checks them."""

import time
from urllib.parse import quote, urlencode

import pytest

from connector.simulator import AccountSettings, SimulatorSettings, new_pair
from connector.simulator.dialects.binance_spot import unsigned
from connector.simulator.keys import ApiKey

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"  # the venue's published example
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
ED25519_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""

VECTORS = [
    (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    (
        (
            "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1"
            "&price=0.1&recvWindow=5000&timestamp=1499827319559"
        ),
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ),
    (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
    ),
    (
        (
            f"apiKey={KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT"
        ),
        "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
    ),
    (
        (
            f"apiKey={KEY}&price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY&symbol=１２３４５６&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT"
        ),
        "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
    ),
    (f"apiKey={KEY}&timestamp=1747385641636", "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e"),
]


@pytest.mark.parametrize(("payload", "signature"), VECTORS)
def test_the_published_hmac_vectors_are_accepted_in_either_case_and_nothing_else_is(payload, signature):
    key = ApiKey.hmac(KEY, "main", SECRET)
    assert key.signed(payload.encode(), signature)
    assert key.signed(payload.encode(), signature.upper())
    assert not key.signed(payload.encode() + b"0", signature)
    assert not key.signed(payload.encode(), signature[::-1])
    assert not key.signed(payload.encode(), "ÿ" * 64)


def test_the_ed25519_vector_is_accepted_and_is_case_sensitive():
    payload = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918&recvWindow=5000"
    signature = "XtZirsmmi0noRzUfkqktvkVfxpkq/WtbLg2UOL3QGYdUBZVlqOBEMuEVw8zioY93N54NcKj9UuAXQEa9zgTDBg=="
    key = ApiKey.public(KEY, "main", ED25519_PUBLIC)
    assert key.kind == "ed25519"
    assert key.signed(payload.encode(), signature)
    assert not key.signed(payload.encode(), signature.swapcase())
    assert not key.signed(payload.encode() + b"1", signature)
    assert not key.signed(payload.encode(), "not base64 at all")


def test_an_rsa_signature_is_pkcs1_v15_with_sha256():
    import base64

    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private_pem, public_pem = new_pair("rsa")
    key, private = ApiKey.public(KEY, "main", public_pem), load_pem_private_key(private_pem.encode(), None)
    good = base64.b64encode(private.sign(b"a=1", PKCS1v15(), SHA256())).decode()
    other = base64.b64encode(private.sign(b"a=1", PSS(MGF1(SHA256()), 32), SHA256())).decode()
    assert key.kind == "rsa"
    assert key.signed(b"a=1", good)
    assert not key.signed(b"a=1", other)


def test_a_public_key_of_another_kind_is_refused():
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="neither Ed25519 nor RSA"):
        ApiKey.public(KEY, "main", pem.decode())


def test_what_was_signed_is_what_was_sent_without_the_signature():
    assert unsigned("a=1&signature=xyz&b=%2F") == "a=1&b=%2F"
    assert unsigned("signature=xyz") == unsigned("") == ""


def test_secrets_are_not_shown():
    entry = AccountSettings("main", "Key1", "do-not-show")
    assert "do-not-show" not in repr(entry) + repr(SimulatorSettings(accounts=(entry,)))
    assert "do-not-show" not in repr(ApiKey.hmac("Key1", "main", "do-not-show"))


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "has space"},
        {"key": "Key1", "secret": None},
        {"key": "Key1", "public_key": "both"},
        {"key": "Key1", "balances": {"BTC": "-1"}},
        {"key": "Key1", "balances": {"BTC": "1e-9"}},
        {"key": "Key1", "maker_rate": "1.5"},
        {"key": "Key1", "taker_rate": "much"},
    ],
)
def test_an_account_that_makes_no_sense_is_refused_when_made(fields):
    with pytest.raises(ValueError, match=r"account|amount|decimal"):
        AccountSettings(**{"name": "main", "secret": "s"} | fields)


def test_two_accounts_of_one_name_or_key_are_refused(trading):
    one = AccountSettings("main", "Keymain", "s")
    with pytest.raises(ValueError, match="same name"):
        SimulatorSettings(accounts=(one, AccountSettings("main", "Key2", "s")))
    with pytest.raises(ValueError, match="same key"):
        SimulatorSettings(accounts=(one, AccountSettings("two", "Keymain", "s")))
    sim, _ = trading()
    with pytest.raises(ValueError, match="already"):
        sim.add_account(one)
    assert list(sim.accounts) == ["main"]


# by REST


def test_a_key_that_cannot_be_one_is_2014_and_an_unknown_one_2015_both_with_401(trading, rest):
    sim, trader = trading()
    query = trader.query({})
    for headers, code in (
        ({}, -2014),
        ({"X-MBX-APIKEY": ""}, -2014),
        ({"X-MBX-APIKEY": "with-dash"}, -2014),
        ({"X-MBX-APIKEY": "Unknown"}, -2015),
    ):
        answer = rest(sim)(f"/api/v3/account?{query}", headers)
        assert (answer.status, answer.json["code"]) == (401, code)


def test_time_and_signature_are_mandatory(trading, rest):
    sim, trader = trading()
    headers = {"X-MBX-APIKEY": trader.key}
    for query, missing in (
        ("", "timestamp"),
        ("timestamp=", "timestamp"),
        (f"timestamp={trader.now_ms()}", "signature"),
    ):
        answer = rest(sim)(f"/api/v3/account?{query}", headers)
        assert answer.status == 400
        assert answer.json == {
            "code": -1102,
            "msg": f"Mandatory parameter '{missing}' was not sent, was empty/null, or malformed.",
        }


def test_a_wrong_signature_is_1022(trading, rest):
    sim, trader = trading()
    query = trader.query({"omitZeroBalances": "true"})
    for spoilt in (query[:-1] + ("0" if query[-1] != "0" else "1"), query.replace("true", "false")):
        answer = rest(sim)(f"/api/v3/account?{spoilt}", {"X-MBX-APIKEY": trader.key})
        assert (answer.status, answer.json) == (400, {"code": -1022, "msg": "Signature for this request is not valid."})


@pytest.mark.parametrize(
    ("off_ms", "window", "code"),
    [
        (999, None, 0),
        (1000, None, -1021),
        (20_000, None, -1021),
        (-5000, None, 0),
        (-5001, None, -1021),
        (-60_000, "60000", 0),
        (-60_001, "60000", -1021),
        (-2, "1.999", -1021),
        (-2, "2.001", 0),
        (0, "60001", -1131),
        (0, "60000.0001", -1100),
        (0, "soon", -1100),
        (0, "0", 0),
    ],
)
def test_a_request_is_taken_within_its_window_and_no_more_than_a_second_ahead(trading, off_ms, window, code):
    _, trader = trading()
    params = {"timestamp": trader.now_ms() + off_ms} | ({} if window is None else {"recvWindow": window})
    answer = trader.call("GET", "account", **params)
    assert (answer.json.get("code", 0), answer.status) == (code, 400 if code else 200), answer.body


def test_a_time_before_the_venue_existed_is_refused_and_microseconds_are_read(trading):
    _, trader = trading()
    assert trader.refused("GET", "account", timestamp=1_400_000_000_000, recvWindow=60_000)[1] == -1021
    trader.ask("GET", "account", timestamp=trader.sim.now_ns() // 1000)


def test_query_and_body_are_signed_as_one_without_anything_between(trading, rest):
    sim, trader = trading()
    query, body = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC",
        f"quantity=1&price=50000&timestamp={trader.now_ms()}",
    )
    signature = trader.sign(query + body)
    headers = {"X-MBX-APIKEY": trader.key, "Content-Type": "application/x-www-form-urlencoded"}
    answer = rest(sim)(f"/api/v3/order/test?{query}", headers, "POST", f"{body}&signature={signature}")
    assert (answer.status, answer.json) == (200, {})
    wrong = trader.sign(f"{query}&{body}")
    answer = rest(sim)(f"/api/v3/order/test?{query}", headers, "POST", f"{body}&signature={wrong}")
    assert answer.json["code"] == -1022


def test_the_query_wins_over_the_body(trading, rest):
    sim, trader = trading()
    query = f"symbol=BTCUSDT&timestamp={trader.now_ms()}"
    body = "symbol=ETHUSDT&side=BUY&type=MARKET&quantity=0.01&newOrderRespType=RESULT"
    signature = trader.sign(query + body)
    answer = rest(sim)(f"/api/v3/order?{query}&signature={signature}", {"X-MBX-APIKEY": trader.key}, "POST", body)
    assert answer.json["symbol"] == "BTCUSDT"


def test_what_is_signed_is_the_encoded_text(trading, rest):
    sim, trader = trading()
    text = urlencode({"symbol": "BTCUSDT", "origClientOrderId": "no such/id", "timestamp": trader.now_ms()})
    encoded = rest(sim)(f"/api/v3/order?{text}&signature={trader.sign(text)}", {"X-MBX-APIKEY": trader.key})
    assert encoded.json["code"] == -1100  # past the signature: the id has a letter it must not have
    plain = f"symbol=BTCUSDT&origClientOrderId=no such/id&timestamp={trader.now_ms()}"
    sent = quote(plain, safe="=&")
    answer = rest(sim)(f"/api/v3/order?{sent}&signature={trader.sign(plain)}", {"X-MBX-APIKEY": trader.key})
    assert answer.json["code"] == -1022


def test_a_revoked_key_is_2015_until_it_is_given_back(trading):
    sim, trader = trading()
    sim.faults.key_revoked("main")
    assert trader.refused("GET", "account")[:2] == (401, -2015)
    sim.faults.key_revoked(trader.key, False)
    trader.ask("GET", "account")


def test_an_account_can_be_opened_while_it_runs(trading):
    sim, _ = trading()
    handle = sim.add_account(name="late", key="Keylate", secret="x", balances={"BTC": 1})
    assert handle.balances()["BTC"].free == 1
    assert handle.key == "Keylate"
    with pytest.raises(LookupError, match="no account 'nobody'"):
        sim.accounts["nobody"]


def test_time_can_pass_faster_than_it_does():
    start = time.time_ns()
    from connector.simulator import Simulator

    sim = Simulator(SimulatorSettings(time_factor=1000.0, clock=iter([start] * 2 + [start + 10**9]).__next__))
    assert sim.now_ns() == start + 1000 * 10**9
