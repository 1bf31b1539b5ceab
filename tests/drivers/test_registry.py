"""Drivers are found by name; the table in the docs is what they declare."""

from __future__ import annotations

import ast
import types
from pathlib import Path

import pytest

import connector.drivers
from connector.drivers import registry
from connector.drivers.binance import SPOT
from connector.drivers.binance.rest import QUESTIONS
from connector.drivers.binance.streams import READERS
from connector.drivers.contract import Capability
from connector.drivers.registry import all_drivers, find_driver, folders
from connector.drivers.table import capability_table
from connector.errors import ConnectorBug, Unsupported

ROOT = Path(__file__).resolve().parents[2]


def test_driver_is_found_by_name():
    assert find_driver("binance") is SPOT
    assert SPOT in all_drivers()


@pytest.mark.parametrize("name", ["nowhere", "", "binance-moon", "-binance", "contract", "../binance", "binance.facts"])
def test_unknown_driver_is_unsupported_and_lists_the_known(name):
    with pytest.raises(Unsupported, match="binance"):
        find_driver(name)


def test_every_name_is_unique_and_found_again():
    names = [driver.name for driver in all_drivers()]
    assert len(set(names)) == len(names)
    assert all(find_driver(driver.name) is driver for driver in all_drivers())


def test_folder_without_drivers_is_our_bug(monkeypatch):
    for drivers in (None, (), (1,), [SPOT]):
        monkeypatch.setattr(
            registry.importlib, "import_module", lambda name, d=drivers: types.SimpleNamespace(DRIVERS=d)
        )
        with pytest.raises(ConnectorBug, match="DRIVERS"):
            find_driver("binance")


def test_driver_in_a_folder_of_another_name_is_our_bug(monkeypatch):
    monkeypatch.setattr(registry, "folders", lambda: ("kraken",))
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: types.SimpleNamespace(DRIVERS=(SPOT,)))
    with pytest.raises(ConnectorBug, match="nobody will look"):
        find_driver("kraken")


def test_new_folder_is_seen_without_editing_anything(tmp_path):
    for name in ("kraken", "acme"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "helper.py").write_text("")
    assert folders([str(tmp_path)]) == ("acme", "kraken")


def test_shared_driver_files_name_no_exchange():
    home = Path(connector.drivers.__path__[0])
    for path in home.glob("*.py"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        words = [
            node.value for node in ast.walk(code) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        imported = [node.module or "" for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
        docs = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(code)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        }
        assert not [word for word in words if word not in docs and any(folder in word for folder in folders())]
        assert not [name for name in imported if any(name.endswith(f".{folder}") for folder in folders())]


def test_capabilities_are_what_the_tables_hold():
    declared = {(item.area, item.name) for item in SPOT.capabilities}
    assert {name for area, name in declared if area == "query"} == {question.name for question in QUESTIONS.values()}
    assert {name for area, name in declared if area == "stream"} == {kind.value for kind in READERS}
    assert {name for area, name in declared if area == "environment"} == {"live", "testnet", "demo"}


def test_table_writes_no_for_what_a_driver_lacks():
    import dataclasses

    other = dataclasses.replace(SPOT, name="other", capabilities=frozenset({Capability("query", "depth", "5 | 10")}))
    lines = capability_table([SPOT, other]).splitlines()

    assert lines[0] == "| capability | binance (spot) | other (spot) |"
    assert "| query: depth | up to 5000 levels a side | 5 \\| 10 |" in lines
    assert "| stream: trades | yes | no |" in lines
    assert all(line.count(" | ") == lines[0].count(" | ") for line in lines[2:] if "\\|" not in line)


def test_table_in_the_docs_is_the_printed_one():
    page = ROOT / "docs" / "venues" / "binance.md"
    if not page.exists():
        pytest.skip("the docs are not part of this checkout")
    assert capability_table([SPOT]) in page.read_text(encoding="utf-8")
