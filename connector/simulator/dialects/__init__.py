"""One module per exchange: its wire formats, its rules, its words. Loaded by name, so adding one edits nothing here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.simulator.instruments import Listing

__all__ = ["DEFAULT", "figures_of", "listing_of"]

DEFAULT = "binance_spot"


def listing_of(dialect: str, symbol: str) -> Listing:
    """What a bare name lists at an exchange: the `listing` function of its module decides, or else it is a spot pair.

    Raises:
        ValueError: the name means nothing there, or there is no such dialect.
    """
    from connector.simulator.instruments import listing  # an exchange imports the settings, which import this module

    found: Listing = getattr(_module(dialect), "listing", listing)(symbol)
    return found


def figures_of(dialect: str) -> Mapping[str, float]:
    """The exchange's own limits and times by the name of the setting: the `FIGURES` of its module, if it has any.

    Raises:
        ValueError: there is no such dialect.
    """
    found: Mapping[str, float] = getattr(_module(dialect), "FIGURES", {})
    return found


def _module(dialect: str) -> ModuleType:
    path = f"{__name__}.{dialect}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as missing:
        if missing.name != path:
            raise
        raise ValueError(f"there is no dialect {dialect!r}: expected a module {path}") from missing
