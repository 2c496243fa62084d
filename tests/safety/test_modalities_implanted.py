"""Implanted electrodes, by both hands: what a setting may be at a contact's own area, and what tries to get around it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.null import IMPEDANCE_KOHM
from drivers.stimulation import Modality, Output
from safety.limit_values import Contact, Limits
from safety.limits import load
from safety.modalities import Facts, check
from tests.safety.examples import EXAMPLES as EXAMPLE_TRAINS
from tests.safety.implanted_settings import (
    CYLINDER,
    IMPLANTED,
    KOHM,
    RING_3389,
    SLIM,
    both,
    of_area,
    pulse,
    wide,
)
from tests.safety.modality_limits import codes, without_layers
from tests.safety.strategies import TODAY, caps_of, limits_of, valid_train, with_quantity

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.mark.parametrize("modality", IMPLANTED)
def test_the_valid_train_passes_both_hands(modality: Modality):
    assert both(valid_train(modality), limits_of(modality), caps_of(modality)) == ((), ())


# The files of the documents


USUAL: dict[Modality, dict[str, float]] = {
    "dbs": {"amplitude_ma": 2.2, "width_us": 60.0, "rate_hz": 130.0},
    "scs": {"amplitude_ma": 5.0, "width_us": 200.0, "rate_hz": 60.0},
    "drg": {"amplitude_ma": 0.7, "width_us": 300.0, "rate_hz": 20.0},
    "pns": {"amplitude_ma": 2.0, "width_us": 150.0, "rate_hz": 12.0},
}


@pytest.mark.parametrize("modality", IMPLANTED)
def test_the_example_of_the_documents_takes_a_usual_setting_and_what_the_null_device_measures(
    modality: Modality,
):
    limits = load((EXAMPLES / f"limits-{modality}.toml").read_bytes())
    name = next(c.name for c in limits.contacts if c.name != "case")
    outputs = (Output(name=name, share=-1.0), Output(name="case", share=1.0))
    usual = USUAL[modality]
    bent = {
        **usual,
        "second_width_us": usual["width_us"],
        "rate_in_burst_hz": usual["rate_hz"],
        "gap_us": 20.0,
    }
    caps = msgspec.structs.replace(wide(modality), outputs=(name, "case"))
    facts = Facts(today="2026-06-01", impedance_kohm=IMPEDANCE_KOHM)
    train = msgspec.structs.replace(EXAMPLE_TRAINS[modality].train(**bent), outputs=outputs)
    assert check(train, limits, caps, facts) == ()
    high = next(r.high for r in limits.rows if (r.layer, r.quantity) == ("participant", "amplitude_ma"))
    above = EXAMPLE_TRAINS[modality].train(
        **{**bent, "amplitude_ma": math.nextafter(high, 1e9)}, outputs=outputs
    )
    assert "ILK-101" in codes(check(above, limits, caps, facts), "amplitude_ma")


# Settings that were worked out; what the device can is not what tissue can


@pytest.mark.parametrize(
    ("modality", "ma", "us", "hz", "area", "refusing", "k"),
    [
        ("dbs", 3.0, 60.0, 130.0, RING_3389, (), "-0.26"),
        ("dbs", 12.0, 90.0, 130.0, RING_3389, (), "1.29"),
        ("dbs", 20.0, 90.0, 130.0, RING_3389, ("contact_ma", "density_uc_cm2"), "1.74"),
        ("dbs", 3.98, 450.0, 130.0, RING_3389, (), "1.73"),
        ("dbs", 3.99, 450.0, 130.0, RING_3389, ("density_uc_cm2",), "1.74"),
        ("scs", 6.0, 300.0, 60.0, CYLINDER, (), "1.43"),
        ("scs", 5.0, 30.0, 10_000.0, CYLINDER, (), "-0.73"),
        ("scs", 15.0, 1000.0, 30.0, CYLINDER,
         ("amplitude_ma", "contact_ma", "total_ma", "charge_uc", "density_uc_cm2", "shannon_k", ""), "3.27"),
        ("drg", 6.0, 300.0, 20.0, SLIM, ("charge_uc", "density_uc_cm2", "shannon_k"), "1.92"),
        ("drg", 6.0, 300.0, 20.0, 0.039, ("charge_uc", "density_uc_cm2", "shannon_k"), "1.92"),
        ("drg", 3.9, 300.0, 20.0, SLIM, (), "1.55"),
        ("pns", 4.0, 200.0, 20.0, CYLINDER, (), "0.72"),
        ("pns", 10.0, 300.0, 20.0, CYLINDER, ("charge_uc", "shannon_k"), "1.87"),
    ],
)  # fmt: skip
def test_worked_settings(
    modality: Modality, ma: float, us: float, hz: float, area: float, refusing: tuple[str, ...], k: str
):
    limits = of_area(without_layers(modality), area)
    train = pulse(modality, ma, us, rate_hz=hz, rate_in_burst_hz=hz)
    refused, _ = both(train, limits, wide(modality))
    assert {reason.quantity for reason in refused} == set(refusing), refused
    at = {r.quantity for r in both(train, _k_of_at_most(limits, float(k)), wide(modality))[0]}
    assert ("shannon_k" in at) is (float(k) > 1.84)  # which the absolute bound refuses
    below = _k_of_at_most(limits, round(float(k) - 0.01, 2))
    (reason,) = (
        r
        for r in both(train, below, wide(modality))[0]
        if (r.quantity, r.set_by) == ("shannon_k", "protocol")
    )
    assert (reason.code, reason.value, reason.limit) == ("ILK-109", float(k), round(float(k) - 0.01, 2))


def _k_of_at_most(limits: Limits, high: float) -> Limits:
    rows = tuple(
        msgspec.structs.replace(r, high=high) if r.quantity == "shannon_k" else r for r in limits.rows
    )
    return msgspec.structs.replace(limits, rows=rows)


# Regimes of the spinal cord


@pytest.mark.parametrize(
    ("ma", "us", "hz", "n", "inside_hz", "has_one"),
    [
        (8.5, 200.0, 30.0, 1, 30.0, True), (2.0, 500.0, 120.0, 1, 120.0, True), (2.0, 500.1, 120.0, 1, 120.0, False),
        (2.0, 200.0, 120.1, 1, 120.1, False), (2.0, 200.0, 1000.0, 1, 1000.0, False), (5.0, 30.0, 1e4, 1, 1e4, True),
        (5.1, 30.0, 1e4, 1, 1e4, False), (5.0, 31.0, 1e4, 1, 1e4, False), (5.0, 30.0, 9999.0, 1, 9999.0, False),
        (2.0, 900.0, 40.0, 5, 500.0, True), (2.1, 900.0, 40.0, 5, 500.0, False), (2.0, 900.0, 40.1, 5, 500.0, False),
        (2.0, 900.0, 40.0, 6, 500.0, False), (2.0, 900.0, 40.0, 5, 500.1, False), (1.0, 30.0, 40.0, 5, 10_000.0, False),
        (1.9, 1000.0, 40.0, 1, 40.0, True),
    ],
)  # fmt: skip
def test_rate_width_and_amplitude_belong_to_one_regime(
    ma: float, us: float, hz: float, n: int, inside_hz: float, has_one: bool
):
    """No setting is made of the rate of one regime and the width of another."""
    train = pulse("scs", ma, us, gap_us=0.0, rate_hz=hz, pulses_per_burst=n, rate_in_burst_hz=inside_hz)
    found = codes(both(train, of_area(without_layers("scs"), CYLINDER), wide("scs"))[0])
    assert found == ([] if has_one else ["ILK-121"])


def test_a_short_second_phase_does_not_slip_out_of_its_regime():
    train = pulse("scs", 4.0, 30.0, second_width_us=20.0, rate_hz=1e4, rate_in_burst_hz=1e4)  # 6 mA
    assert codes(both(train, of_area(without_layers("scs"), CYLINDER), wide("scs"))[0]) == ["ILK-121"]


@pytest.mark.parametrize("modality", IMPLANTED)
def test_a_contact_is_judged_by_its_own_area_and_a_larger_share(modality: Modality):
    """Of the contacts that share a current, the one with most charge for its area decides, not the largest."""
    limits, caps = without_layers(modality), wide(modality)
    names = [c.name for c in limits.contacts if c.name != "case"][:2]
    areas = dict(zip(names, (0.02, 0.1), strict=True))
    contacts = tuple(
        msgspec.structs.replace(c, area_cm2=areas.get(c.name, c.area_cm2)) for c in limits.contacts
    )
    two = msgspec.structs.replace(limits, contacts=contacts)
    for first, second, refuses in ((0.2, 0.8, False), (0.8, 0.2, True)):
        shares = (
            Output(name=names[0], share=-first), Output(name=names[1], share=-second), Output(name="case", share=1.0),
        )  # fmt: skip
        train = msgspec.structs.replace(pulse(modality, 6.0, 140.0), outputs=shares)
        train = msgspec.structs.replace(train, outputs=shares)
        found = {r.quantity for r in both(train, two, caps)[0]}
        assert ("density_uc_cm2" in found) is refuses  # 0.672 uC: 33.6 uC/cm2 on 0.02 cm2, 8.4 on 0.1


@pytest.mark.parametrize("modality", IMPLANTED)
@pytest.mark.parametrize("area", [None, 0.0, -0.06, math.nan, math.inf, 0.0099999, 1e-9, 5e-324, 1e3])
def test_no_area_and_no_microelectrode(modality: Modality, area: float | None):
    """4 nC on a microelectrode is far below every charge, and Shannon's relation says nothing of it."""
    train = pulse(modality, 0.04, 100.0)
    refused, _ = both(train, of_area(limits_of(modality), area), wide(modality))
    assert ("ILK-105", "area_cm2") in {(r.code, r.quantity) for r in refused}
    assert both(train, of_area(limits_of(modality), 0.01), wide(modality))[0] == ()


