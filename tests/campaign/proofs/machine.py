"""The interlock against a faulty world at random, for many steps: lost, late, doubled and reordered messages, NaN, data that
stand still, clocks that jump, suspend; the output is never above a limit, and no lease is outlived.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.campaign.proof import Case, Outcome, Proof
from tests.safety.test_stateful import FaultyWorld

SESSIONS, STEPS = 40, 60  # of a trial: about 2,000 steps

_settings = settings(
    max_examples=SESSIONS, stateful_step_count=STEPS, deadline=None, database=None,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
)  # fmt: skip


def cases() -> list[Case]:
    """One: whatever the modality."""
    return [Case(name="faults", short=500, long=100_000, unit="steps", measure="on_pct")]


def run(case: str, seed: int) -> Outcome:
    """Some sessions, each of some dozens of faults and requests."""
    del case
    counts = {"n": 0, "on": 0}

    class Counted(FaultyWorld):
        @invariant()
        def count(self) -> None:
            if hasattr(self, "world"):
                counts["n"] += 1
                counts["on"] += self.world.device.output > 0.0

    try:
        run_state_machine_as_test(seeded(seed)(Counted), settings=_settings)
    except (AssertionError, Flaky) as error:
        return Outcome("failed", f"hypothesis seed {seed}: {error}", counts)
    on_pct = 100 * counts["on"] / max(1, counts["n"])
    if on_pct < 0.1:
        return Outcome("void", "output was never on: nothing is shown", counts)
    return Outcome("held", "", counts | {"on_pct": round(on_pct, 2)})


PROOF = Proof(
    name="machine", title=" ".join(__doc__.split("\n\n")[0].split()), cases=cases, run=run, timeout_s=240.0
)
