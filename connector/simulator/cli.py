"""Run a simulated exchange in a process of its own: arguments in, one status line a second out, until interrupted.

Faults are scheduled on the command line (`--fault 'cut@5'`) or sent to the control endpoint while it runs. This module only
reads arguments and prints; the exchange runs in `Simulator`'s thread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple

from connector.simulator.dialects import DEFAULT
from connector.simulator.server import Simulator
from connector.simulator.settings import AccountSettings, Live, Replay, SimulatorSettings

__all__ = ["ScheduledFault", "main", "read_account", "read_fault"]

_FAULT = re.compile(r"(?P<name>[a-z_]+)@(?P<at>[0-9]+(\.[0-9]+)?)(:(?P<arguments>.*))?")


class ScheduledFault(NamedTuple):
    """A fault, when (seconds after the start), and its arguments."""

    name: str
    at_s: float
    arguments: dict[str, Any]


def read_fault(text: str) -> ScheduledFault:
    """Read `name@seconds` or `name@seconds:argument=value,...`; values are JSON, or text where they are not.

    Raises:
        ValueError: it reads differently.
    """
    match = _FAULT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"a fault is written name@seconds[:argument=value,...], like 'cut@5' or 'delay@3:s=0.2'; got {text!r}"
        )
    arguments: dict[str, Any] = {}
    for pair in (match["arguments"] or "").split(",") if match["arguments"] else ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"an argument of a fault is written name=value; got {pair!r} in {text!r}")
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            arguments[name] = value
    return ScheduledFault(match["name"], float(match["at"]), arguments)


def read_account(text: str) -> AccountSettings:
    """Read `name,key,secret,ASSET=amount,...`.

    Raises:
        ValueError: it reads differently.
    """
    name, key, secret, *amounts = [*text.split(","), "", ""] if text.count(",") < 2 else text.split(",")
    if not name or not key or not secret or not all(re.fullmatch(r"\w+=[0-9.]+", amount) for amount in amounts):
        raise ValueError(f"an account is written NAME,KEY,SECRET[,ASSET=AMOUNT...]; got {len(text)} characters")
    return AccountSettings(name, key, secret, balances=dict(amount.split("=") for amount in amounts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until interrupted, or for `--for` seconds. Returns the exit status: 0, or 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m connector.simulator", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free port")
    parser.add_argument("--dialect", default=DEFAULT, help="which exchange: the name of a module below the dialects")
    parser.add_argument("--symbols", default="BTCUSDT,ETHUSDT,ETHBTC", help="comma separated")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=200.0, help="orders a second over all symbols")
    parser.add_argument("--deep", action="store_true", help="candles of every interval back to the listing")
    parser.add_argument("--capture", metavar="FILE", help="play a recording instead of making a market")
    parser.add_argument("--speed", default="1", help="of a recording: a factor, or 'max'")
    parser.add_argument(
        "--start", default="settled", choices=("settled", "all", "manual"), help="when a recording begins"
    )
    parser.add_argument("--tls", metavar="CERT,KEY", help="PEM files")
    parser.add_argument("--no-limits", action="store_true", help="count, but never refuse")
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME,KEY,SECRET[,ASSET=AMOUNT...]",
        help="a customer with an HMAC key",
    )
    parser.add_argument("--fault", action="append", default=[], metavar="NAME@SECONDS[:ARG=VALUE,...]")
    parser.add_argument("--for", dest="for_s", type=float, metavar="SECONDS", help="end after so long")
    options = parser.parse_args(arguments)
    try:
        faults = sorted((read_fault(text) for text in options.fault), key=lambda fault: fault.at_s)
        source: Live | Replay = Live(deep=options.deep)
        if options.capture:
            speed = None if options.speed == "max" else float(options.speed)
            source = Replay(options.capture, speed=speed, start=options.start)
        certificate, _, key = (options.tls or "").partition(",")
        settings = SimulatorSettings(
            symbols=tuple(options.symbols.split(",")),
            seed=options.seed,
            events_per_s=options.rate,
            source=source,
            host=options.host,
            port=options.port,
            tls=(certificate, key) if options.tls else None,
            enforce_limits=not options.no_limits,
            dialect=options.dialect,
            accounts=tuple(read_account(text) for text in options.account),
        )
        simulator = Simulator(settings)
        for fault in faults:
            if fault.name.startswith("_") or not callable(getattr(simulator.faults, fault.name, None)):
                raise ValueError(f"there is no fault {fault.name!r}")
    except (OSError, ValueError) as wrong:
        parser.exit(2, f"{parser.prog}: {wrong}\n")
    usual = signal.signal(signal.SIGTERM, _end)  # not by way of SIGINT, which a shell's background jobs ignore
    try:
        asyncio.run(_watch(simulator, faults, options.for_s))
    except KeyboardInterrupt:
        pass  # the usual way to end it
    except OSError as wrong:
        parser.exit(2, f"{parser.prog}: cannot listen on {options.host}:{options.port}: {wrong}\n")
    finally:
        signal.signal(signal.SIGTERM, usual)
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


async def _watch(simulator: Simulator, faults: list[ScheduledFault], for_s: float | None) -> None:
    """Start, tell the status every second, fire faults on time, stop."""
    with simulator:
        print(f"REST {simulator.rest_url}  WebSocket {simulator.ws_url}", flush=True)  # noqa: T201 - a program's output
        tell = _teller()
        started = time.monotonic()
        pending = list(faults)
        told_s = 0.0
        last = (0, 0)
        while for_s is None or time.monotonic() - started < for_s:
            passed_s = time.monotonic() - started
            while pending and pending[0].at_s <= passed_s:
                fault = pending.pop(0)
                try:
                    result = getattr(simulator.faults, fault.name)(**fault.arguments)
                    tell(f"{passed_s:7.1f}s fault {fault.name} {fault.arguments or ''} -> {result}")
                except (LookupError, TypeError, ValueError) as wrong:
                    tell(f"{passed_s:7.1f}s fault {fault.name} failed: {wrong}")
            if passed_s >= told_s:
                told_s += 1.0
                summary = simulator.ledger.summary()
                frames, size = summary["frames_out"], summary["bytes_out"]
                tell(f"{passed_s:7.1f}s {simulator!r} out={frames - last[0]}/s {(size - last[1]) / 1e6:.2f} MB/s")
                last = (frames, size)
            await asyncio.sleep(0.05)


def _teller() -> Any:
    """How to print a line: through rich on a terminal, where it is installed."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console

            return Console(highlight=True).print
    return lambda text: print(text, flush=True)  # noqa: T201 - a program's output
