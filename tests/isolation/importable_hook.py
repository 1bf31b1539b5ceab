"""A risk hook in a module of its own, as a venue's process can import it."""

from __future__ import annotations


def pass_everything(command: object, view: object) -> None:
    """Let every order pass."""
