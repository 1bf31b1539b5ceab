"""The whole library under a storm: a simulated exchange, the real client over real sockets, and one fault after the other.

    python examples/supervision_tree.py                       live market, scripted storm, live picture of the tree
    python examples/supervision_tree.py --plain               the same as lines of text
    python examples/supervision_tree.py --only cut,hang       some faults; --list names them all
    python examples/supervision_tree.py --capture FILE        replay a recording of real traffic instead, and check every frame

It needs no network and no keys. It ends with a table, writes the same figures as JSON (--json), and its exit status is 0 only if
every figure holds: 1 if one does not, 2 for arguments that make no sense, 130 after Ctrl-C (then the client is stopped in
order as well). The simulated exchange runs in a process of its own, so that it costs the client no time.
"""

from __future__ import annotations

import argparse
import io
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from demo.exchange import ExchangeProcess
from demo.judge import BookJudge, Findings, judge_candles, judge_trades
from demo.recording import replay
from demo.report import Report
from demo.screen import Scene, Screen, pick_screen
from demo.storm import FAULTS, Door, Fault, Storm
from demo.witness import Board, Overdue, Witness

from connector import Connector, ConnectorSettings, TopicKind, VenueSettings
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain.topics import Topic
from connector.supervision import Backoff, StopReport
from connector.throttle import BackoffPolicy
from connector.venue.handle import VenueHandle

VENUE = "binance"
STOP_WITHIN_S = 5.0
HEALTHY_S = 2.0
"""Whatever lived so long may start over at once. Short, because this storm has an appointment every few seconds."""
CALM_S = 2.5
BOOK_RESTED_S = 10.5
"""A book that lived through a hundred changes, ten a second, may be fetched anew at once; sooner, it waits a random while."""
BUSY_LIMIT_S = 2.0

TOPICS: tuple[tuple[TopicKind, str | None], ...] = (
    (TopicKind.TRADES, None),
    (TopicKind.AGG_TRADES, None),
    (TopicKind.BOOK_TICKER, None),
    (TopicKind.CANDLES, "1s"),
    (TopicKind.TICKER, None),
    (TopicKind.BOOK, None),
)
KEPT = {TopicKind.TRADES: "trades", TopicKind.AGG_TRADES: "aggregates", TopicKind.CANDLES: "closed candles"}
"""Topics on which every value counts: all are kept, and compared with the ledger at the end."""


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--capture", metavar="FILE", type=Path, help="replay this recording and check every frame of it"
    )
    parser.add_argument("--speed", default="10", help="of a recording: a factor, or 'max'")
    parser.add_argument("--symbols", default="BTCUSDT,ETHUSDT,ETHBTC", help="of the live market, comma separated")
    parser.add_argument("--rate", type=float, default=600.0, help="orders a second on the live market, all symbols")
    parser.add_argument("--seed", type=int, default=7, help="of the live market's order flow")
    parser.add_argument("--seconds-per-fault", type=float, default=CALM_S, help="calm before the next fault; 0 hurries")
    parser.add_argument("--only", metavar="FAULT,...", help="these faults alone")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument("--transport", default="auto", choices=("auto", "picows", "websocket-client"))
    parser.add_argument("--plain", action="store_true", help="lines of text, also on a terminal")
    parser.add_argument("--json", type=Path, default=Path("build/demo.json"), help="where the report goes")
    parser.add_argument("--bound-scale", type=float, default=1.0, help="multiply every bound in seconds; 0 must fail")
    options = parser.parse_args(arguments)
    if options.capture is not None and not options.capture.is_file():
        parser.error(f"there is no recording {options.capture}")
    known = [fault.key for fault in FAULTS]
    chosen = options.only.split(",") if options.only else known
    strange = [key for key in chosen if key not in known]
    if strange:
        parser.error(f"there is no fault {', '.join(strange)}; there are {', '.join(known)}")
    if options.seconds_per_fault < 0 or options.bound_scale < 0 or options.rate <= 0:
        parser.error("--seconds-per-fault and --bound-scale must not be negative, --rate must be above zero")
    options.faults = [fault for fault in FAULTS if fault.key in chosen]
    return options


