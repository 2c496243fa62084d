"""EEG with a pain state that answers stimulation.

A patient advances in whole ticks of 20 ms. The rule of grouping: given the same events, each handed over no
later than the step that returns the first sample of the tick it lies in, any grouping of `step` returns the
same samples bit for bit. A later event shows its artefact from the next sample on, and
acts from the next tick on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.field import Artefacts, Field, FieldEvent, intensity, pulse_dose
from sim.leadfield import CH_NAMES, blur, dipole, under
from sim.pain import Noxious, PainState, Rater, SlidingDose, advance, initial
from sim.patient_parameters import PRESETS, PatientParameters, preset, randomised
from sim.rhythms import Background, Blinks, Mains, Muscle, Oscillators

__all__ = [
    "PRESETS",
    "RHYTHMS",
    "FieldEvent",
    "Patient",
    "PatientParameters",
    "Truth",
    "preset",
    "randomised",
]

Floats = NDArray[np.float64]

RHYTHMS = (
    "theta",
    "theta_central",
    "alpha_left",
    "alpha_right",
    "occipital",
    "beta_left",
    "beta_right",
    "gamma",
)
_ALPHA_LEFT = RHYTHMS.index("alpha_left")
_TICK_S = 0.02
_HISTORY_TICKS = 50  # 1 s of alpha kept for pulses that are told late
_SFREQ_HZ_MIN, _SFREQ_HZ_MAX = 200.0, 20_000.0  # gamma needs 75 Hz well below half the rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What an experimenter cannot see, at the last sample returned.

    The slow values are those at the end of its tick, less than 20 ms on; phase and amplitude are those of the
    left sensorimotor alpha at the sample itself. Gains are relative to the rhythm without pain. `nrs` is the
    standing rating, None before the first.
    """

    t_ns: int
    pain: float
    sensitisation: float
    habituation: float
    intensity_ma_pp: float
    dose_ma_s: float
    effect: float
    noxious: float
    paf_hz: float
    theta_gain: float
    alpha_gain: float
    gamma_gain: float
    alpha_phase_rad: float
    alpha_uv: float
    nrs: int | None


def _check(sfreq_hz: float, ch_names: Sequence[str]) -> None:
    if not _SFREQ_HZ_MIN <= sfreq_hz <= _SFREQ_HZ_MAX:
        raise ValueError(f"sfreq: found {sfreq_hz} Hz, expected {_SFREQ_HZ_MIN:g} to {_SFREQ_HZ_MAX:g}")
    unknown = [name for name in ch_names if name not in CH_NAMES]
    if unknown or not ch_names or len(set(ch_names)) != len(ch_names):
        raise ValueError(
            f"channels: {unknown or 'none, or one twice'}, expected names of {', '.join(CH_NAMES)}"
        )


