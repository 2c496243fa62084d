"""What a participant's store holds: who made it, what each session reserved and settled, who confirmed the date. Pure.

What a session reserved stands here before any output. `Settled` replaces it by what was confirmed and what is outstanding;
a session that crashed has none, and all that it reserved counts as spent.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from drivers.stimulation import Modality, Value
from safety.acts import is_signed_by
from safety.chained import BrokenChain, Chain
from safety.dose import MARK_NS
from safety.exposures import NOTHING, greatest, plus
from safety.history import Course, History, Past, Stamp
from safety.limit_values import Limits
from safety.modalities import Exposure
from safety.windows import DAY_NS

# Own choice: after the last reservation, the longest that an output rests on it, waits for its onset, and lasts.
LAST_OUT_NS = MARK_NS + 15_000_000_000
# Windows and days in a row look back no further; the last session of a modality stays known. More would make the ledger's
# first line longer than a reader takes: 48 sessions a day are 90 kB.
PAST_NS = 8 * DAY_NS
_DOMAIN = b"nociloop store act 1\n"  # a signature made for anything else can never be read as one of these


class StoreAct(Value, frozen=True):
    """A named person's signed act upon a store. The signature is Ed25519 over everything else."""

    act: Literal["new", "confirm-date"]
    person: str
    public_key: str
    participant: str
    reason: str
    stamp: Stamp
    signature: str


class Created(Value, frozen=True, tag="created"):
    """The participant, and with it the course, begins."""

    stamp: Stamp
    act: StoreAct


class DateConfirmed(Value, frozen=True, tag="date_confirmed"):
    stamp: Stamp
    act: StoreAct


class Reserved(Value, frozen=True, tag="reserved"):
    """All that a session has reserved so far. An id may be used twice; the `nonce` is drawn anew at every start."""

    stamp: Stamp
    session_id: str
    nonce: str
    modality: Modality
    total: Exposure


class Settled(Value, frozen=True, tag="settled"):
    """A session that ended at zero: what the device confirmed, and what was permitted beyond that and may have come out;
    from its first output to its last."""

    stamp: Stamp
    session_id: str
    nonce: str
    modality: Modality
    confirmed: Exposure
    outstanding: Exposure
    first_wall_ns: int
    last_wall_ns: int


Record = Created | DateConfirmed | Reserved | Settled
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_encoder = msgspec.json.Encoder()


def signed_bytes(act: StoreAct) -> bytes:
    """What is signed: every field but the signature, under a domain of its own."""
    return _DOMAIN + _encoder.encode(msgspec.structs.replace(act, signature=""))


def body_of(record: Record) -> bytes:
    return _encoder.encode(record)


def records_of(chain: Chain, participant: str) -> tuple[Record, ...]:
    """The records of a store, each in its place; raises BrokenChain."""
    records = []
    for number, body in enumerate(chain.bodies, start=1):
        try:
            record = _decoder.decode(body)
        except (ValueError, RecursionError):
            raise BrokenChain(f"line {number} that is no record") from None
        if isinstance(record, Created) != (number == 1):
            raise BrokenChain(f"{type(record).__name__} on line {number}, expected Created on line 1 alone")
        if isinstance(record, Created | DateConfirmed) and not _is_signed(record, participant):
            raise BrokenChain(f"line {number} that {record.act.person} did not sign for {participant}")
        records.append(record)
    if not records:
        raise BrokenChain("no line, expected that of the participant's making")
    return tuple(records)


def _is_signed(record: Created | DateConfirmed, participant: str) -> bool:
    act = record.act
    kind = "new" if isinstance(record, Created) else "confirm-date"
    fits = act.act == kind and act.participant == participant and act.stamp == record.stamp
    return fits and is_signed_by(act.public_key, act.signature, signed_bytes(act))


def sessions_of(records: tuple[Record, ...]) -> tuple[Past, ...]:
    """Each session that reserved anything, in the order of their first reservations; raises BrokenChain."""
    found: dict[str, Past] = {}
    settled: set[str] = set()
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Reserved | Settled):
            continue
        before = found.get(record.nonce)
        out_of_place = record.nonce in settled or (before is None and isinstance(record, Settled))
        if out_of_place or (before is not None and before.modality != record.modality):
            raise BrokenChain(f"{type(record).__name__} out of its place on line {number}")
        if isinstance(record, Settled):
            settled.add(record.nonce)
            found[record.nonce] = Past(
                modality=record.modality,
                first_wall_ns=record.first_wall_ns,
                last_wall_ns=record.last_wall_ns,
                spent=plus(record.confirmed, record.outstanding),
            )
            continue
        wall_ns = record.stamp.wall_ns
        found[record.nonce] = Past(
            modality=record.modality,
            first_wall_ns=wall_ns if before is None else before.first_wall_ns,
            last_wall_ns=wall_ns + LAST_OUT_NS,
            spent=record.total if before is None else greatest(before.spent, record.total),
        )
    return tuple(each for each in found.values() if each.spent != NOTHING)


def history_of(
    records: tuple[Record, ...],
    chain: Chain,
    limits: Limits,
    now: Stamp,
    utc_offset_s: int,
    site_head: str,
) -> History:
    """What a session needs to know of those before it; raises BrokenChain."""
    sessions = sessions_of(records)
    newest = {each.modality: each for each in sorted(sessions, key=lambda each: each.last_wall_ns)}
    courses: dict[Modality, Course] = {}
    for each in sessions:
        so_far = courses.get(each.modality) or Course(modality=each.modality, spent=NOTHING, n_sessions=0)
        courses[each.modality] = Course(
            modality=each.modality, spent=plus(so_far.spent, each.spent), n_sessions=so_far.n_sessions + 1
        )
    return History(
        participant=limits.participant,
        past=tuple(
            each
            for each in sessions
            if each.last_wall_ns > now.wall_ns - PAST_NS or each is newest[each.modality]
        ),
        courses=tuple(courses.values()),
        last=records[-1].stamp,
        boot_id=now.boot_id,
        vouched=any(_vouches(record, limits, now) for record in records),
        utc_offset_s=utc_offset_s,
        store_seq=len(records),
        store_head=chain.head,
        site_head=site_head,
    )


def _vouches(record: Record, limits: Limits, now: Stamp) -> bool:
    """Whether somebody vouched for the date since this machine started: the officer who made the participant then, or a
    person whom the limits name."""
    if not isinstance(record, Created | DateConfirmed) or record.stamp.boot_id != now.boot_id:
        return False
    person = limits.person(record.act.person)
    named = person is not None and person.public_key == record.act.public_key
    return named or isinstance(record, Created)
