"""An engine's process for tests of what a host does to one: stopped, out of descriptors, out of memory for threads.

It follows one exchange, takes orders as single words on stdin, and answers each with one line of JSON. Linux only, where limits
of a process can be set and lifted again.

    python host_child.py http://127.0.0.1:8080 ws://127.0.0.1:8080
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from connector import Connector, Gap, VenueSettings
from connector.domain import BookState
from connector.errors import ConnectorError
from connector.venue.delivery import TopicState

ROOT = Path(__file__).resolve().parents[2]
ANSWERED_S = 30.0

# ---------------------------------------------------------------- in the child


class Engine:
    """Collects trades and gaps; says what it knows."""

    def __init__(self, client: Connector) -> None:
        self.client, self.venue = client, client.venue("binance")
        self.ids: list[int] = []
        self.told: set[int] = set()
        self.trades = client.subscribe("binance", "trades", "BTC/USDT", callback=self.take, notices=True)
        self.book = client.subscribe("binance", "book", "BTC/USDT", callback=lambda update: None)
        self._limits = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)}

    def take(self, value: Any) -> None:
        if isinstance(value, Gap):
            if value.first_missing is not None and value.last_missing is not None:
                self.told.update(range(value.first_missing, value.last_missing + 1))
        elif hasattr(value, "trade_id"):
            self.ids.append(value.trade_id)

    def state(self) -> dict[str, Any]:
        ids = list(self.ids)
        absent = set(range(min(ids), max(ids) + 1)) - set(ids) if ids else set()
        snapshot = self.venue.snapshot()
        return {
            "live": self.trades.state is TopicState.LIVE,
            "valid": self.venue.live_book("BTC/USDT").state is BookState.VALID,
            "reason": self.trades.freshness().reason,
            "trades": len(ids),
            "newest": max(ids, default=0),
            "lost": len(absent),
            "untold": len(absent - self.told),
            "doubled": len(ids) - len(set(ids)),
            "connections_lost": snapshot.counters.get("stream.connections_lost", 0),
            "epochs": {part: self.client.tree.ref(f"/binance/{part}").epoch for part in ("rest", "stream", "state")},
            "threads": threading.active_count(),
        }

    def starve(self) -> dict[str, Any]:
        """Not one descriptor more, not even in the place of one that is closed; those that are open stay."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, self._limits[resource.RLIMIT_NOFILE][1]))
        return {}

    def confine(self) -> dict[str, Any]:
        """No room for another thread's stack."""
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, self._limits[resource.RLIMIT_AS][1]))
        try:
            threading.Thread(target=int).start()
        except RuntimeError as refused:
            return {"refused": str(refused)}
        return {"refused": ""}

    def feed(self) -> dict[str, Any]:
        """The limits as they were."""
        for kind, limits in self._limits.items():
            resource.setrlimit(kind, limits)
        return {}

    def question(self) -> dict[str, Any]:
        try:
            return {"answered": self.venue.server_time_ns() > 0}
        except (ConnectorError, Exception) as failed:
            return {"answered": False, "error": f"{type(failed).__name__}: {failed}"}


def main() -> None:
    rest_url, stream_url = sys.argv[1:3]
    with Connector([VenueSettings("binance", rest_url=rest_url, stream_url=stream_url)]) as client:
        engine = Engine(client)
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                break
            print(json.dumps(getattr(engine, word)()), flush=True)


# ---------------------------------------------------------------- in the test


class Host:
    """The test's side of such a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def order(self, word: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended with {self.process.wait(5)} when told to {word}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def await_state(self, within_s: float = ANSWERED_S, fresh: bool = True, **wanted: Any) -> float:
        """Wait until its state has these values, and with `fresh` trades newer than now; seconds it took."""
        began_s, pause, first = time.monotonic(), threading.Event(), self.order("state")
        while True:
            state = self.order("state")
            newer = state["trades"] > first["trades"] or not fresh
            if newer and all(state[name] == value for name, value in wanted.items()):
                return time.monotonic() - began_s
            if time.monotonic() - began_s > within_s:
                raise AssertionError(f"{wanted} did not come true within {within_s} s: {state}")
            pause.wait(0.02)


@contextmanager
def hosted(rest_url: str, stream_url: str) -> Iterator[Host]:
    """Such a process, up and running; killed at the end if it does not leave by itself."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).resolve()), rest_url, stream_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        host = Host(process)
        host.await_state(live=True, valid=True)
        yield host
        assert process.stdin is not None
        process.stdin.write("quit\n")
        process.stdin.flush()
        process.wait(15.0)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(10.0)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


if __name__ == "__main__":
    main()
