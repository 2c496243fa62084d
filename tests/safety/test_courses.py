"""A new course of treatment: who may begin it, when, what it leaves as it was, and every way of having one too many."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import clocks, trust
from safety.acts import public_key_hex
from safety.admission import Refused
from safety.chained import BrokenChain, Chain, next_line, read_chain
from safety.earlier import COURSE_GAP_NS, courses_of, history_of, stranger_of
from safety.earlier import _vouches as vouches
from safety.events import Now
from safety.exposures import NOTHING
from safety.history import History, Stamp
from safety.limit_values import Limits, Person
from safety.modalities import Exposure
from safety.officers import officer_keys
from safety.participants import confirm_date, new_course, said_of, standing
from safety.site_list import StoreError, site_list
from safety.store import claim_store, open_store, read_store, store_path
from safety.store_records import (
    CourseBegun,
    Created,
    Record,
    Reserved,
    body_of,
    records_of,
    signed_bytes,
)
from safety.windows import DAY_NS, Session, clock_trouble, exceeded
from tests.safety.stores import (
    LIMITS,
    START,
    S,
    after,
    forged,
    let_go,
    made,
    opened,
    person,
    put,
    reserved,
    settled,
    spent,
)
from tests.safety.world import PEOPLE, STRANGER, rules_of

WEEK_S = 7 * 86_400
OFFICERS = officer_keys(LIMITS)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Stamp]:
    """A clock that is handed in, and no trust store; the list holds the time as it is."""
    held = [START]
    monkeypatch.setattr(clocks, "stamp", lambda: held[0])
    monkeypatch.setattr(clocks, "boot_id", lambda: held[0].boot_id)
    monkeypatch.setattr(
        clocks, "now", lambda: Now(mono_ns=held[0].boot_ns, boot_ns=held[0].boot_ns, wall_ns=held[0].wall_ns)
    )
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))
    return held


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path)


def session(state: Path, clock: list[Stamp], on_time_s: float = 600.0, name: str = "s-1") -> int:
    """A session that ends in order at the time that it is; the wall time of its last output."""
    store, _ = open_store(state, LIMITS, name, clock[0], 0, OFFICERS)
    last = settled(clock[0], on_time_s, session_id=name)
    put(store, reserved(clock[0], on_time_s, name), last)
    store.close("")
    return last.last_wall_ns


def begin(
    state: Path, name: str = "bob", key: Ed25519PrivateKey | None = None, limits: Limits = LIMITS
) -> int:
    return new_course(
        state, limits, person(name), key or PEOPLE[name], "six weeks later, after the assessment"
    )


def refused(state: Path, expected: str, **how: object) -> None:
    """It is refused in a line, and the store is as it was."""
    before = store_path(state, "P001").read_bytes()
    with pytest.raises(Refused, match=expected) as found:
        begin(state, **how)  # type: ignore[arg-type]
    assert "\n" not in str(found.value)
    assert store_path(state, "P001").read_bytes() == before


def history(state: Path, now: Stamp, limits: Limits = LIMITS, officers: frozenset[str] = OFFICERS) -> History:
    records, chain = read_store(state, "P001")
    return history_of(records, chain, limits, now, 0, "", officers)


def a_week_on(state: Path, clock: list[Stamp]) -> None:
    """One session, and the first moment at which a course may begin."""
    last_ns = session(state, clock)
    moved_ns = last_ns + COURSE_GAP_NS - clock[0].wall_ns
    clock[0] = after(clock[0], moved_ns / S)


# What it does


def test_it_closes_a_course_and_begins_the_next(state: Path, clock: list[Stamp]):
    first_ns = clock[0].wall_ns
    a_week_on(state, clock)
    assert begin(state) == 2
    records, chain = read_store(state, "P001")
    record = records[-1]
    assert isinstance(record, CourseBegun) and record.stamp == clock[0]
    assert (record.act.act, record.act.person, record.act.modality) == ("new-course", "bob", "tacs")
    assert (site_list(state)[1][-1].kind, site_list(state)[1][-1].store_head) == ("new-course", chain.head)
    closed, going_on = courses_of(records, OFFICERS).held
    assert (closed.number, closed.n_sessions, closed.spent) == (1, 1, spent(600.0))
    assert (closed.since_wall_ns, closed.begun_by) == (first_ns, "bob")
    assert (going_on.number, going_on.n_sessions, going_on.spent) == (2, 0, NOTHING)
    assert (going_on.since_wall_ns, going_on.begun_by) == (clock[0].wall_ns, "bob")
    assert history(state, clock[0]).courses == (going_on,)
    session(state, clock, 30.0, "s-2")
    (course,) = history(state, clock[0]).courses
    assert (course.number, course.n_sessions, course.spent) == (2, 1, spent(30.0))


def test_the_next_course_is_held_to_the_whole_budget_and_no_more(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    begin(state)
    high = LIMITS.budget("on_time_s", "course")
    now = Now(mono_ns=0, boot_ns=0, wall_ns=clock[0].wall_ns)
    for own, over in ((high, False), (high + 0.001, True)):
        asked = Session(pulse=NOTHING, train=NOTHING, all=spent(own))
        scopes = {each.budget.scope for each in exceeded(LIMITS, history(state, clock[0]), asked, now)}
        assert ("course" in scopes) is over


def test_windows_gaps_and_wash_out_are_as_they_were(state: Path, clock: list[Stamp]):
    """Another modality, an hour ago: all but the courses of the history is the same after the act."""
    a_week_on(state, clock)
    lines, _, _ = claim_store(state, "P001")
    hour = after(clock[0], -3600)
    pulses = Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=1000)
    other = Reserved(stamp=hour, session_id="s", nonce="coil", modality="rtms", total=pulses)
    lines.write([body_of(other)])
    lines.close()
    before = history(state, clock[0])
    assert begin(state) == 2
    now = history(state, clock[0])
    assert now.past == before.past and len(now.past) == 2
    coil = [each for each in before.courses if each.modality == "rtms"]
    assert coil and [each for each in now.courses if each.modality == "rtms"] == coil
    stand = standing(state, LIMITS)
    assert [(each.name, left_ns > 0) for each, left_ns in stand.waits] == [("washout_s", True)]


def test_no_seven_days_hold_parts_of_two_courses(state: Path, clock: list[Stamp]):
    """The gap is the longest window: at the first moment of a new course it is empty, and a nanosecond before it is not."""
    assert COURSE_GAP_NS == 7 * DAY_NS
    last_ns = session(state, clock)
    clock[0] = msgspec.structs.replace(
        clock[0],
        wall_ns=last_ns + COURSE_GAP_NS - 1,
        boot_ns=clock[0].boot_ns + last_ns + COURSE_GAP_NS - 1 - clock[0].wall_ns,
    )
    refused(
        state,
        r"found the last output of tacs 604800 s ago, expected 604800 s \(7 days\) before a new course; wait until 20",
    )
    used = {(budget.scope, budget.name): used for budget, used in standing(state, LIMITS).budgets}
    assert used["7d", "on_time_s"] == 600.0
    clock[0] = msgspec.structs.replace(clock[0], wall_ns=clock[0].wall_ns + 1, boot_ns=clock[0].boot_ns + 1)
    assert begin(state) == 2
    used = {(budget.scope, budget.name): used for budget, used in standing(state, LIMITS).budgets}
    assert used["7d", "on_time_s"] == 0.0 == used["course", "on_time_s"]


# Who may not, and when not


def test_only_an_officer_begins_one(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    refused(state, "ann is an operator, expected an officer", name="ann")


def test_a_key_for_simulated_endpoints_begins_none(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    officer = Person(name="eve", role="officer", public_key=public_key_hex(STRANGER), salt="1" * 32)
    for simulated_only in (True, False):
        if simulated_only is False:
            (Path(trust.store().path) / "eve.pub").unlink()
        trust.add(
            trust.store(),
            trust.TrustedKey(
                name="eve", public_key=officer.public_key, salt=officer.salt, simulated_only=simulated_only
            ),
        )
        if simulated_only:
            with pytest.raises(
                Refused, match=r"a key of eve, expected that of an officer .*, good for any endpoint"
            ):
                new_course(state, LIMITS, officer, STRANGER, "r")
            assert len(read_store(state, "P001")[0]) == 3
    assert new_course(state, LIMITS, officer, STRANGER, "r") == 2
    assert history(state, clock[0], officers=officer_keys(LIMITS)).courses[0].number == 2
    assert history(state, clock[0]).courses[0].number == 1  # who does not trust eve goes on in the first
    (trust.store().path / "eve.pub").write_text("?")
    assert officer_keys(LIMITS) == OFFICERS  # a store that is spoiled trusts nobody


def test_a_stranger_s_signature_is_no_store(state: Path, clock: list[Stamp]):
    """A key that is not the person's: nothing that is read again would hold, so it is written by no verb (`unlock`)."""
    a_week_on(state, clock)
    act = forged(clock[0], signed_by=STRANGER)
    with pytest.raises(BrokenChain, match="line 4 that bob did not sign for P001"):
        records_of(with_line(state, CourseBegun(stamp=clock[0], act=act)), "P001")


