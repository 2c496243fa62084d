"""What a permitted train comes to, quantity by quantity: the numbers that it was asked with, and those that the limits
compute of it (density, charge, indices). Pure; for people who read a ledger, and by the deciding code itself.

The rules say a computed number only where they refuse it. So the train is put before limits whose computed quantities
allow nothing, and each refusal tells its value.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from drivers.capabilities import Capabilities
from drivers.stimulation import Train, quantities
from safety.limit_values import Limit, Limits
from safety.messages import Row
from safety.modalities import Declared, Facts, check, quantities_of, rows

NOWHERE = -1e300  # below every number that a train has
_NO_FACTS = Facts(today="", impedance_kohm=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """One effective limit of a train, its value, and the room that is left, as a part of the limit's own size. `more`: a
    greater value is more output: it is computed, or falls in a step down."""

    row: Row
    value: float
    limit: float
    room: float
    more: bool


def values_of(train: Train, limits: Limits, caps: Capabilities) -> dict[str, float]:
    """Every quantity of the limits that this permitted train has a number for, in the order of the limits; of several (a
    contact each) the one nearest to the limit. What needs more than the train (slew, impedance) is not in it."""
    computed = _computed(train, limits, caps)
    found = {**quantities(train), **computed}
    return {
        each.name: float(found[each.name]) for each in quantities_of(limits.modality) if each.name in found
    }


def _computed(train: Train, limits: Limits, caps: Capabilities) -> dict[str, float]:
    declared = {each.name: each for each in quantities_of(limits.modality) if not each.asked}
    others = tuple(row for row in limits.rows if row.quantity not in declared)
    nothing = tuple(_nowhere(each) for each in declared.values())
    found: dict[str, float] = {}
    for reason in check(train, msgspec.structs.replace(limits, rows=others + nothing), caps, _NO_FACTS):
        each = declared.get(reason.quantity)
        if each is None or reason.set_by != "protocol":
            continue
        nearer = min if each.sides == "min" else max
        found[each.name] = nearer(reason.value, found.get(each.name, reason.value))
    return found


def _nowhere(declared: Declared) -> Limit:
    """A row that no number is inside of."""
    return Limit(
        quantity=declared.name,
        unit=declared.unit,
        low=NOWHERE,
        high=NOWHERE,
        layer="protocol",
        source="",
        edition="",
        status="unverified",
    )


def nearnesses(train: Train, limits: Limits, caps: Capabilities) -> tuple[Nearness, ...]:
    """How near a permitted train comes to each of its effective limits, the nearest first."""
    values = values_of(train, limits, caps)
    declared = {each.name: each for each in quantities_of(limits.modality)}
    found = (
        _nearness(row, values[row.quantity], declared[row.quantity])
        for row in rows(limits, caps)
        if row.quantity in values
    )
    return tuple(sorted(found, key=lambda each: each.room))


def _nearness(row: Row, value: float, declared: Declared) -> Nearness:
    low_side = declared.sides == "min"
    limit = row.low if low_side else row.high
    left = value - limit if low_side else limit - value
    room = left / abs(limit) if limit else left
    more = declared.down == "less" or not declared.asked
    return Nearness(row=row, value=value, limit=limit, room=room, more=more)
