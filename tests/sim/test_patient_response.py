"""How the simulated patient answers stimulation: better, worse, not at all; and what the amplifier shows of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.field import Field, FieldEvent, parse
from sim.pain import PainState, SlidingDose, advance, effect, initial
from sim.patient import Patient, PatientParameters, Truth, preset

Floats = NDArray[np.float64]
QUIET = replace(preset("demo"), noxious_noise=0)


def tacs(t_ns: int, amplitude_ma_pp: float = 2.0, frequency_hz: float = 10.0) -> FieldEvent:
    phase_rad = (2 * math.pi * frequency_hz * t_ns * 1e-9) % (2 * math.pi)
    return FieldEvent(
        t_ns=t_ns,
        modality="tacs",
        amplitude_ma_pp=amplitude_ma_pp,
        frequency_hz=frequency_hz,
        phase_rad=phase_rad,
    )


def pulse(t_ns: int, pct_mso: float = 60.0) -> FieldEvent:
    return FieldEvent(t_ns=t_ns, modality="rtms", pulse_pct_mso=pct_mso)


def live(parameters: PatientParameters, seconds: float, events: list[FieldEvent]) -> Truth:
    """The state after so many seconds, each event told in the tick it lies in."""
    patient = Patient(parameters, seed=1, sfreq_hz=200.0)
    waiting = sorted(events, key=lambda event: event.t_ns)
    for _ in range(round(seconds * 50)):
        end_ns = patient.time_ns(patient.n_samples + 4)
        told = [event for event in waiting if event.t_ns < end_ns]
        waiting = waiting[len(told) :]
        patient.step(4, told)
    return patient.truth


def current_for(
    seconds: float, *, from_s: float = 8.0, frequency_hz: float = 10.0, ma_pp: float = 2.0
) -> list[FieldEvent]:
    return [
        tacs(k * 20_000_000, ma_pp, frequency_hz)
        for k in range(round(from_s * 50), round((from_s + seconds) * 50))
    ]


class TestResponse:
    def test_current_relieves_and_a_nonresponder_is_not_relieved(self) -> None:
        alone = live(QUIET, 20, [])
        relieved = live(QUIET, 20, current_for(12))
        unmoved = live(replace(QUIET, effect_max=0), 20, current_for(12))
        assert alone.pain > 0.7
        assert relieved.pain < 0.5 * alone.pain
        assert relieved.theta_gain < alone.theta_gain and relieved.alpha_gain > alone.alpha_gain
        assert unmoved.pain == pytest.approx(alone.pain, abs=0.02)

    def test_pulses_relieve(self) -> None:
        trains = [pulse(round((8 + 10 * train + k / 10) * 1e9), 55) for train in range(2) for k in range(20)]
        relieved = live(QUIET, 24, trains)
        assert relieved.pain < 0.75 * live(QUIET, 24, []).pain
        assert relieved.dose_ma_s == pytest.approx(40 * 1.3 * 0.55)

    def test_a_current_away_from_alpha_does_less(self) -> None:
        near, far = (live(QUIET, 16, current_for(8, frequency_hz=f)).intensity_ma_pp for f in (10.0, 20.0))
        assert far < 0.2 * near

    def test_the_phase_of_a_pulse_matters(self) -> None:
        """Pulses at alpha's trough against pulses at its peak, each found from the true phase."""
        effects = []
        for wanted_rad in (math.pi, 0.0):
            patient = Patient(replace(QUIET, phase_gain=1.0), seed=1)
            due: list[FieldEvent] = []
            for _ in range(1000):
                patient.step(1, due)
                off = (np.angle(patient.alpha[-1]) - wanted_rad + math.pi) % (2 * math.pi) - math.pi
                due = [pulse(patient.time_ns(patient.n_samples - 1))] if abs(off) < 0.06 else []
            effects.append(patient.truth.effect / patient.truth.intensity_ma_pp)
        trough, peak = effects
        assert trough > 5 * peak >= 0

    def test_a_device_that_falls_silent_gives_nothing(self) -> None:
        patient = Patient(QUIET, seed=1)
        patient.step(500, [tacs(0)])
        # 200 ms of 2 mA p-p and no more.
        assert patient.truth.dose_ma_s == pytest.approx(0.4, abs=0.05)

    def test_overstimulation_makes_it_worse(self) -> None:
        """Past the dose, pain after the stimulation is higher, and PAF slower, than without any."""
        parameters = replace(QUIET, dose_max_ma_s=5, sensitisation_per_dose=4e-3, intensity_tau_s=2)
        alone, over = live(parameters, 30, []), live(parameters, 30, current_for(10, from_s=2))
        assert over.effect < 0.01
        assert over.sensitisation > alone.sensitisation + 0.3
        assert over.pain > alone.pain + 0.05
        assert over.paf_hz < alone.paf_hz - 0.3

    def test_power_recovers_but_paf_stays(self) -> None:
        """The split of time scales of eLife 102096: pain ends, alpha returns within seconds, PAF does not."""
        p = replace(QUIET, sensitisation_tau_s=1800)
        state = initial(p)
        for noxious in [0.8] * 1800 + [0.0] * 60:
            state = advance(
                p, state, noxious=noxious, intensity_ma_pp=0, intensity_cos_ma_pp=0, dose_ma_s=0, dt_s=1.0
            )
        assert state.pain < 0.05
        assert state.sensitisation > 0.4

    def test_ratings_follow_pain_after_a_delay(self) -> None:
        p = replace(QUIET, nrs_noise=0, nrs_delay_s_min=3, nrs_delay_s_max=3)
        patient = Patient(p, seed=1)
        pains, ratings = [], []
        for _ in range(20):
            patient.step(500)
            pains.append(patient.truth.pain)
            ratings.append(patient.truth.nrs)
        assert ratings[0] is None
        for earlier, rating in zip(pains, ratings[3:], strict=False):
            assert rating is not None and abs(rating - 10 * earlier) <= 3
        assert ratings[-1] in (7, 8, 9)


