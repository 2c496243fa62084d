"""Continuous theta bursts: a segment of 2 s, 40 s in all, at 80 % of today's active and 70 % of its resting threshold."""

from __future__ import annotations

import datetime
import math
import random

import msgspec
import pytest

from drivers.stimulation import Output, Train, duration_ns, n_pulses
from safety.exposures import NOTHING, plus
from safety.limits import Limits, load
from safety.modalities import (
    Exposure,
    Segments,
    WrongTrain,
    check,
    check_facts,
    exposure,
    goes_on,
    interval_after_ns,
    rows,
    segment,
)
from safety.modalities.ctbs import JOINED_NS
from safety.oracle import objections
from safety.oracle_numbers import Circumstances
from safety.oracle_tbs import joins
from tests.safety.examples.ctbs import segment as bursts
from tests.safety.examples.example import TODAY
from tests.safety.modality_limits import over_session, without_layers
from tests.safety.random_trains import random_limits, random_train
from tests.safety.strategies import FACTS, caps_of, document, limits_of, pulses, quantity_of, row, to_toml

CAPS = caps_of("ctbs")
STEPLESS = msgspec.structs.replace(
    CAPS, envelopes={name: msgspec.structs.replace(e, step=0.0) for name, e in CAPS.envelopes.items()}
)
S = 1_000_000_000


def refused(train: Train, limits: Limits | None = None) -> list[tuple[str, str, str]]:
    """What the first hand finds; the second finds something where it does, and nothing where it does not."""
    given = limits or limits_of("ctbs")
    found = check(train, given, STEPLESS, FACTS)
    other = objections(train, Circumstances(limits=given, capabilities=STEPLESS, today=TODAY, simulated=True))
    assert bool(found) == bool(other), (found, other)
    return [(r.code, r.quantity, r.set_by) for r in found]


def with_thresholds(active: float, resting: float, on: str = TODAY, resting_on: str = TODAY) -> Limits:
    doc = document("ctbs")
    doc["inputs"] |= {
        "active_threshold_pct_mso": active,
        "active_threshold_measured_on": datetime.date.fromisoformat(on),
        "motor_threshold_pct_mso": resting,
        "motor_threshold_measured_on": datetime.date.fromisoformat(resting_on),
    }
    return load(to_toml(doc))


def had(out: int, due_ns: int = 0, **bent: object) -> Segments:
    one = segment(None, bursts(**bent), due_ns - 2 * S)  # type: ignore[arg-type]
    assert one is not None
    assert one.due_ns == due_ns
    return msgspec.structs.replace(one, bursts=out)


# A segment by itself


def test_a_number_of_bursts_that_is_none_has_no_time():
    for bent in (1000.5, math.inf, math.nan, True):
        found = refused(bursts(n_bursts=bent))
        assert {quantity for _, quantity, _ in found} == {"n_bursts"}
    assert {"segment_s", "train_s"} <= {quantity for _, quantity, _ in refused(bursts(n_bursts=1000))}


def test_a_segment_that_is_none_goes_on_with_nothing():
    one = had(10)
    assert goes_on(one, bursts(), one.due_ns, limits_of("ctbs")) == ()
    pulsed = msgspec.structs.replace(pulses(), modality="ctbs", outputs=one.train.outputs)
    assert goes_on(one, pulsed, one.due_ns, limits_of("ctbs")) is None
    for bent in (10.0, True, math.nan):
        assert goes_on(one, bursts(n_bursts=bent), one.due_ns, limits_of("ctbs")) is None


@pytest.mark.parametrize("bursts_hz", [0.0, -5.0, math.nan, math.inf])
def test_a_segment_without_a_rate_was_never_permitted(bursts_hz: float):
    with pytest.raises(WrongTrain, match="ctbs with a rate that is none"):
        segment(None, bursts(bursts_hz=bursts_hz), 0)


@pytest.mark.parametrize(("early_ns", "bursts_so_far"), [(0, 10), (1, 20)])
def test_after_half_the_interval_a_train_is_another(early_ns: int, bursts_so_far: int):
    one = had(10)
    later = segment(one, bursts(), one.due_ns + JOINED_NS - early_ns)
    assert later is not None and later.bursts == bursts_so_far
    assert (later.began_ns == one.began_ns) is bool(early_ns)


def test_a_segment_of_two_seconds_passes():
    train = bursts()
    assert refused(train) == []
    assert (n_pulses(train), duration_ns(train)) == (30, 2 * S)
    assert exposure(train, 2 * S, 32.0) == Exposure(on_time_s=2.0, charge_c=0.0, n_pulses=30)


def test_forty_seconds_in_one_request_are_no_segment():
    found = check(bursts(n_bursts=200), without_layers("ctbs"), STEPLESS, FACTS)
    assert [(r.code, r.quantity, r.value, r.limit, r.set_by) for r in found if r.quantity == "segment_s"] == [
        ("ILK-108", "segment_s", 40.0, 2.0, "absolute"),
        ("ILK-108", "segment_s", 40.0, 2.0, "protocol"),
    ]
    assert {r.quantity for r in found} == {"segment_s", "n_bursts"}


@pytest.mark.parametrize(
    ("n_bursts", "bursts_hz", "good"),
    [
        (10, 5.0, True),
        (10, math.nextafter(5.0, 0.0), False),
        (2, 1.0, True),
        (3, 1.0, False),
        (8, 4.0, True),
        (9, 4.0, False),
    ],
)
def test_two_seconds_are_the_longest_segment_whatever_the_rate(n_bursts: int, bursts_hz: float, good: bool):
    found = refused(bursts(n_bursts=n_bursts, bursts_hz=bursts_hz), without_layers("ctbs"))
    assert {(code, quantity) for code, quantity, _ in found} == (
        set() if good else {("ILK-108", "segment_s")}
    )


@pytest.mark.parametrize("bursts_hz", [0.0, -5.0, math.nan, math.inf, None, True, "5"])
def test_a_rate_that_is_none_is_refused_before_it_divides(bursts_hz: float):
    assert {quantity for _, quantity, _ in refused(bursts(bursts_hz=bursts_hz))} == {"bursts_hz"}
    assert goes_on(had(10), bursts(bursts_hz=bursts_hz), 0, limits_of("ctbs")) is None


@pytest.mark.parametrize("n_bursts", [None, True, "10", 10.0, math.nan])
def test_a_number_of_bursts_that_is_none_is_refused_by_name(n_bursts: int):
    found = refused(bursts(n_bursts=n_bursts))
    assert [(code, quantity) for code, quantity, _ in found] == [("ILK-103", "n_bursts")]
    assert goes_on(had(10), bursts(n_bursts=n_bursts), 0, limits_of("ctbs")) is None


@pytest.mark.parametrize("layer", ["site", "participant"])
def test_the_interval_is_the_longest_of_the_layers(layer: str):
    doc = document("ctbs")
    assert interval_after_ns(bursts(), load(to_toml(doc))) == 1800 * S
    doc[f"{layer}_limits"]["interval_s"] = row(quantity_of("ctbs", "interval_s"), {"min": 1800.1})
    assert interval_after_ns(bursts(), load(to_toml(doc))) == 18_001 * S // 10
    doc[f"{layer}_limits"]["interval_s"] = row(quantity_of("ctbs", "interval_s"), {"min": 1800.0000000001})
    assert interval_after_ns(bursts(), load(to_toml(doc))) == 1800 * S + 1  # a part of a nanosecond is one


# Intensity


