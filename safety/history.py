"""What is known of a participant before a session: values only, read from the store, embedded whole in Genesis."""

from __future__ import annotations

import datetime
from functools import lru_cache

from drivers.stimulation import Modality, Value
from safety.modalities import Exposure


class Past(Value, frozen=True):
    """One earlier session with output: from its first to its last, and what it spent."""

    modality: Modality
    first_wall_ns: int
    last_wall_ns: int
    spent: Exposure


class Course(Value, frozen=True):
    """All earlier sessions of one modality since its present course began; the first began when the participant was
    made. `begun_by`: the officer whose act began it."""

    modality: Modality
    spent: Exposure
    n_sessions: int
    number: int = 1
    since_wall_ns: int = 0
    begun_by: str = ""


class Stamp(Value, frozen=True, array_like=True):
    """When the store was written to: the wall clock, and the clock of that boot, which nobody sets."""

    boot_id: str
    boot_ns: int
    wall_ns: int


class History(Value, frozen=True, cache_hash=True):
    """What is known of a participant before a session. `past` is every session that a window, a gap or a wash-out can
    still ask for. `last`: the last entry of the store that tells the time, `latest_wall_ns` the latest that any has;
    `vouched`: a named person vouches for the date of this boot. `utc_offset_s` makes calendar days of wall times. The heads
    anchor store and site in the ledger."""

    participant: str
    past: tuple[Past, ...]
    courses: tuple[Course, ...]
    last: Stamp
    boot_id: str
    vouched: bool
    utc_offset_s: int
    store_seq: int
    store_head: str
    site_head: str
    latest_wall_ns: int = 0


def date_of(history: History, wall_ns: int) -> str:
    """The site's calendar day at a wall time, as ISO; "" where no calendar has it."""
    return _date((wall_ns // 1_000_000_000 + history.utc_offset_s) // 86_400)


@lru_cache(maxsize=8)  # asked with every request, and another one a day
def _date(days: int) -> str:
    try:
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=days)).isoformat()
    except OverflowError:
        return ""
