"""Who is tried twice: a test that failed while the machine stood still, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stalls import Watcher

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.second_try import SecondTry

class Told:
    def seen(self, from_ns, to_ns):
        return {stalls}
    def end(self):
        pass

def pytest_configure(config):
    config.pluginmanager.register(SecondTry(Told()))
"""
FAILS_ONCE = """
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def made():
    return object()

tried = []

def test_it(made):
    tried.append(made)
    assert len(tried) == 2 and tried[0] is not tried[1]

def test_another(made):
    pass
"""
FAILS = "def test_it():\n    assert False\n"


def run(folder: Path, stalls: list[str], body: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST.format(stalls=stalls))
    (folder / "test_tried.py").write_text(body)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def test_a_failure_during_a_stall_is_tried_again_with_fixtures_anew_and_named(tmp_path: Path):
    said = run(tmp_path, ["no processor 40 ms"], FAILS_ONCE)
    assert "2 passed" in said and "failed" not in said
    assert "test_it: tried again, the machine stood still: no processor 40 ms" in said


@pytest.mark.parametrize(("stalls", "body"), [([], FAILS_ONCE), (["disk 400 ms"], FAILS)])
def test_without_a_stall_or_at_the_second_failure_it_has_failed(tmp_path: Path, stalls: list[str], body: str):
    assert "1 failed" in run(tmp_path, stalls, body)


def test_a_stall_counts_for_the_time_it_touches():
    watcher = Watcher()
    try:
        watcher._lines.write("5000000000 40 no processor\n")
        watcher._lines.flush()
        ms = 1_000_000
        assert watcher.seen(4_990 * ms, 6_000 * ms) == ["no processor 40 ms"]
        assert watcher.seen(4_000 * ms, 4_961 * ms) == ["no processor 40 ms"]
        assert watcher.seen(4_000 * ms, 4_959 * ms) == watcher.seen(5_001 * ms, 6_000 * ms) == []
    finally:
        watcher.end()
    assert watcher._process.poll() is not None
