"""Nothing trips or lapses falsely in an hour of the whole demonstration, every part a real process, under load.

Each trial is one `nociloop demo`: simulated patient over LSL, controller, interlock, device host, device, relay. It ends in
order, or something has tripped that had no reason to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safety.entries import Genesis
from safety.verify import read, replayed
from tests.campaign.proof import Case, Outcome, Proof, Void

DEMO_S = 120
END_S = 90.0  # start, arming, report
NOCILOOP = Path(sys.executable).with_name("nociloop")


def cases() -> list[Case]:
    """An hour in all."""
    return [
        Case(name=modality, short=0, long=1800, unit="s", measure="renewals") for modality in ("tacs", "rtms")
    ]


def run(case: str, seed: int) -> Outcome:
    """One demonstration, and its ledger looked through for trips and lapses."""
    return demonstrated(case, seed, DEMO_S)


def demonstrated(modality: str, seed: int, duration_s: int) -> Outcome:
    """A demonstration of this length."""
    with tempfile.TemporaryDirectory(prefix="campaign-demo-") as name:
        folder = Path(name)
        words = [
            "demo",
            "--modality",
            modality,
            "--duration",
            str(duration_s),
            "--seed",
            str(seed + 1),
            "--out",
            "runs",
        ]
        alone = {"NOCILOOP_RUNTIME_DIR": str(folder / "rt"), "NOCILOOP_RUNTIME_ALONE": "1"}
        done = subprocess.run(
            [NOCILOOP, *words], cwd=folder, env=os.environ | alone,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=duration_s + END_S, check=False,
        )  # fmt: skip
        ledgers = list(folder.glob("runs/*/ledger.jsonl"))
        if len(ledgers) != 1:
            return Outcome(
                "failed", f"no session, exit {done.returncode}: {(done.stdout + done.stderr)[-500:]}"
            )
        return _judged(ledgers[0], done.returncode, duration_s)


def _judged(path: Path, status: int, duration_s: int) -> Outcome:
    lines, torn, problems = read(path)
    first = lines[0].held
    assert isinstance(first, Genesis) and not torn and not problems
    trip, lapses = "", 0
    for _, state, _ in replayed(first.rules, first.state, lines[1:]):
        trip = trip or (f"{state.trip} {state.trip_text}" if state.trip else "")
        lapses = max(lapses, len(state.lapses))
    text = path.read_text(encoding="utf-8")
    permits = sum('"permit ' in line for line in text.splitlines())
    measured = {"n": duration_s, "renewals": permits, "lapses": lapses}
    if trip or lapses or status != 0:
        return Outcome("failed", f"trip: {trip or 'none'}, lapses: {lapses}, exit {status}", measured)
    if permits < 1:
        raise Void(f"nothing was permitted: {json.dumps(measured)}")
    return Outcome("held", "", measured)


PROOF = Proof(
    name="nuisance",
    title=__doc__.partition("\n")[0],
    cases=cases,
    run=run,
    load="load",
    timeout_s=DEMO_S + END_S + 20.0,
)
