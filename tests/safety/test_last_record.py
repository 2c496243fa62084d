"""Which record of a store tells the time to the next session: no date that nobody named vouched for frees a budget."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from safety import clocks
from safety.acts import public_key_hex
from safety.earlier import LAST_OUT_NS, history_of
from safety.events import Now
from safety.history import History, Stamp
from safety.limit_values import Limits, Person
from safety.participants import confirm_date, new_course
from safety.store import read_store
from safety.windows import DAY_NS, JUMP_NS, clock_trouble
from tests.safety.stores import LIMITS, START, S, after, let_go, made, opened, person, put, reserved, settled
from tests.safety.world import PEOPLE, STRANGER

EVE = Person(name="eve", role="officer", public_key=public_key_hex(STRANGER), salt="1" * 32)
EVES = msgspec.structs.replace(LIMITS, people=(*LIMITS.people, EVE))  # a file that anybody can write
JUMPED = msgspec.structs.replace(START, wall_ns=START.wall_ns + 8 * DAY_NS)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Stamp]:
    held = [START]
    monkeypatch.setattr(clocks, "stamp", lambda: held[0])
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))
    return held


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A store with a session of ten minutes."""
    state = made(tmp_path)
    store, _ = opened(state, START)
    put(store, reserved(START, 600.0), settled(after(START, 10), 600.0))
    store.close("")
    return state


def history(state: Path, now: Stamp, limits: Limits = LIMITS) -> History:
    records, chain = read_store(state, "P001")
    return history_of(records, chain, limits, now, 0, "")


def trouble(state: Path, now: Stamp, limits: Limits = LIMITS) -> str:
    at = Now(mono_ns=now.boot_ns, boot_ns=now.boot_ns, wall_ns=now.wall_ns)
    return clock_trouble(history(state, now, limits), at)


def by_eve(state: Path) -> None:
    confirm_date(state, EVES, EVE, STRANGER, "I say so")


def test_a_person_whom_the_limits_do_not_name_confirms_no_date(state: Path, clock: list[Stamp]):
    clock[0] = after(JUMPED, 60)
    assert trouble(state, clock[0]) == "ILK-412"
    by_eve(state)
    assert trouble(state, clock[0], EVES) == ""
    assert trouble(state, clock[0]) == "ILK-412"
    assert history(state, clock[0]).last == after(START, 10)
    confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by the radio clock")
    assert trouble(state, clock[0]) == ""
    assert history(state, clock[0]).last == clock[0]


def test_a_key_that_is_not_the_named_person_s_confirms_no_date(state: Path, clock: list[Stamp]):
    clock[0] = after(JUMPED, 60)
    ann = msgspec.structs.replace(EVE, name="ann")
    confirm_date(state, msgspec.structs.replace(LIMITS, people=(ann,)), ann, STRANGER, "under another's name")
    assert trouble(state, clock[0]) == "ILK-412"


def test_not_even_a_right_date_is_a_stranger_s_to_confirm(state: Path, clock: list[Stamp]):
    """A record that tells no time leaves the last one that does."""
    clock[0] = after(START, 60)
    by_eve(state)
    assert history(state, clock[0]).last == after(START, 10)
    assert trouble(state, clock[0]) == ""


def test_no_session_starts_before_the_latest_line_whoever_wrote_it(state: Path, clock: list[Stamp]):
    clock[0] = after(JUMPED, 60)
    by_eve(state)
    assert trouble(state, after(START, 120)) == "ILK-411"
    assert history(state, clock[0]).latest_wall_ns == clock[0].wall_ns
    before = msgspec.structs.replace(clock[0], wall_ns=clock[0].wall_ns - 1)
    assert trouble(state, before) == "ILK-411"


def test_what_rests_on_a_stranger_s_date_tells_no_time_either(state: Path, clock: list[Stamp]):
    """A session, and a course, under limits that name the stranger."""
    clock[0] = after(JUMPED, 60)
    by_eve(state)
    assert new_course(state, EVES, EVE, STRANGER, "eight days on") == 2
    store, _ = opened(state, clock[0], "s-2", EVES)
    put(store, reserved(clock[0], 5.0, "s-2"), settled(after(clock[0], 20), 5.0, session_id="s-2"))
    let_go(store)
    later = after(clock[0], 60)
    assert trouble(state, later, EVES) == ""
    assert trouble(state, later) == "ILK-412"
    assert history(state, later).last == after(START, 10)


