"""What waits in the tests has an end: a hang is a failure that says so."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest

from tests.architecture.test_sizes import modules, relative
from tests.bounded import Side, line_of, together


def test_a_line_is_waited_for_no_longer_than_told() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        os.write(writing, b"one\ntw")
        assert line_of(pipe) == b"one\n"
        with pytest.raises(AssertionError, match=r"no line within 0.05 s; so far b'tw'"):
            line_of(pipe, 0.05)
        os.write(writing, b"o\nrest")
        os.close(writing)
        assert line_of(pipe) == b"o\n" and pipe.read() == b"rest"
        assert line_of(pipe) == b""


def test_work_that_hangs_keeps_nobody() -> None:
    hangs, begun_s = threading.Event(), time.monotonic()
    with pytest.raises(AssertionError, match=r"no end within 0\.1 s"), Side(2, work_s=0.1) as side:
        done = side.submit(lambda: 5)
        side.submit(hangs.wait)
        assert done.result(5.0) == 5
    with pytest.raises(TimeoutError):
        together(hangs.wait, lambda: None, work_s=0.1)  # type: ignore[arg-type]
    hangs.set()
    assert time.monotonic() - begun_s < 20


def test_the_first_failure_is_raised_when_all_have_ended() -> None:
    done: list[int] = []

    def fails() -> None:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        together(fails, lambda: done.append(1))
    assert done == [1]


def test_what_never_began_is_not_begun_at_the_end() -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        goes_on.wait(5.0)

    with Side(1) as side:
        side.submit(first)
        later = side.submit(lambda: 1)
        assert begun.wait(5.0)
        threading.Timer(0.05, goes_on.set).start()
    assert later.cancelled()


@pytest.mark.parametrize("path", modules("tests"), ids=relative)
def test_no_test_waits_in_a_pool_that_waits_for_ever(path: object) -> None:
    """A pool of the standard library joins its threads when the interpreter ends, and no time-out interrupts that."""
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    allowed = path.name in ("test_bounded.py", "test_runfolder.py")  # type: ignore[attr-defined]
    assert allowed or "ThreadPoolExecutor" not in text, "use tests.bounded.Side"


SYSTEM = Path(__file__).parents[1] / "system"
# What they wait for comes when it comes; no time that they keep is short.
BESIDE_OTHERS = (
    "test_access.py",
    "test_budgets_process.py",
    "test_latch_process.py",
    "test_measure_cli.py",
    "test_signed_start.py",
)


@pytest.mark.parametrize("file", sorted(SYSTEM.glob("test_*.py")), ids=lambda each: each.name)
def test_what_runs_whole_rigs_has_the_machine_to_itself(file: Path) -> None:
    """The mark, not the folder, says what is tried beside others."""
    marked = re.search(
        r"^pytestmark = \[?\s*pytest\.mark\.system\b", file.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert (marked is None) is (file.name in BESIDE_OTHERS)
