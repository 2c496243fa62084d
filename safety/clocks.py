"""Reading the machine's clocks, and its boot id: the only place in safety/ that does."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from safety.events import Now
from safety.history import Stamp


def now() -> Now:
    """Monotonic, boot and wall time, in that order, within a microsecond or so of one another."""
    return Now(
        mono_ns=time.monotonic_ns(),
        boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        wall_ns=time.time_ns(),
    )


def mono_ns() -> int:
    """The monotonic clock alone, for a stamp that decides nothing."""
    return time.monotonic_ns()


def boot_id() -> str:
    """The kernel's id of this boot: monotonic times of two boots cannot be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def today() -> str:
    """The local date, as ISO: limits and dated facts go by the site's calendar."""
    return datetime.datetime.now().astimezone().date().isoformat()


def utc() -> str:
    """The wall time in words, for people; nothing is computed from it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def utc_offset_s() -> int:
    """How far the site's calendar is ahead of UTC."""
    offset = datetime.datetime.now().astimezone().utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def stamp() -> Stamp:
    """The wall clock beside the clock of this boot."""
    read = now()
    return Stamp(boot_id=boot_id(), boot_ns=read.boot_ns, wall_ns=read.wall_ns)
