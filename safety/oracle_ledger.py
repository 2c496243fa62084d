"""Walks a ledger: each permit judged from the log alone, and each delivery held to its permit.

It knows what the device was told and what it answered, keeps its own account of both, and shares nothing with the
state that the interlock kept. What it cannot see (an onset that was never told, a delivery that was not confirmed)
it takes at its worst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from drivers.capabilities import Capabilities
from drivers.link import CallFailed, Delivered, Fired, FromHost, Opened, Prepared, Status
from drivers.stimulation import Delivery, Hold, Train
from safety.entries import Close, Entry, Genesis
from safety.events import ActPresented, Asked, Beat, FireAsked, HostSaid, Joined
from safety.messages import Act, Evidence, Request
from safety.oracle import SESSION, TRAIN_S_MAX, budget, interval_s, objections, rises_too_fast, spent_by
from safety.oracle_carriers import amplitude_asked, charge_c, same_shape
from safety.oracle_course import CLOCKS_NS, MS, Course, S, union
from safety.oracle_numbers import Circumstances, exact, said
from safety.oracle_response import Sign
from safety.oracle_tacs import HOLD_MS_MAX
from safety.oracle_windows import Earlier, day_at
from safety.state import Rules

FUTURE_NS = (
    20 * MS
)  # own choice: no source has a number; one heartbeat, far above what LSL's clocks differ by
# Own choice, as the interlock's: told amplitudes are floats of a device's own units, and of its own rounding.
LEVEL = 1 + Fraction(1, 10**4)
ASKED_MAX = 64  # own choice: older requests are never permitted any more
TRAINS_MAX = 3  # own choice: a fire that the device refused is none, and the one before counts
OVER_MAX = 8  # own choice: the device tells the end of a train once
# Nothing was put out (drivers.stimulator); any other failure of a fire counts as delivered.
NOT_FIRED = ("late", "refused", "wrong_state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How many permits were judged, and each objection with the sequence of its entry.

    `strays`: the device did what was not permitted, and the interlock was tripped by the end of that entry: it speaks
    against the device, not against a permit. A stray that the interlock let pass is an objection.
    """

    permits: int
    objections: tuple[str, ...]
    strays: tuple[str, ...] = ()


def judge(held: Iterable[Genesis | Entry | Close]) -> Judgement:
    """Judge a whole ledger from its lines, the Genesis first."""
    oracle: Oracle | None = None
    found: list[str] = []
    for line in held:
        if isinstance(line, Genesis):
            oracle = Oracle(rules=line.rules, phase=line.state.phase)
            found += [f"entry {line.seq}: {text}" for text in oracle.earlier.unsound()]
        elif isinstance(line, Entry) and oracle is not None:
            found += [f"entry {line.seq}: {text}" for text in oracle.take(line)]
        elif oracle is None:
            return Judgement(permits=0, objections=("entry 0: no genesis, nothing can be judged",))
    if oracle is None:
        return Judgement(permits=0, objections=tuple(found))
    return Judgement(permits=oracle.permits, objections=tuple(found), strays=tuple(oracle.strays))


def check_ledger(lines: Iterable[Genesis | Entry | Close]) -> tuple[str, ...]:
    """Every objection to a ledger and every stray in it, each naming its entry; empty: nothing is objected to."""
    judgement = judge(lines)
    return judgement.objections + judgement.strays


def _count(text: str) -> int:
    """A whole number as an effect has it; -1, which nothing is called, where there is none."""
    return int(text) if len(text) <= 20 and text.isascii() and text.isdecimal() else -1


