"""Order lists: one request, and every order of it then followed by itself, whatever happens on the way."""

import os
import random
from decimal import Decimal

import pytest
from far_side import BTC, FINAL, FarSide, connect

from connector import Side
from connector.domain.commands import CancelOrder, OrderListKind, OutcomeKind, PlaceOrder, PlaceOrderList
from connector.domain.orders import OrderStatus, OrderType, TimeInForce
from connector.orders.risk import OrderRate
from connector.store import MemoryStore
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.venue.orders import ThrowKillSwitch

SEEDS = range(int(os.environ.get("SEEDS", "6")))
LEGS = {"oco": ("above", "below"), "oto": ("working", "pending"), "otoco": ("working", "pendingAbove", "pendingBelow")}
TYPES = ["LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
KINDS = list(OrderListKind)


class Lists(FarSide):
    """A far side that takes order lists. `script` says what happens to the next writes."""

    def __init__(self, runtime, chance):
        super().__init__(runtime, chance)
        self.script, self.lists, self.posted, self.refusal = [], {}, [], None

    def what_happens(self, verb, session):
        if verb != "GET" and self.script:
            return self.script.pop(0)
        return super().what_happens(verb, session)

    def act(self, verb, path, query):
        if path in LEGS:
            self.posted.append(query)
            return self.place_list(path, query)
        status, body = super().act(verb, path, query)
        if path == "exchangeInfo":
            size = {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "10", "stepSize": "0.1"}
            body["symbols"][0] |= {"orderTypes": TYPES, "filters": [size], "otoAllowed": True, "ocoAllowed": True}
        if (verb, path, status) == ("DELETE", "order", 200):
            for name, members in self.lists.items():
                if body["origClientOrderId"] in members:
                    return 200, self.ended(name, members)
        return status, body

    def ended(self, name, members):
        """A list ends with its first."""
        for member in members:
            if self.orders[member]["status"] not in FINAL:
                self.end(self.orders[member], "CANCELED")
        ids = [self.shown(self.orders[each]) | {"origClientOrderId": each, "clientOrderId": "c"} for each in members]
        return self.list_row(name, members, "ALL_DONE") | {"orderReports": ids}

    def list_row(self, name, members, status):
        orders = [{"symbol": "BTCUSDT", "orderId": self.orders[m]["orderId"], "clientOrderId": m} for m in members]
        row = {"orderListId": 7, "contingencyType": "OCO", "listStatusType": "EXEC_STARTED", "listOrderStatus": status}
        row |= {"listClientOrderId": name, "transactionTime": self.now_ms(), "symbol": "BTCUSDT"}
        return row | {"orders": orders}

    def place_list(self, kind, query):
        if self.refusal is not None:
            return self.refusal
        members = [query[f"{prefix}ClientOrderId"] for prefix in LEGS[kind]]
        name = query["listClientOrderId"]
        if name in self.lists or any(member in self.orders for member in members):
            return 400, {"code": -2010, "msg": "Duplicate order sent."}
        for prefix, member in zip(LEGS[kind], members, strict=True):
            shared = "pending" if prefix.startswith("pending") else ""

            def of(word, prefix=prefix, shared=shared):
                plain = word if not shared else f"pending{word[0].upper()}{word[1:]}"
                return query.get(f"{prefix}{word[0].upper()}{word[1:]}", query.get(plain))

            self.order_id += 1
            order = {"symbol": "BTCUSDT", "orderId": self.order_id, "orderListId": 7, "clientOrderId": member}
            order |= {"side": of("side"), "price": of("price") or "0", "origQty": of("quantity"), "executedQty": "0"}
            order |= {"cummulativeQuoteQty": "0", "timeInForce": of("timeInForce") or "GTC", "type": of("type")}
            order |= {"status": "PENDING_NEW" if shared else "NEW", "stopPrice": of("stopPrice") or "0"}
            order |= {"icebergQty": "0", "origQuoteOrderQty": "0", "isWorking": not shared, "time": self.now_ms()}
            order |= {"selfTradePreventionMode": "NONE", "updateTime": self.now_ms(), "workingTime": self.now_ms()}
            self.orders[member] = order
            self.tell(order, "NEW")
        self.lists[name] = members
        reports = [self.shown(self.orders[member]) for member in members]
        return 200, self.list_row(name, members, "EXECUTING") | {"orderReports": reports}

    def stream(self, event):
        order = self.orders.get(event.get("C") or event.get("c"), {})
        super().stream(event | {"o": order.get("type", "LIMIT"), "P": order.get("stopPrice", "0"), "g": 7})


class Rig:
    def __init__(self, seed=1, *, session=False, **account):
        self.runtime, chance = DeterministicRuntime(seed), random.Random(seed)
        self.far, self.store, self.events = Lists(self.runtime, chance), MemoryStore(), []
        self.connector = connect(self.far, chance, session=session, store=self.store, **account)

    def __enter__(self):
        self.connector.start()
        self.venue = self.connector.venue("binance")
        self.stream = self.venue.orders_stream(self.events.append)
        self.runtime.advance(5.0)
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def ask(self, command, within_s=1.0):
        """The outcomes, told within so long."""
        asked = self.venue.orders.ask(command, block=False, timeout=300.0)
        self.runtime.advance(within_s)
        return asked.get(timeout=0.0)

    def orders(self):
        return {order.client_id: order for order in self.venue.order_history()[0]}

    def agrees(self):
        """Whether the read model is what the far side holds."""
        words = {"PENDING_NEW": "new"}
        for name, order in self.orders().items():
            truth = self.far.orders.get(name)
            if truth is None and order.status is not OrderStatus.REJECTED:
                return False
            if truth is not None and order.status.value != words.get(truth["status"], truth["status"].lower()):
                return False
        return set(self.far.orders) <= set(self.orders())


def order(kind=OrderType.LIMIT, side=Side.SELL, quantity="1", price="120", **more):
    return PlaceOrder(
        symbol=BTC,
        side=side,
        type=kind,
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        **{name: Decimal(value) if name == "stop_price" else value for name, value in more.items()},
    )


def orders_of(kind, **more):
    above = order(OrderType.LIMIT_MAKER, **more)
    below = order(OrderType.STOP_LIMIT, price="80", stop_price="81", time_in_force=TimeInForce.GTC)
    working = order(OrderType.LIMIT, Side.BUY, price="100", time_in_force=TimeInForce.GTC)
    return {"oco": (above, below), "oto": (working, above), "otoco": (working, above, below)}[kind.value]


def listed(kind=OrderListKind.OCO, client_id=None, **more):
    return PlaceOrderList(kind=kind, orders=orders_of(kind, **more), client_id=client_id)


@pytest.mark.parametrize("session", [False, True], ids=["account compared", "account followed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_list_is_one_request_and_each_of_its_orders_has_an_outcome_in_its_place(kind, session):
    with Rig(session=session) as rig:
        outcomes = rig.ask(listed(kind, client_id="pair-1"))

        assert len(rig.far.posted) == 1
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.ACCEPTED] * len(LEGS[kind.value])
        assert [outcome.client_id for outcome in outcomes] == rig.far.lists["pair-1"]
        assert [outcome.order.type for outcome in outcomes] == [each.type for each in orders_of(kind)]
        assert {rig.store.order(o.client_id).intent.list_id for o in outcomes} == {"pair-1"}
        assert any("pair-1" in line.text for line in rig.venue.explain(outcomes[0].client_id)[0])
        assert any("list 7: OCO EXECUTING" in line.text for line in rig.venue.explain(outcomes[1].client_id)[0])
        assert rig.agrees()


def test_a_list_without_a_name_is_given_one_that_was_never_used():
    with Rig() as rig:
        rig.ask(listed())
        rig.ask(listed())

        assert len(rig.far.lists) == 2 and all(name.startswith("cn") for name in rig.far.lists)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["answer lost", "503 done", "-1007"])
def test_a_lost_answer_leaves_every_order_unknown_until_the_venue_was_asked_for_each(kind, what):
    with Rig() as rig:
        rig.far.script = [what]
        outcomes = rig.ask(listed(kind), within_s=6.0)
        rig.runtime.advance(30.0)

        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.UNKNOWN}
        assert len(rig.far.posted) == 1
        assert {each.status for each in rig.orders().values()} == {OrderStatus.NEW} and rig.agrees()


