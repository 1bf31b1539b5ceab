"""Writes orders and fills into a store until it is killed, and says what was written: run by test_kill.py.

kill_writer.py PATH FIRST     write, starting with order number FIRST
kill_writer.py PATH serve     for each number read, fork a writer that starts there, and say "dead" when it is (saves imports)
"""

from __future__ import annotations

import os
import sys

from connector.domain.orders import OrderStatus
from connector.orders.lifecycle import apply_fill, apply_report, new_record
from connector.store import SqliteStore, changes
from connector.testing.store_suite import sample_fill, sample_intent, sample_report


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def write(path: str, number: int) -> None:
    store = SqliteStore(path)
    while True:
        client_id = f"o{number}"
        intent = sample_intent(client_id, at_ns=number)
        store.append([intent])
        say(f"order {number}")
        record = new_record(intent)
        record, _ = apply_fill(record, sample_fill(client_id, str(2 * number)))
        record, _ = apply_fill(record, sample_fill(client_id, str(2 * number + 1)))
        record, _ = apply_report(record, sample_report(client_id, OrderStatus.CANCELED, "0.20"))
        store.append(changes(None, record))
        say(f"fills {2 * number + 2}")
        number += 1


if sys.argv[2] != "serve":
    say(f"pid {os.getpid()}")
    write(sys.argv[1], int(sys.argv[2]))
for line in sys.stdin:
    child = os.fork()
    if not child:
        say(f"pid {os.getpid()}")
        write(sys.argv[1], int(line))
    os.waitpid(child, 0)
    say("dead")
