"""Both links against the fuzzing server of the Autobahn|Testsuite: what they do with every frame a server should not send.

A development check: the suite needs Python 2.7 and is no dependency. This program starts its server on loopback, opens one link
per case, sends every message back as it came, and reads what the suite judged of the link's answers and of its closing.

    python tests/compare/autobahn.py --wstest build/autobahn/bin/wstest [--tls] [--cases 1. 7.9] [--page …/autobahn.md]

What this program does for a link, since the contract has no way to say it: a link sends text only and does not tell text from
binary, so where a case sends binary messages, the echo is made a binary frame below the contract (receiving is as shipped). What
may wait for the socket is 4 MiB in a link; the suite wants messages of 16 MiB back, so that bound is raised here.

A link does not check that text is UTF-8; whoever decodes it does. So the cases on UTF-8 run twice: with a handler that sends back
what it is given, and with one that decodes every message first and closes with 1007 when that fails.

`--page` puts the tables between the markers of the page. Exits 1 when a case ends otherwise than `KNOWN` says.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme
from picows import WSMsgType

from connector.errors import NotConnected
from connector.transport import picows_link, websocket_client_link
from connector.transport.contract import Link, LinkClosed, Links, LinkSettings, TlsSettings

LINKS: dict[str, type[Links]] = {
    "picows": picows_link.PicowsLinks,
    "websocket-client": websocket_client_link.WebSocketClientLinks,
}
BINARY = ("1.2.", "9.2.", "9.4.", "9.6.", "9.8.")
"""Cases that send binary messages and want them back as such."""
UTF8 = "6."
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragments",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and speed",
    "10": "fragments made by the client",
    "12": "compression, payloads",
    "13": "compression, parameters",
}
FINE = ("OK", "INFORMATIONAL")
NOT_REFUSED = "FAILED, close FAILED"
KNOWN = {
    ("picows", "4."): ("NON-STRICT",),
    ("picows", "7.1.2"): ("FAILED, close WRONG CODE",),
    ("picows", "12."): ("UNIMPLEMENTED",),
    ("picows", "13."): ("UNIMPLEMENTED",),
    ("websocket-client", "12."): ("UNIMPLEMENTED",),
    ("websocket-client", "13."): ("UNIMPLEMENTED",),
}
"""Results otherwise than `FINE` that stand, by link and start of the case's number; the page says why."""
FAIL_FAST = "6.4."
CASE_WITHIN_S = 120.0
SERVER_WITHIN_S = 20.0
WAITING_BYTES = 64 * 1024 * 1024
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    link: str
    tls: bool = False
    decodes: bool = False

    @property
    def title(self) -> str:
        return f"{self.link}{', TLS' if self.tls else ''}{', decoding' if self.decodes else ''}"


# ---------------------------------------------------------------- the client


class Echo:
    """Sends every message back with the type it had, which the case's number tells. Runs on the link's thread."""

    def __init__(self, binary: bool = False, decodes: bool = False) -> None:
        self._binary, self._decodes = binary, decodes
        self.not_utf8 = False
        self.ended = threading.Event()
        self.closed: LinkClosed | None = None

    def on_open(self, link: Link) -> None: ...

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        for frame in frames:
            if not self._binary and not is_utf8(frame):
                self.not_utf8 = True
                if self._decodes:
                    link.close(1007)
                    return
            with contextlib.suppress(
                NotConnected
            ):  # the connection is ending; whether an echo was owed, the suite judges
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
        super().__init__()
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


@dataclass(frozen=True)
class Server:
    url: str
    ca_file: str | None
    reports: Path

    def visit(self, links: Links, path: str, echo: Echo) -> None:
        """One connection, until it is over."""
        link = links.open(
            LinkSettings(
                self.url + path,
                "autobahn",
                tls=TlsSettings(ca_file=self.ca_file),
                upgrade_timeout_s=CASE_WITHIN_S,
                idle_timeout_s=CASE_WITHIN_S,
                ping_every_s=None,  # a ping nobody asked for is judged as wrong
            ),
            echo,
        )
        if not echo.ended.wait(CASE_WITHIN_S):
            print(f"{path}: not ended in {CASE_WITHIN_S:.0f} s")
            link.shutdown()
            echo.ended.wait(CASE_WITHIN_S)
        link.join(5.0)

    def ask(self, links: Links, path: str) -> Any:
        heard = Listen()
        self.visit(links, path, heard)
        if not heard.frames:
            raise SystemExit(f"{path} was not answered: {heard.closed}")
        return json.loads(heard.frames[0])

    def case_names(self, links: Links) -> list[str]:
        count = self.ask(links, "/getCaseCount")
        return [self.ask(links, f"/getCaseInfo?case={number}")["id"] for number in range(1, count + 1)]


