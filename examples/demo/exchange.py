"""The simulated exchange of the demonstration: a process of its own, so that it takes no time from the client's interpreter.

Its faults and its ledger are reached over its control endpoint, by whoever asks, from any thread. The client under test never
sees this module: it knows two addresses, as it would know a real venue's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from decimal import Decimal
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

__all__ = ["ExchangeProcess", "LedgerTrade", "Levels"]

Levels = tuple[tuple[Decimal, Decimal], ...]
"""(price, quantity) per level, best first."""

START_WITHIN_S = 30.0
ANSWER_WITHIN_S = 10.0
LIVES_AT_MOST_S = 900
"""The exchange ends by itself after so long, so that nothing is left when the demonstration is killed."""


class LedgerTrade(NamedTuple):
    """One trade as the exchange made it; time in UTC microseconds."""

    trade_id: int
    agg_id: int
    price: Decimal
    quantity: Decimal
    time_us: int


class ExchangeProcess:
    """`python -m connector.simulator` with these arguments, on a free port of loopback."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [
            sys.executable,
            "-P",  # the library we run with, not a checkout that happens to be the current folder
            "-m",
            "connector.simulator",
            "--port",
            "0",
            "--for",
            str(LIVES_AT_MOST_S),
            *arguments,
        ]
        # Apart from our terminal: Ctrl-C reaches only us, and we end the exchange after the client.
        windows = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, creationflags=windows, start_new_session=not windows
        )
        self._said: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, name="demo:exchange-output", daemon=True)
        self._reader.start()
        if not self._listening.wait(START_WITHIN_S) or not self._said:
            ended = self._process.poll() is not None
            self.stop()
            why = (
                "ended before it listened; see its words above"
                if ended
                else f"does not listen after {START_WITHIN_S:.0f} s"
            )
            raise RuntimeError(f"the simulated exchange {why}: {' '.join(command)}")
        words = self._said[0].split()
        self.rest_url, self.ws_url = words[1], words[3]

    def _read(self) -> None:
        """Keep the first line, drain the rest: a full pipe would stop the exchange."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._said:
                self._said.append(line)
                self._listening.set()
        self._process.wait()
        self._listening.set()

    def stop(self) -> None:
        """End the process; may be called twice."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5.0)
        self._reader.join(5.0)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------ faults and truth

    def fault(self, name: str, **arguments: Any) -> Any:
        """Inject a fault of `connector.simulator.Faults`; it is in force when this returns."""
        return self._call("POST", f"faults/{name}", arguments)["result"]

    def play(self) -> None:
        """Begin a recording that waits for it."""
        self._call("POST", "resume", {})

    def finished(self) -> bool:
        """Whether a recording has been played to its end."""
        return bool(self._call("GET", "status")["finished"])

    def book(self, name: str, update_id: int) -> tuple[Levels, Levels]:
        """(bids, asks) exactly as they stood at the exchange after that update."""
        answer = self._call("GET", f"ledger/book?{urlencode({'symbol': name, 'update_id': update_id})}")
        return _levels(answer["bids"]), _levels(answer["asks"])

    def trades(self, name: str) -> dict[int, LedgerTrade]:
        """Every trade since the exchange was started, by id."""
        rows = self._call("GET", f"ledger/trades?{urlencode({'symbol': name})}")
        return {
            row["trade_id"]: LedgerTrade(
                row["trade_id"], row["agg_id"], Decimal(row["price"]), Decimal(row["quantity"]), row["time_us"]
            )
            for row in rows
        }

    def subscriptions(self) -> list[str]:
        """Streams that open connections are subscribed to, in alphabetical order; twice where two connections are."""
        streams: dict[str, list[str]] = self._call("GET", "ledger/subscriptions")
        return sorted(stream for names in streams.values() for stream in names)

    def violations(self) -> list[dict[str, Any]]:
        """Rules of the venue that the client broke."""
        rows: list[dict[str, Any]] = self._call("GET", "ledger/violations")
        return rows

    def _call(self, method: str, path: str, arguments: dict[str, Any] | None = None) -> Any:
        line = HTTPConnection(urlsplit(self.rest_url).netloc, timeout=ANSWER_WITHIN_S)
        try:
            line.request(method, f"/simulator/{path}", None if arguments is None else json.dumps(arguments))
            answer = line.getresponse()
            found = json.loads(answer.read(), parse_float=Decimal)
        finally:
            line.close()
        if answer.status != 200:
            raise LookupError(f"the exchange refuses {path}: {found}")
        return found


def _levels(rows: list[list[str]]) -> Levels:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in rows)
