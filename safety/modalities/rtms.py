"""Repetitive magnetic stimulation: limits of a train of single pulses (no theta bursts).

The unit of intensity is % of the resting motor threshold (rMT) measured on the day. Between the cells of a
table the next *higher* frequency and intensity hold; nothing is interpolated, nothing lies beyond the last.
Trains come again and again in a loop, so the table for repeated trains holds (table 5, part B): it is the stricter
one in every cell, and the table for a single train (table 4) stands in the tests, which hold this one to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from drivers.capabilities import Capabilities
from drivers.stimulation import PulseTrain, Train, quantities
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities import magnetic
from safety.modalities.bounds import (
    as_float,
    check_exact,
    check_kind,
    check_value,
    effective_rows,
    exact,
    is_number,
)
from safety.modalities.magnetic_numbers import SPACING
from safety.modalities.quantities import Exposure, Facts, Formula
from safety.modalities.reasons import TRAIN_TOO_LONG, reason
from safety.modalities.rtms_numbers import (
    ASKED,
    BUDGETS,
    INTENSITY,
    INTERVAL,
    N_PULSES,
    QUANTITIES,
)
from safety.modalities.rules import ModalityRules, WrongTrain

THRESHOLD = magnetic.resting_threshold(INTENSITY)

REPEATED_TRAINS = Formula(
    name="rossi2009_table5",
    source="Rossi et al. 2009 table 5, part B, after Chen et al. 1997",
    edition="2009, from memory",
    status="unverified",
)
LONG_INTERVAL = Formula(
    name="interval_above_110_pct_rmt",
    source="Rossi et al. 2009 table 5: too few data at 120 % with 5 s; cleared depression session: 26 s off",
    edition="2009, from memory",
    status="unverified",
)
FORMULAS = (REPEATED_TRAINS, LONG_INTERVAL)

# Longest repeated train in s, and its pulses, by % rMT and Hz; where the paper has ">", the longest tested. The
# 0.7 s / 17 pulses recalled for 25 Hz at 110 % are above three quarters of the single train (0.63 s), the rule of
# the other cells: 0.6 s / 15.
REPEATED: Mapping[int, Mapping[int, tuple[str, int]]] = MappingProxyType(
    {
        100: MappingProxyType(
            {1: ("270", 270), 5: ("10", 50), 10: ("5", 50), 20: ("1.5", 30), 25: ("1.0", 25)}
        ),
        110: MappingProxyType(
            {1: ("270", 270), 5: ("10", 50), 10: ("5", 50), 20: ("1.2", 24), 25: ("0.6", 15)}
        ),
        120: MappingProxyType(
            {1: ("180", 180), 5: ("10", 50), 10: ("3.2", 32), 20: ("0.8", 16), 25: ("0.3", 7)}
        ),
        130: MappingProxyType(
            {1: ("50", 50), 5: ("10", 50), 10: ("2.2", 22), 20: ("0.4", 8), 25: ("0.2", 5)}
        ),
    }
)
INTERVAL_LONG_S = 26
INTERVAL_LONG_ABOVE_PCT_RMT = 110


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses this train, but for the interval since the last one."""
    reasons = list(THRESHOLD.check_facts(limits, facts))
    wrong = check_kind(train, limits, caps)
    if wrong:
        return (*reasons, *wrong)
    wave = pulses_of(train)
    asked = quantities(train)
    for declared in ASKED:
        reasons += check_value(declared, asked[declared.name], limits, caps)
    reasons += magnetic.check_coil(train, limits, caps)
    reasons += _check_intensity_and_time(wave, limits)
    return tuple(reasons)


def longest(pct_rmt: Fraction, rate_hz: Fraction) -> tuple[Fraction, int] | None:
    """The longest train in s and in pulses; None where the table has no row."""
    rate = next((column for column in (1, 5, 10, 20, 25) if rate_hz <= column), None)
    intensity = next((row for row in REPEATED if pct_rmt <= row), None)
    if rate is None or intensity is None or not (rate_hz > 0 and pct_rmt >= 0):
        return None
    seconds, pulses = REPEATED[intensity][rate]
    return Fraction(seconds), pulses


