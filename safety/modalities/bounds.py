"""The layers around one quantity, and the tests that every number must pass; no float arithmetic decides.

Numbers are read as the shortest decimal that means them (0.3 is 3/10) and compared as rationals: 0.3 lies on
a step of 0.1, and half of 1.26 mA is 0.63 mA.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from sys import float_info
from typing import TypeGuard

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Hold, Train, is_whole
from safety.limit_values import Limit, Limits, Status
from safety.messages import Reason, Row
from safety.modalities.quantities import Declared
from safety.modalities.reasons import ABOVE, BELOW, NO_LIMIT, NOT_A_NUMBER, OFF_STEP, WRONG_KIND, reason
from safety.remembering import Remembered

INTEGER_MAX = 2**53  # beyond it a float no longer tells neighbouring integers apart
PLAIN_LEAST, PLAIN_MOST = 1e-9, 1e9  # own choice: a thousand times beyond every absolute bound
ZERO = Fraction(0)
GREATEST = Fraction(float_info.max)
STEP_TOLERANCE = Fraction(1, 10**9)  # relative; covers how a policy rounds to a step in floats, and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one layer allows of one quantity, both ends inclusive."""

    layer: str
    low: float
    high: float
    source: str
    status: Status


def is_number(value: object, *, integer: bool) -> TypeGuard[int | float]:
    """Whether `value` is a finite number of its declared type: no bool, no text, no NaN, no giant."""
    if type(value) is int:
        return -INTEGER_MAX <= value <= INTEGER_MAX
    return type(value) is float and isfinite(value) and not integer


def is_plain(value: object, *, integer: bool) -> TypeGuard[int | float]:
    """Whether `value` is a number that some device could be asked for: with a huge exponent it would cost time as a
    rational, and mean nothing."""
    return is_number(value, integer=integer) and (value == 0 or PLAIN_LEAST <= abs(value) <= PLAIN_MOST)


@lru_cache(maxsize=4096)
def exact(value: float) -> Fraction:
    """The rational that the shortest decimal of a finite number says; remembered, for limits are asked again."""
    return Fraction(Decimal(repr(value)))


def as_float(number: Fraction) -> float:
    """The nearest float to report; a quotient beyond all floats is reported as the greatest of its sign."""
    return float(max(-GREATEST, min(GREATEST, number)))


def within(value: Fraction, low: float, high: float) -> bool:
    """Whether low <= value <= high; False wherever an end is no number."""
    return isfinite(low) and isfinite(high) and exact(low) <= value <= exact(high)


def shown(value: object) -> str:
    """A found value on one short line, whatever it is."""
    if type(value) is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
        return "an integer beyond ±2^53"
    return ascii(value)[:40]


def waveform_of(train: Train) -> str:
    """A train's kind in a few words, whatever arrived."""
    wave = train.waveform
    kind = (
        f"{type(wave).__name__} of {type(wave.carrier).__name__}"
        if isinstance(wave, Hold)
        else type(wave).__name__
    )
    return f"a {kind} of {shown(train.modality)}"


def check_kind(train: Train, limits: Limits, caps: Capabilities) -> tuple[Reason, ...]:
    """The refusal of a train of another modality than the file's and the device's, or with another one's waveform."""
    if train.modality == limits.modality and train.modality in caps.modalities and is_whole(train):
        return ()
    device = ", ".join(caps.modalities) or "nothing"
    detail = f"{waveform_of(train)}; limits.toml is for {limits.modality}, the device for {device}"
    return (reason(WRONG_KIND, detail),)


def _by_quantity(limits: Limits, rows: tuple[Limit, ...]) -> dict[str, tuple[Limit, ...]]:
    names = dict.fromkeys(row.quantity for row in rows)
    return {name: tuple(row for row in rows if row.quantity == name) for name in names}


_rows = Remembered(_by_quantity)


def rows_of(limits: Limits, quantity: str) -> tuple[Limit, ...]:
    """The file's rows of one quantity, in their order."""
    return _rows(limits, limits.rows).get(quantity, ())


