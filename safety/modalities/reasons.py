"""The codes with which a train or a fact is refused: stable, each with its text and its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from safety.messages import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonText:
    """What a code means, and what the reader can do about it."""

    text: str
    remedy: str


ABOVE = "ILK-101"
BELOW = "ILK-102"
NOT_A_NUMBER = "ILK-103"
OFF_STEP = "ILK-104"
FACT_MISSING = "ILK-105"
WRONG_KIND = "ILK-106"
OUTPUTS = "ILK-107"
TRAIN_TOO_LONG = "ILK-108"
DENSITY = "ILK-109"
NO_LIMIT = "ILK-110"
SLEW = "ILK-111"
IMPEDANCE = "ILK-112"
FACT_OUTDATED = "ILK-113"
TIMING = "ILK-120"
REGIME = "ILK-121"
BAND = "ILK-130"
ATTENTION = "ILK-131"
NESTING = "ILK-140"

REASONS: Mapping[str, ReasonText] = MappingProxyType(
    {
        ABOVE: ReasonText(
            text="above a limit", remedy="ask for less, or have the limit's owner change the row"
        ),
        BELOW: ReasonText(
            text="below a limit", remedy="ask for more, or have the limit's owner change the row"
        ),
        NOT_A_NUMBER: ReasonText(
            text="not a finite number of its type", remedy="correct the policy: it computed no usable number"
        ),
        OFF_STEP: ReasonText(
            text="off the device's step",
            remedy="round down to the step that `nociloop check` shows for the device",
        ),
        FACT_MISSING: ReasonText(
            text="a fact is missing", remedy="measure it and enter it, then start again"
        ),
        WRONG_KIND: ReasonText(
            text="wrong modality or waveform", remedy="use the modality that limits.toml and the device name"
        ),
        OUTPUTS: ReasonText(
            text="outputs or shares do not fit",
            remedy="name contacts of limits.toml and of the device, each once, with shares that sum to zero",
        ),
        TRAIN_TOO_LONG: ReasonText(
            text="train too long for its frequency and % of motor threshold",
            remedy="use fewer pulses, a lower frequency or less intensity",
        ),
        DENSITY: ReasonText(
            text="current or charge too dense under a contact",
            remedy="lower the amplitude or the pulse width, or use a larger contact",
        ),
        NO_LIMIT: ReasonText(
            text="no limit is known for a quantity",
            remedy="give the quantity its row in limits.toml, or use a device that states its range",
        ),
        SLEW: ReasonText(
            text="the current would rise too fast", remedy="rise in smaller steps or a longer ramp"
        ),
        IMPEDANCE: ReasonText(
            text="contact impedance outside its limits",
            remedy="check gel, cable and contact, then measure again",
        ),
        FACT_OUTDATED: ReasonText(
            text="a dated fact does not hold today",
            remedy="measure it again today and enter it with its date",
        ),
        ATTENTION: ReasonText(
            text="needs the operator's attention",
            remedy="use a larger contact, or have the site take it by a row of its own",
        ),
        BAND: ReasonText(
            text="a band whose ends are out of order", remedy="ask for a high_hz that lies above low_hz"
        ),
        TIMING: ReasonText(
            text="a pulse or a burst does not fit into its time",
            remedy="use shorter phases, a shorter gap, fewer pulses or a lower rate",
        ),
        REGIME: ReasonText(
            text="no known regime has this rate, width and amplitude together",
            remedy="stay within one of the regimes that the refusal names",
        ),
        NESTING: ReasonText(
            text="times that do not fit into one another",
            remedy="make each pulse, interval, train and whole at least as long as what it holds",
        ),
    }
)


def reason(
    code: str, detail: str, *, quantity: str = "", value: float = 0.0, limit: float = 0.0, set_by: str = ""
) -> Reason:
    """A Reason whose text is the code's own with the detail of this case."""
    return Reason(
        code=code,
        text=f"{REASONS[code].text}: {detail}",
        quantity=quantity,
        value=value,
        limit=limit,
        set_by=set_by,
    )
