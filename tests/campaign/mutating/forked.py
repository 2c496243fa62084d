"""A child of this process with one change in it: tests are run there one by one, until the first that notices.

A child's time is processor time, so a machine that is busy with others makes nothing noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import msgspec
import pytest
from _pytest.config import _prepareconfig

from tests.campaign.proof import ROOT, Void
from tests.campaign.unguarded.tried import COMMON, TESTS, Found, Listener

NEAR_S = float(os.environ.get("NOCILOOP_NEAR_S", "inf"))  # of a child's processor: no test begins later
STILL_S = 300.0  # a child that neither ends nor uses its time
ENDLESS_S, ENDLESS_TIMES = 5.0, 10  # beyond this, and so often what it takes, a test has no end
MEMORY = 6 << 30
BESIDE = (
    ROOT / "tests" / "drivers" / "test_stimulation.py"
)  # of the one file of the core that is not of safety/
HOMES = tempfile.gettempdir()  # before the tests have one of their own: the paths of sockets are short
REMEMBERED = 12  # tests that noticed last, a function and a file


def begun(*files: Path) -> pytest.Session:
    """A session that has not collected these test files yet."""
    with contextlib.redirect_stdout(io.StringIO()):
        config = _prepareconfig([*COMMON, "--tb=native", "--collect-only", "--capture=no", *map(str, files)])
        config._do_configure()
        session: pytest.Session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
    return session


def collect(session: pytest.Session, *files: str) -> list[pytest.Item]:
    """The tests of these files, or of all."""
    with contextlib.redirect_stdout(io.StringIO()):
        session.perform_collect(files or None)
    if session.testsfailed:
        raise RuntimeError("the safety tests cannot be collected")
    return session.items


def signature() -> str:
    """Of all that is loaded: the code and the tests, by the times and sizes of their files."""
    found = hashlib.sha256()
    for folder in (ROOT / "safety", ROOT / "drivers", TESTS):
        for path in sorted([*folder.rglob("*.py"), BESIDE]):
            about = path.stat()
            found.update(f"{path} {about.st_mtime_ns} {about.st_size}\n".encode())
    return found.hexdigest()


class Lately:
    """Which tests noticed changes of the same function or file: they are asked first."""

    def __init__(self) -> None:
        self._noticed: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def add(self, test: str, *places: str) -> None:
        """This one noticed."""
        for place in places:
            if test in self._noticed[place]:
                self._noticed[place].remove(test)
            self._noticed[place].appendleft(test)

    def of(self, *places: str) -> dict[str, int]:
        """Their names, with the place of each in the order."""
        names = dict.fromkeys(name for place in places for name in self._noticed[place])
        return {name: at for at, name in enumerate(names)}


class Confirmed:
    """Which tests pass with nothing changed, in a child like any other: asked of each that noticed, once."""

    def __init__(self) -> None:
        self._passes: dict[str, bool] = {}

    def fails(self, test: str, again: Callable[[], Found]) -> bool:
        """Whether it fails by itself, so that what it said means nothing."""
        if test not in self._passes:
            self._passes[test] = again().answer == "unnoticed"
        return not self._passes[test]


def judged(run: Sequence[pytest.Item], listener: Listener, cpu_s: Callable[[str], float]) -> Found | None:
    """Run tests in this order, in a child, until one notices; nothing where none does."""
    for at, item in enumerate(run):
        if time.process_time() > NEAR_S:
            return Found("unnoticed", f"{at} of {len(run)} tests that may reach it", listener.tests, 0.0)
        following = run[at + 1] if at + 1 < len(run) else None
        with _no_longer_than(item.nodeid, ENDLESS_S + ENDLESS_TIMES * cpu_s(item.nodeid)):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if listener.over:
            return listener.found(0, 0.0)
    return None


def patience_s() -> float:
    """How long a child is waited for: its own limits end it sooner, but where it never comes back to them."""
    return STILL_S + (20 * NEAR_S if NEAR_S < STILL_S else 20 * STILL_S)


def in_child(work: Callable[[], Found], unchanged: str, patience_s: float) -> Found:
    """What a child found; void where it found nothing in time, or where what is loaded is no more what is on disk."""
    if signature() != unchanged:
        raise Void("the code or its tests have changed since they were loaded: start again")
    begun_s = time.monotonic()
    reading, writing = os.pipe()
    home = tempfile.mkdtemp(prefix="m-", dir=HOMES)
    pid = os.fork()
    if pid == 0:
        _child(work, home, writing)
    os.close(writing)
    try:
        data = _read(reading, patience_s)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        shutil.rmtree(home, ignore_errors=True)
    took_s = time.monotonic() - begun_s
    if not data:
        return Found("void", "no end: killed", 0, took_s)
    return msgspec.structs.replace(msgspec.json.decode(data, type=Found), took_s=took_s)


def _read(descriptor: int, patience_s: float) -> bytes:
    end_s, data = time.monotonic() + patience_s, b""
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0]:
            more = os.read(descriptor, 65_536)
            if not more:
                return data
            data += more
    return b""


def _child(work: Callable[[], Found], home: str, writing: int) -> None:
    os.setsid()
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.tempdir = home
        sys.modules["tests.conftest"]._FOLDER = Path(home)  # type: ignore[attr-defined] # else all children share one
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        found = work()
    except _Endless as error:
        found = Found("noticed", str(error), 0, 0.0)
    except BaseException as error:  # noqa: BLE001 - told to the parent, and this child ends here in any case
        found = Found("void", f"{type(error).__name__}: {error}"[:600], 0, 0.0)
    try:
        os.write(writing, msgspec.json.encode(found))
    finally:
        os._exit(0)


class _Endless(BaseException):
    """A test that has no end: no handler of the code or of a test may swallow it."""


@contextlib.contextmanager
def _no_longer_than(name: str, limit_s: float) -> Iterator[None]:
    """Processor time, and no other: what others do with the machine is no verdict."""

    def ended(_: int, __: FrameType | None) -> None:
        raise _Endless(f"{name}: no end within {limit_s:.0f} s of the processor")

    signal.signal(signal.SIGPROF, ended)
    signal.setitimer(signal.ITIMER_PROF, limit_s, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
