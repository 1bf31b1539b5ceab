"""What a message costs whoever else reads it: one small program per client, each used as its documents show, but for its address.

A development check: none of the others is a dependency. A run is one client in a process of its own, on the interpreter it is
installed for, against one stub of the venue (`feed_stub.py`). It counts what reaches the callback by the venue's ids, from the
first message sent to the last, and prints one JSON line: CPU of this process per message (all its threads, user and system), the
callbacks there were, and when paced, how long a message took from the stub's write to the callback. Joining, snapshots and
start-up come before the first message and are not counted. A client that hands over only the newest of several messages has
fewer callbacks than messages; one that never hands over the last has lost it.

    python tests/compare/feed_peers.py --client cryptofeed --kind book --port 12345 [--paced]

Kinds: trade; ticker (best bid and ask); depth (twenty levels a side, into the book a client ships, or as it comes where it
ships none); book (the same, and the best bid and ask read from that book in each callback). `--versions` tells what is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

KINDS = ("trade", "ticker", "depth", "book")
WARM = 20
NEVER = 1 << 62
START_WITHIN_S = 30.0
QUIET_S = 30.0
"""A client that hands over nothing for so long has lost the rest."""


class Tally:
    """Counts callbacks between the first message sent and the last. `seen` is all that runs per message."""

    def __init__(self, port: int, paced: bool) -> None:
        self.root, self.count, self.mark, self.last = f"http://127.0.0.1:{port}", 0, NEVER, NEVER
        self.cpu_s = 0.0
        self.done = threading.Event()
        self.at_ns: list[tuple[int, int]] = []
        self.seen: Callable[[int], None] = self._seen_at if paced else self._seen
        self.paced = paced

    def _seen(self, number: int) -> None:
        self.count += 1
        if number >= self.mark:
            self._reach(number)

    def _seen_at(self, number: int) -> None:
        self.at_ns.append((number, time.monotonic_ns()))
        self._seen(number)

    def _reach(self, number: int) -> None:
        if self.mark != self.last:
            self.count, self.mark = 1, self.last
        if number >= self.last:
            self.cpu_s = time.process_time() - self.cpu_s
            self.mark = NEVER
            self.done.set()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.root + path, timeout=60.0) as answer:
            return json.loads(answer.read())

    def measure(self) -> None:
        """Waits until the client reads, has the messages sent, and ends the process with what was found."""
        until_s = time.monotonic() + START_WITHIN_S
        while self.count < WARM:
            if time.monotonic() > until_s:
                self.fail(
                    f"{self.count} messages in {START_WITHIN_S:.0f} s after the start; asked for {self.get('/asked')}"
                )
            time.sleep(0.02)
        span = self.get("/go")
        self.last, self.mark = span["last"], span["first"]
        wanted, before = span["last"] - span["first"] + 1, -1
        # Not from the first callback on: a client may have decoded all messages by then, in another of its stages.
        self.cpu_s, own_s = time.process_time(), time.thread_time()
        self.get("/start")
        own_s = time.thread_time() - own_s
        while not self.done.wait(QUIET_S):
            if self.count == before:
                self.fail(f"the last message was never seen, {self.count} of {wanted} callbacks")
            before = self.count
        found = {
            "cpu_us": (self.cpu_s - own_s) / wanted * 1e6,
            "seen": self.count,
            "sent": wanted,
        }
        if self.paced:
            sent_ns, first = self.get("/sent"), span["first"]
            late = sorted(
                (at - sent_ns[number - first]) / 1e3 for number, at in self.at_ns if first <= number <= self.last
            )
            found |= {f"p{share}_us": late[min(len(late) - 1, len(late) * share // 100)] for share in (50, 99)}
        self.end(found)

    def fail(self, reason: str) -> None:
        self.end({"failed": reason})

    def end(self, found: dict[str, Any]) -> None:
        print(json.dumps(found), flush=True)
        os._exit(0)  # some clients take a minute to stop


# ---------------------------------------------------------------- by hand


STREAMS = {"trade": "trade", "ticker": "bookTicker", "depth": "depth@100ms", "book": "depth@100ms"}
KEYS = {"trade": "t", "ticker": "u", "depth": "u", "book": "u"}


def hand_reader(kind: str, number: type) -> Callable[[bytes], Any]:
    """One msgspec decode into a typed struct, prices as `number`; for "book" a sorted book of them, kept by hand."""
    import msgspec

    rows = list[tuple[number, number]]  # type: ignore[valid-type]
    fields = {
        "trade": [("E", int), ("s", str), ("t", int), ("p", number), ("q", number), ("T", int), ("m", bool)],
        "ticker": [("u", int), ("s", str), ("b", number), ("B", number), ("a", number), ("A", number)],
        "depth": [("E", int), ("s", str), ("U", int), ("u", int), ("b", rows), ("a", rows)],
    }
    return msgspec.json.Decoder(msgspec.defstruct("Frame", fields["depth" if kind == "book" else kind])).decode


def hand_callback(kind: str, way: str, tally: Tally) -> Callable[[bytes], None]:
    decode, seen = hand_reader(kind, str if way == "text" else Decimal), tally.seen
    if kind == "trade":
        if way == "object":
            return as_objects(decode, seen)
        return lambda frame: seen(decode(frame).t)
    if kind != "book":
        return lambda frame: seen(decode(frame).u)

    from sortedcontainers import SortedDict

    bids: Any = SortedDict()
    asks: Any = SortedDict()

    def on_book(frame: bytes) -> None:
        delta = decode(frame)
        for book, rows in ((bids, delta.b), (asks, delta.a)):
            for price, quantity in rows:
                if quantity:
                    book[price] = quantity
                else:
                    book.pop(price, None)
        bids.peekitem(-1), asks.peekitem(0)
        seen(delta.u)

    return on_book


def as_objects(decode: Callable[[bytes], Any], seen: Callable[[int], None]) -> Callable[[bytes], None]:
    @dataclass(slots=True)
    class Trade:
        symbol: str
        time_ns: int
        received_ns: int
        number: int
        price: Decimal
        quantity: Decimal
        side: str

    symbols = {"BTCUSDT": "BTC/USDT"}

    def on_trade(frame: bytes) -> None:
        d = decode(frame)
        side = "sell" if d.m else "buy"
        value = Trade(symbols[d.s], d.T * 1_000_000, time.time_ns(), d.t, d.p, d.q, side)
        seen(value.number)

    return on_trade


def by_picows(way: str) -> Callable[[int, str, Tally], None]:
    def run(port: int, kind: str, tally: Tally) -> None:
        from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

        take = hand_callback(kind, way, tally)

        class Listener(WSListener):
            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type is WSMsgType.TEXT:
                    take(frame.get_payload_as_bytes())

        async def main() -> None:
            connection, _ = await ws_connect(Listener, f"ws://127.0.0.1:{port}/ws/btcusdt@{STREAMS[kind]}")
            await connection.wait_disconnected()

        asyncio.run(main())

    return run


def by_websocket_client(port: int, kind: str, tally: Tally) -> None:
    import websocket

    take = hand_callback(kind, "exact", tally)
    client = websocket.WebSocket(skip_utf8_validation=True)
    client.connect(f"ws://127.0.0.1:{port}/ws/btcusdt@{STREAMS[kind]}")
    while True:
        take(client.recv_data()[1])


# ---------------------------------------------------------------- this library, by its public door


def by_connector(transport: str, venue: str = "binance") -> Callable[[int, str, Tally], None]:
    def run(port: int, kind: str, tally: Tally) -> None:
        from connector import Connector, VenueSettings

        seen = tally.seen

        def on_trade(value: Any) -> None:
            seen(value.trade_id)

        def on_named_trade(value: Any) -> None:
            seen(int(value.trade_id))  # text, where the venue does not count

        def on_update(value: Any) -> None:
            if value.update_id is not None:
                seen(value.update_id)

        def on_book(value: Any) -> None:
            bid, ask = value.best_bid, value.best_ask
            if bid is not None and ask is not None and bid[0] < ask[0]:
                seen(value.update_id)

        root = f"//127.0.0.1:{port}"
        settings = VenueSettings(venue, rest_url=f"http:{root}", stream_url=f"ws:{root}", transport=transport)  # type: ignore[arg-type]
        topic = {"trade": "trades", "ticker": "book_ticker"}.get(kind, "book")
        trades = on_trade if venue == "binance" else on_named_trade
        callback = {"trade": trades, "book": on_book}.get(kind, on_update)
        with Connector([settings]) as connector:
            connector.subscribe(venue, topic, "BTC/USDT", callback=callback)
            threading.Event().wait()

    return run


# ---------------------------------------------------------------- what else there is


def by_cryptofeed(port: int, kind: str, tally: Tally) -> None:
    from cryptofeed import FeedHandler, connection
    from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
    from cryptofeed.defines import L2_BOOK, TICKER, TRADES
    from cryptofeed.exchanges import Binance

    seen, routes = tally.seen, Binance.rest_endpoints[0].routes
    connect = connection.connect  # it takes no address but one with TLS, which nobody here is measured with
    connection.connect = lambda address, **more: connect(address.replace("wss://", "ws://"), **more)
    Binance.websocket_endpoints = [WebsocketEndpoint(f"wss://127.0.0.1:{port}")]
    Binance.rest_endpoints = [RestEndpoint(f"http://127.0.0.1:{port}", routes=routes)]

    async def on_trade(value: Any, at: float) -> None:
        seen(int(value.id))

    async def on_ticker(value: Any, at: float) -> None:
        seen(value.raw["u"])

    async def on_depth(value: Any, at: float) -> None:
        seen(value.sequence_number)

    async def on_book(value: Any, at: float) -> None:
        bid, ask = value.book.bids.index(0), value.book.asks.index(0)
        if bid[0] < ask[0]:
            seen(value.sequence_number)

    channel = {"trade": TRADES, "ticker": TICKER}.get(kind, L2_BOOK)
    callback = {"trade": on_trade, "ticker": on_ticker, "depth": on_depth, "book": on_book}[kind]
    feeds = FeedHandler(config={"log": {"disabled": True}})
    feeds.add_feed(Binance(symbols=["BTC-USDT"], channels=[channel], callbacks={channel: callback}))
    feeds.run(install_signal_handlers=False)


def by_ccxt(port: int, kind: str, tally: Tally) -> None:
    import ccxt.pro

    seen = tally.seen

    async def main() -> None:
        client = ccxt.pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
        root = f"http://127.0.0.1:{port}"
        client.urls["api"] |= {"public": f"{root}/api/v3", "private": f"{root}/api/v3", "sapi": f"{root}/sapi/v1"}
        client.urls["api"]["ws"]["spot"] = f"ws://127.0.0.1:{port}/ws"
        client.has["fetchCurrencies"] = False
        while True:
            if kind == "trade":
                for trade in await client.watch_trades("BTC/USDT"):
                    seen(int(trade["id"]))
            elif kind == "ticker":
                for ticker in (await client.watch_bids_asks(["BTC/USDT"])).values():
                    seen(ticker["info"]["u"])
            else:
                book = await client.watch_order_book("BTC/USDT")
                if kind == "depth" or book["bids"][0][0] < book["asks"][0][0]:
                    seen(book["nonce"])

    asyncio.run(main())


def by_python_binance(port: int, kind: str, tally: Tally) -> None:
    from binance import AsyncClient, BinanceSocketManager, DepthCacheManager

    seen = tally.seen

    async def main() -> None:
        AsyncClient.API_URL = f"http://127.0.0.1:{port}/api"
        BinanceSocketManager.STREAM_URL = f"ws://127.0.0.1:{port}/"
        client = AsyncClient()
        client.API_URL = f"http://127.0.0.1:{port}/api"
        sockets = BinanceSocketManager(client, max_queue_size=1_000_000)  # by default it drops what is over a hundred
        if kind in ("depth", "book"):
            manager = DepthCacheManager(client, "BTCUSDT", bm=sockets, ws_interval=100)
            async with manager:
                while True:
                    book = await manager.recv()
                    if kind == "depth" or book.get_bids()[0][0] < book.get_asks()[0][0]:
                        seen(manager._last_update_id)
        key = KEYS[kind]
        opened = sockets.trade_socket("BTCUSDT") if kind == "trade" else sockets.symbol_book_ticker_socket("BTCUSDT")
        async with opened as stream:
            while True:
                seen((await stream.recv())[key])

    asyncio.run(main())


def by_unicorn(library: str) -> Callable[[int, str, Tally], None]:
    def run(port: int, kind: str, tally: Tally) -> None:
        from unicorn_binance_websocket_api import BinanceWebSocketApiManager

        seen, key = tally.seen, KEYS[kind]

        def take(message: dict[str, Any]) -> None:
            data = message.get("data")
            if data is not None:
                seen(data[key])

        manager = BinanceWebSocketApiManager(
            exchange="binance.com",
            output_default="dict",
            websocket_base_uri=f"ws://127.0.0.1:{port}/",
            restful_base_uri=f"http://127.0.0.1:{port}/",
            websocket_library=library,
            warn_on_update=False,
        )
        manager.create_stream([STREAMS[kind]], ["btcusdt"], process_stream_data=take)
        threading.Event().wait()

    return run


def by_pybit(port: int, kind: str, tally: Tally) -> None:
    from pybit import unified_trading

    seen = tally.seen
    unified_trading.PUBLIC_WSS = f"ws://127.0.0.1:{port}/v5/public/{{CHANNEL_TYPE}}"

    def take(message: dict[str, Any]) -> None:
        for row in message["data"]:
            seen(int(row["i"]))

    unified_trading.WebSocket(testnet=False, channel_type="spot").trade_stream("BTCUSDT", take)
    threading.Event().wait()


def by_binance_sdk(port: int, kind: str, tally: Tally) -> None:
    from binance_common.configuration import ConfigurationWebSocketStreams
    from binance_sdk_spot.spot import Spot

    seen, key = tally.seen, KEYS[kind]

    async def main() -> None:
        client = Spot(config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://127.0.0.1:{port}"))
        connection = await client.websocket_streams.create_connection()
        if kind == "trade":
            stream = await connection.trade(symbol="btcusdt")
        elif kind == "ticker":
            stream = await connection.book_ticker(symbol="btcusdt")
        else:
            stream = await connection.diff_book_depth(symbol="btcusdt", update_speed="100ms")
        stream.on("message", lambda value: seen(getattr(value, key)))
        await asyncio.Event().wait()

    asyncio.run(main())


def by_nautilus(port: int, kind: str, tally: Tally) -> None:
    from nautilus_trader.adapters.binance import BinanceDataClientConfig, BinanceLiveDataClientFactory
    from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, TradingNodeConfig
    from nautilus_trader.live.node import TradingNode
    from nautilus_trader.model.identifiers import InstrumentId, TraderId
    from nautilus_trader.trading.strategy import Strategy

    seen, instrument = tally.seen, InstrumentId.from_str("BTCUSDT.BINANCE")

    class Reads(Strategy):
        def on_start(self) -> None:
            if kind == "trade":
                self.subscribe_trade_ticks(instrument)
            elif kind == "ticker":
                self.subscribe_quote_ticks(instrument)
            else:
                self.subscribe_order_book_deltas(instrument)

        def on_trade_tick(self, tick: Any) -> None:
            seen(int(tick.trade_id.value))

        def on_quote_tick(self, tick: Any) -> None:
            seen(0)

        def on_order_book_deltas(self, deltas: Any) -> None:
            if kind == "book":
                book = self.cache.order_book(instrument)
                bid, ask = book.best_bid_price(), book.best_ask_price()
                if bid is None or ask is None or bid >= ask:
                    return
            seen(deltas.sequence)

    root = f"127.0.0.1:{port}"
    config = TradingNodeConfig(
        trader_id=TraderId("COMPARE-001"),
        logging=LoggingConfig(log_level="OFF"),
        data_clients={
            "BINANCE": BinanceDataClientConfig(
                api_key="benchmark",
                api_secret="benchmark",
                base_url_http=f"http://{root}",
                base_url_ws=f"ws://{root}",
                instrument_provider=InstrumentProviderConfig(load_all=True),
            )
        },
    )
    node = TradingNode(config=config)
    node.trader.add_strategy(Reads())
    node.add_data_client_factory("BINANCE", BinanceLiveDataClientFactory)
    node.build()
    node.run()


def by_nautilus_rust(port: int, kind: str, tally: Tally) -> None:
    """The node in Rust, which a strategy in Python hangs on."""
    from nautilus_trader.core import nautilus_pyo3 as nautilus

    seen, instrument = tally.seen, nautilus.InstrumentId.from_str("BTCUSDT.BINANCE")

    class Reads(nautilus.Strategy):  # type: ignore[misc, name-defined]
        def on_start(self) -> None:
            if kind == "trade":
                self.subscribe_trades(instrument)
            else:
                self.subscribe_book_deltas(instrument, nautilus.BookType.L2_MBP, managed=True)

        def on_trade(self, trade: Any) -> None:
            seen(int(trade.trade_id.value))

        def on_book_deltas(self, deltas: Any) -> None:
            if kind == "book":
                book = self.cache.order_book(instrument)
                bid, ask = book.best_bid_price(), book.best_ask_price()
                if bid is None or ask is None or bid >= ask:
                    return
            seen(deltas.sequence)

    config = nautilus.BinanceDataClientConfig(
        product_type=nautilus.BinanceProductType.SPOT,
        base_url_http=f"http://127.0.0.1:{port}",
        base_url_ws=f"ws://127.0.0.1:{port}/ws",
        spot_market_data_mode=nautilus.BinanceSpotMarketDataMode.Json,
    )
    builder = nautilus.LiveNode.builder("compare", nautilus.TraderId("COMPARE-001"), nautilus.Environment.LIVE)
    builder = builder.add_data_client("BINANCE", nautilus.BinanceDataClientFactory(), config)
    node = builder.with_reconciliation(False).build()
    node.add_strategy(Reads())
    node.run()


@dataclass(frozen=True)
class Client:
    """How to run it, the distributions whose versions count, the kinds it has, and what its reader should know."""

    run: Callable[[int, str, Tally], None]
    made_of: tuple[str, ...]
    kinds: tuple[str, ...] = KINDS
    remark: str = ""
    against: str = "connector, picows"
    ours: bool = False
    by_hand: bool = False

    @property
    def quick(self) -> bool:
        """So cheap per message that more of them are sent."""
        return self.ours or self.by_hand


BYBIT = "connector, picows, on Bybit"
NO_BOOK = ("trade", "ticker", "depth")
CLIENTS = {
    "connector, picows": Client(by_connector("picows"), ("picows", "msgspec"), ours=True),
    "connector, websocket-client": Client(by_connector("websocket-client"), ("websocket-client",), ours=True),
    "picows + msgspec, text": Client(
        by_picows("text"), ("picows", "msgspec"), NO_BOOK, "prices stay text", by_hand=True
    ),
    "picows + msgspec, Decimal": Client(
        by_picows("exact"), ("picows", "msgspec"), remark="the book is a SortedDict, joined to nothing", by_hand=True
    ),
    "picows + msgspec, object": Client(
        by_picows("object"), ("picows", "msgspec"), ("trade",), "a dataclass", by_hand=True
    ),
    "websocket-client + msgspec, Decimal": Client(by_websocket_client, ("websocket-client", "msgspec"), by_hand=True),
    "unicorn, websockets": Client(
        by_unicorn("websockets"), ("unicorn-binance-websocket-api", "websockets"), NO_BOOK, "dicts"
    ),
    "unicorn, picows": Client(by_unicorn("picows"), ("unicorn-binance-websocket-api", "picows"), NO_BOOK, "dicts"),
    "nautilus_trader": Client(by_nautilus, ("nautilus_trader",), ("trade", "depth", "book"), "the node in Python"),
    "nautilus_trader, Rust": Client(
        by_nautilus_rust, ("nautilus_trader",), ("trade", "depth", "book"), "the node in Rust"
    ),
    "cryptofeed": Client(by_cryptofeed, ("cryptofeed",), remark="aggregate trades"),
    "binance-sdk-spot": Client(by_binance_sdk, ("binance-sdk-spot",), NO_BOOK),
    "python-binance": Client(by_python_binance, ("python-binance",), remark="its queue set larger"),
    "ccxt.pro": Client(by_ccxt, ("ccxt",)),
    BYBIT: Client(by_connector("picows", "bybit"), ("picows",), ("trade",), against=BYBIT, ours=True),
    "pybit, on Bybit": Client(by_pybit, ("pybit",), ("trade",), against=BYBIT),
}


def versions() -> dict[str, str]:
    found: dict[str, str] = {"Python": sys.version.split()[0]}
    for name in sorted({name for client in CLIENTS.values() for name in client.made_of}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--client", choices=list(CLIENTS))
    parser.add_argument("--kind", choices=KINDS, default="trade")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--paced", action="store_true", help="tell how late each message was")
    chosen = parser.parse_args()
    if chosen.versions:
        print(json.dumps(versions()))
        return 0
    logging.disable(logging.CRITICAL)
    tally = Tally(chosen.port, chosen.paced)
    threading.Thread(target=tally.measure, name="measure", daemon=True).start()
    try:
        CLIENTS[chosen.client].run(chosen.port, chosen.kind, tally)
    except ImportError as absent:
        tally.fail(f"not installed: {absent}")
    except Exception as failed:  # of any client; its text goes into the table
        tally.fail(f"{type(failed).__name__}: {failed}")
    tally.fail("it ended by itself")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
