"""The oracle's own account of the response: how many windows went the wrong way, from the ledger alone, in rationals.

Where a rounding could decide, it decides for the interlock: an objection is never a matter of the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from safety.limit_values import ResponseLimits
from safety.oracle_numbers import exact

MS = 1_000_000
GREATEST = Fraction(10**12)  # own choice: no biomarker is as large
ROUNDING = Fraction(1, 10**9)  # own choice: far above what a sum of floats loses


@dataclass(slots=True, kw_only=True)
class Sign:
    """`until_ns`: the latest end of any lease above zero that was fired."""

    limits: ResponseLimits
    until_ns: int | None = None
    without: Fraction | None = None
    values: list[Fraction] = field(default_factory=list)
    since_ns: int = 0
    stimulated: bool = False
    against: int = 0
    band: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.band = exact(self.limits.dead_band) or Fraction(0)

    def fired(self, until_ns: int) -> None:
        """Output above zero was started; its lease ends then."""
        self.until_ns = until_ns if self.until_ns is None else max(self.until_ns, until_ns)

    def asked(self, response: float, now_ns: int) -> None:
        """A request and its response."""
        value = exact(response)
        if value is None or abs(value) > GREATEST:
            return
        span_ns = self.limits.window_ms * MS
        stimulated = self.until_ns is not None and now_ns - self.until_ns <= span_ns
        whole = now_ns >= self.since_ns + span_ns
        if self.values and (whole or stimulated is not self.stimulated):
            self._judge(whole)
            self.values = []
        if not self.values:
            self.since_ns, self.stimulated = now_ns, stimulated
        self.values.append(value)

    def _judge(self, whole: bool) -> None:
        mean = sum(self.values, Fraction(0)) / len(self.values)
        if self.stimulated and not whole:
            return
        by, slack = Fraction(0), Fraction(0)
        if not self.stimulated or self.without is None:
            self.without = mean
        else:
            change = mean - self.without
            by = change if self.limits.expected == "falls" else -change
            slack = ROUNDING * max(Fraction(1), abs(mean), abs(self.without))
        self.against = self.against + 1 if by > self.band + slack else max(0, self.against - 1)

    @property
    def forbids_more(self) -> bool:
        return self.against >= self.limits.windows_refuse

    @property
    def ends_it(self) -> bool:
        return self.against >= self.limits.windows_trip
