"""The simulated patient: what its parameters declare must stand in its EEG, and each grouping must agree."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import welch

from sim.leadfield import CH_NAMES, dipole, montage, positions, under
from sim.patient import PRESETS, FieldEvent, Patient, PatientParameters, preset, randomised

Floats = NDArray[np.float64]
SFREQ_HZ = 250.0
SILENT = PatientParameters(
    theta_uv=0, theta_central_uv=0, alpha_uv=0, occipital_uv=0, beta_uv=0, gamma_uv=0, background_uv=0,
    sensor_uv=0, emg_uv=0, blinks_per_min=0, line_uv=0,
)  # fmt: skip


def held(base: PatientParameters, *, pain: float, sensitisation: float = 0.0) -> PatientParameters:
    """A patient whose pain and sensitisation stay where they are."""
    return replace(
        base,
        noxious_rest=pain,
        noxious_level=pain,
        noxious_noise=0,
        sensitisation_gain=0,
        sensitisation_start=sensitisation,
        sensitisation_tau_s=1e12,
    )


def make(parameters: PatientParameters, seconds: float, *, seed: int = 1) -> Floats:
    return Patient(parameters, seed=seed, sfreq_hz=SFREQ_HZ).step(round(seconds * SFREQ_HZ))


def spectrum(eeg: Floats) -> tuple[Floats, Floats]:
    frequency, power = welch(eeg, SFREQ_HZ, nperseg=round(2 * SFREQ_HZ))
    return frequency, power


def relative(eeg: Floats, low_hz: float, high_hz: float) -> Floats:
    frequency, power = spectrum(eeg)
    band = (frequency >= low_hz) & (frequency < high_hz)
    broad = (frequency >= 1) & (frequency < 45)
    return np.asarray(power[:, band].sum(axis=1) / power[:, broad].sum(axis=1))


def at(*names: str) -> list[int]:
    return [CH_NAMES.index(name) for name in names]


class TestSpectrum:
    @pytest.mark.parametrize(
        ("field", "value_uv", "channel", "factor"),
        [
            ("theta_uv", 3.0, "Fz", 1 + 3.0 * 0.5),
            ("theta_central_uv", 3.0, "Cz", 1 + 3.0 * 0.5),
            ("alpha_uv", 7.0, "C3", 1 - 0.75 * 0.5),
            ("alpha_uv", 7.0, "C4", 1 - 0.60 * 0.5),
            ("beta_uv", 2.0, "C3", 1 + 0.25 * 0.5),
            ("gamma_uv", 1.0, "AFz", 1 + 0.8 * 0.5),
            ("sensor_uv", 1.0, "Oz", 1.0),
        ],
    )
    def test_each_source_has_its_declared_size(
        self, field: str, value_uv: float, channel: str, factor: float
    ) -> None:
        eeg = make(replace(held(SILENT, pain=0.5), **{field: value_uv}), 16)
        assert eeg[at(channel)].std() == pytest.approx(value_uv * factor, rel=0.2)

    @pytest.mark.parametrize("sensitisation", [0.0, 1.0])
    def test_alpha_peaks_where_sensitisation_puts_it(self, sensitisation: float) -> None:
        parameters = held(replace(SILENT, alpha_uv=7), pain=0.2, sensitisation=sensitisation)
        frequency, power = spectrum(make(parameters, 25)[at("C3", "C4")])
        near = (frequency >= 6) & (frequency <= 13)
        paf_hz = (frequency[near] * power[:, near]).sum() / power[:, near].sum()
        assert paf_hz == pytest.approx(10.0 - sensitisation, abs=0.2)

    @pytest.mark.parametrize("exponent", [0.8, 1.1, 1.5])
    def test_background_falls_by_its_exponent(self, exponent: float) -> None:
        parameters = replace(SILENT, background_uv=4.0, background_exponent=exponent)
        frequency, power = spectrum(make(parameters, 20))
        fit = (frequency >= 2) & (frequency <= 40)
        slope = np.polyfit(np.log(frequency[fit]), np.log(power.mean(axis=0)[fit]), 1)[0]
        assert -slope == pytest.approx(exponent, abs=0.08)

    def test_background_has_its_declared_size_on_each_channel(self) -> None:
        frequency, power = spectrum(make(replace(SILENT, background_uv=4.0), 30))
        band = (frequency >= 1) & (frequency <= 45)
        rms = np.sqrt(power[:, band].sum(axis=1) * 0.5)
        assert rms == pytest.approx(4.0, rel=0.15)

    def test_pain_moves_power_from_alpha_to_theta(self) -> None:
        free = make(held(preset("demo"), pain=0.1), 20)
        hurt = make(held(preset("demo"), pain=0.8), 20)
        frontal, central = at("Fz", "FCz"), at("C3", "Cz", "C4")
        assert relative(hurt, 4, 8)[frontal].mean() > 1.4 * relative(free, 4, 8)[frontal].mean()
        assert relative(hurt, 8, 13)[central].mean() < 0.75 * relative(free, 8, 13)[central].mean()

    def test_sizes_are_those_of_a_head(self) -> None:
        eeg = make(preset("demo"), 10)
        assert np.isfinite(eeg).all()
        assert eeg.std(axis=1).min() > 2
        assert eeg.std(axis=1).max() < 40
        assert np.abs(eeg).max() < 250

    def test_blinks_are_largest_in_front_and_mains_lie_at_their_frequency(self) -> None:
        blinking = make(replace(SILENT, blinks_per_min=30), 15)
        assert 50 < blinking[at("Fp1")].max() < 130
        assert np.abs(blinking[at("Oz")]).max() < 0.2 * blinking[at("Fp1")].max()
        frequency, power = spectrum(make(replace(SILENT, line_uv=2), 4))
        assert set(frequency[power.argmax(axis=1)]) == {50.0}

    def test_muscle_lies_above_its_corner_and_at_the_temples(self) -> None:
        frequency, power = spectrum(make(replace(SILENT, emg_uv=2), 8))
        total = power.sum(axis=1)
        assert total[at("T7", "T8")].min() > 20 * total[at("Pz")].max()
        assert power[at("T7"), (frequency > 1) & (frequency < 5)].mean() < 0.1 * power[at("T7"), 60:].mean()


class TestGrouping:
    EVENTS = (
        FieldEvent(t_ns=300_000_000, modality="tacs", amplitude_ma_pp=2, frequency_hz=10),
        FieldEvent(t_ns=411_000_000, modality="rtms", pulse_pct_mso=60),
        FieldEvent(t_ns=411_000_001, modality="rtms", pulse_pct_mso=50),
    )

    @pytest.mark.parametrize("sizes", [(1,), (10,), (7, 1, 31), (250,)])
    def test_any_grouping_gives_the_same_bits(self, sizes: tuple[int, ...]) -> None:
        whole = Patient(preset("demo"), seed=5)
        expected = whole.step(500, self.EVENTS)
        patient = Patient(preset("demo"), seed=5)
        parts, alphas, left, turn = [], [], 500, 0
        while left:
            take = min(sizes[turn % len(sizes)], left)
            parts.append(patient.step(take, self.EVENTS if turn == 0 else ()))
            alphas.append(patient.alpha)
            left, turn = left - take, turn + 1
        assert np.array_equal(np.concatenate(parts, axis=1), expected)
        assert np.array_equal(np.concatenate(alphas), whole.alpha)
        assert patient.truth == whole.truth

    def test_a_late_pulse_acts_once_and_its_artefact_starts_with_the_next_sample(self) -> None:
        patient, twin = Patient(preset("demo"), seed=5), Patient(preset("demo"), seed=5)
        patient.step(101)
        twin.step(101)
        pulse = FieldEvent(t_ns=patient.time_ns(100), modality="rtms", pulse_pct_mso=60)
        late = patient.step(1, [pulse])
        assert np.abs(late).min() == 5000 and np.abs(twin.step(1)).max() < 250
        before = patient.truth.dose_ma_s
        patient.step(200)
        assert before == 0
        assert patient.truth.dose_ma_s == pytest.approx(1.3 * 0.6)

    def test_seed_decides(self) -> None:
        assert np.array_equal(make(preset("demo"), 1, seed=3), make(preset("demo"), 1, seed=3))
        assert not np.array_equal(make(preset("demo"), 1, seed=3), make(preset("demo"), 1, seed=4))

    def test_a_smaller_montage_holds_the_same_samples(self) -> None:
        names = montage(5)
        few = Patient(preset("demo"), seed=2, ch_names=names).step(100)
        assert np.array_equal(few, Patient(preset("demo"), seed=2).step(100)[at(*names)])
        assert {"C3", "C4", "Cz", "Fz"} < set(names)

    @pytest.mark.parametrize("n_samples", [0, -1])
    def test_no_samples_are_refused(self, n_samples: int) -> None:
        with pytest.raises(ValueError, match="n_samples"):
            Patient(preset("demo"), seed=1).step(n_samples)

    @pytest.mark.parametrize("sfreq_hz", [0.0, 100.0, math.nan, 1e9])
    def test_a_rate_that_cannot_carry_gamma_is_refused(self, sfreq_hz: float) -> None:
        with pytest.raises(ValueError, match="sfreq"):
            Patient(preset("demo"), seed=1, sfreq_hz=sfreq_hz)

    @pytest.mark.parametrize("ch_names", [(), ("C3", "C3"), ("X9",)])
    def test_unknown_or_repeated_channels_are_refused(self, ch_names: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="channels"):
            Patient(preset("demo"), seed=1, ch_names=ch_names)


class TestParameters:
    @pytest.mark.parametrize("name", PRESETS)
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, True, "1"])
    def test_no_field_takes_a_bad_number(self, name: str, bad: object) -> None:
        base = preset(name)
        signed = {"tacs_phase_best_rad", "rtms_phase_best_rad", "occipital_offset_hz"}
        for field in fields(base):
            if bad == -1.0 and field.name in signed:
                continue
            with pytest.raises(ValueError, match=field.name):
                replace(base, **{field.name: bad})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "field", ["pain_tau_s", "intensity_tau_s", "theta_bandwidth_hz", "effect_d50_ma_pp"]
    )
    def test_a_divisor_may_not_be_zero(self, field: str) -> None:
        with pytest.raises(ValueError, match=field):
            replace(preset("demo"), **{field: 0})

    def test_unknown_preset_lists_the_known(self) -> None:
        with pytest.raises(ValueError, match="demo, healthy, chronic, nonresponder"):
            preset("ideal")

    @settings(max_examples=50)
    @given(seed=st.integers(0, 2**63), spread=st.floats(0, 1))
    def test_every_member_of_a_cohort_is_a_valid_patient(self, seed: int, spread: float) -> None:
        member = randomised(preset("demo"), seed=seed, spread=spread)
        assert member == randomised(preset("demo"), seed=seed, spread=spread)
        assert 8.5 <= member.alpha_hz <= 11.5

    def test_a_cohort_differs(self) -> None:
        assert len({randomised(preset("demo"), seed=seed) for seed in range(20)}) == 20
        assert randomised(preset("demo"), seed=1, spread=0) == preset("demo")


class TestLeadfield:
    def test_positions_are_those_of_the_published_layout(self) -> None:
        mne_channels = pytest.importorskip("mne.channels")
        published = mne_channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
        directions = np.array([published[name] for name in CH_NAMES])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        assert np.abs(directions - positions()).max() < 1e-6

    def test_a_source_is_strongest_above_itself_and_falls_away(self) -> None:
        pattern = dipole(under({"C3": 1.0}), depth=0.7)
        order = [CH_NAMES[index] for index in np.argsort(-pattern)]
        assert order[0] == "C3"
        assert pattern[CH_NAMES.index("C4")] < 0.2 < pattern[CH_NAMES.index("CP3")] < 1

    @pytest.mark.parametrize("depth", [-0.1, 1.0, math.nan])
    def test_a_source_outside_the_head_is_refused(self, depth: float) -> None:
        with pytest.raises(ValueError, match="depth"):
            dipole(under({"Cz": 1.0}), depth=depth)

    def test_montages_grow_and_their_size_is_checked(self) -> None:
        for n in range(1, 33):
            assert len(montage(n)) == n
        assert montage(32) == CH_NAMES
        for n in (0, 33):
            with pytest.raises(ValueError, match="channels"):
                montage(n)
