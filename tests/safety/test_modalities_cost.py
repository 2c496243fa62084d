"""What a request costs the deciding thread, whatever numbers stand in it: STOP waits for no more than a few of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import cast

import msgspec
import pytest

from drivers.stimulation import Modality, Train
from safety.modalities import Facts, check
from safety.peers import CONTROLLER_BYTES
from tests.safety.strategies import MODALITIES, caps_of, limits_of, valid_train

FACTS = Facts(today="2026-06-01", impedance_kohm=5.0)
NASTY = (1e-300, 5e-324, 1.7976931348623157e308, 1.23456789012345e-9, 123456789.12345679, 1 / 3, -1.0)
SHORTEST_REQUEST = 200  # bytes; one in a frame is longer
STOP_MS = 20.0


def bent(value: object, nasty: float) -> object:
    """Every float of a train at once."""
    if isinstance(value, msgspec.Struct):
        fields = [each.name for each in msgspec.structs.fields(value)]
        return msgspec.structs.replace(value, **{name: bent(getattr(value, name), nasty) for name in fields})
    if isinstance(value, tuple):
        return tuple(bent(each, nasty) for each in value)
    return nasty if isinstance(value, float) else value


def one_bent(value: object, nasty: float) -> Iterator[object]:
    """Each float of a train by itself."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            for each in one_bent(getattr(value, field.name), nasty):
                yield msgspec.structs.replace(value, **{field.name: each})
    elif isinstance(value, tuple):
        for at, part in enumerate(value):
            yield from ((*value[:at], each, *value[at + 1 :]) for each in one_bent(part, nasty))
    elif isinstance(value, float):
        yield nasty


def cost_ms(modality: Modality, train: Train) -> float:
    """Of the processor, the least of three."""
    spent = []
    for _ in range(3):
        begun_s = time.process_time()
        check(train, limits_of(modality), caps_of(modality), FACTS)
        spent.append((time.process_time() - begun_s) * 1e3)
    return min(spent)


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_one_turn_reads_is_judged_in_less_than_the_time_of_stop(modality: Modality):
    train = valid_train(modality)
    trains = itertools.chain(
        (bent(train, nasty) for nasty in NASTY), *(one_bent(train, nasty) for nasty in NASTY)
    )
    worst = max(cost_ms(modality, cast(Train, each)) for each in trains)
    assert worst * (CONTROLLER_BYTES // SHORTEST_REQUEST) < STOP_MS, f"{worst:.2f} ms"
