"""A sample engine, checked with `mypy --strict` against the installed package. Never run."""

from decimal import Decimal

from connector import Candle, Connector, Environment, Gap, OrderBook, Overflow, Subscription, Trade, VenueSettings
from connector.domain.queries import CandlesQuery
from connector.domain.symbols import Symbol
from connector.supervision import ChildSpec, StableRef, SupervisedActor, SupervisorSpec, Tree, start_tree


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


class Counter(SupervisedActor):
    def on_receive(self, message: int) -> int:
        return message + 1


def count() -> int:
    tree: Tree
    with start_tree(SupervisorSpec(children=(ChildSpec(id="counter", factory=Counter),))) as tree:
        answer: int = tree.ref("/counter").ask(1, timeout=1.0)
        return answer
