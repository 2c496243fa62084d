"""What waveforms say of themselves: their quantities, their amplitude, their kind, over the wire and back."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from drivers.capabilities import Quantity
from drivers.null import ENVELOPES
from drivers.stimulation import (
    Carrier,
    Hold,
    MagneticPulse,
    Output,
    Pulses,
    PulseTrain,
    Sine,
    Train,
    amplitude,
    amplitude_quantity,
    duration_ns,
    is_whole,
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


TRAINS = {
    "amplitude_ma": held(PULSES),
    "amplitude_ma_pp": held(Sine(amplitude_ma_pp=2.0, frequency_hz=10.0)),
    "amplitude_pct_mso": Train(
        modality="rtms",
        outputs=OUTPUTS,
        waveform=PulseTrain(pulse=MagneticPulse(amplitude_pct_mso=45.0), rate_hz=10.0, n_pulses=40),
    ),
}


@pytest.mark.parametrize("name", TRAINS)
def test_an_amplitude_has_its_own_name_and_is_exchanged_alone(name: str):
    train = TRAINS[name]
    assert amplitude_quantity(train) == name
    assert amplitude(train) == quantities(train)[name]
    other = with_amplitude(train, 0.5)
    assert amplitude(other) == 0.5 and with_amplitude(other, amplitude(train)) == train
    assert {k for k, v in quantities(train).items() if quantities(other)[k] != v} == {name}


@pytest.mark.parametrize("train", TRAINS.values(), ids=TRAINS)
def test_trains_survive_the_wire_and_the_null_device_has_all_their_quantities(train: Train):
    assert msgspec.json.decode(msgspec.json.encode(train), type=Train) == train
    assert set(quantities(train)) <= set(ENVELOPES) == set(get_args(Quantity))


def test_the_second_phase_carries_the_charge_of_the_first_back():
    assert PULSES.second_amplitude_ma == pytest.approx(0.375)
    assert PULSES.second_amplitude_ma * 480.0 == pytest.approx(3.0 * 60.0)


def test_charge_is_counted_by_the_first_phases_and_by_the_peak_of_a_sine():
    assert PULSES.charging_ma == pytest.approx(3.0 * 60e-6 * 200)
    assert Sine(amplitude_ma_pp=2.0, frequency_hz=10.0).charging_ma == 1.0


def test_a_waveform_of_another_kind_is_not_whole():
    assert is_whole(TRAINS["amplitude_ma_pp"]) and is_whole(TRAINS["amplitude_pct_mso"])
    assert not is_whole(TRAINS["amplitude_ma"])  # pulses are no alternating current


def test_a_hold_lasts_as_long_as_its_lease():
    assert duration_ns(TRAINS["amplitude_ma"]) == 400_000_000
