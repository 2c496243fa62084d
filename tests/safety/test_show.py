"""A ledger in words: what is looked for is found, what is damaged is named, what others wrote cannot drive a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.link import CallFailed, Delivered, Done, Status
from drivers.stimulation import Delivery
from drivers.stimulator import DeviceStatus
from safety.entries import Entry, written
from safety.entry_words import effect_words, event_words, plain, reason_words, reasons_of, words_of
from safety.events import (
    Asked,
    BadFrame,
    EndAsked,
    Event,
    Gone,
    HostGone,
    HostSaid,
    LedgerTrouble,
    Now,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.exposures import NOTHING
from safety.history import Stamp
from safety.messages import End, Pause, Reason
from safety.modalities import Exposure
from safety.show import KINDS, Shown, Wanted, shown
from safety.state import ToStore
from safety.store_records import Settled
from safety.verify import LedgerUnreadable
from tests.safety.any_events import any_events
from tests.safety.damages import damages
from tests.safety.ledgers import session, write
from tests.safety.strategies import hold
from tests.safety.world import LONG, World, rules_of
from tests.safety.worlds import prepared_only


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Armed by a person, two requests in haste, a STOP, a reset."""
    return write(tmp_path_factory.mktemp("ledger"), session())


def texts(path: Path, **wanted: object) -> list[str]:
    return [each.text for each in shown(path, Wanted(**wanted))]  # type: ignore[arg-type]


def test_every_entry_is_a_line(path: Path):
    lines = path.read_bytes().splitlines()
    found = list(shown(path, Wanted()))
    assert [each.raw for each in found] == lines
    assert [int(each.text.split()[0]) for each in found] == list(range(len(lines)))
    assert "opened 2026-06-01" in found[0].text
    assert "closed, status 4" in found[-1].text
    assert all("\n" not in each.text for each in found)


@pytest.mark.parametrize(
    ("kind", "has"),
    [
        ("request", "asked 1: tacs amplitude_ma_pp 1, frequency_hz "),
        ("permit", "permit 1 for "),
        ("refusal", "ILK-302 another request is under way"),
        ("trip", "trip ILK-001 STOP was pressed"),
        ("act", "act arm by ann (account 1000): a test"),
        ("stop", "STOP from test"),
        ("delivery", "delivered by token "),
        ("device", "device opened: "),
        ("phase", "SAFE -> READY"),
    ],
)
def test_a_kind_is_found_and_nothing_else(path: Path, kind: str, has: str):
    found = texts(path, kind=kind)
    assert any(has in text for text in found)
    assert 0 < len(found) < len(texts(path))


def test_trouble_is_a_kind(tmp_path: Path):
    world = World(rules_of())
    world.take(BadFrame(source="controller", text="no JSON"))
    found = texts(write(tmp_path, world), kind="trouble")
    assert len(found) == 1
    assert "bad frame from controller: no JSON" in found[0]


def test_codes_are_found_by_their_beginning(path: Path):
    assert [text for text in texts(path, code="ILK-001") if "ILK-001" not in text] == []
    assert len(texts(path, code="ilk-3")) == len(texts(path, kind="refusal"))
    assert texts(path, code="ILK-9") == []


def test_a_permit_tells_how_long_it_lasts_and_a_session_what_it_leaves(path: Path):
    said = texts(path, kind="permit")[0]
    assert re.search(r"permit 1 for \d+ ms at most", said)
    settled = [text for text in texts(path) if "store settled" in text]
    assert settled == [] or "confirmed " in settled[0]


def test_effects_in_words():
    assert effect_words("permit 4 until 1500000000", 1_000_000_000) == "permit 4 for 500 ms at most"
    assert effect_words("permit 4 until 1500000000") == "permit 4 until 1500000000"
    for odd in ("permit 4 until x", "permit", "permit 4 until " + "9" * 30, "permit 4 until 5 6"):
        assert effect_words(odd, 0) == odd
    spent = Exposure(on_time_s=1.5000000000000002, charge_c=0.25, n_pulses=0)
    stamp = Stamp(boot_id="b", boot_ns=1, wall_ns=2)
    record = Settled(
        stamp=stamp, session_id="s", nonce="n", modality="tacs", confirmed=spent, outstanding=NOTHING,
        first_wall_ns=0, last_wall_ns=1,
    )  # fmt: skip
    said = effect_words(written(ToStore(record=record)))
    assert said == "store settled: confirmed 1.5 s, 0.25 C, permitted beyond it nothing"
    assert effect_words("store reserved 0.30000000000000004 s, 3 pulses") == "store reserved 0.3 s, 3 pulses"
    for odd in ("store {", "store " + "[" * 5000, "store"):
        assert effect_words(odd) == odd


