"""Second implementation of the limits in exact rationals, sharing no code with the first.

One train against every layer, in the circumstances of one instant. `oracle_ledger` walks a whole ledger with it. A
number is taken as the decimal that it is written as, so that a limit of 0.3 is three tenths. The oracle speaks only
of permits: where it finds nothing, a train *may* be permitted; refusing more than it does is never its business.

Where a source may be read in two ways, the stricter reading stands here. Not held, because no source at hand states
it as a limit: the ramp of 10-30 s at a session's ends (a convention for comfort); the slew row of the limits counts.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Hold, Modality, Output, PulseTrain, Train
from safety.limit_values import Inputs, Limits, is_iso_date

F = Fraction
Span = tuple[Fraction, Fraction]

HOLD_MS_MAX = 500  # own choice, as all the times of this paragraph: the lease of a hold
TRAIN_S_MAX = F(10)  # the lease of anything
INTERVAL_S_MIN = F(5)  # Chen 1997: ten trains 5 s apart were safe, 1 s and less were not
INTERVAL_S_MIN_HIGH = F(11)  # Rossi 2009 has too few data above 110 %; the cleared 120 % session pauses 11 s
HIGH_PCT_RMT = 110
SHARES_SUM = F(1, 10**9)  # own choice: thirds have no decimal; far below what any device can set
GRID_STEPS = F(1, 10**6)  # own choice: how far from a step, in steps, a value may be that is given as a float

# What no layer may widen; a quantity without a number of its own needs a row of the limits all the same.
# tACS: Bikson 2016 (4 mA), and the same number read peak to peak, which is stricter. 0.1 to 640 Hz: the widest
# alternating current in use. 6.3 A/m2: the least density that injured animals' brains, here already at the skin.
# 20 kohm: an open contact. rTMS: Rossi 2009 has rows to 130 % and 25 Hz, and no train of more than 270 pulses.
BOUNDS: dict[Modality, dict[str, Span]] = {
    "tacs": {
        "amplitude_ma_pp": (F(0), F(4)),
        "frequency_hz": (F(1, 10), F(640)),
        "duration_ms": (F(1), F(HOLD_MS_MAX)),
        "impedance_kohm": (F(0), F(20)),
        "density_ma_cm2": (F(0), F(63, 100)),
    },
    "rtms": {
        "amplitude_pct_mso": (F(0), F(100)),
        "rate_hz": (F(0), F(25)),
        "n_pulses": (F(1), F(270)),
        "pct_rmt": (F(0), F(130)),
        "train_s": (F(0), TRAIN_S_MAX),
    },
}
# One session. tACS: 40 min and 7.2 C, all of them at once (Bikson 2016). rTMS: 3,000 pulses as the cleared
# depression session and the pain protocols have, and 90 min of stimulation, a laboratory's rule.
SESSION: dict[Modality, dict[str, Fraction]] = {
    "tacs": {"on_time_s": F(2400), "charge_c": F(72, 10)},
    "rtms": {"on_time_s": F(5400), "n_pulses": F(3000)},
}

RATES_HZ = (1, 5, 10, 20, 25)
# Rossi 2009: the longest single train in s, by % of motor threshold.
SINGLE_S: dict[int, tuple[str, str, str, str, str]] = {
    90: ("1800", "10", "5", "2.05", "1.28"),
    100: ("1800", "10", "5", "2.05", "1.28"),
    110: ("1800", "10", "5", "1.6", "0.84"),
    120: ("360", "10", "4.2", "1.0", "0.4"),
    130: ("50", "10", "2.9", "0.55", "0.24"),
}
# The same for trains in a row, with the intervals above: s and pulses. 25 Hz at 110 %: 0.6 s until it is checked.
ROW_S: dict[int, tuple[str, str, str, str, str]] = {
    100: ("270", "10", "5", "1.5", "1.0"),
    110: ("270", "10", "5", "1.2", "0.6"),
    120: ("180", "10", "3.2", "0.8", "0.3"),
    130: ("50", "10", "2.2", "0.4", "0.2"),
}
ROW_PULSES: dict[int, tuple[int, int, int, int, int]] = {
    100: (270, 50, 50, 30, 25),
    110: (270, 50, 50, 24, 17),
    120: (180, 50, 32, 16, 7),
    130: (50, 50, 22, 8, 5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a train is judged in. `least_ma_pp` is the least that can be coming out when it begins."""

    limits: Limits
    capabilities: Capabilities
    today: str
    simulated: bool
    impedance_kohm: float | None = None
    least_ma_pp: Fraction = Fraction(0)


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


