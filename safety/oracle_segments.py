"""How soon a train may follow another, by the second hand: after the interval, or at once as the next segment of it. What
one train may spend, with all its segments so far, and one pulse of it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from drivers.stimulation import Hold
from safety.limit_values import Limits
from safety.oracle import interval_s, joins, spent_by, too_long
from safety.oracle_carriers import groups
from safety.oracle_course import Course, S
from safety.oracle_numbers import exact, said

STRETCH = Fraction(21, 20)  # own choice: what the joints may add to a train, a twentieth of it
QUOTIENTS = 1 + Fraction(1, 10**9)  # own choice: what a pulse spends is told as a quotient of floats


def too_soon(before: Course, asked: Course, onset_ns: int, limits: Limits) -> Iterator[str]:
    """What speaks against an onset, after the train that was fired last. A segment is of that train only within one period
    of its bursts from when the next would be due; all its segments together are then held as one. One that was stopped is
    over. `asked` learns how many bursts went before it."""
    asked.joined, asked.joined_ns = 0, None
    ended_ns = before.zero_ns if before.ended_ns is None else before.ended_ns
    least = interval_s(before.request.train, asked.request.train, limits)
    if least is not None and onset_ns - ended_ns >= least * S:
        return
    had, _, rate_hz = groups(before.request.train.waveform)
    more, _, _ = groups(asked.request.train.waveform)
    due_ns = before.begins_ns + before.lasts_ns
    in_time = (
        not before.stop_ns and rate_hz is not None and rate_hz > 0 and 0 <= (onset_ns - due_ns) * rate_hz <= S
    )
    if rate_hz is None or not in_time or not joins(before.request.train, asked.request.train):
        yield f"{said(Fraction(onset_ns - ended_ns, S))} s after the end of the last train"
        return
    asked.joined = before.joined + had
    asked.joined_ns = before.begins_ns if before.joined_ns is None else before.joined_ns
    yield from too_long((asked.joined + more) / rate_hz, limits)
    lasts_s = Fraction(onset_ns - asked.joined_ns, S) + more / rate_hz
    yield from (f"with its joints, {each}" for each in too_long(lasts_s / STRETCH, limits))


def of_one_train(asked: Course, limits: Limits) -> Iterator[str]:
    """What speaks against a train that ends by its number, by the budgets of one train and of one pulse. One that is no
    number allows nothing."""
    train = asked.request.train
    had, _, _ = groups(train.waveform)
    if isinstance(train.waveform, Hold):
        return
    spent = {
        "on_time_s": Fraction(asked.lasts_ns, S),
        "n_pulses": Fraction(asked.pulses_asked),
        **spent_by(train, asked.lasts_ns, limits),
    }
    parts = {
        "train": 1 + Fraction(asked.joined, max(1, had)),
        "pulse": 1 / (max(1, asked.pulses_asked) * QUOTIENTS),
    }
    for row in limits.budgets:
        part, whole, most = parts.get(row.scope), spent.get(row.name), exact(row.high) or Fraction(0)
        if part is not None and whole is not None and whole * part > most:
            yield f"{row.name} of a {row.scope}: {said(whole * part)} of {said(most)}"
