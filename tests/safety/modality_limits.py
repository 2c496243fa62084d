"""What the tests of all modalities share: the quantities that are asked, limits without layers, codes of reasons."""

from __future__ import annotations

import functools

from drivers.stimulation import Modality
from safety.exposures import spent_of
from safety.limits import Limits, load
from safety.messages import Reason
from safety.modalities import Exposure, quantities_of
from tests.safety.strategies import MODALITIES, document, row, to_toml

ASKED = [(m, d.name) for m in MODALITIES for d in quantities_of(m) if d.asked]


def codes(found: tuple[Reason, ...], quantity: str = "") -> list[str]:
    return [reason.code for reason in found if not quantity or reason.quantity == quantity]


@functools.cache
def without_layers(modality: Modality) -> Limits:
    """Limits whose every row holds the absolute bound."""
    doc = document(modality)
    for declared in quantities_of(modality):
        both = {"min": declared.low, "max": declared.high}
        ends = both if declared.sides == "both" else {declared.sides: both[declared.sides]}
        if declared.integer:
            ends = {key: int(value) for key, value in ends.items()}
        doc["protocol_limits"][declared.name] = row(declared, ends)
    return load(to_toml(doc))


def over_session(limits: Limits, spent: Exposure) -> tuple[str, ...]:
    """The budgets of a session that this exceeds."""
    budgets = [budget for budget in limits.budgets if budget.scope == "session"]
    return tuple(budget.name for budget in budgets if spent_of(spent, budget.name) > budget.high)
