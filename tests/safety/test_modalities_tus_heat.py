"""Heat of ultrasound: each alternative with its inputs, the narrower tables, and the dose that is spent."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from safety import oracle_tus as second
from safety.events import Now
from safety.history import Past
from safety.modalities import (
    Exposure,
    check,
    exposure,
    heat,
    interval_after_ns,
    is_down,
    rows,
)
from safety.modalities.tus_numbers import EDITION
from safety.modalities.tus_thermal import heating
from safety.oracle_numbers import exact
from safety.oracle_windows import Earlier
from safety.windows import Session, exceeded
from tests.safety.examples.tus import sonication
from tests.safety.histories import history_with
from tests.safety.modality_limits import codes, without_layers
from tests.safety.strategies import FACTS
from tests.safety.tus_limits import SIMULATED, TUS, WIDE, by_both, indexed, with_inputs, with_time

F = Fraction
S = 10**9
NANO = F(1, 10**9)


# Heat: any one of three alternatives


@pytest.mark.parametrize("thermal", ["rise", "dose"])
@pytest.mark.parametrize("name", SIMULATED)
@pytest.mark.parametrize("value", [None, 0.0, math.nan])
def test_heating_of_which_a_number_is_missing_is_none(thermal: str, name: str, value: float | None):
    limits = with_inputs(TUS, thermal=thermal)
    assert heating(limits) is not None
    assert heating(with_inputs(limits, **{name: value})) is None


def test_without_its_heating_a_rise_is_no_index():
    """Power and area beside it are of another alternative: they say nothing here, and nothing for them is refused."""
    limits = with_inputs(TUS, thermal="rise", rise_bone_c_cm2_per_w=None, power_mw_cm2_per_w=1e5)
    found = by_both(sonication(), limits)
    assert found and not any(r.quantity in ("ti", "on_time_s") for r in found)
    assert any(r.quantity in ("ti", "on_time_s") for r in by_both(sonication(), indexed(TUS, 1e5)))


def test_of_an_index_no_rise_is_asked_whatever_its_row_allows():
    limits = indexed(TUS, 10.0)
    rows_ = tuple(
        msgspec.structs.replace(each, high=0.0) if each.quantity == "rise_c" else each for each in limits.rows
    )
    assert (
        by_both(sonication(), msgspec.structs.replace(limits, rows=rows_))
        == by_both(sonication(), limits)
        == ()
    )
    simulated = with_inputs(TUS, thermal="dose")
    rows_ = tuple(
        msgspec.structs.replace(each, high=0.0) if each.quantity == "ti" else each for each in TUS.rows
    )
    assert by_both(sonication(), msgspec.structs.replace(simulated, rows=rows_)) == ()


def test_where_the_table_has_no_time_a_budget_of_none_does_not_help():
    limits = indexed(TUS, 1e5, seconds=0.0)
    found = check(sonication(), limits, WIDE, FACTS)
    assert [r.limit for r in found if r.quantity == "on_time_s"] != []
    assert {r.limit for r in found if r.quantity == "on_time_s"} == {0.0}


@pytest.mark.parametrize("area_cm2", [None, 0.0, -1.0, math.nan])
def test_without_an_area_there_is_no_index_and_a_refusal(area_cm2: float | None):
    limits = indexed(TUS, 900.0)
    for contacts in ((), tuple(msgspec.structs.replace(c, area_cm2=area_cm2) for c in limits.contacts)):
        found = check(sonication(), msgspec.structs.replace(limits, contacts=contacts), WIDE, FACTS)
        assert found and not any(r.quantity == "ti" for r in found)


def test_the_rise_is_that_of_the_worst_tissue():
    for name in SIMULATED[:3]:
        limits = with_inputs(TUS, thermal="rise", **{name: 4.324})  # 4.324 x 0.4625 = 1.99985
        assert by_both(sonication(), limits) == ()
        found = by_both(sonication(), with_inputs(limits, **{name: 4.325}))  # 2.0003125
        assert {(r.set_by, r.quantity, r.limit) for r in found} == {
            ("tissue", "rise_c", 2.0), ("protocol", "rise_c", 2.0)
        }  # fmt: skip
        assert any("v3 of 2025-10-09" in r.text for r in found)


def test_two_degrees_bind_only_where_the_rise_is_the_alternative():
    wide = without_layers("tus")
    warm = with_inputs(wide, rise_bone_c_cm2_per_w=8.0)  # 3.7 C
    assert by_both(sonication(), warm) == ()
    found = by_both(sonication(), with_inputs(warm, thermal="rise"))
    assert [(r.code, r.quantity, r.limit, r.set_by) for r in found] == [("ILK-101", "rise_c", 2.0, "tissue")]
    exactly = with_inputs(wide, thermal="rise", rise_bone_c_cm2_per_w=4.0)
    timing: dict[str, int] = {"pulse_interval_us": 37_000, "train_ms": 37, "train_interval_ms": 37}
    assert by_both(sonication(pulse_us=4000, **timing), exactly) == ()  # 0.5 W/cm2: 2 C, no less
    assert by_both(sonication(pulse_us=4001, **timing), exactly) != ()
    hot = with_inputs(wide, rise_bone_c_cm2_per_w=10.9)
    assert "rise_c" in [r.quantity for r in by_both(sonication(), hot)]  # above 42 C whatever the dose


def test_the_thermal_index_holds_every_budget_of_time():
    """462.5 mW/cm2; at 30 cm2, Deq is 6.18038723 cm: 1113.8 mW per W/cm2 are TI 2.08."""
    limits = indexed(TUS, 1000.0, seconds=4800.0)  # TI 1.87
    assert by_both(sonication(), limits) == ()
    assert codes(by_both(sonication(), with_time(limits, 4800.001)), "on_time_s") == ["ILK-101"] * 2
    for scope in ("session", "24h"):
        (found,) = by_both(sonication(), with_time(limits, 4801.0, scope))
        assert (found.limit, found.value, found.set_by) == (4800.0, 4801.0, "tissue")
        assert scope in found.text and EDITION in found.text
    wide = indexed(without_layers("tus"), 1113.8, seconds=2400.0)
    assert by_both(sonication(), wide) == ()
    assert by_both(sonication(), with_time(wide, 2400.5))
    assert by_both(sonication(), indexed(without_layers("tus"), 801.7, seconds=99_999.0)) == ()  # TI 1.49985
    assert by_both(sonication(), indexed(without_layers("tus"), 802.0, seconds=99_999.0))  # TI 1.5004
    beyond = by_both(sonication(), indexed(without_layers("tus"), 3210.0, seconds=0.0))  # TI 6.003
    assert {"ti", "on_time_s"} <= {r.quantity for r in beyond}


def test_the_british_table_narrows():
    limits = indexed(TUS, 1000.0, table="bmus", seconds=900.0)
    assert by_both(sonication(), limits) == ()
    found = by_both(sonication(), with_time(limits, 901.0))
    assert {r.limit for r in found} == {900.0} and all("British" in r.text for r in found)
    beyond = indexed(without_layers("tus"), 1700.0, table="bmus", seconds=0.0)  # TI 3.18
    assert {r.limit for r in by_both(sonication(), beyond)} == {0.0}
    assert by_both(sonication(), indexed(without_layers("tus"), 1700.0, seconds=160.0)) == ()


@pytest.mark.parametrize("table", ["", "aium"])
def test_the_index_needs_its_table(table: str):
    assert "ILK-105" in codes(by_both(sonication(), indexed(TUS, 100.0, table=table)), "exposure_times")


@pytest.mark.parametrize("power", [0.0, math.nan, -5.0])
def test_the_index_needs_its_power(power: float):
    """Heat that cannot be told is no number: what lacks it is refused, and adds nothing to a budget that it would hide."""
    limits = indexed(TUS, power)
    assert "ILK-105" in codes(by_both(sonication(), limits), "power_mw_cm2_per_w")
    assert heat(sonication(), 1_000_000_000, 0.4, limits) == Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=0)
    assert heat(sonication(), 1_000_000_000, 0.4, indexed(TUS, 100.0)).cem43_bone_min > 0.0


def test_diagnostic_limits_are_held_in_water():
    """0.74 MPa in water are 18.5 W/cm2, 1850 mW/cm2 over a train; Track 3 ends at 190 and 720."""
    limits = with_inputs(TUS, diagnostic="track3")
    (found,) = by_both(sonication(), limits)
    assert (found.quantity, found.value, found.limit, found.set_by) == (
        "ispta_mw_cm2",
        1850.0,
        720.0,
        "tissue",
    )
    assert "Track 3" in found.text
    timing: dict[str, int] = {"pulse_interval_us": 37_000, "train_ms": 37, "train_interval_ms": 37}
    assert by_both(sonication(pulse_us=1440, **timing), limits) == ()  # 720 mW/cm2, no less
    assert by_both(sonication(pulse_us=1441, **timing), limits) != ()
    wide = with_inputs(without_layers("tus"), diagnostic="track3", transmission=0.1)
    short: dict[str, Any] = {"pulse_us": 1, "pulse_interval_us": 1000}
    assert by_both(sonication(2.371, 500.0, **short), wide) == ()
    assert [r.limit for r in by_both(sonication(2.372, 500.0, **short), wide)] == [190.0]


# Dose


def test_what_a_sonication_spends():
    """0.37 C in bone for 4 s, and 20 s until it is cold: 24 s at 4^(0.37 - 6)."""
    assert exposure(sonication(), 4 * S, 0.74) == Exposure(on_time_s=4.0, charge_c=0.0, n_pulses=10)
    spent = heat(sonication(), 4 * S, 0.74, TUS)
    assert (spent.on_time_s, spent.n_pulses, spent.charge_c) == (0.0, 0, 0.0)
    for got, rise in (
        (spent.cem43_brain_min, 0.185), (spent.cem43_bone_min, 0.37), (spent.cem43_skin_min, 0.0925)
    ):  # fmt: skip
        expected = 24 / 60 * 0.25 ** (6 - rise)
        assert expected <= got <= expected + 2e-12
    oracle = second.spent_by(sonication(), 4 * S, TUS)
    assert (exact(spent.cem43_bone_min) or 0) - oracle["cem43_bone_min"] < F(2, 10**12)
    assert heat(sonication(), -1, math.nan, TUS) == heat(sonication(), -1, -0.1, TUS) == spent
    assert exposure(sonication(), -1, math.nan) == exposure(sonication(), 4 * S, 0.74)
    assert exposure(sonication(), 0, 0.74).n_pulses == 1
    assert exposure(sonication(), 200_000_000 - 1, 0.74).n_pulses == 1
    assert exposure(sonication(), 200_000_000, 0.74).n_pulses == 2
    assert exposure(sonication(), 1_000_001, 0.74).on_time_s == 0.001001


def test_parts_spend_no_less_than_the_whole():
    spans = (S, S + 7, 2 * S - 7)
    whole = heat(sonication(), 4 * S, 0.74, TUS).cem43_bone_min
    assert whole <= sum(heat(sonication(), span, 0.74, TUS).cem43_bone_min for span in spans) <= whole + 3e-12
    assert sum(exposure(sonication(), span, 0.74).n_pulses for span in spans) >= 10


TISSUES = ("cem43_brain_min", "cem43_bone_min", "cem43_skin_min")


@pytest.mark.parametrize("power", [100.0, 802.0, 1113.8, 1700.0, 3200.0])
def test_by_the_index_every_tissue_is_as_many_degrees_warmer(power: float):
    """Half as much again of 4 s, at 4^(TI - 6); by both hands, and the first never below the second."""
    limits = indexed(TUS, power)
    spent, oracle = heat(sonication(), 4 * S, 0.74, limits), second.spent_by(sonication(), 4 * S, limits)
    mean = second.ispta(second.isppa(F("0.74"), limits.inputs), second.asked(sonication().waveform) or {})
    index = second.thermal_index(mean, limits)
    assert index is not None
    assert set(oracle) == set(TISSUES)
    for name in TISSUES:
        got = exact(getattr(spent, name))
        assert got is not None
        assert float(got) == pytest.approx(6 / 60 * 4.0 ** float(index - 6), rel=1e-9, abs=2e-12)
        assert 0 <= got - oracle[name] <= F(2, 10**12)
    whole = heat(sonication(), 4 * S, 0.74, limits).cem43_bone_min
    halves = 2 * heat(sonication(), 2 * S, 0.74, limits).cem43_bone_min
    assert whole <= halves <= whole + 2e-12
    assert heat(sonication(), -1, math.nan, limits) == spent  # an impossible span counts as the whole


@pytest.mark.parametrize(
    ("index", "seconds"), [("2", 4800), ("2.5", 2400), ("3", 600), ("4", 160), ("5", 40), ("6", 10)]
)
def test_the_table_of_the_index_stays_far_within_the_dose(index: str, seconds: int):
    """Its times are those of a quarter to half a minute at 43 C: that they are meant as a rise of so many C shows here."""
    dose = second.cem43_min(F(index), F(seconds, 60) * F(3, 2))
    assert F("0.234") < dose < F("0.47")


@pytest.mark.parametrize(("before", "good"), [(0.0, True), (1.99, True), (2.0, False)])
def test_a_day_s_dose_holds_whatever_the_sessions_of_it_are_held_by(before: float, good: bool):
    """A session by the dose in the morning and one by the index in the evening share the day's minutes."""
    limits = indexed(TUS, 1700.0)
    then = Past(
        modality="tus", first_wall_ns=0, last_wall_ns=4 * S,
        spent=Exposure(on_time_s=4.0, charge_c=0.0, n_pulses=10, cem43_brain_min=before),
    )  # fmt: skip
    spent = heat(sonication(), 4 * S, 0.74, limits)
    now = Now(mono_ns=0, boot_ns=0, wall_ns=7200 * S)
    session = Session(pulse=spent, train=spent, all=spent)
    history = history_with(then)
    found = {each.budget.name for each in exceeded(limits, history, session, now)}
    assert ("cem43_brain_min" not in found) == good
    earlier = Earlier(limits=limits, history=history)
    used = second.spent_by(sonication(), 4 * S, limits)
    assert any("cem43_brain_min in 24h" in each for each in earlier.over(used, 7200 * S)) != good


