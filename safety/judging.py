"""The verdict on a request: every reason against it, and what would be permitted. Pure; changes nothing."""

from __future__ import annotations

from operator import eq

from drivers.stimulation import Hold, Modality, Train, amplitude
from safety.dose import Dose
from safety.events import Now
from safety.exposures import NOTHING
from safety.history import date_of
from safety.limit_values import is_iso_date
from safety.messages import Allowed, Evidence, Reason, Refusal, Request, Row
from safety.modalities import (
    Exposure,
    Facts,
    amplitude_ceiling,
    check,
    check_facts,
    check_slew,
    goes_on,
    interval_after_ns,
    is_down,
    keeps_shape,
)
from safety.remembering import Remembered
from safety.response import is_response, refuses_increase
from safety.safing import tell
from safety.state import Effect, Rules, Running, State
from safety.trips import REFUSALS, TripKind
from safety.watchdogs import evidence_trouble, is_passing
from safety.windows import Session, binding, waits

ONSET_AHEAD_NS = 1_000_000_000
LEASE_NS = 500_000_000  # the longest lease of a hold
TAKEOVER_NS = 50_000_000  # own choice: a hold whose lease ends sooner may be over before the next one starts


def facts_now(rules: Rules, state: State, now: Now) -> Facts:
    """The facts that stand in no file."""
    return Facts(today=today_of(rules, now), impedance_kohm=state.watch.impedance_kohm)


def today_of(rules: Rules, now: Now) -> str:
    """The day, as ISO: that of the start or a later one, for at midnight what was measured today is of yesterday."""
    return _today(rules, date_of(rules.history, now.wall_ns))


def _later_day(rules: Rules, day: str) -> str:
    return max(rules.today, day) if is_iso_date(rules.today) and day else ""


_today = Remembered(_later_day, eq)


def present(state: State, now: Now) -> Running | None:
    """What runs within its lease at this instant."""
    running = state.running
    return running if running is not None and not running.ended and now.mono_ns <= running.until_ns else None


def allowed_now(rules: Rules, state: State, now: Now, *, with_rows: bool = False) -> Allowed:
    """What would be permitted, told beforehand so that a policy can stay inside."""
    limits, running = rules.limits, present(state, now) or _handing_over(state, now)
    level = 0.0 if running is None else amplitude(running.train)
    ramp_ms = running.train.waveform.ramp_up_ms if running and isinstance(running.train.waveform, Hold) else 0
    may_rise = not refuses_increase(limits.response, state.response)
    spent = spent_so_far(state.dose, state.dose.granted)
    if running is None:  # the next train, or holds without a pause, begin anew
        spent = Session(pulse=spent.pulse, train=NOTHING, all=spent.all)
    bound = binding(limits, rules.history, spent, now)
    kept = level if running and isinstance(running.train.waveform, Hold) else 0.0
    next_from_ns, next_until_ns = _next_segment(rules, state)
    return Allowed(
        rows=state.rows if with_rows else (),
        used={budget.name: used for budget, used in bound},
        budget={budget.name: budget.high for budget, _ in bound},
        scope={budget.name: budget.scope for budget, _ in bound},
        not_before_ns=max(
            state.not_before_ns, state.rested_ns if running is None else 0, _rested_ns(rules, now)
        ),
        busy_until_ns=0 if running is None or isinstance(running.train.waveform, Hold) else running.until_ns,
        amplitude_now=level,
        amplitude_max=_ceiling(state.rows, (limits.modality, least_output(running, now.mono_ns), ramp_ms))
        if state.rows and may_rise
        else kept,
        may_rise=may_rise,
        next_from_ns=next_from_ns,
        next_until_ns=next_until_ns,
    )


def _ceiling_from(rows: tuple[Row, ...], now: tuple[Modality, float, int]) -> float:
    modality, level, ramp_ms = now
    return amplitude_ceiling(modality, rows, level, ramp_ms)


_ceiling = Remembered(_ceiling_from, eq)  # while a hold goes on where it is


def _next_segment(rules: Rules, state: State) -> tuple[int, int]:
    """From when to when the train that went out last may go on; 0, 0 where nothing may be added to it."""
    had = state.segments
    if had is None or state.running is not None or goes_on(had, had.train, had.due_ns, rules.limits) != ():
        return 0, 0
    return had.due_ns, had.until_ns


def spent_so_far(dose: Dose, spent: Exposure) -> Session:
    """What this session adds to its budgets where `spent` is its sum; of a pulse and a train, what was granted last."""
    return Session(pulse=dose.pulse, train=dose.train, all=spent)