def run_storm(options: argparse.Namespace, scene: Scene, screen: Screen, report: Report) -> None:
    """Simulator, client, faults, judgement. Whatever happens, the client is stopped before the exchange."""
    market = ["--symbols", options.symbols, "--rate", str(options.rate), "--seed", str(options.seed)]
    board, door = Board(), Door()
    with ExchangeProcess(market) as exchange:
        venue_settings = VenueSettings(
            VENUE,
            rest_url=exchange.rest_url,
            stream_url=exchange.ws_url,
            transport=options.transport,
            reconnect=BackoffPolicy(healthy_s=HEALTHY_S),
        )
        settings = ConnectorSettings(
            (venue_settings,), busy_limit_s=BUSY_LIMIT_S, restart=Backoff(reset_after_s=HEALTHY_S)
        )
        threads = threading.active_count()
        connector = Connector(settings, parts=door.into(real_parts(SystemClock())), on_event=board.on_event)
        with connector:
            venue = connector.venue(VENUE)
            scene.connector = connector
            witnesses = subscribe(venue, board)
            names = {str(w.topic.symbol): w.venue_name for w in witnesses if w.is_book}
            judge = BookJudge(exchange, lambda symbol: venue.book(symbol, depth=None), names)
            scene.checks = lambda: f"{sum(judge.compared.values())} books compared, {len(judge.wrong)} wrong "
            storm = Storm(
                connector, venue, exchange, door, board, witnesses, screen,
                calm_s=max(options.seconds_per_fault, HEALTHY_S),
                rest_s=BOOK_RESTED_S * min(1.0, options.seconds_per_fault / CALM_S), bound_scale=options.bound_scale,
            )  # fmt: skip
            judge.start()
            try:
                weather(storm, options.faults, screen, report)
            finally:
                judge.stop()
                door.release()
            screen.picture()
            screen.begin("comparing everything delivered with the exchange's ledger")
            judge_all(report, exchange, witnesses, judge)
            screen.begin("stopping in order")
            stopped = connector.stop()
        scene.connector = None
        judge_stop(report, stopped, threading.active_count() - threads, options.bound_scale)


def subscribe(venue: VenueHandle, board: Board) -> list[Witness]:
    """Every topic of every symbol the exchange lists, each with a witness as its callback."""
    if not venue.wait_ready(20.0):
        raise Overdue("the instrument list: not within 20 s")
    table, _ = venue.instruments()
    witnesses = []
    for instrument in table.values():
        for kind, interval in TOPICS:
            topic = Topic(kind, instrument.symbol, interval)
            witness = Witness(topic, instrument.venue_name, board, kind in KEPT)
            witness.subscription = venue.subscribe(
                kind, instrument.symbol, interval=interval, callback=witness, notices=True
            )
            witnesses.append(witness)
    return witnesses


def weather(storm: Storm, faults: Sequence[Fault], screen: Screen, report: Report) -> None:
    """The first calm, then fault after fault."""
    screen.begin("connecting")
    storm.begin()
    screen.picture()
    for fault in faults:
        report.faults.append(storm.run(fault))


def judge_all(report: Report, exchange: ExchangeProcess, witnesses: Sequence[Witness], judge: BookJudge) -> None:
    """Everything delivered against the exchange's ledger."""
    for kind, name in KEPT.items():
        findings = Findings()
        for witness in witnesses:
            if witness.topic.kind is kind:
                handed_out = list(witness.values)  # before the ledger is read: what comes after cannot be judged by it
                compare = judge_candles if kind is TopicKind.CANDLES else judge_trades
                compare(findings, witness, handed_out, exchange.trades(witness.venue_name))
        findings.add_to(report, name)
    never = [witness for witness in witnesses if witness.is_book and not judge.compared[str(witness.topic.symbol)]]
    report.add("books: compared level by level", sum(judge.compared.values()), "books", None)
    report.add("books: other than at the exchange", len(judge.wrong), "books")
    report.add("books: never compared", len(never), "books")
    report.problems += judge.wrong[:5]
    if judge.failure is not None:
        report.problems.append(f"comparing books ended early: {judge.failure!r}")
    subscriptions = [witness.subscription for witness in witnesses if witness.subscription is not None]
    report.add("consumers: callbacks that raised", sum(each.failures for each in subscriptions), "times")
    report.add("consumers: values dropped", sum(each.dropped for each in subscriptions), "values")
    report.add("consumers: topics that delivered nothing", sum(not witness.count for witness in witnesses), "topics")
    report.add("exchange: rules broken by the client", len(exchange.violations()), "times")


def judge_stop(report: Report, stopped: StopReport, threads_left: int, bound_scale: float) -> None:
    report.add("stop: took", round(stopped.took_s, 6), "s", STOP_WITHIN_S * bound_scale)
    report.add("stop: threads that would not end", len(stopped.unstopped), "threads")
    report.add("stop: threads left", max(0, threads_left), "threads")


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_arguments(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the tree's picture on a stream that knows no such characters
    if options.list:
        print("\n".join(f"{fault.key:16} {fault.words}" for fault in FAULTS))
        return 0
    report, interrupted = Report(), False
    title = (
        f"replay of {options.capture.name}"
        if options.capture
        else f"supervision tree, live market, seed {options.seed}"
    )
    scene = Scene(title, planned=0 if options.capture else len(options.faults))
    screen = pick_screen(scene, plain=options.plain)
    try:
        with screen:
            if options.capture is not None:
                replay(options.capture, options.speed, options.transport, VENUE, scene, screen, report)
            else:
                run_storm(options, scene, screen, report)
    except KeyboardInterrupt:
        interrupted = True
        report.problems.append("interrupted")
    except Exception as failed:  # noqa: BLE001 - the report is written whatever happens, and says so
        report.problems.append(f"{type(failed).__name__}: {failed}")
    screen.close_with(report)
    report.write(options.json)
    print(f"{time.monotonic() - scene.began_s:.0f} s in all, figures in {options.json}")
    return 130 if interrupted else 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
