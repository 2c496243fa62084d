"""Histories for the tests: a participant who was never stimulated, and one with earlier sessions."""

from __future__ import annotations

from drivers.stimulation import Modality
from safety.exposures import NOTHING, plus
from safety.history import Course, History, Past, Stamp
from safety.modalities import Exposure

BOOT = "boot-1"
MADE_WALL_NS = 1_779_000_000_000_000_000


def history_with(*past: Past, vouched: bool = True, utc_offset_s: int = 0) -> History:
    """A history of these sessions, all of them in the course."""
    courses: dict[Modality, Course] = {}
    for each in past:
        before = courses.get(each.modality) or Course(modality=each.modality, spent=NOTHING, n_sessions=0)
        courses[each.modality] = Course(
            modality=each.modality, spent=plus(before.spent, each.spent), n_sessions=before.n_sessions + 1
        )
    return History(
        participant="P001",
        past=past,
        courses=tuple(courses.values()),
        last=Stamp(boot_id="an earlier boot", boot_ns=0, wall_ns=MADE_WALL_NS),
        boot_id=BOOT,
        vouched=vouched,
        utc_offset_s=utc_offset_s,
        store_seq=1 + 2 * len(past),
        store_head="1" * 64,
        site_head="2" * 64,
    )


NEW = history_with()


def past(
    last_wall_ns: int,
    modality: Modality = "tacs",
    *,
    on_time_s: float = 0.0,
    n_pulses: int = 0,
    lasted_ns: int = 0,
) -> Past:
    """A session that ended at a wall time."""
    return Past(
        modality=modality,
        first_wall_ns=last_wall_ns - lasted_ns,
        last_wall_ns=last_wall_ns,
        spent=Exposure(on_time_s=on_time_s, charge_c=0.0, n_pulses=n_pulses),
    )
