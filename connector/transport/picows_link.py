"""Links over picows (Cython). One link is one thread, which runs an asyncio loop of its own, so that a fault stays in its link.

The thread ("connector:<name>") connects as every other link does, then hands the socket to its loop. All callbacks run on
it, and so do all sends: `send` from another thread queues the message and wakes the loop. A handler that blocks therefore
delays this link's pings, pongs and sends, and nothing else; it should hand on and return.

Everything that came out of the socket in one read is one call of the handler. To know where a read begins and ends, and
that bytes of an unfinished message arrive, a thin protocol stands between the loop and picows. picows parses, masks and
shakes hands; fragments are joined here, and what picows lets pass against the protocol is refused here, with one exception:
a continuation of nothing that is longer than 125 bytes and complete is taken for a message. picows reads one frame ahead of what
it tells, and answers a frame it cannot accept at once: the message before it is handed over, but no longer takes an answer, which
`send` says. Nothing is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from connector.clock import Clock, SystemClock
from connector.errors import NotConnected
from connector.transport.contract import Link, LinkHandler, LinkPhase, LinkSettings
from connector.transport.dial import Dialer, TlsRefused, in_words
from connector.transport.thread_link import (
    Endpoint,
    LinkEnded,
    ThreadLink,
    checked_endpoint,
    is_close_code,
    refused,
    sendable_close,
    url_without_user,
)

__all__ = ["PicowsLinks"]

_UNSENT_BYTES = 4 * 1024 * 1024  # more than this waiting for the socket, and a send is refused
_READ_BYTES = (
    1024 * 1024
)  # at most so much in one read: a read costs what twenty messages cost, but memory is not endless
_BATCH = 64  # messages handed over at once at most, so that they are still in the processor's cache
_CONTROL_BYTES = 125  # a longer payload is never that of a control frame
_NO_STATUS = 1005
_FINISH_S = 1.0

_silent = logging.Logger("connector.picows", logging.CRITICAL + 1)  # picows logs URLs and payloads


class PicowsLinks:
    """Opens links over picows.

    Args:
        clock: stamps messages and measures the idle deadline.
        dialer: opens the connections below; one shared by links and HTTP shares name lookups and TLS contexts.
    """

    kind = "picows"

    def __init__(self, clock: Clock | None = None, dialer: Dialer | None = None) -> None:
        self._clock = clock or SystemClock()
        self._dialer = dialer or Dialer(self._clock)

    def open(self, settings: LinkSettings, handler: LinkHandler) -> Link:
        """Start one connection and return at once.

        Raises:
            SettingsError: the settings cannot be used at all; no thread was started.
            LinkError: the system gives no descriptor or no thread for it.
        """
        link = PicowsLink(settings, checked_endpoint(settings), handler, self._dialer, self._clock)
        link._begin()
        return link

    def __repr__(self) -> str:
        return "<PicowsLinks>"


class PicowsLink(ThreadLink):
    """One connection over picows; made by `PicowsLinks.open`."""

    def __init__(
        self, settings: LinkSettings, endpoint: Endpoint, handler: LinkHandler, dialer: Dialer, clock: Clock
    ) -> None:
        super().__init__(settings, endpoint, handler, dialer, clock)
        self._loop: asyncio.AbstractEventLoop | None = None  # under _lock, with the three below
        self._outgoing: deque[bytes] = deque()
        self._backlog_bytes = 0  # handed to us, not yet taken by the socket
        self._close_sent: int | None = None
        # Below: the loop's thread only.
        self._ended: asyncio.Future[LinkEnded] | None = None
        self._transport: WSTransport | None = None
        self._frames: list[bytes] = []  # one list for life: the listener holds its `append`
        self._listener: _Listener | None = None
        self._fragments: list[bytes] | None = None
        self._fragments_bytes = 0
        self._written_bytes = 0  # as frames, taken by the socket or waiting for it
        self._full_watched = False
        self._received_ns = 0

    # ---------------------------------------------------------------- from any thread

    def send(self, text: bytes) -> None:
        with self._lock:
            if self._phase is not LinkPhase.OPEN or self._close_sent is not None or self._loop is None:
                raise NotConnected(f"link {self._settings.name} is {self._phase.value}; nothing was sent")
            transport = self._transport
            if transport is not None and transport.is_close_frame_sent:  # picows reads one frame ahead of what it tells
                raise NotConnected(f"link {self._settings.name} met a frame it cannot accept; nothing was sent")
            if self._backlog_bytes + len(text) > _UNSENT_BYTES:
                self._loop.call_soon_threadsafe(self._measure_backlog)  # only the loop knows what has gone meanwhile
                raise NotConnected(f"link {self._settings.name} takes no more bytes; nothing of this message was sent")
            self._backlog_bytes += len(text)
            self._outgoing.append(text)
            if threading.current_thread() is not self._thread:
                if len(self._outgoing) == 1:
                    self._loop.call_soon_threadsafe(self._send_queued)
                return
        self._send_queued()

    def close(self, code: int = 1000, reason: str = "") -> None:
        body = sendable_close(code, reason)
        with self._lock:
            early = self._phase in (LinkPhase.CONNECTING, LinkPhase.UPGRADING)
            if self._phase is LinkPhase.OPEN and self._close_sent is None and self._loop is not None:
                self._by_us = True
                self._phase = LinkPhase.CLOSING
                self._close_sent = code
                self._loop.call_soon_threadsafe(self._start_close, body)
        if early:
            self.shutdown()

    def shutdown(self) -> None:
        super().shutdown()
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._end, LinkEnded("shut down"))

    # ---------------------------------------------------------------- the link's own thread

    def _serve(self) -> None:
        loop = asyncio.SelectorEventLoop()  # also on Windows, where the other kind copies every read
        try:
            with self._lock:
                self._loop = loop
            raise loop.run_until_complete(self._session(loop))
        finally:
            with self._lock:
                self._loop = None
            loop.close()

    def _release(self) -> None:
        self._outgoing.clear()

    async def _session(self, loop: asyncio.AbstractEventLoop) -> LinkEnded:
        self._ended = loop.create_future()
        loop.set_exception_handler(self._loop_failed)
        if self._waiter.interrupted:
            return LinkEnded("shut down")
        connecting: asyncio.Future[None] = loop.create_task(self._connect())
        either: set[asyncio.Future[Any]] = {connecting, self._ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():  # called off: the socket was cut, which ends the attempt
            await asyncio.wait({connecting}, timeout=_FINISH_S)
            connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await connecting
            except LinkEnded as failed:
                self._end(failed)
        if self._transport is None:
            self._end(LinkEnded("shut down"))
            return self._ended.result()
        end = await self._ended
        self._finish(end)
        with contextlib.suppress(Exception):  # it repeats what ended the link, which we already know
            await asyncio.wait_for(self._transport.wait_disconnected(), _FINISH_S)
        return end

    async def _connect(self) -> None:
        settings, endpoint, sock = self._settings, self._endpoint, cast(socket.socket, self._sock)
        options: dict[str, Any] = {}
        listener = self._listener = _Listener(self)
        if endpoint.secure:
            remaining_s = self._connect_deadline_s - self._clock.monotonic_s()
            options["ssl_context"] = self._dialer.tls_context(settings.tls)
            options["server_hostname"] = settings.tls.server_name or endpoint.host
            options["ssl_handshake_timeout"] = max(remaining_s, 0.001)
        else:
            self._move(LinkPhase.UPGRADING)
        try:
            _, reached = await picows.ws_connect(
                lambda: listener,
                url_without_user(settings.url),
                websocket_handshake_timeout=settings.upgrade_timeout_s,
                logger_name=_silent,
                enable_auto_pong=False,
                max_frame_size=settings.max_message_bytes,
                extra_headers=dict(settings.headers),
                max_redirects=0,
                read_buffer_init_size=2 * _READ_BYTES,
                socket_factory=lambda _: sock,
                **options,
            )
        except picows.WSHandshakeError as problem:
            self._move(LinkPhase.UPGRADING)
            answer = problem.response
            if answer is not None and int(answer.status) != 101:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                raise refused(int(answer.status), headers, self._clock.time_ns()) from None
            raise LinkEnded(f"the upgrade was answered wrongly: {type(problem).__name__}") from None
        except (ssl.SSLError, ssl.CertificateError) as problem:
            text = f"TLS with {endpoint.host} was refused: {in_words(problem)}. Plain text is never used instead."
            raise LinkEnded(text, cause=TlsRefused(text)) from None
        except TimeoutError:
            self._move(LinkPhase.UPGRADING)
            raise LinkEnded(f"the upgrade was not answered in {settings.upgrade_timeout_s:g} s") from None
        except OSError as problem:
            doing = "the TLS handshake" if self._phase is LinkPhase.CONNECTING else "the upgrade"
            raise LinkEnded(f"the connection broke in {doing}: {in_words(problem)}") from None
        if cast(Any, reached) is None:
            self._move(LinkPhase.UPGRADING)
            raise LinkEnded("the peer ended the connection instead of answering the upgrade")

    # ---------------------------------------------------------------- life, on the loop

    def _opened(self, transport: WSTransport) -> None:
        """The upgrade is done, frames that came along with it are not yet parsed."""
        settings, loop = self._settings, cast(asyncio.AbstractEventLoop, self._loop)
        self._transport = transport
        self._heard()
        below = transport.underlying_transport
        below.set_write_buffer_limits(high=0)  # to be told as soon as the socket takes less than we send
        below.set_protocol(_Tap(cast(asyncio.BufferedProtocol, below.get_protocol()), self))
        self._move(LinkPhase.OPEN)
        loop.call_later(settings.idle_timeout_s, self._judge_idle)
        if settings.ping_every_s is not None:
            loop.call_later(settings.ping_every_s, self._ping)
        try:
            self._call_opened()
        except LinkEnded as end:
            self._end(end)
        loop.call_soon(self._hand_over)  # the first read was not ours to watch

    def _heard(self) -> None:
        self._last_received_s = self._clock.monotonic_s()
        self._received_ns = self._clock.time_ns()

    def _end(self, end: LinkEnded) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(end)
            if self._listener is not None:
                self._listener.ignore_rest()

    def _finish(self, end: LinkEnded) -> None:
        """Say why, if there is something to say, and drop the connection."""
        transport = cast(WSTransport, self._transport)
        if end.code is not None and not transport.is_close_frame_sent and self._close_sent is None:
            self._close_sent = end.code
            with contextlib.suppress(ValueError):
                transport.send(WSMsgType.CLOSE, sendable_close(end.code, ""))
        transport.disconnect(graceful=False)

    def _lost(self, transport: WSTransport) -> None:
        self._end(self._judged_by_picows(transport) or self._plain_end())

    def _plain_end(self) -> LinkEnded:
        if self._waiter.interrupted:
            return LinkEnded("shut down")
        return LinkEnded("the connection ended without a close frame", code=self._close_sent)

    def _judged_by_picows(self, transport: WSTransport) -> LinkEnded | None:
        """The end picows decided by itself, after a frame it could not accept."""
        if not transport.is_close_frame_sent or self._close_sent is not None:
            return None
        said = cast(Any, transport.close_handshake).sent
        return LinkEnded(f"a frame was not acceptable: {said.reason or 'no reason given'}", code=int(said.code))

    def _loop_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if isinstance(problem, type):  # asyncio tells of a connection that ends in the TLS handshake by the class alone
            problem = problem()
        if isinstance(problem, OSError):
            during = " in the TLS handshake" if self._phase is LinkPhase.CONNECTING else ""
            self._end(
                LinkEnded(f"the connection broke{during}: {in_words(problem)}", cause=problem.with_traceback(None))
            )
        else:
            self._end(LinkEnded(f"{type(problem).__name__} in the link's loop", cause=problem))

    def _judge_idle(self) -> None:
        idle_s = self._settings.idle_timeout_s
        silent_s = self._clock.monotonic_s() - cast(float, self._last_received_s)
        if silent_s >= idle_s:
            self._end(LinkEnded(f"nothing was received for {idle_s:g} s: the connection is half-open"))
        else:
            cast(asyncio.AbstractEventLoop, self._loop).call_later(idle_s - silent_s, self._judge_idle)

    def _ping(self) -> None:
        transport = cast(WSTransport, self._transport)
        if not self._transport_closing() and not transport.underlying_transport.get_write_buffer_size():
            transport.send_ping(b"")  # behind a full socket it would be no probe
        cast(asyncio.AbstractEventLoop, self._loop).call_later(cast(float, self._settings.ping_every_s), self._ping)

    # ---------------------------------------------------------------- sending, on the loop

    def _send_queued(self) -> None:
        transport = self._transport
        if transport is None:
            return
        with self._lock:
            messages = list(self._outgoing)
            self._outgoing.clear()
        for message in messages:
            self._written_bytes += _on_the_wire(message)
            transport.send(WSMsgType.TEXT, message)
        self._measure_backlog()

    def _measure_backlog(self) -> None:
        waiting = cast(WSTransport, self._transport).underlying_transport.get_write_buffer_size()
        with self._lock:
            self._backlog_bytes = waiting + sum(map(len, self._outgoing))

    def _start_close(self, body: bytes) -> None:
        self._send_queued()
        transport = cast(WSTransport, self._transport)
        transport.send(WSMsgType.CLOSE, body)
        late = LinkEnded("the peer did not answer our close frame in time", code=self._close_sent)
        cast(asyncio.AbstractEventLoop, self._loop).call_later(self._settings.close_timeout_s, self._end, late)

    def _socket_full(self) -> None:
        if not self._full_watched:
            self._full_watched = True
            self._watch_full(self._left_bytes())

    def _watch_full(self, left: int) -> None:
        cast(asyncio.AbstractEventLoop, self._loop).call_later(self._settings.send_timeout_s, self._judge_full, left)

    def _judge_full(self, left_before: int) -> None:
        left = self._left_bytes()
        if not cast(WSTransport, self._transport).underlying_transport.get_write_buffer_size():
            self._full_watched = False
        elif left <= left_before:
            self._end(LinkEnded(f"the peer took no byte for {self._settings.send_timeout_s:g} s"))
        else:
            self._watch_full(left)

    def _left_bytes(self) -> int:
        return self._written_bytes - cast(WSTransport, self._transport).underlying_transport.get_write_buffer_size()

    # ---------------------------------------------------------------- receiving, on the loop

    def _hand_over(self) -> None:
        """Give the handler all that came with one read."""
        if self._frames and self._ended is not None and not self._ended.done():
            frames = self._frames.copy()
            self._frames.clear()
            try:
                self._call_handler(frames, self._received_ns)
            except LinkEnded as end:
                self._end(end)

    def _take_other(self, frame: WSFrame, payload: bytes) -> None:
        """Short frames, fragments, and frames with reserved bits."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._refuse("a frame used reserved bits", 1002)
        elif kind is WSMsgType.PING:
            if not self._transport_closing():
                self._written_bytes += _on_the_wire(payload)
                cast(WSTransport, self._transport).send_pong(payload)
        elif kind is WSMsgType.CLOSE:
            self._take_close(payload)
        elif kind is not WSMsgType.PONG:
            self._take_fragment(kind, bool(frame.fin), payload)

    def _take_fragment(self, kind: WSMsgType, last: bool, payload: bytes) -> None:
        if (kind is WSMsgType.CONTINUATION) != (self._fragments is not None):
            self._refuse("fragments of two messages were mixed", 1002)
            return
        if self._fragments is None:
            if last:
                self._frames.append(payload)
                return
            self._fragments, self._fragments_bytes = [], 0
            cast(_Listener, self._listener).expect_fragments(True)
        self._fragments.append(payload)
        self._fragments_bytes += max(len(payload), 1)  # an endless row of empty fragments is too long as well
        limit = self._settings.max_message_bytes
        if self._fragments_bytes > limit:
            self._refuse(f"a fragmented message is longer than the {limit} bytes allowed", 1009)
        elif last:
            self._frames.append(b"".join(self._fragments))
            self._fragments = None
            cast(_Listener, self._listener).expect_fragments(False)

    def _take_close(self, body: bytes) -> None:
        code = int.from_bytes(body[:2], "big") if body else _NO_STATUS
        if body and not is_close_code(code):  # picows lets 0 and 1006 pass
            self._refuse(f"close code {code} cannot be sent", 1002)
            return
        self._hand_over()  # what stood before it
        ours = self._close_sent is not None
        if not ours:
            self._close_sent = code
            cast(WSTransport, self._transport).send(WSMsgType.CLOSE, body[:2])
        reason = body[2:].decode("utf-8", "replace")
        self._end(LinkEnded(reason or ("closed by us" if ours else "closed by the peer"), code=code))

    def _refuse(self, reason: str, code: int) -> None:
        self._hand_over()
        self._end(LinkEnded(reason, code=code))

    def _transport_closing(self) -> bool:
        return self._close_sent is not None


