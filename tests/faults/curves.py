"""Read a long run's samples: how fast a figure grows after the warm-up, and a picture of all of them.

Pure: samples in, numbers and SVG text out. It takes no sample, reads no clock and writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

__all__ = ["Curve", "Panel", "growth_per_hour", "picture"]

Points = Sequence[tuple[float, float]]
"""(seconds since the start, figure), oldest first."""

WINDOWS = 24
WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 900, 120, 70, 150, 46, 34, 26
INK, PALE, SHADE, MARK = "#24292f", "#8c959f", "#eef1f4", "#d0d7de"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#57606a")


def growth_per_hour(points: Points, from_s: float = 0.0, windows: int = WINDOWS) -> float:
    """The usual growth of a figure, in units an hour, over everything at or after `from_s`.

    The time is cut into windows, each counts with its median, and the answer is the median of the slopes between all pairs of
    windows (Theil and Sen): a spike while something was broken moves it as little as one outage moves the whole run, and what
    is never given back moves it always. 0.0 of fewer than two windows with a sample.
    """
    used = [(at_s, figure) for at_s, figure in points if at_s >= from_s]
    if len(used) < 2:
        return 0.0
    began_s, length_s = used[0][0], (used[-1][0] - used[0][0]) / windows
    if length_s <= 0.0:
        return 0.0
    filled: dict[int, list[tuple[float, float]]] = {}
    for at_s, figure in used:
        filled.setdefault(min(windows - 1, int((at_s - began_s) / length_s)), []).append((at_s, figure))
    levels = [(median(at_s for at_s, _ in each), median(figure for _, figure in each)) for each in filled.values()]
    slopes = [(later - level) / (later_s - at_s) for (at_s, level), (later_s, later) in combinations(levels, 2)]
    return median(slopes) * 3600.0 if slopes else 0.0


@dataclass(frozen=True)
class Curve:
    """One line of a panel."""

    name: str
    points: Points


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis of figures. `from_zero`: the axis begins at 0, whatever the least figure is."""

    title: str
    curves: Sequence[Curve]
    from_zero: bool = True


def _round_up(figure: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten."""
    power = 1.0
    while power * 10 <= figure:
        power *= 10
    while power > figure:
        power /= 10
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= figure)


def _span(panel: Panel) -> tuple[float, float]:
    figures = [figure for curve in panel.curves for _, figure in curve.points] or [0.0]
    least, most = min(figures), max(figures)
    if panel.from_zero:
        return 0.0, _round_up(max(most, 1.0))
    room = max((most - least) * 0.1, 1.0)
    return least - room, most + room


def _thinned(points: Points, most: int = 2 * (WIDTH - LEFT - RIGHT)) -> Points:
    """At most so many points: of each run of them the first, and whichever is highest."""
    every = -(-len(points) // (most // 2)) if len(points) > most else 1
    if every == 1:
        return points
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), every):
        run = points[start : start + every]
        kept += sorted({run[0], max(run, key=lambda point: point[1])})
    return kept


def _text(x: float, y: float, words: str, colour: str = INK, size: int = 12, anchor: str = "start") -> str:
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}">{words}</text>'


def picture(title: str, panels: Sequence[Panel], length_s: float, warm_s: float, marks: Sequence[float] = ()) -> str:
    """An SVG of panels one below the other, over the same time.

    Args:
        length_s: of the whole run. warm_s: of its shaded beginning.
        marks: seconds at which something was broken, drawn as a thin line through every panel.
    """
    inner, height = WIDTH - LEFT - RIGHT, TOP + len(panels) * (PANEL_HEIGHT + BETWEEN) + BOTTOM

    def across(at_s: float) -> float:
        return LEFT + inner * at_s / length_s

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 24, title, size=15),
    ]
    for number, panel in enumerate(panels):
        top = TOP + number * (PANEL_HEIGHT + BETWEEN)
        floor = top + PANEL_HEIGHT
        least, most = _span(panel)
        parts.append(
            f'<rect x="{LEFT}" y="{top}" width="{across(warm_s) - LEFT:.1f}" height="{PANEL_HEIGHT}" fill="{SHADE}"/>'
        )
        lines = "".join(f"M{across(at_s):.1f} {top}V{floor}" for at_s in marks)
        parts.append(f'<path d="{lines}" stroke="{MARK}" stroke-width="0.5" fill="none"/>' if lines else "")
        parts.append(f'<path d="M{LEFT} {top}V{floor}H{LEFT + inner}" stroke="{PALE}" fill="none"/>')
        parts.append(_text(LEFT, top - 6, panel.title))
        for figure, y in ((least, floor), (most, top + 10)):
            parts.append(_text(LEFT - 6, y, f"{figure:,.6g}", PALE, 11, "end"))
        for place, curve in enumerate(panel.curves):
            colour = COLOURS[place % len(COLOURS)]
            points = " ".join(
                f"{across(at_s):.1f},{floor - PANEL_HEIGHT * (figure - least) / (most - least):.1f}"
                for at_s, figure in _thinned(curve.points)
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
            last = f"{curve.name} {curve.points[-1][1]:,.6g}" if curve.points else curve.name
            parts.append(_text(LEFT + inner + 8, top + 14 + 16 * place, last, colour, 11))
    for part in range(5):
        at_s = length_s * part / 4
        words = f"{at_s / 60:.3g} min" if length_s >= 120 else f"{at_s:.3g} s"
        parts.append(_text(across(at_s), height - 12, words, PALE, 11, "middle"))
    parts.append("</svg>")
    return "\n".join(part for part in parts if part) + "\n"
