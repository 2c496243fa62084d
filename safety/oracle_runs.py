"""Holds without a pause between them, by the second hand: how long they last, what charge they have, and how long nothing
follows them.

Gunter 2019: a nerve is stimulated for less than half of the time. Of a cycle of on and off that is a rest longer than what
went before it. That half an hour is the longest is an own choice. What came out is taken as it was told, so this is never
stricter than what counts all that was granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from drivers.stimulation import Hold, Modality
from safety.limit_values import Limits
from safety.oracle_carriers import charge_c
from safety.oracle_course import CLOCKS_NS, MS, Course, S, union
from safety.oracle_numbers import F, exact, said

RUN_S: Mapping[Modality, Fraction] = {"pns": F(1800)}


@dataclass(slots=True, kw_only=True)
class Runs:
    """The hold that began last, when the first of those without a pause before it did, and what was told of them all."""

    limits: Limits
    last: Course | None = None
    began_ns: int = 0
    told_ma_ns: Fraction = Fraction(0)

    def begin(self, course: Course, onset_ns: int) -> None:
        """A hold has begun: of the same run, or of another where the one before was over."""
        if not self._goes_on(onset_ns):
            self.began_ns, self.told_ma_ns = onset_ns, F(0)
        self.last, course.run_ns = course, self.began_ns

    def tell(self, course: Course, ma_ns: Fraction) -> None:
        """What came out of a hold."""
        if course.run_ns == self.began_ns:
            self.told_ma_ns += ma_ns

    def against(self, asked: Course, onset_ns: int) -> Iterator[str]:
        """What speaks against a hold that begins after, or takes over from, the one before."""
        longest, wave = RUN_S.get(self.limits.modality), asked.request.train.waveform
        rows = self._rows("on_time_s")
        if not isinstance(wave, Hold) or (longest is None and not rows):
            return
        goes_on = self._goes_on(onset_ns)
        if longest is not None and self.last is not None and not goes_on:
            on_ns, off_ns = self._over_ns(self.last) - self.began_ns, onset_ns - self._over_ns(self.last)
            if off_ns + CLOCKS_NS <= on_ns:
                yield f"off for {said(F(off_ns, S))} s after {said(F(on_ns, S))} s without a pause"
        most = min(rows, default=F(0))
        most = most if longest is None else min(longest, most)
        lasts_ns = onset_ns + (wave.duration_ms + wave.ramp_down_ms) * MS
        lasts_ns -= self.began_ns if goes_on else onset_ns
        if asked.target > 0 and lasts_ns > most * S:
            yield f"on_time_s: {said(F(lasts_ns, S))} s without a pause, of {said(most)}"

    def charged(self, asked: Course, onset_ns: int, out: Iterable[Course]) -> Iterator[str]:
        """What speaks against the charge of a hold, with that of those before it without a pause; `out`: all that are."""
        rows = self._rows("charge_c")
        if not rows or not isinstance(asked.request.train.waveform, Hold) or asked.target == 0:
            return
        goes_on = self._goes_on(onset_ns)
        mine = [each for each in out if each is asked or (goes_on and each.run_ns == self.began_ns)]
        _, ma_ns = union(each for course in mine for each in course.outstanding())
        spent = charge_c(ma_ns + self.told_ma_ns if goes_on else ma_ns)
        if spent > min(rows):
            yield f"charge_c: {said(spent)} without a pause, of {said(min(rows))}"

    def _rows(self, name: str) -> list[Fraction]:
        """The budgets of a train; one that is no number allows nothing."""
        held = [row for row in self.limits.budgets if (row.scope, row.name) == ("train", name)]
        return [exact(row.high) or F(0) for row in held]

    def _goes_on(self, onset_ns: int) -> bool:
        return self.last is not None and onset_ns <= self._over_ns(self.last) + CLOCKS_NS

    def _over_ns(self, course: Course) -> int:
        """Its end as the device told it, else when it must be over."""
        return course.over_ns if course.ended_ns is None else course.ended_ns
