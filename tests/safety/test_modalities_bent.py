"""Limits, device, facts and train bent at random, every modality: no word of a check fails, and what passes passes both."""

from __future__ import annotations

import math
import os
import random
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from drivers.capabilities import Capabilities
from drivers.stimulation import Modality, Output, Train, amplitude, duration_ns, quantities
from safety.limit_values import Limits
from safety.modalities import Facts, check, check_slew, exposure, heat, interval_after_ns, rows
from safety.oracle import objections
from safety.oracle_numbers import Circumstances, exact
from tests.safety.examples import EXAMPLES
from tests.safety.random_trains import random_limits, random_train
from tests.safety.strategies import MODALITIES, TODAY, caps_of, limits_of, valid_train

CASES = 60_000 if os.environ.get("NOCILOOP_LONG") == "1" else 250
ODD_NUMBERS = (
    *(math.nan, math.inf, -math.inf, -0.0, 0.0, -1.0, 1e308, -1e308, 5e-324, 1e-300, 1e16, 0.1 + 0.2, 1e-9),
    *(True, False, None, "1", 10**400, -1, 0, 2**53, 2**53 + 1),
)
ODD_FACTS = (None, math.nan, 0.0, -1.0, math.inf, 1e-300, 1e308)
ODD_DAYS = (None, "", "2026-13-01", "2027-01-01", "2020-01-01", "x")


def bent_limits(limits: Limits, rng: random.Random) -> Limits:
    """One contact or one fact that no file could say."""
    replace = msgspec.structs.replace
    if rng.random() < 0.4:
        at = rng.randrange(len(limits.contacts))
        odd = replace(limits.contacts[at], area_cm2=rng.choice((None, math.nan, 0.0, -1.0, math.inf)))
        return replace(limits, contacts=(*limits.contacts[:at], odd, *limits.contacts[at + 1 :]))
    known = {
        name: value for name, value in msgspec.structs.asdict(limits.inputs).items() if value is not None
    }
    name = rng.choice(sorted(known))
    odd_fact: Any = rng.choice(ODD_FACTS if isinstance(known[name], float) else ODD_DAYS)
    return replace(limits, inputs=replace(limits.inputs, **{name: odd_fact}))


def bent_device(caps: Capabilities, rng: random.Random) -> None:
    name = rng.choice(sorted(caps.envelopes))
    if rng.random() < 0.3:
        del caps.envelopes[name]
        return
    end = {rng.choice(("low", "high", "step")): rng.choice((math.nan, math.inf, -1.0, 0.0, 1e308, 1e-300))}
    caps.envelopes[name] = msgspec.structs.replace(caps.envelopes[name], **end)


def bent_train(train: Train, rng: random.Random) -> Train:
    """One number that is odd or of another scale."""
    numbers: dict[str, Any] = quantities(train)
    name = rng.choice(sorted(numbers))
    right = numbers[name]
    of_scale = [right, -right, right * 1000, right / 1000] if type(right) in (int, float) else []
    numbers[name] = rng.choice([*ODD_NUMBERS, *of_scale])
    return EXAMPLES[train.modality].train(**numbers, outputs=train.outputs)


def bent_outputs(train: Train, rng: random.Random) -> Train:
    outputs = list(train.outputs)
    at = rng.randrange(len(outputs))
    share = outputs[at].share
    odd: dict[str, Any] = rng.choice(
        [
            *({"share": each} for each in (math.nan, 0.0, -share, 2.0, 1e-300, 1e308, share * (1 + 1e-10))),
            *({"name": each} for each in ("case", "", "x" * 500, "\x1b", outputs[0].name)),
        ]
    )
    outputs[at] = msgspec.structs.replace(outputs[at], **odd)
    bent: list[Output] = rng.choice([outputs, outputs, outputs + outputs[:1], []])
    return msgspec.structs.replace(train, outputs=tuple(bent))


@pytest.mark.parametrize("modality", MODALITIES)
def test_whatever_is_bent_is_refused_in_words_or_passes_both_hands(modality: Modality):
    rng = random.Random(f"bent {modality}")
    limits, permitted = limits_of(modality), 0
    for index in range(CASES):
        if index % 50 == 0:
            limits = limits_of(modality) if index % 100 else random_limits(modality, rng)
        caps, held = caps_of(modality), limits
        train = random_train(limits, caps, rng) if rng.random() < 0.6 else valid_train(modality)
        train = bent_train(train, rng) if rng.random() < 0.4 else train
        train = bent_outputs(train, rng) if train.outputs and rng.random() < 0.2 else train
        held = bent_limits(held, rng) if rng.random() < 0.25 else held
        if rng.random() < 0.1:
            bent_device(caps, rng)
        kohm = rng.choice([*[5.0] * 6, None, math.nan, 0.0, -1.0, 1e9, 0.1, 15.0])
        today = rng.choice([*[TODAY] * 8, "", "2027-06-01"])
        present = rng.choice([0.0, 0.0, math.nan, -1.0, 1.0, 1e308, 0.3])
        found = check(train, held, caps, Facts(today=today, impedance_kohm=kohm))
        found += check_slew(train, present, held)
        rows(held, caps)
        for reason in found:
            assert math.isfinite(reason.value) and math.isfinite(reason.limit), reason
            assert reason.text.isprintable() and len(reason.text) < 400, reason
        least = exact(present) or Fraction(0)
        other = objections(
            train,
            Circumstances(
                limits=held, capabilities=caps, today=today, simulated=True, impedance_kohm=kohm,
                least_ma_pp=max(least, Fraction(0)),
            ),
        )  # fmt: skip
        assert found or not other, (train, other)
        if not found:
            permitted += 1
            spends_what_can_be_told(train, held)
    assert permitted > CASES // 100


def spends_what_can_be_told(train: Train, limits: Limits) -> None:
    """Whatever a device says of its span and amplitude."""
    assert duration_ns(train) > 0 <= interval_after_ns(train, limits)
    for span_ns in (-1, 0, 1, 10**9, 10**15):
        for reached in (math.nan, -1.0, 0.0, 1e6, amplitude(train)):
            for spent in (exposure(train, span_ns, reached), heat(train, span_ns, reached, limits)):
                assert all(0 <= value < math.inf for value in msgspec.structs.astuple(spent))
