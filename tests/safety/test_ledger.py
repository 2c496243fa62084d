"""The ledger's file and thread: durable before it says so, failing once and for good, never blocking its user."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from safety import ledger as ledger_module
from safety.entries import GENESIS_HASH, Close
from safety.events import LedgerTrouble
from safety.ledger import Ledger, LedgerFull, Watched
from tests.safety.ledgers import genesis_of, session, until, watched, write
from tests.safety.world import T0, World, rules_of


@pytest.fixture
def world() -> World:
    return World(rules_of()).armed()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path))
    yield made
    made.close(5.0)
    for fd in (made.news_fd, made._wake_fd):
        os.close(fd)


def heard(
    ledger: Ledger, wanted: type[int | LedgerTrouble] = LedgerTrouble, n: int = 1
) -> list[int | LedgerTrouble]:
    found: list[int | LedgerTrouble] = []

    def come() -> bool:
        found.extend(ledger.news())
        return sum(isinstance(item, wanted) for item in found) >= n

    until(come)
    return found


def test_each_line_names_the_one_before_it(tmp_path: Path):
    world = session()
    path = write(tmp_path, world)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(world.entries) + 2
    head = GENESIS_HASH
    for number, line in enumerate(lines):
        held = msgspec.json.decode(line)
        assert (held["prev"], held["seq"]) == (head, number)
        head = hashlib.sha256(line).hexdigest()


def test_a_line_is_durable_before_it_is_told(ledger: Ledger, world: World, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    real_write, real_sync = os.write, os.fdatasync

    def write_(fd: int, data: bytes) -> int:
        if fd == ledger._fd:
            order.append("write")
        elif fd == ledger._wake_fd:
            order.append("tell")
        return real_write(fd, data)

    def sync(fd: int) -> None:
        order.append("sync")
        real_sync(fd)

    monkeypatch.setattr(os, "write", write_)
    monkeypatch.setattr(os, "fdatasync", sync)
    ledger.start()
    ledger.append(genesis_of(world))
    assert heard(ledger, int) == [1]
    assert order == ["write", "sync", "tell"]


def test_the_news_say_below_which_all_is_durable(ledger: Ledger, world: World):
    ledger.start()
    ledger.append(genesis_of(world))
    for entry in world.entries:
        ledger.append(entry)
    last = world.state.entries
    until(lambda: last in ledger.news())
    assert ledger.head == hashlib.sha256(ledger._path.read_bytes().split(b"\n")[-2]).hexdigest()


def test_an_existing_file_is_never_opened(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        Ledger(path, watched(tmp_path))
    assert path.read_bytes() == b"precious"


def test_a_link_to_elsewhere_is_never_followed(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Ledger(path, watched(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path / "nowhere" / "ledger.jsonl", watched(tmp_path))


@pytest.mark.parametrize("call", ("write", "fdatasync"))
@pytest.mark.parametrize("code", (errno.ENOSPC, errno.EIO))
def test_a_failure_is_told_once_and_never_tried_again(
    ledger: Ledger, world: World, monkeypatch: pytest.MonkeyPatch, call: str, code: int
):
    tried = []
    real = os.write

    def fail(fd: int, data: bytes = b"") -> int:
        if fd != ledger._fd:
            return real(fd, data)
        tried.append(fd)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    ledger.start()
    ledger.append(genesis_of(world))
    told = heard(ledger)
    assert [item.kind for item in told if isinstance(item, LedgerTrouble)] == ["failed"]
    assert os.strerror(code) in repr(told)
    for entry in world.entries:
        ledger.append(entry)
    monkeypatch.undo()
    assert ledger.close(5.0) is False
    assert len(tried) == 1
    assert not [item for item in ledger.news() if item != 0]
    assert not any(isinstance(item, int) for item in told)


def test_a_full_device_fails_the_ledger(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch):
    """The real thing: /dev/full takes every open and no byte."""
    ledger = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, ledger._fd)
    os.close(full)
    monkeypatch.setattr(ledger_module, "is_named", lambda *_: True)
    ledger.start()
    ledger.append(genesis_of(world))
    told = heard(ledger)
    assert "No space left" in repr(told)
    assert ledger.close(5.0) is False


def test_a_queue_that_is_full_takes_nothing_ever_again(
    ledger: Ledger, world: World, monkeypatch: pytest.MonkeyPatch
):
    """The disk hangs; appending neither blocks nor grows without bound, and leaves no gap."""
    go, real = threading.Event(), os.fdatasync

    def hang(fd: int) -> None:
        go.wait(10.0)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", hang)
    monkeypatch.setattr(ledger_module, "QUEUE_MAX", 5)
    ledger.start()
    line = genesis_of(world)
    for n in range(5):
        ledger.append(msgspec.structs.replace(line, seq=n))
    with pytest.raises(LedgerFull):
        ledger.append(msgspec.structs.replace(line, seq=5))
    go.set()
    until(lambda: 5 in ledger.news())
    with pytest.raises(LedgerFull):
        ledger.append(msgspec.structs.replace(line, seq=6))
    assert ledger.close(5.0)
    assert len(ledger._path.read_bytes().splitlines()) == 5


def test_the_limits_file_is_watched(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_module, "WATCH_EVERY_S", 0.01)
    ledger.start()
    until(lambda: ledger_module.WATCH_EVERY_S == 0.01)
    assert ledger.news() == []
    (tmp_path / "limits.toml").write_text("limit5", encoding="utf-8")
    assert [item.kind for item in heard(ledger) if isinstance(item, LedgerTrouble)] == ["limits_changed"]


@pytest.mark.parametrize("how", ["taken away", "renamed", "replaced", "written to", "cut"])
def test_a_ledger_that_is_no_longer_the_file_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    """What goes on to be written under no name, or beside somebody else's bytes, is no record."""
    monkeypatch.setattr(ledger_module, "WATCH_EVERY_S", 0.01)
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, watched(tmp_path))
    ledger.start()
    ledger.append(genesis_of(World(rules_of())))
    until(lambda: ledger._durable > 0)
    time.sleep(0.05)
    assert not any(isinstance(item, LedgerTrouble) for item in ledger.news())
    if how in ("renamed", "replaced"):
        path.rename(tmp_path / "other")
    if how == "replaced":
        path.write_bytes((tmp_path / "other").read_bytes())
    elif how == "taken away":
        path.unlink()
    elif how == "written to":
        with path.open("ab") as file:
            file.write(b"{}\n")
    elif how == "cut":
        os.truncate(path, 10)
    (told,) = heard(ledger)
    assert isinstance(told, LedgerTrouble)
    assert (told.kind, "ledger.jsonl: no longer the file" in told.text) == ("failed", True)
    ledger.close(5.0)


