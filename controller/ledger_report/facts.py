"""What a safety officer asks of a ledger, counted from its entries: refusals, acts, maxima, who was named. Pure.

It counts decisions that were made; it makes none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.finished.ledger import BROKEN
from controller.finished.values import LimitLine, Slice
from drivers.capabilities import Capabilities
from drivers.stimulation import Train, amplitude, quantities
from safety.derived import values_of
from safety.entries import Entry, Genesis
from safety.entry_words import permitted_id, reasons_of
from safety.events import ActPresented, Asked
from safety.limit_values import Limits
from safety.messages import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedBy:
    """One limit, or one reason, that refused: how often, and the case with the greatest margin."""

    code: str
    quantity: str
    set_by: str
    count: int
    first_s: float
    value: float
    limit: float
    text: str

    @property
    def margin(self) -> float:
        """By how much the worst case went beyond."""
        return abs(self.value - self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActLine:
    """One act of a person: what, why, and what became of it."""

    at_s: float
    act: str
    person: str
    account: int
    reason: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Greatest:
    """One quantity: the greatest that was fired, the greatest that the device reported, and the limit; NaN: not known."""

    limit: LimitLine
    fired_low: float
    fired_high: float
    delivered: float

    @property
    def left(self) -> float:
        """What the nearest permit left of the nearer end of the limit, as a part of that end; NaN: nothing was permitted."""
        low, high = self.limit.low, self.limit.high
        ends = ((high - self.fired_high, high), (self.fired_low - low, low))
        return min((room / abs(end) for room, end in ends if end and not math.isnan(room)), default=math.nan)

    @property
    def above(self) -> bool:
        """Whether anything lies above the limit, or what was fired below it."""
        reached = [value for value in (self.fired_high, self.delivered) if not math.isnan(value)]
        return any(value > self.limit.high for value in reached) or self.fired_low < self.limit.low


def refused_by(genesis: Genesis, entries: Sequence[Entry]) -> tuple[RefusedBy, ...]:
    """By code, quantity and layer, the most frequent first."""
    found: dict[tuple[str, str, str], RefusedBy] = {}
    for entry in entries:
        at_s = seconds(entry.now.mono_ns, genesis)
        for effect in entry.effects:
            for reason in reasons_of(effect):
                key = (reason.code, reason.quantity, reason.set_by)
                found[key] = _worse(found.get(key), reason, at_s)
    return tuple(sorted(found.values(), key=lambda each: (-each.count, each.code, each.quantity)))


def _worse(before: RefusedBy | None, reason: Reason, at_s: float) -> RefusedBy:
    worse = before is None or abs(reason.value - reason.limit) > before.margin
    return RefusedBy(
        code=reason.code,
        quantity=reason.quantity,
        set_by=reason.set_by,
        count=1 if before is None else before.count + 1,
        first_s=at_s if before is None else before.first_s,
        value=reason.value if worse or before is None else before.value,
        limit=reason.limit if worse or before is None else before.limit,
        text=reason.text if worse or before is None else before.text,
    )


def acts_of(genesis: Genesis, entries: Sequence[Entry]) -> tuple[ActLine, ...]:
    """Every act in order. An arming is answered later, when the proof test is over: by the same connection."""
    return tuple(
        ActLine(
            at_s=seconds(entry.now.mono_ns, genesis),
            act=entry.event.act.act,
            person=entry.event.act.person,
            account=entry.event.uid,
            reason=entry.event.act.reason,
            outcome=_outcome(entry.event.peer, entries[n:]),
        )
        for n, entry in enumerate(entries)
        if isinstance(entry.event, ActPresented)
    )


def _outcome(peer: int, later: Sequence[Entry]) -> str:
    for entry in later:
        for effect in entry.effects:
            match effect.split():
                case ["person", name, outcome] if name == str(peer):
                    return "accepted" if outcome == "ok" else f"refused, {outcome}"
                case _:
                    pass
    return "not answered"


def greatest(
    rules: Limits,
    capabilities: Capabilities | None,
    entries: Sequence[Entry],
    slices: Sequence[Slice],
    limits: Sequence[LimitLine],
) -> Iterator[Greatest]:
    """Each effective limit that a train has a number for, its own or a computed one, with what was fired under it."""
    fired = [_numbers(train, rules, capabilities) for train in dict.fromkeys(fired_trains(entries))]
    told = [each.amplitude for each in slices if math.isfinite(each.amplitude)]
    for limit in limits:
        numbers = [_float(each[limit.quantity]) for each in fired if limit.quantity in each]
        is_amplitude = limit.quantity.startswith("amplitude_")
        if not numbers and not (is_amplitude and told):
            continue
        yield Greatest(
            limit=limit,
            fired_low=min(numbers, default=math.nan),
            fired_high=max(numbers, default=math.nan),
            delivered=max(told, default=math.nan) if is_amplitude else math.nan,
        )


def _numbers(train: Train, rules: Limits, capabilities: Capabilities | None) -> Mapping[str, float]:
    """What a train comes to; its own numbers alone where the rules cannot reckon with them."""
    if capabilities is not None:
        try:
            return values_of(train, rules, capabilities)
        except BROKEN:
            pass
    return quantities(train)


def fired_trains(entries: Sequence[Entry]) -> tuple[Train, ...]:
    """The train of every request that was permitted, as it was asked."""
    asked: dict[int, Train] = {}
    fired: dict[int, Train] = {}
    for entry in entries:
        if isinstance(entry.event, Asked):
            asked.setdefault(entry.event.request.id, entry.event.request.train)
        for number in map(permitted_id, entry.effects):
            if number in asked:
                fired[number] = asked[number]
    return tuple(train for train in fired.values() if math.isfinite(amplitude(train)))


def _float(value: float) -> float:
    """A number as a float: an integer that somebody wrote into a ledger may be beyond all of them."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def seconds(mono_ns: int, genesis: Genesis) -> float:
    """Seconds since the first entry; NaN where the clocks hold what no clock says."""
    try:
        return (mono_ns - genesis.now.mono_ns) / 1e9
    except OverflowError:
        return math.nan
