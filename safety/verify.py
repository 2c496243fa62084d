"""Separate code; re-hashes the chain, re-executes every decision from the log alone, asks the oracle.

Three answers on re-execution: *same*; *differs under other code* (the software digest is another); *tampered*.
A torn last line is what a power cut leaves and is told apart; anything else that does not fit is tampering.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from safety.entries import GENESIS_HASH, Close, Entry, Genesis, Software, state_crc, written
from safety.interlock import step
from safety.oracle_ledger import judge
from safety.state import Rules, State

LINE_BYTES_MAX = 262_144

Execution = Literal["same", "differs under other code", "tampered", "not run"]


class LedgerUnreadable(Exception):
    """The file cannot be read as a ledger at all: one line with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the file: its number from 1, its bytes, and what they hold."""

    number: int
    raw: bytes
    held: Genesis | Entry | Close


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What can be said of a ledger. `problems` is empty when nothing speaks against it."""

    path: Path
    entries: int
    head: str
    closed: bool
    torn: bool
    chain: bool
    execution: Execution
    software: str
    problems: tuple[str, ...]
    permits: int
    oracle: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Chain whole, every decision reproduced, and no permit that the oracle objects to."""
        return self.chain and self.execution == "same" and not self.problems and not self.oracle


_genesis = msgspec.json.Decoder(Genesis)
_entry = msgspec.json.Decoder(Entry)
_close = msgspec.json.Decoder(Close)


def read(path: Path) -> tuple[list[Line], bool, list[str]]:
    """The lines that can be read, whether the tail is torn, and what cannot be read; raises LedgerUnreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LedgerUnreadable(f"{path}: {error.strerror}; give a ledger.jsonl, or a run folder") from error
    if not content:
        raise LedgerUnreadable(f"{path}: empty, expected a ledger")
    raw = content.split(b"\n")
    torn = raw.pop() != b""
    lines, problems = [], []
    for number, body in enumerate(raw, start=1):
        held = _decode(number, body)
        if held is None:
            problems.append(f"line {number}: cannot be read as an entry")
            break
        lines.append(Line(number=number, raw=body, held=held))
    if not lines:
        raise LedgerUnreadable(f"{path}: the first line is no ledger's; give a ledger.jsonl, or a run folder")
    return lines, torn, problems


def _decode(number: int, body: bytes) -> Genesis | Entry | Close | None:
    if len(body) > LINE_BYTES_MAX:
        return None
    try:
        if number == 1:
            return _genesis.decode(body)
        return _close.decode(body) if b'"kind":"closed"' in body[:120] else _entry.decode(body)
    except (ValueError, TypeError, RecursionError):
        return None


def verify(path: Path, ours: Software, anchors: tuple[str, ...] = ()) -> Verdict:
    """Judge a ledger file against itself, against heads that were kept elsewhere (`anchors`), and against the deciding
    code at hand; raises LedgerUnreadable."""
    lines, torn, problems = read(path)
    chain_problems = [*_chain(lines), *_unanchored(lines, anchors)]
    execution: Execution = "not run"
    software = ""
    first = lines[0].held
    if isinstance(first, Genesis):
        software = first.software.digest
        if not chain_problems and not problems:
            execution, differences = _reexecute(first, lines[1:], same_code=software == ours.digest)
            problems += differences
    judgement = judge(line.held for line in lines)
    return Verdict(
        path=path,
        entries=len(lines),
        head=hashlib.sha256(lines[-1].raw).hexdigest(),
        closed=isinstance(lines[-1].held, Close),
        torn=torn,
        chain=not chain_problems and (execution != "not run" or not problems),
        execution=execution,
        software=software,
        problems=tuple(chain_problems + problems),
        permits=judgement.permits,
        oracle=judgement.objections,
    )


def _chain(lines: list[Line]) -> Iterator[str]:
    """What breaks the chain: a hash, a sequence number, a line where it does not belong."""
    before = GENESIS_HASH
    effects: tuple[str, ...] = ()
    for line in lines:
        if line.held.prev != before:
            yield f"line {line.number}: does not follow the line before it (hash)"
            return
        if line.held.seq != line.number - 1:
            yield f"line {line.number}: sequence {line.held.seq}, expected {line.number - 1}"
            return
        if isinstance(line.held, Close) and line.number != len(lines):
            yield f"line {line.number}: closed, but lines follow"
            return
        if isinstance(line.held, Close) and not _is_sealed(line.raw, line.held.seal):
            yield f"line {line.number}: does not fit its seal"
            return
        if isinstance(line.held, Close) and f"end {line.held.status}" not in effects:
            yield f"line {line.number}: closed with {line.held.status}, which nothing before it decided"
            return
        effects = line.held.effects if isinstance(line.held, Entry) else ()
        before = hashlib.sha256(line.raw).hexdigest()


def _is_sealed(raw: bytes, seal: str) -> bool:
    end = b'"seal":"' + seal.encode() + b'"}'
    unsealed = raw.removesuffix(end) + b'"seal":""}'
    return raw.endswith(end) and hashlib.sha256(unsealed).hexdigest() == seal


def _unanchored(lines: list[Line], anchors: tuple[str, ...]) -> Iterator[str]:
    """Each head that was kept elsewhere and that no line has: lines are missing, or are others."""
    hashes = {hashlib.sha256(line.raw).hexdigest() for line in lines} if anchors else set()
    for anchor in anchors:
        if anchor not in hashes:
            yield f"anchor {anchor[:16]}: no line has this hash; the file was cut or rewritten"


def replayed(rules: Rules, state: State, lines: list[Line]) -> Iterator[tuple[Line, State, str]]:
    """Each entry with the state after it, and the first way in which it differs from the record (else empty)."""
    for line in lines:
        entry = line.held
        if not isinstance(entry, Entry):
            return
        if entry.fold is not None:
            state = msgspec.structs.replace(state, watch=entry.fold.watch)
        decided = step(rules, state, entry.event, entry.now)
        difference = _difference(state, entry, decided.state, tuple(written(e) for e in decided.effects))
        state = decided.state
        yield line, state, difference


def _difference(before: State, entry: Entry, after: State, effects: tuple[str, ...]) -> str:
    for name, found, recorded in (
        ("state before", before.phase, entry.before),
        ("state after", after.phase, entry.after),
        ("effects", effects, entry.effects),
        ("state digest", state_crc(after), entry.state),
        ("sequence", after.entries - 1, entry.seq),
    ):
        if found != recorded:
            return f"{name}: recorded {recorded}, re-executed {found}"
    return ""


def _reexecute(first: Genesis, lines: list[Line], *, same_code: bool) -> tuple[Execution, list[str]]:
    execution: Execution = "tampered" if same_code else "differs under other code"
    number = 1
    try:
        for line, _, difference in replayed(first.rules, first.state, lines):
            number = line.number
            if difference:
                return execution, [f"line {number}: {difference}"]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return execution, [f"after line {number}: cannot be re-executed ({error})"]
    return "same", []
