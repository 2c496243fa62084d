"""A device that fails, lies or hangs, through driver, host and interlock: zero by its own record, and the right trip."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import pytest

from drivers.link import CallFailed, Delivered
from safety.events import HostSaid
from safety.messages import DeliveryReport, Permit, PhaseChanged, Trip
from safety.store import read_store
from safety.store_records import Settled
from tests.system.interlock_rig import RAMP_MS, SLACK_MS, WAIT_S, interlock_rig, together, until
from tests.system.played_controller import hold, pulses

pytestmark = pytest.mark.system

HOST_MS = 150  # promised: a device host that is killed or hangs; a device behind it is no better
LEASE_MS = 500
END_SLACK_MS = 250  # of safety/delivery.py: how long the end of a lease may go unreported


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A fault that strikes while the output is on, the trips that may follow, and the time to zero from then on."""

    fault: str
    codes: tuple[str, ...]
    bound_ms: float = HOST_MS + RAMP_MS + SLACK_MS


FAILING = (
    Failing(fault="hang", codes=("ILK-211", "ILK-213")),
    Failing(fault="silent_after:0", codes=("ILK-211", "ILK-213")),
    Failing(fault="vanish_after:3", codes=("ILK-213", "ILK-212")),
    Failing(fault="fault_electrode:20", codes=("ILK-218",)),
    Failing(fault="drop_reply:STAT", codes=("ILK-211", "ILK-213")),
    Failing(fault="corrupt_crc:STAT", codes=("ILK-211", "ILK-213")),
)


def test_a_device_that_fails_in_the_middle_of_a_hold() -> None:
    together(*(partial(_fails, case) for case in FAILING[:3]))
    together(*(partial(_fails, case) for case in FAILING[3:]))


def _fails(case: Failing) -> None:
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        rig.world.inject(case.fault)
        took_ms = rig.zero_ms(since_ns, case.bound_ms)
        code = rig.until_tripped(*case.codes)
        print(f"\n{case.fault}: zero {took_ms:.1f} ms after it struck, {code}")
        assert rig.status().phase == "TRIPPED"
        assert rig.ended_in_order() == 4
        rig.judged_ms(since_ns, case.bound_ms)
        assert rig.highest() <= 0.1


def test_a_device_that_stores_more_than_it_was_told_puts_out_nothing() -> None:
    with interlock_rig(faults=("clamp_up",)) as rig:
        controller = rig.controller()
        rig.arm()
        since_ns = time.monotonic_ns()
        controller.ask(hold(0.1))
        controller.wait(lambda said: isinstance(said, Trip) and said.code == "ILK-214")
        rig.until_tripped("ILK-214")
        assert rig.ended_in_order(device_strayed=True) == 4
        assert rig.highest() == 0.0
        rig.judged_ms(since_ns, 0)


def test_a_device_that_ignores_stop_is_cut_by_the_relay() -> None:
    """Told to end, it says yes and goes on."""
    with interlock_rig(faults=("stuck_on",)) as rig:
        controller = rig.running()
        since_ns = time.monotonic_ns()
        controller.hang()
        took_ms = rig.zero_ms(since_ns, HOST_MS + RAMP_MS + HOST_MS + SLACK_MS)
        print(f"\nstuck_on: zero {took_ms:.1f} ms after the controller's last beat")
        rig.until_tripped("ILK-201")
        assert rig.ended_in_order() == 4


def test_a_device_that_outlives_its_lease_is_cut_by_the_relay() -> None:
    """STOP, the lease and the link watchdog ignored: nothing is left but the enable input."""
    with interlock_rig(faults=("runaway",)) as rig:
        controller = rig.controller()
        rig.arm()
        since_ns = time.monotonic_ns()
        assert isinstance(controller.ask(hold(0.1)), Permit)
        rig.until_output()
        took_ms = rig.zero_ms(since_ns, LEASE_MS + RAMP_MS + END_SLACK_MS + 3 * SLACK_MS)
        code = rig.until_tripped("ILK-217", "ILK-216", "ILK-215")
        print(f"\nrunaway: zero {took_ms:.1f} ms after a request of {LEASE_MS} ms, {code}")
        assert took_ms > LEASE_MS
        assert rig.ended_in_order(device_strayed=True) == 4


