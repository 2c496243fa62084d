"""The tools' own verdicts: types, lint, format, and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FOLDERS = ("controller", "drivers", "safety", "sim", "tests")
# What says what a stimulator is; the rest of drivers/ is devices, their codecs, and their host.
PLAIN = {"drivers.stimulation", "drivers.capabilities", "drivers.link", "drivers.stimulator"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "command",
    [
        ("mypy", *FOLDERS[:4]),
        ("ruff", "check", *FOLDERS),
        ("ruff", "format", "--check", *FOLDERS),
        ("lint-imports", "--no-cache"),
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_the_tool_has_nothing_to_say(command: tuple[str, ...]) -> None:
    tool, *arguments = command
    done = subprocess.run(
        [str(BIN / tool), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=380, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("package", ["safety", "controller"])
def test_only_the_plain_modules_of_drivers_are_known_above_it(package: str) -> None:
    """By list of what is allowed: a new device needs no new contract to stay unseen."""
    graph = grimp.build_graph("controller", "drivers", "safety", "sim", exclude_type_checking_imports=False)
    seen = {
        f"{importer} -> {imported}"
        for importer in graph.modules
        if importer == package or importer.startswith(f"{package}.")
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.startswith("drivers.") and imported not in PLAIN
    }
    assert not seen
    assert "safety.messages" in graph.modules
