"""The far side of the mock driver, in memory: a whole small exchange for tests of engines, without a socket, thread or wait.

    runtime = DeterministicRuntime(seed=1)
    venue = MockVenue(runtime, balances={"USDT": "1000"})
    with venue.connector() as connector:
        runtime.advance(1.0)                         # connects, logs in, compares
        orders = connector.venue("mock").orders
        ...
        venue.trade("BTC-USDT", "99.5", "1")         # a public trade; resting orders it reaches are filled

`orders`, `fills` and `totals` are the truth. Limit orders rest; one that reaches the other side of the book, and every market
order, is filled whole at once at the best price there. `lose_answer`, `lose_request`, `refuse` and `cut` spoil what comes next,
in the ways that cost money. Spot changes balances, contracts change positions. Everything happens in the runtime's thread, in
its time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from connector.assembly import Parts
from connector.client import Connector
from connector.domain.credentials import Credentials
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.contract import Environment
from connector.drivers.registry import find_driver
from connector.errors import ConnectorError, LinkError, OutcomeUnknown
from connector.settings import ConnectorSettings, VenueSettings
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLink, MemoryLinks
from connector.testing.mock_driver import MOCK
from connector.testing.mock_driver.facts import ID_IN_USE, ID_IN_USE_TEXT, NO_SUCH_ORDER, NOT_OPEN

__all__ = ["KEY", "SECRET", "MockVenue"]

KEY, SECRET = "mock-key", "mock-secret"
FINAL = frozenset({"filled", "cancelled", "rejected", "expired"})

_Row = dict[str, Any]
_Answer = tuple[int, Any]
_CALLS = {("POST", "/orders"): "place", ("POST", "/orders/test"): "test", ("DELETE", "/orders"): "cancel"}
_CALLS |= {("PUT", "/orders"): "amend"}


class MockVenue:
    """One exchange with one account.

    Args:
        runtime: everything happens in its thread and time.
        symbols: the venue's names, e.g. "BTC-USDT" on spot and "BTC-USDT-PERP" for a contract.
        price: around which every book begins, with ten units on each side.
        balances: of the account.

    Attributes:
        orders: every order by client id, as the venue's rows.
        fills: executions, oldest first, as the venue's rows.
        totals: balances with what is locked.
        positions: quantity and entry price by name, contracts only.
    """

    def __init__(
        self,
        runtime: DeterministicRuntime,
        *,
        symbols: tuple[str, ...] = ("BTC-USDT",),
        price: str = "100",
        balances: Mapping[str, str] | None = None,
    ) -> None:
        self.runtime, self.symbols = runtime, symbols
        self.orders: dict[str, _Row] = {}
        self.fills: list[_Row] = []
        self.totals = {asset: Decimal(amount) for asset, amount in (balances or {}).items()}
        self.positions: dict[str, tuple[Decimal, Decimal]] = {}
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self._on_message)
        self.links.on_connect = self.links.server.accept
        middle = Decimal(price)
        self._books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {
            name: ({middle - 1: Decimal(10)}, {middle + 1: Decimal(10)}) for name in symbols
        }
        self._last = dict.fromkeys(symbols, middle)
        self._update_id, self._number, self._version = 1_000, 100, 0
        self._trades: dict[str, list[_Row]] = {name: [] for name in symbols}
        self._topics: dict[MemoryLink, set[str]] = {}
        self._accounts: set[MemoryLink] = set()
        self._trouble: deque[Callable[[Callable[[], _Answer]], _Answer | None]] = deque()

    # ---------------------------------------------------------------- use

    def parts(self) -> Parts:
        """For `Connector(parts=…)`; `connector()` does it all."""
        return Parts(
            links=lambda settings: self.links,
            open_http=lambda memory: lambda context: MemoryHttp(self._http, self._soon),
            driver=find_driver,
            random=self.runtime.random,
        )

    def settings(self, **fields: Any) -> VenueSettings:
        """Of the account, in the practice environment; `fields` are further ones of VenueSettings."""
        known: dict[str, Any] = {"environment": Environment.TESTNET, "credentials": Credentials(KEY, secret=SECRET)}
        return VenueSettings(MOCK.name, **(known | fields))

    def connector(self, *, on_event: Callable[[Any], object] | None = None, **fields: Any) -> Connector:
        """A connector with this venue alone, on the runtime."""
        return Connector(
            ConnectorSettings((self.settings(**fields),)),
            drivers=[MOCK],
            clock=self.runtime.clock,
            parts=self.parts(),
            runtime=self.runtime,
            on_event=on_event,
        )

    # ---------------------------------------------------------------- the market

    def trade(self, name: str, price: str, quantity: str, side: str = "sell") -> None:
        """A public trade; our resting orders that it reaches are filled whole, at their own price."""
        at = Decimal(price)
        self._last[name] = at
        row = {"id": self._next(), "price": price, "quantity": quantity, "side": side, "time": self._now_ms()}
        self._trades[name].append(row)
        self._publish(f"trades.{name}", {"data": [row]})
        for order in [each for each in self.orders.values() if self._is_open(each) and each["symbol"] == name]:
            limit = order.get("price")
            if limit is None:
                continue
            reached = at <= Decimal(limit) if order["side"] == "buy" else at >= Decimal(limit)
            if reached:
                self._fill(order, Decimal(limit), maker=True)

    def level(self, name: str, side: str, price: str, quantity: str) -> None:
        """Set one level of the book; quantity "0" removes it. `side`: "bids" or "asks"."""
        levels = self._books[name][0 if side == "bids" else 1]
        levels.pop(Decimal(price), None)
        if Decimal(quantity):
            levels[Decimal(price)] = Decimal(quantity)
        self._update_id += 1
        told = {"first": self._update_id, "last": self._update_id, "bids": [], "asks": [], "time": self._now_ms()}
        self._publish(f"book.{name}", {"delta": told | {side: [[price, quantity]]}})

    # ---------------------------------------------------------------- trouble

    def lose_answer(self, count: int = 1) -> None:
        """The next commands are carried out, and their answers are lost: what an engine hears is "unknown"."""

        def lose(act: Callable[[], _Answer]) -> None:
            act()

        self._trouble.extend([lose] * count)

    def lose_request(self, count: int = 1) -> None:
        """The next commands never arrive, and nobody says so."""

        def lose(act: Callable[[], _Answer]) -> None:
            return None

        self._trouble.extend([lose] * count)

    def refuse(self, code: str = "E413", text: str = "not now", status: int = 400, count: int = 1) -> None:
        """The next commands are refused with this code."""

        def refuse(act: Callable[[], _Answer]) -> _Answer:
            return status, {"code": code, "text": text}

        self._trouble.extend([refuse] * count)

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        for link in self.links.live:
            self.links.server.cut(link)

    def end_quietly(self, client_id: str) -> None:
        """Cancel an order at the venue without telling anybody; only comparing finds out."""
        self.orders[client_id] |= {"status": "cancelled", "version": self._next_version(), "time": self._now_ms()}

    # ---------------------------------------------------------------- what is asked

    def _soon(self, call: Callable[[], None]) -> None:
        self.runtime.call_later(0.02, call)

    def _now_ms(self) -> int:
        return self.runtime.clock.time_ns() // 1_000_000

    def _http(self, request: HttpRequest) -> HttpResponse | ConnectorError | None:
        now_ns = self.runtime.clock.time_ns()
        told = self._answered(request)
        if told is None:
            return LinkError("no answer in time") if request.safe else OutcomeUnknown("no answer in time")
        status, body = told
        return HttpResponse(status, {}, json.dumps(body).encode(), now_ns, now_ns)

    def _answered(self, request: HttpRequest) -> _Answer | None:
        query = dict(parse_qsl(request.query))
        if "Mock-Key" not in request.headers:
            return self._public(request.path, query)
        signed = f"{request.headers['Mock-Time']}{request.method}{request.target}{request.body.decode()}"
        if self._signature(signed) != request.headers["Mock-Sign"]:
            return 401, {"code": "E401", "text": "the signature is wrong"}
        command = _CALLS.get((request.method, request.path))
        if command is not None:
            fields = json.loads(request.body) if request.body else query
            return self._in_trouble(lambda: self._command(command, fields))
        return self._account(request.path, query)

    def _signature(self, text: str) -> str:
        return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()

    def _in_trouble(self, act: Callable[[], _Answer]) -> _Answer | None:
        return self._trouble.popleft()(act) if self._trouble else act()

    def _public(self, path: str, query: dict[str, str]) -> _Answer:
        now_ms, name = self._now_ms(), query.get("symbol", "")
        if path == "/time":
            return 200, {"time": now_ms}
        if path == "/instruments":
            return 200, {
                "instruments": [self._listed(each) for each in self.symbols],
                "limits": [],
                "time": now_ms,
                "next": None,
            }
        names = query.get("symbols", ",".join(self.symbols)).split(",")
        if any(each not in self._books for each in ([name] if name else names)):
            return 404, {"code": "E404", "text": "no such symbol"}
        if path == "/depth":
            return 200, self._whole_book(name)
        if path == "/trades":
            first, limit = int(query.get("from", 0)), int(query["limit"])
            rows = [row for row in self._trades[name] if row["id"] >= first]
            return 200, rows[:limit] if "from" in query else rows[-limit:]
        if path == "/prices":
            return 200, [{"symbol": each, "last": str(self._last[each])} for each in names]
        return 400, {"code": "E400", "text": f"the mock venue has no data for {path}"}

    def _listed(self, name: str) -> _Row:
        filters = [{"kind": "price", "step": "0.01"}, {"kind": "quantity", "minimum": "0.001", "step": "0.001"}]
        return {"name": name, "status": "trading", "decimals": [8, 8], "types": ["limit", "market"], "filters": filters}

    def _whole_book(self, name: str) -> _Row:
        bids, asks = self._books[name]
        told = {"bids": sorted(bids.items(), reverse=True), "asks": sorted(asks.items())}
        sides = {side: [[str(price), str(size)] for price, size in rows] for side, rows in told.items()}
        return {"id": self._update_id, "time": self._now_ms(), **sides}

    # ---------------------------------------------------------------- the account

    def _account(self, path: str, query: dict[str, str]) -> _Answer:
        orders = [row for row in self.orders.values() if query.get("symbol", row["symbol"]) == row["symbol"]]
        since_ms = int(query.get("since", 0))
        if path == "/orders/one":
            for row in orders:
                if query.get("client_id") == row["client_id"] or query.get("id") == str(row["id"]):
                    return 200, {"order": row}
            return 404, {"code": NO_SUCH_ORDER, "text": "no such order"}
        if path == "/orders/open":
            return 200, {"orders": [row for row in orders if self._is_open(row)], "next": None}
        if path == "/orders":
            return 200, {"orders": [row for row in orders if row["time"] >= since_ms], "next": None}
        if path == "/fills":
            first, order = int(query.get("from", 0)), query.get("order")
            rows = [row for row in self.fills if row["symbol"] == query["symbol"] and row["id"] >= first]
            rows = [row for row in rows if row["time"] >= since_ms and order in (None, str(row["order"]))]
            return 200, {"fills": rows, "next": None}
        if path == "/balances":
            return 200, self._balances()
        if path == "/orders/count":
            return 200, {"used": []}
        if path == "/positions":
            return 200, self._held()
        if path == "/funding":
            return 200, {"payments": []}
        return 200, {}  # settings: taken as they come

    def _balances(self) -> _Row:
        locked: dict[str, Decimal] = {}
        for row in self.orders.values():
            if not self._is_open(row) or self._is_contract(row["symbol"]):
                continue
            base, quote = row["symbol"].split("-")[:2]
            left = Decimal(row["quantity"]) - Decimal(row["filled"])
            asset, amount = (quote, left * Decimal(row["price"] or 0)) if row["side"] == "buy" else (base, left)
            locked[asset] = locked.get(asset, Decimal(0)) + amount
        rows = [
            {
                "asset": asset,
                "free": str(total - locked.get(asset, Decimal(0))),
                "locked": str(locked.get(asset, Decimal(0))),
            }
            for asset, total in self.totals.items()
        ]
        return {"balances": rows, "time": self._now_ms()}

    def _held(self) -> _Row:
        rows = [
            {
                "symbol": name,
                "quantity": str(quantity),
                "entry": str(entry) if quantity else None,
                "unrealized": str((self._last[name] - entry) * quantity),
                "leverage": "1",
                "mark": str(self._last[name]),
                "margin": "cross",
                "sequence": self._version,
                "time": self._now_ms(),
            }
            for name, (quantity, entry) in self.positions.items()
        ]
        return {"positions": rows, "time": self._now_ms()}

    # ---------------------------------------------------------------- commands

    def _command(self, what: str, fields: _Row) -> _Answer:
        if what == "place":
            return self._place(fields)
        if what == "test":
            return 200, {"order": self._row(fields), "fills": []}
        order = self.orders.get(fields["client_id"])
        if order is None or not self._is_open(order):
            return 400, {"code": NOT_OPEN, "text": "the order is not open"}
        if what == "cancel":
            self._change(order, status="cancelled")
        else:
            self._change(order, **{name: fields[name] for name in ("quantity", "price") if name in fields})
        return 200, {"order": order}

    def _row(self, fields: _Row) -> _Row:
        row = {"symbol": fields["symbol"], "id": self._next(), "client_id": fields["client_id"], "side": fields["side"]}
        row |= {"type": fields["type"], "status": "waiting" if "stop_price" in fields else "new"}
        row |= {"quantity": fields["quantity"], "filled": "0", "quote_filled": "0", "price": fields.get("price")}
        row |= {"stop_price": fields.get("stop_price"), "time_in_force": fields.get("time_in_force", "gtc")}
        return row | {
            "reduce_only": fields.get("reduce_only", False),
            "version": self._next_version(),
            "time": self._now_ms(),
        }

    def _place(self, fields: _Row) -> _Answer:
        if fields["client_id"] in self.orders:
            return 400, {"code": ID_IN_USE, "text": ID_IN_USE_TEXT}
        if fields["symbol"] not in self._books:
            return 404, {"code": "E404", "text": "no such symbol"}
        order = self._row(fields)
        self.orders[order["client_id"]] = order
        self._tell(order)
        first = len(self.fills)
        opposite = self._books[order["symbol"]][1 if order["side"] == "buy" else 0]
        best = (min if order["side"] == "buy" else max)(opposite, default=None)
        if order["status"] == "new" and best is not None and self._meets(order, best):
            self._fill(order, best, maker=False)
        elif order["time_in_force"] != "gtc" or order["type"] == "market":
            self._change(order, status="expired")
        return 200, {"order": order, "fills": self.fills[first:]}

    def _meets(self, order: _Row, best: Decimal) -> bool:
        if order["price"] is None:
            return True
        limit = Decimal(order["price"])
        return limit >= best if order["side"] == "buy" else limit <= best

    def _fill(self, order: _Row, price: Decimal, *, maker: bool) -> None:
        quantity = Decimal(order["quantity"]) - Decimal(order["filled"])
        base, quote = order["symbol"].split("-")[:2]
        sign = 1 if order["side"] == "buy" else -1
        if self._is_contract(order["symbol"]):
            self._move_position(order["symbol"], sign * quantity, price, quote)
        else:
            for asset, change in ((base, sign * quantity), (quote, -sign * quantity * price)):
                self.totals[asset] = self.totals.get(asset, Decimal(0)) + change
        fill = {"symbol": order["symbol"], "id": self._next(), "order": order["id"], "client_id": order["client_id"]}
        fill |= {"side": order["side"], "price": str(price), "quantity": str(quantity), "fee": "0", "fee_asset": quote}
        fill |= {"maker": maker, "time": self._now_ms()}
        self.fills.append(fill)
        self._change(order, fill, status="filled", filled=order["quantity"], quote_filled=str(quantity * price))
        if self._is_contract(order["symbol"]):
            self._event("positions", self._held())

    def _move_position(self, name: str, change: Decimal, price: Decimal, asset: str) -> None:
        """Average what is added; realize what is closed."""
        held, entry = self.positions.get(name, (Decimal(0), Decimal(0)))
        after = held + change
        if held and (held > 0) != (change > 0):
            closed = min(abs(held), abs(change)) * (1 if held > 0 else -1)
            self.totals[asset] = self.totals.get(asset, Decimal(0)) + closed * (price - entry)
            entry = entry if after and (after > 0) == (held > 0) else price
        else:
            entry = (entry * abs(held) + price * abs(change)) / abs(after)
        self.positions[name] = (after, entry)

    def _change(self, order: _Row, fill: _Row | None = None, **fields: Any) -> None:
        order |= fields | {"version": self._next_version(), "time": self._now_ms()}
        self._tell(order, fill)

    def _tell(self, order: _Row, fill: _Row | None = None) -> None:
        self._event("order", order | ({} if fill is None else {"fill": fill}))
        self._event("balances", self._balances())

    def _is_open(self, order: _Row) -> bool:
        return order["status"] not in FINAL

    def _is_contract(self, name: str) -> bool:
        return name.count("-") > 1

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    # ---------------------------------------------------------------- connections

    def _send(self, link: MemoryLink, said: object) -> None:
        if link in self.links.live:
            self.links.server.send(json.dumps(said, separators=(",", ":")).encode(), link=link)

    def _publish(self, topic: str, said: _Row) -> None:
        for link in self.links.live:
            if topic in self._topics.get(link, ()):
                self._send(link, {"topic": topic, **said})

    def _event(self, kind: str, data: object) -> None:
        for link in self.links.live:
            if link in self._accounts:
                self._send(link, {"event": kind, "data": data})

    def _on_message(self, link: MemoryLink, text: bytes) -> None:
        said = json.loads(text)
        what = said["do"]
        if link.settings.url.endswith("/market"):
            self._on_market(link, what, said)
        elif what == "login":
            good = said["sign"] == self._signature(f"{said['time']}login")
            refused = {"code": "E401", "text": "the signature is wrong"}
            if good:
                self._accounts.add(link)
            self._send(link, {"id": said["id"], "status": 200 if good else 401, "body": {} if good else refused})
        elif what == "ping":
            self._send(link, {"id": said["id"], "status": 200, "body": {}})
        else:
            told = self._in_trouble(lambda: self._command(what, said["with"]))
            if told is not None:
                self._send(link, {"id": said["id"], "status": told[0], "body": told[1]})

    def _on_market(self, link: MemoryLink, what: str, said: _Row) -> None:
        if what == "ping":
            self._send(link, {"pong": True})
            return
        topics = self._topics.setdefault(link, set())
        (topics.update if what == "subscribe" else topics.difference_update)(said["topics"])
        self._send(link, {"done": said["id"]})
        for topic in said["topics"] if what == "subscribe" else ():
            kind, _, name = topic.partition(".")
            if kind == "book" and name in self._books:
                self._send(link, {"topic": topic, "snapshot": self._whole_book(name)})

    def __repr__(self) -> str:
        return f"<MockVenue {', '.join(self.symbols)} {len(self.orders)} orders {len(self.fills)} fills>"
