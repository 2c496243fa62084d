"""Quality against every way in which an electrode fails; CleanChannels against its budget."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.eeg import Samples
from controller.quality import HOLD_NS, CleanChannels, QualityConfig, blanking
from controller.window import Window
from drivers.stimulation import Delivery
from tests.controller.material import feed, last, noise, sine

FS = 250
N = 12
CONFIG = QualityConfig(rail_uv=1000.0)


def window(n_channels: int = N, window_s: float = 10.0) -> Window:
    return Window(n_channels, FS, window_s, 0.2, quality=CONFIG)


def spoiled(kind: str, share: float) -> Samples:
    """Ten seconds of which channel 5 is bad for `share` at the start, not at the end."""
    data = noise(N, 10 * FS)
    n = round(share * 10 * FS)
    match kind:
        case "nan":
            data[4, :n] = np.nan
        case "inf":
            data[4, :n] = -np.inf
        case "rail":
            data[4, :n] = 1000.0
        case "huge":
            data[4, :n] = -1e300
    return data


@pytest.mark.parametrize(
    ("kind", "text"),
    [("nan", "not finite"), ("inf", "not finite"), ("rail", "at the rail"), ("huge", "at the rail")],
)
def test_more_than_five_percent_makes_a_channel_bad(kind: str, text: str):
    over = last(window(), spoiled(kind, 0.055))
    assert over.quality.bads == ("ch5",)
    assert dict(over.why) == {"ch5": text}
    assert over.quality.ok
    # A bad channel does not count at all: 11 of 12 are clean.
    assert over.quality.clean_fraction == pytest.approx(11 / 12)
    at = last(window(), spoiled(kind, 0.05))
    assert at.quality.bads == ()
    # Its first second is spoiled, and only that.
    assert at.quality.clean_fraction == pytest.approx((N * 10 - 1) / (N * 10))
    assert list(at.spectrum(10).n_segments) == [9, 9, 9, 9, 8, *[9] * 7]
    assert np.isfinite(at.spectrum(10).psd).all()


def test_the_rail_itself_counts_and_just_below_does_not():
    data = noise(N, 10 * FS)
    data[4, ::10] = np.nextafter(1000.0, 0)
    data[5, ::10] = -1000.0
    assert dict(last(window(), data).why) == {"ch5": "noisy", "ch6": "at the rail"}


def test_an_electrode_that_falls_off_is_bad_within_its_first_whole_second():
    data = noise(N, 60 * FS)
    data[7, 45 * FS : 46 * FS] = 3.0
    data[8, 45 * FS : 48 * FS] = 3.0
    seen = {e.end: e.quality.bads for e in feed(window(window_s=40.0), data)}
    assert seen[45 * FS + 200] == ()
    assert seen[46 * FS] == ("ch8", "ch9")
    # One second of 40 is forgiven when it is over; three, more than 5 %, are not.
    assert seen[47 * FS] == ("ch9",)
    assert seen[60 * FS] == ("ch9",)


@pytest.mark.parametrize(("std_uv", "bads"), [(0.49, ("ch1",)), (0.51, ()), (0.0, ("ch1",))])
def test_flat_is_below_half_a_microvolt_of_deviation(std_uv: float, bads: tuple[str, ...]):
    data = np.vstack((np.tile([std_uv, -std_uv], 5 * FS), noise(2, 10 * FS)))
    assert last(window(3), data).quality.bads == bads


def test_one_far_stronger_than_its_fellows_is_noisy():
    data = noise(N, 10 * FS)
    data[2] *= 10
    data[3] *= 1.5
    data[4] *= 0.1  # weak is not noisy
    epoch = last(window(), data)
    assert dict(epoch.why) == {"ch3": "noisy"}
    assert last(window(5), data[:5]).quality.bads == ()  # too few to compare


def test_mains_and_little_else_is_an_open_electrode():
    data = noise(N, 10 * FS, scale_uv=3.0) + sine(50.0, 4.0, 10 * FS, FS)
    assert last(window(), data).quality.bads == ()
    data[6] += sine(50.0, 100.0, 10 * FS, FS)[0]
    assert dict(last(window(), data).why)["ch7"] in ("noisy", "line noise")
    data = noise(3, 10 * FS, scale_uv=3.0)
    data[1] += sine(50.0, 100.0, 10 * FS, FS)[0]
    assert dict(last(window(3), data).why) == {"ch2": "line noise"}
    slow = Window(3, 100.0, 10.0, 0.2, quality=CONFIG)  # 50 Hz cannot be seen at 100 Hz
    assert last(slow, noise(3, 1000)).quality.bads == ()


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf, 0.0, 1e300, 187_500.0])
@pytest.mark.parametrize("n_channels", [1, 2, 64])
def test_when_all_channels_are_dead_nothing_may_be_measured(fill: float, n_channels: int):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epoch = last(window(n_channels), np.full((n_channels, 10 * FS), fill))
        spectrum = epoch.spectrum(10)
    assert not epoch.quality.ok
    assert len(epoch.quality.bads) == n_channels
    assert epoch.quality.clean_fraction == 0.0
    assert epoch.quality.clean_s == 0.0
    assert epoch.quality.reasons[0] == "clean 0.00 < 0.60"
    assert all(len(reason) < 200 for reason in epoch.quality.reasons)
    assert np.isnan(spectrum.psd).all()


def test_the_least_clean_fraction_is_inclusive():
    data = noise(10, 10 * FS)
    data[:4] = 0.0
    epoch = last(window(10), data)
    assert epoch.quality.clean_fraction == pytest.approx(0.6)
    assert epoch.quality.ok
    data[4] = 0.0
    assert not last(window(10), data).quality.ok


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=4, max_size=40))
def test_no_samples_whatever_break_it(values: list[float]):
    data = np.resize(np.array(values), (2, 300))
    w = Window(2, 100.0, 2.0, 0.5, quality=CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in feed(w, data):
            quality = epoch.quality
            assert 0.0 <= quality.clean_fraction <= 1.0
            assert quality.ok == (not quality.reasons)
            psd = epoch.spectrum(2).psd
            assert (np.isnan(psd) | (psd >= 0)).all()


@pytest.mark.parametrize(
    "table",
    [
        {"rail_uv": 0.0},
        {"rail_uv": math.nan},
        {"rail_uv": math.inf},
        {"rail_uv": "100"},
        {"line_hz": 0.0},
        {"line_hz": 16.7},
        {"clean_fraction_min": -0.1},
        {"clean_fraction_min": 1.01},
        {"clean_fraction": 0.5},
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, object]):
    with pytest.raises(ValidationError):
        QualityConfig.model_validate(table)


def test_a_delivered_train_of_pulses_blanks_and_holds():
    delivery = Delivery(
        token=1,
        start_ns=10_000_000,
        end_ns=20_000_000,
        amplitude=60.0,
        n_pulses=2,
        ended=True,
        confirmed=True,
    )
    blank = blanking(delivery.start_ns, delivery.end_ns)
    assert (blank.from_ns, blank.to_ns) == (8_000_000, 35_000_000)
    assert blank.hold_until_ns == 20_000_000 + HOLD_NS


def clean(**channels: Samples) -> list[float]:
    """clean_fraction after every one-sample block."""
    data = np.vstack(list(channels.values()))
    judge = CleanChannels(len(data), 100.0, CONFIG)
    return [judge.clean_fraction(data[:, i : i + 1]) for i in range(data.shape[1])]


def test_clean_fraction_sees_each_failure_at_once_or_in_half_a_second():
    n = 200
    good = noise(1, n)[0]
    nan, rail, flat = good.copy(), good.copy(), good.copy()
    nan[100], rail[110], flat[120:] = np.nan, -1000.0, flat[119]
    got = clean(a=good, b=nan, c=rail, d=flat)
    assert got[99] == 1.0
    assert got[100] == 0.75
    assert got[101] == 1.0
    assert got[110] == 0.75
    assert got[120 + 47] == 1.0
    assert got[120 + 50] == 0.75


def test_clean_fraction_of_frozen_data_is_zero():
    assert clean(a=np.full(200, 7.0), b=np.zeros(200))[-1] == 0.0


def test_clean_fraction_counts_only_the_picked():
    judge = CleanChannels(3, 100.0, CONFIG, picks=(0, 2))
    block = noise(3, 5)
    block[1] = np.nan
    assert judge.clean_fraction(block) == 1.0
    block = noise(3, 5, seed=1)
    block[2] = np.inf
    assert judge.clean_fraction(block) == 0.5


@pytest.mark.parametrize("shape", [(2, 5), (3, 0), (4, 1)])
def test_clean_fraction_of_a_strange_block_is_zero(shape: tuple[int, int]):
    assert CleanChannels(3, 100.0, CONFIG).clean_fraction(np.zeros(shape)) == 0.0


def test_clean_fraction_keeps_its_budget():
    judge = CleanChannels(32, 500.0, CONFIG)
    block = np.ascontiguousarray(noise(32, 1))
    took_ns = []
    for _ in range(500):
        t0 = time.perf_counter_ns()
        judge.clean_fraction(block)
        took_ns.append(time.perf_counter_ns() - t0)
    assert np.median(took_ns) < 4 * 20_000
