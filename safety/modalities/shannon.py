"""Shannon's relation of charge and charge density per phase, compared exactly; no logarithm decides.

log10(D) = k - log10(Q), that is Q x D = 10^k, with Q the charge of one phase in uC and D = Q / area in uC/cm2 (Shannon
1992). The least k with damage in its data is 1.85: cat cortex, 7 h at 50 pulses/s of 400 us, discs of 1 mm2 and more.
Pulse rate, duty and exposure are not in it, and microelectrodes do not follow it (Cogan 2016, PMC5386002).
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

PER_ONE = 100  # k is told in hundredths, rounded up: a row of 1.75 holds exactly, one of 1.755 as 1.75
K_LEAST, K_MOST = -10, 20  # what less, no charge at all, and what more are told as; both far from any limit


def charge_uc(current_ma: Fraction, width_us: Fraction) -> Fraction:
    """The charge of one phase: 1 mA for 1 us is 1 nC."""
    return current_ma * width_us / 1000


def k_of(charge: Fraction, area_cm2: Fraction) -> Fraction:
    """The least multiple of a hundredth with Q x D <= 10^k, for a charge in uC that is not negative."""
    raised = (charge * charge / area_cm2) ** PER_ONE
    hundredths = range(K_LEAST * PER_ONE, K_MOST * PER_ONE + 1)
    at = bisect_left(hundredths, raised, hi=len(hundredths) - 1, key=lambda n: Fraction(10) ** n)
    return Fraction(hundredths[at], PER_ONE)