def test_the_lesser_of_both_thresholds_binds():
    """80 % of 40 are 32; 70 % of 45 are 31.5, of 46 are 32.2."""
    for resting, most, name in ((46.0, 32.0, "pct_amt"), (45.0, 31.5, "pct_rmt")):
        limits = with_thresholds(40.0, resting)
        assert refused(bursts(most), limits) == []
        over = refused(bursts(math.nextafter(most, 99.0)), limits)
        assert over == [("ILK-101", name, "absolute"), ("ILK-101", name, "protocol")]
        assert {r.quantity: r.high for r in rows(limits, CAPS)}["amplitude_pct_mso"] == most
    both = refused(bursts(60.0), with_thresholds(40.0, 45.0))
    assert {quantity for _, quantity, _ in both} == {"pct_amt", "pct_rmt"}


@pytest.mark.parametrize("on", [TODAY, "2026-05-31", "2026-06-02"])
@pytest.mark.parametrize("resting_on", [TODAY, "2026-05-31", "2026-06-02"])
def test_both_thresholds_are_of_today(on: str, resting_on: str):
    limits = with_thresholds(40.0, 50.0, on, resting_on)
    old = {name for name, day in (("active", on), ("motor", resting_on)) if day != TODAY}
    found = check_facts(limits, FACTS)
    assert {(r.code, r.quantity) for r in found} == {
        ("ILK-113", f"{name}_threshold_measured_on") for name in old
    }
    assert bool(refused(bursts(), limits)) == bool(old)


def test_an_active_threshold_above_the_resting_one_is_a_mistake():
    assert refused(bursts(20.0), with_thresholds(50.0, 50.0)) == []
    found = check_facts(with_thresholds(math.nextafter(50.0, 51.0), 50.0), FACTS)
    assert [(r.code, r.quantity, r.limit) for r in found] == [("ILK-113", "active_threshold_pct_mso", 50.0)]
    assert refused(bursts(20.0), with_thresholds(math.nextafter(50.0, 51.0), 50.0)) != []


@pytest.mark.parametrize("name", ["active_threshold_pct_mso", "motor_threshold_pct_mso"])
@pytest.mark.parametrize("value", [None, 0.0, -40.0, math.nan, math.inf, 14.9, 100.1])
def test_without_either_threshold_nothing_passes(name: str, value: float | None):
    limits = limits_of("ctbs")
    inputs = msgspec.structs.replace(limits.inputs, **{name: value})
    bare = msgspec.structs.replace(limits, inputs=inputs)
    assert [(r.code, r.quantity) for r in check_facts(bare, FACTS)] == [("ILK-105", name)]
    assert {r.quantity: r.high for r in rows(bare, CAPS)}["amplitude_pct_mso"] == 0.0


# The next segment


