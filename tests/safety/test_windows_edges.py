"""What of a budget is left, and which clock is right: the last of it, none, and what is no number."""

from __future__ import annotations

import math

import msgspec
import pytest

from safety import windows
from safety.exposures import NOTHING
from safety.limit_values import Budget
from safety.windows import SURELY, Session, clock_trouble, exceeded
from safety.windows import _has_room as has_room
from tests.safety.histories import NEW, history_with, past
from tests.safety.world import T0, rules_of

WALL_NS = T0.wall_ns


@pytest.mark.parametrize(
    ("name", "high", "has"),
    [
        ("on_time_s", 60.0, False), ("on_time_s", math.nextafter(60.0, 61.0), True),
        ("n_sessions", 2, False), ("n_sessions", 3, True),
        ("n_days", 0, False), ("n_days", 1, True),
        ("on_time_s", math.nan, False), ("n_sessions", math.inf, False), ("n_days", math.inf, False),
    ],
)  # fmt: skip
def test_a_budget_has_room_or_has_none(name: str, high: float, has: bool):
    scope = "in_a_row" if name == "n_days" else "24h"
    budget = Budget(name=name, scope=scope, unit="u", high=high, source="s", edition="1", status="verified")  # type: ignore[arg-type]
    history = history_with(past(WALL_NS - 5, on_time_s=20.0), past(WALL_NS, on_time_s=40.0))
    assert has_room(budget, "tacs", history, T0) is has
    odd = history_with(past(WALL_NS, on_time_s=math.nan))
    assert name != "on_time_s" or has_room(budget, "tacs", odd, T0) is False


@pytest.mark.parametrize(("above", "summed"), [(False, False), (True, True)])
def test_what_surely_fits_is_not_summed(above: bool, summed: bool, monkeypatch: pytest.MonkeyPatch):
    """Up to one part in 10^9 below a budget floats alone show that it holds; from there on it is reckoned exactly."""
    limits = rules_of().limits
    (budget,) = (b for b in limits.budgets if (b.scope, b.name) == ("session", "on_time_s"))
    some = msgspec.structs.replace(
        limits, budgets=(*(b for b in limits.budgets if b.name != "on_time_s"), budget)
    )
    spent = budget.high * SURELY
    spent = math.nextafter(spent, math.inf) if above else spent
    session = Session(pulse=NOTHING, train=NOTHING, all=msgspec.structs.replace(NOTHING, on_time_s=spent))
    asked: list[Budget] = []
    monkeypatch.setattr(windows, "budgets_in_force", lambda limits: limits.budgets)
    total = windows._total

    def reckoned(line: windows._Line, *rest: object) -> object:
        asked.append(line.budget)
        return total(line, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(windows, "_total", reckoned)
    assert exceeded(some, NEW, session, T0) == ()
    assert (budget in asked) is summed


@pytest.mark.parametrize(("ahead_ns", "code"), [(0, ""), (1, "ILK-411"), (-1, "")])
def test_a_wall_clock_before_anything_that_the_store_says_is_refused(ahead_ns: int, code: str):
    history = msgspec.structs.replace(NEW, latest_wall_ns=WALL_NS + ahead_ns)
    assert clock_trouble(history, T0) == code


@pytest.mark.parametrize("offset_s", [-43_200, -3_600, 0, 3_600, 50_400])
def test_a_day_begins_at_the_sites_own_midnight_to_the_nanosecond(offset_s: int):
    midnight_ns = 20_000 * windows.DAY_NS - offset_s * 10**9
    history = history_with(utc_offset_s=offset_s)
    assert (windows._day(history, midnight_ns), windows._day(history, midnight_ns - 1)) == (20_000, 19_999)
