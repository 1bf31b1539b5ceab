"""The repository keeps its word to a newcomer: what the README, the docs and the workflows name exists, and agrees."""

from __future__ import annotations

import ast
import importlib
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.drivers.registry import all_drivers
from connector.drivers.table import capability_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "connector"
DOCS = ROOT / "docs"
TEXT = {
    ".cfg",
    ".css",
    ".erl",
    ".ini",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".typed",
    ".yml",
    ".yaml",
    "",
}


def read(path: Path | str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Files git knows; of an unpacked release, where there is no git, everything that is in it."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30)
        names = [name for name in listed.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not names:
        made = {"build", "dist", "site", "__pycache__"}
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [
            str(p) for p in found if not made & set(p.parts) and not any(part.startswith(".") for part in p.parts[:-1])
        ]
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


def makefile() -> dict[str, list[str]]:
    """Targets and the commands of their recipes."""
    targets: dict[str, list[str]] = {}
    current: list[str] = []
    for line in read("Makefile").splitlines():
        if line.startswith("\t"):
            current.append(line.strip())
        elif found := re.match(r"([a-z0-9-]+):(?!=)", line):
            current = targets.setdefault(found[1], [])
        else:
            current = []
    return targets


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python[^\n]*\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


PAGES = sorted(DOCS.rglob("*.md"))
PROSE = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", *PAGES]


def names_of(pages: list[Path]) -> list[str]:
    return [where(page) for page in pages]


# ---------------------------------------------------------------- commands


def test_every_make_command_in_the_docs_is_a_target():
    commands = {
        (where(page), name)
        for page in [*PROSE, *sorted((ROOT / ".github").rglob("*.*"))]
        for name in re.findall(r"(?:^[ $]*|`|run: )make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert {name for _, name in commands} >= {"demo", "test"}
    assert not {(page, name) for page, name in commands if name not in makefile()}


def test_continuous_integration_runs_exactly_the_test_command_of_the_readme():
    assert re.search(r"^\s+make test\b", read("README.md"), re.MULTILINE)
    commands = [line for line in read(".ci/run").splitlines() if line and not line.startswith(("#", "set ", "cd "))]

    assert commands == ["make test"]


def test_windows_runs_what_make_test_runs():
    targets = makefile()
    recipe = [
        re.sub(r"(\.\./)*\$\(BIN\)/", "", command).replace("$(PY)", "python")
        for command in targets["check"] + targets["unit"]
    ]
    workflow = [line.strip().strip("()") for line in read(".github/workflows/ci.yml").splitlines()]
    first = workflow.index(recipe[0])

    assert workflow[first : first + len(recipe)] == recipe


def test_workflows_ask_for_no_more_than_they_need_and_name_the_versions_they_use():
    for workflow in sorted((ROOT / ".github/workflows").glob("*.yml")):
        text = workflow.read_text(encoding="utf-8")
        assert "\npermissions:\n  contents: read\n\n" in text, f"{where(workflow)} starts from read-only"
        assert "\nconcurrency:\n" in text
        loose = [used for used in re.findall(r"uses: (\S+)", text) if not re.search(r"@(v\d+|release/v\d+)$", used)]
        assert not loose, f"{where(workflow)} pins actions to a major version"


# ---------------------------------------------------------------- versions


def test_the_changelog_has_a_place_for_the_next_change():
    assert re.search(r"^## \[Unreleased\]$", read("CHANGELOG.md"), re.MULTILINE)


def test_the_package_and_its_metadata_tell_the_same_version():
    told = re.search(r"^__version__ = [\"'](.+?)[\"']", read("connector/__init__.py"), re.MULTILINE)
    if told is None:
        pytest.skip("connector/__init__.py states no version of its own; the metadata is the only place")

    assert told[1] == tomllib.loads(read("pyproject.toml"))["project"]["version"]


def test_continuous_integration_covers_every_python_that_the_metadata_names():
    classifiers = tomllib.loads(read("pyproject.toml"))["project"]["classifiers"]
    named = [text.rpartition(" ")[2] for text in classifiers if re.search(r":: 3\.\d+$", text)]

    matrix = ", ".join(f'"{version}"' for version in named)

    assert f"python: [{matrix}]" in read(".github/workflows/ci.yml")


# ---------------------------------------------------------------- documentation


def nav() -> list[str]:
    text = read("mkdocs.yml")
    return re.findall(r"^\s+- (?:[^\n:]+: )?([\w/.-]+\.md)$", text[text.index("\nnav:") :], re.MULTILINE)


def test_every_page_of_the_navigation_exists_and_every_page_is_in_it():
    listed = nav()

    assert len(listed) == len(set(listed)) > 10
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_every_relative_link_leads_somewhere():
    dead = [
        (where(page), target)
        for page in PROSE
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]

    assert not dead


def test_every_decision_record_is_in_the_index_and_has_its_parts():
    index = read("docs/decisions/README.md")
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))

    assert records
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert f"({record.name})" in index, f"{record.name} is missing in docs/decisions/README.md"
        assert re.match(rf"# {record.name[:4]}\b", text), f"{record.name} begins with its number and its title"


def test_reference_pages_name_modules_that_exist():
    named = [
        (where(page), name)
        for page in PAGES
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert named
    assert not [(page, name) for page, name in named if not _exists(name)]


def _exists(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
        return True
    module, _, name = dotted.rpartition(".")
    return bool(module) and hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", names_of(PROSE))
def test_python_in_the_docs_compiles_and_imports_what_exists(page):
    for block in python_blocks(ROOT / page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "connector":
                module = importlib.import_module(node.module or "")
                missing = [alias.name for alias in node.names if alias.name != "*" and not hasattr(module, alias.name)]
                assert not missing, f"{page}: from {node.module} import {', '.join(missing)}"


def test_the_capability_table_is_what_the_drivers_say():
    page = read("docs/venues/README.md")
    table = page[page.index("<!-- table -->") + len("<!-- table -->") : page.index("<!-- /table -->")].strip()

    assert table == capability_table(all_drivers()).strip()


def test_every_recovery_counter_is_explained():
    counted = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"counters\.add\(\s*\"([a-z_.]+)\"", path.read_text(encoding="utf-8"))
    }
    explained = set(re.findall(r"`([a-z]+\.[a-z_]+)`", read("docs/guides/failures.md").partition("## Counters")[2]))

    assert counted and counted == explained


def test_every_example_is_in_the_list():
    listed = set(re.findall(r"\]\((\w+\.py)\)", read("examples/README.md")))

    assert listed == {path.name for path in (ROOT / "examples").glob("*.py")}


def test_the_tutorial_runs_as_written_and_ends_by_itself():
    program = "\n".join(python_blocks(DOCS / "tutorial.md"))

    ran = subprocess.run(
        [sys.executable, "-P", "-X", "utf8", "-c", program],  # a pipe of Windows has no letters for the tree's picture
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    for part in ("stream  running  #2", "right again:", "trades were fetched afterwards", "StopReport(ok=True"):
        assert part in ran.stdout


def test_the_test_in_the_testing_guide_passes():
    space: dict[str, object] = {}
    exec(python_blocks(DOCS / "guides" / "testing-your-engine.md")[0], space)
    tests = [made for name, made in space.items() if name.startswith("test_")]

    assert len(tests) == 1
    for test in tests:
        test()


# ---------------------------------------------------------------- source


@pytest.mark.parametrize("folder", ["connector", "examples", "tests"])
def test_every_module_says_what_it_is(folder):
    silent = [
        where(path)
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert not silent


MACHINE = re.compile(
    r"(?<![\w.$~*{}/-])/(?:work|tmp|root|home|opt|mnt|srv)/\w|[A-Z]:\\Users|index[-_]url|INDEX_URL|/simple/\W|pythonhosted"
    r"|://[^/\s]+\.(?:internal|corp|lan)\b"
)


def test_no_file_names_the_machine_it_was_written_on():
    found = [
        f"{where(path)}: {hit[0]}"
        for path in tracked()
        if path.suffix in TEXT and path != Path(__file__).resolve()
        for hit in MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]

    assert not found


@pytest.mark.parametrize("text", ["see /tmp/x", "'/home/me'", "--index-url=x", "https://mirror.corp/x", "(/work/main)"])
def test_a_planted_machine_path_is_seen(text):
    assert MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["https://example.org/home/x", "tmp_path / 'a'", "~/work/x", "docs/home/a.md", "work/main"]
)
def test_an_ordinary_path_is_no_machine_path(text):
    assert not MACHINE.search(text)


EXCHANGE_NAMES = ("binance", "bitget", "bybit", "coinbase", "kraken", "kucoin", "okx")
# Where one may be named: a folder's drivers and dialects, and these.
MAY_NAME = {
    "simulator/dialects/": "the venues' languages",
    "drivers/": "the venues' languages",
    "simulator/__main__.py": "the default of its command line",
    "clock/offset.py": "prose: the resolution of a venue's stamps, as an example",
    "throttle/ledger.py": "prose: the shortest ban known, with its source",
}
QUOTED = re.compile(r"([\"'])[^\"'\n]*\1")


def named_exchanges(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of exchanges named in code, comments and docstrings.

    Within a text a name may stand in quotes, as an example of what to write: connector.venue("name").
    """
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string
        if token.type == tokenize.STRING:
            text = text.strip("rbfRBF").strip("\"'")
        text = QUOTED.sub("", text) if token.type != tokenize.NAME else text
        for offset, line in enumerate(text.splitlines()):
            yield from ((token.start[0] + offset, name) for name in EXCHANGE_NAMES if name in line.lower())


def test_shared_code_names_no_exchange():
    found = [
        f"connector/{place}:{line} names {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not (place := path.relative_to(PACKAGE).as_posix()).startswith(tuple(MAY_NAME))
        for line, name in named_exchanges(path.read_text(encoding="utf-8"))
    ]

    assert not found, "adding an exchange edits no shared file, so no shared file knows one"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('HOST = "api.kraken.com"', [1]),
        ("if name == 'kraken': ...", [1]),
        ('raise ValueError(f"no {name}: Kraken has none")', [1]),
        ("def ask_kraken(): ...", [1]),
        ("x = 1  # Kraken counts by address", [1]),
        ('"""Reads a frame.\n\nKraken sends two of them.\n"""', [3]),
        ('"""A name, e.g. "kraken"."""', []),
        ("x = 1  # e.g. 'kraken/stream'", []),
        ("raise ValueError(f\"{name!r}; expected a name like 'kraken'.\")", []),
    ],
)
def test_a_planted_exchange_is_seen_but_a_quoted_example_is_not(source, lines):
    assert [line for line, _ in named_exchanges(source)] == lines


def test_every_driver_is_among_the_names_looked_for():
    folders = [path.name for path in (PACKAGE / "drivers").iterdir() if (path / "__init__.py").exists()]

    assert set(folders) <= set(EXCHANGE_NAMES)
