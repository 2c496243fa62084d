"""What has room for another session: the last of it, none, and what is no number."""

from __future__ import annotations

import math

import pytest

from safety.limit_values import Budget
from safety.windows import _has_room as has_room
from tests.safety.histories import history_with, past
from tests.safety.world import T0

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
