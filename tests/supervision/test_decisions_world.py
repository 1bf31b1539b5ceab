"""Ten thousand small worlds against the pure decisions: whatever happens in whatever order, some things always hold.

A world keeps what a shell would keep (incarnations that live, timers that are armed, askers that wait), lets anything
that could happen next happen at random, and checks after every decision. No actor, no thread.
"""

import random

import pytest

from connector.supervision import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    BRUTAL,
    GIVE_UP,
    NEVER,
    PERMANENT,
    PROBE,
    TEMPORARY,
    TRANSIENT,
    Backoff,
    BreakerSpec,
    ChildSpec,
    EndKind,
    Intensity,
    OnLimit,
    Reaction,
    Reason,
    Strategy,
    SupervisorSpec,
)
from connector.supervision import decisions as do

ENDS = (EndKind.CRASHED, EndKind.CRASHED, EndKind.NORMAL, EndKind.LEFT, EndKind.STOPPED)


class Stubborn(Exception):
    pass


class World:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.now_s = 0.0
        self.live = {}  # id -> epoch
        self.asked = set()  # ids asked to stop
        self.ready = set()  # ids that have reported Started
        self.timers = []  # (due, event)
        self.open = set()  # tickets without an answer
        self.tickets = 0
        self.epochs = {}  # id -> highest epoch ever started
        self.finished = None
        self.is_up = False
        self.state = do.initial_state(self.spec())
        self.tell(do.Begin())

    def spec(self):
        dice = self.dice
        auto = dice.choice([NEVER, NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT])
        on_limit = dice.choice([GIVE_UP, PROBE])
        return SupervisorSpec(
            strategy=dice.choice(list(Strategy)),
            intensity=Intensity(dice.choice([1, 2, 4, 8]), 1000.0),
            children=tuple(self.child(id, auto) for id in "abcde"[: dice.randint(0, 5)]),
            auto_shutdown=auto,
            on_limit=on_limit,
            max_abandoned=dice.choice([0, 1, 10]),
            on_error={Stubborn: dice.choice([Reaction.STOP, Reaction.ESCALATE, Reaction.BACK_OFF])},
        )

    def child(self, id, auto=NEVER):
        dice = self.dice
        restart = dice.choice([PERMANENT, PERMANENT, TRANSIENT, TEMPORARY])
        own = dice.random() < 0.2
        return ChildSpec(
            id,
            object,
            restart=restart,
            shutdown_s=dice.choice([0.5, 5.0, BRUTAL, float("inf")]),
            significant=restart is not PERMANENT and auto is not NEVER and dice.random() < 0.5,
            backoff=Backoff(base_s=1.0, max_s=2.0, first_at_once=dice.random() < 0.7, reset_after_s=20.0),
            breaker=BreakerSpec(1, 5.0) if dice.random() < 0.2 else None,
            max_restarts=Intensity(2, 1000.0) if own else None,
            revive=dice.random() < 0.2,
            supervisor=dice.random() < 0.1,
        )

    # -- the shell
    def tell(self, event):
        before = self.state
        self.state, actions = do.decide(before, event, self.now_s, self.dice.random())
        for action in actions:
            self.perform(action, before)
        self.check()

    def perform(self, action, before):
        match action:
            case do.Start(id, epoch):
                assert id not in self.live, f"{id} would run twice"
                assert epoch > self.epochs.get(id, 0), f"{id} repeats epoch {epoch}"
                assert before.phase in (do.Phase.STARTING, do.Phase.RUNNING), "a start while stopping"
                self.live[id] = self.epochs[id] = epoch
                self.ready.discard(id)
            case do.AskStop(id, epoch) | do.Condemn(id, epoch, _):
                assert self.live.get(id) == epoch
                self.asked.add(id)
            case do.Fence(id, epoch, _):
                assert self.live.pop(id) == epoch
                self.asked.discard(id)
            case do.Reap(id, epoch, reason):
                self.timers.append((self.now_s + self.dice.random(), do.Ended(id, epoch, reason)))
            case do.Arm(event, delay_s):
                self.timers.append((self.now_s + delay_s, event))
            case do.Wait(id, delay_s, serial) if serial:
                self.timers.append((self.now_s + delay_s, do.RetryDue(id, serial)))
            case do.Close(id, _) | do.Forget(id):
                assert id not in self.live, f"{id} is closed while it lives"
            case do.Reply(ticket, _, _):
                assert ticket in self.open, "answered twice"
                self.open.discard(ticket)
            case do.Ready():
                assert not self.is_up and self.finished is None
                self.is_up = True
            case do.Finish(reason):
                assert self.finished is None and not self.live, f"ends while {self.live} live"
                self.finished = reason

    def check(self):
        known = {id: child.epoch for id, child in self.state.children.items() if child.state in do._LIVE}
        assert known == self.live
        assert self.state.plan is not None or not self.state.queued, "a request waits for nothing"
        if self.state.phase is do.Phase.RUNNING and self.state.plan is None:
            assert not self.state.lost
            waiting = {id for id, child in self.state.children.items() if child.state is do.ChildState.WAITING}
            assert not waiting, f"{waiting} wait for a plan there is not"

    # -- what may happen
    def ticket(self):
        self.tickets += 1
        self.open.add(self.tickets)
        return self.tickets

    def step(self):
        dice, choices = self.dice, []
        if self.timers and dice.random() < 0.3:
            self.timers.sort(key=lambda timer: timer[0])
            due_s, event = self.timers.pop(0)
            if due_s < float("inf"):
                self.now_s = max(self.now_s, due_s)
                self.happen(event)
                return
        for id, epoch in self.live.items():
            if id not in self.ready:
                choices += [do.Started(id, epoch)] * 6
                choices.append(do.Ended(id, epoch, Reason(dice.choice([EndKind.START_FAILED, EndKind.IGNORED]))))
                choices.append(do.Overdue(id, epoch, "start", 99.0))
            elif id in self.asked:
                choices += [do.Ended(id, epoch, Reason(dice.choice([EndKind.STOPPED, EndKind.CRASHED])))] * 4
            else:
                cause = Stubborn() if dice.random() < 0.1 else None
                choices.append(do.Ended(id, epoch, Reason(dice.choice(ENDS), cause)))
                choices.append(do.Overdue(id, epoch, "run", 99.0))
        id = dice.choice("abcdexy")
        choices += [do.Ended(id, dice.randint(0, 3) - 2, Reason(EndKind.CRASHED)), do.Returned(id, 1)]
        if dice.random() < 0.15:
            kind = dice.choice([do.TerminateChild, do.RestartChild, do.DeleteChild, do.RetryNow, do.ResetCount])
            choices = [kind(id, ticket=self.ticket())]
        elif dice.random() < 0.05:
            spec = self.child(id)
            choices = [do.StartChild(spec, self.epochs.get(id, 0), ticket=self.ticket())]
        elif dice.random() < 0.01:
            choices = [do.SetIntensity(Intensity(3, 50.0), ticket=self.ticket())]
        self.happen(dice.choice(choices))

    def happen(self, event):
        if isinstance(event, do.Started):
            self.ready.add(event.id)
        if isinstance(event, do.Ended) and self.live.get(event.id) == event.epoch:
            del self.live[event.id]
            self.asked.discard(event.id)
            # What the decision sees as its state must follow in this very step.
        self.tell(event)

    def end(self):
        """Stop it, let everybody who was asked end, and see that it comes to an end with every asker answered."""
        if self.finished is None:
            self.tell(do.StopAll(Reason(EndKind.STOPPED)))
        for _ in range(200):
            if self.finished is not None:
                break
            ending = [id for id in self.live if id in self.asked]
            if ending:
                id = self.dice.choice(ending)
                self.happen(do.Ended(id, self.live[id], Reason(EndKind.STOPPED)))
            else:
                self.timers.sort(key=lambda timer: timer[0])
                assert self.timers, f"nobody is asked and nothing is due, yet {self.live} live"
                self.now_s, event = self.timers.pop(0)
                self.happen(event)
        assert self.finished is not None
        assert not self.open, f"askers {self.open} were left without an answer"


@pytest.mark.parametrize("block", range(20))
def test_whatever_happens_the_decisions_hold_together(block):
    """Statements 25, 26, 56, 72."""
    for seed in range(block * 500, block * 500 + 500):
        world = World(seed)
        try:
            for _ in range(40):
                if world.finished is not None:
                    break
                world.step()
            world.end()
        except BaseException as error:
            error.add_note(f"seed {seed}, {world.state.spec.strategy}, {world.state.spec.on_limit}")
            raise


def test_world_is_not_trivial():
    """Statement 72."""
    seen = {"limit": 0, "up": 0, "plan": 0}
    for seed in range(300):
        world = World(seed)
        for _ in range(40):
            if world.finished is not None:
                break
            world.step()
            seen["plan"] += world.state.plan is not None and world.is_up
        seen["up"] += world.is_up
        seen["limit"] += world.finished is not None and world.finished.kind is EndKind.GAVE_UP
    assert all(count > 20 for count in seen.values()), seen
    assert {OnLimit.PROBE, OnLimit.GIVE_UP} == {World(seed).state.spec.on_limit for seed in range(20)}
