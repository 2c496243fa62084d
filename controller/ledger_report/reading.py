"""A ledger file, read and verified once, with everything that the page is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.finished.ledger import RunLedger, limits_in_force, line_of, read_ledger
from controller.finished.values import LimitLine
from controller.ledger_report.facts import seconds
from safety.entries import Entry, Genesis
from safety.verify import Verdict, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """`ledger` is what the run's own report knows of it; `entries` are those that could be read."""

    verdict: Verdict
    ledger: RunLedger
    entries: Sequence[Entry]
    limits: Sequence[LimitLine]

    @property
    def genesis(self) -> Genesis | None:
        return self.ledger.genesis

    @property
    def span_s(self) -> float:
        """From the first entry to the last."""
        return max(0.001, self.at_s(self.ledger.end_ns))

    @property
    def trips(self) -> list[tuple[float, str, str]]:
        """Seconds, code and text of each trip."""
        return [(self.at_s(at.t_ns), at.code, at.text) for at in self.ledger.phases if at.phase == "TRIPPED"]

    def at_s(self, mono_ns: int) -> float:
        """Seconds since the first entry; NaN for what no clock says."""
        return math.nan if self.genesis is None else seconds(mono_ns, self.genesis)


def material_of(path: Path, verdict: Verdict) -> Material:
    """Read what was verified; raises LedgerUnreadable."""
    lines, _, _ = read(path)
    ledger = read_ledger(path, line_of(verdict))
    return Material(
        verdict=verdict,
        ledger=ledger,
        entries=[line.held for line in lines if isinstance(line.held, Entry)],
        limits=limits_in_force(ledger),
    )
