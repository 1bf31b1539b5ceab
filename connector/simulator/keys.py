"""Check signatures as an exchange does: it knows an HMAC secret, or the public half of an Ed25519 or RSA key pair.

Pure. Says only whether a signature fits; whether the key may do what was asked is the dialect's. Public keys need the
`cryptography` package (extra `signing`); nothing of it is imported before such a key is made.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Literal

__all__ = ["ApiKey", "KeyKind", "new_pair"]

KeyKind = Literal["hmac", "ed25519", "rsa"]


class ApiKey:
    """One key of an account. `revoked` and `can_trade` may change while it is in use."""

    def __init__(self, name: str, account: str, kind: KeyKind, check: Callable[[bytes, str], bool]) -> None:
        self.name, self.account, self.kind = name, account, kind
        self._check = check
        self.revoked = False
        self.can_trade = True

    @classmethod
    def hmac(cls, name: str, account: str, secret: str) -> ApiKey:
        """A key with a shared secret: HMAC-SHA-256, 64 hexadecimal digits of either case."""

        def check(payload: bytes, signature: str) -> bool:
            expected = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected.encode(), signature.lower().encode())

        return cls(name, account, "hmac", check)

    @classmethod
    def public(cls, name: str, account: str, pem: str) -> ApiKey:
        """A key pair's public half in PEM: Ed25519, or RSA with PKCS#1 v1.5 and SHA-256; signatures come in base64.

        Raises:
            ValueError: the text is no such key.
            ImportError: `cryptography` is not installed.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        loaded = load_pem_public_key(pem.encode())
        if not isinstance(loaded, Ed25519PublicKey | RSAPublicKey):
            raise ValueError(f"the public key of {name} is neither Ed25519 nor RSA")

        def check(payload: bytes, signature: str) -> bool:
            try:
                raw = base64.b64decode(signature, validate=True)
                if isinstance(loaded, Ed25519PublicKey):
                    loaded.verify(raw, payload)
                else:
                    loaded.verify(raw, payload, PKCS1v15(), SHA256())
            except (binascii.Error, InvalidSignature, ValueError):
                return False
            return True

        return cls(name, account, "ed25519" if isinstance(loaded, Ed25519PublicKey) else "rsa", check)

    def signed(self, payload: bytes, signature: str) -> bool:
        """Whether that signature of that payload was made with this key."""
        return self._check(payload, signature)

    def __repr__(self) -> str:
        return f"<ApiKey {self.name[:6]}... {self.kind} of {self.account}{' REVOKED' if self.revoked else ''}>"


def new_pair(kind: Literal["ed25519", "rsa"]) -> tuple[str, str]:
    """(private key as PKCS#8 PEM, public key as PEM), freshly drawn."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private: Ed25519PrivateKey | RSAPrivateKey = (
        Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65537, 2048)
    )
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )
