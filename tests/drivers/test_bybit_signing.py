"""Signatures, on vectors worked out by hand with a key that opens nothing, and on keys made here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys

import pytest

from connector.domain.credentials import Credentials
from connector.drivers.bybit.signing import (
    hmac_signer,
    login_payload,
    make_auth,
    pem_signer,
    rest_payload,
    signed_headers,
)
from connector.drivers.trading import Auth
from connector.errors import SettingsError

KEY = "DUMMYKEY0123456789"
SECRET = "DUMMYSECRETabcdefghijklmnopqrstuvwxyz"
AT_MS, WINDOW_MS = 1_767_225_600_000, 5_000
AUTH = Auth(KEY, hmac_signer(SECRET), "hmac")
QUERY = "category=linear&symbol=BTCUSDT"
BODY = (
    '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"50000",'
    '"timeInForce":"PostOnly","orderLinkId":"cn-000001"}'
)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (QUERY, "a12765a3eddf90844fd0d9a7d9148d4bc22f55a493b2e52519d0a384efd4b4be"),
        (BODY, "2665fcdbc808735c2f954b7c7b2d285f580eebca78f01203185d7ce471552458"),
    ],
)
def test_rest_vectors_are_met(payload, signature):
    assert rest_payload(AUTH, AT_MS, WINDOW_MS, payload) == f"1767225600000{KEY}5000{payload}"
    assert signed_headers(AUTH, AT_MS, WINDOW_MS, payload) == {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": "1767225600000",
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": signature,
    }


def test_login_vector_is_met():
    assert login_payload(1_767_225_610_000) == "GET/realtime1767225610000"
    signature = "0e01591c17d9eeec04d642dbc25180f925808db044b68d57b583dafbea3ccdac"
    assert AUTH.sign(login_payload(1_767_225_610_000)) == signature


def test_secret_and_payload_are_utf_8():
    expected = hmac.new("ключ".encode(), "１".encode(), hashlib.sha256).hexdigest()
    assert hmac_signer("ключ")("１") == expected


def test_empty_secret_is_named():
    with pytest.raises(SettingsError, match="empty"):
        hmac_signer("")


def test_auth_is_made_of_an_accounts_keys_and_shows_nothing():
    auth = make_auth(Credentials(KEY, secret=SECRET))
    assert (auth.key, auth.kind, auth.sign("x")) == (KEY, "hmac", hmac_signer(SECRET)("x"))
    assert SECRET not in repr(auth) and KEY not in repr(auth)


@pytest.fixture(scope="module")
def rsa():
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(65537, 2048)


def pem_of(key, password=None):
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    hidden = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)


def test_rsa_signature_is_base64_and_verifies(rsa):
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    signature = base64.b64decode(pem_signer(pem_of(rsa))("payload"), validate=True)
    rsa.public_key().verify(signature, b"payload", PKCS1v15(), SHA256())
    hidden = make_auth(Credentials(KEY, private_key_pem=pem_of(rsa, b"open").decode(), password="open"))
    assert hidden.kind == "rsa" and base64.b64decode(hidden.sign("payload")) == signature


def test_key_that_cannot_be_used_is_refused_without_a_word_of_it(rsa):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    small = pem_of(generate_private_key(65537, 1024))
    for pem in (b"", b"nonsense", pem_of(rsa, b"open"), pem_of(Ed25519PrivateKey.generate()), small):
        with pytest.raises(SettingsError) as refused:
            pem_signer(pem)
        lines = [line for line in pem.decode().splitlines() if line and not line.startswith("-----")]
        assert not any(line in str(refused.value) for line in lines if line != "nonsense")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SettingsError, match="cryptography"):
        pem_signer(b"x")
