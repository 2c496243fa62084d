"""Separate code; re-hashes chain and content, re-executes every decision from the log alone, asks the oracle.

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

from safety import acts
from safety.entries import GENESIS_HASH, Close, Entry, Genesis, Software, state_crc, written
from safety.events import ActPresented
from safety.head_signature import SignedHead, judge_heads, signers
from safety.interlock import step
from safety.kept_signature import SignatureFile, judge_signature
from safety.limit_values import Limits, Person
from safety.limits import LimitsErrors, load
from safety.oracle_ledger import Judgement, judge
from safety.regular_file import read_regular
from safety.signature import said_of
from safety.state import Rules, State

LINE_BYTES_MAX = 262_144
BYTES_MAX = 2**31  # own choice: what is longer would not be held in memory
GROWN_BYTES = 1_048_576  # of a session that runs, between the look at its size and the reading

Execution = Literal["same", "differs under other code", "tampered", "not run"]
LimitsFile = Literal["the same", "another", "not at hand"]


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
    """What can be said of a ledger. `problems` is empty when nothing speaks against the file, `oracle` when nothing
    speaks against the interlock; `strays` speak against the device, and the interlock had tripped on each. `chain`: the
    lines hold one another, and the heads that were given; whatever the files beside them say.

    `ours` is the digest of the code that verified, `software` of the one that wrote. `limits`, `signature`: whether
    the limits file and its signature at hand, if there were any, are those that the ledger holds; `signed`: by whom.
    `heads`: those that named persons signed, and that the ledger has; `signers`: who may sign them.
    """

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
    strays: tuple[str, ...] = ()
    ours: str = ""
    acts: int = 0
    anchors: int = 0
    limits: LimitsFile = "not at hand"
    signature: SignatureFile = "not at hand"
    signed: str = ""
    heads: tuple[SignedHead, ...] = ()
    signers: tuple[Person, ...] = ()

    @property
    def ok(self) -> bool:
        """Chain whole, every decision reproduced, and no permit that the oracle objects to."""
        return self.chain and self.execution == "same" and not self.problems and not self.oracle

    @property
    def other_code(self) -> bool:
        """Nothing but that this code decides otherwise speaks against it: the code that wrote it must be asked."""
        return (
            self.chain
            and self.execution == "differs under other code"
            and len(self.problems) == 1
            and not self.oracle
        )


_genesis = msgspec.json.Decoder(Genesis)
_entry = msgspec.json.Decoder(Entry)
_close = msgspec.json.Decoder(Close)


def read(path: Path) -> tuple[list[Line], bool, list[str]]:
    """The lines that can be read, whether the tail is torn, and what cannot be read; raises LedgerUnreadable."""
    return parse(path, content_of(path))


def content_of(path: Path) -> bytes:
    """The bytes of a regular file, and of nothing that never ends; raises LedgerUnreadable."""
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise LedgerUnreadable(f"{path}: found {size} bytes, expected a ledger; find out what wrote them")
        return read_regular(path, size + GROWN_BYTES)
    except OSError as error:
        raise LedgerUnreadable(f"{path}: {error.strerror}; give a ledger.jsonl, or a run folder") from error


def parse(path: Path, content: bytes) -> tuple[list[Line], bool, list[str]]:
    """As `read`, of bytes that are at hand; `path` is named in what is said."""
    if not content:
        raise LedgerUnreadable(f"{path}: empty, expected a ledger")
    raw = content.split(b"\n")
    torn = raw.pop() != b""
    lines, problems = [], []
    for number, body in enumerate(raw, start=1):
        held = decoded(number, body)
        if held is None:
            problems.append(f"line {number}: cannot be read as an entry")
            break
        lines.append(Line(number=number, raw=body, held=held))
    if not lines:
        raise LedgerUnreadable(f"{path}: {_of_the_first(raw)}")
    return lines, torn, problems


class _Opened(msgspec.Struct):
    """What a first line of any version has."""

    kind: Literal["opened"]
    software: Software


def _of_the_first(raw: list[bytes]) -> str:
    """Why the first line cannot be read: of another version, or no ledger's at all."""
    try:
        opened = msgspec.json.decode(raw[0], type=_Opened) if raw else None
    except (ValueError, TypeError, RecursionError):
        opened = None
    if opened is None:
        return "the first line is no ledger's; give a ledger.jsonl, or a run folder"
    return (
        f"the first line does not have the fields of this version; it says that nociloop {opened.software.nociloop[:32]!a}"
        f", digest {opened.software.digest[:64]!a}, wrote it: verify it with that version"
    )


def decoded(number: int, body: bytes) -> Genesis | Entry | Close | None:
    """What a line holds; None where it cannot be read. The first line of a ledger is its Genesis."""
    if len(body) > LINE_BYTES_MAX:
        return None
    try:
        if number == 1:
            return _genesis.decode(body)
        return _close.decode(body) if b'"kind":"closed"' in body else _entry.decode(body)
    except (ValueError, TypeError, RecursionError):
        return None


