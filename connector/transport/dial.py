"""Open the TCP connection below every link and every HTTP call: name lookup, every address, proxy, one deadline for all of it.

Nothing here reads the environment, speaks WebSocket or HTTP to a venue, or retries: one call is one attempt, made on the
caller's thread. Only the name lookup runs elsewhere, on a thread named "connector:lookup:<host>", because the system's
lookup cannot be interrupted: the caller stops waiting at its deadline, and callers of the same name share one lookup.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from python_socks import ProxyError, ProxyType
from python_socks.sync import Proxy

from connector.clock import Clock
from connector.errors import LinkError, SettingsError
from connector.transport.contract import TlsSettings
from connector.transport.waiting import Waiter

__all__ = ["Dialer", "Interrupted", "TlsRefused", "in_words", "split_proxy"]

Address = tuple[int, Any]  # family and what `connect` takes
LookUp = Callable[..., list[tuple[Any, ...]]]

_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}
_PROXY_SCHEMES = {
    "http": ProxyType.HTTP,
    "socks5": ProxyType.SOCKS5,
    "socks5h": ProxyType.SOCKS5,
}
_PROXY_HEAD_BYTES = 16 * 1024
_LOOK_AGAIN_S = 0.02
_LOOKUP_GIVEN_UP_S = 60.0  # a system lookup that takes longer is not waited for again: another one is started


class Interrupted(LinkError):
    """The attempt was called off from another thread."""


class TlsRefused(LinkError):
    """The peer's certificate is not accepted, or the handshake broke. Plain text is never tried instead."""


@dataclass(slots=True)
class _Lookup:
    started_s: float
    done: threading.Event = field(default_factory=threading.Event)
    addresses: list[Address] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """One proxy, as read from its URL. Never shows its password."""

    scheme: str
    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)


