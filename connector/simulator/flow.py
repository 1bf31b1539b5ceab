"""Draw the orders of a crowd: a seeded stream of limits, takes and cancels around a wandering fair price.

Decides only what comes next. It never reads a clock or sends; with the same seed and the same number of steps the markets
end in the same state, trade for trade.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from connector.matching import Order, Outcome, Side, TimeInForce
from connector.simulator.market import Market

__all__ = ["Flow"]


class Flow:
    """The crowd of all symbols."""

    def __init__(self, markets: Sequence[Market], seed: int, resting_orders: int) -> None:
        self._rng = random.Random(f"{seed}:flow")
        self._crowds = [_Crowd(market, self._rng, resting_orders) for market in markets]

    def warm_up(self, now_us: int) -> None:
        """Put a full book on both sides of every market."""
        for crowd in self._crowds:
            crowd.warm_up(now_us)

    def step(self) -> tuple[Market, Outcome] | None:
        """One order or cancel at one trading market; None when none trades. The caller applies the outcome."""
        crowd = self._crowds[self._rng.randrange(len(self._crowds))]
        if crowd.market.status != "TRADING":
            crowd = next((c for c in self._crowds if c.market.status == "TRADING"), crowd)
        if crowd.market.status != "TRADING":
            return None
        crowd.market.log.prepare(crowd.market.engine)
        return crowd.market, crowd.act()


class _Crowd:
    """The traders of one market and what they think it is worth."""

    def __init__(self, market: Market, rng: random.Random, resting_orders: int) -> None:
        self.market = market
        self._rng = rng
        self._target = resting_orders
        self._home = self._fair = market.price
        self._reach = max(4, market.price // 20_000)
        self._lots = max(2, 300 * 10**16 // market.listing.lot_worth_e16)
        self._resting: list[int] = []

    def warm_up(self, now_us: int) -> None:
        for _ in range(self._target // 2):
            for side in Side:
                distance = 1 + int(self._rng.expovariate(1.0) * self._reach)
                price = max(1, self._fair - distance if side is Side.BUY else self._fair + distance)
                self.market.log.prepare(self.market.engine)
                self.market.apply(self._keep(self.market.engine.submit(side, self._size(), price)), now_us)

    def act(self) -> Outcome:
        rng, engine = self._rng, self.market.engine
        if rng.random() < 0.2:
            pull = (self._home > self._fair * 1.1) - (self._home < self._fair * 0.9)
            self._fair = max(100, self._fair + rng.randrange(-1, 2) * max(1, self._reach // 8) + pull)
        if engine.best_bid is None or engine.best_ask is None:
            side = Side.BUY if engine.best_bid is None else Side.SELL
            other = engine.best_ask if side is Side.BUY else engine.best_bid
            price = (other or self._fair) + (-2 if side is Side.BUY else 2)
            return self._keep(engine.submit(side, self._size(), max(1, price)))
        choice = rng.random()
        if choice < 0.42 * len(self._resting) / self._target and (cancelled := self._cancel()) is not None:
            return cancelled
        side = Side.BUY if rng.random() < 0.5 else Side.SELL
        if choice > 0.93:
            return engine.submit(side, self._size() * 2)
        distance = int(rng.expovariate(1.0) * self._reach)
        price = max(1, self._fair - distance if side is Side.BUY else self._fair + distance)
        if choice > 0.91:
            return engine.submit(side, self._size(), price, tif=TimeInForce.IOC)
        if choice > 0.90:
            best = engine.best_ask if side is Side.BUY else engine.best_bid
            return engine.submit(side, self._size(), best, tif=TimeInForce.FOK)
        return self._keep(engine.submit(side, self._size(), price))

    def _size(self) -> int:
        return 1 + self._rng.randrange(self._lots) * self._rng.randrange(1, 6)

    def _keep(self, outcome: Outcome) -> Outcome:
        if outcome.order.remaining and not outcome.order.status.value.startswith(("EXP", "REJ")):
            self._resting.append(outcome.order.order_id)
        return outcome

    def _cancel(self) -> Outcome | None:
        """Cancel the farther of two orders picked at random; forget filled ones on the way."""
        engine = self.market.engine
        picked: list[Order] = []
        while self._resting and len(picked) < 2:
            index = self._rng.randrange(len(self._resting))
            order = engine.order(self._resting[index])
            if order is not None and order not in picked:
                picked.append(order)
            elif order is not None:
                break
            else:
                self._resting[index] = self._resting[-1]
                self._resting.pop()
        if not picked:
            return None
        farther = max(picked, key=lambda order: abs((order.price or 0) - self._fair))
        self._resting.remove(farther.order_id)
        return engine.cancel(farther.order_id)
