"""Every row of every modality: its boundaries in every layer, and nothing allowed where it is missing."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, quantities
from safety.limits import Limits, load
from safety.modalities import (
    amplitude_ceiling,
    budgets_of,
    check,
    check_slew,
    interval_after_ns,
    quantities_of,
    rows,
    spacing_of,
)
from tests.safety.modality_limits import ASKED, codes, without_layers
from tests.safety.strategies import (
    FACTS,
    MODALITIES,
    caps_of,
    document,
    hold,
    limits_of,
    quantity_of,
    row,
    to_toml,
    valid_train,
    with_quantity,
)

LAYERS = ("absolute", "site", "protocol", "participant", "device")


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
    "tacs": {
        ("session", "on_time_s"): 2400.0,
        ("session", "charge_c"): 7.2,
        ("24h", "on_time_s"): 3600.0,
        ("7d", "on_time_s"): 25_200.0,
        ("course", "on_time_s"): 108_000.0,
        ("24h", "n_sessions"): 4.0,
    },
    "rtms": {
        ("session", "on_time_s"): 5400.0,
        ("session", "n_pulses"): 3000.0,
        ("24h", "n_pulses"): 18_000.0,
        ("7d", "n_pulses"): 38_880.0,
        ("course", "n_pulses"): 90_000.0,
        ("24h", "n_sessions"): 10.0,
        ("course", "n_sessions"): 50.0,
    },
}
SPACING = {
    "tacs": {"gap_s": 1500.0, "washout_s": 86_400.0},
    "rtms": {"gap_s": 1800.0, "washout_s": 86_400.0},
}


def test_the_absolute_bounds_are_these():
    declared = {d.name: (d.low, d.high) for m in MODALITIES for d in quantities_of(m)}
    assert declared == ABSOLUTE
    assert {m: {(b.scope, b.name): b.high for b in budgets_of(m)} for m in MODALITIES} == BUDGETS
    assert {m: {s.name: s.low for s in spacing_of(m)} for m in MODALITIES} == SPACING


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
def test_every_declared_number_has_unit_source_and_edition(modality: Modality):
    for declared in quantities_of(modality):
        assert declared.unit and declared.source and declared.edition
        assert math.isfinite(declared.low) and math.isfinite(declared.high) and declared.low < declared.high
        assert declared.asked == (declared.name in quantities(valid_train(modality)))
        if declared.integer:
            assert type(declared.low) is type(declared.high) is int
