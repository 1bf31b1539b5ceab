"""Bybit spot, linear and inverse: hosts, limits, questions, streams, books, orders and the account. Values of pure functions.

See `drivers.contract` for the public half and `drivers.trading` for the private one. One body of code serves all three
products; what differs between them is data, see `facts.Market`.
"""

from __future__ import annotations

from connector.domain.topics import TopicKind
from connector.drivers.bybit import books, facts
from connector.drivers.bybit.facts import Market
from connector.drivers.bybit.instruments import namer
from connector.drivers.bybit.orders import capabilities_of
from connector.drivers.bybit.positions import Positions
from connector.drivers.bybit.rest import Rest, questions_of
from connector.drivers.bybit.session import Events, Session
from connector.drivers.bybit.streams import NAME_AFTER, Streams, readers_of
from connector.drivers.bybit.trading import Trading
from connector.drivers.contract import Capability, Driver, Environment

__all__ = ["DRIVERS", "INVERSE", "LINEAR", "SPOT"]

_NOTES = {
    "candles": ", ".join(facts.INTERVALS),
    "book": f"depth {', '.join(map(str, facts.BOOK_DEPTHS))}",
    "book_ticker": "every 10 ms",
    "depth": f"up to {facts.DEPTH_LIMIT} levels a side",
}
_ENVIRONMENTS = {Environment.DEMO: "orders by REST only"}


def _note(market: Market, name: str) -> str:
    if name == TopicKind.TICKER.value:
        return "without best prices" if market.is_spot else "with mark price and funding"
    if name == "recent trades":
        return f"the newest {market.trade_limit}"
    return _NOTES.get(name, "")


def _driver(market: Market) -> Driver:
    trading = Trading(market)
    return Driver(
        name=market.name,
        products=frozenset({market.product}),
        hosts=facts.HOSTS,
        rest=Rest(market),
        streams=Streams(market),
        limits=facts.LIMITS,
        book_rule=books.RULE,
        capabilities=frozenset(
            [Capability("query", each.name, _note(market, each.name)) for each in questions_of(market).values()]
            + [Capability("stream", kind.value, _note(market, kind.value)) for kind in readers_of(market)]
            + [Capability("environment", each.value, _ENVIRONMENTS.get(each, "")) for each in facts.HOSTS]
            + [Capability(area, name, note) for area, name, note in capabilities_of(market)]
        ),
        wire_name=namer(market),
        error_codes={code: reaction.value for code, reaction in facts.ERRORS.items()},
        trading=trading,
        session=Session(market, trading),
        events=Events(market),
        positions=None if market.is_spot else Positions(market, trading),
        trade_ids="opaque",
        candle_limit=facts.CANDLE_LIMIT,
        trade_limit=market.trade_limit,
        name_after=NAME_AFTER,
    )


SPOT, LINEAR, INVERSE = map(_driver, facts.MARKETS)

DRIVERS = (SPOT, LINEAR, INVERSE)
