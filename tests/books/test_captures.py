"""Real traffic: every symbol's book, at every sequence number, equal to a naive rebuild and to the venue's own best prices."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from connector.books import BookSync, FetchSnapshot
from connector.domain import BookDelta, BookState, OrderBook, Symbol

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
FILES = sorted(CAPTURES.glob("*.jsonl.gz")) if CAPTURES.is_dir() else []

pytestmark = [
    pytest.mark.captures,
    pytest.mark.skipif(not FILES, reason=f"no recorded traffic in {CAPTURES.name}/ beside the repository"),
]


def levels(rows: list) -> tuple:
    return tuple((Decimal(price), Decimal(size)) for price, size in rows)


class Naive:
    """A book as the venue's page describes it, in ten lines."""

    def __init__(self, body: dict) -> None:
        self.update_id = body["lastUpdateId"]
        self.bids, self.asks = dict(levels(body["bids"])), dict(levels(body["asks"]))

    def take(self, data: dict) -> bool:
        if data["u"] <= self.update_id:
            return False
        assert data["U"] <= self.update_id + 1, "the recording itself has a gap"
        for side, rows in ((self.bids, data["b"]), (self.asks, data["a"])):
            side.update(levels(rows))
            for price in [price for price, size in side.items() if size == 0]:
                del side[price]
        self.update_id = data["u"]
        return True


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_book_of_every_symbol_equals_a_naive_rebuild_at_every_sequence(path, make):
    syncs: dict[str, BookSync] = {}
    naive: dict[str, Naive] = {}
    fetches: dict[str, FetchSnapshot] = {}
    seen: dict[str, list[dict]] = {}
    cut: dict[str, tuple] = {}
    told: dict[tuple[str, int], tuple] = {}  # best prices by update id, from another stream
    compared = tickers = 0
    with gzip.open(path, "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            received_ns = int(row["at"] * 1e9)
            if "/depth?symbol=" in row["url"]:
                name, body = row["url"].split("symbol=")[1].split("&")[0], json.loads(row["body"])
                symbol = syncs[name].symbol
                bids, asks = levels(body["bids"]), levels(body["asks"])
                snapshot = OrderBook("binance", symbol, None, received_ns, body["lastUpdateId"], bids, asks)
                fetch = fetches.pop(name)
                actions = syncs[name].on_snapshot(snapshot, fetch.attempt)
                fetches.update((name, action) for action in actions if isinstance(action, FetchSnapshot))
                naive[name] = Naive(body)
                for data in seen[name]:
                    naive[name].take(data)
                cut[name] = (
                    bids[-1][0] if len(bids) == 1_000 else 0,
                    asks[-1][0] if len(asks) == 1_000 else Decimal("inf"),
                )
            elif row["kind"] == "ws-in" and "depthUpdate" in row["body"]:
                data = json.loads(row["body"])["data"]
                name = data["s"]
                if name not in syncs:
                    syncs[name] = BookSync("binance", Symbol(name, "X"), make.rule(1_000))
                    syncs[name].on_connected()
                seen.setdefault(name, []).append(data)
                sync = syncs[name]
                delta = BookDelta(
                    "binance",
                    sync.symbol,
                    data["E"],
                    received_ns,
                    data["U"],
                    data["u"],
                    levels(data["b"]),
                    levels(data["a"]),
                )
                actions = sync.on_delta(delta)
                fetches.update((name, action) for action in actions if isinstance(action, FetchSnapshot))
                if name in naive:
                    naive[name].take(data)
            elif "@bookTicker" in row["body"] and row["kind"] == "ws-in":
                data = json.loads(row["body"])["data"]
                told[data["s"], data["u"]] = (levels([(data["b"], data["B"])])[0], levels([(data["a"], data["A"])])[0])
                continue
            else:
                continue
            if name in naive and name not in fetches:
                assert syncs[name].state is BookState.VALID
                book, truth = syncs[name].snapshot(), naive[name]
                assert book.update_id == truth.update_id
                low, high = cut[name]
                assert book.bids == tuple(sorted(((p, q) for p, q in truth.bids.items() if p >= low), reverse=True))
                assert book.asks == tuple(sorted((p, q) for p, q in truth.asks.items() if p <= high))
                compared += 1
                if (name, book.update_id) in told:
                    assert (book.best_bid, book.best_ask) == told[name, book.update_id]
                    tickers += 1
    assert len(syncs) == 4
    assert {name for name, sync in syncs.items() if sync.state is BookState.VALID} == set(syncs)
    assert compared >= 150
    assert tickers > 0
