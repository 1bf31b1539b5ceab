"""A spot venue in Binance's format on one local port, for measuring whichever client connects: REST as far as they ask at start,
raw and combined streams, and then a known number of messages as fast as the socket takes them, or at a steady pace.

It sends a few messages a second from the first subscription on, so that a client has time to fetch its snapshot and to join
its book. `GET /go` ends that: the answer names the first and the last id to come. `GET /start` sends them. `GET /sent` tells
when each message was handed to the socket, as nanoseconds of the monotonic clock, which processes of one machine share. Ids rise
by one without a gap. Every tenth depth update moves the best prices by one level, which takes a level away on one side.

Of a second venue, Bybit, it has the trades, for the client that speaks nothing else.

It checks nothing, signs nothing and knows one symbol. It is a process of its own, one per run, and prints its port first.

    python tests/compare/feed_stub.py --count 50000 [--pace 2000]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import transport_floor as floor

BLOCK = 200
FIRST_ID = 5_000_001
LEVELS = 1_000
BID, ASK = 121_233, 121_234
WARM_EVERY_S = 0.02
SETTLE_S = 0.2

Build = Callable[[int, int], bytes]

# ---------------------------------------------------------------- what the venue says


def trade(number: int, at_ms: int) -> bytes:
    return (
        b'{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"121234.56000000","q":"0.00123000","T":%d,"m":true,"M":true}'
        % (at_ms, number, at_ms)
    )


def agg_trade(number: int, at_ms: int) -> bytes:
    return (
        b'{"e":"aggTrade","E":%d,"s":"BTCUSDT","a":%d,"p":"121234.56000000","q":"0.00123000","f":%d,"l":%d,"T":%d,'
        b'"m":true,"M":true}' % (at_ms, number, number, number, at_ms)
    )


def book_ticker(number: int, at_ms: int) -> bytes:
    return (
        b'{"u":%d,"s":"BTCUSDT","b":"121233.56000000","B":"0.%08d","a":"121234.56000000","A":"0.%08d"}'
        % (number, number % 99_999_999 + 1, number * 7 % 99_999_999 + 1)
    )  # fmt: skip


def shift(number: int) -> int:
    """How many levels the market has moved: up by ten and down again, one step in ten messages."""
    step = number // 10 % 20
    return min(step, 20 - step)


def side(best: int, step: int, number: int, count: int, gone: int | None = None) -> bytes:
    rows = [
        b'["%d.56000000","0.%08d"]' % (best + step * level, (number * 7 + level) % 99_999_999 + 1)
        for level in range(count)
    ]
    return b",".join(rows if gone is None else [b'["%d.56000000","0.00000000"]' % gone, *rows])


def depth(number: int, at_ms: int) -> bytes:
    """Twenty levels a side."""
    moved, before = shift(number), shift(number - 1)
    bid, ask = BID + moved, ASK + moved
    bids = side(bid, -1, number, 19, bid + 1) if moved < before else side(bid, -1, number, 20)
    asks = side(ask, 1, number, 19, ask - 1) if moved > before else side(ask, 1, number, 20)
    return b'{"e":"depthUpdate","E":%d,"s":"BTCUSDT","U":%d,"u":%d,"b":[%b],"a":[%b]}' % (
        at_ms,
        number,
        number,
        bids,
        asks,
    )


def bybit_trade(number: int, at_ms: int) -> bytes:
    return (
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":%d,"s":"BTCUSDT","S":"Sell","v":"0.001230",'
        b'"p":"121234.56","L":"ZeroPlusTick","i":"%d","BT":false,"RPI":false,"seq":%d}]}'
        % (at_ms, at_ms, number, number)
    )


BUILDERS: dict[str, Build] = {"trade": trade, "aggTrade": agg_trade, "bookTicker": book_ticker, "depth": depth}


def builder(stream: str) -> Build | None:
    """By the stream's name, as "btcusdt@depth@100ms"; of the other venue there is one."""
    if stream == "publicTrade.BTCUSDT":
        return bybit_trade
    symbol, _, rest = stream.partition("@")
    return BUILDERS.get(rest.partition("@")[0]) if symbol == "btcusdt" else None


def exchange_info() -> dict[str, Any]:
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "100.00000000", "stepSize": "0.00000000"},
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_MAKER"],
    }
    limits = [
        ("REQUEST_WEIGHT", "MINUTE", 1),
        ("RAW_REQUESTS", "MINUTE", 5),
        ("ORDERS", "SECOND", 10),
        ("ORDERS", "DAY", 1),
    ]
    names = ("rateLimitType", "interval", "intervalNum")
    return {
        "timezone": "UTC",
        "serverTime": time.time_ns() // 1_000_000,
        "rateLimits": [dict(zip(names, limit, strict=True)) | {"limit": 100_000_000} for limit in limits],
        "exchangeFilters": [],
        "symbols": [symbol],
    }


