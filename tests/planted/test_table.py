"""Every planted bug still applies: its text is there, what it makes of it is Python, and the tests named for it exist."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _table():
    spec = importlib.util.spec_from_file_location("planted_bugs", Path(__file__).with_name("bugs.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = _table()
EACH = pytest.mark.parametrize("bug", TABLE.BUGS, ids=lambda bug: bug.id)


def test_there_are_enough_of_them_and_no_name_or_text_twice():
    assert len(TABLE.BUGS) >= 45
    for part in ("id", "mistake"):
        named = [getattr(bug, part) for bug in TABLE.BUGS]
        assert len(set(named)) == len(named)
    assert len({(bug.file, bug.old, bug.new) for bug in TABLE.BUGS}) == len(TABLE.BUGS)


@functools.cache
def _source(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    return text, ast.dump(ast.parse(text))


@EACH
def test_a_planted_bug_still_applies_and_the_tests_that_have_to_notice_it_exist(bug):
    text, shape = _source(bug.file)

    assert ast.dump(ast.parse(bug.planted(text))) != shape, "it changes nothing a program does"
    assert bug.tests
    for test in bug.tests:
        path, _, name = test.partition("::")
        assert TABLE.level_of(test) in TABLE.LEVELS
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") if name else (ROOT / path).is_file()


def test_each_says_in_a_sentence_what_it_is_and_what_it_would_cost():
    for bug in TABLE.BUGS:
        assert bug.id.isidentifier() and bug.id == bug.id.lower()
        assert bug.mistake[0].isupper() and not bug.harm[0].isupper()
        assert not {bug.mistake[-1], bug.harm[-1]} & set(".,") and "|" not in bug.mistake + bug.harm


def test_the_page_shows_every_one_of_them():
    page = (ROOT / "docs" / "reference" / "planted-bugs.md").read_text(encoding="utf-8")

    absent = [bug.id for bug in TABLE.BUGS if page.count(f"| {bug.mistake} | {bug.harm} | ") != 1]

    assert not absent, "`make planted PLANTED_ARGS=--resume` judges what is new and writes the page"


def test_a_text_that_is_gone_or_stands_twice_is_refused():
    bug = TABLE.BUGS[0]

    for text in ("", bug.old * 2):
        with pytest.raises(ValueError, match="expected once"):
            bug.planted(text)
