"""The long storm over orders, by seed: every order fault of the fault table mixed in, judged against the far side's ledger.

`make orders ORDERS=100000` writes build/orders.json (`ok`, `rows`); the exit status agrees with `ok`. Each seed is one life of a
whole connector on one thread under a fake clock, some 90 orders in it; seeds are spread over processes. Three times in each life
trouble comes and ends; what is unknown at the end of one has to be settled within 10 s of the moment at which the venue answers
again and absence can be proven. A seed that fails is printed with the command that plays it again:

    python tests/faults/orders.py --seed 17
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "venue"))

from far_side import BEHIND_S, BTC, FINAL, FarSide, Judge, connect, differences  # noqa: E402

from connector import Side  # noqa: E402
from connector.domain.commands import AmendOrder, CancelAll, CancelOrder, OutcomeKind, PlaceBatch, PlaceOrder  # noqa: E402
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce  # noqa: E402
from connector.orders import risk  # noqa: E402
from connector.testing.deterministic import DeterministicRuntime  # noqa: E402
from connector.testing.killing import crash  # noqa: E402
from connector.venue.orders import ReleaseKillSwitch, ThrowKillSwitch  # noqa: E402

Row = dict[str, Any]
CYCLES, STEPS = 3, 13
CALM_S = 60.0
AVERAGE = Context(prec=28)
RAISES, ANSWERS = Decimal("6.66"), Decimal("7.77")
STAMP_LATE_S = {"session": 0.0, "REST": 5.0}
"""How much later than "sent" a request may be stamped, by the way it went."""
CLOSED_S = 5.0 + 10.0 + 3.0
"""recvWindow, the venue's own delay, and how far its answers are behind: absence cannot be proven earlier."""


class Moody:
    """A risk hook that breaks. It says it is one of the library's, for a fake clock has no second thread to bound it with."""

    name = "moody"

    def __call__(self, command: Any, view: Any) -> Any:
        if command.quantity == RAISES:
            raise ZeroDivisionError("a hook broke")
        return 1 if command.quantity == ANSWERS else None


Moody.__module__ = risk.__name__


