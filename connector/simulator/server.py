"""Run a simulated exchange: one thread, one event loop, real sockets on loopback.

`Simulator` is the handle tests and programs hold; its methods may be called from any thread and act on the loop thread
between two steps. HTTP and WebSocket share one port. Below HTTP sits `wire`, where bytes can be bent; beside it `exchange`,
which decides what is true and what is answered. Only this module opens sockets, and only its thread touches the exchange.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec
from aiohttp import WSMsgType, web

from connector.simulator.accounts import AccountOrder, decimal_e8
from connector.simulator.desk import Refused
from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.faults import Faults
from connector.simulator.hub import Connection
from connector.simulator.instruments import e8
from connector.simulator.ledger import (
    BalanceRecord,
    EventRecord,
    FillRecord,
    IncomeRecord,
    Ledger,
    OrderRecord,
    PositionRecord,
)
from connector.simulator.margin import Holding
from connector.simulator.market import Market
from connector.simulator.reception import Served, admit, care, care_every_s, hear, leave, serve, welcome
from connector.simulator.settings import AccountSettings, SimulatorSettings
from connector.simulator.wire import Front, Wire

__all__ = ["AccountHandle", "Accounts", "Simulator", "SimulatorError"]

T = TypeVar("T")

_WINDOWS = hasattr(socket, "SO_EXCLUSIVEADDRUSE")
TICK_S = 0.005
CALL_DEADLINE_S = 30.0


class SimulatorError(RuntimeError):
    """The simulator cannot do what was asked: not started, already stopped, or its loop does not answer."""


class AccountHandle:
    """One account of a running simulator, from any thread: the truth about it, and what may happen to it from outside."""

    def __init__(self, simulator: Simulator, name: str) -> None:
        self._simulator, self.name = simulator, name

    @property
    def key(self) -> str:
        """The API key the account was opened with."""
        keys = self._simulator.exchange.desk.keys
        return self._simulator.on_loop(lambda: next(k for k, entry in keys.items() if entry.account == self.name))

    def orders(self) -> list[OrderRecord]:
        """See `Ledger.orders`."""
        return self._simulator.ledger.orders(self.name)

    def order(self, client_id: str) -> OrderRecord:
        """See `Ledger.order`."""
        return self._simulator.ledger.order(self.name, client_id)

    def fills(self) -> list[FillRecord]:
        """See `Ledger.fills`."""
        return self._simulator.ledger.fills(self.name)

    def balances(self) -> dict[str, BalanceRecord]:
        """See `Ledger.balances`."""
        return self._simulator.ledger.balances(self.name)

    def positions(self, *, flat: bool = False) -> list[PositionRecord]:
        """See `Ledger.positions`."""
        return self._simulator.ledger.positions(self.name, flat=flat)

    def incomes(self, kind: str = "") -> list[IncomeRecord]:
        """See `Ledger.incomes`."""
        return self._simulator.ledger.incomes(self.name, kind)

    def events(self) -> list[EventRecord]:
        """See `Ledger.events`."""
        return self._simulator.ledger.events(self.name)

    def fill(self, client_id: str, quantity: Decimal | str | None = None) -> Decimal:
        """See `Simulator.fill`."""
        return self._simulator.fill(self.name, client_id, quantity)

    def deposit(self, asset: str, amount: Decimal | str | int) -> None:
        """See `Simulator.deposit`."""
        self._simulator.deposit(self.name, asset, amount)

    def __repr__(self) -> str:
        return f"<AccountHandle {self.name} of {self._simulator!r}>"


class Accounts:
    """The accounts of a simulator by name or key."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def __getitem__(self, who: str) -> AccountHandle:
        simulator = self._simulator
        return AccountHandle(simulator, simulator.on_loop(lambda: simulator.exchange.account(who).name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._simulator.on_loop(lambda: list(self._simulator.exchange.desk.accounts)))


class Simulator:
    """A simulated exchange on loopback. Use it as a context manager, or `start` and `stop` it."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.exchange = Exchange(self.settings)
        self.front = Front(self.exchange.rng)
        self.faults = Faults(self)
        self.ledger = Ledger(
            self.on_loop,
            self.exchange.records,
            self.exchange.source,
            self.exchange.account,
            self.exchange.desk.clearing,
        )
        self.accounts = Accounts(self)
        self.port = self.settings.port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._ended = False
        self._stop: asyncio.Event | None = None
        self._paused = False
        self._finished = threading.Event()
        self._sock: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._listen_again: asyncio.TimerHandle | None = None
        self._factory: Callable[[], Wire] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: dict[Connection, web.WebSocketResponse] = {}

    # life

    def start(self) -> Self:
        """Listen and let the flow run. Returns when clients can connect.

        Raises:
            SimulatorError: started before.
            OSError: the address cannot be listened on.
        """
        if self._thread is not None:
            raise SimulatorError("this simulator was started before; make a new one")
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._thread.start()
        self._started.wait(CALL_DEADLINE_S)
        if self._failure is not None:
            self._thread.join(CALL_DEADLINE_S)
            raise self._failure
        return self

    def stop(self) -> None:
        """Close everything; returns when the thread is gone. The ledger stays readable. May be called twice."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is None or loop is None or stop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join(CALL_DEADLINE_S)
        if thread.is_alive():
            raise SimulatorError(f"the simulator's thread did not end within {CALL_DEADLINE_S:.0f} s")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def rest_url(self) -> str:
        """Where HTTP is answered, without a path."""
        return f"{'https' if self.settings.tls else 'http'}://{self._host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where WebSocket connections are taken, without a path."""
        return f"{'wss' if self.settings.tls else 'ws'}://{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host

    # flow

    def pause(self) -> None:
        """Stop the flow; connections, pings and requests go on."""
        self.on_loop(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Let the flow run again; starts a replay that waits for it."""

        def act() -> None:
            self._paused = False
            self.exchange.source.resume()

        self.on_loop(act)

    def step(self, count: int = 1) -> int:
        """Do the next `count` events now, with everything they cause on timed streams, and write it out.

        Returns:
            How many events there were; fewer only when every symbol is halted or a replay has ended.
        """

        def act() -> int:
            done = self.exchange.source.step(count)
            self.exchange.source.tick(self.exchange.clock.now_us(), True)
            self.exchange.hub.flush()
            return done

        return self.on_loop(act)

    def now_ns(self) -> int:
        """The exchange's time, in UTC nanoseconds: what its answers and events are stamped with."""
        return self.exchange.clock.now_ns()

    # accounts

    def add_account(self, entry: AccountSettings | None = None, **fields: Any) -> AccountHandle:
        """Open an account: `add_account(settings)` or `add_account(name=..., key=..., secret=..., balances=..., ...)`.

        Raises:
            ValueError: its name or key is taken, or a value makes no sense.
        """
        if entry is not None and fields:
            raise TypeError("give an AccountSettings or its fields as keywords, not both")
        chosen = entry or AccountSettings(**fields)
        self.on_loop(lambda: self.exchange.add_account(chosen))
        return self.accounts[chosen.name]

    def fill(self, who: str, client_id: str, quantity: Decimal | str | None = None) -> Decimal:
        """Let somebody trade with a resting order of an account now, out of turn: with that quantity, or all that is left.

        Returns:
            How much traded; 0 when the order does not rest on the book.

        Raises:
            LookupError: there is no such account or order.
        """

        def act() -> Decimal:
            order = self._order(who, client_id)
            step = order.market.listing.step_e8
            lots = None if quantity is None else e8(quantity) // step
            return decimal_e8(self.exchange.desk.fill(order, lots) * step)

        return self.on_loop(act)

    def expire(self, who: str, client_id: str) -> None:
        """End an open order as the exchange may on its own account.

        Raises:
            LookupError: there is no such open order.
        """

        def act() -> None:
            order = self._order(who, client_id)
            if not order.open:
                raise LookupError(f"order {client_id!r} of {who} is {order.status_text} already")
            self.exchange.desk.expire(order, "EXCHANGE_CANCELED")

        self.on_loop(act)

    def _order(self, who: str, client_id: str) -> AccountOrder:
        account = self.exchange.account(who)
        for symbol in self.exchange.markets:
            order = account.find(symbol, None, client_id)
            if order is not None:
                return order
        raise LookupError(f"account {who} has no order {client_id!r}")

    def deposit(self, who: str, asset: str, amount: Decimal | str | int) -> None:
        """Let money come to an account from outside, or go when negative.

        Raises:
            LookupError: there is no such account.
            ValueError: less is free than is to go.
        """

        def act() -> None:
            try:
                self.exchange.desk.deposit(self.exchange.account(who), asset, e8(amount))
            except Refused as refused:
                raise ValueError(f"account {who} has less than {amount} {asset} free") from refused

        self.on_loop(act)

    # contracts

    def fund(self, symbol: str, rate: Decimal | str | None = None) -> None:
        """Let everybody with a position in a contract pay or get funding now, at the current rate or at this one.

        Raises:
            LookupError: no such contract is listed.
        """

        def act() -> None:
            market = self._contract(symbol)
            if rate is not None:
                market.marks.rate_e8 = e8(rate)
            self.exchange.desk.fund(market)

        self.on_loop(act)

    def set_funding_rate(self, symbol: str, rate: Decimal | str) -> None:
        """What the next funding of a contract takes from longs and gives to shorts.

        Raises:
            LookupError: no such contract is listed.
        """
        self.on_loop(lambda: setattr(self._contract(symbol).marks, "rate_e8", e8(rate)))

    def hold_mark(self, symbol: str, price: Decimal | str | None) -> None:
        """Hold a contract's mark price there; None lets it follow the market again. What it triggers or liquidates has happened
        when this returns.

        Raises:
            LookupError: no such contract is listed.
        """
        price_e8 = None if price is None else e8(price)
        self.on_loop(lambda: self.exchange.desk.hold_mark(self._contract(symbol), price_e8))

    def liquidate(self, who: str, symbol: str | None = None, side: str = "net") -> None:
        """Close a position of an account by force, as if its margin were used up; without a symbol all it has.

        Raises:
            LookupError: there is no such account, contract or position.
        """

        def act() -> None:
            desk = self.exchange.desk
            every = symbol is None
            chosen = desk.clearing.holdings(self.exchange.account(who)) if every else [self._held(who, symbol, side)]
            for held in chosen:
                desk.liquidate(held)

        self.on_loop(act)

    def adl(self, who: str, symbol: str, quantity: Decimal | str | None = None, side: str = "net") -> None:
        """Take that much of a position (or all) away at the mark price, as auto-deleveraging does.

        Raises:
            LookupError: there is no such account, contract or position.
        """

        def act() -> None:
            held = self._held(who, symbol, side)
            lots = None if quantity is None else e8(quantity) // held.market.listing.step_e8
            self.exchange.desk.adl(held, lots)

        self.on_loop(act)

    def deliver(self, symbol: str) -> None:
        """Let a contract expire now: positions are settled at the index price.

        Raises:
            LookupError: no such contract is listed.
        """
        self.on_loop(lambda: self.exchange.desk.deliver(self._contract(symbol)))

    def imbalance(self, asset: str) -> Decimal:
        """What trading in contracts has made from nothing, or lost, in an asset, over all accounts and the house. Always 0."""
        desk = self.exchange.desk
        return self.on_loop(lambda: Decimal(desk.clearing.imbalance(asset, desk.accounts.values())).scaleb(-16))

    def _contract(self, symbol: str | None) -> Market:
        market = self.exchange.markets.get(symbol or "")
        if market is None or not market.listing.is_contract:
            listed = ", ".join(market.symbol for market in self.exchange.desk.contracts)
            raise LookupError(f"no contract {symbol!r} is listed here; listed are {listed or 'none'}")
        return market

    def _held(self, who: str, symbol: str | None, side: str) -> Holding:
        found = self.exchange.account(who).holdings.get((self._contract(symbol).symbol, side))  # type: ignore[arg-type]
        if found is None or not found.lots:
            raise LookupError(f"account {who} has no {side} position in {symbol}")
        return found

    def wait_finished(self, timeout_s: float) -> bool:
        """Wait until a replay has sent its last frame; False when it has not by then. A live flow never ends."""
        return self._finished.wait(timeout_s)

    def on_loop(self, action: Callable[[], T]) -> T:
        """Run something on the simulator's thread and wait for its result.

        Raises:
            SimulatorError: the loop did not answer in time.
        """
        loop = self._loop
        if self._failure is not None:
            raise SimulatorError(f"the simulator ended by an error of its own: {self._failure!r}") from self._failure
        if loop is None or self._ended or threading.current_thread() is self._thread:
            return action()
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                answer.set_result(action())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                answer.set_exception(error)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:  # closed between the check and the call; the thread touches nothing any more
            return action()
        try:
            return answer.result(CALL_DEADLINE_S)
        except TimeoutError as late:
            if answer.done():
                raise
            raise SimulatorError(f"the simulator's loop did not answer within {CALL_DEADLINE_S:.0f} s") from late

    def __repr__(self) -> str:
        state = "new" if self._thread is None else "stopped" if self._ended else "paused" if self._paused else "running"
        hub = self.exchange.hub
        return (
            f"<Simulator {self.settings.dialect} {self._host}:{self.port} {state} {self.exchange.source.status()} "
            f"connections={len(hub.connections)} requests={self.exchange.records.request_count} "
            f"violations={self.exchange.records.violation_count}>"
        )

    # the loop thread

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - kept for whoever holds the simulator
            self._failure = error
        finally:
            self._ended = True
            self._started.set()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        exchange = self.exchange
        exchange.loop_s, exchange.later, exchange.close = loop.time, loop.call_later, self._close
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        self._factory = self.front.accept(runner.server)
        try:
            exchange.source.wake(exchange.clock.now_us())
            await self._serve(self._bind())
            flow = loop.create_task(self._flow())
            care = loop.create_task(self._care())
            stop = loop.create_task(self._stop.wait())
            self._started.set()
            tasks: set[asyncio.Task[Any]] = {flow, care, stop}
            done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        finally:
            self._shut()
            await runner.cleanup()

    def _bind(self) -> socket.socket:
        """A listening socket; from here on clients can connect, even if nobody has accepted them yet."""
        sock = self._new_socket()
        try:
            sock.bind((self.settings.host, self.port))
            sock.listen(1024)
        except BaseException:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        self._sock = sock
        return sock

    def _new_socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET)
        if not _WINDOWS:  # there, reuse means theft
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock

    async def _serve(self, sock: socket.socket) -> None:
        context = None
        if self.settings.tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.settings.tls)
        assert self._factory is not None
        if self._sock is not sock:  # refused again before it came to this
            return
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(self._factory, sock=sock, backlog=1024, ssl=context)
        if self._sock is sock:
            self._listener = listener
        else:
            listener.close()

    def refuse_connections(self, for_s: float | None) -> None:
        """Stop listening; loop thread only. The port stays reserved where the system lets us."""
        if self._sock is not None:
            if self._listener is not None:
                self._listener.close()
            self._sock.close()
            self._sock = self._listener = None
            holder = self._new_socket()
            try:
                if not _WINDOWS:
                    holder.bind((self.settings.host, self.port))
                self._placeholder = holder
            except OSError:
                holder.close()  # then the port is merely free; nobody listens either way
        self._forget_timer()
        if for_s is not None:
            self._listen_again = asyncio.get_running_loop().call_later(for_s, self.accept_connections)

    def accept_connections(self) -> None:
        """Listen again; loop thread only."""
        self._forget_timer()
        if self._sock is None:
            if self._placeholder is not None:
                self._placeholder.close()
                self._placeholder = None
            self._spawn(self._serve(self._bind()))

    def _forget_timer(self) -> None:
        if self._listen_again is not None:
            self._listen_again.cancel()
            self._listen_again = None

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._stop is not None:
            self._failure = error
            self._stop.set()

    def _shut(self) -> None:
        self._forget_timer()
        if self._placeholder is not None:
            self._placeholder.close()
        if self._listener is not None:
            self._listener.close()
        if self._sock is not None:
            self._sock.close()
        for task in self._tasks:
            task.cancel()
        for wire in self.front.select("all"):
            wire.reset()

    async def _flow(self) -> None:
        loop, source, hub, clock = (
            asyncio.get_running_loop(),
            self.exchange.source,
            self.exchange.hub,
            self.exchange.clock,
        )
        last = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            if not self._paused:
                source.advance((now - last) * clock.factor)
                if source.finished():
                    self._finished.set()
            last = now
            source.tick(clock.now_us())
            hub.flush()

    async def _care(self) -> None:
        pause = care_every_s(self.exchange)
        while True:
            await asyncio.sleep(pause)
            care(self.exchange)

    def _close(self, connection: Connection, code: int, reason: str) -> None:
        if not connection.closing:
            connection.flush()
            connection.closing = True
            self._spawn(self._close_soon(connection, code, reason))

    async def _close_soon(self, connection: Connection, code: int, reason: str) -> None:
        ws, wire = self._sockets.get(connection), connection.wire
        if ws is None:
            return  # it left meanwhile
        await ws.close(code=code, message=reason.encode()[:120])
        assert isinstance(wire, Wire)
        wire.close()

    # requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path.startswith("/simulator/"):
            return await self._control(request, path.removeprefix("/simulator/"))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return await self._rest(request, path)

    async def _rest(self, request: web.Request, path: str) -> web.Response:
        try:
            sent = await request.read() if request.can_read_body else b""
        except (
            ConnectionError,
            web.RequestPayloadError,
        ):  # the client is gone: nothing was asked, nobody hears an answer
            return web.Response(status=400)
        steps = serve(
            self.exchange,
            Request(
                method=request.method,
                path=path,
                query=request.rel_url.raw_query_string,
                headers={name.lower(): value for name, value in request.headers.items()},
                address=request.remote or "",
                body=sent.decode(errors="replace"),
            ),
        )
        while True:
            try:
                wait_s = next(steps)
            except StopIteration as over:
                served: Served = over.value
                break
            await asyncio.sleep(wait_s)
        if served.lost:
            return await self._vanish(request, silent=served.silent)
        if served.cut_at is not None:
            _wire(request).reset_after(served.cut_at)
        return web.Response(
            status=served.status, body=served.body, headers=served.headers, content_type=served.content_type
        )

    async def _vanish(self, request: web.Request, *, silent: bool) -> web.Response:
        """Give no answer: reset the connection, or say nothing until the client leaves."""
        if not silent:
            _wire(request).reset()
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return web.Response(status=500)

    # connections

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        exchange, path = self.exchange, request.rel_url.raw_path
        wire, address = _wire(request), request.remote or ""
        refusal = admit(exchange, path, address)
        if refusal is not None:
            if refusal.status:
                return web.Response(
                    status=refusal.status, body=refusal.body, headers=refusal.headers, content_type=refusal.content_type
                )
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return web.Response(status=500)
        ws = web.WebSocketResponse(autoping=False, timeout=1.0, max_msg_size=4 * 1024 * 1024, compress=False)
        try:
            await ws.prepare(request)
        except ConnectionError:  # it went away while it was being let in
            return ws
        wire.upgraded = True
        connection = welcome(exchange, wire, address, path, request.rel_url.raw_query_string)
        self._sockets[connection] = ws
        try:
            await self._listen_to(connection, ws)
        finally:
            leave(exchange, connection, ws.close_code or 1006)
            del self._sockets[connection]
        return ws

    async def _listen_to(self, connection: Connection, ws: web.WebSocketResponse) -> None:
        kinds: dict[WSMsgType, Literal["text", "ping", "pong"]] = {
            WSMsgType.TEXT: "text",
            WSMsgType.BINARY: "text",
            WSMsgType.PING: "ping",
            WSMsgType.PONG: "pong",
        }
        while True:
            message = await ws.receive()
            kind = kinds.get(message.type)
            if kind is None:
                return
            data = message.data
            hear(self.exchange, connection, kind, data.encode() if isinstance(data, str) else bytes(data))

    # control from outside

    async def _control(self, request: web.Request, path: str) -> web.Response:
        asked = dict(request.query)
        try:
            if request.method == "POST":
                body = await request.text()
                arguments = json.loads(body) if body else {}
                if not isinstance(arguments, dict):
                    raise ValueError("the body must be a JSON object of arguments")
                result = self._command(path, arguments)
            else:
                result = self._question(path, asked)
        except (LookupError, TypeError, ValueError) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    def _command(self, path: str, arguments: dict[str, Any]) -> Any:
        if path.startswith("faults/"):
            name = path.removeprefix("faults/")
            fault = getattr(self.faults, name, None)
            if name.startswith("_") or not callable(fault):
                raise LookupError(f"there is no fault {name!r}")
            return {"result": fault(**arguments)}
        commands: dict[str, Callable[..., Any]] = {
            "pause": self.pause,
            "resume": self.resume,
            "step": self.step,
            "accounts": lambda **fields: self.add_account(**fields).name,
            "fill": self.fill,
            "expire": self.expire,
            "deposit": self.deposit,
            "fund": self.fund,
            "set_funding_rate": self.set_funding_rate,
            "hold_mark": self.hold_mark,
            "liquidate": self.liquidate,
            "adl": self.adl,
            "deliver": self.deliver,
        }
        if path not in commands:
            raise LookupError(f"POST takes faults/<name>, {', '.join(commands)}, not {path!r}")
        return {"result": commands[path](**arguments)}

    def _question(self, path: str, asked: dict[str, str]) -> Any:
        ledger = self.ledger
        if path == "status":
            return {"status": repr(self), "finished": self._finished.is_set()}
        if path == "ledger":
            return ledger.summary() | {"faults": self.faults.injected}
        if path == "ledger/book":
            update_id = int(asked["update_id"]) if "update_id" in asked else ledger.update_id(asked["symbol"])
            bids, asks = ledger.book(asked["symbol"], update_id)
            return {
                "update_id": update_id,
                "digest": ledger.digest(asked["symbol"], update_id),
                "bids": bids,
                "asks": asks,
            }
        if path == "ledger/trades":
            return list(ledger.trades(asked["symbol"]).values())
        if path == "ledger/stream":
            record = ledger.stream(asked["name"])
            return {
                "published": record.published,
                "withheld": record.withheld,
                "extra": record.extra,
                "ids": list(record.ids),
            }
        simple: dict[str, Callable[[], Any]] = {
            "ledger/requests": ledger.requests,
            "ledger/connections": ledger.connections,
            "ledger/violations": ledger.violations,
            "ledger/subscriptions": ledger.subscriptions,
            "ledger/orders": lambda: ledger.orders(asked["account"]),
            "ledger/fills": lambda: ledger.fills(asked["account"]),
            "ledger/balances": lambda: ledger.balances(asked["account"]),
            "ledger/positions": lambda: ledger.positions(asked["account"]),
            "ledger/incomes": lambda: ledger.incomes(asked["account"]),
        }
        if path not in simple:
            raise LookupError(
                f"GET takes status, ledger, ledger/book, trades, stream and {', '.join(simple)}, not {path!r}"
            )
        return simple[path]()


def _wire(request: web.Request) -> Wire:
    assert request.transport is not None
    wire = request.transport.get_extra_info("wire")
    assert isinstance(wire, Wire)
    return wire
