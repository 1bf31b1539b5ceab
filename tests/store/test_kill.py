"""`kill -9` anywhere: what `append` returned for is there, nothing is there by half, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from connector.domain.orders import OrderStatus
from connector.store import SqliteStore

KILLS = 60
WRITER = Path(__file__).parent / "kill_writer.py"
CAN_FORK = hasattr(os, "fork")


class Writers:
    """Writing processes, one after the other, each killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server = self._start("serve") if CAN_FORK else None

    def _start(self, how: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(WRITER), str(self._path), how]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def words_of_one_killed(self, first: int, after_words: int, and_loops: int) -> Iterator[list[str]]:
        """Start a writer at order `first`; kill it after so many words and a moment; yield all that it said."""
        process = self._server or self._start(str(first))
        assert process.stdin is not None
        assert process.stdout is not None
        if self._server is not None:
            process.stdin.write(f"{first}\n")
            process.stdin.flush()
        kind, pid = process.stdout.readline().split()
        assert kind == "pid"
        for number, line in enumerate(process.stdout):
            if line == "dead\n":
                break
            if number == after_words:
                for _ in range(and_loops):
                    pass
                os.kill(
                    int(pid), signal.SIGKILL if CAN_FORK else signal.SIGTERM
                )  # SIGTERM is TerminateProcess on Windows
            yield line.split()
        if self._server is None:
            self._close(process)

    def close(self) -> None:
        if self._server is not None:
            self._close(self._server)

    @staticmethod
    def _close(process: subprocess.Popen[str]) -> None:
        process.communicate(timeout=30)


def test_sixty_kills_lose_no_order_and_double_no_fill(tmp_path):
    path = tmp_path / "orders.sqlite"
    SqliteStore(path).close()
    writers = Writers(path)
    chance = random.Random(7)
    promised = promised_fills = known = half_done = 0
    for _ in range(KILLS):
        for kind, number in writers.words_of_one_killed(known, chance.randint(0, 30), chance.randint(0, 60_000)):
            if kind == "order":
                promised = int(number) + 1
            else:
                promised_fills = int(number)

        store = SqliteStore(path)
        records, fills, still_open = store.orders(), store.fills(), store.open_orders()
        store.close()
        assert [record.client_id for record in records] == [f"o{number}" for number in range(len(records))]
        assert len(records) >= promised, "an order is lost whose append had returned"
        # An order whose writer was killed between its two appends has no fills, and never gets any.
        assert len(fills) == 2 * (len(records) - len(still_open)), "a fill is lost or there twice"
        assert not promised_fills or f"{promised_fills - 1}" in {fill.trade_id for fill in fills}, (
            "a promised fill is lost"
        )
        for record in records:
            state = (record.order.status, record.filled)
            assert state in ((OrderStatus.UNKNOWN, Decimal(0)), (OrderStatus.CANCELED, Decimal("0.20"))), (
                "there by half"
            )
        known, half_done = len(records), len(still_open)
    writers.close()
    assert promised >= 5 * KILLS, "the writers were killed too early to prove anything"
    assert half_done, "no writer was killed between the appends of one order"