def test_a_segment_goes_on_within_a_period_and_all_together_are_one_train():
    limits = limits_of("ctbs")
    for start_ns, n_bursts, found in (
        (-1, 10, None),
        (0, 10, []),
        (S // 5, 10, []),
        (S // 5 + 1, 10, None),
        (0, 190, []),
        (
            0,
            191,
            [("ILK-108", "train_s", 40.2, 40.0, "absolute"), ("ILK-108", "train_s", 40.2, 40.0, "protocol")],
        ),
        (0, 10**9, ...),
    ):
        reasons = goes_on(had(n_bursts), bursts(), start_ns, limits)
        told = (
            None if reasons is None else [(r.code, r.quantity, r.value, r.limit, r.set_by) for r in reasons]
        )
        assert told == found or (found is ... and told), (start_ns, n_bursts)


@pytest.mark.parametrize(("over_ns", "good"), [(0, True), (1, False)])
def test_its_joints_stretch_a_train_by_a_twentieth_at_most(over_ns: int, good: bool):
    """From its first onset to the end of the segment that is asked for: 42 s, however many bursts there were."""
    one = msgspec.structs.replace(had(50), began_ns=-40 * S - over_ns)
    found = goes_on(one, bursts(), 0, limits_of("ctbs"))
    assert found is not None
    assert [(r.code, r.quantity, r.limit, r.set_by) for r in found] == (
        [] if good else [("ILK-108", "train_s", 42.0, "absolute"), ("ILK-108", "train_s", 42.0, "protocol")]
    )


def test_a_period_is_that_of_its_own_rate():
    slow = {"bursts_hz": 4.0, "n_bursts": 8}
    assert goes_on(had(8, **slow), bursts(**slow), S // 4, limits_of("ctbs")) == ()
    assert goes_on(had(8, **slow), bursts(**slow), S // 4 + 1, limits_of("ctbs")) is None


def test_what_has_gone_out_is_counted_from_onset_to_onset():
    one = segment(None, bursts(), 5 * S)
    assert one == Segments(train=bursts(), bursts=10, began_ns=5 * S, due_ns=7 * S, until_ns=7 * S + S // 5)
    two = segment(one, bursts(n_bursts=3), 7 * S + 100)
    due_ns = 7 * S + 100 + 3 * S // 5
    assert two == Segments(
        train=bursts(n_bursts=3), bursts=13, began_ns=5 * S, due_ns=due_ns, until_ns=due_ns + S // 5
    )
    later = segment(two, bursts(), two.due_ns + 1800 * S)
    assert later is not None
    assert (later.bursts, later.began_ns) == (10, two.due_ns + 1800 * S)
    third = bursts(bursts_hz=3.0, n_bursts=1)
    rounded = Segments(train=third, bursts=1, began_ns=0, due_ns=333_333_334, until_ns=666_666_667)
    assert segment(None, third, 0) == rounded  # never too soon, and never too late


@pytest.mark.parametrize(
    ("bent", "same"),
    [
        ({}, True),
        ({"n_bursts": 1}, True),
        ({"amplitude_pct_mso": 0.0}, True),
        ({"amplitude_pct_mso": math.nextafter(32.0, 0.0)}, True),
        ({"amplitude_pct_mso": math.nextafter(32.0, 33.0)}, False),
        ({"amplitude_pct_mso": math.nan}, False),
        ({"amplitude_pct_mso": None}, False),
        ({"bursts_hz": 4.9}, False),
        ({"rate_in_burst_hz": 49.0}, False),
        ({"pulses_per_burst": 2}, False),
        ({"outputs": (Output(name="other", share=1.0),)}, False),
        ({"outputs": ()}, False),
        ({"modality": "tbs"}, False),
    ],
)
def test_what_goes_on_is_the_same_by_both_hands(bent: dict[str, object], same: bool):
    after = bursts(**bent)  # type: ignore[arg-type]
    assert (goes_on(had(10), after, 0, limits_of("ctbs")) == ()) == same
    assert joins(bursts(), after) == same


def test_the_first_segment_goes_on_with_nothing():
    assert goes_on(None, bursts(), 0, limits_of("ctbs")) is None


def test_no_other_modality_has_segments():
    assert goes_on(had(10), bursts(modality="tbs"), 0, limits_of("tbs")) is None
    assert segment(had(10), bursts(modality="tbs"), 0) is None


# Dose and both hands


def test_a_train_of_six_hundred_pulses_is_twenty_segments():
    limits, spent = limits_of("ctbs"), NOTHING
    for _ in range(20):
        spent = plus(spent, exposure(bursts(), 2 * S, 32.0))
        assert over_session(limits, spent) == ()
    one_more = plus(spent, exposure(bursts(n_bursts=1), S // 5, 32.0))
    assert set(over_session(limits, one_more)) == {"n_pulses", "on_time_s"}


def test_whatever_the_first_hand_permits_the_second_does_near_every_limit():
    rng, permitted, objected = random.Random("ctbs"), 0, 0
    for index in range(1_500):
        if index % 150 == 0:
            limits = random_limits("ctbs", rng)
        train = random_train(limits, STEPLESS, rng)
        given = Circumstances(limits=limits, capabilities=STEPLESS, today=TODAY, simulated=True)
        found = objections(train, given)
        if not check(train, limits, STEPLESS, FACTS):
            permitted += 1
            assert found == (), (train, found)
        objected += bool(found)
    assert permitted > 15
    assert objected > 75
