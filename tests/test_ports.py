"""Time, chance, threads, sockets and the environment enter the library through one home each, and nowhere else.

Static: reads the source, imports nothing of it. What is only named in an annotation does not count; what is called, passed on,
subclassed or kept does, under whatever name it was imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "connector"
EXCHANGES = sorted(path.name for path in (PACKAGE / "drivers").iterdir() if (path / "__init__.py").exists())

# What a port is made of: a dotted name stands for everything below it.
PORTS = {
    "clock": (
        "time",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    ),
    "chance": ("random", "secrets", "uuid.uuid1", "uuid.uuid4", "os.urandom"),
    "thread": ("threading.Thread", "threading.Timer", "_thread", "concurrent.futures", "multiprocessing", "subprocess"),
    "socket": ("socket", "asyncio", "select", "selectors", "http.client", "urllib.request", "requests", "websocket"),
    "environment": ("os.environ", "os.getenv", "os.environb"),
}

# Where each may be used: a folder of the package (with its slash) or a file.
HOMES = {
    "clock": ("clock/", "simulator/", "testing/", "supervision/runtime.py"),
    "chance": (
        "transport/",
        "simulator/",
        "testing/",
        "supervision/runtime.py",
        "supervision/cell.py",  # an actor's URN: has to be unique, decides nothing
        "assembly.py",  # hands the real generator to those who are given one
    ),
    "thread": (
        "transport/",
        "simulator/",
        "testing/",
        "supervision/runtime.py",
        "isolation/launch.py",  # the process of a venue
        "telemetry/logging.py",  # the log's writer: a sink that blocks must block nobody
    ),
    "socket": ("transport/", "simulator/", "testing/", "isolation/line.py"),
    "environment": (),
}


def uses(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported that the code uses outside annotations."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    annotations: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if isinstance(annotation, ast.AST):
                annotations.update(id(part) for part in ast.walk(annotation))
    inner: set[int] = set()
    for node in ast.walk(tree):  # outer nodes come first, so `a.b.c` is seen whole before its parts
        if id(node) in annotations or id(node) in inner or not isinstance(node, ast.Attribute | ast.Name):
            continue
        path: list[str] = []
        here: ast.AST = node
        while isinstance(here, ast.Attribute):
            path.append(here.attr)
            here = here.value
            inner.add(id(here))
        if isinstance(here, ast.Name) and here.id in names:
            yield node.lineno, ".".join([names[here.id], *reversed(path)])


def port_of(name: str) -> str | None:
    for port, parts in PORTS.items():
        if any(name == part or name.startswith(part + ".") for part in parts):
            return port
    return None


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("port", PORTS)
def test_a_port_is_used_in_its_homes_only(port):
    strays = [
        f"connector/{where}:{line} uses {name}"
        for path in modules()
        if not (where := path.relative_to(PACKAGE).as_posix()).startswith(HOMES[port])
        for line, name in uses(path.read_text(encoding="utf-8"))
        if port_of(name) == port
    ]

    assert not strays, f"{port} is injected; its homes are {HOMES[port]}"


def test_every_home_exists():
    assert not [home for homes in HOMES.values() for home in homes if not (PACKAGE / home).exists()]


@pytest.mark.parametrize(
    ("source", "port"),
    [
        ("import time\ntime.sleep(1)", "clock"),
        ("import time as t\nnow = t.monotonic", "clock"),
        ("from time import monotonic as now\nnow()", "clock"),
        ("def f():\n    from datetime import datetime\n    return datetime.now()", "clock"),
        ("import datetime\ndatetime.datetime.utcnow()", "clock"),
        ("from random import random\nchoose = random", "chance"),
        ("import random\nrng = random.Random(7)", "chance"),
        ("import threading\nclass Mine(threading.Thread): pass", "thread"),
        ("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor()", "thread"),
        ("import socket\nsocket.create_connection(('a', 1))", "socket"),
        ("import requests\nrequests.get('x')", "socket"),
        ("import os\nhome = os.environ['HOME']", "environment"),
    ],
)
def test_a_planted_use_is_seen_under_any_name(source, port):
    assert port in {port_of(name) for _, name in uses(source)}


@pytest.mark.parametrize(
    "source",
    [
        "import socket\ndef f(sock: socket.socket) -> socket.socket | None: ...",
        "import threading\nowner: threading.Thread | None = None",
        "import threading\nlock = threading.Lock()",
        "from datetime import datetime, UTC\ndatetime(2026, 1, 1, tzinfo=UTC)",
        "class clock: ...\nclock.time()",
        "'time.sleep(1) in a text'  # time.sleep(1) in a comment",
    ],
)
def test_annotations_locks_and_words_are_no_use(source):
    assert {port_of(name) for _, name in uses(source)} <= {None}


def test_no_driver_imports_another_exchange():
    strays = [
        f"connector/drivers/{exchange}/{path.name} imports {name}"
        for exchange in EXCHANGES
        for path in sorted((PACKAGE / "drivers" / exchange).rglob("*.py"))
        for name in imported(path.read_text(encoding="utf-8"))
        for other in EXCHANGES
        if other != exchange and (name + ".").startswith(f"connector.drivers.{other}.")
    ]

    assert EXCHANGES and not strays


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
