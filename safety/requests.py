"""Judging a request and taking it to the device: permit or refuse, reserve, prepare, fire. Pure."""

from __future__ import annotations

from math import isfinite

import msgspec

from drivers.link import CallFailed, Fire, Fired, Prepare, Prepared
from drivers.stimulation import Hold, PulseTrain, Train, amplitude, duration_ns, quantities
from safety import dose as doses
from safety import trips
from safety.events import Asked, FireAsked, Now
from safety.limit_values import Budget
from safety.messages import Allowed, Pending, Permit, Reason, Refusal, Request
from safety.modalities import (
    Facts,
    amplitude_ceiling,
    check,
    check_slew,
    interval_after_ns,
    is_down,
    ramp_down_ns,
)
from safety.safing import Step, tell, trip
from safety.state import AskedFor, Effect, Firing, Rules, Running, State, ToDevice
from safety.trips import REFUSALS
from safety.watchdogs import evidence_trouble

ONSET_AHEAD_NS = 1_000_000_000
DURABLE_NS = 250_000_000
READY_NS = 2_000_000_000  # own choice: a prepared train that is not fired in two seconds is forgotten
ONSET_SLACK_NS = 50_000_000
TAKEOVER_NS = 50_000_000  # own choice: a hold whose lease ends sooner may be over before the next one starts
SETTLE_SLACK_NS = 50_000_000


def facts_now(rules: Rules, state: State) -> Facts:
    """The facts that stand in no file."""
    return Facts(today=rules.today, impedance_kohm=state.watch.impedance_kohm)


def present(state: State, now: Now) -> Running | None:
    """What runs within its lease at this instant."""
    running = state.running
    return running if running is not None and not running.ended and now.mono_ns <= running.until_ns else None


def allowed_now(rules: Rules, state: State, now: Now, *, with_rows: bool = False) -> Allowed:
    """What would be permitted, told beforehand so that a policy can stay inside."""
    limits, running = rules.limits, present(state, now)
    level = 0.0 if running is None else amplitude(running.train)
    ramp_ms = running.train.waveform.ramp_up_ms if running and isinstance(running.train.waveform, Hold) else 0
    return Allowed(
        rows=state.rows if with_rows else (),
        used={b.name: doses.spent_of(state.dose.granted, b.name) for b in limits.budgets},
        budget={b.name: b.high for b in limits.budgets},
        not_before_ns=state.not_before_ns,
        busy_until_ns=0 if running is None or isinstance(running.train.waveform, Hold) else running.until_ns,
        amplitude_now=level,
        amplitude_max=amplitude_ceiling(
            limits.modality, state.rows, least_output(running, now.mono_ns), ramp_ms
        )
        if state.rows
        else 0.0,
    )


def judge(rules: Rules, state: State, request: Request, now: Now) -> tuple[Reason, ...]:
    """Every reason against a request; none: it may be reserved and prepared."""
    if state.phase != "ARMED" or state.stopping is not None or state.capabilities is None:
        return (_reason("ILK-301"),)
    reasons: list[Reason] = []
    if request.id <= state.last_id:
        reasons.append(_reason("ILK-312"))
    if not isfinite(request.response):
        reasons.append(_reason("ILK-313"))
    if not _onset_fits(state, request, now):
        reasons.append(_reason("ILK-310"))
    reasons += check(request.train, rules.limits, state.capabilities, facts_now(rules, state))
    if not _steps_down(state, request, now):
        reasons += _judge_up(rules, state, request, now)
    return tuple(reasons)


def _onset_fits(state: State, request: Request, now: Now) -> bool:
    """At once, held for a FireRequest, or just ahead; what takes over from a hold does so at once."""
    if state.running is not None and isinstance(request.train.waveform, Hold):
        return request.onset_at_ns == 0
    ahead_ns = request.onset_at_ns - now.mono_ns
    return -1 <= request.onset_at_ns <= 0 or 0 <= ahead_ns <= ONSET_AHEAD_NS


def _steps_down(state: State, request: Request, now: Now) -> bool:
    """A hold that is less than the one that runs. A pulse train never takes over from another."""
    running = carried(state, now.mono_ns)
    return running is not None and request.onset_at_ns == 0 and is_down(running.train, request.train)


def carried(state: State, at_ns: int) -> Running | None:
    """The hold that one which starts at `at_ns` surely takes over from."""
    running = state.running
    if running is None or running.ended or not isinstance(running.train.waveform, Hold):
        return None
    return running if at_ns + TAKEOVER_NS <= running.until_ns else None


