"""One device, one session: by its endpoint, whatever the rig, the participant and the directory of the sockets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safety.device_lock import lock_device
from safety.site import SiteError, state_folder

TCP = "tcp:10.0.0.7:4000"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state of its own; what a test locks is let go after it."""
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    before = set(os.listdir("/proc/self/fd"))
    yield tmp_path / "state"
    for fd in set(os.listdir("/proc/self/fd")) - before:
        if os.path.exists(f"/proc/self/fd/{fd}"):
            os.close(int(fd))


def held_by_another(endpoint: str, rig: str = "other") -> bool:
    """Whether another process is refused."""
    code = f"from safety.device_lock import lock_device; lock_device({endpoint!r}, {rig!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode != 0


def test_a_second_session_is_refused_until_the_first_has_ended():
    assert not held_by_another(TCP)  # and it has ended, however it did
    lock_device(TCP, "rig-1")
    assert held_by_another(TCP)
    assert not held_by_another("tcp:10.0.0.7:4001")
    expected = (
        f"^device {TCP}: found it held by rig rig-1, expected it free; end that session "
        r"\(`nociloop stop` sends it to zero\), or give another endpoint$"
    )
    with pytest.raises(SiteError, match=expected):
        lock_device(TCP, "rig-2")


@pytest.mark.parametrize("content", [b"", b"\n\x1b[2J", b"x" * 200, "\u00e9".encode()])
def test_a_holder_that_is_not_known_is_another_session(content: bytes):
    lock_device(TCP, "rig-1")
    (path,) = state_folder("devices").iterdir()
    path.write_bytes(content)
    with pytest.raises(SiteError, match=r"found it held by (another session|rig x{32}), expected it free"):
        lock_device(TCP, "rig-2")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("serial:{folder}/tty", "serial:{folder}/by-id"),
        ("serial:{folder}/tty@9600", "serial:{folder}/./tty@115200"),
        ("tcp:LAB-7:4000", "tcp:lab-7:4000"),
    ],
)
def test_a_device_has_one_name(tmp_path: Path, one: str, other: str):
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    lock_device(one.format(folder=tmp_path), "rig-1")
    with pytest.raises(SiteError, match="held by rig rig-1"):
        lock_device(other.format(folder=tmp_path), "rig-2")


def test_what_is_no_device_is_not_locked(state: Path):
    for _ in range(2):
        lock_device("none", "rig-1")
    assert not state.exists()


def test_a_lock_that_cannot_be_taken_is_one_line(tmp_path: Path):
    lock_device(TCP, "rig-1")
    (path,) = state_folder("devices").iterdir()
    path.rename(tmp_path / "away")
    path.symlink_to(tmp_path / "away")
    with pytest.raises(SiteError, match=f"^{path}: .*, expected the lock of device {TCP}; mend it$"):
        lock_device(TCP, "rig-2")