def objections(train: Train, given: Circumstances) -> tuple[str, ...]:
    """Everything that speaks against a permit for `train`; empty: it may be permitted."""
    return tuple(_objections(train, given))


def _objections(train: Train, given: Circumstances) -> Iterator[str]:
    limits, wave = given.limits, train.waveform
    yield from _general(given)
    if train.modality != limits.modality or train.modality not in given.capabilities.modalities:
        yield f"modality {train.modality}: the limits are for {limits.modality}"
        return
    if isinstance(wave, Hold) != (train.modality == "tacs"):
        yield f"{train.modality} cannot be a {type(wave).__name__}"
        return
    asked = as_asked(wave)
    for name, value in asked.items():
        yield from _in_envelope(name, value, given.capabilities.envelopes.get(name))
    derived: dict[str, Fraction | None]
    if isinstance(wave, Hold):
        yield from _contacts(train.outputs, given)
        derived = {
            "impedance_kohm": exact(given.impedance_kohm),
            "density_ma_cm2": density_ma_cm2(asked["amplitude_ma_pp"], train.outputs, limits),
            "slew_ma_per_s": slew_ma_per_s(asked["amplitude_ma_pp"], given.least_ma_pp, asked["ramp_up_ms"]),
        }
    else:
        yield from _coil(train.outputs, given)
        yield from _threshold(limits.inputs, given.today)
        pct = pct_rmt(asked["amplitude_pct_mso"], limits.inputs)
        derived = {"pct_rmt": pct, "train_s": train_s(asked["n_pulses"], asked["rate_hz"])}
        yield from _tables(pct, asked["rate_hz"], asked["n_pulses"])
        yield from _has_row("interval_s", limits)
    for name, number in {**asked, **derived}.items():
        yield from _in_layers(name, number, limits)


def rises_too_fast(train: Train, given: Circumstances) -> tuple[str, ...]:
    """What speaks against the rise of a hold alone, from the least that can be coming out."""
    if not isinstance(train.waveform, Hold):
        return ()
    asked = as_asked(train.waveform)
    slew = slew_ma_per_s(asked["amplitude_ma_pp"], given.least_ma_pp, asked["ramp_up_ms"])
    return tuple(_in_layers("slew_ma_per_s", slew, given.limits))


def as_asked(wave: Hold | PulseTrain) -> dict[str, Fraction | None]:
    """The numbers of a waveform, exactly; None for each that is no number, or no whole one where it has to be."""
    if isinstance(wave, Hold):
        return {
            "amplitude_ma_pp": exact(wave.carrier.amplitude_ma_pp),
            "frequency_hz": exact(wave.carrier.frequency_hz),
            "phase_rad": exact(wave.carrier.phase_rad),
            "ramp_up_ms": _whole(wave.ramp_up_ms),
            "ramp_down_ms": _whole(wave.ramp_down_ms),
            "duration_ms": _whole(wave.duration_ms),
        }
    return {
        "amplitude_pct_mso": exact(wave.pulse.amplitude_pct_mso),
        "rate_hz": exact(wave.rate_hz),
        "n_pulses": _whole(wave.n_pulses),
    }


