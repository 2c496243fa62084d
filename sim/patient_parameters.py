"""Every constant of the simulated patient, with unit and source; the named presets; a random cohort.

*phenomenological*: chosen so that the model shows the sign and the order of time that the literature reports;
no published quantitative model of pain under stimulation was found. Amplitudes are µV rms where the source is
strongest. "1" as a unit means a plain ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientParameters:
    """One patient. Rhythms: Matsuda & Komaki 2017 oscillators, each of its own frequency and damping."""

    # --- rhythms ----------------------------------------------------------------------------------
    theta_hz: float = 6.0  # Hz; middle of the 4-8 band
    theta_bandwidth_hz: float = 2.0  # Hz, width at half power; phenomenological
    theta_uv: float = 1.5  # µV rms at Fz without pain; phenomenological, order of ordinary rest EEG
    theta_central_uv: float = (
        1.4  # µV rms at Cz: theta is seen at all electrodes (Sarnthein 2006); phenomenological
    )
    theta_per_pain: float = 3.0  # 1; gain 1 + this * p. Sign: Sarnthein 2006; size phenomenological
    alpha_hz: float = 10.0  # Hz; PAF without sensitisation, middle of the 8-12 band of Furman 2018
    alpha_bandwidth_hz: float = 1.2  # Hz, width at half power; phenomenological
    alpha_uv: float = 7.0  # µV rms at C3, C4 without pain; phenomenological, order of eyes-closed rest
    alpha_loss_contra: float = (
        0.75  # 1; left gain 1 - this * p (pain on the right). Sign: Peng 2014; size phenomenological
    )
    alpha_loss_ipsi: float = 0.60  # 1; right gain 1 - this * p; phenomenological
    alpha_gain_min: float = 0.15  # 1; the rhythm never vanishes or turns its sign; phenomenological
    paf_loss_hz: float = 1.0  # Hz per unit of S; sign Furman 2018, eLife 102096; size phenomenological
    occipital_uv: float = (
        6.0  # µV rms at Oz; follows PAF, not pain: relief of pain leaves it alone; phenomenological
    )
    occipital_offset_hz: float = 0.3  # Hz above the sensorimotor rhythm; phenomenological
    beta_hz: float = 20.0  # Hz; inside 13-30
    beta_bandwidth_hz: float = 4.0  # Hz; phenomenological
    beta_uv: float = 1.8  # µV rms at C3, C4; phenomenological
    beta_per_pain: float = 0.25  # 1; sign May 2019 (prefrontal), group level only; size phenomenological
    gamma_hz: float = 75.0  # Hz; middle of 60-90, May 2019
    gamma_bandwidth_hz: float = 15.0  # Hz; phenomenological
    gamma_uv: float = 0.4  # µV rms at AFz; phenomenological
    gamma_per_pain: float = 0.8  # 1; sign Peng 2014, May 2019; size phenomenological
    # --- background and nuisances -----------------------------------------------------------------
    background_exponent: float = 1.1  # 1; 1.10 ± 0.17, Gil Avila 2025: the same with and without pain
    background_uv: float = 3.5  # µV rms within 1-45 Hz; phenomenological
    background_depth: float = 0.6  # head radii; how far neighbours share it; phenomenological
    sensor_uv: float = 0.4  # µV rms, white; order of an amplifier's input noise
    emg_uv: float = 0.8  # µV rms at T7, T8, F7, F8 at rest; phenomenological
    emg_corner_hz: float = 20.0  # Hz; muscle shows above about 20 Hz
    emg_bursts_per_min: float = 1.0  # 1/min; phenomenological
    emg_burst_gain: float = 6.0  # 1; phenomenological
    emg_burst_s: float = 0.4  # s; phenomenological
    blinks_per_min: float = 8.0  # 1/min; phenomenological, ordinary rate 10-20 with open eyes
    blink_uv: float = 90.0  # µV peak at Fp1, Fp2; phenomenological, ordinary 50-200
    blink_s: float = 0.30  # s; phenomenological, ordinary 0.2-0.4
    line_hz: float = 50.0  # Hz; mains of the site
    line_uv: float = 0.8  # µV peak, mean over channels; phenomenological
    # --- noxious input n(t) -----------------------------------------------------------------------
    noxious_rest: float = 0.10  # 1; before the onset
    noxious_level: float = 0.70  # 1; after the rise
    noxious_onset_s: float = 2.0  # s from the first sample
    noxious_rise_s: float = 4.0  # s
    noxious_noise: float = 0.03  # 1; SD of an Ornstein-Uhlenbeck process; phenomenological
    noxious_noise_tau_s: float = 20.0  # s; phenomenological
    # --- pain p and sensitisation S ---------------------------------------------------------------
    pain_tau_s: float = 10.0  # s; phenomenological
    sensitisation_gain: float = 0.5  # 1; g of n (1 + g S); phenomenological
    sensitisation_start: float = 0.1  # 1; S at the first sample
    sensitisation_tau_s: float = 1800.0  # s; 10-60 min: PAF does not recover with the stimulus (eLife 102096)
    sensitisation_threshold: float = (
        0.3  # 1; h(p) = slope * max(0, p - threshold), at most 1; phenomenological
    )
    sensitisation_slope: float = 1.5  # 1; phenomenological
    sensitisation_max: float = 1.5  # 1; keeps PAF within a plausible range; phenomenological
    # --- response to stimulation ------------------------------------------------------------------
    effect_max: float = 0.5  # 1, in units of p; phenomenological
    effect_d50_ma_pp: float = 1.0  # mA p-p equivalent for half the effect; phenomenological
    effect_hill: float = 2.0  # 1; phenomenological
    intensity_tau_s: float = 30.0  # s; D, 10-60 s; phenomenological
    habituation_tau_s: float = 600.0  # s; phenomenological
    habituation_per_ma_pp: float = 0.10  # 1 per mA p-p of D; H stays at most 1; phenomenological
    tacs_gain: float = 1.0  # 1; intensity of 1 mA p-p at the best frequency; defines the unit of D
    tacs_best_hz: float = 10.0  # Hz; alpha tACS; phenomenological
    tacs_width_hz: float = 2.0  # Hz, SD of the tuning; phenomenological
    tacs_floor: float = 0.1  # 1; intensity far from the best frequency; phenomenological
    rtms_gain_ma_s: float = 1.3  # mA p-p equivalent * s, one pulse at 100 % MSO; phenomenological
    phase_gain: float = 0.3  # 1; c of C = 1 + c cos(phi - phi_opt), at most 1; phenomenological
    tacs_phase_best_rad: float = 0.0  # rad; current minus left sensorimotor alpha; phenomenological
    rtms_phase_best_rad: float = math.pi  # rad; alpha's trough, the excitable phase (Zrenner 2018)
    # --- overstimulation ("paradoxical sensitisation") --------------------------------------------
    dose_window_s: float = 3600.0  # s; the sliding hour of B
    dose_max_ma_s: float = 3000.0  # mA p-p equivalent * s; above it S grows; phenomenological
    sensitisation_per_dose: float = 2e-6  # 1/s per mA·s in excess; phenomenological
    # --- rater ------------------------------------------------------------------------------------
    nrs_noise: float = 0.5  # NRS points, SD of an AR(1); phenomenological
    nrs_noise_tau_s: float = 20.0  # s; phenomenological
    nrs_delay_s_min: float = 2.0  # s; one delay a patient, uniform between the two; phenomenological
    nrs_delay_s_max: float = 10.0  # s
    nrs_interval_s: float = 1.0  # s between two ratings of a continuous scale; own choice
    # --- stimulation artefacts --------------------------------------------------------------------
    tacs_leak_uv_per_ma_pp: float = 50.0  # µV peak per mA p-p; own choice, *far below* a real rig (many mV)
    tms_saturation_ms: float = 5.0  # ms at the rail after a pulse; own choice
    tms_rail_uv: float = 5000.0  # µV; own choice, order of a DC amplifier's range
    tms_decay_uv: float = 300.0  # µV at 100 % MSO after the rail; own choice
    tms_decay_ms: float = 2.0  # ms; gone by +15 ms, the end of the usual blanking; own choice

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{item.name}: found {value!r}, expected a finite number")
            if value < 0 and item.name not in _SIGNED:
                raise ValueError(f"{item.name}: found {value}, expected 0 or more")
            if value == 0 and (item.name.endswith("_tau_s") or item.name in _POSITIVE):
                raise ValueError(f"{item.name}: found 0, expected more than 0")
        if self.nrs_delay_s_max < self.nrs_delay_s_min:
            raise ValueError(
                f"nrs_delay_s_max: found {self.nrs_delay_s_max}, expected nrs_delay_s_min "
                f"({self.nrs_delay_s_min}) or more"
            )
        if self.phase_gain > 1.0 or self.alpha_gain_min > 1.0 or self.background_depth >= 1.0:
            raise ValueError("phase_gain and alpha_gain_min: expected at most 1; background_depth: below 1")


_SIGNED = frozenset({"tacs_phase_best_rad", "rtms_phase_best_rad", "occipital_offset_hz"})
_POSITIVE = frozenset(
    {
        "theta_bandwidth_hz", "alpha_bandwidth_hz", "beta_bandwidth_hz", "gamma_bandwidth_hz",
        "emg_corner_hz", "emg_burst_s", "blink_s", "noxious_rise_s", "effect_d50_ma_pp", "effect_hill",
        "tacs_width_hz", "dose_window_s", "nrs_interval_s", "tms_decay_ms",
    }
)  # fmt: skip

# Times shortened and the effect exaggerated, so that a minute shows the whole loop; a weak leak.
_DEMO = PatientParameters(
    noxious_level=0.75,
    blinks_per_min=4.0,
    pain_tau_s=3.0,
    sensitisation_tau_s=240.0,
    effect_max=0.75,
    effect_d50_ma_pp=0.7,
    intensity_tau_s=8.0,
    habituation_tau_s=180.0,
    habituation_per_ma_pp=0.08,
    dose_window_s=600.0,
    dose_max_ma_s=400.0,
    sensitisation_per_dose=2e-4,
    nrs_delay_s_max=3.0,
    tacs_leak_uv_per_ma_pp=0.2,
)
_HEALTHY = PatientParameters(
    noxious_rest=0.02, noxious_level=0.05, noxious_noise=0.01, sensitisation_start=0.0
)
# Pain at rest that sustains itself: h(p) at this level holds S about where it starts.
_CHRONIC = PatientParameters(
    noxious_rest=0.50, noxious_level=0.50, noxious_onset_s=0.0, noxious_noise=0.05, noxious_noise_tau_s=120.0,
    sensitisation_start=0.5,
)  # fmt: skip

PRESETS: Mapping[str, PatientParameters] = MappingProxyType(
    {
        "demo": _DEMO,
        "healthy": _HEALTHY,
        "chronic": _CHRONIC,
        "nonresponder": replace(_DEMO, effect_max=0.0),
    }
)


def preset(name: str) -> PatientParameters:
    """The named patient; an unknown name is a ValueError that lists the known ones."""
    if name not in PRESETS:
        raise ValueError(f"preset: found {name!r}, expected one of {', '.join(PRESETS)}")
    return PRESETS[name]


# What differs between people in a cohort: levels, gains and times of pain and of the response to stimulation.
_VARIED = (
    "alpha_uv", "theta_uv", "theta_per_pain", "noxious_level", "pain_tau_s", "sensitisation_gain",
    "sensitisation_tau_s", "sensitisation_slope", "effect_max", "effect_d50_ma_pp", "intensity_tau_s",
    "habituation_tau_s", "habituation_per_ma_pp", "dose_max_ma_s", "sensitisation_per_dose", "nrs_noise",
)  # fmt: skip


def randomised(base: PatientParameters, *, seed: int, spread: float = 0.2) -> PatientParameters:
    """One member of a Monte-Carlo cohort: `base` with log-normal factors (SD `spread` of the logarithm)."""
    if not 0.0 <= spread <= 1.0:
        raise ValueError(f"spread: found {spread}, expected 0 to 1")
    factors = np.exp(spread * np.random.default_rng(seed).standard_normal(len(_VARIED)))
    varied = {
        name: float(getattr(base, name) * factor) for name, factor in zip(_VARIED, factors, strict=True)
    }
    paf_hz = base.alpha_hz + float(np.random.default_rng((seed, 1)).normal(0.0, 2.5 * spread))
    return replace(base, **varied, alpha_hz=min(max(paf_hz, 8.5), 11.5))
