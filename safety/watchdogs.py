"""Freshness of everything the interlock rests on: `observe` takes note, `overdue` says what is wrong. Pure.

`observe` alone may handle a foldable event. Ages are two-sided: a stamp from the future is as bad as an old one.
"""

from __future__ import annotations

import msgspec

from drivers.link import Status
from drivers.stimulation import amplitude
from safety import trips
from safety.events import Beat, Durable, Event, HostSaid, Now, RelaySaid, Tick
from safety.messages import Evidence
from safety.state import Rules, State, Watch
from safety.trips import TripKind

POLL_NS = 25_000_000
# Own choice: some 15 pets. Less was seen to trip on a quiet machine; the device host does not need the relay to reach zero.
RELAY_NS = 150_000_000
LEDGER_NS = 250_000_000  # own choice: what a decision may be ahead of its record
LATE_NS = 150_000_000
SUSPEND_NS = 500_000_000
WALL_NS = 2_000_000_000  # own choice: more than any step of a healthy time synchronisation
FUTURE_NS = 20_000_000  # own choice: LSL's clock correction is good to about a millisecond on a local network
UNCLEAN_NS = 2_000_000_000  # own choice: bad quality stops increases at once, and output after two seconds
ZERO_SLACK_NS = 60_000_000  # as a delivery's times: the device's clock is mapped onto ours
RATE_SPAN_NS = 4_000_000_000
COUNT_MAX = 2**53  # of samples: a number beyond it was never counted, and no float can be compared with it


def observe(rules: Rules, watch: Watch, event: Event, now: Now) -> Watch:
    """The watch after a foldable event, or the same watch for any other."""
    match event:
        case Tick(behind_ns=behind_ns):
            return msgspec.structs.replace(watch, tick_ns=now.mono_ns, behind_ns=behind_ns)
        case Beat(heartbeat=beat):
            if beat.seq <= watch.beat_seq:
                return watch  # a beat told twice, or out of order, proves nothing about now
            seen = _evidence(rules, watch, beat.evidence, now)
            moved = beat.progress > watch.progress
            return msgspec.structs.replace(
                seen,
                beat_ns=now.mono_ns,
                beat_seq=beat.seq,
                progress=max(beat.progress, watch.progress),
                progress_ns=now.mono_ns if moved else watch.progress_ns,
            )
        case Durable(seq=seq):
            return msgspec.structs.replace(watch, durable=max(seq, watch.durable))
        case RelaySaid():
            return msgspec.structs.replace(watch, relay_ns=now.mono_ns)
        case HostSaid(message=Status() as said):
            if -said.call != watch.poll:
                return watch  # an answer to an older poll proves nothing about now
            return msgspec.structs.replace(
                watch,
                host_ns=now.mono_ns,
                poll_ns=0,
                host_state=said.status.state,
                host_amplitude=said.status.amplitude,
                impedance_kohm=said.status.impedance_kohm,
            )
        case _:
            return watch


def _evidence(rules: Rules, watch: Watch, evidence: Evidence, now: Now) -> Watch:
    before = watch.evidence
    clean = rules.limits.watch.clean_fraction_min <= evidence.clean_fraction <= 1.0
    fresh = before is None or evidence.crc != before.crc
    # Samples lost in a silence that ends output anyway say nothing of the rate after it: it is counted anew.
    hole_ns = rules.limits.watch.data_age_ms * 1_000_000
    hole = before is not None and evidence.newest_ns - before.newest_ns > hole_ns
    restart = before is None or hole or now.mono_ns - watch.anchor_ns >= RATE_SPAN_NS
    return msgspec.structs.replace(
        watch,
        evidence=evidence,
        evidence_ns=now.mono_ns,
        crc_ns=now.mono_ns if fresh else watch.crc_ns,
        clean_ns=now.mono_ns if clean else watch.clean_ns,
        previous_samples=0 if hole else watch.anchor_samples if restart else watch.previous_samples,
        previous_ns=0 if hole else watch.anchor_ns if restart else watch.previous_ns,
        anchor_samples=evidence.n_samples if restart else watch.anchor_samples,
        anchor_ns=now.mono_ns if restart else watch.anchor_ns,
    )


def evidence_trouble(rules: Rules, state: State, evidence: Evidence | None, now: Now) -> TripKind | None:
    """What is wrong with this evidence at this instant; None when an increase may rest on it."""
    hello, watch, limits = state.hello, state.watch, rules.limits.watch
    if evidence is None or hello is None:
        return trips.EEG_STALE
    if evidence.stream_uid != hello.stream_uid:
        return trips.EEG_CHANGED
    age_ns, unsure_ns = now.mono_ns - evidence.newest_ns, evidence.uncertainty_ns
    if not -FUTURE_NS - unsure_ns <= age_ns:
        return trips.EEG_FUTURE
    # Within its uncertainty a sample counts as old as it may be; an uncertainty beyond the limit is no knowledge.
    oldest_ns = limits.data_age_ms * 1_000_000
    if not (0 <= unsure_ns <= oldest_ns and age_ns + unsure_ns <= oldest_ns):
        return trips.EEG_STALE
    # A CRC that stands still is data that stand still (`Evidence.crc`): they are as old as its last change.
    if watch.crc_ns and now.mono_ns - watch.crc_ns > limits.data_age_ms * 1_000_000:
        return trips.EEG_FROZEN
    off = _rate_trouble(limits.rate_tolerance_pct, hello.sfreq_hz, watch, evidence, now)
    if off is None and not limits.clean_fraction_min <= evidence.clean_fraction <= 1.0:
        return trips.EEG_UNCLEAN  # the last, for it alone may pass
    return off


