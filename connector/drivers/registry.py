"""Finds drivers by name, so that no other shared file has to name an exchange.

A driver lives in a folder of this package whose `DRIVERS` is a tuple of `Driver` values. The folder is the driver's name up
to the first hyphen: "binance" and "binance-usdm" both live in `binance`. Only the folder asked for is imported; adding an
exchange adds a folder and edits nothing here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

import connector.drivers
from connector.drivers.contract import Driver
from connector.errors import ConnectorBug, Unsupported

__all__ = ["all_drivers", "find_driver", "folders"]


def folders(paths: Sequence[str] | None = None) -> tuple[str, ...]:
    """Folders that may hold drivers, sorted. `paths` is for tests; None looks into this package."""
    where = connector.drivers.__path__ if paths is None else paths
    return tuple(sorted(module.name for module in pkgutil.iter_modules(where) if module.ispkg))


def _drivers_in(folder: str) -> tuple[Driver, ...]:
    module = importlib.import_module(f"connector.drivers.{folder}")
    drivers: object = getattr(module, "DRIVERS", None)
    if not isinstance(drivers, tuple) or not drivers or not all(isinstance(driver, Driver) for driver in drivers):
        raise ConnectorBug(f"connector.drivers.{folder} has no DRIVERS, a tuple of Driver values.")
    for driver in drivers:
        if driver.name.partition("-")[0] != folder:
            raise ConnectorBug(f"driver {driver.name!r} lives in folder {folder!r}, where nobody will look for it.")
    return drivers


def all_drivers() -> tuple[Driver, ...]:
    """Every driver there is, by folder; imports them all."""
    return tuple(driver for folder in folders() for driver in _drivers_in(folder))


def find_driver(name: str) -> Driver:
    """The driver of this name.

    Raises:
        Unsupported: there is none; lists the names there are.
    """
    folder = name.partition("-")[0]
    if folder in folders():
        for driver in _drivers_in(folder):
            if driver.name == name:
                return driver
    names = ", ".join(driver.name for driver in all_drivers())
    raise Unsupported(f"there is no driver {name!r}. There are: {names}.")
