"""What the device says went out, held against what was permitted: amplitude, pulses, time. Pure."""

from __future__ import annotations

import msgspec

from drivers.stimulation import Delivery, Hold, amplitude, n_pulses
from safety import trips
from safety.events import Now
from safety.exposures import plus
from safety.judging import allowed_now
from safety.messages import DeliveryReport
from safety.modalities import exposure, heat
from safety.safing import Step, over_at, stop_device, tell, trip
from safety.state import Rules, Running, State
from safety.watchdogs import forget_status

# The device's clock is mapped onto the host's through round trips of a serial line; its reports come in slices.
TIME_SLACK_NS = 60_000_000
END_SLACK_NS = 250_000_000
TIME_MAX_NS = 2**62
AMPLITUDE_MAX = 1e6  # of any unit; what lies beyond is no number of a device
PULSES_MAX = 1_000_000
LAPSE_SPAN_NS = 60_000_000_000  # three lapses in 60 s trip


def delivered(rules: Rules, state: State, delivery: Delivery, now: Now) -> Step:
    """Take a slice into the dose; more than was permitted, or what nobody permitted, trips."""
    running = _permitted(state, delivery.token)
    if running is None:
        return _stray(rules, state, delivery, now)
    if not _possible(delivery):
        return trip(rules, state, trips.OVER_DELIVERY, "numbers that cannot be", now)
    excess = _excess(running, delivery)
    counted = _count(rules, state, running, delivery)
    after = _note(rules, counted, running, delivery)
    report = DeliveryReport(id=running.id, delivery=delivery, allowed=allowed_now(rules, after, now))
    if excess:
        return trip(rules, after, trips.OVER_DELIVERY, excess, now).then(*tell(after, report))
    told = Step(after, tell(after, report))
    if delivery.ended and _lapsed(state, running, delivery):
        lapsed = lapse(rules, after, now)
        return Step(lapsed.state, told.effects + lapsed.effects)
    return told


def _stray(rules: Rules, state: State, delivery: Delivery, now: Now) -> Step:
    """What nobody permitted. Of what a stop ended, the last slices are taken in peace."""
    silent = delivery.amplitude == 0.0 and delivery.n_pulses == 0
    if state.phase != "ARMED" and (silent or delivery.token in state.over):
        return Step(state)
    if state.phase == "TRIPPED" and state.stopping is None:
        return stop_device(rules, state, "cut", now)
    return trip(rules, state, trips.UNASKED, f"token {delivery.token}", now)


def _possible(delivery: Delivery) -> bool:
    return (
        abs(delivery.start_ns) <= TIME_MAX_NS
        and abs(delivery.end_ns) <= TIME_MAX_NS
        and abs(delivery.amplitude) <= AMPLITUDE_MAX
        and abs(delivery.n_pulses) <= PULSES_MAX
    )


def _permitted(state: State, token: int) -> Running | None:
    for running in (state.running, state.before):
        if running is not None and running.token == token:
            return running
    firing = state.firing
    if firing is not None and firing.token == token:  # the first slice may overtake the answer to the fire
        train = firing.request.train
        level = max(amplitude(train), 0.0 if state.running is None else state.running.ceiling)
        far_ns = firing.since_ns + 3_600_000_000_000
        return Running(
            id=firing.request.id, token=token, train=train, onset_ns=firing.since_ns, until_ns=far_ns,
            zero_ns=far_ns, ceiling=level, settled_ns=far_ns, pulses=firing.pulses,
        )  # fmt: skip
    return None


