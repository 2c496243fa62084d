"""Budgets over real processes: a crash forgets nothing, one session a participant whatever the rig, a date vouched for."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import clocks
from safety.acts import public_key_hex
from safety.admission import read_limits
from safety.entries import Genesis
from safety.history import History, Stamp
from safety.limit_values import Person
from safety.messages import Permit, Refusal
from safety.modalities import Exposure
from safety.participants import confirm_date, new_course
from safety.people import table_of
from safety.store import claim_store, read_store, store_path
from safety.store_records import Reserved, body_of
from safety.verify import read
from safety.windows import DAY_NS
from sim.record import zero_since
from tests.system.fresh import fresh_participant
from tests.system.interlock_rig import OPERATOR, WAIT_S, Rig, interlock_rig, operators_key, until
from tests.system.played_controller import hold

EVES_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(9, 41)))


def history_of_session(rig: Rig) -> History:
    until(lambda: b"\n" in rig.ledger.read_bytes(), "the Genesis")
    lines, _, _ = read(rig.ledger)
    first = lines[0].held
    assert isinstance(first, Genesis)
    return first.rules.history


def refused(rig: Rig) -> str:
    """The one line with which no session starts."""
    lines = rig.start()["refused"]
    assert rig.interlock is not None and rig.interlock.wait(WAIT_S) == 3
    assert isinstance(lines, list) and len(lines) == 1
    return str(lines[0])


def again(rig: Rig) -> dict[str, object]:
    """Another session on the same world, after one that was killed."""
    while rig.controllers:
        rig.controllers.pop().close()
    rig.forget_latch()
    rig.run_dir = rig.run_dir.with_name(f"{rig.run_dir.name}+")
    rig.run_dir.mkdir()
    return rig.start()


def test_an_interlock_that_is_killed_leaves_its_reservation_spent() -> None:
    """Killed while its output is on: the next session is told at least what the device's own record says came out, and
    its first request is refused for the gap."""
    with interlock_rig() as rig:
        rig.running()
        killed_ns = time.monotonic_ns()
        os.kill(rig.pid, signal.SIGKILL)
        assert rig.interlock is not None
        rig.interlock.wait(WAIT_S)
        until(lambda: zero_since(rig.world.record(), killed_ns) is not None, "zero output")
        record = rig.world.record()
        zero_ns = zero_since(record, killed_ns)
        onset_ns = min(each.t_ns for each in record.breaks if each.a_ma_pp >= 0.0)
        records, _ = read_store(rig.state, "P001")
        reserved = records[-1]
        assert isinstance(reserved, Reserved)
        assert "ready" in again(rig), rig.ready
        history = history_of_session(rig)
        assert [each.spent for each in history.past] == [reserved.total]
        assert zero_ns is not None and reserved.total.on_time_s >= (zero_ns - onset_ns) / 1e9
        assert history.vouched
        controller = rig.controller()
        rig.arm()
        request = controller.send_request(hold(0.1))
        refusal = controller.wait(lambda said: isinstance(said, Refusal | Permit) and said.id == request)
        assert isinstance(refusal, Refusal)
        assert "ILK-315" in {reason.code for reason in refusal.reasons}
        assert rig.end() == 4


def test_a_reservation_that_was_never_used_is_spent_after_a_crash() -> None:
    """Killed between the reservation and its delivery: nothing came out, and all of it counts."""
    with interlock_rig() as rig:
        controller = rig.controller()
        rig.arm()
        os.kill(rig.world.device.pid, signal.SIGSTOP)  # nothing comes out, whatever is permitted
        controller.send_request(hold(0.1))
        until(lambda: len(read_store(rig.state, "P001")[0]) == 2, "the reservation in the store")
        os.kill(rig.pid, signal.SIGKILL)
        assert rig.interlock is not None
        rig.interlock.wait(WAIT_S)
        os.kill(rig.world.device.pid, signal.SIGCONT)
        assert "ready" in again(rig), rig.ready
        (past,) = history_of_session(rig).past
        assert past.spent.on_time_s >= 5.0
        assert rig.end() == 0


def test_a_session_that_ends_in_order_is_settled_and_anchored() -> None:
    with interlock_rig() as rig:
        controller = rig.running()
        controller.let_go()
        assert rig.ended_in_order() in (0, 4)
        records, chain = read_store(rig.state, "P001")
        kinds = [type(each).__name__ for each in records]
        assert kinds[0] == "Created" and kinds[-1] == "Settled" and set(kinds[1:-1]) == {"Reserved"}
        anchors = (rig.state / "site.jsonl").read_text().splitlines()
        last = json.loads(anchors[-1])["is"]
        assert (last["kind"], last["store_head"], last["store_seq"]) == ("closed", chain.head, len(records))
        lines, _, _ = read(rig.ledger)
        assert last["ledger_head"]
        assert lines[0].held.rules.history.store_seq == 1  # type: ignore[union-attr]


def test_one_participant_has_one_session_whatever_the_rig_and_its_directory(tmp_path: Path) -> None:
    with interlock_rig() as rig, interlock_rig(start=False) as other:
        other.world.environment = dict(other.world.environment) | {"NOCILOOP_STATE_DIR": str(rig.state)}
        assert refused(other).startswith("participant P001 has a session already")
        assert rig.end() == 0
        assert "ready" in other.start(), other.ready
        assert other.end() == 0


def test_a_new_course_is_what_the_next_session_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session nine days ago, and an officer of the limits who begins another course today."""
    with interlock_rig(start=False) as rig:
        now = clocks.stamp()
        ago_ns = 9 * DAY_NS
        then = Stamp(boot_id="an earlier boot", boot_ns=0, wall_ns=now.wall_ns - ago_ns)
        with monkeypatch.context() as earlier:
            earlier.setattr(clocks, "stamp", lambda: then)
            fresh_participant(rig.state, rig.limits)
        lines, _, _ = claim_store(rig.state, "P001")
        total = Reserved(stamp=then, session_id="s", nonce="n", modality="tacs", total=_exposure(60.0))
        lines.write([body_of(total)])
        lines.close()
        limits = read_limits(rig.limits)
        operator = limits.person(OPERATOR)
        assert operator is not None
        confirm_date(rig.state, limits, operator, operators_key(), "compared with the radio clock")
        officer = Person(name="eve", role="officer", public_key=public_key_hex(EVES_KEY), salt="0" * 32)
        named = msgspec.structs.replace(limits, people=(operator, officer))
        assert new_course(rig.state, named, officer, EVES_KEY, "after the assessment") == 2
        assert "ready" in rig.start(), rig.ready
        (course,) = history_of_session(rig).courses
        assert (course.number, course.n_sessions) == (1, 1)  # these limits do not know the officer
        assert rig.end() == 0
        rig.limits.write_text(f"{rig.limits.read_text()}\n{table_of(officer)}")
        assert "ready" in again(rig), rig.ready
        (course,) = history_of_session(rig).courses
        assert (course.number, course.n_sessions, course.begun_by) == (2, 0, "eve")
        assert rig.end() == 0


