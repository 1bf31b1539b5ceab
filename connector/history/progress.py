"""A bar in the terminal for a download, when one is asked for. Shows; decides nothing. Needs rich (extra `simulator`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from connector.errors import Unsupported
from connector.history.report import Progress

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(wanted: Callable[[Progress], object] | bool | None) -> Iterator[Callable[[Progress], object]]:
    """Who is told of progress: the caller's own function, nobody, or (True) a bar on the error stream until the end.

    Raises:
        Unsupported: a bar is wanted and rich is not installed.
    """
    if wanted is not True:
        yield wanted or (lambda progress: None)
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError as absent:
        raise Unsupported(
            "a progress bar needs rich, which is not installed: pip install 'venue-connector[simulator]', "
            "or give a function of your own as progress=."
        ) from absent
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, TextColumn("{task.fields[told]}"), console=Console(stderr=True)) as bar:
        line = bar.add_task("", total=1.0, told="")

        def show(progress: Progress) -> None:
            task = progress.task
            missing = f", {progress.missing:,} missing" if progress.missing else ""
            what = f"{task.symbol} {task.interval or task.kind}"
            told = f"{progress.rows:,} rows to {progress.at}{missing}"
            bar.update(line, completed=progress.share, description=what, told=told)

        yield show
