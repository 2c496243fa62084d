"""How far a store had reached: a cut inside a session that crashed is seen, a power cut is no tampering."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from safety import clocks
from safety.admission import Refused
from safety.chained import next_line, read_chain
from safety.events import LedgerTrouble
from safety.ledger import Ledger
from safety.participants import said_of, standing
from safety.site_list import StoreError
from safety.store import Store, read_store, store_path
from safety.store_mark import BYTES, Mark, mark_path, put_mark, read_mark
from safety.store_records import body_of
from tests.safety.ledgers import genesis_of, until, watched
from tests.safety.stores import LIMITS, after, let_go, made, opened, put, reserved
from tests.safety.world import World


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path)


def killed(state: Path, *totals: float) -> list[bytes]:
    """A session that reserved these, as the ledger's thread does it, and was killed; the store's lines."""
    now = clocks.stamp()
    store, _ = opened(state, now)
    for n, total in enumerate(totals):
        put(store, reserved(after(now, n), total))
        store.reached()
    let_go(store)
    return store_path(state, "P001").read_bytes().splitlines(keepends=True)


def refusal(state: Path) -> str:
    with pytest.raises(StoreError) as refused:
        opened(state, after(clocks.stamp(), 100), "s-2")
    said = str(refused.value)
    assert "\n" not in said and "found" in said and "expected" in said and "; " in said
    return said


def opens(state: Path) -> float:
    """What the next session is told to have been spent."""
    store, history = opened(state, after(clocks.stamp(), 100), "s-2")
    let_go(store)
    return sum(each.spent.on_time_s for each in history.past)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_store_cut_back_inside_its_crashed_session_is_refused(state: Path, left: int):
    lines = killed(state, 5.0, 10.0, 15.0)
    store_path(state, "P001").write_bytes(b"".join(lines[:left]))
    said = f"found {left} lines, expected line 4 as the last session wrote it: a copy that was cut back; bring back"
    assert said in refusal(state)
    with pytest.raises(StoreError, match="cut back"):
        read_store(state, "P001")
    store_path(state, "P001").write_bytes(b"".join(lines))
    assert opens(state) == 15.0


def test_store_and_site_list_put_back_together_are_refused(state: Path, tmp_path: Path):
    """An old copy of both, as from a backup of that morning."""
    for name in ("participants", "site.jsonl"):
        copy = shutil.copytree if (state / name).is_dir() else shutil.copy
        copy(state / name, tmp_path / name)
    killed(state, 5.0)
    shutil.copy(tmp_path / "participants" / "P001.jsonl", store_path(state, "P001"))
    shutil.copy(tmp_path / "site.jsonl", state / "site.jsonl")
    assert "found 1 lines, expected line 2 as the last session wrote it" in refusal(state)


def test_another_line_in_the_place_of_the_last_is_refused(state: Path):
    lines = killed(state, 5.0, 10.0)
    two = b"".join(lines[:2])
    other, _ = next_line(read_chain(two).head, body_of(reserved(clocks.stamp(), 0.1)))
    store_path(state, "P001").write_bytes(two + other)
    assert "found 3 lines, expected line 3 as the last session wrote it" in refusal(state)


def test_a_mark_that_is_behind_or_says_nothing_stops_nobody(state: Path):
    """A power cut takes what was not synced: the mark is of before, blank, or not there."""
    killed(state, 5.0, 10.0)
    path = mark_path(state, "P001")
    behind = Mark(participant="P001", store_seq=1, store_head=read_store(state, "P001")[1].hashes[0])
    put_mark(state, behind)
    assert opens(state) == 10.0
    for blank in (b"", b"\0" * BYTES, b" " * BYTES):
        path.write_bytes(blank)
        assert read_mark(state, "P001") is None and opens(state) == 10.0
    path.unlink()
    assert opens(state) == 10.0


@pytest.mark.parametrize(
    "content",
    [
        b"?",
        b'{"participant":"P001"}',
        b'{"participant":"P002","store_seq":1,"store_head":""}',
        b'{"participant":"P001","store_seq":0,"store_head":""}',
        b'{"participant":"P001","store_seq":-1,"store_head":""}',
        b"[" * BYTES,
        b" " * (BYTES + 1) + b"?",
    ],
)
def test_a_mark_that_cannot_be_understood_is_an_officers_to_look_at(state: Path, content: bytes):
    killed(state, 5.0)
    mark_path(state, "P001").write_bytes(content)
    assert "an officer finds out why, then removes it" in refusal(state)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_mark_that_is_no_regular_file_is_refused(state: Path, tmp_path: Path, kind: str):
    killed(state, 5.0)
    path = mark_path(state, "P001")
    path.rename(tmp_path / "mark")
    if kind == "link":
        path.symlink_to(tmp_path / "mark")
    else:
        path.mkdir()
    assert "expected how far the store had reached; mend it" in refusal(state)


def test_who_had_sessions_here_is_not_made_anew(state: Path, tmp_path: Path):
    """Store and site list gone: to make the participant again would forget all that was given."""
    killed(state, 5.0)
    store_path(state, "P001").unlink()
    (state / "site.jsonl").unlink()
    with pytest.raises(
        Refused, match="had sessions here, expected a new one; bring back store and site list"
    ):
        made(tmp_path)
    mark_path(state, "P001").unlink()
    made(tmp_path)


def test_the_mark_is_written_after_the_store_is_durable_and_whoever_waits_is_told(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, _ = opened(state, clocks.stamp())
    order: list[str] = []
    sync, reached = store.lines.sync, Store.reached
    ledger = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path), store=store)
    say = ledger._say
    monkeypatch.setattr(type(store.lines), "sync", lambda self: (order.append("synced"), sync())[-1])
    monkeypatch.setattr(Store, "reached", lambda self: (order.append("marked"), reached(self))[-1])
    monkeypatch.setattr(ledger, "_say", lambda item: (order.append("told"), say(item))[-1])
    ledger.start()
    try:
        ledger.append(genesis_of(World("tacs")), None, (reserved(clocks.stamp(), 5.0),))
        until(lambda: "marked" in order)
        until(lambda: (mark := read_mark(state, "P001")) is not None and mark.store_seq == 2)
        assert order == ["synced", "told", "marked"]
        mark_path(state, "P001").unlink()
        mark_path(state, "P001").mkdir()
        ledger.append(genesis_of(World("tacs")), None, (reserved(clocks.stamp(), 6.0),))
        found: list[object] = []
        until(lambda: found.extend(ledger.news()) or any(isinstance(each, LedgerTrouble) for each in found))
    finally:
        ledger.close(5.0)
        for fd in (ledger.news_fd, ledger._wake_fd):
            os.close(fd)


def test_a_head_that_was_kept_elsewhere_is_found_or_missed(state: Path):
    """What no file here can show: that all of them are old copies."""
    killed(state, 5.0)
    head = read_store(state, "P001")[1].head
    found = standing(state, LIMITS, (head,))
    assert any(f"store: line 2, head {head}" in line for line in said_of(found, LIMITS))
    with pytest.raises(Refused, match=f"found no line with the head {'a' * 64}, expected one: an older copy"):
        standing(state, LIMITS, (head, "a" * 64))
