"""Compare what subscribers were handed with what the exchange did. Its ledger is the truth, the client's word is not.

Books are compared while the storm goes on, on a thread of its own, levels exactly, at the update id the client names. Trades
and candles are compared at the end, value by value, from the first one delivered to the last.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from connector import BookNotValid, Candle, Gap, OrderBook, TopicKind
from connector.domain.topics import Topic
from demo.exchange import ExchangeProcess, LedgerTrade
from demo.report import Report
from demo.witness import Witness

__all__ = ["BookJudge", "Findings", "judge_candles", "judge_trades"]

NS_PER_S = 1_000_000_000

COMPARE_EVERY_S = 0.15


class BookJudge:
    """Takes the client's books and the ledger's in turn, one comparison after the other.

    Attributes:
        compared: comparisons by symbol. wrong: those that differed, in words. withheld: books that were not handed out.
    """

    def __init__(self, exchange: ExchangeProcess, take: Callable[[str], OrderBook], names: dict[str, str]) -> None:
        self.compared: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.failure: BaseException | None = None
        self._exchange, self._take, self._names = exchange, take, names
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo:book-judge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the comparisons; returns when the thread is gone."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(30.0)

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                for symbol, name in self._names.items():
                    self.compare(symbol, name)
                    if self._ending.wait(COMPARE_EVERY_S):
                        return
        except BaseException as failure:  # noqa: BLE001 - reported as a problem: a judge that died finds nothing wrong
            self.failure = failure

    def compare(self, symbol: str, name: str) -> None:
        """One book, now."""
        try:
            book = self._take(symbol)
        except BookNotValid:
            self.withheld[symbol] += 1
            return
        truth = self._exchange.book(name, book.update_id)
        self.compared[symbol] += 1
        if (book.bids, book.asks) != truth:
            where = next(
                (
                    f"{side} level {index}"
                    for side, ours, theirs in (("bid", book.bids, truth[0]), ("ask", book.asks, truth[1]))
                    for index in range(max(len(ours), len(theirs)))
                    if ours[index : index + 1] != theirs[index : index + 1]
                ),
                "?",
            )
            self.wrong.append(f"book {symbol} at update {book.update_id} differs from the exchange's, first at {where}")


@dataclass
class Findings:
    """What comparing one kind of topic showed, added up over its symbols."""

    delivered: int = 0
    missing: int = 0
    twice: int = 0
    misplaced: int = 0
    different: int = 0
    empty: int = 0
    notes: list[str] = field(default_factory=list)

    def add_to(self, report: Report, name: str) -> None:
        report.add(f"{name}: delivered", self.delivered, "values", None)
        report.add(f"{name}: missing and not reported", self.missing, "values")
        report.add(f"{name}: delivered twice", self.twice, "values")
        report.add(f"{name}: out of order", self.misplaced, "values")
        report.add(f"{name}: other than at the exchange", self.different, "values")
        report.add(f"{name}: topics that delivered nothing", self.empty, "topics")
        report.problems += self.notes

    def count(self, topic: Topic, ids: Sequence[int], missing: Collection[int], different: Collection[int]) -> None:
        """Add what was found about one topic; `ids` are its values' numbers in the order they came."""
        twice = [ident for ident, times in Counter(ids).items() if times > 1]
        misplaced = sum(later <= earlier for earlier, later in pairwise(ids))
        self.delivered += len(ids)
        self.missing += len(missing)
        self.twice += len(twice)
        self.misplaced += misplaced
        self.different += len(different)
        self.empty += not ids
        for what, found in (("missing", missing), ("delivered twice", twice), ("different", different)):
            if found:
                self.notes.append(f"{topic}: {what}, first {min(found)}")


def judge_trades(findings: Findings, witness: Witness, values: Sequence[Any], truth: dict[int, LedgerTrade]) -> None:
    """Every trade, or aggregate, between the first and the last delivered: exactly once, in order, with its own numbers."""
    aggregated = witness.topic.kind is TopicKind.AGG_TRADES
    expected = (
        _aggregates(truth.values()) if aggregated else {t.trade_id: (t.price, t.quantity) for t in truth.values()}
    )
    ids = [value.agg_id if aggregated else value.trade_id for value in values]
    known, reported = set(ids), _reported(witness.gaps)
    missing = [
        ident for ident in expected if ids and ids[0] <= ident <= ids[-1] and ident not in known and not reported(ident)
    ]
    different = [
        ident for ident, value in zip(ids, values, strict=True) if expected.get(ident) != (value.price, value.quantity)
    ]
    findings.count(witness.topic, ids, missing, different)


def _aggregates(trades: Iterable[LedgerTrade]) -> dict[int, tuple[Decimal, Decimal]]:
    """Aggregate id to (price, quantity), added up from the single trades."""
    found: dict[int, tuple[Decimal, Decimal]] = {}
    for trade in trades:
        found[trade.agg_id] = (trade.price, found.get(trade.agg_id, (trade.price, Decimal(0)))[1] + trade.quantity)
    return found


def _reported(gaps: Sequence[Gap]) -> Callable[[int], bool]:
    """Whether an id lies in a gap of which the client said that it could not fill all."""
    holes = [
        (gap.first_missing, gap.last_missing)
        for gap in gaps
        if gap.first_missing is not None and gap.last_missing is not None and gap.filled < (gap.missing or 0)
    ]
    return lambda ident: any(first <= ident <= last for first, last in holes)


def judge_candles(
    findings: Findings, witness: Witness, values: Sequence[Candle], truth: dict[int, LedgerTrade]
) -> None:
    """Every closed one-second candle: added up anew from the ledger's trades, none missing, none twice."""
    seconds: dict[int, list[LedgerTrade]] = {}
    for trade in sorted(truth.values(), key=lambda one: one.trade_id):
        seconds.setdefault(trade.time_us // 1_000_000, []).append(trade)
    first_whole = min(seconds, default=0) + 1  # the second before has a part that the ledger does not know
    closed = [value for value in values if value.closed and value.open_time_ns // NS_PER_S >= first_whole]
    ids = [candle.open_time_ns // NS_PER_S for candle in closed]
    missing = set(range(ids[0], ids[-1] + 1)) - set(ids) if ids else set()
    different = [
        ident for ident, candle in zip(ids, closed, strict=True) if not _adds_up(candle, seconds.get(ident, []))
    ]
    findings.count(witness.topic, ids, missing, different)


def _adds_up(candle: Candle, trades: Sequence[LedgerTrade]) -> bool:
    if not trades:
        return candle.volume == 0
    prices = [trade.price for trade in trades]
    return (candle.open, candle.high, candle.low, candle.close, candle.volume) == (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(trade.quantity for trade in trades),
    )