@pytest.mark.parametrize("what", ["request lost", "503"])
def test_a_list_that_never_arrived_is_rejected_order_by_order_with_proof(what):
    with Rig() as rig:
        rig.far.script = [what]
        outcomes = rig.ask(listed(), within_s=6.0)

        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.UNKNOWN}
        rig.runtime.advance(10.0)
        assert {each.status for each in rig.orders().values()} == {OrderStatus.UNKNOWN}
        rig.runtime.advance(60.0)
        assert {each.status for each in rig.orders().values()} == {OrderStatus.REJECTED}
        assert rig.far.posted == [] and rig.venue.snapshot().counters["orders.questions"] >= 8


def test_what_the_venue_refuses_is_refused_for_every_order_with_its_code():
    with Rig() as rig:
        rig.far.refusal = 400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}
        outcomes = rig.ask(listed(OrderListKind.OTOCO))
        rig.runtime.advance(1.0)

        assert [(each.kind, each.code) for each in outcomes] == [(OutcomeKind.REJECTED, "-2010")] * 3
        assert {each.status for each in rig.orders().values()} == {OrderStatus.REJECTED}


def test_an_id_the_venue_calls_a_duplicate_makes_each_order_a_question():
    with Rig() as rig:
        rig.far.script = ["doubled on the way"]
        rig.far.lists["taken"] = []
        outcomes = rig.ask(listed(client_id="taken"))

        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.UNKNOWN}
        rig.runtime.advance(60.0)
        assert {each.status for each in rig.orders().values()} == {OrderStatus.REJECTED}  # none of them is there


