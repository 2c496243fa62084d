"""Waveforms and their nesting: Pulse, Burst, Train, Ramp, Hold; outputs; Delivery.

The unit ends a field's name. Amplitudes keep the convention of their field: tACS and tRNS are quoted peak to peak,
tDCS from zero to peak, TMS in % of maximum stimulator output; there is no bare "amplitude". Every waveform ends by
itself.
"""

from __future__ import annotations

from typing import Literal, assert_never, get_args

import msgspec

Modality = Literal[
    "tacs",
    "tdcs",
    "trns",
    "tens",
    "rtms",
    "tbs",
    "ctbs",
    "dbs",
    "scs",
    "drg",
    "pns",
    "tus",
]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the values that cross a process boundary: immutable, strict about types and keys."""


class Part(Value, frozen=True, array_like=True):
    """Base of what a train is made of. It is written as an array, for it stands in every entry of a ledger."""


class MagneticPulse(Part, frozen=True, tag="magnetic_pulse"):
    """One pulse of a TMS coil; amplitude in % of maximum stimulator output (MSO)."""

    amplitude_pct_mso: float


class Sine(Part, frozen=True, tag="sine"):
    """A sinusoidal current; the amplitude is **peak to peak**, as tACS is quoted (Antal 2017)."""

    amplitude_ma_pp: float
    frequency_hz: float
    phase_rad: float = 0.0

    @property
    def charging_ma(self) -> float:
        """The current by which charge is counted: the peak, all the time."""
        return self.amplitude_ma_pp / 2


class Direct(Part, frozen=True, tag="direct"):
    """A direct current; the amplitude is from zero to peak, as tDCS is quoted (Antal 2017). Shares give its sign."""

    amplitude_ma: float

    @property
    def charging_ma(self) -> float:
        """The current by which charge is counted: all of it."""
        return self.amplitude_ma


class Noise(Part, frozen=True, tag="noise"):
    """A random current of a band; the amplitude is **peak to peak**, the most that ever comes out."""

    amplitude_ma_pp: float
    low_hz: float
    high_hz: float

    @property
    def charging_ma(self) -> float:
        """The current by which charge is counted: the peak, all the time."""
        return self.amplitude_ma_pp / 2


class Pulses(Part, frozen=True, tag="pulses"):
    """Charge-balanced current pulses, single or in bursts: a first phase, a gap, and a second phase the other way.

    `amplitude_ma` is that of the first phase, never negative: which way it flows is said by the signed shares of the
    outputs. The second phase carries the same charge back over `second_width_us`, so its amplitude follows
    (`second_amplitude_ma`) and cannot be asked for: there is no train that is not balanced. `rate_hz` counts single
    pulses or, where `pulses_per_burst` is above 1, bursts; `rate_in_burst_hz` counts pulses inside a burst, and is
    never below `rate_hz`: of single pulses it is `rate_hz` itself.
    """

    amplitude_ma: float
    width_us: float
    gap_us: float
    second_width_us: float
    rate_hz: float
    pulses_per_burst: int
    rate_in_burst_hz: float

    @property
    def second_amplitude_ma(self) -> float:
        """The amplitude of the second phase, by charge balance; for display and for devices, not for limits."""
        return self.amplitude_ma * self.width_us / self.second_width_us

    @property
    def charging_ma(self) -> float:
        """The current by which charge is counted: that of the first phases, spread over the time."""
        return self.amplitude_ma * self.width_us * 1e-6 * self.rate_hz * self.pulses_per_burst


Carrier = Sine | Direct | Noise | Pulses


class PulseTrain(Part, frozen=True, tag="pulse_train"):
    """Pulses at one rate. It ends after `n_pulses` and cannot be renewed."""

    pulse: MagneticPulse
    rate_hz: float
    n_pulses: int


class BurstTrain(Part, frozen=True, tag="burst_train"):
    """Bursts of pulses, as theta burst stimulation nests them. It ends after `n_bursts` and cannot be renewed."""

    pulse: MagneticPulse
    pulses_per_burst: int
    rate_in_burst_hz: float
    bursts_hz: float
    n_bursts: int


class Hold(Part, frozen=True, tag="hold"):
    """A current held at one amplitude for `duration_ms`, the lease; renewed by a further Hold before that.

    `ramp_up_ms` and `ramp_down_ms` are the times in which the device moves between any two amplitudes.
    """

    carrier: Carrier
    ramp_up_ms: int
    ramp_down_ms: int
    duration_ms: int


class Sonication(Part, frozen=True, tag="sonication"):
    """Pulses of ultrasound in the timing scheme of ITRUSST: pulses at an interval make a train, trains at an interval a
    sonication, which ends by itself and cannot be renewed. Times are whole, and each contains the one before.

    `amplitude_mpa_water` is the peak rarefactional pressure that the transducer has at its focus in water, as it was
    calibrated: what a device can set. What arrives in the brain is known to the limits alone.
    """

    amplitude_mpa_water: float
    frequency_khz: float
    pulse_us: int
    pulse_interval_us: int
    train_ms: int
    train_interval_ms: int
    sonication_ms: int


Waveform = PulseTrain | BurstTrain | Hold | Sonication


class Output(Part, frozen=True):
    """A stimulator's contact or coil and its signed share of the amplitude; tES shares sum to zero."""

    name: str
    share: float


