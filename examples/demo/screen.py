"""What a person sees: a live picture on a terminal, lines of text elsewhere. It only looks; nothing here touches the client.

Both forms are fed by the storm's thread (`say`, `begin`, `end`); the live picture is drawn by rich's own thread, from snapshots
that never wait for an actor.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from connector import Connector, TopicKind, TopicState
from connector.supervision import ChildSnapshot
from connector.venue.handle import TopicSnapshot, VenueSnapshot
from demo.report import HEADINGS, FaultRow, Report, plain_table, seconds

__all__ = ["LiveScreen", "PlainScreen", "Scene", "Screen", "pick_screen"]


KIND_NAMES = {TopicKind.AGG_TRADES: "aggregates", TopicKind.BOOK_TICKER: "best price"}


@dataclass
class Scene:
    """What there is to look at.

    Attributes:
        title: left in the head line.
        now: what is being done at the moment, and since when.
        checks: short texts for the head line, such as how many books were compared.
        planned: how many faults there will be.
    """

    title: str
    connector: Connector | None = None
    now: str = "starting"
    now_since_s: float = field(default_factory=time.monotonic)
    began_s: float = field(default_factory=time.monotonic)
    rows: list[FaultRow] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    checks: Callable[[], str] = lambda: ""
    planned: int = 0

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.began_s


class Rates:
    """Values a second per topic, over about the last second. Used by one thread."""

    def __init__(self) -> None:
        self._then_s = time.monotonic()
        self._counts: dict[Any, int] = {}
        self._rates: dict[Any, float] = {}

    def look(self, venue: VenueSnapshot) -> dict[Any, float]:
        now_s = time.monotonic()
        passed_s = now_s - self._then_s
        if passed_s >= 1.0:
            for topic in venue.topics:
                self._rates[topic.topic] = (topic.values - self._counts.get(topic.topic, topic.values)) / passed_s
                self._counts[topic.topic] = topic.values
            self._then_s = now_s
        elif not self._counts:
            self._counts = {topic.topic: topic.values for topic in venue.topics}
        return self._rates


class PlainScreen:
    """One line per happening, the tree now and then."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._lock = threading.Lock()  # lines of several threads do not mix; only printing happens inside

    def __enter__(self) -> Self:
        self._print(self.scene.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _print(self, text: str) -> None:
        with self._lock:
            print(text, flush=True)

    def say(self, text: str) -> None:
        self._print(f"{self.scene.passed_s:7.2f} s    {text}")

    def rest(self, text: str) -> None:
        pass

    def begin(self, fault: str) -> None:
        self._print(f"{self.scene.passed_s:7.2f} s  > {fault}")

    def end(self, row: FaultRow) -> None:
        self.scene.rows.append(row)
        restarted = f", restarted {seconds(row.restarted_s)}" if row.restarted_s is not None else ""
        self._print(
            f"{self.scene.passed_s:7.2f} s    {'ok' if row.ok else 'NOT OK'}: noticed {seconds(row.noticed_s)}{restarted}, "
            f"back {seconds(row.back_s)}, lost {row.lost}, filled {row.filled}"
        )
        for problem in row.problems:
            self.say(f"problem: {problem}")

    def picture(self) -> None:
        """The tree and the topics, as they are now."""
        if self.scene.connector is None:
            return
        venues = self.scene.connector.snapshot().values()
        topics = [
            (str(t.topic), t.state.value, str(t.values), age(t), t.book.strip("<>"))
            for venue in venues
            for t in venue.topics
        ]
        self._print("\n" + self.scene.connector.render() + "\n")
        self._print(plain_table(("topic", "state", "values", "age", "book"), topics) + "\n")

    def close_with(self, report: Report) -> None:
        """The closing tables."""
        if report.faults:
            self._print("\n" + plain_table(HEADINGS, [row.cells() for row in report.faults]))
        rows = [
            (
                f.name,
                "-" if f.value is None else f"{f.value:g}",
                f.unit,
                "" if f.bound is None else f"{f.bound:g}",
                mark(f.ok),
            )
            for f in report.figures
        ]
        if rows:
            self._print("\n" + plain_table(("figure", "value", "unit", "at most", "ok"), rows))
        for complaint in report.complaints():
            self._print(f"NOT OK  {complaint}")
        self._print(f"\n{verdict(report)}")


class LiveScreen:
    """The same on a terminal: tree, topics, books, the storm's table and the last lines, drawn a few times a second."""

    def __init__(self, scene: Scene) -> None:
        from rich.console import Console
        from rich.live import Live

        self.scene = scene
        self._rates = Rates()
        self._console = Console()
        self._live = Live(
            get_renderable=self._draw, console=self._console, screen=True, refresh_per_second=5, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self.scene.lines.append(f"{self.scene.passed_s:6.1f}  {text}")

    def rest(self, text: str) -> None:
        self.scene.now, self.scene.now_since_s = text, time.monotonic()

    def begin(self, fault: str) -> None:
        self.scene.now, self.scene.now_since_s = fault, time.monotonic()
        self.say(fault)

    def end(self, row: FaultRow) -> None:
        self.scene.rows.append(row)
        self.scene.now, self.scene.now_since_s = "calm", time.monotonic()
        for problem in row.problems:
            self.say(f"problem: {problem}")

    def picture(self) -> None:
        """Nothing: the picture is always there."""

    # ------------------------------------------------------------ drawing (rich's thread)

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        try:
            parts = [self._head()]
            connector = self.scene.connector
            if connector is not None:
                parts.append(self._tree(connector.tree.snapshot()))
                parts.extend(self._topics(venue) for venue in connector.snapshot().values())
            room = self._console.height - self._height(parts)
            airy = room >= 14  # a free line between the parts, and the last lines below
            room -= len(parts) + 1 if airy else 0
            parts.append(self._storm(min(len(self.scene.rows), max(0, room - (7 if airy else 3)))))
            if airy:
                parts = [spaced for part in parts for spaced in (part, Text(""))]
                parts.append(self._lines(self._console.height - self._height(parts)))
            return Group(*parts)
        except Exception as failed:  # noqa: BLE001 - a picture that cannot be drawn must not end the storm
            return Text(f"no picture: {failed!r}")

    def _height(self, parts: list[Any]) -> int:
        return sum(len(self._console.render_lines(part)) for part in parts)

    def _head(self) -> Any:
        from rich.table import Table

        head = Table.grid(expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right")
        passed = int(self.scene.passed_s)
        head.add_row(
            f"[bold]{self.scene.title}[/bold]",
            f"{self.scene.checks()}  [bold]{passed // 60}:{passed % 60:02d}[/bold]",
        )
        return head

    def _tree(self, root: ChildSnapshot) -> Any:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False)
        for name, justify in (("actor", "left"), ("state", "left"), ("incarnation", "right"), ("restarts", "right")):
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        table.add_column("in state", justify="right", no_wrap=True)
        table.add_column("inbox", justify="right", no_wrap=True)
        table.add_column("last end", ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
        self._branch(table, root, "", "")
        return table

    def _branch(self, table: Any, node: ChildSnapshot, lead: str, rest: str) -> None:
        from rich.markup import escape

        colour = {"running": "green", "stopped": "dim", "starting": "cyan", "waiting": "cyan"}.get(
            node.state, "bold red"
        )
        state = node.state
        if node.next_attempt_s is not None:
            state += f", next in {node.next_attempt_s:.1f} s"
        if node.busy_s:
            state, colour = f"busy {node.busy_s:.1f} s", "yellow"
        if node.abandoned:
            state += f", {node.abandoned} abandoned"
        recent = node.since_s < 3.0 and node.epoch > 1
        name = "root" if node.path == "/" else node.path.rsplit("/", 1)[-1]
        table.add_row(
            f"{lead}[bold]{name}[/bold]",
            f"[{colour}]● {state}[/{colour}]",
            f"[bold yellow]#{node.epoch}[/bold yellow]" if recent else f"#{node.epoch}",
            str(node.restarts) if node.restarts else "[dim]0[/dim]",
            f"{node.since_s:.1f} s",
            str(node.inbox_depth),
            escape(str(node.last_reason)) if node.last_reason is not None else "",
        )
        for index, child in enumerate(node.children):
            last = index == len(node.children) - 1
            self._branch(table, child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))

    def _topics(self, venue: VenueSnapshot) -> Any:
        from rich import box
        from rich.table import Table

        rates = self._rates.look(venue)
        kinds = list(dict.fromkeys(topic.topic.kind for topic in venue.topics))
        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False)
        table.add_column(f"{sum(rates.values()):,.0f} values/s", no_wrap=True)
        for kind in kinds:
            book = kind is TopicKind.BOOK
            table.add_column(
                KIND_NAMES.get(kind, kind.value), no_wrap=True, overflow="ellipsis", ratio=2 if book else 1
            )
        by_place = {(topic.topic.symbol, topic.topic.kind): topic for topic in venue.topics}
        for symbol in dict.fromkeys(topic.topic.symbol for topic in venue.topics):
            cells = (self._cell(by_place.get((symbol, kind)), rates) for kind in kinds)
            table.add_row(f"[bold]{symbol}[/bold]", *cells)
        return table

    def _cell(self, topic: TopicSnapshot | None, rates: dict[Any, float]) -> str:
        """One topic: its state, or its rate and age; a book's validity, too."""
        if topic is None:
            return ""
        if topic.book:
            return book_words(topic)
        if topic.state is not TopicState.LIVE:
            colour = "cyan" if topic.state is TopicState.CONFIRMED else "bold red"
            return f"[{colour}]● {topic.state.value}[/{colour}]"
        old = f" [dim]{age(topic)}[/dim]" if self._console.width >= 105 else ""
        return f"[green]●[/green] {rates.get(topic.topic, 0.0):.0f}/s{old}"

    def _storm(self, shown: int) -> Any:
        """The last `shown` faults, and what is going on."""
        from rich import box
        from rich.table import Table

        scene = self.scene
        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False)
        table.add_column(f"storm {len(scene.rows)}/{scene.planned}", ratio=1, no_wrap=True, overflow="ellipsis")
        for name in ("noticed", "restarted", "back", "lost", "filled", ""):
            table.add_column(name, justify="right", no_wrap=True)
        for row in scene.rows[len(scene.rows) - shown :]:
            cells = row.cells()
            table.add_row(*cells[:6], "[green]ok[/green]" if row.ok else "[bold red]NOT OK[/bold red]")
        running = time.monotonic() - scene.now_since_s
        table.add_row(f"[yellow]▶ {scene.now}[/yellow]", "", "", f"[yellow]{running:.1f} s[/yellow]", "", "", "")
        return table

    def _lines(self, room: int) -> Any:
        from rich.text import Text

        shown = list(self.scene.lines)[-room:] if room > 0 else []
        return Text("\n".join(shown), style="dim", no_wrap=True, overflow="ellipsis")

    def close_with(self, report: Report) -> None:
        """The closing tables, on the ordinary screen."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        if report.faults:
            table = Table(box=box.ROUNDED, title="the storm", title_style="bold")
            for heading in HEADINGS:
                left = heading in ("fault", "ok")
                table.add_column(heading, justify="left" if left else "right")
            for row in report.faults:
                *cells, _ = row.cells()
                table.add_row(*cells, "[green]ok[/green]" if row.ok else "[bold red]NOT OK[/bold red]")
            self._console.print(table)
        if report.figures:
            table = Table(box=box.ROUNDED, title="against the exchange's own ledger", title_style="bold")
            for heading in ("figure", "value", "at most", "ok"):
                table.add_column(heading, justify="left" if heading in ("figure", "ok") else "right")
            for f in report.figures:
                table.add_row(
                    f.name,
                    "-" if f.value is None else f"{f.value:,g} {f.unit}",
                    "" if f.bound is None else f"{f.bound:g}",
                    "[green]ok[/green]" if f.ok else "[bold red]NOT OK[/bold red]",
                )
            self._console.print(table)
        for complaint in report.complaints():
            self._console.print(f"[bold red]NOT OK[/bold red]  {escape(complaint)}")
        self._console.print(f"[bold {'green' if report.ok else 'red'}]{verdict(report)}[/]")


Screen = PlainScreen | LiveScreen


def pick_screen(scene: Scene, *, plain: bool) -> Screen:
    """The live picture on a terminal where rich is installed, lines otherwise."""
    if not plain and sys.stdout.isatty():
        try:
            return LiveScreen(scene)
        except ImportError:
            pass
    return PlainScreen(scene)


def age(topic: TopicSnapshot) -> str:
    """How old the newest value is."""
    age_s = topic.freshness.age_s
    return "-" if age_s is None else f"{age_s:.1f}s"


def book_words(topic: TopicSnapshot) -> str:
    """A book's own status line without its name: validity, age and sequence, or what it waits for."""
    from rich.markup import escape

    words = topic.book.strip("<>").split(" ", 2)[-1]
    state, _, rest = words.partition(" ")
    if state == "VALID":
        sequence, _, old = rest.partition(" age=")
        return f"[green]● {state}[/green] {old} [dim]{sequence}[/dim]"
    return f"[bold red]● {state}[/bold red] [dim]{escape(rest)}[/dim]"


def mark(ok: bool) -> str:
    return "ok" if ok else "NOT OK"


def verdict(report: Report) -> str:
    right = "Everything came back right." if report.ok else "Not everything came back right."
    return f"{right} {sum(figure.ok for figure in report.rows())} of {len(report.rows())} figures hold."