@pytest.mark.parametrize("modality", IMPLANTED)
def test_the_current_charge_and_density_told_are_those_of_the_contact_that_has_most(modality: Modality):
    limits, caps = of_area(without_layers(modality), 0.05), wide(modality)
    a, b = (c.name for c in limits.contacts[:2])
    thirds = (Output(name=a, share=-0.25), Output(name=b, share=-0.75), Output(name="case", share=1.0))
    train = msgspec.structs.replace(pulse(modality, 2.0, 100.0), outputs=thirds)
    told = {"contact_ma": 1.5, "charge_uc": 0.2, "density_uc_cm2": 3.0, "total_ma": 2.0, "shannon_k": -0.34}
    rows = tuple(
        msgspec.structs.replace(r, high=told[r.quantity] - 0.01) if r.quantity in told else r
        for r in limits.rows
    )
    refused, _ = both(train, msgspec.structs.replace(limits, rows=rows), caps)
    assert {r.quantity: r.value for r in refused} == pytest.approx(told)
    for name in ("contact_ma", "density_uc_cm2", "shannon_k"):
        assert b in next(r.text for r in refused if r.quantity == name)
    assert "case" in next(r.text for r in refused if r.quantity == "charge_uc")


@pytest.mark.parametrize("modality", IMPLANTED)
@pytest.mark.parametrize(
    ("second_cm2", "second_is_worse", "k"), [(0.02, False, -1.04), (0.0175, True, -1.03)]
)
def test_shannon_is_asked_where_the_square_of_the_charge_over_the_area_is_greatest(
    modality: Modality, second_cm2: float, second_is_worse: bool, k: float
):
    """0.6 of it on 0.04 cm2 (10^-1.046) is worse than 0.4 on 0.02, which has the greater density; not than on 0.0175."""
    limits = without_layers(modality)
    a, b = (c.name for c in limits.contacts[:2])
    areas = {a: 0.04, b: second_cm2}
    contacts = tuple(
        msgspec.structs.replace(c, area_cm2=areas[c.name]) if c.name in areas else c for c in limits.contacts
    )
    rows = tuple(
        msgspec.structs.replace(r, high=-5.0) if r.quantity == "shannon_k" else
        msgspec.structs.replace(r, high=0.001) if r.quantity == "density_uc_cm2" else r
        for r in limits.rows
    )  # fmt: skip
    outputs = (Output(name=a, share=-0.6), Output(name=b, share=-0.4), Output(name="case", share=1.0))
    train = msgspec.structs.replace(pulse(modality, 1.0, 100.0), outputs=outputs)
    found, _ = both(train, msgspec.structs.replace(limits, contacts=contacts, rows=rows), wide(modality))
    told = {r.quantity: (r.value, r.text) for r in found}
    assert told["shannon_k"][0] == k and (b if second_is_worse else a) in told["shannon_k"][1]
    assert told["density_uc_cm2"][0] == pytest.approx(0.04 / second_cm2) and b in told["density_uc_cm2"][1]


