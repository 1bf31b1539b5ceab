"""A short run over every reader of every driver; `make fuzz` is the long one. Seeds are chosen, kept and shrunk by hypothesis."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from targets import DRIVERS, Found, Target, mutated, pipes_of, targets_of, try_one

QUICK = settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = st.integers(min_value=0, max_value=2**32)


@pytest.fixture(scope="module", params=DRIVERS)
def targets(request):
    return targets_of(request.param)


def test_every_sample_reads_as_it_is(targets):
    assert len(targets) > 60
    for target in targets:
        assert try_one(target, target.sample) in ("read", *(error.__name__ for error in target.errors))
    read = sum(try_one(target, target.sample) == "read" for target in targets)
    assert read > 0.9 * len(targets)


@QUICK
@given(SEEDS)
def test_spoilt_bytes_raise_declared_errors_and_tell_nothing_that_does_not_stand_in_them(targets, seed):
    rng = random.Random(seed)
    for target in targets:
        try_one(target, mutated(target, rng))


@pytest.mark.parametrize("name", DRIVERS)
def test_no_spoilt_frame_ends_a_reader_thread_and_each_kind_of_trouble_is_told_once(name):
    rng = random.Random(name)
    pipes = pipes_of(name)

    for pipe in pipes:
        for _ in range(100):
            pipe.take(mutated(pipe, rng))
        pipe.take(pipe.sample)
        pipe.judge()
    assert any(pipe.told for pipe in pipes)


def test_a_reader_that_raises_or_invents_is_found():
    def target(read, judge):
        return Target("invented", b"{}", None, (), read, (ValueError,), judge)

    with pytest.raises(Found, match="KeyError"):
        try_one(target(lambda text: {}["gone"], lambda text, said: ""), b"{}")
    with pytest.raises(Found, match="stands nowhere"):
        try_one(target(lambda text: 1, lambda text, said: "1 stands nowhere in it"), b"{}")
    assert try_one(target(int, lambda text, said: ""), b"{}") == "ValueError"