def _rate_trouble(
    tolerance_pct: float, sfreq_hz: float, watch: Watch, evidence: Evidence, now: Now
) -> TripKind | None:
    """Count against elapsed time x rate, two-sided, over four to eight seconds."""
    if not (0 <= evidence.n_samples <= COUNT_MAX and 0 <= watch.previous_samples <= COUNT_MAX):
        return trips.EEG_RATE
    if watch.previous_ns == 0:
        return None
    elapsed_s = (now.mono_ns - watch.previous_ns) / 1e9
    expected = elapsed_s * sfreq_hz
    slack = max(tolerance_pct / 100.0 * expected, 0.25 * sfreq_hz)
    counted = evidence.n_samples - watch.previous_samples
    return None if abs(counted - expected) <= slack else trips.EEG_RATE


def overdue(rules: Rules, state: State, now: Now) -> TripKind | None:
    """The first watchdog that is not fresh while armed; the order is that of trust in a ramp, worst first. The clocks
    have been judged before (`interlock.step`)."""
    watch, mono = state.watch, now.mono_ns
    if watch.poll_ns and mono - watch.poll_ns > rules.limits.watch.host_ms * 1_000_000:
        return trips.HOST_SILENT
    if state.relay and mono - watch.relay_ns > RELAY_NS:
        return trips.RELAY_SILENT
    if not 0 <= mono - watch.beat_ns <= rules.limits.watch.heartbeat_ms * 1_000_000:
        return trips.HEARTBEAT
    if not mono - watch.progress_ns <= _progress_ns(rules):
        return trips.HEARTBEAT  # it beats, but its loop works through no block
    if watch.behind_ns > LEDGER_NS:
        return trips.LEDGER_LATE
    if now.wall_ns > state.armed_until_wall_ns:
        return trips.ARMING_EXPIRED
    trouble = evidence_trouble(rules, state, watch.evidence, now)
    return None if is_passing(watch, trouble, now) else trouble


def is_passing(watch: Watch, trouble: TripKind | None, now: Now) -> bool:
    """Whether too little is clean, but not for long: a blink, or a pulse's artefact. Nothing may rise on it, and it alone
    ends nothing."""
    return trouble == trips.EEG_UNCLEAN and now.mono_ns - watch.clean_ns <= UNCLEAN_NS


def clocks_apart(watch: Watch, now: Now) -> TripKind | None:
    """Which clock has gone its own way since the start: a suspend shows against boot time, a jump against the wall."""
    if abs((now.boot_ns - now.mono_ns) - watch.boot_offset_ns) > SUSPEND_NS:
        return trips.SUSPENDED
    if abs((now.wall_ns - now.mono_ns) - watch.wall_offset_ns) > WALL_NS:
        return trips.WALL_CLOCK
    return None


def _progress_ns(rules: Rules) -> int:
    """How long the loop may work through no block: the age of data that stops output, and a beat to say so."""
    return (rules.limits.watch.data_age_ms + rules.limits.watch.heartbeat_ms) * 1_000_000


def forget_status(watch: Watch) -> Watch:
    """What the device said of itself before this instant says nothing of what comes after; ask anew."""
    return msgspec.structs.replace(watch, poll=watch.poll + 1, poll_ns=0, host_state="", host_amplitude=0.0)


def device_trouble(state: State, now: Now) -> TripKind | None:
    """What the device's own status contradicts: its state, or output that nobody permitted."""
    watch, running = state.watch, state.running
    if watch.host_state in ("idle", "fault", "closed", "unknown"):
        return trips.DEVICE_STATE
    if watch.host_amplitude == 0.0:
        return None
    high = ceiling(state, now)
    if running is None and state.firing is None and not high > 0.0:
        return trips.UNASKED
    return None if 0.0 < watch.host_amplitude <= high * 1.0001 + 1e-9 else trips.OVER_DELIVERY


def ceiling(state: State, now: Now) -> float:
    """The highest amplitude that anything permitted may have at this instant."""
    running, firing, before = state.running, state.firing, state.before
    high = 0.0 if firing is None else amplitude(firing.request.train)
    if before is not None and now.mono_ns <= before.zero_ns + ZERO_SLACK_NS:
        high = max(
            high, before.ceiling
        )  # its end was told; it may be on its way to zero, or be taken over from
    if running is not None:
        settled = now.mono_ns > running.settled_ns
        high = max(high, amplitude(running.train) if settled else running.ceiling)
    return high
