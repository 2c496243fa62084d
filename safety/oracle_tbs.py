"""Theta burst stimulation by the second hand: bursts, motor thresholds, pauses, and segments without a pause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from drivers.stimulation import BurstTrain, Train, Waveform
from safety.limit_values import Limits
from safety.oracle_numbers import Circumstances, F, Numbers, Part, Span, exact, has_row, whole
from safety.oracle_rtms import coil, longest_interval_s, pct_rmt, percent, threshold, train_s

# Huang 2005: three pulses at 50 Hz every 200 ms for 2 s, then 8 s off.
# 80 % of the active threshold, and 600 pulses a block: Sci Rep 2018, table 1.
BOUNDS: Mapping[str, Span] = {
    "amplitude_pct_mso": (F(0), F(100)),
    "pulses_per_burst": (F(1), F(3)),
    "rate_in_burst_hz": (F(30), F(50)),
    "bursts_hz": (F(1), F(5)),
    "n_bursts": (F(1), F(10)),
    "pct_amt": (F(0), F(80)),
    "train_s": (F(0), F(2)),
}
SESSION: Mapping[str, Fraction] = {"on_time_s": F(40), "n_pulses": F(600)}  # twenty trains of 2 s
OFF_S = F(8)


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a burst train, exactly; None for each that is no number, or no whole one where it has to be."""
    if not isinstance(wave, BurstTrain):
        return None
    return {
        "amplitude_pct_mso": exact(wave.pulse.amplitude_pct_mso),
        "pulses_per_burst": whole(wave.pulses_per_burst),
        "rate_in_burst_hz": exact(wave.rate_in_burst_hz),
        "bursts_hz": exact(wave.bursts_hz),
        "n_bursts": whole(wave.n_bursts),
    }


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Intensity and duration."""
    return {
        "pct_amt": percent(numbers["amplitude_pct_mso"], given.limits.inputs.active_threshold_pct_mso),
        "train_s": train_s(numbers["n_bursts"], numbers["bursts_hz"]),
    }


def between_s(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """From the end of one train to the onset of the next."""
    return longest_interval_s(OFF_S, limits)


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    """One coil, a threshold of today, and bursts that are over before the next one begins."""
    yield from coil(train.outputs, given)
    yield from threshold(given.limits.inputs.active_threshold_measured_on, given.today)
    burst_s = train_s(numbers["pulses_per_burst"], numbers["rate_in_burst_hz"])
    bursts_hz = numbers["bursts_hz"]
    if burst_s is None or bursts_hz is None or not 0 < burst_s * bursts_hz <= 1:
        yield "bursts: do not fit their period"
    yield from has_row("interval_s", given.limits)


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more, interval_s=between_s)

# Huang 2005: without a pause for 40 s, at 80 % of the active threshold. Gentner 2008: at 70 % of the resting one. That it
# comes in segments of 2 s, each within a period of bursts of the one before: own choices. So is half an hour after a train.
CONTINUOUS: Mapping[str, Span] = {
    **BOUNDS,
    "pct_rmt": (F(0), F(70)),
    "segment_s": (F(0), F(2)),
    "train_s": (F(0), F(40)),
}
OFF_AFTER_S = F(1800)


def derived_continuous(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Intensity by both thresholds, and the duration of a segment, which is the train's where it stands alone."""
    lasts_s = train_s(numbers["n_bursts"], numbers["bursts_hz"])
    return {
        "pct_amt": percent(numbers["amplitude_pct_mso"], given.limits.inputs.active_threshold_pct_mso),
        "pct_rmt": pct_rmt(numbers["amplitude_pct_mso"], given.limits.inputs),
        "segment_s": lasts_s,
        "train_s": lasts_s,
    }


def after_s(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """From the end of a train to the onset of another."""
    return longest_interval_s(OFF_AFTER_S, limits)


def joins(before: Train, after: Train) -> bool:
    """The same bursts through the same coil, no stronger."""
    one, other = asked(before.waveform), asked(after.waveform)
    if one is None or other is None or before.outputs != after.outputs or before.modality != after.modality:
        return False
    level, most = other["amplitude_pct_mso"], one["amplitude_pct_mso"]
    alike = ("pulses_per_burst", "rate_in_burst_hz", "bursts_hz")
    return level is not None and most is not None and level <= most and all(one[n] == other[n] for n in alike)


def _more_continuous(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    """As of any burst; and two thresholds of today, of which the active one is not the higher."""
    yield from _more(train, numbers, given)
    inputs = given.limits.inputs
    yield from threshold(inputs.motor_threshold_measured_on, given.today)
    active, resting = exact(inputs.active_threshold_pct_mso), exact(inputs.motor_threshold_pct_mso)
    if active is None or resting is None or active > resting:
        yield f"motor threshold: active {active}, resting {resting}"


CTBS = Part(
    bounds=CONTINUOUS,
    session=SESSION,
    asked=asked,
    derived=derived_continuous,
    more=_more_continuous,
    interval_s=after_s,
    joins=joins,
)
