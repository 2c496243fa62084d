"""Protocols of shorter runs and trains than the absolute bounds allow, so that their ends come soon."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from safety.limit_values import Budget, Limit
from safety.state import Rules
from tests.safety.world import bend_rules, rules_of

H = TypeVar("H", Budget, Limit)


def _until(each: Iterable[H], picked: Callable[[H], bool], high: float) -> tuple[H, ...]:
    return tuple(msgspec.structs.replace(one, high=high) if picked(one) else one for one in each)


@functools.cache
def shorter_runs(seconds: float) -> Rules:
    """Of a nerve: holds without a pause last so long at most."""
    rules = rules_of("pns")
    budgets = _until(rules.limits.budgets, lambda each: each.scope == "train", seconds)
    return bend_rules(rules, budgets=budgets)


@functools.cache
def shorter_trains(train_s: float) -> Rules:
    """Of continuous theta bursts: all segments of a train together last so long at most."""
    rules = rules_of("ctbs")
    rows = _until(rules.limits.rows, lambda row: row.quantity == "train_s", train_s)
    return bend_rules(rules, rows=rows)
