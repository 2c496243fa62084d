"""Transcranial ultrasound by the second hand: index, intensities, heat, exposure times, after ITRUSST v3 (9 October 2025).

Roots, pi and powers of two are taken from below, far closer than any float: the oracle objects where a limit is surely
passed. All is judged from the pressure that the train asks for in water and from the file's `transmission`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import isqrt

from drivers.stimulation import Sonication, Train, Waveform
from safety.limit_values import Inputs, Limits, is_iso_date
from safety.oracle_numbers import (
    Circumstances,
    F,
    Numbers,
    Part,
    Span,
    exact,
    has_row,
    one_output,
    said,
    whole,
)

US = 1_000  # in a ms, as ns in a us
PI = F("3.141592653589793238")
Z_MRAYL = F("1.48")  # water at 20 C; every tissue on the way to the brain is above, and gives less intensity
TIC_C_MW_CM = 40
LONG_PULSE_US = 100_000  # own choice: within a longer pulse bone warms by more than a mean tells
BITS = 64  # of a power's exponent, and more than any float of a dose has
ROOT_BITS = 160

# ITRUSST v3: MI 1.9. FDA Track 3: Isppa.3 190 W/cm2, Ispta.3 720 mW/cm2. The rest are own choices, as is the lease.
BOUNDS: Mapping[str, Span] = {
    "amplitude_mpa_water": (F(0), F(10)),
    "frequency_khz": (F(100), F(3000)),
    "sonication_ms": (F(1), F(10_000)),
    "isppa_w_cm2": (F(0), F(190)),
    "rise_c": (F(0), F(6)),
    "mi": (F(0), F("1.9")),
    "ti": (F(0), F(6)),
}
RISE_MAX_C = F(2)
TRACK3 = {"isppa_w_cm2": F(190), "ispta_mw_cm2": F(720)}
# ITRUSST v3: 2, 16 and 21 CEM43 (its second edition had 0.25); 80 min are the longest time that its table has.
CEM43 = {"cem43_brain_min": F(2), "cem43_bone_min": F(16), "cem43_skin_min": F(21)}
SESSION: Mapping[str, Fraction] = {"on_time_s": F(4800), **CEM43}
ALTERNATIVES = ("rise", "dose", "ti")
OFF_TIMES = F(3, 2)  # ITRUSST takes 33 % off the times of an index, which stands for C of rise

# Seconds by the highest TI: AIUM adult less 33 % (ITRUSST), obstetric (BMUS 2009). Up to the first there is no limit.
TIMES: dict[str, dict[str, int]] = {
    "itrusst": {"2.0": 4800, "2.5": 2400, "3.0": 600, "4.0": 160, "5.0": 40, "6.0": 10},
    "bmus": {"1.0": 3600, "1.5": 1800, "2.0": 900, "2.5": 240, "3.0": 60},
}
FREE = {"itrusst": F("1.5"), "bmus": F("0.7")}


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a sonication, exactly; None for each that is no number, or no whole one where it has to be."""
    if not isinstance(wave, Sonication):
        return None
    return {
        "amplitude_mpa_water": exact(wave.amplitude_mpa_water),
        "frequency_khz": exact(wave.frequency_khz),
        "pulse_us": whole(wave.pulse_us),
        "pulse_interval_us": whole(wave.pulse_interval_us),
        "train_ms": whole(wave.train_ms),
        "train_interval_ms": whole(wave.train_interval_ms),
        "sonication_ms": whole(wave.sonication_ms),
    }


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Index and intensities in the brain; rise and thermal index, of which one is nothing where the other is held."""
    inputs = given.limits.inputs
    peak = isppa(numbers["amplitude_mpa_water"], inputs)
    mean = ispta(peak, numbers)
    heats, indexed = rises(inputs), inputs.thermal == "ti"
    rise = None if heats is None or mean is None else max(heats.values()) * mean
    return {
        "mi": mechanical_index(numbers["amplitude_mpa_water"], numbers["frequency_khz"], inputs),
        "isppa_w_cm2": peak,
        "ispta_mw_cm2": None if mean is None else mean * 1000,
        "rise_c": F(0) if indexed else rise,
        "ti": thermal_index(mean, given.limits) if indexed else F(0),
    }


def isppa(water_mpa: Fraction | None, inputs: Inputs) -> Fraction | None:
    """W/cm2 in the brain within a pulse; with p in MPa and Z in MRayl, p^2/2Z is in MW/m2, which are 100 W/cm2."""
    passes = exact(inputs.transmission)
    if water_mpa is None or passes is None or not 0 < passes <= 1:
        return None
    return 100 * (water_mpa * passes) ** 2 / Z_MRAYL / 2


def ispta(peak: Fraction | None, numbers: Numbers) -> Fraction | None:
    """The same, averaged over one train. A pulse that the train's end cuts counts whole, but for no more than the train; a
    long pulse counts as one without end."""
    pulse, every, train_ms = numbers["pulse_us"], numbers["pulse_interval_us"], numbers["train_ms"]
    if peak is None or pulse is None or every is None or train_ms is None or every <= 0 or train_ms <= 0:
        return None
    sound_us = up(train_ms * US / every) * pulse if pulse <= LONG_PULSE_US else train_ms * US
    return peak if sound_us >= train_ms * US else peak * sound_us / (train_ms * US)


def up(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def mechanical_index(water_mpa: Fraction | None, khz: Fraction | None, inputs: Inputs) -> Fraction | None:
    """p_r[MPa] / sqrt(f[MHz]) in the brain."""
    passes = exact(inputs.transmission)
    if water_mpa is None or khz is None or khz <= 0 or passes is None:
        return None
    return root((water_mpa * passes) ** 2 / (khz / 1000))


def thermal_index(mean_w_cm2: Fraction | None, limits: Limits) -> Fraction | None:
    """W0 / Deq / 40 with Deq^2 = 4 A / pi."""
    power = exact(limits.inputs.power_mw_cm2_per_w)
    area = exact(limits.contacts[0].area_cm2) if limits.contacts else None
    if mean_w_cm2 is None or power is None or power <= 0 or area is None or area <= 0:
        return None
    return root((power * mean_w_cm2 / TIC_C_MW_CM) ** 2 * PI / (4 * area))


def root(value: Fraction) -> Fraction:
    """The square root from below; the very root where it is rational."""
    inside = value.numerator * value.denominator << 2 * ROOT_BITS
    return F(isqrt(inside), value.denominator << ROOT_BITS)


def rises(inputs: Inputs) -> dict[str, Fraction] | None:
    """C per W/cm2 of brain, bone and skin, by the name of their dose; None where one is missing."""
    found = {
        "cem43_brain_min": exact(inputs.rise_brain_c_cm2_per_w),
        "cem43_bone_min": exact(inputs.rise_bone_c_cm2_per_w),
        "cem43_skin_min": exact(inputs.rise_skin_c_cm2_per_w),
    }
    usable = {name: value for name, value in found.items() if value is not None and value > 0}
    return usable if len(usable) == len(found) else None


def longest_s(index: Fraction, table: str) -> int | None:
    """The longest exposure at an index; 0 beyond the table, None where it has no limit."""
    if index <= FREE[table]:
        return None
    return next((seconds for high, seconds in TIMES[table].items() if index <= F(high)), 0)


def cem43_min(rise_c: Fraction, minutes: Fraction) -> Fraction:
    """Minutes at 43 C, rounded down: minutes x R^(43 - T) with R = 1/2 from 43 C on and 1/4 below, T = 37 + rise."""
    above = 37 + rise_c - 43
    return minutes * power_of_two(above if above >= 0 else 2 * above)


def power_of_two(exponent: Fraction) -> Fraction:
    """2^x from below: the whole power, times the roots 2^(1/2), 2^(1/4), ... that the rest has as its binary digits."""
    ahead = exponent.numerator // exponent.denominator
    rest, root, found = exponent - ahead, 2 << ROOT_BITS, 1 << ROOT_BITS
    for _ in range(BITS):
        root = isqrt(root << ROOT_BITS)
        rest *= 2
        if rest >= 1:
            rest -= 1
            found = found * root >> ROOT_BITS
    return F(found, 1 << ROOT_BITS) * F(2) ** min(ahead, 2048)


def spent_by(train: Train, on_ns: int, limits: Limits) -> Mapping[str, Fraction]:
    """Thermal dose of some time of a sonication, to which the time until it is cold again is given in proportion. By the
    thermal index: as a rise of that many C in all tissues, of half as much time again, and nothing for the cooling."""
    numbers, wave = asked(train.waveform), train.waveform
    if numbers is None or not isinstance(wave, Sonication):
        return {}
    mean = ispta(isppa(numbers["amplitude_mpa_water"], limits.inputs), numbers)
    if limits.inputs.thermal == "ti":
        index = thermal_index(mean, limits)
        minutes = F(on_ns, 10**9) / 60 * OFF_TIMES
        return {} if index is None else dict.fromkeys(CEM43, cem43_min(min(index, F(60)), minutes))
    heats, cooling = rises(limits.inputs), exact(limits.inputs.cooling_s)
    if mean is None or heats is None or cooling is None:
        return {}
    lasts_s = F(wave.sonication_ms, 1000)
    minutes = F(on_ns, 10**9) * (1 + cooling / lasts_s) / 60
    return {name: cem43_min(min(heat * mean, F(60)), minutes) for name, heat in heats.items()}


def between_s(before: Train, after: Train, limits: Limits) -> Fraction | None:
    """The longest pause that a row says."""
    rows = [exact(row.low) for row in limits.rows if row.quantity == "interval_s"]
    found = [row for row in rows if row is not None]
    return max(found) if found and len(found) == len(rows) else None


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    limits = given.limits
    yield from one_output(train.outputs, given, "transducer")
    yield from _days(given)
    yield from _nested(numbers)
    water = numbers["amplitude_mpa_water"]
    mean = ispta(isppa(water, limits.inputs), numbers)
    yield from _heat(mean, limits)
    if limits.inputs.diagnostic == "track3":
        yield from _track3(water, numbers)
    elif limits.inputs.diagnostic != "none":
        yield "diagnostic: neither track3 nor none"
    yield from has_row("interval_s", limits)


def _days(given: Circumstances) -> Iterator[str]:
    """Nothing excludes the participant today; planned by today."""
    screened, planned = given.limits.inputs.no_exclusion_on, given.limits.inputs.planned_on
    if not is_iso_date(screened) or screened != given.today:
        yield f"screening: of {screened}, today is {given.today}"
    if planned is None or not is_iso_date(planned) or planned > given.today:
        yield f"planning: of {planned}, today is {given.today}"


def _nested(numbers: Numbers) -> Iterator[str]:
    """A pulse in its interval, that in a train, a train in its interval and in the sonication."""
    pulse, every, train = numbers["pulse_us"], numbers["pulse_interval_us"], numbers["train_ms"]
    repeat, lasts = numbers["train_interval_ms"], numbers["sonication_ms"]
    if pulse is None or every is None or train is None or repeat is None or lasts is None:
        yield "timing: no usable numbers"
    elif not 0 < pulse <= every <= train * US or not train <= min(repeat, lasts):
        yield f"timing: {pulse} us every {every} us in {train} ms every {repeat} ms for {lasts} ms"


def _heat(mean: Fraction | None, limits: Limits) -> Iterator[str]:
    """By the alternative that the file names; each needs its own numbers, and nothing is taken for granted."""
    inputs = limits.inputs
    if inputs.thermal not in ALTERNATIVES:
        yield f"thermal: {inputs.thermal} is none of the alternatives"
        return
    if inputs.thermal == "ti":
        yield from _index(mean, limits)
        return
    cooling, heats = exact(inputs.cooling_s), rises(inputs)
    if cooling is None or cooling <= 0 or heats is None or mean is None:
        yield "thermal: the simulated rise is not known"
    elif inputs.thermal == "rise" and max(heats.values()) * mean > RISE_MAX_C:
        yield f"rise_c: {said(max(heats.values()) * mean)} above {RISE_MAX_C} (ITRUSST v3)"


def _index(mean: Fraction | None, limits: Limits) -> Iterator[str]:
    index, table = thermal_index(mean, limits), limits.inputs.exposure_times
    if table not in TIMES:
        yield f"thermal: {table} is no table of exposure times"
    elif index is not None:
        tables = ("itrusst",) if table == "itrusst" else ("itrusst", "bmus")
        times = [seconds for name in tables if (seconds := longest_s(index, name)) is not None]
        rows = [each for each in limits.budgets if each.scope in ("session", "24h")]
        budgets = [exact(each.high) for each in rows if each.name == "on_time_s"]
        for held in budgets or [None]:
            if times and (held is None or min(times) == 0 or held > min(times)):
                yield f"on_time_s: a budget of {held}, the table ends at {min(times)} s"


def _track3(water_mpa: Fraction | None, numbers: Numbers) -> Iterator[str]:
    """Held in water, where there is more than after the derating of 0.3 dB/cm/MHz."""
    peak = None if water_mpa is None else 50 * water_mpa**2 / Z_MRAYL
    mean = ispta(peak, numbers)
    found = {"isppa_w_cm2": peak, "ispta_mw_cm2": None if mean is None else mean * 1000}
    for name, value in found.items():
        if value is None or value > TRACK3[name]:
            yield f"{name}: {value} in water, Track 3 ends at {TRACK3[name]}"


PART = Part(
    bounds=BOUNDS,
    session=SESSION,
    asked=asked,
    derived=derived,
    more=_more,
    interval_s=between_s,
    spent_by=spent_by,
)
