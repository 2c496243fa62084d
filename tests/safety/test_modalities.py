"""What holds for every modality: boundaries of every row in every layer, cross refusal, down, exposure."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from sys import float_info

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, Output, Train, quantities
from safety.limits import Limits, load
from safety.messages import Allowed, Reason, Refusal, Row
from safety.modalities import (
    REASONS,
    Facts,
    amplitude_ceiling,
    budgets_of,
    check,
    check_facts,
    check_slew,
    exposure,
    formulas_of,
    interval_after_ns,
    is_down,
    quantities_of,
    ramp_down_max_ns,
    ramp_down_ns,
    rows,
    stop_how,
)
from safety.modalities.bounds import as_float, exact, is_number, on_step, shown, within
from tests.safety.strategies import (
    FACTS,
    MODALITIES,
    caps_of,
    document,
    hold,
    limits_bytes,
    limits_of,
    pulses,
    quantity_of,
    row,
    to_toml,
    trains_near,
    valid_train,
    with_quantity,
)

ASKED = [(m, d.name) for m in MODALITIES for d in quantities_of(m) if d.asked]
LAYERS = ("absolute", "site", "protocol", "participant", "device")


def codes(found: tuple[Reason, ...], quantity: str = "") -> list[str]:
    return [reason.code for reason in found if not quantity or reason.quantity == quantity]


@functools.cache
def without_layers(modality: Modality) -> Limits:
    """Limits whose every row holds the absolute bound."""
    doc = document(modality)
    for declared in quantities_of(modality):
        both = {"min": declared.low, "max": declared.high}
        ends = both if declared.sides == "both" else {declared.sides: both[declared.sides]}
        if declared.integer:
            ends = {key: int(value) for key, value in ends.items()}
        doc["protocol_limits"][declared.name] = row(declared, ends)
    return load(to_toml(doc))


def narrowed(
    modality: Modality, name: str, layer: str, low: float, high: float
) -> tuple[Limits, Capabilities]:
    """Absolute bounds everywhere, but for one layer that is narrower in one quantity; a boundless device."""
    limits = without_layers(modality)
    wide = Envelope(low=-1e6, high=1e6, step=0)
    caps = msgspec.structs.replace(
        caps_of(modality), envelopes=dict.fromkeys(caps_of(modality).envelopes, wide)
    )
    if layer == "device":
        caps.envelopes[name] = Envelope(low=low, high=high, step=0)
    elif layer != "absolute":
        found = next(r for r in limits.rows if r.quantity == name)
        narrow = msgspec.structs.replace(found, layer=layer, low=low, high=high)
        kept = tuple(r for r in limits.rows if not (r.quantity == name and r.layer == layer))
        limits = msgspec.structs.replace(limits, rows=(*kept, narrow))
    return limits, caps


def inner(modality: Modality, name: str, layer: str) -> tuple[float, float]:
    declared = quantity_of(modality, name)
    if layer == "absolute":
        return declared.low, declared.high
    width = declared.high - declared.low
    low, high = declared.low + 0.25 * width, declared.high - 0.25 * width
    return (math.ceil(low), math.floor(high)) if declared.integer else (round(low, 3), round(high, 3))


# The absolute bounds, a second time: whoever changes one says so twice

ABSOLUTE = {
    "amplitude_ma_pp": (0.0, 4.0),
    "frequency_hz": (0.1, 100.0),
    "phase_rad": (-2 * math.pi, 2 * math.pi),
    "ramp_up_ms": (10, 30_000),
    "ramp_down_ms": (10, 500),
    "duration_ms": (10, 500),
    "slew_ma_per_s": (0.0, 2.0),
    "impedance_kohm": (0.0, 20.0),
    "density_ma_cm2": (0.0, 0.63),
    "amplitude_pct_mso": (0.0, 100.0),
    "rate_hz": (0.1, 25.0),
    "n_pulses": (1, 50),
    "pct_rmt": (0.0, 130.0),
    "train_s": (0.0, 10.0),
    "interval_s": (5.0, 3600.0),
}
BUDGETS = {
    "tacs": {"on_time_s": 2400.0, "charge_c": 7.2},
    "rtms": {"on_time_s": 5400.0, "n_pulses": 3000.0},
}


def test_the_absolute_bounds_are_these():
    declared = {d.name: (d.low, d.high) for m in MODALITIES for d in quantities_of(m)}
    assert declared == ABSOLUTE
    assert {m: {b.name: b.high for b in budgets_of(m)} for m in MODALITIES} == BUDGETS


# Boundary triples of every row


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("modality", "name"), ASKED)
def test_boundaries_of_every_asked_quantity_in_every_layer(modality: Modality, name: str, layer: str):
    low, high = inner(modality, name, layer)
    limits, caps = narrowed(modality, name, layer, low, high)
    integer = quantity_of(modality, name).integer
    below = low - 1 if integer else math.nextafter(low, -math.inf)
    above = high + 1 if integer else math.nextafter(high, math.inf)
    step_in_low = low + 1 if integer else math.nextafter(low, math.inf)
    step_in_high = high - 1 if integer else math.nextafter(high, -math.inf)
    for value in (low, high, step_in_low, step_in_high):
        train = with_quantity(modality, name, int(value) if integer else value)
        assert not {"ILK-101", "ILK-102"} & set(codes(check(train, limits, caps, FACTS), name)), value
    for value, code, end in ((below, "ILK-102", low), (above, "ILK-101", high)):
        train = with_quantity(modality, name, int(value) if integer else value)
        found = [r for r in check(train, limits, caps, FACTS) if r.quantity == name and r.code == code]
        assert layer in {r.set_by for r in found}, (value, found)
        (reason,) = (r for r in found if r.set_by == layer)
        assert (reason.value, reason.limit) == (pytest.approx(value), end)
        assert layer in reason.text and f"{end:.10g}" in reason.text


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("modality", "name"), ASKED)
def test_rows_show_the_least_and_who_set_it(modality: Modality, name: str, layer: str):
    low, high = inner(modality, name, layer)
    limits, caps = narrowed(modality, name, layer, low, high)
    found = next(r for r in rows(limits, caps) if r.quantity == name)
    if name != "amplitude_pct_mso":  # which the motor threshold lowers further
        assert (found.low, found.high, found.set_by) == (low, high, layer)
    assert found.unit == quantity_of(modality, name).unit


def test_all_layers_that_refuse_are_named():
    doc = document("tacs")
    for layer, high in (("site", 3.0), ("participant", 1.5)):
        doc[f"{layer}_limits"]["amplitude_ma_pp"] = row(quantity_of("tacs", "amplitude_ma_pp"), {"max": high})
    found = check(hold(4.5), load(to_toml(doc)), caps_of("tacs"), FACTS)
    above = [(r.set_by, r.limit, r.value) for r in found if r.code == "ILK-101"]
    assert above == [(s, x, 4.5) for s, x in zip(LAYERS, (4.0, 3.0, 2.0, 1.5, 4.0), strict=True)]


def test_of_equal_limits_the_outermost_is_named():
    limits = without_layers("tacs")
    found = {r.quantity: r for r in rows(limits, caps_of("tacs"))}
    assert found["amplitude_ma_pp"].set_by == "absolute"


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_valid_train_passes_and_a_limit_of_zero_holds(modality: Modality):
    limits, caps = limits_of(modality), caps_of(modality)
    assert check(valid_train(modality), limits, caps, FACTS) == ()
    name = "amplitude_ma_pp" if modality == "tacs" else "amplitude_pct_mso"
    doc = document(modality)
    doc["protocol_limits"][name]["max"] = 0
    none = load(to_toml(doc))
    assert codes(check(valid_train(modality), none, caps, FACTS), name) == ["ILK-101"]
    assert check(with_quantity(modality, name, 0.0), none, caps, FACTS) == ()
    assert check(with_quantity(modality, name, -0.0), none, caps, FACTS) == ()
    assert next(r for r in rows(none, caps) if r.quantity == name).high == 0.0
    assert amplitude_ceiling(none.modality, rows(none, caps), 0.0, 100) == 0.0


# Numbers that are none


@pytest.mark.parametrize(("modality", "name"), ASKED)
@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        True,
        False,
        None,
        "2",
        "",
        [],
        {},
        10**400,
        -(10**400),
        2**53 + 1,
        1j,
        b"2",
    ],
    ids=str,
)
def test_what_is_no_number_of_its_type_is_refused_as_such(modality: Modality, name: str, value: object):
    train = with_quantity(modality, name, value)
    found = check(train, limits_of(modality), caps_of(modality), FACTS)
    assert "ILK-103" in codes(found, name)
    refusal = Refusal(id=1, reasons=found, allowed=_allowed(limits_of(modality), caps_of(modality)))
    assert msgspec.json.decode(msgspec.json.encode(refusal), type=Refusal) == refusal
    assert all(reason.text.isprintable() and len(reason.text) < 300 for reason in found)


@pytest.mark.parametrize(("modality", "name"), [(m, n) for m, n in ASKED if quantity_of(m, n).integer])
def test_integers_are_no_floats(modality: Modality, name: str):
    value = float(quantities(valid_train(modality))[name])
    train = with_quantity(modality, name, value)
    assert codes(check(train, limits_of(modality), caps_of(modality), FACTS), name) == ["ILK-103"]


def test_is_number():
    assert is_number(2**53, integer=True) and not is_number(2**53 + 1, integer=True)
    assert is_number(-(2**53), integer=False) and not is_number(-(2**53) - 1, integer=False)
    assert is_number(1, integer=False) and is_number(1.5, integer=False) and not is_number(1.0, integer=True)


def test_bounds_that_are_no_numbers_hold_nothing():
    one = Fraction(1)
    assert within(one, 1.0, 1.0) and within(one, 0, 1) and not within(one, 1.5, 0.5)
    for bad in (math.nan, math.inf, -math.inf):
        assert not within(one, bad, 2.0) and not within(one, 0.0, bad)


# The device


@pytest.mark.parametrize(("modality", "name"), ASKED)
@pytest.mark.parametrize(
    "envelope",
    [
        None,
        Envelope(low=math.nan, high=1e6, step=0),
        Envelope(low=0, high=math.inf, step=0),
        Envelope(low=0, high=1e6, step=-1.0),
        Envelope(low=0, high=1e6, step=math.nan),
    ],
    ids=str,
)
def test_a_device_without_a_usable_range_gets_nothing(
    modality: Modality, name: str, envelope: Envelope | None
):
    caps = caps_of(modality)
    if envelope is None:
        del caps.envelopes[name]
    else:
        caps.envelopes[name] = envelope
    found = check(valid_train(modality), limits_of(modality), caps, FACTS)
    assert [(r.code, r.set_by) for r in found] == [("ILK-110", "device")]
    effective = next(r for r in rows(limits_of(modality), caps) if r.quantity == name)
    assert (effective.low, effective.high, effective.set_by) == (0.0, 0.0, "device")


@pytest.mark.parametrize(
    ("value", "step", "on"),
    [
        ("0.3", "0.1", True),
        ("0.30000000000000004", "0.1", True),
        ("0.3000001", "0.1", False),
        ("0", "0.1", True),
        ("1e-12", "0.1", False),
        ("-0.2", "0.1", True),
        ("1.005", "0.01", False),
        ("1000000000.4", "1", True),
        ("100000000.4", "1", False),
        ("0.05", "0.1", False),
        ("1.000000001", "1", True),
        ("1.0000000010000000001", "1", False),
        ("0.999999999", "1", True),
        ("0.9999999989", "1", False),
        ("2.000000002", "1", True),
        ("-1.000000001", "1", True),
    ],
)
def test_steps_are_told_in_decimals(value: str, step: str, on: bool):
    assert on_step(Fraction(value), Fraction(step)) is on


def test_every_step_of_the_device_is_on_step_however_it_was_computed():
    limits, caps = limits_of("tacs"), caps_of("tacs")
    for n in range(201):
        for value in (n * 0.01, n / 100, round(n * 0.01, 2)):
            if value <= 2.0:
                assert codes(check(hold(value), limits, caps, FACTS), "amplitude_ma_pp") == [], value
    found = check(hold(1.005), limits, caps, FACTS)
    assert [(r.code, r.limit, r.set_by) for r in found] == [("ILK-104", 0.01, "device")]


def test_a_range_upside_down_lets_nothing_through():
    caps = caps_of("tacs")
    caps.envelopes["amplitude_ma_pp"] = Envelope(low=2.0, high=1.0, step=0)
    for value, code in ((1.0, "ILK-102"), (1.5, "ILK-102"), (2.0, "ILK-101")):
        found = check(hold(value), limits_of("tacs"), caps, FACTS)
        assert [(r.code, r.set_by) for r in found] == [(code, "device")]


def test_what_was_found_is_shown_short():
    assert shown(10**400) == shown(-(2**53) - 1) == "an integer beyond ±2^53"
    assert shown(-(2**53)) == "-9007199254740992"
    assert shown(2**53) == "9007199254740992" and shown("\x1b") == "'\\x1b'" and len(shown("x" * 99)) == 40


def test_a_quotient_beyond_all_floats_is_reported_as_the_greatest():
    huge = Fraction(10) ** 400
    assert (as_float(huge), as_float(-huge), as_float(Fraction(1, 4))) == (
        float_info.max,
        -float_info.max,
        0.25,
    )


def test_exact_reads_the_shortest_decimal():
    assert exact(0.1) == Fraction(1, 10) and exact(1e-05) == Fraction(1, 10**5) and exact(7) == 7


# Rows that are missing; the wrong modality


@pytest.mark.parametrize(("modality", "name"), [(m, d.name) for m in MODALITIES for d in quantities_of(m)])
def test_without_its_protocol_row_a_quantity_is_allowed_nothing(modality: Modality, name: str):
    limits = limits_of(modality)
    bare = msgspec.structs.replace(limits, rows=tuple(r for r in limits.rows if r.quantity != name))
    assert ("protocol", 0.0) in {
        (r.set_by, r.high) for r in rows(bare, caps_of(modality)) if r.quantity == name
    }
    train = valid_train(modality)
    found = check(train, bare, caps_of(modality), FACTS) + check_slew(train, 0.0, bare)
    if name == "interval_s":
        assert interval_after_ns(train, bare) == 5_000_000_000  # the absolute bound stays
    else:
        assert "ILK-110" in codes(found, name)


@pytest.mark.parametrize("modality", MODALITIES)
def test_each_modality_refuses_the_trains_of_the_other(modality: Modality):
    other: Modality = "rtms" if modality == "tacs" else "tacs"
    for train in (
        valid_train(other),
        msgspec.structs.replace(valid_train(other), modality=modality),
        msgspec.structs.replace(valid_train(modality), modality=other),
    ):
        for caps in (
            caps_of(modality),
            msgspec.structs.replace(caps_of(modality), modalities=("tacs", "rtms")),
        ):
            assert "ILK-106" in codes(check(train, limits_of(modality), caps, FACTS))


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_device_of_another_modality_is_refused(modality: Modality):
    for modalities in ((), ("tacs",) if modality == "rtms" else ("rtms",)):
        caps = msgspec.structs.replace(caps_of(modality), modalities=modalities)
        (reason,) = check(valid_train(modality), limits_of(modality), caps, FACTS)
        assert reason.code == "ILK-106"
        assert reason.text.endswith(f"the device for {', '.join(modalities) or 'nothing'}")


# Facts


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(
    ("today", "code"),
    [("", "ILK-105"), ("yesterday", "ILK-105"), ("2025-12-31", "ILK-113"), ("2027-01-01", "ILK-113")],
)
def test_limits_that_do_not_hold_today_refuse(modality: Modality, today: str, code: str):
    facts = Facts(today=today, impedance_kohm=5.0)
    assert code in codes(check_facts(limits_of(modality), facts))
    assert code in codes(check(valid_train(modality), limits_of(modality), caps_of(modality), facts))


@pytest.mark.parametrize("modality", MODALITIES)
def test_consent_holds_from_its_day_on(modality: Modality):
    limits = limits_of(modality)
    early = Facts(today="2026-01-01", impedance_kohm=5.0)
    assert "ILK-113" in codes(check_facts(limits, early), "consent_on")
    same_day = Facts(today="2026-01-02", impedance_kohm=5.0)
    assert codes(check_facts(limits, same_day), "consent_on") == []
    none = msgspec.structs.replace(limits, inputs=msgspec.structs.replace(limits.inputs, consent_on=""))
    assert codes(check_facts(none, FACTS), "consent_on") == ["ILK-105"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_facts_that_hold(modality: Modality):
    assert check_facts(limits_of(modality), FACTS) == ()


# Down


def test_down_is_less_amplitude_and_nothing_else():
    now = hold(1.0)
    assert is_down(now, hold(0.99)) and is_down(now, hold(0.0)) and is_down(now, hold(0.5, duration_ms=399))
    for asked in (
        hold(1.0),
        hold(1.0, duration_ms=100),
        hold(1.01),
        hold(-0.5),
        hold(-2.0),
        hold(math.nan),
        hold(0.5, frequency_hz=9.0),
        hold(0.5, phase_rad=0.1),
        hold(0.5, ramp_up_ms=999),
        hold(0.5, ramp_down_ms=99),
        hold(0.5, duration_ms=401),
        hold(0.5, duration_ms=0),
        hold(0.5, outputs=(Output(name="F4", share=1.0), Output(name="Oz", share=-1.0))),
        hold(0.5, outputs=(Output(name="F3", share=-1.0), Output(name="Oz", share=1.0))),
        hold(0.5, modality="rtms"),
        pulses(0.5),
        pulses(0.5, modality="tacs", outputs=hold().outputs),
        with_quantity("tacs", "amplitude_ma_pp", False),
        hold(0.5, duration_ms=400.0),  # type: ignore[arg-type]
        hold(0.5, duration_ms=100.0),  # type: ignore[arg-type]
    ):
        assert not is_down(now, asked), asked
    assert not is_down(None, hold(0.0))
    assert not is_down(hold(math.nan), hold(0.5)) and not is_down(hold(math.inf), hold(0.5))


def test_down_of_pulses():
    now = pulses(45.0, 10.0, 40)
    assert is_down(now, pulses(44.0, 10.0, 40)) and is_down(now, pulses(44.0, 10.0, 1))
    for asked in (
        pulses(45.0, 10.0, 40),
        pulses(45.0, 10.0, 39),
        pulses(44.0, 10.0, 41),
        pulses(44.0, 10.0, 0),
        pulses(44.0, 9.0, 40),
        pulses(44.0, 11.0, 40),
        pulses(-1.0, 10.0, 40),
        pulses(math.nan, 10.0, 40),
    ):
        assert not is_down(now, asked), asked


@given(
    asked=st.sampled_from(MODALITIES).flatmap(lambda m: trains_near(limits_of(m), caps_of(m))), data=st.data()
)
@settings(max_examples=60, deadline=None)
def test_a_step_down_from_a_permitted_train_is_refused_by_no_upper_limit(asked: Train, data: st.DataObject):
    limits, caps = limits_of(asked.modality), caps_of(asked.modality)
    present = valid_train(asked.modality)
    if is_down(present, asked):
        found = check(asked, limits, caps, FACTS)
        assert not set(codes(found)) & {"ILK-101", "ILK-103", "ILK-106", "ILK-107", "ILK-108", "ILK-109"}
    less = data.draw(st.floats(0, 0.999)) * (1.0 if asked.modality == "tacs" else 45.0)
    name = "amplitude_ma_pp" if asked.modality == "tacs" else "amplitude_pct_mso"
    assert is_down(present, with_quantity(asked.modality, name, less))


# What is neither


def test_an_unknown_modality_or_waveform_is_a_broken_invariant():
    odd_limits = msgspec.structs.replace(limits_of("tacs"), modality="tus")
    odd_train = msgspec.structs.replace(hold(), waveform=object())
    caps = caps_of("tacs")
    calls = (
        lambda: quantities_of("tus"),
        lambda: budgets_of("tus"),
        lambda: formulas_of("tus"),
        lambda: stop_how("tus"),
        lambda: check_facts(odd_limits, FACTS),
        lambda: rows(odd_limits, caps),
        lambda: amplitude_ceiling(odd_limits.modality, (), 0.0, 0),
        lambda: ramp_down_max_ns(odd_limits),
        lambda: check(odd_train, limits_of("tacs"), caps, FACTS),
        lambda: check_slew(odd_train, 0.0, limits_of("tacs")),
        lambda: exposure(odd_train, 1, 0.0),
        lambda: ramp_down_ns(odd_train),
        lambda: interval_after_ns(odd_train, limits_of("tacs")),
    )
    for call in calls:
        with pytest.raises(AssertionError):
            call()
    assert "ILK-106" in codes(check(hold(), odd_limits, caps, FACTS))


# Stopping


def test_how_each_modality_stops():
    assert (stop_how("tacs"), stop_how("rtms")) == ("ramp", "cut")
    assert ramp_down_ns(hold(ramp_down_ms=150)) == 150_000_000 and ramp_down_ns(pulses()) == 0
    assert ramp_down_max_ns(limits_of("tacs")) == 200_000_000 and ramp_down_max_ns(limits_of("rtms")) == 0
    assert ramp_down_max_ns(without_layers("tacs")) == 500_000_000


# Everything at once


@pytest.mark.parametrize("modality", MODALITIES)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_what_passes_is_inside_every_row(modality: Modality, data: st.DataObject):
    limits = load(data.draw(limits_bytes(modality)))
    caps = caps_of(modality)
    train = data.draw(trains_near(limits, caps))
    found = check(train, limits, caps, FACTS)
    effective = {r.quantity: r for r in rows(limits, caps)}
    asked = quantities(train)
    inside = all(effective[name].low <= value <= effective[name].high for name, value in asked.items())
    if not found:
        assert inside and not any(map(math.isnan, asked.values()))
    if not inside:
        assert found
    assert all(reason.code in REASONS and math.isfinite(reason.value) for reason in found)
    assert all(r.low <= r.high or r.quantity for r in effective.values())
    _fits_a_frame(found, tuple(effective.values()))


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_code_has_a_text_and_a_remedy(modality: Modality):
    assert len(REASONS) == 13
    for code, words in REASONS.items():
        assert code.startswith("ILK-1") and words.text and words.remedy
        assert words.text.isprintable() and words.remedy.isprintable()
    with pytest.raises(TypeError):
        REASONS["ILK-101"] = REASONS["ILK-102"]  # type: ignore[index]


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_declared_number_has_unit_source_and_edition(modality: Modality):
    for declared in quantities_of(modality):
        assert declared.unit and declared.source and declared.edition
        assert math.isfinite(declared.low) and math.isfinite(declared.high) and declared.low < declared.high
        assert declared.asked == (declared.name in quantities(valid_train(modality)))
        if declared.integer:
            assert type(declared.low) is type(declared.high) is int


def test_exposure_of_an_impossible_span_counts_as_all_of_the_train():
    for train in (hold(1.0, duration_ms=400, ramp_down_ms=100), pulses(45.0, 10.0, 40)):
        whole = exposure(train, -1, math.nan)
        assert whole.on_time_s in (0.5, 4.0)
        assert whole.n_pulses in (0, 40)
        assert whole.charge_c in (0.00025, 0.0)


def _allowed(limits: Limits, caps: Capabilities) -> Allowed:
    return Allowed(
        rows=rows(limits, caps),
        used={},
        budget={},
        not_before_ns=0,
        busy_until_ns=0,
        amplitude_now=0.0,
        amplitude_max=0.0,
    )


def _fits_a_frame(found: tuple[Reason, ...], effective: tuple[Row, ...]) -> None:
    content = msgspec.json.encode([found, effective])
    assert len(content) < 60_000
    assert msgspec.json.decode(content, type=tuple[tuple[Reason, ...], tuple[Row, ...]]) == (found, effective)
