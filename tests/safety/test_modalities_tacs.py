"""Alternating current: shares, density, impedance, slew, charge; the ways around each."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.stimulation import Output, Train
from safety.limits import Limits, load
from safety.messages import Reason
from safety.modalities import (
    Exposure,
    Facts,
    amplitude_ceiling,
    budgets_of,
    check,
    check_facts,
    check_slew,
    exposure,
    rows,
)
from tests.safety.strategies import FACTS, PAIR, caps_of, document, hold, limits_of, quantity_of, row, to_toml
from tests.safety.strategies import with_quantity as bent

CAPS = caps_of("tacs")


def limits_with(name: str, layer: str = "protocol", **ends: float) -> Limits:
    doc = document("tacs")
    doc[f"{layer}_limits"][name] = row(quantity_of("tacs", name), ends)
    return load(to_toml(doc))


def refused(train: Train, limits: Limits | None = None, facts: Facts = FACTS) -> list[tuple[str, str, str]]:
    return [(r.code, r.quantity, r.set_by) for r in check(train, limits or limits_of("tacs"), CAPS, facts)]


def outputs(*shares: tuple[str, float]) -> tuple[Output, ...]:
    return tuple(Output(name=name, share=share) for name, share in shares)


# Outputs and shares


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("F3", 1.0),),
        (("F3", 1.0), ("Oz", 1.0)),
        (("F3", -1.0), ("Oz", -1.0)),
        (("F3", 1.0), ("Oz", -0.99)),
        (("F3", 1.0), ("Oz", -1.0 - 1e-8)),
        (("F3", 0.5), ("Oz", -0.5)),
        (("F3", 0.0), ("Oz", 0.0)),
        (("F3", 1.0), ("Oz", -1.0), ("F3", -1.0)),
        (("F3", 1.0), ("F3", -1.0)),
        (("F3", 2.0), ("Oz", -2.0)),
        (("F3", 1.0), ("Oz", math.nan)),
        (("F3", math.inf), ("Oz", -math.inf)),
        (("F3", True), ("Oz", -1.0)),
        (("F3", "1"), ("Oz", -1.0)),
        (("F3", None), ("Oz", None)),
        (("F3", 10**400), ("Oz", -(10**400))),
        (("F3", 1.0), ("Pz", -1.0)),
        (("F3", 1.0), ("F4", -1.0)),
        (("F3", 1.0), ("oz", -1.0)),
        (("F3\x1b[2J", 1.0), ("Oz", -1.0)),
    ],
    ids=str,
)
def test_shares_that_do_not_balance_on_known_contacts_are_refused(pairs: tuple[tuple[str, float], ...]):
    found = check(hold(outputs=outputs(*pairs)), limits_of("tacs"), CAPS, FACTS)
    assert "ILK-107" in [r.code for r in found]
    assert all(r.text.isprintable() and len(r.text) < 300 and math.isfinite(r.value) for r in found)


@pytest.mark.parametrize(
    ("pairs", "good"),
    [
        ((("F3", 1.0), ("Oz", -0.999999999)), True),
        ((("F3", 1.0), ("Oz", -0.9999999989)), False),
        ((("F3", 1.0), ("Oz", -1.000000001)), True),
        ((("F3", 1.0), ("Oz", -1.0000000011)), False),
        ((("F3", 1.000000001), ("Oz", -1.000000001)), True),
        ((("F3", 1.0000000011), ("Oz", -1.0000000011)), False),
        ((("F3", 0.999999999), ("Oz", -0.999999999)), True),
        ((("F3", 0.9999999989), ("Oz", -0.9999999989)), False),
    ],
)
def test_shares_balance_to_one_part_in_a_thousand_million(pairs: tuple[tuple[str, float], ...], good: bool):
    found = check(hold(outputs=outputs(*pairs)), limits_of("tacs"), CAPS, FACTS)
    assert [r.code for r in found] == ([] if good else ["ILK-107"])


def test_a_part_of_the_amplitude_is_told_with_what_was_expected():
    (reason,) = check(hold(outputs=outputs(("F3", 0.5), ("Oz", -0.5))), limits_of("tacs"), CAPS, FACTS)
    assert (reason.value, reason.limit) == (0.5, 1.0)
    assert "sum to 0.5, expected 1" in reason.text


def test_shares_that_balance():
    three = document("tacs")
    three["contacts"]["F4"] = {"area_cm2": 35.0}
    limits = load(to_toml(three))
    for pairs in (
        (("F3", -1.0), ("Oz", 1.0)),
        (("F3", 0.5), ("F4", 0.5), ("Oz", -1.0)),
        (("F3", 0.1), ("F4", 0.9), ("Oz", -1.0)),
        (("F3", 1 / 3), ("F4", 2 / 3), ("Oz", -1.0)),
        (("F3", 1.0), ("Oz", -1.0 + 1e-10)),
        (("F3", 1), ("Oz", -1)),
    ):
        assert check(hold(outputs=outputs(*pairs)), limits, CAPS, FACTS) == ()


def test_who_does_not_know_a_contact_is_named():
    assert ("ILK-107", "", "protocol") in refused(hold(outputs=outputs(("F3", 1.0), ("F4", -1.0))))
    less = msgspec.structs.replace(CAPS, outputs=("F3",))
    found = check(hold(), limits_of("tacs"), less, FACTS)
    assert [(r.code, r.set_by) for r in found] == [("ILK-107", "device")]


def test_a_negative_amplitude_is_no_way_around_the_limit():
    # A predicate `<= max` alone lets -48 mA pass a limit of 6 mA.
    for value in (-0.01, -1.0, -2.0, -4.0, -48.0, -1e300):
        codes = {code for code, _, _ in refused(hold(value))}
        assert "ILK-102" in codes, value
    swapped = hold(-1.0, outputs=outputs(("F3", -1.0), ("Oz", 1.0)))
    assert "ILK-102" in {code for code, _, _ in refused(swapped)}
    assert ("ILK-109", "density_ma_cm2", "protocol") in refused(hold(-4.0))


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e-3])
def test_another_unit_is_refused(factor: float):
    assert refused(hold(1.001 * factor))
    assert refused(hold(frequency_hz=10.0 * factor)) if factor > 1 else True
    assert refused(hold(duration_ms=max(int(400 * factor), 1)))


def test_a_thousand_outputs_get_few_words():
    many = outputs(*((f"x{i}" + "y" * 50, math.nan) for i in range(1000)))
    found = check(hold(outputs=many), limits_of("tacs"), CAPS, FACTS)
    assert [(r.code, r.set_by) for r in found] == [("ILK-107", "protocol")]
    assert "1000 outputs, limits.toml has 2 contacts" in found[0].text


def test_many_wrong_names_get_few_words():
    doc = document("tacs")
    doc["contacts"] = {f"c{i}": {"area_cm2": 10.0} for i in range(64)}
    wrong = outputs(*((f"x{i}" + "y" * 50, math.nan) for i in range(64)))
    found = check(hold(outputs=wrong), load(to_toml(doc)), CAPS, FACTS)
    few = check(hold(outputs=wrong[:4]), load(to_toml(doc)), CAPS, FACTS)
    assert len(few) == 3 and all("more" not in r.text and r.text.count("'x") == 4 for r in few)
    five = check(hold(outputs=wrong[:5]), load(to_toml(doc)), CAPS, FACTS)
    assert all(r.text.endswith("and 1 more") and r.text.count("'x") == 4 for r in five)
    assert len(found) == 3 and all(r.text.endswith("and 60 more") and len(r.text) < 300 for r in found)


def test_a_device_with_a_long_name_gets_few_words():
    talker = msgspec.structs.replace(CAPS, model="\x1b[2J" * 10_000, firmware="x" * 10_000)
    found = check(hold(5.0), limits_of("tacs"), talker, FACTS)
    assert "device" in {r.set_by for r in found}
    assert all(r.text.isprintable() and len(r.text) < 300 for r in found)


# Density


def test_density_is_peak_current_over_area():
    # 1.5 mA peak to peak is 0.75 mA peak; on 25 cm2 that is 0.03 mA/cm2, on 35 cm2 less.
    assert refused(hold(1.5), limits_with("density_ma_cm2", max=0.03)) == []
    tight = limits_with("density_ma_cm2", max=math.nextafter(0.03, 0.0))
    found = check(hold(1.5), tight, CAPS, FACTS)
    (reason,) = found
    assert (reason.code, reason.quantity, reason.set_by) == ("ILK-109", "density_ma_cm2", "protocol")
    assert reason.value == 0.03 and "'F3'" in reason.text
    assert refused(hold(1.51), limits_with("density_ma_cm2", max=0.03)) == [
        ("ILK-109", "density_ma_cm2", "protocol")
    ]


@pytest.mark.parametrize("layer", ["absolute", "site", "protocol", "participant"])
def test_density_of_every_layer(layer: str):
    doc = document("tacs")
    doc["protocol_limits"]["density_ma_cm2"]["max"] = 0.63
    for contact in doc["contacts"].values():
        contact["area_cm2"] = 1.0
    if layer != "absolute":
        doc[f"{layer}_limits"]["density_ma_cm2"] = row(quantity_of("tacs", "density_ma_cm2"), {"max": 0.5})
    limits = load(to_toml(doc))
    at, over = (1.26, 1.27) if layer == "absolute" else (1.0, 1.01)
    assert refused(hold(at), limits) == []
    assert {r[2] for r in refused(hold(over), limits)} == (
        {"absolute", "protocol"} if layer == "absolute" else {layer}
    )


def test_a_share_carries_its_part_of_the_current():
    three = document("tacs")
    three["contacts"] = {name: {"area_cm2": 10.0} for name in ("F3", "F4", "Oz")}
    three["protocol_limits"]["density_ma_cm2"]["max"] = 0.05
    limits = load(to_toml(three))
    split = outputs(("F3", 0.5), ("F4", -1.0), ("Oz", 0.5))
    found = check(hold(1.5, outputs=split), limits, CAPS, FACTS)
    assert [("'F4'" in r.text, r.value) for r in found] == [(True, 0.075)]


def test_a_contact_without_an_area_is_refused():
    limits = limits_of("tacs")
    for area in (None, 0.0, -25.0, math.nan, math.inf):
        contacts = tuple(msgspec.structs.replace(c, area_cm2=area) for c in limits.contacts)
        found = check(hold(), msgspec.structs.replace(limits, contacts=contacts), CAPS, FACTS)
        assert [(r.code, r.quantity) for r in found] == [("ILK-105", "area_cm2")]
        assert "'F3', 'Oz'" in found[0].text


# Impedance


@pytest.mark.parametrize(
    ("kohm", "code"),
    [
        (0.1, ""),
        (15.0, ""),
        (5, ""),
        (math.nextafter(0.1, 0.0), "ILK-112"),
        (math.nextafter(15.0, 16.0), "ILK-112"),
        (0.0, "ILK-112"),
        (-5.0, "ILK-112"),
        (20.1, "ILK-112"),
        (5000.0, "ILK-112"),
        (0.005, "ILK-112"),
        (None, "ILK-105"),
        (math.nan, "ILK-103"),
        (math.inf, "ILK-103"),
        (True, "ILK-103"),
        ("5", "ILK-103"),
    ],
)
def test_the_impedance_gate(kohm: float | None, code: str):
    facts = Facts(today=FACTS.today, impedance_kohm=kohm)
    for found in (check_facts(limits_of("tacs"), facts), check(hold(), limits_of("tacs"), CAPS, facts)):
        assert {r.code for r in found} == ({code} if code else set())
        assert {r.quantity for r in found} <= {"impedance_kohm"}


def test_every_layer_that_refuses_an_impedance_is_named():
    facts = Facts(today=FACTS.today, impedance_kohm=21.0)
    limits = limits_with("impedance_kohm", "site", min=1.0, max=18.0)
    found = check_facts(limits, facts)
    assert [(r.set_by, r.limit) for r in found] == [("absolute", 20.0), ("site", 18.0), ("protocol", 15.0)]


# Slew


def slew(train: Train, now: float, limits: Limits | None = None) -> tuple[Reason, ...]:
    return check_slew(train, now, limits or limits_of("tacs"))


def test_slew_is_the_rise_over_the_ramp():
    assert slew(hold(1.0, ramp_up_ms=1000), 0.0) == ()
    assert slew(hold(1.5, ramp_up_ms=500), 1.0) == ()
    assert slew(hold(1.5, ramp_up_ms=1000), 0.5) == ()
    assert slew(hold(0.0, ramp_up_ms=1), 2.0) == ()
    assert slew(hold(1.0, ramp_up_ms=1), 1.0) == ()
    (reason,) = slew(hold(1.0, ramp_up_ms=999), 0.0)
    assert (reason.code, reason.quantity, reason.set_by, reason.limit) == (
        "ILK-111",
        "slew_ma_per_s",
        "protocol",
        1.0,
    )
    assert [r.set_by for r in slew(hold(2.01, ramp_up_ms=1000), 0.0)] == ["absolute", "protocol"]
    assert slew(hold(1.0, ramp_up_ms=1000), 0.0, limits_with("slew_ma_per_s", max=math.nextafter(1.0, 0.0)))


def test_what_does_not_rise_needs_no_limit_of_rising():
    limits = limits_of("tacs")
    bare = msgspec.structs.replace(
        limits, rows=tuple(r for r in limits.rows if r.quantity != "slew_ma_per_s")
    )
    assert slew(hold(1.0), 1.0, bare) == slew(hold(0.5), 1.0, bare) == ()
    assert [r.code for r in slew(hold(math.nextafter(1.0, 2.0)), 1.0, bare)] == ["ILK-110"]


@pytest.mark.parametrize("now", [math.nan, math.inf, -1.0, None, True, "1"])
def test_an_output_that_cannot_be_told_counts_as_zero(now: float):
    assert slew(hold(1.0, ramp_up_ms=1000), now) == ()
    assert [r.code for r in slew(hold(1.1, ramp_up_ms=1000), now)] == ["ILK-111"]


@pytest.mark.parametrize("name", ["amplitude_ma_pp", "ramp_up_ms"])
@pytest.mark.parametrize("value", [math.nan, None, "1", True, math.inf])
def test_a_rise_of_no_numbers_is_refused(name: str, value: object):
    assert [r.code for r in slew(bent("tacs", name, value), 0.0)] == ["ILK-103"]


@pytest.mark.parametrize("ramp_up_ms", [0, -1])
def test_a_rise_in_no_time_is_refused(ramp_up_ms: int):
    assert [r.code for r in slew(hold(ramp_up_ms=ramp_up_ms), 0.0)] == ["ILK-103"]


def test_the_ceiling_is_what_slew_and_limits_let_through():
    limits = limits_of("tacs")
    for now in (0.0, 0.3, 1.0, 1.9, 2.0, 5.0):
        for ramp_ms in (50, 333, 1000, 5000):
            ceiling = amplitude_ceiling(limits.modality, rows(limits, CAPS), now, ramp_ms)
            assert slew(hold(ceiling, ramp_up_ms=ramp_ms), now) == ()
            assert ceiling <= 2.0
            if ceiling < 2.0:
                assert slew(hold(ceiling + 1e-5, ramp_up_ms=ramp_ms), now)
    assert (
        amplitude_ceiling(limits.modality, rows(limits, CAPS), 0.0, 0) == 0.4
    )  # the ramp as long as the lease of 400 ms
    assert amplitude_ceiling(limits.modality, rows(limits, CAPS), 0.0, 1) == 0.001
    assert amplitude_ceiling(limits.modality, rows(limits, CAPS), math.nan, 1000) == 1.0


# Exposure


def test_exposure_counts_peak_current_and_rounds_up():
    assert exposure(hold(), 2_000_000_000, 2.0) == Exposure(on_time_s=2.0, charge_c=0.002, n_pulses=0)
    assert exposure(hold(), 1, 2.0) == Exposure(on_time_s=1e-6, charge_c=1e-9, n_pulses=0)
    assert exposure(hold(), 1_001, 2.0).on_time_s == 2e-6
    assert exposure(hold(), 0, 2.0) == Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=0)
    assert exposure(hold(), 10**9, 0.0).charge_c == 0.0


def test_the_joint_limit_of_bikson_binds_before_either_alone():
    # 4 mA peak (8 peak to peak) for 40 min would be 9.6 C; the budget of 7.2 C ends it after 30 min.
    assert exposure(hold(), 40 * 60 * 10**9, 8.0).charge_c == 9.6
    assert exposure(hold(), 30 * 60 * 10**9, 8.0).charge_c == 7.2
    assert {b.name: b.high for b in budgets_of("tacs") if b.scope == "session"} == {
        "on_time_s": 2400.0,
        "charge_c": 7.2,
    }


@pytest.mark.parametrize("reached", [math.nan, math.inf, -1.0, None, True])
def test_an_unknown_amplitude_counts_as_what_was_asked(reached: float):
    assert exposure(hold(1.5), 10**9, reached).charge_c == 0.00075


def test_slices_never_add_up_to_less_than_the_whole():
    whole = exposure(hold(), 1_000_000_007, 1.234)
    parts = [exposure(hold(), span, 1.234) for span in (333_333_335, 333_333_336, 333_333_336)]
    assert sum(p.on_time_s for p in parts) >= whole.on_time_s - 1e-12
    assert sum(p.charge_c for p in parts) >= whole.charge_c - 1e-15


def test_the_pair_of_this_module_is_valid():
    assert refused(hold(outputs=PAIR)) == []


@given(
    level=st.floats(0.0, 4.0, allow_nan=False),
    span_ns=st.integers(0, 10**13),
)
def test_the_charge_is_the_exact_product_rounded_up(level: float, span_ns: int):
    found = exposure(hold(0.5), span_ns, level)
    exactly_nc = Fraction(repr(level)) / 2 * span_ns / 1000
    assert found.charge_c == math.ceil(exactly_nc) / 1_000_000_000
    assert found.on_time_s == math.ceil(Fraction(span_ns, 1000)) / 1_000_000


@pytest.mark.parametrize(
    ("level", "now"),
    [(0.3, 0.3), (0.3, 0.30000000000000004), (0.0, 0.0), (0.2, 2.0), (0.3, math.nextafter(0.3, 1))],
)
def test_what_does_not_rise_has_no_slew(level: float, now: float):
    assert slew(hold(level, ramp_up_ms=10), now) == ()


@pytest.mark.parametrize("now", (math.nan, math.inf, -1.0, -math.inf))
def test_an_output_that_cannot_be_told_is_no_excuse_for_a_rise(now: float):
    assert slew(hold(1.0, ramp_up_ms=10), now) == slew(hold(1.0, ramp_up_ms=10), 0.0) != ()
