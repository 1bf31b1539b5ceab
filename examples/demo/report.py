"""Figures with their bounds: collected, judged, written as JSON, drawn as a table. The exit status follows from here.

A figure holds when its value is at most its bound. A fault is right when all its figures hold and nobody noted a problem.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FaultRow", "Figure", "Report", "plain_table", "seconds"]


@dataclass(frozen=True)
class Figure:
    """One row of the report. No value means that it could not be measured, and that is never right."""

    name: str
    value: float | None
    unit: str
    bound: float | None

    @property
    def ok(self) -> bool:
        return self.value is not None and (self.bound is None or self.value <= self.bound)


@dataclass
class FaultRow:
    """What one fault did. Times are seconds after the fault; a time whose bound is None is not asked for.

    Attributes:
        restarted_s: until the next incarnation of the killed actor was up.
        back_s: until the consumer had fresh data or a true answer again; where a fault lasts, counted from its end.
        lost, filled: values the client reports missing for good, and those it fetched and delivered afterwards.
        problems: what went wrong besides figures, in words.
    """

    key: str
    fault: str
    noticed_bound_s: float | None = None
    restarted_bound_s: float | None = None
    back_bound_s: float | None = None
    noticed_s: float | None = None
    restarted_s: float | None = None
    back_s: float | None = None
    lost: int = 0
    filled: int = 0
    problems: list[str] = field(default_factory=list)

    def figures(self) -> Iterator[Figure]:
        for name, value, bound in (
            ("noticed after", self.noticed_s, self.noticed_bound_s),
            ("restarted after", self.restarted_s, self.restarted_bound_s),
            ("back after", self.back_s, self.back_bound_s),
        ):
            if bound is not None:
                yield Figure(f"{self.key}: {name}", None if value is None else round(value, 6), "s", bound)
        yield Figure(f"{self.key}: lost", self.lost, "values", 0)
        yield Figure(f"{self.key}: filled", self.filled, "values", None)
        yield Figure(f"{self.key}: problems", len(self.problems), "problems", 0)

    @property
    def ok(self) -> bool:
        return all(figure.ok for figure in self.figures())

    @property
    def bounds(self) -> str:
        """The bounds in short, for the table: noticed / restarted / back."""
        bounds = (self.noticed_bound_s, self.restarted_bound_s, self.back_bound_s)
        return " / ".join("-" if bound is None else f"{bound:g}" for bound in bounds)

    def cells(self) -> tuple[str, ...]:
        """The row of the closing table, see HEADINGS."""
        return (
            self.fault,
            seconds(self.noticed_s),
            seconds(self.restarted_s),
            seconds(self.back_s),
            str(self.lost),
            str(self.filled),
            self.bounds,
            "ok" if self.ok else "NOT OK",
        )


HEADINGS = ("fault", "noticed after", "restarted", "back after", "lost", "filled", "at most, in s", "ok")


@dataclass
class Report:
    """Everything the run ends with."""

    faults: list[FaultRow] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: float | None, unit: str, bound: float | None = 0) -> None:
        self.figures.append(Figure(name, value, unit, bound))

    def rows(self) -> list[Figure]:
        rows = [figure for fault in self.faults for figure in fault.figures()]
        return [*rows, *self.figures, Figure("problems", len(self.problems), "problems", 0)]

    @property
    def ok(self) -> bool:
        return all(figure.ok for figure in self.rows())

    def write(self, path: Path) -> None:
        """Write {"ok", "rows": [{"name", "value", "unit", "bound", "ok"}]}; bounds are upper bounds, null only reports."""
        rows = [
            {"name": row.name, "value": row.value, "unit": row.unit, "bound": row.bound, "ok": row.ok}
            for row in self.rows()
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ok": self.ok, "rows": rows}, indent=2) + "\n", encoding="utf-8")

    def complaints(self) -> Iterator[str]:
        """Everything that is not right, in words."""
        for fault in self.faults:
            yield from (f"{fault.fault}: {problem}" for problem in fault.problems)
        yield from self.problems
        for row in self.rows():
            if not row.ok and row.unit != "problems":
                yield f"{row.name}: {'not measured' if row.value is None else f'{row.value:g} {row.unit}'}, bound {row.bound:g}"


def seconds(value: float | None) -> str:
    """A duration for people: milliseconds below a tenth of a second."""
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text; numbers need no alignment that a monospaced font does not give."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (headings, *rows)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)
