"""Tables of the core that are in code, said a second time, and the little facts of each modality that no row holds."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import pytest

from drivers.stimulation import MODALITIES, Modality
from safety.chained import FIRST
from safety.entries import GENESIS_HASH
from safety.modalities import budgets_of, quantities_of, rules_of
from safety.modalities.reasons import REASONS, reason
from safety.modalities.rtms import REPEATED
from safety.modalities.scs import REGIMES
from safety.modalities.tus_physics import BMUS_TIMES, ITRUSST_TIMES
from safety.windows import WINDOW_NS


def test_the_regimes_of_the_spinal_cord():
    """Largest amplitude in mA and width in us, rates from and to in Hz, rate inside a burst, pulses of one."""
    assert [msgspec.convert(_numbers(each), tuple[float, ...]) for each in REGIMES] == [
        (8.5, 500.0, 30.0, 120.0, 120.0, 1),
        (5.0, 30.0, 10_000.0, 10_000.0, 10_000.0, 1),
        (2.0, 1000.0, 30.0, 40.0, 500.0, 5),
    ]


def _numbers(regime: object) -> list[float]:
    names = (
        "amplitude_ma_max",
        "width_us_max",
        "rate_hz_min",
        "rate_hz_max",
        "in_burst_hz_max",
        "per_burst_max",
    )
    return [getattr(regime, name) for name in names]


WHOLE = {
    "duration_ms", "n_bursts", "n_pulses", "pulse_interval_us", "pulse_us", "pulses_per_burst", "ramp_down_ms", "ramp_up_ms",
    "sonication_ms", "train_interval_ms", "train_ms",
}  # fmt: skip


@pytest.mark.parametrize("modality", MODALITIES)
def test_which_numbers_of_a_train_are_whole(modality: Modality):
    for declared in quantities_of(modality):
        assert declared.integer is (declared.name in WHOLE), declared.name


def test_the_longest_trains_of_pulses():
    """By % of the threshold and by Hz: s as text, and pulses."""
    assert {pct: dict(cells) for pct, cells in REPEATED.items()} == {
        100: {1: ("270", 270), 5: ("10", 50), 10: ("5", 50), 20: ("1.5", 30), 25: ("1.0", 25)},
        110: {1: ("270", 270), 5: ("10", 50), 10: ("5", 50), 20: ("1.2", 24), 25: ("0.6", 15)},
        120: {1: ("180", 180), 5: ("10", 50), 10: ("3.2", 32), 20: ("0.8", 16), 25: ("0.3", 7)},
        130: {1: ("50", 50), 5: ("10", 50), 10: ("2.2", 22), 20: ("0.4", 8), 25: ("0.2", 5)},
    }
    for cells in REPEATED.values():
        for rate_hz, (seconds, pulses) in cells.items():
            assert pulses <= Fraction(seconds) * rate_hz


def test_the_longest_exposures_by_thermal_index():
    """In s; None where there is no limit."""
    assert {str(float(index)): seconds for index, seconds in ITRUSST_TIMES} == {
        "1.5": None, "2.0": 4800, "2.5": 2400, "3.0": 600, "4.0": 160, "5.0": 40, "6.0": 10,
    }  # fmt: skip
    assert {str(float(index)): seconds for index, seconds in BMUS_TIMES} == {
        "0.7": None, "1.0": 3600, "1.5": 1800, "2.0": 900, "2.5": 240, "3.0": 60,
    }  # fmt: skip


def test_the_windows_and_the_hash_before_the_first():
    assert WINDOW_NS == {"24h": 86_400_000_000_000, "7d": 604_800_000_000_000}
    nothing = "0000000000000000000000000000000000000000000000000000000000000000"
    assert nothing == FIRST == GENESIS_HASH


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_counted_is_whole_and_what_is_measured_is_not(modality: Modality):
    for budget in budgets_of(modality):
        assert budget.integer is budget.name.startswith("n_"), budget
        assert not budget.integer or budget.high == math.floor(budget.high)


@pytest.mark.parametrize("modality", MODALITIES)
def test_only_continuous_bursts_go_on_from_one_request_to_the_next(modality: Modality):
    assert rules_of(modality).in_segments is (modality == "ctbs")


@pytest.mark.parametrize("code", REASONS)
def test_a_reason_says_nothing_that_nobody_gave(code: str):
    found = reason(code, "why")
    assert (found.code, found.quantity, found.value, found.limit, found.set_by) == (code, "", 0.0, 0.0, "")
    assert found.text == f"{REASONS[code].text}: why"


def test_which_doses_of_heat_are_a_choice_of_its_own():
    """The source has a dose a session; that a day has one session's is said here."""
    doses = [each for each in budgets_of("tus") if each.name.startswith("cem43_")]
    assert {each.scope for each in doses} == {"session", "24h"}
    for each in doses:
        assert each.source.endswith("own choice") is (each.scope == "24h")
        assert each.status == ("verified" if each.scope == "session" else "unverified")