def test_twice_is_refused_and_so_is_one_before_any_session(state: Path, clock: list[Stamp]):
    refused(state, "found a course of tacs without a session, expected one to close; go on with it")
    a_week_on(state, clock)
    assert begin(state) == 2
    refused(state, "found a course of tacs without a session")
    session(state, clock, name="s-2")
    refused(state, r"found the last output of tacs 1 s ago, expected 604800 s \(7 days\)")


def test_a_session_that_runs_keeps_it_out(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    store, _ = open_store(state, LIMITS, "s-2", clock[0], 0, OFFICERS)
    refused(state, "participant P001 has a session already; end it, or wait for its end")
    let_go(store)
    assert begin(state) == 2


def test_a_modality_without_a_budget_of_the_course_has_none(state: Path):
    refused(
        state,
        "found limits of tens without a budget of the course, expected one; nothing is to be begun anew",
        limits=rules_of("tens").limits,
    )


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 301, "y" * 70_000, "\udcff", "\x1b[2J"])
def test_a_reason_is_a_line_that_can_be_printed(state: Path, clock: list[Stamp], reason: str):
    """A reason of 70,000 characters would make a line of the store that no reader takes."""
    a_week_on(state, clock)
    for act in (new_course, confirm_date):
        with pytest.raises(Refused, match=r"--reason: found \d+ characters .* expected 1 to 300"):
            act(state, LIMITS, person("bob"), PEOPLE["bob"], reason)
    assert len(read_store(state, "P001")[0]) == 3
    assert new_course(state, LIMITS, person("bob"), PEOPLE["bob"], "z" * 300) == 2


