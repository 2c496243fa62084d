"""Magnetic trains: the tables cell by cell, the motor threshold, the interval, the pulses that count."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import pytest

from drivers.stimulation import Output, Train
from safety.limits import Limits, load
from safety.modalities import (
    Exposure,
    Facts,
    amplitude_ceiling,
    check,
    check_facts,
    check_slew,
    exposure,
    interval_after_ns,
    rows,
)
from safety.modalities.rtms import longest
from tests.safety.strategies import (
    FACTS,
    caps_of,
    document,
    hold,
    limits_of,
    pulses,
    quantity_of,
    row,
    to_toml,
)

CAPS = caps_of("rtms")
# Seconds and pulses of a train that is given repeatedly, as the specification has them, by % rMT and Hz.
TABLE = {
    100: {1: (270, 270), 5: (10, 50), 10: (5, 50), 20: (1.5, 30), 25: (1.0, 25)},
    110: {1: (270, 270), 5: (10, 50), 10: (5, 50), 20: (1.2, 24), 25: (0.6, 15)},
    120: {1: (180, 180), 5: (10, 50), 10: (3.2, 32), 20: (0.8, 16), 25: (0.3, 7)},
    130: {1: (50, 50), 5: (10, 50), 10: (2.2, 22), 20: (0.4, 8), 25: (0.2, 5)},
}


def widest(**inputs: object) -> Limits:
    """A file at the absolute bounds in everything, so that the tables alone refuse. Threshold 50 %MSO."""
    doc = document("rtms")
    for name, ends in (
        ("amplitude_pct_mso", {"max": 100.0}),
        ("rate_hz", {"min": 0.1, "max": 25.0}),
        ("n_pulses", {"max": 50}),
        ("pct_rmt", {"max": 130.0}),
        ("train_s", {"max": 10.0}),
        ("interval_s", {"min": 5.0}),
    ):
        doc["protocol_limits"][name] = row(quantity_of("rtms", name), ends)
    doc["inputs"] |= inputs
    return load(to_toml(doc))


# The device of the tests without its steps.
FINE = msgspec.structs.replace(
    CAPS, envelopes={name: msgspec.structs.replace(e, step=0) for name, e in CAPS.envelopes.items()}
)


def test_a_number_of_pulses_that_is_none_has_no_time():
    for bent in (1000.5, math.inf, math.nan, True):
        assert {quantity for _, quantity, _ in refused(pulses(45.0, 10.0, bent))} == {"n_pulses"}  # type: ignore[arg-type]
    assert "train_s" in {quantity for _, quantity, _ in refused(pulses(45.0, 10.0, 1000))}


def refused(train: Train, limits: Limits | None = None, facts: Facts = FACTS) -> list[tuple[str, str, str]]:
    found = check(train, limits if limits is not None else widest(), FINE, facts)
    return [(r.code, r.quantity, r.set_by) for r in found]


# The tables


@pytest.mark.parametrize("hz", [1, 5, 10, 20, 25])
@pytest.mark.parametrize("pct", [90, 100, 110, 120, 130])
def test_every_cell_of_the_tables(pct: int, hz: int):
    seconds, most = TABLE[max(pct, 100)][hz]
    assert longest(Fraction(pct), Fraction(hz)) == (Fraction(str(seconds)), most)
    n = min(most, int(Fraction(str(seconds)) * hz), 10 * hz)  # 10 s at most, by the lease
    amplitude = pct / 2
    assert refused(pulses(amplitude, float(hz), n)) == []
    over = refused(pulses(amplitude, float(hz), n + 1))
    assert over and all(code in ("ILK-101", "ILK-108") for code, _, _ in over)
    if hz >= 10:
        assert ("ILK-108", "n_pulses", "tissue") in over or ("ILK-108", "train_s", "tissue") in over


@pytest.mark.parametrize("hz", [1, 5, 10, 20, 25])
@pytest.mark.parametrize("pct", [100, 110, 120, 130])
def test_between_two_cells_the_next_higher_holds(pct: int, hz: int):
    beyond_hz = {1: 5, 5: 10, 10: 20, 20: 25}.get(hz)
    beyond_pct = {100: 110, 110: 120, 120: 130}.get(pct)
    just_over_hz, just_over_pct = Fraction(hz) + Fraction(1, 10**12), Fraction(pct) + Fraction(1, 10**12)
    if beyond_hz is not None:
        assert longest(Fraction(pct), just_over_hz) == longest(Fraction(pct), Fraction(beyond_hz))
    else:
        assert longest(Fraction(pct), just_over_hz) is None
    if beyond_pct is not None:
        assert longest(just_over_pct, Fraction(hz)) == longest(Fraction(beyond_pct), Fraction(hz))
    else:
        assert longest(just_over_pct, Fraction(hz)) is None


@pytest.mark.parametrize(
    ("pct", "hz"), [(0, 0), (100, 0), (100, -1), (-1, 10), (131, 10), (100, 26), (1000, 1)]
)
def test_beyond_the_tables_there_is_nothing(pct: int, hz: int):
    assert longest(Fraction(pct), Fraction(hz)) is None


def test_more_intensity_or_frequency_never_allows_more_pulses_in_a_row():
    for hz in (1, 5, 10, 20, 25):
        cells = [longest(Fraction(pct), Fraction(hz)) for pct in (90, 100, 110, 120, 130)]
        assert cells == sorted(cells, reverse=True)  # type: ignore[type-var]
    for pct in (90, 100, 110, 120, 130):
        seconds = [longest(Fraction(pct), Fraction(hz))[0] for hz in (1, 5, 10, 20, 25)]  # type: ignore[index]
        assert seconds == sorted(seconds, reverse=True)


def test_both_seconds_and_pulses_are_named():
    found = check(pulses(60.0, 20.0, 20), widest(), FINE, FACTS)  # 120 %: 0.8 s / 16 pulses
    assert [(r.code, r.quantity, r.value, r.limit, r.set_by) for r in found] == [
        ("ILK-108", "train_s", 1.0, 0.8, "tissue"),
        ("ILK-108", "n_pulses", 20.0, 16.0, "tissue"),
    ]
    assert "20 Hz and 120 %rMT" in found[0].text


def test_no_repeated_train_is_longer_than_the_longest_single_one():
    # Rossi 2009 table 4, and the quarter less of Chen 1997 (rounded to 0.1 s) where the train was not just tested.
    single = {
        90: ("1800", "10", "5", "2.05", "1.28"),
        100: ("1800", "10", "5", "2.05", "1.28"),
        110: ("1800", "10", "5", "1.6", "0.84"),
        120: ("360", "10", "4.2", "1.0", "0.4"),
        130: ("50", "10", "2.9", "0.55", "0.24"),
    }
    for pct, row_s in single.items():
        for hz, seconds in zip((1, 5, 10, 20, 25), row_s, strict=True):
            found = longest(Fraction(pct), Fraction(hz))
            assert found is not None and found[0] <= Fraction(seconds)
            assert Fraction(found[1], hz) <= found[0]
            if hz >= 20:
                assert found[0] <= Fraction(seconds) * Fraction(3, 4) + Fraction(1, 20)


def test_the_cleared_depression_train_is_beyond_what_repeats_without_a_longer_interval():
    assert ("ILK-108", "train_s", "tissue") in refused(pulses(60.0, 10.0, 40))
    assert refused(pulses(60.0, 10.0, 32)) == []


@pytest.mark.parametrize(("amplitude", "rate"), [(65.0, 25.5), (65.5, 10.0), (100.0, 100.0)])
def test_above_the_last_row_every_limit_says_so(amplitude: float, rate: float):
    found = refused(pulses(amplitude, rate, 1))
    assert ("ILK-108", "train_s", "tissue") in found
    assert "absolute" in {set_by for _, _, set_by in found}


# Intensity and threshold


def test_intensity_is_told_in_percent_of_the_threshold():
    limits = limits_of("rtms")  # protocol 120 %, threshold 50 %MSO
    assert check(pulses(60.0, 10.0, 30), limits, CAPS, FACTS) == ()
    (reason,) = check(pulses(61.0, 10.0, 20), limits, CAPS, FACTS)
    assert (reason.code, reason.quantity, reason.value, reason.limit) == ("ILK-101", "pct_rmt", 122.0, 120.0)
    lower = widest(motor_threshold_pct_mso=40.0)
    assert refused(pulses(52.0, 10.0, 1), lower) == []
    assert ("ILK-101", "pct_rmt", "absolute") in refused(pulses(math.nextafter(52.0, 53), 10.0, 1), lower)


@pytest.mark.parametrize("layer", ["site", "protocol", "participant"])
@pytest.mark.parametrize(
    ("name", "ends", "at", "over"),
    [
        ("pct_rmt", {"max": 90.0}, pulses(45.0, 10.0, 10), pulses(45.1, 10.0, 10)),
        ("train_s", {"max": 0.9}, pulses(45.0, 10.0, 9), pulses(45.0, 10.0, 10)),
    ],
)
def test_computed_quantities_in_every_layer(
    layer: str, name: str, ends: dict[str, float], at: Train, over: Train
):
    doc = document("rtms")
    doc[f"{layer}_limits"][name] = row(quantity_of("rtms", name), ends)
    limits = load(to_toml(doc))
    assert refused(at, limits) == []
    assert refused(over, limits) == [("ILK-101", name, layer)]
    doc[f"{layer}_limits"][name]["max"] = math.nextafter(ends["max"], 0.0)
    assert refused(at, load(to_toml(doc))) == [("ILK-101", name, layer)]


def test_the_longest_lease_is_ten_seconds():
    assert refused(pulses(45.0, 1.0, 10)) == []
    assert ("ILK-101", "train_s", "absolute") in refused(pulses(45.0, 1.0, 11))


def test_of_equal_ends_the_file_is_named_and_not_the_threshold():
    doc = document("rtms")
    doc["protocol_limits"]["amplitude_pct_mso"]["max"] = 60.0  # 120 % of 50
    equal = {r.quantity: r for r in rows(load(to_toml(doc)), CAPS)}["amplitude_pct_mso"]
    assert (equal.high, equal.set_by) == (60.0, "protocol")


def test_the_threshold_lowers_the_amplitude_that_is_shown():
    effective = {r.quantity: r for r in rows(limits_of("rtms"), CAPS)}
    assert effective["amplitude_pct_mso"].high == 60.0 and effective["amplitude_pct_mso"].set_by == "tissue"
    assert amplitude_ceiling("rtms", rows(limits_of("rtms"), CAPS), 0.0, 0) == 60.0
    odd = {r.quantity: r for r in rows(load(to_toml(_with_threshold(33.3333333))), CAPS)}
    assert odd["amplitude_pct_mso"].high == 39.999999  # toward less
    high = load(to_toml(_with_threshold(90.0)))
    effective = {r.quantity: r for r in rows(high, CAPS)}
    assert effective["amplitude_pct_mso"].high == 80.0 and effective["amplitude_pct_mso"].set_by == "protocol"


def _with_threshold(value: float) -> dict[str, object]:
    doc = document("rtms")
    doc["inputs"]["motor_threshold_pct_mso"] = value
    return doc


@pytest.mark.parametrize("threshold", [None, 0.0, -50.0, math.nan, math.inf, True, "50"])
def test_without_a_threshold_nothing_is_allowed(threshold: float | None):
    limits = limits_of("rtms")
    inputs = msgspec.structs.replace(limits.inputs, motor_threshold_pct_mso=threshold)
    bare = msgspec.structs.replace(limits, inputs=inputs)
    for found in (check_facts(bare, FACTS), check(pulses(), bare, CAPS, FACTS)):
        assert [(r.code, r.quantity) for r in found] == [("ILK-105", "motor_threshold_pct_mso")]
    assert next(r for r in rows(bare, CAPS) if r.quantity == "amplitude_pct_mso").high == 0.0
    assert interval_after_ns(pulses(1.0), bare) == 26_000_000_000  # type: ignore[arg-type]


def test_a_threshold_that_no_coil_finds_is_none():
    """A file cannot say it; held again where it is divided by, for a great threshold makes every intensity small."""
    limits = limits_of("rtms")
    for threshold, found in (
        (15.0, []),
        (100.0, []),
        (14.999, ["ILK-105"]),
        (100.001, ["ILK-105"]),
        (1e308, ["ILK-105"]),
    ):
        inputs = msgspec.structs.replace(limits.inputs, motor_threshold_pct_mso=threshold)
        assert [r.code for r in check_facts(msgspec.structs.replace(limits, inputs=inputs), FACTS)] == found


@pytest.mark.parametrize(
    ("measured_on", "code"),
    [
        ("2026-06-01", ""),
        ("2026-05-31", "ILK-113"),
        ("2026-06-02", "ILK-113"),
        (None, "ILK-105"),
        ("", "ILK-105"),
    ],
)
def test_a_threshold_holds_on_its_own_day(measured_on: str | None, code: str):
    limits = limits_of("rtms")
    inputs = msgspec.structs.replace(limits.inputs, motor_threshold_measured_on=measured_on)
    found = check_facts(msgspec.structs.replace(limits, inputs=inputs), FACTS)
    assert [r.code for r in found] == ([code] if code else [])


def test_impedance_and_slew_are_no_matter_of_a_coil():
    facts = Facts(today=FACTS.today, impedance_kohm=None)
    assert check(pulses(), limits_of("rtms"), CAPS, facts) == ()
    assert check_slew(pulses(60.0), 0.0, limits_of("rtms")) == ()


# The coil


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (Output(name="coil", share=-1.0),),
        (Output(name="coil", share=0.5),),
        (Output(name="coil", share=2.0),),
        (Output(name="coil", share=math.nan),),
        (Output(name="coil", share=True),),
        (Output(name="Coil", share=1.0),),
        (Output(name="coil", share=1.0), Output(name="coil", share=1.0)),
    ],
    ids=str,
)
def test_one_known_coil_with_the_whole_amplitude(outputs: tuple[Output, ...]):
    found = check(pulses(outputs=outputs), limits_of("rtms"), CAPS, FACTS)
    assert {r.code for r in found} == {"ILK-107"}


def test_a_contact_for_current_is_no_coil():
    limits = limits_of("rtms")
    contacts = tuple(msgspec.structs.replace(c, coil=None, area_cm2=25.0) for c in limits.contacts)
    found = check(pulses(), msgspec.structs.replace(limits, contacts=contacts), CAPS, FACTS)
    assert [(r.code, r.set_by) for r in found] == [("ILK-107", "protocol")]


@pytest.mark.parametrize("n_pulses", [0, -1, -40, -(2**53)])
def test_no_pulses_and_fewer(n_pulses: int):
    assert ("ILK-102", "n_pulses", "absolute") in refused(pulses(45.0, 10.0, n_pulses))


# Interval


@pytest.mark.parametrize(
    ("amplitude", "protocol_s", "expected_s"),
    [
        (45.0, 5.0, 5),
        (45.0, 7.5, 7.5),
        (55.0, 5.0, 5),
        (math.nextafter(55.0, 56.0), 5.0, 26),
        (60.0, 5.0, 26),
        (60.0, 30.0, 30),
        (math.nan, 5.0, 26),
        (math.nan, 60.0, 60),
    ],
)
def test_the_interval_after_a_train(amplitude: float, protocol_s: float, expected_s: float):
    doc = document("rtms")
    doc["protocol_limits"]["interval_s"]["min"] = protocol_s
    assert interval_after_ns(pulses(amplitude), load(to_toml(doc))) == expected_s * 10**9


@pytest.mark.parametrize("layer", ["site", "participant"])
def test_the_longest_interval_of_the_layers_holds(layer: str):
    doc = document("rtms")
    doc[f"{layer}_limits"]["interval_s"] = row(quantity_of("rtms", "interval_s"), {"min": 9.000000001})
    limits = load(to_toml(doc))
    assert interval_after_ns(pulses(), limits) == 9_000_000_001
    found = next(r for r in rows(limits, CAPS) if r.quantity == "interval_s")
    assert (found.low, found.set_by) == (9.000000001, layer)
    doc[f"{layer}_limits"]["interval_s"]["min"] = 9.0000000011
    assert interval_after_ns(pulses(), load(to_toml(doc))) == 9_000_000_002  # toward more


def test_a_hold_has_no_interval():
    assert interval_after_ns(hold(), limits_of("tacs")) == 0


# Exposure


@pytest.mark.parametrize(
    ("span_ns", "n_pulses"),
    [(0, 1), (99_999_999, 1), (100_000_000, 2), (3_900_000_000, 40), (4_000_000_000, 40), (10**12, 40)],
)
def test_the_most_pulses_that_a_span_can_hold(span_ns: int, n_pulses: int):
    assert exposure(pulses(45.0, 10.0, 40), span_ns, 45.0).n_pulses == n_pulses


@pytest.mark.parametrize(("rate", "n_pulses"), [(0.1, 1), (0.5, 1), (1.0, 2)])
def test_slow_trains_count_their_pulses_too(rate: float, n_pulses: int):
    assert exposure(pulses(rate_hz=rate, n_pulses=5), 10**9, 45.0).n_pulses == n_pulses


def test_time_is_rounded_up():
    assert exposure(pulses(), 1_000_000_001, 45.0) == Exposure(on_time_s=1.000001, charge_c=0.0, n_pulses=11)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, None])
def test_a_rate_that_is_none_counts_every_pulse(rate: float):
    assert exposure(pulses(rate_hz=rate), 10**9, 45.0) == Exposure(on_time_s=1.0, charge_c=0.0, n_pulses=40)
    assert exposure(pulses(rate_hz=rate), -1, 45.0).n_pulses == 40
