"""Transcranial alternating current: limits of a held sine.

Conventions. An amplitude is **peak to peak** (Antal 2017); the peak is half of it. A contact carries
amplitude × |share|: shares are signed, sum to zero, and the positive ones sum to one, so that the amplitude
is the whole current. Density is peak current / contact area. Charge is counted as peak × time, which is pi/2
times the charge of the rectified sine: toward more.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor, pi

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Sine, Train, quantities
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities.bounds import (
    as_float,
    check_exact,
    check_value,
    effective_rows,
    exact,
    is_number,
    layers,
    not_a_number,
    shown,
    waveform_of,
)
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import (
    Declared,
    DeclaredBudget,
    DeclaredSpacing,
    Exposure,
    Facts,
    Formula,
)
from safety.modalities.reasons import DENSITY, FACT_MISSING, IMPEDANCE, OUTPUTS, SLEW, WRONG_KIND, reason
from safety.modalities.rules import DeclaredContacts, ModalityRules, WrongTrain, hold_of

SHARE_TOLERANCE = Fraction(1, 10**9)

AMPLITUDE = Declared(
    name="amplitude_ma_pp",
    unit="mA peak-to-peak",
    low=0.0,
    high=4.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source="Antal et al. 2026, PMC7618810: well established up to 4 mA; tACS is quoted peak to peak",
    edition="2017-2025 update",
    status="verified",
)
FREQUENCY = Declared(
    name="frequency_hz",
    unit="Hz",
    low=0.1,
    high=100.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: the EEG range that a loop can follow, well inside the 0.1-640 Hz of tRNS",
    edition="1",
    status="unverified",
)
PHASE = Declared(
    name="phase_rad",
    unit="rad",
    low=-2 * pi,
    high=2 * pi,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: one turn either way; a phase sets no dose",
    edition="1",
    status="verified",
)
RAMP_UP = Declared(
    name="ramp_up_ms",
    unit="ms",
    low=10,
    high=30_000,
    sides="both",
    integer=True,
    asked=True,
    down="same",
    source="own choice: no step of current; the rise itself is bounded by slew_ma_per_s",
    edition="1",
    status="unverified",
)
RAMP_DOWN = Declared(
    name="ramp_down_ms",
    unit="ms",
    low=10,
    high=500,
    sides="both",
    integer=True,
    asked=True,
    down="same",
    source="own choice: a stop must reach zero soon; an abrupt one gives phosphenes",
    edition="1",
    status="unverified",
)
DURATION = Declared(
    name="duration_ms",
    unit="ms",
    low=10,
    high=500,
    sides="max",
    integer=True,
    asked=True,
    down="less",
    source="own choice: the longest lease of a hold, after which output ends by itself",
    edition="1",
    status="verified",
)
SLEW_RATE = Declared(
    name="slew_ma_per_s",
    unit="mA/s peak-to-peak",
    low=0.0,
    high=2.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: five times the 4 mA in 10 s of the usual ramp",
    edition="1",
    status="unverified",
)
CONTACT_IMPEDANCE = Declared(
    name="impedance_kohm",
    unit="kohm",
    low=0.0,
    high=20.0,
    sides="both",
    integer=False,
    asked=False,
    down="same",
    source="open-contact gate used in practice; its fall in the first minute: Hahn 2013",
    edition="from memory",
    status="unverified",
)
CURRENT_DENSITY = Declared(
    name="density_ma_cm2",
    unit="mA/cm2 peak",
    low=0.0,
    high=0.63,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="Bikson et al. 2016, PMC5007190: 6.3 A/m2 injures animal brain; held here at the skin",
    edition="2016",
    status="verified",
)
ASKED = (AMPLITUDE, FREQUENCY, PHASE, RAMP_UP, RAMP_DOWN, DURATION)
QUANTITIES = (*ASKED, SLEW_RATE, CONTACT_IMPEDANCE, CURRENT_DENSITY)

BUDGETS = (
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=2400.0,
        integer=False,
        source="Bikson et al. 2016, PMC5007190: no serious adverse effect up to 40 min",
        edition="2016",
        status="verified",
    ),
    DeclaredBudget(
        name="charge_c",
        scope="session",
        unit="C",
        high=7.2,
        integer=False,
        source="Bikson et al. 2016, PMC5007190: up to 7.2 C; binds before 40 min at 4 mA, which are 9.6 C",
        edition="2016",
        status="verified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="24h",
        unit="s",
        high=3600.0,
        integer=False,
        source="Antal et al. 2026, PMC7618810: well established up to 60 min a day",
        edition="2017-2025 update",
        status="verified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="7d",
        unit="s",
        high=25_200.0,
        integer=False,
        source="own choice: seven times the 60 min a day of Antal et al. 2026",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="course",
        unit="s",
        high=108_000.0,
        integer=False,
        source="own choice: thirty times the 60 min a day of Antal et al. 2026",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=4.0,
        integer=True,
        source="own choice: 60 min a day in no more than four parts",
        edition="1",
        status="unverified",
    ),
)
SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=1500.0,
        source="tDCS repeated after 25 min did better than after 5 min: Clin Neurophysiol 2014, daneshyari 3043179",
        edition="2014, of tDCS",
        status="unverified",
    ),
    DeclaredSpacing(
        name="washout_s",
        low=86_400.0,
        source="own choice: a day, far longer than the after-effects of one session",
        edition="1",
        status="unverified",
    ),
)
FORMULAS: tuple[Formula, ...] = ()


def check(train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
    """Every reason that refuses this hold, but for slew, which needs the output of the moment."""
    wave, reasons = train.waveform, list(check_facts(limits, facts))
    kind = train.modality == limits.modality == "tacs" and "tacs" in caps.modalities
    if not (kind and isinstance(wave, Hold) and isinstance(wave.carrier, Sine)):
        detail = f"{waveform_of(train)}; limits.toml is for {limits.modality}, the device for "
        reasons.append(reason(WRONG_KIND, detail + (", ".join(caps.modalities) or "nothing")))
        return tuple(reasons)
    asked = quantities(train)
    for declared in ASKED:
        reasons += check_value(declared, asked[declared.name], limits, caps)
    if len(train.outputs) > len(limits.contacts):  # before any of them costs time
        detail = f"{len(train.outputs)} outputs, limits.toml has {len(limits.contacts)} contacts"
        return (*reasons, reason(OUTPUTS, detail, set_by="protocol"))
    reasons += _check_outputs(train, limits, caps)
    reasons += _check_density(train, wave.carrier, limits)
    return tuple(reasons)


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts, and the contact impedance of this moment."""
    return dated_facts(limits, facts) + check_impedance(limits, facts)