class Train(Part, frozen=True):
    """What one request asks a device to put out: a modality, its outputs, one waveform."""

    modality: Modality
    outputs: tuple[Output, ...]
    waveform: Waveform


class Delivery(Value, frozen=True):
    """What a device says really went out for one token, in the device's order.

    A long delivery is reported in slices: each has its own span, `ended` marks the last. `amplitude` is the
    greatest of the slice in the train's own unit. `confirmed` is false where the host had to assume it.
    """

    token: int
    start_ns: int
    end_ns: int
    amplitude: float
    n_pulses: int
    ended: bool
    confirmed: bool


def is_whole(train: Train) -> bool:
    """Whether the waveform is of the kind that the modality puts out."""
    wave = train.waveform
    match train.modality:
        case "tacs":
            return isinstance(wave, Hold) and isinstance(wave.carrier, Sine)
        case "tdcs":
            return isinstance(wave, Hold) and isinstance(wave.carrier, Direct)
        case "trns":
            return isinstance(wave, Hold) and isinstance(wave.carrier, Noise)
        case "tens":
            return isinstance(wave, Hold) and isinstance(wave.carrier, Pulses)
        case "rtms":
            return isinstance(wave, PulseTrain)
        case "tbs" | "ctbs":
            return isinstance(wave, BurstTrain)
        case "dbs" | "scs" | "drg" | "pns":
            return isinstance(wave, Hold) and isinstance(wave.carrier, Pulses)
        case "tus":
            return isinstance(wave, Sonication)
        case _:
            assert_never(train.modality)


