"""One HTTP/1.1 exchange over a kept connection, as small as an order's way to the venue should be.

Decides how a request becomes bytes, and where an answer ends: by its length, by its chunks, or with the connection. Whatever
does not add up is `NotHttp`: an answer is whole or it is none. It never dials, retries, waits beyond the bounds of the socket it
was given, or says what a failure means for an order: that is the work of `transport.http`, whose sockets know the deadline of the
call and note when the first byte leaves. One thread at a time uses a line.
"""

from __future__ import annotations

import re
import select
import socket
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

__all__ = ["NotHttp", "TooLong", "WholeAnswer", "WriteLine", "request_bytes"]

_HEAD_BYTES = 64 * 1024  # of an answer's head, interim ones included, and of what follows the last chunk
_READ_BYTES = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?", re.ASCII)
_TARGET = re.compile(r"/[\x21-\x7e]*", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e\t\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?", re.ASCII)
_UNPACK = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # window bits of zlib


class NotHttp(Exception):
    """The answer is not whole, or not one; the text holds nothing of the request."""


class TooLong(Exception):
    """The body passes the limit."""


class WholeAnswer(NamedTuple):
    """`headers`: names in lower case, repeated ones joined by commas. `keep`: the connection can carry another exchange."""

    status: int
    headers: dict[str, str]
    body: bytes
    keep: bool


def request_bytes(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request, whole: one send, one TLS record where it fits.

    Raises:
        ValueError: target or headers hold what would end them early; the text repeats none of it.
    """
    if _TARGET.fullmatch(target) is None or _TOKEN.fullmatch(method) is None:
        raise ValueError("the request's method or target cannot be written")
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"]
    for name, value in headers.items():
        if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ValueError("a header of the request cannot be written")
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "".join(lines).encode("latin-1") + body


class WriteLine:
    """A connection that is kept between exchanges.

    Args:
        sock: connected, TLS done; its `recv_into` and `sendall` are bounded by whoever made it.

    Attributes:
        used_s: when the owner last had no more use for it; monotonic.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.used_s = 0.0
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._held = b""  # read, and not yet part of anything
        self._readable: Callable[[], object] = lambda: select.select([sock], [], [], 0)[0]
        if hasattr(select, "poll"):  # no selector: one call of the system, and none to set it up
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            self._readable = partial(poll.poll, 0)

    def is_quiet(self) -> bool:
        """Whether the far side has neither closed it nor said anything unasked; asked before it is used again."""
        if self._held:
            return False
        try:
            return not self._readable()
        except (OSError, ValueError):
            return False

    def exchange(self, request: bytes, limit: int) -> WholeAnswer:
        """Send, and read the whole answer. After any error the line is of no further use.

        Raises:
            NotHttp: what came back is not a whole answer. TooLong: its body has more than `limit` bytes, packed or not.
            OSError: the connection broke, or a bound of the socket was reached.
        """
        self.sock.sendall(request)
        allowed = _HEAD_BYTES
        while True:
            head = self._until(b"\r\n\r\n", allowed)
            status, keep, headers = _read_head(head)
            if status >= 200:
                break
            if status == 101:
                raise NotHttp("the server changed the protocol unasked")
            allowed -= len(head)  # an interim answer: the real one follows
        body, ended = self._body(status, headers, limit)
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            body = _unpacked(coding, body, limit)
        return WholeAnswer(status, headers, body, keep and not ended and not self._held)

    def close(self) -> None:
        self._view.release()
        self.sock.close()

    # ------------------------------------------------------------ reading

    def _more(self) -> bytes:
        """The next bytes; b"" at the end of the connection."""
        return bytes(self._view[: self.sock.recv_into(self._view)])

    def _until(self, mark: bytes, limit: int) -> bytes:
        """What stands before the mark, which is taken as well."""
        held, looked = self._held, 0
        while (at := held.find(mark, looked)) < 0:
            if len(held) > limit:
                raise NotHttp("the head of the answer is too long")
            looked = max(0, len(held) - len(mark) + 1)
            more = self._more()
            if not more:
                raise NotHttp("the connection ended in the middle of the answer" if held else "no answer came")
            held += more
        if at > limit:
            raise NotHttp("the head of the answer is too long")
        self._held = held[at + len(mark) :]
        return held[:at]

    def _exactly(self, size: int) -> bytes:
        parts, missing = [self._held[:size]], size - len(self._held)
        self._held = self._held[size:]
        while missing > 0:
            more = self._more()
            if not more:
                raise NotHttp("the connection ended in the middle of the answer")
            parts.append(more[:missing])
            self._held = more[missing:]
            missing -= len(more)
        return b"".join(parts)

    def _body(self, status: int, headers: Mapping[str, str], limit: int) -> tuple[bytes, bool]:
        """(body, whether only the end of the connection ended it)."""
        if status in (204, 304):
            return b"", False
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if coding.strip().lower() != "chunked":
                raise NotHttp("the answer comes in a transfer coding that was not asked for")
            return self._chunks(limit), False
        told = headers.get("content-length")
        if told is None:
            return self._rest(limit), True
        lengths = {each.strip() for each in told.split(",")}
        length = lengths.pop()
        if lengths or _LENGTH.fullmatch(length) is None:
            raise NotHttp("the length of the answer cannot be read")
        if int(length) > limit:
            raise TooLong
        return self._exactly(int(length)), False

    def _chunks(self, limit: int) -> bytes:
        body = bytearray()
        while True:
            found = _CHUNK.fullmatch(self._until(b"\r\n", _HEAD_BYTES))
            if found is None:
                raise NotHttp("the length of a chunk cannot be read")
            size = int(found[1], 16)
            if size == 0:
                break
            if len(body) + size > limit:
                raise TooLong
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise NotHttp("a chunk does not end where it said")
        allowed = _HEAD_BYTES
        while trailer := self._until(b"\r\n", allowed):  # nothing of it is needed
            allowed -= len(trailer)
        return bytes(body)

    def _rest(self, limit: int) -> bytes:
        body, self._held = bytearray(self._held), b""
        while more := self._more():
            body += more
            if len(body) > limit:
                raise TooLong
        if len(body) > limit:
            raise TooLong
        return bytes(body)


def _read_head(head: bytes) -> tuple[int, bool, dict[str, str]]:
    """(status, whether the connection goes on, headers)."""
    first, *lines = head.split(b"\r\n")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise NotHttp("the answer is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name[0] in " \t":
            continue  # not a header; the ones that matter are looked at below
        name, value = name.rstrip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    said = headers.get("connection", "").lower()
    keep = "close" not in said if found[1] == b"1" else "keep-alive" in said
    return int(found[2]), keep, headers


def _unpacked(coding: str, body: bytes, limit: int) -> bytes:
    """A compressed body, which was not asked for."""
    if coding not in _UNPACK:
        raise NotHttp("the answer is packed in a way that was not asked for")
    unpack = zlib.decompressobj(_UNPACK[coding])
    try:
        plain = unpack.decompress(body, limit + 1)
    except zlib.error:
        raise NotHttp("the answer cannot be unpacked") from None
    if len(plain) > limit:
        raise TooLong
    if not unpack.eof:
        raise NotHttp("the packed answer is not whole")
    return plain
