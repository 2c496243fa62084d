"""Protocols of shorter runs and trains than the absolute bounds allow, so that their ends come soon."""

from __future__ import annotations

import functools

import msgspec

from safety.state import Rules
from tests.safety.world import bend_rules, rules_of


@functools.cache
def shorter_runs(seconds: float) -> Rules:
    """Of a nerve: holds without a pause last so long at most."""
    rules = rules_of("pns")
    budgets = tuple(
        msgspec.structs.replace(each, high=seconds) if each.scope == "train" else each
        for each in rules.limits.budgets
    )
    return bend_rules(rules, budgets=budgets)


@functools.cache
def shorter_trains(train_s: float) -> Rules:
    """Of continuous theta bursts: all segments of a train together last so long at most."""
    rules = rules_of("ctbs")
    rows = tuple(
        msgspec.structs.replace(row, high=train_s) if row.quantity == "train_s" else row
        for row in rules.limits.rows
    )
    return bend_rules(rules, rows=rows)
