"""What ultrasound does: timing, intensities, mechanical and thermal index, temperature, thermal dose. Pure, exact.

Everything is a rational. What is irrational (a root, pi, a power of two) is rounded up, so that no limit is passed by
rounding. Averages run over one pulse train, not over the pauses between trains: heat has not left within those.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from math import isqrt

from drivers.stimulation import Sonication

# An acoustic impedance below that of brain and of water at body temperature gives a little more intensity than there is.
IMPEDANCE_MRAYL = Fraction("1.48")
PI_UP = Fraction("3.14159265358979323847")
TIC_MW_CM = 40
BASELINE_C = 37
TEMPERATURE_MAX_C = 100  # tissue is destroyed long before; a device that tells of more trips for what it told
LONG_PULSE_US = 100_000  # own choice: bone at the focus warms by degrees a second, and a mean hides that
ROOT_DIGITS = 12
POWER_DIGITS = 40

# The longest exposure in s up to a thermal index; None: no limit. Above the last nothing is allowed.
Times = tuple[tuple[Fraction, int | None], ...]
ITRUSST_TIMES: Times = (
    (Fraction("1.5"), None),
    (Fraction("2.0"), 80 * 60),
    (Fraction("2.5"), 40 * 60),
    (Fraction("3.0"), 10 * 60),
    (Fraction("4.0"), 160),
    (Fraction("5.0"), 40),
    (Fraction("6.0"), 10),
)
BMUS_TIMES: Times = (
    (Fraction("0.7"), None),
    (Fraction("1.0"), 60 * 60),
    (Fraction("1.5"), 30 * 60),
    (Fraction("2.0"), 15 * 60),
    (Fraction("2.5"), 4 * 60),
    (Fraction("3.0"), 1 * 60),
)


def pulses_per_train(wave: Sonication) -> int:
    return -(-wave.train_ms * 1000 // wave.pulse_interval_us)


def duty(wave: Sonication) -> Fraction:
    """The share of a train in which there is sound; a long pulse heats as if it went on, whatever follows it."""
    if wave.pulse_us > LONG_PULSE_US:
        return Fraction(1)
    return min(Fraction(1), Fraction(pulses_per_train(wave) * wave.pulse_us, wave.train_ms * 1000))


def mechanical_index(pressure_mpa: Fraction, frequency_khz: Fraction) -> Fraction:
    """Peak rarefactional pressure in MPa by the root of the centre frequency in MHz, rounded up."""
    return root_up(pressure_mpa**2 * 1000 / frequency_khz)


def isppa_w_cm2(pressure_mpa: Fraction) -> Fraction:
    """The intensity of a plane wave within a pulse, p^2 / 2 rho c; 1 MPa^2 / MRayl is 100 W/cm2."""
    return pressure_mpa**2 * 100 / (2 * IMPEDANCE_MRAYL)


def thermal_index(power_mw: Fraction, aperture_cm2: Fraction) -> Fraction:
    """TIC = W0 / Deq / 40 mW/cm with Deq = 2 sqrt(A / pi) in cm, rounded up."""
    return root_up(power_mw**2 * PI_UP / (4 * aperture_cm2 * TIC_MW_CM**2))


def cem43_per_min(rise_c: Fraction) -> Fraction:
    """Minutes at 43 C that a minute at 37 C + rise is worth, rounded up: R^(43 - T), R = 0.5 above 43 C, 0.25 below."""
    over = min(BASELINE_C + rise_c, Fraction(TEMPERATURE_MAX_C)) - 43
    return two_to_up(min(over, 2 * over))


def exposure_s(index: Fraction, times: Times) -> int | None:
    """The longest exposure at a thermal index, in s; 0 beyond the table, None where it has no limit."""
    return next((seconds for high, seconds in times if index <= high), 0)


def root_up(value: Fraction) -> Fraction:
    """The square root of a number that is not negative, rounded up to 12 decimals; exact where it has no more."""
    scale = 10**ROOT_DIGITS
    square = -(-value.numerator * scale**2 // value.denominator)
    root = isqrt(square)
    return Fraction(root if root * root == square else root + 1, scale)


def two_to_up(exponent: Fraction) -> Fraction:
    """Two to a rational power, rounded up; exact for a whole one."""
    if exponent.denominator == 1:
        return Fraction(2) ** exponent.numerator
    up = Context(prec=POWER_DIGITS, rounding=ROUND_CEILING)
    power = up.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
    return Fraction(up.next_plus(up.power(Decimal(2), power)))
