"""Second implementation of the limits in exact rationals, sharing no code with the first.

One train against every layer, in the circumstances of one instant. `oracle_ledger` walks a whole ledger with it. A
number is taken as the decimal that it is written as, so that a limit of 0.3 is three tenths. The oracle speaks only
of permits: where it finds nothing, a train *may* be permitted; refusing more than it does is never its business.

Where a source may be read in two ways, the stricter reading stands here. Not held, because no source at hand states
it as a limit: the ramp of 10-30 s at a session's ends (a convention for comfort); the slew row of the limits counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from drivers.stimulation import Modality, Train
from safety import (
    oracle_implanted,
    oracle_rtms,
    oracle_tacs,
    oracle_tbs,
    oracle_tdcs,
    oracle_tens,
    oracle_trns,
    oracle_tus,
)
from safety.limit_values import Limits, is_iso_date
from safety.oracle_numbers import Circumstances, F, Part, Span, exact, in_envelope, in_layers

TRAIN_S_MAX = F(10)  # own choice: the lease of anything
PARTS: Mapping[Modality, Part] = {
    "tacs": oracle_tacs.PART,
    "tdcs": oracle_tdcs.PART,
    "trns": oracle_trns.PART,
    "tens": oracle_tens.PART,
    "rtms": oracle_rtms.PART,
    "tbs": oracle_tbs.PART,
    "ctbs": oracle_tbs.CTBS,
    "dbs": oracle_implanted.DBS,
    "scs": oracle_implanted.SCS,
    "drg": oracle_implanted.DRG,
    "pns": oracle_implanted.PNS,
    "tus": oracle_tus.PART,
}
BOUNDS: Mapping[Modality, Mapping[str, Span]] = {name: part.bounds for name, part in PARTS.items()}
SESSION: Mapping[Modality, Mapping[str, Fraction]] = {name: part.session for name, part in PARTS.items()}


def objections(train: Train, given: Circumstances) -> tuple[str, ...]:
    """Everything that speaks against a permit for `train`; empty: it may be permitted."""
    return tuple(_objections(train, given))


def _objections(train: Train, given: Circumstances) -> Iterator[str]:
    limits = given.limits
    yield from _general(given)
    if train.modality != limits.modality or train.modality not in given.capabilities.modalities:
        yield f"modality {train.modality}: the limits are for {limits.modality}"
        return
    part = PARTS[train.modality]
    asked = part.asked(train.waveform)
    if asked is None:
        yield f"{train.modality} cannot be a {type(train.waveform).__name__}"
        return
    for name, value in asked.items():
        yield from in_envelope(name, value, given.capabilities.envelopes.get(name))
    yield from part.more(train, asked, given)
    for name, number in {**asked, **part.derived(train, asked, given)}.items():
        yield from in_layers(name, number, limits, part.bounds.get(name))


def rises_too_fast(train: Train, given: Circumstances) -> tuple[str, ...]:
    """What speaks against the rise of a hold alone, from the least that can be coming out."""
    part = PARTS[train.modality]
    asked = part.asked(train.waveform)
    derived = {} if asked is None else part.derived(train, asked, given)
    return tuple(
        text
        for name, number in derived.items()
        if name.startswith("slew_")
        for text in in_layers(name, number, given.limits, part.bounds.get(name))
    )


def interval_s(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """The least time between the end of a train and the onset of the next; None where nothing says it."""
    return PARTS[limits.modality].interval_s(before, after, limits)


def joins(before: Train, after: Train) -> bool:
    """Whether a train can be the next segment of the one before."""
    return PARTS[before.modality].joins(before, after)


def too_long(whole_s: Fraction, limits: Limits) -> Iterator[str]:
    """What speaks against all segments of a train together."""
    bound = PARTS[limits.modality].bounds.get("train_s")
    yield from in_layers("train_s", whole_s, limits, bound)


def spent_by(train: Train, on_ns: int, limits: Limits) -> Mapping[str, Fraction]:
    """What some time of a train spends of budgets other than time, charge and pulses."""
    return PARTS[limits.modality].spent_by(train, on_ns, limits)


def budget(name: str, limits: Limits) -> Fraction:
    """What may go out in the session, 0 where nothing says it."""
    rows = [exact(row.high) or F(0) for row in limits.budgets if row.name == name and row.scope == "session"]
    most = min(rows, default=F(0))
    return max(F(0), min(most, SESSION[limits.modality].get(name, most)))


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
    if not given.simulated and not given.signed:
        yield "unsigned limits on a real device"
