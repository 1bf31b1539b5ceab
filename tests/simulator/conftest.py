"""A small client of our own for the simulator: HTTP and WebSocket with deadlines, nothing of the library under test."""

import http.client
import json
import threading
import time
from urllib.parse import urlencode, urlsplit

import pytest
import websocket

DEADLINE_S = 10.0


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Rest:
    """One request per call over one connection each, or over a kept one with `keep`."""

    def __init__(self, sim):
        self.host = urlsplit(sim.rest_url).netloc

    def __call__(self, path, headers=None, method="GET", body=None, timeout=DEADLINE_S, **params):
        query = f"?{urlencode(params)}" if params else ""
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            connection.request(method, path + query, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


class Socket:
    """A WebSocket client that reads JSON and answers pings only while it reads."""

    def __init__(self, url, timeout=DEADLINE_S, **options):
        self.ws = websocket.create_connection(url, timeout=timeout, **options)

    def receive(self):
        return json.loads(self.ws.recv())

    def collect(self, count):
        return [self.receive() for _ in range(count)]

    def until(self, wanted):
        """Read up to the first message that `wanted` accepts; returns it and those before."""
        before = []
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            message = self.receive()
            if wanted(message):
                return message, before
            before.append(message)
        raise AssertionError(f"not seen in {DEADLINE_S} s; came instead: {before[-3:]}")

    def ask(self, method, params=None, ident=1):
        """Send a control frame and return its answer."""
        frame = {"method": method, "id": ident} | ({} if params is None else {"params": params})
        self.ws.send(json.dumps(frame))
        return self.until(lambda message: isinstance(message, dict) and message.get("id", "") == ident)[0]

    def quiet(self, for_s=0.15):
        """True when nothing comes for so long."""
        self.ws.settimeout(for_s)
        try:
            self.ws.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(DEADLINE_S)
        return False

    def close_code(self):
        """Read until the server closes; the code it gave."""
        while True:
            opcode, data = self.ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")


@pytest.fixture
def rest():
    return Rest


@pytest.fixture
def connect():
    """Open sockets on a simulator: `connect(sim, "btcusdt@trade", ...)` combined, or `connect(sim, path="/ws/...")`."""
    opened = []

    def connect(sim, *streams, path=None, **options):
        where = path if path is not None else f"/stream?streams={'/'.join(streams)}" if streams else "/stream"
        opened.append(Socket(sim.ws_url + where, **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.ws.shutdown()


@pytest.fixture
def eventually():
    """Wait until a condition holds, or fail at the deadline."""

    def wait(condition, deadline_s=DEADLINE_S):
        ends = time.monotonic() + deadline_s
        pause = threading.Event()
        while not (value := condition()):
            assert time.monotonic() < ends, f"did not become true within {deadline_s} s"
            pause.wait(0.005)
        return value

    return wait


class HandClock:
    """UTC nanoseconds that move only by hand."""

    def __init__(self, now_s=1_760_000_000.0):
        self.now_ns = int(now_s * 1e9)

    def __call__(self):
        return self.now_ns

    def advance(self, seconds):
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def hand_clock():
    return HandClock()
