"""The oracle's own account of earlier sessions: windows, gaps and wash-out, from the Genesis alone, in exact rationals.

An earlier session counts in a window until all of the window lies behind its end. What a session spends here is the
oracle's own sum, never the interlock's reservation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from drivers.stimulation import Modality
from safety.history import Course, History, Past
from safety.limit_values import Limits
from safety.oracle_numbers import F, exact

S = 1_000_000_000
DAY_NS = 24 * 3600 * S
LONG: Mapping[str, int | None] = {"24h": DAY_NS, "7d": 7 * DAY_NS, "course": None}  # None: it never ends
QUANTITIES = ("on_time_s", "charge_c", "n_pulses", "cem43_brain_min", "cem43_bone_min", "cem43_skin_min")
Rows = Mapping[tuple[str, str], Fraction]
# Antal et al. 2026: 60 min a day. More than days: own choices.
TES: Rows = {
    ("24h", "on_time_s"): F(3600),
    ("7d", "on_time_s"): F(7 * 3600),
    ("course", "on_time_s"): F(30 * 3600),
    ("24h", "n_sessions"): F(4),
}
# Anderson et al. 2006: 12,960 pulses a day, 38,880 in a week. Cole et al. 2020: ten sessions a day on five days. Cleared
# course: thirty sessions of 3,000.
RTMS: Rows = {
    ("24h", "n_pulses"): F(12_960),
    ("7d", "n_pulses"): F(38_880),
    ("course", "n_pulses"): F(90_000),
    ("24h", "n_sessions"): F(10),
    ("course", "n_sessions"): F(50),
}
# An implanted lead may be on all day; eight sessions are an own choice. Gunter 2019: a peripheral nerve below half the time.
LEAD: Rows = {
    ("24h", "on_time_s"): F(86_400),
    ("7d", "on_time_s"): F(604_800),
    ("24h", "n_sessions"): F(8),
}
MOST: Mapping[Modality, Rows] = {
    "tacs": TES,
    "tdcs": TES,
    "trns": TES,
    "rtms": RTMS,
    # Blocks of 600 pulses, ten a day on five days.
    "tbs": {
        **RTMS,
        ("24h", "n_pulses"): F(6000),
        ("7d", "n_pulses"): F(30_000),
        ("course", "n_pulses"): F(30_000),
    },
    # Own choice: three trains of 600 pulses a day.
    "ctbs": {
        ("24h", "n_pulses"): F(1800),
        ("7d", "n_pulses"): F(9000),
        ("course", "n_pulses"): F(30_000),
        ("24h", "n_sessions"): F(3),
        ("course", "n_sessions"): F(50),
    },
    "dbs": LEAD,
    "scs": LEAD,
    "drg": LEAD,
    "pns": {**LEAD, ("24h", "on_time_s"): F(43_200), ("7d", "on_time_s"): F(302_400)},
    # Liebano et al. 2011: the same dose is without effect on the fourth or fifth day.
    "tens": {("24h", "on_time_s"): F(14_400), ("24h", "n_sessions"): F(4), ("in_a_row", "n_days"): F(3)},
    # ITRUSST v3: 2, 16 and 21 CEM43. The longest time that a table of TI allows with no more than 2: 80 min.
    "tus": {
        ("24h", "on_time_s"): F(4800),
        ("24h", "cem43_brain_min"): F(2),
        ("24h", "cem43_bone_min"): F(16),
        ("24h", "cem43_skin_min"): F(21),
    },
}
# Three blocks back to back lowered excitability (fnins.2020.00576): half an hour; tDCS after 25 min did better than after 5.
GAP_S: Mapping[Modality, Fraction] = {
    **dict.fromkeys(("tacs", "tdcs", "trns"), F(1500)),
    **dict.fromkeys(("rtms", "tbs", "tens", "tus"), F(1800)),
    "ctbs": F(3600),  # Huang et al. 2005: 600 pulses act for an hour
    **dict.fromkeys(("dbs", "scs", "drg"), F(300)),
    "pns": F(1800),  # as long as the longest time without a pause, whose half it is
}
WASHOUT_S = F(86_400)  # own choice: a day before another modality
COURSE_GAP_NS = 7 * DAY_NS  # own choice: a week between two courses, so that no 7 days hold parts of both
SUMS = 1 + F(1, 10**9)  # own choice: courses are sums of floats, of hundreds of sessions at the most


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What earlier sessions leave to this one."""

    limits: Limits
    history: History

    def unsound(self) -> Iterator[str]:
        """What the courses of the Genesis cannot be beside its sessions: begun too soon, or counting less than was seen."""
        for course in self.history.courses:
            sessions = [each for each in self.history.past if each.modality == course.modality]
            what = f"course {course.number} of {course.modality}"
            since_ns = course.since_wall_ns if course.number > 1 else None
            if course.number < 1:
                yield f"{what}: expected 1 or more"
            before = [each for each in sessions if since_ns is not None and each.last_wall_ns < since_ns]
            for each in before:
                if since_ns is not None and since_ns - each.last_wall_ns < COURSE_GAP_NS:
                    yield f"{what}: begun {float(F(since_ns - each.last_wall_ns, S)):.9g} s after an output before it"
            inside = [each for each in sessions if each not in before]
            if len(inside) > course.n_sessions:
                yield f"{what}: {course.n_sessions} sessions, at least {len(inside)} were seen"
            for name in QUANTITIES:
                told, seen = _sum([course], name), _sum(inside, name)
                if told is None or seen is None or seen > told * SUMS:
                    yield f"{what}: {name} is less than that of its sessions, or no number"
        missed = {each.modality for each in self.history.past} - {
            each.modality for each in self.history.courses
        }
        yield from (f"sessions of {each} in no course" for each in sorted(missed))

    def over(self, used: Mapping[str, Fraction], wall_ns: int) -> Iterator[str]:
        """Each row of a longer scope that earlier sessions and this one exceed together; a missing row allows nothing."""
        modality = self.limits.modality
        asked = {**MOST[modality]}
        for row in self.limits.budgets:
            if row.scope in LONG or row.scope == "in_a_row":
                high = exact(row.high)
                key = (row.scope, row.name)
                asked[key] = F(0) if high is None else min(high, asked.get(key, high))
        known = {(row.scope, row.name) for row in self.limits.budgets}
        for (scope, name), high in asked.items():
            most = high if (scope, name) in known else F(0)
            spent = self._before(scope, name, wall_ns)
            now = F(1) if name in ("n_sessions", "n_days") else used.get(name, F(0))
            if spent is None or spent + now > most:
                yield f"{name} in {scope}: {'no number' if spent is None else float(spent + now)} of {float(most)}"

    def _before(self, scope: str, name: str, wall_ns: int) -> Fraction | None:
        """What earlier sessions count for."""
        modality = self.limits.modality
        if name == "n_days":
            return F(self._days_before(wall_ns))
        if scope == "course":
            courses = [each for each in self.history.courses if each.modality == modality]
            if name == "n_sessions":
                return F(sum(each.n_sessions for each in courses))
            return _sum(courses, name)
        window_ns = LONG[scope] or 0
        inside = [
            each
            for each in self.history.past
            if each.modality == modality and wall_ns - each.last_wall_ns < window_ns
        ]
        return F(len(inside)) if name == "n_sessions" else _sum(inside, name)

    def _days_before(self, wall_ns: int) -> int:
        """The days with output that end with yesterday, none left out."""
        offset_ns = self.history.utc_offset_s * S
        seen = set()
        for each in self.history.past:
            if each.modality == self.limits.modality:
                first, last = ((at + offset_ns) // DAY_NS for at in (each.first_wall_ns, each.last_wall_ns))
                seen |= set(range(first, last + 1))
        day = (wall_ns + offset_ns) // DAY_NS - 1
        count = 0
        while day in seen:
            day, count = day - 1, count + 1
        return count

    def too_soon(self, onset_wall_ns: int) -> Iterator[str]:
        """What of gap and wash-out is not over at an onset."""
        modality = self.limits.modality
        rows: dict[str, Fraction | None] = {row.name: exact(row.low) for row in self.limits.spacing}
        for name, least_s, same in (("gap_s", GAP_S[modality], True), ("washout_s", WASHOUT_S, False)):
            row_s = rows.get(name)
            if row_s is None:
                yield f"{name}: no row says it"
                continue
            least_ns = max(row_s, least_s) * S
            for each in self.history.past:
                if (each.modality == modality) is same and onset_wall_ns - each.last_wall_ns < least_ns:
                    rest_s = F(onset_wall_ns - each.last_wall_ns, S)
                    yield f"{name}: {float(rest_s):.9g} s after a session of {each.modality}"


def day_at(history: History, wall_ns: int) -> str:
    """The calendar day of a wall time at the site, as ISO; the last there is where no calendar has it."""
    ordinal = date(1970, 1, 1).toordinal() + (wall_ns + history.utc_offset_s * S) // DAY_NS
    return date.fromordinal(min(max(ordinal, 1), date.max.toordinal())).isoformat()


def _sum(sessions: Iterable[Past | Course], name: str) -> Fraction | None:
    """A quantity of several exposures together; None where one of them is no number."""
    total = F(0)
    for each in sessions:
        value = exact(getattr(each.spent, name, 0))
        if value is None:
            return None
        total += value
    return total
