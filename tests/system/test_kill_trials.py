"""Anything is killed or hangs at any instant: the output goes to zero, by the device's own record.

Here each case is tried once; the long form is the campaign, `tests/campaign/proofs/kill.py`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from drivers.stimulation import Modality
from tests.system.interlock_rig import RAMP_MS, SLACK_MS, Rig, alive, interlock_rig, together, until

pytestmark = pytest.mark.system

# Design section 1, from the signal to zero output, the ramp not counted; the relay has no row there, and may take as
# long as the device host.
PROMISED_MS = {
    ("controller", "kill"): 60,
    ("controller", "hang"): 150,
    ("interlock", "kill"): 20,
    ("interlock", "hang"): 150,
    ("host", "kill"): 150,
    ("host", "hang"): 150,
    ("relay", "kill"): 150,
    ("relay", "hang"): 150,
}
EXPECTED = {
    ("controller", "kill"): "ILK-202",
    ("controller", "hang"): "ILK-201",
    ("host", "kill"): "ILK-212",
    ("host", "hang"): "ILK-211",
    ("relay", "kill"): "ILK-222",
    ("relay", "hang"): "ILK-221",
}
PERMITTED: dict[Modality, float] = {"tacs": 0.1, "rtms": 40.0}
INSTANT_S_MAX = 0.5  # a hold is renewed three times in it, a train gives five pulses


def _victim(rig: Rig, who: str, controller: subprocess.Popen[bytes]) -> int:
    assert rig.world.relay is not None
    return {
        "controller": controller.pid,
        "interlock": rig.pid,
        "host": rig.host,
        "relay": rig.world.relay.pid,
    }[who]


@pytest.mark.parametrize(("who", "how"), PROMISED_MS)
def test_output_is_zero_within_the_promise(who: str, how: str) -> None:
    together(lambda: _try(who, how, "tacs"), lambda: _try(who, how, "rtms"))


def _try(who: str, how: str, modality: Modality) -> None:
    bound_ms = PROMISED_MS[who, how] + (RAMP_MS if modality == "tacs" else 0) + SLACK_MS
    with interlock_rig(modality) as rig:
        controller = rig.controller_process()
        rig.arm()
        rig.until_output()
        instant_s = random.uniform(0.0, INSTANT_S_MAX)
        time.sleep(instant_s)
        victim = _victim(rig, who, controller)
        since_ns = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        took_ms = rig.zero_ms(since_ns, bound_ms)
        print(f"\n{who} {how} {modality}: zero {took_ms:.1f} ms after the signal, {instant_s:.3f} s in")

        if how == "hang":
            if (who, how) in EXPECTED:
                rig.until_tripped(EXPECTED[who, how])
            os.kill(victim, signal.SIGCONT)  # it comes back, and must change nothing
        if who == "interlock" and how == "kill":
            _chain_is_whole(rig)
        else:
            rig.until_tripped(*filter(None, (EXPECTED.get((who, how)),)))
            assert rig.status().phase == "TRIPPED"
            assert rig.ended_in_order() == 4
        rig.nobody_left()
        rig.judged_ms(since_ns, bound_ms)
        assert rig.highest() <= PERMITTED[modality]


def _chain_is_whole(rig: Rig) -> None:
    """A killed interlock's host ends by itself; its ledger may have a torn tail, and nothing else."""
    until(lambda: not alive(rig.host), "the device host to end by itself")
    verdict = rig.verdict()
    assert verdict.chain and verdict.execution == "same" and not verdict.closed, verdict


def test_a_supervisor_that_is_gone_is_a_stop() -> None:
    """Nobody writes to the pipe of `--parent-fd`: its end tells that the supervisor is gone, however it went."""
    together(lambda: _supervisor_goes("tacs"), lambda: _supervisor_goes("rtms"))


def _supervisor_goes(modality: Modality) -> None:
    with interlock_rig(modality, start=False) as rig:
        theirs, ours = os.pipe()
        os.set_inheritable(theirs, True)
        try:
            rig.start("--parent-fd", str(theirs), pass_fds=(theirs,))
            rig.running()
            since_ns = time.monotonic_ns()
        finally:
            os.close(theirs)
            os.close(ours)
        rig.zero_ms(since_ns, 20 + (RAMP_MS if modality == "tacs" else 0) + SLACK_MS)
        assert rig.interlock is not None
        assert rig.interlock.wait(5.0) == 4
        rig.ended_in_order()
        rig.nobody_left()
