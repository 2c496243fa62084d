"""The sign of the response: what the biomarker is under stimulation, against what it was without. Pure.

Each Request carries the response that it acts on, and nothing else does: so all that is judged here stands in the
ledger. While nothing acts, the mean of a window is the reference. While output acts, a window whose mean lies more
than the dead band on the wrong side of the reference counts one; one that does not takes one off, and so does rest.
At `windows_refuse` no increase is permitted, at `windows_trip` it trips. Too much stimulation can do the opposite of
what was meant (Afshar 2013, fncir.2012.00117: moderate stimulation cut hippocampal beta, high brought after-discharge).
"""

from __future__ import annotations

import msgspec

from drivers.stimulation import Value
from safety.limit_values import ResponseLimits

RESPONSE_MAX = 1e12  # own choice: no biomarker is as large in any unit, and sums of such numbers stay finite


class Response(Value, frozen=True):
    """The window that runs, the reference, and the count. Output acts until a window after `output_until_ns`."""

    reference: float | None = None
    begun_ns: int = 0
    total: float = 0.0
    n: int = 0
    acting: bool = False
    wrong: int = 0
    output_until_ns: int = 0


def is_response(value: float) -> bool:
    """Whether it is a number that a response can be: NaN never, infinity never."""
    return -RESPONSE_MAX <= value <= RESPONSE_MAX


def put_out(seen: Response, until_ns: int) -> Response:
    """Output was begun whose lease ends at `until_ns`."""
    return msgspec.structs.replace(seen, output_until_ns=max(seen.output_until_ns, until_ns))


def note(limits: ResponseLimits, seen: Response, value: float, mono_ns: int) -> Response:
    """Take the response of a request in; it may end a window."""
    window_ns = limits.window_ms * 1_000_000
    acting = seen.output_until_ns > 0 and mono_ns <= seen.output_until_ns + window_ns
    full = mono_ns - seen.begun_ns >= window_ns
    if seen.n > 0 and (full or acting != seen.acting):
        seen = _close(limits, seen, full=full)
    if seen.n == 0:
        seen = msgspec.structs.replace(seen, begun_ns=mono_ns, acting=acting)
    return msgspec.structs.replace(seen, total=seen.total + value, n=seen.n + 1)


def _close(limits: ResponseLimits, seen: Response, *, full: bool) -> Response:
    """The end of a window. What was cut short by the end of output says nothing of its sign."""
    over = msgspec.structs.replace(seen, total=0.0, n=0)
    mean = seen.total / seen.n
    if seen.acting and not full:
        return over
    better = msgspec.structs.replace(over, wrong=max(0, seen.wrong - 1))
    if not seen.acting or seen.reference is None:
        return msgspec.structs.replace(better, reference=mean)
    worse_by = mean - seen.reference if limits.expected == "falls" else seen.reference - mean
    return msgspec.structs.replace(over, wrong=seen.wrong + 1) if worse_by > limits.dead_band else better


def refuses_increase(limits: ResponseLimits, seen: Response) -> bool:
    """Whether so many windows were of the wrong sign that nothing may rise."""
    return seen.wrong >= limits.windows_refuse


def must_trip(limits: ResponseLimits, seen: Response) -> bool:
    """Whether so many windows were of the wrong sign that output must end."""
    return seen.wrong >= limits.windows_trip
