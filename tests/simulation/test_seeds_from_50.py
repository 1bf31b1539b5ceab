"""More of the lives of `test_seeds`: a worker takes a file."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from simulated import wrong_lives


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(50, 100, 10))
def test_nothing_wrong_is_seen_during_faults_and_all_is_right_again_after_them(first):
    assert wrong_lives(range(first, first + 10)) == {}
