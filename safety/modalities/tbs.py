"""Theta burst stimulation: limits of a train of bursts, as the intermittent protocol repeats it.

The unit of intensity is % of the *active* motor threshold (AMT) measured on the day. A block of 600 pulses is twenty
trains of 2 s with 8 s between them: each is a request of its own, and the session's budget ends the block. The
continuous protocol, 40 s without a pause, is a modality of its own (`ctbs`): here it is refused by the train's length.
Bursts within these bounds fit their period: 3 pulses at 30 Hz last 100 ms, the shortest period 200 ms.
"""

from __future__ import annotations

from math import ceil

from drivers.capabilities import Capabilities
from drivers.stimulation import BurstTrain, Train, quantities
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities import magnetic
from safety.modalities.bounds import (
    check_exact,
    check_kind,
    check_value,
    effective_rows,
    exact,
    is_number,
)
from safety.modalities.magnetic_numbers import SPACING
from safety.modalities.quantities import Exposure, Facts
from safety.modalities.reasons import TRAIN_TOO_LONG
from safety.modalities.rules import ModalityRules, WrongTrain
from safety.modalities.tbs_numbers import (
    ASKED,
    BUDGETS,
    INTENSITY,
    INTERVAL,
    QUANTITIES,
    TRAIN_TIME,
)

THRESHOLD = magnetic.active_threshold(INTENSITY)


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses this train, but for the interval since the last one."""
    reasons = list(THRESHOLD.check_facts(limits, facts))
    wrong = check_kind(train, limits, caps)
    if wrong:
        return (*reasons, *wrong)
    wave = bursts_of(train)
    asked = quantities(train)
    for declared in ASKED:
        reasons += check_value(declared, asked[declared.name], limits, caps)
    reasons += magnetic.check_coil(train, limits, caps)
    pct = THRESHOLD.percent(wave.pulse.amplitude_pct_mso, limits)
    if pct is not None:
        reasons += check_exact(INTENSITY, pct, limits)
    return (*reasons, *_check_time(wave, limits))


def interval_after_ns(train: Train, limits: Limits) -> int:
    """The longest of the layers' intervals."""
    return ceil(magnetic.longest_interval_s(INTERVAL, limits) * 1_000_000_000)


def exposure(train: Train, span_ns: int, amplitude_pct_mso: float) -> Exposure:
    """The pulses of the most bursts that a span can hold, both ends included; an impossible span counts as the train."""
    wave = bursts_of(train)
    return magnetic.spent(span_ns, wave.n_bursts, wave.bursts_hz, wave.pulses_per_burst)


def bursts_of(train: Train) -> BurstTrain:
    """The waveform of a train of this modality; raises WrongTrain."""
    if not isinstance(train.waveform, BurstTrain):
        raise WrongTrain(f"{train.modality} without a burst train")
    return train.waveform


def _check_time(wave: BurstTrain, limits: Limits) -> list[Reason]:
    """Bursts by their rate; a number that is none was refused already."""
    usable = is_number(wave.bursts_hz, integer=False) and is_number(wave.n_bursts, integer=True)
    if not (usable and wave.bursts_hz > 0):
        return []
    seconds = wave.n_bursts / exact(wave.bursts_hz)
    return check_exact(TRAIN_TIME, seconds, limits, code=TRAIN_TOO_LONG)


def _rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    return THRESHOLD.lower(effective_rows(QUANTITIES, limits, caps), limits)


RULES = ModalityRules(
    quantities=QUANTITIES,
    budgets=BUDGETS,
    spacing=SPACING,
    formulas=(),
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
