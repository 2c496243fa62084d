"""The last serial of a participant on a rig: what was replaced never runs again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from safety.limit_values import Limits
from safety.serials import (
    BYTES_MAX,
    Last,
    SerialError,
    last_of,
    note,
    problem,
    record_path,
    take,
)
from tests.safety.homeless import make_homeless
from tests.safety.strategies import limits_of

FILE = Path("limits.toml")


def limits(serial: int, digest: str = "a" * 64, **bent: object) -> Limits:
    return msgspec.structs.replace(limits_of("tacs"), serial=serial, digest=digest, **bent)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def taken(held: Limits, *, simulated_only: bool = False) -> str:
    """Why it was not taken; empty when it was."""
    try:
        take(held, FILE, "f" * 32, simulated_only=simulated_only)
    except SerialError as error:
        line = str(error)
        assert line.isprintable() and "expected" in line
        return line
    return ""


def test_a_serial_only_rises(state: Path):
    assert taken(limits(7)) == ""
    assert taken(limits(7)) == ""  # the same file, another session
    assert taken(limits(6)).startswith(
        "limits.toml: found serial 6, expected 7 or higher: that one was seen for"
    )
    assert taken(limits(7, "b" * 64)).startswith(
        "limits.toml: found serial 7 with other content than was seen for"
    )
    assert "expected 8 or higher" in taken(limits(7, "b" * 64))
    assert taken(limits(8, "b" * 64)) == ""
    assert "expected 8" in taken(limits(7))
    path = state / "serials" / "seen" / "P001.rig-1.json"
    assert last_of(path) == Last(
        schema=1, participant="P001", rig="rig-1", serial=8, digest="b" * 64, key="f" * 32
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_each_participant_and_each_rig_has_its_own(state: Path):
    assert taken(limits(7)) == ""
    assert taken(limits(1, participant="P002")) == ""
    assert taken(limits(1, rig="other")) == ""
    assert taken(limits(1)) != ""


def test_keys_of_simulation_do_not_raise_the_real_serial(state: Path):
    assert taken(limits(2**53), simulated_only=True) == ""
    assert taken(limits(1)) == ""
    assert taken(limits(2), simulated_only=True) != ""
    assert taken(limits(2)) == ""


def test_a_refused_file_leaves_the_record_as_it_was(state: Path):
    taken(limits(7))
    path = state / "serials" / "seen" / "P001.rig-1.json"
    before = path.read_bytes()
    assert taken(limits(6)) and taken(limits(7, "b" * 64))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b"[" * 900,
        b'{"schema":1,"participant":"P001","rig":"rig-1","serial":"7","digest":"","key":""}',
        b'{"schema":1,"participant":"P002","rig":"rig-1","serial":7,"digest":"","key":""}',
        b'{"schema":1,"participant":"P001","rig":"rig-2","serial":7,"digest":"","key":""}',
        b'{"schema":2,"participant":"P001","rig":"rig-1","serial":7,"digest":"","key":""}',
        b'{"schema":1,"participant":"P001","rig":"rig-1","serial":7,"digest":"","key":"","more":1}',
        b'{"schema":1,"participant":"P001","rig":"rig-1","serial":7,"digest":"'
        + b"x" * BYTES_MAX
        + b'","key":""}',
    ],
)
def test_a_record_that_is_not_whole_is_no_reason_to_forget(state: Path, content: bytes):
    taken(limits(7))
    path = state / "serials" / "seen" / "P001.rig-1.json"
    path.write_bytes(content)
    assert taken(limits(9)).startswith(f"{path}: found ")
    assert path.read_bytes() == content


def test_a_record_that_is_a_link_or_a_folder(state: Path, tmp_path: Path):
    path = record_path("seen", limits(7), simulated_only=False)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "gone")
    assert taken(limits(9)).startswith(f"{path}: found ")
    path.unlink()
    path.mkdir()
    assert taken(limits(9)).startswith(f"{path}: found ")


def test_a_serial_that_cannot_be_kept_is_refused(state: Path):
    state.write_text("")
    with pytest.raises(SerialError):
        take(limits(7), FILE, "", simulated_only=False)
    with pytest.raises(SerialError, match="NOCILOOP_STATE_DIR"):
        note("seen", limits(7), "", simulated_only=False)


def test_a_place_that_anybody_may_write_keeps_nothing(state: Path):
    taken(limits(7))
    folder = state / "serials" / "seen"
    folder.chmod(0o777)
    assert taken(limits(8)).startswith(f"serials: {folder}: anybody may write it, expected")


def test_what_was_signed_is_counted_apart_from_what_was_seen(state: Path):
    path = record_path("signed", limits(7), simulated_only=True)
    assert path == state / "serials" / "signed-simulated" / "P001.rig-1.json"
    last = Last(schema=1, participant="P001", rig="rig-1", serial=7, digest="b" * 64, key="")
    assert "other content than was signed" in problem(limits(7), FILE, last, "signed")
    assert problem(limits(7), FILE, None, "signed") == ""
    assert (
        problem(limits(7, "b" * 64), FILE, last, "signed") == problem(limits(8), FILE, last, "signed") == ""
    )


def test_without_a_home_it_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch):
    make_homeless(monkeypatch, "NOCILOOP_STATE_DIR", "XDG_STATE_HOME")
    monkeypatch.setattr(os, "access", lambda *_: False)  # a site's directory that is there is not ours
    for call in (
        lambda: record_path("seen", limits(7), simulated_only=False),
        lambda: note("seen", limits(7), "", simulated_only=False),
    ):
        with pytest.raises(SerialError, match="NOCILOOP_STATE_DIR"):
            call()


def test_a_disk_that_is_full_is_told_and_the_last_serial_stays(state: Path, monkeypatch: pytest.MonkeyPatch):
    taken(limits(7))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device", "record")

    monkeypatch.setattr("safety.regular_file.os.fsync", full)
    with pytest.raises(SerialError, match=r"cannot be kept \(No space left on device\)|No space left"):
        take(limits(8), FILE, "", simulated_only=False)
    monkeypatch.undo()
    last = last_of(state / "serials" / "seen" / "P001.rig-1.json")
    assert last is not None and last.serial == 7
