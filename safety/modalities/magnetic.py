"""Pulses of one coil: what single and theta burst magnetic stimulation have in common.

The unit of intensity is % of a motor threshold measured on the day: an old one makes every % of it wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import msgspec

from drivers.capabilities import Capabilities
from drivers.stimulation import Train
from safety.limit_values import Inputs, Limits, is_iso_date
from safety.messages import Reason, Row
from safety.modalities.bounds import exact, is_number, layers, shown
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Declared, Exposure, Facts
from safety.modalities.reasons import FACT_MISSING, FACT_OUTDATED, OUTPUTS, reason
from safety.modalities.rules import DeclaredContacts, DeclaredInput

AMPLITUDE = Declared(
    name="amplitude_pct_mso",
    unit="%MSO",
    low=0.0,
    high=100.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source="definition: maximum stimulator output is 100 %",
    edition="1",
    status="verified",
)
TRAIN_TIME = Declared(
    name="train_s",
    unit="s",
    low=0.0,
    high=10.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: the longest lease, after which output ends by itself",
    edition="1",
    status="verified",
)
# The sources' numbers stem from figure-8 and round coils; a deep H-coil had more seizures.
CONTACTS = DeclaredContacts(fewest=1, most=1, coils=("figure-8", "round"))
THRESHOLD_LOW_PCT_MSO = (
    15.0  # own choice: no coil finds a threshold below; it is a mistake of unit or of coil
)
THRESHOLD_HIGH_PCT_MSO = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The motor threshold that a modality's intensity is in % of; `words` name it to a reader."""

    declared: DeclaredInput
    words: str
    intensity: Declared
    value_of: Callable[[Inputs], float | None]
    measured_on: Callable[[Inputs], str | None]

    def check_facts(self, limits: Limits, facts: Facts) -> tuple[Reason, ...]:
        """The dated facts, and a threshold of this very day among them."""
        return (*dated_facts(limits, facts), *self.check_own(limits, facts))

    def check_own(self, limits: Limits, facts: Facts) -> tuple[Reason, ...]:
        """Whether there is a threshold of this very day."""
        reasons = []
        name, dated = self.declared.name, self.declared.dated
        if self.exactly(limits) is None:
            reasons.append(reason(FACT_MISSING, self.words, quantity=name))
        measured_on = self.measured_on(limits.inputs)
        if not is_iso_date(measured_on):
            reasons.append(reason(FACT_MISSING, f"the date of {self.words}", quantity=dated))
        elif measured_on != facts.today:
            detail = f"{self.words} is of {measured_on}, today is {shown(facts.today)}"
            reasons.append(reason(FACT_OUTDATED, detail, quantity=dated))
        return tuple(reasons)

    def exactly(self, limits: Limits) -> Fraction | None:
        """The threshold in %MSO; None where it is no number that a threshold can be."""
        value = self.value_of(limits.inputs)
        if not is_number(value, integer=False):
            return None
        return exact(value) if self.declared.low <= value <= self.declared.high else None

    def percent(self, amplitude_pct_mso: float, limits: Limits) -> Fraction | None:
        """An amplitude in % of the threshold; None where either is no usable number."""
        threshold = self.exactly(limits)
        if threshold is None or not is_number(amplitude_pct_mso, integer=False):
            return None
        return exact(amplitude_pct_mso) * 100 / threshold

    def lower(self, rows: tuple[Row, ...], limits: Limits) -> tuple[Row, ...]:
        """The rows, the amplitude brought down to what the intensity limit makes of today's threshold."""
        threshold = self.exactly(limits)
        intensity = next(row.high for row in rows if row.quantity == self.intensity.name)
        of_threshold = Fraction(0) if threshold is None else threshold * exact(intensity) / 100
        high = floor(of_threshold * 1_000_000) / 1_000_000  # toward less
        found = self.value_of(limits.inputs)
        return tuple(
            msgspec.structs.replace(
                row,
                high=high,
                set_by="tissue",
                source=f"{intensity:g} % of a motor threshold of {found} %MSO",
            )
            if row.quantity == AMPLITUDE.name and high < row.high
            else row
            for row in rows
        )


def active_threshold(intensity: Declared) -> Threshold:
    """The active motor threshold of limits.toml, as what `intensity` is in % of."""
    return Threshold(
        declared=_threshold_input("active_threshold"),
        words="the active motor threshold",
        intensity=intensity,
        value_of=lambda inputs: inputs.active_threshold_pct_mso,
        measured_on=lambda inputs: inputs.active_threshold_measured_on,
    )


def resting_threshold(intensity: Declared, words: str = "the motor threshold") -> Threshold:
    """The resting motor threshold of limits.toml, as what `intensity` is in % of."""
    return Threshold(
        declared=_threshold_input("motor_threshold"),
        words=words,
        intensity=intensity,
        value_of=lambda inputs: inputs.motor_threshold_pct_mso,
        measured_on=lambda inputs: inputs.motor_threshold_measured_on,
    )


def _threshold_input(name: str) -> DeclaredInput:
    return DeclaredInput(
        name=f"{name}_pct_mso",
        unit="%MSO",
        low=THRESHOLD_LOW_PCT_MSO,
        high=THRESHOLD_HIGH_PCT_MSO,
        dated=f"{name}_measured_on",
    )


def longest_interval_s(interval: Declared, limits: Limits) -> Fraction:
    """The longest of the layers' intervals between two trains."""
    return max(exact(bound.low) for bound in layers(interval, limits))


def amplitude_ceiling(rows: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int) -> float:
    """The highest amplitude that passes now, in %MSO; a pulse has no slew."""
    return next(row.high for row in rows if row.quantity == AMPLITUDE.name)


def spent(span_ns: int, n_groups: int, groups_hz: float, pulses_per_group: int) -> Exposure:
    """The most pulses that a span can hold, both ends included; an impossible span counts as the train."""
    if not is_number(groups_hz, integer=False) or groups_hz <= 0:
        on_time_s = max(span_ns, 0) / 1_000_000_000
        return Exposure(on_time_s=on_time_s, charge_c=0.0, n_pulses=n_groups * pulses_per_group)
    rate = exact(groups_hz)
    span = span_ns if span_ns >= 0 else ceil(n_groups / rate * 1_000_000_000)
    groups = min(n_groups, floor(span * rate / 1_000_000_000) + 1)
    return Exposure(on_time_s=-(-span // 1000) / 1_000_000, charge_c=0.0, n_pulses=groups * pulses_per_group)


def check_coil(train: Train, limits: Limits, caps: Capabilities) -> list[Reason]:
    """One coil, known to the file and to the device, with the whole amplitude."""
    if len(train.outputs) != 1:
        return [reason(OUTPUTS, f"{len(train.outputs)} outputs, expected one coil")]
    reasons = []
    output = train.outputs[0]
    contact = limits.contact(output.name)
    if contact is None or contact.coil is None:
        reasons.append(reason(OUTPUTS, f"coil {shown(output.name)} is not in limits.toml", set_by="protocol"))
    if output.name not in caps.outputs:
        reasons.append(reason(OUTPUTS, f"the device has no coil {shown(output.name)}", set_by="device"))
    if not (is_number(output.share, integer=False) and output.share == 1):
        reasons.append(reason(OUTPUTS, f"the coil's share is {shown(output.share)}, expected 1", limit=1.0))
    return reasons


def no_slew(train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
    """Each pulse begins and ends at zero."""
    return ()
