"""What every modality's part of the oracle stands on: circumstances, exact numbers, rows, envelopes, outputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Output, Train, Waveform
from safety.limit_values import Limits

F = Fraction
Span = tuple[Fraction, Fraction]
Numbers = dict[str, Fraction | None]

GRID_STEPS = F(1, 10**6)  # own choice: how far from a step, in steps, a value may be that is given as a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a train is judged in. `least_ma_pp` is the least that can be coming out when it begins; `signed`: by a key that
    is good for real endpoints."""

    limits: Limits
    capabilities: Capabilities
    today: str
    simulated: bool
    impedance_kohm: float | None = None
    least_ma_pp: Fraction = Fraction(0)
    signed: bool = False


def nothing_more(train: Train, on_ns: int, limits: Limits) -> Mapping[str, Fraction]:
    """Time, charge and pulses are all that is spent."""
    return {}


def no_interval(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """Nothing need lie between two trains."""
    return F(0)


def no_join(before: Train, after: Train) -> bool:
    """Every train is one of its own."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One modality by the second hand. `asked`: the waveform's own numbers, None where it is of another kind.
    `derived`: what follows from several together, each held to its rows. `more`: all else that speaks against a train.
    `bounds`: what no layer may widen; a quantity without one needs a row of the limits all the same. `session`: the
    most of a session. `interval_s`: between the end of one train and the onset of the next; None where nothing says.
    `spent_by`: what some time of a train spends of budgets other than time, charge and pulses. `joins`: whether a train can
    be the next segment of another; then `train_s` holds for all of them together."""

    bounds: Mapping[str, Span]
    session: Mapping[str, Fraction]
    asked: Callable[[Waveform], Numbers | None]
    derived: Callable[[Train, Numbers, Circumstances], Numbers]
    more: Callable[[Train, Numbers, Circumstances], Iterator[str]]
    interval_s: Callable[[Train, Train, Limits], Fraction | None] = no_interval
    spent_by: Callable[[Train, int, Limits], Mapping[str, Fraction]] = nothing_more
    joins: Callable[[Train, Train], bool] = no_join


def exact(value: object) -> Fraction | None:
    """A finite number as the decimal that it is written as; None for anything else, a bool among them."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return F(value)
    if isinstance(value, float) and math.isfinite(value):  # NaN fails every comparison, on both sides
        return _decimal(repr(value))
    return None


@functools.lru_cache(maxsize=1024)
def _decimal(text: str) -> Fraction:
    return F(Decimal(text))


def whole(value: object) -> Fraction | None:
    return F(value) if isinstance(value, int) and not isinstance(value, bool) else None


def said(value: Fraction) -> str:
    """A number for people; one that no float can hold is told by its size."""
    try:
        return f"{float(value):.9g}"
    except OverflowError:
        return f"a number of {value.numerator.bit_length()} bits"


def in_layers(name: str, value: Fraction | None, limits: Limits, bound: Span | None) -> Iterator[str]:
    """The absolute bound and every row of the quantity; there must be one."""
    if value is None:
        yield f"{name}: no usable number"
        return
    if bound is not None and not bound[0] <= value <= bound[1]:
        yield f"{name}: {said(value)} outside the absolute {said(bound[0])} to {said(bound[1])}"
    yield from has_row(name, limits)
    for row in limits.rows:
        if row.quantity != name:
            continue
        low_row, high_row = exact(row.low), exact(row.high)
        if low_row is None or high_row is None or not low_row <= value <= high_row:
            yield f"{name}: {said(value)} outside {row.layer}'s {row.low!r} to {row.high!r}"


def has_row(name: str, limits: Limits) -> Iterator[str]:
    if not any(row.quantity == name for row in limits.rows):
        yield f"{name}: no limit, nothing is allowed"


def in_envelope(name: str, value: Fraction | None, envelope: Envelope | None) -> Iterator[str]:
    if envelope is None:
        yield f"{name}: the device does not have it"
        return
    low, high, step = exact(envelope.low), exact(envelope.high), exact(envelope.step)
    if value is None or low is None or high is None or step is None or step < 0:
        yield f"{name}: no usable number, or no usable envelope"
    elif not low <= value <= high:
        yield f"{name}: {said(value)} outside the device's {envelope.low!r} to {envelope.high!r}"
    elif step > 0 and _off_grid((value - low) / step):
        yield f"{name}: {said(value)} off the device's step {envelope.step!r}"


def _off_grid(steps: Fraction) -> bool:
    return steps.denominator != 1 and abs(steps - round(steps)) > GRID_STEPS


def known(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    names = [output.name for output in outputs]
    if len(set(names)) != len(names):
        yield "outputs: one stands twice"
    for name in names:
        if given.limits.contact(name) is None or name not in given.capabilities.outputs:
            yield f"output {name}: not in the limits, or not of this device"


def one_output(outputs: tuple[Output, ...], given: Circumstances, what: str) -> Iterator[str]:
    """The whole amplitude through one output of the device and of the limits."""
    yield from known(outputs, given)
    if len(outputs) != 1 or exact(outputs[0].share) != 1:
        yield f"outputs: one {what}, with share 1"
