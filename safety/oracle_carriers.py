"""What is held, by the second hand: a carrier's own numbers, its amplitude, and the current by which charge is counted."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import assert_never

from drivers.stimulation import (
    BurstTrain,
    Carrier,
    Direct,
    Hold,
    Noise,
    Pulses,
    PulseTrain,
    Sine,
    Sonication,
    Waveform,
)
from safety.oracle_numbers import F, Numbers, exact, whole


def held(wave: Hold) -> Numbers:
    """The numbers of a hold, exactly; None for each that is no number, or no whole one where it has to be."""
    return {
        **carried(wave.carrier),
        "ramp_up_ms": whole(wave.ramp_up_ms),
        "ramp_down_ms": whole(wave.ramp_down_ms),
        "duration_ms": whole(wave.duration_ms),
    }


def carried(carrier: Carrier) -> Numbers:
    match carrier:
        case Sine():
            return {
                "amplitude_ma_pp": exact(carrier.amplitude_ma_pp),
                "frequency_hz": exact(carrier.frequency_hz),
                "phase_rad": exact(carrier.phase_rad),
            }
        case Direct():
            return {"amplitude_ma": exact(carrier.amplitude_ma)}
        case Noise():
            return {
                "amplitude_ma_pp": exact(carrier.amplitude_ma_pp),
                "low_hz": exact(carrier.low_hz),
                "high_hz": exact(carrier.high_hz),
            }
        case Pulses():
            return {
                "amplitude_ma": exact(carrier.amplitude_ma),
                "width_us": exact(carrier.width_us),
                "gap_us": exact(carrier.gap_us),
                "second_width_us": exact(carrier.second_width_us),
                "rate_hz": exact(carrier.rate_hz),
                "pulses_per_burst": whole(carrier.pulses_per_burst),
                "rate_in_burst_hz": exact(carrier.rate_in_burst_hz),
            }
        case _:
            assert_never(carrier)


def amplitude_asked(wave: Waveform) -> Fraction | None:
    """What a waveform asks for, in its own unit."""
    if isinstance(wave, PulseTrain | BurstTrain):
        return exact(wave.pulse.amplitude_pct_mso)
    if isinstance(wave, Sonication):
        return exact(wave.amplitude_mpa_water)
    return next(number for name, number in carried(wave.carrier).items() if name.startswith("amplitude_"))


def same_shape(one: Hold, other: Hold) -> bool:
    """Whether two holds differ in their amplitudes and times alone."""
    a, b = carried(one.carrier), carried(other.carrier)
    return a.keys() == b.keys() and all(a[name] == b[name] for name in a if not name.startswith("amplitude_"))


def charging_ma(amplitude: Fraction, wave: Waveform) -> Fraction:
    """The current by which charge is counted, of a waveform that has come to an amplitude. Its peak, as the record that
    the 7.2 C come from counts, which is half of peak to peak. Pulses: their first phases over the time."""
    if not isinstance(wave, Hold):
        return F(0)
    if isinstance(wave.carrier, Sine | Noise):
        return amplitude / 2
    if isinstance(wave.carrier, Direct):
        return amplitude
    asked = carried(wave.carrier)
    width_us, rate_hz, n = asked["width_us"], asked["rate_hz"], asked["pulses_per_burst"]
    share = None if width_us is None or rate_hz is None or n is None else width_us * rate_hz * n / 10**6
    return amplitude if share is None else amplitude * min(max(share, F(0)), F(1))


def groups(wave: Waveform) -> tuple[int, int, Fraction | None]:
    """Of a train that ends by their number: how many pulses, bursts or trains, the pulses of each, and their rate in Hz.
    What an end cuts short counts whole."""
    if isinstance(wave, PulseTrain):
        return wave.n_pulses, 1, exact(wave.rate_hz)
    if isinstance(wave, BurstTrain):
        return wave.n_bursts, wave.pulses_per_burst, exact(wave.bursts_hz)
    if isinstance(wave, Sonication):
        trains = math.ceil(F(wave.sonication_ms, wave.train_interval_ms))
        return (
            trains,
            math.ceil(F(1000 * wave.train_ms, wave.pulse_interval_us)),
            F(1000, wave.train_interval_ms),
        )
    return 0, 0, None


def charge_c(ma_ns: Fraction) -> Fraction:
    """The charge of a charging current that was summed over ns."""
    return ma_ns / 1000 / 10**9
