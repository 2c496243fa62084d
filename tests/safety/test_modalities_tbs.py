"""Theta bursts: 2 s of them at 80 % of today's active threshold, 8 s of pause, 600 pulses a block."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable

import msgspec
import pytest

from drivers.stimulation import Output, Train, duration_ns, n_pulses
from safety.exposures import NOTHING, plus
from safety.limit_values import Inputs
from safety.limits import Limits, load
from safety.modalities import (
    Declared,
    Exposure,
    Facts,
    check,
    check_facts,
    exposure,
    interval_after_ns,
    rows,
)
from safety.modalities.magnetic import Threshold, active_threshold, resting_threshold
from safety.modalities.tbs_numbers import BURSTS, INTENSITY, PULSES_PER_BURST, RATE_IN_BURST
from tests.safety.examples.example import TODAY
from tests.safety.examples.tbs import bursts
from tests.safety.modality_limits import codes, over_session, without_layers
from tests.safety.strategies import FACTS, caps_of, document, limits_of, quantity_of, row, to_toml

CAPS = caps_of("tbs")
STEPLESS = msgspec.structs.replace(
    CAPS, envelopes={name: msgspec.structs.replace(e, step=0.0) for name, e in CAPS.envelopes.items()}
)


def test_a_number_of_bursts_that_is_none_has_no_time():
    for bent in (1000.5, math.inf, math.nan, True):
        assert {quantity for _, quantity, _ in refused(bursts(n_bursts=bent))} == {"n_bursts"}
    assert "train_s" in {quantity for _, quantity, _ in refused(bursts(n_bursts=1000))}


def test_a_coil_that_the_device_does_not_have():
    caps = msgspec.structs.replace(CAPS, outputs=("other",))
    found = [r for r in check(bursts(), limits_of("tbs"), caps, FACTS) if r.code == "ILK-107"]
    assert [r.set_by for r in found] == ["device"]
    half = msgspec.structs.replace(bursts(), outputs=(Output(name=bursts().outputs[0].name, share=0.5),))
    (found_,) = [r for r in check(half, limits_of("tbs"), CAPS, FACTS) if r.code == "ILK-107"]
    assert found_.limit == 1.0 and "expected 1" in found_.text


def refused(train: Train, limits: Limits | None = None) -> list[tuple[str, str, str]]:
    return [(r.code, r.quantity, r.set_by) for r in check(train, limits or limits_of("tbs"), STEPLESS, FACTS)]


def with_threshold(value: float, on: str = TODAY) -> Limits:
    doc = document("tbs")
    doc["inputs"]["active_threshold_pct_mso"] = value
    doc["inputs"]["active_threshold_measured_on"] = datetime.date.fromisoformat(on)
    return load(to_toml(doc))


def test_two_seconds_of_the_intermittent_block_pass():
    train = bursts()
    assert refused(train) == []
    assert (n_pulses(train), duration_ns(train)) == (30, 2_000_000_000)
    assert exposure(train, duration_ns(train), 32.0) == Exposure(on_time_s=2.0, charge_c=0.0, n_pulses=30)


# Time


def test_bursts_without_a_pause_are_no_train_of_the_intermittent_protocol():
    """The continuous protocol: 200 bursts, 40 s."""
    found = check(bursts(n_bursts=200), without_layers("tbs"), STEPLESS, FACTS)
    too_long = [r for r in found if r.code == "ILK-108"]
    assert [(r.value, r.limit, r.set_by) for r in too_long] == [
        (40.0, 2.0, "absolute"),
        (40.0, 2.0, "protocol"),
    ]
    assert "the continuous 40 s are a modality of their own, ctbs" in too_long[0].text
    assert {r.quantity for r in found} == {"train_s", "n_bursts"}


def test_two_seconds_are_the_longest_whatever_the_rate():
    wide = without_layers("tbs")
    for n_bursts, bursts_hz, good in (
        (10, 5.0, True),
        (10, math.nextafter(5.0, 0.0), False),
        (2, 1.0, True),
        (3, 1.0, False),
        (8, 4.0, True),
        (9, 4.0, False),
    ):
        found = refused(bursts(n_bursts=n_bursts, bursts_hz=bursts_hz), wide)
        assert [code for code, _, _ in found] == ([] if good else ["ILK-108", "ILK-108"]), (
            n_bursts,
            bursts_hz,
        )


@pytest.mark.parametrize("bursts_hz", [0.0, -5.0, math.nan, None, True])
def test_a_rate_that_is_none_is_refused_before_it_divides(bursts_hz: float):
    found = refused(bursts(bursts_hz=bursts_hz))
    assert {quantity for _, quantity, _ in found} == {"bursts_hz"}


@pytest.mark.parametrize("n_bursts", [None, True, "10", 10.0, math.nan])
def test_a_number_of_bursts_that_is_none_is_refused_by_name(n_bursts: int):
    found = refused(bursts(n_bursts=n_bursts))
    assert [(code, quantity) for code, quantity, _ in found] == [("ILK-103", "n_bursts")]


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (Output(name="coil", share=0.5),),
        (Output(name="coil", share=-1.0),),
        (Output(name="other", share=1.0),),
        (Output(name="coil", share=1.0), Output(name="coil", share=1.0)),
    ],
)
def test_the_whole_amplitude_goes_to_one_known_coil(outputs: tuple[Output, ...]):
    assert {code for code, _, _ in refused(bursts(outputs=outputs))} == {"ILK-107"}


def test_bursts_fit_their_period_within_the_absolute_bounds():
    """No check of its own is needed: the longest burst is over before the shortest period is."""
    assert PULSES_PER_BURST.high / RATE_IN_BURST.low < 1 / BURSTS.high


@pytest.mark.parametrize("layer", ["site", "participant"])
def test_the_pause_is_the_longest_of_the_layers(layer: str):
    doc = document("tbs")
    assert interval_after_ns(bursts(), load(to_toml(doc))) == 8_000_000_000
    doc[f"{layer}_limits"]["interval_s"] = row(quantity_of("tbs", "interval_s"), {"min": 8.1})
    assert interval_after_ns(bursts(), load(to_toml(doc))) == 8_100_000_000


# Intensity


@pytest.mark.parametrize(
    ("made", "name", "words"),
    [
        (active_threshold, "active_threshold", "the active motor threshold"),
        (resting_threshold, "motor_threshold", "the motor threshold"),
    ],
)
def test_a_threshold_is_read_from_its_own_keys(made: Callable[[Declared], Threshold], name: str, words: str):
    of = made(INTENSITY)
    assert (of.declared.name, of.declared.dated) == (f"{name}_pct_mso", f"{name}_measured_on")
    assert (of.declared.unit, of.declared.low, of.declared.high) == ("%MSO", 15.0, 100.0)
    assert (of.words, of.intensity) == (words, INTENSITY)
    inputs = Inputs(consent_on=TODAY, **{f"{name}_pct_mso": 33.0, f"{name}_measured_on": "2026-05-04"})
    assert (of.value_of(inputs), of.measured_on(inputs)) == (33.0, "2026-05-04")
    bare = Inputs(consent_on=TODAY)
    assert (of.value_of(bare), of.measured_on(bare)) == (None, None)


def test_eighty_per_cent_of_the_active_threshold_and_no_more():
    assert refused(bursts(32.0)) == []  # 80 % of 40
    over = refused(bursts(math.nextafter(32.0, 33.0)))
    assert over == [("ILK-101", "pct_amt", "absolute"), ("ILK-101", "pct_amt", "protocol")]
    effective = {r.quantity: r for r in rows(limits_of("tbs"), CAPS)}
    assert (effective["amplitude_pct_mso"].high, effective["amplitude_pct_mso"].set_by) == (32.0, "tissue")
    assert "80 % of a motor threshold of 40.0 %MSO" in effective["amplitude_pct_mso"].source


@pytest.mark.parametrize(
    ("measured_on", "code"), [(TODAY, ""), ("2026-05-31", "ILK-113"), ("2026-06-02", "ILK-113")]
)
def test_the_active_threshold_is_one_of_today(measured_on: str, code: str):
    found = check_facts(with_threshold(40.0, measured_on), FACTS)
    assert [r.code for r in found] == ([code] if code else [])
    assert {r.quantity for r in found} <= {"active_threshold_measured_on"}
    assert all("the active motor threshold is of" in r.text for r in found)


def test_without_a_threshold_nothing_passes_and_the_resting_one_is_no_substitute():
    limits = limits_of("tbs")
    for inputs in (
        msgspec.structs.replace(limits.inputs, active_threshold_pct_mso=None, motor_threshold_pct_mso=50.0),
        msgspec.structs.replace(limits.inputs, active_threshold_pct_mso=0.0),
        msgspec.structs.replace(limits.inputs, active_threshold_pct_mso=math.nan),
    ):
        bare = msgspec.structs.replace(limits, inputs=inputs)
        assert codes(check_facts(bare, FACTS)) == ["ILK-105"]
        assert {r.quantity: r.high for r in rows(bare, CAPS)}["amplitude_pct_mso"] == 0.0
    undated = msgspec.structs.replace(limits.inputs, active_threshold_measured_on=None)
    found = check_facts(
        msgspec.structs.replace(limits, inputs=undated), Facts(today=TODAY, impedance_kohm=None)
    )
    assert [(r.code, r.quantity) for r in found] == [("ILK-105", "active_threshold_measured_on")]
    assert "the date of the active motor threshold" in found[0].text


def test_a_threshold_measured_outside_the_file_s_validity_is_refused_with_its_key():
    with pytest.raises(Exception, match=r"inputs\.active_threshold_measured_on"):
        with_threshold(40.0, "2025-12-31")


# Dose


def test_a_block_of_six_hundred_pulses_is_twenty_trains():
    limits, spent = limits_of("tbs"), NOTHING
    for _ in range(20):
        spent = plus(spent, exposure(bursts(), 2_000_000_000, 32.0))
        assert over_session(limits, spent) == ()
    one_more = plus(spent, exposure(bursts(n_bursts=1), 200_000_000, 32.0))
    assert set(over_session(limits, one_more)) == {"n_pulses", "on_time_s"}


def test_a_span_holds_whole_bursts():
    for span_ns, n in ((0, 3), (199_999_999, 3), (200_000_000, 6), (10**12, 30), (-1, 30)):
        assert exposure(bursts(), span_ns, 32.0).n_pulses == n, span_ns
    assert exposure(bursts(bursts_hz=0.0), 5 * 10**9, 32.0) == Exposure(
        on_time_s=5.0, charge_c=0.0, n_pulses=30
    )