class Life:
    """One connector from start to stop. `problems` is what was wrong, in words, by kind."""

    def __init__(self, seed: int) -> None:
        self.seed, self.chance = seed, random.Random(seed)
        self.session, self.kills = self.chance.random() < 0.7, self.chance.random() < 0.2
        self.runtime = DeterministicRuntime(seed, max_steps=50_000_000)
        self.far = FarSide(self.runtime, self.chance, mixed=True)
        self.judge = Judge(self.far)
        self.asks: list[tuple[Any, Any, bool]] = []
        self.done: list[tuple[Any, Any]] = []
        self.settled_s: list[float] = []
        self.switch_s: list[float] = []
        self.still: list[str] = []
        self.killed = False
        self.problems: dict[str, list[str]] = {}
        with connect(self.far, self.chance, session=self.session, risk_hooks=(Moody(),)) as connector:
            self.venue = connector.venue("binance")
            self.venue.orders_stream(self.judge.hear)
            self.runtime.advance(5.0)
            for _ in range(CYCLES):
                self.trouble()
                self.calm()
            if self.chance.random() < 0.3:
                self.throw_in_calm()
            self.runtime.advance(150.0)
            self.collect()
            self.compare()
        self.placed = sum(
            isinstance(command, PlaceOrder) and told is not None and told.kind is not OutcomeKind.REFUSED
            for command, told in self.done
        )

    # ------------------------------------------------------------ what happens

    def trouble(self) -> None:
        chance, far = self.chance, self.far
        far.trouble = chance.choice([0.1, 0.3, 0.6])
        drawn = chance.random()
        if drawn < 0.25:
            begins_s, lasts_s, kind = (
                chance.random() * 20.0,
                chance.uniform(30.0, 300.0),
                chance.choice(["dark", "503"]),
            )
            self.runtime.call_later(begins_s, lambda: far.begin_outage(lasts_s, kind))
        elif drawn < 0.4:
            far.happened["queries fail for long"] += 1
            far.deaf_until_s = self.runtime.monotonic_s() + chance.uniform(20.0, 120.0)
        for _ in range(STEPS):
            self.step()
        while far.is_out():
            self.runtime.advance(10.0)
        far.trouble = max(far.trouble, 0.3)
        self.ask(PlaceBatch(orders=tuple(self.new_order() for _ in range(3))))
        self.runtime.advance(chance.choice([1.0, 5.5]))

    def step(self) -> None:
        chance = self.chance
        drawn = chance.random()
        if drawn < 0.5:
            self.ask(PlaceBatch(orders=tuple(self.new_order() for _ in range(chance.randrange(2, 6)))))
        else:
            self.ask(self.new_order())
        known = [order.client_id for order in self.venue.open_orders()[0]]
        if chance.random() < 0.05:  # one that may have ended long ago, or never was
            known += [order.client_id for order in self.venue.order_history()[0]]
        if known and chance.random() < 0.4:
            self.ask(CancelOrder(symbol=BTC, client_id=chance.choice(known)))
        if known and chance.random() < 0.25:
            quantity = Decimal(chance.randrange(1, 200_000)) / 100_000
            self.ask(AmendOrder(symbol=BTC, client_id=chance.choice(known), quantity=quantity))
        if chance.random() < 0.02:
            self.far.happened["cancel all"] += 1
            self.ask(CancelAll())
        if self.killed:
            self.killed = False
            self.venue.orders.ask(ReleaseKillSwitch(), timeout=30.0)
        elif chance.random() < 0.02:
            self.far.happened["kill switch"] += 1
            self.killed = True
            self.asks.append(
                (ThrowKillSwitch(), self.venue.orders.ask(ThrowKillSwitch(), block=False, timeout=60.0), False)
            )
        if chance.random() < 0.1:
            self.far.another_program()
        if chance.random() < 0.05:
            self.far.cut()
        if self.kills and chance.random() < 0.15 and self.venue.orders._actor_weakref() is not None:
            self.far.happened["actor killed"] += 1
            crash(getattr(self.venue, chance.choice(["orders", "state", "rest", "stream"])))
        self.runtime.advance(chance.choice([0.05, 0.5, 5.0]))
        self.far.market()
        self.runtime.advance(chance.choice([0.2, 3.0]))

    def new_order(self) -> PlaceOrder:
        chance = self.chance
        quantity = chance.choice([Decimal("1"), Decimal(chance.randrange(1, 200_000)) / 100_000])
        if chance.random() < 0.02:
            self.far.happened["risk hook breaks"] += 1
            quantity = chance.choice([RAISES, ANSWERS])
        return PlaceOrder(
            symbol=BTC,
            side=chance.choice([Side.BUY, Side.SELL]),
            type=OrderType.LIMIT,
            quantity=quantity,
            price=Decimal(chance.randrange(5_000, 15_000)) / 100,
            time_in_force=TimeInForce.IOC if chance.random() < 0.15 else None,
        )

    def ask(self, command: Any) -> None:
        self.asks.append((command, self.venue.orders.ask(command, block=False, timeout=60.0), self.killed))

    def calm(self) -> None:
        """Trouble ends. What is unknown now is timed."""
        self.far.heal()
        ended_s = self.runtime.monotonic_s()
        unknown = [o.client_id for o in self.venue.open_orders()[0] if o.status is OrderStatus.UNKNOWN]
        told_before = {name for name in unknown if name in self.judge.known_since}
        self.runtime.advance(CALM_S)
        for name in unknown:
            if name in told_before:
                continue
            settled_s = self.judge.known_since.get(name)
            if settled_s is None:
                self.still.append(f"{name} is unknown {CALM_S} s after the venue's return")
                continue
            self.settled_s.append(max(0.0, settled_s - max(ended_s, self.provable_s(name))))
        self.collect()

    def provable_s(self, name: str) -> float:
        """When the venue can first tell for sure, by the fake clock."""
        apart_s = self.runtime.time_ns() / 1e9 - self.runtime.monotonic_s()
        truth = self.far.orders.get(name)
        if truth is not None:
            return truth["time"] / 1000 - apart_s + BEHIND_S
        latest_s, placing = 0.0, True
        for line in self.venue.explain(name)[0]:
            if line.source == "journal":
                placing = line.text.startswith("place")  # else what is sent next is a cancel or an amend
            elif line.source == "sent" and placing:
                way = "session" if "session" in line.text else "REST"
                latest_s = line.at_ns / 1e9 - apart_s + STAMP_LATE_S[way] + CLOSED_S
            elif (
                line.source == "store"
            ):  # an actor that was killed: its successor knows no timestamp, and counts from its start
                latest_s = line.at_ns / 1e9 - apart_s + CLOSED_S
        return latest_s

    def throw_in_calm(self) -> None:
        if self.killed:
            self.killed = False
            self.venue.orders.ask(ReleaseKillSwitch(), timeout=30.0)
        for _ in range(3):
            self.ask(self.new_order())
        self.runtime.advance(1.0)
        began_s = self.runtime.monotonic_s()
        self.asks.append(
            (ThrowKillSwitch(), self.venue.orders.ask(ThrowKillSwitch(), block=False, timeout=60.0), False)
        )
        self.killed = True

        def resting() -> bool:
            return any(o["status"] not in FINAL for n, o in self.far.orders.items() if n not in self.far.external)

        self.runtime.run_while(resting, 30.0)
        self.switch_s.append(self.runtime.monotonic_s() - began_s)
        self.ask(self.new_order())

    def collect(self) -> None:
        for command, ask, killed in self.asks:
            try:
                told = ask.get(timeout=0.0)
            except Exception as lost:
                if not self.kills:
                    self.note("unanswered commands", f"{command}: {lost!r}")
                told = None
            if isinstance(command, PlaceBatch):
                outcomes = told or [None] * len(command.orders)
                for order, outcome in zip(command.orders, outcomes, strict=True):
                    self.took(order, outcome, killed)
            elif isinstance(told, tuple):
                for outcome in told:
                    self.took(CancelOrder(symbol=BTC, client_id=outcome.client_id), outcome, False)
            elif not isinstance(command, ThrowKillSwitch | CancelAll):
                self.took(command, told, killed)
        self.asks.clear()

    def took(self, command: Any, outcome: Any, killed: bool) -> None:
        self.done.append((command, outcome))
        if not isinstance(command, PlaceOrder) or outcome is None:
            return
        killed = (
            killed and not self.kills
        )  # an actor that is killed with the switch in hand never threw it, and says so
        if (killed or command.quantity in (RAISES, ANSWERS)) and outcome.kind is not OutcomeKind.REFUSED:
            self.note("orders past a broken hook or the kill switch", f"{outcome}")

    # ------------------------------------------------------------ the judgement

    def note(self, kind: str, text: str) -> None:
        self.problems.setdefault(kind, []).append(text)

    def compare(self) -> None:
        far, venue = self.far, self.venue
        orders = {order.client_id: order for order in venue.order_history()[0]}
        for text in self.judge.wrong_finals():
            self.note("wrong final states told", text)
        for text in differences(far, orders):
            self.note("orders that differ at the end", text)
        for name in [*self.still, *(n for n, o in orders.items() if o.status is OrderStatus.UNKNOWN)]:
            self.note("orders that stay unknown", name)
        for name in far.twice:
            self.note("orders sent twice", name)
        for name in set(far.orders) - set(orders) - far.external:
            self.note("orders at the venue that are not here", name)
        for name in [*far.touched, *(far.external & set(orders))]:
            self.note("orders of others touched", name)
        for command, outcome in self.done:
            if outcome is not None and (text := self.untrue(command, outcome)):
                self.note("outcomes that are not true", f"{text}: {outcome.kind} {outcome.code} {outcome.order}")
        self.compare_money(orders)
        under_way = repr(venue.orders._actor_weakref())
        if "under_way=0" not in under_way:
            self.note("commands that never end", under_way)

    def untrue(self, command: Any, outcome: Any) -> str:
        truth = self.far.orders.get(outcome.client_id)
        if outcome.order is not None and outcome.order.status.is_final and not self.judge.is_true(outcome.order):
            return "a final state that is not the venue's"
        if isinstance(command, PlaceOrder):
            gone = outcome.kind in (OutcomeKind.REFUSED, OutcomeKind.REJECTED)
            if gone and truth is not None and outcome.client_id:
                return "called refused or rejected, and it is there"
            if outcome.kind is OutcomeKind.ACCEPTED and truth is None:
                return "called accepted, and it is not there"
        elif isinstance(command, AmendOrder):
            done = (command.client_id, command.quantity) in self.far.amended
            if outcome.kind is OutcomeKind.ACCEPTED and not done:
                return "an amend called accepted that was not done"
            if outcome.kind in (OutcomeKind.REFUSED, OutcomeKind.REJECTED) and done:
                return "an amend called refused that was done"
        elif outcome.kind is OutcomeKind.ACCEPTED and (truth is None or truth["status"] not in FINAL):
            return "a cancel called accepted, and the order is open"
        return ""

    def compare_money(self, orders: dict[str, Any]) -> None:
        far = self.far
        ours = {order["orderId"]: name for name, order in far.orders.items() if name not in far.external}
        truth = {str(fill["id"]): fill for fill in far.fills if fill["orderId"] in ours}
        told = self.judge.fills()
        for trade_id, times in Counter(told).items():
            if times > 1:
                self.note("fills told more than once", trade_id)
        for trade_id in truth.keys() - set(told):
            self.note("fills never told", trade_id)
        held = self.venue.fills()[0]
        if sorted(fill.trade_id for fill in held) != sorted(truth):
            self.note("fills of the read model that are not the venue's", f"{len(held)} here, {len(truth)} there")
        for fill in [*held, *(event for event in self.judge.events if isinstance(event, Fill))]:
            there = truth.get(fill.trade_id)
            if there is None:
                self.note("fills that never were", fill.trade_id)
                continue
            wanted = (
                *(Decimal(there[n]) for n in ("price", "qty", "commission")),
                there["commissionAsset"],
                there["isMaker"],
            )
            here = (fill.price, fill.quantity, fill.fee, fill.fee_asset, fill.is_maker)
            if here != wanted or fill.client_id != ours[there["orderId"]]:
                self.note("money that differs", f"fill {fill}: {wanted} there")
        for name, order in orders.items():
            there = far.orders.get(name)
            if there is None or not Decimal(there["executedQty"]):
                continue
            average = AVERAGE.divide(Decimal(there["cummulativeQuoteQty"]), Decimal(there["executedQty"]))
            if order.average_price != average:
                self.note("money that differs", f"{name}: average {order.average_price} here, {average} there")
        balances = self.venue.balances()[0]
        for asset in far.totals:
            there = far.held(asset)
            here_ = balances.get(asset)
            if here_ is None or (here_.free, here_.locked) != (Decimal(there["free"]), Decimal(there["locked"])):
                self.note("money that differs", f"{asset}: {here_} here, {there} there")


