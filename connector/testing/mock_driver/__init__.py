"""An invented venue called "mock", for tests of engines: spot and linear contracts, everything the contract knows, no real money.

A complete driver of an exchange that does not exist, small enough to be read in one sitting. It passes the same suite as the
real ones (`driver_suite`). `mock_venue` plays its far side in memory. Its names, codes and limits are made up here, which is why
their source is this file. Like every driver it opens nothing, reads no clock and keeps nothing.

Wire: JSON objects everywhere. REST answers are JSON with status 200, or `{"code":"E…","text":"…"}` with another. Stream frames
are `{"topic":"trades.BTC-USDT","data":…}`; a book's stream begins with a snapshot. The session takes orders and brings events.
"""

from __future__ import annotations

from connector.domain.symbols import Product
from connector.drivers.contract import Capability, Driver
from connector.testing.mock_driver.facts import CODES, HOSTS, INTERVALS, LIMITS, PAGE, VENUE
from connector.testing.mock_driver.instruments import wire_name
from connector.testing.mock_driver.orders import ORDER_KINDS
from connector.testing.mock_driver.rest import QUESTIONS, Rest
from connector.testing.mock_driver.session import Session
from connector.testing.mock_driver.streams import BOOK_RULE, KINDS, Streams
from connector.testing.mock_driver.trading import TRADING

__all__ = ["DRIVERS", "MOCK", "VENUE"]

_NOTES = {"candles": ", ".join(INTERVALS), "partial_book": "depth 5, 20", "book": "snapshots in the stream"}
_ACCOUNT = ("order", "open orders", "fills", "orders since", "balances", "order counts", "positions", "funding")

MOCK = Driver(
    name=VENUE,
    products=frozenset({Product.SPOT, Product.LINEAR}),
    hosts=HOSTS,
    rest=Rest(),
    streams=Streams(),
    limits=LIMITS,
    book_rule=BOOK_RULE,
    capabilities=frozenset(
        [Capability("query", question.name, _NOTES.get(question.name, "")) for question in QUESTIONS.values()]
        + [Capability("stream", kind.value, _NOTES.get(kind.value, "")) for kind in KINDS]
        + [Capability("environment", environment.value) for environment in HOSTS]
        + [Capability("order", kind.value) for kind in ORDER_KINDS]
        + [Capability("order", "test"), Capability("order", "reduce only", "contracts")]
        + [Capability("command", name, "REST or session") for name in ("place", "cancel", "amend")]
        + [Capability("command", name) for name in ("leverage", "margin mode", "position mode")]
        + [Capability("account", name) for name in _ACCOUNT]
        + [Capability("account", "events", "session"), Capability("key", "hmac")]
    ),
    wire_name=wire_name,
    error_codes={code: reaction.value for code, reaction in CODES.items()},
    trading=TRADING,
    session=Session(),
    positions=TRADING,
    candle_limit=PAGE,
    trade_limit=PAGE,
)

DRIVERS = (MOCK,)
