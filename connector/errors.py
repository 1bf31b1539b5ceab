"""Every error of the library on one page, classed by what the caller should do.

    ConnectorError
    ├── RetryLater          nothing is wrong with the request: send it again, not before `retry_after_s`
    │   ├── RateLimited         a request budget is spent, here or at the venue
    │   ├── Banned              the venue answers nobody at this address until a known time
    │   ├── VenueUnavailable    5xx on a read, maintenance page, shutting down
    │   ├── ClockRejected       a timestamp was refused: the venue's clock is measured again first
    │   ├── NotConnected        there is no session with the venue right now
    │   └── LinkError           a connection could not be opened, or ended
    ├── Rejected            the request is wrong or refused: the same request will be refused again
    │   ├── UnknownSymbol
    │   ├── InvalidRequest
    │   └── VenueRejected       refused by the venue; carries its code and text
    ├── OutcomeUnknown      a write may or may not have happened: ask, never resend
    ├── Misconfigured       an operator has to act
    │   ├── SettingsError
    │   ├── Unsupported         the venue, or this version, cannot do it; see the capability table
    │   └── AuthenticationFailed
    ├── MarketDataError
    │   ├── SequenceGap         updates are missing
    │   ├── BookNotValid        a book is syncing or invalid and is not handed out
    │   └── WireFormatError     a frame or answer cannot be read
    └── ConnectorBug        a promise of the library was broken by the library

Secrets never appear in a message: errors are made from parts known to be public, never from a URL that was sent.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationFailed",
    "Banned",
    "BookNotValid",
    "ClockRejected",
    "ConnectorBug",
    "ConnectorError",
    "InvalidRequest",
    "LinkError",
    "MarketDataError",
    "Misconfigured",
    "NotConnected",
    "OutcomeUnknown",
    "RateLimited",
    "Rejected",
    "RetryLater",
    "SequenceGap",
    "SettingsError",
    "UnknownSymbol",
    "Unsupported",
    "VenueRejected",
    "VenueUnavailable",
    "WireFormatError",
]


class ConnectorError(Exception):
    """Root of all errors of this library."""


# ---------------------------------------------------------------- retry later


class RetryLater(ConnectorError):
    """The same request may be sent again.

    Attributes:
        retry_after_s: seconds to wait at least; None when the venue gave no time.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None, code: str | None = None) -> None:
        self.retry_after_s, self.code = retry_after_s, code
        super().__init__(message)


class RateLimited(RetryLater):
    """A request budget is spent."""


class Banned(RetryLater):
    """The venue refuses this address until `retry_after_s` from now; nothing is sent meanwhile."""


class VenueUnavailable(RetryLater):
    """The venue answered, but not as an exchange: 5xx on a read, HTML page, maintenance."""


class ClockRejected(RetryLater):
    """The venue refused a timestamp; nothing was done. Its clock is measured again before the next signed request."""


class NotConnected(RetryLater):
    """No session with the venue; one is being made."""


class LinkError(RetryLater):
    """A connection could not be opened, or it ended."""


# ---------------------------------------------------------------- rejected


class Rejected(ConnectorError):
    """The request was refused and will be refused again as it stands."""


class UnknownSymbol(Rejected):
    """The venue lists no such instrument."""

    def __init__(self, symbol: str, venue: str, nearest: tuple[str, ...] = ()) -> None:
        self.symbol, self.venue, self.nearest = symbol, venue, nearest
        hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(f"{venue} lists no instrument {symbol!r}.{hint} Symbols read like 'BTC/USDT'.")


class InvalidRequest(Rejected):
    """A parameter is outside what the venue accepts; nothing was sent."""


class VenueRejected(Rejected):
    """The venue refused the request.

    Attributes:
        code: the venue's own code as text, e.g. "-1121".
        reason: the venue's own text.
        status: HTTP or session status, None where there is none.
    """

    def __init__(self, venue: str, code: str, reason: str, *, status: int | None = None) -> None:
        self.venue, self.code, self.reason, self.status = venue, code, reason, status
        super().__init__(f"{venue} refused the request with code {code}: {reason}")


# ---------------------------------------------------------------- unknown


class OutcomeUnknown(ConnectorError):
    """A write left this machine and no trustworthy answer came back. It may have happened: ask, never resend."""


# ---------------------------------------------------------------- misconfigured


class Misconfigured(ConnectorError):
    """An operator has to act; trying again changes nothing."""


class SettingsError(Misconfigured):
    """A setting is missing or out of range."""


class Unsupported(Misconfigured):
    """The venue, or this version of the library, cannot do it. The capability table in the docs lists what it can."""


class AuthenticationFailed(Misconfigured):
    """The venue does not accept the credentials."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        super().__init__(message)


# ---------------------------------------------------------------- market data


class MarketDataError(ConnectorError):
    """Market data is missing, unreadable or not to be trusted."""


class SequenceGap(MarketDataError):
    """Updates are missing; the book can no longer be trusted."""

    def __init__(self, instrument: str, expected: int, received: int) -> None:
        self.instrument, self.expected, self.received = instrument, expected, received
        super().__init__(
            f"{instrument}: update starts at {received}, expected {expected} "
            f"({received - expected} missing). The book is dropped; a snapshot is on its way."
        )


class BookNotValid(MarketDataError):
    """The book is not known to be right, so it is not handed out.

    Attributes:
        state: "syncing" or "invalid".
        reason: why, in words; a resync is already under way.
    """

    def __init__(self, instrument: str, state: str, reason: str) -> None:
        self.instrument, self.state, self.reason = instrument, state, reason
        super().__init__(f"{instrument}: the book is {state} ({reason}). It is handed out again once it is valid.")


class WireFormatError(MarketDataError):
    """Bytes from the venue cannot be read as what they should be.

    Attributes:
        kind: what was expected, e.g. "trade".
        excerpt: at most 200 characters of the text, for the report.
    """

    EXCERPT_CHARACTERS = 200

    def __init__(self, kind: str, problem: str, wire: bytes | str = b"") -> None:
        text = wire if isinstance(wire, str) else bytes(wire[: self.EXCERPT_CHARACTERS]).decode("utf-8", "replace")
        self.kind, self.problem, self.excerpt = kind, problem, text[: self.EXCERPT_CHARACTERS]
        super().__init__(f"cannot read {kind}: {problem}" + (f" in {self.excerpt!r}" if text else ""))


class ConnectorBug(ConnectorError):
    """The library broke one of its own promises. Please report it with the text of this error."""
