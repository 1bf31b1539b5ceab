"""Scenarios of the fault matrix: connections, frames and books of market data (F01-F35)."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from harness import BINANCE, PRODUCTS, BookJudge, TradeJudge, eventually, generous_connects, is_live, shaped_driver
from proxy import Proxy
from scenario import Bench, Seen, Witness, public, scenario

sys.path.append(str(Path(__file__).parents[1] / "transport"))
import servers

from connector.assembly import Parts
from connector.clock import SystemClock
from connector.domain import BookState
from connector.errors import ConnectorError
from connector.simulator.faults import MALFORMED_KINDS
from connector.throttle import BackoffPolicy
from connector.transport.dial import Dialer
from connector.transport.select import links_for
from connector.venue.delivery import TopicState

PLAIN, TLS = "public stream", "public stream over TLS"
TRANSPORTS = ("picows", "websocket-client")
BACK_S = 3.0
OUTAGE_S = 3.0
TRADES, DELTAS = BINANCE.topic(BINANCE.trade_topic), BINANCE.topic(BINANCE.book_topic)
ROOMY = dict(BINANCE.roomy)


def pause(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


def asked(bench: Bench, fault: Callable[[], object], heal: Callable[[], object]) -> Seen:
    """A fault of the REST side alone: a question fails in time, or is answered; the streams notice nothing."""
    venue = bench.rig.venue
    venue.server_time_ns()
    bench.strike(fault)
    try:
        venue.server_time_ns()
    except ConnectorError as failed:
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        bench.seen.note = type(failed).__name__
    heal()
    healed_s = time.monotonic()

    def answered() -> bool:
        with suppress(ConnectorError):
            return bool(venue.server_time_ns(5.0) > 0)
        return False

    eventually(answered, 30.0, "no question is answered any more")
    bench.seen.back_s = time.monotonic() - healed_s
    bench.rig.await_flow(*bench.topics)
    return bench.judged(unmoved=True)


# ---------------------------------------------------------------- F01-F04: ends and silences


def reset(inside: Any, offsets: tuple[int, ...], **options: Any) -> Seen:
    """F01: one reset at each offset, each answered before the next."""
    product = options.get("product", BINANCE)
    with public(driver=generous_connects(product), **options) as bench:
        for at_byte in offsets:
            bench.strike(partial(bench.stream.cut, at_byte=at_byte, inside=inside))
            bench.await_noticed()
            bench.await_back()
        return bench.judged()


for _transport in TRANSPORTS:
    for _tls, _inside, _offsets in (
        (False, None, (0, 1)),
        (False, "frame", (1, 3)),
        (False, "frame", (40,)),
        (True, "record", (0, 3)),
        (True, "record", (20,)),
    ):
        _where = f"byte {', '.join(map(str, _offsets))} of a {_inside or 'read'}"
        scenario("F01", f"{TLS if _tls else PLAIN}, {_transport}, {_where}", back_s=BACK_S)(
            partial(reset, _inside, _offsets, tls=_tls, transport=_transport)
        )
for _product in list(PRODUCTS.values())[1:]:
    scenario("F01", f"{PLAIN}, {_product}", back_s=BACK_S, may_lose=_product.opaque)(
        partial(reset, "frame", (3,), product=_product, simulator=dict(_product.roomy))
    )


def reset_in_upgrade() -> Seen:
    """F01: the answer to the upgrade is torn, twice."""
    with public() as bench:
        bench.stream.bend("to_client", limit_bytes=30)
        bench.strike(bench.stream.cut)
        eventually(lambda: bench.rig.counter("stream.connections_lost") >= 3, 20.0)
        bench.await_noticed()
        bench.stream.heal()
        bench.await_back(time.monotonic())
        return bench.judged()


scenario("F01", f"{PLAIN}, byte 30 of the upgrade's answer, twice", back_s=BACK_S)(reset_in_upgrade)


def reset_answer(at_byte: int, tls: bool) -> Seen:
    with public(tls=tls) as bench:
        return asked(bench, partial(bench.rest.cut, at_byte=at_byte, inside="answer"), lambda: None)


for _tls, _offsets in ((False, (0, 10, 300)), (True, (3, 40))):
    for _at in _offsets:
        scenario("F01", f"public REST{' over TLS' if _tls else ''}, byte {_at} of an answer", back_s=BACK_S)(
            partial(reset_answer, _at, _tls)
        )


@scenario("F02", f"{PLAIN}, every code 1000-1003, 1007-1014, 3000, 4000, 4999", back_s=BACK_S)
def closed_cleanly() -> Seen:
    quick = BackoffPolicy(healthy_s=0.01)  # each loss is the first in a row
    with public(driver=generous_connects(), book=False, reconnect=quick) as bench:
        for code in (*range(1000, 1004), *range(1007, 1015), 3000, 4000, 4999):
            bench.rig.await_flow(*bench.topics)
            bench.strike(partial(bench.sim.faults.close, code, "because"))
            bench.await_noticed()
            bench.await_back()
        return bench.judged()


def half_open(way: Any, noticing: str, **options: Any) -> Seen:
    """F03, F04: with the times users get."""
    product = options.get("product", BINANCE)
    with public(**options) as bench:
        bench.strike(partial(bench.stream.half_open, way))
        quiet = None
        if noticing == "by asking":  # data still comes, so only what we say is lost
            quiet = bench.rig.subscribe("candles", product.other, interval="1M")
        bench.await_noticed()
        bench.await_back()
        if quiet is not None and not is_live(quiet):
            bench.rig.await_flow(quiet, within_s=20.0)
        return bench.judged()


for _transport in TRANSPORTS:
    scenario("F03", f"{PLAIN}, {_transport}", noticed_s=15.0, back_s=15.0)(
        partial(half_open, "both", "by silence", transport=_transport)
    )
scenario("F03", f"{TLS}", noticed_s=15.0, back_s=15.0)(partial(half_open, "both", "by silence", tls=True))
scenario("F04", f"{PLAIN}, we hear nothing", noticed_s=15.0, back_s=15.0)(partial(half_open, "to_client", "by silence"))
scenario("F04", f"{PLAIN}, the exchange hears nothing", noticed_s=15.0, back_s=15.0)(
    partial(half_open, "to_venue", "by asking")
)


@scenario("F03", "public REST (a question ends with an error after 10 s)", noticed_s=11.0, back_s=BACK_S)
def silent_rest() -> Seen:
    with public() as bench:
        return asked(bench, partial(bench.rest.half_open, new_connections=True), bench.rest.heal)


# ---------------------------------------------------------------- F05-F10, F16: connections that cannot be made


def outage(begin: str, lasts_s: float) -> Seen:
    """F05, F06: nobody listens, or nobody answers, for a while, on both ports."""
    with public() as bench:
        connects = bench.rig.counter("stream.connects")
        bench.strike(lambda: [getattr(proxy, begin)() for proxy in (bench.stream, bench.rest)])
        bench.await_noticed()
        pause(lasts_s)
        attempts = bench.rig.counter("stream.connects") - connects
        for proxy in (bench.stream, bench.rest):
            proxy.heal()
        bench.await_back(time.monotonic())
        bench.seen.note = f"{attempts} attempts in {lasts_s:g} s, {bench.rig.memory.connects.allowed} allowed in 5 min"
        if attempts > bench.rig.memory.connects.allowed:
            bench.seen.wrong.append("more attempts than a fifth of the exchange's allowance")
        return bench.judged()


scenario("F05", "TCP, refused for 3 s", noticed_s=1.0, back_s=30.0)(partial(outage, "down", OUTAGE_S))
scenario("F05", "TCP, refused for 12 s", noticed_s=1.0, back_s=30.0)(partial(outage, "down", 12.0))
scenario("F06", "TCP, no answer to SYN for 7 s", noticed_s=1.0, back_s=30.0)(partial(outage, "swallow", 7.0))


@scenario("F07", "WebSocket upgrade", noticed_s=1.0, back_s=30.0)
def upgrade_unanswered() -> Seen:
    with public() as bench:
        bench.sim.faults.hang_upgrade(count=1)
        bench.strike(bench.stream.cut)
        bench.await_noticed()
        hung = {thread for thread in threading.enumerate() if "stream" in thread.name and "calm" not in thread.name}
        eventually(lambda: "while upgrading" in bench.trades.subscription.freshness().reason, 8.0)
        took_s = time.monotonic() - bench.began_s
        bench.await_back(bench.began_s)
        bench.seen.note = f"given up after {took_s:.1f} s"
        if took_s > 6.0:
            bench.seen.wrong.append(f"given up only after {took_s:.1f} s; {hung}")
        return bench.judged()


@scenario("F08", "WebSocket upgrade, 301 400 403 404 418 429 451 500 502 503 504", noticed_s=1.0, back_s=30.0)
def upgrade_refused() -> Seen:
    with public(driver=generous_connects(), book=False, reconnect=BackoffPolicy(healthy_s=0.01)) as bench:
        for status in (301, 400, 403, 404, 418, 429, 451, 500, 502, 503, 504):
            wait_s = 1 if status in (418, 429) else None
            lost = bench.rig.counter("stream.connections_lost")
            bench.sim.faults.refuse_upgrade(status, count=1, retry_after_s=wait_s)
            bench.strike(bench.stream.cut)
            bench.await_noticed()
            eventually(lambda lost=lost: bench.rig.counter("stream.connections_lost") >= lost + 2, 40.0, str(status))
            refused_s = time.monotonic()
            took_s = bench.await_back(refused_s)
            if wait_s is not None and took_s < wait_s - 0.2:
                bench.seen.wrong.append(f"{status} said to wait {wait_s} s, tried again after {took_s:.2f} s")
        return bench.judged()


class Names:
    """A name service that fails on demand: `mode` is right, fails, hangs, dead (an address nobody has, then the right one) or
    moved (another port, where the same exchange is)."""

    def __init__(self) -> None:
        self.mode, self.moved_to, self.asked = "right", 0, 0
        self.over = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.mode == "fails":
            raise OSError("name service has no answer")
        if self.mode == "hangs":
            self.over.wait(30.0)
        found = [("127.0.0.1", self.moved_to if self.mode == "moved" else port)]
        if self.mode == "dead":
            found.insert(0, ("127.0.0.77", port))
        return [(2, 1, 6, "", address) for address in found]

    def parts(self, chosen: Parts) -> Parts:
        clock = SystemClock()
        dialer = Dialer(clock, self)
        return replace(chosen, links=lambda venue: links_for(venue.transport, None, clock=clock, dialer=dialer))


def nameless(mode: str) -> Seen:
    """F09: lookups go wrong for a while, as the connection is lost."""
    names = Names()
    with public(host="venue.test", parts=names.parts) as bench, Proxy("127.0.0.1", bench.sim.port) as elsewhere:
        names.mode, names.moved_to = mode, elsewhere.port
        if mode == "moved":
            bench.strike(bench.stream.down)
        else:
            bench.strike(bench.stream.cut)
        bench.await_noticed()
        since_s = bench.began_s
        if mode in ("fails", "hangs"):
            pause(6.0 if mode == "hangs" else OUTAGE_S)
            names.mode = "right"
            names.over.set()
            since_s = time.monotonic()
        bench.await_back(since_s)
        bench.seen.note = f"{names.asked} lookups"
        return bench.judged()


for _mode, _said in (
    ("fails", "lookup fails for 3 s"),
    ("hangs", "lookup hangs for 6 s"),
    ("dead", "first address dead, second right"),
    ("moved", "address changes"),
):
    scenario("F09", f"DNS, {_said}", noticed_s=1.0, back_s=30.0)(partial(nameless, _mode))


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 2, tzinfo=dt.UTC))


def _server_side(leaf: trustme.LeafCert, old: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    if old:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def distrusted(kind: str) -> Seen:
    """F10: for a while the port answers with TLS that must not be accepted."""
    authority = trustme.CA()
    leaf = {
        "wrong name": lambda: authority.issue_cert("api.other.test"),
        "expired": lambda: _expired(authority),
        "old version": lambda: authority.issue_cert("127.0.0.1"),
        "unknown issuer": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }.get(kind, lambda: authority.issue_cert("127.0.0.1"))()
    with ExitStack() as opened:
        bench = opened.enter_context(public(tls=True, authority=authority))
        bad = opened.enter_context(
            servers.Server(lambda peer: peer.wait_gone(), tls=_server_side(leaf, kind == "old version"))
        )
        refused = bench.rig.counter("stream.connections_lost")
        if kind == "cut in the handshake":
            bench.stream.bend("to_client", limit_bytes=50)
        else:
            bench.stream.lead(bad.port)
        bench.strike(bench.stream.cut)
        bench.await_noticed()
        eventually(lambda: bench.rig.counter("stream.connections_lost") >= refused + 3, 30.0)
        bench.seen.note = bench.trades.subscription.freshness().reason[:80]
        bench.stream.lead(bench.sim.port)
        bench.stream.heal()
        bench.await_back(time.monotonic())
        plain = [each for each in bench.stream.first_bytes if not each.startswith(b"\x16")]
        bench.seen.wrong += [f"plain bytes were sent: {each!r}" for each in plain]
        return bench.judged()


for _kind in ("wrong name", "expired", "unknown issuer", "old version", "cut in the handshake"):
    scenario("F10", f"TLS, {_kind}", noticed_s=1.0, back_s=30.0)(partial(distrusted, _kind))


def by_proxy(scheme: str, fault: str) -> Seen:
    """F16: an HTTP or SOCKS proxy that dies, refuses, or hangs."""
    passed: list[str] = []
    script = servers.http_proxy(passed) if scheme == "http" else servers.socks5_proxy(passed)
    with ExitStack() as opened:
        real = opened.enter_context(servers.Server(script))
        between = opened.enter_context(Proxy("127.0.0.1", real.port))
        bench = opened.enter_context(public(calm=False, proxy=f"{scheme}://127.0.0.1:{between.port}"))
        if fault == "dies":
            bench.strike(between.cut)
        elif fault == "refuses":
            bench.strike(between.down)
        else:
            bench.strike(partial(between.half_open, "both", new_connections=True))
        bench.await_noticed()
        since_s = bench.began_s
        if fault != "dies":
            pause(OUTAGE_S)
            between.heal()
            since_s = time.monotonic()
        bench.await_back(since_s)
        if not passed:
            bench.seen.wrong.append("nothing went through the proxy")
        return bench.judged()


for _scheme in ("http", "socks5"):
    for _fault in ("dies", "refuses", "hangs"):
        scenario("F16", f"{_scheme} proxy {_fault}", noticed_s=15.0, back_s=30.0)(partial(by_proxy, _scheme, _fault))


# ---------------------------------------------------------------- F11-F15: bent, closed, planned


def bent(where: str, **shape: Any) -> Seen:
    """F11: the bytes come late, in pieces or slowly; nothing is read wrong."""
    with public(events_per_s=60.0) as bench:
        proxy = bench.rest if where == "rest" else bench.stream
        bench.strike(partial(proxy.bend, "both", **shape))
        so_far = len(bench.trades.seen)
        eventually(lambda: len(bench.trades.seen) >= so_far + 20, 30.0)
        for _ in range(3):
            bench.rig.venue.server_time_ns(10.0)
        proxy.heal()
        bench.await_back(time.monotonic())
        return bench.judged(unmoved=True)


for _said, _shape in (
    ("single bytes", {"slice_bytes": 1}),
    ("0 to 2 s late", {"latency_s": 0.0, "jitter_s": 2.0}),
    ("10 KB a second", {"bandwidth": 10_000.0}),
    ("single bytes, 50 ms late", {"slice_bytes": 1, "latency_s": 0.05, "jitter_s": 0.05}),
):
    scenario("F11", f"{PLAIN}, {_said}", back_s=BACK_S)(partial(bent, "stream", **_shape))
    scenario("F11", f"public REST, {_said}", back_s=BACK_S)(partial(bent, "rest", **_shape))


def never_closed(transport: str) -> Seen:
    """F12: our close meets a peer that says nothing more, or ends it slowly."""
    with public(transport=transport, book=False, calm=False) as bench:
        link = next(iter(bench.rig.memory._links))
        bench.strike(bench.stream.half_open)
        bench.trades.subscription.close()  # the last topic: its connection is closed with a handshake
        if not link.join(10.0):
            bench.seen.wrong.append(f"{link!r} is still there after 10 s")
        bench.seen.back_s = time.monotonic() - bench.began_s
        return bench.judged()


for _transport in TRANSPORTS:
    scenario("F12", f"{PLAIN}, {_transport}: until the socket and its thread are gone", back_s=2.0)(
        partial(never_closed, _transport)
    )


@scenario("F12", f"{PLAIN}, the end told 2 s late", noticed_s=5.0, back_s=5.0)
def closed_slowly() -> Seen:
    with public() as bench:
        bench.stream.bend("to_client", slow_close_s=2.0)
        bench.strike(bench.sim.faults.cut)
        bench.await_noticed()
        bench.await_back()
        return bench.judged()


@scenario("F12", f"{PLAIN}, every connection ends after 200 KB, three times", back_s=BACK_S)
def limited() -> Seen:
    with public(driver=generous_connects()) as bench:
        bench.strike(partial(bench.stream.bend, "to_client", limit_bytes=200_000))
        eventually(lambda: bench.rig.counter("stream.connections_lost") >= 3, 40.0)
        bench.await_noticed()
        bench.seen.noticed_s = None  # when the limit is reached is chance
        bench.stream.heal()
        bench.await_back(time.monotonic())
        return bench.judged()


@scenario("F13", "public stream, for 20 s", noticed_s=1.0, back_s=30.0)
def accepted_and_closed() -> Seen:
    with public() as bench:
        connects = bench.rig.counter("stream.connects")
        bench.sim.faults.close_on_open(for_s=20.0)
        bench.strike(bench.stream.cut)
        bench.await_noticed()
        pause(20.0)
        attempts = bench.rig.counter("stream.connects") - connects
        bench.await_back(time.monotonic(), within_s=90.0)
        bench.seen.note = f"{attempts} attempts in 20 s"
        if attempts > 20:
            bench.seen.wrong.append(f"{attempts} attempts: the backoff was reset by merely connecting")
        return bench.judged()


@scenario("F14", "TCP, 50 connections of one client, none spent before", noticed_s=1.0, back_s=30.0)
def many_at_once() -> Seen:
    names = tuple(f"{letter}{other}QUSDT" for letter in "ABCDE" for other in "ABCDE")
    driver = shaped_driver(limits={"topics_per_connection": 1, "connects": 1_000})
    with public(symbols=("BTCUSDT", *names), driver=driver, book=False, calm=False, events_per_s=300.0) as bench:
        topics = [
            bench.rig.subscribe(kind, f"{name[:3]}/USDT", capacity=10**6)
            for name in names
            for kind in ("trades", "book_ticker")
        ]
        bench.rig.await_confirmed(40.0)
        before = bench.stream.open
        bench.strike(bench.stream.cut)
        bench.await_noticed()
        eventually(lambda: all(topic.state is TopicState.LIVE for topic in (*topics, bench.trades.subscription)), 60.0)
        bench.rig.await_confirmed(30.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        bench.rig.await_flow(bench.trades.subscription)
        bench.seen.note = f"{before} connections lost"
        bench.seen.wrong += [f"a limit of the exchange was broken: {each}" for each in bench.sim.ledger.violations()]
        return bench.judged()


@scenario("F15", "public stream, notice of a shutdown")
def announced() -> Seen:
    with public() as bench:
        first = bench.sim.ledger.connections()[0]
        bench.strike(bench.sim.faults.server_shutdown)
        eventually(lambda: first.closed_ns > 0 or bench.sim.ledger.connections()[0].closed_ns > 0, 15.0)
        bench.rig.await_flow(*bench.topics)
        return bench.judged(unmoved=True)


def aged(transport: str) -> Seen:
    driver = shaped_driver(limits={"max_age_s": 4.0, "rollover_before_s": 3.0})
    with public(driver=driver, calm=False, transport=transport) as bench:
        eventually(lambda: bench.rig.counter("stream.rollovers") >= 3, 30.0)
        bench.rig.await_flow(*bench.topics)
        bench.seen.note = f"{bench.rig.counter('stream.rollovers')} changes"
        return bench.judged(unmoved=True)


for _transport in TRANSPORTS:
    scenario("F15", f"public stream, three changes by age, {_transport}")(partial(aged, _transport))


# ---------------------------------------------------------------- F17-F20: frames

BREAKS_THE_PROTOCOL = ("reserved_bits", "oversize_control", "huge")
HARMLESS = ("fragmented", "unknown_field")
UNREADABLE = tuple(
    kind for kind in MALFORMED_KINDS if kind not in BREAKS_THE_PROTOCOL + HARMLESS and kind != "unknown_event"
)
CHANGED = ("unknown_event", "unknown_field", "missing_field", "changed_type")


def malformed(kinds: tuple[str, ...], transport: str) -> Seen:
    """F17, F18, F19: broken frames beside the real ones."""
    with public(driver=generous_connects(), transport=transport, events_per_s=300.0) as bench:
        rig, alarms = bench.rig, bench.rig.memory.alarms
        for kind in kinds:
            rig.await_confirmed()
            before, lost = sum(alarms.counts().values()), rig.counter("stream.connections_lost")
            count = 1 if kind == "huge" else 20
            bench.strike(partial(bench.sim.faults.malformed, kind, count=count, stream=TRADES))
            if kind in BREAKS_THE_PROTOCOL:
                eventually(lambda lost=lost: rig.counter("stream.connections_lost") > lost, 15.0, kind)
                bench.await_noticed()
            elif kind not in HARMLESS:
                eventually(
                    lambda before=before, lost=lost, n=count: (
                        sum(alarms.counts().values()) >= before + n or rig.counter("stream.connections_lost") > lost
                    ),
                    10.0,
                    f"{kind} was neither counted nor answered",
                )
            bench.await_back()
        bench.seen.note = f"{len(kinds)} kinds, {len(alarms.counts())} alarms"
        return bench.judged()


for _transport in TRANSPORTS:
    scenario("F17", f"{PLAIN}, {_transport}", back_s=BACK_S)(
        partial(malformed, ("reserved_bits", "oversize_control", "bad_utf8", "fragmented"), _transport)
    )
    scenario("F18", f"{PLAIN}, {_transport}", back_s=5.0)(partial(malformed, (*UNREADABLE, "huge"), _transport))
    scenario("F19", f"{PLAIN}, {_transport}", back_s=BACK_S)(partial(malformed, CHANGED, _transport))


@scenario("F18", "public REST: a page, half of JSON, NaN, nothing", back_s=BACK_S)
def unreadable_answers() -> Seen:
    with public() as bench:
        for body in ("<html>busy</html>", '{"serverTime": 17', '{"serverTime": NaN}', "", "[" * 10_000):
            bench.strike(partial(bench.sim.faults.rest_error, 200, count=1, path="time", body=body))
            try:
                bench.rig.venue.server_time_ns(5.0)
            except ConnectorError:
                pass
            else:
                bench.seen.wrong.append(f"{body[:20]!r} was taken for an answer")
            began_s = time.monotonic()
            if bench.rig.venue.server_time_ns(5.0) > 0:
                bench.seen.back_s = max(time.monotonic() - began_s, bench.seen.back_s or 0.0)
        return bench.judged(unmoved=True)


@scenario("F18", "book: a change that cannot be read", noticed_s=1.0, back_s=BACK_S)
def unreadable_change() -> Seen:
    with public(simulator=ROOMY, events_per_s=800.0) as bench:
        voided(bench, partial(bench.sim.faults.malformed, "nan_text", stream=DELTAS))
        return bench.judged()


def tampered(fault: str) -> Seen:
    """F20: frames of trades doubled, out of order or lost."""
    with public(events_per_s=300.0) as bench:
        rig = bench.rig
        bench.strike(partial(bench.sim.faults.frames, TRADES, **{fault: 5}))
        if fault == "doubled":
            topic = bench.trades.subscription.topic
            eventually(
                lambda: next(each for each in rig.venue.snapshot().topics if each.topic == topic).duplicates >= 5, 15.0
            )
        else:
            eventually(lambda: rig.counter("feed.gaps") >= 1, 15.0)
        rig.await_flow(*bench.topics)
        with suppress(AssertionError):
            eventually(lambda: bench.trades.faults() == [], 10.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        return bench.judged()


scenario("F20", f"{PLAIN}, doubled", back_s=15.0)(partial(tampered, "doubled"))
scenario("F20", f"{PLAIN}, out of order", back_s=15.0, may_lose=True)(partial(tampered, "reordered"))
scenario("F20", f"{PLAIN}, lost", back_s=15.0)(partial(tampered, "lost"))


# ---------------------------------------------------------------- F21-F25: silence and bursts


def silent(fault: str) -> Seen:
    """F21, F22, F23: with the settings users get, on a topic whose rate is known."""
    with public(events_per_s=400.0, book=fault != "one") as bench:
        rig, faults = bench.rig, bench.sim.faults
        other = TradeJudge(rig, BINANCE.other)
        rig.await_flow(other.subscription)
        eventually(lambda: all(feed.rate.mean_interval_s is not None for feed in rig.memory.feeds()), 20.0)
        if fault == "frozen":
            bench.strike(lambda: [faults.frozen(name) for name in rig.memory.feed_table()])
        else:
            bench.strike(partial(faults.silence, "*" if fault == "all" else TRADES))
        bench.await_noticed()
        if fault == "one" and not is_live(other.subscription):
            bench.seen.wrong.append("a topic that went on was told stale")
        faults.clear()
        bench.await_back(time.monotonic())
        rig.await_flow(other.subscription, within_s=30.0)
        bench.seen.wrong += other.faults()
        return bench.judged()


scenario("F21", PLAIN, noticed_s=10.0, back_s=15.0)(partial(silent, "one"))
scenario("F22", PLAIN, noticed_s=10.0, back_s=15.0)(partial(silent, "all"))
scenario("F23", PLAIN, noticed_s=10.0, back_s=15.0)(partial(silent, "frozen"))


@scenario("F24", "public stream, still for 20 s; hundreds of doubts at volume")
def quiet() -> Seen:
    with public(calm=False) as bench:
        rig = bench.rig
        eventually(lambda: all(feed.rate.mean_interval_s is not None for feed in rig.memory.feeds()), 20.0)
        bench.sim.pause()
        pause(20.0)
        raised = [rig.counter(f"stream.{name}") for name in ("silent_topics", "unproven_silence", "connections_lost")]
        bench.seen.false_alarms += sum(raised) + sum(rig.memory.alarms.counts().values())
        bench.seen.note = f"{rig.counter('stream.probes')} doubts examined"
        bench.sim.resume()
        rig.await_flow(*bench.topics)
        return bench.judged(unmoved=True)


@scenario("F25", "public stream, a hundred times the rate for 10 s", back_s=20.0)
def burst() -> Seen:
    with public(events_per_s=20.0, calm=False) as bench:
        bench.strike(lambda: None)
        slow = bench.rig.subscribe("trades", capacity=50)
        for _ in range(20):
            bench.sim.step(1_000)
            pause(0.5)
        newest = max(bench.sim.ledger.trades("BTCUSDT"))
        ended_s = time.monotonic()
        eventually(lambda: bench.trades.seen[-1].trade_id >= newest, 30.0)
        bench.seen.back_s = time.monotonic() - ended_s
        if not slow.dropped:
            bench.seen.wrong.append("nobody fell behind")
        bench.seen.note = f"{len(bench.trades.seen)} trades; a queue of 50 that nobody read dropped {slow.dropped}"
        return bench.judged(unmoved=True)


# ---------------------------------------------------------------- F26-F29: subscriptions, symbols, pongs


def answers(fault: str) -> Seen:
    """F26: from when the exchange answers as it should until wanted equals confirmed."""
    with public(events_per_s=300.0) as bench:
        rig, faults = bench.rig, bench.sim.faults
        if fault == "lost":
            faults.drop_ack(count=1)
        elif fault == "late":
            faults.delay_ack(2.0)
        else:
            faults.reject_subscribe(count=1)
        bench.strike(lambda: None)
        more = [rig.subscribe(kind, BINANCE.other) for kind in ("trades", "agg_trades", "book_ticker", "ticker")]
        rig.await_flow(*more[:3], within_s=30.0)
        rig.await_confirmed(30.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        return bench.judged(unmoved=True)


scenario("F26", "subscribe: one answer lost (asked again after 4 s)", back_s=9.0)(partial(answers, "lost"))
scenario("F26", "subscribe: answers 2 s late", back_s=7.0)(partial(answers, "late"))
scenario("F26", "subscribe: refused once for all names together", back_s=5.0)(partial(answers, "negative"))


@scenario("F27", "subscribe: three topics a connection", back_s=10.0)
def full_connections() -> Seen:
    driver = shaped_driver(limits={"topics_per_connection": 3})
    symbols = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
    with public(symbols=symbols, events_per_s=400.0, driver=driver, simulator={"max_streams": 3}) as bench:
        bench.strike(lambda: None)
        more = [
            bench.rig.subscribe(kind, f"{name[:3]}/USDT") for name in symbols for kind in ("agg_trades", "book_ticker")
        ]
        bench.rig.await_flow(*more, within_s=30.0)
        bench.rig.await_confirmed(20.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        carried = sorted(map(len, bench.sim.ledger.subscriptions().values()))
        bench.seen.note = f"topics on each connection: {carried}"
        bench.seen.wrong += [f"a limit of the exchange was broken: {each}" for each in bench.sim.ledger.violations()]
        return bench.judged(unmoved=True)


@scenario("F28", "exchange: one of two symbols halted, list read every second", noticed_s=5.0, back_s=15.0)
def halted() -> Seen:
    with public(instruments_every_s=1.0, simulator=ROOMY) as bench:
        other = Witness(bench.rig, BINANCE.other)
        bench.rig.await_flow(other.subscription)
        book = bench.book
        assert book is not None
        bench.strike(partial(bench.sim.faults.symbol_status, "BTCUSDT", "HALT"))
        bench.seen.noticed_s = eventually(lambda: book.live.state is not BookState.VALID, 15.0)
        bench.sim.faults.symbol_status("BTCUSDT", "TRADING")
        bench.await_back(time.monotonic())
        bench.seen.wrong += other.faults()
        bench.seen.false_alarms += [state for _, state in other.turns].count(TopicState.STALE)
        return bench.judged()


@scenario("F29", "public stream, pings every 0.5 s while four threads burn, 6 s")
def burning() -> Seen:
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            sum(range(1_000))

    with public(events_per_s=100.0, simulator={"ping_every_s": 0.5, "pong_within_s": 2.0}, calm=False) as bench:
        burners = [threading.Thread(target=burn, name=f"burner-{number}") for number in range(4)]
        for burner in burners:
            burner.start()
        pause(6.0)
        over.set()
        for burner in burners:
            burner.join(10.0)
        pongs = bench.sim.ledger.connections()[0].pongs
        bench.seen.note = f"{pongs} pongs in time"
        bench.seen.wrong += [f"a rule of the exchange was broken: {each}" for each in bench.sim.ledger.violations()]
        if bench.rig.counter("stream.connections_lost") or not pongs:
            bench.seen.wrong.append(f"the connection ended, after {pongs} pongs")
        return bench.judged(unmoved=True)


# ---------------------------------------------------------------- F30-F35: books


def voided(bench: Bench, fault: Callable[[], object], within_s: float = 20.0) -> None:
    """Strike a book, wait until it is void, then until it is valid and goes on."""
    book = bench.book
    assert book is not None
    book.await_joined()
    before = bench.rig.counter("book.invalidated")
    bench.strike(fault)
    noticed_s = eventually(lambda: bench.rig.counter("book.invalidated") > before, within_s, "the book stayed valid")
    bench.seen.noticed_s = max(noticed_s, bench.seen.noticed_s or 0.0)
    since_s = time.monotonic()
    book.await_valid(within_s)
    bench.seen.back_s = max(time.monotonic() - since_s, bench.seen.back_s or 0.0)
    bench.rig.await_flow(book.subscription)


def torn_book(fault: str, product: Any) -> Seen:
    """F30: three times, each on a book that was well before; more in a row wait longer, for the request limit's sake."""
    seen = torn_once(fault, product)
    for _ in range(2):
        seen = seen.worst(torn_once(fault, product))
    return seen