class TestState:
    @settings(max_examples=100)
    @given(
        noxious=st.floats(0, 5),
        intensity=st.floats(0, 1e6),
        cosine=st.floats(-1, 1),
        dose=st.floats(0, 1e9),
        dt_s=st.floats(1e-4, 1e4),
        d=st.one_of(st.floats(0, 1e6), st.floats(0, 1e-300)),
    )
    def test_every_state_stays_finite_and_in_range(
        self, noxious: float, intensity: float, cosine: float, dose: float, dt_s: float, d: float
    ) -> None:
        p = preset("demo")
        state = replace(initial(p), intensity_ma_pp=d, intensity_cos_ma_pp=d * cosine)
        for _ in range(3):
            state = advance(
                p,
                state,
                noxious=noxious,
                intensity_ma_pp=intensity,
                intensity_cos_ma_pp=intensity * cosine,
                dose_ma_s=dose,
                dt_s=dt_s,
            )
            self._check(p, state)

    @staticmethod
    def _check(p: PatientParameters, state: PainState) -> None:
        assert 0 <= state.pain < 20
        assert 0 <= state.sensitisation <= p.sensitisation_max
        assert 0 <= state.habituation <= 1
        assert 0 <= state.effect <= p.effect_max * (1 + p.phase_gain)
        assert math.isfinite(state.intensity_ma_pp)

    def test_effect_is_half_at_d50_and_falls_with_habituation(self) -> None:
        p = preset("demo")
        assert effect(p, p.effect_d50_ma_pp, 0.0, 0.0) == pytest.approx(p.effect_max / 2)
        assert effect(p, p.effect_d50_ma_pp, 0.0, 0.5) == pytest.approx(p.effect_max / 4)
        assert effect(p, 0.0, 0.0, 0.0) == 0

    def test_dose_slides_out_of_its_window(self) -> None:
        dose = SlidingDose(3600.0)
        for _ in range(100):
            held = dose.add(1.0, 1.0)
        assert held == pytest.approx(100)
        assert dose.add(0.0, 3400.0) == pytest.approx(100)
        assert dose.add(0.0, 150.0) < 60
        assert dose.add(5.0, 1e7) == 5.0