def least_output(running: Running | None, at_ns: int) -> float:
    """The least that comes out at an instant of a hold's lease: from there the next one rises."""
    if running is None or not isinstance(running.train.waveform, Hold):
        return 0.0
    target, ramp_ns = amplitude(running.train), running.train.waveform.ramp_up_ms * 1_000_000
    share = min(1.0, max(0, at_ns - running.onset_ns) / ramp_ns) if ramp_ns > 0 else 1.0
    return min(target, running.least + max(0.0, target - running.least) * share)


def _judge_up(rules: Rules, state: State, request: Request, now: Now) -> list[Reason]:
    """What a rise, a renewal or a new train needs beyond the limits."""
    reasons: list[Reason] = []
    trouble = evidence_trouble(rules, state, request.evidence, now)
    if trouble is not None:
        reasons.append(Reason(code="ILK-306", text=f"{REFUSALS['ILK-306'][0]}: {trouble.text}"))
    if state.asked is not None or state.firing is not None:
        reasons.append(_reason("ILK-302"))
    return reasons + _judge_start(rules, state, request.train, max(request.onset_at_ns, now.mono_ns))


def _judge_start(rules: Rules, state: State, train: Train, start_ns: int) -> list[Reason]:
    """What speaks against this start; asked again at the instant of firing, when a lease may have run out."""
    reasons: list[Reason] = []
    running = state.running
    if running is not None and isinstance(running.train.waveform, PulseTrain):
        reasons.append(_reason("ILK-303"))  # over is what the device has told the end of
    elif start_ns < state.not_before_ns or (running is not None and start_ns > running.until_ns):
        reasons.append(_reason("ILK-305" if isinstance(train.waveform, Hold) else "ILK-304"))
    level = least_output(carried(state, start_ns), start_ns)
    return reasons + list(check_slew(train, level, rules.limits))


def _reason(code: str) -> Reason:
    return Reason(code=code, text=REFUSALS[code][0])


def refuse(
    rules: Rules, state: State, request_id: int, reasons: tuple[Reason, ...], now: Now
) -> tuple[Effect, ...]:
    """Say no, with every reason. It changes no state."""
    return tell(state, Refusal(id=request_id, reasons=reasons, allowed=allowed_now(rules, state, now)))


def ask(rules: Rules, state: State, event: Asked, now: Now) -> Step:
    """Judge a request; permitted, it is reserved and prepared, or waits for its reservation to be durable."""
    request = event.request
    reasons = judge(rules, state, request, now)
    if reasons:
        return Step(state, refuse(rules, state, request.id, reasons, now))
    settled = doses.settle(state.dose, state.watch.durable)
    start_ns = max(request.onset_at_ns, now.mono_ns)
    granted = doses.grant(settled, request.train, start_ns, _wait_ns(rules, request))
    after = state.entries + 1
    enough = doses.covers(granted.reserved, granted.granted)
    if not enough or doses.running_low(granted, request.train):
        reserved = doses.reserve(rules.limits, granted, request.train, _highest(state), after)
        if isinstance(reserved, doses.Dose):
            granted = reserved
        elif not enough:
            return Step(state, refuse(rules, state, request.id, _over(reserved), now))
    older = _superseded(rules, state, now)
    asked = AskedFor(request=request, stage="durable", since_ns=now.mono_ns, after=after, call=0, token=0)
    taken = msgspec.structs.replace(state, dose=granted, last_id=request.id, asked=asked)
    if enough:
        return _prepare(rules, taken, asked, now, older)
    return Step(taken, older + tell(taken, Pending(id=request.id)))


def _wait_ns(rules: Rules, request: Request) -> int:
    """How long after its request, at most, a train starts: any later and it is refused, or trips."""
    held_ns = READY_NS + ONSET_AHEAD_NS if request.onset_at_ns == -1 else 0
    return DURABLE_NS + 2 * rules.limits.watch.host_ms * 1_000_000 + 2 * ONSET_SLACK_NS + held_ns


def _highest(state: State) -> float:
    """The highest amplitude that the limits allow, whatever the slew: what a hold may grow to."""
    return max((row.high for row in state.rows if row.quantity.startswith("amplitude_")), default=0.0)


def _over(exceeded: tuple[tuple[Budget, float], ...]) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            code="ILK-308",
            text=f"{REFUSALS['ILK-308'][0]}: {b.name} {total:g} of {b.high:g} {b.unit} a {b.scope}",
            quantity=b.name,
            value=total,
            limit=b.high,
            set_by="budget",
        )
        for b, total in exceeded
    )


