"""What earlier sessions leave to the next: sessions, courses and history, from the records of a store. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from drivers.stimulation import Modality, Value
from safety.chained import BrokenChain, Chain
from safety.dose import MARK_NS
from safety.exposures import NOTHING, greatest, plus
from safety.history import Course, History, Past, Stamp
from safety.limit_values import Limits
from safety.store_records import CourseBegun, Created, DateConfirmed, Record, Reserved, Settled
from safety.windows import DAY_NS, WINDOW_NS, set_since

# Own choice: after the last reservation, the longest that an output rests on it, waits for its onset, and lasts.
LAST_OUT_NS = MARK_NS + 15_000_000_000
# Windows and days in a row look back no further; the last session of a modality stays known. More would make the ledger's
# first line longer than a reader takes: 48 sessions a day are 90 kB.
PAST_NS = 8 * DAY_NS
# Own choice: no source that the limits rest on names a gap between courses. After this one no 7 days hold parts of two.
COURSE_GAP_NS = WINDOW_NS["7d"]


class Void(Value, frozen=True):
    """An act that begins no course, and why: what it would have closed goes on."""

    modality: Modality
    person: str
    wall_ns: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Courses:
    """Every course of a participant, those of one modality in their order, and the acts that began none."""

    held: tuple[Course, ...]
    void: tuple[Void, ...]

    def present(self) -> tuple[Course, ...]:
        """The course of each modality that goes on."""
        return tuple({each.modality: each for each in self.held}.values())


def sessions_of(records: tuple[Record, ...]) -> tuple[Past, ...]:
    """Each session that reserved anything, in the order of their first reservations; raises BrokenChain."""
    return tuple(past for _, past in _placed(records))


def _placed(records: tuple[Record, ...]) -> tuple[tuple[int, Past], ...]:
    """Each session with the line of its first reservation. None goes on over the beginning of a course."""
    found: dict[str, Past] = {}
    firsts: dict[str, int] = {}
    over: set[str] = set()
    for number, record in enumerate(records, start=1):
        if isinstance(record, CourseBegun):
            over |= found.keys()
        if not isinstance(record, Reserved | Settled):
            continue
        before = found.get(record.nonce)
        if record.nonce in over or (before is not None and before.modality != record.modality):
            raise _out_of_place(record, number)
        firsts.setdefault(record.nonce, number)
        if isinstance(record, Reserved):
            found[record.nonce] = _reserved(record, before)
        elif before is None:
            raise _out_of_place(record, number)
        else:
            over.add(record.nonce)
            found[record.nonce] = _settled(record, before)
    return tuple((firsts[nonce], each) for nonce, each in found.items() if each.spent != NOTHING)


def _out_of_place(record: Reserved | Settled, number: int) -> BrokenChain:
    return BrokenChain(f"{type(record).__name__} out of its place on line {number}")


def _settled(record: Settled, before: Past) -> Past:
    """A session as its end leaves it. One whose clock was set back was when its reservations were."""
    spent = plus(record.confirmed, record.outstanding)
    if record.stamp.wall_ns < before.last_wall_ns - LAST_OUT_NS:
        return msgspec.structs.replace(before, spent=spent)
    return Past(
        modality=record.modality,
        first_wall_ns=record.first_wall_ns,
        last_wall_ns=record.last_wall_ns,
        spent=spent,
    )


def _reserved(record: Reserved, before: Past | None) -> Past:
    """A session as its newest reservation leaves it."""
    wall_ns = record.stamp.wall_ns
    return Past(
        modality=record.modality,
        first_wall_ns=wall_ns if before is None else before.first_wall_ns,
        last_wall_ns=wall_ns + LAST_OUT_NS,
        spent=record.total if before is None else greatest(before.spent, record.total),
    )


def courses_of(records: tuple[Record, ...], officers: frozenset[str]) -> Courses:
    """The courses of a whole store; raises BrokenChain. `officers`: the public keys whose acts begin one. What does not
    count closes nothing, so that its sessions go on to be counted."""
    return _courses(records, dict(_placed(records)), officers)


def _courses(records: tuple[Record, ...], sessions: Mapping[int, Past], officers: frozenset[str]) -> Courses:
    courses: dict[Modality, list[Course]] = {}
    last_ns: dict[Modality, int] = {}
    void = []
    for number, record in enumerate(records, start=1):
        past = sessions.get(number)
        if past is not None:
            course = courses.setdefault(past.modality, [_first(records[0], past.modality)])
            course[-1] = _with(course[-1], past)
            last_ns[past.modality] = max(past.last_wall_ns, last_ns.get(past.modality, past.last_wall_ns))
        if not isinstance(record, CourseBegun) or record.act.modality is None:
            continue
        modality = record.act.modality
        why = _against(record, officers, last_ns.get(modality))
        if why is not None:
            void.append(
                Void(modality=modality, person=record.act.person, wall_ns=record.stamp.wall_ns, why=why)
            )
            continue
        course = courses[modality]
        course.append(_next(course[-1], record))
    return Courses(held=tuple(each for course in courses.values() for each in course), void=tuple(void))


def _against(record: CourseBegun, officers: frozenset[str], last_ns: int | None) -> str | None:
    """Why an act begins no course, None where it does."""
    if record.act.public_key not in officers:
        return f"{record.act.person} is no officer of these limits, nor of the trust store"
    if last_ns is None:
        return "no session was before it"
    if record.stamp.wall_ns - last_ns < COURSE_GAP_NS:
        return f"it came {(record.stamp.wall_ns - last_ns) / 1e9:.0f} s after the last output, of {COURSE_GAP_NS / 1e9:g} s"
    return None


def _first(made: Record, modality: Modality) -> Course:
    by = made.act.person if isinstance(made, Created) else ""
    return _course(modality, 1, made.stamp, by)


def _next(before: Course, record: CourseBegun) -> Course:
    return _course(before.modality, before.number + 1, record.stamp, record.act.person)


def _course(modality: Modality, number: int, since: Stamp, by: str) -> Course:
    return Course(
        modality=modality,
        spent=NOTHING,
        n_sessions=0,
        number=number,
        since_wall_ns=since.wall_ns,
        begun_by=by,
    )


def _with(course: Course, past: Past) -> Course:
    return msgspec.structs.replace(
        course, spent=plus(course.spent, past.spent), n_sessions=course.n_sessions + 1
    )


def stranger_of(records: tuple[Record, ...], limits: Limits, makers: frozenset[str]) -> str:
    """Who made the participant, a line, where it was no person of these limits and none of `makers`; else ""."""
    made = records[0]
    if not isinstance(made, Created) or made.act.public_key in makers | {
        each.public_key for each in limits.people
    }:
        return ""
    return (
        f"found participant {limits.participant} made by {ascii(made.act.person)[1:-1][:80]}, key "
        f"{made.act.public_key[:16]}, expected an officer of the trust store or a person of these limits; find out who that "
        "is, then put the key into [people] and have the file signed"
    )


def history_of(
    records: tuple[Record, ...],
    chain: Chain,
    limits: Limits,
    now: Stamp,
    utc_offset_s: int,
    site_head: str,
    officers: frozenset[str] = frozenset(),
) -> History:
    """What a session needs to know of those before it; raises BrokenChain. `officers`: whose acts begin a course."""
    placed = dict(_placed(records))
    sessions = tuple(placed.values())
    newest = {each.modality: each for each in sorted(sessions, key=lambda each: each.last_wall_ns)}
    return History(
        participant=limits.participant,
        past=tuple(
            each
            for each in sessions
            if each.last_wall_ns > now.wall_ns - PAST_NS or each is newest[each.modality]
        ),
        courses=_courses(records, placed, officers).present(),
        last=_last(records, limits),
        latest_wall_ns=max(each.stamp.wall_ns for each in records),
        boot_id=now.boot_id,
        vouched=any(_vouches(record, limits, now) for record in records),
        utc_offset_s=utc_offset_s,
        store_seq=len(records),
        store_head=chain.head,
        site_head=site_head,
    )


def _last(records: tuple[Record, ...], limits: Limits) -> Stamp:
    """The newest stamp that tells the time: each rests on a clock that went on since the one before, or on the word of a
    person whom the limits name. What rests on anybody else's word tells nothing, or it would free budgets."""
    last = records[0].stamp
    for record in records:
        if isinstance(record, DateConfirmed):
            tells = _is_named(record, limits)
        else:
            tells = not set_since(last, record.stamp)
        last = record.stamp if tells else last
    return last


def _vouches(record: Record, limits: Limits, now: Stamp) -> bool:
    """Whether somebody vouched for the date since this machine started: the officer who made the participant then, or a
    person whom the limits name."""
    if not isinstance(record, Created | DateConfirmed) or record.stamp.boot_id != now.boot_id:
        return False
    return isinstance(record, Created) or _is_named(record, limits)


def _is_named(record: Created | DateConfirmed, limits: Limits) -> bool:
    person = limits.person(record.act.person)
    return person is not None and person.public_key == record.act.public_key
