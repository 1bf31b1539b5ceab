"""Both links against the fuzzing server of the Autobahn|Testsuite: what they do with every frame a server should not send.

A development check: the suite needs Python 2.7 and is no dependency. This program starts its server on loopback, opens one link per
case, sends every message back as it came, and reads what the suite judged of the link's answers and of its closing.

    python tests/compare/autobahn.py --wstest build/autobahn/bin/wstest [--links picows] [--cases 1. 7.9] [--page docs/reference/autobahn.md]

What this program does for a link, since the contract has no way to say it: a link sends text only and does not tell text from
binary, so where a case sends binary messages, the echo is made a binary frame below the contract (receiving is as shipped). What
may wait for the socket is 4 MiB in a link; the suite wants messages of 16 MiB back, so the bound is raised here.

Checking that text is UTF-8 is left to whoever decodes it. `--reader-checks-utf8` lets the handler here do it, as a decoder would: on
a message that is not UTF-8 it closes with 1007. Such runs are columns of their own. `--page` puts the tables between the markers of
the page. Exits 1 when a case ends otherwise than `KNOWN` says.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from picows import WSMsgType

from connector.errors import NotConnected
from connector.transport import picows_link, websocket_client_link
from connector.transport.contract import Link, LinkClosed, Links, LinkSettings

LINKS: dict[str, type[Links]] = {
    "picows": picows_link.PicowsLinks,
    "websocket-client": websocket_client_link.WebSocketClientLinks,
}
BINARY = ("1.2.", "9.2.", "9.4.", "9.6.", "9.8.", "9.10.")
CASE_WITHIN_S = 120.0
SERVER_WITHIN_S = 20.0
WAITING_BYTES = 64 * 1024 * 1024
FINE = ("OK", "INFORMATIONAL")
NOT_UTF8 = "text that is not UTF-8 is delivered as it came"
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {}
"""What a link does otherwise than the suite wants: results by link and start of the case's number."""
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Result = dict[str, Any]

# ---------------------------------------------------------------- the client


class Echo:
    """Sends every message back with the type it had, which the case's number tells. Runs on the link's thread."""

    def __init__(self, binary: bool, checks_utf8: bool) -> None:
        self._binary, self._checks_utf8 = binary, checks_utf8 and not binary
        self.ended = threading.Event()
        self.closed: LinkClosed | None = None

    def on_open(self, link: Link) -> None: ...

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        for frame in frames:
            if self._checks_utf8 and not is_utf8(frame):
                link.close(1007)
                return
            with contextlib.suppress(NotConnected):  # the suite has begun to close; nothing more is owed
                if self._binary:
                    send_binary(link, frame)
                else:
                    link.send(frame)

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self.closed = closed
        self.ended.set()


class Listen(Echo):
    """Keeps what the suite tells outside of cases."""

    def __init__(self) -> None:
        super().__init__(binary=False, checks_utf8=False)
        self.frames: list[bytes] = []

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        self.frames += frames


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def send_binary(link: Link, payload: bytes) -> None:
    """One binary message, on the link's own thread, below what the contract offers."""
    if isinstance(link, picows_link.PicowsLink):
        assert link._transport is not None
        link._transport.send(WSMsgType.BINARY, payload)
    else:
        assert isinstance(link, websocket_client_link.WebSocketClientLink)
        frame = websocket_client_link._text_frame(payload, link._masks.next())
        with link._lock:
            link._post(b"\x82" + frame[1:])


def run(links: Links, url: str, echo: Echo) -> None:
    settings = LinkSettings(url, "autobahn", idle_timeout_s=CASE_WITHIN_S, ping_every_s=None)  # a ping would be judged
    link = links.open(settings, echo)
    if not echo.ended.wait(CASE_WITHIN_S):
        print(f"{url}: not ended in {CASE_WITHIN_S:.0f} s")
        link.shutdown()
        echo.ended.wait()
    link.join(5.0)


def asked(links: Links, url: str) -> Any:
    heard = Listen()
    run(links, url, heard)
    if not heard.frames:
        raise SystemExit(f"{url} was not answered: {heard.closed}")
    return json.loads(heard.frames[0])


# ---------------------------------------------------------------- the server


