"""The oracle's own account of earlier sessions: it agrees with the first hand, and objects to a ledger that forgot them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Modality
from safety.exposures import NOTHING
from safety.history import Past
from safety.limit_values import Budget
from safety.modalities import Exposure, budgets_of, spacing_of
from safety.oracle_ledger import check_ledger
from safety.oracle_windows import DAY_NS, GAP_S, LONG, MOST, WASHOUT_S, Earlier
from safety.verify import verify
from safety.windows import Session, exceeded, waits
from tests.safety.histories import NEW, history_with, past
from tests.safety.ledgers import SOFTWARE, write
from tests.safety.test_oracle_ledger import Ledger, at, good, with_rules
from tests.safety.world import T0, World, rules_of

F, S, WALL_NS = Fraction, 1_000_000_000, T0.wall_ns
LIMITS = rules_of().limits


def over(*sessions: Past, used: float = 0.0, wall_ns: int = WALL_NS, **bent: object) -> list[str]:
    earlier = Earlier(limits=msgspec.structs.replace(LIMITS, **bent), history=history_with(*sessions))
    return list(earlier.over({"on_time_s": F(repr(used))}, wall_ns))


@pytest.mark.parametrize("modality", get_args(Modality))
def test_the_first_hand_s_longer_bounds_and_spacings_are_not_wider(modality: Modality):
    declared = {(b.scope, b.name): b.high for b in budgets_of(modality) if b.scope in (*LONG, "in_a_row")}
    for key, high in declared.items():
        assert F(repr(high)) <= MOST[modality].get(key, F(0)), key
    for spacing in spacing_of(modality):
        least = {"gap_s": GAP_S[modality], "washout_s": WASHOUT_S}[spacing.name]
        assert F(repr(spacing.low)) >= least


@pytest.mark.parametrize("scope", ["24h", "7d"])
def test_a_window_ends_when_all_of_it_lies_behind_a_session(scope: str):
    window_ns = {"24h": DAY_NS, "7d": 7 * DAY_NS}[scope]
    high = {"24h": 3600.0, "7d": 25_200.0}[scope]
    session = past(WALL_NS, on_time_s=high)
    said = f"on_time_s in {scope}"
    assert any(said in line for line in over(session, used=0.001, wall_ns=WALL_NS + window_ns - 1))
    assert not any(said in line for line in over(session, used=0.001, wall_ns=WALL_NS + window_ns))
    assert not any(said in line for line in over(session, wall_ns=WALL_NS + window_ns - 1))


def test_counts_courses_days_and_other_modalities():
    many = [past(WALL_NS - n, on_time_s=1.0) for n in range(4)]
    assert over(*many) == ["n_sessions in 24h: 5.0 of 4.0"]
    assert over(*many[1:]) == []
    old = past(WALL_NS - 30 * DAY_NS, on_time_s=108_000.0)
    assert over(old, used=0.5) == ["on_time_s in course: 108000.5 of 108000.0"]
    assert over(past(WALL_NS, "rtms", on_time_s=9e9)) == []
    cap = Budget(
        name="n_days", scope="in_a_row", unit="d", high=2.0, source="s", edition="1", status="verified"
    )
    two = [past(WALL_NS - n * DAY_NS, on_time_s=1.0) for n in (1, 2)]
    assert over(*two, budgets=(*LIMITS.budgets, cap)) == ["n_days in in_a_row: 3.0 of 2.0"]
    assert over(two[0], budgets=(*LIMITS.budgets, cap)) == []
    other = past(WALL_NS - 2 * DAY_NS, "rtms", n_pulses=1)
    assert over(two[0], other, budgets=(*LIMITS.budgets, cap)) == []
    course = [b for b in rules_of("rtms").limits.budgets if (b.scope, b.name) == ("course", "n_sessions")]
    pulses = Earlier(
        limits=rules_of("rtms").limits,
        history=history_with(*(past(WALL_NS - n * DAY_NS, "rtms", n_pulses=1) for n in range(2, 52))),
    )
    assert list(pulses.over({}, WALL_NS)) == [f"n_sessions in course: 51.0 of {course[0].high}"]


def test_a_missing_row_allows_nothing_and_a_row_narrows_the_bound():
    assert set(over(used=1.0, budgets=())) == {
        "on_time_s in 24h: 1.0 of 0.0",
        "on_time_s in 7d: 1.0 of 0.0",
        "on_time_s in course: 1.0 of 0.0",
        "n_sessions in 24h: 1.0 of 0.0",
    }
    wide = tuple(msgspec.structs.replace(b, high=1e9) for b in LIMITS.budgets)
    assert over(past(WALL_NS, on_time_s=3600.0), used=1.0, budgets=wide) == [
        "on_time_s in 24h: 3601.0 of 3600.0"
    ]
    narrow = tuple(msgspec.structs.replace(b, high=7.0) for b in LIMITS.budgets if b.scope != "session")
    assert len(over(used=7.5, budgets=narrow)) == 3
    nan = tuple(msgspec.structs.replace(b, high=math.nan) for b in LIMITS.budgets)
    assert len(over(used=0.5, budgets=nan)) == 4


def test_what_is_no_number_is_objected_to():
    assert over(past(WALL_NS, on_time_s=math.nan)) == [
        "on_time_s in 24h: no number of 3600.0",
        "on_time_s in 7d: no number of 25200.0",
        "on_time_s in course: no number of 108000.0",
    ]


def test_gap_and_wash_out():
    earlier = Earlier(limits=LIMITS, history=history_with(past(WALL_NS, on_time_s=1.0)))
    assert list(earlier.too_soon(WALL_NS + 1500 * S)) == []
    assert list(earlier.too_soon(WALL_NS + 1500 * S - 1)) == ["gap_s: 1500 s after a session of tacs"]
    other = Earlier(limits=LIMITS, history=history_with(past(WALL_NS, "rtms", n_pulses=1)))
    assert list(other.too_soon(WALL_NS + DAY_NS)) == []
    assert list(other.too_soon(WALL_NS + 3600 * S)) == ["washout_s: 3600 s after a session of rtms"]
    bare = Earlier(limits=msgspec.structs.replace(LIMITS, spacing=()), history=NEW)
    assert list(bare.too_soon(WALL_NS)) == ["gap_s: no row says it", "washout_s: no row says it"]
    short = msgspec.structs.replace(
        LIMITS, spacing=tuple(msgspec.structs.replace(s, low=0.0) for s in LIMITS.spacing)
    )
    assert len(list(Earlier(limits=short, history=earlier.history).too_soon(WALL_NS))) == 1


SESSIONS = st.lists(
    st.builds(
        past,
        st.integers(WALL_NS - 9 * DAY_NS, WALL_NS),
        st.sampled_from(["tacs", "rtms"]),
        on_time_s=st.sampled_from([0.1, 0.2, 100.0, 1200.0, 3600.0]),
        n_pulses=st.sampled_from([0, 10, 3000]),
    ),
    max_size=6,
)


@given(
    sessions=SESSIONS,
    modality=st.sampled_from(["tacs", "rtms"]),
    own=st.sampled_from([0.1, 600.0, 1200.0]),
    pulses=st.sampled_from([1, 1000]),
    wait_ns=st.integers(0, 8 * DAY_NS),
)
@settings(max_examples=150, deadline=None)
def test_where_the_first_hand_permits_the_second_does_not_object(
    sessions: list[Past], modality: Modality, own: float, pulses: int, wait_ns: int
):
    limits, history = rules_of(modality).limits, history_with(*sessions)
    now = msgspec.structs.replace(T0, wall_ns=WALL_NS + wait_ns)
    spent = Exposure(on_time_s=own, charge_c=0.0, n_pulses=pulses)
    refused = [
        f"{each.budget.name} in {each.budget.scope}"
        for each in exceeded(limits, history, Session(pulse=NOTHING, train=NOTHING, all=spent), now)
        if each.budget.scope != "session"
    ]
    earlier = Earlier(limits=limits, history=history)
    objected = [
        text.split(":")[0]
        for text in earlier.over({"on_time_s": F(repr(own)), "n_pulses": F(pulses)}, now.wall_ns)
    ]
    assert sorted(objected) == sorted(refused)
    assert bool(waits(limits, history, now.wall_ns)) == bool(list(earlier.too_soon(now.wall_ns)))


def after(ledger: Ledger, *sessions: Past) -> Ledger:
    """The same ledger, had these sessions gone before."""
    genesis = ledger[0]
    return at(ledger, 0, rules=msgspec.structs.replace(genesis.rules, history=history_with(*sessions)))  # type: ignore[union-attr]


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_a_session_after_others_is_decided_again_from_its_genesis(modality: Modality, tmp_path: Path):
    """Refused while the gap runs, permitted after it, and refused by the day's budget: all of it from the ledger alone."""
    gap_ns = int(GAP_S[modality]) * S
    amount = {"on_time_s": 3600.0 - 0.8} if modality == "tacs" else {"n_pulses": 12_960 - 50}
    history = history_with(past(WALL_NS - gap_ns + 2 * S, modality, **amount))  # type: ignore[arg-type]
    world = World(msgspec.structs.replace(rules_of(modality), history=history)).armed()
    assert world.codes(world.ask()) == {"ILK-315"}
    world.run_ms(2_500)
    assert world.codes(world.ask()) == set()
    world.run_ms(16_000 if modality == "rtms" else 1_700)
    assert "ILK-308" in world.codes(world.ask())
    verdict = verify(write(tmp_path, world, closed=False), SOFTWARE)
    assert (verdict.execution, verdict.problems, verdict.oracle) == ("same", (), ())
    assert verdict.permits >= 1


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_a_ledger_that_forgot_earlier_sessions_is_objected_to(modality: Modality):
    ledger = good(modality)
    assert check_ledger(ledger) == ()
    amount = {"on_time_s": 3600.0} if modality == "tacs" else {"n_pulses": 12_960}
    long_ago = past(WALL_NS - 4 * 3600 * S, modality, **amount)  # type: ignore[arg-type]
    found = check_ledger(after(ledger, long_ago))
    assert found and all("in 24h: " in text for text in found)
    soon = past(WALL_NS - 60 * S, modality, on_time_s=1.0)
    assert any("gap_s: " in text for text in check_ledger(after(ledger, soon)))
    other = past(WALL_NS - 4 * 3600 * S, "rtms" if modality == "tacs" else "tacs", on_time_s=1.0)
    assert any("washout_s: " in text for text in check_ledger(after(ledger, other)))
    assert any("gap_s: no row" in text for text in check_ledger(with_rules(ledger, spacing=())))
