"""Verification: edits with hashes made anew are found, anchors, other code; and what was decided follows again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.entries import Entry, Fold, Genesis
from safety.events import StopPressed
from safety.verify import LedgerUnreadable, Line, _head_at, judged, read, replayed, verify
from tests.safety.any_events import any_events
from tests.safety.damages import judge
from tests.safety.ledgers import OTHER, SOFTWARE, rechained, session, write
from tests.safety.strategies import hold
from tests.safety.world import LONG, World, rules_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ledger"), session())


@pytest.fixture
def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_a_whole_ledger_is_the_same_again(path: Path):
    verdict = verify(path, SOFTWARE)
    assert verdict.ok
    assert verdict.closed
    assert not verdict.torn
    assert verdict.execution == "same"
    assert verdict.problems == ()
    assert verdict.head == hashlib.sha256(path.read_bytes().splitlines()[-1]).hexdigest()
    assert verdict.entries == len(path.read_bytes().splitlines())


def test_what_does_not_differ_is_said_nothing_of(path: Path):
    held, _, _ = read(path)
    first = held[0].held
    assert isinstance(first, Genesis)
    said = [difference for _, _, difference in replayed(first.rules, first.state, held[1:])]
    assert said == [""] * len(said) and len(said) > 10


def test_the_first_head_and_the_last_and_none_beside_them(path: Path, lines: list[bytes]):
    held, _, _ = read(path)
    for number in (1, 2, len(lines)):
        assert _head_at(held, number) == hashlib.sha256(lines[number - 1]).hexdigest()
    for number in (0, -1, len(lines) + 1):
        assert _head_at(held, number) == ""


def test_what_never_ends_is_no_ledger(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(LedgerUnreadable, match=f"^{endless}: .*; give a ledger.jsonl, or a run folder$"):
            read(endless)
    size = path.stat().st_size
    monkeypatch.setattr("safety.verify.BYTES_MAX", size)
    assert verify(path, SOFTWARE).ok
    monkeypatch.setattr("safety.verify.BYTES_MAX", size - 1)
    with pytest.raises(LedgerUnreadable, match=f"^{path}: found {size} bytes, expected a ledger; "):
        read(path)


@pytest.mark.parametrize(
    "bent",
    [{"chain": False}, *({"execution": word} for word in ("differs under other code", "tampered", "not run")),
     {"problems": ("line 3: no",)}, {"oracle": ("request 1: no",)}],
    ids=str,
)  # fmt: skip
def test_each_finding_by_itself_is_enough_to_say_no(path: Path, bent: dict[str, Any]):
    verdict = verify(path, SOFTWARE)
    assert verdict.ok and not verdict.other_code
    assert not replace(verdict, **bent).ok


@pytest.mark.parametrize(
    "bent",
    [{"chain": False}, *({"execution": word} for word in ("same", "tampered", "not run")), {"problems": ()},
     {"problems": ("another decision", "another hash")}, {"oracle": ("request 1: no",)}],
    ids=str,
)  # fmt: skip
def test_other_code_is_blamed_where_nothing_else_speaks_against_it(path: Path, bent: dict[str, Any]):
    other = replace(
        verify(path, SOFTWARE), execution="differs under other code", problems=("another decision",)
    )
    assert other.other_code and not other.ok
    assert not replace(other, **bent).other_code


def test_a_cut_is_found_by_an_anchor_kept_elsewhere(path: Path, tmp_path: Path, lines: list[bytes]):
    head = verify(path, SOFTWARE).head
    middle = hashlib.sha256(lines[3]).hexdigest()
    assert verify(path, SOFTWARE, (head, middle)).ok
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"\n".join(lines[:-1]) + b"\n")
    assert verify(cut, SOFTWARE, (middle,)).ok
    verdict = verify(cut, SOFTWARE, (head,))
    assert not verdict.ok
    assert not verdict.chain
    assert head[:16] in verdict.problems[0]


def test_a_torn_tail_is_told_and_after_the_end_it_is_more_than_that(path: Path, lines: list[bytes]):
    word = "the end: something follows the closing line"
    torn = judged(path, b"\n".join(lines[:-1]) + b'\n{"prev"', SOFTWARE)
    assert torn.ok and torn.torn and not torn.closed and word not in torn.problems
    whole = judged(path, b"\n".join(lines) + b"\n", SOFTWARE)
    assert whole.ok and whole.closed and not whole.torn
    after = judged(path, b"\n".join(lines) + b'\n{"prev"', SOFTWARE)
    assert after.torn and after.closed and not after.ok and not after.chain
    assert after.problems == (word,)


def test_what_differs_is_named_and_what_cannot_be_read_is_not_decided_again(path: Path, lines: list[bytes]):
    edited = [line.replace(b'"device Fire ', b'"device Fire 1', 1) for line in lines]
    bent = judged(path, rechained(edited), SOFTWARE)
    assert bent.execution == "tampered" and bent.chain
    (problem,) = bent.problems
    assert problem.startswith(("line ", "after line "))
    unread = judged(path, b"\n".join(lines[:-1]) + b"\nrubbish\n", SOFTWARE)
    assert (unread.execution, unread.chain) == ("not run", False)
    assert unread.problems == (f"line {len(lines)}: cannot be read as an entry",)


def test_a_line_that_follows_the_end_is_found_however_well_it_chains(lines: list[bytes]):
    assert judge(rechained([*lines, lines[2]])) == "tampered"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"after":"TRIPPED"', b'"after":"READY"'),
        (b'"device StopDevice ', b'"device Poll '),
        (b"permit 1 until ", b"permit 1 until 9"),
        (b"ILK-302", b"ILK-999"),
        (b'"device Fire ', b'"device Fire 1'),
        (b'"person":"ann"', b'"person":"bob"'),
        (b'["sine",1.0,', b'["sine",0.5,'),  # the amplitude
        (b",1.0]]],", b",0.1]]],"),  # the clean fraction
        (b'"high":2.0', b'"high":0.5'),
        (b'"state":"', b'"state":"0'),
    ],
    ids=repr,
)
def test_an_edit_with_every_hash_made_anew_is_found(lines: list[bytes], old: bytes, new: bytes):
    edited, done = [], False
    for line in lines:
        if not done and old in line:
            line, done = line.replace(old, new, 1), True
        edited.append(line)
    assert done
    assert judge(rechained(lines)) == "ok"
    assert judge(rechained(edited)) == "tampered"


def test_an_event_left_out_with_every_hash_made_anew_is_found(lines: list[bytes]):
    for n in range(1, len(lines) - 1):
        kept = lines[:n] + lines[n + 1 :]
        renumbered = []
        for seq, line in enumerate(kept):
            held = msgspec.json.decode(line)
            renumbered.append(line.replace(b'"seq":%d,' % held["seq"], b'"seq":%d,' % seq, 1))
        assert judge(rechained(renumbered)) == "tampered"


def test_other_code_is_told_from_tampering(lines: list[bytes], tmp_path: Path):
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert verify(file, OTHER).execution == "same"  # other code, the same decisions
    edited = [line.replace(b'"device Fire ', b'"device Fire 1', 1) for line in lines]
    file.write_bytes(rechained(edited))
    assert verify(file, SOFTWARE).execution == "tampered"
    verdict = verify(file, OTHER)
    assert verdict.execution == "differs under other code"
    assert not verdict.ok
    assert verdict.chain


def test_a_state_that_no_session_begins_in_is_no_traceback(lines: list[bytes]):
    held = msgspec.json.decode(lines[0])
    for bad in ({"lapses": [10**400]}, {"dose": held["state"]["dose"] | {"covered_ns": 10**400}}):
        first = {**held, "state": held["state"] | bad}
        content = rechained([json.dumps(first, separators=(",", ":")).encode(), *lines[1:]])
        assert judge(content) in ("tampered", "unreadable")


@pytest.mark.parametrize(
    "content", (b"", b"\n", b"{}\n", b"x" * 1000 + b"\n", b"\x00" * 64, b"[]\n[]\n"), ids=repr
)
def test_what_is_no_ledger_is_said_in_a_line(content: bytes, tmp_path: Path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(LedgerUnreadable) as caught:
        verify(file, SOFTWARE)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(LedgerUnreadable, match="give a ledger"):
        verify(tmp_path / "none.jsonl", SOFTWARE)


def test_a_line_that_is_too_long_is_not_read(lines: list[bytes]):
    long = lines[1].replace(b'"effects":[', b'"effects":["' + b"x" * 300_000 + b'",', 1)
    assert judge(rechained([lines[0], long])) == "tampered"


def raw_and_folded(world: World) -> None:
    """What went through `step` one by one, and what the entries with their folds lead to: the same state."""
    found = list(replayed(world.rules, world.first, _lines(world)))
    assert [said for _, _, said in found if said] == []
    assert len(found) == len(world.entries)
    if found:
        last = found[-1][1]
        watch = world.state.watch
        assert msgspec.structs.replace(last, watch=watch) == world.state


def _lines(world: World) -> list[Line]:
    decoder = msgspec.json.Decoder(Entry)
    return [
        Line(number=n, raw=b"", held=decoder.decode(msgspec.json.encode(entry)))
        for n, entry in enumerate(world.entries, start=2)
    ]


def test_a_session_folded_is_the_session_raw():
    raw_and_folded(session())


def test_a_long_hold_folded_is_the_hold_raw():
    world = World(rules_of()).armed()
    for n in range(40):
        world.ask(hold(amplitude_ma_pp=0.4 - 0.1 * (n % 2), ramp_up_ms=400))
        world.run_ms(173)
    assert len(world.entries) < world.counts.get("Tick", 0) + 3_000
    raw_and_folded(world)


@settings(max_examples=1_000 if LONG else 60, deadline=None)
@given(st.data())
def test_any_events_folded_are_the_events_raw(data: st.DataObject):
    world = World(rules_of())
    if data.draw(st.booleans()):
        world.armed()
    for _ in range(data.draw(st.integers(1, 12))):
        event = data.draw(any_events(world))
        if _storable(event):
            world.take(event)
        world.run_ms(data.draw(st.sampled_from([0, 1, 12, 60, 130])))
    raw_and_folded(world)


def _storable(event: object) -> bool:
    """What can come over a wire can be written: NaN and giants cannot come, and are not tried here."""
    try:
        return msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
    except (OverflowError, msgspec.ValidationError):
        return False


def test_a_watch_that_was_changed_in_a_fold_is_found():
    world = session()
    n = next(n for n, entry in enumerate(world.entries) if entry.fold is not None and n > 3)
    entry = world.entries[n]
    watch = msgspec.structs.replace(entry.fold.watch, beat_ns=1)
    world.entries[n] = msgspec.structs.replace(entry, fold=Fold(counts=entry.fold.counts, watch=watch))
    said = [said for _, _, said in replayed(world.rules, world.first, _lines(world)) if said]
    assert said


def test_reading_back_gives_what_was_written(path: Path):
    world = session()
    lines, torn, problems = read(path)
    assert not torn
    assert problems == []
    assert [line.held.event for line in lines[1:-1]] == [entry.event for entry in world.entries]
    stop = next(line.held for line in lines[1:-1] if isinstance(line.held.event, StopPressed))
    assert "device StopDevice" in stop.effects[0]
