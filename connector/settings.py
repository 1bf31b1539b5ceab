"""What an engine decides before anything starts. Frozen, checked when made, read from nowhere else.

The library reads no environment variable and no file by itself; `load_credentials` does, from what an engine hands it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connector.domain.credentials import Credentials
from connector.errors import SettingsError
from connector.supervision import Backoff, Intensity
from connector.venue.settings import VenueSettings

__all__ = ["ConnectorSettings", "VenueSettings", "load_credentials"]


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """Everything: the venues, and how the tree of actors behaves.

    Args:
        venues: at least one; names are unique.
        stop_within_s: an ordered stop takes at most so long.
        busy_limit_s: an actor that stays in one message longer counts as hung; its successor is there 1.5 s later at the latest.
        restart: delays between restarts of one actor in a row; the first comes at once.
        restart_limit: beyond it, the actors of a venue that fail are tried every 30 s only, for ever.
    """

    venues: tuple[VenueSettings, ...]
    stop_within_s: float = 5.0
    busy_limit_s: float = 8.5
    restart: Backoff = Backoff()
    restart_limit: Intensity = Intensity(max_restarts=10, within_s=60.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "venues", tuple(self.venues))
        if not self.venues:
            raise SettingsError("no venue is given; expected at least one VenueSettings.")
        names = [venue.name for venue in self.venues]
        files = [str(venue.record) for venue in self.venues if venue.record is not None]
        if len(set(files)) < len(files):
            raise SettingsError("two venues record into one file; give each a file of its own.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingsError(
                f"venue name {', '.join(twice)} is used twice; give each VenueSettings a name of its own."
            )


_PARTS = ("key", "secret", "private_key", "private_key_file", "password", "passphrase")


def load_credentials(
    name: str, environment: Mapping[str, str] | None = None, *, file: str | Path | None = None
) -> Credentials:
    """Read the keys of one account from environment variables, or from a TOML file; the only place that reads either.

        load_credentials("demo", os.environ)          # DEMO_KEY and DEMO_SECRET, or DEMO_PRIVATE_KEY_FILE
        load_credentials("demo", file="keys.toml")    # the table [demo] with key = …, secret = …

    The parts are `key`; `secret`, or `private_key` (PEM text), or `private_key_file` (a path to it); and where they are
    needed, `password` of the private key and `passphrase` of the account. A variable is NAME_PART in upper case, with an
    underscore for every other character.

    Args:
        name: of the table, and the beginning of the variables.
        environment: the variables, `os.environ` mostly; handed in, so that nothing is read that the engine does not see.
        file: read instead.

    Raises:
        SettingsError: a file cannot be read, a part is missing, unknown or given twice over. It shows names, never values.
    """
    if (environment is None) == (file is None):
        raise SettingsError("give the environment (os.environ) or a file to read the keys from, and one of them.")
    parts, where = _from_environment(name, environment or {}), f"the environment ({_variable(name, 'key')} and so on)"
    if file is not None:
        parts, where = _from_file(name, Path(file)), f"table [{name}] of {file}"
    if not parts.get("key"):
        raise SettingsError(f"no key is in {where}; expected key, and secret or private_key or private_key_file.")
    pem_path = parts.get("private_key_file")
    if pem_path is not None:
        if "private_key" in parts:
            raise SettingsError(f"{where} has private_key and private_key_file; give one of them.")
        parts["private_key"] = _text(Path(pem_path))
    try:
        return Credentials(
            parts["key"],
            secret=parts.get("secret"),
            private_key_pem=parts.get("private_key"),
            password=parts.get("password"),
            passphrase=parts.get("passphrase"),
        )
    finally:
        parts.clear()  # a traceback that shows the locals of this frame shows no key


def _variable(name: str, part: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in f"{name}_{part}").upper()


def _from_environment(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    return {part: value for part in _PARTS if (value := environment.get(_variable(name, part)))}


def _from_file(name: str, path: Path) -> dict[str, str]:
    import tomllib  # everybody waits for what is imported above, and few keep their keys in a file

    try:
        tables = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        raise SettingsError(f"{path} is not TOML; expected a table [{name}] with key = and secret =.") from None
    parts = tables.get(name)
    if not isinstance(parts, dict):
        raise SettingsError(f"{path} has no table [{name}]; it has {', '.join(sorted(tables)) or 'none'}.")
    wrong = sorted(part for part, value in parts.items() if part not in _PARTS or not isinstance(value, str))
    if wrong:
        raise SettingsError(
            f"[{name}] in {path}: {', '.join(wrong)} is not known or not text; known: {', '.join(_PARTS)}."
        )
    return dict(parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        raise SettingsError(f"{path} cannot be read: {type(failed).__name__}.") from None
