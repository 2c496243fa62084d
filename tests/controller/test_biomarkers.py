"""Biomarkers against generators with a known answer, recordings, and whatever an electrode can say."""

from __future__ import annotations

import math
import warnings
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import biomarkers
from controller.biomarkers import Biomarker
from controller.eeg import Reading, Samples
from controller.measure import epochs
from controller.montage import Montage, MontageConfig
from controller.quality import QualityConfig
from controller.registry import RegistryError
from controller.replay import open_recording
from controller.window import Window
from tests.controller.material import feed, last, noise, recordings, sine

FS = 200.0
NAMES = ("F3", "Fz", "F4", "C3", "Cz", "C4", "CP3", "CP4")
PLAIN = MontageConfig(reference="none")
QUALITY = QualityConfig(line_hz=None)


def make(kind: str, names: tuple[str, ...] = NAMES, sfreq_hz: float = FS, **table: object) -> Biomarker:
    return biomarkers.build("b", kind, table, Montage.build(PLAIN, names), sfreq_hz)


def measured(biomarker: Biomarker, data: Samples, names: tuple[str, ...] = NAMES) -> list[Reading]:
    window = Window(
        len(names), FS, biomarker.window_s, 0.25, montage=Montage.build(PLAIN, names), quality=QUALITY
    )
    return [biomarker.measure(epoch) for epoch in feed(window, data)]


def rhythms(theta_uv: float, alpha_uv: float, seconds: float = 10.0) -> Samples:
    """The same two sines at all channels, over noise that says next to nothing."""
    n = round(seconds * FS)
    both = sine(6.0, theta_uv, n, FS) + sine(10.0, alpha_uv, n, FS)
    return np.tile(both, (len(NAMES), 1)) + noise(len(NAMES), n, scale_uv=0.01)


@pytest.mark.parametrize(("theta_uv", "alpha_uv"), [(10.0, 10.0), (10.0, 30.0), (20.0, 5.0)])
def test_relative_theta_of_two_sines(theta_uv: float, alpha_uv: float):
    share = theta_uv**2 / (theta_uv**2 + alpha_uv**2)
    for reading in measured(make("relative_theta"), rhythms(theta_uv, alpha_uv)):
        assert reading.reason == ""
        assert reading.value == pytest.approx(share, abs=1e-4)
        assert (reading.unit, reading.window_s) == ("1", 4.0)


@pytest.mark.parametrize(
    ("at_hz", "share"), [(3.0, 0.0), (3.5, 1 / 6), (4.0, 5 / 6), (7.5, 5 / 6), (8.0, 1 / 6)]
)
def test_bands_are_half_open(at_hz: float, share: float):
    """Through a Hann window a sine on a bin has 2/3 of its power there, and 1/6 at either side."""
    data = np.tile(sine(at_hz, 10.0, 2000, FS), (len(NAMES), 1))
    value = measured(make("relative_theta"), data)[-1].value
    assert value == pytest.approx(share, abs=1e-6)


def test_white_noise_has_the_share_of_its_bandwidth():
    data = noise(len(NAMES), round(120 * FS))
    values = [r.value for r in measured(make("relative_theta", window_s=60), data)]
    assert np.mean(values) == pytest.approx(4 / 44, rel=0.08)


def test_sensorimotor_alpha_is_log_power_at_the_sensorimotor_channels_only():
    data = rhythms(0.0, 20.0)
    data[NAMES.index("Fz")] *= 100.0
    data[NAMES.index("Cz")] *= 50.0
    reading = measured(make("sensorimotor_alpha"), data)[-1]
    assert reading.value == pytest.approx(math.log10(200.0), abs=1e-4)  # 20²/2 µV²
    assert reading.unit == "log10(µV²)"


@pytest.mark.parametrize(("amplitude_uv", "change_pct"), [(20.0, 0.0), (10.0, -75.0), (40.0, 300.0)])
def test_desynchronisation_against_a_baseline(amplitude_uv: float, change_pct: float):
    biomarker = make("sensorimotor_alpha", baseline_uv2=200.0)
    reading = measured(biomarker, rhythms(0.0, amplitude_uv))[-1]
    assert reading.value == pytest.approx(change_pct, abs=0.05)
    assert reading.unit == "%"


def test_one_side_by_region_or_name():
    data = rhythms(0.0, 10.0)
    data[3] = sine(10.0, 20.0, data.shape[1], FS)[0]
    for channels in (["C3"], ["c3"]):
        value = measured(make("sensorimotor_alpha", channels=channels), data)[-1].value
        assert value == pytest.approx(math.log10(200.0), abs=1e-3)
    left = measured(make("sensorimotor_alpha", channels=["sensorimotor_left"]), data)[-1].value
    assert left == pytest.approx(math.log10((200.0 + 50.0) / 2), abs=1e-3)


def test_robust_z_and_its_unit():
    raw = measured(make("relative_theta"), rhythms(10.0, 10.0))[-1].value
    biomarker = make("relative_theta", z={"median": 0.3, "mad": 0.1})
    reading = measured(biomarker, rhythms(10.0, 10.0))[-1]
    assert reading.value == pytest.approx((raw - 0.3) / 0.14826)
    assert reading.unit == biomarker.unit == "z"