@contextlib.contextmanager
def fuzzing_server(wstest: str, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    spec = folder / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "url": url,
                "options": {"failByDrop": False},
                "outdir": str(folder / "reports"),
                "cases": ["*"],
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    with (folder / "server.log").open("wb") as log:
        command = [wstest, "--mode", "fuzzingserver", "--spec", str(spec), "--webport", "0"]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            until_s = time.monotonic() + SERVER_WITHIN_S
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                    break
                if server.poll() is not None or time.monotonic() > until_s:
                    raise SystemExit(f"the server did not start: {(folder / 'server.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait(SERVER_WITHIN_S)


def case_names(links: Links, server: str) -> list[str]:
    count = asked(links, f"{server}/getCaseCount")
    return [asked(links, f"{server}/getCaseInfo?case={number}")["id"] for number in range(1, count + 1)]


# ---------------------------------------------------------------- results


@dataclass(frozen=True)
class Column:
    """One link, with or without a reader that checks UTF-8."""

    kind: str
    checks_utf8: bool

    @property
    def title(self) -> str:
        return f"{self.kind}, UTF-8 checked by the reader" if self.checks_utf8 else self.kind


def run_all(column: Column, server: str, names: list[str], wanted: list[str], reports: Path) -> dict[str, Result]:
    links, agent = LINKS[column.kind](), quote(column.title)
    for number, name in enumerate(names, 1):
        if any(name.startswith(start) for start in wanted):
            echo = Echo(name.startswith(BINARY), column.checks_utf8)
            run(links, f"{server}/runCase?case={number}&agent={agent}", echo)
    run(links, f"{server}/updateReports?agent={agent}", Listen())
    judged = json.loads((reports / "index.json").read_text())[column.title]
    found: dict[str, Result] = {}
    for name in names:
        if name in judged:
            more = json.loads((reports / judged[name]["reportfile"]).read_text())
            found[name] = {
                "behavior": judged[name]["behavior"],
                "close": judged[name]["behaviorClose"],
                "code": judged[name]["remoteCloseCode"],
                "ms": judged[name]["duration"],
                "sent": " ".join(re.sub(r"<[^>]*>", "", more["description"]).split()),
                "said": f"{more['result']} {more['resultClose']}",
            }
    return found


def expected(column: Column, name: str) -> tuple[str, ...]:
    for start, results in KNOWN.get(column.title, {}).items():
        if name.startswith(start):
            return results
    return FINE


def shown(result: Result) -> str:
    return result["behavior"] if result["close"] in FINE else f"{result['behavior']}, close {result['close']}"


def tables(versions: str, found: dict[str, dict[str, Result]]) -> str:
    names = list(dict.fromkeys(name for results in found.values() for name in results))
    lines = [versions, "", "| cases | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.split(".")[0], []).append(name)
    for group, members in groups.items():
        cells = []
        for results in found.values():
            counts = Counter(shown(results[name]) for name in members if name in results)
            cells.append(", ".join(f"{count} {what}" for what, count in counts.most_common()))
        lines.append(f"| {group} {GROUPS[group]} ({len(members)}) | " + " | ".join(cells) + " |")
    lines += ["", "Every case that is not plainly OK, those not implemented left out:", ""]
    lines += ["| case | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in names:
        cells = [shown(results[name]) if name in results else "-" for results in found.values()]
        if any(cell not in ("OK", "UNIMPLEMENTED", "-") for cell in cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragments",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and speed",
    "10": "fragmented by the server",
    "12": "compression, payloads",
    "13": "compression, parameters",
}


def put_into(page: Path, text: str) -> None:
    whole = page.read_text(encoding="utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wstest", required=True, help="the suite's program, in its own environment of Python 2.7")
    parser.add_argument("--links", nargs="+", default=list(LINKS), choices=list(LINKS))
    parser.add_argument("--cases", nargs="+", default=[""], help="only cases whose number starts with one of these")
    parser.add_argument("--reader-checks-utf8", action="store_true", help="add columns whose handler checks UTF-8")
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    picows_link._UNSENT_BYTES = websocket_client_link._UNSENT_BYTES = WAITING_BYTES
    columns = [Column(kind, False) for kind in chosen.links]
    if chosen.reader_checks_utf8:
        columns += [Column(kind, True) for kind in chosen.links]
    suite = subprocess.run([chosen.wstest, "-a"], check=True, capture_output=True, text=True).stdout
    versions = ", ".join([*suite.split("\n")[:2], *(f"{kind} {version(kind)}" for kind in chosen.links)])
    versions += f"; {time.strftime('%B %Y', time.gmtime())}"
    found: dict[str, dict[str, Result]] = {}
    with tempfile.TemporaryDirectory() as folder, fuzzing_server(chosen.wstest, Path(folder)) as server:
        names = case_names(LINKS[chosen.links[0]](), server)
        for column in columns:
            started_s = time.monotonic()
            found[column.title] = run_all(column, server, names, chosen.cases, Path(folder) / "reports")
            print(f"{column.title}: {len(found[column.title])} cases in {time.monotonic() - started_s:.0f} s", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    print(tables(versions, found))
    if chosen.page:
        put_into(chosen.page, tables(versions, found))
    surprises = 0
    for column in columns:
        for name, result in found[column.title].items():
            if shown(result) not in expected(column, name):
                surprises += 1
                print(f"NO  {column.title}, {name}: {shown(result)}. {result['sent']} {result['said']}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
