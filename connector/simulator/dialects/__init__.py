"""One module per exchange: its wire formats, its rules, its words. Loaded by name, so adding one edits nothing here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.simulator.instruments import Listing

__all__ = ["DEFAULT", "listing_of"]

DEFAULT = "binance_spot"


def listing_of(dialect: str, symbol: str) -> Listing:
    """What a bare name lists at an exchange: the `listing` function of its module decides, or else it is a spot pair.

    Raises:
        ValueError: the name means nothing there, or there is no such dialect.
    """
    from connector.simulator.instruments import (
        listing,  # an exchange's module imports the settings, which import this one
    )

    path = f"{__name__}.{dialect}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as missing:
        if missing.name != path:
            raise
        raise ValueError(f"there is no dialect {dialect!r}: expected a module {path}") from missing
    found: Listing = getattr(module, "listing", listing)(symbol)
    return found
