"""What a row of the fault matrix is measured with: a client, exchanges, proxies in between, and judges of what came.

A scenario plays one fault at one place with real threads and sockets and returns a `Seen`: after how long it was noticed, after
how long all was right again, what was lost, doubled, alarmed about without a cause, or untrue. It decides nothing about bounds;
those stand beside it in its `Scenario`, and `verdict` compares.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from harness import (
    BINANCE,
    BookJudge,
    Product,
    Rig,
    TradeJudge,
    eventually,
    failures,
    running,
)
from proxy import Proxy

from connector.domain import BookState
from connector.simulator import Simulator
from connector.throttle import BackoffPolicy
from connector.transport.contract import TlsSettings
from connector.venue.delivery import TopicState, TopicStatus

__all__ = ["SCENARIOS", "Bench", "Scenario", "Seen", "Witness", "certified", "public", "scenario", "verdict"]

CALM = "calm"
"""Name of the venue nothing is done to; whatever is told about it is a false alarm."""


@dataclass
class Seen:
    """What one scenario saw. Seconds are None where the fault has no such moment.

    Attributes:
        noticed_s: from the fault until its consumer was told.
        back_s: from the end of the fault until fresh data or the true state was at the consumer.
        lost: values or events that never came.
        doubled: that came twice.
        false_alarms: of parts nothing was done to: topics told stale, actors restarted, connections replaced.
        wrong: what was untrue, or did not happen as promised, in words.
        note: what else is worth a line.
    """

    noticed_s: float | None = None
    back_s: float | None = None
    lost: int = 0
    doubled: int = 0
    false_alarms: int = 0
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    def worst(self, other: Seen) -> Seen:
        """Two plays of the same scenario as one: the later times, the sums."""

        def later(one: float | None, two: float | None) -> float | None:
            known = [each for each in (one, two) if each is not None]
            return max(known) if known else None

        return Seen(
            later(self.noticed_s, other.noticed_s),
            later(self.back_s, other.back_s),
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.false_alarms + other.false_alarms,
            self.wrong + other.wrong,
            self.note or other.note,
        )


@dataclass(frozen=True)
class Scenario:
    """One fault at one place.

    Attributes:
        row, place: where it stands in the matrix.
        play: does it.
        noticed_s, back_s: bounds of the figures; None where the row names none.
        may_lose: values may be missing, as long as that is told.
        differs: in what, and why, the figure measured here is another than the promised one; "" when it is the same.
    """

    row: str
    place: str
    play: Callable[[], Seen]
    noticed_s: float | None = None
    back_s: float | None = None
    may_lose: bool = False
    differs: str = ""

    @property
    def bound(self) -> str:
        """The bounds in words."""
        said = [
            f"noticed {self.noticed_s:g} s" if self.noticed_s is not None else "",
            f"back {self.back_s:g} s" if self.back_s is not None else "",
            "losses told" if self.may_lose else "0 lost",
            "0 doubled, 0 false alarms, 0 untrue",
        ]
        return ", ".join(each for each in said if each)


SCENARIOS: list[Scenario] = []


def scenario(
    row: str,
    place: str,
    *,
    noticed_s: float | None = None,
    back_s: float | None = None,
    may_lose: bool = False,
    differs: str = "",
) -> Callable[[Callable[[], Seen]], Callable[[], Seen]]:
    """Put a function into the matrix, at a row and a place."""

    def enter(play: Callable[[], Seen]) -> Callable[[], Seen]:
        SCENARIOS.append(Scenario(row, place, play, noticed_s, back_s, may_lose, differs))
        return play

    return enter


def verdict(chosen: Scenario, seen: Seen) -> list[str]:
    """Everything in which a promise did not hold."""
    found = list(seen.wrong)
    for name, value, bound in (
        ("noticed", seen.noticed_s, chosen.noticed_s),
        ("back", seen.back_s, chosen.back_s),
    ):
        if bound is not None and value is None:
            found.append(f"{name}: never seen")
        elif bound is not None and value is not None and value > bound:
            found.append(f"{name} after {value:.2f} s, promised {bound:g} s")
    if seen.lost and not chosen.may_lose:
        found.append(f"{seen.lost} lost")
    if seen.doubled:
        found.append(f"{seen.doubled} doubled")
    if seen.false_alarms:
        found.append(f"{seen.false_alarms} false alarms")
    return found


# ---------------------------------------------------------------- public data


class Witness(TradeJudge):
    """Trades of one symbol, with the moments at which its topic changed its state."""

    def __init__(self, rig: Rig, symbol: str = "", venue: str = "") -> None:
        self.turns: list[tuple[float, TopicState]] = []
        super().__init__(rig, symbol, venue)

    def _take(self, value: Any) -> None:
        if isinstance(value, TopicStatus):
            self.turns.append((time.monotonic(), value.state))
        super()._take(value)

    def stale_since(self, began_s: float) -> float | None:
        """When it was first told stale at or after `began_s`."""
        times = [at_s for at_s, state in list(self.turns) if state is TopicState.STALE and at_s >= began_s]
        return times[0] if times else None

    def counts(self) -> tuple[int, int]:
        """(trades that never came, trades that came twice)."""
        names = [getattr(trade, "trade_id", None) or trade.agg_id for trade in self.seen]
        doubled = len(names) - len(set(names))
        if self.rig.product.opaque:
            return self.not_fetched, doubled
        return max(names) - min(names) + 1 - len(set(names)) if names else 0, doubled


class Bench:
    """A client at an exchange behind proxies, and at a calm one; what came of trades and of the book.

    Attributes:
        stream, rest: the proxies before the exchange.
        began_s: when the last fault began.
    """

    def __init__(self, rig: Rig, stream: Proxy, rest: Proxy, book: bool) -> None:
        self.rig, self.sim, self.stream, self.rest = rig, rig.sim, stream, rest
        self.trades = Witness(rig)
        self.book = BookJudge(rig) if book else None
        self.calm = Witness(rig, venue=CALM) if CALM in rig.sims else None
        self.began_s = 0.0
        self.seen = Seen()
        rig.await_flow(*self.topics, within_s=20.0)
        if self.book is not None:
            self.book.await_valid(20.0)
        self._epochs = {name: rig.restarts(name) for name in rig.sims}

    @property
    def topics(self) -> list[Any]:
        judges = [each for each in (self.trades, self.book, self.calm) if each is not None]
        return [each.subscription for each in judges]

    def strike(self, fault: Callable[[], object]) -> None:
        """Begin the fault."""
        self.began_s = time.monotonic()
        fault()

    def await_noticed(self, within_s: float = 40.0) -> float:
        """Wait until the consumer was told that its topic is stale; seconds since the fault began."""
        eventually(lambda: self.trades.stale_since(self.began_s), within_s, "nobody was told that the topic is stale")
        took_s = (self.trades.stale_since(self.began_s) or 0.0) - self.began_s
        self.seen.noticed_s = max(took_s, self.seen.noticed_s or 0.0)
        return took_s

    def await_back(self, since_s: float | None = None, within_s: float = 60.0) -> float:
        """Wait until new trades come and the book is valid and goes on; seconds since `since_s`, or the fault's beginning."""
        self.rig.await_flow(*self.topics, within_s=within_s)
        if self.book is not None:
            self.book.await_valid(within_s)
        took_s = time.monotonic() - (self.began_s if since_s is None else since_s)
        self.seen.back_s = max(took_s, self.seen.back_s or 0.0)
        return took_s

    def judged(self, restarts: bool = False, unmoved: bool = False) -> Seen:
        """The verdict on everything since the beginning.

        Args:
            restarts: actors were meant to end.
            unmoved: the stream had nothing to do with it, so that every state it was told in is a false alarm.
        """
        rig, seen = self.rig, self.seen
        if unmoved:
            seen.false_alarms += [state for _, state in self.trades.turns].count(TopicState.STALE)
        seen.wrong += [f"trades: {text}" for text in self.trades.faults()]
        seen.lost, seen.doubled = self.trades.counts()
        if self.book is not None:
            seen.wrong += self.book.compare()
            if not self.book.compared:
                seen.wrong.append("no book was compared")
        if self.calm is not None:
            seen.wrong += [f"the calm venue: {text}" for text in self.calm.faults()]
            lost, doubled = self.calm.counts()
            seen.lost, seen.doubled = seen.lost + lost, seen.doubled + doubled
            seen.false_alarms += [state for _, state in self.calm.turns].count(TopicState.STALE)
        seen.wrong += [f"an actor ended: {error!r}" for error in failures(rig.events)]
        if not restarts:
            for name, before in self._epochs.items():
                now = rig.restarts(name)
                seen.false_alarms += sum(now[actor] != epoch for actor, epoch in before.items())
        return seen