def test_a_disk_that_cannot_be_asked_is_no_limits_file_that_changed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    def fails(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fails)
    ledger.start()
    (told,) = heard(ledger)
    assert told == LedgerTrouble(kind="failed", text="ledger.jsonl: Input/output error")


def test_a_file_whose_name_is_no_text_is_told_in_text(tmp_path: Path):
    """Half a character in what the thread tells would end the deciding one when it sends it on."""
    path = tmp_path / "limits-\udcff.toml"
    path.write_bytes(b"limits")
    ledger = Ledger(tmp_path / "ledger.jsonl", Watched(path=path, digest="0" * 64))
    ledger.start()
    (told,) = heard(ledger)
    assert isinstance(told, LedgerTrouble)
    assert told.text.startswith("limits-\\udcff.toml: digest")
    assert msgspec.json.encode(told)
    assert ledger.close(5.0)


def test_a_limits_file_that_is_gone_has_changed(ledger: Ledger, tmp_path: Path):
    (tmp_path / "limits.toml").unlink()
    ledger.start()
    assert [item.kind for item in heard(ledger) if isinstance(item, LedgerTrouble)] == ["limits_changed"]


@pytest.mark.parametrize(
    ("watched_as", "found", "said"),
    [
        (b"", b"signature", "limits.toml.sig: digest "),
        (b"signature", b"signaturf", "limits.toml.sig: digest "),
        (b"signature", b"", "limits.toml.sig: gone"),
        (b"signature", b"signature" * 100, "limits.toml.sig: digest "),
        (b"signature", b"signature", ""),
        (b"", b"", ""),
    ],
)
def test_the_signature_is_watched_too(tmp_path: Path, watched_as: bytes, found: bytes, said: str):
    """A file that appears, changes or goes; an empty text here is no file."""
    known = hashlib.sha256(watched_as).hexdigest() if watched_as else ""
    held = Watched(path=watched(tmp_path).path, digest=watched(tmp_path).digest, signature=known)
    if found:
        (tmp_path / "limits.toml.sig").write_bytes(found)
    ledger = Ledger(tmp_path / "ledger.jsonl", held)
    ledger.start()
    ledger.append(genesis_of(World(rules_of())))
    until(lambda: ledger._durable > 0)
    assert ledger.close(5.0)
    troubles = [item for item in ledger.news() if isinstance(item, LedgerTrouble)]
    assert [item.kind for item in troubles] == (["limits_changed"] if said else [])
    assert not said or troubles[0].text.startswith(said)


