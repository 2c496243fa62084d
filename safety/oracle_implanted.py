"""Implanted electrodes by the second hand: charge per phase, density, Shannon's relation, balance, timing.

Shannon 1992: log10(D) = k - log10(Q). With Q in uC per phase and D = Q / A that is Q^2 / A = 10^k; for a k of m
hundredths it is compared as (Q^2 / A)^100 <= 10^m, in whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from drivers.stimulation import Hold, Pulses, Train, Waveform
from safety.limit_values import Inputs, is_iso_date
from safety.oracle_carriers import held
from safety.oracle_numbers import Circumstances, F, Numbers, Part, Span, exact, known, said

CASE = "case"  # the case of the generator: a way back, held to the total alone
SHARES_SUM = F(1, 10**9)  # own choice: thirds have no decimal; far below what any device can set
HUNDRED = 100
K_OF_NOTHING = F(-10)
AREA_CM2_MIN = F(1, 100)  # Shannon's data are of discs of 1 mm2 and more; microelectrodes do not follow it
AREA_CM2_MAX = F(1, 2)  # own choice: the largest contact; square millimetres taken for cm2 are above
CASE_CM2_MAX = F(100)
MAY_BE_ZERO = ("amplitude_ma", "gap_us")
PULSES = (*MAY_BE_ZERO, "width_us", "second_width_us", "rate_hz", "pulses_per_burst", "rate_in_burst_hz")
MEASURED_DAYS_MAX = 366  # own choice: a device's leakage is measured at least once a year

# All places. Boston's programmer: ramps of 1 to 10 s, a warning at 30 uC/cm2. Shannon: damage from k = 1.85 on. Leakage
# below 100 nA. Own choices: the lease, the fastest stop, what tells an open contact, a second phase off by 1 %.
EVERYWHERE: Mapping[str, Span] = {
    "ramp_up_ms": (F(1000), F(10_000)),
    "ramp_down_ms": (F(1), F(500)),
    "duration_ms": (F(1), F(500)),
    "impedance_kohm": (F(0), F(10)),
    "density_uc_cm2": (F(0), F(30)),
    "shannon_k": (K_OF_NOTHING, F(184, 100)),
    "imbalance_pct": (F(0), F(1)),
    "dc_na": (F(0), F(999, 10)),
    "gap_us": (F(0), F(200)),
    "pulses_per_burst": (F(1), F(10)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Studied:
    """A regime that has been studied: most mA of a phase, most us, from and to Hz, most Hz inside a burst of so many."""

    ma: Fraction
    us: Fraction
    hz: Span
    inside_hz: Fraction
    pulses: int


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of held pulses, exactly; None for each that is no number, or no whole one where it has to be."""
    return held(wave) if isinstance(wave, Hold) and isinstance(wave.carrier, Pulses) else None


def _all(numbers: Numbers) -> dict[str, Fraction] | None:
    """The numbers of the pulses where all of them are, and make pulses; else None."""
    found = {name: number for name in PULSES if (number := numbers[name]) is not None}
    if len(found) != len(PULSES) or any(found[name] <= 0 for name in PULSES if name not in MAY_BE_ZERO):
        return None
    return found if all(found[name] >= 0 for name in MAY_BE_ZERO) else None


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """What follows from pulses, contacts and device together; None where something is missing."""
    inputs = given.limits.inputs
    found: Numbers = dict.fromkeys(
        ("contact_ma", "total_ma", "charge_uc", "density_uc_cm2", "shannon_k", "imbalance_pct", "dc_na")
    )
    found["impedance_kohm"] = exact(given.impedance_kohm)
    found["slew_ma_per_s"] = _slew(numbers["amplitude_ma"], numbers["ramp_up_ms"], given.least_ma_pp)
    n, parts, off = _all(numbers), _parts(train, given), _off(numbers, given)
    leakage = exact(inputs.leakage_na)
    if n is None or not parts or off is None or leakage is None or leakage < 0:
        return found
    charge = n["amplitude_ma"] * n["width_us"] / 1000
    highest = charge * 1000 / min(n["width_us"], n["second_width_us"])
    most = max(part for _, part, _ in parts)
    found["total_ma"] = highest
    found["contact_ma"] = highest * max((part for name, part, _ in parts if name != CASE), default=F(0))
    found["charge_uc"] = charge * most
    found["density_uc_cm2"] = max(charge * part / area for _, part, area in parts)
    found["shannon_k"] = max(least_k(charge * part, area) for _, part, area in parts)
    found["imbalance_pct"] = off * 100
    found["dc_na"] = leakage + charge * most * 1000 * off * n["rate_hz"] * n["pulses_per_burst"]
    return found


