"""What the ledger says of a run: verdict, phases, requests, deliveries and dose over time, limits in force.

The one file of the controller that reads a ledger. It looks at decisions that were made, after the session; it makes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from controller.finished.values import Ask, LedgerLine, LimitLine, Slice
from drivers.capabilities import Capabilities
from drivers.link import Delivered, Opened
from drivers.stimulation import amplitude
from safety.entries import Close, Entry, Genesis
from safety.events import Asked, FireAsked, HostSaid
from safety.exposures import plus, spent_of
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities import REASONS, rows
from safety.software import software
from safety.state import State
from safety.trips import BY_CODE, PERMISSIVES, REFUSALS
from safety.verify import LedgerUnreadable, Line, Verdict, read, replayed, verify

# What decoding or deciding again may raise on a ledger that somebody has written into: it is tampered with, no defect.
BROKEN: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
SHOWN_MAX: Final = 20  # problems that a summary repeats; `nociloop ledger verify` shows all

_reasons = msgspec.json.Decoder(tuple[Reason, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseAt:
    """A change of phase, and the code or text behind it."""

    t_ns: int
    phase: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseAt:
    """The sums of every budget after one entry."""

    t_ns: int
    confirmed: dict[str, float]
    permitted: dict[str, float]
    reserved: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLedger:
    """The ledger as it was read. `genesis` is None where there is none to read; then all but `line` is empty."""

    line: LedgerLine
    genesis: Genesis | None = None
    end_ns: int = 0
    exit_status: int | None = None
    capabilities: Capabilities | None = None
    armed_by: str = ""
    asks: tuple[Ask, ...] = ()
    slices: tuple[Slice, ...] = ()
    phases: tuple[PhaseAt, ...] = ()
    dose: tuple[DoseAt, ...] = ()


def read_ledger(path: Path, judged: LedgerLine | None = None) -> RunLedger:
    """Read and verify; whatever is wrong stands in `line.problems`. `judged` spares verifying it once more."""
    try:
        lines, _, _ = read(path)
    except LedgerUnreadable as error:
        return RunLedger(line=_unread(str(error)))
    line = judged or _judged(path)
    genesis = lines[0].held
    if not isinstance(genesis, Genesis):
        return RunLedger(line=line)
    entries = [held for held in (line.held for line in lines) if isinstance(held, Entry)]
    asks, slices = _asks(entries), _slices(entries)
    try:
        states = _states(genesis, lines[1:]) if line.chain and line.execution == "same" else []
    except BROKEN:
        states = []
    last = lines[-1].held
    return RunLedger(
        line=line,
        genesis=genesis,
        end_ns=last.now.mono_ns,
        exit_status=last.status if isinstance(last, Close) else None,
        capabilities=_capabilities(entries),
        armed_by=next((state.armed_by for _, state in states if state.armed_by), ""),
        asks=asks,
        slices=slices,
        phases=_phases(genesis, entries, [state for _, state in states]),
        dose=tuple(_doses(genesis, states)),
    )


def said_of(code: str) -> tuple[str, str]:
    """Text and remedy of any code that the interlock gives; empty for an unknown one."""
    if code in BY_CODE:
        return BY_CODE[code].text, BY_CODE[code].remedy
    if code in REASONS:
        return REASONS[code].text, REASONS[code].remedy
    return REFUSALS.get(code, PERMISSIVES.get(code, ("", "")))


def limits_in_force(ledger: RunLedger) -> tuple[LimitLine, ...]:
    """The effective limits: the least of all layers and the device; the rows of the file where no device opened."""
    if ledger.genesis is None:
        return ()
    limits = ledger.genesis.rules.limits
    try:
        found = rows(limits, ledger.capabilities) if ledger.capabilities is not None else ()
    except BROKEN:
        found = ()
    if not found:
        return tuple(_of_file(limits))
    return tuple(
        LimitLine(
            quantity=row.quantity,
            unit=row.unit,
            low=row.low,
            high=row.high,
            set_by=row.set_by,
            source=row.source,
            status=row.status,
        )
        for row in found
    )


def _of_file(limits: Limits) -> Iterator[LimitLine]:
    for row in limits.rows:
        yield LimitLine(
            quantity=row.quantity,
            unit=row.unit,
            low=row.low,
            high=row.high,
            set_by=row.layer,
            source=f"{row.source}, {row.edition}",
            status=row.status,
        )


def _judged(path: Path) -> LedgerLine:
    try:
        verdict = verify(path, software())
    except LedgerUnreadable as error:
        return _unread(str(error))
    except BROKEN as error:
        return _unread(f"{path.name}: cannot be decided again ({type(error).__name__}); take it for tampered")
    return line_of(verdict)


def line_of(verdict: Verdict) -> LedgerLine:
    """A verdict as the summary holds it: no more problems than somebody reads."""
    more = len(verdict.problems) - SHOWN_MAX
    return LedgerLine(
        found=True,
        ok=verdict.ok,
        entries=verdict.entries,
        head=verdict.head,
        chain=verdict.chain,
        execution=verdict.execution,
        closed=verdict.closed,
        torn=verdict.torn,
        problems=(*verdict.problems[:SHOWN_MAX], *((f"and {more} more",) if more > 0 else ())),
        objections=verdict.oracle[:SHOWN_MAX],
        strays=verdict.strays[:SHOWN_MAX],
    )


def _unread(problem: str) -> LedgerLine:
    return LedgerLine(
        found=False,
        ok=False,
        entries=0,
        head="",
        chain=False,
        execution="not run",
        closed=False,
        torn=False,
        problems=(problem,),
    )


def _states(genesis: Genesis, lines: list[Line]) -> list[tuple[int, State]]:
    """The state after each entry, decided again."""
    states = []
    for line, state, _ in replayed(genesis.rules, genesis.state, lines):
        states.append((line.held.now.mono_ns, state))
    return states


def _doses(genesis: Genesis, states: Sequence[tuple[int, State]]) -> Iterator[DoseAt]:
    """The dose wherever it changed, and at the last entry."""
    names = tuple(dict.fromkeys(budget.name for budget in genesis.rules.limits.budgets))
    before = None
    for index, (t_ns, state) in enumerate(states):
        dose = state.dose
        if dose is before and index + 1 < len(states):
            continue
        before = dose
        yield DoseAt(
            t_ns=t_ns,
            confirmed={name: spent_of(dose.confirmed, name) for name in names},
            permitted={name: spent_of(dose.granted, name) for name in names},
            reserved={name: spent_of(plus(dose.reserved, dose.coming), name) for name in names},
        )


def _asks(entries: Sequence[Entry]) -> tuple[Ask, ...]:
    """Each request with its last verdict: a permitted one may still be refused before its onset."""
    found: dict[int, Ask] = {}
    for entry in entries:
        if isinstance(entry.event, Asked):
            request = entry.event.request
            if request.id not in found:  # an id that comes twice is refused, and changes nothing of the first
                found[request.id] = Ask(
                    id=request.id, t_ns=entry.now.mono_ns, amplitude=amplitude(request.train),
                    verdict="none", codes=(), texts=(),
                )  # fmt: skip
        for effect in entry.effects:
            word, _, rest = effect.partition(" ")
            number, _, detail = rest.partition(" ")
            if word not in {"permit", "refusal"} or not number.lstrip("-").isdecimal():
                continue
            asked = found.get(int(number))
            if asked is not None:
                answered = _answered(asked, word, detail)
                found[asked.id] = replace(answered, renews=word == "permit" and _is_renewal(entry))
    return tuple(found.values())


def _is_renewal(entry: Entry) -> bool:
    """A permit that was fired without being prepared, and that is no FireRequest's: the running hold's own token."""
    fired = any(effect.startswith("device Fire ") for effect in entry.effects)
    return fired and not isinstance(entry.event, FireAsked)


def _answered(asked: Ask, word: str, detail: str) -> Ask:
    reasons: tuple[Reason, ...] = ()
    if word == "refusal":
        try:
            reasons = _reasons.decode(detail)
        except BROKEN:
            reasons = ()
    return Ask(
        id=asked.id,
        t_ns=asked.t_ns,
        amplitude=asked.amplitude,
        verdict=word,
        codes=tuple(reason.code for reason in reasons),
        texts=tuple(reason.text for reason in reasons),
    )


def _slices(entries: Sequence[Entry]) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            token=given.token,
            start_ns=given.start_ns,
            end_ns=given.end_ns,
            amplitude=given.amplitude,
            n_pulses=given.n_pulses,
            ended=given.ended,
            confirmed=given.confirmed,
        )
        for entry in entries
        if isinstance(entry.event, HostSaid) and isinstance(entry.event.message, Delivered)
        for given in (entry.event.message.delivery,)
    )


def _capabilities(entries: Sequence[Entry]) -> Capabilities | None:
    for entry in entries:
        if isinstance(entry.event, HostSaid) and isinstance(entry.event.message, Opened):
            return entry.event.message.capabilities
    return None


def _phases(genesis: Genesis, entries: Sequence[Entry], states: Sequence[State]) -> tuple[PhaseAt, ...]:
    """Where the phase changed, and why: the trip that the state holds, else what the entry itself tells."""
    found = [PhaseAt(t_ns=genesis.now.mono_ns, phase=genesis.state.phase, code="", text="")]
    for index, entry in enumerate(entries):
        if entry.after == entry.before:
            continue
        code, text = "", type(entry.event).__name__
        if entry.after == "TRIPPED":
            if index < len(states):
                code, text = states[index].trip, states[index].trip_text
            else:
                code, text = next(map(trip_of, filter(is_trip, entry.effects)), (code, text))
        found.append(PhaseAt(t_ns=entry.now.mono_ns, phase=entry.after, code=code, text=text))
    return tuple(found)


def is_trip(effect: str) -> bool:
    """Whether an effect in words is a trip, the first or a later one."""
    return effect.startswith("trip ")


def trip_of(effect: str) -> tuple[str, str]:
    """Code and text of a trip in words."""
    code, _, text = effect.removeprefix("trip ").partition(" ")
    return code, text