def test_the_life_of_a_request(path: Path):
    found = " ".join(texts(path, request=1))
    for part in (
        "asked 1:",
        "permit 1 for",
        "device prepared call",
        "device fired call",
        "delivered by token",
    ):
        assert part in found
    assert "asked 2" not in found
    assert texts(path, request=99) == []


def test_a_train_that_is_fired_by_a_request_of_its_own(tmp_path: Path):
    world, request = prepared_only()
    world.fire(request)
    world.run_ms(20)
    found = texts(write(tmp_path, world), request=request)
    assert sum("fire asked" in text for text in found) == 1
    assert any("device fired call" in text for text in found)


def test_a_person_and_a_time_and_the_last(path: Path):
    assert len(texts(path, person="ann", kind="act")) == 2
    assert texts(path, person="bob", kind="act") == []
    assert ["opened" in text for text in texts(path, person="bob")] == [True]  # named in the limits, and idle
    assert texts(path, person="eve") == []
    every = texts(path)
    at_s = [float(text.split()[1]) for text in every]
    middle_s = at_s[len(at_s) // 2]
    assert texts(path, from_s=middle_s) == every[at_s.index(middle_s) :]
    assert texts(path, to_s=0.0) == [text for text, at in zip(every, at_s, strict=True) if at == 0.0]
    assert texts(path, last=2) == every[-2:]
    assert texts(path, last=1, kind="act") == texts(path, kind="act")[-1:]
    assert texts(path, since=5) == every[5:]
    assert texts(path, word="RESET") == [text for text in every if "reset" in text.lower()]


def test_a_refusal_tells_the_limit_the_value_and_the_margin():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=9.0))
    entry = next(e for e in world.entries if isinstance(e.event, Asked))
    words = words_of(entry, 0.0)
    assert "ILK-101 amplitude_ma_pp 9, limit 2: 7 over, set by protocol" in words
    assert "ILK-101 amplitude_ma_pp 9, limit 4: 5 over, set by absolute" in words


def test_a_margin_below_a_limit():
    low = Reason(
        code="ILK-102", text="below a limit: x", quantity="rate_hz", value=0.5, limit=4.0, set_by="site"
    )
    assert reason_words(low) == "ILK-102 rate_hz 0.5, limit 4: 3.5 under, set by site (below a limit: x)"
    bare = Reason(code="ILK-301", text="not armed")
    assert reason_words(bare) == "ILK-301 not armed"


def test_an_effect_that_is_no_refusal_stands_as_it_is():
    for effect in ("pet", "refusal 3 no JSON", "refusal 3 [1]", "refusal", "", "permit 1 until 2"):
        assert effect_words(effect) == effect
        assert reasons_of(effect) == ()


def test_what_others_wrote_cannot_drive_a_terminal(tmp_path: Path):
    world = World(rules_of())
    world.take(StopPressed(source="\x1b[2J\x07 a\nb\u202e", ends=False))
    text = next(text for text in texts(write(tmp_path, world)) if "STOP" in text)
    assert text.isprintable()
    assert r"\x1b[2J\x07 a\nb\u202e" in text
    assert plain("µA ≤ 3") == "µA ≤ 3"


def test_a_damaged_file_is_shown_as_far_as_it_can_be_read(path: Path, tmp_path: Path):
    lines = path.read_bytes().splitlines(keepends=True)
    file = tmp_path / "damaged.jsonl"
    file.write_bytes(b"".join([b"\x1b\xff nonsense\n", *lines[1:4], b"{}\n", *lines[5:-1], lines[-1][:40]]))
    found = list(shown(file, Wanted()))
    assert [each.raw for each in found if each.raw is not None] == [
        line[:-1] for line in (*lines[1:4], *lines[5:-1])
    ]
    notes = [each.text for each in found if each.raw is None]
    assert notes[0].startswith("torn tail")
    assert r"line 1: cannot be read as an entry: '\x1b" in notes[1]
    assert notes[2].startswith("line 5: cannot be read")
    assert all(note.isprintable() for note in notes)