class TestArtefacts:
    def test_a_pulse_saturates_five_ms_and_is_gone_within_fifteen(self) -> None:
        with_pulse, without = (
            Patient(preset("demo"), seed=1, sfreq_hz=1000.0).step(200, events)
            for events in ([pulse(100_000_000, 100)], [])
        )
        assert np.array_equal(with_pulse[:, :100], without[:, :100])
        assert (np.abs(with_pulse[:, 100:105]) == 5000).all()
        assert 20 < np.abs(with_pulse[:, 105] - without[:, 105]).max() < 400
        assert np.abs(with_pulse[:, 116:120] - without[:, 116:120]).max() < 2

    def test_a_current_leaks_at_its_frequency_and_size(self) -> None:
        p = replace(preset("demo"), tacs_leak_uv_per_ma_pp=10.0, effect_max=0)
        events = [tacs(k * 20_000_000, 1.5, 7.0) for k in range(50)]
        leak = Patient(p, seed=1).step(500, events) - Patient(p, seed=1).step(500)
        expected = 15.0 * np.cos(2 * np.pi * 7.0 * np.arange(500) / 500)
        fit = leak @ expected / (expected @ expected)
        assert np.abs(leak - fit[:, None] * expected).max() < 1e-6
        assert 0.5 < np.abs(fit).max() < 1.5

    @given(st.permutations(range(8)))
    @settings(max_examples=30)
    def test_the_order_of_arrival_does_not_matter(self, order: list[int]) -> None:
        events = [tacs(k * 20_000_000, 0.5 * k) for k in range(8)]
        times = np.arange(0, 400_000_000, 3_000_000)
        found = []
        for arrival in (range(8), order):
            field = Field(200_000_000)
            for index in arrival:
                field.add([events[index]])
            current = field.current(times)
            assert current is not None
            found.append(current.amplitude_ma_pp)
        assert np.array_equal(found[0], found[1])

    def test_memory_is_bounded(self) -> None:
        field = Field(200_000_000)
        field.add(pulse(k) for k in range(20_000))
        assert field.dropped > 15_000
        field.forget(10**12)
        assert field.pulses_between(0, 10**12) == []


class TestDatagrams:
    def test_both_kinds_parse(self) -> None:
        sent = {"t_ns": 5, "modality": "tacs", "amplitude_ma_pp": 1, "frequency_hz": 10.0, "phase_rad": -0.5}
        assert parse(json.dumps(sent).encode()) == FieldEvent(
            t_ns=5, modality="tacs", amplitude_ma_pp=1, frequency_hz=10, phase_rad=-0.5
        )
        assert parse(b'{"t_ns":6,"modality":"rtms","pulse_pct_mso":60}') == pulse(6, 60)

    @pytest.mark.parametrize(
        "datagram",
        [
            b"",
            b"\xff",
            b"[]",
            b"[" * 1000,
            b"{}",
            b'{"t_ns":1.5,"modality":"rtms","pulse_pct_mso":60}',
            b'{"t_ns":true,"modality":"rtms","pulse_pct_mso":60}',
            b'{"t_ns":-1,"modality":"rtms","pulse_pct_mso":60}',
            b'{"t_ns":1,"modality":"dbs"}',
            b'{"t_ns":1,"modality":["rtms"],"pulse_pct_mso":60}',
            b'{"t_ns":1,"modality":"rtms","pulse_pct_mso":NaN}',
            b'{"t_ns":1,"modality":"rtms","pulse_pct_mso":-1}',
            b'{"t_ns":1,"modality":"rtms","pulse_pct_mso":"60"}',
            b'{"t_ns":1,"modality":"rtms","pulse_pct_mso":1' + b"0" * 400 + b"}",
            b'{"t_ns":1,"modality":"rtms"}',
            b'{"t_ns":1,"modality":"tacs","amplitude_ma_pp":1,"frequency_hz":Infinity,"phase_rad":0}',
            b'{"t_ns":1,"modality":"tacs","amplitude_ma_pp":1e9,"frequency_hz":10,"phase_rad":0}',
        ],
    )
    def test_anything_else_is_refused(self, datagram: bytes) -> None:
        with pytest.raises(ValueError, match="field"):
            parse(datagram)
