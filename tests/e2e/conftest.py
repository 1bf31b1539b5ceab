"""One account, a real client over real sockets, and the exchange's ledger to compare with.

What every scenario ends with is `Desk.await_equal`: orders, fills and balances are as the ledger has them, nothing that was told
is untrue, and no fill was told twice. Waiting is looking at a condition until a deadline; nothing here sleeps blindly.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector import Connector, ConnectorSettings, Side, VenueSettings
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain.commands import CancelOrder, OrderOutcome, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.errors import NotConnected
from connector.simulator import AccountSettings, Simulator, SimulatorSettings
from connector.supervision import Intensity
from connector.throttle import BackoffPolicy
from connector.venue.orders import ReleaseKillSwitch

FAULTS = Path(__file__).parents[1] / "faults"


def shared(name: str, file: str) -> Any:
    """A module of tests/faults by name: tests are not a package, and the long runs use it too."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FAULTS / file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


kill_nine = shared("kill_nine", "kill_nine.py")
harness = shared("fault_harness", "harness.py")
eventually, settled_base = harness.eventually, harness.settled_base
BINANCE, Product = harness.BINANCE, harness.Product

KEY, SECRET = "endtoend0001", "end to end secret"


class Desk:
    """An engine's side of one account, and the truth about it.

    Attributes:
        told: every order event so far, in order.
        others: client ids of another program on the account; none of ours.
        bid, ask: best prices when the desk was opened; the market of the simulator stands still.
        product: what is traded, its main symbol.
    """

    def __init__(self, sim: Simulator, connector: Connector, product: Any = BINANCE) -> None:
        self.product, self.symbol = product, product.symbol
        self.sim, self.connector, self.venue = sim, connector, connector.venue(product.exchange)
        self.memory = self.venue._memory
        self.told: list[Any] = []
        self.venue.orders_stream(callback=self.told.append)
        self.bid = self.ask = Decimal(0)
        self.others: list[str] = []

    def open(self) -> None:
        """Wait until the session is up and nothing is in doubt."""
        assert self.venue.wait_ready(10.0)
        eventually(self.is_up, 10.0, "the private session did not come up")
        ticker = self.venue.book_tickers(self.symbol)[0]
        self.bid, self.ask = ticker.bid, ticker.ask
        self.await_equal()

    def is_up(self) -> bool:
        return bool(self.memory.trading.session.is_up)

    def is_taken(self) -> bool:
        """Whether an order passes, as it does not while a circuit is open; one that does closes it."""
        outcome = self.place()
        return outcome.kind is OutcomeKind.ACCEPTED and self.cancel(outcome.client_id).kind is OutcomeKind.ACCEPTED

    # ------------------------------------------------------------ commands

    def order(self, quantity: str | None = None, **changes: Any) -> PlaceOrder:
        """A buy order that rests below the market, unless changed; `quantity` is what the venue counts."""
        fields = {"side": Side.BUY, "type": OrderType.LIMIT, "price": self.bid - self.product.away} | changes
        return PlaceOrder(symbol=self.symbol, **self.product.sized(quantity), **fields)

    def place(self, quantity: str | None = None, **changes: Any) -> OrderOutcome:
        outcome: OrderOutcome = self.venue.orders.ask(self.order(quantity, **changes), timeout=20.0)
        return outcome

    def place_market(self, quantity: str | None = None, side: Side = Side.BUY, **changes: Any) -> OrderOutcome:
        return self.place(quantity, type=OrderType.MARKET, side=side, price=None, **changes)

    def cancel(self, client_id: str) -> OrderOutcome:
        outcome: OrderOutcome = self.venue.orders.ask(self.cancelling(client_id), timeout=20.0)
        return outcome

    def cancelling(self, client_id: str) -> CancelOrder:
        return CancelOrder(symbol=self.symbol, client_id=client_id)

    # ------------------------------------------------------------ looking

    def status(self, client_id: str) -> OrderStatus:
        order, _ = self.venue.order(client_id)
        assert order is not None
        return order.status

    def await_status(self, client_id: str, *statuses: OrderStatus, within_s: float = 15.0) -> float:
        return eventually(
            lambda: self.status(client_id) in statuses,
            within_s,
            lambda: f"{client_id} is {self.status(client_id)}: {self.venue.explain(client_id)[0]}",
        )

    def statuses_told(self, client_id: str) -> list[OrderStatus]:
        return [each.status for each in list(self.told) if isinstance(each, Order) and each.client_id == client_id]

    def fills_told(self, client_id: str) -> list[Fill]:
        return [each for each in list(self.told) if isinstance(each, Fill) and each.client_id == client_id]

    def true_order(self, client_id: str) -> Any:
        return self.sim.ledger.order("main", client_id)

    def is_at_venue(self, client_id: str) -> bool:
        return any(each.client_id == client_id for each in self.sim.ledger.orders("main"))

    # ------------------------------------------------------------ the verdict

    def wrong(self) -> dict[str, int]:
        """In what the read model differs from the ledger; those of `others` are left out."""
        ledger = kill_nine.Ledger.of(self.sim, self.product)
        for client_id in self.others:
            del ledger.orders[client_id]
            ledger.fills = {trade: each for trade, each in ledger.fills.items() if each[0] != client_id}
        return dict(+kill_nine.compare(kill_nine.known_of(self.venue, self.product), ledger))

    def doubts(self) -> list[str]:
        """What the read model itself does not vouch for."""
        try:
            asked = [self.venue.open_orders()[1], *([self.venue.positions()[1]] if self.product.settle else [])]
        except NotConnected as untold:
            return [str(untold)]
        return [each.reason for each in asked if each.stale]

    def await_equal(self, within_s: float = 15.0) -> float:
        """Wait until the account is beyond doubt and as the ledger says; then judge everything that was ever told."""
        took_s = eventually(
            lambda: not self.doubts() and not self.wrong(),
            within_s,
            lambda: f"{self.doubts()} {self.wrong()}",
        )
        notes: list[dict[str, Any]] = []
        recorder = kill_nine.Told(notes.append)
        for event in list(self.told):
            recorder.event(event)
        notes = [each for each in notes if "the venue forced" not in each.get("text", "")]
        ledger = kill_nine.Ledger.of(self.sim, self.product)
        assert not +kill_nine.untrue(notes, ledger), +kill_nine.untrue(notes, ledger)
        return took_s