class Patient:
    """One simulated head and person. Pure: it knows no clock; sample 0 lies at `start_ns`.

    `field_hold_ns`: a current that no event renews within this time is taken to have ended.
    """

    def __init__(
        self,
        parameters: PatientParameters,
        *,
        seed: int,
        sfreq_hz: float = 500.0,
        ch_names: Sequence[str] = CH_NAMES,
        start_ns: int = 0,
        field_hold_ns: int = 200_000_000,
    ) -> None:
        _check(sfreq_hz, ch_names)
        self.parameters = p = parameters
        self.sfreq_hz = sfreq_hz
        self.ch_names = tuple(ch_names)
        self._rows = np.array([CH_NAMES.index(name) for name in ch_names])
        self._start_ns = start_ns
        self._n_tick = max(1, round(sfreq_hz * _TICK_S))
        self._dt_s = self._n_tick / sfreq_hz

        # A stream of its own for each part: what one part draws never moves another.
        rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(9)]
        bandwidth = (
            *[p.theta_bandwidth_hz] * 2,
            *[p.alpha_bandwidth_hz] * 3,
            *[p.beta_bandwidth_hz] * 2,
            p.gamma_bandwidth_hz,
        )
        width = len(CH_NAMES)
        self._oscillators = Oscillators(np.array(bandwidth), sfreq_hz, self._n_tick, rngs[0])
        self._background = Background(
            p.background_exponent, p.background_uv, width, sfreq_hz, self._n_tick, rngs[1]
        )
        self._sensor_rng = rngs[2]
        self._muscle = Muscle(p, 4, sfreq_hz, self._n_tick, rngs[3])
        self._blinks = Blinks(p, sfreq_hz, self._n_tick, rngs[4])
        self._mains = Mains(p, width, sfreq_hz, rngs[5])
        self._noxious = Noxious(p, rngs[6])
        self._rater = Rater(p, rngs[7])

        self._place(p)

        self._field = Field(field_hold_ns)
        self._dose = SlidingDose(p.dose_window_s)
        self._state = initial(p)
        self._gains = self._gains_at(self._state)
        self._noxious_now = p.noxious_rest
        self._nrs: int | None = None
        self._tick_count = 0
        self._returned = 0
        self._unread = 0
        self._eeg: Floats = np.empty((width, 0))
        self._times = np.empty(0, dtype=np.int64)
        self._alpha = np.zeros((_HISTORY_TICKS, self._n_tick), dtype=np.complex128)
        self.alpha = np.empty(0, dtype=np.complex128)

    def _place(self, p: PatientParameters) -> None:
        """Lead fields of every source onto all channels."""
        self._leads = _rhythm_leads()
        self._blur = blur(depth=p.background_depth)
        self._muscle_leads = np.stack(
            [dipole(under({name: 1.0}), depth=0.85) for name in ("T7", "T8", "F7", "F8")], axis=1
        )
        self._blink_lead = dipole(np.array([0.0, 0.97, -0.24]), depth=0.85, moment=np.array([0.0, 1.0, 0.0]))
        leak = dipole(under({"F3": 1.0}), depth=0.8) - dipole(under({"Oz": 1.0}), depth=0.8)
        coil = dipole(under({"C3": 1.0}), depth=0.8, moment=np.array([0.0, 1.0, 0.0]))
        self._artefacts = Artefacts(p, leak[self._rows], coil[self._rows])

    @property
    def n_samples(self) -> int:
        """How many samples were returned so far."""
        return self._returned

    @property
    def n_events_dropped(self) -> int:
        """Events beyond what is remembered: thousands at once."""
        return self._field.dropped

    def time_ns(self, index: int) -> int:
        """The time of a sample on the host's clock."""
        return self._start_ns + round(index * 1e9 / self.sfreq_hz)

    def step(self, n_samples: int, field: Sequence[FieldEvent] = ()) -> Floats:
        """The next samples, (channels, n_samples) in µV; `alpha` then holds their left alpha, analytic."""
        if n_samples < 1:
            raise ValueError(f"n_samples: found {n_samples}, expected 1 or more")
        self._field.add(field)
        out = np.empty((self._rows.size, n_samples))
        alpha = np.empty(n_samples, dtype=np.complex128)
        times = np.empty(n_samples, dtype=np.int64)
        filled = 0
        while filled < n_samples:
            if self._unread == 0:
                self._tick()
            take = min(self._unread, n_samples - filled)
            span = slice(self._n_tick - self._unread, self._n_tick - self._unread + take)
            out[:, filled : filled + take] = self._eeg[self._rows, span]
            alpha[filled : filled + take] = self._alpha[(self._tick_count - 1) % _HISTORY_TICKS, span]
            times[filled : filled + take] = self._times[span]
            self._unread -= take
            filled += take
        self._artefacts.add(out, times, self._field)
        self._returned += n_samples
        self._field.forget(int(times[0]))
        self.alpha = alpha
        return out

    @property
    def truth(self) -> Truth:
        state, gains = self._state, self._gains
        alpha = complex(self.alpha[-1]) if self.alpha.size else 0j
        return Truth(
            t_ns=self.time_ns(max(self._returned - 1, 0)),
            pain=state.pain,
            sensitisation=state.sensitisation,
            habituation=state.habituation,
            intensity_ma_pp=state.intensity_ma_pp,
            dose_ma_s=state.dose_ma_s,
            effect=state.effect,
            noxious=self._noxious_now,
            paf_hz=self._paf_hz(),
            theta_gain=float(gains[0] / self.parameters.theta_uv) if self.parameters.theta_uv else 0.0,
            alpha_gain=float(gains[_ALPHA_LEFT] / self.parameters.alpha_uv)
            if self.parameters.alpha_uv
            else 0.0,
            gamma_gain=float(gains[-1] / self.parameters.gamma_uv) if self.parameters.gamma_uv else 0.0,
            alpha_phase_rad=math.atan2(alpha.imag, alpha.real),
            alpha_uv=abs(alpha),
            nrs=self._nrs,
        )

    def _times_ns(self, first: int, n: int) -> NDArray[np.int64]:
        offsets = np.rint(np.arange(first, first + n) * (1e9 / self.sfreq_hz)).astype(np.int64)
        return np.asarray(offsets + self._start_ns, dtype=np.int64)

    def _paf_hz(self) -> float:
        return max(self.parameters.alpha_hz - self.parameters.paf_loss_hz * self._state.sensitisation, 7.0)

    def _gains_at(self, state: PainState) -> Floats:
        """µV rms of each rhythm at its best channel."""
        p, pain = self.parameters, state.pain
        left = max(p.alpha_gain_min, 1.0 - p.alpha_loss_contra * pain)
        right = max(p.alpha_gain_min, 1.0 - p.alpha_loss_ipsi * pain)
        theta, beta, gamma = (1.0 + k * pain for k in (p.theta_per_pain, p.beta_per_pain, p.gamma_per_pain))
        return np.array(
            (
                p.theta_uv * theta,
                p.theta_central_uv * theta,
                p.alpha_uv * left,
                p.alpha_uv * right,
                p.occipital_uv,
                p.beta_uv * beta,
                p.beta_uv * beta,
                p.gamma_uv * gamma,
            )
        )

    def _tick(self) -> None:
        """Make the next tick of EEG, then let what reached the head in it act on pain."""
        p, n_tick = self.parameters, self._n_tick
        first = self._tick_count * n_tick
        gains = self._gains_at(self._state)
        ramp = np.arange(1, n_tick + 1) / n_tick
        level = self._gains[:, None] + (gains - self._gains)[:, None] * ramp
        self._gains = gains
        paf_hz = self._paf_hz()
        frequency = (
            p.theta_hz, p.theta_hz, paf_hz, paf_hz, paf_hz + p.occipital_offset_hz,
            p.beta_hz, p.beta_hz, p.gamma_hz,
        )  # fmt: skip
        rhythms = level * self._oscillators.tick(np.array(frequency))
        self._alpha[self._tick_count % _HISTORY_TICKS] = rhythms[_ALPHA_LEFT]
        eeg = self._leads @ rhythms.real
        eeg += self._blur @ self._background.tick()
        eeg += self._muscle_leads @ self._muscle.tick()
        eeg += p.sensor_uv * self._sensor_rng.standard_normal((n_tick, eeg.shape[0])).T
        eeg += self._mains.tick(first, n_tick)
        blink = self._blinks.tick()
        if blink is not None:
            eeg += self._blink_lead[:, None] * blink
        self._eeg, self._unread = eeg, n_tick
        self._tick_count += 1
        self._live(first)

    def _live(self, first: int) -> None:
        p = self.parameters
        self._times = self._times_ns(first, self._n_tick)
        mean, mean_cos = 0.0, 0.0
        current = self._field.current(self._times)
        if current is not None:
            felt = intensity(p, current)
            alpha = np.angle(self._alpha[(self._tick_count - 1) % _HISTORY_TICKS])
            mean = float(felt.mean())
            mean_cos = float((felt * np.cos(current.angle_rad - alpha - p.tacs_phase_best_rad)).mean())
        pulses = self._field.take_pulses(self.time_ns(first + self._n_tick))
        for pulse, dose in zip(pulses, pulse_dose(p, pulses), strict=True):
            mean += dose / self._dt_s
            mean_cos += dose / self._dt_s * math.cos(self._alpha_phase_at(pulse.t_ns) - p.rtms_phase_best_rad)
        self._noxious_now = self._noxious.tick(self._dt_s)
        self._state = advance(
            p,
            self._state,
            noxious=self._noxious_now,
            intensity_ma_pp=mean,
            intensity_cos_ma_pp=mean_cos,
            dose_ma_s=self._dose.add(mean * self._dt_s, self._dt_s),
            dt_s=self._dt_s,
        )
        self._nrs = self._rater.tick(self._state.pain, self._dt_s)

    def _alpha_phase_at(self, t_ns: int) -> float:
        """Phase of the left alpha at a time within the last second; beyond it the nearest known."""
        index = round((t_ns - self._start_ns) * self.sfreq_hz / 1e9)
        newest = self._tick_count * self._n_tick - 1
        index = min(max(index, newest - _HISTORY_TICKS * self._n_tick + 1, 0), newest)
        value = complex(self._alpha[index // self._n_tick % _HISTORY_TICKS, index % self._n_tick])
        return math.atan2(value.imag, value.real)


def _rhythm_leads() -> Floats:
    """(32, rhythms): where each lies. Both alphas under C3-CP3 and C4-CP4, theta under Fz-FCz, Cz."""
    columns = (
        dipole(under({"Fz": 0.7, "FCz": 0.3}), depth=0.6),
        dipole(under({"Cz": 1.0}), depth=0.55),
        dipole(under({"C3": 0.8, "CP3": 0.2}), depth=0.7),
        dipole(under({"C4": 0.8, "CP4": 0.2}), depth=0.7),
        dipole(under({"Oz": 0.8, "Pz": 0.2}), depth=0.6),
        dipole(under({"C3": 1.0}), depth=0.7),
        dipole(under({"C4": 1.0}), depth=0.7),
        dipole(under({"AFz": 0.6, "Fz": 0.4}), depth=0.75),
    )
    return np.stack(columns, axis=1)