def density_ma_cm2(
    amplitude_ma_pp: Fraction | None, outputs: tuple[Output, ...], limits: Limits
) -> Fraction | None:
    """The greatest peak density of any contact; None where an area is missing. Peak is half of peak to peak."""
    greatest: Fraction | None = None
    for output in outputs:
        contact, share = limits.contact(output.name), exact(output.share)
        area = None if contact is None else exact(contact.area_cm2)
        if amplitude_ma_pp is None or share is None or area is None or area <= 0:
            return None
        here = amplitude_ma_pp / 2 * abs(share) / area
        greatest = here if greatest is None or here > greatest else greatest
    return greatest


def slew_ma_per_s(to: Fraction | None, least: Fraction, ramp_up_ms: Fraction | None) -> Fraction | None:
    """How fast the output rises when it begins at `least`; 0 where it does not rise."""
    if to is None:
        return None
    if to <= least:
        return F(0)
    return None if ramp_up_ms is None or ramp_up_ms <= 0 else (to - least) / (ramp_up_ms / 1000)


def charge_c(amplitude_ma_pp: Fraction, on_ns: int) -> Fraction:
    """Peak current times time, as the record that the 7.2 C come from counts; peak is half of peak to peak."""
    return amplitude_ma_pp / 2 / 1000 * on_ns / 10**9


def pct_rmt(amplitude_pct_mso: Fraction | None, inputs: Inputs) -> Fraction | None:
    threshold = exact(inputs.motor_threshold_pct_mso)
    if amplitude_pct_mso is None or threshold is None or not 0 < threshold <= 100:
        return None
    return amplitude_pct_mso / threshold * 100


def train_s(n_pulses: Fraction | None, rate_hz: Fraction | None) -> Fraction | None:
    """Pulses by rate, as Rossi 2009 counts a train's duration."""
    return None if n_pulses is None or rate_hz is None or rate_hz <= 0 else n_pulses / rate_hz


def longest_train(pct: Fraction, rate_hz: Fraction) -> tuple[Fraction, int] | None:
    """Most seconds and pulses of a train, single and in a row; None where no table has a row.

    Between the cells the next higher rate and the next higher % count; nothing is interpolated.
    """
    column = next((i for i, rate in enumerate(RATES_HZ) if rate_hz <= rate), None)
    single = next((row for row in sorted(SINGLE_S) if pct <= row), None)
    in_row = next((row for row in sorted(ROW_S) if pct <= row), None)
    if column is None or single is None or in_row is None:
        return None
    longest_s = min(F(SINGLE_S[single][column]), F(ROW_S[in_row][column]))
    return longest_s, ROW_PULSES[in_row][column]


def interval_s(before_pct: Fraction, next_pct: Fraction, limits: Limits) -> Fraction | None:
    """The least time between the end of a train and the onset of the next; None where no row says it."""
    rows = [exact(row.low) for row in limits.rows if row.quantity == "interval_s"]
    absolute = INTERVAL_S_MIN_HIGH if max(before_pct, next_pct) > HIGH_PCT_RMT else INTERVAL_S_MIN
    found = [row for row in rows if row is not None]
    return max(absolute, *found) if found and len(found) == len(rows) else None


def budget(name: str, limits: Limits) -> Fraction:
    """What may go out in the session, 0 where nothing says it."""
    absolute = SESSION[limits.modality].get(name, F(0))
    rows = [exact(row.high) for row in limits.budgets if row.name == name and row.scope == "session"]
    found = [row for row in rows if row is not None]
    return max(F(0), min(absolute, *found)) if found and len(found) == len(rows) else F(0)


def _whole(value: object) -> Fraction | None:
    return F(value) if isinstance(value, int) and not isinstance(value, bool) else None


def said(value: Fraction) -> str:
    """A number for people; one that no float can hold is told by its size."""
    try:
        return f"{float(value):.9g}"
    except OverflowError:
        return f"a number of {value.numerator.bit_length()} bits"