def test_louder_is_more_dose_and_what_is_not_known_is_none():
    for limits in (with_inputs(TUS, thermal="ti"), with_inputs(TUS, transmission=None)):
        assert second.spent_by(sonication(), 4 * S, limits) == {}
    loud, asked, pause = (heat(sonication(), S, mpa, TUS).cem43_brain_min for mpa in (1e6, 0.74, 0.0))
    assert math.isfinite(loud) and loud > 1e15 and pause == asked
    cold = heat(sonication(0.0), S, 0.0, TUS).cem43_brain_min  # a minute at 37 C is 1/4096 of one at 43 C
    assert cold == math.ceil(F(6, 60) / 4096 * 10**12) / 1e12


def test_without_a_transmission_all_of_the_pressure_counts():
    all_of_it = heat(sonication(), 4 * S, 0.74, with_inputs(TUS, transmission=1.0))
    assert heat(sonication(), 4 * S, 0.74, with_inputs(TUS, transmission=None)) == all_of_it
    assert heat(sonication(), 4 * S, 0.74, TUS) != all_of_it


def test_the_dose_of_a_span_is_a_part_of_the_whole_to_the_last_digit():
    hot = with_inputs(TUS, rise_brain_c_cm2_per_w=16.0)  # 7.4 C: minutes count for more than themselves
    for span_ns in (0, 1_000_000, 4 * S):
        exactly = second.spent_by(sonication(), span_ns, hot)["cem43_brain_min"]
        assert abs(heat(sonication(), span_ns, 0.74, hot).cem43_brain_min - exactly) <= 2e-12
    whole = heat(sonication(), 4 * S, 0.74, hot)
    assert heat(sonication(), -1, 0.74, hot) == whole
    assert heat(sonication(), 0, 0.74, hot).cem43_brain_min < whole.cem43_brain_min


def test_the_interval_is_the_longest_of_the_rows():
    assert interval_after_ns(sonication(), TUS) == 2 * S
    assert interval_after_ns(sonication(), without_layers("tus")) == 0


def test_only_less_pressure_is_down():
    now = sonication()
    assert is_down(now, sonication(0.73)) and is_down(now, sonication(0.0))
    for asked in (
        sonication(0.74), sonication(-0.1), sonication(0.7, sonication_ms=3999), sonication(0.7, pulse_us=19_999),
        sonication(0.7, frequency_khz=251.0), sonication(0.7, train_ms=999), sonication(math.nan),
    ):  # fmt: skip
        assert not is_down(now, asked)


def test_the_row_of_pressure_is_what_the_index_leaves():
    limits = with_inputs(without_layers("tus"), transmission=0.9)
    effective = {r.quantity: r for r in rows(limits, WIDE)}
    assert effective["amplitude_mpa_water"].high == pytest.approx(1.9 / 0.9, abs=1e-9)
    assert effective["amplitude_mpa_water"].set_by == "tissue"
    none = {r.quantity: r for r in rows(with_inputs(limits, transmission=None), WIDE)}
    assert none["amplitude_mpa_water"].high == 0.0
