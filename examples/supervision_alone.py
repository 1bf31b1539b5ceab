"""Supervision without any exchange: a worker crashes, another hangs, and nobody who talks to them has to care.

    python examples/supervision_alone.py

Prints the tree before and after, and what happened in between. Ends by itself in about a second.
"""

import threading

from connector.supervision import (
    REST_FOR_ONE,
    Backoff,
    ChildSpec,
    EventKind,
    Restarted,
    SupervisedActor,
    SupervisorSpec,
    TreeEvent,
    start_tree,
)


class Ledger(SupervisedActor):
    """Keeps a sum; a message that is no number is more than it can take."""

    def on_start(self) -> None:
        self.sum = 0

    def on_receive(self, message: object) -> int:
        if not isinstance(message, int):
            raise TypeError(f"cannot add {message!r}")
        self.sum += message
        return self.sum


class Sleepy(SupervisedActor):
    """Falls asleep on request, in a way only its interrupt hook can end."""

    def __init__(self) -> None:
        self.bed = threading.Event()

    def on_receive(self, message: object) -> str:
        if message == "sleep":
            self.bed.wait()
        return f"incarnation {self.context.epoch} is awake"

    def on_interrupt(self) -> None:
        self.bed.set()


def main() -> None:
    spec = SupervisorSpec(
        strategy=REST_FOR_ONE,
        children=(
            ChildSpec("ledger", Ledger, backoff=Backoff(base_s=0.1, max_s=1.0)),
            ChildSpec("sleepy", Sleepy, busy_limit_s=0.3, interrupt_grace_s=0.2),
        ),
    )
    awake_again = threading.Event()

    def tell(event: TreeEvent) -> None:
        if event.kind in (EventKind.ENDED, EventKind.RESTARTING, EventKind.HUNG, EventKind.STARTED):
            print("   ", str(event).splitlines()[0][:110])
        if event.kind is EventKind.STARTED and event.path == "/sleepy" and event.epoch == 3:
            awake_again.set()

    with start_tree(spec, watch_every_s=0.1) as tree:
        print("before\n" + tree.render(), end="\n\nwhat happens\n")
        tree.subscribe(tell)
        ledger, sleepy = tree.ref("/ledger"), tree.ref("/sleepy")

        print("  2 + 3 =", [ledger.ask(2), ledger.ask(3)][-1])
        try:
            ledger.ask("five")
        except Restarted as ended:
            print("  the asker is told:", ended, "Cause:", repr(ended.__cause__))
        print("  the same reference, a new ledger:", ledger.ask(1))

        sleepy.tell("sleep")
        awake_again.wait(2.0)
        print("  the same reference, woken up:", sleepy.ask("hello"))
        print("\nafter\n" + tree.render())
        report = tree.stop()
    print("\nstopped in order, nothing left:", report.ok)


if __name__ == "__main__":
    main()
