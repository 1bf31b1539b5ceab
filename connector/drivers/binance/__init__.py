"""Binance: the spot driver, a value made of pure functions, and beside it those of the futures (see `futures`).

Spot: hosts, limits, questions, streams, books, orders and the account.

See `drivers.contract` for the public half and `drivers.trading` for the private one.
"""

from __future__ import annotations

from connector.domain.symbols import Product
from connector.drivers.binance import books, facts, streams
from connector.drivers.binance.frames import NAME_AFTER
from connector.drivers.binance.futures import COINM, USDM
from connector.drivers.binance.instruments import wire_name
from connector.drivers.binance.orders import CAPABILITIES
from connector.drivers.binance.rest import QUESTIONS, REST
from connector.drivers.binance.session import SESSION
from connector.drivers.binance.streams import STREAMS
from connector.drivers.binance.trading import TRADING
from connector.drivers.contract import Capability, Driver

__all__ = ["COINM", "DRIVERS", "SPOT", "USDM"]

_NOTES = {
    "candles": ", ".join(facts.INTERVALS),
    "partial_book": "depth 5, 10, 20; every 100 or 1000 ms",
    "book": "every 100 or 1000 ms",
    "depth": f"up to {facts.DEPTH_LIMIT} levels a side",
}

SPOT = Driver(
    name=facts.VENUE,
    products=frozenset({Product.SPOT}),
    hosts=facts.HOSTS,
    rest=REST,
    streams=STREAMS,
    limits=facts.LIMITS,
    book_rule=books.RULE,
    capabilities=frozenset(
        [Capability("query", question.name, _NOTES.get(question.name, "")) for question in QUESTIONS.values()]
        + [Capability("stream", kind.value, _NOTES.get(kind.value, "")) for kind in streams.READERS]
        + [Capability("environment", environment.value) for environment in facts.HOSTS]
        + [Capability(area, name, note) for area, name, note in CAPABILITIES]
    ),
    wire_name=wire_name,
    error_codes={code: reaction.value for code, reaction in facts.ERRORS.items()},
    trading=TRADING,
    session=SESSION,
    name_after=NAME_AFTER,
)

DRIVERS = (SPOT, USDM, COINM)