def split_proxy(url: str) -> ProxyAddress:
    """Read a proxy URL such as "http://user:pass@host:3128", "socks5://host:1080" or "socks5h://host:1080".

    Raises:
        SettingsError: another scheme, no host or no port. The text does not repeat the URL, which may hold a password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname or port is None:
        raise SettingsError(
            f"cannot use the proxy setting with scheme {parts.scheme!r}: expected http://, socks5:// or socks5h:// "
            "with a host and a port, e.g. 'socks5h://127.0.0.1:1080'"
        )
    username, password = (unquote(text) if text is not None else None for text in (parts.username, parts.password))
    return ProxyAddress(parts.scheme, parts.hostname, port, username, password)


class Dialer:
    """Opens connections for any number of threads at once.

    Args:
        clock: measures the deadlines.
        look_up: what finds addresses, called as `socket.getaddrinfo`.
    """

    def __init__(self, clock: Clock, look_up: LookUp = socket.getaddrinfo) -> None:
        self._clock, self._look_up = clock, look_up
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        self._contexts: dict[TlsSettings, ssl.SSLContext] = {}
        self._lock = threading.Lock()  # protects both tables; nothing waits inside

    def dial(self, host: str, port: int, *, proxy: str | None, deadline_s: float, waiter: Waiter) -> socket.socket:
        """A connected, non-blocking TCP socket to `host`, through the proxy if there is one.

        Args:
            deadline_s: of the clock's monotonic seconds, for the lookup, all addresses and the proxy together.
            waiter: of the calling thread; its `interrupt` ends the attempt.

        Raises:
            Interrupted: the waiter was interrupted.
            LinkError: everything else; not a byte for the venue has left.
        """
        if proxy is None:
            return self._connect(host, port, deadline_s, waiter)
        via = split_proxy(proxy)
        if via.scheme == "socks5":  # the plain form looks names up on this side, "socks5h" at the proxy
            host = self._addresses(host, port, deadline_s, waiter)[0][1][0]
        tunnel = _Tunnel(self, via, deadline_s, waiter)
        try:
            Proxy(
                _PROXY_SCHEMES[via.scheme],
                via.host,
                via.port,
                via.username,
                via.password,
                rdns=True,
                forward=cast(Any, tunnel),
            ).connect(host, port)
        except (ProxyError, ValueError, AssertionError) as refused:
            tunnel.close()
            text = str(refused) if isinstance(refused, ProxyError) else type(refused).__name__
            raise LinkError(f"the proxy {via.host}:{via.port} did not connect us to {host}:{port}: {text}") from None
        except BaseException:
            tunnel.close()
            raise
        return tunnel.release()

    def tls_context(self, tls: TlsSettings) -> ssl.SSLContext:
        """The context that verifies a server as `tls` says, made once per setting.

        Raises:
            SettingsError: the CA file cannot be read.
        """
        with self._lock:
            context = self._contexts.get(tls)
        if context is None:
            context = make_tls_context(tls)
            with self._lock:
                context = self._contexts.setdefault(tls, context)
        return context

    def start_tls(
        self, sock: socket.socket, host: str, tls: TlsSettings, deadline_s: float, waiter: Waiter
    ) -> ssl.SSLSocket:
        """Shake hands over a socket of `dial`; it belongs to the result, or is closed when this raises.

        Raises:
            TlsRefused: certificate not valid for the name, expired, unknown issuer, or the handshake broke.
            LinkError: out of time. Interrupted: called off.
        """
        waiter.forget()
        try:
            wrapped = self.tls_context(tls).wrap_socket(
                sock, server_hostname=tls.server_name or host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as problem:
            sock.close()
            raise TlsRefused(f"TLS with {host} cannot start: {in_words(problem)}") from None
        try:
            while True:
                try:
                    wrapped.do_handshake()
                except ssl.SSLWantReadError:
                    self.wait(wrapped, deadline_s, waiter, f"the TLS handshake with {host}")
                except ssl.SSLWantWriteError:
                    self.wait(wrapped, deadline_s, waiter, f"the TLS handshake with {host}", write=True)
                else:
                    return wrapped
        except (ssl.SSLError, ssl.CertificateError, OSError) as refused:
            waiter.forget()
            wrapped.close()
            raise TlsRefused(
                f"TLS with {host} was refused: {in_words(refused)}. Plain text is never used instead."
            ) from None
        except BaseException:
            waiter.forget()
            wrapped.close()
            raise

    def wait(self, sock: socket.socket, deadline_s: float, waiter: Waiter, what: str, *, write: bool = False) -> None:
        """Wait until `sock` is ready.

        Raises:
            LinkError: the deadline passed while waiting for `what`. Interrupted: called off.
        """
        while not waiter.interrupted:
            remaining_s = deadline_s - self._clock.monotonic_s()
            if remaining_s <= 0:
                raise LinkError(f"{what} took too long; the attempt was given up at its deadline")
            if waiter.wait(sock, remaining_s, write=write):
                return
        raise Interrupted(f"{what} was called off")

    # ---------------------------------------------------------------- addresses

    def _connect(self, host: str, port: int, deadline_s: float, waiter: Waiter) -> socket.socket:
        addresses = self._addresses(host, port, deadline_s, waiter)
        problems = []
        for nth, (family, address) in enumerate(addresses):
            now_s = self._clock.monotonic_s()  # each address gets a fair share, so that one black hole is not the end
            share_s = now_s + max(deadline_s - now_s, 0.0) / (len(addresses) - nth)
            try:
                return self._connect_one(family, address, share_s, waiter)
            except Interrupted:
                raise
            except (OSError, LinkError) as problem:
                problems.append(f"{address[0]}: {in_words(problem)}")
        raise LinkError(f"cannot connect to {host}:{port}: {'; '.join(problems)}")

    def _connect_one(self, family: int, address: Any, deadline_s: float, waiter: Waiter) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(address)
            if code in _IN_PROGRESS:
                self.wait(sock, deadline_s, waiter, "connecting", write=True)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            waiter.forget()
            sock.close()
            raise
        waiter.forget()
        return sock

    def _addresses(self, host: str, port: int, deadline_s: float, waiter: Waiter) -> list[Address]:
        with contextlib.suppress(OSError, UnicodeError):  # a literal address needs no lookup and no thread
            return _distinct(
                socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
                )
            )
        lookup = self._start_lookup(host, port)
        while not lookup.done.wait(
            _LOOK_AGAIN_S
        ):  # wakes at once when found; looks up from time to time to be called off
            if waiter.interrupted:
                raise Interrupted(f"the lookup of {host} was called off")
            if self._clock.monotonic_s() >= deadline_s:
                raise LinkError(f"no address for {host} was found in time")
        if not lookup.addresses:
            raise LinkError(f"no address for {host}: {lookup.failure or 'the lookup was empty'}")
        return lookup.addresses

    def _start_lookup(self, host: str, port: int) -> _Lookup:
        with self._lock:
            now_s = self._clock.monotonic_s()
            lookup = self._lookups.get((host, port))
            if lookup is not None and now_s - lookup.started_s < _LOOKUP_GIVEN_UP_S:
                return lookup
            lookup = self._lookups[host, port] = _Lookup(now_s)
        thread = threading.Thread(
            target=self._run_lookup, args=(host, port, lookup), name=f"connector:lookup:{host}", daemon=True
        )
        try:
            thread.start()
        except (
            RuntimeError,
            MemoryError,
        ) as problem:  # nobody looks it up: whoever waits is told, the next one asks anew
            self._end_lookup(host, port, lookup, f"no thread to look it up, {problem}")
        return lookup

    def _run_lookup(self, host: str, port: int, lookup: _Lookup) -> None:
        try:
            lookup.addresses = _distinct(self._look_up(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as problem:
            lookup.failure = in_words(problem)
        except BaseException as problem:  # noqa: BLE001  whoever waits must learn of it, whatever it was
            lookup.failure = type(problem).__name__
        finally:
            self._end_lookup(host, port, lookup)

    def _end_lookup(self, host: str, port: int, lookup: _Lookup, failure: str = "") -> None:
        with self._lock:  # nothing is remembered: the next attempt asks anew
            if self._lookups.get((host, port)) is lookup:
                del self._lookups[host, port]
        lookup.failure = failure or lookup.failure
        lookup.done.set()


class _Tunnel:
    """Gives python-socks a connection to the proxy that keeps our deadline, and reads the proxy's answer whole."""

    def __init__(self, dialer: Dialer, via: ProxyAddress, deadline_s: float, waiter: Waiter) -> None:
        self._dialer, self._via, self._deadline_s, self._waiter = dialer, via, deadline_s, waiter
        self._sock: socket.socket | None = None
        self._what = f"the proxy {via.host}:{via.port}"

    def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> _Tunnel:
        self._sock = self._dialer._connect(dest_host, dest_port, self._deadline_s, self._waiter)
        return self

    def sendall(self, data: bytes) -> None:
        assert self._sock is not None
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._dialer.wait(self._sock, self._deadline_s, self._waiter, self._what, write=True)
            except OSError as problem:
                raise LinkError(f"{self._what} broke off: {in_words(problem)}") from None

    def recv(self, max_bytes: int) -> bytes:
        if self._via.scheme != "http":
            return self._some(max_bytes)
        head = b""
        while b"\r\n\r\n" not in head:
            more = self._some(max_bytes)
            head += more
            if not more or len(head) > _PROXY_HEAD_BYTES:
                raise LinkError(f"{self._what} broke off in its answer")
        return head

    def _some(self, max_bytes: int) -> bytes:
        assert self._sock is not None
        while True:
            try:
                return self._sock.recv(max_bytes)
            except BlockingIOError:
                self._dialer.wait(self._sock, self._deadline_s, self._waiter, self._what)
            except OSError as problem:
                raise LinkError(f"{self._what} broke off: {in_words(problem)}") from None

    def close(self) -> None:
        if self._sock is not None:
            self._waiter.forget()
            self._sock.close()
            self._sock = None

    def release(self) -> socket.socket:
        assert self._sock is not None
        self._waiter.forget()
        sock, self._sock = self._sock, None
        return sock


def make_tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """A context that verifies certificate and name, TLS 1.2 or newer.

    Raises:
        SettingsError: the CA file cannot be read.
    """
    ca_file = tls.ca_file
    if ca_file is None:
        places = ssl.get_default_verify_paths()
        if not places.cafile and not places.capath and sys.platform != "win32":
            import certifi  # a system without certificates of its own, as python.org's macOS builds: requests brings these

            ca_file = certifi.where()
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as problem:
        raise SettingsError(f"cannot read the CA file {ca_file!r}: {in_words(problem)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _distinct(found: list[tuple[Any, ...]]) -> list[Address]:
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def in_words(problem: BaseException) -> str:
    """What went wrong, made from parts that hold no URL and no header."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate not accepted, {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        return (problem.reason or "TLS error").lower().replace("_", " ")
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    if isinstance(problem, LinkError):
        return str(problem)
    return type(problem).__name__