@pytest.mark.parametrize("modality", IMPLANTED)
def test_of_contacts_without_an_area_nothing_else_is_told(modality: Modality):
    limits = without_layers(modality)
    none = tuple(msgspec.structs.replace(c, area_cm2=None) for c in limits.contacts)
    narrow = tuple(
        msgspec.structs.replace(r, high=0.5) if r.quantity in ("contact_ma", "charge_uc") else r
        for r in limits.rows
    )
    bare = msgspec.structs.replace(limits, contacts=none, rows=narrow)
    refused, _ = both(pulse(modality, 6.0, 100.0), bare, wide(modality))
    assert [r.quantity for r in refused] == ["area_cm2"]
    names = [output.name for output in valid_train(modality).outputs]
    assert all(name in refused[0].text for name in names)


# Signs


@pytest.mark.parametrize("modality", IMPLANTED)
@pytest.mark.parametrize(
    "bent",
    [
        {"amplitude_ma": -1.0},
        {"amplitude_ma": -48.0, "second_width_us": 480.0},
        {"width_us": -60.0, "second_width_us": -60.0},
        {"width_us": -5000.0, "second_width_us": -5000.0},
        {"amplitude_ma": -1.0, "width_us": -60.0},
        {"second_width_us": -60.0},
        {"gap_us": -1e6},
        {"gap_us": -1e6, "width_us": 450.0},
        {"width_us": 0.0},
        {"second_width_us": 0.0},
        {"width_us": 0.0, "second_width_us": 0.0},
        {"rate_hz": 0.0},
        {"rate_hz": -130.0, "rate_in_burst_hz": -130.0},
        {"rate_in_burst_hz": 0.0},
        {"pulses_per_burst": 0},
        {"pulses_per_burst": -1, "rate_hz": -130.0},
        {"pulses_per_burst": True},
        {"pulses_per_burst": 1.0},
        {"pulses_per_burst": 2**60},
        {"amplitude_ma": math.nan},
        {"width_us": math.nan, "second_width_us": math.nan},
        {"amplitude_ma": math.inf, "width_us": 0.0},
        {"amplitude_ma": 1e308, "width_us": 1e308},
        {"amplitude_ma": 5e-324, "second_width_us": 5e-324},
        {"gap_us": math.nan},
        {"rate_hz": math.inf, "rate_in_burst_hz": math.inf},
    ],
    ids=str,
)  # fmt: skip
def test_no_sign_or_other_number_gets_around_a_limit(modality: Modality, bent: dict[str, Any]):
    """Not by its sign, not in pairs whose signs cancel, not as nothing, not as what no number is; nor absolutely."""
    train = valid_train(modality)
    carrier = msgspec.structs.replace(train.waveform.carrier, **bent)  # type: ignore[union-attr]
    wrong = msgspec.structs.replace(train, waveform=msgspec.structs.replace(train.waveform, carrier=carrier))
    for limits, caps in (
        (limits_of(modality), caps_of(modality)),
        (without_layers(modality), wide(modality)),
    ):
        refused, objected = both(wrong, limits, caps)
        assert refused and objected
        assert {"ILK-101", "ILK-102", "ILK-103"} & set(codes(refused))
        assert all(r.text.isprintable() and len(r.text) < 400 and math.isfinite(r.value) for r in refused)


