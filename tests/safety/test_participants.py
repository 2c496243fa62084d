"""Who makes a participant, who confirms the date, and how a participant stands, in words."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pytest

from safety import clocks
from safety.admission import Refused
from safety.chained import LINE_BYTES_MAX
from safety.earlier import history_of
from safety.history import History
from safety.participants import (
    confirm_date,
    kept_by_another,
    new_participant,
    said_of,
    site_directory,
    standing,
)
from safety.site_list import site_list
from safety.store import read_store, store_path
from safety.store_records import DateConfirmed
from tests.safety.homeless import make_homeless
from tests.safety.stores import LIMITS, after, crashed, let_go, made, opened, person, put, reserved
from tests.safety.world import PEOPLE


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path)


def test_only_an_officer_makes_a_participant_and_only_once(state: Path):
    with pytest.raises(Refused, match="ann is an operator, expected an officer"):
        new_participant(state, LIMITS, person("ann"), PEOPLE["ann"], "r")
    with pytest.raises(Refused, match="found participant P001 here already"):
        new_participant(state, LIMITS, person("bob"), PEOPLE["bob"], "r")
    assert len(read_store(state, "P001")[0]) == 1


def test_a_folder_that_others_may_write_holds_no_store(tmp_path: Path):
    folder = tmp_path / "state" / "participants"
    folder.mkdir(parents=True)
    folder.chmod(0o720)
    with pytest.raises(Refused, match="found that others may write it, expected the interlock's user alone"):
        made(tmp_path)


def left(state: Path, content: bytes) -> Path:
    """What lies where a store would, and nothing else of the site."""
    shutil.rmtree(state / "heads", ignore_errors=True)
    (state / "site.jsonl").unlink(missing_ok=True)
    path = store_path(state, "P001")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("of_line", [0.0, 0.5, 0.999, 1.0])
def test_what_a_crash_left_of_a_new_store_is_made_anew(state: Path, of_line: float):
    line = store_path(state, "P001").read_bytes()
    left(state, line[: int(len(line) * of_line)])
    made(state.parent)
    assert len(read_store(state, "P001")[0]) == 1


@pytest.mark.parametrize("size", [LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
def test_a_torn_first_line_is_no_longer_than_a_line(state: Path, size: int):
    path = left(state, b"x" * size)
    if size <= LINE_BYTES_MAX:
        made(state.parent)
        return
    with pytest.raises(Refused, match=r"found a store that .*site.jsonl does not know"):
        made(state.parent)
    assert path.stat().st_size == size


@pytest.mark.parametrize("torn", ["", "the end", "a second line", "the middle", "another's"])
def test_a_store_that_had_sessions_is_never_made_anew(state: Path, torn: str):
    """The list of the site and the mark are gone: the store is all that knows what was spent."""
    line = store_path(state, "P001").read_bytes()
    crashed(state, 2400.0)
    whole = store_path(state, "P001").read_bytes()
    content = {
        "": whole,
        "the end": whole[:-5],
        "a second line": whole[: len(line) + 5],
        "the middle": whole.replace(b"2400.0", b"0000.0"),
        "another's": line.replace(b"P001", b"P002"),
    }[torn]
    path = left(state, content)
    with pytest.raises(Refused, match="bring back the site's list as it was") as refused:
        made(state.parent)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == content


def of_another_boot(state: Path) -> History:
    """The history as after a restart."""
    records, chain = read_store(state, "P001")
    now = msgspec.structs.replace(clocks.stamp(), boot_id="after a restart")
    return history_of(records, chain, LIMITS, now, 0, "")


def test_a_named_person_confirms_the_date_after_a_restart(state: Path, monkeypatch: pytest.MonkeyPatch):
    assert not of_another_boot(state).vouched
    monkeypatch.setattr(clocks, "boot_id", lambda: "after a restart")
    confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by the radio clock")
    assert of_another_boot(state).vouched
    (_, record), chain = read_store(state, "P001")
    assert isinstance(record, DateConfirmed)
    assert (record.act.act, record.act.person) == ("confirm-date", "ann")
    assert (site_list(state)[1][-1].kind, site_list(state)[1][-1].store_head) == ("confirm-date", chain.head)
    others = msgspec.structs.replace(LIMITS, people=(person("bob"),))
    now = msgspec.structs.replace(clocks.stamp(), boot_id="after a restart")
    assert not history_of((_, record), chain, others, now, 0, "").vouched  # ann is nobody in these limits
    other_key = msgspec.structs.replace(person("ann"), public_key="a" * 64)
    others = msgspec.structs.replace(LIMITS, people=(other_key,))
    assert not history_of((_, record), chain, others, now, 0, "").vouched


def test_nobody_can_confirm_a_date_before_the_last_record(state: Path, monkeypatch: pytest.MonkeyPatch):
    (record,), _ = read_store(state, "P001")
    before = msgspec.structs.replace(record.stamp, wall_ns=record.stamp.wall_ns - 1)
    monkeypatch.setattr(clocks, "stamp", lambda: before)
    with pytest.raises(
        Refused, match="a wall clock before the last record, expected one after it; set the clock first"
    ):
        confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "r")
    let_go(opened(state, record.stamp)[0])  # and the lock is free again


def test_a_standing_in_words(state: Path):
    now = clocks.stamp()
    assert said_of(standing(state, LIMITS), LIMITS)[-1] == "  the next session may begin now"
    crashed(state, 600.0)
    lines = said_of(standing(state, LIMITS), LIMITS)
    assert "tacs, 1 sessions" in lines[0]
    assert any(
        line.split()[:5] == ["24h", "on_time_s", "600", "of", "3600"] and "3000 left" in line
        for line in lines
    )
    assert any(line.startswith("  gap_s") and "are left of 1500 s" in line for line in lines)
    assert lines[-1].startswith("  the next session may begin on 20")
    store, _ = opened(state, now, "s-2")
    put(store, reserved(after(now, 100_000), 200_000.0, "s-2"))
    store.close("")
    found = standing(state, LIMITS)
    assert found.next_wall_ns is None and found.trouble.startswith("ILK-411")
    lines = said_of(found, LIMITS)
    assert lines[-1] == "  the next session: never, by these limits"
    assert said_of(dataclasses.replace(found, next_wall_ns=10**40), LIMITS)[-1].endswith(
        "a date that no calendar has"
    )


def test_a_state_directory_that_cannot_be_used_is_one_line(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"found .*, expected the site's state directory; mend it"):
        new_participant(tmp_path / "file", LIMITS, person("bob"), PEOPLE["bob"], "r")

    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error", "the store")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fails)
        with pytest.raises(Refused, match="the store: found Input/output error, expected the site's state"):
            confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "r")
    with pytest.raises(Refused, match="found no store"):
        confirm_date(tmp_path / "nowhere", LIMITS, person("ann"), PEOPLE["ann"], "r")

    make_homeless(monkeypatch, "NOCILOOP_STATE_DIR", "XDG_STATE_HOME")
    monkeypatch.setattr("safety.site.SITE_STATE", tmp_path / "none")
    if not Path("/var/lib/nociloop").is_dir():
        with pytest.raises(Refused, match="found no home directory"):
            site_directory()


def test_stores_may_lie_with_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOCILOOP_STATE_DIR", raising=False)
    assert not kept_by_another(tmp_path / "none")
    assert not kept_by_another(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert kept_by_another(tmp_path)
    assert not kept_by_another(tmp_path / "none")
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path))
    assert not kept_by_another(tmp_path)