def least_k(charge_uc: Fraction, area_cm2: Fraction) -> Fraction:
    """The least k in hundredths that Shannon's relation allows a charge at."""
    x = charge_uc**2 / area_cm2
    if x * 10**10 <= 1:
        return K_OF_NOTHING
    y = x**HUNDRED
    if y > 1:
        whole = -(-y.numerator // y.denominator)
        return F(_digits(whole - 1), HUNDRED)
    return F(1 - _digits(y.denominator // y.numerator), HUNDRED)


def _digits(number: int) -> int:
    """How many decimal digits a whole number above 0 has; without a text, which may be too long for Python."""
    n = number.bit_length() * 30_102 // 100_000
    while 10**n <= number:
        n += 1
    return n


def _parts(train: Train, given: Circumstances) -> list[tuple[str, Fraction, Fraction]]:
    """Name, part of the amplitude and area of each output; nothing where one cannot be told."""
    parts = []
    for output in train.outputs:
        contact, share = given.limits.contact(output.name), exact(output.share)
        area = None if contact is None else exact(contact.area_cm2)
        greatest = CASE_CM2_MAX if output.name == CASE else AREA_CM2_MAX
        if share is None or share == 0 or area is None or not AREA_CM2_MIN <= area <= greatest:
            return []
        parts.append((output.name, abs(share), area))
    return parts


def _off(numbers: Numbers, given: Circumstances) -> Fraction | None:
    """By what part the second phase may be off, set in the device's steps of amplitude: the worse of both roundings."""
    n, envelope = _all(numbers), given.capabilities.envelopes.get("amplitude_ma")
    step = None if envelope is None else exact(envelope.step)
    if n is None or step is None or step < 0:
        return None
    second = n["amplitude_ma"] * n["width_us"] / n["second_width_us"]
    if step == 0 or second == 0:
        return F(0)
    below = second // step * step
    down, up = (second - below) / second, (below + step - second) / second
    return F(0) if min(down, up) <= F(1, 10**9) else max(down, up)


def _slew(to: Fraction | None, ramp_up_ms: Fraction | None, least: Fraction) -> Fraction | None:
    if to is None or ramp_up_ms is None or ramp_up_ms <= 0:
        return None
    return max(F(0), to - least) / ramp_up_ms * 1000


def _outputs(train: Train, given: Circumstances) -> Iterator[str]:
    """Shares sum to zero, and what goes in is what the amplitude says."""
    yield from known(train.outputs, given)
    shares = [share for output in train.outputs if (share := exact(output.share)) is not None]
    if len(shares) != len(train.outputs) or len(shares) < 2 or 0 in shares:
        yield "outputs: at least two, each with a finite share that is not zero"
    elif abs(sum(shares, F(0))) > SHARES_SUM:
        yield f"outputs: the shares sum to {said(sum(shares, F(0)))}, not to zero"
    elif abs(sum((abs(share) for share in shares), F(0)) - 2) > 2 * SHARES_SUM:
        yield "outputs: not the current that the amplitude says"


def _device(inputs: Inputs, today: str) -> Iterator[str]:
    """What is known of the device's own current."""
    on = inputs.leakage_measured_on
    if not is_iso_date(on) or not is_iso_date(today):
        yield "leakage: no day of its measurement"
    elif not 0 <= (date.fromisoformat(today) - date.fromisoformat(on)).days <= MEASURED_DAYS_MAX:
        yield f"leakage: measured on {on}, today is {today}"


def _timing(n: Mapping[str, Fraction], inputs: Inputs) -> Iterator[str]:
    """All of a pulse before the next, all of a burst before the next; in millions of parts, so that nothing is divided."""
    recharge_us = exact(inputs.recharge_us)
    if recharge_us is None or recharge_us < 0:
        yield "timing: no recharge time of the device"
        return
    pulse_us = n["width_us"] + n["gap_us"] + n["second_width_us"] + recharge_us
    if pulse_us * n["rate_in_burst_hz"] > 10**6:
        yield f"timing: pulses of {said(pulse_us)} us at {said(n['rate_in_burst_hz'])} Hz"
    if n["pulses_per_burst"] * n["rate_hz"] > n["rate_in_burst_hz"]:
        yield "timing: a burst is not over before the next"


def part(
    bounds: Mapping[str, Span], session: Mapping[str, Fraction], studied: tuple[Studied, ...] = ()
) -> Part:
    """The part of one place of the electrodes."""

    def more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
        yield from _outputs(train, given)
        yield from _device(given.limits.inputs, given.today)
        n = _all(numbers)
        if n is None:
            yield "pulses: not all of their numbers can be used"
            return
        yield from _timing(n, given.limits.inputs)
        yield from _second_phase(n, bounds, given)
        if studied and not any(_belongs(n, regime) for regime in studied):
            yield f"regime: none has {said(n['rate_hz'])} Hz, {said(n['width_us'])} us, {said(n['amplitude_ma'])} mA"

    return Part(bounds={**EVERYWHERE, **bounds}, session=session, asked=asked, derived=derived, more=more)


def _second_phase(
    n: Mapping[str, Fraction], bounds: Mapping[str, Span], given: Circumstances
) -> Iterator[str]:
    """The amplitude that follows is held to all that the asked one is held to."""
    second = n["amplitude_ma"] * n["width_us"] / n["second_width_us"]
    rows = [exact(row.high) for row in given.limits.rows if row.quantity == "amplitude_ma"]
    envelope = given.capabilities.envelopes.get("amplitude_ma")
    ends = [*rows, bounds["amplitude_ma"][1], None if envelope is None else exact(envelope.high)]
    if any(end is None or second > end for end in ends):
        yield f"amplitude_ma: {said(second)} of the second phase"


def _belongs(n: Mapping[str, Fraction], regime: Studied) -> bool:
    second = n["amplitude_ma"] * n["width_us"] / n["second_width_us"]
    return (
        n["amplitude_ma"] <= regime.ma
        and second <= regime.ma
        and n["width_us"] <= regime.us
        and regime.hz[0] <= n["rate_hz"] <= regime.hz[1]
        and n["rate_in_burst_hz"] <= regime.inside_hz
        and n["pulses_per_burst"] <= regime.pulses
    )


# Boston's programmer: 12.7 mA a contact, 20 mA in all, 10 to 450 us, 2 to 255 Hz. Shannon: 7 h of stimulation. Own
# choices: second phase, charge, slew, as they stand in the first hand, for no source at hand has them.
DBS = part(
    bounds={
        "amplitude_ma": (F(0), F(20)),
        "contact_ma": (F(0), F(127, 10)),
        "total_ma": (F(0), F(20)),
        "width_us": (F(10), F(450)),
        "second_width_us": (F(10), F(3600)),
        "rate_hz": (F(2), F(255)),
        "rate_in_burst_hz": (F(2), F(255)),
        "charge_uc": (F(0), F(2)),
        "slew_ma_per_s": (F(0), F(2)),
    },
    session={"on_time_s": F(25_200), "charge_c": F(5, 2)},
)

# PMC8229652: 30 to 120 Hz with at most 8.5 mA and 500 us; 10 kHz with at most 5 mA and 30 us. Bursts: 40 Hz, 500 Hz
# inside; five pulses of 1 ms are from memory, 2 mA an own choice.
SCS = part(
    bounds={
        "amplitude_ma": (F(0), F(85, 10)),
        "contact_ma": (F(0), F(85, 10)),
        "total_ma": (F(0), F(85, 10)),
        "width_us": (F(10), F(1000)),
        "second_width_us": (F(10), F(8000)),
        "rate_hz": (F(30), F(10_000)),
        "rate_in_burst_hz": (F(30), F(10_000)),
        "charge_uc": (F(0), F(29, 10)),
        "slew_ma_per_s": (F(0), F(2)),
    },
    session={"on_time_s": F(25_200), "charge_c": F(38)},
    studied=(
        Studied(ma=F(85, 10), us=F(500), hz=(F(30), F(120)), inside_hz=F(120), pulses=1),
        Studied(ma=F(5), us=F(30), hz=(F(10_000), F(10_000)), inside_hz=F(10_000), pulses=1),
        Studied(ma=F(2), us=F(1000), hz=(F(30), F(40)), inside_hz=F(500), pulses=5),
    ),
)

# Spinal Modulation MN0700: 0 to 6.0 mA, 40 to 720 us, 4 to 100 Hz.
DRG = part(
    bounds={
        "amplitude_ma": (F(0), F(6)),
        "contact_ma": (F(0), F(6)),
        "total_ma": (F(0), F(6)),
        "width_us": (F(40), F(720)),
        "second_width_us": (F(40), F(5760)),
        "rate_hz": (F(4), F(100)),
        "rate_in_burst_hz": (F(4), F(100)),
        "charge_uc": (F(0), F(16, 10)),
        "slew_ma_per_s": (F(0), F(1)),
    },
    session={"on_time_s": F(25_200), "charge_c": F(3)},
)

# Gunter 2019: safe below 30 Hz. Amplitude and width: own choices, as they stand in the first hand.
PNS = part(
    bounds={
        "amplitude_ma": (F(0), F(10)),
        "contact_ma": (F(0), F(10)),
        "total_ma": (F(0), F(10)),
        "width_us": (F(10), F(500)),
        "second_width_us": (F(10), F(4000)),
        "rate_hz": (F(2), F(299, 10)),
        "rate_in_burst_hz": (F(2), F(299, 10)),
        "charge_uc": (F(0), F(29, 10)),
        "slew_ma_per_s": (F(0), F(2)),
    },
    session={"on_time_s": F(25_200), "charge_c": F(22, 10)},
)
