"""Budgets that outlive a session: what earlier sessions spent, over rolling windows; gaps and wash-out. Pure.

The history is read from the participant's store before the session and stands in Genesis. Windows go by the wall clock:
what ended at E counts until E + 24 h, to the nanosecond, and from then on no more; a session counts whole until its end
has left the window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf, isfinite, nan, nextafter
from operator import attrgetter

import msgspec

from drivers.stimulation import Modality, Value
from safety.events import Now
from safety.exposures import NOTHING, spent_of
from safety.history import Course, History, Stamp
from safety.limit_values import Budget, Limits, Spacing
from safety.modalities import Exposure, budgets_of, spacing_of
from safety.modalities.bounds import as_float, exact, is_number
from safety.remembering import Remembered

DAY_NS = 86_400_000_000_000
WINDOW_NS = {"24h": DAY_NS, "7d": 7 * DAY_NS}
JUMP_NS = 2_000_000_000  # own choice: as far as the wall clock may be off within a boot
NEVER_NS = 2**62
SURELY = 1 - 1e-9  # of a budget: far more than two floats and their sum can err, and no dose that matters
NO_NUMBER = 2.0**62  # told of a sum that is none


class Session(Value, frozen=True):
    """What this session has spent so far: of its present pulse and train, and in all."""

    pulse: Exposure
    train: Exposure
    all: Exposure


NO_SESSION = Session(pulse=NOTHING, train=NOTHING, all=NOTHING)


class Exceeded(Value, frozen=True):
    """A budget and the sum that it does not allow."""

    budget: Budget
    total: float


def budgets_in_force(limits: Limits) -> tuple[Budget, ...]:
    """The file's budgets, and one that allows nothing for each that the modality declares and the file does not have."""
    known = {(each.scope, each.name) for each in limits.budgets}
    missing = (
        Budget(
            name=each.name,
            scope=each.scope,
            unit=each.unit,
            high=0.0,
            source="no budget is known: nothing is allowed",
            edition="",
            status="unverified",
        )
        for each in budgets_of(limits.modality)
        if (each.scope, each.name) not in known
    )
    return (*limits.budgets, *missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A budget, and what sessions before this one count against it: `sums[n]` is the sum of those from the n-th end on,
    None where it is no number, and `floats[n]` a float that is not below it: 0.0 is exactly nothing, NaN no number.
    `own` is what this session adds; up to `surely` floats alone show that it holds, by more than they can err, NaN where
    they never do: days are counted, not summed. `window_ns` is 0 where none rolls; `told`: a policy is told what is left
    of it."""

    budget: Budget
    window_ns: int
    ends: tuple[int, ...]
    sums: tuple[Fraction | None, ...]
    floats: tuple[float, ...]
    own: Callable[[Session], float]
    surely: float
    told: bool

    def before(self, now: Now) -> Fraction | None:
        return self.sums[self.first(now)]

    def first(self, now: Now) -> int:
        """The first session whose end has not left the window."""
        return bisect_right(self.ends, now.wall_ns - self.window_ns) if self.window_ns else 0


def _lines_of(limits: Limits, history: History) -> tuple[_Line, ...]:
    return tuple(_line_of(budget, limits.modality, history) for budget in budgets_in_force(limits))


def _line_of(budget: Budget, modality: Modality, history: History) -> _Line:
    past = sorted(
        (each for each in history.past if each.modality == modality), key=lambda each: each.last_wall_ns
    )
    if budget.scope == "course":
        sums = [_sum(_course(each, budget) for each in history.courses if each.modality == modality)]
    elif budget.scope in WINDOW_NS:
        tails = [*(past[n:] for n, _ in enumerate(past)), []]
        sums = [_sum(spent_of(each.spent, budget.name) for each in tail) for tail in tails]
    else:
        sums = [Fraction(0)]
    number = is_number(budget.high, integer=False)
    return _Line(
        budget=budget,
        window_ns=WINDOW_NS.get(budget.scope, 0),
        ends=tuple(each.last_wall_ns for each in past),
        sums=tuple(sums),
        floats=tuple(nan if each is None else _not_below(each) for each in sums),
        own=_own_of(budget),
        surely=budget.high * SURELY if number and budget.name != "n_days" else nan,
        told=number and budget.scope != "pulse" and budget.name not in ("n_sessions", "n_days"),
    )


def _not_below(total: Fraction) -> float:
    return 0.0 if total == 0 else nextafter(as_float(total), inf)


_lines = Remembered(_lines_of)


def _own_of(budget: Budget) -> Callable[[Session], float]:
    """What a session adds to a budget, as a function of its sums."""
    part = budget.scope if budget.scope in ("pulse", "train") else "all"
    if budget.name in ("n_pulses", "n_sessions", "n_days"):
        return lambda session: spent_of(getattr(session, part), budget.name)
    return attrgetter(f"{part}.{budget.name}")


def exceeded(limits: Limits, history: History, session: Session, now: Now) -> tuple[Exceeded, ...]:
    """Each budget that the session's sums exceed. A sum or a budget that is not a number is exceeded."""
    found = []
    for line in _lines(limits, history):
        before = line.floats[line.first(now)]
        if -inf < line.own(session) + before <= line.surely:
            continue
        budget = line.budget
        total = _total(line, limits.modality, history, session, now)
        if total is None or not is_number(budget.high, integer=False) or not total <= exact(budget.high):
            found.append(Exceeded(budget=budget, total=NO_NUMBER if total is None else as_float(total)))
    return tuple(found)


def total_of(
    budget: Budget, modality: Modality, history: History, session: Session, now: Now
) -> Fraction | None:
    """What counts against a budget at an instant; None where it is no number."""
    return _total(_line_of(budget, modality, history), modality, history, session, now)


def _total(line: _Line, modality: Modality, history: History, session: Session, now: Now) -> Fraction | None:
    if line.budget.name == "n_days":
        return Fraction(days_in_a_row(modality, history, now))
    before, own = line.before(now), line.own(session)
    return None if before is None or not is_number(own, integer=False) else before + exact(own)


def _sum(numbers: Iterable[float]) -> Fraction | None:
    """The sum of the decimals that the numbers mean; None where one of them is no number."""
    total = Fraction(0)
    for number in numbers:
        if not is_number(number, integer=False):
            return None
        total += exact(number)
    return total


def _course(course: Course, budget: Budget) -> float:
    return float(course.n_sessions) if budget.name == "n_sessions" else spent_of(course.spent, budget.name)


def days_in_a_row(modality: Modality, history: History, now: Now) -> int:
    """How many calendar days with output there would be without a day between, today among them."""
    days = {
        day
        for each in history.past
        if each.modality == modality
        for day in range(_day(history, each.first_wall_ns), _day(history, each.last_wall_ns) + 1)
    }
    today, count = _day(history, now.wall_ns), 1
    while today - count in days:
        count += 1
    return count


def _day(history: History, wall_ns: int) -> int:
    return (wall_ns + history.utc_offset_s * 1_000_000_000) // DAY_NS


def waits(limits: Limits, history: History, wall_ns: int) -> tuple[tuple[Spacing, int], ...]:
    """Each gap and wash-out that is not over at a wall time, with the ns that are left of it. One that the modality
    declares and the file does not have is never over."""
    rests = _rests(limits, history)
    if not rests:
        return ()
    return tuple(
        (spacing, NEVER_NS if over_ns is None else over_ns - wall_ns)
        for spacing, over_ns in rests
        if over_ns is None or over_ns > wall_ns
    )


def _rests_of(limits: Limits, history: History) -> tuple[tuple[Spacing, int | None], ...]:
    """Each gap and wash-out that runs, with the wall time at which it is over; None where that is never."""
    known = {each.name: each for each in limits.spacing}
    found: list[tuple[Spacing, int | None]] = []
    for declared in spacing_of(limits.modality):
        spacing = known.get(declared.name)
        if spacing is None or not is_number(spacing.low, integer=False):
            nothing = Spacing(
                name=declared.name, unit="s", low=0.0, source="", edition="", status="unverified"
            )
            found.append((spacing or nothing, None))
            continue
        last_ns = [
            each.last_wall_ns
            for each in history.past
            if (each.modality == limits.modality) == (spacing.name == "gap_s")
        ]
        if last_ns:
            found.append((spacing, max(last_ns) + ceil(exact(spacing.low) * 1_000_000_000)))
    return tuple(found)


_rests = Remembered(_rests_of)


def clock_trouble(history: History, now: Now) -> str:
    """The permissive that the clocks do not give, "" where they fit the store: a date that is wrong frees no budget."""
    if now.wall_ns < history.latest_wall_ns:
        return "ILK-411"
    stamp = Stamp(boot_id=history.boot_id, boot_ns=now.boot_ns, wall_ns=now.wall_ns)
    return set_since(history.last, stamp) or ("" if history.vouched or not history.past else "ILK-413")


def set_since(last: Stamp, now: Stamp) -> str:
    """What a wall clock says that was set back since `last`, or set at all within a boot; "" where it went on."""
    if now.wall_ns < last.wall_ns:
        return "ILK-411"
    moved_ns = (now.wall_ns - now.boot_ns) - (last.wall_ns - last.boot_ns)
    return "ILK-412" if last.boot_id == now.boot_id and not abs(moved_ns) <= JUMP_NS else ""


def binding(limits: Limits, history: History, session: Session, now: Now) -> tuple[tuple[Budget, float], ...]:
    """For each quantity the budget that has the least left, with what counts against it: what a policy must stay
    inside. The budget of a pulse begins anew with each, and counts do not change while a session runs."""
    least: dict[str, tuple[float, Budget, float]] = {}
    for line in _lines(limits, history):
        used = _used(line, limits.modality, history, session, now) if line.told else None
        if used is None:
            continue  # `exceeded` refuses it
        budget = line.budget
        left = budget.high - used
        if budget.name not in least or left < least[budget.name][0]:
            least[budget.name] = (left, budget, used)
    return tuple((budget, used) for _, budget, used in least.values())


def _used(line: _Line, modality: Modality, history: History, session: Session, now: Now) -> float | None:
    """What counts against a budget, as a float to be told; None where it is no number."""
    own = line.own(session)
    if line.floats[line.first(now)] == 0.0 and isfinite(own):
        return own
    total = _total(line, modality, history, session, now)
    return None if total is None else as_float(total)


def room(limits: Limits, history: History, now: Now) -> tuple[tuple[Budget, float], ...]:
    """Every budget that outlives a session, with what counts against it before the next one."""
    return tuple(
        (budget, as_float(total))
        for budget in budgets_in_force(limits)
        if budget.scope not in ("pulse", "train", "session")
        and (total := total_of(budget, limits.modality, history, NO_SESSION, now)) is not None
    )


def next_start_wall_ns(limits: Limits, history: History, now: Now) -> int | None:
    """The first wall time from now on at which a session may put out anything; None where no waiting makes one."""
    ends = [each.last_wall_ns for each in history.past]
    candidates = [now.wall_ns, *(now.wall_ns + left_ns for _, left_ns in waits(limits, history, now.wall_ns))]
    candidates += (end + window for end in ends for window in WINDOW_NS.values())
    tomorrow = _day(history, now.wall_ns) + 1
    candidates += (
        day * DAY_NS - history.utc_offset_s * 1_000_000_000 for day in (tomorrow, tomorrow + 1)
    )  # the day after a day without output begins a row anew
    for wall_ns in sorted(each for each in candidates if each >= now.wall_ns):
        then = msgspec.structs.replace(now, wall_ns=wall_ns)
        if not waits(limits, history, wall_ns) and all(
            _has_room(budget, limits.modality, history, then) for budget in budgets_in_force(limits)
        ):
            return wall_ns
    return None


def _has_room(budget: Budget, modality: Modality, history: History, now: Now) -> bool:
    """Whether a budget leaves a new session anything at all."""
    total = total_of(budget, modality, history, NO_SESSION, now)
    if total is None or not is_number(budget.high, integer=False):
        return False
    if budget.name == "n_days":
        return total <= exact(budget.high)  # today is among them
    return total < exact(budget.high)