def torn_once(fault: str, product: Any) -> Seen:
    with public(product=product, events_per_s=800.0, simulator=dict(product.roomy), calm=False) as bench:
        assert bench.book is not None
        strike = partial(bench.sim.faults.deltas, product.names[0], **{fault: 1})
        if fault != "doubled":
            voided(bench, strike)
            return bench.judged(unmoved=True)
        bench.book.await_joined()
        before, so_far = bench.rig.counter("book.invalidated"), len(bench.book.updates)
        strike()
        eventually(lambda: len(bench.book.updates) >= so_far + 5, 10.0)
        if bench.rig.counter("book.invalidated") > before:
            bench.seen.wrong.append("a change that was in the book already voided it")
        return bench.judged(unmoved=True)


for _fault in ("lost", "doubled", "reordered"):
    scenario("F30", f"book, a change {_fault}", back_s=None if _fault == "doubled" else 2.0)(
        partial(torn_book, _fault, BINANCE)
    )
for _product in list(PRODUCTS.values())[1:]:
    scenario("F30", f"book, a change lost, {_product}", back_s=2.0, may_lose=_product.opaque)(
        partial(torn_book, "lost", _product)
    )


def bad_snapshot(fault: str) -> Seen:
    """F31: the book is void from a lost change, and its first snapshot does not help."""
    with public(events_per_s=800.0, simulator=ROOMY, calm=False) as bench:
        faults = bench.sim.faults
        {
            "old": lambda: (bench.sim.step(4_000), faults.stale_snapshot("BTCUSDT", updates=3_000, count=1)),
            "refused": lambda: faults.rest_error(status=429, path="depth", count=1, retry_after_s=1),
            "late": lambda: faults.rest_delay(3.0),
            "cut": lambda: faults.rest_cut(at_byte=300, count=1),
            "failing": lambda: faults.rest_error(status=503, path="depth", for_s=2.0),
        }[fault]()
        voided(bench, partial(faults.deltas, "BTCUSDT", lost=1), within_s=40.0)
        return bench.judged(unmoved=True)