def layers(declared: Declared, limits: Limits) -> tuple[Bound, ...]:
    """Absolute bound, site, protocol, participant, in this order: of equal limits the outermost is named."""
    absolute = Bound(
        layer="absolute",
        low=declared.low,
        high=declared.high,
        source=f"{declared.source}, {declared.edition}",
        status=declared.status,
    )
    of_file = (
        Bound(
            layer=row.layer,
            low=row.low,
            high=row.high,
            source=f"{row.source}, {row.edition}",
            status=row.status,
        )
        for layer in ("site", "protocol", "participant")
        for row in rows_of(limits, declared.name)
        if row.layer == layer
    )
    return (absolute, *of_file)


def device_bound(declared: Declared, caps: Capabilities) -> Bound | None:
    """What the device takes of a quantity that it is asked for; None where it states no usable range."""
    envelope = caps.envelopes.get(declared.name)
    if envelope is None or not _usable(envelope):
        return None
    return Bound(
        layer="device",
        low=envelope.low,
        high=envelope.high,
        source=f"device {shown(caps.model)}",  # a device's own words stay short and printable
        status="verified",
    )


def check_value(declared: Declared, value: object, limits: Limits, caps: Capabilities) -> list[Reason]:
    """Every layer that refuses an asked value, the device and its step among them; what none of them refuses is plain."""
    if not is_number(value, integer=declared.integer):
        return [not_a_number(declared, value)]
    if passes(declared, value, limits, caps):
        return []
    refused = _check_layers(declared, value, limits, caps)
    return (
        refused if refused or is_plain(value, integer=declared.integer) else [not_a_number(declared, value)]
    )


def _check_layers(declared: Declared, value: float, limits: Limits, caps: Capabilities) -> list[Reason]:
    number = exact(value)
    reasons = check_exact(declared, number, limits)
    bound = device_bound(declared, caps)
    if bound is None:
        reasons.append(_no_limit(declared, "device", f"the device states no usable range of {declared.name}"))
        return reasons
    reasons += outside(declared, number, bound)
    low, step = caps.envelopes[declared.name].low, caps.envelopes[declared.name].step
    if step > 0 and not on_step(number, exact(step), exact(low)):
        above = "" if on_step(exact(low), exact(step)) else f" above {low:g}"
        reasons.append(
            reason(
                OFF_STEP,
                f"{declared.name} {shown(value)} {declared.unit} is no multiple of {step:g}{above}",
                quantity=declared.name,
                value=float(value),
                limit=step,
                set_by="device",
            )
        )
    return reasons


def passes(declared: Declared, value: float, limits: Limits, caps: Capabilities) -> bool:
    """Whether an asked number is positively inside every layer and on the step: the usual case, in few words.

    Floats compare as the decimals that mean them do: two that differ have decimals in the same order. What does not
    pass here is judged by `check_value` in rationals, which names every layer that refuses.
    """
    envelope = caps.envelopes.get(declared.name)
    if envelope is None or not _usable(envelope) or not inside_layers(declared, value, limits):
        return False
    inside = is_plain(value, integer=False) and envelope.low <= value <= envelope.high
    return inside and (envelope.step <= 0 or is_on_step(value, envelope.low, envelope.step))


def inside_layers(declared: Declared, value: float, limits: Limits) -> bool:
    """Whether a number is positively inside every layer of code and file, floats compared."""
    known = False
    for row in rows_of(limits, declared.name):
        if not (isfinite(row.low) and isfinite(row.high) and row.low <= value <= row.high):
            return False
        known = known or row.layer == "protocol"
    return known and declared.low <= value <= declared.high


@lru_cache(maxsize=4096)
def is_on_step(value: float, low: float, step: float) -> bool:
    """`on_step` from the low end of a range, remembered: a policy asks for the same few amplitudes again and again."""
    return on_step(exact(value), exact(step), exact(low))


