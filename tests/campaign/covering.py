"""`python -m tests.campaign.covering`: line and branch coverage of the decision core, whose bar is 100 %, and of its shell.

One test file after another, each in a process of its own; a piece that was measured on this very code and these tests is not
measured again. The shell's figure may only rise: it stands in tests/coverage.toml, and is raised there when it has risen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from tests.campaign.mutating.trying import files as core_files
from tests.campaign.proof import ROOT

FLOOR = ROOT / "tests" / "coverage.toml"
PIECE_S = 240.0
# Tests of real processes that the shell of the interlock runs in; the rest of tests/system adds nothing to it.
SYSTEM = (
    "test_stop", "test_sockets", "test_interlock_process", "test_kill_trials", "test_hosts_faults", "test_run",
    "test_bad_input",
)  # fmt: skip
RC = """\
[run]
branch = true
parallel = true
data_file = {data}
source =
    {root}/safety
    {root}/drivers
patch = subprocess
disable_warnings = no-data-collected, module-not-imported, module-not-measured, couldnt-parse

[report]
exclude_also =
    case _:\\n\\s+assert_never\\(
    ^\\s*\\.\\.\\.$
    if __name__ == "__main__":
"""


def pieces() -> list[Path]:
    """Every test file that is measured, those of the core first."""
    found = sorted((ROOT / "tests" / "safety").rglob("test_*.py")) + sorted(
        (ROOT / "tests" / "drivers").glob("test_*.py")
    )
    return [*found, *(ROOT / "tests" / "system" / f"{name}.py" for name in SYSTEM)]


def digest() -> str:
    """Of the code that is measured."""
    found = hashlib.sha256()
    for folder in ("safety", "drivers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def measure(folder: Path, budget_s: float) -> list[str]:
    """Measure what is not measured yet; the pieces that are still missing, or failed."""
    end_s, left = time.monotonic() + budget_s, []
    folder.mkdir(parents=True, exist_ok=True)
    for piece in pieces():
        name = piece.relative_to(ROOT / "tests").with_suffix("").as_posix().replace("/", "-")
        home = folder / f"{name}-{hashlib.sha256(piece.read_bytes()).hexdigest()[:8]}"
        if (home / "done").exists():
            continue
        if time.monotonic() >= end_s or digest() != folder.name:
            left.append(
                f"{name}: not yet" if digest() == folder.name else f"{name}: the code has changed meanwhile"
            )
            continue
        begun_s = time.monotonic()
        why = _measure(piece, home)
        print(f"{name}: {why or 'measured'} ({time.monotonic() - begun_s:.0f} s)", flush=True)
        if why:
            left.append(f"{name}: {why}")
    return left


def _measure(piece: Path, home: Path) -> str:
    """One piece; why it is not measured, empty when it is."""
    home.mkdir(exist_ok=True)
    for old in home.iterdir():
        old.unlink()
    rc = home / "rc"
    rc.write_text(RC.format(data=home / "data", root=ROOT), encoding="utf-8")
    words = [
        "-m",
        "coverage",
        "run",
        f"--rcfile={rc}",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    ]
    with (home / "said").open("wb") as said:
        try:
            done = subprocess.run(
                [sys.executable, *words, str(piece)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, timeout=PIECE_S, check=False,
                env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis")},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no end within {PIECE_S:g} s, see {home}/said"
    if done.returncode != 0:
        return f"its tests fail, see {home}/said"
    (home / "done").touch()
    return ""


def report(folder: Path) -> tuple[dict[str, dict[str, object]], float]:
    """Each file of safety/ and of the core with what is missing of it, and the shell's figure in %."""
    rc, out = folder / "rc", folder / "report.json"
    rc.write_text(RC.format(data=folder / "combined", root=ROOT), encoding="utf-8")
    for old in folder.glob("combined*"):
        old.unlink()
    data = [
        str(path) for home in folder.iterdir() if (home / "done").exists() for path in home.glob("data.*")
    ]
    for words in (["combine", "--keep", "-q", *data], ["json", "-q", "-o", str(out)]):
        subprocess.run(
            [sys.executable, "-m", "coverage", words[0], f"--rcfile={rc}", *words[1:]],
            cwd=ROOT,
            check=True,
            timeout=120.0,
        )
    files: dict[str, dict[str, object]] = json.loads(out.read_text(encoding="utf-8"))["files"]
    core = set(core_files())
    parts = [
        _counts(found) for name, found in files.items() if name.startswith("safety/") and name not in core
    ]
    covered, every = (sum(part[at] for part in parts) for at in (0, 1))
    return {name: files[name] for name in sorted(core & files.keys())}, 100 * covered / max(1, every)


def _counts(found: dict[str, object]) -> tuple[int, int]:
    summary = found["summary"]
    assert isinstance(summary, dict)
    covered = summary["covered_lines"] + summary["covered_branches"]
    return covered, summary["num_statements"] + summary["num_branches"]


def main() -> int:
    """0 when all is measured, the core covered whole and the shell no less than it was; else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign.covering", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--budget-s", type=float, default=600.0, help="no piece starts later (%(default)s s)")
    parser.add_argument("--out", type=Path, default=ROOT / ".campaign" / "coverage")
    arguments = parser.parse_args()
    folder = arguments.out / digest()
    left = measure(folder, arguments.budget_s)
    core, shell_pct = report(folder)
    missing = 0
    for name, found in core.items():
        covered, every = _counts(found)
        if covered < every:
            missing += every - covered
            lines, branches = found["missing_lines"], found["missing_branches"]
            print(f"{name}: {every - covered} missing; lines {lines}, branches {branches}")
    floor_pct = float(tomllib.loads(FLOOR.read_text(encoding="utf-8"))["shell_pct"])
    every = sum(_counts(found)[1] for found in core.values())
    print(
        f"core: {every - missing} of {every} lines and branches; shell: {shell_pct:.1f} %, floor {floor_pct:.1f} %"
    )
    for line in left:
        print(f"not measured: {line}")
    if left:
        return 1
    if shell_pct >= floor_pct + 0.1:
        text = FLOOR.read_text(encoding="utf-8")
        FLOOR.write_text(
            text.replace(f"shell_pct = {floor_pct:.1f}", f"shell_pct = {int(shell_pct * 10) / 10:.1f}")
        )
    return int(missing > 0 or shell_pct < floor_pct - 0.05)


if __name__ == "__main__":
    sys.exit(main())