# Clocks


def test_no_wrong_clock_begins_a_course(state: Path, clock: list[Stamp]):
    last_ns = session(state, clock)
    true = clock[0]
    later_ns = last_ns + COURSE_GAP_NS - true.wall_ns
    clock[0] = msgspec.structs.replace(true, wall_ns=true.wall_ns - 1)
    refused(state, "found a wall clock before the last record, expected one after it; set the clock first")
    clock[0] = msgspec.structs.replace(true, wall_ns=true.wall_ns + later_ns)  # set forward by a week
    refused(state, "participant P001: ILK-412 ")
    clock[0] = msgspec.structs.replace(clock[0], boot_id="after a restart", boot_ns=0)
    refused(state, "participant P001: ILK-413 ")
    confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by the radio clock")
    assert begin(state) == 2


def test_an_empty_course_needs_the_date_vouched_for_as_a_full_one_does(state: Path, clock: list[Stamp]):
    """After the act no course has a session, and the windows still go by the date."""
    a_week_on(state, clock)
    begin(state)
    restarted = msgspec.structs.replace(clock[0], boot_id="after a restart", boot_ns=0)
    now = Now(mono_ns=0, boot_ns=0, wall_ns=restarted.wall_ns)
    assert clock_trouble(history(state, restarted), now) == "ILK-413"