def bybit_instruments() -> dict[str, Any]:
    lot = {"basePrecision": "0.000001", "quotePrecision": "0.0000001", "minOrderQty": "0.000011", "maxOrderQty": "83"}
    row = {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": lot
        | {"minOrderAmt": "5", "maxOrderAmt": "8000000", "maxLimitOrderQty": "83", "maxMarketOrderQty": "41"},
        "priceFilter": {"tickSize": "0.01"},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }
    return {"category": "spot", "list": [row], "nextPageCursor": ""}


def bybit_answer(path: str) -> dict[str, Any]:
    now_ns = time.time_ns()
    clock = {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}
    result = bybit_instruments() if path.endswith("instruments-info") else clock if path.endswith("time") else {}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ns // 1_000_000}


def snapshot(number: int, limit: int) -> bytes:
    moved, count = shift(number), min(limit, LEVELS)
    bids, asks = side(BID + moved, -1, number, count), side(ASK + moved, 1, number, count)
    return b'{"lastUpdateId":%d,"bids":[%b],"asks":[%b]}' % (number, bids, asks)


# ---------------------------------------------------------------- the same in the venue's binary encoding (schema 3, version 5)

SBE = (3, 5)
SCALE = 100_000_000


def rows_of(block: int, rows: list[bytes]) -> bytes:
    return struct.pack("<HI", block, len(rows)) + b"".join(rows)


