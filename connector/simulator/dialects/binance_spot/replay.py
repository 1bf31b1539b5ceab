"""Play a recording of the spot exchange: its answers to requests, its frames to whoever subscribes.

Frames go out as recorded, byte for byte, on the stream they were recorded on, in their order and (by the chosen speed) their
spacing. A recorded answer is given as recorded. A book snapshot is given as recorded the first time; asked for again, it is
that snapshot plus the recorded changes played since, so that it joins the frames at any time, as the venue's would. What the
recording does not know is refused in words, never invented.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from connector.simulator.capture import CaptureError, CaptureRecord, read_capture
from connector.simulator.dialect import Request
from connector.simulator.dialects.binance_spot.rest import Params, VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.ledger import BookLevels, TradeRecord
from connector.simulator.settings import Replay

__all__ = ["ReplayAnswers", "ReplaySource"]

_BATCH = 200
"""Frames written at once when playing as fast as clients read."""

_WATERMARK = 256 * 1024
"""Bytes waiting for the slowest client above which a fast replay holds on."""


class _Wrapped(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Frame(NamedTuple):
    """One recorded frame: when, on which stream, the bare payload, decoded too."""

    at_ns: int
    stream: str
    payload: bytes
    fields: dict[str, Any]


class _Book:
    """One symbol's book, from its recorded snapshot and the recorded changes."""

    def __init__(self, snapshot: Mapping[str, Any], earlier: _Book | None = None) -> None:
        self.snapshot_id: int = snapshot["lastUpdateId"]
        self.asked = earlier is not None
        self._earlier = earlier
        self._start = (dict(snapshot["bids"]), dict(snapshot["asks"]))
        self._deltas: list[dict[str, Any]] = []
        self._ids: list[int] = []

    def apply(self, delta: dict[str, Any]) -> None:
        """Keep a change that was sent; one that the snapshot holds already, or an old one, changes nothing."""
        if delta["u"] > self.update_id:
            self._deltas.append(delta)
            self._ids.append(delta["u"])

    @property
    def update_id(self) -> int:
        return self._ids[-1] if self._ids else self.snapshot_id

    def at(self, update_id: int) -> tuple[dict[str, str], dict[str, str]]:
        """Price to quantity, both as recorded text, for bids and asks."""
        if update_id < self.snapshot_id and self._earlier is not None:
            return self._earlier.at(update_id)
        position = bisect_left(self._ids, update_id)
        known = update_id == self.snapshot_id or (position < len(self._ids) and self._ids[position] == update_id)
        if not known:
            raise LookupError(
                f"the recording has no book at update {update_id}: it knows {self.snapshot_id} and the last ids of its "
                f"{len(self._ids)} changes played so far, up to {self.update_id}"
            )
        bids, asks = dict(self._start[0]), dict(self._start[1])
        end = 0 if update_id == self.snapshot_id else position + 1
        for delta in self._deltas[:end]:
            for side, levels in ((bids, delta["b"]), (asks, delta["a"])):
                for price, quantity in levels:
                    if Decimal(quantity):
                        side[price] = quantity
                    else:
                        side.pop(price, None)
        return bids, asks


