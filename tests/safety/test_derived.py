"""What a permitted train comes to: every computed number is the one that the rules refuse just beyond, and nothing else."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from drivers.stimulation import Modality
from safety.derived import nearnesses, values_of
from safety.limits import Limits, load
from safety.modalities import Declared, Facts, check, quantities_of
from tests.safety.modality_limits import without_layers
from tests.safety.random_trains import random_limits, random_train
from tests.safety.strategies import MODALITIES, TODAY, caps_of, document, to_toml, valid_train

FACTS = Facts(today=TODAY, impedance_kohm=5.0)
ELSEWHERE = {"slew_ma_per_s", "impedance_kohm", "interval_s"}  # of the moment, or between two trains
TINY = 1e-9


def limits_of(modality: Modality) -> Limits:
    return load(to_toml(document(modality)))


def bounded(limits: Limits, declared: Declared, end: float) -> Limits:
    """The limits with one side of a quantity's protocol row elsewhere."""
    side = "low" if declared.sides == "min" else "high"
    rows = tuple(
        msgspec.structs.replace(row, **{side: end})
        if (row.quantity, row.layer) == (declared.name, "protocol")
        else row
        for row in limits.rows
    )
    return msgspec.structs.replace(limits, rows=rows)


@pytest.mark.parametrize("modality", MODALITIES)
def test_each_quantity_of_a_train_has_its_value(modality: Modality):
    names = {each.name for each in quantities_of(modality)}
    found = values_of(valid_train(modality), limits_of(modality), caps_of(modality))
    assert names - set(found) == names & ELSEWHERE
    assert all(math.isfinite(value) for value in found.values())


COMPUTED = [
    (m, d.name) for m in MODALITIES for d in quantities_of(m) if not d.asked and d.name not in ELSEWHERE
]


@pytest.mark.parametrize(("modality", "name"), COMPUTED)
def test_a_computed_value_is_where_the_rules_begin_to_refuse(modality: Modality, name: str):
    limits, caps, train = without_layers(modality), caps_of(modality), valid_train(modality)
    assert check(train, limits, caps, FACTS) == ()
    declared = next(each for each in quantities_of(modality) if each.name == name)
    value = values_of(train, limits, caps)[name]
    more = TINY * max(abs(value), 1.0) * (-1 if declared.sides == "min" else 1)
    assert check(train, bounded(limits, declared, value + more), caps, FACTS) == ()
    refused = check(train, bounded(limits, declared, value - more), caps, FACTS)
    assert {(reason.quantity, reason.set_by) for reason in refused} == {(name, "protocol")}


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_permitted_has_room_or_lies_at_its_limit(modality: Modality):
    rng, caps = random.Random(7), caps_of(modality)
    permitted = 0
    for _ in range(120):
        limits = random_limits(modality, rng)
        train = random_train(limits, caps, rng)
        if check(train, limits, caps, FACTS):
            continue
        permitted += 1
        found = nearnesses(train, limits, caps)
        assert [each.room for each in found] == sorted(each.room for each in found)
        assert found[0].room >= -TINY
        assert {each.row.quantity for each in found} == set(values_of(train, limits, caps))
    assert permitted >= 5


def test_room_is_a_part_of_the_limit_and_of_the_side_that_binds():
    found = {
        each.row.quantity: each
        for each in nearnesses(valid_train("tacs"), limits_of("tacs"), caps_of("tacs"))
    }
    amplitude = found["amplitude_ma_pp"]
    assert (amplitude.value, amplitude.limit, amplitude.room) == (1.0, 2.0, 0.5)
    assert found["duration_ms"].room == 0.0
    assert {name for name, each in found.items() if each.more} == {
        "amplitude_ma_pp",
        "duration_ms",
        "density_ma_cm2",
    }
    for modality in MODALITIES:
        for declared in quantities_of(modality):
            near = next(
                (
                    each
                    for each in nearnesses(valid_train(modality), limits_of(modality), caps_of(modality))
                    if each.row.quantity == declared.name
                ),
                None,
            )
            if near is not None:
                assert near.limit == (near.row.low if declared.sides == "min" else near.row.high)
