"""What is computed from a train meets its rows as what is asked does: at each layer's edge, under it and over it."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import pytest

from drivers.stimulation import Modality, amplitude, quantities
from safety.limits import Limits
from safety.messages import Reason
from safety.modalities import check, check_slew, quantities_of
from safety.oracle import PARTS
from safety.oracle_numbers import Circumstances
from tests.safety.modality_limits import ASKED, codes
from tests.safety.strategies import (
    FACTS,
    MODALITIES,
    TODAY,
    caps_of,
    limits_of,
    quantity_of,
    valid_train,
    with_quantity,
)

DERIVED = [
    (modality, declared.name)
    for modality in MODALITIES
    for declared in quantities_of(modality)
    if not declared.asked
    and declared.name != "interval_s"  # which a train has to wait for; it is no number of it
]
LAYERS = ("site", "protocol", "participant")


def present(modality: Modality) -> float:
    """What comes out before: nine tenths, so that the valid train rises no faster than it may."""
    return float(Fraction(str(amplitude(valid_train(modality)))) * Fraction(9, 10))


def number_of(modality: Modality, name: str) -> float:
    """What the valid train makes of a derived quantity, by the second hand."""
    train = valid_train(modality)
    given = Circumstances(
        limits=limits_of(modality), capabilities=caps_of(modality), today=TODAY, simulated=True,
        impedance_kohm=FACTS.impedance_kohm, least_ma_pp=Fraction(str(present(modality))),
    )  # fmt: skip
    number = PARTS[modality].derived(train, PARTS[modality].asked(train.waveform) or {}, given)[name]
    assert number is not None and Fraction(repr(float(number))) == number, (
        "the example's numbers: short decimals"
    )
    return float(number)


def with_row(modality: Modality, name: str, layer: str, low: float, high: float) -> Limits:
    """Rows that are wide in this quantity, but for one layer."""
    limits = limits_of(modality)
    wide = next(row for row in limits.rows if row.quantity == name)
    declared = quantity_of(modality, name)
    protocol = msgspec.structs.replace(wide, low=declared.low, high=declared.high)
    narrow = msgspec.structs.replace(wide, layer=layer, low=low, high=high)
    others = tuple(row for row in limits.rows if row.quantity != name)
    both = (narrow,) if layer == "protocol" else (protocol, narrow)
    return msgspec.structs.replace(limits, rows=(*others, *both))


def found(modality: Modality, name: str, limits: Limits) -> list[Reason]:
    train = valid_train(modality)
    reasons = check(train, limits, caps_of(modality), FACTS) + check_slew(train, present(modality), limits)
    return [reason for reason in reasons if reason.quantity == name]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("modality", "name"), DERIVED)
def test_boundaries_of_every_derived_quantity_in_every_layer(modality: Modality, name: str, layer: str):
    value = number_of(modality, name)
    less, more = math.nextafter(value, -math.inf), math.nextafter(value, math.inf)
    for low, high, limit in (
        (-1e9, value, None),
        (-1e9, more, None),
        (-1e9, less, less),
        (value, 1e9, None),
        (less, 1e9, None),
        (more, 1e9, more),
    ):
        refused = found(modality, name, with_row(modality, name, layer, low, high))
        if limit is None:
            assert refused == [], (low, high)
        else:
            assert [(r.set_by, r.limit, r.value) for r in refused] == [(layer, limit, pytest.approx(value))]


@pytest.mark.parametrize(("modality", "name"), DERIVED)
def test_every_layer_that_refuses_a_derived_quantity_is_named(modality: Modality, name: str):
    less = math.nextafter(number_of(modality, name), -math.inf)
    limits = limits_of(modality)
    wide = next(row for row in limits.rows if row.quantity == name)
    narrow = tuple(msgspec.structs.replace(wide, layer=layer, low=-1e9, high=less) for layer in LAYERS)
    others = tuple(row for row in limits.rows if row.quantity != name)
    refused = found(modality, name, msgspec.structs.replace(limits, rows=(*others, *narrow)))
    assert [reason.set_by for reason in refused] == list(LAYERS)


@pytest.mark.parametrize(("modality", "name"), ASKED)
def test_what_lies_between_two_steps_of_the_device_is_refused(modality: Modality, name: str):
    step = caps_of(modality).envelopes[name].step
    value = quantities(valid_train(modality))[name]
    if step == 0 or isinstance(value, int):
        return  # continuous, or of whole numbers alone
    for share in (0.5, 0.01, -0.01):
        train = with_quantity(modality, name, value + share * step)
        reasons = check(train, limits_of(modality), caps_of(modality), FACTS)
        (off,) = (reason for reason in reasons if reason.quantity == name and reason.code == "ILK-104")
        assert (off.set_by, off.limit) == ("device", step)
    if value == caps_of(modality).envelopes[name].low:
        return  # no step lies below it, and it is itself exact
    noise = with_quantity(modality, name, value * (1 - 1e-13))  # what floats leave behind is no step
    assert "ILK-104" not in codes(check(noise, limits_of(modality), caps_of(modality), FACTS), name)
