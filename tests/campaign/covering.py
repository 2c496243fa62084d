"""`python -m tests.campaign.covering`: line and branch coverage of the decision core, whose bar is 100 %, and of its shell.

First the tests that need no process of their own, in shares side by side, and of each property a few fixed examples; then
those of real processes, which keep time, one file after another. What was measured on this very code and these tests is not
measured again, so that what was broken off goes on. The shell's figure may only rise: it stands in tests/coverage.toml, and
is raised there when it has risen.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bounded import Side
from tests.campaign.mutating.trying import files as core_files
from tests.campaign.proof import ROOT, commit
from tests.campaign.report import into_readme

FLOOR = ROOT / "tests" / "coverage.toml"
BEGIN, END = "<!-- coverage -->", "<!-- /coverage -->"
CODE = ("safety", "drivers")
SIDE_BY_SIDE = ("tests/safety", "tests/drivers")
# Tests of real processes that the shell of the interlock runs in, and that keep time; the rest of tests/system adds nothing.
ALONE = (
    "tests/drivers/test_host.py", "tests/drivers/test_open_device_emulator.py", "tests/system/test_stop.py",
    "tests/system/test_sockets.py", "tests/system/test_interlock_process.py", "tests/system/test_kill_trials.py",
    "tests/system/test_hosts_faults.py", "tests/system/test_run.py", "tests/system/test_bad_input.py",
)  # fmt: skip
PIECE_S = 1_800.0
SHARES = 16
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


@dataclass(frozen=True, slots=True)
class Piece:
    """Tests that are measured together, and what pytest is told beside them."""

    name: str
    paths: tuple[str, ...]
    words: tuple[str, ...] = ()

    def digest(self) -> str:
        """Of the code that is measured, and of every test that may take part."""
        found = hashlib.sha256("\n".join((self.name, *self.paths)).encode())
        for folder in (*CODE, *SIDE_BY_SIDE, *self.paths):
            for path in sorted((ROOT / folder).rglob("*.py")) or [ROOT / folder]:
                found.update(path.read_bytes())
        return found.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many lines and branches there are of a file or of some, and how many of them were reached."""

    files: int
    lines: int
    of_lines: int
    branches: int
    of_branches: int

    @property
    def pct(self) -> float:
        """Of lines and branches together, down to a tenth: what is not whole is never 100."""
        every = self.of_lines + self.of_branches
        return 1000 * (self.lines + self.branches) // every / 10 if every else 100.0

    @property
    def whole(self) -> bool:
        return (self.lines, self.branches) == (self.of_lines, self.of_branches)


def shares() -> list[Piece]:
    """The test files that may run at the same time, in shares of about the same length."""
    files = [path for folder in SIDE_BY_SIDE for path in (ROOT / folder).rglob("test_*.py")]
    found: list[list[Path]] = [[] for _ in range(SHARES)]
    for path in sorted(files, key=lambda path: (-path.stat().st_size, path)):
        if path.relative_to(ROOT).as_posix() in ALONE:
            continue
        min(found, key=lambda share: sum(each.stat().st_size for each in share)).append(path)
    return [
        Piece(
            f"share-{at}",
            tuple(path.relative_to(ROOT).as_posix() for path in sorted(share)),
            ("-p", "tests.campaign.fewer", "--timeout=600"),
        )
        for at, share in enumerate(found, start=1)
    ]


def of_processes() -> list[Piece]:
    """The test files that run alone, for they keep time."""
    return [Piece(Path(path).stem, (path,)) for path in ALONE]


def measure(asked: Iterable[Piece], out: Path, jobs: int, end_s: float) -> tuple[list[Path], list[str]]:
    """Where the pieces' data lie, measured now, `jobs` at a time, or before; and a line for each that is missing, or
    whose tests failed."""
    with Side(jobs, PIECE_S) as side:
        told = [each.result() for each in [side.submit(_measured, piece, out, end_s) for piece in asked]]
    return [home for home, _ in told], [why for _, why in told if why]


def _measured(piece: Piece, out: Path, end_s: float) -> tuple[Path, str]:
    home = out / f"{piece.name}-{piece.digest()}"
    if (home / "done").exists():
        return home, ""
    if time.monotonic() >= end_s:
        return home, f"{piece.name}: not yet, run it again"
    begun_s = time.monotonic()
    why = _measure(piece, home)
    print(f"{piece.name}: {why or 'measured'} ({time.monotonic() - begun_s:.0f} s)", flush=True)
    return home, f"{piece.name}: {why}" if why else ""


