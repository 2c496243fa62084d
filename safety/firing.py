"""From the device's read-back to its start: compare, fire, and what the answers mean. Pure."""

from __future__ import annotations

import msgspec

from drivers.link import CallFailed, Fire, Fired, Prepared
from drivers.stimulation import Hold, Train, amplitude, duration_ns, quantities
from safety import trips
from safety.events import FireAsked, Now
from safety.judging import (
    ONSET_AHEAD_NS,
    allowed_now,
    facts_now,
    judge_start,
    lease_fits,
    least_output,
    reason,
    refuse,
    unchanged,
    unfit,
)
from safety.messages import Permit, Reason, Request
from safety.modalities import check_facts, check_slew, ramp_down_ns, segment
from safety.response import put_out
from safety.safing import Step, over_at, tell, trip
from safety.state import AskedFor, Firing, Rules, Running, State, ToDevice
from safety.watchdogs import evidence_trouble

ONSET_SLACK_NS = 50_000_000
SETTLE_SLACK_NS = 50_000_000


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
    reasons = judge_start(rules, state, asked.request.train, max(onset_at_ns, now.mono_ns), now)
    if reasons:
        dropped = msgspec.structs.replace(state, asked=None)
        return Step(dropped, refuse(rules, dropped, asked.request.id, tuple(reasons), now))
    return start(held, ready, onset_at_ns, now)


def _difference(permitted: Train, read_back: Train) -> str:
    ours, theirs = quantities(permitted), quantities(read_back)
    if permitted.modality != read_back.modality or ours.keys() != theirs.keys():
        return f"{read_back.modality} of {', '.join(theirs)}, permitted {permitted.modality} of {', '.join(ours)}"
    shares = {output.name: output.share for output in permitted.outputs}
    held = {output.name: output.share for output in read_back.outputs}
    if shares.keys() != held.keys() or any(not abs(shares[n] - held[n]) <= 1e-9 for n in shares):
        return f"outputs {held}, permitted {shares}"
    for name, value in ours.items():
        if not abs(theirs[name] - value) <= 1e-9 * max(1.0, abs(value)):
            return f"{name} {theirs[name]}, permitted {value}"
    return ""


def start(state: State, asked: AskedFor, onset_at_ns: int, now: Now, *, renews: bool = False) -> Step:
    """Fire what was prepared, or what runs; from here on it counts as delivered."""
    call = state.call + 1
    firing = Firing(
        request=asked.request,
        call=call,
        token=asked.token,
        since_ns=now.mono_ns,
        onset_at_ns=max(onset_at_ns, 0),
        renews=renews,
    )
    seen, train = state.response, asked.request.train
    if amplitude(train) != 0.0:
        seen = put_out(seen, max(onset_at_ns, now.mono_ns) + duration_ns(train))
    fired = msgspec.structs.replace(state, call=call, asked=None, firing=firing, response=seen)
    return Step(
        fired, (ToDevice(message=Fire(call=call, token=asked.token, onset_at_ns=firing.onset_at_ns)),)
    )


def renewable(state: State, request: Request, now: Now) -> Running | None:
    """The hold that a request asks to go on with as it is, where the device can do that: its settings were read back
    when it was prepared, and its token still runs."""
    if state.capabilities is None or not state.capabilities.renews:
        return None
    running = unchanged(state, request, now)
    return running if running is not None and running.onset_ns <= now.mono_ns else None


def renew(state: State, asked: AskedFor, running: Running, now: Now) -> Step:
    """Begin the lease of the running hold anew."""
    return start(state, msgspec.structs.replace(asked, token=running.token), 0, now, renews=True)


def _renewed(rules: Rules, state: State, firing: Firing, said: Fired, now: Now) -> Step:
    """The lease of the running hold began anew: only its end moves."""
    running, train = state.running, firing.request.train
    if running is None or running.token != firing.token:
        return trip(rules, state, trips.READ_BACK, f"token {said.token} was renewed after its end", now)
    until_ns = said.onset_ns + duration_ns(train)
    extended = msgspec.structs.replace(
        running, id=firing.request.id, until_ns=until_ns, zero_ns=until_ns + ramp_down_ns(train)
    )
    return Step(msgspec.structs.replace(state, firing=None, running=extended))


def fire(rules: Rules, state: State, event: FireAsked, now: Now) -> Step:
    """Fire what was prepared under this id, if the evidence is still good and the onset lies just ahead."""
    asked, request = _awaiting(state, event.request.id), event.request
    reasons: list[Reason] = []
    if state.phase != "ARMED" or state.stopping is not None:
        reasons.append(reason("ILK-301"))
    ahead_ns = request.onset_at_ns - now.mono_ns
    fits = request.onset_at_ns == 0 or 0 < ahead_ns <= ONSET_AHEAD_NS
    if not fits or (asked is not None and not lease_fits(asked.request.train, request.onset_at_ns, now)):
        reasons.append(reason("ILK-310"))
    trouble = evidence_trouble(rules, state, request.evidence, now)
    if trouble is not None:
        reasons.append(unfit(trouble))
    if asked is None:
        return Step(state, refuse(rules, state, request.id, (reason("ILK-309"), *reasons), now))
    onset_ns = max(request.onset_at_ns, now.mono_ns)
    reasons += judge_start(rules, state, asked.request.train, onset_ns, now)
    reasons += check_facts(rules.limits, facts_now(rules, state, now))
    if reasons:
        return Step(state, refuse(rules, state, request.id, tuple(reasons), now))
    step = start(state, asked, request.onset_at_ns, now)
    permit = Permit(
        id=request.id,
        token=step.state.call,
        lease_until_ns=onset_ns + duration_ns(asked.request.train),
        read_ns=now.mono_ns,
        sent_ns=0,
        allowed=allowed_now(rules, step.state, now),
    )
    return step.then(*tell(step.state, permit))


def _awaiting(state: State, request_id: int) -> AskedFor | None:
    """What was prepared under an id and waits for its fire; None where nothing does."""
    asked = state.asked
    if asked is None or asked.request.id != request_id or asked.stage != "ready":
        return None
    return asked if asked.request.onset_at_ns == -1 else None


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
    if firing.renews:
        return _renewed(rules, state, firing, said, now)
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
    had = segment(state.segments, train, said.onset_ns)
    if running.ended:
        over = msgspec.structs.replace(state, firing=None, running=None, before=running, segments=had)
        return Step(over_at(rules, over, train, firing.ended_ns))
    started = msgspec.structs.replace(
        state, firing=None, running=running, before=old or state.before, segments=had
    )
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
