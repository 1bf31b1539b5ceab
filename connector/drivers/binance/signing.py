"""How Binance wants requests signed: pure functions from parameters and a key to text. Sends nothing, reads no clock.

Two payloads are signed. REST: the pairs in the order they are sent, values percent-encoded *before* signing (since 2026-01);
what is sent is byte for byte what was signed. WebSocket API: all pairs but `signature`, sorted by name, not encoded.

HMAC needs the standard library only. Ed25519 and RSA need the `cryptography` package, which is asked for when such a key is
read and not before. A signer keeps its key in a closure, so no `repr`, log or traceback of ours shows it.

Source: venue API docs, "Request security", "WebSocket API request security", read 2026-11.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from connector.domain.credentials import Credentials
from connector.domain.wire import Charge, HttpRequest
from connector.drivers.binance.rest import percent_encoded
from connector.drivers.trading import Auth
from connector.errors import InvalidRequest, SettingsError

__all__ = [
    "Signer",
    "hmac_signer",
    "make_auth",
    "pem_signer",
    "rest_payload",
    "session_payload",
    "signed_body",
    "signed_params",
    "signed_request",
]

Signer = Callable[[str], str]
"""payload -> signature, hex for HMAC, base64 for the others; not yet percent-encoded."""

_RSA_BITS = (2_048, 4_096)
_FORM = "application/x-www-form-urlencoded"


def hmac_signer(secret: str) -> Signer:
    """HMAC-SHA-256 with the secret as UTF-8; 64 lower-case hex digits. Cannot log a session on (`session.logon`).

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
    kind, sign = _read_pem(
        (credentials.reveal("private_key_pem") or "").encode(), None if password is None else password.encode()
    )
    return Auth(credentials.key, sign, kind)


def pem_signer(pem: bytes, password: bytes | None = None) -> Signer:
    """Ed25519, or RSA (PKCS#1 v1.5, SHA-256, 2048 to 4096 bit), by what the PKCS#8 PEM holds; base64.

    Raises:
        SettingsError: the text is no such key, the password is wrong, or `cryptography` is not installed. The text of the
            error holds nothing of the key.
    """
    return _read_pem(pem, password)[1]


def _read_pem(pem: bytes, password: bytes | None) -> tuple[str, Signer]:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as absent:
        raise SettingsError(
            "Ed25519 and RSA keys need the package 'cryptography'. Install it, or use HMAC."
        ) from absent
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingsError("the private key cannot be read: expected PKCS#8 PEM and its password.") from None
    if isinstance(key, Ed25519PrivateKey):
        return "ed25519", lambda payload: base64.b64encode(key.sign(payload.encode())).decode()
    if isinstance(key, RSAPrivateKey) and _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
        return "rsa", lambda payload: base64.b64encode(key.sign(payload.encode(), PKCS1v15(), SHA256())).decode()
    raise SettingsError(
        "the private key is of a kind the venue does not take: expected Ed25519, or RSA of 2048-4096 bit."
    )


def rest_payload(query: Sequence[tuple[str, str]], body: Sequence[tuple[str, str]] = ()) -> str:
    """The text to sign for REST: the query string immediately followed by the body, with nothing between them."""
    return percent_encoded(query) + percent_encoded(body)


def signed_body(params: Sequence[tuple[str, str]], sign: Signer) -> str:
    """All parameters in one place, signature last: a query string or form body ready to be sent as it is.

    Raises:
        InvalidRequest: a parameter is called `signature`.
    """
    if any(name == "signature" for name, _ in params):
        raise InvalidRequest("the parameters already hold a signature. Give the unsigned ones.")
    payload = rest_payload(params)
    return f"{payload}&signature={quote(sign(payload), safe='')}"


def signed_request(
    method: str,
    path: str,
    params: Sequence[tuple[str, str | int]],
    auth: Auth,
    now_ms: int,
    recv_window_ms: int,
    charges: tuple[Charge, ...],
) -> HttpRequest:
    """A signed call: everything in one place, the query of GET and DELETE and the body of POST and PUT."""
    pairs = [(name, str(value)) for name, value in params]
    pairs += [("recvWindow", str(recv_window_ms)), ("timestamp", str(now_ms))]
    text = signed_body(pairs, auth.sign)
    in_body = method in ("POST", "PUT")
    headers = {"X-MBX-APIKEY": auth.key}
    if in_body:
        headers["Content-Type"] = _FORM
    return HttpRequest(
        method,
        path,
        query="" if in_body else text,
        body=text.encode() if in_body else b"",
        headers=headers,
        safe=method == "GET",
        charges=charges,
    )


def session_payload(params: Mapping[str, str | int]) -> str:
    """The text to sign for the WebSocket API. Values are the text that appears in the JSON, so a bool is "true" or "false"."""
    return "&".join(
        [
            f"{name}={str(value).lower() if value is True or value is False else value}"
            for name, value in sorted(params.items())
            if name != "signature"
        ]
    )


def signed_params(params: Mapping[str, str | int], sign: Signer) -> dict[str, str | int]:
    """WebSocket API parameters with their signature."""
    signed = dict(params)
    signed.pop("signature", None)
    signed["signature"] = sign(session_payload(signed))
    return signed