def _superseded(rules: Rules, state: State, now: Now) -> tuple[Effect, ...]:
    """A step down does not wait for what was asked before it: the older request is refused after all."""
    if state.asked is None:
        return ()
    return refuse(rules, state, state.asked.request.id, (_reason("ILK-302"),), now)


def _prepare(rules: Rules, state: State, asked: AskedFor, now: Now, first: tuple[Effect, ...] = ()) -> Step:
    """Send the train to the device and tell the controller that it is permitted."""
    call = state.call + 1
    request = asked.request
    preparing = msgspec.structs.replace(asked, stage="preparing", since_ns=now.mono_ns, call=call)
    onset_ns = max(request.onset_at_ns, now.mono_ns)
    sent = msgspec.structs.replace(state, call=call, asked=preparing)
    permit = Permit(
        id=request.id,
        token=call,
        lease_until_ns=onset_ns + duration_ns(request.train),
        read_ns=now.mono_ns,
        sent_ns=0,
        allowed=allowed_now(rules, sent, now),
    )
    return Step(
        sent, (*first, ToDevice(message=Prepare(call=call, train=request.train)), *tell(sent, permit))
    )


def durable(rules: Rules, state: State, now: Now) -> Step:
    """A waiting request goes on when its reservation has reached the disk."""
    asked = state.asked
    if asked is None or asked.stage != "durable" or state.watch.durable < asked.after:
        return Step(state)
    ready = msgspec.structs.replace(state, dose=doses.settle(state.dose, state.watch.durable))
    return _prepare(rules, ready, asked, now)


def prepared(rules: Rules, state: State, said: Prepared, now: Now) -> Step:
    """The device holds the settings, by its own word: they must be the permitted ones, every number."""
    asked = state.asked
    if asked is None or asked.stage != "preparing" or asked.call != said.call:
        return Step(state)  # superseded: a token that is never fired
    difference = _difference(asked.request.train, said.read_back)
    if difference:
        return trip(rules, state, trips.READ_BACK, difference, now)
    ready = msgspec.structs.replace(asked, stage="ready", since_ns=now.mono_ns, token=said.token)
    held = msgspec.structs.replace(state, asked=ready)
    onset_at_ns = asked.request.onset_at_ns
    if onset_at_ns == -1:
        return Step(held)
    reasons = _judge_start(rules, state, asked.request.train, max(onset_at_ns, now.mono_ns))
    if reasons:
        dropped = msgspec.structs.replace(state, asked=None)
        return Step(dropped, refuse(rules, dropped, asked.request.id, tuple(reasons), now))
    return _fire(held, ready, onset_at_ns, now)


def _difference(permitted: Train, read_back: Train) -> str:
    if permitted.modality != read_back.modality or type(permitted.waveform) is not type(read_back.waveform):
        return f"{read_back.modality}, permitted {permitted.modality}"
    shares = {output.name: output.share for output in permitted.outputs}
    held = {output.name: output.share for output in read_back.outputs}
    if shares.keys() != held.keys() or any(not abs(shares[n] - held[n]) <= 1e-9 for n in shares):
        return f"outputs {held}, permitted {shares}"
    ours, theirs = quantities(permitted), quantities(read_back)
    for name, value in ours.items():
        if not abs(theirs[name] - value) <= 1e-9 * max(1.0, abs(value)):
            return f"{name} {theirs[name]}, permitted {value}"
    return ""


def _fire(state: State, asked: AskedFor, onset_at_ns: int, now: Now) -> Step:
    call = state.call + 1
    firing = Firing(
        request=asked.request,
        call=call,
        token=asked.token,
        since_ns=now.mono_ns,
        onset_at_ns=max(onset_at_ns, 0),
    )
    fired = msgspec.structs.replace(state, call=call, asked=None, firing=firing)
    return Step(
        fired, (ToDevice(message=Fire(call=call, token=asked.token, onset_at_ns=firing.onset_at_ns)),)
    )


