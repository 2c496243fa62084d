"""safety/README.md's table of rooms is true: every file in one room, as long as it says, touching what it may."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

SAFETY = Path(__file__).resolve().parents[2] / "safety"
README = SAFETY / "README.md"
WITHIN = 0.15  # own choice: a room may grow that much before its line is stale
OUTSIDE = frozenset(
    (
        "asyncio",
        "ctypes",
        "fcntl",
        "getpass",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "pickle",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
    )
)
READS_A_CLOCK = ("now", "today", "utcnow")  # of datetime, which is a pure value otherwise
ROW = re.compile(r"\| \*\*([a-z ]+)\*\* \| ((?:`[a-z_*./]+` ?)+)\| ([\d,]+) \| (.+) \|")


@dataclass(frozen=True)
class Room:
    name: str
    files: tuple[Path, ...]
    lines: int
    touches: str


def rooms(text: str) -> list[Room]:
    return [
        Room(name, tuple(files(named)), int(lines.replace(",", "")), touches)
        for name, named, lines, touches in ROW.findall(text)
    ]


def files(named: str) -> list[Path]:
    found: list[Path] = []
    for each in re.findall(r"`([^`]+)`", named):
        found += sorted((SAFETY / each).glob("*.py")) if each.endswith("/") else sorted(SAFETY.glob(each))
    return found


def imported(source: str) -> set[str]:
    tree = ast.parse(source)
    return {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def clocks_read(source: str) -> set[str]:
    """`datetime.now()` and its like."""
    return {
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in READS_A_CLOCK
    }


ROOMS = rooms(README.read_text(encoding="utf-8"))


def test_every_file_stands_in_one_room() -> None:
    named = [path for room in ROOMS for path in room.files]
    twice = {path.name for path in named if named.count(path) > 1}
    assert not twice
    present = {path for path in SAFETY.rglob("*.py") if path.stat().st_size}
    homeless = {str(path.relative_to(SAFETY)) for path in present - set(named)}
    assert not homeless, f"give each a room in {README}"


def test_every_name_is_a_file() -> None:
    text = README.read_text(encoding="utf-8")
    missing = [
        each
        for _, named, _, _ in ROW.findall(text)
        for each in re.findall(r"`([^`]+)`", named)
        if not files(f"`{each}`")
    ]
    assert missing == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_is_as_long_as_it_says(room: Room) -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in room.files)
    assert abs(lines - room.lines) <= WITHIN * lines, (
        f"{room.name}: {lines} lines now, {README} says {room.lines}"
    )


@pytest.mark.parametrize(
    "room", [each for each in ROOMS if each.touches.startswith("nothing")], ids=lambda room: room.name
)
def test_what_may_touch_nothing_imports_nothing_to_touch_with(room: Room) -> None:
    found = {path.name: imported(path.read_text(encoding="utf-8")) & OUTSIDE for path in room.files}
    assert {name: names for name, names in found.items() if names} == {}
    clocks = {path.name: clocks_read(path.read_text(encoding="utf-8")) for path in room.files}
    assert {name: names for name, names in clocks.items() if names} == {}


def test_what_opens_output_is_a_room_that_touches_nothing() -> None:
    (decides,) = (room for room in ROOMS if room.name == "decides")
    assert decides.touches.startswith("nothing")
    assert {"interlock.py", "firing.py", "safing.py"} <= {path.name for path in decides.files}


def test_an_import_that_touches_is_found() -> None:
    assert imported("def f():\n    from os.path import join\n    import socket as s\n") & OUTSIDE == {
        "os",
        "socket",
    }
    assert clocks_read("import datetime\ndatetime.date.today()\n") == {"today"}
    assert clocks_read("def f(event):\n    return event.now\n") == set()
    assert rooms("| **a b** | `limits.py` `oracle*.py` | 1,200 | nothing: x |")[0].lines == 1200
