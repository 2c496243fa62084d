"""Ultrasound: the guideline's own numbers by both hands, each alternative with its inputs, and what tries to slip by."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Output, Sonication, Train, duration_ns, n_pulses, with_amplitude
from safety import oracle_tus as second
from safety.limits import LimitsErrors, load
from safety.modalities import (
    Facts,
    WrongTrain,
    check,
    check_facts,
    heat,
    rows,
    tus_physics,
)
from safety.modalities.tus import sonication_of
from safety.modalities.tus_numbers import EDITION
from safety.oracle_carriers import groups
from safety.oracle_numbers import exact
from tests.safety.examples.tus import sonication
from tests.safety.modality_limits import codes, without_layers
from tests.safety.strategies import FACTS, TODAY, caps_of, document, to_toml, with_quantity
from tests.safety.tus_limits import SIMULATED, TUS, WIDE, by_both, indexed, with_inputs

F = Fraction
S = 10**9
NANO = F(1, 10**9)


# The guideline's own numbers


@pytest.mark.parametrize(
    ("khz", "mpa"),
    [(250.0, 0.95), (500.0, 1.3435028842544403), (650.0, 1.5318289721767244), (1000.0, 1.9)],
)
def test_the_pressure_at_the_greatest_mechanical_index(khz: float, mpa: float):
    assert abs(tus_physics.mechanical_index(F(mpa), F(khz)) - F("1.9")) < NANO
    limits = with_inputs(without_layers("tus"), transmission=1.0, rise_bone_c_cm2_per_w=0.4)
    index = second.mechanical_index(F(mpa), F(khz), limits.inputs)
    assert index is not None and abs(index - F("1.9")) < NANO
    short: dict[str, Any] = {"frequency_khz": khz, "pulse_us": 1000, "pulse_interval_us": 200_000}
    at = math.floor(mpa * 1e9) / 1e9 if mpa not in (0.95, 1.9) else mpa
    assert by_both(sonication(at, **short), limits) == ()
    found = by_both(sonication(mpa + 1e-9, **short), limits)
    assert [(r.code, r.quantity, r.limit, r.set_by) for r in found if r.set_by == "absolute"] == [
        ("ILK-101", "mi", 1.9, "absolute")
    ]
    assert all(EDITION in r.text for r in found if r.set_by == "absolute")


@pytest.mark.parametrize(("minutes", "celsius"), [(2, 43), (8, 42), (32, 41), (128, 40), (512, 39), (1, 44)])
def test_two_minutes_at_43_c(minutes: int, celsius: int):
    rise = F(celsius - 37)
    assert tus_physics.cem43_per_min(rise) * minutes == 2
    assert second.cem43_min(rise, F(minutes)) == 2


@given(rise=st.fractions(0, 12, max_denominator=10**6))
@settings(max_examples=60, deadline=None)
def test_doses_between_whole_degrees_lie_between_the_hands(rise: Fraction):
    up, down = tus_physics.cem43_per_min(rise), second.cem43_min(rise, F(1))
    over = float(37 + rise - 43)
    expected = 0.5**-over if over >= 0 else 0.25**-over
    assert down <= up <= down * (1 + NANO**2 * 100)
    assert abs(float(up) / expected - 1) < 1e-12


def test_powers_and_roots_are_rounded_up_and_exact_where_they_can_be():
    assert tus_physics.two_to_up(F(-12)) == F(1, 4096) and tus_physics.two_to_up(F(3)) == 8
    half = tus_physics.two_to_up(F(1, 2))
    assert half**2 > 2 and half**2 - 2 < F(1, 10**35)
    assert tus_physics.root_up(F("3.61")) == F("1.9") and tus_physics.root_up(F(0)) == 0
    assert tus_physics.root_up(F(2)) ** 2 > 2 and (tus_physics.root_up(F(2)) - F(1, 10**12)) ** 2 < 2
    assert second.root(F(2)) ** 2 < 2 < (second.root(F(2)) + NANO**2) ** 2
    assert second.root(F("0.5476")) == F("0.74") and second.root(F(0)) == 0
    assert second.power_of_two(F(1, 2)) ** 2 < 2 < (second.power_of_two(F(1, 2)) + NANO**2) ** 2


def test_a_temperature_that_nobody_survives_is_not_computed_further():
    assert tus_physics.cem43_per_min(F(10) ** 300) == 2**57 == tus_physics.cem43_per_min(F(63))
    assert tus_physics.cem43_per_min(F(62)) == 2**56


TI = {
    "itrusst": [
        ("0", None), ("1.5", None), ("1.500000001", 4800), ("2", 4800), ("2.000000001", 2400), ("2.5", 2400),
        ("2.500000001", 600), ("3", 600), ("3.000000001", 160), ("4", 160), ("4.000000001", 40), ("5", 40),
        ("5.000000001", 10), ("6", 10), ("6.000000001", 0), ("1000", 0),
    ],
    "bmus": [
        ("0", None), ("0.7", None), ("0.700000001", 3600), ("1", 3600), ("1.000000001", 1800), ("1.5", 1800),
        ("1.500000001", 900), ("2", 900), ("2.000000001", 240), ("2.5", 240), ("2.500000001", 60), ("3", 60),
        ("3.000000001", 0), ("1000", 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "index", "seconds"), [(t, i, s) for t, rows_ in TI.items() for i, s in rows_]
)
def test_exposure_times_by_thermal_index(table: str, index: str, seconds: int | None):
    times = tus_physics.ITRUSST_TIMES if table == "itrusst" else tus_physics.BMUS_TIMES
    assert tus_physics.exposure_s(F(index), times) == seconds
    assert second.longest_s(F(index), table) == seconds


@given(index=st.fractions(0, 8, max_denominator=1000))
@settings(max_examples=100, deadline=None)
def test_the_strict_table_only_narrows(index: Fraction):
    wide, narrow = (
        tus_physics.exposure_s(index, times) for times in (tus_physics.ITRUSST_TIMES, tus_physics.BMUS_TIMES)
    )
    assert narrow is None or wide is None or narrow <= wide
    assert not (narrow is None and wide is not None)


def test_the_cranial_thermal_index():
    """An aperture of 4 cm2 is 2 sqrt(4/pi) = 2.2567583341910251 cm across: 90.27033336764101 mW make TIC 1."""
    assert abs(tus_physics.thermal_index(F("90.27033336764101"), F(4)) - 1) < NANO
    area = msgspec.structs.replace(TUS.contacts[0], area_cm2=4.0)
    limits = msgspec.structs.replace(indexed(TUS, 90.27033336764101), contacts=(area,))
    index = second.thermal_index(F(1), limits)
    assert index is not None and abs(index - 1) < NANO
    assert (
        abs(float(tus_physics.thermal_index(F(120), F(30))) - 120 / (2 * math.sqrt(30 / math.pi)) / 40) < 1e-9
    )


def test_intensities_of_the_plane_wave():
    assert abs(tus_physics.isppa_w_cm2(F(1)) - F("33.783783784")) < NANO
    assert tus_physics.isppa_w_cm2(F("0.37")) == F("4.625")
    given_ = second.asked(sonication().waveform)
    assert given_ is not None
    peak = second.isppa(given_["amplitude_mpa_water"], TUS.inputs)
    assert peak == F("4.625") and second.ispta(peak, given_) == F("0.4625")


# Timing


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ({}, 10),
        ({"train_ms": 1001}, 12),  # a pulse that the end cuts short counts whole
        ({"sonication_ms": 4001}, 15),  # a train, too
        ({"train_interval_ms": 1000}, 20),
        ({"train_interval_ms": 10_000}, 5),
        ({"pulse_interval_us": 200_001, "train_ms": 1000}, 10),
        (
            {"pulse_us": 1, "pulse_interval_us": 1, "train_ms": 10_000, "train_interval_ms": 10_000},
            10_000_000,
        ),
    ],
)
def test_pulses_are_counted(times: dict[str, Any], count: int):
    train = sonication(**times)
    assert n_pulses(train) == count and isinstance(train.waveform, Sonication)
    trains, each, _ = groups(train.waveform)
    assert trains * each == count
    assert duration_ns(train) == train.waveform.sonication_ms * 1_000_000


@pytest.mark.parametrize(
    ("times", "share"),
    [
        ({}, F(1, 10)),
        ({"train_ms": 1001}, F(120, 1001)),
        ({"pulse_us": 200_000}, F(1)),
        ({"pulse_us": 100_000}, F(1, 2)),
        ({"pulse_us": 100_001}, F(1)),  # within a long pulse a mean says nothing
        (
            {"pulse_us": 100_000, "pulse_interval_us": 100_000, "train_ms": 101},
            F(1),
        ),  # 200 ms of sound in 101
        ({"train_interval_ms": 9000}, F(1, 10)),  # the pauses between trains let nothing cool
    ],
)
def test_the_share_of_a_train_with_sound(times: dict[str, Any], share: Fraction):
    wave = sonication(**times).waveform
    assert isinstance(wave, Sonication) and tus_physics.duty(wave) == share
    numbers = second.asked(wave)
    assert numbers is not None and second.ispta(F(1), numbers) == share


@pytest.mark.parametrize(
    ("times", "what"),
    [
        ({"pulse_us": 200_001}, "pulse_us"),
        ({"pulse_interval_us": 1_000_000, "train_ms": 999}, "pulse_interval_us"),
        ({"train_ms": 2001, "sonication_ms": 8000}, "train_ms"),
        ({"train_ms": 2000, "sonication_ms": 1999}, "train_ms"),
        ({"pulse_interval_us": 0}, ""),
        ({"train_interval_ms": 0}, ""),
        ({"train_ms": 0}, ""),
        ({"pulse_us": 0}, ""),
        ({"sonication_ms": 0}, ""),
        ({"sonication_ms": -4000}, ""),
        ({"pulse_us": -20_000, "pulse_interval_us": -200_000}, ""),
        ({"pulse_us": 2**60}, ""),
        ({"pulse_interval_us": 200_000.0}, ""),
        ({"train_ms": True}, ""),
        ({"train_interval_ms": math.nan}, ""),
    ],
)
def test_times_that_do_not_fit_are_refused(times: dict[str, Any], what: str):
    found = by_both(sonication(**times), TUS)
    assert what in [r.quantity for r in found if r.code == "ILK-140"]
    assert all(math.isfinite(r.value) and len(r.text) < 300 for r in found)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"pulse_us": 200_001}, ("pulse_us", 200_001.0, 200_000.0)),
        ({"pulse_interval_us": 500_000, "train_ms": 499}, ("pulse_interval_us", 500_000.0, 499_000.0)),
        ({"train_ms": 2001, "train_interval_ms": 2000}, ("train_ms", 2_001_000.0, 2_000_000.0)),
        ({"train_ms": 2000, "sonication_ms": 1999}, ("train_ms", 2_000_000.0, 1_999_000.0)),
    ],
)
def test_a_time_that_does_not_fit_is_told_in_microseconds(
    times: dict[str, Any], told: tuple[str, float, float]
):
    found = [r for r in check(sonication(**times), TUS, WIDE, FACTS) if r.code == "ILK-140"]
    assert [(r.quantity, r.value, r.limit) for r in found] == [told]


def test_times_that_just_fit_pass():
    tight = sonication(
        pulse_us=100_000, pulse_interval_us=100_000, train_ms=100, train_interval_ms=100, sonication_ms=100
    )
    assert by_both(with_amplitude(tight, 0.2), TUS) == ()


@pytest.mark.parametrize("frequency", [0.0, -0.0, -250.0, math.nan, math.inf, 5e-324, 1e308])
def test_no_frequency_divides_by_nothing(frequency: float):
    assert {"ILK-101", "ILK-102", "ILK-103"} & set(codes(by_both(sonication(frequency_khz=frequency), TUS)))


@pytest.mark.parametrize("mpa", [-0.74, -1e308, 1e308, math.nan, math.inf, -math.inf])
def test_no_pressure_is_too_odd_to_refuse(mpa: float):
    assert {"ILK-101", "ILK-102", "ILK-103"} & set(codes(by_both(sonication(mpa), TUS)))


def test_a_negative_pressure_counts_by_its_size():
    assert "mi" in [r.quantity for r in by_both(sonication(-2.4), TUS)]


def test_the_whole_amplitude_comes_from_one_known_transducer():
    one = Output(name="transducer", share=1.0)
    for outputs in (
        (),
        (one, one),
        (msgspec.structs.replace(one, share=-1.0),),
        (msgspec.structs.replace(one, share=0.5),),
        (msgspec.structs.replace(one, share=math.nan),),
        (msgspec.structs.replace(one, share=True),),
        (msgspec.structs.replace(one, name="other"),),
    ):
        assert "ILK-107" in codes(by_both(sonication(outputs=outputs), TUS))
    (found,) = check(sonication(outputs=(msgspec.structs.replace(one, share=0.5),)), TUS, WIDE, FACTS)
    assert (found.text, found.limit) == (
        "outputs or shares do not fit: the transducer's share is 0.5, expected 1",
        1.0,
    )
    bare = msgspec.structs.replace(TUS, contacts=(msgspec.structs.replace(TUS.contacts[0], area_cm2=None),))
    assert codes(check(sonication(), bare, WIDE, FACTS), "area_cm2") == ["ILK-105"]


@pytest.mark.parametrize(
    ("listed", "plugged", "set_by"),
    [
        (True, True, []),
        (False, True, ["protocol"]),
        (True, False, ["device"]),
        (False, False, ["protocol", "device"]),
    ],
)
def test_a_transducer_is_known_to_the_file_and_to_the_device(listed: bool, plugged: bool, set_by: list[str]):
    other = () if listed else (msgspec.structs.replace(TUS.contacts[0], name="other"),)
    limits = msgspec.structs.replace(TUS, contacts=other or TUS.contacts)
    caps = WIDE if plugged else msgspec.structs.replace(WIDE, outputs=("other",))
    found = check(sonication(), limits, caps, FACTS)
    assert [each.set_by for each in found if each.code == "ILK-107"] == set_by


# Facts


@pytest.mark.parametrize("name", ["transmission", *SIMULATED])
@pytest.mark.parametrize("value", [None, 0.0, -1.0, math.nan, math.inf])
def test_a_number_that_is_missing_or_none_refuses(name: str, value: float | None):
    limits = with_inputs(TUS, **{name: value})
    assert "ILK-105" in codes(by_both(sonication(), limits), name)
    assert "ILK-105" in codes(check_facts(limits, FACTS), name)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("transmission", (0.05, 1.0)), ("cooling_s", (0.1, 3600.0)), ("rise_bone_c_cm2_per_w", (0.001, 100.0))],
)
def test_a_number_that_none_can_be_refuses(name: str, ends: tuple[float, float]):
    for end, beyond in zip(ends, (-math.inf, math.inf), strict=True):
        assert codes(check_facts(with_inputs(TUS, **{name: end}), FACTS)) == []
        outside = with_inputs(TUS, **{name: math.nextafter(end, beyond)})
        assert codes(check_facts(outside, FACTS), name) == ["ILK-105"]


def test_no_skull_makes_sound_louder():
    assert codes(by_both(sonication(), with_inputs(TUS, transmission=1.01)), "transmission") == ["ILK-105"]


@pytest.mark.parametrize("name", ["thermal", "diagnostic"])
@pytest.mark.parametrize("value", [None, "", "both", "RISE"])
def test_an_alternative_that_is_none_refuses(name: str, value: str | None):
    assert "ILK-105" in codes(by_both(sonication(), with_inputs(TUS, **{name: value})), name)


@pytest.mark.parametrize(
    ("name", "on", "code"),
    [
        ("no_exclusion_on", None, "ILK-105"),
        ("no_exclusion_on", "today", "ILK-105"),
        ("no_exclusion_on", "2026-05-31", "ILK-113"),
        ("no_exclusion_on", "2026-06-02", "ILK-113"),
        ("planned_on", None, "ILK-105"),
        ("planned_on", "2026-5-4", "ILK-105"),
        ("planned_on", "2026-06-02", "ILK-113"),
    ],
)
def test_dates_of_screening_and_planning(name: str, on: str | None, code: str):
    assert codes(by_both(sonication(), with_inputs(TUS, **{name: on})), name) == [code]


def test_planning_may_be_of_today():
    assert by_both(sonication(), with_inputs(TUS, planned_on=TODAY)) == ()


@pytest.mark.parametrize("today", ("", "1", "yesterday"))
def test_of_a_day_that_is_none_nothing_is_outdated(today: str):
    """Before every date, or after: it is told once, as what it is."""
    (reason,) = check_facts(TUS, Facts(today=today, impedance_kohm=None))
    assert (reason.code, reason.quantity) == ("ILK-105", "today")


# The file


@pytest.mark.parametrize(
    ("thermal", "foreign"),
    [("rise", "power_mw_cm2_per_w"), ("dose", "exposure_times"), ("ti", "cooling_s")],
)
def test_an_alternative_has_its_own_keys_and_no_others(thermal: str, foreign: str):
    doc = document("tus")
    simulated = {name: doc["inputs"].pop(name) for name in SIMULATED}
    own: dict[str, Any] = (
        {"exposure_times": "bmus", "power_mw_cm2_per_w": 900.0} if thermal == "ti" else simulated
    )
    doc["inputs"] |= {"thermal": thermal, **own}
    assert load(to_toml(doc)).inputs.thermal == thermal
    for name in own:
        kept = doc["inputs"].pop(name)
        with pytest.raises(LimitsErrors, match=name):
            load(to_toml(doc))
        doc["inputs"][name] = kept
    doc["inputs"][foreign] = "bmus" if foreign == "exposure_times" else 1.0
    with pytest.raises(LimitsErrors, match=foreign):
        load(to_toml(doc))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thermal", "all"), ("diagnostic", "track1"), ("transmission", 30.0), ("transmission", 0.0),
        ("cooling_s", 0.0), ("rise_skin_c_cm2_per_w", -1.0), ("planned_on", "2026-05-04"), ("no_exclusion_on", True),
    ],
)  # fmt: skip
def test_what_the_file_cannot_say(name: str, value: object):
    doc = document("tus")
    doc["inputs"][name] = value
    with pytest.raises(LimitsErrors, match=name):
        load(to_toml(doc))


# Both hands


@st.composite
def sonications(draw: st.DrawFn) -> Train:
    numbers: dict[str, Any] = {
        "amplitude_mpa_water": st.just(0.0) | st.floats(1e-9, 2.5),
        "frequency_khz": st.sampled_from([250.0, 333.3, 500.0]),
        "pulse_us": st.sampled_from([1000, 7777, 20_000, 100_000]) | st.integers(900, 100_100),
        "pulse_interval_us": st.sampled_from([10_000, 200_000, 500_000]) | st.integers(9_990, 500_010),
        "train_ms": st.sampled_from([10, 500, 2000]) | st.integers(9, 2001),
        "train_interval_ms": st.sampled_from([2000, 5000]) | st.integers(9, 5001),
        "sonication_ms": st.integers(1, 8001),
    }
    return sonication(**{name: draw(strategy) for name, strategy in numbers.items()})


def test_the_slowest_waves_have_an_index_too():
    for frequency_khz, there in ((0.5, True), (1.0, True), (0.0, False), (-1.0, False)):
        found = check(sonication(frequency_khz=frequency_khz), TUS, WIDE, FACTS)
        assert ("mi" in {reason.quantity for reason in found}) is there


@pytest.mark.parametrize(("mi", "mpa"), [(1.2, 1.697056275), (0.5, 0.707106782), (0.0, 0.0)])
def test_the_index_brings_the_pressure_in_water_down(mi: float, mpa: float):
    """The root of mi^2 x 0.5 MHz, through half of the skull, rounded up to a Pa."""
    limits = with_inputs(TUS, transmission=0.5)
    rows_ = tuple(
        msgspec.structs.replace(each, low=0.0, high=mi) if each.quantity == "mi" else each
        for each in limits.rows
    )
    found = rows(msgspec.structs.replace(limits, rows=rows_), WIDE)
    (pressure,) = [row for row in found if row.quantity == "amplitude_mpa_water"]
    assert (pressure.high, pressure.set_by) == (mpa, "tissue")
    equal = tuple(
        msgspec.structs.replace(each, high=mpa) if each.quantity == "amplitude_mpa_water" else each
        for each in rows_
    )
    (pressure,) = [
        row
        for row in rows(msgspec.structs.replace(limits, rows=equal), WIDE)
        if row.quantity == "amplitude_mpa_water"
    ]
    assert (pressure.high, pressure.set_by) == (mpa, "protocol")  # of equal ends the file is named


def test_a_sonication_of_another_modality_was_never_permitted():
    with pytest.raises(WrongTrain, match="rtms without a sonication"):
        sonication_of(msgspec.structs.replace(sonication(), modality="rtms"))


def test_times_that_are_none_make_no_mean():
    limits = with_inputs(TUS, diagnostic="track3")
    for bent in ({"pulse_us": 0}, {"pulse_interval_us": 0}):
        found = check(sonication(**bent), limits, WIDE, FACTS)
        assert found and not any("ispta" in reason.quantity for reason in found)


@given(
    train=sonications(),
    thermal=st.sampled_from(["rise", "dose", "ti"]),
    table=st.sampled_from(["itrusst", "bmus"]),
    power=st.floats(10, 3000),
    bone=st.floats(0.05, 3),
    seconds=st.sampled_from([0.0, 10.0, 60.0, 240.0, 900.0, 4800.0]),
    diagnostic=st.sampled_from(["none", "track3"]),
)
@settings(max_examples=400, deadline=None)
def test_the_hands_agree(
    train: Train, thermal: str, table: str, power: float, bone: float, seconds: float, diagnostic: str
):
    limits = with_inputs(TUS, thermal=thermal, rise_bone_c_cm2_per_w=bone, diagnostic=diagnostic)
    limits = indexed(limits, power, table=table, seconds=seconds) if thermal == "ti" else limits
    if not by_both(train, limits):
        spent = heat(train, duration_ns(train), 2.5, limits)
        asked = second.spent_by(train, duration_ns(train), limits)
        assert all((exact(getattr(spent, name)) or F(0)) >= value for name, value in asked.items())


def test_a_train_of_every_odd_kind_is_refused_by_both():
    for name in caps_of("tus").envelopes:
        for value in (None, True, "1", [], 10**400, math.nan, -1):
            assert by_both(with_quantity("tus", name, value), TUS), (name, value)


def test_the_shipped_example_is_whole_and_lets_its_protocol_through():
    content = (Path(__file__).parents[2] / "docs/examples/limits-tus.toml").read_bytes()
    limits = load(content)
    train = sonication(
        1.5, 500.0, 20_000, 200_000, 10_000, 10_000, 10_000
    )  # MI 0.74, 9.3 W/cm2, 0.65 C in bone
    assert by_both(train, limits) == ()
    assert by_both(sonication(1.5, 500.0, 70_000, 200_000, 10_000, 10_000, 10_000), limits)  # 2.3 C
    assert "absolute.rise_c" in limits.unverified and "absolute.mi" not in limits.unverified
    assert "tissue.itrusst_exposure_times" in limits.unverified and "tissue.cem43" not in limits.unverified
