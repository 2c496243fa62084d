"""TENS by the second hand: current, energy of a pulse, density by the root of the mean square, timing, place, attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import isqrt

from drivers.stimulation import Hold, Pulses, Train, Waveform
from safety.oracle_carriers import held
from safety.oracle_numbers import Circumstances, F, Numbers, Part, Span, exact
from safety.oracle_tacs import HOLD_MS_MAX, contacts, share_per_cm2, slew_ma_per_s

# IEC 60601-2-10, which excludes the brain, implants and neurological research: 50 mA into 500 ohm up to 400 Hz, 300 mJ a
# pulse, 500 V of an open circuit, and the operator's attention above 2 mA/cm2 r.m.s.; twice that is the most here.
BOUNDS: Mapping[str, Span] = {
    "amplitude_ma": (F(0), F(50)),
    "width_us": (F(1), F(1000)),
    "rate_hz": (F(0), F(400)),
    "rate_in_burst_hz": (F(0), F(400)),
    "pulses_per_burst": (F(1), F(10)),
    "duration_ms": (F(1), F(HOLD_MS_MAX)),
    "impedance_kohm": (F(0), F(20)),
    "density_rms_ma_cm2": (F(0), F(4)),
    "energy_mj": (F(0), F(300)),
}
SESSION: Mapping[str, Fraction] = {"on_time_s": F(3600)}  # own choice: an hour
ATTENTION_MA_CM2 = F(2)
OPEN_CIRCUIT_V = F(500)
LOAD_OHM = F(500)
PLACES = ("limb", "back", "abdomen")
FINE = (
    10**12
)  # roots are taken down to the next millionth of a millionth, so that nothing is objected to by rounding


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of held pulses, exactly."""
    return held(wave) if isinstance(wave, Hold) and isinstance(wave.carrier, Pulses) else None


def squares(numbers: Numbers) -> Fraction | None:
    """mA2 us of a pulse: the square of each phase's current by its width. Charge balance makes the second phase."""
    first, width, second = numbers["amplitude_ma"], numbers["width_us"], numbers["second_width_us"]
    if first is None or width is None or second is None or width <= 0 or second <= 0:
        return None
    back = first * width / second
    return first * first * width + back * back * second


def density_rms_ma_cm2(train: Train, numbers: Numbers, given: Circumstances) -> Fraction | None:
    """By the root of the mean square where a contact has the greatest share a cm2; a burst counts as if it went on."""
    of_pulse, hz = squares(numbers), numbers["rate_in_burst_hz"]
    share = share_per_cm2(train.outputs, given.limits)
    if of_pulse is None or hz is None or hz <= 0 or share is None:
        return None
    mean = of_pulse * hz / 10**6
    return F(isqrt(mean.numerator * FINE**2 // mean.denominator), FINE) * share


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Impedance, density, slew, energy of a pulse into 500 ohm."""
    of_pulse = squares(numbers)
    return {
        "impedance_kohm": exact(given.impedance_kohm),
        "density_rms_ma_cm2": density_rms_ma_cm2(train, numbers, given),
        "slew_ma_per_s": slew_ma_per_s(numbers["amplitude_ma"], given.least_ma_pp, numbers["ramp_up_ms"]),
        "energy_mj": None if of_pulse is None else of_pulse * LOAD_OHM / 10**9,
    }


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    yield from contacts(train.outputs, given)
    for output in train.outputs:
        contact = given.limits.contact(output.name)
        if contact is None or contact.place not in PLACES:
            yield f"output {output.name}: lies nowhere that is allowed"
    volts = exact(given.limits.inputs.open_circuit_v)
    if volts is None or not 0 < volts <= OPEN_CIRCUIT_V:
        yield f"open circuit: {given.limits.inputs.open_circuit_v!r} V"
    yield from _timing(numbers)
    density = density_rms_ma_cm2(train, numbers, given)
    rows = [row for row in given.limits.rows if row.layer == "site" and row.quantity == "density_rms_ma_cm2"]
    if density is not None and density > ATTENTION_MA_CM2 and not rows:
        yield "density_rms_ma_cm2: needs the operator's attention, and no row of the site takes it"


def _timing(numbers: Numbers) -> Iterator[str]:
    names = ("width_us", "gap_us", "second_width_us", "rate_hz", "pulses_per_burst", "rate_in_burst_hz")
    found = [number for name in names if (number := numbers[name]) is not None]
    if len(found) != len(names):
        yield "timing: cannot be told"
        return
    width, gap, second, rate, n, in_burst = found
    if min(width, second, rate, n, in_burst) <= 0 or gap < 0:
        yield "timing: of no sense"
        return
    if (width + gap + second) * in_burst > 10**6:
        yield "timing: a pulse is not over before the next"
    if n * rate > in_burst:
        yield "timing: a burst is not over before the next"
    if second < width:
        yield "timing: the second phase is higher than the first"


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more)
