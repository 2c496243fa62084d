"""A request on its way to the device: judged, reserved, prepared, and what waits too long. Pure."""

from __future__ import annotations

import msgspec

from drivers.link import Prepare
from drivers.stimulation import Hold, Train, amplitude, duration_ns
from safety import dose as doses
from safety import trips
from safety.dose import Dose
from safety.events import Asked, Now
from safety.exposures import NOTHING, plus
from safety.firing import ONSET_SLACK_NS, renew, renewable
from safety.judging import (
    ONSET_AHEAD_NS,
    allowed_now,
    judge,
    judge_again,
    reason,
    refuse,
    spent_so_far,
    steps_down,
    told,
)
from safety.limit_values import Budget
from safety.messages import Pending, Permit, Reason, Request
from safety.modalities import Exposure, goes_on, heat
from safety.response import is_response, must_trip, note
from safety.safing import Step, tell, trip
from safety.state import AskedFor, Effect, Rules, State, ToDevice
from safety.storing import reservation
from safety.windows import WINDOW_NS, Exceeded, exceeded

DURABLE_NS = 250_000_000
COUNTS = {"n_sessions": "ILK-317", "n_days": "ILK-318"}
READY_NS = 2_000_000_000  # own choice: a prepared train that is not fired in two seconds is forgotten


def ask(rules: Rules, state: State, event: Asked, now: Now) -> Step:
    """Judge a request; permitted, it is reserved and prepared, or waits for its reservation to be durable."""
    request = event.request
    if state.phase == "ARMED" and is_response(request.response):
        seen = note(rules.limits.response, state.response, request.response, now.mono_ns)
        state = msgspec.structs.replace(state, response=seen)
        if must_trip(rules.limits.response, seen):
            return trip(rules, state, trips.RESPONSE, f"{seen.wrong} windows", now)
    reasons = judge(rules, state, request, now)
    if reasons:
        return Step(state, refuse(rules, state, request.id, reasons, now))
    settled = doses.settle(state.dose, state.watch.durable)
    start_ns = max(request.onset_at_ns, now.mono_ns)
    train = request.train
    held = isinstance(train.waveform, Hold)
    warm = NOTHING if held else heat(train, duration_ns(train), amplitude(train), rules.limits)
    joins = goes_on(state.segments, train, start_ns, rules.limits) is not None
    granted = doses.grant(settled, train, start_ns, _wait_ns(rules, request), warm, joins=joins)
    after = state.entries + 1
    enough = doses.is_reserved(granted, now.mono_ns)
    if amplitude(request.train) == 0.0 and steps_down(state, request, now):
        dose, enough = settled, True  # down to nothing: the ramp is in what the present lease was granted
    else:
        room = _room(rules, state, granted, enough, request.train, after, now)
        if not isinstance(room, Dose):
            return Step(state, refuse(rules, state, request.id, _over(room), now))
        dose = room
    stored = (reservation(rules, dose, now),) if dose.coming_after == after else ()
    older = stored + _superseded(rules, state, now)
    asked = AskedFor(request=request, stage="durable", since_ns=now.mono_ns, after=after, call=0, token=0)
    taken = msgspec.structs.replace(state, dose=dose, last_id=request.id, asked=asked, passed=request.train)
    if enough:
        return _send(rules, taken, asked, now, older)
    return Step(taken, older + tell(taken, Pending(id=request.id)))


def _room(
    rules: Rules, state: State, granted: Dose, enough: bool, train: Train, after: int, now: Now
) -> Dose | tuple[Exceeded, ...]:
    """The dose with what a permit needs reserved: a block ahead where the budgets have room for it, else the mere need;
    or the budgets that would be exceeded. `enough`: it rests on durable reservations already."""
    committed = doses.committed(granted)

    def over(wanted: Exposure) -> tuple[Exceeded, ...]:
        total = committed if wanted is NOTHING else plus(committed, wanted)
        return exceeded(rules.limits, rules.history, spent_so_far(granted, total), now)

    need = NOTHING if enough else doses.needed(granted)
    if doses.running_low(granted, train, now.mono_ns):
        ahead = doses.block(train, need, _highest(state))
        if not over(ahead):
            return doses.reserve(granted, ahead, after, now.mono_ns)
    found = over(need)
    if found:
        return found
    return granted if enough else doses.reserve(granted, need, after, now.mono_ns)


