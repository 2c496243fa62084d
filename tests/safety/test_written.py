"""What was done, in the ledger's words: each effect its own, and nothing of it left out that a verdict rests on."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from drivers.link import Poll, Prepare, StopDevice
from safety.entries import entry_of, reserved_words, state_crc, written
from safety.events import Tick
from safety.exposures import NOTHING
from safety.history import Stamp
from safety.messages import ActResult, Allowed, PhaseChanged, Reason, Refusal
from safety.modalities import Exposure
from safety.safing import Step
from safety.state import (
    Effect,
    EndProcess,
    Latch,
    MarkArmed,
    OpenRelay,
    PetRelay,
    ToController,
    ToDevice,
    ToPerson,
    ToStore,
    Unlatch,
)
from safety.store_records import Reserved, Settled
from tests.safety.strategies import hold
from tests.safety.worlds import armed, holding

ALLOWED = armed().last(Allowed)
REASON = Reason(code="ILK-101", text="why", quantity="q", value=2.5, limit=2.0, set_by="site")
TOTAL = Exposure(on_time_s=1.5, charge_c=0.25, n_pulses=3)


def result(*, ok: bool) -> ActResult:
    return ActResult(ok=ok, code="" if ok else "ILK-331", text="t", phase="READY")


def reserved() -> Reserved:
    stamp = Stamp(boot_id="b", boot_ns=1, wall_ns=2)
    return Reserved(stamp=stamp, session_id="s", nonce="n", modality="tacs", total=TOTAL)


SETTLED = Settled(
    stamp=Stamp(boot_id="b", boot_ns=1, wall_ns=2),
    session_id="s",
    nonce="n",
    modality="tacs",
    confirmed=TOTAL,
    outstanding=NOTHING,
    first_wall_ns=3,
    last_wall_ns=4,
)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (ToDevice(message=StopDevice(call=7, how="cut")), "device StopDevice 7"),
        (ToDevice(message=Prepare(call=8, train=hold(0.5))), "device Prepare 8"),
        (ToDevice(message=Poll(call=-3)), "device Poll -3"),
        (ToController(message=PhaseChanged(phase="READY", code="", text="t")), "controller PhaseChanged"),
        (
            ToController(message=Refusal(id=5, reasons=(REASON,), allowed=ALLOWED)),
            'refusal 5 [{"code":"ILK-101","text":"why","quantity":"q","value":2.5,"limit":2.0,"set_by":"site"}]',
        ),
        (Latch(code="ILK-001", text="STOP: web"), "trip ILK-001 STOP: web"),
        (MarkArmed(), "mark armed"),
        (Unlatch(reset=True), "unlatch reset"),
        (Unlatch(reset=False), "unlatch"),
        (ToPerson(peer=4, result=result(ok=True)), "person 4 ok"),
        (ToPerson(peer=4, result=result(ok=False)), "person 4 ILK-331"),
        (ToStore(record=reserved()), "store reserved 1.5 s, 0.25 C, 3 pulses"),
        (ToStore(record=SETTLED), "store " + msgspec.json.encode(SETTLED).decode()),
        (PetRelay(), "pet"),
        (OpenRelay(), "open relay"),
        (EndProcess(status=4), "end 4"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_each_effect_has_its_own_words(effect: Effect, words: str):
    assert written(effect) == words


def test_a_permit_says_until_when():
    world = holding(hold(0.5))
    (permit,) = world.permits()
    assert written(ToController(message=permit)) == f"permit {permit.id} until {permit.lease_until_ns}"


def test_of_a_reservation_all_is_told_but_what_is_nothing():
    assert reserved_words(NOTHING) == ""
    heat = msgspec.structs.replace(NOTHING, cem43_brain_min=0.1, cem43_bone_min=0.2, cem43_skin_min=0.3)
    assert reserved_words(heat) == "0.1 min in brain, 0.2 min in bone, 0.3 min in skin"


def test_an_entry_is_of_the_state_before_and_after():
    world = armed()
    before = world.state
    after = msgspec.structs.replace(before, phase="TRIPPED")
    step = Step(after, (PetRelay(), EndProcess(status=0)))
    entry = entry_of(before, Tick(behind_ns=1), step, world.now, None)
    assert (entry.prev, entry.seq, entry.before, entry.after) == ("", before.entries, "ARMED", "TRIPPED")
    assert (entry.event, entry.now, entry.fold) == (Tick(behind_ns=1), world.now, None)
    assert entry.effects == ("pet", "end 0")
    assert entry.state == state_crc(after) != state_crc(before)
    assert state_crc(after) == f"{zlib.crc32(msgspec.json.encode(after)):08x}" and len(entry.state) == 8
