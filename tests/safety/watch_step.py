"""What must hold of every single step of the interlock, whatever happened."""

from __future__ import annotations

from drivers.link import ArmDevice, Fire, Prepare, StopDevice
from drivers.stimulation import duration_ns
from safety.events import ActPresented, Event, StopPressed
from safety.messages import Permit
from safety.safing import Step
from safety.state import OpenRelay, Rules, State, ToController, ToDevice
from tests.safety.bench_device import MS


class BrokenRule(AssertionError):
    """Something that must always hold did not."""


def watch_step(rules: Rules, before: State, event: Event, decided: Step) -> None:
    """What must hold of every single step, whatever happened."""
    after, effects = decided.state, decided.effects
    sent = [effect.message for effect in effects if isinstance(effect, ToDevice)]
    told = [effect.message for effect in effects if isinstance(effect, ToController)]
    if any(isinstance(message, Prepare | Fire) for message in sent):
        _require(
            before.phase == after.phase == "ARMED", f"output was started in {before.phase}/{after.phase}"
        )
        _require(before.stopping is None and after.stopping is None, "output was started while stopping")
    if any(isinstance(message, ArmDevice) for message in sent):
        _require(before.phase == "READY" and after.arming is not None, "armed without an act")
        durable = after.arming is not None and after.watch.durable >= after.arming.after
        _require(after.marked and durable, "armed before it was durable that it is")
    if after.phase in ("ARMED", "TRIPPED"):
        _require(after.marked, f"{after.phase}, and the next start would not know")
    if any(isinstance(message, Permit) for message in told):
        _require(before.phase == after.phase == "ARMED", "a permit outside ARMED")
    for message in told:
        if isinstance(message, Permit):
            _require_lease(message, after)
    ways = {("SAFE", "READY"), ("READY", "SAFE"), ("READY", "ARMED"), ("ARMED", "READY"), ("ARMED", "SAFE"),
            ("ARMED", "TRIPPED"), ("READY", "TRIPPED"), ("SAFE", "TRIPPED"), ("TRIPPED", "SAFE")}  # fmt: skip
    moved = before.phase != after.phase
    _require(not moved or (before.phase, after.phase) in ways, f"{before.phase} -> {after.phase}")
    if before.phase == "ARMED" and moved:
        _require(
            any(isinstance(m, StopDevice) for m in sent), "left ARMED without telling the device to stop"
        )
        _require(after.stopping is not None or OpenRelay() in effects, "left ARMED, and nothing is stopping")
        _require(after.asked is None and after.firing is None, "left ARMED with something under way")
    if before.phase == "TRIPPED" and moved:
        _require(
            isinstance(event, ActPresented) and event.act.act == "reset" and after.ending, "left TRIPPED"
        )
    if after.phase == "ARMED":
        _require(after.armed_by != "" and after.arming is None and after.host == "open", "armed by nobody")
    if after.phase == "TRIPPED":
        _require(bool(after.trip) and after.asked is None and after.firing is None, "tripped, and going on")
    if isinstance(event, StopPressed) and before.phase == "ARMED":
        _require(any(isinstance(m, StopDevice) for m in sent), "STOP was not taken")
    if after.dose is not before.dose:  # what has not changed was held against this when it came
        _require_dose(rules, before, after)


def _require_dose(rules: Rules, before: State, after: State) -> None:
    high = {b.name: b.high for b in rules.limits.budgets if b.scope == "session"}
    for name, most in high.items():
        spent = [getattr(part, name) for part in (after.dose.reserved, after.dose.coming)]
        _require(sum(spent) <= most * (1 + 1e-12), f"reserved {sum(spent)} of {most} {name}")
    for name in ("on_time_s", "charge_c", "n_pulses"):
        for part in ("confirmed", "granted", "reserved"):
            was, is_ = getattr(getattr(before.dose, part), name), getattr(getattr(after.dose, part), name)
            _require(is_ >= was, f"{part} {name} fell")


def _require_lease(permit: Permit, after: State) -> None:
    train = after.asked.request.train if after.asked is not None else None
    train = after.firing.request.train if after.firing is not None else train
    _require(train is not None, "a permit for nothing")
    if train is not None:
        hold = 500 * MS if train.modality == "tacs" else 10_000 * MS
        _require(duration_ns(train) <= hold, "a lease that is too long")
        ahead_ns = permit.lease_until_ns - permit.read_ns
        _require(0 < ahead_ns <= hold + 1_000 * MS, "a lease that reaches too far")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise BrokenRule(text)
