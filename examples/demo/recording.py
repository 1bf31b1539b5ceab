"""Replay a recording of real traffic through socket, driver, book and subscriber, and check every frame of it.

The recording is read here a second time, with `json` and `Decimal` and nothing of the library: what each frame says is what
subscribers must have been handed, field for field, and books are rebuilt by the venue's published procedure in the plainest
way there is, to be compared level by level after every change.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connector import AggTrade, BookState, BookTicker, BookUpdate, Candle, Connector, Side, TopicKind, VenueSettings
from connector.domain.topics import Topic
from connector.transport.select import TransportName
from connector.venue.handle import VenueHandle
from connector.venue.stream import StreamStatus
from demo.exchange import ExchangeProcess, Levels
from demo.report import Report
from demo.screen import Scene, Screen
from demo.witness import Board, Overdue, Witness

__all__ = ["NaiveBook", "Recording", "read_recording", "replay"]

KINDS = {
    "aggTrade": (TopicKind.AGG_TRADES, None),
    "bookTicker": (TopicKind.BOOK_TICKER, None),
    "kline_1m": (TopicKind.CANDLES, "1m"),
    "depth@100ms": (TopicKind.BOOK, None),
}
WITHIN_S = 60.0

BookStates = dict[int, tuple[Levels, Levels]]
"""Update id to (bids, asks)."""


@dataclass
class Recording:
    """What a file holds: recorded books by the venue's name, and frames by stream, in their order."""

    books: dict[str, dict[str, Any]] = field(default_factory=dict)
    frames: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    streams: list[str] = field(default_factory=list)


def read_recording(path: Path) -> Recording:
    """Read rows of {at, kind, url, body}, gzip or not."""
    recording = Recording()
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            url = urlsplit(row["url"])
            if row["kind"] == "http" and url.path.endswith("/depth"):
                name = parse_qs(url.query)["symbol"][0]
                recording.books.setdefault(name, json.loads(row["body"]))
            elif row["kind"] == "ws-open":
                recording.streams += parse_qs(url.query).get("streams", [""])[0].split("/")
            elif row["kind"] == "ws-in":
                frame = json.loads(row["body"])
                if "stream" in frame:
                    recording.frames.setdefault(frame["stream"], []).append(frame["data"])
    return recording


