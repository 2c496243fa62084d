"""The Window against losses, repetitions, blankings, any cut of the stream, and scipy."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from controller.eeg import Block, Samples
from controller.montage import Montage, MontageConfig
from controller.quality import QualityConfig
from controller.window import BLANKINGS_MAX, BlockRefused, Epoch, StaleEpochError, Window
from tests.controller.material import EVIDENCE, T0_NS, block, feed, last, noise, stamps

NO_LINE = QualityConfig(line_hz=None)


def against_scipy(epoch: Epoch, data_uv: Samples, sfreq_hz: float, window_s: int) -> None:
    step = round(sfreq_hz)
    stop = epoch.end // step * step
    spectrum = epoch.spectrum(window_s)
    freqs_hz, psd = welch(
        data_uv[:, stop - window_s * step : stop], sfreq_hz, "hann", nperseg=2 * step, noverlap=step
    )
    n = len(spectrum.freqs_hz)
    np.testing.assert_allclose(spectrum.freqs_hz, freqs_hz[:n], rtol=1e-12)
    np.testing.assert_allclose(spectrum.psd, psd[:, :n], rtol=1e-6, atol=1e-12 * psd.max())
    assert (spectrum.n_segments == window_s - 1).all()
    assert spectrum.n_possible == window_s - 1


@pytest.mark.parametrize(
    ("n_channels", "sfreq_hz"), [(1, 100.0), (3, 128.0), (8, 250.0), (2, 5000.0), (256, 200.0), (2, 249.7)]
)
def test_the_spectrum_is_scipys(n_channels: int, sfreq_hz: float):
    window = Window(n_channels, sfreq_hz, 4.0, 0.13, quality=NO_LINE)
    data = noise(n_channels, round(9.4 * sfreq_hz)) + 300.0  # an offset, as DC amplifiers have
    epochs = 0
    for epoch in feed(window, data):
        epochs += 1
        if epochs % 9 == 1:
            against_scipy(epoch, data, sfreq_hz, 4)
            against_scipy(epoch, data, sfreq_hz, 2)
    assert epochs > 30
    assert window.hops_skipped == 0


def test_the_average_reference_is_scipys_of_the_referred_signal():
    names = ["F3", "F4", "C3", "C4", "P3", "P4", "O1"]
    montage = Montage.build(MontageConfig(), names)
    data = noise(7, 2500)
    data[4] = 0.0  # an open electrode must not enter the reference
    window = Window(7, 250.0, 4.0, 0.1, montage=montage)
    epoch = last(window, data)
    assert epoch.quality.bads == ("P3",)
    good = [row for row in range(7) if row != 4]
    referred = data - data[good].mean(axis=0)
    _, psd = welch(referred[:, 1500:2500], 250.0, "hann", nperseg=500, noverlap=250)
    spectrum = epoch.spectrum(4)
    np.testing.assert_allclose(spectrum.psd[good], psd[good][:, : len(spectrum.freqs_hz)], rtol=1e-6)
    assert np.isnan(spectrum.psd[4]).all()
    assert spectrum.n_segments[4] == 0


def test_a_channel_found_bad_later_leaves_the_reference_of_the_whole_window():
    """Noisy from the middle of the window on: its earlier, clean-looking seconds are taken back as well."""
    names = ["F3", "Fz", "F4", "C3", "Cz", "C4", "P3", "P4"]
    data = noise(8, 250 * 14)
    data[2, 250 * 8 :] *= 60.0
    window = Window(8, 250.0, 6.0, 0.5, montage=Montage.build(MontageConfig(), names))
    bads = {}
    for epoch in feed(window, data):
        bads[epoch.end] = epoch.quality.bads
        spectrum = epoch.spectrum(6)
    assert bads[250 * 8] == ()
    assert bads[250 * 14] == ("F4",)
    first = min(end for end, names in bads.items() if names)
    assert first < 250 * 13  # so that it was referred with F4 once, and is now without
    good = [0, 1, 3, 4, 5, 6, 7]
    referred = data - data[good].mean(axis=0)
    _, psd = welch(referred[:, 250 * 8 :], 250.0, "hann", nperseg=500, noverlap=250)
    np.testing.assert_allclose(spectrum.psd[good], psd[good], rtol=1e-6, atol=1e-9)
    window = Window(8, 250.0, 6.0, 0.5, montage=Montage.build(MontageConfig(), names))
    for epoch in feed(window, data[:, :first]):
        spectrum = epoch.spectrum(6)
    _, psd = welch(referred[:, first - 1500 : first], 250.0, "hann", nperseg=500, noverlap=250)
    np.testing.assert_allclose(spectrum.psd[good], psd[good], rtol=1e-6, atol=1e-9)


def test_a_channel_that_recovers_comes_back_into_the_reference():
    data = noise(4, 250 * 20)
    data[1, : 250 * 8] = 0.0
    window = Window(4, 250.0, 4.0, 0.5, montage=Montage.build(MontageConfig(), ["F3", "F4", "C3", "C4"]))
    seen = {epoch.end: epoch.quality.bads for epoch in feed(window, data)}
    assert seen[250 * 8] == ("F4",)
    assert seen[250 * 20] == ()
    referred = data - data.mean(axis=0)
    _, psd = welch(referred[:, 250 * 16 :], 250.0, "hann", nperseg=500, noverlap=250)
    window = Window(4, 250.0, 4.0, 0.5, montage=Montage.build(MontageConfig(), ["F3", "F4", "C3", "C4"]))
    np.testing.assert_allclose(last(window, data).spectrum(4).psd, psd[:, :251], rtol=1e-6, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 10), min_size=1, max_size=6), first=st.integers(0, 1000))
def test_any_cut_of_the_stream_gives_the_same_epochs(sizes: list[int], first: int):
    data = noise(2, 700)

    def run(cut: list[int]) -> list[tuple[int, int, bytes]]:
        window = Window(2, 100.0, 3.0, 0.1, quality=NO_LINE)
        return [(e.end, e.time_ns, e.spectrum(3).psd.tobytes()) for e in feed(window, data, cut, first=first)]

    assert run(sizes) == run([1])
    assert len(run([1])) >= 20


def test_epochs_stand_on_the_absolute_grid_once_the_window_is_full():
    ends = [e.end for e in feed(Window(1, 100.0, 3.0, 0.25), noise(1, 600), [7], first=130)]
    # The first whole second begins at 200, so the window is full at 500.
    assert ends == list(range(500, 726, 25))


def test_time_is_the_newest_samples_of_the_hop():
    epoch = last(Window(1, 100.0, 2.0, 0.1), noise(1, 305))
    assert epoch.end == 300
    assert epoch.time_ns == T0_NS + 2_990_000_000
    assert epoch.lag_s == 0.0


def test_a_block_over_several_hops_gives_the_newest_and_counts_the_others():
    window = Window(1, 100.0, 2.0, 0.1)
    assert last(window, noise(1, 200)).end == 200
    got = window.push(block(noise(1, 55), 200, 100.0))
    assert isinstance(got, Epoch)
    assert got.end == 250
    assert window.hops_skipped == 4


@pytest.mark.parametrize("n", [5_000, 10**6])
def test_a_block_larger_than_the_ring(n: int):
    data = noise(1, n)
    window = Window(1, 100.0, 4.0, 0.1, quality=NO_LINE)
    got = window.push(block(data, 3, 100.0))
    assert isinstance(got, Epoch)
    shifted = np.concatenate((np.full((1, 3), np.nan), data), axis=1)
    against_scipy(got, shifted, 100.0, 4)


@pytest.mark.parametrize("first", [0, 149, 150, 249])
def test_a_block_twice_or_out_of_order_is_refused_and_changes_nothing(first: int):
    data = noise(2, 600)
    clean, hit = (Window(2, 100.0, 3.0, 0.1, quality=NO_LINE) for _ in range(2))
    for window in (clean, hit):
        for _ in feed(window, data[:, :250]):
            pass
    got = hit.push(block(noise(2, 50, seed=9), first, 100.0))
    assert isinstance(got, BlockRefused)
    assert (got.code, got.first, got.expected_first) == ("overlap", first, 250)
    assert hit.blocks_refused == 1
    psd = [last(window, data[:, 250:], first=250).spectrum(3).psd for window in (clean, hit)]
    np.testing.assert_array_equal(*psd)


@pytest.mark.parametrize("shape", [(2, 0), (1, 5), (3, 5), (0, 0)])
def test_a_block_of_another_shape_is_refused(shape: tuple[int, int]):
    got = Window(2, 100.0, 3.0, 0.1).push(block(np.zeros(shape), 0, 100.0))
    assert isinstance(got, BlockRefused)
    assert got.code == "shape"
    assert "expected (2, 1 or more)" in got.text


def test_a_block_that_contradicts_itself_is_refused():
    window = Window(1, 100.0, 2.0, 0.1)
    window.push(block(noise(1, 10), 0, 100.0))
    assert getattr(window.push(block(noise(1, 10), 12, 100.0, n_missing=3)), "code", "") == "missing"
    assert getattr(window.push(block(noise(1, 10), 10, 100.0, n_missing=-1)), "code", "") == "missing"
    short = Block(
        data_uv=noise(1, 10),
        stamps_ns=stamps(10, 9, 100.0),
        received_ns=0,
        first=10,
        n_missing=0,
        evidence=EVIDENCE,
    )
    assert getattr(window.push(short), "code", "") == "shape"
    assert not isinstance(window.push(block(noise(1, 10), 12, 100.0)), BlockRefused)  # said less: believed


@pytest.mark.parametrize("said", [0, 30])
def test_lost_samples_are_seen_and_their_segments_do_not_count(said: int):
    data = noise(2, 1000)
    window = Window(2, 100.0, 4.0, 0.1, quality=QualityConfig(line_hz=None, clean_fraction_min=0.5))
    for _ in feed(window, data[:, :650]):
        pass
    window.push(block(data[:, 680:700], 680, 100.0, n_missing=said))
    epoch = last(window, data[:, 700:], first=700)
    spectrum = epoch.spectrum(4)
    assert list(spectrum.n_segments) == [2, 2]  # 7-8, 8-9; not 6-7, that holds the gap
    assert spectrum.n_possible == 3
    _, psd = welch(data[:, 700:1000], 100.0, "hann", nperseg=200, noverlap=100)
    np.testing.assert_allclose(spectrum.psd, psd, rtol=1e-6)
    assert epoch.quality.clean_s == 3.0
    assert epoch.quality.clean_fraction == pytest.approx(0.75)
    assert epoch.quality.ok
    samples = epoch.samples(4)
    assert np.isnan(samples[:, 50:80]).all()
    np.testing.assert_array_equal(samples[:, 80:], data[:, 680:])


@pytest.mark.parametrize("lost", [10**4, 10**12, 2**60])
def test_a_gap_beyond_the_ring_forgets_all_and_takes_no_time(lost: int):
    window = Window(1, 100.0, 4.0, 0.1, quality=NO_LINE)
    for _ in feed(window, noise(1, 600)):
        pass
    t0 = time.perf_counter()
    got = window.push(block_at(noise(1, 5), 600 + lost))
    assert time.perf_counter() - t0 < 1.0
    if isinstance(got, Epoch):
        assert not got.quality.ok
        assert got.quality.clean_s == 0.0
        assert (got.spectrum(4).n_segments == 0).all()
    first = 605 + lost
    data = noise(1, 1000)
    for at in range(0, 1000, 10):
        got = window.push(block_at(data[:, at : at + 10], first + at))
    window_end = (first + 1000) // 10 * 10
    assert isinstance(got, Epoch)
    assert got.end == window_end
    assert (got.spectrum(4).n_segments == 3).all()
    assert got.quality.ok


def block_at(data_uv: Samples, first: int) -> Block:
    """With stamps that do not run beyond what an integer holds."""
    n = data_uv.shape[1]
    return Block(
        data_uv=data_uv,
        stamps_ns=np.arange(n) * 10_000_000 + T0_NS,
        received_ns=0,
        first=first,
        n_missing=0,
        evidence=EVIDENCE,
    )


def blanked(window: Window, data: Samples, at: int, spans: list[tuple[float, float]]) -> Epoch:
    """The last Epoch, when these spans (s) were blanked after sample `at` had come."""
    for _ in feed(window, data[:, :at]):
        pass
    for start_s, stop_s in spans:
        window.blank(T0_NS + round(start_s * 1e9), T0_NS + round(stop_s * 1e9))
    return last(window, data[:, at:], first=at)


@pytest.mark.parametrize("at", [400, 610, 640, 700, 990])
def test_blanking_counts_whether_told_before_or_after(at: int):
    """A pulse at 6.2 s, blanked -2..+15 ms, told before it came, while it came, or seconds later."""
    data = noise(2, 1000)
    data[:, 620:622] = 1e9  # what a pulse leaves; were it to count, the window would show it
    window = Window(2, 100.0, 4.0, 0.1, quality=QualityConfig(line_hz=None, clean_fraction_min=0.5))
    epoch = blanked(window, data, at, [(6.198, 6.215)])
    assert list(epoch.spectrum(4).n_segments) == [2, 2]
    _, psd = welch(data[:, 700:1000], 100.0, "hann", nperseg=200, noverlap=100)
    np.testing.assert_allclose(epoch.spectrum(4).psd, psd, rtol=1e-6)
    assert epoch.quality.bads == ()
    missing = np.isnan(epoch.samples(4)[0])
    assert list(np.flatnonzero(missing) + 600) == [620, 621]


def test_a_spectrum_already_given_is_taken_back_by_a_late_blanking():
    window = Window(1, 100.0, 4.0, 0.1, quality=QualityConfig(line_hz=None, clean_fraction_min=0.0))
    data = noise(1, 1000)
    for _ in feed(window, data[:, :990]):
        pass
    before = last(window, data[:, 990:], first=990)
    assert list(before.spectrum(4).n_segments) == [3]
    window.blank(T0_NS + 7_500_000_000, T0_NS + 7_510_000_000)
    assert list(before.spectrum(4).n_segments) == [1]  # 8-9 is left of 6-7, 7-8, 8-9


def test_nothing_is_fit_to_act_on_while_held():
    window = Window(1, 100.0, 2.0, 0.01, quality=NO_LINE)
    window.blank(T0_NS + 3_000_000_000, T0_NS + 3_001_000_000, hold_until_ns=T0_NS + 7_500_000_000)
    window.blank(0, 0, hold_until_ns=T0_NS + 1)  # an earlier end shortens nothing
    held = {
        e.end: "held after stimulation" in e.quality.reasons and not e.quality.ok
        for e in feed(window, noise(1, 900))
    }
    assert held[750]  # whose newest sample is of 7.49 s
    assert not held[751]


def test_blankings_are_bounded_and_never_forgotten():
    window = Window(1, 100.0, 2.0, 0.1, quality=QualityConfig(line_hz=None, clean_fraction_min=0.0))
    n = 2 * BLANKINGS_MAX
    for turn in range(n):
        at_ns = T0_NS + 1_000_000_000 + turn * 10_000_000
        window.blank(at_ns, at_ns + 1)
    epoch = last(window, noise(1, 100 + n))
    assert np.isnan(epoch.samples(2)).all()
    assert (epoch.spectrum(2).n_segments == 0).all()
    assert len(window._blankings) <= BLANKINGS_MAX


def test_an_epoch_asked_too_late_says_so():
    window = Window(1, 100.0, 2.0, 0.1)
    epoch = last(window, noise(1, 250))
    epoch.spectrum(2)
    window.push(block(noise(1, 50), 250, 100.0))
    with pytest.raises(StaleEpochError, match="ending at sample 250 was asked at 300"):
        epoch.samples(1)


@pytest.mark.parametrize("window_s", [-1.0, 0.0, 1.0, 4.01, 5.0, float("inf"), float("nan")])
def test_a_span_outside_the_window_is_one_line(window_s: float):
    epoch = last(Window(1, 100.0, 4.0, 0.1), noise(1, 500))
    with pytest.raises(ValueError, match=r"^window_s: found .*expected 2 to 4 s"):
        epoch.spectrum(window_s)
    if window_s != 1.0:
        with pytest.raises(ValueError, match=r"^window_s: found"):
            epoch.samples(window_s)


@pytest.mark.parametrize(
    ("key", "args"),
    [
        ("n_channels", (0, 100.0, 4.0, 0.1)),
        ("sfreq_hz", (1, 0.0, 4.0, 0.1)),
        ("sfreq_hz", (1, float("nan"), 4.0, 0.1)),
        ("sfreq_hz", (1, float("inf"), 4.0, 0.1)),
        ("window_s", (1, 100.0, 0.0, 0.1)),
        ("window_s", (1, 100.0, 1e9, 0.1)),
        ("window_s", (1, 100.0, float("nan"), 0.1)),
        ("hop_s", (1, 100.0, 4.0, 0.0)),
        ("hop_s", (1, 100.0, 4.0, 5.0)),
        ("hop_s", (1, 100.0, 4.0, float("nan"))),
    ],
)
def test_an_impossible_window_is_one_line(key: str, args: tuple[int, float, float, float]):
    with pytest.raises(ValueError, match=f"^{key}: found .*expected"):
        Window(*args)


def test_pushing_costs_what_the_new_samples_cost():
    """The budgets of 32 channels at 500 Hz in one-sample blocks, with room for a busy machine."""
    data = noise(32, 500 * 6)
    window = Window(32, 500.0, 4.0, 0.1)
    blocks = [block(np.ascontiguousarray(data[:, i : i + 1]), i, 500.0) for i in range(data.shape[1])]
    took_ns = []
    for one in blocks:
        t0 = time.perf_counter_ns()
        window.push(one)
        took_ns.append(time.perf_counter_ns() - t0)
    assert np.median(took_ns) < 4 * 15_000
