"""Random files and trains near their limits, for the two hands to agree on; every modality of EXAMPLES joins by itself."""

from __future__ import annotations

import math
import random
from typing import Any

from drivers.capabilities import Capabilities
from drivers.stimulation import Modality, Output, Train, quantities
from safety.limits import Limits, load
from safety.modalities import Declared, quantities_of, rows, rules_of
from tests.safety.examples import EXAMPLES
from tests.safety.strategies import document, pulses, row, to_toml, valid_train

SHARES = (*((1.0, -1.0),) * 9, (-1.0, 1.0), (0.5, -0.5), (1.0, -0.5), (1.0 + 1e-8, -1.0), (2.0, -2.0))
THRESHOLDS = ("active_threshold_pct_mso", "motor_threshold_pct_mso")


def random_limits(modality: Modality, rng: random.Random) -> Limits:
    """A valid file with rows anywhere inside the absolute bounds, most of them wide."""
    doc = document(modality)
    for declared in quantities_of(modality):
        for layer in ("site", "protocol", "participant"):
            if layer != "protocol" and rng.random() > 0.15:
                continue
            wide = rng.random() < 0.85
            pair = sorted((_anywhere(declared, rng), _anywhere(declared, rng)))
            low, high = (declared.low, declared.high) if wide else pair
            ends = {"min": low, "max": high}
            if declared.sides != "both":
                ends = {declared.sides: ends[declared.sides]}
            doc[f"{layer}_limits"][declared.name] = row(declared, ends)
    for given in rules_of(modality).inputs:
        if given.name not in doc["inputs"]:
            continue  # of another choice
        at_hand = doc["inputs"][given.name]
        doc["inputs"][given.name] = rng.choice(
            [at_hand, at_hand, round(rng.uniform(given.low, given.high), 1)]
        )
    thresholds = [name for name in THRESHOLDS if name in doc["inputs"]]
    if len(thresholds) == 2 and rng.random() < 0.9:  # in the order that they have, or nothing passes at all
        found = sorted(doc["inputs"][name] for name in thresholds)
        doc["inputs"] |= dict(zip(thresholds, found, strict=True))
    return load(to_toml(doc))


def _anywhere(declared: Declared, rng: random.Random) -> float:
    if declared.integer:
        return rng.randint(int(declared.low), int(declared.high))
    drawn = round(rng.uniform(declared.low, declared.high), rng.choice([1, 2, 6, 17]))
    return float(min(declared.high, max(declared.low, drawn)))


def random_train(limits: Limits, caps: Capabilities, rng: random.Random) -> Train:
    """A train of which a few numbers lie at, near or beyond an end of what is permitted, or anywhere at all."""
    if limits.modality == "rtms" and rng.random() < 0.5:
        return _at_the_tables(rng, limits.inputs.motor_threshold_pct_mso or 0.0)
    valid = valid_train(limits.modality)
    effective = {found.quantity: found for found in rows(limits, caps)}
    asked: dict[str, Any] = {}
    for name, value in quantities(valid).items():
        low, high = effective[name].low, effective[name].high
        asked[name] = min(max(value, low), high) if rng.random() < 0.8 else _near(value, low, high, rng)
        if isinstance(value, int):
            asked[name] = int(asked[name])
    return EXAMPLES[limits.modality].train(**asked, outputs=_outputs(valid.outputs, rng))


def _near(value: float, low: float, high: float, rng: random.Random) -> float:
    """A number at an end, just inside, just outside, between, far off; a whole one where `value` is."""
    end = rng.choice([low, high])
    if isinstance(value, int):
        return rng.choice([int(end), int(end) - 1, int(end) + 1, rng.randint(0, 2 * int(high) + 1)])
    between = rng.uniform(min(low, high), max(low, high))
    towards = rng.choice([-math.inf, math.inf])
    return rng.choice(
        [end, math.nextafter(end, towards), round(between, 2), round(between), between, 1.1 * high, -between]
        + [math.nan] * (rng.random() < 0.1)
    )


def _outputs(outputs: tuple[Output, ...], rng: random.Random) -> tuple[Output, ...]:
    if len(outputs) != 2:
        return outputs
    pair = rng.choice(SHARES)
    return tuple(Output(name=each.name, share=share) for each, share in zip(outputs, pair, strict=True))


def _at_the_tables(rng: random.Random, threshold: float) -> Train:
    """At the edges of the tables' cells, which are no rows of a file."""
    pct = rng.choice([80, 90, 100, 105, 110, 115, 120, 130, 131])
    return pulses(
        rng.choice([float(round(threshold * pct / 100)), threshold * pct / 100, float(rng.randint(0, 101))]),
        float(rng.choice([1, 5, 10, 20, 25, 0.5, 12, round(rng.uniform(0, 27), 1)])),
        rng.choice([rng.randint(0, 60), rng.randint(0, 20), 5, 7, 8, 16, 24, 30, 50, rng.randint(1, 300)]),
    )