def test_the_exponential_mean_halves_in_its_half_life_and_says_its_delay():
    step = np.concatenate((rhythms(0.0, 10.0, 20.0), rhythms(10.0, 0.0, 40.0)), axis=1)
    plain = measured(make("relative_theta"), step)
    slow = measured(make("relative_theta", half_life_s=5.0), step)
    # From 24 s on all segments are theta: what is left of the old falls by half in 5 s.
    left = {round(r.time_ns / 1e9 - 5, 2): 1.0 - r.value for r in slow}
    assert left[39.99] == pytest.approx(left[34.99] / 2, rel=0.01)
    assert plain[-1].value == pytest.approx(1.0, abs=1e-4)
    assert slow[-1].latency_s - plain[-1].latency_s == pytest.approx(5.0 / math.log(2))


def test_the_mean_outlives_a_gap_without_a_value():
    data = rhythms(10.0, 0.0, 40.0)
    data[:, 4000:4800] = np.nan  # 20 to 24 s
    readings = measured(make("relative_theta", half_life_s=5.0), data)
    gone = [r for r in readings if math.isnan(r.value)]
    assert gone
    assert all(r.reason for r in gone)
    assert readings[-1].value == pytest.approx(1.0, abs=1e-3)


def test_the_same_epoch_twice_is_the_same_reading():
    biomarker = make("relative_theta", half_life_s=3.0)
    montage = Montage.build(PLAIN, NAMES)
    window = Window(8, FS, 4.0, 0.25, montage=montage, quality=QUALITY)
    for epoch in feed(window, rhythms(3.0, 9.0)):
        assert biomarker.measure(epoch) == biomarker.measure(epoch)


def test_latency_is_half_the_window_and_the_lag_of_the_grid():
    latencies = {r.latency_s for r in measured(make("relative_theta"), rhythms(5.0, 5.0))}
    assert latencies == {2.0, 2.25, 2.5, 2.75}


def test_a_window_in_between_is_rounded_up():
    assert make("relative_theta", window_s=2.5).window_s == 3.0


@pytest.mark.parametrize(
    ("dead", "reason"),
    [
        ((3,), ""),
        ((3, 5), ""),
        ((3, 5, 6), "channels: 3 of 4 bad (C3 flat, C4 flat, CP3 flat)"),
        ((0, 1, 2, 4), "quality: clean 0.50 < 0.60"),
    ],
)
def test_bad_channels_are_left_out_and_too_many_are_a_reason(dead: tuple[int, ...], reason: str):
    data = rhythms(0.0, 20.0)
    data[list(dead)] = 0.0
    reading = measured(make("sensorimotor_alpha"), data)[-1]
    assert reading.reason.startswith(reason)
    if reason:
        assert math.isnan(reading.value)
    else:
        assert reading.value == pytest.approx(math.log10(200.0), abs=1e-4)


def test_less_than_sixty_percent_clean_is_no_reading():
    """Losses twice: 2 of 3 segments is enough, 1 of 3 is not, whatever Quality would let pass."""
    data = rhythms(10.0, 10.0, 12.0)
    montage = Montage.build(PLAIN, NAMES)
    biomarker = make("relative_theta")
    lenient = QualityConfig(line_hz=None, clean_fraction_min=0.0)
    for lost_s, reason in ((8.5, ""), (9.5, "clean 0.33 < 0.60"), (10.5, "clean 0.33 < 0.60")):
        window = Window(8, FS, 4.0, 0.25, montage=montage, quality=lenient)
        window.blank(round((5 + lost_s) * 1e9), round((5.1 + lost_s) * 1e9))
        reading = biomarker.measure(last(window, data))
        assert (reading.reason, math.isnan(reading.value)) == (reason, bool(reason))


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=30),
    kind=st.sampled_from(["relative_theta", "sensorimotor_alpha"]),
)
def test_no_samples_whatever_raise(values: list[float], kind: str):
    data = np.resize(np.array(values), (2, 1500))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        biomarker = make(kind, ("C3", "C4"), half_life_s=1.0)
        for reading in measured(biomarker, data, ("C3", "C4")):
            assert math.isfinite(reading.value) == (not reading.reason)


