"""What a participant's store holds: who made it, what each session reserved and settled, who confirmed the date or began
another course. Pure.

What a session reserved stands here before any output. `Settled` replaces it by what was confirmed and what is outstanding;
a session that crashed has none, and all that it reserved counts as spent.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from drivers.stimulation import Modality, Value
from safety.acts import is_signed_by
from safety.chained import BrokenChain, Chain
from safety.history import Stamp
from safety.modalities import Exposure

_DOMAIN = b"nociloop store act 1\n"  # a signature made for anything else can never be read as one of these


class StoreAct(Value, frozen=True, omit_defaults=True):
    """A named person's signed act upon a store. The signature is Ed25519 over everything else. `modality`: of the course
    that begins; the other acts have none."""

    act: Literal["new", "confirm-date", "new-course"]
    person: str
    public_key: str
    participant: str
    reason: str
    stamp: Stamp
    signature: str
    modality: Modality | None = None


class Created(Value, frozen=True, tag="created"):
    """The participant, and with it the first course of every modality, begins."""

    stamp: Stamp
    act: StoreAct


class DateConfirmed(Value, frozen=True, tag="date_confirmed"):
    stamp: Stamp
    act: StoreAct


class CourseBegun(Value, frozen=True, tag="course_begun"):
    """The course of one modality is over, and the next begins. Whether the act counts, `earlier.courses_of` judges."""

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


Record = Created | DateConfirmed | CourseBegun | Reserved | Settled
_KINDS = {Created: "new", DateConfirmed: "confirm-date", CourseBegun: "new-course"}
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
        if isinstance(record, Created | DateConfirmed | CourseBegun) and not _is_signed(record, participant):
            raise BrokenChain(f"line {number} that {record.act.person} did not sign for {participant}")
        records.append(record)
    if not records:
        raise BrokenChain("no line, expected that of the participant's making")
    return tuple(records)


def _is_signed(record: Created | DateConfirmed | CourseBegun, participant: str) -> bool:
    act = record.act
    fits = act.act == _KINDS[type(record)] and act.participant == participant and act.stamp == record.stamp
    fits = fits and (act.modality is not None) == isinstance(record, CourseBegun)
    return fits and is_signed_by(act.public_key, act.signature, signed_bytes(act))
