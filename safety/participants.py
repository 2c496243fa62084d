"""A named person's acts upon a participant's store: make it, confirm the date, begin a course; and how a participant
stands."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import clocks
from safety.acts import reason_problem
from safety.admission import Refused
from safety.chained import BrokenChain, Chain
from safety.earlier import COURSE_GAP_NS, Void, courses_of, history_of, stranger_of
from safety.events import Now
from safety.history import Course, History, Stamp
from safety.limit_values import Budget, Limits, Person, Spacing
from safety.officers import officer_keys
from safety.site import SITE_STATE, SiteError, state_directory
from safety.site_list import StoreError
from safety.store import append_act, create, read_store, store_path
from safety.store_records import CourseBegun, Created, DateConfirmed, Record, StoreAct, signed_bytes
from safety.trips import PERMISSIVES
from safety.windows import budgets_in_force, clock_trouble, next_start_wall_ns, room, waits

Kind = Literal["new", "confirm-date", "new-course"]


def judge_act(kind: Kind, limits: Limits, person: Person, reason: str) -> None:
    """What speaks against an act whatever the store holds: asked before anybody types a pass-phrase. Raises Refused."""
    problem = reason_problem(reason)
    if problem:
        raise Refused(problem)
    if kind == "new":
        _officer(limits, person, officer_keys(limits, simulated=limits.device.simulated), "this endpoint")
    elif kind == "new-course":
        _officer(limits, person, officer_keys(limits), "any endpoint")
        if not any(each.scope == "course" for each in budgets_in_force(limits)):
            raise Refused(
                f"participant {limits.participant}: found limits of {limits.modality} without a budget of the course, "
                "expected one; nothing is to be begun anew"
            )


def new_participant(
    directory: Path, limits: Limits, person: Person, key: Ed25519PrivateKey, reason: str
) -> Path:
    """Make the store of the limits' participant: the course begins. An officer's act; raises Refused."""
    judge_act("new", limits, person, reason)
    now = clocks.stamp()
    record = Created(stamp=now, act=_act("new", limits, person, key, reason, now))
    with _refusing():
        create(directory, record, limits.participant)
    return store_path(directory, limits.participant)


def confirm_date(
    directory: Path, limits: Limits, person: Person, key: Ed25519PrivateKey, reason: str
) -> None:
    """A named person vouches for the wall clock of this machine since its start; raises Refused. A clock that is earlier
    than the store's last entry nobody can vouch for."""
    judge_act("confirm-date", limits, person, reason)
    now = clocks.stamp()
    record = DateConfirmed(stamp=now, act=_act("confirm-date", limits, person, key, reason, now))
    with _refusing():
        append_act(directory, record, limits.participant, lambda records, chain: "")


def new_course(directory: Path, limits: Limits, person: Person, key: Ed25519PrivateKey, reason: str) -> int:
    """Close the course of the limits' modality and begin the next, whose number is returned. An officer's act while no
    session runs, with a clock that may be believed, a week after the last output; raises Refused."""
    judge_act("new-course", limits, person, reason)
    officers, number = officer_keys(limits), 0
    now = clocks.stamp()
    record = CourseBegun(stamp=now, act=_act("new-course", limits, person, key, reason, now))

    def against(records: tuple[Record, ...], chain: Chain) -> str:
        nonlocal number
        history = history_of(records, chain, limits, now, clocks.utc_offset_s(), "", officers)
        course = next((each for each in history.courses if each.modality == limits.modality), None)
        number = 1 if course is None else course.number + 1
        return _against(limits, history, now)

    with _refusing():
        append_act(directory, record, limits.participant, against)
    return number


def _against(limits: Limits, history: History, now: Stamp) -> str:
    """What speaks against a new course at an instant, a line; "" where nothing does."""
    about = f"participant {limits.participant}"
    code = clock_trouble(history, Now(mono_ns=now.boot_ns, boot_ns=now.boot_ns, wall_ns=now.wall_ns))
    if code:
        return f"{about}: {code} {'; '.join(PERMISSIVES[code])}"
    course = next((each for each in history.courses if each.modality == limits.modality), None)
    if course is None or course.n_sessions == 0:
        return f"{about}: found a course of {limits.modality} without a session, expected one to close; go on with it"
    last_ns = max(each.last_wall_ns for each in history.past if each.modality == limits.modality)
    if now.wall_ns - last_ns < COURSE_GAP_NS:
        return (
            f"{about}: found the last output of {limits.modality} {(now.wall_ns - last_ns) / 1e9:.0f} s ago, expected "
            f"{COURSE_GAP_NS / 1e9:.0f} s (7 days) before a new course; wait until {_local(last_ns + COURSE_GAP_NS)}"
        )
    return ""


def _officer(limits: Limits, person: Person, keys: frozenset[str], good_for: str) -> None:
    """Raises Refused unless the person is an officer, and theirs is among the keys whose act counts."""
    about = f"participant {limits.participant}"
    if person.role != "officer":
        raise Refused(f"{about}: {person.name} is an {person.role}, expected an officer")
    if person.public_key not in keys:
        raise Refused(
            f"{about}: found a key of {person.name}, expected that of an officer of the limits or of the trust store, good "
            f"for {good_for}; another officer signs"
        )


@contextmanager
def _refusing() -> Iterator[None]:
    """What goes wrong with a store or its disk, as a refusal of one line."""
    try:
        yield
    except (SiteError, BrokenChain) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename}: found {error.strerror}, expected the site's state directory; mend it"
        ) from error


