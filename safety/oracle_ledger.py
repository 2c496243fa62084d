"""Walks a ledger: each permit judged from the log alone, and each delivery held to its permit (`oracle_account`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from drivers.stimulation import Hold, Train
from safety.entries import Close, Entry, Genesis
from safety.events import ActPresented, Asked, Beat, FireAsked, HostSaid, Joined
from safety.messages import Act, Evidence, Request
from safety.oracle import TRAIN_S_MAX, objections, rises_too_fast
from safety.oracle_account import Account
from safety.oracle_course import MS, Course, S
from safety.oracle_numbers import exact
from safety.oracle_response import Sign
from safety.oracle_tacs import HOLD_MS_MAX
from safety.state import Rules

FUTURE_NS = (
    20 * MS
)  # own choice: no source has a number; one heartbeat, far above what LSL's clocks differ by
ASKED_MAX = 64  # own choice: older requests are never permitted any more
TRAINS_MAX = 3  # own choice: a fire that the device refused is none, and the one before counts


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
            found += [f"entry {line.seq}: {text}" for text in oracle.account.earlier.unsound()]
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
    evidence: Evidence | None = None
    asked: dict[int, Request] = field(default_factory=dict)
    acts_until_ns: int = 0
    armed_until_ns: int = 0
    sign: Sign = field(init=False)
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        self.sign = Sign(limits=self.rules.limits.response)
        self.account = Account(rules=self.rules)

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
            self.account.impedance_kohm = entry.fold.watch.impedance_kohm
            self.evidence = entry.fold.watch.evidence or self.evidence
        now_ns = entry.now.mono_ns
        self.account.wall_offset_ns = entry.now.wall_ns - now_ns
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
                yield from self.account.heard(message)
            case _:
                pass

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
                    self.account.stop(now_ns)
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
        newest = self.account.courses[-1] if permitted and self.account.courses else None
        if prepare is not None and newest is not None:
            newest.prepare = prepare
        for fire in fires:
            if newest is not None and prepare is None and newest.token is None:
                yield from self.account.renew(newest, now_ns)
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
        waiting = next(
            (c for c in self.account.courses if fire is not None and c.request.id == request_id), None
        )
        if fire is None and request_id <= self.last_id:
            yield f"is not newer than {self.last_id}"
        if fire is not None and (waiting is None or waiting.token is None or waiting.fire is not None):
            yield "nothing is prepared for it"
        yield from self._lease(request.train, until_ns - now_ns)
        yield from self.account.one_at_a_time(request, waiting, now_ns)
        if self.sign.forbids_more and self.account.is_more(request.train, onset_at_ns):
            yield f"an increase after {self.sign.against} windows of the wrong sign"
        yield from self._grounds(request.train, request.evidence if fire is None else fire.evidence, now_ns)
        given = self.account.given(request.train, now_ns, onset_at_ns)
        if given is None:
            yield "no device was opened"
        else:
            yield from objections(request.train, given)
        if waiting is None:
            self.last_id = max(self.last_id, request_id)
            self.account.prune()
            waiting = Course(
                request=request, permitted_ns=now_ns, until_ns=until_ns, onset_at_ns=request.onset_at_ns
            )
            self.account.courses.append(waiting)
        waiting.until_ns, waiting.onset_at_ns, waiting.permitted_ns = until_ns, onset_at_ns, now_ns
        if fire is not None or request.onset_at_ns >= 0:
            yield from self.account.interval(waiting, onset_at_ns)
        yield from self.account.earlier.too_soon(onset_at_ns + self.account.wall_offset_ns)
        yield from self.account.over_budget(waiting, now_ns)

    def _fire(self, call: int, now_ns: int) -> Iterator[str]:
        course = next(
            (c for c in reversed(self.account.courses) if c.is_on_its_way() and c.fire is None), None
        )
        if course is None or (course.token is None and course.renews is None):
            yield "fired without a permit"
            return
        course.fire, course.fire_ns = call, now_ns
        if course.target != 0:
            self.sign.fired(course.begins_ns + course.lasts_ns)
        if now_ns > course.until_ns:
            yield f"permit {course.request.id}: fired after its lease had lapsed"
        given = self.account.given(course.request.train, now_ns, course.begins_ns)
        if given is not None:
            yield from (f"fired: {each}" for each in rises_too_fast(course.request.train, given))
        yield from (f"fired: {each}" for each in self.account.pause(course.begins_ns))
        yield from (f"fired: {each}" for each in self.account.run_of(course))
        if not isinstance(course.request.train.waveform, Hold):
            yield from (f"fired: {each}" for each in self.account.interval(course, course.begins_ns))
            self.account.trains = [*self.account.trains[-TRAINS_MAX:], course]

    # What is asked of a permit

    def _lease(self, train: Train, lease_ns: int) -> Iterator[str]:
        longest_ns = HOLD_MS_MAX * MS if isinstance(train.waveform, Hold) else int(TRAIN_S_MAX * S)
        if not 0 < lease_ns <= longest_ns:
            yield f"a lease of {lease_ns} ns, expected up to {longest_ns}"

    def _grounds(self, train: Train, evidence: Evidence, now_ns: int) -> Iterator[str]:
        """Fresh and good evidence, the request's own and the newest, for all that is not a step down."""
        if self.account.is_down(train, now_ns):
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