def test_later_sessions_count_after_a_stranger_s_date(state: Path, clock: list[Stamp]):
    clock[0] = after(START, 60)
    by_eve(state)
    store, _ = opened(state, clock[0], "s-2")
    put(store, reserved(after(clock[0], 1), 5.0, "s-2"))
    let_go(store)
    assert history(state, after(clock[0], 100)).last == after(clock[0], 1)
    assert trouble(state, START) == "ILK-411"


@pytest.mark.parametrize(("moved_ns", "tells"), [(JUMP_NS, True), (JUMP_NS + 1, False)])
def test_a_session_in_which_the_clock_was_set_forward_tells_no_time(state: Path, moved_ns: int, tells: bool):
    """The interlock trips and settles; the settlement must not pass for a date that somebody confirmed."""
    store, _ = opened(state, after(START, 60), "s-2")
    began = after(START, 61)
    ended = after(began, 20)
    ended = msgspec.structs.replace(ended, wall_ns=ended.wall_ns + moved_ns)
    put(store, reserved(began, 5.0, "s-2"), settled(ended, 5.0, session_id="s-2"))
    let_go(store)
    assert history(state, after(ended, 1)).last == (ended if tells else began)
    assert trouble(state, after(ended, 1)) == ("" if tells else "ILK-412")


def test_a_session_in_which_the_clock_was_set_back_tells_no_time(state: Path):
    store, _ = opened(state, after(START, 60), "s-2")
    began = after(START, 61)
    ended = msgspec.structs.replace(after(began, 20), wall_ns=began.wall_ns - S)
    put(store, reserved(began, 5.0, "s-2"), settled(ended, 5.0, session_id="s-2"))
    let_go(store)
    assert history(state, after(began, 40)).last == began
    assert trouble(state, after(ended, 0.5)) == "ILK-411"


@pytest.mark.parametrize("back_ns", [0, 1, 8 * DAY_NS])
def test_a_session_in_which_the_clock_was_set_back_was_when_it_reserved(state: Path, back_ns: int):
    """Else it would lie before the windows as soon as the clock is right again."""
    began = after(START, 61)
    ended = msgspec.structs.replace(after(began, 20), wall_ns=began.wall_ns - back_ns)
    store, _ = opened(state, after(START, 60), "s-2")
    put(store, reserved(began, 5.0, "s-2"), settled(ended, 3.0, session_id="s-2"))
    let_go(store)
    past = history(state, after(began, 40)).past[-1]
    assert past.spent.on_time_s == 3.0
    assert past.first_wall_ns == (began.wall_ns if back_ns else ended.wall_ns - 10 * S)
    assert past.last_wall_ns == (began.wall_ns + LAST_OUT_NS if back_ns else ended.wall_ns - S)


def test_a_named_person_s_word_is_the_last_but_nothing_before_the_latest(state: Path, clock: list[Stamp]):
    """The last line is of a clock that was set back, so that a date between them can be written."""
    test_a_session_in_which_the_clock_was_set_back_tells_no_time(state)
    began = after(START, 61)
    clock[0] = msgspec.structs.replace(after(began, 30), wall_ns=began.wall_ns - 1)
    confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by a clock that is late")
    assert history(state, clock[0]).last == clock[0]
    assert trouble(state, clock[0]) == "ILK-411"
    assert trouble(state, after(clock[0], 1)) == ""


def test_a_date_of_another_start_is_told_by_its_records(state: Path, clock: list[Stamp]):
    """After a restart nothing compares with the boot before: ILK-413 asks a named person, and a stranger is none."""
    restarted = msgspec.structs.replace(JUMPED, boot_id="after a restart", boot_ns=0)
    clock[0] = restarted
    by_eve(state)
    assert trouble(state, restarted) == "ILK-413"
    confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by the radio clock")
    store, _ = opened(state, restarted, "s-2")
    put(store, reserved(after(restarted, 1), 5.0, "s-2"))
    let_go(store)
    assert history(state, after(restarted, 2)).last == after(restarted, 1)
    assert trouble(state, after(restarted, 2)) == ""
