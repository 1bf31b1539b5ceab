"""Place orders, lose an answer, be told that it is unknown, see it settled, cancel, and compare with the exchange's own ledger.

The exchange is simulated, account and all. It breaks once, on purpose: an order is taken, but the answer is an error that says
neither yes nor no, and the account's stream keeps quiet about it. Nothing is sent twice; the library asks what became of it.
"""

from decimal import Decimal

from connector import Connector, Side, Symbol, VenueSettings
from connector.domain.commands import CancelOrder, OrderOutcome, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.simulator import AccountSettings, Simulator, SimulatorSettings
from connector.venue.handle import VenueHandle
from connector.venue.order_events import OrderSubscription

BTC_USDT = Symbol("BTC", "USDT")
ACCOUNT = AccountSettings("main", key="ExampleKey", secret="an example", balances={"BTC": 1, "USDT": 100_000})


def buy(venue: VenueHandle, quantity: str, price: Decimal) -> OrderOutcome:
    """One limit order. What `ask` gives back is how far the outcome is known now."""
    order = PlaceOrder(symbol=BTC_USDT, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(quantity), price=price)
    outcome: OrderOutcome = venue.orders.ask(order, timeout=15.0)
    print(f"{outcome.kind.value:<9} buy {quantity} at {price}  {outcome.reason}".rstrip())
    return outcome


def follow(events: OrderSubscription, client_id: str, status: OrderStatus) -> None:
    """Read what happens to our orders until one of them has come to a status."""
    while True:
        event = events.get(timeout_s=30.0)
        if isinstance(event, Fill):
            print(f"  fill    {event.quantity.normalize()} at {event.price}, fee {event.fee} {event.fee_asset}")
        elif isinstance(event, Order):
            print(f"  order   {event.status.value}, filled {event.filled.normalize()} of {event.quantity.normalize()}")
            if event.client_id == client_id and event.status is status:
                return


def main() -> int:
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=0, accounts=(ACCOUNT,))) as exchange:
        settings = VenueSettings(
            "binance",
            rest_url=exchange.rest_url,
            stream_url=exchange.ws_url,
            session_url=exchange.ws_url,
            credentials=Credentials(ACCOUNT.key, secret=ACCOUNT.secret),  # load_credentials reads real ones
        )
        with Connector([settings]) as connector:
            venue = connector.venue("binance")
            events = venue.orders_stream()
            venue.wait_ready(10.0)
            venue.reconcile()
            price = venue.book_tickers(BTC_USDT)[0].bid - 1_000

            first = buy(venue, "0.010", price)
            exchange.fill("main", first.client_id, "0.004")  # somebody sells to us
            follow(events, first.client_id, OrderStatus.PARTIALLY_FILLED)

            exchange.faults.events_lost(count=1)
            exchange.faults.answer_error(504, -1007, done=True, count=1, only="order.place")
            second = buy(venue, "0.020", price - 10)
            follow(events, second.client_id, OrderStatus.NEW)

            for client_id in (first.client_id, second.client_id):
                gone = venue.orders.ask(CancelOrder(symbol=BTC_USDT, client_id=client_id), timeout=15.0)
                print(f"{gone.kind.value:<9} cancel, filled {gone.order.filled.normalize()}")
                follow(events, client_id, OrderStatus.CANCELED)

            print("how all this is known of the second:")
            for line in venue.explain(second.client_id)[0]:
                print(f"  {line.source:<8}{line.text}")

            venue.reconcile()
            truth, equal = exchange.accounts["main"].balances(), True
            for asset, ours in venue.balances()[0].items():
                theirs = truth[asset]
                equal = equal and (ours.free, ours.locked) == (theirs.free, theirs.locked)
                print(f"balance {asset:<5}{ours.total:f}, the exchange says {theirs.free + theirs.locked:f}")
    return 0 if equal and second.kind is OutcomeKind.UNKNOWN else 1


if __name__ == "__main__":
    raise SystemExit(main())