class ReplaySource:
    """The recording, its place in time, and what is known so far."""

    def __init__(self, exchange: Exchange) -> None:
        settings = exchange.settings.source
        assert isinstance(settings, Replay)
        self._exchange, self._settings = exchange, settings
        self.frames: list[_Frame] = []
        self.http: dict[str, str] = {}
        self.info: dict[str, Any] = {}
        self.books: dict[str, _Book] = {}
        self._later: list[tuple[int, str, dict[str, Any]]] = []
        self.rows = 0
        self._load()
        self.position = 0
        self.streams = {frame.stream for frame in self.frames}
        self._first_ns = self.frames[0].at_ns if self.frames else exchange.clock.now_ns()
        self._passed_ns = 0
        self._begun = False
        self.answers = ReplayAnswers(exchange, self)
        if settings.clock == "recorded":
            exchange.clock.follow(lambda: self._first_ns + self._passed_ns)

    def _load(self) -> None:
        path = ""
        for row in read_capture(self._settings.path):
            self.rows += 1
            if row.kind == "ws-open":
                path = urlsplit(row.url).path
            elif row.kind == "ws-in":
                frame = _read_frame(row, urlsplit(row.url).path or path)
                if frame is not None:
                    self.frames.append(frame)
            elif row.kind == "http":
                self._keep_answer(row)
        if not self.info:
            symbols = sorted({frame.stream.split("@")[0].upper() for frame in self.frames})
            raise CaptureError(
                f"the recording holds no exchangeInfo, so nobody could trade {symbols} on it. Record one."
            )
        self.frames.sort(key=lambda frame: frame.at_ns)
        self._later.sort(key=lambda later: later[0])

    def _keep_answer(self, row: CaptureRecord) -> None:
        url = urlsplit(row.url)
        key = _key(url.path, url.query)
        try:
            body = msgspec.json.decode(row.body)
        except msgspec.DecodeError as cause:
            raise CaptureError(f"the recorded answer of {url.path} is not JSON: {cause}. Record it again.") from cause
        self.http.setdefault(key, row.body)  # of several, the first is the one the first frames follow
        if not isinstance(body, dict) or "code" in body:
            return
        if url.path.endswith("/exchangeInfo"):
            self.info = self.info or body
        elif url.path.endswith("/depth"):
            symbol = dict(parse_qsl(url.query)).get("symbol", "")
            if symbol in self.books:
                self._later.append((row.at_ns, symbol, body))
            else:
                self.books[symbol] = _Book(body)

    # the source

    def wake(self, now_us: int) -> None:
        pass  # everything is in place

    def resume(self) -> None:
        self._begun = True

    def advance(self, elapsed_s: float) -> None:
        if not self._begun and not self._may_begin():
            return
        self._begun = True
        speed = self._settings.speed
        if speed is None:
            if self._room():
                self.step(_BATCH)
            return
        self._passed_ns += int(elapsed_s * speed * 1e9)
        until = self._first_ns + self._passed_ns
        while self.position < len(self.frames) and self.frames[self.position].at_ns <= until:
            self._play()

    def _may_begin(self) -> bool:
        hub, settings = self._exchange.hub, self._settings
        wanted = {topic.name for topic in hub.wanted()} & self.streams
        if settings.start == "manual" or not wanted:
            return False
        if settings.start == "all":
            return wanted == self.streams
        return self._exchange.loop_s() - hub.changed_s >= settings.settle_s

    def _room(self) -> bool:
        return all(connection.wire.backlog < _WATERMARK for connection in self._exchange.hub.connections)

    def step(self, count: int) -> int:
        self._begun = True
        done = 0
        while done < count and self.position < len(self.frames):
            self._passed_ns = max(self._passed_ns, self.frames[self.position].at_ns - self._first_ns)
            self._play()
            done += 1
        return done

    def _play(self) -> None:
        frame = self.frames[self.position]
        self.position += 1
        while self._later and self._later[0][0] <= frame.at_ns:
            _, symbol, snapshot = self._later.pop(0)
            if snapshot["lastUpdateId"] > self.books[symbol].update_id:  # the recording client had lost its place
                self.books[symbol] = _Book(snapshot, self.books[symbol])
        fields = frame.fields
        if fields.get("e") == "depthUpdate" and fields["s"] in self.books:
            self.books[fields["s"]].apply(fields)
        self.answers.learn(frame.stream, fields)
        ident = next((fields[name] for name in ("t", "a", "u", "lastUpdateId") if isinstance(fields.get(name), int)), 0)
        self._exchange.hub.publish(self._exchange.hub.topic(frame.stream), ident, lambda micros: frame.payload)

    def tick(self, now_us: int, force: bool = False) -> None:
        pass  # a recording says only what was recorded

    def finished(self) -> bool:
        return self.position >= len(self.frames)

    def status(self) -> str:
        state = "played" if self.finished() else "playing" if self._begun else "waiting for subscribers"
        return f"replay {state} frames={self.position}/{len(self.frames)}"

    # the truth

    def symbols(self) -> list[str]:
        return sorted(self.books)

    def book_update_id(self, symbol: str) -> int:
        return self._book(symbol).update_id

    def book(self, symbol: str, update_id: int) -> tuple[BookLevels, BookLevels]:
        bids, asks = self._book(symbol).at(update_id)
        return _levels(bids, descending=True), _levels(asks, descending=False)

    def _book(self, symbol: str) -> _Book:
        book = self.books.get(symbol)
        if book is None:
            raise LookupError(f"the recording holds no book of {symbol}; it has {', '.join(sorted(self.books))}")
        return book

    def trade_count(self, symbol: str) -> int:
        return len(self.answers.seen.get(f"{symbol.lower()}@trade", ()))

    def trades(self, symbol: str) -> list[TradeRecord]:
        return [
            TradeRecord(row["t"], Decimal(row["p"]), Decimal(row["q"]), row["T"] * 1000, row["m"], -1)
            for row in self.answers.seen.get(f"{symbol.lower()}@trade", ())
        ]


