"""Compare what subscribers were handed with what the exchange did. Its ledger is the truth, the client's word is not.

Books are compared while the storm goes on, on a thread of its own, levels exactly, at the update id the client names. Trades
and candles are compared at the end, value by value, from the first one delivered to the last.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from connector import BookNotValid, Candle, Gap, OrderBook, TopicKind
from demo.exchange import ExchangeProcess, LedgerTrade
from demo.report import Report
from demo.witness import Witness

__all__ = ["BookJudge", "judge_candles", "judge_trades"]

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


def judge_trades(report: Report, witness: Witness, values: Sequence[Any], truth: dict[int, LedgerTrade]) -> None:
    """Every trade, or aggregate, between the first and the last delivered: exactly once, in order, with its own numbers."""
    aggregated = witness.topic.kind is TopicKind.AGG_TRADES
    expected = (
        _aggregates(truth.values()) if aggregated else {t.trade_id: (t.price, t.quantity) for t in truth.values()}
    )
    ids = [value.agg_id if aggregated else value.trade_id for value in values]
    if not ids:
        report.problems.append(f"{witness.topic}: not a single value was delivered")
        return
    times = Counter(ids)
    reported = _reported(witness.gaps)
    missing = [ident for ident in expected if ids[0] <= ident <= ids[-1] and ident not in times and not reported(ident)]
    wrong = [
        ident for ident, value in zip(ids, values, strict=True) if expected.get(ident) != (value.price, value.quantity)
    ]
    name = str(witness.topic)
    report.add(f"{name}: missing and not reported", len(missing), "values")
    report.add(f"{name}: delivered twice", sum(count - 1 for count in times.values()), "values")
    report.add(f"{name}: out of order", sum(later <= earlier for earlier, later in pairwise(ids)), "values")
    report.add(f"{name}: other than at the exchange", len(wrong), "values")
    report.add(f"{name}: delivered", len(ids), "values", None)


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


def judge_candles(report: Report, witness: Witness, values: Sequence[Candle], truth: dict[int, LedgerTrade]) -> None:
    """Every closed one-second candle: added up anew from the ledger's trades, none missing, none twice."""
    seconds: dict[int, list[LedgerTrade]] = {}
    for trade in sorted(truth.values(), key=lambda one: one.trade_id):
        seconds.setdefault(trade.time_us // 1_000_000, []).append(trade)
    first_whole = min(seconds, default=0) + 1
    closed = [value for value in values if value.closed and value.open_time_ns // 1_000_000_000 >= first_whole]
    if not closed:
        report.problems.append(f"{witness.topic}: not a single closed candle was delivered")
        return
    opened = [candle.open_time_ns // 1_000_000_000 for candle in closed]
    whole = set(range(opened[0], opened[-1] + 1))
    wrong = [candle for candle in closed if not _adds_up(candle, seconds.get(candle.open_time_ns // 1_000_000_000, []))]
    name = str(witness.topic)
    report.add(f"{name}: closed ones missing", len(whole - set(opened)), "values")
    report.add(f"{name}: closed ones delivered twice", len(opened) - len(set(opened)), "values")
    report.add(f"{name}: closed ones other than the trades add up to", len(wrong), "values")
    report.add(f"{name}: closed ones delivered", len(closed), "values", None)


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
