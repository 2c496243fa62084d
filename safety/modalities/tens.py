"""Electrical stimulation of nerves through the skin (TENS): limits of held, charge-balanced pulses.

What stands behind the numbers is IEC 60601-2-10. **It excludes implanted electrodes, stimulation of the brain and
neurological research**, so that these limits take electrodes on limbs, back and abdomen alone: `place` of each contact
says where it lies, and there is no word for the head, the neck or the chest. Currents are held as peaks, the stricter
reading of the standard's; the second phase is never higher than the first, and carries its charge back, so that no
direct current is left by construction.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from drivers.stimulation import Hold, Pulses, Train
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities import skin
from safety.modalities.bounds import as_float, check_exact, exact, is_number, is_plain
from safety.modalities.quantities import Facts
from safety.modalities.reasons import ATTENTION, FACT_MISSING, TIMING, reason
from safety.modalities.tens_numbers import (
    AMPLITUDE,
    ASKED,
    BUDGETS,
    CONTACTS,
    DENSITY_RMS,
    ENERGY,
    OPEN_CIRCUIT,
    PULSES,
    SLEW_RATE,
    SPACING,
)

ATTENTION_MA_CM2 = 2  # IEC 60601-2-10: above this, r.m.s., the operator's attention is needed
LOAD_OHM = 500
ROOT_STEP = 10**9  # roots are taken up to the next thousand-millionth


def carried(train: Train) -> Pulses | None:
    """The pulses of a train whose every number is one and has its sign; what has not is refused as that."""
    wave = train.waveform
    if not (isinstance(wave, Hold) and isinstance(wave.carrier, Pulses)):
        return None
    it = wave.carrier
    positive = (it.width_us, it.second_width_us, it.rate_hz, it.rate_in_burst_hz)
    usable = (
        all(is_plain(number, integer=False) and number > 0 for number in positive)
        and is_plain(it.gap_us, integer=False)
        and it.gap_us >= 0
        and is_plain(it.pulses_per_burst, integer=True)
        and it.pulses_per_burst > 0
    )
    return it if usable else None


def charging(train: Train) -> Fraction | None:
    """The first phases, spread over the time."""
    it = carried(train)
    if it is None:
        return None
    return exact(it.width_us) * exact(it.rate_hz) * it.pulses_per_burst / 10**6


def both_phases_us(it: Pulses) -> Fraction:
    """By how much the square of the first phase's current is to be multiplied for what both phases do in a pulse."""
    width = exact(it.width_us)
    return width * (1 + width / exact(it.second_width_us))


def dense(train: Train) -> Fraction | None:
    """The root of the mean square."""
    it = carried(train)
    return None if it is None else rms_of_one(it)


def rms_of_one(it: Pulses) -> Fraction:
    """The root of the mean square of a mA of amplitude, as if a burst never ended; rounded up."""
    return root_up(both_phases_us(it) * exact(it.rate_in_burst_hz) / 10**6)


def root_up(number: Fraction) -> Fraction:
    """The least multiple of 1/ROOT_STEP whose square is not below `number`."""
    scaled = -(-number.numerator * ROOT_STEP**2 // number.denominator)
    root = isqrt(scaled)
    return Fraction(root if root**2 == scaled else root + 1, ROOT_STEP)


def also(train: Train, limits: Limits) -> list[Reason]:
    """Timing, energy of a pulse, and the operator's attention."""
    it = carried(train)
    if it is None:
        return []  # refused already, one number by name
    reasons = _check_timing(it)
    if is_number(it.amplitude_ma, integer=False):
        energy_mj = exact(it.amplitude_ma) ** 2 * both_phases_us(it) * LOAD_OHM / 10**9
        reasons += check_exact(ENERGY, energy_mj, limits)
        reasons += _check_attention(train, it, limits)
    return reasons


def _check_timing(it: Pulses) -> list[Reason]:
    """A pulse is over before the next, a burst before the next burst, and no phase is higher than the first."""
    width, second, in_burst = exact(it.width_us), exact(it.second_width_us), exact(it.rate_in_burst_hz)
    pulse_us, period_us = width + exact(it.gap_us) + second, 10**6 / in_burst
    burst_us, bursts_us = it.pulses_per_burst * period_us, 10**6 / exact(it.rate_hz)
    return [
        reason(TIMING, f"{what} of {as_float(found):.10g} us, {expected} {as_float(end):.10g} us",
               quantity=quantity, value=as_float(found), limit=as_float(end), set_by="absolute")
        for what, found, expected, end, fits, quantity in (
            ("a pulse", pulse_us, "period", period_us, pulse_us <= period_us, "rate_in_burst_hz"),
            ("a burst", burst_us, "period", bursts_us, burst_us <= bursts_us, "rate_hz"),
            ("a second phase", second, "shorter and so higher than the first of", width, second >= width,
             "second_width_us"),
        )
        if not fits
    ]  # fmt: skip


def _check_attention(train: Train, it: Pulses, limits: Limits) -> list[Reason]:
    """A density that the operator has to attend to passes only where the site's own row takes it."""
    shares, _ = skin.per_area(train, limits)
    per_cm2 = max(
        (share for share, _ in shares), default=Fraction(0)
    )  # none: refused already, by the outputs
    density = abs(exact(it.amplitude_ma)) * rms_of_one(it) * per_cm2
    said_so = any(row.layer == "site" and row.quantity == DENSITY_RMS.name for row in limits.rows)
    if density <= ATTENTION_MA_CM2 or said_so:
        return []
    detail = (
        f"{as_float(density):.10g} mA/cm2 r.m.s., above {ATTENTION_MA_CM2}, and no row of the site takes it"
    )
    return [
        reason(ATTENTION, detail, quantity=DENSITY_RMS.name, value=as_float(density),
               limit=float(ATTENTION_MA_CM2), set_by="site")
    ]  # fmt: skip


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts, the impedance of this moment, and what the device's open circuit has at most."""
    volts = limits.inputs.open_circuit_v
    known = is_number(volts, integer=False) and 0 < volts <= OPEN_CIRCUIT.high
    missing = () if known else (reason(FACT_MISSING, "the open-circuit voltage", quantity=OPEN_CIRCUIT.name),)
    return skin.check_facts(limits, facts) + missing


CURRENT = skin.HeldCurrent(
    amplitude=AMPLITUDE,
    asked=ASKED,
    slew=SLEW_RATE,
    charging=charging,
    dense=dense,
    density=DENSITY_RMS,
    derived=(ENERGY,),
    budgets=BUDGETS,
    spacing=SPACING,
    contacts=CONTACTS,
    inputs=(OPEN_CIRCUIT,),
    steady=tuple(declared.name for declared in PULSES),
    facts=check_facts,
    also=also,
)
RULES = CURRENT.rules()
