"""What was worked out of values that stay for a whole session, remembered by identity. Pure to whoever asks.

A frozen value is the same for as long as it is the same object, so looking is enough; comparing or hashing limits and
histories with every request would take longer than working it out. A small value that is made anew may be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Generic, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")
Made = TypeVar("Made")


class Remembered(Generic[First, Second, Made]):
    """A function of two frozen values that keeps its last result, and the values that it is of. `same` tells whether
    the second is the one that it was."""

    def __init__(
        self, make: Callable[[First, Second], Made], same: Callable[[Second, Second], bool] = operator.is_
    ) -> None:
        self._make = make
        self._same = same
        self._last: tuple[First, Second, Made] | None = None

    def __call__(self, first: First, second: Second) -> Made:
        last = self._last
        if last is not None and last[0] is first and self._same(last[1], second):
            return last[2]
        made = self._make(first, second)
        self._last = (first, second, made)
        return made
