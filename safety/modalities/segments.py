"""A train that outlasts every lease: segments, each a request of its own, that are accounted as one train.

Each segment ends by itself and is permitted as any other train is, on evidence of its own moment. What went out before it
stands in `Segments`, so that all of them together are held to the limits of one train.
"""

from __future__ import annotations

from drivers.stimulation import Train, Value
from safety.limit_values import Limits
from safety.messages import Reason


class Segments(Value, frozen=True):
    """What a train has had so far: its last segment, the bursts of all since its first onset, when the next burst would be
    due, and until when a segment may begin that goes on with it."""

    train: Train
    bursts: int
    began_ns: int
    due_ns: int
    until_ns: int


def no_segments(before: Segments | None, train: Train, onset_ns: int) -> Segments | None:
    """A train that is whole in one request."""
    return None


def never_goes_on(before: Segments, train: Train, start_ns: int, limits: Limits) -> tuple[Reason, ...] | None:
    """Every train is one of its own."""
    return None
