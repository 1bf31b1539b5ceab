"""A real client whose venue is a real process, against the simulator; judges and waits of `tests/faults`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from connector import Connector, ConnectorSettings, VenueSettings
from connector.simulator import Simulator, SimulatorSettings
from connector.supervision import Backoff, Intensity, TreeEvent
from connector.throttle import BackoffPolicy

sys.modules.setdefault("conftest_isolation", sys.modules[__name__])
FAULTS = Path(__file__).parents[1] / "faults"
QUICKLY = Backoff(reset_after_s=0.05)


def shared(name: str, file: str) -> Any:
    """A module of tests/faults by name: tests are not a package, and the long runs use it too."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FAULTS / file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = shared("fault_harness", "harness.py")
kill_nine = shared("kill_nine", "kill_nine.py")


class Apart(harness.Rig):
    """A rig whose venue is a process."""

    @property
    def bridge(self) -> Any:
        return self.venue.bridge

    def await_up(self) -> int:
        """Wait until the process is up; its pid."""
        harness.eventually(lambda: self.bridge.is_up, 20.0, lambda: f"{self.bridge!r} {list(self.events)[-3:]}")
        assert self.bridge.pid is not None
        return int(self.bridge.pid)

    def signal(self, number: int) -> int:
        """Send a signal to the process there is; its pid."""
        pid = self.await_up()
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            status = Path(f"/proc/{pid}/status")
            harness.eventually(lambda: "State:\tT" in status.read_text(), 5.0, "it did not stand still")
        return pid

    def kill_process(self) -> float:
        """Kill the process and wait for the next one to be up; how many seconds that took."""
        lives = self.bridge.lives
        pid = self.signal(signal.SIGKILL)
        return float(
            harness.eventually(
                lambda: self.bridge.lives > lives and self.bridge.is_up and self.bridge.pid != pid,
                20.0,
                lambda: repr(self.bridge),
            )
        )


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def apart(
    simulator: dict[str, Any] | None = None,
    hung_s: float = 10.0,
    restart: Backoff = QUICKLY,
    **venue: Any,
) -> Iterator[Apart]:
    """A client and a simulator; the venue's process is restarted quickly by default, and counts as hung after `hung_s`."""
    events: deque[TreeEvent] = deque(maxlen=10_000)
    fields: dict[str, Any] = {"symbols": ("BTCUSDT", "ETHUSDT"), "seed": 7, "events_per_s": 300.0, **(simulator or {})}
    with Simulator(SimulatorSettings(**fields)) as sim:
        settings = VenueSettings(
            "binance",
            rest_url=sim.rest_url,
            stream_url=sim.ws_url,
            session_url=sim.ws_url if "credentials" in venue else None,
            isolation="process",
            reconnect=BackoffPolicy(base_s=0.05, max_s=0.2, healthy_s=30.0),
            **venue,
        )
        whole = ConnectorSettings(
            (settings,), busy_limit_s=hung_s, restart=restart, restart_limit=Intensity(1000, 60.0)
        )
        with Connector(whole, on_event=events.append) as connector:
            yield Apart(connector, {"binance": sim}, events)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Threads, registered actors, descriptors and processes are as before once a test is over."""
    threads, descriptors, actors = harness.settled_base()
    children = children_of_ours()
    yield
    harness.eventually(
        lambda: (
            harness.settled_base()[0] <= threads
            and harness.settled_base()[2] <= actors
            and (harness.settled_base()[1] or 0) <= (descriptors or 0)
            and children_of_ours() <= children
        ),
        5.0,
        lambda: f"left behind: {harness.settled_base()}, was {(threads, descriptors, actors)}; {children_of_ours()}",
    )


def children_of_ours() -> set[int]:
    """Processes this one started that have not been reaped; zombies too."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # that thread has just ended
            found.update(map(int, task.read_text().split()))
    return found
