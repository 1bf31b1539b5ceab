"""What crosses the wire, as values: requests made by drivers, answers brought by transports. Opens nothing, sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BudgetLimit", "Charge", "HttpRequest", "HttpResponse"]


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs: `points` of the budget called `budget`, e.g. Charge("REQUEST_WEIGHT", 5)."""

    budget: str
    points: int


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """One budget of requests the venue keeps: `points` per `window_s`.

    Attributes:
        name: the venue's word, e.g. "REQUEST_WEIGHT"; charges and `used` speak of it.
        aligned: True when windows start at multiples of `window_s` of the venue's clock, False when they slide.
        source: document and month.
    """

    name: str
    points: int
    window_s: float
    aligned: bool
    source: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, ready to be sent, byte for byte.

    Attributes:
        path: with the leading slash, without host, e.g. "/api/v3/depth".
        query: percent-encoded, without the question mark; what was signed is what is sent.
        safe: repeating it changes nothing at the venue, so a transport may retry it.
        charges: what it costs.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    safe: bool = False
    charges: tuple[Charge, ...] = ()

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def __repr__(self) -> str:  # the query may carry a signature
        return f"<HttpRequest {self.method} {self.path}>"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP answer.

    Attributes:
        headers: names in lower case.
        sent_ns, received_ns: our clock when the request went out and when the last byte was in.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_ns: int
    received_ns: int

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status} {len(self.body)} bytes>"
