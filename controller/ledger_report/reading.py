"""A ledger file, read and verified once, with everything that the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from controller.finished.ledger import RunLedger, is_trip, limits_in_force, line_of, read_ledger, trip_of
from controller.finished.values import LimitLine
from controller.ledger_report.facts import Greatest, greatest, seconds
from controller.ledger_report.words import utc
from safety.entries import Entry, Genesis
from safety.verify import Verdict, read


@dataclass(frozen=True, kw_only=True)
class Material:
    """`ledger` is what the run's own report knows of it; `entries` are those that could be read."""

    verdict: Verdict
    genesis: Genesis
    ledger: RunLedger
    entries: Sequence[Entry]
    limits: Sequence[LimitLine]

    @property
    def span_s(self) -> float:
        """From the first entry to the last."""
        return max(0.001, self.at_s(self.ledger.end_ns))

    @property
    def trips(self) -> list[tuple[float, str, str]]:
        """Seconds, code and text of each trip, and of what tripped while it was latched already."""
        latched = [
            (self.at_s(at.t_ns), at.code, at.text) for at in self.ledger.phases if at.phase == "TRIPPED"
        ]
        also = [
            (self.at_s(entry.now.mono_ns), *trip_of(effect))
            for entry in self.entries
            if entry.before == "TRIPPED"
            for effect in filter(is_trip, entry.effects)
        ]
        return sorted(latched + also)

    @cached_property
    def greatest(self) -> tuple[Greatest, ...]:
        """What was permitted and delivered at most, limit by limit."""
        ledger, rules = self.ledger, self.genesis.rules.limits
        return tuple(greatest(rules, ledger.capabilities, self.entries, ledger.slices, self.limits))

    def utc(self, at_s: float) -> str:
        """Time of day, UTC, so many seconds after the first entry and by its wall clock."""
        return utc(self.genesis.now.wall_ns, at_s)

    def at_s(self, mono_ns: int) -> float:
        """Seconds since the first entry; NaN for what no clock says."""
        return seconds(mono_ns, self.genesis)


def material_of(path: Path, verdict: Verdict) -> Material:
    """Read what was verified; raises LedgerUnreadable."""
    lines, _, _ = read(path)
    held = [line.held for line in lines]
    ledger = read_ledger(path, line_of(verdict))
    return Material(
        verdict=verdict,
        genesis=next(
            each for each in held if isinstance(each, Genesis)
        ),  # the first line is one, or it is no ledger
        ledger=ledger,
        entries=[each for each in held if isinstance(each, Entry)],
        limits=limits_in_force(ledger),
    )
