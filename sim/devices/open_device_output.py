"""The output stage of the open device: what comes out and when, computed from time alone.

Pure. Every change has a time of its own, so a step that comes late gives the same breakpoints as one in time.
Amplitudes are in µA peak to peak and tenths of a percent, times in ns of the host's monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
SLICE_NS = 100 * NS_PER_MS  # the protocol's longest OUT slice
# Rank among happenings of one instant: a movement arrives before it is taken over, a renewal comes before the
# lease that it renews ends, an end before a slice, and a pulse belongs to the slice that it opens.
_ARRIVE, _ONSET, _LEASE_END, _TRAIN_END, _SLICE, _PULSE = range(6)
_EPSILON_UA = 1e-6  # far below a µA, far above the rounding of a double

How = Literal["ramp", "cut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlan:
    """A SET of mod=tacs as stored, units of the wire."""

    token: int
    a: int
    f: int
    ph: int
    up: int
    dn: int
    dur: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """A SET of mod=rtms, tbs or ctbs as stored, units of the wire; a single pulse is a burst of one."""

    token: int
    p: int
    r: int
    n: int
    out: str
    k: int = 1
    q: int = 1

    @property
    def pulses(self) -> int:
        """All of the train."""
        return self.n * self.k

    def pulse_ns(self, index: int) -> int:
        """When a pulse comes, counted from the onset."""
        burst, inside = divmod(index, self.k)
        return burst * 10**12 // self.r + inside * 10**12 // self.q


Plan = HoldPlan | TrainPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A breakpoint: at `at_ns` the output stands at `a_ua` and heads for `to_ua`."""

    at_ns: int
    token: int
    a_ua: float
    to_ua: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulsed:
    at_ns: int
    token: int
    p: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What went out for a token between two instants; `a` is the greatest amplitude, in units of the wire."""

    token: int
    from_ns: int
    to_ns: int
    a: int
    n: int
    end: bool


Effect = Moved | Pulsed | Slice


@dataclass(slots=True, kw_only=True)
class _Movement:
    """A straight line from one amplitude to another; before and after it the output rests."""

    from_ns: int
    from_ua: float
    to_ns: int
    to_ua: float

    def at(self, t_ns: int) -> float:
        """The amplitude at a time."""
        if t_ns >= self.to_ns:
            return self.to_ua
        if t_ns <= self.from_ns:
            return self.from_ua
        share = (t_ns - self.from_ns) / (self.to_ns - self.from_ns)
        return self.from_ua + (self.to_ua - self.from_ua) * share


@dataclass(slots=True, kw_only=True)
class _Running:
    """What comes out now: the plan, its onset, and the open slice."""

    plan: Plan
    onset_ns: int
    lease_from_ns: int
    slice_from_ns: int
    slice_a: float = 0.0
    slice_n: int = 0
    pulses_done: int = 0
    falling: bool = False
    moving: bool = False


def wire_ua(a_ua: float) -> int:
    """An amplitude as whole µA, never less than what is there."""
    return math.ceil(a_ua - _EPSILON_UA)


class Output:
    """Holds, trains, one start waiting. Starts nothing by itself; ends everything by itself."""

    def __init__(self, *, lease_ends: bool = True) -> None:
        self.lease_ends = lease_ends  # false only under the fault of an output stage that is stuck
        self._move = _Movement(from_ns=0, from_ua=0.0, to_ns=0, to_ua=0.0)
        self._running: _Running | None = None
        self._waiting: tuple[Plan, int] | None = None
        self._carrier_from_ns = 0
        self._effects: list[Effect] = []

    def effects(self) -> list[Effect]:
        """What happened since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    @property
    def idle(self) -> bool:
        """Nothing comes out and nothing waits to."""
        return self._running is None and self._waiting is None

    @property
    def hold(self) -> HoldPlan | None:
        """The hold that runs or, before its onset, waits."""
        for plan in self._plans():
            if isinstance(plan, HoldPlan):
                return plan
        return None

    @property
    def train(self) -> TrainPlan | None:
        """The train that runs or waits."""
        for plan in self._plans():
            if isinstance(plan, TrainPlan):
                return plan
        return None

    @property
    def running_hold(self) -> HoldPlan | None:
        """The hold that runs now."""
        plan = self._running.plan if self._running is not None else None
        return plan if isinstance(plan, HoldPlan) else None

    @property
    def waiting(self) -> bool:
        """A start was ordered and has not come yet."""
        return self._waiting is not None

    def amplitude_ua(self, t_ns: int) -> float:
        """The hold's amplitude at a time not before the last step."""
        return self._move.at(t_ns)

    def phase_rad(self, t_ns: int) -> float:
        """The carrier's phase at `t_ns`; a renewal at the same frequency lets the carrier run on."""
        hold = self.running_hold
        if hold is None:
            return 0.0
        # Whole mHz times ns: the remainder after whole cycles is exact, however long the carrier has run.
        part = (t_ns - self._carrier_from_ns) * hold.f % 10**12
        return (part / 10**12 + hold.ph / 360_000) % 1.0 * 2.0 * math.pi

    def start(self, plan: Plan, onset_ns: int) -> None:
        """Order a start; the caller has made sure that nothing waits and that hold and train never meet."""
        self._waiting = (plan, onset_ns)

    def renew(self, token: int, now_ns: int) -> bool:
        """Begin the lease of the running hold anew; False where it is falling, over, or another's."""
        self.advance(now_ns)
        running = self._running
        if running is None or not isinstance(running.plan, HoldPlan) or running.plan.token != token:
            return False
        if running.falling:
            return False
        running.lease_from_ns = now_ns
        return True

    def keep_lease(self, now_ns: int) -> None:
        """Leases end again; one that ran out meanwhile ends now."""
        self.lease_ends = True
        running = self._running
        if running is None or not isinstance(running.plan, HoldPlan):
            return
        if running.lease_from_ns + running.plan.dur * NS_PER_MS < now_ns:
            self._fall(running, running.plan, now_ns)

    def next_ns(self) -> int | None:
        """When something happens next by itself."""
        due = self._due()
        return due[0] if due is not None else None

    def advance(self, now_ns: int) -> None:
        """Let everything happen that is due by `now_ns`, each at its own time."""
        while (due := self._due()) is not None and due[0] <= now_ns:
            self._happen(*due)

    def stop(self, how: How, now_ns: int) -> None:
        """To zero, by the running hold's own fall or at once; a train and a waiting start end in any case."""
        self.advance(now_ns)
        if self._waiting is not None:
            plan, _ = self._waiting
            self._waiting = None
            self._effects.append(Slice(token=plan.token, from_ns=now_ns, to_ns=now_ns, a=0, n=0, end=True))
        running = self._running
        if running is None:
            return
        if isinstance(running.plan, TrainPlan):
            self._finish(now_ns)
        elif how == "ramp":
            self._fall(running, running.plan, now_ns)
        else:
            self._cut(running, now_ns)

    def _plans(self) -> list[Plan]:
        """What runs, then what waits."""
        plans = [self._running.plan] if self._running is not None else []
        return plans + ([self._waiting[0]] if self._waiting is not None else [])

    def _due(self) -> tuple[int, int] | None:
        """The next happening: its time and its rank."""
        dues: list[tuple[int, int]] = []
        if self._waiting is not None:
            dues.append((self._waiting[1], _ONSET))
        running = self._running
        if running is not None:
            dues.append((running.slice_from_ns + SLICE_NS, _SLICE))
            plan = running.plan
            if running.moving:
                dues.append((self._move.to_ns, _ARRIVE))
            if isinstance(plan, TrainPlan):
                dues.append(_train_due(plan, running))
            elif self.lease_ends and not running.falling:
                dues.append((running.lease_from_ns + plan.dur * NS_PER_MS, _LEASE_END))
        return min(dues, default=None)

    def _happen(self, at_ns: int, rank: int) -> None:
        """One happening, at its own time."""
        if rank == _ONSET:
            self._begin(at_ns)
            return
        running = self._running
        if running is None:
            raise RuntimeError(f"happening {rank} at {at_ns} ns without a running output, expected one")
        plan = running.plan
        if rank == _SLICE:
            self._close_slice(running, at_ns, end=False)
        elif rank == _TRAIN_END:
            self._finish(at_ns)
        elif rank == _ARRIVE:
            running.moving = False
            self._mark(running, at_ns, self._move.to_ua)
            if running.falling:
                self._finish(at_ns)
        elif isinstance(plan, HoldPlan):
            self._fall(running, plan, at_ns)
        else:
            running.pulses_done += 1
            running.slice_n += 1
            running.slice_a = float(plan.p)
            self._effects.append(Pulsed(at_ns=at_ns, token=plan.token, p=plan.p))

    def _begin(self, at_ns: int) -> None:
        """The onset of what waited; a hold takes over from the present amplitude."""
        if self._waiting is None:
            raise RuntimeError(f"onset at {at_ns} ns with nothing waiting, expected a plan")
        plan, _ = self._waiting
        self._waiting = None
        old = self._running
        if old is not None:
            self._close_slice(old, at_ns, end=True)
        present_ua = self._move.at(at_ns)
        running = _Running(plan=plan, onset_ns=at_ns, lease_from_ns=at_ns, slice_from_ns=at_ns)
        self._running = running
        if isinstance(plan, TrainPlan):
            return
        if old is None or not isinstance(old.plan, HoldPlan) or old.plan.f != plan.f:
            self._carrier_from_ns = at_ns
        to_ua = float(plan.a)
        running.moving = to_ua != present_ua
        span_ms = plan.up if to_ua > present_ua else plan.dn
        to_ns = at_ns + span_ms * NS_PER_MS if running.moving else at_ns
        self._move = _Movement(from_ns=at_ns, from_ua=present_ua, to_ns=to_ns, to_ua=to_ua)
        self._mark(running, at_ns, to_ua)

    def _fall(self, running: _Running, plan: HoldPlan, at_ns: int) -> None:
        """Begin the way to zero; a fall under way goes on, for a stop never makes an output last longer."""
        if running.falling:
            return
        present_ua = self._move.at(at_ns)
        if present_ua == 0:
            self._cut(running, at_ns)
            return
        running.falling = running.moving = True
        to_ns = at_ns + plan.dn * NS_PER_MS
        self._move = _Movement(from_ns=at_ns, from_ua=present_ua, to_ns=to_ns, to_ua=0.0)
        self._mark(running, at_ns, 0.0)

    def _cut(self, running: _Running, at_ns: int) -> None:
        """To zero within no time."""
        if self._move.at(at_ns) != 0:
            self._mark(running, at_ns, 0.0)
        self._move = _Movement(from_ns=at_ns, from_ua=0.0, to_ns=at_ns, to_ua=0.0)
        self._mark(running, at_ns, 0.0)
        self._finish(at_ns)

    def _finish(self, at_ns: int) -> None:
        """The output has ended."""
        if self._running is not None:
            self._close_slice(self._running, at_ns, end=True)
        self._running = None

    def _mark(self, running: _Running, at_ns: int, to_ua: float) -> None:
        """Note a breakpoint, and the amplitude in the open slice."""
        a_ua = self._move.at(at_ns)
        running.slice_a = max(running.slice_a, a_ua)
        self._effects.append(Moved(at_ns=at_ns, token=running.plan.token, a_ua=a_ua, to_ua=to_ua))

    def _close_slice(self, running: _Running, at_ns: int, *, end: bool) -> None:
        """Report what went out since the last slice and open the next one."""
        hold = isinstance(running.plan, HoldPlan)
        present_ua = self._move.at(at_ns) if hold else 0.0
        self._effects.append(
            Slice(
                token=running.plan.token,
                from_ns=running.slice_from_ns,
                to_ns=at_ns,
                a=wire_ua(max(running.slice_a, present_ua)),
                n=running.slice_n,
                end=end,
            )
        )
        running.slice_from_ns, running.slice_a, running.slice_n = at_ns, present_ua, 0


def _train_due(plan: TrainPlan, running: _Running) -> tuple[int, int]:
    """The next pulse, counted from the onset so that nothing drifts; after the last one, the end."""
    if running.pulses_done < plan.pulses:
        return running.onset_ns + plan.pulse_ns(running.pulses_done), _PULSE
    # One µs after the last pulse: the slice that ends there holds the pulse.
    return running.onset_ns + plan.pulse_ns(plan.pulses - 1) + NS_PER_US, _TRAIN_END
