"""Pulses through the skin: balance, timing, energy, r.m.s. density and who attends to it, and where they may go."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.stimulation import Train
from safety.limits import Limits, load
from safety.modalities import WrongTrain, budgets_of, check, check_facts, exposure, rules_of
from safety.modalities.tens import ROOT_STEP, also, carried, charging, dense, root_up
from tests.safety.documents import bent, key_lines
from tests.safety.examples.tbs import bursts
from tests.safety.examples.tdcs import direct
from tests.safety.examples.tens import surface
from tests.safety.modality_limits import over_session, without_layers
from tests.safety.strategies import FACTS, caps_of, document, limits_of, quantity_of, row, to_toml

CAPS = caps_of("tens")
STEPLESS = msgspec.structs.replace(
    CAPS, envelopes={name: msgspec.structs.replace(e, step=0.0) for name, e in CAPS.envelopes.items()}
)


def limits_with(name: str, layer: str = "protocol", **ends: float) -> Limits:
    doc = document("tens")
    doc[f"{layer}_limits"][name] = row(quantity_of("tens", name), ends)
    return load(to_toml(doc))


def refused(train: Train, limits: Limits | None = None) -> list[tuple[str, str, str]]:
    return [
        (r.code, r.quantity, r.set_by) for r in check(train, limits or limits_of("tens"), STEPLESS, FACTS)
    ]


# Energy


def test_what_counts_for_charge_is_the_first_phases_spread_over_the_time():
    """100 pulses of 200 us a second are 2 % of the time."""
    assert charging(surface()) == Fraction(1, 50)
    assert charging(surface(width_us=400.0)) == Fraction(1, 25)


def test_the_energy_of_a_pulse_is_that_of_both_phases_into_500_ohm():
    # 20 mA, 200 us, symmetric: 2 x 0.02^2 x 200e-6 x 500 J = 0.08 mJ
    assert refused(surface(), limits_with("energy_mj", max=0.08)) == []
    assert refused(surface(), limits_with("energy_mj", max=math.nextafter(0.08, 0.0))) == [
        ("ILK-101", "energy_mj", "protocol")
    ]
    # a second phase four times as long carries the charge back at a quarter of the current: a quarter of the energy
    long = surface(second_width_us=800.0)
    assert refused(long, limits_with("energy_mj", max=0.05)) == []
    (reason,) = check(long, limits_with("energy_mj", max=0.0499), STEPLESS, FACTS)
    assert (reason.value, reason.limit) == (0.05, 0.0499)


def test_three_hundred_mJ_are_the_most_whatever_a_file_says():
    declared = quantity_of("tens", "energy_mj")
    doc = document("tens")
    doc["protocol_limits"]["energy_mj"] = row(declared, {"max": math.nextafter(300.0, 301.0)})
    assert key_lines(doc, ("protocol_limits", "energy_mj", "max"))


# Density, and who attends to it


def test_density_is_the_root_of_the_mean_square():
    # 20 mA x sqrt(200e-6 x 2 x 100) = 4 mA r.m.s., on 16 cm2
    assert refused(surface(), limits_with("density_rms_ma_cm2", max=0.25)) == []
    (reason,) = check(surface(), limits_with("density_rms_ma_cm2", max=0.2499), STEPLESS, FACTS)
    assert (reason.code, reason.quantity, reason.value) == ("ILK-109", "density_rms_ma_cm2", 0.25)
    assert "'A1'" in reason.text
    # half the rate: less by the root of two; a burst counts as if it went on
    assert (
        refused(surface(rate_hz=50.0, rate_in_burst_hz=50.0), limits_with("density_rms_ma_cm2", max=0.177))
        == []
    )
    bursts = surface(rate_hz=2.0, pulses_per_burst=7, rate_in_burst_hz=100.0)
    assert refused(bursts, limits_with("density_rms_ma_cm2", max=0.25)) == []
    assert refused(bursts, limits_with("density_rms_ma_cm2", max=0.2499))


def small(max_ma_cm2: float, site: float | None) -> Limits:
    """Contacts of 1 cm2, so that 20 mA are 4 mA/cm2 r.m.s. and 10 mA are 2."""
    doc: dict[str, Any] = document("tens")
    for contact in doc["contacts"].values():
        contact["area_cm2"] = 1.0
    declared = quantity_of("tens", "density_rms_ma_cm2")
    doc["protocol_limits"]["density_rms_ma_cm2"] = row(declared, {"max": max_ma_cm2})
    if site is not None:
        doc["site_limits"]["density_rms_ma_cm2"] = row(declared, {"max": site})
    return load(to_toml(doc))


def test_a_density_that_needs_attention_needs_a_row_of_the_site():
    over = math.nextafter(10.0, 11.0)
    assert refused(surface(10.0), small(4.0, None)) == []
    assert refused(surface(over), small(4.0, None)) == [("ILK-131", "density_rms_ma_cm2", "site")]
    assert refused(surface(over), small(4.0, 4.0)) == refused(surface(20.0), small(4.0, 4.0)) == []
    assert refused(surface(over), small(4.0, 2.0)) == [("ILK-109", "density_rms_ma_cm2", "site")]
    assert refused(surface(math.nextafter(20.0, 21.0)), small(4.0, 4.0)) == [
        ("ILK-109", "density_rms_ma_cm2", set_by) for set_by in ("absolute", "site", "protocol")
    ]
    (reason,) = check(surface(15.0), small(4.0, None), STEPLESS, FACTS)
    assert (reason.value, reason.limit) == (3.0, 2.0)
    assert "3 mA/cm2 r.m.s., above 2, and no row of the site takes it" in reason.text


def test_attention_is_asked_for_by_the_contact_with_the_greatest_share_a_cm2():
    limits = small(4.0, None)
    for which in (0, 1):  # the smaller of two contacts, whichever it is
        contacts = list(limits.contacts)
        contacts[which] = msgspec.structs.replace(contacts[which], area_cm2=2.0)
        found = refused(surface(15.0), msgspec.structs.replace(limits, contacts=tuple(contacts)))
        assert found == [("ILK-131", "density_rms_ma_cm2", "site")]
    # a site that says something else says nothing of this
    other = next(row for row in limits.rows if row.quantity == "width_us")
    site = msgspec.structs.replace(other, layer="site")
    found = refused(surface(15.0), msgspec.structs.replace(limits, rows=(*limits.rows, site)))
    assert found == [("ILK-131", "density_rms_ma_cm2", "site")]


def test_without_outputs_there_is_no_density_to_attend_to():
    assert {code for code, _, _ in refused(surface(15.0, outputs=()), small(4.0, None))} == {"ILK-107"}


@given(st.fractions(0, 10**6))
def test_a_root_is_never_less_and_at_most_one_step_more(number: Fraction):
    root = root_up(number)
    assert root**2 >= number
    step = Fraction(1, ROOT_STEP)
    assert root == 0 or (root - step) ** 2 < number


def test_roots_of_squares_are_exact():
    for root in (0, 1, 3, Fraction(1, 5), Fraction(1, ROOT_STEP)):
        assert root_up(Fraction(root) ** 2) == root


# Timing


@pytest.mark.parametrize(
    ("bent_by", "quantity"),
    [
        ({"width_us": 400.0, "second_width_us": 2000.0, "rate_hz": 400.0, "rate_in_burst_hz": 400.0}, ""),
        ({"width_us": 400.0, "second_width_us": 2100.0, "rate_hz": 400.0, "rate_in_burst_hz": 400.0}, ""),
        (
            {"width_us": 400.0, "second_width_us": 2100.001, "rate_hz": 400.0, "rate_in_burst_hz": 400.0},
            "rate_in_burst_hz",
        ),
        (
            {"gap_us": 100.0, "second_width_us": 2201.0, "rate_hz": 400.0, "rate_in_burst_hz": 400.0},
            "rate_in_burst_hz",
        ),
        ({"rate_hz": 100.0, "rate_in_burst_hz": 99.0}, "rate_hz"),
        ({"rate_hz": 20.0, "pulses_per_burst": 5, "rate_in_burst_hz": 100.0}, ""),
        ({"rate_hz": 20.5, "pulses_per_burst": 5, "rate_in_burst_hz": 100.0}, "rate_hz"),
        ({"width_us": 200.0, "second_width_us": 200.0}, ""),
        ({"width_us": 200.0, "second_width_us": math.nextafter(200.0, 0.0)}, "second_width_us"),
        ({"width_us": 400.0, "second_width_us": 100.0}, "second_width_us"),
    ],
)
def test_a_pulse_and_a_burst_fit_their_time(bent_by: dict[str, Any], quantity: str):
    found = refused(surface(**bent_by), without_layers("tens"))
    assert found == ([("ILK-120", quantity, "absolute")] if quantity else [])


def test_what_does_not_fit_is_told_with_both_times():
    found = check(surface(second_width_us=100.0), without_layers("tens"), STEPLESS, FACTS)
    (reason,) = found
    assert (reason.value, reason.limit) == (100.0, 200.0)
    assert "a second phase of 100 us, shorter and so higher than the first of 200 us" in reason.text


@pytest.mark.parametrize(
    "name", ["width_us", "second_width_us", "rate_hz", "rate_in_burst_hz", "pulses_per_burst"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, None, True, "1"])
def test_a_number_of_no_sense_is_refused_by_name_before_it_divides(name: str, value: object):
    bent_by: dict[str, Any] = {name: value}
    found = refused(surface(**bent_by))
    assert found and {quantity for _, quantity, _ in found} == {name}
    with pytest.raises(WrongTrain):
        exposure(surface(**bent_by), 1, 1.0)


@pytest.mark.parametrize(
    "bent_by",
    [{"rate_hz": 0.5, "rate_in_burst_hz": 0.5}, {"width_us": 0.5, "second_width_us": 0.5}, {"gap_us": 0.5}],
)
def test_a_number_below_one_is_a_number(bent_by: dict[str, Any]):
    assert carried(surface(**bent_by)) is not None


def test_a_count_is_whole():
    assert carried(surface(pulses_per_burst=1.0)) is None  # type: ignore[arg-type]
    assert [code for code, _, _ in refused(surface(pulses_per_burst=1.0))] == ["ILK-103"]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, math.nan, None, True])
def test_a_gap_of_no_sense_is_refused_by_name(value: float):
    assert {quantity for _, quantity, _ in refused(surface(gap_us=value))} == {"gap_us"}
    with pytest.raises(WrongTrain):
        exposure(surface(gap_us=value), 1, 1.0)


def test_an_amplitude_that_is_none_is_refused_once():
    assert [(code, quantity) for code, quantity, _ in refused(surface(math.nan))] == [
        ("ILK-103", "amplitude_ma")
    ]


def test_what_holds_no_pulses_carries_none():
    for train in (direct(), bursts()):
        assert carried(train) is charging(train) is dense(train) is None
        assert also(train, limits_of("tens")) == []


# Where, and by what device


def test_there_is_no_word_for_the_head():
    """The standard excludes stimulation of the brain: a file cannot name a contact that lies there."""
    path = ("contacts", "A1", "place")
    for place in ("limb", "back", "abdomen"):
        assert key_lines(bent("tens", path, place), path) == []
    for place in ("head", "scalp", "neck", "chest", "implanted", "", "Limb"):
        assert len(key_lines(bent("tens", path, place), path)) == 1, place


def test_only_contacts_of_tens_say_where_they_lie():
    doc = document("tdcs")
    doc["contacts"]["C3"]["place"] = "limb"
    assert key_lines(doc, ("contacts", "C3", "place"))
    assert all(
        rules_of(other).contacts.places == () for other in ("tacs", "tdcs", "trns", "rtms", "tbs", "ctbs")
    )


@pytest.mark.parametrize(
    ("volts", "good"),
    [
        (500.0, True),
        (1.0, True),
        (math.nextafter(500.0, 501.0), False),
        (0.0, False),
        (-1.0, False),
        (math.nan, False),
        (None, False),
        (True, False),
    ],
)
def test_an_open_circuit_has_at_most_500_V(volts: float, good: bool):
    limits = limits_of("tens")
    inputs = msgspec.structs.replace(limits.inputs, open_circuit_v=volts)
    found = check_facts(msgspec.structs.replace(limits, inputs=inputs), FACTS)
    assert [(r.code, r.quantity) for r in found] == ([] if good else [("ILK-105", "open_circuit_v")])


# Dose


def test_charge_is_that_of_the_first_phases():
    # 20 mA x 200 us x 100 Hz = 0.4 mA
    assert exposure(surface(), 10**9, 20.0).charge_c == 0.0004
    assert exposure(surface(rate_hz=2.0, pulses_per_burst=5), 10**9, 20.0).charge_c == 0.00004
    assert exposure(surface(), -1, math.nan).on_time_s == 0.5


def test_an_hour_ends_a_session_and_three_days_a_row():
    limits = without_layers("tens")
    hour = exposure(surface(), 1800 * 10**9, 20.0)
    assert over_session(limits_of("tens"), hour) == ()
    over = exposure(surface(), 1800 * 10**9 + 1, 20.0)
    assert over_session(limits_of("tens"), over) == ("on_time_s",)
    assert limits.budget("n_days", "in_a_row") == 3.0
    assert [(b.name, b.high) for b in budgets_of("tens") if b.scope == "in_a_row"] == [("n_days", 3.0)]
