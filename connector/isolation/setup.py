"""What a venue's process is told at its start, checked while the settings are still an engine's to mend.

Everything is plain values or names of importable things: nothing that lives in the engine's process can follow. Secrets are
in it, so it is shown nowhere and goes over no way but the socket between the two.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector.domain.credentials import Credentials
from connector.drivers.contract import Driver
from connector.drivers.registry import find_driver
from connector.errors import SettingsError, Unsupported
from connector.isolation.launch import is_possible
from connector.settings import ConnectorSettings, VenueSettings
from connector.supervision import Backoff, Intensity

__all__ = ["Setup", "VenueOrder", "settings_from"]

_PARTS = ("secret", "private_key_pem", "password", "passphrase")


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """What the program in the venue's process is started with.

    Attributes:
        venue: the settings without credentials, hooks and store.
        credentials: (key, its parts by name); None without an account.
        open_told: client ids of orders of which the engine knows no final state.
        began_ns: when the engine's process began to look at this venue (UTC).
    """

    venue: VenueSettings
    credentials: tuple[str, dict[str, str]] | None
    risk_hooks: tuple[Any, ...]
    store: Any
    stop_within_s: float
    busy_limit_s: float
    restart: Backoff
    restart_limit: Intensity
    open_told: tuple[str, ...]
    began_ns: int

    def __repr__(self) -> str:
        return f"<VenueOrder {self.venue.name}>"


class Setup:
    """Makes the order for each life of one venue's process.

    Raises:
        SettingsError: something in the settings cannot follow into another process; the text says what to do.
    """

    def __init__(self, settings: ConnectorSettings, venue: VenueSettings, driver: Driver, began_ns: int) -> None:
        if not is_possible():
            raise SettingsError(f'{venue.name}: isolation="process" needs a POSIX system; use isolation="thread" here.')
        self._name, self.stop_within_s = venue.name, settings.stop_within_s
        self._check_driver(venue, driver)
        for hook in venue.risk_hooks:
            self._check_importable("risk hook", hook)
        if callable(venue.store):
            self._check_importable("store", venue.store)
        self._order = VenueOrder(
            venue=replace(venue, credentials=None, risk_hooks=(), store=None, isolation="thread"),
            credentials=None if venue.credentials is None else _parts_of(venue.credentials),
            risk_hooks=venue.risk_hooks,
            store=venue.store,
            stop_within_s=settings.stop_within_s,
            busy_limit_s=settings.busy_limit_s,
            restart=settings.restart,
            restart_limit=settings.restart_limit,
            open_told=(),
            began_ns=began_ns,
        )

    def _check_driver(self, venue: VenueSettings, driver: Driver) -> None:
        try:
            known: Driver | None = find_driver(venue.exchange)
        except Unsupported:
            known = None
        if driver is not known:
            raise SettingsError(
                f'{self._name}: isolation="process" finds its driver by name, and {venue.exchange!r} is one handed to this '
                'Connector. Use isolation="thread", or put the driver into connector.drivers.'
            )

    def _check_importable(self, what: str, value: Any) -> None:
        try:
            sealed = pickle.dumps(value, protocol=5)
        except Exception as failure:
            raise SettingsError(
                f"{self._name}: {what} {value!r:.80} cannot follow into a process of its own: {failure}. With "
                'isolation="process" it has to be importable: a function or class of a module, or an instance of one.'
            ) from failure
        if b"__main__" in sealed:
            raise SettingsError(
                f"{self._name}: {what} {value!r:.80} is defined in the program's main file, which a venue's process does not "
                "run. Move it into a module of its own and import it."
            )

    def sealed(self, open_told: Sequence[str]) -> tuple[list[str], bytes]:
        """For the next life: where modules are found, and the order, to be opened when they are."""
        order = replace(self._order, open_told=tuple(open_told))
        return list(sys.path), pickle.dumps(order, protocol=5)

    def __repr__(self) -> str:
        return f"<Setup {self._name}>"


def _parts_of(credentials: Credentials) -> tuple[str, dict[str, str]]:
    parts = {name: text for name in _PARTS if (text := credentials.reveal(name)) is not None}
    return credentials.key, parts


def settings_from(order: VenueOrder) -> ConnectorSettings:
    """The settings of the tree in the venue's process."""
    venue = order.venue
    if order.credentials is not None:
        key, parts = order.credentials
        venue = replace(venue, credentials=Credentials(key, **parts), risk_hooks=order.risk_hooks, store=order.store)
    return ConnectorSettings(
        (venue,),
        stop_within_s=order.stop_within_s,
        busy_limit_s=order.busy_limit_s,
        restart=order.restart,
        restart_limit=order.restart_limit,
    )
