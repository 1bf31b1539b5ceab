"""Starts the process of a venue and ends it, the one way a thread cannot be ended: by a signal that asks nobody.

The new process inherits three sockets and nothing else: no environment, no other descriptor, no code of the engine's main
module, no signals of its terminal. It is told everything over one of the sockets, secrets too, so that neither its command
line nor its environment shows any. The only place of the library that starts a process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from connector.errors import SettingsError
from connector.isolation.line import Line, pair

__all__ = ["VenueProcess", "is_possible", "launch"]

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from connector.isolated import main; main()"
KILL_GRACE_S = 0.5
"""Between the signal that asks and the one that does not."""
REAP_WITHIN_S = 5.0


def is_possible() -> bool:
    """Whether this system can start such processes."""
    return sys.platform != "win32"


class VenueProcess:
    """A started process, with our ends of its lines."""

    def __init__(self, popen: subprocess.Popen[bytes], control: Line, asks: Line, facts: Line) -> None:
        self._popen, self.control, self.asks, self.facts = popen, control, asks, facts
        self.pid = popen.pid

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within `timeout_s`."""
        try:
            self._popen.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def end(self) -> None:
        """Ask it to end, then make it. Returns when it is gone; at once when it was."""
        if self.is_running:
            self._popen.terminate()
            if not self.wait(KILL_GRACE_S):
                self.kill()
        self.shutdown()

    def shutdown(self) -> None:
        """End the lines: whoever reads or writes on them returns."""
        for line in (self.control, self.asks, self.facts):
            line.shutdown()

    def kill(self) -> None:
        """Make it end now."""
        self._popen.kill()
        self.wait(REAP_WITHIN_S)

    def how_it_ended(self) -> str:
        code = self._popen.poll()
        if code is None:
            return "still runs"
        if code >= 0:
            return f"ended with status {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        return f"was ended by signal {-code} ({name})"

    def __repr__(self) -> str:
        return f"<VenueProcess {self.pid} {self.how_it_ended()}>"


def launch() -> VenueProcess:
    """Start a process that waits to be told what it is.

    Raises:
        SettingsError: this system has no such processes.
        OSError: no process or descriptor could be had.
    """
    if not is_possible():
        raise SettingsError('isolation="process" needs a POSIX system; use isolation="thread" here.')
    pairs = [pair() for _ in range(3)]
    try:
        theirs = [str(end.fileno()) for _, end in pairs]
        popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, str(Path(__file__).parents[2]), *theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={},
            pass_fds=[end.fileno() for _, end in pairs],
            start_new_session=True,
        )
    except BaseException:
        for ours, _ in pairs:
            ours.close()
        raise
    finally:
        for _, end in pairs:
            end.close()
    control, asks, facts = (ours for ours, _ in pairs)
    return VenueProcess(popen, Line(control), Line(asks), Line(facts, users=1))
