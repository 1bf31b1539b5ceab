"""Signatures, on the published vectors and on keys made here. None of these keys opens anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys

import pytest

from connector.drivers.binance.rest import percent_encoded
from connector.drivers.binance.signing import (
    hmac_signer,
    pem_signer,
    rest_payload,
    session_payload,
    signed_body,
    signed_params,
)
from connector.errors import InvalidRequest, SettingsError

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
HEAD = [("side", "BUY"), ("type", "LIMIT"), ("timeInForce", "GTC")]
TAIL = [("quantity", "1"), ("price", "0.1"), ("recvWindow", "5000"), ("timestamp", "1499827319559")]
ED25519_PEM = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("query", "body", "signature"),
    [
        ([("symbol", "LTCBTC"), *HEAD, *TAIL], [], "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (
            [("symbol", "１２３４５６"), *HEAD, *TAIL],
            [],
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
        ([("symbol", "LTCBTC"), *HEAD], TAIL, "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"),
    ],
)
def test_rest_vectors_are_met(query, body, signature):
    assert hmac_signer(SECRET)(rest_payload(query, body)) == signature
    if not body:
        assert signed_body(query, hmac_signer(SECRET)) == f"{percent_encoded(query)}&signature={signature}"


@pytest.mark.parametrize("length", [1, 32, 63, 64, 65, 200])
def test_hmac_is_the_standard_librarys_for_a_secret_of_any_length_and_signs_again_and_again(length):
    secret = "süss" * 50
    sign = hmac_signer(secret[:length])
    for payload in ("", "a=1", "x" * 1000, "a=1"):
        assert sign(payload) == hmac.new(secret[:length].encode(), payload.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        (
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "0.01000000",
                "price": "52000.00",
                "recvWindow": 100,
                "timestamp": 1645423376532,
                "apiKey": KEY,
            },
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            {
                "symbol": "１２３４５６",
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "1.00000000",
                "price": "0.10000000",
                "recvWindow": 5000,
                "timestamp": 1645423376532,
                "apiKey": KEY,
            },
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
        (
            {"timestamp": 1747385641636, "apiKey": KEY},
            "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e",
        ),
    ],
)
def test_session_vectors_are_met(params, signature):
    assert signed_params(params, hmac_signer(SECRET)) == {**params, "signature": signature}
    assert signed_params({**params, "signature": "old"}, hmac_signer(SECRET))["signature"] == signature


def test_session_payload_is_sorted_and_writes_values_as_json_does():
    assert session_payload({"b": True, "a": 5, "c": "é ", "signature": "x"}) == "a=5&b=true&c=é "


def test_ed25519_vector_is_met_and_its_base64_is_encoded_when_sent():
    params = [
        ("symbol", "BTCUSDT"),
        ("side", "SELL"),
        ("type", "LIMIT"),
        ("timeInForce", "GTC"),
        ("quantity", "1"),
        ("price", "0.2"),
        ("timestamp", "1668481559918"),
        ("recvWindow", "5000"),
    ]
    sign = pem_signer(ED25519_PEM)
    expected = "XtZirsmmi0noRzUfkqktvkVfxpkq/WtbLg2UOL3QGYdUBZVlqOBEMuEVw8zioY93N54NcKj9UuAXQEa9zgTDBg=="

    assert sign(rest_payload(params)) == expected
    assert signed_body(params, sign).endswith(expected.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D"))


def rsa_pem(bits, password=None):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    hidden = s.NoEncryption() if password is None else s.BestAvailableEncryption(password)
    return key, key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, hidden)


def test_rsa_signature_verifies_as_pkcs1_v15_with_sha256():
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    key, pem = rsa_pem(2048, b"open sesame")
    signature = pem_signer(pem, b"open sesame")("symbol=１&x=2")

    key.public_key().verify(base64.b64decode(signature), "symbol=１&x=2".encode(), PKCS1v15(), SHA256())
    with pytest.raises(SettingsError, match="password"):
        pem_signer(pem, b"wrong")


def test_keys_of_other_kinds_are_for_an_operator():
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()
    )
    for pem in (curve, rsa_pem(1024)[1]):
        with pytest.raises(SettingsError, match="Ed25519, or RSA"):
            pem_signer(pem)
    for pem in (b"", b"no key", ED25519_PEM[:60]):
        with pytest.raises(SettingsError, match="PKCS#8"):
            pem_signer(pem)


def test_missing_package_is_said_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SettingsError, match="cryptography"):
        pem_signer(ED25519_PEM)
    assert hmac_signer(SECRET)("x")  # HMAC needs no package


def test_no_error_or_repr_shows_a_key():
    sign = hmac_signer(SECRET)
    assert SECRET not in repr(sign)
    with pytest.raises(SettingsError) as raised:
        pem_signer(b"-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----")
    assert "secretsecret" not in str(raised.value) and raised.value.__cause__ is None


def test_empty_secret_and_double_signature_are_refused():
    with pytest.raises(SettingsError):
        hmac_signer("")
    with pytest.raises(InvalidRequest):
        signed_body([("signature", "x")], hmac_signer(SECRET))