def live(seed: int) -> Row:
    """One life as plain figures, in whatever process."""
    began_s = time.process_time()
    try:
        life = Life(seed)
    except Exception as broken:
        return {"seed": seed, "placed": 0, "problems": {"lives that broke": [repr(broken)]}}
    return {
        "seed": seed,
        "placed": life.placed,
        "fills": len(life.far.fills),
        "finals": sum(order["status"] in FINAL for order in life.far.orders.values()),
        "unknown": sum(told is not None and told.kind is OutcomeKind.UNKNOWN for _, told in life.done),
        "problems": life.problems,
        "settled_s": life.settled_s,
        "switch_s": life.switch_s,
        "happened": dict(life.far.happened),
        "cpu_s": time.process_time() - began_s,
    }


JUDGED = (
    "wrong final states told",
    "orders that differ at the end",
    "orders that stay unknown",
    "orders sent twice",
    "orders at the venue that are not here",
    "orders of others touched",
    "orders past a broken hook or the kill switch",
    "outcomes that are not true",
    "fills told more than once",
    "fills never told",
    "fills that never were",
    "fills of the read model that are not the venue's",
    "money that differs",
    "commands that never end",
    "unanswered commands",
    "lives that broke",
)


def row(name: str, value: float, unit: str, bound: str) -> Row:
    """`bound` is "" or like "<= 10"."""
    sign, _, limit = bound.partition(" ")
    holds = {"": True, "==": bound and value == float(limit or 0), "<=": bound and value <= float(limit or 0)}
    holds[">="] = bool(bound) and value >= float(limit or 0)
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": bool(holds[sign])}


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def report(lives: list[Row], wanted: int) -> list[Row]:
    def total(name: str) -> int:
        return sum(life.get(name, 0) for life in lives)

    rows = [
        row("orders placed", total("placed"), "", f">= {wanted}"),
        row("lives of a connector", len(lives), "", ""),
        row("fills", total("fills"), "", ""),
        row("orders that ended", total("finals"), "", ""),
        row("commands told unknown", total("unknown"), "", ""),
    ]
    rows += [row(kind, sum(len(life["problems"].get(kind, ())) for life in lives), "", "== 0") for kind in JUDGED]
    settled = [each for life in lives for each in life.get("settled_s", ())]
    rows.append(row("unknown orders timed after the venue's return", len(settled), "", ""))
    rows.append(row("settled after the venue answers and absence is provable, p50", share(settled, 0.5), "s", ""))
    rows.append(row("settled after the venue answers and absence is provable, p99", share(settled, 0.99), "s", "<= 10"))
    rows.append(
        row("settled after the venue answers and absence is provable, worst", max(settled, default=0.0), "s", "")
    )
    switch = [each for life in lives for each in life.get("switch_s", ())]
    rows.append(row("kill switch in calm: last order of ours cancelled, worst", max(switch, default=0.0), "s", "<= 2"))
    happened: Counter[str] = Counter()
    for life in lives:
        happened.update(life.get("happened", {}))
    rows += [row(f"fault {name}", times, "times", "") for name, times in sorted(happened.items())]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=max(1, min(2, os.cpu_count() or 1)))
    parser.add_argument("--seed", type=int, help="play one life and print what was wrong")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "orders.json")
    options = parser.parse_args()
    if options.seed is not None:
        life = live(options.seed)
        print(json.dumps(life, indent=1, default=str))
        return 1 if life["problems"] else 0

    lives: list[Row] = []
    placed, began_s, seed = 0, time.monotonic(), options.first_seed
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = set()
        while placed < options.orders or running:
            while placed < options.orders and len(running) < 2 * options.processes:
                running.add(pool.submit(live, seed))
                seed += 1
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for each in finished:
                life = each.result()
                lives.append(life)
                placed += life["placed"]
                if life["problems"]:
                    first = next(iter(life["problems"].items()))
                    print(f"\nFAIL seed {life['seed']}: {first[0]}: {str(first[1][0])[:300]}")
                    print(f"     python tests/faults/orders.py --seed {life['seed']}", flush=True)
            failed = sum(bool(life["problems"]) for life in lives)
            line = f"{placed:,} of {options.orders:,} orders, {len(lives)} lives, {failed} failed"
            line += f", {time.monotonic() - began_s:.0f} s"
            if sys.stdout.isatty():
                print(f"\r{line}", end="", flush=True)
            elif len(lives) % 25 == 0:
                print(line, flush=True)
    rows = report(lives, options.orders)
    rows.append(row("time", time.monotonic() - began_s, "s", ""))
    for each in rows:
        print(f"{'ok  ' if each['ok'] else 'FAIL'} {each['name']}: {each['value']:,} {each['unit']} {each['bound']}")
    ok = all(each["ok"] for each in rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"ok": ok, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
