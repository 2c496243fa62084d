"""The ways down: trip, stop, and what becomes of everything under way. Pure; used by every room of the interlock."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from drivers.link import StopDevice
from drivers.stimulation import Hold, Train
from safety import trips
from safety.events import Now
from safety.messages import ActResult, FromInterlock, Phase, PhaseChanged, Trip
from safety.modalities import interval_after_ns, ramp_down_ns, rest_after_ns
from safety.state import (
    Effect,
    Latch,
    OpenRelay,
    Rules,
    State,
    Stopping,
    ToController,
    ToDevice,
    ToPerson,
    TrippedAlso,
    Unlatch,
)
from safety.trips import How, TripKind
from safety.watchdogs import forget_status

STOP_SLACK_NS = 150_000_000  # a stop that is not confirmed this long after its ramp: the relay opens

OVER_MAX = 8  # own choice: a stop ends three at most, and is asked for again at most a few times


@dataclass(frozen=True, slots=True)
class Step:
    """A new state, and what is to be done about it, in order."""

    state: State
    effects: tuple[Effect, ...] = ()

    def then(self, *effects: Effect) -> Step:
        """The same step with more effects behind."""
        return Step(self.state, self.effects + effects)


def tell(state: State, message: FromInterlock) -> tuple[Effect, ...]:
    """Tell the controller, if there is one."""
    return (ToController(message=message),) if state.controller else ()


def to_phase(state: State, phase: Phase, code: str, text: str) -> Step:
    """Go to a phase and say so."""
    said = PhaseChanged(phase=phase, code=code, text=text)
    return Step(msgspec.structs.replace(state, phase=phase), tell(state, said))


def stop_device(rules: Rules, state: State, how: How, now: Now) -> Step:
    """Send the device to zero and forget everything that was asked; what is firing counts as delivered."""
    ramp_ns = 0
    if how == "ramp" and state.running is not None:
        ramp_ns = ramp_down_ns(state.running.train)
    call = state.call + 1
    stopping = Stopping(call=call, how=how, deadline_ns=now.mono_ns + ramp_ns + STOP_SLACK_NS)
    arming = state.arming
    after = msgspec.structs.replace(
        _ends_by(rules, state, stopping.deadline_ns),
        call=call,
        asked=None,
        firing=None,
        arming=None,
        armed_by="",
        segments=None,
        over=(*state.over, *_tokens(state))[-OVER_MAX:],
        stopping=stopping,
    )
    effects: tuple[Effect, ...] = (ToDevice(message=StopDevice(call=call, how=how)),)
    if how == "cut":
        effects += (OpenRelay(),)
    if arming is not None:
        result = ActResult(ok=False, code="ILK-336", text="stopped while arming", phase=state.phase)
        effects += (ToPerson(peer=arming.peer, result=result),)
    return Step(after, effects)


def _tokens(state: State) -> tuple[int, ...]:
    """What may be put out at this instant."""
    found = (state.before, state.running, state.firing)
    return tuple(each.token for each in found if each is not None and each.token not in state.over)


def _ends_by(rules: Rules, state: State, ended_ns: int) -> State:
    """What a stop ends is over by then at the latest: the interval to the next train runs from there, for nobody need
    tell of the end of what was fired and not answered."""
    running, firing = state.running, state.firing
    trains = [each for each in (running and running.train, firing and firing.request.train) if each]
    for train in trains:
        held = isinstance(train.waveform, Hold)  # no interval follows a hold
        state = rest_from(rules, state, ended_ns) if held else over_at(rules, state, train, ended_ns)
    return state


def over_at(rules: Rules, state: State, train: Train, ended_ns: int) -> State:
    """What went out ended then: the interval to the next train runs from there, whatever is told in whichever order; so does
    the rest after what was held."""
    held = isinstance(train.waveform, Hold)
    noted = msgspec.structs.replace(
        state,
        not_before_ns=max(state.not_before_ns, ended_ns + interval_after_ns(train, rules.limits)),
        train_end_ns=state.train_end_ns if held else max(state.train_end_ns, ended_ns),
    )
    return rest_from(rules, noted, ended_ns)


def rest_from(rules: Rules, state: State, ended_ns: int) -> State:
    """Where a modality asks for it, what was held without a pause is off for longer than it was on. It counts as granted."""
    rest_ns = rest_after_ns(rules.limits.modality, state.dose.train)
    if rest_ns == 0:
        return state
    return msgspec.structs.replace(state, rested_ns=max(state.rested_ns, ended_ns + rest_ns + 1))


def trip(rules: Rules, state: State, kind: TripKind, detail: str, now: Now) -> Step:
    """Latch to safe. The first reason is kept; a later one is told once, and may only make a ramp a cut."""
    text = f"{kind.text}: {detail}" if detail else kind.text
    if state.phase == "TRIPPED":
        return _trip_also(rules, state, kind, text, now)
    stopped = stop_device(rules, state, kind.how, now)
    said = Trip(code=kind.code, text=text, remedy=kind.remedy)
    changed = to_phase(stopped.state, "TRIPPED", kind.code, text)
    tripped = msgspec.structs.replace(changed.state, trip=kind.code, trip_text=text, marked=True)
    latch = Latch(code=kind.code, text=text)
    return Step(tripped, (*stopped.effects, latch, *tell(state, said), *changed.effects))


def _trip_also(rules: Rules, state: State, kind: TripKind, text: str, now: Now) -> Step:
    ramping = state.stopping is not None and state.stopping.how == "ramp"
    step = stop_device(rules, state, "cut", now) if ramping and kind.how == "cut" else Step(state)
    if kind.code in (state.trip, *state.also):
        return step
    noted = msgspec.structs.replace(step.state, also=(*state.also, kind.code))
    return Step(noted, (*step.effects, TrippedAlso(code=kind.code, text=text)))


def press_stop(rules: Rules, state: State, source: str, ends: bool, now: Now) -> Step:
    """STOP: always taken. A second one, before zero is confirmed, cuts."""
    ending = state.ending or ends
    if state.phase == "TRIPPED":
        again = Step(state)
        if not ends and state.stopping is not None:
            again = trip(rules, state, trips.STOP_AGAIN, source, now)
        return Step(msgspec.structs.replace(again.state, ending=ending), again.effects)
    if ends and state.phase != "ARMED":
        down = stop_device(rules, state, "ramp", now) if state.host == "open" else Step(state)
        safe = to_phase(down.state, "SAFE", trips.SIGNALLED.code, source)
        return Step(msgspec.structs.replace(safe.state, ending=True), down.effects + safe.effects)
    kind = trips.SIGNALLED if ends else trips.STOP
    tripped = trip(rules, state, kind, source, now)
    return Step(msgspec.structs.replace(tripped.state, ending=ending), tripped.effects)


def stand_down(rules: Rules, state: State, phase: Phase, text: str, now: Now) -> Step:
    """An orderly way out of ARMED that is no trip: ramp down, disarm, open the relay when zero is confirmed."""
    down = stop_device(rules, state, "ramp", now)
    changed = to_phase(down.state, phase, "", text)
    return Step(changed.state, down.effects + changed.effects)


def stop_taken(state: State, call: int) -> Step:
    """The device has taken the stop; a ramp may still run, so zero is what a status asked from now on says."""
    stopping = state.stopping
    if stopping is None or stopping.call != call:
        return Step(state)
    taken = msgspec.structs.replace(stopping, taken=True)
    return Step(msgspec.structs.replace(state, stopping=taken, watch=forget_status(state.watch)))


def at_zero(state: State) -> bool:
    """Whether a stop is over by the device's own word."""
    watch, stopping = state.watch, state.stopping
    return (
        stopping is not None and stopping.taken and watch.host_state == "idle" and watch.host_amplitude == 0.0
    )


def stopped_in_order(state: State) -> Step:
    """Zero by the device's own word. What was armed and has not tripped has had its orderly end."""
    over = stop_over(state)
    if state.phase == "TRIPPED" or not state.marked:
        return over
    return Step(msgspec.structs.replace(over.state, marked=False), (*over.effects, Unlatch(reset=False)))


def stop_over(state: State) -> Step:
    """The device is at zero and disarmed, or never will say so: the second way to zero follows."""
    return Step(msgspec.structs.replace(state, stopping=None, running=None, before=None), (OpenRelay(),))