@contextlib.contextmanager
def fuzzing_server(wstest: str, tls: bool) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = Server(f"{'wss://localhost' if tls else 'ws://127.0.0.1'}:{port}", None, folder / "reports")
        spec: dict[str, Any] = {"url": server.url, "options": {"failByDrop": False}, "outdir": str(server.reports)}
        spec |= {"cases": ["*"], "exclude-cases": [], "exclude-agent-cases": {}}
        if tls:
            authority = trustme.CA()
            issued = authority.issue_cert("localhost")
            authority.cert_pem.write_to_path(str(folder / "ca.pem"))
            issued.private_key_pem.write_to_path(str(folder / "key.pem"))
            issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
            spec |= {"key": str(folder / "key.pem"), "cert": str(folder / "cert.pem")}
            server = replace(server, ca_file=str(folder / "ca.pem"))
        (folder / "spec.json").write_text(json.dumps(spec))
        log = stack.enter_context((folder / "server.log").open("wb"))
        command = [wstest, "--mode", "fuzzingserver", "--spec", str(folder / "spec.json"), "--webport", "0"]
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            until_s = time.monotonic() + SERVER_WITHIN_S
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                    break
                if running.poll() is not None or time.monotonic() > until_s:
                    raise SystemExit(f"the server did not start: {(folder / 'server.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield server
        finally:
            running.terminate()
            running.wait(SERVER_WITHIN_S)


# ---------------------------------------------------------------- results


def visit_all(run: Run, server: Server, names: list[str], wanted: list[str]) -> dict[str, Echo]:
    """Every case once. What the suite thinks of it, `judged` tells."""
    links, agent = LINKS[run.link](), quote(run.title)
    heard: dict[str, Echo] = {}
    for number, name in enumerate(names, 1):
        if name.startswith(tuple(wanted)) and (name.startswith(UTF8) or not run.decodes):
            heard[name] = Echo(name.startswith(BINARY), run.decodes)
            server.visit(links, f"/runCase?case={number}&agent={agent}", heard[name])
    return heard


def judged(server: Server, visited: dict[Run, dict[str, Echo]]) -> dict[Run, dict[str, Result]]:
    server.visit(LINKS["websocket-client"](), "/updateReports?agent=all", Listen())  # it writes before it answers
    index = json.loads((server.reports / "index.json").read_text())
    found: dict[Run, dict[str, Result]] = {}
    for run, heard in visited.items():
        found[run] = {}
        for name, echo in heard.items():
            each = index[run.title][name]
            more = json.loads((server.reports / each["reportfile"]).read_text())
            found[run][name] = {
                "behavior": each["behavior"],
                "close": each["behaviorClose"],
                "code": each["remoteCloseCode"],
                "ms": each["duration"],
                "not_utf8": echo.not_utf8,
                "said": f"{more['result']} {more['resultClose']}",
                "ended": echo.closed.reason if echo.closed is not None else "not in time",
            }
    return found


def shown(result: Result) -> str:
    return result["behavior"] if result["close"] in FINE else f"{result['behavior']}, close {result['close']}"


def stands(run: Run, name: str, result: Result) -> bool:
    what = shown(result)
    if what in FINE:
        return not result["not_utf8"] or run.decodes
    if name.startswith(UTF8):
        if run.decodes:
            return name.startswith(FAIL_FAST) and what == "NON-STRICT"
        return bool(result["not_utf8"]) and what == NOT_REFUSED
    return any(link == run.link and name.startswith(start) and what in known for (link, start), known in KNOWN.items())


def counted(results: dict[str, Result], group: str) -> str:
    counts = Counter(shown(result) for name, result in results.items() if name.startswith(f"{group}."))
    return "; ".join(f"{count} {what}" for what, count in counts.most_common()) or "-"


def tables(versions: str, found: dict[Run, dict[str, Result]]) -> str:
    columns = [run for run in found if not run.decodes]
    heads = ["| cases | " + " | ".join(run.title for run in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    names = list(dict.fromkeys(name for run in columns for name in found[run]))
    lines = [versions, "", *heads]
    for group in dict.fromkeys(name.split(".")[0] for name in names):
        size = sum(name.startswith(f"{group}.") for name in names)
        cells = [counted(found[run], group) for run in columns]
        lines.append(f"| {group}, {GROUPS.get(group, '')} ({size}) | " + " | ".join(cells) + " |")
        if f"{group}." == UTF8:
            cells = [counted(found.get(replace(run, decodes=True), {}), group) for run in columns]
            lines.append("| the same, with a handler that decodes | " + " | ".join(cells) + " |")
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        cells = [shown(found[run][name]) for run in columns]
        if not name.startswith((UTF8, "12.", "13.")) and set(cells) != {"OK"}:
            alike.setdefault(tuple(cells), []).append(name)
    lines += ["", "Cases outside of 6, 12 and 13 that are not plainly OK:", "", *heads]
    lines += [f"| {', '.join(members)} | " + " | ".join(cells) + " |" for cells, members in alike.items()]
    return "\n".join(lines) + "\n"


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
    parser.add_argument("--tls", action="store_true", help="everything once more over wss")
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    picows_link._UNSENT_BYTES = websocket_client_link._UNSENT_BYTES = WAITING_BYTES
    suite = subprocess.run([chosen.wstest, "-a"], check=True, capture_output=True, text=True).stdout.split("\n")
    versions = ", ".join([suite[1], *(f"{kind} {version(kind)}" for kind in chosen.links)])
    versions += f"; {time.strftime('%B %Y', time.gmtime())}."
    found: dict[Run, dict[str, Result]] = {}
    for tls in (False, True) if chosen.tls else (False,):
        with fuzzing_server(chosen.wstest, tls) as server:
            names = server.case_names(LINKS[chosen.links[0]]())
            visited: dict[Run, dict[str, Echo]] = {}
            for run in [Run(kind, tls, decodes) for kind in chosen.links for decodes in (False, True)]:
                started_s = time.monotonic()
                visited[run] = visit_all(run, server, names, chosen.cases)
                print(f"{run.title}: {len(visited[run])} cases in {time.monotonic() - started_s:.0f} s", flush=True)
            found |= judged(server, visited)
    if chosen.json:
        chosen.json.write_text(json.dumps({run.title: results for run, results in found.items()}, indent=1) + "\n")
    text = tables(versions, found)
    print(text)
    if chosen.page:
        put_into(chosen.page, text)
    surprises = [
        f"NO  {run.title}, {name}: {shown(result)}. {result['said']}. The link: {result['ended']}"
        for run, results in found.items()
        for name, result in results.items()
        if not stands(run, name, result)
    ]
    print("\n".join(surprises) or "every case ends as is known")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
