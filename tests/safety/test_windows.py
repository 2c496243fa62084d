"""Rolling windows, gaps, wash-out and days in a row: at the limit, a nanosecond before and after it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Modality
from safety import windows
from safety.earlier import PAST_NS
from safety.events import Now
from safety.exposures import NOTHING
from safety.history import History, Past, Stamp
from safety.judging import allowed_now
from safety.limit_values import Budget, Limits
from safety.messages import Refusal
from safety.modalities import Exposure, budgets_of, spacing_of
from safety.verify import read
from safety.windows import (
    DAY_NS,
    JUMP_NS,
    NEVER_NS,
    NO_NUMBER,
    NO_SESSION,
    WINDOW_NS,
    Session,
    binding,
    budgets_in_force,
    clock_trouble,
    days_in_a_row,
    exceeded,
    next_start_wall_ns,
    room,
    total_of,
    waits,
)
from tests.safety.histories import BOOT, NEW, history_with, past
from tests.safety.ledgers import write
from tests.safety.strategies import MODALITIES
from tests.safety.world import T0, World, bend_rules, rules_of

S = 1_000_000_000
WALL_NS = T0.wall_ns


def at(wall_ns: int) -> Now:
    return msgspec.structs.replace(T0, wall_ns=wall_ns)


def limits_of(modality: Modality = "tacs", **high: float) -> Limits:
    """Limits with some budgets bent: `day`, `week`, `course`, `session` of on-time or pulses, `sessions` a day."""
    limits = rules_of(modality).limits
    scopes = {"day": "24h", "week": "7d"}
    main = "on_time_s" if modality == "tacs" else "n_pulses"
    for name, value in high.items():
        key = ("24h", "n_sessions") if name == "sessions" else (scopes.get(name, name), main)
        budgets = tuple(
            msgspec.structs.replace(b, high=value) if (b.scope, b.name) == key else b for b in limits.budgets
        )
        assert budgets != limits.budgets
        limits = msgspec.structs.replace(limits, budgets=budgets)
    return limits


def spending(on_time_s: float = 0.0, n_pulses: int = 0) -> Session:
    spent = Exposure(on_time_s=on_time_s, charge_c=0.0, n_pulses=n_pulses)
    return Session(pulse=NOTHING, train=NOTHING, all=spent)


def over(limits: Limits, history: History, session: Session, now: Now = T0) -> list[tuple[str, str, float]]:
    return [
        (each.budget.scope, each.budget.name, each.total) for each in exceeded(limits, history, session, now)
    ]


def test_where_nothing_was_spent_within_a_window_nothing_is_summed(monkeypatch: pytest.MonkeyPatch):
    """Exact sums cost more than the rest of a verdict: none is made where floats show the same."""
    history, session = history_with(past(WALL_NS - 8 * DAY_NS, on_time_s=60.0)), spending(5.0)
    limits = msgspec.structs.replace(
        limits_of(), budgets=tuple(each for each in limits_of().budgets if each.scope != "course")
    )
    wanted = {budget.scope: used for budget, used in binding(limits, history, session, T0)}
    assert len(wanted) > 1 and over(limits, history, session) == [("course", "on_time_s", 65.0)]

    def asked(line: windows._Line, *_: object) -> Fraction:
        assert line.budget.scope == "course" or line.budget.name in ("n_sessions", "n_days")
        return Fraction(65)

    monkeypatch.setattr(windows, "_total", asked)
    assert {b.scope: used for b, used in binding(limits, history, session, T0)} == wanted
    assert over(limits, history, session) == [("course", "on_time_s", 65.0)]


@pytest.mark.parametrize(("scope", "name"), [("24h", "day"), ("7d", "week")])
def test_a_window_rolls_to_the_nanosecond(scope: str, name: str):
    limits, end_ns = limits_of(**{name: 100.0}), WALL_NS
    history = history_with(past(end_ns, on_time_s=60.0, lasted_ns=3600 * S))
    last_ns = end_ns + WINDOW_NS[scope]
    for wall_ns, refused in ((end_ns, True), (last_ns - 1, True), (last_ns, False), (last_ns + 1, False)):
        found = over(limits, history, spending(40.0 + 1e-6), at(wall_ns))
        assert ((scope, name, 100.000001) if refused else None) == (
            (found[0][0], name, found[0][2]) if found else None
        ), wall_ns
        assert over(limits, history, spending(40.0), at(wall_ns)) == []


def test_the_course_never_rolls_and_each_budget_that_refuses_is_named():
    history = history_with(
        past(WALL_NS - 30 * DAY_NS, on_time_s=60.0), past(WALL_NS - 2 * DAY_NS, on_time_s=30.0)
    )
    limits = limits_of(session=8.0, day=9.0, week=35.0, course=99.0)
    assert over(limits, history, spending(10.0)) == [
        ("session", "on_time_s", 10.0),
        ("24h", "on_time_s", 10.0),
        ("7d", "on_time_s", 40.0),
        ("course", "on_time_s", 100.0),
    ]
    assert over(limits, history, spending(5.0)) == []


def test_other_modalities_have_budgets_of_their_own():
    history = history_with(past(WALL_NS, "rtms", n_pulses=100), past(WALL_NS, "tacs", on_time_s=1000.0))
    assert over(limits_of("rtms", day=100, course=100), history, spending(n_pulses=1)) == [
        ("24h", "n_pulses", 101.0),
        ("course", "n_pulses", 101.0),
    ]


def test_sums_are_of_the_decimals_that_were_written():
    """0.1 and 0.2 make 0.3, and a budget of 0.3 has room for them; floats would say more."""
    history = history_with(past(WALL_NS, on_time_s=0.1))
    assert over(limits_of(day=0.3), history, spending(0.2)) == []
    assert over(limits_of(day=math.nextafter(0.3, 0)), history, spending(0.2)) != []


def test_sessions_are_counted_and_this_one_with_its_first_output():
    history = history_with(*(past(WALL_NS - n * S, on_time_s=1.0) for n in range(1, 3)))
    assert over(limits_of(sessions=3), history, spending(1.0)) == []
    assert over(limits_of(sessions=2), history, spending(1.0)) == [("24h", "n_sessions", 3.0)]
    assert over(limits_of(sessions=2), history, spending(0.0)) == []
    gone = history_with(past(WALL_NS - DAY_NS, on_time_s=1.0), past(WALL_NS - DAY_NS + 1, on_time_s=1.0))
    assert over(limits_of(sessions=2), gone, spending(1.0)) == []
    course = limits_of("rtms")
    many = history_with(*(past(WALL_NS - n * DAY_NS, "rtms", n_pulses=1) for n in range(2, 52)))
    assert over(course, many, spending(n_pulses=1)) == [("course", "n_sessions", 51.0)]


def budget_of(scope: str, name: str, high: float) -> Budget:
    return Budget(name=name, scope=scope, unit="u", high=high, source="s", edition="1", status="verified")  # type: ignore[arg-type]


@pytest.mark.parametrize(("scope", "total"), [("pulse", 0.1), ("train", 4.0)])
def test_a_pulse_and_a_train_have_budgets_that_begin_anew(scope: str, total: float):
    session = Session(
        pulse=Exposure(on_time_s=0.1, charge_c=0.0, n_pulses=1),
        train=Exposure(on_time_s=4.0, charge_c=0.0, n_pulses=40),
        all=Exposure(on_time_s=9.0, charge_c=0.0, n_pulses=90),
    )
    limits = limits_of()
    for high, found in ((total, []), (math.nextafter(total, 0), [(scope, "on_time_s", total)])):
        with_it = msgspec.structs.replace(
            limits, budgets=(*limits.budgets, budget_of(scope, "on_time_s", high))
        )
        assert over(with_it, NEW, session) == found


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_budget_that_the_file_does_not_have_allows_nothing(modality: Modality):
    limits = rules_of(modality).limits
    one = Exposure(**dict.fromkeys(Exposure.__struct_fields__, 1))
    session = Session(pulse=one, train=one, all=one)
    for declared in budgets_of(modality):
        bare = msgspec.structs.replace(
            limits,
            budgets=tuple(b for b in limits.budgets if (b.scope, b.name) != (declared.scope, declared.name)),
        )
        (budget,) = (b for b in budgets_in_force(bare) if b not in bare.budgets)
        assert (budget.scope, budget.name, budget.high) == (declared.scope, declared.name, 0.0)
        assert (budget.unit, budget.edition, budget.status) == (declared.unit, "", "unverified")
        assert budget.source == "no budget is known: nothing is allowed"
        found = [each for each in exceeded(bare, NEW, session, T0) if each.budget == budget]
        assert [each.total for each in found] == [1.0]
        assert next_start_wall_ns(bare, NEW, T0) is None
    assert budgets_in_force(limits) == limits.budgets


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_exceeded(bad: float):
    found = exceeded(limits_of(), NEW, spending(bad), T0)
    assert {each.budget.scope for each in found} >= {"session", "24h", "7d", "course"}
    assert {each.total for each in found} == {NO_NUMBER}
    broken = limits_of(day=bad)
    assert over(broken, NEW, spending(0.0)) == [("24h", "on_time_s", 0.0)]
    assert next_start_wall_ns(broken, NEW, T0) is None
    assert {budget.scope for budget, _ in binding(broken, NEW, NO_SESSION, T0)} == {"session"}
    assert binding(limits_of(), NEW, spending(bad), T0)[0][0].name == "charge_c"
    gone = history_with(past(WALL_NS, on_time_s=bad))
    assert "24h" in {each.budget.scope for each in exceeded(limits_of(), gone, spending(0.0), T0)}
    assert next_start_wall_ns(limits_of(), gone, T0) is None


def test_days_in_a_row_go_by_the_site_s_calendar():
    noon = 20_000 * DAY_NS + DAY_NS // 2
    ends = [noon - n * DAY_NS for n in (1, 2, 4)]
    history = history_with(*(past(each, on_time_s=1.0) for each in ends))
    assert days_in_a_row("tacs", history, at(noon)) == 3
    assert days_in_a_row("rtms", history, at(noon)) == 1
    assert days_in_a_row("tacs", NEW, at(noon)) == 1
    midnight = history_with(past(20_000 * DAY_NS, on_time_s=1.0, lasted_ns=1))
    assert days_in_a_row("tacs", midnight, at(noon)) == 2  # it began a nanosecond before
    east = history_with(past(20_000 * DAY_NS - 1, on_time_s=1.0), utc_offset_s=1)
    assert days_in_a_row("tacs", east, at(noon)) == 1
    assert days_in_a_row("tacs", history_with(past(20_000 * DAY_NS - 1, on_time_s=1.0)), at(noon)) == 2


def test_a_day_too_many_in_a_row_is_refused():
    limits = limits_of()
    capped = msgspec.structs.replace(limits, budgets=(*limits.budgets, budget_of("in_a_row", "n_days", 2)))
    two = history_with(*(past(WALL_NS - n * DAY_NS, on_time_s=1.0) for n in (1, 2)))
    assert over(capped, two, spending(1.0)) == [("in_a_row", "n_days", 3.0)]
    assert over(capped, history_with(past(WALL_NS - DAY_NS, on_time_s=1.0)), spending(1.0)) == []


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_window_and_no_run_of_days_is_longer_than_the_history_reaches_back(modality: Modality):
    assert max(WINDOW_NS.values()) < PAST_NS
    for declared in budgets_of(modality):
        assert declared.scope != "in_a_row" or (declared.high + 1) * DAY_NS <= PAST_NS


def test_a_ledger_of_a_participant_with_many_sessions_can_be_read(tmp_path: Path):
    """Every half hour of the days that the history reaches back, and each number as long as it gets."""
    many = [
        past(WALL_NS - n * 1800 * S, "tacs", on_time_s=1234.567891, n_pulses=12_345) for n in range(8 * 48)
    ]
    world = World(msgspec.structs.replace(rules_of(), history=history_with(*many))).armed()
    lines, torn, problems = read(write(tmp_path, world, closed=False))
    assert (len(lines), torn, problems) == (len(world.entries) + 1, False, [])


@pytest.mark.parametrize(("name", "modality"), [("gap_s", "tacs"), ("washout_s", "rtms")])
def test_gap_and_wash_out_end_to_the_nanosecond(name: str, modality: Modality):
    limits = rules_of("tacs").limits
    (spacing,) = (each for each in limits.spacing if each.name == name)
    low_ns = int(spacing.low) * S
    spent = {"on_time_s": 1.0} if modality == "tacs" else {"n_pulses": 1}
    history = history_with(past(WALL_NS - 10, modality, **spent), past(WALL_NS, modality, **spent))
    assert waits(limits, history, WALL_NS) == ((spacing, low_ns),)
    assert waits(limits, history, WALL_NS + low_ns - 1) == ((spacing, 1),)
    assert waits(limits, history, WALL_NS + low_ns) == ()
    assert waits(limits, history, WALL_NS - 5) == ((spacing, low_ns + 5),)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_gap_that_the_file_does_not_have_is_never_over(modality: Modality):
    limits = rules_of(modality).limits
    for declared in spacing_of(modality):
        kept = tuple(each for each in limits.spacing if each.name != declared.name)
        for spacing in (
            kept,
            (*kept, msgspec.structs.replace(limits.spacing[0], name=declared.name, low=math.nan)),
        ):
            bare = msgspec.structs.replace(limits, spacing=spacing)
            ((found, left_ns),) = waits(bare, NEW, WALL_NS)
            assert math.isnan(found.low) if spacing is not kept else found.low == 0.0
            assert (found.name, found.unit, left_ns) == (declared.name, "s", NEVER_NS)
            assert next_start_wall_ns(bare, NEW, T0) is None
    assert waits(limits, NEW, WALL_NS) == ()


def test_a_gap_of_a_fraction_of_a_nanosecond_is_rounded_up():
    limits = rules_of("tacs").limits
    gap = msgspec.structs.replace(limits.spacing[0], low=1.0000000001)
    bent = msgspec.structs.replace(limits, spacing=(gap, limits.spacing[1]))
    assert waits(bent, history_with(past(WALL_NS, on_time_s=1.0)), WALL_NS)[0][1] == S + 1


# The clocks


def clocked(last: Stamp, *, vouched: bool = True) -> History:
    history = history_with(past(WALL_NS - DAY_NS, on_time_s=1.0), vouched=vouched)
    return msgspec.structs.replace(history, last=last)


@pytest.mark.parametrize(("ahead_ns", "code"), [(0, ""), (1, "ILK-411"), (-1, "")])
def test_a_wall_clock_before_the_last_entry_is_refused(ahead_ns: int, code: str):
    assert clock_trouble(clocked(Stamp(boot_id="b", boot_ns=0, wall_ns=WALL_NS + ahead_ns)), T0) == code


@pytest.mark.parametrize(
    ("moved_ns", "code"),
    [(0, ""), (JUMP_NS, ""), (JUMP_NS + 1, "ILK-412"), (-JUMP_NS, ""), (-JUMP_NS - 1, "ILK-412")],
)
def test_a_wall_clock_that_was_set_within_a_boot_is_refused(moved_ns: int, code: str):
    elapsed_ns = 100 * S
    last = Stamp(boot_id=BOOT, boot_ns=T0.boot_ns - elapsed_ns, wall_ns=WALL_NS - elapsed_ns - moved_ns)
    assert clock_trouble(clocked(last), T0) == code


def test_after_a_start_a_named_person_must_vouch_for_the_date():
    last = Stamp(boot_id="another", boot_ns=0, wall_ns=WALL_NS - DAY_NS)
    assert clock_trouble(clocked(last, vouched=False), T0) == "ILK-413"
    assert clock_trouble(clocked(last), T0) == ""
    assert (
        clock_trouble(msgspec.structs.replace(NEW, vouched=False), T0) == ""
    )  # nothing that a date could free


@given(jump_ns=st.integers(1, 400 * DAY_NS))
@settings(max_examples=60, deadline=None)
def test_no_jump_of_the_wall_clock_frees_a_budget(jump_ns: int):
    """Forward within a boot, forward between boots, and backward: each is refused before any budget is asked."""
    last = Stamp(boot_id=BOOT, boot_ns=T0.boot_ns, wall_ns=WALL_NS)
    if jump_ns > JUMP_NS:
        assert clock_trouble(clocked(last), at(WALL_NS + jump_ns)) == "ILK-412"
    assert clock_trouble(clocked(last), at(WALL_NS - jump_ns)) == "ILK-411"
    other = msgspec.structs.replace(last, boot_id="another")
    assert clock_trouble(clocked(other, vouched=False), at(WALL_NS + jump_ns)) == "ILK-413"


# What is told


def test_the_controller_is_told_of_the_scope_that_has_the_least_left():
    limits = limits_of(session=100.0, day=150.0)
    found = {b.name: (b.scope, used, b.high) for b, used in binding(limits, NEW, spending(10.0), T0)}
    assert found["on_time_s"] == ("session", 10.0, 100.0)
    history = history_with(past(WALL_NS, on_time_s=60.0))
    found = {b.name: (b.scope, used, b.high) for b, used in binding(limits, history, spending(10.0), T0)}
    assert found["on_time_s"] == ("24h", 70.0, 150.0)
    assert set(found) == {"on_time_s", "charge_c"}
    per_train = msgspec.structs.replace(
        limits, budgets=(*limits.budgets, budget_of("train", "on_time_s", 1.0))
    )
    began = msgspec.structs.replace(spending(10.0), train=spending(0.25).all)
    found = {b.name: (b.scope, used, b.high) for b, used in binding(per_train, history, began, T0)}
    assert found["on_time_s"] == ("train", 0.25, 1.0)
    per_pulse = msgspec.structs.replace(
        limits, budgets=(*limits.budgets, budget_of("pulse", "on_time_s", 0.1))
    )
    assert binding(per_pulse, history, spending(10.0), T0) == binding(limits, history, spending(10.0), T0)
    even = limits_of(session=100.0, day=100.0)
    assert binding(even, NEW, NO_SESSION, T0)[0][0].scope == "session"  # of equal ones the first


def test_the_world_is_told_of_scope_gap_and_what_is_left():
    history = history_with(past(WALL_NS - 2000 * S, on_time_s=3000.0))
    rules = msgspec.structs.replace(rules_of(), history=history)
    world = World(rules).armed()
    told = allowed_now(rules, world.state, world.now)
    assert (told.scope["on_time_s"], told.used["on_time_s"], told.budget["on_time_s"]) == (
        "24h",
        3000.0,
        3600.0,
    )
    assert told.not_before_ns == 0
    soon = msgspec.structs.replace(rules, history=history_with(past(WALL_NS, on_time_s=1.0)))
    gap_ns = int(rules.limits.spacing[0].low) * S
    assert allowed_now(soon, world.state, T0).not_before_ns == T0.mono_ns + gap_ns
    assert allowed_now(soon, world.state, at(WALL_NS + gap_ns)).not_before_ns == 0


def test_room_is_every_budget_that_outlives_a_session():
    history = history_with(past(WALL_NS, on_time_s=60.0))
    found = {(b.scope, b.name): used for b, used in room(limits_of(), history, T0)}
    assert found == {
        ("24h", "on_time_s"): 60.0,
        ("7d", "on_time_s"): 60.0,
        ("course", "on_time_s"): 60.0,
        ("24h", "n_sessions"): 1.0,
    }


def test_when_the_next_session_may_begin():
    limits = limits_of(day=100.0, sessions=2)
    gap_ns = int(limits.spacing[0].low) * S
    assert next_start_wall_ns(limits, NEW, T0) == WALL_NS
    one = history_with(past(WALL_NS, on_time_s=60.0))
    assert next_start_wall_ns(limits, one, T0) == WALL_NS + gap_ns
    full = history_with(past(WALL_NS, on_time_s=100.0))
    assert next_start_wall_ns(limits, full, T0) == WALL_NS + DAY_NS
    counted = history_with(past(WALL_NS - 7 * S, on_time_s=1.0), past(WALL_NS, on_time_s=1.0))
    assert next_start_wall_ns(limits, counted, T0) == WALL_NS - 7 * S + DAY_NS
    assert next_start_wall_ns(limits_of(course=60.0), one, T0) is None
    week = limits_of(week=100.0)
    assert next_start_wall_ns(week, history_with(past(WALL_NS, on_time_s=100.0)), T0) == WALL_NS + 7 * DAY_NS


@pytest.mark.parametrize("offset_s", [0, 7200])
def test_after_too_many_days_the_next_session_may_begin_a_day_later(offset_s: int):
    limits = limits_of()
    capped = msgspec.structs.replace(limits, budgets=(*limits.budgets, budget_of("in_a_row", "n_days", 1)))
    noon = 20_000 * DAY_NS + DAY_NS // 2
    today = history_with(past(noon - 3 * 3600 * S, on_time_s=1.0), utc_offset_s=offset_s)
    assert next_start_wall_ns(capped, today, at(noon)) == noon  # today counts already
    yesterday = history_with(past(noon - DAY_NS, on_time_s=1.0), utc_offset_s=offset_s)
    assert next_start_wall_ns(capped, yesterday, at(noon)) == 20_001 * DAY_NS - offset_s * S
    once_a_day = msgspec.structs.replace(capped, budgets=(*limits_of(sessions=1).budgets, capped.budgets[-1]))
    # No second session before tomorrow, and tomorrow would be the second day: the day after it.
    assert next_start_wall_ns(once_a_day, today, at(noon)) == 20_002 * DAY_NS - offset_s * S


PASTS = st.lists(
    st.builds(
        past,
        st.integers(WALL_NS - 9 * DAY_NS, WALL_NS),
        st.sampled_from(["tacs", "rtms"]),
        on_time_s=st.floats(0.001, 1000.0),
        lasted_ns=st.integers(0, 3600 * S),
    ),
    max_size=8,
)


@given(sessions=PASTS, own=st.floats(0.0, 500.0), wait_ns=st.integers(0, 8 * DAY_NS))
@settings(max_examples=100, deadline=None)
def test_a_window_counts_exactly_what_was_spent_within_it(sessions: list[Past], own: float, wait_ns: int):
    history, now = history_with(*sessions), at(WALL_NS + wait_ns)
    for scope in WINDOW_NS:
        inside = [
            Fraction(repr(each.spent.on_time_s))
            for each in sessions
            if each.modality == "tacs" and now.wall_ns - each.last_wall_ns < WINDOW_NS[scope]
        ]
        budget = budget_of(scope, "on_time_s", 1.0)
        assert total_of(budget, "tacs", history, spending(own), now) == sum(inside, Fraction(repr(own)))


def test_the_first_output_is_not_before_the_gap_and_nothing_is_reserved_for_a_refusal():
    rules = msgspec.structs.replace(
        rules_of(), history=history_with(past(WALL_NS - 1500 * S + 3 * S, on_time_s=1.0))
    )
    world = World(rules).armed()
    request = world.ask()
    assert world.codes(request) == {"ILK-315"}
    assert world.state.dose.granted == NOTHING
    world.run_ms(3_000)
    assert world.codes(world.ask()) == set()


@pytest.mark.parametrize("rested_s", [0.0, 0.25, 1_497.0])
def test_a_refusal_says_how_much_of_the_gap_is_over(rested_s: float):
    rules = msgspec.structs.replace(
        rules_of(), history=history_with(past(WALL_NS - round(rested_s * S), on_time_s=1.0))
    )
    world = World(rules).armed()
    world.ask()
    (reason,) = world.last(Refusal).reasons
    assert (reason.code, reason.quantity, reason.limit, reason.set_by) == (
        "ILK-315",
        "gap_s",
        1500.0,
        "spacing",
    )
    since_s = (world.now.wall_ns - WALL_NS) / S + rested_s
    assert reason.value == pytest.approx(since_s, abs=1e-6)


def test_of_a_gap_that_has_not_begun_nothing_is_over():
    """The last output lies ahead, for the wall clock was set back."""
    world = World(
        msgspec.structs.replace(rules_of(), history=history_with(past(WALL_NS + 3_600 * S, on_time_s=1.0)))
    ).armed()
    world.ask()
    (reason,) = world.last(Refusal).reasons
    assert (reason.code, reason.value) == ("ILK-315", 0.0)


def test_a_refusal_names_every_budget_with_scope_sum_limit_and_margin():
    rules = msgspec.structs.replace(
        rules_of("rtms"), history=history_with(past(WALL_NS - 4 * 3600 * S, "rtms", n_pulses=90))
    )
    budgets = limits_of("rtms", session=30, day=120, week=125, course=129).budgets
    world = World(bend_rules(rules, budgets=budgets)).armed()
    world.ask()
    reasons = world.last(Refusal).reasons
    assert [(r.code, r.set_by, r.value, r.limit) for r in reasons] == [
        ("ILK-308", "session budget", 40.0, 30.0),
        ("ILK-308", "24h budget", 130.0, 120.0),
        ("ILK-308", "7d budget", 130.0, 125.0),
        ("ILK-308", "course budget", 130.0, 129.0),
    ]
    assert reasons[1].text == "a budget would be exceeded: n_pulses 130 of 120 pulses in 24h, 10 too many"
    assert reasons[3].text == "a budget would be exceeded: n_pulses 130 of 129 pulses a course, 1 too many"
