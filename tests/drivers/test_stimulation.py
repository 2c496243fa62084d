"""What waveforms say of themselves: their quantities, their amplitude, their kind, over the wire and back."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from drivers.capabilities import Quantity
from drivers.null import ENVELOPES
from drivers.stimulation import (
    MODALITIES,
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
    amplitude,
    amplitude_quantity,
    duration_ns,
    is_whole,
    n_pulses,
    quantities,
    with_amplitude,
)

OUTPUTS = (Output(name="C1", share=1.0), Output(name="case", share=-1.0))
PULSES = Pulses(
    amplitude_ma=3.0,
    width_us=60.0,
    gap_us=10.0,
    second_width_us=480.0,
    rate_hz=40.0,
    pulses_per_burst=5,
    rate_in_burst_hz=500.0,
)


def held(carrier: Carrier) -> Train:
    wave = Hold(carrier=carrier, ramp_up_ms=1000, ramp_down_ms=100, duration_ms=400)
    return Train(modality="tacs", outputs=OUTPUTS, waveform=wave)


PULSE = MagneticPulse(amplitude_pct_mso=45.0)
BURSTS = BurstTrain(pulse=PULSE, pulses_per_burst=3, rate_in_burst_hz=50.0, bursts_hz=5.0, n_bursts=10)
SONICATION = Sonication(
    amplitude_mpa_water=0.4, frequency_khz=500.0, pulse_us=200, pulse_interval_us=999, train_ms=100,
    train_interval_ms=300, sonication_ms=1000,
)  # fmt: skip
TRAINS = {
    "pulses": (held(PULSES), "amplitude_ma"),
    "sine": (held(Sine(amplitude_ma_pp=2.0, frequency_hz=10.0)), "amplitude_ma_pp"),
    "direct": (held(Direct(amplitude_ma=2.0)), "amplitude_ma"),
    "noise": (held(Noise(amplitude_ma_pp=2.0, low_hz=100.0, high_hz=640.0)), "amplitude_ma_pp"),
    "pulse train": (
        Train(modality="rtms", outputs=OUTPUTS, waveform=PulseTrain(pulse=PULSE, rate_hz=10.0, n_pulses=40)),
        "amplitude_pct_mso",
    ),
    "burst train": (Train(modality="tbs", outputs=OUTPUTS, waveform=BURSTS), "amplitude_pct_mso"),
    "sonication": (Train(modality="tus", outputs=OUTPUTS[:1], waveform=SONICATION), "amplitude_mpa_water"),
}
KINDS: dict[Modality, str] = {
    "tacs": "sine", "tdcs": "direct", "trns": "noise", "tens": "pulses", "rtms": "pulse train", "tbs": "burst train",
    "ctbs": "burst train", "dbs": "pulses", "scs": "pulses", "drg": "pulses", "pns": "pulses", "tus": "sonication",
}  # fmt: skip


@pytest.mark.parametrize(("train", "name"), TRAINS.values(), ids=TRAINS)
def test_an_amplitude_has_its_own_name_and_is_exchanged_alone(train: Train, name: str):
    assert amplitude_quantity(train) == name
    assert amplitude(train) == quantities(train)[name]
    other = with_amplitude(train, 0.5)
    assert amplitude(other) == 0.5 and with_amplitude(other, amplitude(train)) == train
    assert {k for k, v in quantities(train).items() if quantities(other)[k] != v} == {name}


@pytest.mark.parametrize("train", [train for train, _ in TRAINS.values()], ids=TRAINS)
def test_trains_survive_the_wire_and_the_null_device_has_all_their_quantities(train: Train):
    assert msgspec.json.decode(msgspec.json.encode(train), type=Train) == train
    assert set(quantities(train)) <= set(ENVELOPES) == set(get_args(Quantity))


def test_the_second_phase_carries_the_charge_of_the_first_back():
    assert PULSES.second_amplitude_ma == pytest.approx(0.375)
    assert PULSES.second_amplitude_ma * 480.0 == pytest.approx(3.0 * 60.0)


def test_charge_is_counted_by_the_first_phases_and_by_the_peak_of_a_sine():
    assert PULSES.charging_ma == pytest.approx(3.0 * 60e-6 * 200)
    assert Sine(amplitude_ma_pp=2.0, frequency_hz=10.0).charging_ma == 1.0
    assert Noise(amplitude_ma_pp=2.0, low_hz=0.1, high_hz=640.0).charging_ma == 1.0
    assert Direct(amplitude_ma=2.0).charging_ma == 2.0


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_waveform_of_another_kind_is_not_whole(modality: Modality):
    bent = {name: msgspec.structs.replace(train, modality=modality) for name, (train, _) in TRAINS.items()}
    assert [name for name, train in bent.items() if is_whole(train) is not False] == [KINDS[modality]]
    assert is_whole(bent[KINDS[modality]]) is True


def test_a_hold_lasts_as_long_as_its_lease():
    assert duration_ns(TRAINS["pulses"][0]) == 400_000_000


def test_pulses_and_bursts_are_counted_and_those_of_a_hold_are_not():
    pulses = {name: (n_pulses(train), duration_ns(train)) for name, (train, _) in TRAINS.items()}
    assert pulses["pulse train"] == (40, 4_000_000_000)
    assert pulses["burst train"] == (30, 2_000_000_000)
    assert pulses["pulses"] == pulses["direct"] == (0, 400_000_000)
    assert pulses["sonication"] == (101 * 4, 1_000_000_000)  # the last pulse and the last train count whole


@pytest.mark.parametrize(
    ("train_ms", "sonication_ms", "n"), [(999, 999, 1000), (1, 300, 2), (1, 301, 4), (1, 601, 6)]
)
def test_what_an_end_cuts_short_counts_whole(train_ms: int, sonication_ms: int, n: int):
    wave = msgspec.structs.replace(SONICATION, train_ms=train_ms, sonication_ms=sonication_ms)
    if sonication_ms == 999:
        wave = msgspec.structs.replace(wave, train_interval_ms=999)
    assert n_pulses(Train(modality="tus", outputs=OUTPUTS[:1], waveform=wave)) == n


def test_the_numbers_of_a_train_stand_under_their_own_names():
    assert quantities(TRAINS["pulses"][0]) == {
        "amplitude_ma": 3.0, "width_us": 60.0, "gap_us": 10.0, "second_width_us": 480.0, "rate_hz": 40.0,
        "pulses_per_burst": 5, "rate_in_burst_hz": 500.0, "ramp_up_ms": 1000, "ramp_down_ms": 100, "duration_ms": 400,
    }  # fmt: skip
    assert quantities(TRAINS["burst train"][0]) == {
        "amplitude_pct_mso": 45.0, "pulses_per_burst": 3, "rate_in_burst_hz": 50.0, "bursts_hz": 5.0, "n_bursts": 10,
    }  # fmt: skip
    assert quantities(TRAINS["sonication"][0]) == {
        "amplitude_mpa_water": 0.4, "frequency_khz": 500.0, "pulse_us": 200, "pulse_interval_us": 999, "train_ms": 100,
        "train_interval_ms": 300, "sonication_ms": 1000,
    }  # fmt: skip
