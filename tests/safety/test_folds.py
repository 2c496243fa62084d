"""What was folded comes back whole: counts by their own names, times as they grew, evidence where it is another."""

from __future__ import annotations

import msgspec
import pytest

from safety.entries import Folded, fold_of, folded
from safety.state import Watch
from tests.safety.world import World, rules_of

EVENTS = {"Tick": "ticks", "Beat": "beats", "HostSaid": "host", "RelaySaid": "relay", "Durable": "durable"}
EVIDENCE = World(rules_of()).evidence()
OTHER = msgspec.structs.replace(EVIDENCE, n_samples=EVIDENCE.n_samples + 1)
NUMBERS = [name for name in Watch.__struct_fields__ if isinstance(getattr(Watch(), name), int)]
BEFORE = msgspec.structs.replace(
    Watch(), evidence=EVIDENCE, **{name: 10 + at for at, name in enumerate(NUMBERS)}
)
AFTER = msgspec.structs.replace(BEFORE, **{name: 1000 - 7 * at for at, name in enumerate(NUMBERS)})


@pytest.mark.parametrize(("event", "field"), EVENTS.items())
def test_each_event_is_counted_under_its_own_name(event: str, field: str):
    assert folded({event: 3}) == msgspec.structs.replace(Folded(), **{field: 3})
    assert folded({}) == folded({"Another": 3}) == Folded()


def test_no_events_are_no_fold():
    assert fold_of({}, BEFORE, AFTER) is None


@pytest.mark.parametrize("evidence", (EVIDENCE, OTHER, None))
def test_a_watch_comes_back_as_it_was(evidence: object):
    after = msgspec.structs.replace(AFTER, evidence=evidence)
    fold = fold_of({"Tick": 2}, BEFORE, after)
    assert fold is not None and fold.counts == Folded(ticks=2)
    expected = after if evidence is not None else msgspec.structs.replace(after, evidence=EVIDENCE)
    assert fold.after(BEFORE) == expected


def test_a_fold_is_written_small():
    fold = fold_of({"Tick": 1}, BEFORE, AFTER)
    assert fold is not None and fold.watch.evidence is None  # the same object: nothing new was seen
    for name in NUMBERS:
        grown = getattr(AFTER, name) - getattr(BEFORE, name)
        assert getattr(fold.watch, name) == (grown if name.endswith("_ns") else getattr(AFTER, name)), name
    again = fold_of({"Tick": 1}, BEFORE, msgspec.structs.replace(AFTER, evidence=OTHER))
    assert again is not None and again.watch.evidence == OTHER