@pytest.mark.parametrize("modality", IMPLANTED)
def test_nothing_is_a_step_down_and_passes(modality: Modality):
    assert both(with_quantity(modality, "amplitude_ma", 0.0), limits_of(modality), caps_of(modality)) == (
        (),
        (),
    )
    assert both(with_quantity(modality, "amplitude_ma", -0.0), limits_of(modality), caps_of(modality)) == (
        (),
        (),
    )


# Contacts and shares


@pytest.mark.parametrize("modality", IMPLANTED)
@pytest.mark.parametrize(
    "shares",
    [
        ((), ()),
        (("case", 1.0),),
        (("A", -1.0),),
        (("A", 1.0), ("A", -1.0)),
        (("A", 50.0), ("A", -51.0), ("case", 1.0)),
        (("A", -1.0), ("case", 0.5)),
        (("A", -2.0), ("case", 2.0)),
        (("A", -8.0), ("B", 7.0), ("case", 1.0)),
        (("A", -1.0), ("B", 0.0), ("case", 1.0)),
        (("A", math.nan), ("case", 1.0)),
        (("A", -math.inf), ("case", math.inf)),
        (("A", -1.0), ("X", 1.0)),
        (("A", -1.0 - 1e-8), ("case", 1.0)),
        (("A", -1.0 - 1e-8), ("case", 1.0 + 1e-8)),
        (*((f"N{i}", 1.0 / 1000) for i in range(1000)), ("case", -1.0)),
    ],
    ids=lambda shares: str(shares)[:60],
)  # fmt: skip
def test_shares_that_cancel_hide_or_multiply_a_current_are_refused(
    modality: Modality, shares: tuple[tuple[str, float], ...]
):
    limits, caps = limits_of(modality), caps_of(modality)
    a, b = (c.name for c in limits.contacts[:2])
    names = {"A": a, "B": b}
    outputs = tuple(Output(name=names.get(each[0], each[0]), share=each[1]) for each in shares if each)
    train = msgspec.structs.replace(valid_train(modality), outputs=outputs)
    assert "ILK-107" in codes(both(train, limits, caps)[0])


