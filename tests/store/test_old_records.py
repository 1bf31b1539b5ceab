"""Files written before contracts existed are read as they were, to the last digit."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import connector.store.sqlite as module
from connector.domain.orders import FillKind, OrderStatus
from connector.orders.lifecycle import apply_fill, apply_report, new_record
from connector.store import SqliteStore, changes
from connector.testing.store_suite import sample_fill, sample_intent, sample_report

# Bodies as the first version with orders wrote them: an intent to place, one to amend, a state, a fill.
PLACE = (
    b'{"type":"intent","venue":"venue","client_id":"a","symbol":{"base":"ETH","quote":"USDT","settle":null'
    b',"expiry":null},"at_ns":1,"recv_window_ms":5000,"timestamp_ms":null,"list_id":null,"place":{"symbol"'
    b':{"base":"ETH","quote":"USDT","settle":null,"expiry":null},"side":"buy","type":"limit","quantity":"2'
    b'","quote_quantity":null,"price":"100.10","stop_price":null,"trailing_bips":null,"time_in_force":null'
    b',"client_id":"a","iceberg_quantity":null,"self_trade":null,"reduce_only":false,"test":false},"cancel'
    b'":null,"amend":null}'
)
AMEND = (
    b'{"type":"intent","venue":"venue","client_id":"a","symbol":{"base":"ETH","quote":"USDT","settle":null'
    b',"expiry":null},"at_ns":5,"recv_window_ms":5000,"timestamp_ms":null,"list_id":null,"place":null,"can'
    b'cel":null,"amend":{"symbol":{"base":"ETH","quote":"USDT","settle":null,"expiry":null},"client_id":"a'
    b'","quantity":"1.5"}}'
)
STATE = (
    b'{"type":"order","order":{"venue":"venue","symbol":{"base":"ETH","quote":"USDT","settle":null,"expiry'
    b'":null},"event_time_ns":10,"received_ns":11,"client_id":"a","venue_id":"venue-a","side":"buy","type"'
    b':"limit","time_in_force":"gtc","status":"partially_filled","status_text":"PARTIALLY_FILLED","quantit'
    b'y":"2","filled":"0.20","price":"100.10","average_price":null,"recovered":false},"intent":{"type":"in'
    b'tent","venue":"venue","client_id":"a","symbol":{"base":"ETH","quote":"USDT","settle":null,"expiry":n'
    b'ull},"at_ns":1,"recv_window_ms":5000,"timestamp_ms":null,"list_id":null,"place":{"symbol":{"base":"E'
    b'TH","quote":"USDT","settle":null,"expiry":null},"side":"buy","type":"limit","quantity":"2","quote_qu'
    b'antity":null,"price":"100.10","stop_price":null,"trailing_bips":null,"time_in_force":null,"client_id'
    b'":"a","iceberg_quantity":null,"self_trade":null,"reduce_only":false,"test":false},"cancel":null,"ame'
    b'nd":null},"newest":{"venue":"venue","symbol":{"base":"ETH","quote":"USDT","settle":null,"expiry":nul'
    b'l},"event_time_ns":10,"received_ns":11,"client_id":"a","venue_id":"venue-a","side":"buy","type":"lim'
    b'it","type_text":"LIMIT","time_in_force":"gtc","status":"partially_filled","status_text":"PARTIALLY_F'
    b'ILLED","quantity":"2","filled":"0.20","quote_filled":null,"price":"100.10","stop_price":null,"versio'
    b'n":null,"fill":null,"reason":"","working":true,"list_id":null},"named":null,"reported":"0.20","verdi'
    b'ct":null,"fills":[],"filled":"0.10","quote":"10.0100","evidence":[]}'
)
FILL = (
    b'{"venue":"venue","symbol":{"base":"ETH","quote":"USDT","settle":null,"expiry":null},"event_time_ns":'
    b'10,"received_ns":11,"trade_id":"9","client_id":"a","venue_id":"venue-a","side":"buy","price":"100.10'
    b'","quantity":"0.10","fee":"0.00010","fee_asset":"ETH","is_maker":false,"recovered":false}'
)


def old_file(path):
    database = sqlite3.connect(path)
    database.executescript(module._MIGRATIONS[0])
    database.execute(f"PRAGMA application_id = {module._APPLICATION}")
    database.execute("PRAGMA user_version = 1")
    database.execute(
        "INSERT INTO orders (client_id, symbol, at_ns, is_known, is_open, body, checksum) VALUES (?, ?, 1, 1, 1, ?, ?)",
        ("a", "ETH/USDT", STATE, module._checksum("a", STATE)),
    )
    for body in (PLACE, AMEND):
        values = ("a", body, module._checksum("a", body))
        database.execute("INSERT INTO intents (client_id, body, checksum) VALUES (?, ?, ?)", values)
    database.execute(
        "INSERT INTO fills (symbol, trade_id, client_id, at_ns, body, checksum) VALUES (?, ?, ?, ?, ?, ?)",
        ("ETH/USDT", "9", "a", 10, FILL, module._checksum("ETH/USDT 9", FILL)),
    )
    database.commit()
    database.close()
    return path


def expected():
    record, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.PARTIALLY_FILLED, "0.20"))
    record, _ = apply_fill(record, sample_fill("a", "9"))
    return record


def test_an_order_an_older_version_wrote_is_what_this_one_would_have_made_of_it(tmp_path):
    store = SqliteStore(old_file(tmp_path / "orders.sqlite"))
    kept = store.order("a")
    new = expected()
    assert kept.order == new.order
    assert (kept.missing, kept.counted, kept.reported) == (Decimal("0.10"), Decimal("0.10"), Decimal("0.20"))
    assert kept.newest == new.newest
    assert (kept.order.contracts, kept.order.filled_contracts, kept.order.in_contracts) == (None, None, False)
    assert store.fills() == (sample_fill("a", "9"),)
    assert store.fills()[0].kind is FillKind.TRADE
    store.close()


def test_an_old_intent_to_amend_still_names_its_quantity_and_no_price(tmp_path):
    store = SqliteStore(old_file(tmp_path / "orders.sqlite"))
    place, amend = store.intents("a")
    assert place == sample_intent("a")
    assert (amend.amend.quantity, amend.amend.price) == (Decimal("1.5"), None)
    store.close()


def test_an_old_order_lives_on_in_the_new_version(tmp_path):
    path = old_file(tmp_path / "orders.sqlite")
    store = SqliteStore(path)
    before = store.order("a")
    after, _ = apply_fill(before, sample_fill("a", "10"))
    after, _ = apply_report(after, sample_report("a", OrderStatus.CANCELED, "0.20"))
    store.append(changes(before, after))
    store.close()
    again = SqliteStore(path)
    assert again.order("a") == after
    assert (again.order("a").missing, again.order("a").order.filled) == (0, Decimal("0.20"))
    again.close()
