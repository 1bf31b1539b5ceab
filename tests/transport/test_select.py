"""Which library links run over."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from connector.errors import SettingsError
from connector.transport.capture import CaptureWriter
from connector.transport.recording import RecordingLinks
from connector.transport.select import links_for


def without_picows(name: str, package: str | None = None) -> None:
    assert name == "picows"


def test_picows_is_taken_when_it_is_installed() -> None:
    assert links_for().kind == "picows"
    assert links_for("picows").kind == "picows"


def test_each_can_be_forced() -> None:
    assert links_for("websocket-client").kind == "websocket-client"


def test_without_picows_auto_means_websocket_client_and_forcing_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without_picows)
    assert links_for().kind == "websocket-client"
    with pytest.raises(SettingsError, match=r"pip install 'venue-connector\[fast\]'"):
        links_for("picows")


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match="'auto', 'picows' or 'websocket-client'"):
        links_for("aiohttp")  # type: ignore[arg-type]


def test_a_recorder_is_put_around_the_links(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.jsonl.gz") as writer:
        links = links_for("websocket-client", writer)
        assert isinstance(links, RecordingLinks) and links.kind == "websocket-client"
