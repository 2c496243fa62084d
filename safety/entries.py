"""What one ledger entry holds, and how an effect is written in it. Pure; the writer and the verifier share it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import assert_never

import msgspec

from drivers.stimulation import Value
from safety.events import Event, Now
from safety.messages import Permit, Refusal
from safety.modalities import Exposure
from safety.safing import Step
from safety.state import (
    Effect,
    EndProcess,
    Latch,
    MarkArmed,
    OpenRelay,
    PetRelay,
    Rules,
    State,
    ToController,
    ToDevice,
    ToPerson,
    ToStore,
    TrippedAlso,
    Unlatch,
    Watch,
)
from safety.store_records import Reserved

GENESIS_HASH = "0" * 64


class Software(Value, frozen=True):
    """What ran: the digest of the deciding code, and the versions of what it rests on."""

    digest: str
    python: str
    msgspec: str
    nociloop: str


class Genesis(Value, frozen=True):
    """The first line: all that re-execution needs, and where the log was begun."""

    prev: str
    seq: int
    kind: str
    now: Now
    utc: str
    boot_id: str
    rules: Rules
    state: State
    software: Software


class Folded(Value, frozen=True, array_like=True):
    """How many of each foldable event."""

    ticks: int = 0
    beats: int = 0
    host: int = 0
    relay: int = 0
    durable: int = 0


class Fold(Value, frozen=True, array_like=True):
    """The foldable events since the entry before: how many of each, and the Watch that they left. Written small, for one
    stands in most entries: of a time, how much it grew since that entry; evidence only where it is another."""

    counts: Folded
    watch: Watch

    def after(self, before: Watch) -> Watch:
        """The Watch that they left, where `before` is the one that the entry before left."""
        times = {name: getattr(before, name) + getattr(self.watch, name) for name in _TIMES}
        return msgspec.structs.replace(self.watch, evidence=self.watch.evidence or before.evidence, **times)


# Of the interlock's own clocks: what a controller counts may be any number, and a difference of two might not be written.
_TIMES = tuple(name for name in Watch.__struct_fields__ if name.endswith("_ns"))


def fold_of(counts: Mapping[str, int], before: Watch, after: Watch) -> Fold | None:
    """Counts by the names of the events, and the Watch at the entry before and now; nothing of no events."""
    if not counts:
        return None
    times = {name: getattr(after, name) - getattr(before, name) for name in _TIMES}
    evidence = None if after.evidence is before.evidence else after.evidence
    return Fold(counts=folded(counts), watch=msgspec.structs.replace(after, evidence=evidence, **times))


def folded(counts: Mapping[str, int]) -> Folded:
    """Counts by the names of the events."""
    return Folded(
        ticks=counts.get("Tick", 0),
        beats=counts.get("Beat", 0),
        host=counts.get("HostSaid", 0),
        relay=counts.get("RelaySaid", 0),
        durable=counts.get("Durable", 0),
    )


class Entry(Value, frozen=True):
    """One decision. `state` is the CRC-32 of the state that follows; `effects` are as `written` says."""

    prev: str
    seq: int
    now: Now
    event: Event
    before: str
    after: str
    effects: tuple[str, ...]
    state: str
    fold: Fold | None = None


class Close(Value, frozen=True):
    """The last line of a ledger that was ended in order. No later line holds its hash: `seal`, always the last field,
    is the SHA-256 of the line with an empty seal."""

    prev: str
    seq: int
    kind: str
    now: Now
    status: int
    seal: str = ""


_json = msgspec.json.Encoder()
_SPENT = {
    "on_time_s": "s",
    "charge_c": "C",
    "n_pulses": "pulses",
    "cem43_brain_min": "min in brain",
    "cem43_bone_min": "min in bone",
    "cem43_skin_min": "min in skin",
}


def reserved_words(total: Exposure) -> str:
    """A reservation as the ledger has it: what is not 0, with its unit. The rest of its record is in `now` and Genesis."""
    told = ((getattr(total, name), unit) for name, unit in _SPENT.items())
    return ", ".join(f"{value!r} {unit}" for value, unit in told if value)


def written(effect: Effect) -> str:
    """An effect in a few words: what was sent to whom, and a verdict with each limit that refused and its margin."""
    match effect:
        case ToDevice(message=message):
            return f"device {type(message).__name__} {message.call}"
        case ToController(message=Refusal() as refusal):
            return f"refusal {refusal.id} " + _json.encode(refusal.reasons).decode()
        case ToController(message=Permit() as permit):
            return f"permit {permit.id} until {permit.lease_until_ns}"
        case Latch(code=code, text=text) | TrippedAlso(code=code, text=text):
            return f"trip {code} {text}"
        case MarkArmed():
            return "mark armed"
        case Unlatch(reset=reset):
            return "unlatch reset" if reset else "unlatch"
        case ToController(message=message):
            return f"controller {type(message).__name__}"
        case ToPerson(peer=peer, result=result):
            return f"person {peer} {'ok' if result.ok else result.code}"
        case ToStore(record=Reserved(total=total)):
            return f"store reserved {reserved_words(total)}"
        case ToStore(record=record):
            return "store " + _json.encode(record).decode()
        case PetRelay():
            return "pet"
        case OpenRelay():
            return "open relay"
        case EndProcess(status=status):
            return f"end {status}"
        case _:
            assert_never(effect)


def state_crc(state: State) -> str:
    """The state in eight hex digits: enough to show a re-execution that went another way."""
    return f"{zlib.crc32(_json.encode(state)):08x}"


def entry_of(before: State, event: Event, step: Step, now: Now, fold: Fold | None) -> Entry:
    """The entry of a step, still without the hash of the line before it."""
    return Entry(
        prev="",
        seq=before.entries,
        now=now,
        event=event,
        before=before.phase,
        after=step.state.phase,
        effects=tuple(written(effect) for effect in step.effects),
        state=state_crc(step.state),
        fold=fold,
    )
