"""The ledger's thread and the participant's store: an entry is durable when its record is, and a failure is the last."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from safety import clocks
from safety import ledger as ledger_module
from safety.events import LedgerTrouble
from safety.ledger import Ledger
from safety.site_list import site_list
from safety.store import Store, read_store, store_path
from tests.safety.ledgers import genesis_of, until, watched
from tests.safety.stores import let_go, made, opened, reserved, settled
from tests.safety.world import World, rules_of


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path)


@pytest.fixture
def store(state: Path) -> Store:
    return opened(state, clocks.stamp())[0]


@pytest.fixture
def ledger(tmp_path: Path, store: Store) -> Iterator[Ledger]:
    held = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path), store=store)
    held.start()
    yield held
    held.close(5.0)
    for fd in (held.news_fd, held._wake_fd):
        os.close(fd)


def trouble(ledger: Ledger) -> LedgerTrouble:
    found: list[object] = []
    until(lambda: found.extend(ledger.news()) or any(isinstance(each, LedgerTrouble) for each in found))
    return next(each for each in found if isinstance(each, LedgerTrouble))


def test_an_entry_is_durable_when_its_record_is(
    ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    real_write, real_sync = os.write, os.fdatasync
    names = {ledger._fd: "ledger", store.lines._fd: "store", ledger._wake_fd: "told"}

    def write(fd: int, data: bytes) -> int:
        order.append(f"write {names.get(fd, fd)}")
        return real_write(fd, data)

    def sync(fd: int) -> None:
        order.append(f"sync {names.get(fd, fd)}")
        real_sync(fd)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    ledger.append(genesis_of(World(rules_of())), records=(reserved(clocks.stamp(), 5.0),))
    until(lambda: 1 in ledger.news())
    assert order == ["write ledger", "write store", "sync store", "sync ledger", "write told"]


def test_what_is_appended_stands_in_the_store_and_both_heads_in_the_site_s_list(
    tmp_path: Path, state: Path, ledger: Ledger
):
    world, now = World(rules_of()).armed(), clocks.stamp()
    ledger.append(genesis_of(world), records=(reserved(now, 5.0),))
    ledger.append(world.entries[0], records=(reserved(now, 7.0), settled(now, 6.0)))
    assert ledger.close(5.0)
    records, chain = read_store(state, "P001")
    assert records[1:] == (reserved(now, 5.0), reserved(now, 7.0), settled(now, 6.0))
    last = site_list(state)[1][-1]
    assert (last.kind, last.store_head, last.store_seq, last.ledger_head) == (
        "closed",
        chain.head,
        4,
        ledger.head,
    )
    assert last.session_id == "s-1"
    let_go(opened(state, now)[0])  # nobody holds it any more


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_store_that_cannot_be_written_fails_once_and_for_good(
    ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch, call: str
):
    real = getattr(os, call)

    def fails(fd: int, *data: bytes) -> object:
        if fd == store.lines._fd:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, *data)

    monkeypatch.setattr(os, call, fails)
    world = World(rules_of()).armed()
    ledger.append(genesis_of(world), records=(reserved(clocks.stamp(), 5.0),))
    found = trouble(ledger)
    assert (found.kind, found.text) == ("failed", "P001.jsonl: No space left on device")
    ledger.append(world.entries[0])
    assert ledger.news() == []
    assert not ledger.close(5.0)


def test_a_store_that_is_no_longer_the_file_that_is_written(
    ledger: Ledger, state: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is reserved in a file without a name nobody finds at the next session."""
    monkeypatch.setattr(ledger_module, "WATCH_EVERY_S", 0.01)
    store_path(state, "P001").rename(state / "away")
    found = trouble(ledger)
    assert (found.kind, found.text.split(":")[0]) == ("failed", "P001.jsonl")
    assert not [each for each in ledger.news() if isinstance(each, LedgerTrouble)]


def test_a_record_that_could_not_be_read_again_fails_as_a_disk_would(ledger: Ledger, store: Store):
    """The thread must not die of it without a word."""
    world = World(rules_of()).armed()
    long = msgspec.structs.replace(reserved(clocks.stamp(), 5.0), session_id="x" * 70_000)
    ledger.append(genesis_of(world), records=(long,))
    found = trouble(ledger)
    assert found.kind == "failed"
    assert "P001.jsonl: found a line of 7" in found.text
    assert not ledger.close(5.0)


def test_a_site_s_list_that_cannot_be_written_is_told_at_the_end(state: Path, ledger: Ledger):
    ledger.append(genesis_of(World(rules_of())))
    until(lambda: 1 in ledger.news())
    (state / "site.jsonl").unlink()
    (state / "site.jsonl").mkdir()
    assert not ledger.close(5.0)
    assert trouble(ledger).text.startswith("site.jsonl: ")


def test_without_a_store_records_go_nowhere(tmp_path: Path, state: Path):
    shutil.rmtree(state)
    held = Ledger(tmp_path / "shadow.jsonl", watched(tmp_path))
    held.start()
    held.append(genesis_of(World(rules_of())), records=(reserved(clocks.stamp(), 5.0),))
    until(lambda: 1 in held.news())
    assert held.close(5.0) and not state.exists()
    for fd in (held.news_fd, held._wake_fd):
        os.close(fd)
