"""Sums of what was spent: each quantity by itself, and none for another."""

from __future__ import annotations

import math

import msgspec
import pytest

from safety.exposures import NOTHING, covers, greatest, minus, per_pulse, plus, spent_of
from safety.modalities import Exposure

NAMES = Exposure.__struct_fields__
LESS = Exposure(
    on_time_s=1.0, charge_c=2.0, n_pulses=3, cem43_brain_min=4.0, cem43_bone_min=5.0, cem43_skin_min=6.0
)
MORE = Exposure(
    on_time_s=11.0, charge_c=22.0, n_pulses=33, cem43_brain_min=44.0, cem43_bone_min=55.0, cem43_skin_min=66.0
)


def one(name: str, value: float) -> Exposure:
    return msgspec.structs.replace(NOTHING, **{name: int(value) if name == "n_pulses" else value})


def numbers(spent: Exposure) -> list[float]:
    return [getattr(spent, name) for name in NAMES]


def test_a_sum_and_what_is_left_of_it():
    assert numbers(plus(LESS, MORE)) == [12.0, 24.0, 36, 48.0, 60.0, 72.0]
    assert numbers(minus(MORE, LESS)) == [10.0, 20.0, 30, 40.0, 50.0, 60.0]
    assert minus(LESS, MORE) == minus(LESS, LESS) == NOTHING
    assert greatest(LESS, MORE) == greatest(MORE, LESS) == MORE


@pytest.mark.parametrize("name", NAMES)
def test_each_quantity_is_its_own(name: str):
    some = one(name, 2.0)
    assert plus(some, some) == one(name, 4.0)
    assert minus(LESS, some) == msgspec.structs.replace(LESS, **{name: max(0, getattr(LESS, name) - 2)})
    assert greatest(some, NOTHING) == greatest(NOTHING, some) == some
    assert covers(MORE, LESS) and covers(LESS, LESS)
    assert not covers(LESS, plus(LESS, one(name, 1.0)))
    assert not covers(minus(MORE, one(name, 1000.0)), LESS)


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_is_of_one_quantity_and_anything_at_all_is_a_session(name: str):
    assert spent_of(MORE, name) == float(getattr(MORE, name))  # type: ignore[arg-type]
    least = 1.0 if name == "n_pulses" else math.ulp(0.0)
    for counted in ("n_sessions", "n_days"):
        assert spent_of(one(name, least), counted) == 1.0  # type: ignore[arg-type]
        assert spent_of(NOTHING, counted) == 0.0  # type: ignore[arg-type]


def test_one_pulse_is_its_part_and_what_has_no_pulses_is_whole():
    assert numbers(per_pulse(msgspec.structs.replace(MORE, n_pulses=11))) == [1.0, 2.0, 1, 4.0, 5.0, 6.0]
    assert per_pulse(msgspec.structs.replace(MORE, n_pulses=1)) == msgspec.structs.replace(MORE, n_pulses=1)
    without = msgspec.structs.replace(MORE, n_pulses=0)
    assert per_pulse(without) == without