for _fault, _said, _bound in (
    ("old", "older than the changes kept", 10.0),
    ("refused", "refused by limit, 1 s", 10.0),
    ("late", "3 s late", 10.0),
    ("cut", "torn", 10.0),
    ("failing", "503 for 2 s", 10.0),
):
    scenario("F31", f"snapshot {_said}", back_s=_bound)(partial(bad_snapshot, _fault))


@scenario("F32", "book, update numbers start over (bybit)", back_s=BACK_S, may_lose=True)
def restarted_service() -> Seen:
    product = PRODUCTS["bybit"]
    with public(product=product, events_per_s=500.0, simulator=dict(product.roomy), calm=False) as bench:
        assert bench.book is not None
        bench.book.await_joined()
        for _ in range(3):
            bench.book.compare()  # numbers that start over name two books each
            so_far = len(bench.book.updates)
            bench.strike(bench.sim.faults.service_restart)
            eventually(
                lambda so_far=so_far: len(bench.book.updates) > so_far + 3 and bench.book.live.state is BookState.VALID,
                15.0,
            )
            bench.seen.back_s = max(time.monotonic() - bench.began_s, bench.seen.back_s or 0.0)
        return bench.judged(unmoved=True)


@scenario("F34", "book, a bid above the best ask", back_s=BACK_S)
def crossed() -> Seen:
    struck: list[bytes] = []
    with public(events_per_s=400.0, simulator=ROOMY, calm=False) as bench:
        feed = next(each for each in bench.rig.memory.feeds() if each.topic.kind.value == "book")
        read = feed._read

        def crossing(frame: bytes, received_ns: int) -> Any:
            if not struck:
                struck.append(frame)
                data = json.loads(frame)
                data["data"]["b"].append(["99999999.00", "1.0"])
                frame = json.dumps(data, separators=(",", ":")).encode()
            return read(frame, received_ns)

        voided(bench, lambda: feed.bind(lambda: crossing))
        feed.bind(lambda: read)
        bench.book.await_valid(15.0)  # type: ignore[union-attr]
        return bench.judged(unmoved=True)


@scenario("F35", "24 books of one connection at once", back_s=30.0)
def storm() -> Seen:
    names = tuple(f"{letter}{other}QUSDT" for letter in "ABCD" for other in "ABCDEF")
    with public(symbols=("BTCUSDT", *names), events_per_s=600.0, calm=False) as bench:
        books = [BookJudge(bench.rig, f"{name[:3]}/USDT") for name in names]
        for book in books:
            book.await_valid(60.0)
        bench.strike(bench.stream.cut)
        eventually(lambda: all(book.live.state is not BookState.VALID for book in books), 10.0)
        for book in books:
            book.await_valid(60.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        bench.rig.await_flow(*bench.topics, within_s=30.0)
        bench.seen.wrong += [wrong for book in books for wrong in book.compare()]
        bench.seen.wrong += [f"a limit of the exchange was broken: {each}" for each in bench.sim.ledger.violations()]
        return bench.judged()