def test_a_link_in_the_place_of_the_signature_has_changed(ledger: Ledger, tmp_path: Path):
    (tmp_path / "limits.toml.sig").symlink_to(tmp_path / "nowhere")
    ledger.start()
    assert [item.kind for item in heard(ledger) if isinstance(item, LedgerTrouble)] == ["limits_changed"]


def test_trouble_is_told_once(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_module, "WATCH_EVERY_S", 0.001)
    looked = []
    real = os.statvfs

    def count(path: Path) -> os.statvfs_result:
        looked.append(path)
        return real(path)

    monkeypatch.setattr(os, "statvfs", count)
    (tmp_path / "limits.toml").unlink()
    ledger.start()
    until(lambda: len(looked) > 5)
    assert len(ledger.news()) == 1


def test_low_space_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_module, "DISK_FREE_MIN", 10**18)
    ledger.start()
    assert [item.kind for item in heard(ledger) if isinstance(item, LedgerTrouble)] == ["disk_low"]


def test_the_limits_are_looked_at_however_busy_the_queue_is(
    ledger: Ledger, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_module, "WATCH_EVERY_S", 0.01)
    looked = threading.Event()
    real = os.statvfs

    def note(path: Path) -> os.statvfs_result:
        looked.set()
        return real(path)

    monkeypatch.setattr(os, "statvfs", note)
    monkeypatch.setattr(os, "fdatasync", lambda fd: looked.wait(0.02))
    line = genesis_of(world)
    ledger.start()
    for n in range(50):
        ledger.append(msgspec.structs.replace(line, seq=n))
    assert looked.wait(5.0)


def test_closing_writes_all_that_waits_and_seals_it(ledger: Ledger, world: World):
    ledger.append(genesis_of(world))
    ledger.append(Close(prev="", seq=1, kind="closed", now=T0, status=4))
    ledger.start()
    assert ledger.close(5.0)
    last = ledger._path.read_bytes().splitlines()[-1]
    held = msgspec.json.decode(last, type=Close)
    assert held.status == 4
    assert held.seal == hashlib.sha256(last.replace(held.seal.encode(), b"")).hexdigest()
    assert ledger.head == hashlib.sha256(last).hexdigest()


def test_closing_what_does_not_end_is_said(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch):
    go = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda fd: go.wait(10.0))
    ledger = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path))
    ledger.start()
    ledger.append(genesis_of(world))
    assert ledger.close(0.05) is False
    go.set()
    ledger._thread.join(5.0)


def test_the_file_is_for_its_owner(tmp_path: Path):
    old = os.umask(0o077)
    try:
        path = write(tmp_path, World(rules_of()))
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
