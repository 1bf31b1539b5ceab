"""Take secrets out of text before anybody can see it.

Two nets. Values registered with `register_secret` vanish wherever they occur, also percent-encoded, in base64, or escaped as
in a `repr`. And whatever follows the name of a secret ("signature=", "apiKey": …, "Authorization: Bearer …"), a JSON web token,
a private key block, or the user part of a URL vanishes whether registered or not. What is hidden shows as ***.

Pure text work: nothing is written, opened or timed here. Any thread; registering replaces one tuple.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import Counter
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["HIDDEN", "forget_secret", "is_secret_name", "redact", "redact_value", "register_secret"]

HIDDEN = "***"

SHORTEST = 4
"""A shorter secret would hide half the text, and is none."""

LONGEST_TEXT = 16_384
"""Longer texts are cut: a log line is no place for a 50 MB frame, and no pattern gets to walk through one."""

_NAMES = (
    r"api[-_]?key|secret|signature|passphrase|password|passwd|listen[-_]?key|token|authorization|cookie"
    r"|private[-_]?key|access[-_]key|jwt|credential"
)
_SECRET_NAME = re.compile(rf"{_NAMES}|(?:^|[-_.])sign$", re.IGNORECASE)
_NAMED = re.compile(
    rf"""(
        ["']? \b (?: [\w.-]{{0,40}} (?:{_NAMES}) [\w.-]{{0,40}} | (?:[\w.]{{0,20}}-){{0,3}}sign ) (?:\\?["'])?
        \s{{0,4}} [:=] \s{{0,4}}
    )
    (?: \\"(?:[^"\\]|\\[^"])*(?:\\")?
      | b?"(?:[^"\\]|\\.)*"?
      | b?'(?:[^'\\]|\\.)*'?
      | (?:Bearer|Basic|Token)\s+[^\s,;"']+
      | [^\s,;&"'<>)}}\]]+
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_UNNAMED = re.compile(
    r"(?P<token>eyJ[\w-]{5,}\.[\w-]+\.[\w-]*)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"
    r"|(?<=://)(?P<user>[^\s/@]{1,200}@)",
    re.DOTALL,
)

_lock = threading.Lock()  # one registration at a time; readers take _registered as it is
_counted: Counter[str] = Counter()
_registered: re.Pattern[str] | None = None


def _spellings(secret: str) -> set[str]:
    raw = secret.encode()
    found = {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        secret.encode("unicode_escape").decode(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
    found.update(line for line in secret.splitlines() if len(line) >= 16)
    return {spelling for spelling in found if len(spelling) >= SHORTEST}


def _compile() -> None:
    global _registered  # noqa: PLW0603  # logging is one per process, and so is what it must not show
    every = sorted({each for secret in _counted for each in _spellings(secret)}, key=len, reverse=True)
    _registered = re.compile("|".join(map(re.escape, every))) if every else None


def register_secret(text: str) -> None:
    """Hide this text from now on, everywhere. Registered twice, it has to be forgotten twice.

    Raises:
        ValueError: it is shorter than four characters; hiding it would hide everything. It is not repeated in the error.
    """
    if len(text) < SHORTEST:
        raise ValueError(f"a secret of {len(text)} characters cannot be hidden; expected at least {SHORTEST}")
    with _lock:
        _counted[text] += 1
        _compile()


def forget_secret(text: str) -> None:
    """Undo one `register_secret`; unknown texts are ignored."""
    with _lock:
        _counted[text] -= 1
        _counted[text] > 0 or _counted.pop(text)
        _compile()


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds something to hide, e.g. "apiKey", "X-MBX-APIKEY", "OK-ACCESS-SIGN"."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """The text with every secret replaced by ***, cut after 16,384 characters."""
    registered = _registered
    if registered is not None:
        text = registered.sub(HIDDEN, text)
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}… ({len(text) - LONGEST_TEXT} more characters)"
    text = _UNNAMED.sub(lambda found: f"{HIDDEN}@" if found["user"] else HIDDEN, text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def redact_value(value: Any, name: str = "", depth: int = 4) -> Any:
    """A plain copy of a field for a log record: numbers as they are, collections item by item, the rest as redacted text."""
    if name and is_secret_name(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, dict):
        return {redact(str(key)): redact_value(each, str(key), depth - 1) for key, each in list(value.items())[:100]}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [redact_value(each, "", depth - 1) for each in list(value)[:100]]
    return redact(value if isinstance(value, str) else str(value))