def _general(given: Circumstances) -> Iterator[str]:
    limits = given.limits
    if not limits.valid_on(given.today):
        yield f"limits: not valid on {given.today}"
    if not is_iso_date(limits.inputs.consent_on) or limits.inputs.consent_on > given.today:
        yield "consent: none by this day"
    unverified = [row for row in limits.rows if row.status != "verified"]
    unchecked = [row for row in limits.budgets if row.status != "verified"]
    if not given.simulated and (limits.unverified or unverified or unchecked):
        yield "unverified numbers on a real device"


def _in_layers(name: str, value: Fraction | None, limits: Limits) -> Iterator[str]:
    """The absolute bound and every row of the quantity; there must be one."""
    if value is None:
        yield f"{name}: no usable number"
        return
    bound = BOUNDS[limits.modality].get(name)
    if bound is not None and not bound[0] <= value <= bound[1]:
        yield f"{name}: {said(value)} outside the absolute {said(bound[0])} to {said(bound[1])}"
    yield from _has_row(name, limits)
    for row in limits.rows:
        if row.quantity != name:
            continue
        low_row, high_row = exact(row.low), exact(row.high)
        if low_row is None or high_row is None or not low_row <= value <= high_row:
            yield f"{name}: {said(value)} outside {row.layer}'s {row.low!r} to {row.high!r}"


def _has_row(name: str, limits: Limits) -> Iterator[str]:
    if not any(row.quantity == name for row in limits.rows):
        yield f"{name}: no limit, nothing is allowed"


def _in_envelope(name: str, value: Fraction | None, envelope: Envelope | None) -> Iterator[str]:
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


def _known(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    names = [output.name for output in outputs]
    if len(set(names)) != len(names):
        yield "outputs: one stands twice"
    for name in names:
        if given.limits.contact(name) is None or name not in given.capabilities.outputs:
            yield f"output {name}: not in the limits, or not of this device"


def _contacts(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    """Shares sum to zero, and what goes in is not more than the amplitude says."""
    yield from _known(outputs, given)
    shares = [share for output in outputs if (share := exact(output.share)) is not None]
    if len(shares) != len(outputs) or len(shares) < 2:
        yield "outputs: at least two, each with a finite share"
    elif abs(sum(shares, F(0))) > SHARES_SUM:
        yield f"outputs: the shares sum to {said(sum(shares, F(0)))}, not to zero"
    elif sum((share for share in shares if share > 0), F(0)) > 1 + SHARES_SUM:
        yield "outputs: more current than the amplitude says"


def _coil(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    yield from _known(outputs, given)
    if len(outputs) != 1 or exact(outputs[0].share) != 1:
        yield "outputs: one coil, with share 1"
        return
    contact = given.limits.contact(outputs[0].name)
    if contact is None or contact.coil is None:
        yield f"output {outputs[0].name}: no coil"


def _threshold(inputs: Inputs, today: str) -> Iterator[str]:
    """The motor threshold is one of today."""
    measured_on = inputs.motor_threshold_measured_on
    if not is_iso_date(measured_on) or measured_on != today:
        yield f"motor threshold: measured on {measured_on}, today is {today}"


def _tables(pct: Fraction | None, rate_hz: Fraction | None, n_pulses: Fraction | None) -> Iterator[str]:
    lasts_s = train_s(n_pulses, rate_hz)
    if pct is None or rate_hz is None or n_pulses is None or lasts_s is None:
        yield "train: cannot be looked up"
        return
    longest = longest_train(pct, rate_hz)
    if longest is None:
        yield f"train: no table has a row for {said(rate_hz)} Hz at {said(pct)} % of motor threshold"
    elif lasts_s > longest[0] or n_pulses > longest[1]:
        yield (
            f"train: {said(lasts_s)} s, {said(n_pulses)} pulses at {said(rate_hz)} Hz and {said(pct)} %;"
            f" the tables end at {said(longest[0])} s, {longest[1]} pulses"
        )