def _on_the_wire(payload: bytes) -> int:
    """Length of the frame a client makes of `payload`."""
    return len(payload) + (6 if len(payload) < 126 else 8 if len(payload) < 65536 else 14)


class _Listener(WSListener):
    """What picows calls for every frame."""

    def __init__(self, link: PicowsLink) -> None:
        self._link = link
        self._whole = self._only_whole(link._frames.append)
        self.expect_fragments(False)

    def expect_fragments(self, expected: bool) -> None:
        """Choose what the next frames are taken for: picows calls what the instance says."""
        self.on_ws_frame = self._any if expected else self._whole  # type: ignore[assignment, method-assign]

    def ignore_rest(self) -> None:
        """The link is over, and picows goes on to the end of what it read."""
        self.on_ws_frame = self._ignore  # type: ignore[method-assign]

    def _ignore(self, transport: WSTransport, frame: WSFrame) -> None: ...

    def _any(self, transport: WSTransport, frame: WSFrame) -> None:
        self._link._take_other(frame, frame.get_payload_as_bytes())

    def _only_whole(self, keep: Callable[[bytes], None]) -> Callable[[WSTransport, WSFrame], None]:
        """The hot path, called millions of times a second when a venue is in a hurry: nothing here that can be left out.

        Asking a frame for its type costs as much as all of the rest; only short ones can be control frames.
        """
        link, room = self._link, _BATCH

        def on_ws_frame(transport: WSTransport, frame: WSFrame) -> None:
            nonlocal room
            payload = frame.get_payload_as_bytes()
            if len(payload) > _CONTROL_BYTES and frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
                keep(payload)
                room -= 1
                if not room:
                    room = _BATCH
                    link._hand_over()
            else:
                link._take_other(frame, payload)

        return on_ws_frame

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._link._opened(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._link._lost(transport)

    def pause_writing(self) -> None:
        self._link._socket_full()

    def resume_writing(self) -> None:
        self._link._measure_backlog()


class _Tap(asyncio.BufferedProtocol):
    """Stands between the loop and picows: sees every read begin and end, and passes everything on."""

    def __init__(self, inner: asyncio.BufferedProtocol, link: PicowsLink) -> None:
        self._link = link
        self._parse: Callable[[int], None] = inner.buffer_updated
        self._room: Callable[[int], memoryview] = inner.get_buffer  # type: ignore[assignment]
        for name in ("connection_lost", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def is_buffered_protocol(self) -> bool:
        return True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room(sizehint)[:_READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        link = self._link
        link._heard()
        self._parse(nbytes)
        if link._frames:
            link._hand_over()
        transport = cast(WSTransport, link._transport)
        if transport.is_close_frame_sent:  # picows met a frame it cannot accept; what follows it is not wanted
            judged = link._judged_by_picows(transport)
            if judged is not None:
                link._end(judged)
                transport.disconnect(graceful=False)