def check_impedance(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The measured contact impedance against every layer; unmeasured is a missing fact."""
    value = facts.impedance_kohm
    if value is None:
        return (reason(FACT_MISSING, "the contact impedance", quantity=CONTACT_IMPEDANCE.name),)
    if not is_number(value, integer=False):
        return (not_a_number(CONTACT_IMPEDANCE, value),)
    return tuple(check_exact(CONTACT_IMPEDANCE, exact(value), limits, code=IMPEDANCE))


def check_slew(train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
    """The rise from the present amplitude over the ramp; an output that cannot be told counts as zero."""
    wave = train.waveform
    if not (isinstance(wave, Hold) and isinstance(wave.carrier, Sine)):
        return (reason(WRONG_KIND, f"{waveform_of(train)}, expected a hold of a sine"),)
    asked, ramp_ms = wave.carrier.amplitude_ma_pp, wave.ramp_up_ms
    if not is_number(asked, integer=False):
        return (not_a_number(AMPLITUDE, asked),)
    if not (is_number(ramp_ms, integer=True) and ramp_ms > 0):
        return (not_a_number(RAMP_UP, ramp_ms),)
    rise = exact(asked) - _present(amplitude_now)
    if rise <= 0:
        return ()
    slew = rise * 1000 / Fraction(ramp_ms)
    return tuple(check_exact(SLEW_RATE, slew, limits, code=SLEW, where=f" over {ramp_ms} ms"))


def amplitude_ceiling(rows: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int) -> float:
    """The highest amplitude that the limits and one ramp of `ramp_up_ms` from here would reach.

    Where nothing runs yet (0 ms), the ramp is taken as long as the limits and the lease let it be.
    """
    high = {row.quantity: row.high for row in rows}
    ramp_ms = Fraction(ramp_up_ms) if ramp_up_ms > 0 else exact(min(high[RAMP_UP.name], high[DURATION.name]))
    reach = _present(amplitude_now) + exact(high[SLEW_RATE.name]) * ramp_ms / 1000
    in_na = floor(
        min(reach, exact(high[AMPLITUDE.name])) * 1_000_000
    )  # whole nA: never above the exact value
    return in_na / 1_000_000


def exposure(train: Train, span_ns: int, amplitude_ma_pp: float) -> Exposure:
    """Time and charge of a span; an impossible span counts as the lease, an impossible amplitude as asked."""
    wave = hold_of(train)
    if not isinstance(wave.carrier, Sine):
        raise WrongTrain(f"{train.modality} without a sine")
    span = span_ns if span_ns >= 0 else (wave.duration_ms + wave.ramp_down_ms) * 1_000_000
    known = is_number(amplitude_ma_pp, integer=False) and amplitude_ma_pp >= 0
    amplitude = exact(amplitude_ma_pp if known else wave.carrier.amplitude_ma_pp)
    charge_nc = -floor(-(amplitude / 2 * span / 1000))  # mA x ns / 1000 = nC
    return Exposure(on_time_s=-(-span // 1000) / 1_000_000, charge_c=charge_nc / 1_000_000_000, n_pulses=0)


def ramp_down_max_ns(limits: Limits) -> int:
    """The longest ramp down that the layers leave."""
    return floor(min(bound.high for bound in layers(RAMP_DOWN, limits)) * 1_000_000)


def _present(amplitude_now: float) -> Fraction:
    known = is_number(amplitude_now, integer=False) and amplitude_now >= 0
    return exact(amplitude_now) if known else Fraction(0)


def _check_outputs(train: Train, limits: Limits, caps: Capabilities) -> list[Reason]:
    """Each contact known to the file and to the device, named once, with a share; shares that balance."""
    names = [output.name for output in train.outputs]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    unlisted = [name for name in dict.fromkeys(names) if limits.contact(name) is None]
    unplugged = [name for name in dict.fromkeys(names) if name not in caps.outputs]
    unshared = [output.name for output in train.outputs if not _is_share(output.share)]
    reasons = [
        reason(OUTPUTS, f"{what}: {_listed(wrong)}", set_by=set_by)
        for what, wrong, set_by in (
            ("named more than once", twice, ""),
            ("not in limits.toml", unlisted, "protocol"),
            ("not on the device", unplugged, "device"),
            ("share is 0 or no number", unshared, ""),
        )
        if wrong
    ]
    return reasons if unshared else reasons + _check_balance(train)


def _check_balance(train: Train) -> list[Reason]:
    """The shares sum to zero, and what goes in is the whole amplitude."""
    reasons = []
    shares = [exact(output.share) for output in train.outputs]
    balance = sum(shares, Fraction(0))
    if not abs(balance) <= SHARE_TOLERANCE:
        text = f"shares sum to {as_float(balance):.10g}, expected 0"
        reasons.append(reason(OUTPUTS, text, value=as_float(balance)))
    total = sum((share for share in shares if share > 0), Fraction(0))
    if not abs(total - 1) <= SHARE_TOLERANCE:
        text = f"positive shares sum to {as_float(total):.10g}, expected 1"
        reasons.append(reason(OUTPUTS, text, value=as_float(total), limit=1.0))
    return reasons


def _check_density(train: Train, sine: Sine, limits: Limits) -> list[Reason]:
    """Peak current over area where it is greatest; a contact without an area has no density that could pass."""
    if not is_number(sine.amplitude_ma_pp, integer=False):
        return []  # refused already, as not a number
    peak_ma = abs(exact(sine.amplitude_ma_pp)) / 2
    densities: list[tuple[Fraction, str]] = []
    without: list[str] = []
    for output in train.outputs:
        contact = limits.contact(output.name)
        if contact is None or not _is_share(output.share):
            continue  # refused already, as outputs
        area = contact.area_cm2
        if area is not None and is_number(area, integer=False) and area > 0:
            densities.append((peak_ma * abs(exact(output.share)) / exact(area), output.name))
        else:
            without.append(output.name)
    reasons = (
        [reason(FACT_MISSING, f"the area of {_listed(without)}", quantity="area_cm2")] if without else []
    )
    if densities:
        greatest, name = max(densities)
        where = f" under {shown(name)}"
        reasons += check_exact(CURRENT_DENSITY, greatest, limits, code=DENSITY, where=where)
    return reasons


def _listed(names: list[str]) -> str:
    """A few of the names on one short line."""
    return ", ".join(shown(name) for name in names[:4]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )


def _is_share(share: float) -> bool:
    return is_number(share, integer=False) and share != 0


def _rows(limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
    return effective_rows(QUANTITIES, limits, caps)


def _no_interval(train: Train, limits: Limits) -> int:
    """A hold is renewed."""
    return 0


RULES = ModalityRules(
    quantities=QUANTITIES,
    budgets=BUDGETS,
    spacing=SPACING,
    formulas=FORMULAS,
    # Areas: own choice: from a small HD electrode to a large sponge; mm2 or m2 taken for cm2 fall outside.
    contacts=DeclaredContacts(fewest=2, most=64, area_low_cm2=0.5, area_high_cm2=100.0),
    inputs=(),
    stop="ramp",
    check=check,
    check_facts=check_facts,
    check_slew=check_slew,
    rows=_rows,
    amplitude_ceiling=amplitude_ceiling,
    exposure=exposure,
    ramp_down_max_ns=ramp_down_max_ns,
    interval_after_ns=_no_interval,
)