@contextmanager
def desk_at(
    product: Any = BINANCE,
    driver: Any = None,
    venue: Callable[[Simulator], dict[str, Any]] | None = None,
    **changes: Any,
) -> Iterator[Desk]:
    """A desk at a simulated exchange of its own, where nothing is traded but by it.

    `changes`: of the simulator's settings. `venue`: of the client's, for that simulator.
    """
    driver = driver or kill_nine.short_rules(product)
    clock = SystemClock()
    account = AccountSettings("main", KEY, SECRET, balances=product.balances)
    fields = {
        "dialect": product.dialect,
        "symbols": product.names[:1],
        "events_per_s": 0,
        "accounts": (account,),
        **product.roomy,
        **changes,
    }
    with Simulator(SimulatorSettings(**fields)) as sim:
        chosen: dict[str, Any] = {
            "rest_url": sim.rest_url,
            "stream_url": sim.ws_url,
            "session_url": sim.ws_url,
            "credentials": Credentials(KEY, secret=SECRET),
            "reconnect": BackoffPolicy(base_s=0.05, max_s=0.2, healthy_s=30.0),
        }
        settings = VenueSettings(product.exchange, **chosen | (venue(sim) if venue is not None else {}))
        parts = replace(real_parts(clock), driver=lambda _: kill_nine.roomy(driver))
        restart = {"restart": harness.QUICK_RESTART, "restart_limit": Intensity(100_000, 60.0)}
        connector = Connector(ConnectorSettings((settings,), **restart), clock=clock, parts=parts)
        desk = Desk(sim, connector, product)
        with connector:
            desk.open()
            yield desk


def made_ready(desk: Desk) -> Iterator[Desk]:
    """The desk with no fault on, the session up, and orders taken; the same after a test."""
    eventually(desk.is_taken, 10.0, lambda: f"no order is taken: {desk.venue.snapshot().health}")
    yield desk
    desk.sim.faults.clear()
    desk.venue.orders.ask(ReleaseKillSwitch(), timeout=10.0)
    eventually(desk.is_up, 10.0, "the private session did not come up again")


@pytest.fixture(scope="module")
def whole_desk() -> Iterator[Desk]:
    """A desk for all scenarios of a file: the account's history grows, and has to stay true."""
    threads, _, actors = settled_base()
    with desk_at() as desk:
        yield desk
    eventually(lambda: settled_base()[0] <= threads and settled_base()[2] <= actors, 5.0, "something was left behind")


@pytest.fixture
def desk(whole_desk: Desk) -> Iterator[Desk]:
    """The desk with no fault on, the session up, and orders taken."""
    yield from made_ready(whole_desk)


@pytest.fixture(scope="module", params=harness.PRODUCTS.values(), ids=harness.PRODUCTS)
def whole_product_desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The same for each product, one after the other."""
    threads, _, actors = settled_base()
    with desk_at(request.param) as desk:
        yield desk
    eventually(lambda: settled_base()[0] <= threads and settled_base()[2] <= actors, 5.0, "something was left behind")


@pytest.fixture
def product_desk(whole_product_desk: Desk) -> Iterator[Desk]:
    """The desk of a product, ready as `desk` is."""
    yield from made_ready(whole_product_desk)


@pytest.fixture(scope="module", params=harness.CONTRACTS.values(), ids=harness.CONTRACTS)
def whole_contract_desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The same for each product that has positions."""
    threads, _, actors = settled_base()
    with desk_at(request.param) as desk:
        yield desk
    eventually(lambda: settled_base()[0] <= threads and settled_base()[2] <= actors, 5.0, "something was left behind")


@pytest.fixture
def contract_desk(whole_contract_desk: Desk) -> Iterator[Desk]:
    """The desk of a product that has positions, ready as `desk` is."""
    yield from made_ready(whole_contract_desk)


@pytest.fixture
def desk_with() -> Iterator[Callable[..., Any]]:
    """`with desk_with(store=...) as desk`: a desk of its own, with such settings of the venue."""
    threads, _, actors = settled_base()
    yield lambda **venue: desk_at(venue=lambda sim: venue)
    eventually(lambda: settled_base()[0] <= threads and settled_base()[2] <= actors, 5.0, "something was left behind")


@pytest.fixture
def raised(desk: Desk) -> Callable[[str], int]:
    """`raised("orders.unknown")`: by how much a counter has risen in this test."""
    before = dict(desk.memory.counters.snapshot())
    return lambda name: desk.memory.counters.get(name) - before.get(name, 0)
