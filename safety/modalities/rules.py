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
from safety.limit_values import Coil, Limits
from safety.messages import Reason, Row
from safety.modalities.quantities import (
    Declared,
    DeclaredBudget,
    DeclaredSpacing,
    Exposure,
    Facts,
    Formula,
)

CASE = "case"


class WrongTrain(TypeError):
    """A broken invariant: a train that no limit permitted reached a place where only permitted ones come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredInput:
    """A fact about the participant that limits.toml gives in [inputs], a field of Inputs. `dated`: the field that holds
    the day of its measurement, "" where it does not expire. Outside `low` to `high` it can only be a mistake."""

    name: str
    unit: str
    low: float
    high: float
    dated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredContacts:
    """The outputs that limits.toml names: how many, and what each says of itself: its area, or its kind of coil. The
    case of an implanted pulse generator, an output of the name "case", is larger than any contact."""

    fewest: int
    most: int
    area_low_cm2: float = 0.0
    area_high_cm2: float = 0.0
    coils: tuple[Coil, ...] = ()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityRules:
    """One modality. `check`: every reason that refuses a train, but for slew, interval and budgets. `check_facts`: every
    fact that is missing or does not hold today. `rows`: the effective limits. `amplitude_ceiling`: the highest amplitude
    that would pass now. `exposure`: what a span of a train at an amplitude spends, rounded up. `stop`: how output comes
    to zero where nothing is broken. `interval_after_ns`: from the *actual* end of a train to the next onset."""

    quantities: tuple[Declared, ...]
    budgets: tuple[DeclaredBudget, ...]
    spacing: tuple[DeclaredSpacing, ...]
    formulas: tuple[Formula, ...]
    contacts: DeclaredContacts
    inputs: tuple[DeclaredInput, ...]
    stop: Literal["ramp", "cut"]
    check: Callable[[Train, Limits, Capabilities, Facts], tuple[Reason, ...]]
    check_facts: Callable[[Limits, Facts], tuple[Reason, ...]]
    check_slew: Callable[[Train, float, Limits], tuple[Reason, ...]]
    rows: Callable[[Limits, Capabilities], tuple[Row, ...]]
    amplitude_ceiling: Callable[[tuple[Row, ...], float, int], float]
    exposure: Callable[[Train, int, float], Exposure]
    ramp_down_max_ns: Callable[[Limits], int]
    interval_after_ns: Callable[[Train, Limits], int]


def hold_of(train: Train) -> Hold:
    """The hold of a permitted train, with its modality's carrier; raises WrongTrain."""
    if not (isinstance(train.waveform, Hold) and is_whole(train)):
        raise WrongTrain(f"{train.modality} without its hold")
    return train.waveform