def quantities(train: Train) -> dict[str, float]:
    """The numbers of a train under the names that envelopes and limits use."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return {
                "amplitude_pct_mso": wave.pulse.amplitude_pct_mso,
                "rate_hz": wave.rate_hz,
                "n_pulses": wave.n_pulses,
            }
        case BurstTrain():
            return {
                "amplitude_pct_mso": wave.pulse.amplitude_pct_mso,
                "pulses_per_burst": wave.pulses_per_burst,
                "rate_in_burst_hz": wave.rate_in_burst_hz,
                "bursts_hz": wave.bursts_hz,
                "n_bursts": wave.n_bursts,
            }
        case Sonication():
            return {
                "amplitude_mpa_water": wave.amplitude_mpa_water,
                "frequency_khz": wave.frequency_khz,
                "pulse_us": wave.pulse_us,
                "pulse_interval_us": wave.pulse_interval_us,
                "train_ms": wave.train_ms,
                "train_interval_ms": wave.train_interval_ms,
                "sonication_ms": wave.sonication_ms,
            }
        case Hold():
            return {
                **_carried(wave.carrier),
                "ramp_up_ms": wave.ramp_up_ms,
                "ramp_down_ms": wave.ramp_down_ms,
                "duration_ms": wave.duration_ms,
            }
        case _:
            assert_never(wave)


def _carried(carrier: Carrier) -> dict[str, float]:
    match carrier:
        case Sine():
            return {
                "amplitude_ma_pp": carrier.amplitude_ma_pp,
                "frequency_hz": carrier.frequency_hz,
                "phase_rad": carrier.phase_rad,
            }
        case Direct():
            return {"amplitude_ma": carrier.amplitude_ma}
        case Noise():
            return {
                "amplitude_ma_pp": carrier.amplitude_ma_pp,
                "low_hz": carrier.low_hz,
                "high_hz": carrier.high_hz,
            }
        case Pulses():
            return {
                "amplitude_ma": carrier.amplitude_ma,
                "width_us": carrier.width_us,
                "gap_us": carrier.gap_us,
                "second_width_us": carrier.second_width_us,
                "rate_hz": carrier.rate_hz,
                "pulses_per_burst": carrier.pulses_per_burst,
                "rate_in_burst_hz": carrier.rate_in_burst_hz,
            }
        case _:
            assert_never(carrier)


def amplitude_quantity(train: Train) -> str:
    """The name of the quantity that is a train's amplitude; its end is the unit."""
    wave = train.waveform
    match wave:
        case PulseTrain() | BurstTrain():
            return "amplitude_pct_mso"
        case Sonication():
            return "amplitude_mpa_water"
        case Hold():
            return _amplitude_of(wave.carrier)
        case _:
            assert_never(wave)


def _amplitude_of(carrier: Carrier) -> str:
    match carrier:
        case Sine() | Noise():
            return "amplitude_ma_pp"
        case Direct() | Pulses():
            return "amplitude_ma"
        case _:
            assert_never(carrier)


def amplitude(train: Train) -> float:
    """The amplitude of a train in its own unit (mA peak to peak, mA, mA of the first phase, % MSO, MPa)."""
    wave = train.waveform
    match wave:
        case Hold():
            carrier = wave.carrier
            return carrier.amplitude_ma_pp if isinstance(carrier, (Sine, Noise)) else carrier.amplitude_ma
        case PulseTrain() | BurstTrain():
            return wave.pulse.amplitude_pct_mso
        case Sonication():
            return wave.amplitude_mpa_water
        case _:
            assert_never(wave)


def with_amplitude(train: Train, value: float) -> Train:
    """The same train at another amplitude, in its own unit."""
    wave, replace = train.waveform, msgspec.structs.replace
    bent = {amplitude_quantity(train): value}
    match wave:
        case PulseTrain() | BurstTrain():
            return replace(train, waveform=replace(wave, pulse=replace(wave.pulse, **bent)))
        case Sonication():
            return replace(train, waveform=replace(wave, **bent))
        case Hold():
            return replace(train, waveform=replace(wave, carrier=replace(wave.carrier, **bent)))
        case _:
            assert_never(wave)


def n_pulses(train: Train) -> int:
    """The pulses of a train that ends by their number; those of a hold are not counted."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return wave.n_pulses
        case BurstTrain():
            return wave.pulses_per_burst * wave.n_bursts
        case Sonication():
            return _sonicated(wave)
        case Hold():
            return 0
        case _:
            assert_never(wave)


def _sonicated(wave: Sonication) -> int:
    """Pulses by trains; what an end cuts short counts whole."""
    per_train = -(-wave.train_ms * 1000 // wave.pulse_interval_us)
    return per_train * -(-wave.sonication_ms // wave.train_interval_ms)


def duration_ns(train: Train) -> int:
    """How long a train lasts when left alone: pulses or bursts / rate, as Rossi 2009 counts it, its length, or the lease."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return round(wave.n_pulses / wave.rate_hz * 1e9)
        case BurstTrain():
            return round(wave.n_bursts / wave.bursts_hz * 1e9)
        case Sonication():
            return wave.sonication_ms * 1_000_000
        case Hold():
            return wave.duration_ms * 1_000_000
        case _:
            assert_never(wave)
