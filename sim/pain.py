"""Pain, sensitisation, habituation, dose; noxious input; the rating. *Phenomenological*, all of it.

    tau_p dp/dt = -p + n(t) (1 + g S) - E,  p >= 0          tau_S dS/dt = -S + h(p)
    E = Emax D^h / (D50^h + D^h) (1 - H) C(phase)           tau_H dH/dt = -H + k_H D
    dS/dt += k_s max(0, B - Bmax)                           B: dose over a sliding window

D is the intensity, low-passed. C = 1 + c cos(phi - phi_opt), the cosine averaged as D averages intensity.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from sim.patient_parameters import PatientParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class PainState:
    """The slow state. D is in mA p-p equivalents (as alpha tACS of that size), B in those · s."""

    pain: float
    sensitisation: float
    habituation: float
    intensity_ma_pp: float
    intensity_cos_ma_pp: float
    dose_ma_s: float
    effect: float


def initial(p: PatientParameters) -> PainState:
    """At rest before the onset, with nothing delivered."""
    return PainState(
        pain=p.noxious_rest * (1.0 + p.sensitisation_gain * p.sensitisation_start),
        sensitisation=p.sensitisation_start,
        habituation=0.0,
        intensity_ma_pp=0.0,
        intensity_cos_ma_pp=0.0,
        dose_ma_s=0.0,
        effect=0.0,
    )


def effect(
    p: PatientParameters, intensity_ma_pp: float, intensity_cos_ma_pp: float, habituation: float
) -> float:
    """E: how much the stimulation takes from pain's drive."""
    if intensity_ma_pp <= 0.0:
        return 0.0
    # Hill's curve over the logarithm: neither a vanishing nor a huge D overflows.
    level = p.effect_hill * math.log(intensity_ma_pp / p.effect_d50_ma_pp)
    saturation = 0.0 if level < -700.0 else 1.0 / (1.0 + math.exp(-level))
    cosine = min(max(intensity_cos_ma_pp / intensity_ma_pp, -1.0), 1.0)
    return p.effect_max * saturation * (1.0 - habituation) * (1.0 + p.phase_gain * cosine)


def advance(
    p: PatientParameters,
    state: PainState,
    *,
    noxious: float,
    intensity_ma_pp: float,
    intensity_cos_ma_pp: float,
    dose_ma_s: float,
    dt_s: float,
) -> PainState:
    """One step; each equation is solved exactly for inputs held over `dt_s`."""
    low = 1.0 - math.exp(-dt_s / p.intensity_tau_s)
    d = state.intensity_ma_pp + low * (intensity_ma_pp - state.intensity_ma_pp)
    d_cos = state.intensity_cos_ma_pp + low * (intensity_cos_ma_pp - state.intensity_cos_ma_pp)
    fatigue = p.habituation_per_ma_pp * d - state.habituation
    h = min(max(state.habituation - math.expm1(-dt_s / p.habituation_tau_s) * fatigue, 0.0), 1.0)
    e = effect(p, d, d_cos, h)
    target = noxious * (1.0 + p.sensitisation_gain * state.sensitisation) - e
    pain = max(0.0, state.pain - math.expm1(-dt_s / p.pain_tau_s) * (target - state.pain))
    drive = min(1.0, p.sensitisation_slope * max(0.0, pain - p.sensitisation_threshold))
    s = state.sensitisation - math.expm1(-dt_s / p.sensitisation_tau_s) * (drive - state.sensitisation)
    s += dt_s * p.sensitisation_per_dose * max(0.0, dose_ma_s - p.dose_max_ma_s)
    return PainState(
        pain=pain,
        sensitisation=min(s, p.sensitisation_max),
        habituation=h,
        intensity_ma_pp=d,
        intensity_cos_ma_pp=d_cos,
        dose_ma_s=dose_ma_s,
        effect=e,
    )


class SlidingDose:
    """B: the sum over a window that slides in steps of a 360th (10 s for an hour)."""

    _N_BINS = 360

    def __init__(self, window_s: float) -> None:
        self._bin_s = window_s / self._N_BINS
        self._bins = [0.0] * self._N_BINS
        self._time_s = 0.0
        self._index = 0

    def add(self, amount_ma_s: float, dt_s: float) -> float:
        """Count this step's dose; the dose of the window so far."""
        self._time_s += dt_s
        reached = int(self._time_s / self._bin_s)
        for index in range(self._index + 1, min(reached, self._index + self._N_BINS) + 1):
            self._bins[index % self._N_BINS] = 0.0
        self._index = reached
        self._bins[reached % self._N_BINS] += amount_ma_s
        return math.fsum(self._bins)


class Noxious:
    """n(t): rest, a rise at the onset, a level; with slow noise."""

    def __init__(self, p: PatientParameters, rng: np.random.Generator) -> None:
        self._p, self._rng = p, rng
        self._time_s, self._noise = 0.0, 0.0

    def tick(self, dt_s: float) -> float:
        p = self._p
        self._time_s += dt_s
        keep = math.exp(-dt_s / p.noxious_noise_tau_s)
        fresh = math.sqrt(1.0 - keep**2) * p.noxious_noise * float(self._rng.standard_normal())
        self._noise = keep * self._noise + fresh
        rise = min(max((self._time_s - p.noxious_onset_s) / p.noxious_rise_s, 0.0), 1.0)
        return max(0.0, p.noxious_rest + rise * (p.noxious_level - p.noxious_rest) + self._noise)


class Rater:
    """NRS 0-10 on a continuous scale: clip(round(10 p + AR(1) noise)), some seconds late."""

    def __init__(self, p: PatientParameters, rng: np.random.Generator) -> None:
        self._p, self._rng = p, rng
        self.delay_s = float(rng.uniform(p.nrs_delay_s_min, p.nrs_delay_s_max))
        self._waiting: deque[tuple[float, int]] = deque(maxlen=2 + math.ceil(self.delay_s / p.nrs_interval_s))
        self._time_s, self._next_s, self._noise = 0.0, 0.0, 0.0
        self._rating: int | None = None

    def tick(self, pain: float, dt_s: float) -> int | None:
        """The rating that stands now; None before the first."""
        p = self._p
        if self._time_s >= self._next_s:
            keep = math.exp(-p.nrs_interval_s / p.nrs_noise_tau_s)
            fresh = math.sqrt(1.0 - keep**2) * p.nrs_noise * float(self._rng.standard_normal())
            self._noise = keep * self._noise + fresh
            rating = min(max(round(10.0 * pain + self._noise), 0), 10)
            self._waiting.append((self._next_s + self.delay_s, rating))
            self._next_s += p.nrs_interval_s
        while self._waiting and self._waiting[0][0] <= self._time_s:
            self._rating = self._waiting.popleft()[1]
        self._time_s += dt_s
        return self._rating
