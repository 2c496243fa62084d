"""Sessions of a participant who has had others: the verdict on the first request, and what keeps one from being ready."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from safety.history import Past, Stamp
from safety.limit_values import Budget
from tests.safety.histories import BOOT, history_with, past
from tests.safety.world import T0, World, bend_rules, rules_of

HOUR_NS = 3_600_000_000_000


def after(*sessions: Past, budget: Budget | None = None) -> Callable[[], set[str]]:
    """The verdict on the first request of a session after these."""

    def ask() -> set[str]:
        rules = msgspec.structs.replace(rules_of(), history=history_with(*sessions))
        if budget is not None:
            rules = bend_rules(rules, budgets=(*rules.limits.budgets, budget))
        world = World(rules).armed()
        return world.codes(world.ask())

    return ask


SECOND_DAY = Budget(
    name="n_days", scope="in_a_row", unit="days", high=1.0, source="s", edition="1", status="verified"
)
WALL_NS = T0.wall_ns


# What of the clocks keeps a session from being ready.
CLOCKS: dict[str, dict[str, object]] = {
    "ILK-411": {"last": Stamp(boot_id="another", boot_ns=0, wall_ns=WALL_NS + 10**12)},
    "ILK-412": {"last": Stamp(boot_id=BOOT, boot_ns=T0.boot_ns - 10**12, wall_ns=WALL_NS - 2 * 10**12)},
    "ILK-413": {"vouched": False},
}


def with_history(**bent: object) -> World:
    history = history_with(past(WALL_NS - 100 * HOUR_NS, on_time_s=1.0))
    rules = msgspec.structs.replace(rules_of(), history=msgspec.structs.replace(history, **bent))
    return World(rules).open().join().run_ms(100)