def interval_after_ns(train: Train, limits: Limits) -> int:
    """The longest of the layers' intervals; the long one above 110 % of the threshold or where unknown."""
    least_s = magnetic.longest_interval_s(INTERVAL, limits)
    wave = train.waveform  # of any kind: it is asked for a train that is refused for its kind, too
    pct = THRESHOLD.percent(wave.pulse.amplitude_pct_mso, limits) if isinstance(wave, PulseTrain) else None
    if pct is None or not pct <= INTERVAL_LONG_ABOVE_PCT_RMT:
        least_s = max(least_s, Fraction(INTERVAL_LONG_S))
    return ceil(least_s * 1_000_000_000)


def exposure(train: Train, span_ns: int, amplitude_pct_mso: float) -> Exposure:
    """The most pulses that a span can hold, both ends included; an impossible span counts as the train."""
    wave = pulses_of(train)
    return magnetic.spent(span_ns, wave.n_pulses, wave.rate_hz, 1)


def pulses_of(train: Train) -> PulseTrain:
    """The waveform of a train of this modality; raises WrongTrain."""
    if not isinstance(train.waveform, PulseTrain):
        raise WrongTrain(f"{train.modality} without a pulse train")
    return train.waveform


def _check_intensity_and_time(wave: PulseTrain, limits: Limits) -> list[Reason]:
    """What follows from several numbers together; a number that is none was refused already."""
    reasons: list[Reason] = []
    pct = THRESHOLD.percent(wave.pulse.amplitude_pct_mso, limits)
    if pct is not None:
        reasons += check_exact(INTENSITY, pct, limits)
    usable = (
        is_number(wave.rate_hz, integer=False) and wave.rate_hz > 0 and is_number(wave.n_pulses, integer=True)
    )
    if not usable:
        return reasons
    rate = exact(wave.rate_hz)
    seconds = wave.n_pulses / rate
    reasons += check_exact(magnetic.TRAIN_TIME, seconds, limits)
    if pct is not None:
        reasons += _check_tables(pct, rate, wave.n_pulses)
    return reasons


def _check_tables(pct: Fraction, rate: Fraction, n_pulses: int) -> list[Reason]:
    at = f"{as_float(rate):.10g} Hz and {as_float(pct):.10g} %rMT"
    most = longest(pct, rate)
    if most is None:
        return [
            reason(
                TRAIN_TOO_LONG,
                f"the table has no row for {at}",
                quantity=magnetic.TRAIN_TIME.name,
                set_by="tissue",
            )
        ]
    seconds_max, pulses_max = most
    seconds = n_pulses / rate
    reasons = []
    if not seconds <= seconds_max:
        reasons.append(
            reason(
                TRAIN_TOO_LONG,
                f"{as_float(seconds):.10g} s at {at}, tissue limit {as_float(seconds_max):.10g} s",
                quantity=magnetic.TRAIN_TIME.name,
                value=as_float(seconds),
                limit=as_float(seconds_max),
                set_by="tissue",
            )
        )
    if not n_pulses <= pulses_max:
        reasons.append(
            reason(
                TRAIN_TOO_LONG,
                f"{n_pulses} pulses at {at}, tissue limit {pulses_max}",
                quantity=N_PULSES.name,
                value=float(n_pulses),
                limit=float(pulses_max),
                set_by="tissue",
            )
        )
    return reasons


def _rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    return THRESHOLD.lower(effective_rows(QUANTITIES, limits, caps), limits)


RULES = ModalityRules(
    quantities=QUANTITIES,
    budgets=BUDGETS,
    spacing=SPACING,
    formulas=FORMULAS,
    contacts=magnetic.CONTACTS,
    inputs=(THRESHOLD.declared,),
    stop="cut",
    check=check,
    check_facts=THRESHOLD.check_facts,
    check_slew=magnetic.no_slew,
    rows=_rows,
    amplitude_ceiling=magnetic.amplitude_ceiling,
    exposure=exposure,
    interval_after_ns=interval_after_ns,
)