def _rested_ns(rules: Rules, now: Now) -> int:
    """When the last gap or wash-out is over, on the monotonic clock; 0 where none runs."""
    left = waits(rules.limits, rules.history, now.wall_ns)
    return now.mono_ns + max(left_ns for _, left_ns in left) if left else 0


def _waiting(rules: Rules, start_ns: int, now: Now) -> list[Reason]:
    """Every gap and wash-out that is not over when output would begin."""
    return [
        told(
            "ILK-315" if spacing.name == "gap_s" else "ILK-316",
            f"{left_ns / 1e9:.0f} s are left of {spacing.low:g} s",
            quantity=spacing.name,
            value=max(0.0, spacing.low - left_ns / 1e9),
            limit=spacing.low,
            set_by="spacing",
        )
        for spacing, left_ns in waits(rules.limits, rules.history, now.wall_ns + start_ns - now.mono_ns)
    ]


def _handing_over(state: State, now: Now) -> Running | None:
    """The hold whose last slice was told before the answer to the fire that takes over from it: it is not over."""
    before = state.before
    if state.firing is None or before is None or not isinstance(before.train.waveform, Hold):
        return None
    return before if now.mono_ns <= before.until_ns else None


def judge(rules: Rules, state: State, request: Request, now: Now) -> tuple[Reason, ...]:
    """Every reason against a request; none: it may be reserved and prepared."""
    if state.phase != "ARMED" or state.stopping is not None or state.capabilities is None:
        return (reason("ILK-301"),)
    reasons: list[Reason] = []
    if request.id <= state.last_id:
        reasons.append(reason("ILK-312"))
    if not is_response(request.response):
        reasons.append(reason("ILK-313"))
    if not _onset_fits(state, request, now):
        reasons.append(reason("ILK-310"))
    reasons += _judge_train(rules, state, request.train, now)
    if not steps_down(state, request, now):
        reasons += _judge_up(rules, state, request, now)
    return tuple(reasons)


_facts = Remembered(check_facts, eq)  # between two statuses of the device they are the same


def _judge_train(rules: Rules, state: State, train: Train, now: Now) -> tuple[Reason, ...]:
    """The limits. What passed them last passes them again, for neither the file nor the device has changed: of an
    unchanged train, the renewal of a hold, only the facts of the moment are judged."""
    facts = facts_now(rules, state, now)
    if train == state.passed:
        return _facts(rules.limits, facts)
    caps = state.capabilities
    return () if caps is None else check(train, rules.limits, caps, facts)


def _onset_fits(state: State, request: Request, now: Now) -> bool:
    """At once, held for a FireRequest, or just ahead; what takes over from a hold does so at once."""
    if state.running is not None and isinstance(request.train.waveform, Hold):
        return request.onset_at_ns == 0
    ahead_ns = request.onset_at_ns - now.mono_ns
    if -1 <= request.onset_at_ns <= 0:
        return True
    return 0 <= ahead_ns <= ONSET_AHEAD_NS and lease_fits(request.train, request.onset_at_ns, now)


def lease_fits(train: Train, onset_at_ns: int, now: Now) -> bool:
    """A hold's lease runs from the decision: what starts later must be the shorter for it."""
    if not isinstance(train.waveform, Hold):
        return True
    return max(0, onset_at_ns - now.mono_ns) + train.waveform.duration_ms * 1_000_000 <= LEASE_NS


def steps_down(state: State, request: Request, now: Now) -> bool:
    """A hold that is less than the one that runs. A pulse train never takes over from another."""
    running = carried(state, now.mono_ns)
    return running is not None and request.onset_at_ns == 0 and is_down(running.train, request.train)


def carried(state: State, at_ns: int) -> Running | None:
    """The hold that one which starts at `at_ns` surely takes over from."""
    running = state.running
    if running is None or running.ended or not isinstance(running.train.waveform, Hold):
        return None
    return running if at_ns + TAKEOVER_NS <= running.until_ns else None


def unchanged(state: State, request: Request, now: Now) -> Running | None:
    """The hold that a request asks to go on with as it is."""
    running = carried(state, now.mono_ns)
    same = running is not None and request.onset_at_ns == 0 and request.train == running.train
    return running if same else None


def may_put_out(running: Running, at_ns: int) -> bool:
    """Whether a hold may still put something out at an instant: told of no end, and not long enough at zero."""
    held = isinstance(running.train.waveform, Hold) and not running.ended
    return held and (
        amplitude(running.train) != 0.0 or (running.ceiling != 0.0 and at_ns <= running.settled_ns)
    )


def least_output(running: Running | None, at_ns: int) -> float:
    """The least that comes out at an instant of a hold's lease: from there the next one rises."""
    if running is None or not isinstance(running.train.waveform, Hold):
        return 0.0
    target, ramp_ms = amplitude(running.train), running.train.waveform.ramp_up_ms
    if ramp_ms <= 0:
        return target
    share = max(0, at_ns - running.onset_ns) / (ramp_ms * 1_000_000)
    return min(target, running.least + max(0.0, target - running.least) * share)


