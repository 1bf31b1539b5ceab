"""What an engine decides before anything starts. Frozen, checked when made, read from nowhere else.

The library reads no environment variable and no file by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from connector.errors import SettingsError
from connector.supervision import Backoff, Intensity
from connector.venue.settings import VenueSettings

__all__ = ["ConnectorSettings", "VenueSettings"]


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """Everything: the venues, and how the tree of actors behaves.

    Args:
        venues: at least one; names are unique.
        stop_within_s: an ordered stop takes at most so long.
        busy_limit_s: an actor that stays in one message longer counts as hung and is replaced.
        restart: delays between restarts of one actor in a row; the first comes at once.
        restart_limit: beyond it, the actors of a venue that fail are tried every 30 s only, for ever.
    """

    venues: tuple[VenueSettings, ...]
    stop_within_s: float = 5.0
    busy_limit_s: float = 10.0
    restart: Backoff = Backoff()
    restart_limit: Intensity = Intensity(max_restarts=10, within_s=60.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "venues", tuple(self.venues))
        if not self.venues:
            raise SettingsError("no venue is given; expected at least one VenueSettings.")
        names = [venue.name for venue in self.venues]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingsError(
                f"venue name {', '.join(twice)} is used twice; give each VenueSettings a name of its own."
            )
