"""Binance futures, USDⓈ-M and COIN-M: two drivers of one language, told apart by data (`facts.Futures`).

What they share with spot (signing, frames, the reading of refusals, bounds) is spot's module; nothing of it is copied.
"""

from __future__ import annotations

from connector.drivers.binance.frames import NAME_AFTER
from connector.drivers.binance.futures import books, facts, streams
from connector.drivers.binance.futures.events import Events, key_rule
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.instruments import wire_name
from connector.drivers.binance.futures.orders import capabilities
from connector.drivers.binance.futures.positions import Positions
from connector.drivers.binance.futures.rest import Rest
from connector.drivers.binance.futures.session import Session
from connector.drivers.binance.futures.streams import Streams
from connector.drivers.binance.futures.trading import Trading
from connector.drivers.contract import Capability, Driver

__all__ = ["COINM", "USDM"]

_INTERVALS = ", ".join(facts.INTERVALS)
_NOTES = {
    "candles": _INTERVALS,
    "aggregate trades": "the last 48 hours",
    "partial_book": "depth 5, 10, 20; every 100, 250 or 500 ms",
    "book": "every 100, 250 or 500 ms",
    "depth": f"up to {facts.DEPTH_LIMITS[-1]} levels a side",
    "mark_price": "every 1000 or 3000 ms, with the funding rate",
    "liquidations": "one a second and symbol",
    "ticker": "without best prices",
    "tickers": "without best prices",
}
_ONE_CANDLE_PAGE = "; 200 days at once"


def _driver(futures: Futures) -> Driver:
    rest, trading = Rest(futures), Trading(futures)
    notes = _NOTES | ({"open interest": "contracts"} if futures.contracts else {})
    asked = notes | ({"candles": _INTERVALS + _ONE_CANDLE_PAGE} if futures.contracts else {})
    return Driver(
        name=futures.venue,
        products=frozenset({futures.product}),
        hosts=futures.hosts,
        rest=rest,
        streams=Streams(futures),
        limits=facts.LIMITS,
        book_rule=books.RULE,
        capabilities=frozenset(
            [Capability("query", question.name, asked.get(question.name, "")) for question in rest.questions.values()]
            + [Capability("stream", kind.value, notes.get(kind.value, "")) for kind in streams.READERS]
            + [Capability("environment", environment.value) for environment in futures.hosts]
            + [Capability(area, name, note) for area, name, note in capabilities(futures)]
        ),
        wire_name=wire_name(futures),
        error_codes={code: reaction.value for code, reaction in futures.errors.items()},
        trading=trading,
        session=Session(futures, trading.rules),
        events=Events(futures, key_rule(futures)),
        positions=Positions(futures, trading),
        candle_limit=facts.CANDLE_LIMIT,
        trade_limit=facts.TRADE_LIMIT,
        pool=facts.POOL,
        name_after=NAME_AFTER,
    )


USDM = _driver(facts.USDM)
COINM = _driver(facts.COINM)