def test_a_list_doubled_on_the_way_is_found_order_by_order():
    with Rig() as rig:
        rig.far.script = ["answer lost"]
        command = listed(client_id="pair-1")
        rig.venue.orders.ask(command, block=False)
        rig.runtime.advance(0.45)
        rig.far.place_list("oco", rig.far.posted[0])
        rig.runtime.advance(30.0)

        assert len(rig.far.orders) == 2 and rig.agrees()


def test_a_list_name_is_not_used_twice_while_the_list_is_open():
    with Rig() as rig:
        first = rig.ask(listed(client_id="pair-1"))
        refused = rig.ask(listed(client_id="pair-1"))
        rig.ask(CancelOrder(symbol=BTC, client_id=first[0].client_id))
        again = rig.ask(listed(client_id="pair-2"))

        assert [(each.kind, each.code) for each in refused] == [(OutcomeKind.REFUSED, "InvalidRequest")] * 2
        assert {each.kind for each in again} == {OutcomeKind.ACCEPTED} and len(rig.far.posted) == 2


def test_a_refused_timestamp_is_mended_once_for_the_whole_list():
    with Rig() as rig:
        skewed = rig.far.now_ms
        rig.far.now_ms = lambda: skewed() + 20_000
        outcomes = rig.ask(listed(), within_s=5.0)

        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
        assert rig.venue.snapshot().counters["orders.restamped"] == 1 and len(rig.far.posted) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (listed(quantity="0.01"), "LOT_SIZE"),
        (PlaceOrderList(kind=OrderListKind.OCO, orders=orders_of(OrderListKind.OCO)[:1] * 2), "InvalidRequest"),
        (PlaceOrderList(kind=OrderListKind.OTOCO, orders=orders_of(OrderListKind.OCO)), "InvalidRequest"),
        (PlaceOrderList(kind=OrderListKind.OTO, orders=orders_of(OrderListKind.OTO)[:1]), "InvalidRequest"),
        (listed(client_id="no spaces"), "InvalidRequest"),
        (listed(OrderListKind.OTO, client_id="twice", test=True), "InvalidRequest"),
    ],
    ids=["filter", "form", "too few", "one", "name", "test"],
)
def test_what_is_wrong_with_one_order_refuses_the_list_and_leaves_no_trace(command, code):
    with Rig() as rig:
        outcomes = rig.ask(command)

        assert len(outcomes) == len(command.orders)
        assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.REFUSED, code)}
        assert rig.far.posted == [] and rig.orders() == {}
        assert "orders.sent" not in rig.venue.snapshot().counters


