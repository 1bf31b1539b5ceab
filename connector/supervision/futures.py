"""The answer to an ask: a `pykka.Future` on one raw lock.

The first answer wins and any further one is ignored, so a caller that gives up, a late answer of a fenced incarnation
and the real one may race without hurting anybody. `get` without a timeout still ends: after `DEFAULT_TIMEOUT_S`.
Made by whoever asks; answered on the actor's thread, or on whichever thread found out that there will be no answer.
"""

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka

from connector.supervision.errors import SelfAsk

if TYPE_CHECKING:
    from types import TracebackType

    from connector.supervision.incarnation import Incarnation

__all__ = ["DEFAULT_TIMEOUT_S", "Reply"]

DEFAULT_TIMEOUT_S = 30.0


class _Here(threading.local):
    """What this thread is: the incarnation whose loop it runs, or None."""

    incarnation: "Incarnation | None" = None


here = _Here()


class Reply(pykka.Future[Any]):
    """See the module. `deadline_s` (monotonic): not executed after it. `owner`: the cell that has to answer."""

    # One of these is made per ask: what most never change stays on the class.
    _get_hook: Callable[[float | None], Any] | None = None
    _done: bool = False
    _value: Any = None
    _error: BaseException | None = None
    deadline_s: float | None = None
    owner: Any = None
    asker: Any = None

    def __init__(self) -> None:
        lock = self._lock = threading.Lock()
        lock.acquire()
        self._claim = [True]  # popped by the first answer; list.pop is atomic

    def __repr__(self) -> str:
        return f"<Reply {'answered' if self._done else 'open'}>"

    def is_set(self) -> bool:
        """Whether there is an answer (a value, an error, or the caller's own giving up)."""
        return self._done

    def set(self, value: Any = None) -> None:
        """Answer; does nothing when there is an answer already."""
        try:
            self._claim.pop()
        except IndexError:
            return
        self._value, self._done = value, True
        self._lock.release()

    def set_exception(
        self, exc_info: "tuple[type[BaseException] | None, BaseException | None, TracebackType | None] | None" = None
    ) -> None:
        """Answer with an exception (default: the one being handled); does nothing when there is an answer."""
        kind, error, _ = exc_info or sys.exc_info()
        if error is None and kind is not None:
            error = kind()
        self.fail(error or RuntimeError("set_exception() without an exception"))

    def fail(self, error: BaseException) -> bool:
        """`set_exception` for an exception in hand; whether this was the first answer."""
        try:
            self._claim.pop()
        except IndexError:
            return False
        self._error, self._done = error, True
        self._lock.release()
        return True

    def get(self, *, timeout: float | None = None) -> Any:
        """The answer, waiting at most `timeout` seconds (None: 30).

        Raises:
            pykka.Timeout: no answer in time. The ask stays open; a later `get` may still find one.
            SelfAsk: the answer could only come from the thread that waits.
        """
        if not self._done:
            if self._get_hook is not None:
                self.set(self._get_hook(timeout))
            else:
                me = here.incarnation
                if me is not None and self.owner is me.cell:
                    raise SelfAsk(f"{me.cell.path} waits for its own answer; tell it, or call the method directly.")
                seconds = DEFAULT_TIMEOUT_S if timeout is None else timeout
                if not self._wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
                    raise pykka.Timeout(f"{seconds} seconds")
        if self._error is not None:
            raise self._error
        return self._value

    def _wait(self, seconds: float) -> bool:
        if not self._lock.acquire(True, seconds):
            return False
        self._lock.release()
        return True