def _worked_s() -> float:
    """How long processors have worked for what was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measure(piece: Piece, home: Path) -> str:
    """One piece; why it is not measured, empty when it is."""
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("data*"):
        old.unlink()
    rc = home / "rc"
    rc.write_text(RC.format(data=home / "data", root=ROOT), encoding="utf-8")
    words = [
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
    before = piece.digest()
    with (home / "said").open("wb") as said:
        # A session of its own: it shares the machine as one of many, and is ended whole.
        running = subprocess.Popen(
            [sys.executable, "-m", *words, *piece.words, *piece.paths],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis")},
        )  # fmt: skip
        try:
            status = running.wait(timeout=PIECE_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return f"no end within {PIECE_S:g} s, see {home}/said"
    if piece.digest() != before:
        return "the code has changed meanwhile, run it again"
    if status != 0:
        return f"its tests fail, see {home}/said"
    (home / "done").touch()
    return ""


def report(homes: Iterable[Path], out: Path) -> dict[str, dict[str, object]]:
    """What `coverage` says of each file, all data together."""
    rc, told = out / "rc", out / "report.json"
    rc.write_text(RC.format(data=out / "combined", root=ROOT), encoding="utf-8")
    for old in out.glob("combined*"):
        old.unlink()
    data = [str(path) for home in homes for path in home.glob("data.*")]
    if not data:
        raise SystemExit(f"{out}: nothing is measured yet")
    for words in (["combine", "--keep", "-q", *data], ["json", "-q", "-o", str(told)]):
        subprocess.run(
            [sys.executable, "-m", "coverage", words[0], f"--rcfile={rc}", *words[1:]],
            cwd=ROOT,
            check=True,
            timeout=300.0,
        )
    files: dict[str, dict[str, object]] = json.loads(told.read_text(encoding="utf-8"))["files"]
    return files


def counted(found: Iterable[dict[str, object]]) -> Counted:
    """Of these files together."""
    sums = [0, 0, 0, 0, 0]
    for each in found:
        summary = each["summary"]
        assert isinstance(summary, dict)
        for at, name in enumerate(
            ("covered_lines", "num_statements", "covered_branches", "num_branches"), start=1
        ):
            sums[at] += summary[name]
        sums[0] += 1
    return Counted(*sums)


def spans(numbers: Sequence[int]) -> str:
    """`3, 7-9` of 3, 7, 8, 9."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def told_of(name: str, found: dict[str, object]) -> str:
    """The line of a file that is not whole: what share is reached, and which lines and branches are not."""
    lines, branches = found["missing_lines"], found["missing_branches"]
    assert isinstance(lines, list)
    assert isinstance(branches, list)
    jumps = [f"{begin}->{'end' if end < 0 else end}" for begin, end in branches if begin not in lines]
    parts = [f"lines {spans(lines)}" if lines else "", f"branches {', '.join(jumps)}" if jumps else ""]
    return f"{name}: {counted([found]).pct:.1f} %, without {'; '.join(filter(None, parts))}"


def table(core: Counted, shell: Counted, floor_pct: float, *, without_processes: bool) -> str:
    """As it stands in safety/README.md."""
    head = "| measured | files | lines | branches | of both | bar | commit | day |\n|---|---|---|---|---|---|---|---|"
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = [
        f"| {name} | {of.files} | {of.lines:,} of {of.of_lines:,} | {of.branches:,} of {of.of_branches:,} | {of.pct:.1f} %"
        f" | {bar} | {commit()} | {day} |"
        for name, of, bar in (
            ("decision core", core, "100 %"),
            (
                "its shell, without the tests of real processes" if without_processes else "its shell",
                shell,
                f"{floor_pct:.1f} %, only rises",
            ),
        )
    ]
    return "\n".join([head, *rows])


def raised(floor_pct: float, shell_pct: float) -> float:
    """The floor, raised in its file to what was measured, where that is more."""
    if shell_pct <= floor_pct:
        return floor_pct
    text = FLOOR.read_text(encoding="utf-8")
    FLOOR.write_text(
        text.replace(f"shell_pct = {floor_pct:.1f}", f"shell_pct = {shell_pct:.1f}"), encoding="utf-8"
    )
    return shell_pct


def main() -> int:
    """0 when all is measured, the core covered whole and the shell no less than it was; else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign.covering", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--core", action="store_true", help="the decision core alone: no tests of real processes"
    )
    parser.add_argument(
        "--shell", action="store_true", help="say of each file of the shell, too, what is not reached"
    )
    parser.add_argument(
        "--budget-s", type=float, default=3_600.0, help="no piece starts later (%(default)s s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (%(default)s)")
    parser.add_argument("--report", action="store_true", help="put the figures into safety/README.md")
    parser.add_argument("--out", type=Path, default=ROOT / ".campaign" / "coverage")
    arguments = parser.parse_args()
    begun_s = time.monotonic()
    commit()  # before anything is written, which would make it another tree
    end_s = begun_s + arguments.budget_s
    homes, left = measure(shares(), arguments.out, arguments.jobs, end_s)
    if not arguments.core:
        more, missing = measure(of_processes(), arguments.out, 1, end_s)
        homes, left = homes + more, left + missing
    files = report(homes, arguments.out)
    names = set(core_files())
    core = {name: found for name, found in sorted(files.items()) if name in names}
    shell = {
        name: found
        for name, found in sorted(files.items())
        if name.startswith("safety/") and name not in names
    }
    for name, found in (core | shell if arguments.shell else core).items():
        if not counted([found]).whole:
            print(told_of(name, found))
    floor_pct = float(tomllib.loads(FLOOR.read_text(encoding="utf-8"))["shell_pct"])
    whole, round_it = counted(core.values()), counted(shell.values())
    print(
        f"core: {whole.pct:.1f} %, {whole.lines + whole.branches:,} of {whole.of_lines + whole.of_branches:,} lines and"
        f" branches of {whole.files} files; shell: {round_it.pct:.1f} %, floor {floor_pct:.1f} %;"
        f" {time.monotonic() - begun_s:.0f} s, {_worked_s():.0f} s of a processor"
    )
    for line in left:
        print(f"not measured: {line}")
    if left:
        return 1
    floor_pct = raised(floor_pct, round_it.pct)
    if arguments.report:
        told = table(whole, round_it, floor_pct, without_processes=arguments.core)
        print(told)
        into_readme(told, BEGIN, END)
    return int(not whole.whole or (round_it.pct < floor_pct and not arguments.core))


if __name__ == "__main__":
    sys.exit(main())
