"""A current that is held and renewed, on the skin or implanted: its rise, its ceiling, what it spends, its impedance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Train, amplitude, is_whole
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities.bounds import (
    check_exact,
    effective_rows,
    exact,
    inside_layers,
    is_number,
    not_a_number,
    waveform_of,
)
from safety.modalities.quantities import Declared, Exposure, Facts
from safety.modalities.reasons import FACT_MISSING, IMPEDANCE, SLEW, WRONG_KIND, reason
from safety.modalities.rules import hold_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(ABC):
    """One kind of held current, wherever it goes: what all of them answer alike."""

    amplitude: Declared
    slew: Declared
    ramp_up: Declared

    @property
    @abstractmethod
    def quantities(self) -> tuple[Declared, ...]:
        """All that limits.toml has a row for."""

    def check_slew(self, train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
        """The rise from the present amplitude over the ramp; an output that cannot be told counts as zero."""
        return check_rise(self.amplitude, self.ramp_up, self.slew, train, amplitude_now, limits)

    def rows(self, limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
        """The least of all layers, quantity by quantity."""
        return effective_rows(self.quantities, limits, caps)

    def amplitude_ceiling(self, rows: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int) -> float:
        """The highest amplitude that the limits and one ramp of `ramp_up_ms` from here would reach."""
        return ceiling(self.amplitude, self.slew, rows, amplitude_now, ramp_up_ms)


def check_rise(
    asked: Declared, ramp_up: Declared, slew: Declared, train: Train, amplitude_now: float, limits: Limits
) -> tuple[Reason, ...]:
    """The rise from the present amplitude over the ramp; an output that cannot be told counts as zero."""
    wave = train.waveform
    if not (is_whole(train) and isinstance(wave, Hold)):
        return (reason(WRONG_KIND, f"{waveform_of(train)}, expected a hold of {limits.modality}"),)
    level, ramp_ms = amplitude(train), wave.ramp_up_ms
    if not is_number(level, integer=False):
        return (not_a_number(asked, level),)
    if not (is_number(ramp_ms, integer=True) and ramp_ms > 0):
        return (not_a_number(ramp_up, ramp_ms),)
    now = present(amplitude_now)
    if level <= now:
        return ()  # floats compare as the decimals that mean them do
    rise = exact(level) - exact(now)
    per_s = Fraction(rise.numerator * 1000, rise.denominator * ramp_ms)
    return tuple(check_exact(slew, per_s, limits, code=SLEW, where=f" over {ramp_ms} ms"))


def ceiling(
    asked: Declared, slew: Declared, rows: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int
) -> float:
    """The highest amplitude that the limits and one ramp of `ramp_up_ms` from here would reach.

    Where nothing runs yet (0 ms), the ramp is taken as long as the limits and the lease let it be.
    """
    high = {row.quantity: row.high for row in rows}
    ramp_ms = ramp_up_ms if ramp_up_ms > 0 else min(high["ramp_up_ms"], high["duration_ms"])
    reach = exact(present(amplitude_now)) + exact(high[slew.name]) * exact(ramp_ms) / 1000
    highest = min(reach, exact(high[asked.name]))
    return floor(highest * 1_000_000) / 1_000_000  # whole nA: never above the exact value


def spent(train: Train, span_ns: int, reached: float, part: Fraction) -> Exposure:
    """Time and charge of a span, of which `part` of the amplitude flows; an impossible span counts as the lease, an
    impossible amplitude as asked."""
    wave = hold_of(train)
    span = span_ns if span_ns >= 0 else (wave.duration_ms + wave.ramp_down_ms) * 1_000_000
    known = is_number(reached, integer=False) and reached >= 0
    level = exact(reached if known else amplitude(train))
    whole = level.numerator * part.numerator * span  # in integers: mA x ns / 1000 = nC, rounded up
    charge_nc = -(-whole // (level.denominator * part.denominator * 1000))
    return Exposure(on_time_s=-(-span // 1000) / 1_000_000, charge_c=charge_nc / 1_000_000_000, n_pulses=0)


def check_impedance(declared: Declared, limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The measured contact impedance against every layer; unmeasured is a missing fact."""
    value = facts.impedance_kohm
    if value is None:
        return (reason(FACT_MISSING, "the contact impedance", quantity=declared.name),)
    if not is_number(value, integer=False):
        return (not_a_number(declared, value),)
    if inside_layers(declared, value, limits):
        return ()
    return tuple(check_exact(declared, exact(value), limits, code=IMPEDANCE))


def present(amplitude_now: float) -> float:
    """The output of this moment; what cannot be told counts as zero, from which every rise is longest."""
    return max(amplitude_now, 0.0) if is_number(amplitude_now, integer=False) else 0.0


def no_interval(train: Train, limits: Limits) -> int:
    """A hold is renewed: nothing need lie between it and the next."""
    return 0
