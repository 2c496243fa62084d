"""Isolation of each run: its own LSL streams and its own rigs, on this machine only; and no skip goes unseen.

liblsl reads its configuration once, at its first call. The variable is therefore set when pytest loads this
file, before any test module can import pylsl; child processes inherit it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.own_folder import own_folder
from tests.second_try import SecondTry
from tests.stalls import Watcher

CONFIG = """\
[ports]
IPv6 = disable

[multicast]
ResolveScope = machine

[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session}

[log]
level = -2
"""


def _isolate() -> Path:
    if "pylsl" in sys.modules:
        raise RuntimeError("pylsl was imported before tests/conftest.py could isolate it")
    os.environ.setdefault(
        "PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()
    )  # what pytest keeps for a look stays
    folder = own_folder()
    config = folder / "lsl_api.cfg"
    config.write_text(CONFIG.format(session=f"nociloop-test-{uuid.uuid4().hex}"), encoding="utf-8")
    os.environ["LSLAPICFG"] = str(config)
    (folder / "t").mkdir(mode=0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "t")
    return folder


_FOLDER = _isolate()


@pytest.fixture(scope="session", autouse=True)
def lsl_config() -> Path:
    """The private LSL configuration file."""
    return _FOLDER / "lsl_api.cfg"


@pytest.fixture(scope="session", autouse=True)
def runtime_directory() -> Path:
    """Sockets of the rigs that the tests start: short paths, and never those of a session that really runs."""
    path = Path(tempfile.mkdtemp(prefix="r-"))  # of this process: a campaign forks it
    os.environ["NOCILOOP_RUNTIME_DIR"] = str(path)
    os.environ["NOCILOOP_RUNTIME_ALONE"] = "1"
    return path


@pytest.fixture(scope="session", autouse=True)
def no_trust() -> Path:
    """Nobody is trusted, and serials are kept here: never the store or the state of whoever runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="n-"))
    os.environ["NOCILOOP_TRUST_DIR"] = str(path / "trust")
    os.environ["NOCILOOP_STATE_DIR"] = str(path / "state")
    return path


def pytest_configure(config: pytest.Config) -> None:
    """Where tests keep time (not side by side on every core), stalls of the machine are watched."""
    if (
        not hasattr(config, "workerinput")
        and not config.getoption("numprocesses", None)
        and not config.option.collectonly
        and "NOCILOOP_CAMPAIGN" not in os.environ  # whose trials are judged by another
    ):
        config.pluginmanager.register(SecondTry(Watcher()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where nothing may be missing, a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter is not None else 0
    if skipped and os.environ.get("NOCILOOP_NO_SKIPS") and exitstatus == 0:
        reporter.write_line(f"{skipped} skipped, and here none may be: see the reasons above", red=True)
        session.exitstatus = 1
