"""A device's clock on the host's: bounded by round trips, against a truth that drifts."""

from __future__ import annotations

import random

from drivers.device_clock import DeviceClock


def test_one_round_trip_gives_its_middle() -> None:
    clock = DeviceClock()
    assert clock.sample(t_us=1_000, sent_ns=5_000_000, received_ns=5_400_000)
    assert clock.host_ns(1_000) == 5_200_000
    assert clock.transit_ns == 200_000


def test_a_short_round_trip_counts_more_than_a_long_one() -> None:
    clock = DeviceClock()
    clock.sample(t_us=10_000, sent_ns=9_990_000, received_ns=10_010_000)
    clock.sample(t_us=20_000, sent_ns=19_999_000, received_ns=99_000_000)
    assert abs(clock.host_ns(20_000) - 20_000_000) < 100_000


def test_the_truth_stays_within_the_round_trip_over_an_hour_of_drift() -> None:
    dice = random.Random(3)
    clock, offset_ns, ppm = DeviceClock(), 777_000_000, 150
    worst = 0
    for tick in range(2, 72_000):  # every 50 ms
        true_ns = tick * 50_000_000
        out_ns, back_ns = dice.randrange(50_000, 300_000), dice.randrange(50_000, 900_000)
        t_us = (true_ns - true_ns * ppm // 1_000_000 - offset_ns) // 1000 + 10_000_000
        assert clock.sample(t_us=t_us, sent_ns=true_ns - out_ns, received_ns=true_ns + back_ns)
        worst = max(worst, abs(clock.host_ns(t_us) - true_ns))
    assert worst < 450_000  # half of the longest round trip; plain last-sample midpoints would come near it


def test_a_clock_that_runs_backwards_is_told_and_taken_anew() -> None:
    clock = DeviceClock()
    clock.sample(t_us=9_000_000, sent_ns=1_000_000_000, received_ns=1_000_200_000)
    assert not clock.sample(t_us=5, sent_ns=2_000_000_000, received_ns=2_000_200_000)
    assert clock.host_ns(5) == 2_000_100_000
    assert clock.sample(t_us=6, sent_ns=2_000_001_000, received_ns=2_000_201_000)


def test_a_jump_forward_is_followed() -> None:
    clock = DeviceClock()
    clock.sample(t_us=1_000, sent_ns=0, received_ns=200_000)
    assert clock.sample(t_us=60_000_000, sent_ns=1_000_000, received_ns=1_200_000)
    assert clock.host_ns(60_000_000) == 1_100_000
