"""The same fault to this library and to other clients, side by side: seconds until data is back, or never.

A development check: python-binance, pybit and ccxt (its `pro` half) are no dependencies. Each client is a process of its own that
follows the trades of two symbols as its documentation shows, with its defaults and only its address changed, and prints a line a
trade and a line a complaint, stamped with the monotonic clock all processes of a machine share. Each has an exchange of its own,
with the same seed, which does the fault. All clients meet a fault at the same time, one fault after the other.

    python -m venv build/peers
    build/peers/bin/pip install python-binance==1.0.37 pybit==5.17.0 ccxt==4.5.90 '.[fast,simulator]'
    build/peers/bin/python tests/compare/faults_peers.py            # ten to twenty minutes
    build/peers/bin/python tests/compare/faults_peers.py --only F01 --only F08

Back means: a trade came that happened after the fault began; told from its own time, so that what was in a buffer does not count.
Figures go to build/peers.json, the table to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
START_WITHIN_S = 60.0
STEADY_S = 30.0
"""So long data flows before anything happens: a client that learns how busy a topic is has had the time."""
POLL_S = 0.01

# ---------------------------------------------------------------- clients: one a process


def say(kind: str, text: str) -> None:
    """One line: what it is, when by the monotonic clock, and the rest."""
    os.write(1, f"{kind} {time.monotonic():.4f} {text[:160]}\n".replace("\r", " ").encode())


def trade(symbol: str, time_ms: float) -> None:
    say("T", f"{symbol} {time_ms:.0f}")


def complaint(text: str) -> None:
    say("C", " ".join(text.split()))


class _Complaints(logging.Handler):
    """Whatever a client logs as a warning or worse counts as having noticed."""

    def emit(self, record: logging.LogRecord) -> None:
        complaint(record.getMessage())


def by_connector(rest: str, ws: str, exchange: str) -> None:
    from connector import Connector, VenueSettings
    from connector.venue.delivery import TopicState, TopicStatus

    names = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}
    with Connector([VenueSettings(exchange, rest_url=rest, stream_url=ws)]) as client:
        for symbol, name in names.items():

            def take(value: Any, name: str = name) -> None:
                if isinstance(value, TopicStatus):
                    if value.state is TopicState.STALE:
                        complaint(f"{name} is stale: {value.reason}")
                elif hasattr(value, "price"):
                    trade(name, value.event_time_ns / 1e6)

            client.subscribe(exchange, "trades", symbol, callback=take, notices=True)
        threading.Event().wait()


def by_python_binance(rest: str, ws: str, exchange: str) -> None:
    from binance import AsyncClient, BinanceSocketManager

    AsyncClient.API_URL = f"{rest}/api"

    async def follow() -> None:
        manager = BinanceSocketManager(await AsyncClient.create())
        manager.STREAM_URL = f"{ws}/"
        async with manager.multiplex_socket([f"{name.lower()}@trade" for name in SYMBOLS]) as socket:
            while True:
                try:
                    message = await socket.recv()
                except Exception as error:  # the documented loop ends here; this one goes on asking, in its favour
                    complaint(repr(error))
                    await asyncio.sleep(1.0)
                    continue
                if message.get("e") == "error":
                    complaint(str(message))
                else:
                    trade(message["data"]["s"], message["data"]["T"])

    asyncio.run(follow())


def by_pybit(rest: str, ws: str, exchange: str) -> None:
    import pybit.unified_trading

    pybit.unified_trading.PUBLIC_WSS = f"{ws}/v5/public/{{CHANNEL_TYPE}}"

    def take(message: dict[str, Any]) -> None:
        for each in message["data"]:
            trade(each["s"], each["T"])

    socket = pybit.unified_trading.WebSocket(channel_type="spot", testnet=False)
    socket.trade_stream(symbol=list(SYMBOLS), callback=take)
    threading.Event().wait()


def by_ccxt(rest: str, ws: str, exchange: str) -> None:
    import ccxt.pro

    client = getattr(ccxt.pro, exchange)({"options": {"defaultType": "spot", "fetchCurrencies": False}})
    client.options["fetchMarkets"] = {"types": ["spot"]}
    api = client.urls["api"]
    if exchange == "binance":
        for name in ("public", "private", "v1"):
            api[name] = f"{rest}/api/{'v1' if name == 'v1' else 'v3'}"
        api["ws"] = api["ws"] | {"spot": f"{ws}/ws"}
    else:
        for name in ("spot", "futures", "v2", "public", "private"):
            api[name] = rest
        public = {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
        api["ws"] = api["ws"] | {"public": public}

    async def follow(symbol: str) -> None:
        while True:
            try:
                for each in await client.watch_trades(symbol):
                    trade(symbol.replace("/", ""), each["timestamp"])
            except Exception as error:
                complaint(repr(error))
                await asyncio.sleep(0.1)

    async def both() -> None:
        await client.load_markets()
        await asyncio.gather(follow("BTC/USDT"), follow("ETH/USDT"))

    asyncio.run(both())


@dataclass(frozen=True)
class Client:
    """One of those compared: how it is called, which exchange it follows, and the packages whose versions matter."""

    name: str
    package: str
    follow: Callable[[str, str, str], None]
    exchange: str

    @property
    def dialect(self) -> str:
        return f"{self.exchange}_spot"

    @property
    def trade_topic(self) -> str:
        return "btcusdt@trade" if self.exchange == "binance" else "publicTrade.BTCUSDT"


CLIENTS = {
    client.name: client
    for client in (
        Client("connector, Binance", "venue-connector", by_connector, "binance"),
        Client("connector, Bybit", "venue-connector", by_connector, "bybit"),
        Client("python-binance", "python-binance", by_python_binance, "binance"),
        Client("pybit", "pybit", by_pybit, "bybit"),
        Client("ccxt.pro, Binance", "ccxt", by_ccxt, "binance"),
        Client("ccxt.pro, Bybit", "ccxt", by_ccxt, "bybit"),
    )
}


def be_client(name: str, rest: str, ws: str) -> None:
    """Follow trades until killed."""
    logging.getLogger().addHandler(_Complaints(logging.WARNING))
    threading.excepthook = lambda told: complaint(f"a thread ended: {told.exc_value!r}")
    try:
        CLIENTS[name].follow(rest, ws, CLIENTS[name].exchange)
    except BaseException as error:
        complaint(f"the program ended: {error!r}")
        raise


# ---------------------------------------------------------------- the judge


class Watched:
    """A client's process beside its exchange, and what it said."""

    def __init__(self, client: Client, sim: Any) -> None:
        self.client, self.sim = client, sim
        self.trades: list[tuple[float, str, float]] = []  # (monotonic seconds, symbol, the trade's own time in ms)
        self.complaints: list[tuple[float, str]] = []
        command = [sys.executable, str(Path(__file__).resolve()), "--client", client.name, sim.rest_url, sim.ws_url]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace"
        )
        self.reader = threading.Thread(target=self._read, name=f"reads {client.name}", daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            kind, at_s, rest = [*line.rstrip("\n").split(" ", 2), "", ""][:3]
            if kind == "T":
                symbol, time_ms = rest.split()
                self.trades.append((float(at_s), symbol, float(time_ms)))
            elif kind == "C":
                self.complaints.append((float(at_s), rest))

    def flows(self) -> bool:
        """Both symbols have come within the last two seconds."""
        recent = {symbol for at_s, symbol, _ in self.trades[-200:] if at_s > time.monotonic() - 2.0}
        return recent == set(SYMBOLS)

    def back_s(self, after_ms: float, symbols: tuple[str, ...]) -> float | None:
        """When the last of these symbols brought its first trade that happened later than that; None: not yet."""
        firsts = []
        for symbol in symbols:
            came = (at_s for at_s, name, time_ms in list(self.trades) if name == symbol and time_ms > after_ms)
            firsts.append(next(came, None))
        return None if None in firsts else max(each for each in firsts if each is not None)

    def missed(self, from_ms: float, to_ms: float) -> int:
        """Trades that happened in between, by the exchange's ledger, and never came."""
        came = Counter((symbol, time_ms) for _, symbol, time_ms in list(self.trades))
        happened = Counter(
            (symbol, each.time_us // 1000)
            for symbol in SYMBOLS
            for each in self.sim.ledger.trades(symbol).values()
            if from_ms <= each.time_us // 1000 <= to_ms
        )
        return sum((happened - came).values())

    def complained_s(self, after_s: float) -> float | None:
        return next((at_s for at_s, _ in list(self.complaints) if at_s > after_s), None)

    def asked(self) -> int:
        """Connections made and subscriptions sent so far, by the exchange's own account."""
        sent = sum("subscribe" in text.lower() for _, text in self.sim.ledger.control_frames())
        return len(self.sim.ledger.connections()) + sent

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10.0)
        self.reader.join(10.0)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def watched(client: Client, rate: float) -> Iterator[Watched]:
    from connector.simulator import Simulator, SimulatorSettings

    settings = SimulatorSettings(dialect=client.dialect, symbols=SYMBOLS, events_per_s=rate, seed=7)
    with Simulator(settings) as sim:
        sim.faults.delay(0.02)  # pybit takes note of what it asked for after it asked; nothing is nearer than that
        one = Watched(client, sim)
        try:
            yield one
        finally:
            one.end()


def wait(condition: Callable[[], Any], within_s: float) -> bool:
    """Whether it came true in time."""
    ends_s, pause = time.monotonic() + within_s, threading.Event()
    while not condition():
        if time.monotonic() > ends_s:
            return False
        pause.wait(POLL_S)
    return True


Result = dict[str, Any]
"""back_s, noticed_s: seconds, or None for "not within the limit"; missed: trades that never came; limit_s; note."""


def now() -> tuple[float, float]:
    """(monotonic seconds, UTC milliseconds): taken once a fault is in effect, since what came before it proves nothing."""
    return time.monotonic(), time.time() * 1000


def mended(one: Watched, began_s: float, began_ms: float, ended_s: float, limit_s: float) -> Result:
    """Wait for data; seconds count from the end of the fault."""
    wait(lambda: one.back_s(began_ms, SYMBOLS) is not None, ended_s + limit_s - time.monotonic())
    back_s, complained_s = one.back_s(began_ms, SYMBOLS), one.complained_s(began_s)
    back_ms = time.time() * 1000
    threading.Event().wait(1.0)  # what is fetched later comes now
    ended = f"exit status {one.process.poll()}" if one.process.poll() is not None else ""
    return {
        "back_s": None if back_s is None else max(0.0, back_s - ended_s),
        "noticed_s": None if complained_s is None else complained_s - began_s,
        "limit_s": limit_s,
        "missed": None if back_s is None else one.missed(began_ms - 200.0, back_ms - 100.0),
        "note": ended or next((text for at_s, text in one.complaints if at_s > began_s), ""),
    }


def reset(one: Watched, limit_s: float, apart_s: float) -> Result:
    """Five; the middle one counts, and the slowest is told beside it."""
    results: list[Result] = []
    for number in range(5):
        if number:
            threading.Event().wait(apart_s)
        one.sim.faults.cut(at_byte=10 if number == 1 else None)
        began_s, began_ms = now()
        results.append(mended(one, began_s, began_ms, began_s, limit_s))
        if results[-1]["back_s"] is None:
            return results[-1]
    results.sort(key=lambda each: float(each["back_s"]))
    return results[2] | {
        "slowest_s": results[-1]["back_s"],
        "each_s": [round(each["back_s"], 3) for each in results],
        "missed": sum(each["missed"] for each in results),
    }


def reset_settled(one: Watched, limit_s: float) -> Result:
    return reset(one, limit_s, 35.0)


def reset_in_a_row(one: Watched, limit_s: float) -> Result:
    return reset(one, limit_s, 5.0)


def half_open(one: Watched, limit_s: float) -> Result:
    one.sim.faults.half_open()
    began_s, began_ms = now()
    return mended(one, began_s, began_ms, began_s, limit_s)


def refused(one: Watched, limit_s: float) -> Result:
    one.sim.faults.refuse_connect(for_s=20.0)
    one.sim.faults.cut(scope="all")
    began_s, began_ms = now()
    return mended(one, began_s, began_ms, began_s + 20.0, limit_s)


def bad_gateway(one: Watched, limit_s: float) -> Result:
    one.sim.faults.refuse_upgrade(502, for_s=10.0)
    one.sim.faults.cut()
    began_s, began_ms = now()
    return mended(one, began_s, began_ms, began_s + 10.0, limit_s)


def silent(one: Watched, limit_s: float, stream: str, symbols: tuple[str, ...]) -> Result:
    """The venue forgot the subscription, as it were: the silence ends as soon as the client connects or subscribes anew."""
    before = one.asked()
    one.sim.faults.silence(stream)
    began_s, began_ms = now()
    asked = wait(lambda: one.asked() > before, limit_s)
    asked_s = time.monotonic()
    complained_s = one.complained_s(began_s)
    noticed = [at_s for at_s in (asked_s if asked else None, complained_s) if at_s is not None]
    one.sim.faults.unsilence()
    back_s = None
    if asked:
        wait(lambda: one.back_s(began_ms, symbols) is not None, 30.0)
        back_s = one.back_s(began_ms, symbols)
    return {
        "back_s": None if back_s is None else back_s - began_s,
        "missed": None,
        "noticed_s": min(noticed) - began_s if noticed else None,
        "limit_s": limit_s,
        "note": next((text for at_s, text in one.complaints if at_s > began_s), ""),
    }


def one_silent(one: Watched, limit_s: float) -> Result:
    return silent(one, limit_s, one.client.trade_topic, SYMBOLS[:1])


def all_silent(one: Watched, limit_s: float) -> Result:
    return silent(one, limit_s, "*", SYMBOLS)


FAULTS: dict[str, tuple[str, Callable[[Watched, float], Result], float]] = {
    "F01": ("connection reset, five times 35 s apart", reset_settled, 60.0),
    "F01, in a row": ("connection reset, five times 5 s apart", reset_in_a_row, 60.0),
    "F03": ("half-open: not a byte any more", half_open, 150.0),
    "F05": ("connect refused for 20 s, from its end", refused, 120.0),
    "F08": ("502 at the upgrade for 10 s, from its end", bad_gateway, 120.0),
    "F21": ("one topic silent, others flow", one_silent, 120.0),
    "F22": ("all topics silent, pings answered", all_silent, 120.0),
}


def meet(client: Client, fault: Callable[[Watched, float], Result], limit_s: float, options: Any) -> Result:
    """One client, one fault."""
    with watched(client, options.rate) as one:
        if not wait(one.flows, START_WITHIN_S):
            return {"back_s": None, "noticed_s": None, "limit_s": 0.0, "note": f"no data at all: {one.complaints[-3:]}"}
        steady = not wait(lambda: one.process.poll() is not None, options.steady)
        if not steady or not one.flows():
            return {"back_s": None, "noticed_s": None, "limit_s": 0.0, "note": "it fell silent before any fault"}
        return fault(one, limit_s)


def shown(result: Result, name: str) -> str:
    if name == "F21" and result["back_s"] is None and result["noticed_s"] is not None:
        return f"told after {result['noticed_s']:.1f} s, not back in {result['limit_s']:.0f} s"
    if result["back_s"] is not None:
        slowest = f" (slowest {result['slowest_s']:.2f} s)" if "slowest_s" in result else ""
        return f"{result['back_s']:.{2 if slowest else 1}f} s{slowest}"
    if not result["limit_s"]:
        return "not measured"
    return f"never (in {result['limit_s']:.0f} s)"


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "this tree" if package == "venue-connector" else "not installed"


def table(results: dict[str, dict[str, Result]]) -> str:
    names = [name for name in CLIENTS if any(name in row for row in results.values())]
    heads = [f"{name} ({version(CLIENTS[name].package)})" for name in names]
    lines = [f"| | fault | {' | '.join(heads)} |", "|---|---|" + "---|" * len(names)]
    for fault, row in results.items():
        cells = [shown(row[name], fault) if name in row else "" for name in names]
        lines.append(f"| {fault} | {FAULTS[fault][0]} | {' | '.join(cells)} |")
    for fault, row in results.items():
        if any(row[name].get("missed") is not None for name in row):
            told = [row[name].get("missed") if name in row else "" for name in names]
            cells = ["-" if each is None else str(each) for each in told]
            lines.append(f"| {fault} | trades that never came | {' | '.join(cells)} |")
    return "\n".join(lines)


def ahead(results: dict[str, dict[str, Result]]) -> list[str]:
    """Rows in which some other client was back before this library was, at the same exchange."""
    behind = []
    for fault, row in results.items():
        for name, theirs in row.items():
            ours = row.get(f"connector, {CLIENTS[name].exchange.capitalize()}")
            if name.startswith("connector") or ours is None or theirs["back_s"] is None:
                continue
            if ours["back_s"] is None or theirs["back_s"] < ours["back_s"]:
                behind.append(f"{fault}: {name} {shown(theirs, fault)}, connector {shown(ours, fault)}")
    return behind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", nargs=3, metavar=("NAME", "REST", "WEBSOCKET"), help="be one of the clients")
    parser.add_argument("--only", choices=sorted(FAULTS), action="append")
    parser.add_argument("--clients", default=",,".join(CLIENTS), help="names, with two commas between")
    parser.add_argument("--rate", type=float, default=240.0, help="orders a second of each simulated market")
    parser.add_argument("--steady", type=float, default=STEADY_S, help="seconds of data before the fault")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "peers.json")
    options = parser.parse_args()
    if options.client:
        be_client(*options.client)
        return 0
    chosen = [CLIENTS[name] for name in options.clients.split(",,")]
    results: dict[str, dict[str, Result]] = {}
    for fault in options.only or FAULTS:
        text, act, limit_s = FAULTS[fault]
        print(f"{fault} {text}", flush=True)
        with ThreadPoolExecutor(len(chosen)) as pool:
            under_way = {each.name: pool.submit(meet, each, act, limit_s, options) for each in chosen}
            results[fault] = {name: future.result() for name, future in under_way.items()}
        for name, result in results[fault].items():
            noticed = "" if result["noticed_s"] is None else f", told after {result['noticed_s']:.1f} s"
            noticed += f", missed {result.get('missed')}"
            print(f"  {name:20} {shown(result, fault)}{noticed}  {result['note'][:90]}", flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "versions": {name: version(client.package) for name, client in CLIENTS.items()},
            "python": sys.version.split()[0],
            "rows": results,
        }
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(results))
    behind = ahead(results)
    for text in behind:
        print(f"behind: {text}")
    return 1 if behind else 0


if __name__ == "__main__":
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    sys.exit(main())