def _wait_ns(rules: Rules, request: Request) -> int:
    """How long after its request, at most, a train starts: any later and it is refused, or trips."""
    held_ns = READY_NS + ONSET_AHEAD_NS if request.onset_at_ns == -1 else 0
    return DURABLE_NS + 2 * rules.limits.watch.host_ms * 1_000_000 + 2 * ONSET_SLACK_NS + held_ns


def _highest(state: State) -> float:
    """The highest amplitude that the limits allow, whatever the slew: what a hold may grow to."""
    return next((row.high for row in state.rows if row.quantity.startswith("amplitude_")), 0.0)


def _over(found: tuple[Exceeded, ...]) -> tuple[Reason, ...]:
    return tuple(_over_one(each.budget, each.total) for each in found)


def _over_one(budget: Budget, total: float) -> Reason:
    """One budget that refuses: its scope, the sum, the limit, and by how much."""
    window = f"in {budget.scope}" if budget.scope in WINDOW_NS else f"a {budget.scope}"
    return told(
        COUNTS.get(budget.name, "ILK-308"),
        f"{budget.name} {total:.10g} of {budget.high:.10g} {budget.unit} {window}, "
        f"{total - budget.high:.10g} too many",
        quantity=budget.name,
        value=total,
        limit=budget.high,
        set_by=f"{budget.scope} budget",
    )


def _superseded(rules: Rules, state: State, now: Now) -> tuple[Effect, ...]:
    """A step down does not wait for what was asked before it: the older request is refused after all."""
    if state.asked is None:
        return ()
    return refuse(rules, state, state.asked.request.id, (reason("ILK-302"),), now)


def _send(rules: Rules, state: State, asked: AskedFor, now: Now, first: tuple[Effect, ...] = ()) -> Step:
    """Send the train to the device, or renew the one that runs, and tell the controller that it is permitted."""
    request = asked.request
    renewed = renewable(state, request, now)
    step = _prepare(state, asked, now) if renewed is None else renew(state, asked, renewed, now)
    permit = Permit(
        id=request.id,
        token=step.state.call,
        lease_until_ns=max(request.onset_at_ns, now.mono_ns) + duration_ns(request.train),
        read_ns=now.mono_ns,
        sent_ns=0,
        allowed=allowed_now(rules, step.state, now),
    )
    return Step(step.state, (*first, *step.effects, *tell(step.state, permit)))


def _prepare(state: State, asked: AskedFor, now: Now) -> Step:
    call = state.call + 1
    preparing = msgspec.structs.replace(asked, stage="preparing", since_ns=now.mono_ns, call=call)
    sent = msgspec.structs.replace(state, call=call, asked=preparing)
    return Step(sent, (ToDevice(message=Prepare(call=call, train=asked.request.train)),))


def durable(rules: Rules, state: State, now: Now) -> Step:
    """A waiting request goes on when its reservation has reached the disk."""
    asked = state.asked
    if asked is None or asked.stage != "durable" or state.watch.durable < asked.after:
        return Step(state)
    ready = msgspec.structs.replace(state, dose=doses.settle(state.dose, state.watch.durable))
    reasons = judge_again(rules, ready, asked.request, now)
    if reasons:
        dropped = msgspec.structs.replace(ready, asked=None)
        return Step(dropped, refuse(rules, dropped, asked.request.id, reasons, now))
    return _send(rules, ready, asked, now)


def overdue_stage(rules: Rules, state: State, now: Now) -> Step | None:
    """A request that waits too long: for the disk it is refused, for the device host it trips."""
    asked, firing = state.asked, state.firing
    host_ns = rules.limits.watch.host_ms * 1_000_000
    if asked is not None:
        waited_ns = now.mono_ns - asked.since_ns
        if asked.stage == "preparing" and waited_ns > host_ns:
            return trip(rules, state, trips.HOST_SILENT, "prepare was not answered", now)
        if asked.stage == "durable" and waited_ns > DURABLE_NS:
            dropped = msgspec.structs.replace(state, asked=None)
            return Step(dropped, refuse(rules, dropped, asked.request.id, (reason("ILK-311"),), now))
        if asked.stage == "ready" and waited_ns > READY_NS:
            return Step(msgspec.structs.replace(state, asked=None))
    if firing is not None and now.mono_ns - max(firing.since_ns, firing.onset_at_ns) > host_ns:
        return trip(rules, state, trips.HOST_SILENT, "fire was not answered", now)
    return None