def verify(
    path: Path,
    ours: Software,
    anchors: tuple[str, ...] = (),
    limits: bytes | None = None,
    signature: bytes | None = None,
    heads: bytes = b"",
) -> Verdict:
    """Judge a ledger file against itself, against heads that were kept elsewhere (`anchors`) or signed (`heads`), against
    the limits file and its `signature`, and against the deciding code at hand; raises LedgerUnreadable."""
    return judged(path, content_of(path), ours, anchors, limits, signature, heads)


def judged(
    path: Path,
    content: bytes,
    ours: Software,
    anchors: tuple[str, ...] = (),
    limits: bytes | None = None,
    signature: bytes | None = None,
    heads: bytes = b"",
) -> Verdict:
    """As `verify`, of bytes that are at hand; no file is read."""
    lines, torn, problems = parse(path, content)
    chain_problems = [*_chain(lines), *_unanchored(lines, anchors)]
    if torn and isinstance(lines[-1].held, Close):
        chain_problems.append("the end: something follows the closing line")
    execution: Execution = "not run"
    same_limits: LimitsFile = "not at hand"
    first = _genesis.decode(lines[0].raw)
    signed, beside = _signatures(first, lines)
    if limits is not None and _same_limits(limits, first.rules.limits):
        same_limits = "the same"
    elif limits is not None:
        same_limits = "another"
        beside.append("limits.toml: not the file that the ledger holds; give that of the session (--limits)")
    same_signature, against = judge_signature(first.rules, signature)
    beside += against
    signed_heads, against = judge_heads(first.rules, lambda number: _head_at(lines, number), heads)
    beside += against
    if not chain_problems and not problems:
        execution, differences = _reexecute(first, lines[1:], same_code=first.software.digest == ours.digest)
        problems += differences
    judgement = _asked(lines)
    return Verdict(
        path=path,
        entries=len(lines),
        head=hashlib.sha256(lines[-1].raw).hexdigest(),
        closed=isinstance(lines[-1].held, Close),
        torn=torn,
        chain=execution != "not run",  # only a whole chain is decided again
        execution=execution,
        software=first.software.digest,
        problems=tuple(chain_problems + beside + problems),
        permits=judgement.permits,
        oracle=judgement.objections,
        strays=judgement.strays,
        ours=ours.digest,
        acts=signed,
        anchors=len(anchors),
        limits=same_limits,
        signature=same_signature,
        signed=said_of(first.rules.signed),
        heads=signed_heads,
        signers=signers(first.rules),
    )


def _head_at(lines: list[Line], number: int) -> str:
    """The hash of the line of a number from 1; "" where there is none."""
    return hashlib.sha256(lines[number - 1].raw).hexdigest() if 1 <= number <= len(lines) else ""


# What deciding again may raise on a ledger that somebody has written into: it speaks against the file.
BROKEN = (ArithmeticError, LookupError, TypeError, ValueError)


def _asked(lines: list[Line]) -> Judgement:
    """The oracle's judgement; numbers that it cannot reckon with are an objection."""
    try:
        return judge(line.held for line in lines)
    except BROKEN as error:
        return Judgement(permits=0, objections=(f"cannot be judged ({error})",))


def _signatures(first: Genesis, lines: list[Line]) -> tuple[int, list[str]]:
    """How many acts were accepted, and each whose signature does not fit, whoever decided that it does."""
    accepted, problems = 0, []
    for line in lines:
        entry = line.held
        if not isinstance(entry, Entry) or not isinstance(entry.event, ActPresented):
            continue
        if any(effect.startswith(f"person {entry.event.peer} ILK-") for effect in entry.effects):
            continue  # refused in the same breath
        accepted += 1
        act = entry.event.act
        person = first.rules.limits.person(act.person)
        if person is None or not acts.verify(act, person.public_key):
            problems.append(
                f"line {line.number}: an act by {act.person[:64]!a} was accepted, and its signature does not fit"
            )
        elif act.session_id != first.rules.session_id:
            problems.append(f"line {line.number}: an act was accepted that was signed for another session")
    return accepted, problems


def _same_limits(content: bytes, held: Limits) -> bool:
    """Hashed anew and read anew. In a shadow run the null device stands in place of the file's."""
    if hashlib.sha256(content).hexdigest() != held.digest:
        return False
    try:
        again = msgspec.json.decode(msgspec.json.encode(load(content)), type=Limits)
    except LimitsErrors:
        return False
    return msgspec.structs.replace(again, device=held.device, relay=held.relay) == held


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
    return hashlib.sha256(unsealed).hexdigest() == seal


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
            state = msgspec.structs.replace(state, watch=entry.fold.after(state.watch))
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
    except BROKEN as error:
        return execution, [f"after line {number}: cannot be re-executed ({error})"]
    return "same", []
