"""Shannon's relation of charge and charge density per phase, compared exactly; no logarithm decides.

log10(D) = k - log10(Q), that is Q x D = 10^k, with Q the charge of one phase in uC and D = Q / area in uC/cm2 (Shannon
1992). The least k with damage in its data is 1.85: cat cortex, 7 h at 50 pulses/s of 400 us, discs of 1 mm2 and more.
Pulse rate, duty and exposure are not in it, and microelectrodes do not follow it (Cogan 2016, PMC5386002).
"""

from __future__ import annotations

from fractions import Fraction
from math import floor, log10

PER_ONE = 100  # k is told in hundredths, rounded up: a row of 1.75 holds exactly, one of 1.755 as 1.75
K_LEAST = Fraction(-10)  # what no charge at all counts as


def charge_uc(current_ma: Fraction, width_us: Fraction) -> Fraction:
    """The charge of one phase: 1 mA for 1 us is 1 nC."""
    return current_ma * width_us / 1000


def k_of(charge: Fraction, area_cm2: Fraction) -> Fraction:
    """The least multiple of a hundredth with Q x D <= 10^k, for a charge in uC that is not negative."""
    product = charge * charge / area_cm2
    if product <= Fraction(10) ** K_LEAST.numerator:
        return K_LEAST
    raised = product**PER_ONE
    near = floor((log10(product.numerator) - log10(product.denominator)) * PER_ONE)  # and exact from here on
    return Fraction(next(n for n in range(near - 1, near + 4) if raised <= Fraction(10) ** n), PER_ONE)
