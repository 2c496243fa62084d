"""Repetitive magnetic stimulation by the second hand: the tables of Rossi 2009, the motor threshold, intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from drivers.stimulation import Output, PulseTrain, Train, Waveform
from safety.limit_values import Inputs, Limits, is_iso_date
from safety.oracle_numbers import (
    Circumstances,
    F,
    Numbers,
    Part,
    Span,
    exact,
    has_row,
    one_output,
    said,
    whole,
)

INTERVAL_S_MIN = F(5)  # Chen 1997: ten trains 5 s apart were safe, 1 s and less were not
INTERVAL_S_MIN_HIGH = F(11)  # Rossi 2009 has too few data above 110 %; the cleared 120 % session pauses 11 s
HIGH_PCT_RMT = 110

# Rossi 2009 has rows to 130 % and 25 Hz, and no train of more than 270 pulses; 10 s are the lease of anything.
BOUNDS: Mapping[str, Span] = {
    "amplitude_pct_mso": (F(0), F(100)),
    "rate_hz": (F(0), F(25)),
    "n_pulses": (F(1), F(270)),
    "pct_rmt": (F(0), F(130)),
    "train_s": (F(0), F(10)),
}
# 3,000 pulses as the cleared depression session and the pain protocols have, and 90 min, a laboratory's rule.
SESSION: Mapping[str, Fraction] = {"on_time_s": F(5400), "n_pulses": F(3000)}

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


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a pulse train, exactly; None for each that is no number, or no whole one where it has to be."""
    if not isinstance(wave, PulseTrain):
        return None
    return {
        "amplitude_pct_mso": exact(wave.pulse.amplitude_pct_mso),
        "rate_hz": exact(wave.rate_hz),
        "n_pulses": whole(wave.n_pulses),
    }


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Intensity and duration."""
    return {
        "pct_rmt": pct_rmt(numbers["amplitude_pct_mso"], given.limits.inputs),
        "train_s": train_s(numbers["n_pulses"], numbers["rate_hz"]),
    }


def pct_rmt(amplitude_pct_mso: Fraction | None, inputs: Inputs) -> Fraction | None:
    return percent(amplitude_pct_mso, inputs.motor_threshold_pct_mso)


def percent(amplitude_pct_mso: Fraction | None, threshold_pct_mso: float | None) -> Fraction | None:
    """An amplitude in % of a motor threshold."""
    of = exact(threshold_pct_mso)
    if amplitude_pct_mso is None or of is None or not 0 < of <= 100:
        return None
    return amplitude_pct_mso / of * 100


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
    absolute = INTERVAL_S_MIN_HIGH if max(before_pct, next_pct) > HIGH_PCT_RMT else INTERVAL_S_MIN
    return longest_interval_s(absolute, limits)


def longest_interval_s(absolute: Fraction, limits: Limits) -> Fraction | None:
    """The longest of the absolute interval and of every row; None where a row says none, or no row is there."""
    rows = [exact(row.low) for row in limits.rows if row.quantity == "interval_s"]
    found = [row for row in rows if row is not None]
    return max(absolute, *found) if found and len(found) == len(rows) else None


def coil(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    yield from one_output(outputs, given, "coil")
    for output in outputs:
        contact = given.limits.contact(output.name)
        if contact is None or contact.coil is None:
            yield f"output {output.name}: no coil"


def threshold(measured_on: str | None, today: str) -> Iterator[str]:
    """The motor threshold is one of today."""
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


def between_s(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """`interval_s` of two trains."""
    percents = [
        pct_rmt(exact(train.waveform.pulse.amplitude_pct_mso), limits.inputs)
        for train in (before, after)
        if isinstance(train.waveform, PulseTrain)
    ]
    known = [pct for pct in percents if pct is not None]
    return interval_s(known[0], known[1], limits) if len(known) == 2 else None


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    yield from coil(train.outputs, given)
    yield from threshold(given.limits.inputs.motor_threshold_measured_on, given.today)
    pct = pct_rmt(numbers["amplitude_pct_mso"], given.limits.inputs)
    yield from _tables(pct, numbers["rate_hz"], numbers["n_pulses"])
    yield from has_row("interval_s", given.limits)


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more, interval_s=between_s)
