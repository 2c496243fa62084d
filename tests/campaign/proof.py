"""What a proof is: its cases, how often each is tried, one trial, and what a trial found."""

from __future__ import annotations

import functools
import importlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from sim.load import Load

ROOT = Path(__file__).resolve().parents[2]
Verdict = Literal["held", "late", "failed", "void"]
Number = int | float
# In the order in which they are run: what others stand on comes first.
PROOFS = (
    "kill",
    "stop",
    "stop-heavy",
    "exploration",
    "machine",
    "oracle",
    "unguarded",
    "mutation",
    "mutation-constants",
    "ledger",
    "fuzz",
    "nuisance",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a proof. A bar is in units: trials, or what a trial counts in `n` (requests, steps, seconds).

    `bound` is what the 99th percentile of `measure` may be; a trial beyond it is *late*, and that alone fails no row.
    """

    name: str
    short: int
    long: int
    unit: str = "trials"
    measure: str = ""
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial found. `void`: it proves nothing, and must be told apart from both answers."""

    verdict: Verdict = "held"
    text: str = ""
    measured: Mapping[str, Number | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One proof. `run(case, seed)` is one trial, in a worker's process; the same seed is the same trial.

    `code` names what a case was tried on: results of another digest count no more. Without it every result counts,
    whatever the commit, and the report says how many are of the present one. `stands`: whether what a result rests on
    is still as it was, where that is known of each alone.
    """

    name: str
    title: str
    cases: Callable[[], Sequence[Case]]
    run: Callable[[str, int], Outcome]
    load: Load = "none"
    timeout_s: float = 60.0
    code: Callable[[str], str] | None = None
    stands: Callable[[Result], bool] | None = None
    seeds: Callable[[str], Sequence[int]] | None = None  # where a case is a list to its end: mutants, guards


class Void(Exception):
    """This trial proves nothing, for this reason: neither yes nor no."""


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the results."""

    proof: str
    case: str
    seed: int
    commit: str
    date: str
    outcome: Verdict
    text: str = ""
    code: str = ""
    measured: dict[str, int | float | str] = {}

    @property
    def n(self) -> int:
        """How many units of its case's bar this trial counts for."""
        return int(self.measured.get("n", 1))


def proof(name: str) -> Proof:
    """The proof of this name; its module is imported now, for some are costly."""
    found = importlib.import_module(f"tests.campaign.proofs.{name.replace('-', '_')}").PROOF
    if not isinstance(found, Proof) or found.name != name:
        raise TypeError(f"tests/campaign/proofs: {name} is no proof of that name")
    return found


@functools.cache
def commit() -> str:
    """The commit that is tried, with a + where the tree differs from it."""
    head = subprocess.run(
        ["git", "describe", "--always", "--abbrev=9", "--exclude=*", "--dirty=+"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return head.stdout.strip() or "unknown"
