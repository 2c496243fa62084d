"""A fold in an entry: written small, and nothing of the Watch is lost by it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.entries import Fold, Folded, fold_of
from safety.messages import Evidence
from safety.state import Watch

TICK = {"Tick": 1}
TIMES = st.integers(0, 2**62)
COUNTS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVIDENCE = st.builds(
    Evidence, stream_uid=st.text(max_size=8), n_samples=COUNTS, newest_ns=COUNTS, uncertainty_ns=COUNTS, crc=COUNTS,
    clean_fraction=NUMBERS,
)  # fmt: skip
WATCHES = st.builds(
    Watch,
    **{name: TIMES for name in Watch.__struct_fields__ if name.endswith("_ns")},
    **dict.fromkeys(("beat_seq", "progress", "anchor_samples", "previous_samples"), COUNTS),
    evidence=EVIDENCE, host_state=st.text(max_size=8), host_amplitude=NUMBERS, impedance_kohm=st.none() | NUMBERS,
)  # fmt: skip


def written_and_read(fold: Fold | None) -> Fold:
    return msgspec.json.decode(msgspec.json.encode(fold), type=Fold)


def evidence(**changed: object) -> Evidence:
    fields = {
        "stream_uid": "a",
        "n_samples": 1,
        "newest_ns": 2,
        "uncertainty_ns": 3,
        "crc": 4,
        "clean_fraction": 0.0,
    }
    return Evidence(**(fields | changed))  # type: ignore[arg-type]


@given(before=WATCHES | st.just(Watch()), after=WATCHES)
def test_the_watch_comes_back_whole(before: Watch, after: Watch):
    again = written_and_read(fold_of(TICK, before, after)).after(before)
    assert again == after
    assert msgspec.json.encode(again) == msgspec.json.encode(after)  # as the digest of a state has it


@given(before=WATCHES, tick_ns=TIMES)
def test_evidence_that_nothing_was_heard_of_stays(before: Watch, tick_ns: int):
    after = msgspec.structs.replace(before, tick_ns=tick_ns)
    fold = written_and_read(fold_of(TICK, before, after))
    assert fold.watch.evidence is None
    assert fold.after(before) == after


def test_evidence_that_only_looks_the_same_is_written():
    before, after = Watch(evidence=evidence()), Watch(evidence=evidence(clean_fraction=-0.0))
    again = written_and_read(fold_of({"Beat": 1}, before, after)).after(before)
    assert msgspec.json.encode(again.evidence) == msgspec.json.encode(after.evidence)


def test_before_any_evidence_there_is_none():
    fold = written_and_read(fold_of(TICK, Watch(), Watch(tick_ns=5)))
    assert fold.after(Watch()) == Watch(tick_ns=5)


def test_no_event_makes_no_fold():
    assert fold_of({}, Watch(), Watch(tick_ns=5)) is None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Tick", "ticks"),
        ("Beat", "beats"),
        ("HostSaid", "host"),
        ("RelaySaid", "relay"),
        ("Durable", "durable"),
    ],
)
def test_each_kind_is_counted_by_itself(name: str, field: str):
    fold = fold_of({name: 3}, Watch(), Watch())
    assert fold is not None and fold.counts == msgspec.structs.replace(Folded(), **{field: 3})


def test_a_time_is_written_by_how_much_it_grew():
    before = Watch(tick_ns=10**16, pet_ns=10**16, wall_offset_ns=1_796_041_049_296_528_447)
    after = msgspec.structs.replace(before, tick_ns=10**16 + 10_000_000)
    fold = fold_of(TICK, before, after)
    assert fold is not None and fold.watch == Watch(tick_ns=10_000_000)
    assert len(msgspec.json.encode(fold)) < 100
