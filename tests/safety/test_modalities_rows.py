"""Every row of every modality: its boundaries in every layer, and nothing allowed where it is missing."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, amplitude_quantity, quantities
from safety.limits import Limits, load
from safety.modalities import (
    amplitude_ceiling,
    budgets_of,
    check,
    check_slew,
    interval_after_ns,
    quantities_of,
    rows,
    rules_of,
    spacing_of,
)
from safety.modalities.rules import DeclaredContacts
from tests.safety.examples import EXAMPLES
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


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_absolute_bounds_are_these(modality: Modality):
    example = EXAMPLES[modality]
    assert {d.name: (d.low, d.high) for d in quantities_of(modality)} == example.absolute
    assert {(b.scope, b.name): b.high for b in budgets_of(modality)} == example.most
    assert {s.name: s.low for s in spacing_of(modality)} == example.least_gaps


# Outputs and inputs: how many, how large, and what of the participant or the device a file must say

PADS = {"fewest": 2, "most": 64, "area_low_cm2": 0.5, "area_high_cm2": 100.0}
COIL = {"fewest": 1, "most": 1, "coils": ("figure-8", "round")}
CASED = {"fewest": 2, "area_low_cm2": 0.01, "case_low_cm2": 5.0, "case_high_cm2": 100.0}
CONTACTS: dict[Modality, dict[str, object]] = {
    "tacs": PADS,
    "tdcs": PADS,
    "trns": PADS,
    "tens": {
        "fewest": 2, "most": 8, "area_low_cm2": 1.0, "area_high_cm2": 200.0, "places": ("limb", "back", "abdomen"),
    },
    "rtms": COIL,
    "tbs": COIL,
    "ctbs": COIL,
    "dbs": CASED | {"most": 32, "area_high_cm2": 0.3},
    "scs": CASED | {"most": 64, "area_high_cm2": 0.5},
    "drg": CASED | {"most": 16, "area_high_cm2": 0.2},
    "pns": CASED | {"most": 16, "area_high_cm2": 0.5},
    "tus": {"fewest": 1, "most": 1, "area_low_cm2": 0.07, "area_high_cm2": 320.0},
}  # fmt: skip
LEAK = ("leakage_na", 0.0, 100.0, "leakage_measured_on")
RECHARGE = ("recharge_us", 1.0, 5000.0, "")
INPUTS: dict[Modality, tuple[tuple[str, float, float, str], ...]] = {
    "tens": (("open_circuit_v", 1.0, 500.0, ""),),
    "rtms": (("motor_threshold_pct_mso", 15.0, 100.0, "motor_threshold_measured_on"),),
    "tbs": (("active_threshold_pct_mso", 15.0, 100.0, "active_threshold_measured_on"),),
    "ctbs": (
        ("active_threshold_pct_mso", 15.0, 100.0, "active_threshold_measured_on"),
        ("motor_threshold_pct_mso", 15.0, 100.0, "motor_threshold_measured_on"),
    ),
    "dbs": (LEAK, RECHARGE),
    "scs": (LEAK, RECHARGE),
    "drg": (LEAK, RECHARGE),
    "pns": (LEAK, RECHARGE),
    "tus": (
        ("transmission", 0.05, 1.0, ""),
        ("rise_brain_c_cm2_per_w", 0.001, 100.0, ""),
        ("rise_bone_c_cm2_per_w", 0.001, 100.0, ""),
        ("rise_skin_c_cm2_per_w", 0.001, 100.0, ""),
        ("cooling_s", 0.1, 3600.0, ""),
        ("power_mw_cm2_per_w", 0.1, 100_000.0, ""),
    ),
}


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_outputs_and_inputs_are_these(modality: Modality):
    told = rules_of(modality)
    assert told.contacts == DeclaredContacts(**CONTACTS[modality])  # type: ignore[arg-type]
    assert tuple((i.name, i.low, i.high, i.dated) for i in told.inputs) == INPUTS.get(modality, ())


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_area_is_taken_from_the_least_to_the_greatest_and_a_case_by_its_own(modality: Modality):
    contacts = rules_of(modality).contacts
    cased = contacts.case_high_cm2 > 0
    case = (contacts.case_low_cm2, contacts.case_high_cm2)
    pad = (contacts.area_low_cm2, contacts.area_high_cm2)
    for name, (low, high) in (("a", pad), ("case", case if cased else pad)):
        assert contacts.area_of(name) == (low, high)
        assert contacts.takes_area(name, low) and contacts.takes_area(name, high)
        for outside in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan):
            assert not contacts.takes_area(name, outside)


@pytest.mark.parametrize("high", (1e-9, 0.5, 1.0))
def test_a_case_has_an_area_of_its_own_however_small(high: float):
    contacts = DeclaredContacts(fewest=1, most=1, area_low_cm2=2.0, area_high_cm2=3.0, case_high_cm2=high)
    assert (contacts.area_of("case"), contacts.area_of("a")) == ((0.0, high), (2.0, 3.0))


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
    for value in {x for x in (low, high, step_in_low, step_in_high) if low <= x <= high}:
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
    if found.set_by != "tissue":  # a motor threshold, or the mechanical index, lowers the amplitude further
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
    name = amplitude_quantity(valid_train(modality))
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
        low_s = EXAMPLES[modality].absolute["interval_s"][0]
        assert interval_after_ns(train, bare) == low_s * 1_000_000_000  # the absolute bound stays
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
