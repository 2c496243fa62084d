"""Anything is killed or hangs at any instant of a session under load: the output goes to zero, and nothing is lost.

Judged by the simulated device's own record. No entry of the ledger whose durability was promised is missing, and the
budget in the ledger is never below what was delivered.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import cast

from drivers.stimulation import Modality
from tests.campaign.light_rig import (
    Bench,
    bench,
    discard,
    end,
    judge_ledger,
    judge_output,
    setting_up,
    until_zero,
)
from tests.campaign.proof import Case, Outcome, Proof
from tests.system.interlock_rig import RAMP_MS, Rig, alive, until

# Time to zero from the signal, the ramp not counted. A relay that hangs is noticed after 150 ms of its silence
# (`watchdogs.RELAY_NS`), and stands in nobody's way to zero.
BOUND_MS = {
    ("controller", "kill"): 60,
    ("controller", "hang"): 150,
    ("interlock", "kill"): 20,
    ("interlock", "hang"): 150,
    ("host", "kill"): 150,
    ("host", "hang"): 150,
    ("relay", "kill"): 150,
    ("relay", "hang"): 200,
}
INSTANT_S_MAX = 0.7  # with output on: a hold is renewed four times, a train gives seven pulses
ARMING_S_MAX = 0.5  # about as long as the proof test and the arming take
ARMING_SHARE = 0.15  # of the trials strike before output is on


def cases() -> list[Case]:
    """Victim x signal x modality."""
    return [
        Case(
            name=f"{who} {how} {modality}", short=(number + number // 2) % 2, long=500, measure="zero_ms",
            bound=BOUND_MS[who, how] + (RAMP_MS if modality == "tacs" else 0),
        )
        for number, (who, how, modality) in enumerate(_rows())
    ]  # fmt: skip


def _rows() -> list[tuple[str, str, str]]:
    return [(who, how, modality) for who, how in BOUND_MS for modality in ("tacs", "rtms")]


def run(case: str, seed: int) -> Outcome:
    """One session, one signal."""
    who, how, modality_ = case.split()
    modality = cast(Modality, modality_)
    made = bench(modality)
    try:
        return _trial(made, who, how, random.Random(f"{case}/{seed}"))
    except BaseException:
        discard(modality)
        raise
    finally:
        if who == "relay":
            discard(modality)


def _trial(made: Bench, who: str, how: str, rng: random.Random) -> Outcome:
    modality = made.rig.modality
    bound_ms = BOUND_MS[who, how] + (RAMP_MS if modality == "tacs" else 0)
    with made.session() as rig:
        controller = made.controller()
        with setting_up():
            rig.until_ready()
            if rng.random() < ARMING_SHARE:
                made.fork(lambda: _arm(rig))
                time.sleep(rng.uniform(0.0, ARMING_S_MAX))
            else:
                rig.arm()
                rig.until_output()
                time.sleep(rng.uniform(0.0, INSTANT_S_MAX))
        assert rig.world.relay is not None
        victim = {
            "controller": controller,
            "interlock": rig.pid,
            "host": rig.host,
            "relay": rig.world.relay.pid,
        }[who]
        since_ns = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        measured = until_zero(rig, modality, since_ns)
        if how == "hang":
            # It comes back, and must change nothing; a host that hung was killed for it, and may be reaped.
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
            time.sleep(0.05)
        _end(made, rig, who, how, controller)
        record = rig.world.record()
        text = judge_output(record, modality, since_ns) or judge_ledger(
            rig, record, made.promised(), killed=(who, how) == ("interlock", "kill")
        )
    if text:
        return Outcome("failed", text, measured)
    late = float(measured.get("zero_ms", 0.0)) > bound_ms
    return Outcome("late" if late else "held", "", measured)


def _arm(rig: Rig) -> None:
    rig.arm()


def _end(made: Bench, rig: Rig, who: str, how: str, controller: int) -> None:
    """The session ends in order, whatever was struck; only a killed interlock cannot."""
    end(controller)
    assert rig.interlock is not None
    if (who, how) == ("interlock", "kill"):
        rig.interlock.wait(5.0)
        until(lambda: not alive(rig.host), "the device host to end by itself")
        return
    if rig.interlock.poll() is None:
        rig.end()
    assert rig.interlock.returncode in (0, 4), f"the interlock ended with {rig.interlock.returncode}"
    assert "Traceback" not in rig.errors(), rig.errors()


PROOF = Proof(name="kill", title=__doc__.partition("\n")[0], cases=cases, run=run, load="load")