@pytest.mark.parametrize(
    ("kind", "sfreq_hz", "table", "text"),
    [
        ("relative_theta", 80.0, {}, r"^sfreq_hz: found 80, expected 90 or more for the band 1 to 45 Hz$"),
        ("sensorimotor_alpha", 25.0, {}, "^sfreq_hz: found 25, expected 26 or more"),
        ("relative_theta", 200.0, {"channels": ["Oz"]}, '^channels: found "Oz", not among'),
        ("relative_theta", 200.0, {"channels": ["occipital"]}, "^channels: found occipital"),
        ("relative_theta", 200.0, {"channels": []}, "^key channels: found"),
        ("relative_theta", 200.0, {"window_s": 1.0}, r"^key window_s: found 1.0, expected a number from 2"),
        ("relative_theta", 200.0, {"window_s": float("nan")}, "^key window_s: found"),
        ("relative_theta", 200.0, {"window_s": True}, "^key window_s: found true"),
        ("relative_theta", 200.0, {"half_life_s": 0}, "^key half_life_s"),
        ("relative_theta", 200.0, {"z": {"median": 0.0, "mad": 0.0}}, "^key z.mad: found 0.0"),
        ("relative_theta", 200.0, {"baseline_uv2": 1.0}, "^key baseline_uv2: unknown"),
        ("sensorimotor_alpha", 200.0, {"baseline_uv2": -1.0}, "^key baseline_uv2: found -1.0"),
    ],
)
def test_what_does_not_fit_is_one_line(kind: str, sfreq_hz: float, table: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text) as caught:
        make(kind, sfreq_hz=sfreq_hz, **table)
    assert "\n" not in str(caught.value)


def test_a_key_stands_before_every_line():
    with pytest.raises(ValueError, match=r"^biomarkers\.b: channels: found"):
        biomarkers.build("b", "relative_theta", {"channels": ["X9"]}, Montage.plain(2), 200.0, "biomarkers.b")
    with pytest.raises(ValueError, match=r"^key biomarkers\.b\.window_s: found"):
        biomarkers.build("b", "relative_theta", {"window_s": 0}, Montage.plain(2), 200.0, "biomarkers.b")


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, biomarkers.GROUP)


def test_the_kinds_are_registered():
    assert {"relative_theta", "sensorimotor_alpha"} <= set(biomarkers.available())


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ((), 'kind: found "theta", not installed'),
        ((entry("thetas", "a:b"),), 'did you mean "thetas"'),
        ((entry("theta", "a:b"), entry("theta", "c:d")), '"theta" is registered twice, as a:b and c:d'),
        ((entry("theta", "no_such_module:X"),), "cannot be loaded"),
        ((entry("theta", "math:no_such_name"),), "cannot be loaded"),
        ((entry("theta", "math:sin"),), "is no class with measure"),
        ((entry("theta", "tests.controller.test_biomarkers:Half"),), "has no Config"),
    ],
)
def test_a_wrong_registration_is_one_line(entries: tuple[EntryPoint, ...], text: str):
    with pytest.raises(RegistryError, match=text) as caught:
        biomarkers.load("theta", entries)
    assert "\n" not in str(caught.value)


def test_one_entry_point_seen_twice_is_no_duplicate():
    """An editable install beside a wheel lists the same line twice."""
    one = entry("t", "controller.biomarkers.relative_theta:RelativeTheta")
    assert biomarkers.load("t", (one, one)).__name__ == "RelativeTheta"


class Half:
    def measure(self) -> None: ...


def test_eegmat_alpha_peak_at_o2():
    """A recording that others have looked at: at rest, O2 peaks at 10.5 Hz."""
    source = open_recording(recordings() / "eegmat_Subject00_1.edf")
    montage = Montage.build(MontageConfig(reference="none"), source.spec.ch_names)
    window = Window(len(source.spec.ch_names), source.spec.sfreq_hz, 60.0, 10.0, montage=montage)
    row = montage.resolve(["O2"])[0]
    biomarker = biomarkers.build("t", "relative_theta", {"channels": ["O2"]}, montage, 500.0)
    peaks, thetas = [], []
    for epoch in epochs(source, window):
        spectrum = epoch.spectrum(60)
        band = (spectrum.freqs_hz >= 5) & (spectrum.freqs_hz < 15)
        peaks.append(spectrum.freqs_hz[band][np.argmax(spectrum.psd[row, band])])
        thetas.append(biomarker.measure(epoch).value)
    assert len(peaks) >= 12
    assert np.median(peaks) == 10.5
    assert all(0.02 < theta < 0.4 for theta in thetas)


@pytest.mark.parametrize("kind", ["relative_theta", "sensorimotor_alpha"])
def test_what_is_remembered_of_a_spectrum_is_what_would_be_worked_out_anew(kind: str):
    """Hop by hop, through a channel that fails, samples that are blanked late, and a time that is held."""
    data = noise(len(NAMES), round(20 * FS), scale_uv=10.0)
    data[3, round(7 * FS) : round(11 * FS)] = 0.0  # flat for a while
    kept = make(kind)
    window = Window(len(NAMES), FS, kept.window_s, 0.1, montage=Montage.build(PLAIN, NAMES), quality=QUALITY)
    n_different = 0
    values = []
    for n, epoch in enumerate(feed(window, data)):
        here, anew = kept.measure(epoch), make(kind).measure(epoch)
        assert repr(here) == repr(anew)
        assert repr(kept.measure(epoch)) == repr(here)
        values.append(here.value)
        n_different += len(values) > 1 and repr(values[-1]) != repr(values[-2])
        if n == 50:
            window.blank(epoch.time_ns - 1_500_000_000, epoch.time_ns - 1_400_000_000)
        if n == 90:
            window.blank(0, 0, hold_until_ns=epoch.time_ns + 500_000_000)
    assert 12 <= n_different < len(values) / 2
