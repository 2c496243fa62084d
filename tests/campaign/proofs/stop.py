"""STOP under load: time to zero of a connection to `stop.sock`, and of `nociloop stop` from its exec.

Judged by the simulated device's own record; zero includes the ramp of a current. Every STOP is answered, and stands in
the ledger.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from drivers.stimulation import Modality
from safety.events import StopPressed
from safety.stop import press
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
from tests.campaign.proof import ROOT, Case, Outcome, Proof
from tests.system.interlock_rig import RAMP_MS, WAIT_S, Rig

BOUND_MS = {"socket": 20, "command": 300}
LATEST_S = {"socket": 1.2, "command": 4.0}  # the command is a process that has to start, whatever the load
INSTANT_S_MAX = 0.5
NOCILOOP = Path(sys.executable).with_name("nociloop")


def cases() -> list[Case]:
    """The door x the modality."""
    return [
        Case(
            name=f"{door} {modality}", short=1, long=500, measure="zero_ms",
            bound=BOUND_MS[door] + (RAMP_MS if modality == "tacs" else 0),
        )
        for door in BOUND_MS
        for modality in ("tacs", "rtms")
    ]  # fmt: skip


def run(case: str, seed: int) -> Outcome:
    """One session, one STOP."""
    door, modality_ = case.split()
    modality = cast(Modality, modality_)
    try:
        return _trial(bench(modality), door, random.Random(f"{case}/{seed}"))
    except BaseException:
        discard(modality)
        raise


def _trial(made: Bench, door: str, rng: random.Random) -> Outcome:
    modality = made.rig.modality
    with made.session() as rig:
        controller = made.controller()
        with setting_up():
            rig.until_ready()
            rig.arm()
            rig.until_output()
        time.sleep(rng.uniform(0.0, INSTANT_S_MAX))
        since_ns = time.monotonic_ns()
        confirmed, sequence = _press(rig, door)
        zero = until_zero(rig, modality, since_ns, LATEST_S[door])
        tripped = (
            rig.status().phase if rig.interlock is not None and rig.interlock.poll() is None else "ended"
        )
        end(controller)
        if tripped != "ended":
            rig.end()
        record = rig.world.record()
        text = judge_output(record, modality, since_ns, round(LATEST_S[door] * 1000)) or judge_ledger(
            rig, record, made.promised(), killed=False
        )
        stops = {entry.seq for entry in rig.entries() if isinstance(entry.event, StopPressed)}
    if not text and (tripped != "TRIPPED" or not confirmed):
        text = f"{tripped} after STOP, confirmed: {confirmed}"
    if not text and (not stops or (sequence is not None and sequence not in stops)):
        text = f"STOP is not in the ledger: answered {sequence}, entries {stops}"
    if text:
        return Outcome("failed", text, zero)
    bound_ms = BOUND_MS[door] + (RAMP_MS if modality == "tacs" else 0)
    return Outcome("late" if float(zero.get("zero_ms", 0.0)) > bound_ms else "held", "", zero)


def _press(rig: Rig, door: str) -> tuple[bool, int | None]:
    if door == "socket":
        sequence = press(rig.stop_sock)
        return sequence is not None, sequence
    done = subprocess.run(
        [NOCILOOP, "stop"],
        env=dict(rig.world.environment),
        cwd=ROOT,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode == 0, None


PROOF = Proof(name="stop", title=__doc__.partition("\n")[0], cases=cases, run=run, load="load")
