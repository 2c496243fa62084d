"""Words and numbers of the page: what a quantity is called, its unit, how many rows a table shows. Pure."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Final

from controller.finished.screen import number
from safety.limit_values import Limits

ROWS_MAX: Final = 100  # own choice: a table beyond it is read with `nociloop ledger show`, not on paper
DIGITS: Final = 4  # own choice: finer than any device here is set or believed

BUDGETS: Final[Mapping[str, str]] = {
    "on_time_s": "time of output",
    "charge_c": "charge",
    "n_pulses": "pulses",
    "n_sessions": "sessions with output",
    "n_days": "days in a row with output",
    "cem43_brain_min": "thermal dose of the brain",
    "cem43_bone_min": "thermal dose of bone",
    "cem43_skin_min": "thermal dose of the skin",
}
SCOPES: Final[Mapping[str, str]] = {
    "pulse": "each pulse",
    "train": "each train",
    "session": "this session",
    "24h": "24 hours",
    "7d": "7 days",
    "course": "whole course",
    "in_a_row": "up to today",
}


def budget_words(name: str) -> str:
    """A budget's quantity in words; its key where there are none."""
    return BUDGETS.get(name, name)


def units_of(limits: Limits, rows: Mapping[str, str]) -> Mapping[str, str]:
    """The unit of everything that a refusal may name: the effective rows, budgets, spacing."""
    return {
        **{each.name: each.unit for each in limits.budgets},
        **{each.name: each.unit for each in limits.spacing},
        **rows,
    }


def shortened(value: float, against: float = math.nan) -> str:
    """A number of four digits; all of them where four would hide that it is not `against`."""
    if math.isfinite(value) and value != against and number(value, DIGITS) == number(against, DIGITS):
        return f"{value:.12g}"
    return number(value, DIGITS)


def few(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The first rows, and a row that says how many more there are."""
    shown = [tuple(row) for row in rows[:ROWS_MAX]]
    more = len(rows) - ROWS_MAX
    if more > 0:
        shown.append(("…", f"and {more} more: nociloop ledger show", *("" for _ in rows[0][2:])))
    return shown


def utc(wall_ns: int, span_s: float) -> str:
    """Time of day so many seconds after a wall time; a dash for what no calendar has."""
    try:
        began = datetime.datetime.fromtimestamp(wall_ns / 1e9, tz=datetime.UTC)
        return (began + datetime.timedelta(seconds=span_s)).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "–"


def drifted(drift_s: float) -> str:
    """Milliseconds with their sign; what rounds to nothing has none."""
    return f"{round(drift_s * 1e3, 1) or 0.0:+,.1f} ms" if math.isfinite(drift_s) else "–"
