"""A canary in every test: each `Credentials` that a test makes carries `CANARY`, and no test may show it, nor its own secret.

Whatever a test writes to stdout, stderr or the log, and the text of its report, is searched when the test is over; one that
shows a secret fails, and with it the run. What is searched for: the canary, and every secret of some length that was handed to
`Credentials` so far in this process: as they are, percent-encoded, in base64. On the thread of the tests, in every worker.

Tests with real sockets, processes and a real clock share two cores with other workers, and their deadlines are ours, not the
machine's. Such a test that failed is played once more; the run's last lines name and count it ("1 rerun"). Everything else has
one try.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

CANARY = "cAnArY/pLaNtEd+in-every-account=0f1e2d3c"
WITH_A_REAL_CLOCK = {"e2e", "examples", "isolation", "system", "transport"}
SHORTEST = 12
"""Shorter ones are words that stand in many texts."""

_seen: dict[str, None] = {CANARY: None}


def _plant() -> None:
    from connector.domain.credentials import Credentials

    original = Credentials.__init__

    @functools.wraps(original)
    def planted(self: Credentials, key: str, **parts: Any) -> None:
        if parts.get("passphrase") is None:
            parts["passphrase"] = CANARY
        original(self, key, **parts)
        for text in self.secrets:
            for line in (text, *(line for line in text.splitlines() if "-----" not in line)):
                if len(line) >= SHORTEST:
                    _seen[line] = None

    Credentials.__init__ = planted  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    _plant()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in WITH_A_REAL_CLOCK:
            item.add_marker(pytest.mark.flaky(reruns=1))


def secrets_in(text: str) -> list[str]:
    """The secrets that can be read out of a text."""
    return [
        secret
        for secret in _seen
        if secret in text
        or quote(secret, safe="") in text
        or base64.b64encode(secret.encode()).decode().rstrip("=") in text
    ]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield
    texts = [*report.sections, ("report", report.longreprtext)]
    for where, text in texts:
        for secret in secrets_in(text):
            told = f"{where} of this test shows a secret of {len(secret)} characters, beginning with {secret[:3]!r}"
            if report.outcome != "failed":
                report.outcome, report.longrepr = "failed", told
            report.sections.append(("secret shown", told))
    return report


@pytest.fixture(scope="session")
def canary() -> str:
    """What every account of the tests carries besides its own secret."""
    return CANARY
