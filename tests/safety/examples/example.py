"""What the tests need of a modality: a valid limits file's own parts, a device, and a train that passes both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.capabilities import Envelope
from drivers.stimulation import Train

TODAY = "2026-06-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """`protocol` and `budgets` lie well inside the absolute bounds, and such that `train()` passes. `train` takes any
    quantity by its name, `outputs` and `modality`, and bends the valid train by them. `absolute`, `most` (by scope and
    name) and `least_gaps` say the modality's absolute bounds a second time: whoever changes one says so twice."""

    absolute: Mapping[str, tuple[float, float]]
    most: Mapping[tuple[str, str], float]
    least_gaps: Mapping[str, float]
    protocol: Mapping[str, Mapping[str, float]]
    budgets: Mapping[str, float]
    inputs: Mapping[str, Any]
    contacts: Mapping[str, Mapping[str, Any]]
    envelopes: Mapping[str, Envelope]
    outputs: tuple[str, ...]
    train: Callable[..., Train]
