"""One file a modality: quantities, formulas, absolute bounds, order of "down"; here the dispatch over them.

Each match ends in `assert_never`: a waveform or modality without limits is a type error.
"""

from __future__ import annotations

from typing import Literal, assert_never

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Modality, PulseTrain, Train, amplitude
from drivers.stimulation import quantities as numbers_of
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities import rtms, tacs
from safety.modalities.bounds import effective_rows, falls_or_stays, is_number
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Declared, DeclaredBudget, Exposure, Facts, Formula
from safety.modalities.reasons import REASONS, ReasonText

__all__ = [
    "REASONS",
    "Declared",
    "DeclaredBudget",
    "Exposure",
    "Facts",
    "Formula",
    "ReasonText",
    "amplitude_ceiling",
    "budgets_of",
    "check",
    "check_facts",
    "check_slew",
    "exposure",
    "formulas_of",
    "interval_after_ns",
    "is_down",
    "quantities_of",
    "ramp_down_max_ns",
    "ramp_down_ns",
    "rows",
    "stop_how",
]


def quantities_of(modality: Modality) -> tuple[Declared, ...]:
    """Every quantity of a modality: the protocol layer of limits.toml must have a row for each."""
    match modality:
        case "tacs":
            return tacs.QUANTITIES
        case "rtms":
            return rtms.QUANTITIES
        case _:
            assert_never(modality)


def budgets_of(modality: Modality) -> tuple[DeclaredBudget, ...]:
    """Every budget of a session that limits.toml must give for a modality."""
    match modality:
        case "tacs":
            return tacs.BUDGETS
        case "rtms":
            return rtms.BUDGETS
        case _:
            assert_never(modality)


def formulas_of(modality: Modality) -> tuple[Formula, ...]:
    """The tissue formulas that stand in code for a modality."""
    match modality:
        case "tacs":
            return tacs.FORMULAS
        case "rtms":
            return rtms.FORMULAS
        case _:
            assert_never(modality)


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses a train; without one it goes on to slew, interval and budgets."""
    wave = train.waveform
    match wave:
        case Hold():
            return tacs.check(train, wave, limits, caps, facts)
        case PulseTrain():
            return rtms.check(train, wave, limits, caps, facts)
        case _:
            assert_never(wave)


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """Every dated or measured fact that is missing or does not hold today (asked before READY, too)."""
    match limits.modality:
        case "tacs":
            return dated_facts(limits, facts) + tacs.check_impedance(limits, facts)
        case "rtms":
            return dated_facts(limits, facts) + rtms.check_threshold(limits, facts)
        case _:
            assert_never(limits.modality)


def check_slew(train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
    """Every layer that refuses the rise from `amplitude_now`, the output of this moment."""
    wave = train.waveform
    match wave:
        case Hold():
            return tacs.check_slew(wave, amplitude_now, limits)
        case PulseTrain():
            return ()
        case _:
            assert_never(wave)


def rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    """The effective limit of each quantity: the least of layers and device, and which of them set it."""
    match limits.modality:
        case "tacs":
            return effective_rows(tacs.QUANTITIES, limits, caps)
        case "rtms":
            return rtms.with_threshold(effective_rows(rtms.QUANTITIES, limits, caps), limits)
        case _:
            assert_never(limits.modality)


def amplitude_ceiling(
    modality: Modality, effective: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int
) -> float:
    """The highest amplitude that would pass now, slew included, in the train's unit; check() decides.

    `effective` is what `rows` gave; `ramp_up_ms` is that of the hold that runs, 0 where none does.
    """
    match modality:
        case "tacs":
            return tacs.amplitude_ceiling(effective, amplitude_now, ramp_up_ms)
        case "rtms":
            return rtms.amplitude_ceiling(effective)
        case _:
            assert_never(modality)


def is_down(present: Train | None, asked: Train) -> bool:
    """Whether `asked` is less than what runs and changes nothing else: always allowed, at once.

    An equal amplitude is no step down: it prolongs the output, so it needs all that a rise needs.
    """
    if present is None or present.modality != asked.modality or present.outputs != asked.outputs:
        return False
    if type(present.waveform) is not type(asked.waveform) or not _amplitudes_fall(present, asked):
        return False
    before, after = numbers_of(present), numbers_of(asked)
    return all(
        falls_or_stays(declared, before[declared.name], after[declared.name])
        for declared in quantities_of(asked.modality)
        if declared.name in after
    )


def _amplitudes_fall(present: Train, asked: Train) -> bool:
    before, after = amplitude(present), amplitude(asked)
    return is_number(before, integer=False) and is_number(after, integer=False) and after < before


def exposure(train: Train, span_ns: int, reached: float) -> Exposure:
    """What `span_ns` of a train that `reached` an amplitude spends, rounded up; unknown counts as all."""
    wave = train.waveform
    match wave:
        case Hold():
            return tacs.exposure(wave, span_ns, reached)
        case PulseTrain():
            return rtms.exposure(wave, span_ns)
        case _:
            assert_never(wave)


def stop_how(modality: Modality) -> Literal["ramp", "cut"]:
    """How output of a modality is brought to zero where nothing is broken."""
    match modality:
        case "tacs":
            return "ramp"
        case "rtms":
            return "cut"
        case _:
            assert_never(modality)


def ramp_down_ns(train: Train) -> int:
    """How long a stop by ramp takes while this train runs."""
    wave = train.waveform
    match wave:
        case Hold():
            return wave.ramp_down_ms * 1_000_000
        case PulseTrain():
            return 0
        case _:
            assert_never(wave)


def ramp_down_max_ns(limits: Limits) -> int:
    """The longest ramp down that any permitted train can have."""
    match limits.modality:
        case "tacs":
            return tacs.ramp_down_max_ns(limits)
        case "rtms":
            return 0
        case _:
            assert_never(limits.modality)


def interval_after_ns(train: Train, limits: Limits) -> int:
    """How long after the *actual* end of this train the next may start; 0 for a hold, which is renewed."""
    wave = train.waveform
    match wave:
        case Hold():
            return 0
        case PulseTrain():
            return rtms.interval_after_ns(wave, limits)
        case _:
            assert_never(wave)