def counted(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def exchange_info_binary() -> bytes:
    """One client asks for its instruments in this encoding only. Numbers are counts of 10^-8."""
    price = struct.pack("<HHHHbqqq", 25, 1, *SBE, -8, SCALE // 100, 1_000_000 * SCALE, SCALE // 100)
    lot = struct.pack("<HHHHbqqq", 25, 4, *SBE, -8, SCALE // 100_000, 9_000 * SCALE, SCALE // 100_000)
    fixed = struct.pack("<BBBBBH12B", 0, 8, 8, 8, 8, 0b111, 1, 1, 1, 1, 1, 1, 1, 1, 0, 4, 7, 0)
    names = b"".join(counted(name) for name in (b"BTCUSDT", b"BTC", b"USDT"))
    permissions = rows_of(0, [rows_of(0, [counted(b"SPOT")])])
    symbol = fixed + rows_of(0, [counted(price), counted(lot)]) + permissions + names
    return (
        struct.pack("<HHHH", 0, 103, *SBE)
        + rows_of(11, [])
        + rows_of(0, [])
        + rows_of(len(fixed), [symbol])
        + rows_of(0, [])
    )


def snapshot_binary(number: int, limit: int) -> bytes:
    told = json.loads(snapshot(number, limit))
    sides = [
        rows_of(16, [struct.pack("<qq", *(int(text.replace(".", "")) for text in level)) for level in told[name]])
        for name in ("bids", "asks")
    ]
    return struct.pack("<HHHHqbb", 10, 200, *SBE, number, -8, -8) + b"".join(sides)


# ---------------------------------------------------------------- the stub


class Listener:
    """One subscribed stream of one connection."""

    def __init__(self, sock: socket.socket, stream: str, build: Build, combined: bool) -> None:
        self.sock, self.stream, self.build, self.combined = sock, stream, build, combined

    def frame(self, number: int, at_ms: int) -> bytes:
        data = self.build(number, at_ms)
        if self.combined:
            data = b'{"stream":"%b","data":%b}' % (self.stream.encode(), data)
        return floor.frame(data)


class Stub:
    """One thread per connection, and one that sends to all listeners alike."""

    def __init__(self, count: int, pace: float) -> None:
        self.count, self.pace = count, pace
        self.lock = threading.Lock()  # one writes at a time, a frame or a pong; and the number that was sent last
        self.listeners: list[Listener] = []
        self.number = FIRST_ID - 1
        self.held, self.ready, self.started = threading.Event(), threading.Event(), threading.Event()
        self.sent_ns: list[int] = []
        self.asked: list[str] = []

    def send_all(self) -> None:
        while not self.held.wait(WARM_EVERY_S):
            with self.lock:
                if self.listeners:
                    self.number += 1
                    at_ms = time.time_ns() // 1_000_000
                    for each in self.listeners:
                        self.hand(each, each.frame(self.number, at_ms))
        first, at_ms = self.number + 1, time.time_ns() // 1_000_000
        numbers = range(first, first + self.count)
        frames = [[each.frame(number, at_ms) for number in numbers] for each in self.listeners]
        blocks = [[b"".join(row[at : at + BLOCK]) for at in range(0, self.count, BLOCK)] for row in frames]
        self.ready.set()
        self.started.wait()
        time.sleep(SETTLE_S)
        if not self.pace:
            for row in zip(*blocks, strict=True):
                with self.lock:
                    for each, block in zip(self.listeners, row, strict=True):
                        self.hand(each, block)
            return
        began_s = time.monotonic()
        for at, row in enumerate(zip(*frames, strict=True)):
            early_s = began_s + at / self.pace - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            with self.lock:
                self.sent_ns.append(time.monotonic_ns())
                for each, one in zip(self.listeners, row, strict=True):
                    self.hand(each, one)

    def hand(self, listener: Listener, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it went away; whoever measures it will say that messages are missing
            listener.sock.sendall(data)

    def listen(self, sock: socket.socket, streams: list[str], combined: bool) -> None:
        with self.lock:
            for stream in streams:
                build = builder(stream)
                known = any(each.sock is sock and each.stream == stream for each in self.listeners)
                if build is not None and not known:
                    self.listeners.append(Listener(sock, stream, build, combined))

    def answer(self, target: str, binary: bool = False) -> bytes:
        parts = urlsplit(target)
        self.asked.append(parts.path)
        if parts.path == "/go":
            self.held.set()
            self.ready.wait()
            return b'{"first":%d,"last":%d}' % (self.number + 1, self.number + self.count)
        if parts.path == "/start":
            self.started.set()
            return b"{}"
        if parts.path == "/sent":
            return json.dumps(self.sent_ns).encode()
        if parts.path == "/asked":
            return json.dumps(self.asked).encode()
        if parts.path.startswith("/v5/"):
            return json.dumps(bybit_answer(parts.path)).encode()
        if parts.path.endswith("/time"):
            return b'{"serverTime":%d}' % (time.time_ns() // 1_000_000)
        if parts.path.endswith("/exchangeInfo"):
            return exchange_info_binary() if binary else json.dumps(exchange_info()).encode()
        if parts.path.endswith("/depth"):
            with self.lock:
                build = snapshot_binary if binary else snapshot
                return build(self.number, int(parse_qs(parts.query).get("limit", ["100"])[0]))
        return b"{}" if parts.path.endswith("/ping") else b"[]"

    def serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, contextlib.suppress(OSError):
            held = b""
            while True:
                while b"\r\n\r\n" not in held:
                    part = sock.recv(65536)
                    if not part:
                        return
                    held += part
                head, _, held = held.partition(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                if b"upgrade: websocket" in head.lower():
                    self.talk(sock, head, target, held)
                    return
                length = re.search(rb"content-length: *(\d+)", head.lower())
                wanted = int(length[1]) if length else 0
                while len(held) < wanted:
                    held += sock.recv(65536)
                held = held[wanted:]
                binary = b"application/sbe" in head.lower()
                body, kind = self.answer(target, binary), b"sbe" if binary else b"json"
                sock.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/%b\r\nContent-Length: %d\r\n\r\n%b"
                    % (kind, len(body), body)
                )

    def talk(self, sock: socket.socket, head: bytes, target: str, held: bytes) -> None:
        """A connection after its upgrade. Frames of a client are masked, and not fragmented."""
        parts = urlsplit(target)
        combined = parts.path.startswith("/stream")
        streams = (
            parse_qs(parts.query).get("streams", [""])[0] if combined else parts.path.rpartition("/ws")[2].strip("/")
        )
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + floor.GUID).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.listen(sock, streams.split("/"), combined)
        while True:
            frame = floor.read_frame(held)
            if frame is None:
                part = sock.recv(65536)
                if not part:
                    return
                held += part
                continue
            opcode, payload, used = frame
            held = held[used:]
            with self.lock:
                if opcode == 9:
                    sock.sendall(bytes([0x8A, len(payload)]) + payload)
                elif opcode == 8:
                    return
            if opcode == 1:
                told = json.loads(payload)
                answer: dict[str, Any] = {"result": None, "id": told.get("id")}
                if "op" in told:
                    said = "pong" if told["op"] == "ping" else told["op"]
                    answer = {"success": True, "ret_msg": said, "conn_id": "1", "op": told["op"]}
                    answer |= {"req_id": told["req_id"]} if "req_id" in told else {}
                with self.lock:
                    sock.sendall(floor.frame(json.dumps(answer).encode()))
                if "SUBSCRIBE" in (told.get("method"), told.get("op", "").upper()):
                    self.listen(sock, told.get("params") or told["args"], combined)


def stub_main(count: int, pace: float) -> None:
    """Serve until killed."""
    stub = Stub(count, pace)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=stub.send_all, name="stub:streams", daemon=True).start()
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=stub.serve, args=(sock,), name="stub", daemon=True).start()


@contextlib.contextmanager
def running_stub(count: int, pace: float = 0.0) -> Iterator[int]:
    """The port of a stub in a process of its own."""
    command = [sys.executable, __file__, "--count", str(count), "--pace", str(pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--pace", type=float, default=0.0, help="messages a second; 0 is as fast as they are taken")
    chosen = parser.parse_args()
    stub_main(chosen.count, chosen.pace)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
