"""Continuous theta burst stimulation: limits of a train of bursts without a pause, 40 s of 5 bursts a second at most.

It outlasts the longest lease of 10 s, so it is asked for in segments of 2 s at most, each a request of its own that ends by
itself. A segment that begins when the one before would have had its next burst, or within one period of bursts later,
goes on with its train: the same bursts, at no higher an amplitude, and all segments together no longer than one train, which
their joints stretch by a twentieth at most. One that comes later does not: a train that was interrupted is over, and the
interval runs from its end.

Intensity is held twice: in % of the active and of the resting motor threshold, both measured on the day.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from drivers.capabilities import Capabilities
from drivers.stimulation import BurstTrain, Train, quantities
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
    layers,
)
from safety.modalities.ctbs_numbers import (
    ASKED,
    BUDGETS,
    FORMULAS,
    INTERVAL,
    PCT_ACTIVE,
    PCT_RESTING,
    QUANTITIES,
    SEGMENT_TIME,
    SPACING,
    TRAIN_TIME,
)
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Facts
from safety.modalities.reasons import FACT_OUTDATED, TRAIN_TOO_LONG, reason
from safety.modalities.rules import ModalityRules, WrongTrain
from safety.modalities.segments import Segments
from safety.modalities.tbs import bursts_of, exposure

ACTIVE = magnetic.active_threshold(PCT_ACTIVE)
RESTING = magnetic.resting_threshold(PCT_RESTING, "the resting motor threshold")
THRESHOLDS = (ACTIVE, RESTING)
STRETCH = Fraction(
    21, 20
)  # own choice: twenty joints of a tenth of a second, where a device tells its end late
NS = 1_000_000_000
# Nothing but a segment may begin so soon after the one before: the interval is far longer, a late onset trips long before.
JOINED_NS = round(INTERVAL.low / 2) * NS


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses this segment by itself, but for the interval since the last train."""
    reasons = list(check_facts(limits, facts))
    wrong = check_kind(train, limits, caps)
    if wrong:
        return (*reasons, *wrong)
    wave = bursts_of(train)
    asked = quantities(train)
    for declared in ASKED:
        reasons += check_value(declared, asked[declared.name], limits, caps)
    reasons += magnetic.check_coil(train, limits, caps)
    for threshold in THRESHOLDS:
        pct = threshold.percent(wave.pulse.amplitude_pct_mso, limits)
        if pct is not None:
            reasons += check_exact(threshold.intensity, pct, limits)
    period = _period_s(wave)
    if period is None or not is_number(wave.n_bursts, integer=True):
        return tuple(reasons)
    for time in (SEGMENT_TIME, TRAIN_TIME):
        reasons += check_exact(time, wave.n_bursts * period, limits, code=TRAIN_TOO_LONG)
    return tuple(reasons)


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts and both thresholds of this very day, of which the active one is never above the resting one."""
    reasons = list(dated_facts(limits, facts))
    for threshold in THRESHOLDS:
        reasons += threshold.check_own(limits, facts)
    active, resting = ACTIVE.exactly(limits), RESTING.exactly(limits)
    if active is not None and resting is not None and not active <= resting:
        detail = f"active threshold {as_float(active):.10g} %MSO above the resting {as_float(resting):.10g}"
        reasons.append(
            reason(
                FACT_OUTDATED,
                detail,
                quantity=ACTIVE.declared.name,
                value=as_float(active),
                limit=as_float(resting),
            )
        )
    return tuple(reasons)


def interval_after_ns(train: Train, limits: Limits) -> int:
    """The longest of the layers' intervals."""
    return ceil(magnetic.longest_interval_s(INTERVAL, limits) * NS)


def segment(before: Segments | None, train: Train, onset_ns: int) -> Segments:
    """What the train has had when this permitted segment has begun; raises WrongTrain for one that is none."""
    wave = bursts_of(train)
    if before is not None and onset_ns >= before.due_ns + JOINED_NS:
        before = None
    period = _period_s(wave)
    if period is None:
        raise WrongTrain(f"{train.modality} with a rate that is none")
    due_ns = onset_ns + ceil(wave.n_bursts * period * NS)
    return Segments(
        train=train,
        bursts=(0 if before is None else before.bursts) + wave.n_bursts,
        began_ns=onset_ns if before is None else before.began_ns,
        due_ns=due_ns,
        until_ns=due_ns + floor(period * NS),
    )


def goes_on(before: Segments, train: Train, start_ns: int, limits: Limits) -> tuple[Reason, ...] | None:
    """Whether a segment goes on with a train, and every reason why that would be too long; None: it is another train."""
    wave = train.waveform
    if not isinstance(wave, BurstTrain) or not _is_of(before.train, train):
        return None
    if not (is_number(wave.n_bursts, integer=True) and before.due_ns <= start_ns <= before.until_ns):
        return None
    period = 1 / exact(wave.bursts_hz)  # that of the segment before, which was permitted
    whole = (before.bursts + wave.n_bursts) * period
    lasts = Fraction(start_ns - before.began_ns, NS) + wave.n_bursts * period
    reasons = check_exact(TRAIN_TIME, whole, limits, code=TRAIN_TOO_LONG, where=" in all")
    return (*reasons, *_check_stretch(lasts, limits))


def _check_stretch(lasts_s: Fraction, limits: Limits) -> list[Reason]:
    """What the joints add to a train is little: it is over, from its first burst on, soon after its time."""
    return [
        reason(
            TRAIN_TOO_LONG,
            f"{as_float(lasts_s):.10g} s with its joints, {bound.layer} limit {bound.high:.10g} and a twentieth of it",
            quantity=TRAIN_TIME.name,
            value=as_float(lasts_s),
            limit=as_float(exact(bound.high) * STRETCH),
            set_by=bound.layer,
        )
        for bound in layers(TRAIN_TIME, limits)
        if not lasts_s <= exact(bound.high) * STRETCH
    ]


def _is_of(before: Train, train: Train) -> bool:
    """The same bursts by the same coil, at no higher an amplitude."""
    old, new = quantities(before), quantities(train)
    same = (each.name for each in ASKED if each.down == "same")
    level, most = new["amplitude_pct_mso"], old["amplitude_pct_mso"]
    return (
        before.modality == train.modality
        and before.outputs == train.outputs
        and all(old[name] == new[name] for name in same)
        and is_number(level, integer=False)
        and level <= most
    )


def _period_s(wave: BurstTrain) -> Fraction | None:
    """From burst to burst; None of a rate that is none, which is refused by its name."""
    usable = is_number(wave.bursts_hz, integer=False) and wave.bursts_hz > 0
    return 1 / exact(wave.bursts_hz) if usable else None


def _rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    found = effective_rows(QUANTITIES, limits, caps)
    for threshold in THRESHOLDS:
        found = threshold.lower(found, limits)
    return found


RULES = ModalityRules(
    quantities=QUANTITIES,
    budgets=BUDGETS,
    spacing=SPACING,
    formulas=FORMULAS,
    contacts=magnetic.CONTACTS,
    inputs=tuple(threshold.declared for threshold in THRESHOLDS),
    stop="cut",
    check=check,
    check_facts=check_facts,
    check_slew=magnetic.no_slew,
    rows=_rows,
    amplitude_ceiling=magnetic.amplitude_ceiling,
    exposure=exposure,
    interval_after_ns=interval_after_ns,
    in_segments=True,
    segment=segment,
    goes_on=goes_on,
)
