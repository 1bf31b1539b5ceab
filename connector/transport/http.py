"""HTTP over requests, writes over a line of their own: every call bounded in time and size, writes sent exactly once, no secret
in any error.

Whatever the far side does, `HttpClient.send` ends by its deadline, on the thread that called it: the name lookup, the
connection, TLS, every single read and the pauses between retries count. It decides three things about a failure and
nothing about an answer: did the request leave (`NotConnected` says no), may a write have happened (`OutcomeUnknown`), may
the same read be tried again (`LinkError`). What a status or a body means is the driver's business, also for 4xx and 5xx.

Each calling thread has a session, and so a connection, of its own for what is safe. What is not (orders, cancels, settings)
goes over `http_writes`, through the same dialer, proxy and TLS: kept connections that all threads share, the one used last first.
`close` ends them all, waking calls in flight. Nothing is read from the environment: no proxy, no netrc, no CA bundle. Cookies
are not kept and redirects not followed.
"""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import random
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import requests.adapters
import tenacity
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict

from connector.clock import Clock, SystemClock
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, LinkError, NotConnected, OutcomeUnknown, SettingsError, WireFormatError
from connector.transport.contract import TlsSettings
from connector.transport.dial import Dialer, in_words, make_tls_context, split_proxy
from connector.transport.http_writes import NotHttp, TooLong, WriteLine, request_bytes
from connector.transport.waiting import Waiter

__all__ = ["HttpClient", "HttpCounters", "HttpTimeouts", "Middleware", "RetryPolicy", "SendNext"]

SendNext = Callable[[HttpRequest], HttpResponse]
Middleware = Callable[[HttpRequest, SendNext], HttpResponse]
"""Called around every attempt, outermost first, on the calling thread: may change the request, sees every answer and error."""