class NaiveBook:
    """A book as a schoolbook would keep it: two dictionaries, sorted whenever somebody looks."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.update_id: int = snapshot["lastUpdateId"]
        self._sides = [dict(map(_level, snapshot["bids"])), dict(map(_level, snapshot["asks"]))]

    def apply(self, delta: dict[str, Any]) -> bool:
        """Apply one depth event; False when it is older than the book. Raises ValueError on a hole."""
        if delta["u"] <= self.update_id:
            return False
        if delta["U"] > self.update_id + 1:
            raise ValueError(f"the recording itself has a hole: {delta['U']} follows {self.update_id}")
        for side, levels in zip(self._sides, (delta["b"], delta["a"]), strict=True):
            for price, quantity in map(_level, levels):
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.update_id = delta["u"]
        return True

    def levels(self) -> tuple[Levels, Levels]:
        bids, asks = self._sides
        return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))


def _level(row: Sequence[str]) -> tuple[Decimal, Decimal]:
    return Decimal(row[0]), Decimal(row[1])


def rebuild(recording: Recording, name: str) -> BookStates:
    """Every state of one book: update id to levels, the snapshot included."""
    book = NaiveBook(recording.books[name])
    states = {book.update_id: book.levels()}
    for delta in recording.frames.get(f"{name.lower()}@depth@100ms", ()):
        if book.apply(delta):
            states[book.update_id] = book.levels()
    return states


# ---------------------------------------------------------------------------------------------------- the client


def replay(
    path: Path, speed: str, transport: TransportName, venue_name: str, scene: Scene, screen: Screen, report: Report
) -> None:
    """Serve the recording, subscribe to all of it, compare."""
    recording = read_recording(path)
    truth = {name: rebuild(recording, name) for name in recording.books}  # first: a torn recording is no yardstick
    board = Board()
    with ExchangeProcess(["--capture", str(path), "--speed", speed, "--start", "manual"]) as exchange:
        settings = VenueSettings(
            venue_name, rest_url=exchange.rest_url, stream_url=exchange.ws_url, transport=transport
        )
        with Connector([settings], on_event=board.on_event) as connector:
            scene.connector = connector
            venue = connector.venue(venue_name)
            screen.begin("connecting")
            watched = subscribe(venue, recording, board)
            board.wait("every subscription confirmed, every book valid", lambda: _ready(venue, watched), WITHIN_S)
            screen.begin("playing")
            exchange.play()
            board.wait("the end of the recording", exchange.finished, WITHIN_S)
            with suppress(Overdue):  # then it is missing, and the comparison says so
                board.wait("every frame at the subscribers", lambda: _arrived(recording, watched), 10.0)
            screen.picture()
            screen.begin("comparing with the recording, field for field")
            judge_streams(report, recording, watched)
            judge_books(report, truth, watched)
            judge_client(report, recording, venue)
            screen.begin("stopping in order")
            stopped = connector.stop()
        scene.connector = None
        report.add("stop: took", round(stopped.took_s, 6), "s", 5.0)
        report.add("stop: threads that would not end", len(stopped.unstopped), "threads")


@dataclass
class Watched:
    """One stream of the recording at the client. `books`: update id to the levels the live book held then."""

    stream: str
    witness: Witness
    books: BookStates = field(default_factory=dict)


def subscribe(venue: VenueHandle, recording: Recording, board: Board) -> list[Watched]:
    """All recorded streams. Symbols come from the recorded instrument list, as the client reads it."""
    if not venue.wait_ready(20.0):
        raise Overdue("the recorded instrument list: not within 20 s")
    table, _ = venue.instruments()
    found = []
    for stream in recording.streams:
        name, _, wire_kind = stream.partition("@")
        kind, interval = KINDS[wire_kind]
        instrument = table.by_name(name.upper())
        if instrument is None:
            raise LookupError(f"the recorded instrument list has no {name.upper()}")
        topic = Topic(kind, instrument.symbol, interval)
        watched = Watched(stream, Witness(topic, instrument.venue_name, board, keep=True))
        if kind is TopicKind.BOOK:
            watched.witness.on_value = _book_keeper(venue, watched)
        venue.subscribe(kind, instrument.symbol, interval=interval, callback=watched.witness, notices=True)
        found.append(watched)
    return found


def _book_keeper(venue: VenueHandle, watched: Watched) -> Any:
    def keep(update: BookUpdate) -> None:  # on the reader thread: the book is exactly at this update
        if update.state is BookState.VALID and update.update_id is not None:
            book = venue.book(watched.witness.topic.symbol, depth=None)
            watched.books[book.update_id] = (book.bids, book.asks)

    return keep


def _ready(venue: VenueHandle, watched: Sequence[Watched]) -> bool:
    """Whether the first frame may come: from now on a subscriber sees every change of every book, one by one."""
    status: StreamStatus = venue.stream.ask(StreamStatus, timeout=5.0)
    books = [one.witness.book for one in watched if one.witness.is_book]
    return status.confirmed == len(watched) and all(book is BookState.VALID for book in books)


def _arrived(recording: Recording, watched: Sequence[Watched]) -> bool:
    """Whether subscribers were handed as much as was recorded; what is missing after a while is lost."""

    def complete(one: Watched) -> bool:
        frames = recording.frames.get(one.stream, [])
        if one.witness.is_book:
            return not frames or (one.witness.last is not None and one.witness.last.update_id == frames[-1]["u"])
        return one.witness.count >= len(frames)

    return all(map(complete, watched))


# ---------------------------------------------------------------------------------------------------- judgement


def _as_recorded(value: AggTrade | BookTicker | Candle) -> tuple[Any, ...]:
    """What a delivered value says, in the order of `_as_written`."""
    if isinstance(value, AggTrade):
        return (
            value.event_time_ns, value.agg_id, value.price, value.quantity, value.side is Side.SELL,
            value.first_trade_id, value.last_trade_id,
        )  # fmt: skip
    if isinstance(value, BookTicker):
        return value.update_id, value.bid, value.bid_quantity, value.ask, value.ask_quantity
    return (
        value.open_time_ns, value.interval, value.open, value.high, value.low, value.close, value.volume, value.closed,
        value.quote_volume, value.trade_count,
    )  # fmt: skip


def _as_written(data: dict[str, Any]) -> tuple[Any, ...]:
    """The same of a recorded frame."""
    if data.get("e") == "aggTrade":
        numbers = (Decimal(data["p"]), Decimal(data["q"]))
        return (data["T"] * 1_000_000, data["a"], *numbers, data["m"], data["f"], data["l"])
    if data.get("e") == "kline":
        k = data["k"]
        prices = (Decimal(k[name]) for name in "ohlcv")
        return (k["t"] * 1_000_000, k["i"], *prices, k["x"], Decimal(k["q"]), k["n"])
    return (data["u"], *(Decimal(data[name]) for name in "bBaA"))


def judge_streams(report: Report, recording: Recording, watched: Sequence[Watched]) -> None:
    """Trades, best prices and candles: what was handed out is what was recorded, in its order, field for field."""
    frames = lost = wrong = 0
    for one in watched:
        if one.witness.is_book:
            continue
        written = [_as_written(data) for data in recording.frames.get(one.stream, ())]
        handed = [_as_recorded(value) for value in one.witness.values]
        frames += len(written)
        lost += len(written) - len(handed)
        differing = [index for index, pair in enumerate(zip(written, handed, strict=False)) if pair[0] != pair[1]]
        wrong += len(differing)
        if differing:
            report.problems.append(f"{one.stream}: frame {differing[0]} was handed out as something else")
    report.add("recorded trades, best prices and candles", frames, "frames", None)
    report.add("of these lost", lost, "frames")
    report.add("of these handed out other than recorded", wrong, "frames")


def judge_books(report: Report, books: dict[str, BookStates], watched: Sequence[Watched]) -> None:
    """Books at every sequence."""
    for one in watched:
        if not one.witness.is_book:
            continue
        name = str(one.witness.topic.symbol)
        truth = books[one.witness.venue_name]
        unseen = [update_id for update_id in truth if update_id not in one.books]
        wrong = [update_id for update_id, levels in one.books.items() if truth.get(update_id) != levels]
        report.add(f"book {name}: recorded, with its snapshot", len(truth), "sequences", None)
        report.add(f"book {name}: the subscriber did not see", len(unseen), "sequences")
        report.add(f"book {name}: other than the independent rebuild", len(wrong), "sequences")
        if wrong:
            report.problems.append(f"book {name} differs first at update {wrong[0]}")


def judge_client(report: Report, recording: Recording, venue: VenueHandle) -> None:
    """What the client says about itself."""
    view = venue.snapshot()
    status: StreamStatus = venue.stream.ask(StreamStatus, timeout=5.0)
    report.add("frames on the wire", status.frames, "frames", None)
    report.add("frames that could not be read", sum(topic.unreadable for topic in view.topics), "frames")
    report.add("frames of an unknown kind", sum(view.alarms.values()), "frames")
    report.add("gaps", sum(topic.gaps for topic in view.topics), "gaps")
    report.add("topics without a confirmed subscription", status.wanted - status.confirmed, "topics")
    report.add("frames missing on the wire", max(0, sum(map(len, recording.frames.values())) - status.frames), "frames")
