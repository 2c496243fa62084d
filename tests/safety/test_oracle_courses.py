"""The oracle and a participant's courses: it agrees with every history, and objects to courses that cannot be."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.chained import read_chain
from safety.earlier import COURSE_GAP_NS, history_of
from safety.events import Now
from safety.exposures import NOTHING
from safety.history import History, Stamp
from safety.oracle_windows import Earlier
from safety.store_records import CourseBegun, Created, Record
from safety.windows import DAY_NS, Session, exceeded
from tests.safety.stores import LIMITS, START, S, after, forged, reserved, settled, spent

WEEK_S = 7 * 86_400
OFFICERS = frozenset(each.public_key for each in LIMITS.people if each.role == "officer")
MADE = Created(stamp=START, act=forged(START, modality=None, act="new"))


def told(records: list[Record], now: Stamp) -> History:
    return history_of(tuple(records), read_chain(b""), LIMITS, now, 0, "", OFFICERS)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["session", "crash", "course", "stranger's course"]),
        st.sampled_from([0, 1, 3 * DAY_NS, COURSE_GAP_NS - 1, COURSE_GAP_NS, COURSE_GAP_NS + 60 * S]),
        st.sampled_from([0.1, 600.0, 40_000.0]),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=120, deadline=None)
def test_the_oracle_agrees_with_every_history(steps: list[tuple[str, int, float]]):
    """Whatever was written, in whatever order: the courses fit their sessions, no two courses share a week, and both hands
    refuse the same budgets of the course."""
    records: list[Record] = [MADE]
    wall_ns = START.wall_ns + 3600 * S
    for n, (kind, wait_ns, on_time_s) in enumerate(steps):
        wall_ns += wait_ns
        now = Stamp(boot_id="a boot", boot_ns=wall_ns, wall_ns=wall_ns)
        if kind in ("session", "crash"):
            records.append(reserved(now, on_time_s, f"s-{n}"))
        if kind == "session":
            wall_ns += 20 * S
            records.append(settled(after(now, 20), on_time_s, session_id=f"s-{n}"))
        if "course" in kind:
            act = forged(now)
            if "stranger" in kind:
                act = msgspec.structs.replace(act, public_key="a" * 64)
            records.append(CourseBegun(stamp=now, act=act))
    now = Stamp(boot_id="a boot", boot_ns=wall_ns, wall_ns=wall_ns)
    found = told(records, now)
    earlier = Earlier(limits=LIMITS, history=found)
    assert list(earlier.unsound()) == []
    asked = Session(pulse=NOTHING, train=NOTHING, all=spent(0.1))
    first = exceeded(LIMITS, found, asked, Now(mono_ns=0, boot_ns=0, wall_ns=wall_ns))
    second = [text for text in earlier.over({"on_time_s": Fraction("0.1")}, wall_ns) if " in course" in text]
    assert len([each for each in first if each.budget.scope == "course"]) == len(second)


@pytest.mark.parametrize(
    ("bent", "expected"),
    [
        ({"n_sessions": 0}, "course 2 of tacs: 0 sessions, at least 1 were seen"),
        (
            {"spent": spent(29.9)},
            "course 2 of tacs: on_time_s is less than that of its sessions, or no number",
        ),
        (
            {"spent": spent(float("nan"))},
            "course 2 of tacs: on_time_s is less than that of its sessions, or no number",
        ),
        (
            {"since_wall_ns": START.wall_ns + WEEK_S * S - 2 * S},
            "course 2 of tacs: begun 604799 s after an output before it",
        ),
        ({"number": 0}, "course 0 of tacs: expected 1 or more"),
        ({"modality": "tdcs"}, "sessions of tacs in no course"),
    ],
)
def test_the_oracle_objects_to_courses_that_cannot_be(bent: dict[str, object], expected: str):
    begun, later = after(START, WEEK_S), after(START, WEEK_S + 20)
    one = (reserved(START, 600.0), settled(START, 600.0))
    two = (reserved(later, 30.0, "s-2"), settled(later, 30.0, session_id="s-2"))
    held = told([MADE, *one, CourseBegun(stamp=begun, act=forged(begun)), *two], after(later, 1))
    assert len(held.past) == 2 and list(Earlier(limits=LIMITS, history=held).unsound()) == []
    courses = tuple(msgspec.structs.replace(each, **bent) for each in held.courses)
    wrong = msgspec.structs.replace(held, courses=courses)
    assert expected in list(Earlier(limits=LIMITS, history=wrong).unsound())