def test_two_orders_of_one_name_are_refused():
    with Rig() as rig:
        pair = [
            PlaceOrder(**{f: getattr(o, f) for f in o.__struct_fields__} | {"client_id": "a"}) for o in listed().orders
        ]
        outcomes = rig.ask(PlaceOrderList(kind=OrderListKind.OCO, orders=tuple(pair)))

        assert [(each.kind, each.client_id) for each in outcomes] == [(OutcomeKind.REFUSED, "a")] * 2


@pytest.mark.parametrize(("limit", "passes"), [(1, False), (2, True)])
def test_risk_hooks_see_every_order_of_a_list_and_those_before_it(limit, passes):
    with Rig(risk_hooks=(OrderRate(limit, 60.0),)) as rig:
        pair = rig.ask(listed())
        three = rig.ask(listed(OrderListKind.OTOCO))

        assert {outcome.kind for outcome in pair} == {OutcomeKind.ACCEPTED if passes else OutcomeKind.REFUSED}
        assert [(each.kind, each.code) for each in three] == [(OutcomeKind.REFUSED, "order_rate")] * 3
        assert len(rig.far.posted) == passes


def test_the_kill_switch_stops_lists_and_cancels_those_there_are():
    with Rig() as rig:
        rig.ask(listed())
        cancels = rig.ask(ThrowKillSwitch(), within_s=2.0)
        refused = rig.ask(listed())

        assert len(cancels) == 2
        assert {each["status"] for each in rig.far.orders.values()} == {"CANCELED"} and rig.agrees()
        assert {(each.kind, each.code) for each in refused} == {(OutcomeKind.REFUSED, "kill_switch")}


def test_cancelling_one_order_of_a_list_tells_the_end_of_all():
    with Rig() as rig:
        first, second = rig.ask(listed())
        cancelled = rig.ask(CancelOrder(symbol=BTC, client_id=second.client_id))

        assert (cancelled.kind, cancelled.order.client_id) == (OutcomeKind.ACCEPTED, second.client_id)
        told = [event.client_id for event in rig.events if getattr(event, "status", None) is OrderStatus.CANCELED]
        assert sorted(told) == sorted([first.client_id, second.client_id])


@pytest.mark.parametrize("what", ["answer lost", "request lost", ""])
def test_a_list_whose_sender_is_killed_is_taken_up_again_order_by_order(what):
    with Rig() as rig:
        rig.far.script = [what]
        rig.venue.orders.ask(listed(OrderListKind.OTOCO), block=False)
        rig.runtime.advance(0.001)
        crash(rig.venue.orders)
        rig.runtime.advance(90.0)

        wanted = OrderStatus.REJECTED if what == "request lost" else OrderStatus.NEW
        assert [each.status for each in rig.orders().values()] == [wanted] * 3 and rig.agrees()
        assert len(rig.far.posted) == (what != "request lost")


@pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_lost_on_the_way_every_order_of_a_list_ends_as_the_venue_says(seed, session):
    with Rig(seed, session=session) as rig:
        rig.far.trouble, chance, outcomes, asked = 0.4, random.Random(seed), [], []
        for _ in range(12):
            asked.append(rig.venue.orders.ask(listed(chance.choice(KINDS)), block=False, timeout=300.0))
            rig.runtime.advance(chance.choice([0.05, 0.5, 7.0]))
            if outcomes and chance.random() < 0.5:
                rig.venue.orders.tell(CancelOrder(symbol=BTC, client_id=chance.choice(outcomes).client_id))
            rig.runtime.advance(6.0)
            outcomes += [each for each in asked.pop().get(timeout=0.0) if each.kind is not OutcomeKind.REFUSED]
        rig.far.trouble = 0.0
        rig.runtime.advance(200.0)

        assert rig.agrees()
        assert not [each for each in rig.orders().values() if each.status is OrderStatus.UNKNOWN]
        assert {each.client_id for each in outcomes} == set(rig.orders())
        assert len(rig.far.posted) == len({query["listClientOrderId"] for query in rig.far.posted})