_CHUNK_BYTES = 64 * 1024
_HEADERS = {"User-Agent": "venue-connector", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_WRITE_HEADERS = {"User-Agent": "venue-connector", "Accept": "*/*", "Accept-Encoding": "identity"}
LINE_IDLE_S = 60.0
_NEAR_S = 0.005  # a bound set this near to the right one serves
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """Seconds one call may take. `total_s` is for callers that give no deadline.

    Attributes:
        connect_s: name lookup (every address), TCP, TLS and proxy together.
        read_s: between two pieces of the answer.
        total_s: from the call to the last byte, retries included.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 15.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a safe request is tried, and how long we pause: full jitter over min(cap_s, base_s * 2^n)."""

    attempts: int = 3
    base_s: float = 0.25
    cap_s: float = 2.0


@dataclass(slots=True)
class HttpCounters:
    """What happened so far; only ever rises.

    Attributes:
        calls: of `send`. attempts: requests handed to a connection, retries included. answers: whole answers.
        not_sent, unknown, broken: attempts that ended in NotConnected, OutcomeUnknown and LinkError.
        connections: opened.
    """

    calls: int = 0
    attempts: int = 0
    answers: int = 0
    not_sent: int = 0
    unknown: int = 0
    broken: int = 0
    connections: int = 0


class HttpClient:
    """Sends requests to one host. All methods may be called from any thread.

    Args:
        base_url: "https://api.example.com"; a path in front of every request's path is allowed.
        timeouts: see `HttpTimeouts`.
        proxy: "http://user:pass@host:port", "socks5://…" or "socks5h://…"; the connection is tunnelled, for http:// too.
        tls: how the server is verified.
        clock: measures deadlines and stamps answers.
        name: label in errors and `repr`, e.g. "binance/rest".
        middleware: outermost first, around every attempt.
        retries: for requests marked `safe`, after failures of the connection and 5xx answers. Others are sent once.
        max_response_bytes: of the body, decompressed.
        pause: waits between retries; None waits on an event that `close` sets.
        jitter: gives a float in [0, 1) for the length of a pause.
        dialer: opens the connections; share it with links to share lookups.

    Raises:
        SettingsError: the URL, the proxy or the CA file cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: HttpTimeouts = HttpTimeouts(),
        proxy: str | None = None,
        tls: TlsSettings = TlsSettings(),  # noqa: B008  frozen
        clock: Clock | None = None,
        name: str = "http",
        middleware: Iterable[Middleware] = (),
        retries: RetryPolicy = RetryPolicy(),
        max_response_bytes: int = 64 * 1024 * 1024,
        pause: Callable[[float], object] | None = None,
        jitter: Callable[[], float] | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username is not None:
            raise SettingsError(
                f"{name}: cannot use the base URL: expected https://host[:port][/path] and nothing more"
            )
        if proxy is not None:
            split_proxy(proxy)
        self.clock = clock or SystemClock()
        self._base, self._prefix = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._host_header = shown if self._port == _PORTS[parts.scheme] else f"{shown}:{self._port}"
        self._timeouts, self._proxy, self._tls, self._retries = timeouts, proxy, tls, retries
        self._limit = max_response_bytes
        self.name = name
        self._dialer = dialer or Dialer(self.clock)
        self._context = make_tls_context(tls) if parts.scheme == "https" else None
        if self._context is not None:
            self._context.sslsocket_class = _BoundedTlsSocket
            self._context.set_alpn_protocols(["http/1.1"])
        self._closed = threading.Event()
        self._pause: Callable[[float], object] = pause or self._closed.wait
        self._jitter = jitter or random.Random().random
        self._lock = threading.Lock()  # protects the two below; nothing waits inside
        self._workers: dict[threading.Thread, _Worker] = {}
        self._counters = HttpCounters()
        self._lines: list[
            WriteLine
        ] = []  # nobody uses them now; the one used last at the end. Each step on it is atomic
        self._mine = threading.local()
        self._send_once: SendNext = self._attempt
        for layer in reversed(tuple(middleware)):
            self._send_once = _around(layer, self._send_once)

    # ---------------------------------------------------------------- for callers

    def send(self, request: HttpRequest, deadline_s: float | None = None) -> HttpResponse:
        """Send one request and wait for the whole answer, whatever its status.

        Args:
            request: sent byte for byte as it is. Only `safe` ones are ever sent twice.
            deadline_s: on the clock's monotonic seconds (not a duration); None allows `timeouts.total_s` from now.

        Raises:
            NotConnected: no byte of the request left.
            OutcomeUnknown: the request is not safe, bytes of it left, and no whole answer came.
            LinkError: the request is safe and no whole answer came, retries included.
            WireFormatError: the request is safe and the answer is longer than allowed.
        """
        try:
            worker = self._worker()
        except OSError as problem:  # no descriptor for what the calling thread waits with
            self._count("not_sent")
            raise NotConnected(
                f"{self.name}: {request.method} {request.path} was not sent: {in_words(problem)}"
            ) from None
        worker.deadline_s = deadline_s if deadline_s is not None else self.clock.monotonic_s() + self._timeouts.total_s
        self._count("calls")
        if not request.safe:
            return self._send_once(request)
        policy = self._retries
        return tenacity.Retrying(
            stop=lambda state: (
                state.attempt_number >= policy.attempts
                or self._closed.is_set()
                or self.clock.monotonic_s() + state.upcoming_sleep >= worker.deadline_s
            ),
            wait=lambda state: self._jitter() * min(policy.cap_s, policy.base_s * 2 ** (state.attempt_number - 1)),
            retry=tenacity.retry_if_exception_type((LinkError, NotConnected))
            | tenacity.retry_if_result(lambda response: response.status >= 500),
            sleep=lambda seconds: (self._pause(seconds), None)[1],
            retry_error_callback=lambda state: cast(tenacity.Future, state.outcome).result(),
        )(self._send_once, request)

    @property
    def counters(self) -> HttpCounters:
        """A copy of what was counted so far."""
        with self._lock:
            counted = self._counters
            return HttpCounters(*(getattr(counted, name) for name in HttpCounters.__slots__))

    def leave(self) -> None:
        """The calling thread sends nothing more for now: close what is its own."""
        with self._lock:
            worker = self._workers.pop(threading.current_thread(), None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """End every session. Calls in flight end at once, with the error that is true for them. Idempotent."""
        self._closed.set()
        with self._lock:
            workers = list(self._workers.items())
            self._workers.clear()
        for thread, worker in workers:
            worker.cut()
            if thread is threading.current_thread() or not thread.is_alive() or not worker.busy:
                worker.close()  # a busy one closes its session itself, when its call ends
        self._close_lines()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        counted, state = self.counters, "closed" if self._closed.is_set() else f"sessions={len(self._workers)}"
        return (
            f"<HttpClient {self.name} {self._base} {state} calls={counted.calls} answers={counted.answers} "
            f"not_sent={counted.not_sent} unknown={counted.unknown} broken={counted.broken}>"
        )

    # ---------------------------------------------------------------- one attempt

    def _attempt(self, request: HttpRequest) -> HttpResponse:
        worker = self._worker()
        outcome = self._try(worker, request)
        if isinstance(outcome, HttpResponse):
            self._count("answers")
            return outcome
        kind = {NotConnected: "not_sent", OutcomeUnknown: "unknown"}.get(type(outcome), "broken")
        self._count(kind)
        raise outcome  # made out here, so that no library's error (they hold the signed URL) hangs on to it as context

    def _try(self, worker: _Worker, request: HttpRequest) -> HttpResponse | ConnectorError:
        what = f"{self.name}: {request.method} {request.path}"
        if self._closed.is_set():
            worker.close()  # `close` did not know it yet when it was made meanwhile
            return NotConnected(f"{what} was not sent: the client is closed")
        if self.clock.monotonic_s() >= worker.deadline_s:
            return NotConnected(f"{what} was not sent: its deadline had passed")
        self._count("attempts")
        worker.begin(self._prefix + request.target)
        try:
            return self._exchange(worker, request)
        except TooLong:
            problem = f"the answer is longer than {self._limit} bytes"
            worker.drop(request)
            if request.safe:
                return WireFormatError(f"the answer to {what}", problem)
        except LinkError as refused:  # from the dialer: its text is made from public parts
            problem = str(refused)
        except NotHttp as unclear:
            problem = str(unclear)
        except Exception as failure:  # noqa: BLE001  requests, urllib3, http.client and ssl raise many; all end the same way
            problem = _root_words(failure)
            worker.drop(request)
        except BaseException:
            worker.drop(request)
            raise
        finally:
            worker.busy = False
            if self._closed.is_set():
                worker.close()
        if self._closed.is_set():
            problem = "the client was closed"
        elif self.clock.monotonic_s() >= worker.deadline_s:
            problem = "no whole answer came before the deadline"
        if not worker.left:
            return NotConnected(f"{what} was not sent: {problem}")
        if not request.safe:
            return OutcomeUnknown(
                f"{what} left, but no whole answer came back: {problem}. Ask before sending it again."
            )
        return LinkError(f"{what} failed: {problem}")

    def _exchange(self, worker: _Worker, request: HttpRequest) -> HttpResponse:
        return self._read(worker, request) if request.safe else self._write(worker, request)

    def _write(self, worker: _Worker, request: HttpRequest) -> HttpResponse:
        headers = {**_WRITE_HEADERS, **request.headers}
        data = request_bytes(request.method, worker.target, self._host_header, headers, request.body)
        line = self._take_line(worker)
        keep = False
        try:
            sent_ns = self.clock.time_ns()
            status, told, body, keep = line.exchange(data, self._limit)
            received_ns = self.clock.time_ns()
        finally:
            worker.disown(line.sock)
            if keep:
                line.used_s = self.clock.monotonic_s()
                self._lines.append(line)
                self._close_idle_lines(line.used_s)
                if self._closed.is_set():  # `close` may have looked before it was back
                    self._close_lines()
            else:
                line.close()
        return HttpResponse(status, told, body, sent_ns, received_ns)

    def _take_line(self, worker: _Worker) -> WriteLine:
        """A connection for one write. A kept one that the server has closed, or spoken on, is given up before a byte leaves."""
        while True:
            try:
                line = self._lines.pop()
            except IndexError:
                return WriteLine(worker.open(self._host, self._port))
            if line.is_quiet():
                worker.own(cast(_BoundedSocket, line.sock))
                return line
            line.close()

    def _close_idle_lines(self, now_s: float) -> None:
        """The one used longest ago: as many are kept as were needed together lately. Another thread may take it meanwhile."""
        with contextlib.suppress(IndexError):
            if now_s - self._lines[0].used_s > LINE_IDLE_S:
                self._lines.pop(0).close()

    def _close_lines(self) -> None:
        while self._lines:
            with contextlib.suppress(IndexError):
                self._lines.pop().close()

    def _read(self, worker: _Worker, request: HttpRequest) -> HttpResponse:
        headers = CaseInsensitiveDict(_HEADERS)
        headers.update(request.headers)
        prepared = requests.PreparedRequest()
        prepared.prepare(
            method=request.method,
            url=self._base + self._prefix + request.path,
            headers=headers,
            data=request.body or None,
        )
        prepared.url = self._base + self._prefix + request.target  # as signed: requests would quote it anew
        sent_ns = self.clock.time_ns()
        with worker.session.send(
            prepared,
            stream=True,
            timeout=(self._timeouts.connect_s, self._timeouts.read_s),
            allow_redirects=False,
            verify=True,
        ) as response:
            body = bytearray()
            while chunk := response.raw.read(_CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > self._limit:
                    raise TooLong
            return HttpResponse(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body),
                sent_ns=sent_ns,
                received_ns=self.clock.time_ns(),
            )

    # ---------------------------------------------------------------- workers

    def _worker(self) -> _Worker:
        worker: _Worker | None = getattr(self._mine, "worker", None)
        if worker is None or worker.closed:
            worker = self._mine.worker = _Worker(self)
            with self._lock:
                gone = [thread for thread in self._workers if not thread.is_alive()]
                left_over = [self._workers.pop(thread) for thread in gone]
                self._workers[threading.current_thread()] = worker
            for old in left_over:
                old.close()
        return worker

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self._counters, name, getattr(self._counters, name) + 1)


class _Worker:
    """What one calling thread owns: a session, its connection, and the bounds of the call it is making."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.deadline_s = 0.0
        self.target = ""
        self.left = False  # did a byte of the current request leave?
        self.busy = False
        self.closed = False
        self.waiter = Waiter()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()  # protects the set and shutting its sockets down
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Adapter(self))

    def begin(self, target: str) -> None:
        self.target, self.left, self.busy = target, False, True

    def bound(self, sock: socket.socket, limit_s: float) -> None:
        """Set how long the next step on `sock` may take.

        Raises:
            TimeoutError: the deadline has passed.
        """
        remaining_s = self.deadline_s - self.client.clock.monotonic_s()
        if remaining_s <= 0 or self.waiter.interrupted:
            raise TimeoutError("the deadline of the call has passed")
        wanted_s, set_s = min(limit_s, remaining_s), sock.gettimeout()
        if set_s is None or not wanted_s - _NEAR_S <= set_s <= wanted_s + _NEAR_S:
            sock.settimeout(wanted_s)  # a call of the system, during which every other thread may go first

    def dial(self, host: str, port: int) -> socket.socket:
        client = self.client
        deadline_s = min(self.deadline_s, client.clock.monotonic_s() + client._timeouts.connect_s)
        sock = client._dialer.dial(host, port, proxy=client._proxy, deadline_s=deadline_s, waiter=self.waiter)
        client._count("connections")
        plain = _BoundedSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        plain.settimeout(max(deadline_s - client.clock.monotonic_s(), 0.001))  # what TLS may still take
        self.own(plain)
        return plain

    def open(self, host: str, port: int) -> socket.socket:
        """A connection ready for HTTP, TLS included where it is spoken."""
        client, plain = self.client, self.dial(host, port)
        if client._context is None:
            return plain
        try:
            secure = client._context.wrap_socket(
                plain, server_hostname=client._tls.server_name or host, do_handshake_on_connect=False
            )
        except BaseException:
            plain.close()
            raise
        self.own(cast(_BoundedTlsSocket, secure))  # before the handshake, so that it can be called off
        try:
            secure.do_handshake()
        except BaseException:
            self.disown(secure)
            secure.close()
            raise
        return secure

    def own(self, sock: _BoundedSocket | _BoundedTlsSocket) -> None:
        sock.worker = self
        with self._lock:
            self._sockets.add(sock)

    def disown(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(sock)

    def cut(self) -> None:
        """Wake the worker wherever it waits; from any thread."""
        self.waiter.interrupt()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError, ValueError):  # the plain method leaves a TLS object alone
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def drop(self, request: HttpRequest) -> None:
        """Forget the connection of a read: what it holds is not known. A write has ended its own."""
        if not request.safe:
            return
        for adapter in self.session.adapters.values():
            adapter.close()

    def close(self) -> None:
        self.closed = True
        self.session.close()
        self.waiter.close()


