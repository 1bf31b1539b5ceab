"""A sample engine, checked with `mypy --strict` against the installed package. Never run."""

from decimal import Decimal

from connector import (
    Candle,
    Connector,
    Environment,
    Freshness,
    Gap,
    OrderBook,
    Overflow,
    Subscription,
    Trade,
    VenueSettings,
)
from connector.domain import FundingRate, MarkPrice, OpenInterest
from connector.domain.queries import CandlesQuery
from connector.domain.symbols import Symbol
from connector.supervision import ChildSpec, StableRef, SupervisedActor, SupervisorSpec, Tree, start_tree
from connector.trading import FundingPayment, MarginMode, Position, PositionSide


class Engine:
    def __init__(self) -> None:
        self.volume = Decimal(0)

    def on_trade(self, trade: Trade) -> None:
        self.volume += trade.quantity


def trade(engine: Engine) -> Decimal:
    venue = VenueSettings("binance", environment=Environment.TESTNET, transport="websocket-client")
    with Connector([venue]) as connector:
        inline: Subscription = connector.subscribe("binance", "trades", "BTC/USDT", callback=engine.on_trade)
        queued = connector.venue("binance").subscribe("book", "BTC/USDT", capacity=100, overflow=Overflow.LATEST_WINS)
        inline.wait_live(timeout_s=10.0)
        candles: tuple[Candle, ...] = connector.venue("binance").candles("BTC/USDT", "1m", limit=10)
        book: OrderBook = connector.venue("binance").book("BTC/USDT", depth=5)
        asked = connector.ask("binance", CandlesQuery(Symbol("BTC", "USDT"), "1h"))
        rest: StableRef = connector.venue("binance").rest
        gaps: list[Gap] = list(queued.gaps)
        best = book.best_bid
        assert best is not None and rest.is_alive() and not gaps and asked is not None
        return candles[-1].close * best[1]


def hold(connector: Connector) -> Decimal:
    venue = connector.venue("linear")
    venue.set_leverage("BTC/USDT:USDT", 5)
    venue.set_margin_mode(MarginMode.ISOLATED, "BTC/USDT:USDT")
    venue.set_position_mode("hedge")
    marks: tuple[MarkPrice, ...] = venue.mark_prices("BTC/USDT:USDT")
    rates: tuple[FundingRate, ...] = venue.funding_rates("BTC/USDT:USDT", limit=3)
    interest: OpenInterest = venue.open_interest("BTC/USDT:USDT")
    mark: Subscription = venue.subscribe_mark_price("BTC/USDT:USDT", capacity=10)
    forced: Subscription = venue.subscribe_liquidations("BTC/USDT:USDT")
    held: tuple[Position, ...]
    freshness: Freshness
    held, freshness = venue.positions()
    long, _ = venue.position("BTC/USDT:USDT", PositionSide.LONG)
    paid: tuple[FundingPayment, ...] = venue.funding_payments(since_ns=0)[0]
    assert not freshness.stale and mark is not forced and rates and interest.contracts and held
    return long.quantity * marks[0].mark + sum((each.amount for each in paid), Decimal(0))


class Counter(SupervisedActor):
    def on_receive(self, message: int) -> int:
        return message + 1


def count() -> int:
    tree: Tree
    with start_tree(SupervisorSpec(children=(ChildSpec(id="counter", factory=Counter),))) as tree:
        answer: int = tree.ref("/counter").ask(1, timeout=1.0)
        return answer