def test_a_number_that_no_entry_has_is_a_note(path: Path, tmp_path: Path):
    lines = path.read_bytes().splitlines(keepends=True)
    held = json.loads(lines[3])
    held["now"] = [10**400, 0, 0]
    file = tmp_path / "giant.jsonl"
    file.write_bytes(b"".join([*lines[:3], json.dumps(held).encode() + b"\n", *lines[4:]]))
    found = list(shown(file, Wanted()))
    assert len(found) == len(lines)
    assert found[-1] == Shown(text="line 4: holds numbers that no entry has", raw=None)


@pytest.mark.parametrize("content", (b"", b"\n", b"x", b"[]\n{}\n", b"\x00" * 9 + b"\n"))
def test_what_is_no_ledger_is_one_line(content: bytes, tmp_path: Path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(LedgerUnreadable, match="give a ledger"):
        list(shown(file, Wanted()))


def test_no_damage_makes_a_traceback(path: Path, tmp_path: Path):
    content = path.read_bytes()
    file = tmp_path / "x.jsonl"
    for damage in damages(content, content[::-1], stride=97 if LONG else 2003):
        file.write_bytes(damage.content)
        try:
            assert all(each.text.isprintable() for each in shown(file, Wanted()))
        except LedgerUnreadable as error:
            assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(
    event=st.builds(BadFrame, source=st.text(), text=st.text()),
    effects=st.lists(
        st.text() | st.sampled_from(["permit 1 until 5", "refusal -3 []", "device Prepare 7", "permit x"])
    ),
)
def test_any_text_is_one_printable_line(event: BadFrame, effects: list[str]):
    entry = Entry(
        prev="", seq=1, now=Now(mono_ns=1, boot_ns=1, wall_ns=1), event=event, before="SAFE", after="SAFE",
        effects=tuple(effects), state="",
    )  # fmt: skip
    assert words_of(entry, 0.0).isprintable()


@settings(max_examples=400 if LONG else 80, deadline=None)
@given(st.data())
def test_every_event_there_is_has_its_words(data: st.DataObject):
    """Never the name of a class alone where it has something to say, never a line too many."""
    event = data.draw(any_events(World(rules_of())))
    words = event_words(event)
    assert words
    assert plain(words).isprintable()
    if isinstance(event, HostSaid):
        assert words.startswith(("device ", "delivered by token "))
    for field in ("why", "text", "source"):
        assert str(getattr(event, field, "")) in words


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Gone(why="end of file"), "Gone: end of file"),
        (HostGone(why="killed"), "HostGone: killed"),
        (RelayGone(why="closed"), "RelayGone: closed"),
        (RelaySaid(closed=True), "relay says closed"),
        (RelaySaid(closed=False), "relay says open"),
        (PauseAsked(pause=Pause(reason="silence")), "pause asked: silence"),
        (EndAsked(end=End(reason="duration")), "end asked: duration"),
        (LedgerTrouble(kind="disk_low", text="1 MB"), "ledger disk_low: 1 MB"),
        (Tick(behind_ns=3), "tick"),
        (HostSaid(message=Done(call=4, at_ns=1)), "device did call 4"),
        (HostSaid(message=CallFailed(call=4, code="lost", text="x")), "device call 4 failed: lost x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_words_of_an_event(event: Event, words: str):
    assert event_words(event) == words


def test_what_was_assumed_and_what_is_faulty_stand_out():
    told = Delivery(
        token=7, start_ns=0, end_ns=2_000_000, amplitude=1.0, n_pulses=3, ended=True, confirmed=False
    )
    said = event_words(HostSaid(message=Delivered(delivery=told)))
    assert said == "delivered by token 7: 1 for 2 ms, 3 pulses, ended, ASSUMED"
    for end_ns in (2**62 + 1, -(10**400)):
        odd = msgspec.structs.replace(told, end_ns=end_ns, n_pulses=0, ended=False, confirmed=True)
        said = event_words(HostSaid(message=Delivered(delivery=odd)))
        assert said == "delivered by token 7: 1 for a time that cannot be"
    status = DeviceStatus(
        state="fault", at_ns=1, amplitude=0.5, fault="over temperature", impedance_kohm=None
    )
    assert event_words(HostSaid(message=Status(call=1, status=status))) == (
        "device is fault, 0.5 out, fault over temperature"
    )


def test_every_kind_that_is_offered_can_be_found(path: Path, tmp_path: Path):
    world = World(rules_of())
    world.take(BadFrame(source="c", text=""))
    other = write(tmp_path, world)
    assert [kind for kind in KINDS if not texts(path, kind=kind) and not texts(other, kind=kind)] == []
    assert msgspec.json.decode(next(shown(path, Wanted(kind="act"))).raw or b"")["event"][0] == "act"