# Crashes and copies


def test_a_crash_in_the_middle_begins_it_or_does_not(state: Path, clock: list[Stamp]):
    """Killed before the site's list knows, and the line cut at many bytes: a torn line is none, a whole one counts."""
    a_week_on(state, clock)
    path, site = store_path(state, "P001"), state / "site.jsonl"
    before, known = path.read_bytes(), site.read_bytes()
    begin(state)
    content = path.read_bytes()
    for cut in (*range(len(before), len(content), 13), len(content) - 1, len(content)):
        path.write_bytes(content[:cut])
        site.write_bytes(known)
        shutil.rmtree(
            state / "heads", ignore_errors=True
        )  # of the sessions of this test, each of which found another store
        number = 2 if cut == len(content) else 1
        records, _ = read_store(state, "P001")
        assert [each.number for each in courses_of(records, OFFICERS).present()] == [number]
        if cut % 97 == 0 or cut >= len(content) - 1:
            store, found = open_store(state, LIMITS, "s-2", clock[0], 0, OFFICERS)
            assert found.courses[0].number == number
            let_go(store)
    shutil.rmtree(state / "heads", ignore_errors=True)
    path.write_bytes(content[:-1])
    site.write_bytes(known)
    assert begin(state) == 2  # what was torn is done again


def test_a_store_cut_back_to_before_it_is_refused(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    before = store_path(state, "P001").read_bytes()
    begin(state)
    store_path(state, "P001").write_bytes(before)
    with pytest.raises(StoreError, match="found 3 lines, expected the 4 that the site knows: an older copy"):
        opened(state, clock[0])
    with pytest.raises(Refused, match="an older copy"):
        begin(state)


def test_a_session_that_crashed_counts_whole_in_the_course_that_it_was_of(state: Path, clock: list[Stamp]):
    store, _ = opened(state, clock[0])
    put(store, reserved(clock[0], 700.0))
    let_go(store)
    clock[0] = after(clock[0], WEEK_S)
    refused(
        state, "found the last output of tacs"
    )  # it may have been out for a while after its last reservation
    clock[0] = after(clock[0], 3600)
    assert begin(state) == 2
    closed, _ = courses_of(read_store(state, "P001")[0], OFFICERS).held
    assert closed.spent == spent(700.0)


# Forged


def with_line(state: Path, record: Record) -> Chain:
    content = store_path(state, "P001").read_bytes()
    return read_chain(content + next_line(read_chain(content).head, body_of(record))[0])


@pytest.mark.parametrize("wrong", ["no modality", "other act", "other stamp", "modality of another act"])
def test_an_act_that_does_not_fit_is_no_store(state: Path, clock: list[Stamp], wrong: str):
    a_week_on(state, clock)
    now = clock[0]
    act = forged(
        now,
        modality=None if wrong == "no modality" else "tacs",
        act="new" if wrong == "other act" else "new-course",
    )
    if wrong == "modality of another act":
        act = msgspec.structs.replace(act, modality="rtms")  # signed for tacs
    stamp = after(now, 1) if wrong == "other stamp" else now
    with pytest.raises(BrokenChain, match="line 4 that bob did not sign for P001"):
        records_of(with_line(state, CourseBegun(stamp=stamp, act=act)), "P001")


def test_a_session_does_not_go_on_over_the_beginning_of_a_course(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    begin(state)
    records, _ = read_store(state, "P001")
    for late in (reserved(clock[0], 1.0), settled(clock[0], 0.0)):
        with pytest.raises(BrokenChain, match="out of its place on line 5"):
            courses_of((*records, late), OFFICERS)


def test_acts_that_do_not_count_close_nothing_and_are_told(state: Path, clock: list[Stamp]):
    """Written past the verb: too soon, before any session, or by a key that nobody trusts any more."""
    (first,) = read_store(state, "P001")[0]
    one = (reserved(START, 600.0), settled(START, 600.0))
    soon = after(START, WEEK_S - 1.001)
    fits = after(START, WEEK_S - 1)
    for records, why in (
        ((first, CourseBegun(stamp=START, act=forged(START))), "no session was before it"),
        (
            (first, *one, CourseBegun(stamp=soon, act=forged(soon))),
            "it came 604800 s after the last output, of 604800 s",
        ),
    ):
        found = courses_of(records, OFFICERS)
        assert [each.why for each in found.void] == [why] and [each.number for each in found.held] in (
            [],
            [1],
        )
    begun = (first, *one, CourseBegun(stamp=fits, act=forged(fits)))
    assert [each.number for each in courses_of(begun, OFFICERS).present()] == [2]
    late = after(START, 1000)
    set_back = (reserved(late, 1.0, "s-0"), settled(late, 1.0, session_id="s-0"), *one)
    found = courses_of((first, *set_back, CourseBegun(stamp=fits, act=forged(fits))), OFFICERS)
    assert [each.why for each in found.void] == ["it came 603800 s after the last output, of 604800 s"]
    of_nothing = (first, *one, CourseBegun(stamp=fits, act=forged(fits, modality=None)))
    found = courses_of(of_nothing, OFFICERS)
    assert ([each.number for each in found.held], found.void) == ([1], ())
    unknown = courses_of(begun, frozenset())
    assert unknown.void[0].why == "bob is no officer of these limits, nor of the trust store"
    again = (*begun, reserved(after(fits, 60), 30.0, "s-2"))
    assert [each.spent for each in courses_of(again, frozenset()).present()] == [spent(630.0)]
    assert [each.spent for each in courses_of(again, OFFICERS).present()] == [spent(30.0)]


def test_the_lines_of_earlier_versions_are_read_as_they_were_signed(state: Path):
    (first,) = read_store(state, "P001")[0]
    assert isinstance(first, Created) and b"modality" not in body_of(first) + signed_bytes(first.act)


# In words


def test_show_tells_every_course(state: Path, clock: list[Stamp]):
    a_week_on(state, clock)
    begin(state)
    session(state, clock, 30.0, "s-2")
    lines = said_of(standing(state, LIMITS), LIMITS)
    one, two = (line for line in lines if line.startswith("  course") and " of tacs" in line)
    assert " until 20" in one and "begun by bob: 1 sessions, on_time_s 600" in one
    assert " until " not in two and two.endswith("begun by bob: 1 sessions, on_time_s 30")
    others = msgspec.structs.replace(LIMITS, people=(person("ann"),))
    lines = said_of(standing(state, others), others)
    assert any(
        "an act of bob on 20" in line and "began no course of tacs: bob is no officer" in line
        for line in lines
    )
    assert any("on_time_s  " in line and "630 of" in line for line in lines)


def test_who_vouches_for_the_date_since_the_start(state: Path):
    (first,) = read_store(state, "P001")[0]
    here, elsewhere = first.stamp, msgspec.structs.replace(first.stamp, boot_id="another boot")
    nobody = msgspec.structs.replace(LIMITS, people=())
    assert vouches(first, LIMITS, here) is vouches(first, nobody, here) is True
    assert vouches(first, LIMITS, elsewhere) is False
    assert vouches(reserved(here, 1.0), LIMITS, here) is False
    assert stranger_of((first,), LIMITS, frozenset()) == ""
    assert stranger_of((first,), nobody, frozenset()) != ""
