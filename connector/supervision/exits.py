"""Opt-in: stop a tree in order when the process is told to end, and end the process in any case.

Nothing is installed at import. The handlers run on the main thread, where Python runs signal handlers, and the waiting
is done there too: the tree's own threads are daemons and would not keep the process alive.
"""

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from connector.supervision.tree import Tree

__all__ = ["install_exit_handlers"]


def install_exit_handlers(
    tree: Tree, *, within_s: float = 5.0, signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
) -> Callable[[], None]:
    """Stop `tree` at interpreter exit and on `signals`, within `within_s` seconds in total.

    The first signal stops the tree and then raises SystemExit(128 + number) on the main thread; a second one ends the
    process at once with that code. Returns a function that takes the handlers out again. Call it from the main thread.
    """
    previous = {}
    stopping = threading.Event()

    def stop() -> None:
        tree.stop(within_s)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()
        stop()
        raise SystemExit(128 + number)

    for number in signals:
        previous[number] = signal.signal(number, on_signal)
    atexit.register(stop)

    def remove() -> None:
        atexit.unregister(stop)
        for number, handler in previous.items():
            signal.signal(number, handler)

    return remove
