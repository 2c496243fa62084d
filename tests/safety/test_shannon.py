"""Shannon's relation by both hands: the table of allowed charges, worked settings, and exactness at every hundredth."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safety.modalities.shannon import K_LEAST, K_MOST, charge_uc, k_of
from safety.oracle_implanted import least_k

F = Fraction
RING_3389 = math.pi * 0.127 * 0.15  # cm2: 1.27 mm across, 1.5 mm long
CYLINDER = math.pi * 0.13 * 0.3  # 1.3 mm, 3 mm
SLIM = math.pi * 0.1 * 0.125  # 1.0 mm, 1.25 mm


# Q = sqrt(10^k x A), as it is tabled to two decimals for a k of 1.5, 1.75, 1.85, and the charge at 30 uC/cm2


@pytest.mark.parametrize(
    ("area_cm2", "charges", "at_30"),
    [
        ("0.06", (1.38, 1.84, 2.06), 1.80),
        ("0.127", (2.00, 2.67, 3.00), 3.81),
        ("0.05", (1.26, 1.68, 1.88), 1.50),
        ("0.01", (0.56, 0.75, 0.84), 0.30),
    ],
)
def test_the_table_of_charges(area_cm2: str, charges: tuple[float, ...], at_30: float):
    area = F(area_cm2)
    assert round(float(30 * area), 2) == at_30
    for k, told in zip(("1.5", "1.75", "1.85"), charges, strict=True):
        most = math.sqrt(10 ** float(k) * float(area))
        assert abs(most - told) < 0.005 + 1e-9
        for hand in (k_of, least_k):
            assert hand(F(most * (1 - 1e-9)), area) == F(k)
            assert hand(F(most * (1 + 1e-9)), area) == F(k) + F(1, 100)


@pytest.mark.parametrize(
    ("ma", "us", "area", "density", "k"),
    [
        ("3", "60", RING_3389, 3.0, -0.27),
        ("20", "90", RING_3389, 30.1, 1.73),
        ("6", "300", CYLINDER, 14.7, 1.42),
        ("5", "30", CYLINDER, 1.2, -0.74),
        ("2", "1000", CYLINDER, 16.3, 1.51),
        ("6", "300", SLIM, 45.8, 1.92),
        ("15", "1000", CYLINDER, 122.4, 3.26),
    ],
)
def test_settings_that_were_worked_out(ma: str, us: str, area: float, density: float, k: float):
    charge = charge_uc(F(ma), F(us))
    assert charge == F(ma) * F(us) / 1000
    by_floats = math.log10(float(charge) ** 2 / area)
    assert abs(by_floats - k) < 0.005 + 1e-9 and abs(float(charge) / area - density) < 0.05 + 1e-9
    for hand in (k_of, least_k):
        assert abs(float(hand(charge, F(area))) - math.ceil(by_floats * 100) / 100) < 1e-9


def test_thirty_microcoulombs_at_450_us_allow_3_99_ma():
    assert round(30 * RING_3389 / 0.45, 2) == 3.99
    most = F(30) * F(RING_3389) / F("0.45")
    assert abs(float(charge_uc(most, F(450)) / F(RING_3389)) - 30) < 1e-9


# Exactness


@given(
    charge=st.fractions(min_value=0, max_value=10**6, max_denominator=10**9),
    area=st.fractions(min_value=F(1, 10**6), max_value=1000, max_denominator=10**6),
)
@example(charge=F(0), area=F(1))
@example(charge=F(1), area=F(1))
@example(charge=F(10), area=F(1))
@example(charge=F(10), area=F(10))
@example(charge=F(1, 10**5), area=F(1))
@example(charge=F(1, 10**5) + F(1, 10**20), area=F(1))
@example(charge=F(10) ** 300, area=F(1, 10**12))
@example(charge=F(1, 10**400), area=F(100))
def test_both_hands_find_the_least_hundredth(charge: Fraction, area: Fraction):
    k = k_of(charge, area)
    assert k == min(least_k(charge, area), K_MOST)
    product, n = charge**2 / area, k * 100
    assert n.denominator == 1
    assert k == K_MOST or product**100 <= F(10) ** n.numerator
    assert k == K_LEAST or product**100 > F(10) ** (n.numerator - 1)


def test_what_is_beyond_either_end_is_told_as_the_end():
    assert (K_LEAST, K_MOST) == (-10, 20)
    for exponent, told in ((-21, -10), (-10, -10), (-9, -9), (19, 19), (20, 20), (21, 20), (700, 20)):
        assert k_of(F(10) ** exponent, F(10) ** exponent) == told


def test_a_whole_power_of_ten_is_its_own_k():
    for exponent in range(-9, 12):
        assert (
            k_of(F(10) ** exponent, F(10) ** exponent)
            == exponent
            == least_k(F(10) ** exponent, F(10) ** exponent)
        )