class ReplayAnswers:
    """REST calls, from what was recorded up to now."""

    def __init__(self, exchange: Exchange, source: ReplaySource) -> None:
        self._exchange, self._source = exchange, source
        self.seen: dict[str, list[dict[str, Any]]] = {}
        self._klines: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        self._statuses = {row["symbol"]: row["status"] for row in source.info["symbols"]}

    def learn(self, stream: str, fields: dict[str, Any]) -> None:
        """Take in a frame that was played."""
        event = fields.get("e")
        if event in ("trade", "aggTrade"):
            self.seen.setdefault(stream, []).append(fields)
        elif event == "kline":
            candle = fields["k"]
            self._klines.setdefault((fields["s"], candle["i"]), {})[candle["t"]] = candle
        elif stream.endswith(("@bookTicker", "@ticker", "@miniTicker")):
            self.seen[stream] = [fields]

    def statuses(self) -> Mapping[str, str]:
        """Listed symbols and their status."""
        return self._statuses

    def recorded(self, request: Request) -> bytes | None:
        """The recorded answer to exactly this request; not for what goes stale (the time, the books)."""
        if request.path.endswith(("/depth", "/time")):
            return None
        body = self._source.http.get(_key(request.path, request.query))
        return None if body is None else body.encode()

    def ping(self, params: Params, unit: int) -> Any:
        return {}

    def time(self, params: Params, unit: int) -> Any:
        return {"serverTime": self._exchange.clock.now_us() // unit}

    def exchange_info(self, params: Params, unit: int) -> Any:
        info = self._source.info
        names = {params.symbol} if params.symbol is not None else set(params.symbols or self._statuses)
        rows = [row for row in info["symbols"] if row["symbol"] in names]
        if params.status is not None:
            rows = [row for row in rows if row["status"] == params.status]
        return info | {"serverTime": self._exchange.clock.now_us() // unit, "symbols": rows}

    def depth(self, params: Params, unit: int) -> Any:
        symbol = params.symbol or ""
        book = self._source.books.get(symbol)
        if book is None:
            raise self._unknown(f"book of {symbol}")
        # The first client to ask joins at the recorded snapshot and so meets every recorded change, however fast they come;
        # whoever asks again wants a book that joins now.
        update_id = book.update_id if book.asked else book.snapshot_id
        book.asked = True
        bids, asks = book.at(update_id)
        return {
            "lastUpdateId": update_id,
            "bids": sorted(bids.items(), key=_price, reverse=True)[: params.limit],
            "asks": sorted(asks.items(), key=_price)[: params.limit],
        }

    def trades(self, params: Params, unit: int) -> Any:
        return [_trade_row(row, unit) for row in self._events(params, "trade")[-params.limit :]]

    def historical_trades(self, params: Params, unit: int) -> Any:
        if params.from_id is None:
            return self.trades(params, unit)
        rows = [row for row in self._events(params, "trade") if row["t"] >= params.from_id]
        return [_trade_row(row, unit) for row in rows[: params.limit]]

    def agg_trades(self, params: Params, unit: int) -> Any:
        rows = self._events(params, "aggTrade")
        newest = params.from_id is None and params.start_us is None
        rows = [
            row
            for row in rows
            if (params.from_id is None or row["a"] >= params.from_id)
            and (params.start_us is None or row["T"] * 1000 >= params.start_us)
            and (params.end_us is None or row["T"] * 1000 <= params.end_us)
        ]
        rows = rows[-params.limit :] if newest else rows[: params.limit]
        return [{name: row[name] for name in "apqflTmM"} | {"T": row["T"] * 1000 // unit} for row in rows]

    def klines(self, params: Params, unit: int) -> Any:
        known = self._klines.get((params.symbol or "", params.interval))
        if known is None or params.zone_ms:
            raise self._unknown(f"{params.interval} candles of {params.symbol}")
        rows = [
            candle
            for start, candle in sorted(known.items())
            if (params.start_us is None or start * 1000 >= params.start_us)
            and (params.end_us is None or start * 1000 <= params.end_us)
        ]
        rows = rows[: params.limit] if params.start_us is not None else rows[-params.limit :]
        return [
            [
                row["t"] * 1000 // unit,
                *(row[name] for name in "ohlcv"),
                row["T"] if unit == 1000 else row["T"] * 1000 + 999,
                *(row[name] for name in "qnVQB"),
            ]
            for row in rows
        ]

    def price(self, params: Params, unit: int) -> Any:
        rows = self._events(params, "trade", "aggTrade")
        return {"symbol": params.symbol, "price": rows[-1]["p"]}

    def book_ticker(self, params: Params, unit: int) -> Any:
        row = self._events(params, "bookTicker")[-1]
        names = {"bidPrice": "b", "bidQty": "B", "askPrice": "a", "askQty": "A"}
        return {"symbol": params.symbol} | {name: row[short] for name, short in names.items()}

    def avg_price(self, params: Params, unit: int) -> Any:
        raise self._unknown(f"average price of {params.symbol}")

    def day_ticker(self, params: Params, unit: int) -> Any:
        raise self._unknown("24 hour ticker")

    def window_ticker(self, params: Params, unit: int) -> Any:
        raise self._unknown("window ticker")

    def trading_day(self, params: Params, unit: int) -> Any:
        raise self._unknown("trading day ticker")

    def _events(self, params: Params, *kinds: str) -> list[dict[str, Any]]:
        """Frames of one symbol played so far; of several kinds, the first that has any."""
        if params.symbol is None:
            raise self._unknown(f"{kinds[0]} of all symbols at once")
        for kind in kinds:
            rows = self.seen.get(f"{params.symbol.lower()}@{kind}")
            if rows:
                return rows
        raise self._unknown(f"{' or '.join(kinds)} of {params.symbol}, up to now")

    def _unknown(self, what: str) -> VenueError:
        return VenueError(-1020, f"This operation is not supported: the recording holds no {what}.")


def _read_frame(row: CaptureRecord, path: str) -> _Frame | None:
    """A recorded frame with its stream; None for answers to control frames and other talk."""
    try:
        fields = msgspec.json.decode(row.body)
    except msgspec.DecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    if "stream" in fields and isinstance(fields.get("data"), dict):
        wrapped = msgspec.json.decode(row.body, type=_Wrapped)
        return _Frame(row.at_ns, wrapped.stream, bytes(wrapped.data), fields["data"])
    names = [name for name in unquote(path).removeprefix("/ws").strip("/").split("/") if "@" in name]
    stream = names[0] if len(names) == 1 else _stream_of(fields)
    return None if stream is None else _Frame(row.at_ns, stream, row.body.encode(), fields)


def _stream_of(fields: dict[str, Any]) -> str | None:
    """The stream of a bare payload, where the payload tells; a book change is taken for the 100 ms kind."""
    symbol, event = str(fields.get("s", "")).lower(), fields.get("e")
    if not symbol:
        return None
    if event == "kline":
        return f"{symbol}@kline_{fields['k']['i']}"
    known = {
        "trade": "trade",
        "aggTrade": "aggTrade",
        "24hrTicker": "ticker",
        "24hrMiniTicker": "miniTicker",
        "avgPrice": "avgPrice",
        "depthUpdate": "depth@100ms",
    }
    if event is None and {"u", "b", "B", "a", "A"} <= fields.keys():
        return f"{symbol}@bookTicker"
    return f"{symbol}@{known[event]}" if event in known else None


def _key(path: str, query: str) -> str:
    """A request by path and sorted parameters, whatever their order was."""
    return f"{path}?{sorted(parse_qsl(query, keep_blank_values=True))}"


def _price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])


def _levels(side: dict[str, str], *, descending: bool) -> BookLevels:
    return sorted(((Decimal(price), Decimal(quantity)) for price, quantity in side.items()), reverse=descending)


def _trade_row(row: dict[str, Any], unit: int) -> dict[str, Any]:
    return {
        "id": row["t"],
        "price": row["p"],
        "qty": row["q"],
        "quoteQty": f"{Decimal(row['p']) * Decimal(row['q']):.8f}",
        "time": row["T"] * 1000 // unit,
        "isBuyerMaker": row["m"],
        "isBestMatch": row["M"],
    }