def _judge_up(rules: Rules, state: State, request: Request, now: Now) -> list[Reason]:
    """What a rise, a renewal or a new train needs beyond the limits."""
    reasons = _judge_evidence(rules, state, request, (request.evidence,), now)
    if state.asked is not None or state.firing is not None:
        reasons.append(reason("ILK-302"))
    return reasons + judge_start(rules, state, request.train, max(request.onset_at_ns, now.mono_ns), now)


def _judge_evidence(
    rules: Rules, state: State, request: Request, seen: tuple[Evidence | None, ...], now: Now
) -> list[Reason]:
    """The first of these that nothing may rest on. A hold goes on as it is while a blink passes."""
    for evidence in seen:
        trouble = evidence_trouble(rules, state, evidence, now)
        passes = is_passing(state.watch, trouble, now) and unchanged(state, request, now) is not None
        if trouble is not None and not passes:
            return [unfit(trouble)]
    return []


def judge_start(rules: Rules, state: State, train: Train, start_ns: int, now: Now) -> list[Reason]:
    """What speaks against this start; asked again at the instant of firing, when a lease may have run out."""
    reasons = _waiting(rules, start_ns, now)
    running, going_on = state.running, goes_on(state.segments, train, start_ns, rules.limits)
    if running is not None and not isinstance(running.train.waveform, Hold):
        reasons.append(reason("ILK-303"))  # over is what the device has told the end of
    elif going_on is not None:
        reasons += going_on  # the next segment of one train, which no interval parts
    elif running is None and start_ns < state.rested_ns:
        reasons.append(reason("ILK-304"))  # what was held must have been off for longer than it was on
    elif start_ns < state.not_before_ns or (running is not None and start_ns > running.until_ns):
        reasons.append(reason("ILK-305" if isinstance(train.waveform, Hold) else "ILK-304"))
    elif state.train_end_ns and start_ns < state.train_end_ns + interval_after_ns(train, rules.limits):
        reasons.append(
            reason("ILK-304")
        )  # the train before has set `not_before_ns`; this one asks its own interval
    if running is not None and may_put_out(running, start_ns) and not keeps_shape(running.train, train):
        reasons.append(reason("ILK-319"))
    if is_increase(state, train, start_ns) and refuses_increase(rules.limits.response, state.response):
        reasons.append(reason("ILK-314"))
    before = carried(state, start_ns)
    level = least_output(before, start_ns)
    if before is not None and train == before.train and amplitude(train) <= level:
        return reasons  # the same hold goes on where it is
    return reasons + list(check_slew(train, level, rules.limits))


def is_increase(state: State, train: Train, start_ns: int) -> bool:
    """Whether a train is more than what runs when it starts: all but the same hold again, a step down, and nothing."""
    running = state.running
    if running is None or running.ended or start_ns > running.until_ns:
        return amplitude(train) != 0.0
    return train != running.train and not is_down(running.train, train)


def judge_again(rules: Rules, state: State, request: Request, now: Now) -> tuple[Reason, ...]:
    """What has turned against a request while it waited for the disk: evidence and facts of now, not of then."""
    if state.capabilities is None:
        return (reason("ILK-301"),)
    reasons = list(check(request.train, rules.limits, state.capabilities, facts_now(rules, state, now)))
    if not steps_down(state, request, now):
        reasons += _judge_evidence(rules, state, request, (request.evidence, state.watch.evidence), now)
        reasons += judge_start(rules, state, request.train, max(request.onset_at_ns, now.mono_ns), now)
    return tuple(reasons)


def reason(code: str) -> Reason:
    return Reason(code=code, text=REFUSALS[code][0])


def unfit(trouble: TripKind) -> Reason:
    """What is wrong with evidence, as a reason."""
    return Reason(code="ILK-306", text=f"{REFUSALS['ILK-306'][0]}: {trouble.text}")


def told(code: str, detail: str, *, quantity: str, value: float, limit: float, set_by: str) -> Reason:
    """A Reason of a limit that is not the train's own, with the detail of this case."""
    return Reason(
        code=code,
        text=f"{REFUSALS[code][0]}: {detail}",
        quantity=quantity,
        value=value,
        limit=limit,
        set_by=set_by,
    )


def refuse(
    rules: Rules, state: State, request_id: int, reasons: tuple[Reason, ...], now: Now
) -> tuple[Effect, ...]:
    """Say no, with every reason. It changes no state."""
    return tell(state, Refusal(id=request_id, reasons=reasons, allowed=allowed_now(rules, state, now)))
