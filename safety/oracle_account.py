"""The oracle's own account of a device: what it was told, what it answered, and what came out.

It shares nothing with the state that the interlock kept. What it cannot see (an onset that was never told, a delivery that
was not confirmed) it takes at its worst.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from drivers.capabilities import Capabilities
from drivers.link import CallFailed, Delivered, Fired, FromHost, Opened, Prepared, Status
from drivers.stimulation import Delivery, Hold, Train
from safety.messages import Request
from safety.oracle import SESSION, budget, objections, spent_by
from safety.oracle_carriers import amplitude_asked, charge_c, same_shape
from safety.oracle_course import CLOCKS_NS, MS, Course, S, union
from safety.oracle_numbers import Circumstances, exact, said
from safety.oracle_runs import Runs
from safety.oracle_segments import of_one_train, too_soon
from safety.oracle_windows import Earlier, day_at
from safety.state import Rules

# Own choice, as the interlock's: told amplitudes are floats of a device's own units, and of its own rounding.
LEVEL = 1 + Fraction(1, 10**4)
OVER_MAX = 8  # own choice: the device tells the end of a train once
# Nothing was put out (drivers.stimulator); any other failure of a fire counts as delivered.
NOT_FIRED = ("late", "refused", "wrong_state")


@dataclass(slots=True, kw_only=True)
class Account:
    """`courses`: each permitted request on its way, or over not long ago; `hold`, `trains`: those that were fired. `on_ns`,
    `ma_ns`, `pulses` and `more`: what was told to have come out, in time, mA ns, pulses, and other budgets' own units."""

    rules: Rules
    capabilities: Capabilities | None = None
    impedance_kohm: float | None = None
    courses: list[Course] = field(default_factory=list)
    hold: Course | None = None
    trains: list[Course] = field(default_factory=list)
    on_ns: int = 0
    ma_ns: Fraction = Fraction(0)
    pulses: int = 0
    more: dict[str, Fraction] = field(default_factory=dict)
    earlier: Earlier = field(init=False)
    runs: Runs = field(init=False)
    wall_offset_ns: int = 0

    def __post_init__(self) -> None:
        self.earlier = Earlier(limits=self.rules.limits, history=self.rules.history)
        self.runs = Runs(limits=self.rules.limits)

    # What it is told

    def heard(self, message: FromHost) -> Iterator[str]:
        """What the device host said, and what of it was not permitted."""
        match message:
            case Opened(capabilities=capabilities):
                self.capabilities = capabilities
            case Status(status=status):
                self.impedance_kohm = status.impedance_kohm
            case Prepared(call=call, token=token, read_back=read_back):
                course = self._called(call, prepare=True)
                if course is not None:
                    course.token = token
                    if read_back != course.request.train:
                        yield from self._read_back(course, read_back)
            case Fired(call=call, token=token, onset_ns=onset_ns):
                course = self._called(call, prepare=False)
                renewed = None if course is None else course.renews
                if course is None or token != (course.token if renewed is None else renewed.token):
                    yield f"token {token} began, which was not fired"
                elif renewed is None:
                    self._begin(course, onset_ns)
                elif renewed.ended_ns is not None:
                    yield f"token {token} was renewed after its end"
                else:
                    course.go_on(onset_ns)
                    self.hold = course
                    self.runs.begin(course, onset_ns)
            case CallFailed(call=call, code=code):
                for course in self.courses:
                    if call in (course.prepare, course.fire):
                        course.failed = course.fire is None or code in NOT_FIRED
            case Delivered(delivery=delivery):
                yield from self._told(delivery)
            case _:
                pass

    def _read_back(self, course: Course, read_back: Train) -> Iterator[str]:
        """A device that holds something else: it is judged as if it had been asked."""
        given = self.given(course.request.train, course.permitted_ns, course.permitted_ns)
        if given is not None:
            yield from (f"read back: {each}" for each in objections(read_back, given))

    def _called(self, call: int, *, prepare: bool) -> Course | None:
        return next((c for c in self.courses if call == (c.prepare if prepare else c.fire)), None)

    def _begin(self, course: Course, onset_ns: int) -> None:
        before = self.hold
        if before is not None and before is not course:
            course.least = before.level(onset_ns)
            over_ns = before.over_ns if before.ended_ns is None else before.ended_ns
            if onset_ns <= over_ns + CLOCKS_NS:
                course.most = before.ceiling_at(onset_ns - CLOCKS_NS)
        course.onset_ns = onset_ns
        if isinstance(course.request.train.waveform, Hold):
            self.hold = course
            self.runs.begin(course, onset_ns)

    def _told(self, delivery: Delivery) -> Iterator[str]:
        course = next((c for c in reversed(self.courses) if c.token == delivery.token), None)
        amplitude = exact(delivery.amplitude)
        if course is None or course.fire is None:
            yield f"delivered {delivery.amplitude!r} by token {delivery.token}, which was not permitted"
            return
        if amplitude is None or amplitude < 0 or delivery.n_pulses < 0:
            yield f"delivered {delivery.amplitude!r} and {delivery.n_pulses} pulses: no usable numbers"
            return
        if delivery.end_ns < delivery.start_ns or delivery.start_ns < course.permitted_ns - CLOCKS_NS:
            yield f"delivered from {delivery.start_ns} to {delivery.end_ns}, permitted at {course.permitted_ns}"
        if amplitude > course.ceiling_at(delivery.start_ns - CLOCKS_NS) * LEVEL:
            yield f"delivered {delivery.amplitude!r}, permitted were {said(course.target)}"
        told = course.tell(delivery)
        wave = course.request.train.waveform
        over_ns = self._over_ns(course)
        if amplitude > 0 and delivery.end_ns > over_ns + CLOCKS_NS:
            yield f"delivered until {delivery.end_ns}, permitted was until {over_ns}"
        if not isinstance(wave, Hold):
            if course.pulses > course.pulses_asked:
                yield f"delivered {course.pulses} pulses, permitted were {course.pulses_asked}"
            self.pulses += delivery.n_pulses
            if delivery.ended and not delivery.confirmed:
                self.pulses += course.remaining()[0]
        elif delivery.n_pulses:
            yield f"delivered {delivery.n_pulses} pulses of a hold"
        if told.ma > 0 or not isinstance(wave, Hold):
            self.on_ns += told.end_ns - told.start_ns
            self.ma_ns += told.ma * (told.end_ns - told.start_ns)
            self.runs.tell(course, told.ma * (told.end_ns - told.start_ns))
            spent = spent_by(course.request.train, told.end_ns - told.start_ns, self.rules.limits)
            for name, more in spent.items():
                self.more[name] = self.more.get(name, Fraction(0)) + more
        yield from (f"delivered: {each}" for each in self.over_budget(None, 0))

    def _over_ns(self, course: Course) -> int:
        """When it must be over: a fired renewal may have been taken, and what nobody answered may have begun that late."""
        late_ns = self.rules.limits.watch.host_ms * MS
        taken = (c for c in self.courses if c.renews is course and c.fire is not None and not c.failed)
        return max(c.over_ns + (late_ns if c.onset_ns is None else 0) for c in (course, *taken))

    def prune(self) -> None:
        """A prepared train that was not fired gives way to the next; what is over is kept a while for late words."""
        self.courses = [c for c in self.courses if c.fire is not None and not c.failed]
        over = [c for c in self.courses if c.ended_ns is not None]
        for course in over[:-OVER_MAX]:
            self.courses.remove(course)

    def stop(self, now_ns: int) -> None:
        """The device was told to go to zero."""
        self.hold = None
        for course in self.courses:
            course.stop_ns = course.stop_ns or now_ns

    def renew(self, course: Course, now_ns: int) -> Iterator[str]:
        """A permit that is fired without being prepared: the very hold that runs, within its lease, goes on."""
        hold = self.hold
        if hold is None or hold.ended_ns is not None or now_ns > hold.begins_ns + hold.lasts_ns:
            yield f"permit {course.request.id}: renewed where no hold runs"
        elif hold.request.train != course.request.train:
            yield f"permit {course.request.id}: renewed another train than it asked for"
        else:
            course.renews = hold

    # What is asked of it

    def given(self, train: Train, now_ns: int, onset_ns: int) -> Circumstances | None:
        """What a train is judged in; None where no device was opened."""
        if self.capabilities is None:
            return None
        return Circumstances(
            limits=self.rules.limits,
            capabilities=self.capabilities,
            today=max(self.rules.today, day_at(self.rules.history, now_ns + self.wall_offset_ns)),
            simulated=self.rules.simulated,
            impedance_kohm=self.impedance_kohm,
            least_ma_pp=min(self.least(now_ns), self.least(onset_ns)),
            signed=self.rules.signed is not None and not self.rules.signed.simulated_only,
        )

    def least(self, at_ns: int) -> Fraction:
        """The least that can come out at an instant."""
        level = Fraction(0) if self.hold is None else self.hold.level(at_ns)
        coming = [c.target for c in self.courses if c.is_out() and c.onset_ns is None]
        return min([level, *coming])

    def one_at_a_time(self, request: Request, waiting: Course | None, now_ns: int) -> Iterator[str]:
        """What of earlier requests is in the way of this one; `waiting`: its own course, where it was permitted before."""
        for course in self.courses:
            if course is waiting:
                continue
            if not course.is_out() or now_ns > course.over_ns + CLOCKS_NS:
                continue
            if course.onset_ns is None:
                if self.is_down(request.train, now_ns):
                    continue  # it comes after the answer, and asks for no more than either
                yield f"the fire of {course.request.id} is not answered yet"
            elif not (
                isinstance(course.request.train.waveform, Hold) and isinstance(request.train.waveform, Hold)
            ):
                yield f"{course.request.id} still runs"
            elif course.jumps_to(request.train, now_ns):
                yield f"other outputs or pulses than {course.request.id} has, which still puts something out"

    def is_down(self, train: Train, now_ns: int) -> bool:
        """Whether it asks for no more than comes out already, and changes nothing else."""
        hold = self.hold
        if hold is None or hold.ended_ns is not None:
            return False
        wave, runs = train.waveform, hold.request.train.waveform
        if not isinstance(wave, Hold) or not isinstance(runs, Hold):
            return False
        target = amplitude_asked(wave)
        return (
            target is not None
            and target <= self.least(now_ns)
            and train.outputs == hold.request.train.outputs
            and same_shape(wave, runs)
            and now_ns <= hold.begins_ns + hold.lasts_ns
        )

    def is_more(self, train: Train, onset_ns: int) -> bool:
        """Whether it asks for more than is on its way already; the same again is not more."""
        wave, hold = train.waveform, self.hold
        if not isinstance(wave, Hold):
            return True
        target = amplitude_asked(wave)
        runs = hold is not None and hold.ended_ns is None and onset_ns <= hold.begins_ns + hold.lasts_ns
        before = hold.target if hold is not None and runs else Fraction(0)
        return target is None or target > before

    def interval(self, asked: Course, onset_ns: int) -> Iterator[str]:
        """The pause between two pulse trains, from the actual end of the one before; none between two segments of one."""
        before = next((course for course in reversed(self.trains) if not course.failed), None)
        if before is not None and not isinstance(asked.request.train.waveform, Hold):
            yield from too_soon(before, asked, onset_ns, self.rules.limits)

    def pause(self, onset_ns: int) -> Iterator[str]:
        """After a hold that nobody renewed, off for a while."""
        hold = self.hold
        if hold is None or hold.target == 0:
            return
        over_ns = hold.begins_ns + hold.lasts_ns if hold.ended_ns is None else hold.ended_ns
        off_ns = self.rules.limits.watch.off_min_ms * MS
        if over_ns < onset_ns < over_ns + off_ns:
            yield f"{said(Fraction(onset_ns - over_ns, S))} s after a hold had lapsed"

    def run_of(self, fired: Course) -> Iterator[str]:
        """A hold that was fired, with those without a pause before it, against what holds for all of them."""
        yield from self.runs.against(fired, fired.begins_ns)
        yield from self.runs.charged(fired, fired.begins_ns, [each for each in self.courses if each.is_out()])

    def over_budget(self, asked: Course | None, now_ns: int) -> Iterator[str]:
        """Confirmed, and all that may be out there, and what is asked for, against the session's budgets."""
        limits = self.rules.limits
        out = [course for course in self.courses if course.is_out() and course is not asked]
        if asked is not None:
            out.append(asked)
        spans = [each for course in out for each in course.outstanding()] if asked is not None else []
        left = [(course, *course.remaining()) for course in out] if asked is not None else []
        on_ns, ma_ns = union(spans)
        used = {
            "on_time_s": Fraction(self.on_ns + on_ns + sum(ns for _, _, ns in left), S),
            "charge_c": charge_c(self.ma_ns + ma_ns),
            "n_pulses": Fraction(self.pulses + sum(n for _, n, _ in left)),
            **self.more,
        }
        for course, _, ns in left:
            for name, spent in spent_by(course.request.train, ns, limits).items():
                used[name] = used.get(name, Fraction(0)) + spent
        added = (row.name for row in limits.budgets if row.scope == "session")
        for name in dict.fromkeys((*SESSION[limits.modality], *added)):
            spent = used.get(name, Fraction(0))
            if spent > budget(name, limits):
                yield f"{name}: {said(spent)} of {said(budget(name, limits))}"
        if asked is not None:
            yield from of_one_train(asked, limits)
            yield from self.earlier.over(used, now_ns + self.wall_offset_ns)