def _act(
    kind: Kind,
    limits: Limits,
    person: Person,
    key: Ed25519PrivateKey,
    reason: str,
    now: Stamp,
) -> StoreAct:
    unsigned = StoreAct(
        act=kind,
        person=person.name,
        public_key=person.public_key,
        participant=limits.participant,
        reason=reason,
        stamp=now,
        signature="",
        modality=limits.modality if kind == "new-course" else None,
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(signed_bytes(unsigned)).hex())


def site_directory() -> Path:
    """Where the stores of this site lie; raises Refused."""
    try:
        return state_directory()
    except SiteError as error:
        raise Refused(str(error)) from error


def kept_by_another(site: Path = SITE_STATE) -> bool:
    """Whether the stores of this site lie with another account, the interlock's own: then this one cannot tell."""
    return not os.environ.get("NOCILOOP_STATE_DIR") and site.is_dir() and not os.access(site, os.W_OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a participant stands against the budgets that outlive a session. `next_wall_ns` is None where no waiting
    makes a session possible; `trouble` is why none may start whatever the budgets, "" where nothing is. `courses` are all
    that there were, of every modality; `void`: acts that began none."""

    participant: str
    since_wall_ns: int
    sessions: int
    store_seq: int
    store_head: str
    courses: tuple[Course, ...]
    void: tuple[Void, ...]
    budgets: tuple[tuple[Budget, float], ...]
    waits: tuple[tuple[Spacing, int], ...]
    now_wall_ns: int
    next_wall_ns: int | None
    trouble: str


def standing(directory: Path, limits: Limits, anchors: tuple[str, ...] = ()) -> Standing:
    """Read the store of the limits' participant and hold it against them; `anchors`: heads of it that were kept elsewhere.
    Raises Refused."""
    stamp, now = clocks.stamp(), clocks.now()
    try:
        officers = officer_keys(limits)
        records, chain = read_store(directory, limits.participant)
        history = history_of(records, chain, limits, stamp, clocks.utc_offset_s(), "", officers)
        courses = courses_of(records, officers)
    except (StoreError, BrokenChain) as error:
        raise Refused(str(error)) from error
    for head in anchors:
        if head not in chain.hashes:
            raise Refused(
                f"{store_path(directory, limits.participant)}: found no line with the head {ascii(head)[1:-1][:80]}, "
                "expected one: an older copy, or another's; bring back the newest"
            )
    stranger = stranger_of(records, limits, officer_keys(limits, simulated=limits.device.simulated))
    code = clock_trouble(history, now)
    return Standing(
        participant=limits.participant,
        since_wall_ns=records[0].stamp.wall_ns,
        sessions=sum(each.n_sessions for each in history.courses if each.modality == limits.modality),
        store_seq=history.store_seq,
        store_head=history.store_head,
        courses=courses.held,
        void=courses.void,
        budgets=room(limits, history, now),
        waits=waits(limits, history, now.wall_ns),
        now_wall_ns=now.wall_ns,
        next_wall_ns=next_start_wall_ns(limits, history, now),
        trouble=stranger or (f"{code} {'; '.join(PERMISSIVES[code])}" if code else ""),
    )


def said_of(found: Standing, limits: Limits) -> tuple[str, ...]:
    """A standing in words: each budget with what is used and left, and when the next session may begin."""
    since = _local(found.since_wall_ns)
    lines = [f"participant {found.participant}, since {since}: {limits.modality}, {found.sessions} sessions"]
    lines.append(f"  store: line {found.store_seq}, head {found.store_head}")
    lines += (_said_of_course(each, found.courses) for each in found.courses)
    lines += (
        f"  an act of {each.person} on {_local(each.wall_ns)} began no course of {each.modality}: {each.why}"
        for each in found.void
    )
    lines += (
        f"  {budget.scope:<9}{budget.name:<11}{used:>10.6g} of {budget.high:<10.6g}{budget.unit:<9} "
        f"{max(0.0, budget.high - used):.6g} left"
        for budget, used in found.budgets
    )
    lines += (
        f"  {spacing.name:<9} {left_ns / 1e9:.0f} s are left of {spacing.low:g} s"
        for spacing, left_ns in found.waits
    )
    if found.next_wall_ns is None:
        lines.append("  the next session: never, by these limits")
    elif found.next_wall_ns > found.now_wall_ns:
        lines.append(f"  the next session may begin on {_local(found.next_wall_ns)}")
    else:
        lines.append("  the next session may begin now")
    return tuple(lines)


def _said_of_course(course: Course, courses: tuple[Course, ...]) -> str:
    """A course in words: from when until when, who began it, and what was spent in it."""
    number = course.number + 1
    after = next((c for c in courses if c.modality == course.modality and c.number == number), None)
    until = "" if after is None else f" until {_local(after.since_wall_ns)}"
    spent = msgspec.structs.asdict(course.spent)
    told = "".join(f", {name} {value:.6g}" for name, value in spent.items() if value)
    return (
        f"  course {course.number} of {course.modality}, since {_local(course.since_wall_ns)}{until}, begun by "
        f"{course.begun_by}: {course.n_sessions} sessions{told}"
    )


def _local(wall_ns: int) -> str:
    """A wall time as people here read it, rounded up to the second."""
    seconds = -(-wall_ns // 1_000_000_000)
    try:
        return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "a date that no calendar has"
