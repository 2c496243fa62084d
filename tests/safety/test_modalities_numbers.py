"""Numbers that are none, and those that the device cannot set: refused as such, in every asked quantity."""

from __future__ import annotations

import math
from fractions import Fraction
from sys import float_info

import msgspec
import pytest

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, quantities
from safety.limits import Limits
from safety.messages import Allowed, Refusal
from safety.modalities import Exposure, check, rows
from safety.modalities.bounds import as_float, exact, is_number, on_step, shown, within
from safety.modalities.magnetic import spent
from tests.safety.modality_limits import ASKED, codes
from tests.safety.strategies import FACTS, caps_of, hold, limits_of, quantity_of, valid_train, with_quantity

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


@pytest.mark.parametrize(("span_ns", "on_time_s"), [(-5, 0.0), (0, 0.0), (5, 5e-9), (2_000_000_000, 2.0)])
def test_pulses_of_no_rate_are_all_of_them_and_their_time_is_never_below_none(span_ns: int, on_time_s: float):
    for rate_hz in (0.0, -1.0, math.nan, math.inf):
        assert spent(span_ns, 10, rate_hz, 3) == Exposure(on_time_s=on_time_s, charge_c=0.0, n_pulses=30)


@pytest.mark.parametrize(
    ("span_ns", "n_pulses"), [(999_999_999, 10), (1_000_000_000, 11), (1_000_000_001, 11)]
)
def test_a_pulse_at_the_end_of_a_span_is_in_it(span_ns: int, n_pulses: int):
    assert spent(span_ns, 20, 10.0, 1).n_pulses == n_pulses


def test_an_impossible_span_is_the_whole_train_rounded_up():
    assert spent(-1, 10, 9.999999997, 1).on_time_s == 1.000001  # 1.0000000003 s
    assert spent(-1, 10, 10.0, 1).on_time_s == 1.0
