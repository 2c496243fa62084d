"""All states of the interlock that the alphabet reaches, over a coarse abstraction; the campaign does it over a fine one."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from drivers.stimulation import Modality
from safety.events import Asked, Event, StopPressed, Tick
from safety.interlock import step
from safety.safing import Step
from safety.state import Rules, State
from tests.safety import exploring
from tests.safety.exploring import explore
from tests.safety.watch_step import BrokenRule

STATES_MAX = 20_000
STAGES = {
    "arming open_1", "arming close_1", "arming open_2", "arming close_2", "arming device", "asked durable",
    "asked preparing", "asked ready to be fired", "firing", "running", "stopping cut sent", "stopping cut taken",
    "stopping ramp sent", "stopping ramp taken", "ending",
}  # fmt: skip
# What is refused wherever it comes, and so leads nowhere.
REFUSED = {
    "a wrong controller comes", "a stranger's arming", "a request above all limits", "a request with old data",
}  # fmt: skip


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_nothing_forbidden_is_reached(modality: Modality) -> None:
    found = explore(modality, fine=False, states_max=STATES_MAX)
    assert found.complete
    assert set(found.phases) == {"SAFE", "READY", "ARMED", "TRIPPED"}
    assert found.seen >= STAGES
    assert len(found.trips) >= 18, found.trips
    assert found.unused >= REFUSED


@dataclass(frozen=True, slots=True)
class Broken:
    """The interlock with one thing wrong."""

    what: str

    def __call__(self, rules: Rules, state: State, event: Event, now: object) -> Step:
        right = step(rules, state, event, now)  # type: ignore[arg-type]
        match self.what:
            case "STOP is not taken" if isinstance(event, StopPressed) and state.phase == "READY":
                return Step(state)
            case "TRIPPED is left by a request" if isinstance(event, Asked) and state.phase == "TRIPPED":
                return Step(msgspec.structs.replace(state, phase="ARMED"))
            case "a silent controller stays armed" if isinstance(event, Tick) and state.phase == "ARMED":
                return Step(msgspec.structs.replace(state, watch=right.state.watch))
            case "a lease never ends" if right.state.running is not None:
                running = msgspec.structs.replace(
                    right.state.running, until_ns=right.state.running.onset_ns + 10**12
                )
                return Step(msgspec.structs.replace(right.state, running=running), right.effects)
        return right


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("STOP is not taken", "STOP led to READY.*after .* > STOP"),
        ("TRIPPED is left by a request", "TRIPPED -> ARMED.*after .* > a request"),
        ("a silent controller stays armed", "ARMED, and the .* was last heard"),
        ("a lease never ends", "a lease that is too long.*after .* > fired"),
    ],
)
def test_what_is_forbidden_would_be_found(what: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "step", Broken(what))
    with pytest.raises(BrokenRule, match=told):
        explore("tacs", fine=False, states_max=STATES_MAX)
