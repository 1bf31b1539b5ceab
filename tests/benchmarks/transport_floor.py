"""What a message costs on its way in: each transport against the barest use of the library below it, in the same run.

A blaster process of its own writes pre-encoded frames into a loopback connection as fast as the socket takes them. The
client runs in a process of its own too, and reports the CPU it burned between the first message and the last (its own
`time.process_time`), so neither the blaster nor the start-up is counted. Figures travel between machines only as ratios.

    python tests/benchmarks/transport_floor.py        prints the table; `measure(...)` gives the rows to other scripts

The bare use ("floor"): picows with a callback that looks at the type of the frame, copies the payload and counts;
websocket-client with `recv_data` in a loop and `skip_utf8_validation=True`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TRADE = (
    b'{"e":"trade","E":1760000000123,"s":"BTCUSDT","t":5123456789,"p":"121234.56000000","q":"0.00123000",'
    b'"T":1760000000122,"m":true,"M":true,"_":"........"}'
)
SIDE = ",".join(f'["{121234 + level}.56000000","0.{level:08d}"]' for level in range(20)).encode()
DEPTH = (
    b'{"e":"depthUpdate","E":1760000000123,"s":"BTCUSDT","U":71234567890,"u":71234567910,"b":['
    + SIDE
    + b'],"a":['
    + SIDE
    + b"]}"
)
MESSAGES = {"trade": TRADE, "depth": DEPTH}
FLOORS = {"picows": "floor picows", "websocket-client": "floor websocket-client"}
BOUNDS = {"picows": 1.25, "websocket-client": 1.1}


@dataclass(frozen=True)
class Measured:
    """One client over one kind of message.

    Attributes:
        cpu_us: CPU of the client process per message, in microseconds.
        per_s: messages a second by the wall clock, blaster and client sharing the machine.
    """

    client: str
    message: str
    count: int
    cpu_us: float
    per_s: float


# ---------------------------------------------------------------- the blaster, a process of its own


def frame(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([0x81, 126]) + len(payload).to_bytes(2, "big") + payload
    return bytes([0x81, 127]) + len(payload).to_bytes(8, "big") + payload


def read_frame(held: bytes) -> tuple[int, bytes, int] | None:
    """(opcode, payload, bytes used) of the first whole frame of a client, which masks it; None while there is none."""
    if len(held) < 6:
        return None
    length, at = held[1] & 0x7F, 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        if len(held) < 2 + wide:
            return None
        length, at = int.from_bytes(held[2 : 2 + wide], "big"), 2 + wide
    mask, start = held[at : at + 4], at + 4
    if len(held) < start + length:
        return None
    whole = int.from_bytes(held[start : start + length], "big")
    pattern = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return held[0] & 0x0F, (whole ^ pattern).to_bytes(length, "big"), start + length


def upgrade(sock: socket.socket) -> None:
    """Answer a WebSocket handshake."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += sock.recv(65536)
    key = request.lower().split(b"sec-websocket-key:")[1].split(b"\r\n")[0]
    at = request.lower().index(key)
    accept = base64.b64encode(hashlib.sha1(request[at : at + len(key)].strip() + GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def blaster_main(message: str, count: int) -> None:
    """Serve one connection: `count` frames, then a close frame. Prints its port first."""
    block_of = 200
    block = frame(MESSAGES[message]) * block_of
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
        with sock:
            upgrade(sock)
            for _ in range(count // block_of):
                sock.sendall(block)
            sock.sendall(frame(MESSAGES[message]) * (count % block_of) + b"\x88\x02\x03\xe8")
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass


@contextlib.contextmanager
def blast(message: str, count: int) -> Iterator[str]:
    """The URL of a server that sends `count` messages of one kind ("trade" or "depth") to whoever connects first."""
    command = [sys.executable, __file__, "--blaster", "--message", message, "--count", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.kill()


# ---------------------------------------------------------------- the clients


class Tally:
    """Counts messages; the first one starts the clocks, so connecting is not counted."""

    def __init__(self, count: int) -> None:
        self.wanted, self.count = count, 0
        self.done = threading.Event()
        self.cpu_s = self.wall_s = 0.0

    def start(self) -> None:
        self.cpu_s, self.wall_s = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self.cpu_s, self.wall_s = time.process_time() - self.cpu_s, time.perf_counter() - self.wall_s
        self.done.set()


def floor_picows(url: str, tally: Tally) -> None:
    import asyncio

    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    class Listener(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            tally.start()

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type is WSMsgType.TEXT:
                payload = frame.get_payload_as_bytes()
                tally.count += 1 if payload else 0
            elif frame.msg_type is WSMsgType.CLOSE:
                tally.stop()
                transport.disconnect()

    async def run() -> None:
        transport, _ = await ws_connect(Listener, url)
        await transport.wait_disconnected()

    asyncio.run(run())


def floor_websocket_client(url: str, tally: Tally) -> None:
    import websocket

    client = websocket.WebSocket(skip_utf8_validation=True)
    client.connect(url)
    tally.start()
    while True:
        opcode, payload = client.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            break
        tally.count += len(payload) > 2
    tally.stop()
    client.close()


def through_link(transport: str) -> Callable[[str, Tally], None]:
    def run(url: str, tally: Tally) -> None:
        from connector.transport.contract import Link, LinkClosed, LinkSettings
        from connector.transport.select import links_for

        class Handler:
            def on_open(self, link: Link) -> None:
                tally.start()

            def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
                tally.count += len(frames)

            def on_closed(self, link: Link, closed: LinkClosed) -> None:
                tally.stop()

        link = links_for(transport).open(LinkSettings(url, "benchmark"), Handler())  # type: ignore[arg-type]
        tally.done.wait(120.0)
        link.join(5.0)

    return run


CLIENTS: dict[str, Callable[[str, Tally], None]] = {
    "floor picows": floor_picows,
    "picows": through_link("picows"),
    "floor websocket-client": floor_websocket_client,
    "websocket-client": through_link("websocket-client"),
}


def client_main(client: str, message: str, count: int) -> None:
    """Run one client against a blaster and print its figures as JSON."""
    tally = Tally(count)
    with blast(message, count) as url:
        CLIENTS[client](url, tally)
    if tally.count != count:
        raise SystemExit(f"{client} saw {tally.count} of {count} messages")
    print(json.dumps({"cpu_us": tally.cpu_s / count * 1e6, "per_s": count / tally.wall_s}))


def measure(client: str, message: str, count: int, repeats: int = 3) -> Measured:
    """The best of some runs, each in a fresh process.

    Raises:
        subprocess.CalledProcessError: a run failed, or lost a message.
    """
    command = [sys.executable, __file__, "--client", client, "--message", message, "--count", str(count)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout)
        for _ in range(repeats)
    ]
    best = min(runs, key=lambda run: run["cpu_us"])
    return Measured(client, message, count, best["cpu_us"], best["per_s"])


def rows(scale: float = 1.0, repeats: int = 3) -> list[dict[str, object]]:
    """Rows of a report (`name`, `value`, `unit`, `bound`, `ok`): CPU and rate of each, and each link against its floor."""
    counts = {"picows": 1_000_000, "websocket-client": 200_000}
    report: list[dict[str, object]] = []
    for message in MESSAGES:
        for transport, floor in FLOORS.items():
            count = int(counts[transport] * scale / (1 if message == "trade" else 4))
            bare, ours = measure(floor, message, count, repeats), measure(transport, message, count, repeats)
            for figure in (bare, ours):
                name = f"{figure.client}, {message}"
                report.append(
                    {
                        "name": f"{name}: CPU per message",
                        "value": round(figure.cpu_us, 3),
                        "unit": "µs",
                        "bound": None,
                        "ok": True,
                    }
                )
                report.append(
                    {
                        "name": f"{name}: messages",
                        "value": round(figure.per_s),
                        "unit": "1/s",
                        "bound": None,
                        "ok": True,
                    }
                )
            ratio, bound = ours.cpu_us / bare.cpu_us, BOUNDS[transport]
            report.append(
                {
                    "name": f"{transport}, {message}: CPU against its floor",
                    "value": round(ratio, 3),
                    "unit": "x",
                    "bound": bound,
                    "ok": ratio <= bound,
                }
            )
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blaster", action="store_true")
    parser.add_argument("--client", choices=list(CLIENTS))
    parser.add_argument("--message", choices=list(MESSAGES), default="trade")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--json", action="store_true", help="one row a line")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of messages")
    chosen = parser.parse_args()
    if chosen.blaster:
        blaster_main(chosen.message, chosen.count)
        return 0
    if chosen.client:
        client_main(chosen.client, chosen.message, chosen.count)
        return 0
    report = rows(chosen.scale)
    for row in report:
        if chosen.json:
            print(json.dumps(row))
            continue
        bound = "" if row["bound"] is None else f"  (at most {row['bound']})"
        print(f"{'ok ' if row['ok'] else 'NO '} {row['name']:55} {row['value']:>12,} {row['unit']}{bound}")
    return 0 if all(row["ok"] for row in report) else 1


if __name__ == "__main__":
    raise SystemExit(main())
