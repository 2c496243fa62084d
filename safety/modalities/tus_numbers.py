"""Transcranial ultrasound: the absolute bounds, budgets, formulas and inputs, each with its source and edition.

The guideline is named with its edition everywhere: its second edition (12 July 2024) allowed 0.25 CEM43 where the third
(9 October 2025) has 2, 16 and 21, so that a limit without its edition says nothing.
"""

from __future__ import annotations

from fractions import Fraction

from safety.limit_values import BudgetName, Scope
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing, Down, Formula
from safety.modalities.rules import DeclaredChoice, DeclaredInput
from safety.modalities.washout import WASHOUT

ITRUSST = "ITRUSST, arXiv 2311.05359"
EDITION = "v3 of 2025-10-09"
_OWN = "own choice"


def _asked(name: str, unit: str, low: float, high: float, source: str, *, down: Down = "same") -> Declared:
    return Declared(
        name=name,
        unit=unit,
        low=low,
        high=high,
        sides="max" if down == "less" else "both",
        integer=type(low) is int,
        asked=True,
        down=down,
        source=source,
        edition="1",
        status="unverified",
    )


# The train has the pressure that the transducer was calibrated for in water: the one that a device can set and a
# hydrophone can measure. What arrives in the brain is that times the participant's `transmission` of the limits.
AMPLITUDE = _asked(
    "amplitude_mpa_water",
    "MPa peak rarefactional in water",
    0.0,
    5.0,
    f"{_OWN}: above what 1.9 in the brain needs through most skulls",
    down="less",
)
FREQUENCY = _asked(
    "frequency_khz",
    "kHz",
    200.0,
    1000.0,
    f"{_OWN}: the centre frequencies that pass a skull and are in use",
)
PULSE = _asked(
    "pulse_us",
    "us",
    1,
    1_000_000,
    f"{_OWN}: longer ones are single; above 100 ms one counts as if it went on",
)
PULSE_INTERVAL = _asked("pulse_interval_us", "us", 1, 1_000_000, f"{_OWN}: averages hold within a second")
TRAIN = _asked("train_ms", "ms", 1, 10_000, f"{_OWN}: no longer than the sonication")
TRAIN_INTERVAL = _asked("train_interval_ms", "ms", 1, 10_000, f"{_OWN}: no longer than the sonication")
SONICATION = Declared(
    name="sonication_ms",
    unit="ms",
    low=1,
    high=10_000,
    sides="max",
    integer=True,
    asked=True,
    down="same",
    source=f"{_OWN}: the longest lease, after which output ends by itself",
    edition="1",
    status="verified",
)
MECHANICAL_INDEX = Declared(
    name="mi",
    unit="MI in the brain",
    low=0.0,
    high=1.9,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=ITRUSST,
    edition=EDITION,
    status="verified",
)
ISPPA = Declared(
    name="isppa_w_cm2",
    unit="W/cm2 in the brain",
    low=0.0,
    high=190.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="FDA diagnostic Track 3: Isppa.3, beside MI; here of the intensity in the brain",
    edition="as quoted in the manuals of Qisda and Newman Medical",
    status="verified",
)
ISPTA = Declared(
    name="ispta_mw_cm2",
    unit="mW/cm2 in the brain",
    low=0.0,
    high=20_000.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_OWN}: more is a mistake of unit; what it may be is said by heat, or by Track 3 (720)",
    edition="1",
    status="unverified",
)
RISE = Declared(
    name="rise_c",
    unit="C above 37",
    low=0.0,
    high=5.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_OWN}: at 42 C two CEM43 are spent in 8 min",
    edition="1",
    status="unverified",
)
THERMAL_INDEX = Declared(
    name="ti",
    unit="TI",
    low=0.0,
    high=6.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{ITRUSST}: no exposure time above 6",
    edition=f"{EDITION}, cell from memory",
    status="unverified",
)
INTERVAL = Declared(
    name="interval_s",
    unit="s",
    low=0.0,
    high=3600.0,
    sides="min",
    integer=False,
    asked=False,
    down="same",
    source=f"{_OWN}: no source states a pause; heat that lingers is in the dose",
    edition="1",
    status="unverified",
)
ASKED = (AMPLITUDE, FREQUENCY, PULSE, PULSE_INTERVAL, TRAIN, TRAIN_INTERVAL, SONICATION)
QUANTITIES = (*ASKED, MECHANICAL_INDEX, ISPPA, ISPTA, RISE, THERMAL_INDEX, INTERVAL)

CEM43_BRAIN = 2.0
CEM43_BONE = 16.0
CEM43_SKIN = 21.0


_SCOPES: tuple[Scope, ...] = ("session", "24h")


def _time(scope: Scope) -> DeclaredBudget:
    return DeclaredBudget(
        name="on_time_s",
        scope=scope,
        unit="s",
        high=4800.0,
        integer=False,
        source=f"{_OWN}: 80 min, the longest exposure time of the guideline's table, whatever the TI",
        edition="1",
        status="unverified",
    )