def test_after_a_restart_no_session_starts_until_a_person_confirms_the_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store as a boot before this one left it."""
    with interlock_rig(start=False) as rig:
        with monkeypatch.context() as earlier:
            earlier.setattr(clocks, "boot_id", lambda: "an earlier boot")
            fresh_participant(rig.state, rig.limits)
            stamp = clocks.stamp()
        lines, _, _ = claim_store(rig.state, "P001")
        total = Reserved(stamp=stamp, session_id="s", nonce="n", modality="tacs", total=_exposure(60.0))
        lines.write([body_of(total)])
        lines.sync()
        lines.close()
        assert refused(rig).startswith("ILK-413 participant P001: nobody has confirmed the date")
        limits = read_limits(rig.limits)
        operator = limits.person(OPERATOR)
        assert operator is not None
        confirm_date(rig.state, limits, operator, operators_key(), "compared with the radio clock")
        assert "ready" in rig.start(), rig.ready
        assert history_of_session(rig).vouched
        assert rig.end() == 0


def test_a_store_from_the_future_stops_the_start() -> None:
    with interlock_rig(start=False) as rig:
        now = clocks.stamp()
        lines, _, _ = claim_store(rig.state, "P001")
        ahead = Stamp(boot_id=now.boot_id, boot_ns=now.boot_ns, wall_ns=now.wall_ns + 3600 * 10**9)
        record = Reserved(stamp=ahead, session_id="s", nonce="n", modality="tacs", total=_exposure(1.0))
        lines.write([body_of(record)])
        lines.close()
        assert refused(rig).startswith("ILK-411 participant P001: the wall clock is earlier")
        store_path(rig.state, "P001").unlink()
        assert "found no store, expected the one that the site knows" in refused(rig)


def _exposure(on_time_s: float) -> Exposure:
    return Exposure(on_time_s=on_time_s, charge_c=0.0, n_pulses=0)
