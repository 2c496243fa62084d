"""Limits of ultrasound, bent; and what both hands say of a sonication."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.capabilities import Envelope
from drivers.stimulation import Train
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities import Facts, check
from safety.oracle import objections
from safety.oracle_numbers import Circumstances
from tests.safety.strategies import FACTS, caps_of, limits_of

TUS = limits_of("tus")
SIMULATED = ("rise_brain_c_cm2_per_w", "rise_bone_c_cm2_per_w", "rise_skin_c_cm2_per_w", "cooling_s")
WIDE = msgspec.structs.replace(
    caps_of("tus"), envelopes={n: Envelope(low=0, high=1e6, step=0) for n in caps_of("tus").envelopes}
)


def with_inputs(limits: Limits, **bent: object) -> Limits:
    return msgspec.structs.replace(limits, inputs=msgspec.structs.replace(limits.inputs, **bent))


def with_time(limits: Limits, seconds: float, scope: str = "") -> Limits:
    """The budgets of time, of one scope or of all, set to this."""
    bent = (
        msgspec.structs.replace(b, high=seconds) if b.name == "on_time_s" and scope in ("", b.scope) else b
        for b in limits.budgets
    )
    return msgspec.structs.replace(limits, budgets=tuple(bent))


def indexed(limits: Limits, power: float, *, table: str = "itrusst", seconds: float = 10.0) -> Limits:
    """Heat held by the thermal index, with this much power per W/cm2."""
    nothing: dict[str, Any] = dict.fromkeys(SIMULATED)
    changed = with_inputs(limits, thermal="ti", exposure_times=table, power_mw_cm2_per_w=power, **nothing)
    return with_time(changed, seconds)


def by_both(train: Train, limits: Limits, facts: Facts = FACTS) -> tuple[Reason, ...]:
    """What the first hand finds, with a device that can do anything; the second must find something where it does."""
    found = check(train, limits, WIDE, facts)
    other = objections(
        train, Circumstances(limits=limits, capabilities=WIDE, today=facts.today, simulated=True)
    )
    assert bool(found) == bool(other), (found, other)
    return found