def _dose(name: BudgetName, scope: Scope, high: float) -> DeclaredBudget:
    return DeclaredBudget(
        name=name,
        scope=scope,
        unit="min at 43 C",
        high=high,
        integer=False,
        source=f"{ITRUSST}: thermal dose"
        + ("; that it is one of a day: own choice" if scope == "24h" else ""),
        edition=EDITION,
        status="verified" if scope == "session" else "unverified",
    )


BUDGETS = tuple(
    budget
    for scope in _SCOPES
    for budget in (
        _time(scope),
        _dose("cem43_brain_min", scope, CEM43_BRAIN),
        _dose("cem43_bone_min", scope, CEM43_BONE),
        _dose("cem43_skin_min", scope, CEM43_SKIN),
    )
)

RISE_MAX_C = 2  # with a baseline of 37 C that is the 39 C of the same alternative
EXPOSURE_TIMES = Formula(
    name="itrusst_exposure_times",
    source=f"{ITRUSST}: adult times of AIUM less 33 % for bone at the focus; up to 1.5 without limit, the rest recalled",
    edition=f"{EDITION}, from memory",
    status="unverified",
)
BMUS_TIMES = Formula(
    name="bmus_exposure_times",
    source="British Medical Ultrasound Society, safe use of diagnostic ultrasound, obstetric",
    edition="2009",
    status="verified",
)
CEM43 = Formula(
    name="cem43",
    source=f"{ITRUSST}: R = 0.5 above 43 C, 0.25 below",
    edition=EDITION,
    status="verified",
)
ACOUSTIC = Formula(
    name="impedance_1_48_mrayl",
    source="density x speed of sound: water at 20 C 1.48 MRayl, brain above; the lower one gives more intensity",
    edition="textbook, from memory",
    status="unverified",
)
TIC = Formula(
    name="tic",
    source="cranial thermal index: W0 / Deq / 40 mW/cm, Deq = 2 sqrt(A/pi); rhotter/tfus-safety-calculator",
    edition="repository",
    status="verified",
)
TRACK3_ISPPA_W_CM2 = 190
TRACK3_ISPTA_MW_CM2 = 720
TRACK3 = Formula(
    name="fda_track3",
    source="FDA diagnostic ultrasound, Track 3",
    edition="as quoted in the manuals of Qisda and Newman Medical",
    status="verified",
)
TI_TIME = Fraction(
    3, 2
)  # a third off the time that is allowed is half as much again of the time that is spent
TI_DOSE = Formula(
    name="ti_as_rise",
    source=f"a thermal index of 1 is meant as a rise of 1 C (AIUM); {ITRUSST}: less 33 % of its times",
    edition=f"{EDITION}; that the dose is counted by it: own choice",
    status="unverified",
)
FORMULAS = (EXPOSURE_TIMES, BMUS_TIMES, CEM43, ACOUSTIC, TIC, TI_DOSE, TRACK3)

# How heat is held: any one of three suffices. Only "rise" and "dose" need a simulation, only "ti" the acoustic power.
# The table of the British society and the limits of diagnostic ultrasound narrow further where the file says so.
_SIMULATED = (("thermal", "rise"), ("thermal", "dose"))
_INDEXED = (("thermal", "ti"),)
CHOICES = (
    DeclaredChoice(name="thermal", options=("rise", "dose", "ti")),
    DeclaredChoice(name="exposure_times", options=("itrusst", "bmus"), only=_INDEXED),
    DeclaredChoice(name="diagnostic", options=("track3", "none")),
)
# The day of the screening: no contraindication, no poor thermoregulation, no vascular vulnerability, no contrast agent
# (whom the guideline excludes). The day of the planning, which gave all the other inputs.
DATES = ("no_exclusion_on", "planned_on")

_RISE = "C per W/cm2 of Ispta in the brain, the greatest at any time of a train without end"
INPUTS = (
    DeclaredInput(name="transmission", unit="of the pressure in water", low=0.05, high=1.0),
    DeclaredInput(name="rise_brain_c_cm2_per_w", unit=_RISE, low=0.001, high=100.0, only=_SIMULATED),
    DeclaredInput(name="rise_bone_c_cm2_per_w", unit=_RISE, low=0.001, high=100.0, only=_SIMULATED),
    DeclaredInput(name="rise_skin_c_cm2_per_w", unit=_RISE, low=0.001, high=100.0, only=_SIMULATED),
    DeclaredInput(name="cooling_s", unit="s until the rise is gone", low=0.1, high=3600.0, only=_SIMULATED),
    DeclaredInput(
        name="power_mw_cm2_per_w",
        unit="mW of acoustic power per W/cm2 of Ispta in the brain",
        low=0.1,
        high=1e5,
        only=_INDEXED,
    ),
)

SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=1800.0,
        source=f"{_OWN}: half an hour; no source states one, and thermal dose is summed over the day",
        edition="1",
        status="unverified",
    ),
    WASHOUT,
)
