"""Heat of ultrasound by one of three alternatives, each with the inputs that it needs; the dose that a sonication spends."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from safety.limit_values import Limits, Scope
from safety.messages import Reason
from safety.modalities import tus_physics as physics
from safety.modalities.bounds import as_float, check_exact, exact, is_number
from safety.modalities.reasons import ABOVE, reason
from safety.modalities.tus_numbers import (
    BMUS_TIMES,
    EDITION,
    EXPOSURE_TIMES,
    ITRUSST,
    RISE,
    RISE_MAX_C,
    THERMAL_INDEX,
    TI_TIME,
)

_SCOPES: tuple[Scope, ...] = ("session", "24h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heating:
    """What planning simulated: the rise in C per W/cm2 of Ispta in each tissue, and the s until it is gone."""

    brain: Fraction
    bone: Fraction
    skin: Fraction
    cooling_s: Fraction


def heating(limits: Limits) -> Heating | None:
    """The simulated heating; None where a number of it is missing or none, or where heat is held otherwise."""
    given = limits.inputs
    if given.thermal not in ("rise", "dose"):
        return None
    brain, bone = positive(given.rise_brain_c_cm2_per_w), positive(given.rise_bone_c_cm2_per_w)
    skin, cooling = positive(given.rise_skin_c_cm2_per_w), positive(given.cooling_s)
    if brain is None or bone is None or skin is None or cooling is None:
        return None
    return Heating(brain=brain, bone=bone, skin=skin, cooling_s=cooling)


def check_heat(ispta_w_cm2: Fraction, limits: Limits) -> list[Reason]:
    """What heat speaks against, by the alternative of the file. What is missing for it was refused as a fact."""
    simulated = heating(limits)
    if simulated is not None:
        return _check_rise(simulated, ispta_w_cm2, limits)
    index = _thermal_index(ispta_w_cm2, limits)
    return [] if index is None else _check_index(index, limits)


def _check_rise(simulated: Heating, ispta_w_cm2: Fraction, limits: Limits) -> list[Reason]:
    rise_c = max(simulated.brain, simulated.bone, simulated.skin) * ispta_w_cm2
    reasons = check_exact(RISE, rise_c, limits) + check_exact(THERMAL_INDEX, Fraction(0), limits)
    if limits.inputs.thermal == "rise" and not rise_c <= RISE_MAX_C:
        text = f"rise of {as_float(rise_c):.10g} C, tissue limit {RISE_MAX_C} C ({ITRUSST}, {EDITION})"
        reasons.append(_above(text, RISE.name, rise_c, RISE_MAX_C))
    return reasons


def _thermal_index(ispta_w_cm2: Fraction, limits: Limits) -> Fraction | None:
    power = positive(limits.inputs.power_mw_cm2_per_w)
    area = next((positive(contact.area_cm2) for contact in limits.contacts), None)
    if limits.inputs.thermal != "ti" or power is None or area is None:
        return None
    return physics.thermal_index(power * ispta_w_cm2, area)


def _check_index(index: Fraction, limits: Limits) -> list[Reason]:
    """The highest index of a session governs all of it: every budget of time must end where the table does."""
    reasons = check_exact(THERMAL_INDEX, index, limits) + check_exact(RISE, Fraction(0), limits)
    bmus = limits.inputs.exposure_times != "itrusst"
    longest_s = physics.exposure_s(index, physics.BMUS_TIMES if bmus else physics.ITRUSST_TIMES)
    table = BMUS_TIMES if bmus else EXPOSURE_TIMES
    if longest_s is None:
        return reasons
    for scope in _SCOPES:
        budget_s = limits.budget("on_time_s", scope)
        if longest_s == 0 or not exact(budget_s) <= longest_s:
            reasons.append(
                reason(
                    ABOVE,
                    f"TI {as_float(index):.10g} for {budget_s:.10g} s a {scope}, tissue limit {longest_s} s"
                    f" ({table.source.split(':')[0]}, {table.edition})",
                    quantity="on_time_s",
                    value=budget_s,
                    limit=float(longest_s),
                    set_by="tissue",
                )
            )
    return reasons


def doses_min(ispta_w_cm2: Fraction, lasted_s: Fraction, whole_s: Fraction, limits: Limits) -> Doses:
    """Minutes at 43 C of brain, bone and skin in `lasted_s` of `whole_s`; the time until it is cold counts as hot.

    They are counted whichever alternative the file names, for another session of the day may name another. Where heat is
    held by the thermal index, every tissue counts as that many C warmer, as the index is meant, and its time half as much
    again, as the guideline takes a third off the index's times. A steady rise counts more than warming and cooling do
    together, for the dose grows faster than the rise.
    """
    simulated = heating(limits)
    if simulated is None:
        index = _thermal_index(ispta_w_cm2, limits)
        if index is None:
            return Doses(brain=Fraction(0), bone=Fraction(0), skin=Fraction(0))
        each = physics.cem43_per_min(index) * lasted_s * TI_TIME / 60
        return Doses(brain=each, bone=each, skin=each)
    minutes = lasted_s * (whole_s + simulated.cooling_s) / whole_s / 60
    brain, bone, skin = (
        physics.cem43_per_min(rise * ispta_w_cm2) * minutes
        for rise in (simulated.brain, simulated.bone, simulated.skin)
    )
    return Doses(brain=brain, bone=bone, skin=skin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doses:
    """Minutes at 43 C of each tissue."""

    brain: Fraction
    bone: Fraction
    skin: Fraction


def positive(value: float | None) -> Fraction | None:
    """A number of limits.toml that is one, and above zero."""
    return exact(value) if is_number(value, integer=False) and value > 0 else None


def _above(text: str, quantity: str, value: Fraction, limit: float) -> Reason:
    return reason(ABOVE, text, quantity=quantity, value=as_float(value), limit=float(limit), set_by="tissue")
