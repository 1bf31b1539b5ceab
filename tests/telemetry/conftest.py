"""A function inside the package's name, so that records come from where the library's do."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import loguru
import pytest

SOURCE = """
from connector.telemetry import logger

def say(level, message, *args, **fields):
    logger.bind(**fields).log(level, message, *args)

def say_failure(message, **fields):
    logger.bind(**fields).opt(exception=True).error(message)
"""


@pytest.fixture
def library() -> types.ModuleType:
    """A module named connector.something that logs."""
    module = types.ModuleType("connector.something")
    exec(compile(SOURCE, "something.py", "exec"), module.__dict__)
    return module


@pytest.fixture(autouse=True)
def loguru_as_it_was() -> Iterator[None]:
    yield
    loguru.logger.remove()
    loguru.logger.disable("connector")
    loguru.logger.add(sys.__stderr__)
