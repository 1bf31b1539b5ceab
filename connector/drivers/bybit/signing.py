"""How Bybit wants requests signed: pure functions from a payload and a key to text. Sends nothing, reads no clock.

REST signs `timestamp + key + window + payload`, the payload being the query of a GET exactly as sent, or the body of a POST, byte
for byte. A connection's login signs "GET/realtime" and the time until which the login may be taken. Orders on a logged-in
connection are not signed one by one.

HMAC needs the standard library only; RSA needs the `cryptography` package, which is asked for when such a key is read and not
before. A signer keeps its key in a closure, so no `repr`, log or traceback of ours shows it.

Source: venue API docs, "Integration Guidance", "WebSocket Connect", 2026-07, read 2026-11; RSA padding: the venue's own client.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping

from connector.domain.credentials import Credentials
from connector.drivers.trading import Auth
from connector.errors import SettingsError

__all__ = ["Signer", "hmac_signer", "login_payload", "make_auth", "pem_signer", "rest_payload", "signed_headers"]

Signer = Callable[[str], str]
"""payload -> signature: lower-case hex for HMAC, base64 for RSA."""

_RSA_BITS = (2_048, 4_096)


def hmac_signer(secret: str) -> Signer:
    """HMAC-SHA-256 with the secret as UTF-8; 64 lower-case hex digits.

    Raises:
        SettingsError: the secret is empty.
    """
    key = secret.encode()
    if not key:
        raise SettingsError("the API secret is empty. Give the secret that belongs to the API key.")
    keyed = hmac.new(key, digestmod=hashlib.sha256)  # the key is worked in once; a signature goes on from a copy

    def sign(payload: str) -> str:
        state = keyed.copy()
        state.update(payload.encode())
        return state.hexdigest()

    return sign


def make_auth(credentials: Credentials) -> Auth:
    """What requests are signed with, made from an account's keys.

    Raises:
        SettingsError: as `hmac_signer` and `pem_signer`.
    """
    secret = credentials.reveal("secret")
    if secret is not None:
        return Auth(credentials.key, hmac_signer(secret), "hmac")
    password = credentials.reveal("password")
    pem = (credentials.reveal("private_key_pem") or "").encode()
    return Auth(credentials.key, pem_signer(pem, None if password is None else password.encode()), "rsa")


def pem_signer(pem: bytes, password: bytes | None = None) -> Signer:
    """RSA (PKCS#1 v1.5, SHA-256, 2048 to 4096 bit) from a PKCS#8 PEM; base64.

    Raises:
        SettingsError: the text is no such key, the password is wrong, or `cryptography` is not installed. The text of the
            error holds nothing of the key.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as absent:
        raise SettingsError("RSA keys need the package 'cryptography'. Install it, or use HMAC.") from absent
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingsError("the private key cannot be read: expected PKCS#8 PEM and its password.") from None
    if isinstance(key, RSAPrivateKey) and _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
        return lambda payload: base64.b64encode(key.sign(payload.encode(), PKCS1v15(), SHA256())).decode()
    raise SettingsError("the private key is of a kind the venue does not take: expected RSA of 2048-4096 bit.")


def rest_payload(auth: Auth, now_ms: int, recv_window_ms: int, payload: str) -> str:
    """The text to sign for REST."""
    return f"{now_ms}{auth.key}{recv_window_ms}{payload}"


def signed_headers(auth: Auth, now_ms: int, recv_window_ms: int, payload: str) -> Mapping[str, str]:
    """The headers of a signed request whose query or body is `payload`."""
    return {
        "X-BAPI-API-KEY": auth.key,
        "X-BAPI-TIMESTAMP": str(now_ms),
        "X-BAPI-RECV-WINDOW": str(recv_window_ms),
        "X-BAPI-SIGN": auth.sign(rest_payload(auth, now_ms, recv_window_ms, payload)),
    }


def login_payload(expires_ms: int) -> str:
    """The text to sign for a connection's login."""
    return f"GET/realtime{expires_ms}"
