"""Keys of an account as a value that shows nothing: not in `repr`, `str`, pickles, copies or comparisons.

Secrets leave this object only through `reveal`, which drivers call to make a signer. It reads no file and no environment; see
`settings.load_credentials`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from connector.errors import SettingsError

__all__ = ["Credentials"]


class Credentials:
    """An API key with an HMAC secret or a private key.

    Args:
        key: the public part.
        secret: of an HMAC key.
        private_key_pem: of an Ed25519 or RSA key, PKCS#8 PEM; `password` opens it.
        passphrase: where a venue wants one.

    Raises:
        SettingsError: neither or both of secret and private key are given, or the key is empty.
    """

    __slots__ = ("_reveal", "key")

    def __init__(
        self,
        key: str,
        *,
        secret: str | None = None,
        private_key_pem: str | None = None,
        password: str | None = None,
        passphrase: str | None = None,
    ) -> None:
        if not key:
            raise SettingsError("the API key is empty.")
        if (secret is None) == (private_key_pem is None):
            raise SettingsError(
                "give the secret of an HMAC key or the private key of another kind, and only one of them."
            )
        hidden = {"secret": secret, "private_key_pem": private_key_pem, "password": password, "passphrase": passphrase}
        self.key = key
        self._reveal: Callable[[str], str | None] = hidden.get  # in a closure: no attribute, no local of a traceback

    def reveal(self, name: str) -> str | None:
        """One of "secret", "private_key_pem", "password" or "passphrase"; None when it was not given."""
        return self._reveal(name)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret text there is, to be registered for redaction."""
        names = ("secret", "private_key_pem", "password", "passphrase")
        return tuple(text for name in names if (text := self._reveal(name)))

    def __repr__(self) -> str:
        kind = "hmac" if self._reveal("secret") is not None else "private key"
        return f"<Credentials {kind} key=…{self.key[-4:] if len(self.key) > 8 else ''}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("credentials are not pickled or copied; load them where they are needed.")
