"""`[train]`: the template Train that a policy starts from. What may come out is said in limits.toml."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from controller.config import Config
from drivers.stimulation import Hold, MagneticPulse, Output, PulseTrain, Sine, Train

Contact = Annotated[str, StringConstraints(min_length=1, max_length=40)]
SHARE_TOLERANCE = 1e-6  # own choice: thirds are written with six digits and more
MS_MAX = 3_600_000  # own choice, of the type and not of safety: an hour


class TacsTrain(Config):
    """A current held at an amplitude (peak to peak), renewed before its lease ends."""

    modality: Literal["tacs"]
    outputs: Annotated[dict[Contact, float], Field(min_length=2, max_length=64)]
    frequency_hz: float = Field(gt=0, le=10_000)
    phase_deg: float = Field(default=0.0, ge=-360, le=360)
    amplitude_ma_pp: float = Field(ge=0, le=1000)
    ramp_up_ms: int = Field(ge=0, le=MS_MAX)
    ramp_down_ms: int = Field(ge=0, le=MS_MAX)
    lease_ms: int = Field(ge=1, le=MS_MAX)

    @model_validator(mode="after")
    def _what_goes_in_comes_out(self) -> Self:
        total = math.fsum(self.outputs.values())
        inward = math.fsum(share for share in self.outputs.values() if share > 0)
        if abs(total) > SHARE_TOLERANCE or abs(inward - 1.0) > SHARE_TOLERANCE:
            raise ValueError(
                f"outputs: found shares that sum to {total:g}, the positive ones to {inward:g}; expected 0 and 1: "
                "the amplitude is the whole current"
            )
        return self

    def train(self) -> Train:
        return Train(
            modality="tacs",
            outputs=tuple(Output(name=name, share=share) for name, share in self.outputs.items()),
            waveform=Hold(
                carrier=Sine(
                    amplitude_ma_pp=self.amplitude_ma_pp,
                    frequency_hz=self.frequency_hz,
                    phase_rad=math.radians(self.phase_deg % 360.0),
                ),
                ramp_up_ms=self.ramp_up_ms,
                ramp_down_ms=self.ramp_down_ms,
                duration_ms=self.lease_ms,
            ),
        )


class RtmsTrain(Config):
    """Pulses of one coil at one rate."""

    modality: Literal["rtms"]
    output: Contact = "coil"
    amplitude_pct_mso: float = Field(ge=0, le=100)
    rate_hz: float = Field(gt=0, le=1000)
    n_pulses: int = Field(ge=1, le=100_000)

    def train(self) -> Train:
        return Train(
            modality="rtms",
            outputs=(Output(name=self.output, share=1.0),),
            waveform=PulseTrain(
                pulse=MagneticPulse(amplitude_pct_mso=self.amplitude_pct_mso),
                rate_hz=self.rate_hz,
                n_pulses=self.n_pulses,
            ),
        )


TrainConfig = TacsTrain | RtmsTrain
TRAINS: dict[str, type[TacsTrain] | type[RtmsTrain]] = {"tacs": TacsTrain, "rtms": RtmsTrain}