def _excess(running: Running, delivery: Delivery) -> str:
    """What of this slice goes beyond the permit, in words; empty when nothing does."""
    settled = delivery.start_ns > running.settled_ns
    high = amplitude(running.train) if settled else running.ceiling
    if not (0.0 <= delivery.amplitude <= high * 1.0001 + 1e-9):
        return f"amplitude {delivery.amplitude:g}, permitted {high:g}"
    if not delivery.start_ns <= delivery.end_ns:
        return "a slice that ends before it starts"
    if delivery.start_ns < running.onset_ns - TIME_SLACK_NS:
        return f"{(running.onset_ns - delivery.start_ns) // 1_000_000} ms before its onset"
    if not isinstance(running.train.waveform, Hold):
        total = running.pulses + delivery.n_pulses
        if not delivery.n_pulses >= 0 or total > n_pulses(running.train):
            return f"{total} pulses, permitted {n_pulses(running.train)}"
    elif delivery.n_pulses:
        return f"{delivery.n_pulses} pulses of a hold"
    if delivery.amplitude > 0.0 and delivery.end_ns > running.zero_ns + TIME_SLACK_NS:
        return f"{(delivery.end_ns - running.zero_ns) // 1_000_000} ms longer than permitted"
    return ""


def _count(rules: Rules, state: State, running: Running, delivery: Delivery) -> State:
    """Add a slice to the confirmed dose."""
    span_ns = max(0, delivery.end_ns - delivery.start_ns)
    spent = exposure(running.train, span_ns, delivery.amplitude)
    if not isinstance(running.train.waveform, Hold):
        spent = msgspec.structs.replace(spent, n_pulses=max(0, delivery.n_pulses))
    spent = plus(spent, heat(running.train, span_ns, delivery.amplitude, rules.limits))
    confirmed = plus(state.dose.confirmed, spent)
    return msgspec.structs.replace(state, dose=msgspec.structs.replace(state.dose, confirmed=confirmed))


def _note(rules: Rules, state: State, running: Running, delivery: Delivery) -> State:
    """Note pulses and end where they belong; the interval to the next train runs from the *actual* end."""
    noted = msgspec.structs.replace(
        running, pulses=running.pulses + max(0, delivery.n_pulses), ended=running.ended or delivery.ended
    )
    if state.before is not None and state.before.token == delivery.token:
        return msgspec.structs.replace(over_at(rules, state, running.train, delivery.end_ns), before=noted)
    if state.firing is not None and state.firing.token == delivery.token and not state.firing.renews:
        ended_ns = delivery.end_ns if delivery.ended else state.firing.ended_ns
        firing = msgspec.structs.replace(state.firing, pulses=noted.pulses, ended_ns=ended_ns)
        return msgspec.structs.replace(state, firing=firing)
    if state.running is None or state.running.token != delivery.token:
        return state
    if not delivery.ended:
        return msgspec.structs.replace(state, running=noted)
    return msgspec.structs.replace(
        over_at(rules, state, running.train, delivery.end_ns),
        running=None,
        before=noted,
        watch=forget_status(state.watch),
    )


def _lapsed(state: State, running: Running, delivery: Delivery) -> bool:
    """A hold that ran out above zero, while nothing took over from it, was let lapse."""
    following = state.firing is not None and not state.firing.renews
    taken_over = state.running is None or state.running.token != delivery.token or following
    return state.phase == "ARMED" and not taken_over and isinstance(running.train.waveform, Hold) and (
        amplitude(running.train) > 0.0
    )  # fmt: skip


def lapse(rules: Rules, state: State, now: Now) -> Step:
    """Count a lapse: an off-time, a start from zero, and too many of them trip."""
    recent = (*tuple(at for at in state.lapses if now.mono_ns - at <= LAPSE_SPAN_NS), now.mono_ns)
    off_ns = now.mono_ns + rules.limits.watch.off_min_ms * 1_000_000
    noted = msgspec.structs.replace(state, lapses=recent, not_before_ns=max(state.not_before_ns, off_ns))
    if len(recent) >= rules.limits.watch.lapses_max and state.phase == "ARMED":
        return trip(rules, noted, trips.LAPSES, f"{len(recent)} times in 60 s", now)
    return Step(noted)


def not_ended(rules: Rules, state: State, now: Now) -> Step | None:
    """Output whose end the device does not report in time is taken for output that goes on."""
    running = state.running
    if running is None or running.ended or now.mono_ns <= running.zero_ns + END_SLACK_NS:
        return None
    late_ms = (now.mono_ns - running.zero_ns) / 1e6
    return trip(rules, state, trips.NOT_ENDED, f"{late_ms:.0f} ms after the lease", now)
