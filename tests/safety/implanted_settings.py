"""What the tests of implanted electrodes share: one setting, a contact of one area, and the verdicts of both hands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, Train
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities import Facts, check
from safety.oracle import PARTS, objections
from safety.oracle_numbers import Circumstances
from tests.safety.strategies import TODAY, caps_of, valid_train

IMPLANTED: tuple[Modality, ...] = tuple(m for m in PARTS if "shannon_k" in PARTS[m].bounds)
RING_3389 = math.pi * 0.127 * 0.15
CYLINDER = math.pi * 0.13 * 0.3
SLIM = math.pi * 0.1 * 0.125
KOHM = 1.0
BURSTS_HZ: Mapping[Modality, float] = {"dbs": 5.0, "scs": 40.0, "drg": 5.0, "pns": 5.0}
SLOW_HZ: Mapping[Modality, float] = {"dbs": 25.0, "scs": 40.0, "drg": 25.0, "pns": 25.0}


def wide(modality: Modality) -> Capabilities:
    """A device that can do anything, in no steps."""
    caps = caps_of(modality)
    open_ = {name: Envelope(low=-1e9, high=1e9, step=0.0) for name in caps.envelopes}
    return msgspec.structs.replace(caps, envelopes=open_)


def of_area(limits: Limits, area_cm2: float | None) -> Limits:
    """The same limits with every contact but the case of one area."""
    contacts = tuple(
        c if c.name == "case" else msgspec.structs.replace(c, area_cm2=area_cm2) for c in limits.contacts
    )
    return msgspec.structs.replace(limits, contacts=contacts)


def both(train: Train, limits: Limits, caps: Capabilities) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
    """What the first hand refuses and the second objects to; the second never without the first."""
    refused = check(train, limits, caps, Facts(today=TODAY, impedance_kohm=KOHM))
    objected = objections(
        train,
        Circumstances(
            limits=limits, capabilities=caps, today=TODAY, simulated=True, impedance_kohm=KOHM,
            least_ma_pp=Fraction(10**6),
        ),
    )  # fmt: skip
    assert bool(refused) == bool(objected), (refused, objected)
    return refused, objected


def pulse(modality: Modality, ma: float, us: float, **bent: float) -> Train:
    """One setting, in symmetrical pulses."""
    numbers: dict[str, Any] = {"amplitude_ma": ma, "width_us": us, "second_width_us": us, **bent}
    train = valid_train(modality)
    carrier = msgspec.structs.replace(train.waveform.carrier, **numbers)  # type: ignore[union-attr]
    return msgspec.structs.replace(train, waveform=msgspec.structs.replace(train.waveform, carrier=carrier))
