"""Random noise: half of the amplitude is its peak, and its band has its ends in their order."""

from __future__ import annotations

import math

import pytest

from safety.modalities import check, exposure
from tests.safety.examples.trns import noise
from tests.safety.modality_limits import codes, without_layers
from tests.safety.strategies import FACTS, caps_of, limits_of

CAPS = caps_of("trns")


@pytest.mark.parametrize(
    ("low_hz", "high_hz", "good"),
    [
        (100.0, 640.0, True),
        (199.9, 200.0, True),
        (200.0, 200.0, False),
        (200.0, 199.9, False),
        (200.0, 150.0, False),
    ],
)
def test_the_ends_of_the_band_are_in_order(low_hz: float, high_hz: float, good: bool):
    found = check(noise(low_hz=low_hz, high_hz=high_hz), limits_of("trns"), CAPS, FACTS)
    assert codes(found) == ([] if good else ["ILK-130"])
    for reason in found:
        assert (reason.quantity, reason.value, reason.limit, reason.set_by) == (
            "high_hz",
            high_hz,
            low_hz,
            "absolute",
        )
        assert f"{high_hz} Hz, expected more than the low_hz of {low_hz} Hz" in reason.text


@pytest.mark.parametrize("end", ["low_hz", "high_hz"])
def test_an_end_that_is_no_number_is_refused_once(end: str):
    found = check(noise(**{end: math.nan}), limits_of("trns"), CAPS, FACTS)  # type: ignore[arg-type]
    assert [(r.code, r.quantity) for r in found] == [("ILK-103", end)]


def test_charge_counts_by_the_peak():
    assert exposure(noise(), 2 * 10**9, 2.0).charge_c == 0.002


def test_the_whole_band_is_within_the_absolute_bounds():
    wide = without_layers("trns")
    assert codes(check(noise(low_hz=0.1, high_hz=640.0), wide, CAPS, FACTS)) == []
