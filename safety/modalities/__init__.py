"""One file a modality: quantities, formulas, absolute bounds, order of "down"; here the way to each.

The match ends in `assert_never`: a modality without limits is a type error, as is a waveform without quantities.
"""

from __future__ import annotations

from typing import Literal, assert_never

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Modality, Train, amplitude
from drivers.stimulation import quantities as numbers_of
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities import ctbs, dbs, drg, pns, rtms, scs, tacs, tbs, tdcs, tens, trns, tus
from safety.modalities.bounds import falls_or_stays
from safety.modalities.quantities import (
    Declared,
    DeclaredBudget,
    DeclaredSpacing,
    Exposure,
    Facts,
    Formula,
)
from safety.modalities.reasons import REASONS, ReasonText
from safety.modalities.rules import DeclaredContacts, DeclaredInput, ModalityRules, WrongTrain
from safety.modalities.segments import Segments

__all__ = [
    "REASONS",
    "Declared",
    "DeclaredBudget",
    "DeclaredContacts",
    "DeclaredInput",
    "DeclaredSpacing",
    "Exposure",
    "Facts",
    "Formula",
    "ModalityRules",
    "ReasonText",
    "Segments",
    "WrongTrain",
    "amplitude_ceiling",
    "budgets_of",
    "check",
    "check_facts",
    "check_slew",
    "exposure",
    "formulas_of",
    "goes_on",
    "heat",
    "in_segments",
    "interval_after_ns",
    "is_down",
    "keeps_shape",
    "quantities_of",
    "ramp_down_ns",
    "rest_after_ns",
    "rows",
    "rules_of",
    "segment",
    "spacing_of",
    "stop_how",
]


def rules_of(modality: Modality) -> ModalityRules:
    """Everything that the core asks of a modality."""
    match modality:
        case "tacs":
            return tacs.RULES
        case "tdcs":
            return tdcs.RULES
        case "trns":
            return trns.RULES
        case "tens":
            return tens.RULES
        case "rtms":
            return rtms.RULES
        case "tbs":
            return tbs.RULES
        case "ctbs":
            return ctbs.RULES
        case "dbs":
            return dbs.RULES
        case "scs":
            return scs.RULES
        case "drg":
            return drg.RULES
        case "pns":
            return pns.RULES
        case "tus":
            return tus.RULES
        case _:
            assert_never(modality)


def quantities_of(modality: Modality) -> tuple[Declared, ...]:
    """Every quantity of a modality: the protocol layer of limits.toml must have a row for each."""
    return rules_of(modality).quantities


def budgets_of(modality: Modality) -> tuple[DeclaredBudget, ...]:
    """Every budget that limits.toml must give for a modality, scope by scope."""
    return rules_of(modality).budgets


def spacing_of(modality: Modality) -> tuple[DeclaredSpacing, ...]:
    """Every time without output, before a session, that limits.toml must give for a modality."""
    return rules_of(modality).spacing


def formulas_of(modality: Modality) -> tuple[Formula, ...]:
    """The tissue formulas that stand in code for a modality."""
    return rules_of(modality).formulas


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses a train; without one it goes on to slew, interval and budgets."""
    return rules_of(limits.modality).check(train, limits, caps, facts)


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """Every dated or measured fact that is missing or does not hold today (asked before READY, too)."""
    return rules_of(limits.modality).check_facts(limits, facts)


def check_slew(train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
    """Every layer that refuses the rise from `amplitude_now`, the output of this moment."""
    return rules_of(limits.modality).check_slew(train, amplitude_now, limits)


def rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    """The effective limit of each quantity: the least of layers and device, and which of them set it."""
    return rules_of(limits.modality).rows(limits, caps)


def amplitude_ceiling(
    modality: Modality, effective: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int
) -> float:
    """The highest amplitude that would pass now, slew included, in the train's unit; check() decides.

    `effective` is what `rows` gave; `ramp_up_ms` is that of the hold that runs, 0 where none does.
    """
    return rules_of(modality).amplitude_ceiling(effective, amplitude_now, ramp_up_ms)


def is_down(present: Train | None, asked: Train) -> bool:
    """Whether `asked` is less than what runs and changes nothing else: always allowed, at once.

    An equal amplitude is no step down: it prolongs the output, so it needs all that a rise needs.
    """
    if present is None or present == asked or not amplitude(asked) < amplitude(present):
        return False
    if present.modality != asked.modality or present.outputs != asked.outputs:
        return False
    before, after = numbers_of(present), numbers_of(asked)
    if before.keys() != after.keys():
        return False
    return all(
        falls_or_stays(declared, before[declared.name], after[declared.name])
        for declared in quantities_of(asked.modality)
        if declared.name in after
    )


def keeps_shape(present: Train, asked: Train) -> bool:
    """Whether one hold may take over from another that puts something out: by the same outputs, with the same pulses.

    A ramp leads from one amplitude to another and from nothing else: a contact that joins in, a current that turns round,
    a pulse that becomes wider would come in one step.
    """
    if present == asked:
        return True
    before, after = numbers_of(present), numbers_of(asked)
    steady = rules_of(asked.modality).steady
    return (
        present.modality == asked.modality
        and _shares(present) == _shares(asked)
        and before.keys() == after.keys()
        and all(before[name] == after[name] for name in steady)
    )


def _shares(train: Train) -> dict[str, float]:
    return {output.name: output.share for output in train.outputs}


def exposure(train: Train, span_ns: int, reached: float) -> Exposure:
    """What `span_ns` of a permitted train that `reached` an amplitude spends, rounded up; unknown counts as all.

    Raises WrongTrain for a train of another kind than its modality's.
    """
    return rules_of(train.modality).exposure(train, span_ns, reached)


def heat(train: Train, span_ns: int, reached: float, limits: Limits) -> Exposure:
    """What `span_ns` of a permitted train spends beyond its exposure, by what the limits say of the participant."""
    return rules_of(limits.modality).heat(train, span_ns, reached, limits)


def stop_how(modality: Modality) -> Literal["ramp", "cut"]:
    """How output of a modality is brought to zero where nothing is broken."""
    return rules_of(modality).stop


def ramp_down_ns(train: Train) -> int:
    """How long a stop by ramp takes while this train runs."""
    wave = train.waveform
    return wave.ramp_down_ms * 1_000_000 if isinstance(wave, Hold) else 0


def interval_after_ns(train: Train, limits: Limits) -> int:
    """How long after the *actual* end of this train the next may start; 0 for a hold, which is renewed."""
    return rules_of(limits.modality).interval_after_ns(train, limits)


def rest_after_ns(modality: Modality, run: Exposure) -> int:
    """How long nothing may be held after holds without a pause between them that spent `run`."""
    return rules_of(modality).rest_after_ns(run)


def in_segments(modality: Modality) -> bool:
    """Whether a train of this modality outlasts every lease and is asked for in segments."""
    return rules_of(modality).in_segments


def segment(before: Segments | None, train: Train, onset_ns: int) -> Segments | None:
    """What a train has had when this permitted segment of it has begun; None where a train is whole in one request."""
    return rules_of(train.modality).segment(before, train, onset_ns)


def goes_on(
    before: Segments | None, train: Train, start_ns: int, limits: Limits
) -> tuple[Reason, ...] | None:
    """None: it is a train of its own. Else it is a segment of the one before: every reason why the whole is too long."""
    return None if before is None else rules_of(limits.modality).goes_on(before, train, start_ns, limits)