class _BoundedSocket(socket.socket):
    """A TCP socket of which every step is bounded by the deadline of the call in hand."""

    worker: _Worker | None = None

    def recv_into(self, *args: Any) -> int:
        if self.worker is not None:
            self.worker.bound(self, self.worker.client._timeouts.read_s)
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        if self.worker is not None:
            self.worker.bound(self, self.worker.client._timeouts.read_s)
            self.worker.left = True
        super().sendall(*args)


class _BoundedTlsSocket(ssl.SSLSocket):
    """The same over TLS."""

    worker: _Worker | None = None

    def recv_into(self, *args: Any) -> int:
        if self.worker is not None:
            self.worker.bound(self, self.worker.client._timeouts.read_s)
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        if self.worker is not None:
            self.worker.bound(self, self.worker.client._timeouts.read_s)
            self.worker.left = True
        super().sendall(*args)


class _Adapter(requests.adapters.HTTPAdapter):
    """Opens connections by our dialer, and shows urllib3 (its errors and logs) the path only."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:
        worker = self._worker
        client = worker.client

        class Plain(urllib3.connection.HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return worker.dial(self._dns_host, self.port)

            def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
                super().putrequest(method, worker.target, *args, **kwargs)

        class Secure(urllib3.connection.HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return worker.dial(self._dns_host, self.port)

            def connect(self) -> None:
                super().connect()
                worker.own(cast(_BoundedTlsSocket, self.sock))

            def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
                super().putrequest(method, worker.target, *args, **kwargs)

        class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        tls = {"ssl_context": client._context, "server_hostname": client._tls.server_name} if client._context else {}
        super().init_poolmanager(connections, maxsize, block, **tls)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context verifies, and the bundle requests would add is not what was asked for."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return urlsplit(cast(str, request.url)).path or "/"


def _around(layer: Middleware, inner: SendNext) -> SendNext:
    return lambda request: layer(request, inner)


def _root_words(failure: BaseException) -> str:
    """The deepest cause in words that hold no URL."""
    seen: set[int] = set()
    deepest: BaseException = failure
    queue: list[BaseException] = [failure]
    while queue:
        error = queue.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, OSError | http.client.HTTPException | urllib3.exceptions.HTTPError):
            deepest = error
        inner = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
        queue.extend(item for item in inner if isinstance(item, BaseException))
    if isinstance(deepest, TimeoutError | urllib3.exceptions.TimeoutError):
        return "the server took too long"
    return in_words(deepest)