@pytest.mark.parametrize("modality", IMPLANTED)
def test_the_case_takes_back_what_no_contact_may(modality: Modality):
    """Two contacts share what one may not carry; the case, with an area of its own, carries all of it back."""
    limits, caps = of_area(without_layers(modality), 0.1), wide(modality)
    a, b = (c.name for c in limits.contacts[:2])
    rows_ = tuple(
        msgspec.structs.replace(r, high=2.0) if r.quantity == "contact_ma" else r for r in limits.rows
    )
    limits = msgspec.structs.replace(limits, rows=rows_)
    halves = (Output(name=a, share=-0.5), Output(name=b, share=-0.5), Output(name="case", share=1.0))
    train = msgspec.structs.replace(pulse(modality, 3.0, 50.0), outputs=halves)
    assert both(train, limits, caps) == ((), ())
    alone = msgspec.structs.replace(
        train, outputs=(Output(name=a, share=-1.0), Output(name="case", share=1.0))
    )
    assert [(r.quantity, r.value) for r in both(alone, limits, caps)[0]] == [("contact_ma", 3.0)]
    back = msgspec.structs.replace(train, outputs=(Output(name=a, share=-1.0), Output(name=b, share=1.0)))
    assert [r.quantity for r in both(back, limits, caps)[0]] == ["contact_ma"]


@pytest.mark.parametrize("modality", IMPLANTED)
def test_a_way_back_by_a_small_case_is_judged_like_a_contact(modality: Modality):
    limits = without_layers(modality)
    contacts = (
        *(c for c in limits.contacts if c.name != "case"),
        Contact(name="case", area_cm2=0.001, coil=None),
    )
    outputs = (Output(name=limits.contacts[0].name, share=-1.0), Output(name="case", share=1.0))
    train = msgspec.structs.replace(valid_train(modality), outputs=outputs)
    assert both(train, limits, wide(modality)) == ((), ())
    refused, _ = both(train, msgspec.structs.replace(limits, contacts=contacts), wide(modality))
    assert "area_cm2" in {r.quantity for r in refused}


@pytest.mark.parametrize("modality", IMPLANTED)
def test_an_output_more_than_there_are_contacts_is_refused_by_their_number_alone(modality: Modality):
    limits, caps = without_layers(modality), wide(modality)
    n = len(limits.contacts) + 1
    outputs = tuple(Output(name=limits.contacts[0].name, share=-9.0) for _ in range(n))
    train = msgspec.structs.replace(valid_train(modality), outputs=outputs)
    found = check(train, limits, caps, Facts(today=TODAY, impedance_kohm=KOHM))
    assert [(r.code, r.set_by) for r in found] == [("ILK-107", "protocol")]
    assert f"{n} outputs, limits.toml has {n - 1} contacts" in found[0].text


@pytest.mark.parametrize("modality", IMPLANTED)
def test_the_second_phase_is_told_of_where_it_is_the_larger(modality: Modality):
    limits, caps = of_area(without_layers(modality), 0.1), wide(modality)
    high = next(r.high for r in limits.rows if r.quantity == "amplitude_ma")
    for second_us, told in ((100.0, False), (50.0, True), (99.0, True), (101.0, False)):
        train = pulse(modality, high + 0.001, 100.0, second_width_us=second_us)
        texts = [r.text for r in both(train, limits, caps)[0] if r.quantity == "amplitude_ma"]
        assert texts and any("of the second phase" in text for text in texts) is told, second_us
