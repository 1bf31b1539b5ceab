"""Client order ids: unique for ever, recognisable as ours, and valid at the venue.

An id is a mark, twelve base-36 characters of chance drawn once per maker (62 bits), and a counter. Every incarnation of an
order actor has a maker of its own and reads no prefix back, so a crash can repeat no id; among a million makers two share a
prefix with a chance of one in nine million. Ids hold letters and digits only, which every venue takes. Never reads a clock.
A maker belongs to one thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from connector.errors import InvalidRequest, Unsupported

__all__ = ["MARK", "ClientIds", "IdRules", "check_client_id", "is_ours"]

MARK = "cn"
"""How every id made here begins."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_CHANCE, _COUNTER = 12, 8
_OURS = re.compile(rf"{MARK}[0-9a-z]{{{_CHANCE + _COUNTER}}}\Z")


class IdRules(Protocol):
    """What a venue asks of a client id; `connector.drivers.trading.OrderRules` has both."""

    @property
    def client_id(self) -> str: ...

    @property
    def client_id_length(self) -> int: ...


class ClientIds:
    """Makes client order ids. Used by one thread.

    Args:
        random: numbers in [0, 1).
        rules: the venue's; checked once, here.

    Raises:
        Unsupported: the venue's rules do not admit ids of this form.
    """

    def __init__(self, random: Callable[[], float], rules: IdRules) -> None:
        self.prefix = MARK + "".join(_DIGITS[int(random() * 36)] for _ in range(_CHANCE))
        self._made = 0
        self._high = self.prefix + "0" * (_COUNTER - 1)  # the next id but for its last character
        example = self.prefix + "0" * _COUNTER
        if problem := _problem(example, rules):
            raise Unsupported(f"client ids like {example!r} are not taken by this venue: {problem}.")

    def make(self) -> str:
        """The next id, e.g. 'cnk3x0q81mz7rt0000001a'."""
        self._made += 1
        last = self._made % 36
        if last == 0:
            self._high = self.prefix + _base36(self._made // 36).rjust(_COUNTER - 1, "0")
        return self._high + _DIGITS[last]

    def made_here(self, client_id: str) -> bool:
        """Whether this very maker gave it out."""
        return is_ours(client_id) and client_id.startswith(self.prefix)

    def __repr__(self) -> str:
        return f"<ClientIds {self.prefix} {self._made} made>"


def is_ours(client_id: str) -> bool:
    """Whether an id has the form of ids made by this library, by this process or another.

    It proves no ownership: an order is ours when its intent is in our store.
    """
    return _OURS.match(client_id) is not None


def check_client_id(client_id: str, rules: IdRules) -> None:
    """Check an id that an engine chose by itself. That it was never used before is the store's to say.

    Raises:
        InvalidRequest: the venue would not take it.
    """
    if problem := _problem(client_id, rules):
        raise InvalidRequest(f"client_id {client_id!r} cannot be used: {problem}. Leave it None to have one made.")


def _problem(client_id: str, rules: IdRules) -> str:
    if len(client_id) > rules.client_id_length:
        return f"it has {len(client_id)} characters, the venue takes {rules.client_id_length}"
    if re.fullmatch(rules.client_id, client_id) is None:
        return f"it does not match {rules.client_id}"
    return ""


def _base36(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text