def check_exact(
    declared: Declared, number: Fraction, limits: Limits, *, code: str = "", where: str = ""
) -> list[Reason]:
    """Every layer of code and file that refuses a number; no row of the protocol layer allows nothing.

    `code` stands in for above or below where the quantity has its own code; `where` adds what it is about.
    """
    if inside(declared, number, limits):
        return []
    bounds = layers(declared, limits)
    reasons = [refusal for bound in bounds for refusal in outside(declared, number, bound, code, where)]
    if not any(bound.layer == "protocol" for bound in bounds):
        reasons.append(
            _no_limit(declared, "protocol", f"limits.toml has no protocol row for {declared.name}")
        )
    return reasons


def inside(declared: Declared, number: Fraction, limits: Limits) -> bool:
    """Whether a number is positively inside every layer of code and file: the usual case, in few words."""
    known = False
    for row in rows_of(limits, declared.name):
        if not within(number, row.low, row.high):
            return False
        known = known or row.layer == "protocol"
    return known and within(number, declared.low, declared.high)


def falls_or_stays(declared: Declared, before: object, after: object) -> bool:
    """Whether a quantity of a train changes only as its declaration allows in a step down."""
    if not (is_number(before, integer=declared.integer) and is_number(after, integer=declared.integer)):
        return False
    return declared.low <= after <= before if declared.down == "less" else after == before


def on_step(number: Fraction, step: Fraction, low: Fraction = ZERO) -> bool:
    """Whether a number is a whole multiple of a step above `low`, to one part in 10^9 of where it should be."""
    nearest = low + round((number - low) / step) * step
    return abs(number - nearest) <= STEP_TOLERANCE * abs(nearest)


def not_a_number(declared: Declared, value: object) -> Reason:
    """The refusal of what cannot be compared; its own value stays out of the numeric fields."""
    kind = "an integer" if declared.integer else f"0 or a number from {PLAIN_LEAST:g} to {PLAIN_MOST:g}"
    return reason(
        NOT_A_NUMBER,
        f"{declared.name} is {shown(value)}, expected {kind} of {declared.unit}",
        quantity=declared.name,
    )


def effective_rows(quantities: tuple[Declared, ...], limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    """The least of all layers, quantity by quantity."""
    return tuple(_effective(declared, limits, caps) for declared in quantities)


def _effective(declared: Declared, limits: Limits, caps: Capabilities) -> Row:
    bounds = layers(declared, limits)
    if not any(bound.layer == "protocol" for bound in bounds):
        return _nothing(declared, "protocol")
    if declared.asked:
        device = device_bound(declared, caps)
        if device is None:
            return _nothing(declared, "device")
        bounds = (*bounds, device)
    lowest = max(bounds, key=lambda bound: bound.low)
    highest = min(bounds, key=lambda bound: bound.high)
    binding = lowest if declared.sides == "min" else highest
    return Row(
        quantity=declared.name,
        unit=declared.unit,
        low=lowest.low,
        high=highest.high,
        set_by=binding.layer,
        source=binding.source,
        status=binding.status,
    )


def _nothing(declared: Declared, layer: str) -> Row:
    return Row(
        quantity=declared.name,
        unit=declared.unit,
        low=0.0,
        high=0.0,
        set_by=layer,
        source=f"no limit known to the {layer}: nothing is allowed",
        status="unverified",
    )


def _no_limit(declared: Declared, layer: str, detail: str) -> Reason:
    return reason(NO_LIMIT, detail, quantity=declared.name, set_by=layer)


def outside(
    declared: Declared, number: Fraction, bound: Bound, code: str = "", where: str = ""
) -> list[Reason]:
    """The refusals of one layer: empty only if the number was positively found inside."""
    if within(number, bound.low, bound.high):
        return []
    side, limit = (BELOW, bound.low) if number < exact(bound.low) else (ABOVE, bound.high)
    found = f"{declared.name} {as_float(number):.10g} {declared.unit}{where}"
    return [
        reason(
            code or side,
            f"{found}, {bound.layer} limit {limit:.10g} ({bound.source})",
            quantity=declared.name,
            value=as_float(number),
            limit=limit,
            set_by=bound.layer,
        )
    ]


def _usable(envelope: Envelope) -> bool:
    return (
        is_number(envelope.low, integer=False)
        and is_number(envelope.high, integer=False)
        and is_number(envelope.step, integer=False)
        and envelope.step >= 0
    )