@contextmanager
def certified(
    *names: str, authority: trustme.CA | None = None, **options: Any
) -> Iterator[tuple[tuple[str, str], TlsSettings]]:
    """A certificate for the names (loopback by default) as files, and the settings that trust its authority."""
    authority = authority or trustme.CA()
    leaf = authority.issue_cert(*(names or ("127.0.0.1", "localhost")), **options)
    with tempfile.TemporaryDirectory() as folder:
        for name, blobs in (("cert", leaf.cert_chain_pems), ("key", [leaf.private_key_pem])):
            Path(folder, name).write_bytes(b"".join(blob.bytes() for blob in blobs))
        authority.cert_pem.write_to_path(str(Path(folder, "ca")))
        yield (str(Path(folder, "cert")), str(Path(folder, "key"))), TlsSettings(ca_file=str(Path(folder, "ca")))


@contextmanager
def public(
    *,
    product: Product = BINANCE,
    calm: bool = True,
    tls: bool = False,
    authority: trustme.CA | None = None,
    book: bool = True,
    host: str = "127.0.0.1",
    **options: Any,
) -> Iterator[Bench]:
    """A bench whose client has the settings users get; `options` as in `harness.running`. `host` stands in the stream's URL."""
    proxies: dict[str, Proxy] = {}
    with ExitStack() as opened:
        if tls:
            files, trusting = opened.enter_context(certified(authority=authority))
            options["simulator"] = {"tls": files, **options.get("simulator", {})}
            options.setdefault("tls", trusting)

        def urls(name: str, sim: Simulator) -> dict[str, str]:
            if name == CALM:
                return {}
            for place in ("stream", "rest"):
                proxies[place] = opened.enter_context(Proxy("127.0.0.1", sim.port))
            return {
                "rest_url": proxies["rest"].before(sim.rest_url),
                "stream_url": proxies["stream"].before(sim.ws_url).replace("127.0.0.1", host),
            }

        options.setdefault("events_per_s", 500.0)
        options.setdefault("reconnect", BackoffPolicy())
        names = (product.exchange, CALM) if calm else (product.exchange,)
        rig = opened.enter_context(running(*names, product=product, urls=urls, **options))
        yield Bench(rig, proxies["stream"], proxies["rest"], book)


def is_valid(book: BookJudge) -> bool:
    return book.live.state is BookState.VALID
