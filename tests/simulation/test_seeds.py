"""Lives of a whole venue under the seeded scheduler, each with its own mix of faults: nothing wrong is ever seen, and all is
right again within a minute after the faults. Two hundred of them, in files that workers share; `make sim SEED=n` plays one again.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import connector

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from products import PRODUCTS
from simulated import Life, Plan, wrong_lives

SEEDS = 200


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, 50, 10))
def test_nothing_wrong_is_seen_during_faults_and_all_is_right_again_after_them(first):
    assert wrong_lives(range(first, first + 10)) == {}


def test_most_lives_have_two_kinds_of_faults_or_more_and_every_product_has_its_lives():
    plans = [Plan(seed) for seed in range(SEEDS)]

    assert sum(len(plan.kinds) >= 2 for plan in plans) >= 0.8 * SEEDS
    assert {plan.product.exchange for plan in plans} == set(PRODUCTS)


@pytest.mark.timeout(600)
def test_life_without_faults_raises_no_alarm_and_loses_nothing():
    for name, product in PRODUCTS.items():
        plan = Plan(5, product, ())
        plan.skew_ms = 0
        life = Life(plan)
        counters = life.rig.memory.counters.snapshot()

        assert life.problems == {}, name
        assert life.rig.memory.alarms.counts() == {}, name
        assert [counters.get(each, 0) for each in ("feed.gaps", "stream.connections_lost", "orders.unknown")] == [
            0,
            0,
            0,
        ]


@pytest.mark.timeout(600)
def test_the_same_seed_is_the_same_trace_in_every_process():
    program = "import sys; sys.path.append(sys.argv[1]); from simulated import live; print(*(live(n)['hash'] for n in (3, 7)))"
    faults = str(Path(__file__).parents[1] / "faults")
    traces = []
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-P", "-c", program, faults],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(connector.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        traces.append(told.stdout.split())

    assert traces[0] == traces[1]
    assert traces[0][0] != traces[0][1]