def fire(rules: Rules, state: State, event: FireAsked, now: Now) -> Step:
    """Fire what was prepared under this id, if the evidence is still good and the onset lies just ahead."""
    asked, request = state.asked, event.request
    reasons: list[Reason] = []
    if state.phase != "ARMED" or state.stopping is not None:
        reasons.append(_reason("ILK-301"))
    if (
        asked is None
        or asked.request.id != request.id
        or asked.stage != "ready"
        or asked.request.onset_at_ns != -1
    ):
        reasons.append(_reason("ILK-309"))
    if request.onset_at_ns and not 0 < request.onset_at_ns - now.mono_ns <= ONSET_AHEAD_NS:
        reasons.append(_reason("ILK-310"))
    trouble = evidence_trouble(rules, state, request.evidence, now)
    if trouble is not None:
        reasons.append(Reason(code="ILK-306", text=f"{REFUSALS['ILK-306'][0]}: {trouble.text}"))
    if asked is not None and not reasons:
        reasons += _judge_start(rules, state, asked.request.train, max(request.onset_at_ns, now.mono_ns))
    if reasons or asked is None:
        return Step(state, refuse(rules, state, request.id, tuple(reasons), now))
    step = _fire(state, asked, request.onset_at_ns, now)
    onset_ns = max(request.onset_at_ns, now.mono_ns)
    permit = Permit(
        id=request.id,
        token=step.state.call,
        lease_until_ns=onset_ns + duration_ns(asked.request.train),
        read_ns=now.mono_ns,
        sent_ns=0,
        allowed=allowed_now(rules, step.state, now),
    )
    return step.then(*tell(step.state, permit))


def fired(rules: Rules, state: State, said: Fired, now: Now) -> Step:
    """The device started it: a lease runs. A hold takes over from the one before."""
    firing = state.firing
    if state.stopping is not None:
        return Step(state)  # the stop overtook the answer, and ends what it tells of
    if firing is None or firing.call != said.call:
        return trip(rules, state, trips.UNASKED, f"token {said.token}", now)
    expected_ns = max(firing.onset_at_ns, firing.since_ns)
    if said.token != firing.token or not -ONSET_SLACK_NS <= said.onset_ns - expected_ns <= 2 * ONSET_SLACK_NS:
        off_us = (said.onset_ns - expected_ns) // 1000
        return trip(rules, state, trips.READ_BACK, f"token {said.token}, onset off by {off_us} us", now)
    train, old = firing.request.train, _taken_over(state, said.onset_ns)
    lasted = old is not None and said.onset_ns <= old.until_ns
    least = least_output(old, said.onset_ns) if lasted else 0.0
    until_ns = said.onset_ns + duration_ns(train)
    above = max(amplitude(train), 0.0 if old is None else old.ceiling)
    running = Running(
        id=firing.request.id,
        token=said.token,
        train=train,
        onset_ns=said.onset_ns,
        until_ns=until_ns,
        zero_ns=until_ns + ramp_down_ns(train),
        ceiling=above,
        settled_ns=said.onset_ns + ramp_down_ns(train) + SETTLE_SLACK_NS,
        least=least,
        pulses=firing.pulses,
        ended=firing.ended_ns != 0,
    )
    if running.ended:
        rest_ns = firing.ended_ns + interval_after_ns(train, rules.limits)
        over = msgspec.structs.replace(
            state, firing=None, running=None, before=running, not_before_ns=max(state.not_before_ns, rest_ns)
        )
        return Step(over)
    started = msgspec.structs.replace(state, firing=None, running=running, before=old or state.before)
    if not lasted and check_slew(train, least, rules.limits):
        return trip(
            rules, started, trips.LATE, "a hold began after the one that it was to take over from", now
        )
    return Step(started)


def _taken_over(state: State, onset_ns: int) -> Running | None:
    """The hold that a new one takes over from; its last slice may have been reported before the answer to the fire."""
    if state.running is not None:
        return state.running
    before = state.before
    return (
        before
        if before is not None and isinstance(before.train.waveform, Hold) and onset_ns <= before.zero_ns
        else None
    )


def failed(rules: Rules, state: State, said: CallFailed, now: Now) -> Step:
    """A driver's typed failure of something that was under way."""
    detail = f"{said.code}: {said.text}"
    firing, asked = state.firing, state.asked
    if firing is not None and firing.call == said.call and said.code == "late":
        reason = Reason(code="ILK-310", text=detail)
        return Step(
            msgspec.structs.replace(state, firing=None),
            refuse(rules, state, firing.request.id, (reason,), now),
        )
    if asked is not None and asked.call == said.call and said.code == "superseded":
        return Step(state)
    kind = {"read_back": trips.READ_BACK, "silent": trips.HOST_SILENT}.get(said.code, trips.DEVICE_FAILED)
    return trip(rules, state, kind, detail, now)


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
            return Step(dropped, refuse(rules, dropped, asked.request.id, (_reason("ILK-311"),), now))
        if asked.stage == "ready" and waited_ns > READY_NS:
            return Step(msgspec.structs.replace(state, asked=None))
    if firing is not None and now.mono_ns - max(firing.since_ns, firing.onset_at_ns) > host_ns:
        return trip(rules, state, trips.HOST_SILENT, "fire was not answered", now)
    return None
