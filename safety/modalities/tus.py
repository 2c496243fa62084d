"""Transcranial ultrasound: limits of a sonication, whose pulses, trains and length are fields of their own.

Mechanically the index in the brain counts, thermally one of three alternatives, named in limits.toml with its inputs:
the rise of temperature that planning simulated ("rise"), the dose that follows from it ("dose"), or the thermal index
with its exposure times ("ti"). What an alternative needs and the file lacks is a refusal.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import msgspec

from drivers.capabilities import Capabilities
from drivers.stimulation import Sonication, Train, n_pulses, quantities
from safety.limit_values import Limits, is_iso_date
from safety.messages import Reason, Row
from safety.modalities import tus_physics as physics
from safety.modalities.bounds import (
    as_float,
    check_exact,
    check_kind,
    check_value,
    effective_rows,
    exact,
    is_number,
    is_plain,
    layers,
    shown,
    within,
)
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Exposure, Facts
from safety.modalities.reasons import ABOVE, FACT_MISSING, FACT_OUTDATED, NESTING, OUTPUTS, reason
from safety.modalities.rules import DeclaredContacts, ModalityRules, WrongTrain, needed
from safety.modalities.tus_numbers import (
    AMPLITUDE,
    ASKED,
    BUDGETS,
    CHOICES,
    DATES,
    FORMULAS,
    FREQUENCY,
    INPUTS,
    INTERVAL,
    ISPPA,
    ISPTA,
    MECHANICAL_INDEX,
    QUANTITIES,
    SPACING,
    TRACK3,
    TRACK3_ISPPA_W_CM2,
    TRACK3_ISPTA_MW_CM2,
)
from safety.modalities.tus_thermal import check_heat, doses_min, positive


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses this sonication, but for the pause since the last one."""
    reasons = list(check_facts(limits, facts))
    wrong = check_kind(train, limits, caps)
    if wrong:
        return (*reasons, *wrong)
    wave, asked = sonication_of(train), quantities(train)
    for declared in ASKED:
        reasons += check_value(declared, asked[declared.name], limits, caps)
    reasons += _check_transducer(train, limits, caps)
    timing = _check_timing(wave)
    return (*reasons, *timing, *_check_pressure(wave, limits, timed=not timing))


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts; that nothing excludes the participant today; what the planning gave; the chosen alternatives."""
    reasons = [*dated_facts(limits, facts)]
    given = limits.inputs
    for choice in CHOICES:
        chosen: str | None = getattr(given, choice.name)
        if needed(choice.only, given) and chosen not in choice.options:
            reasons.append(_missing(f"which of {', '.join(choice.options)}", choice.name))
    for declared in INPUTS:
        value = positive(getattr(given, declared.name))
        known = value is not None and within(value, declared.low, declared.high)
        if needed(declared.only, given) and not known:
            ends = f"from {declared.low:g} to {declared.high:g} {declared.unit}"
            reasons.append(_missing(f"{declared.name} {ends}", declared.name))
    reasons += _check_day(given.planned_on, facts.today, "planned_on", "the planning", today=False)
    reasons += _check_day(given.no_exclusion_on, facts.today, "no_exclusion_on", "the screening", today=True)
    return tuple(reasons)


def _check_day(on: str | None, now: str, name: str, what: str, *, today: bool) -> list[Reason]:
    """Screening is of the very day (contrast agents come and go), planning of any day before."""
    if not is_iso_date(on):
        return [_missing(f"the date of {what}", name)]
    if (on == now if today else on <= now) or not is_iso_date(now):
        return []
    return [reason(FACT_OUTDATED, f"{what} is of {on}, today is {shown(now)}", quantity=name)]


def _missing(what: str, name: str) -> Reason:
    return reason(FACT_MISSING, what, quantity=name)


def _check_transducer(train: Train, limits: Limits, caps: Capabilities) -> list[Reason]:
    """One transducer, known to the file with its aperture and to the device, with the whole amplitude."""
    if len(train.outputs) != 1:
        return [reason(OUTPUTS, f"{len(train.outputs)} outputs, expected one transducer")]
    reasons, output = [], train.outputs[0]
    contact, name = limits.contact(output.name), shown(output.name)
    if contact is None:
        reasons.append(reason(OUTPUTS, f"transducer {name} is not in limits.toml", set_by="protocol"))
    elif positive(contact.area_cm2) is None:
        reasons.append(_missing(f"the aperture of {name}", "area_cm2"))
    if output.name not in caps.outputs:
        reasons.append(reason(OUTPUTS, f"the device has no transducer {name}", set_by="device"))
    if not (is_number(output.share, integer=False) and output.share == 1):
        text = f"the transducer's share is {shown(output.share)}, expected 1"
        reasons.append(reason(OUTPUTS, text, limit=1.0))
    return reasons


def _check_timing(wave: Sonication) -> list[Reason]:
    """Pulses inside their interval, that inside a train, trains inside theirs; a train inside the sonication."""
    times = (
        wave.pulse_us,
        wave.pulse_interval_us,
        wave.train_ms,
        wave.train_interval_ms,
        wave.sonication_ms,
    )
    if not all(is_plain(each, integer=True) and each > 0 for each in times):
        return [reason(NESTING, "a time that is zero or no whole number")]
    pulse_us, interval_us, train_us, repeat_us, whole_us = (*times[:2], *(1000 * each for each in times[2:]))
    nested = (
        ("pulse_us", pulse_us, "pulse_interval_us", interval_us),
        ("pulse_interval_us", interval_us, "train_ms", train_us),
        ("train_ms", train_us, "train_interval_ms", repeat_us),
        ("train_ms", train_us, "sonication_ms", whole_us),
    )
    return [
        reason(
            NESTING,
            f"{inner} of {inside} us is longer than {outer} of {outside} us",
            quantity=inner,
            value=float(inside),
            limit=float(outside),
        )
        for inner, inside, outer, outside in nested
        if not inside <= outside
    ]


def _check_pressure(wave: Sonication, limits: Limits, *, timed: bool) -> list[Reason]:
    """What follows from the pressure; a number that is none was refused already."""
    transmission = positive(limits.inputs.transmission)
    if transmission is None or not is_plain(wave.amplitude_mpa_water, integer=False):
        return []
    water_mpa = abs(exact(wave.amplitude_mpa_water))
    brain_mpa = water_mpa * transmission
    reasons: list[Reason] = []
    if is_plain(wave.frequency_khz, integer=False) and wave.frequency_khz > 0:
        index = physics.mechanical_index(brain_mpa, exact(wave.frequency_khz))
        reasons += check_exact(MECHANICAL_INDEX, index, limits)
    isppa, duty = physics.isppa_w_cm2(brain_mpa), physics.duty(wave) if timed else Fraction(0)
    reasons += check_exact(ISPPA, isppa, limits)
    if timed:
        reasons += check_exact(ISPTA, isppa * duty * 1000, limits) + check_heat(isppa * duty, limits)
    if limits.inputs.diagnostic != "none":
        reasons += _check_track3(physics.isppa_w_cm2(water_mpa), duty)
    return reasons


def _check_track3(isppa_w_cm2: Fraction, duty: Fraction) -> list[Reason]:
    """Diagnostic ultrasound is held to intensities derated from water by 0.3 dB/cm/MHz; here they are not derated."""
    return [
        reason(
            ABOVE,
            f"{what} in water {as_float(value):.10g} {unit}, tissue limit {high} ({TRACK3.source}, {TRACK3.edition})",
            quantity=quantity,
            value=as_float(value),
            limit=float(high),
            set_by="tissue",
        )
        for what, quantity, value, unit, high in (
            ("Isppa", ISPPA.name, isppa_w_cm2, "W/cm2", TRACK3_ISPPA_W_CM2),
            ("Ispta", ISPTA.name, isppa_w_cm2 * duty * 1000, "mW/cm2", TRACK3_ISPTA_MW_CM2),
        )
        if not value <= high
    ]


def interval_after_ns(train: Train, limits: Limits) -> int:
    """The longest of the layers' pauses."""
    return ceil(max(exact(bound.low) for bound in layers(INTERVAL, limits)) * 1_000_000_000)


def rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    """The effective rows, the pressure in water brought down to what the index in the brain leaves at any frequency."""
    found = effective_rows(QUANTITIES, limits, caps)
    high = {row.quantity: row.high for row in found}
    transmission = positive(limits.inputs.transmission)
    most = Fraction(0)
    if transmission is not None:
        most_mi, most_mhz = exact(high[MECHANICAL_INDEX.name]), exact(high[FREQUENCY.name]) / 1000
        most = physics.root_up(most_mi**2 * most_mhz) / transmission
    most_mpa = ceil(most * 1_000_000_000) / 1_000_000_000
    source = f"MI {high[MECHANICAL_INDEX.name]:g} at {high[FREQUENCY.name]:g} kHz through the skull"
    return tuple(
        msgspec.structs.replace(row, high=most_mpa, set_by="tissue", source=source)
        if row.quantity == AMPLITUDE.name and most_mpa < row.high
        else row
        for row in found
    )


def amplitude_ceiling(effective: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int) -> float:
    """The highest pressure in water that any frequency lets pass; a pulse has no slew."""
    return next(row.high for row in effective if row.quantity == AMPLITUDE.name)


def exposure(train: Train, span_ns: int, reached_mpa_water: float) -> Exposure:
    """Time and pulses of a span, both ends included; an impossible span counts as the whole."""
    wave = sonication_of(train)
    span = span_ns if span_ns >= 0 else wave.sonication_ms * 1_000_000
    count = min(n_pulses(train), span // (wave.pulse_interval_us * 1000) + 1)
    return Exposure(on_time_s=-(-span // 1000) / 1_000_000, charge_c=0.0, n_pulses=count)


def heat(train: Train, span_ns: int, reached_mpa_water: float, limits: Limits) -> Exposure:
    """Thermal dose of a span, at the pressure that was asked for or a greater one that was reached: a span between two
    pulses, in which nothing comes out, is as warm as the others. An impossible span counts as the whole.

    The dose of the time until the tissue is cold again is spread over the sonication, so that spans add up to it.
    """
    wave = sonication_of(train)
    whole_ns = wave.sonication_ms * 1_000_000
    water_mpa = exact(wave.amplitude_mpa_water)
    if is_number(reached_mpa_water, integer=False):
        water_mpa = max(water_mpa, exact(reached_mpa_water))
    brain_mpa = water_mpa * (positive(limits.inputs.transmission) or 1)
    dose = doses_min(
        physics.isppa_w_cm2(brain_mpa) * physics.duty(wave),
        Fraction(span_ns if span_ns >= 0 else whole_ns, 1_000_000_000),
        Fraction(whole_ns, 1_000_000_000),
        limits,
    )
    return Exposure(
        on_time_s=0.0,
        charge_c=0.0,
        n_pulses=0,
        cem43_brain_min=_up(dose.brain),
        cem43_bone_min=_up(dose.bone),
        cem43_skin_min=_up(dose.skin),
    )


def sonication_of(train: Train) -> Sonication:
    """The sonication of a permitted train; raises WrongTrain."""
    if not (isinstance(train.waveform, Sonication) and train.modality == "tus"):
        raise WrongTrain(f"{train.modality} without a sonication")
    return train.waveform


def _up(minutes: Fraction) -> float:
    return ceil(minutes * 10**12) / 10**12


def _no_slew(train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
    """Each pulse begins and ends at zero."""
    return ()


RULES = ModalityRules(
    quantities=QUANTITIES,
    budgets=BUDGETS,
    spacing=SPACING,
    formulas=FORMULAS,
    # One transducer. Its active aperture: own choice: 3 mm to 20 cm across; mm2 or m2 taken for cm2 fall outside.
    contacts=DeclaredContacts(fewest=1, most=1, area_low_cm2=0.07, area_high_cm2=320.0),
    inputs=INPUTS,
    choices=CHOICES,
    dates=DATES,
    stop="cut",
    check=check,
    check_facts=check_facts,
    check_slew=_no_slew,
    rows=rows,
    amplitude_ceiling=amplitude_ceiling,
    exposure=exposure,
    heat=heat,
    interval_after_ns=interval_after_ns,
)
