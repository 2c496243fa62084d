"""What a device lacks, and what it then needs: a table, each row a permissive of its own. Pure.

A device can do without what something else does for it: the relay is the second way to zero, a shorter lease bounds what a
device that ends or tells nothing can put out too long. Where nothing stands in, it is not armed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Literal, assert_never

from drivers.capabilities import Capabilities, Lack
from drivers.stimulation import Value
from safety.limit_values import Limits
from safety.messages import Row

# Own choices. A stop that the interlock sends at the end of a lease is late by a tick and the link at most: with half
# the longest lease, what goes out is still within the lease that any other device would have had.
SHORT_LEASE_MS = 250
COARSE_NS = 50_000_000  # as `firing.ONSET_SLACK_NS`: a later onset trips as one that nobody permitted

Met = Literal["relay", "short_lease", "no_impedance_limit", "nothing"]


class Need(Value, frozen=True):
    """A capability that may be missing; all of `by` must hold in its place."""

    code: str
    lack: Lack
    by: tuple[Met, ...]


NEEDS: tuple[Need, ...] = (
    Need(code="ILK-421", lack="ends_by_itself", by=("relay", "short_lease")),
    Need(code="ILK-422", lack="stops_on_link_loss", by=("relay",)),
    Need(code="ILK-423", lack="reads_back", by=("relay",)),
    Need(code="ILK-424", lack="confirms", by=("relay", "short_lease")),
    Need(code="ILK-425", lack="measures_impedance", by=("no_impedance_limit",)),
    Need(code="ILK-426", lack="exact_onset", by=("nothing",)),
)
IN_WORDS: dict[Met, str] = {
    "relay": "a watchdog relay with feedback",
    "short_lease": f"holds of at most {SHORT_LEASE_MS} ms",
    "no_impedance_limit": "a modality without a limit of impedance",
    "nothing": "another device: nothing stands in",
}


def unmet(limits: Limits, caps: Capabilities, rows: tuple[Row, ...]) -> Iterator[tuple[str, str]]:
    """The code of each need that is not met, and what would have to be. What puts nothing out needs nothing."""
    if caps.driver == "null":
        return
    for need in NEEDS:
        if not _has(caps, need.lack):
            open_ = [IN_WORDS[each] for each in need.by if not _met(limits, rows, each)]
            if open_:
                yield need.code, f"needs {' and '.join(open_)}"


def would_refuse(limits: Limits, rows: tuple[Row, ...]) -> Iterator[tuple[Need, str]]:
    """Of each need what this limits file leaves open, for whoever chooses a device; empty where it is met."""
    for need in NEEDS:
        yield need, " and ".join(IN_WORDS[each] for each in need.by if not _met(limits, rows, each))


def needs_of(lacks: Collection[Lack]) -> tuple[Need, ...]:
    """The rows of what a device lacks, for whoever chooses a driver."""
    return tuple(need for need in NEEDS if need.lack in lacks)


def _has(caps: Capabilities, lack: Lack) -> bool:
    match lack:
        case "ends_by_itself":
            return caps.ends_by_itself
        case "stops_on_link_loss":
            return caps.stops_on_link_loss
        case "reads_back":
            return caps.reads_back
        case "confirms":
            return caps.confirms
        case "measures_impedance":
            return caps.measures_impedance
        case "exact_onset":
            return 0 <= caps.onset_latency_ns <= COARSE_NS
        case _:
            assert_never(lack)


_MET: dict[Met, Callable[[Limits, tuple[Row, ...]], bool]] = {
    "relay": lambda limits, rows: limits.relay.endpoint != "none",
    "short_lease": lambda limits, rows: any(
        row.quantity == "duration_ms" and row.high <= SHORT_LEASE_MS for row in rows
    ),
    "no_impedance_limit": lambda limits, rows: all(
        limit.quantity != "impedance_kohm" for limit in limits.rows
    ),
    "nothing": lambda limits, rows: False,
}


def _met(limits: Limits, rows: tuple[Row, ...], by: Met) -> bool:
    return _MET[by](limits, rows)
