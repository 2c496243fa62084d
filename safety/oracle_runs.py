"""Holds without a pause between them, by the second hand: how long they last, and how long nothing follows them.

Gunter 2019: a nerve is stimulated for less than half of the time. Of a cycle of on and off that is a rest longer than what
went before it. That half an hour is the longest is an own choice. What came out is taken as it was told, so this is never
stricter than what counts all that was granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from drivers.stimulation import Hold, Modality
from safety.limit_values import Limits
from safety.oracle_course import CLOCKS_NS, MS, Course, S
from safety.oracle_numbers import F, exact, said

RUN_S: Mapping[Modality, Fraction] = {"pns": F(1800)}


@dataclass(slots=True, kw_only=True)
class Runs:
    """The hold that began last, and when the first of those without a pause before it did."""

    limits: Limits
    last: Course | None = None
    began_ns: int = 0

    def begin(self, course: Course, onset_ns: int) -> None:
        """A hold has begun: of the same run, or of another where the one before was over."""
        if not self._goes_on(onset_ns):
            self.began_ns = onset_ns
        self.last = course

    def against(self, asked: Course, onset_ns: int) -> Iterator[str]:
        """What speaks against a hold that begins after, or takes over from, the one before."""
        longest, wave = RUN_S.get(self.limits.modality), asked.request.train.waveform
        if longest is None or not isinstance(wave, Hold):
            return
        goes_on = self._goes_on(onset_ns)
        if self.last is not None and not goes_on:
            on_ns, off_ns = self._over_ns(self.last) - self.began_ns, onset_ns - self._over_ns(self.last)
            if off_ns + CLOCKS_NS <= on_ns:
                yield f"off for {said(F(off_ns, S))} s after {said(F(on_ns, S))} s without a pause"
        rows = [
            exact(row.high) for row in self.limits.budgets if (row.scope, row.name) == ("train", "on_time_s")
        ]
        most = min(longest, *(F(0) if row is None else row for row in rows)) if rows else F(0)
        lasts_ns = onset_ns + (wave.duration_ms + wave.ramp_down_ms) * MS
        lasts_ns -= self.began_ns if goes_on else onset_ns
        if asked.target > 0 and lasts_ns > most * S:
            yield f"on_time_s: {said(F(lasts_ns, S))} s without a pause, of {said(most)}"

    def _goes_on(self, onset_ns: int) -> bool:
        return self.last is not None and onset_ns <= self._over_ns(self.last) + CLOCKS_NS

    def _over_ns(self, course: Course) -> int:
        """Its end as the device told it, else when it must be over."""
        return course.over_ns if course.ended_ns is None else course.ended_ns
