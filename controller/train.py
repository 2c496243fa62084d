"""`[train]`: the template Train that a policy starts from. What may come out is said in limits.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from controller.config import Config
from drivers.stimulation import (
    BurstTrain,
    Carrier,
    Direct,
    Hold,
    MagneticPulse,
    Modality,
    Noise,
    Output,
    Pulses,
    PulseTrain,
    Sine,
    Sonication,
    Train,
)

Contact = Annotated[str, StringConstraints(min_length=1, max_length=40)]
SHARE_TOLERANCE = 1e-6  # own choice: thirds are written with six digits and more
MS_MAX = 3_600_000  # own choice, of the type and not of safety: an hour


class HeldTrain(Config):
    """A current held at an amplitude, renewed before its lease ends."""

    outputs: Annotated[dict[Contact, float], Field(min_length=2, max_length=64)]
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

    def held(self, modality: Modality, carrier: Carrier) -> Train:
        """The train that holds a carrier."""
        return Train(
            modality=modality,
            outputs=tuple(Output(name=name, share=share) for name, share in self.outputs.items()),
            waveform=Hold(
                carrier=carrier,
                ramp_up_ms=self.ramp_up_ms,
                ramp_down_ms=self.ramp_down_ms,
                duration_ms=self.lease_ms,
            ),
        )


class TacsTrain(HeldTrain):
    """A sine; the amplitude is peak to peak."""

    modality: Literal["tacs"]
    frequency_hz: float = Field(gt=0, le=10_000)
    phase_deg: float = Field(default=0.0, ge=-360, le=360)
    amplitude_ma_pp: float = Field(ge=0, le=1000)

    def train(self) -> Train:
        return self.held(
            self.modality,
            Sine(
                amplitude_ma_pp=self.amplitude_ma_pp,
                frequency_hz=self.frequency_hz,
                phase_rad=math.radians(self.phase_deg % 360.0),
            ),
        )


class TdcsTrain(HeldTrain):
    """A direct current; the amplitude is from zero to peak, the shares give its sign."""

    modality: Literal["tdcs"]
    amplitude_ma: float = Field(ge=0, le=1000)

    def train(self) -> Train:
        return self.held(self.modality, Direct(amplitude_ma=self.amplitude_ma))


class TrnsTrain(HeldTrain):
    """A noise of a band; the amplitude is peak to peak."""

    modality: Literal["trns"]
    low_hz: float = Field(gt=0, le=10_000)
    high_hz: float = Field(gt=0, le=10_000)
    amplitude_ma_pp: float = Field(ge=0, le=1000)

    def train(self) -> Train:
        carrier = Noise(amplitude_ma_pp=self.amplitude_ma_pp, low_hz=self.low_hz, high_hz=self.high_hz)
        return self.held(self.modality, carrier)


class PulsesTrain(HeldTrain):
    """Charge-balanced pulses through the skin or an implanted lead; the amplitude is that of the first phase."""

    modality: Literal["tens", "dbs", "scs", "drg", "pns"]
    amplitude_ma: float = Field(ge=0, le=1000)
    width_us: float = Field(gt=0, le=100_000)
    gap_us: float = Field(default=0.0, ge=0, le=100_000)
    second_width_us: float | None = Field(default=None, gt=0, le=1_000_000)  # as long as the first
    rate_hz: float = Field(gt=0, le=100_000)
    pulses_per_burst: int = Field(default=1, ge=1, le=1000)
    rate_in_burst_hz: float | None = Field(default=None, gt=0, le=100_000)  # of single pulses: rate_hz

    def train(self) -> Train:
        carrier = Pulses(
            amplitude_ma=self.amplitude_ma,
            width_us=self.width_us,
            gap_us=self.gap_us,
            second_width_us=self.width_us if self.second_width_us is None else self.second_width_us,
            rate_hz=self.rate_hz,
            pulses_per_burst=self.pulses_per_burst,
            rate_in_burst_hz=self.rate_hz if self.rate_in_burst_hz is None else self.rate_in_burst_hz,
        )
        return self.held(self.modality, carrier)


class CoilTrain(Config):
    """Pulses of one coil, at one amplitude."""

    output: Contact = "coil"
    amplitude_pct_mso: float = Field(ge=0, le=100)

    def put_out(self, modality: Modality, waveform: PulseTrain | BurstTrain) -> Train:
        """The train of a waveform."""
        return Train(modality=modality, outputs=(Output(name=self.output, share=1.0),), waveform=waveform)


class RtmsTrain(CoilTrain):
    """Pulses at one rate."""

    modality: Literal["rtms"]
    rate_hz: float = Field(gt=0, le=1000)
    n_pulses: int = Field(ge=1, le=100_000)

    def train(self) -> Train:
        pulse = MagneticPulse(amplitude_pct_mso=self.amplitude_pct_mso)
        return self.put_out(
            self.modality, PulseTrain(pulse=pulse, rate_hz=self.rate_hz, n_pulses=self.n_pulses)
        )


class TbsTrain(CoilTrain):
    """Bursts of pulses, 2 s of them where nothing else is said: a train of the intermittent protocol, or a segment of the
    continuous one."""

    modality: Literal["tbs", "ctbs"]
    pulses_per_burst: int = Field(default=3, ge=1, le=1000)
    rate_in_burst_hz: float = Field(default=50.0, gt=0, le=1000)
    bursts_hz: float = Field(default=5.0, gt=0, le=1000)
    n_bursts: int = Field(default=10, ge=1, le=100_000)

    def train(self) -> Train:
        return self.put_out(
            self.modality,
            BurstTrain(
                pulse=MagneticPulse(amplitude_pct_mso=self.amplitude_pct_mso),
                pulses_per_burst=self.pulses_per_burst,
                rate_in_burst_hz=self.rate_in_burst_hz,
                bursts_hz=self.bursts_hz,
                n_bursts=self.n_bursts,
            ),
        )


class TusTrain(Config):
    """A sonication of one transducer: pulses make a train, trains the whole; the pressure is that in water."""

    modality: Literal["tus"]
    output: Contact = "transducer"
    amplitude_mpa_water: float = Field(ge=0, le=100)
    frequency_khz: float = Field(gt=0, le=100_000)
    pulse_us: int = Field(ge=1, le=1000 * MS_MAX)
    pulse_interval_us: int = Field(ge=1, le=1000 * MS_MAX)
    train_ms: int = Field(ge=1, le=MS_MAX)
    train_interval_ms: int = Field(ge=1, le=MS_MAX)
    sonication_ms: int = Field(ge=1, le=MS_MAX)

    def train(self) -> Train:
        return Train(
            modality=self.modality,
            outputs=(Output(name=self.output, share=1.0),),
            waveform=Sonication(
                amplitude_mpa_water=self.amplitude_mpa_water,
                frequency_khz=self.frequency_khz,
                pulse_us=self.pulse_us,
                pulse_interval_us=self.pulse_interval_us,
                train_ms=self.train_ms,
                train_interval_ms=self.train_interval_ms,
                sonication_ms=self.sonication_ms,
            ),
        )


TrainConfig = TacsTrain | TdcsTrain | TrnsTrain | PulsesTrain | RtmsTrain | TbsTrain | TusTrain
TRAINS: Final[Mapping[str, type[TrainConfig]]] = {
    "tacs": TacsTrain,
    "tdcs": TdcsTrain,
    "trns": TrnsTrain,
    "tens": PulsesTrain,
    "dbs": PulsesTrain,
    "scs": PulsesTrain,
    "drg": PulsesTrain,
    "pns": PulsesTrain,
    "rtms": RtmsTrain,
    "tbs": TbsTrain,
    "ctbs": TbsTrain,
    "tus": TusTrain,
}