@dataclass(slots=True, kw_only=True)
class Oracle:
    """The story so far. `take` an entry, and hear what speaks against it."""

    rules: Rules
    permits: int = 0
    strays: list[str] = field(default_factory=list)
    last_id: int = 0
    phase: str = "SAFE"
    stream_uid: str | None = None
    capabilities: Capabilities | None = None
    impedance_kohm: float | None = None
    evidence: Evidence | None = None
    asked: dict[int, Request] = field(default_factory=dict)
    courses: list[Course] = field(default_factory=list)
    hold: Course | None = None
    trains: list[Course] = field(default_factory=list)
    acts_until_ns: int = 0
    armed_until_ns: int = 0
    on_ns: int = 0
    ma_ns: Fraction = Fraction(0)
    pulses: int = 0
    more: dict[str, Fraction] = field(default_factory=dict)
    sign: Sign = field(init=False)
    earlier: Earlier = field(init=False)
    wall_offset_ns: int = 0

    def __post_init__(self) -> None:
        self.sign = Sign(limits=self.rules.limits.response)
        self.earlier = Earlier(limits=self.rules.limits, history=self.rules.history)

    def take(self, entry: Entry) -> Iterator[str]:
        """One entry: what it says first, then what was done about it."""
        if entry.before != self.phase:
            yield f"begins in {entry.before}, the entry before ended in {self.phase}"
        if (entry.after == "ARMED" and entry.before not in ("READY", "ARMED")) or (
            entry.before == "TRIPPED" and entry.after not in ("TRIPPED", "SAFE")
        ):
            yield f"went from {entry.before} to {entry.after}"
        if entry.after == "ARMED" and entry.before != "ARMED":
            self.armed_until_ns, self.acts_until_ns = self.acts_until_ns, 0
        self.phase = entry.after
        if entry.fold is not None:
            self.impedance_kohm = entry.fold.watch.impedance_kohm
            self.evidence = entry.fold.watch.evidence or self.evidence
        now_ns = entry.now.mono_ns
        self.wall_offset_ns = entry.now.wall_ns - now_ns
        told = self._learn(entry, now_ns)
        if entry.after == "TRIPPED":
            self.strays += [f"entry {entry.seq}: {text}" for text in told]
        else:
            yield from told
        yield from self._done(entry, now_ns)

    # What an entry says

    def _learn(self, entry: Entry, now_ns: int) -> Iterator[str]:
        match entry.event:
            case ActPresented(act=Act(act="arm", expires_wall_ns=until_ns)):
                self.acts_until_ns = max(self.acts_until_ns, until_ns)
            case Joined(hello=hello):
                self.stream_uid = self.stream_uid or hello.stream_uid
            case Beat(heartbeat=heartbeat):
                self.evidence = heartbeat.evidence
            case Asked(request=request):
                if entry.before == "ARMED":
                    self.sign.asked(request.response, now_ns)
                    if self.sign.ends_it and entry.after == "ARMED":
                        yield f"{self.sign.against} windows of the wrong sign, and it goes on"
                self.asked.setdefault(request.id, request)
                while len(self.asked) > ASKED_MAX:
                    del self.asked[next(iter(self.asked))]
            case HostSaid(message=message):
                yield from self._heard(message)
            case _:
                pass

    def _heard(self, message: FromHost) -> Iterator[str]:
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
        given = self._given(course.request.train, course.permitted_ns, course.permitted_ns)
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
            spent = spent_by(course.request.train, told.end_ns - told.start_ns, self.rules.limits)
            for name, more in spent.items():
                self.more[name] = self.more.get(name, Fraction(0)) + more
        yield from (f"delivered: {each}" for each in self._over_budget(None, 0))

    def _over_ns(self, course: Course) -> int:
        """When it must be over: a fired renewal may have been taken, and what nobody answered may have begun that late."""
        late_ns = self.rules.limits.watch.host_ms * MS
        taken = (c for c in self.courses if c.renews is course and c.fire is not None and not c.failed)
        return max(c.over_ns + (late_ns if c.onset_ns is None else 0) for c in (course, *taken))

    def _prune(self) -> None:
        """A prepared train that was not fired gives way to the next; what is over is kept a while for late words."""
        self.courses = [c for c in self.courses if c.fire is not None and not c.failed]
        over = [c for c in self.courses if c.ended_ns is not None]
        for course in over[:-OVER_MAX]:
            self.courses.remove(course)

    # What was done

    def _done(self, entry: Entry, now_ns: int) -> Iterator[str]:
        prepare = None
        fires: list[int] = []
        permitted: list[tuple[int, int]] = []
        for effect in entry.effects:
            match effect.split():
                case ["device", "Prepare", call]:
                    prepare = _count(call)
                case ["device", "Fire", call]:
                    fires.append(_count(call))
                case ["device", "StopDevice", _]:
                    self.hold = None
                    for course in self.courses:
                        course.stop_ns = course.stop_ns or now_ns
                case ["permit", id_, "until", until] if _count(id_) >= 0 <= _count(until):
                    permitted.append((_count(id_), _count(until)))
                case ["permit", *_]:
                    self.permits += 1
                    yield f"unreadable permit {effect[:80]!r}"
                case _:
                    pass
        if len(permitted) > 1:
            yield "more than one permit"
        if prepare is not None and not permitted:
            yield "prepared without a permit"
        for request_id, until_ns in permitted:
            self.permits += 1
            yield from (f"permit {request_id}: {text}" for text in self._permit(entry, request_id, until_ns))
        if prepare is not None and permitted and self.courses:
            self.courses[-1].prepare = prepare
        for fire in fires:
            if permitted and prepare is None and self.courses and self.courses[-1].token is None:
                yield from self._renewal(self.courses[-1], now_ns)
            yield from self._fire(fire, now_ns)

    def _permit(self, entry: Entry, request_id: int, until_ns: int) -> Iterator[str]:
        now_ns = entry.now.mono_ns
        if entry.before != "ARMED" or entry.after != "ARMED":
            yield f"given in {entry.before}, {entry.after}"
        if entry.now.wall_ns > self.armed_until_ns:
            yield "nobody's arming holds any more"
        fire = entry.event.request if isinstance(entry.event, FireAsked) else None
        request = self.asked.get(request_id)
        if request is None or (fire is not None and fire.id != request_id):
            yield "nobody asked for it"
            return
        onset_at_ns = max(now_ns, request.onset_at_ns if fire is None else fire.onset_at_ns)
        waiting = next((c for c in self.courses if fire is not None and c.request.id == request_id), None)
        if fire is None and request_id <= self.last_id:
            yield f"is not newer than {self.last_id}"
        if fire is not None and (waiting is None or waiting.token is None or waiting.fire is not None):
            yield "nothing is prepared for it"
        yield from self._lease(request.train, until_ns - now_ns)
        yield from self._one_at_a_time(request, waiting, now_ns)
        if self.sign.forbids_more and self._is_more(request.train, onset_at_ns):
            yield f"an increase after {self.sign.against} windows of the wrong sign"
        yield from self._grounds(request.train, request.evidence if fire is None else fire.evidence, now_ns)
        given = self._given(request.train, now_ns, onset_at_ns)
        if given is None:
            yield "no device was opened"
        else:
            yield from objections(request.train, given)
        if waiting is None:
            self.last_id = max(self.last_id, request_id)
            self._prune()
            waiting = Course(
                request=request, permitted_ns=now_ns, until_ns=until_ns, onset_at_ns=request.onset_at_ns
            )
            self.courses.append(waiting)
        waiting.until_ns, waiting.onset_at_ns, waiting.permitted_ns = until_ns, onset_at_ns, now_ns
        if fire is not None or request.onset_at_ns >= 0:
            yield from self._interval(request.train, onset_at_ns)
        yield from self.earlier.too_soon(onset_at_ns + self.wall_offset_ns)
        yield from self._over_budget(waiting, now_ns)

    def _renewal(self, course: Course, now_ns: int) -> Iterator[str]:
        """A permit that is fired without being prepared: the very hold that runs, within its lease, goes on."""
        hold = self.hold
        if hold is None or hold.ended_ns is not None or now_ns > hold.begins_ns + hold.lasts_ns:
            yield f"permit {course.request.id}: renewed where no hold runs"
        elif hold.request.train != course.request.train:
            yield f"permit {course.request.id}: renewed another train than it asked for"
        else:
            course.renews = hold

    def _fire(self, call: int, now_ns: int) -> Iterator[str]:
        course = next((c for c in reversed(self.courses) if c.is_on_its_way() and c.fire is None), None)
        if course is None or (course.token is None and course.renews is None):
            yield "fired without a permit"
            return
        course.fire, course.fire_ns = call, now_ns
        if course.target != 0:
            self.sign.fired(course.begins_ns + course.lasts_ns)
        if now_ns > course.until_ns:
            yield f"permit {course.request.id}: fired after its lease had lapsed"
        given = self._given(course.request.train, now_ns, course.begins_ns)
        if given is not None:
            yield from (f"fired: {each}" for each in rises_too_fast(course.request.train, given))
        yield from (f"fired: {each}" for each in self._pause(course.begins_ns))
        if not isinstance(course.request.train.waveform, Hold):
            yield from (f"fired: {each}" for each in self._interval(course.request.train, course.begins_ns))
            self.trains = [*self.trains[-TRAINS_MAX:], course]

    # What is asked of a permit

    def _given(self, train: Train, now_ns: int, onset_ns: int) -> Circumstances | None:
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

    def _lease(self, train: Train, lease_ns: int) -> Iterator[str]:
        longest_ns = HOLD_MS_MAX * MS if isinstance(train.waveform, Hold) else int(TRAIN_S_MAX * S)
        if not 0 < lease_ns <= longest_ns:
            yield f"a lease of {lease_ns} ns, expected up to {longest_ns}"

    def _one_at_a_time(self, request: Request, waiting: Course | None, now_ns: int) -> Iterator[str]:
        for course in self.courses:
            if course is waiting:
                continue
            if not course.is_out() or now_ns > course.over_ns + CLOCKS_NS:
                continue
            if course.onset_ns is None:
                if self._is_down(request.train, now_ns):
                    continue  # it comes after the answer, and asks for no more than either
                yield f"the fire of {course.request.id} is not answered yet"
            elif not (
                isinstance(course.request.train.waveform, Hold) and isinstance(request.train.waveform, Hold)
            ):
                yield f"{course.request.id} still runs"
            elif course.jumps_to(request.train, now_ns):
                yield f"other outputs or pulses than {course.request.id} has, which still puts something out"

    def _grounds(self, train: Train, evidence: Evidence, now_ns: int) -> Iterator[str]:
        """Fresh and good evidence, the request's own and the newest, for all that is not a step down."""
        if self._is_down(train, now_ns):
            return
        watch = self.rules.limits.watch
        heard = self.evidence
        newest = heard if heard is not None and heard.newest_ns > evidence.newest_ns else evidence
        for what, each in (("evidence", evidence), ("newest evidence", newest)):
            if what == "newest evidence" and newest is evidence:
                continue
            if each.stream_uid != self.stream_uid:
                yield f"{what}: of another stream"
            age_ns = now_ns - each.newest_ns
            if not 0 <= each.uncertainty_ns <= watch.data_age_ms * MS:
                yield f"{what}: its time is known to {each.uncertainty_ns} ns"
            if age_ns < -FUTURE_NS:
                yield f"{what}: {-age_ns} ns in the future"
            if age_ns > watch.data_age_ms * MS:
                yield f"{what}: {age_ns} ns old"
            clean, least = exact(each.clean_fraction), exact(watch.clean_fraction_min)
            if clean is None or least is None or not least <= clean <= 1:
                yield f"{what}: {each.clean_fraction!r} of the channels clean"

    def _is_down(self, train: Train, now_ns: int) -> bool:
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

    def _is_more(self, train: Train, onset_ns: int) -> bool:
        """Whether it asks for more than is on its way already; the same again is not more."""
        wave, hold = train.waveform, self.hold
        if not isinstance(wave, Hold):
            return True
        target = amplitude_asked(wave)
        runs = hold is not None and hold.ended_ns is None and onset_ns <= hold.begins_ns + hold.lasts_ns
        before = hold.target if hold is not None and runs else Fraction(0)
        return target is None or target > before

    def _interval(self, train: Train, onset_ns: int) -> Iterator[str]:
        before = next((course for course in reversed(self.trains) if not course.failed), None)
        if before is None or isinstance(train.waveform, Hold):
            return
        least = interval_s(before.request.train, train, self.rules.limits)
        ended_ns = before.zero_ns if before.ended_ns is None else before.ended_ns
        if least is None or onset_ns - ended_ns < least * S:
            yield f"{said(Fraction(onset_ns - ended_ns, S))} s after the end of the last train"

    def _pause(self, onset_ns: int) -> Iterator[str]:
        """After a hold that nobody renewed, off for a while."""
        hold = self.hold
        if hold is None or hold.target == 0:
            return
        over_ns = hold.begins_ns + hold.lasts_ns if hold.ended_ns is None else hold.ended_ns
        off_ns = self.rules.limits.watch.off_min_ms * MS
        if over_ns < onset_ns < over_ns + off_ns:
            yield f"{said(Fraction(onset_ns - over_ns, S))} s after a hold had lapsed"

    def _over_budget(self, asked: Course | None, now_ns: int) -> Iterator[str]:
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
        for name in SESSION[limits.modality]:
            spent = used.get(name, Fraction(0))
            if spent > budget(name, limits):
                yield f"{name}: {said(spent)} of {said(budget(name, limits))}"
        if asked is not None:
            yield from self.earlier.over(used, now_ns + self.wall_offset_ns)