def test_a_device_that_tells_half_of_what_it_gave_saves_no_budget() -> None:
    """A budget is held against what was permitted; what the device says can only be more."""
    with interlock_rig("rtms", faults=("lie_delivery",)) as rig:
        controller = rig.controller()
        rig.arm()
        since_ns = time.monotonic_ns()
        assert isinstance(controller.ask(pulses(n_pulses=4)), Permit)
        controller.wait(lambda said: isinstance(said, DeliveryReport) and said.delivery.ended)
        told = sum(report.delivery.n_pulses for report in controller.all_of(DeliveryReport))
        assert len(rig.world.record().pulses) == 4 and told < 4
        rig.judged_ms(since_ns, 400 + SLACK_MS)
        rig.ended_in_order()
        settled = read_store(rig.state, "P001")[0][-1]
        assert isinstance(settled, Settled)
        assert settled.confirmed.n_pulses == told
        assert settled.confirmed.n_pulses + settled.outstanding.n_pulses == 4


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_a_fire_whose_answer_is_lost_counts_as_delivered(modality: str) -> None:
    with interlock_rig("tacs" if modality == "tacs" else "rtms", faults=("drop_reply:FIRE",)) as rig:
        controller = rig.controller()
        rig.arm()
        since_ns = time.monotonic_ns()
        controller.ask(hold(0.1) if modality == "tacs" else pulses())
        rig.until_tripped("ILK-211")
        rig.zero_ms(since_ns, HOST_MS + RAMP_MS + SLACK_MS)
        assert rig.world.record().breaks or rig.world.record().pulses, "it did put something out"
        assert rig.end() == 4
        verdict = rig.verdict()
        assert verdict.chain and verdict.closed and verdict.execution == "same", verdict
        events = [entry.event for entry in rig.entries()]
        said = [event.message for event in events if isinstance(event, HostSaid)]
        assert any(isinstance(message, CallFailed) and message.code == "silent" for message in said)
        assumed = [message.delivery for message in said if isinstance(message, Delivered)]
        # All of it at first, for nobody knows; what the device tells after that is less.
        assert assumed and not assumed[0].confirmed, assumed
        assert assumed[0].end_ns - assumed[0].start_ns >= (
            LEASE_MS * 1_000_000 if modality == "tacs" else 3_900_000_000
        )


def test_another_device_than_the_limits_name_is_never_ready() -> None:
    with interlock_rig(serial="SIM-0002", edits={'identity = "any"': 'identity = "SIM-0001"'}) as rig:
        controller = rig.controller_unready()
        expected = "identity SIM-0002, expected SIM-0001"
        until(lambda: any(each.endswith(expected) for each in rig.status().missing), "the reason")
        assert rig.status().phase == "SAFE"
        result = rig.act("arm")
        assert not result.ok and result.code == "ILK-334"
        assert not any(said.phase == "READY" for said in controller.all_of(PhaseChanged))
        assert rig.highest() == 0.0
        assert rig.end() == 0
        rig.ended_in_order()


def test_no_device_at_all_is_said_and_ends_in_order() -> None:
    with interlock_rig(start=False) as rig:
        rig.world.device.kill()
        rig.world.device.wait(WAIT_S)
        assert "ready" in rig.start()
        rig.controller_unready()
        until(lambda: "check cable, address" in " ".join(rig.status().missing), "the driver's line")
        assert rig.status().phase == "SAFE"
        assert not rig.act("arm").ok
        assert rig.end() == 0
        rig.ended_in_order()


def unproven(fault: str) -> None:
    with interlock_rig(relay_fault=fault) as rig:
        controller = rig.controller()
        until(lambda: rig.act("arm").code == "ILK-335", f"a failed proof test: {fault}")
        assert rig.status().phase == "READY"
        assert not isinstance(controller.ask(hold(0.1)), Permit)
        assert rig.highest() == 0.0
        assert rig.ended_in_order() == 0
        assert "ArmDevice" not in rig.said(), "the device was energised before the relay was proven"


@pytest.mark.parametrize(
    "faults",
    [("stuck_closed", "stuck_open", "deaf"), ("late", "lies_once", "inverted"), ("sleepless",)],
    ids=str,
)
def test_a_relay_that_fails_its_proof_test_is_not_armed(faults: tuple[str, ...]) -> None:
    together(*(partial(unproven, fault) for fault in faults))


def test_a_relay_that_answers_twice_or_slowly_is_proven_and_still_cuts() -> None:
    together(partial(proven, "twice"), partial(proven, "slow"))


def proven(fault: str) -> None:
    with interlock_rig(relay_fault=fault) as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        rig.world.tell_relay("fault deaf")
        rig.zero_ms(since_ns, 150 + 100 + 100 + SLACK_MS)
        rig.until_tripped("ILK-221", "ILK-222")  # it says nothing any more, then that it opened by itself
        rig.ended_in_order()


def astray(fault: str) -> None:
    """While armed: what its feedback says is believed, for it may be true."""
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        rig.world.tell_relay(f"fault {fault}")
        rig.zero_ms(since_ns, 300 + SLACK_MS)
        assert rig.until_tripped("ILK-221", "ILK-222") == ("ILK-221" if fault == "late" else "ILK-222")
        rig.ended_in_order()


def test_a_relay_that_lies_while_armed_trips() -> None:
    together(*(partial(astray, fault) for fault in ("lies_once", "inverted", "late")))
