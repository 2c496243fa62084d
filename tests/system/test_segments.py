"""Continuous theta bursts through every process: the simulated coil plays segments without a pause, and each end is real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from drivers.stimulation import BurstTrain, MagneticPulse, Output, Train
from safety.messages import DeliveryReport, Permit, Refusal
from safety.stop import press
from sim.record import Pulse
from tests.system.interlock_rig import SLACK_MS, Rig, interlock_rig, until
from tests.system.played_controller import Controller

pytestmark = pytest.mark.system

PERIOD_NS, CLOCK_NS = 200_000_000, 20_000_000
SEGMENT = Train(
    modality="ctbs",
    outputs=(Output(name="coil", share=1.0),),
    waveform=BurstTrain(
        pulse=MagneticPulse(amplitude_pct_mso=30.0),
        pulses_per_burst=3, rate_in_burst_hz=50.0, bursts_hz=5.0, n_bursts=10,
    ),
)  # fmt: skip


PATIENT = {"heartbeat_ms = 100": "heartbeat_ms = 200", "host_ms = 100": "host_ms = 200"}


@contextmanager
def coil(**edits: str) -> Iterator[tuple[Rig, Controller]]:
    """A rig with the coil, armed."""
    with interlock_rig("ctbs", edits=edits) as rig:
        controller = rig.controller()
        rig.arm()
        yield rig, controller


def play(controller: Controller, n: int) -> list[Permit]:
    """So many segments, each asked for as soon as the one before is told to be over, for the instant at which it is due."""
    permits, due_ns = [], 0
    for _ in range(n):
        verdict = controller.ask(SEGMENT, due_ns)
        assert isinstance(verdict, Permit), verdict
        permits.append(verdict)
        over = controller.wait(lambda said: isinstance(said, DeliveryReport) and said.delivery.ended, 4.0)
        assert isinstance(over, DeliveryReport)
        due_ns = over.allowed.next_from_ns
    return permits


def pulses(rig: Rig) -> list[Pulse]:
    return list(rig.world.record().pulses)


def test_segments_follow_one_another_to_the_period():
    with coil(**PATIENT) as (rig, controller):  # how soon a watchdog bites is tried below
        play(controller, 3)
        until(lambda: len(pulses(rig)) >= 90, "the record of every pulse")
        at_ns = [each.t_ns for each in pulses(rig)]
        assert len(at_ns) == 90
        bursts = at_ns[::3]
        gaps = [after - before for before, after in pairwise(bursts)]
        joints = gaps[9::10]
        assert all(abs(gap - PERIOD_NS) < 1000 for gap in gaps if gap not in joints)
        # Never sooner than the period, but for how well the device's clock is known, and never a period later.
        assert all(-CLOCK_NS <= joint - PERIOD_NS <= PERIOD_NS + CLOCK_NS for joint in joints), joints
        time.sleep(0.5)
        late = controller.ask(SEGMENT)
        assert isinstance(late, Refusal)
        assert [reason.code for reason in late.reasons] == ["ILK-304"]
        rig.ended_in_order()


@pytest.mark.parametrize("who", ["stop.sock", "controller", "interlock"])
def test_the_train_ends_between_two_pulses_whoever_ends_it(who: str):
    """A second segment runs: STOP, or a process that hangs, ends it as any train, within the bound of each."""
    with coil() as (rig, controller):
        due_ns = 0
        for _ in range(2):
            verdict = controller.ask(SEGMENT, due_ns)
            assert isinstance(verdict, Permit), verdict
            if due_ns == 0:
                over = controller.wait(
                    lambda said: isinstance(said, DeliveryReport) and said.delivery.ended, 4.0
                )
                assert isinstance(over, DeliveryReport)
                due_ns = over.allowed.next_from_ns
        until(lambda: len(pulses(rig)) >= 33, "the second segment")
        since_ns = time.monotonic_ns()
        bound_ms = 150 + SLACK_MS
        if who == "stop.sock":
            assert press(rig.stop_sock) is not None
            bound_ms = 20 + SLACK_MS
        elif who == "controller":
            controller.hang()
        else:
            os.kill(rig.pid, signal.SIGSTOP)
        time.sleep(2.5)
        last_ns = pulses(rig)[-1].t_ns
        if who == "interlock":
            os.kill(rig.pid, signal.SIGCONT)
        assert (last_ns - since_ns) / 1e6 <= bound_ms
        assert len(pulses(rig)) < 60
