"""What the core asks of a modality: one frozen table of declarations and pure functions, filled by each modality's file.

`Rules`-functions that take limits are asked by the limits' modality, those that take a train alone by the train's, which
has been permitted. What a train of the wrong kind gets is a refusal where it is judged, and `WrongTrain` where only a
permitted train can come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Train, is_whole
from safety.limit_values import Coil, Inputs, Limits, Place
from safety.messages import Reason, Row
from safety.modalities.quantities import (
    Declared,
    DeclaredBudget,
    DeclaredSpacing,
    Exposure,
    Facts,
    Formula,
)
from safety.modalities.segments import Segments, never_goes_on, no_segments

CASE = "case"


class WrongTrain(TypeError):
    """A broken invariant: a train that no limit permitted reached a place where only permitted ones come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredInput:
    """A fact about the participant that limits.toml gives in [inputs], a field of Inputs. `dated`: the field that holds
    the day of its measurement, "" where it does not expire. Outside `low` to `high` it can only be a mistake. `only`:
    it is asked for where one of these choices was made; nothing: always."""

    name: str
    unit: str
    low: float
    high: float
    dated: str = ""
    only: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredChoice:
    """A word that limits.toml gives in [inputs], a field of Inputs: by which of several rules the modality is judged."""

    name: str
    options: tuple[str, ...]
    only: tuple[tuple[str, str], ...] = ()


def needed(only: tuple[tuple[str, str], ...], inputs: Inputs) -> bool:
    """Whether an input or choice with this `only` is asked for, after the choices made so far."""
    return not only or any(getattr(inputs, name) == option for name, option in only)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredContacts:
    """The outputs that limits.toml names: how many, and what each says of itself: its area, and where it lies where
    `places` are given, or its kind of coil. The case of an implanted pulse generator, an output of the name "case", is
    larger than any contact."""

    fewest: int
    most: int
    area_low_cm2: float = 0.0
    area_high_cm2: float = 0.0
    coils: tuple[Coil, ...] = ()
    places: tuple[Place, ...] = ()
    case_low_cm2: float = 0.0
    case_high_cm2: float = 0.0

    def area_of(self, name: str) -> tuple[float, float]:
        """The least and the greatest area in cm2 that an output of this name can have."""
        if name == CASE and self.case_high_cm2 > 0:
            return self.case_low_cm2, self.case_high_cm2
        return self.area_low_cm2, self.area_high_cm2

    def takes_area(self, name: str, area_cm2: float) -> bool:
        """Whether it can be the area of this output."""
        low, high = self.area_of(name)
        return low <= area_cm2 <= high


def no_heat(train: Train, span_ns: int, reached: float, limits: Limits) -> Exposure:
    """What it spends is said by the train alone."""
    return Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=0)


def no_rest(run: Exposure) -> int:
    """What was held may be held again at once."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityRules:
    """One modality. `check`: every reason that refuses a train, but for slew, interval and budgets. `check_facts`: every
    fact that is missing or does not hold today. `rows`: the effective limits. `amplitude_ceiling`: the highest amplitude
    that would pass now. `exposure`: what a span of a train at an amplitude spends, rounded up; `heat`: what it spends
    besides, by what the limits say of the participant. `dates`: dated facts of [inputs] beside those of `inputs`.
    `steady`: what of a hold, beside its outputs, changes only while nothing comes out. `stop`: how output comes to zero
    where nothing is broken. `interval_after_ns`: from the *actual* end of a train to the next onset. `rest_after_ns`: how
    long holds without a pause between them, that spent so much, are followed by none. `in_segments`: a
    train outlasts every lease and is asked for in several requests; then `segment` says what it has had when another one
    has begun, `goes_on` whether a request that starts at an instant belongs to it (None: it does not) and every reason why
    all together would be too much."""

    quantities: tuple[Declared, ...]
    budgets: tuple[DeclaredBudget, ...]
    spacing: tuple[DeclaredSpacing, ...]
    formulas: tuple[Formula, ...]
    contacts: DeclaredContacts
    inputs: tuple[DeclaredInput, ...]
    choices: tuple[DeclaredChoice, ...] = ()
    dates: tuple[str, ...] = ()
    steady: tuple[str, ...] = ()
    stop: Literal["ramp", "cut"]
    check: Callable[[Train, Limits, Capabilities, Facts], tuple[Reason, ...]]
    check_facts: Callable[[Limits, Facts], tuple[Reason, ...]]
    check_slew: Callable[[Train, float, Limits], tuple[Reason, ...]]
    rows: Callable[[Limits, Capabilities], tuple[Row, ...]]
    amplitude_ceiling: Callable[[tuple[Row, ...], float, int], float]
    exposure: Callable[[Train, int, float], Exposure]
    interval_after_ns: Callable[[Train, Limits], int]
    heat: Callable[[Train, int, float, Limits], Exposure] = no_heat
    rest_after_ns: Callable[[Exposure], int] = no_rest
    in_segments: bool = False
    segment: Callable[[Segments | None, Train, int], Segments | None] = no_segments
    goes_on: Callable[[Segments, Train, int, Limits], tuple[Reason, ...] | None] = never_goes_on


def hold_of(train: Train) -> Hold:
    """The hold of a permitted train, with its modality's carrier; raises WrongTrain."""
    if not (isinstance(train.waveform, Hold) and is_whole(train)):
        raise WrongTrain(f"{train.modality} without its hold")
    return train.waveform
