"""The outputs of a current: known, named once, with signed shares that balance; no current without its way back."""

from __future__ import annotations

from fractions import Fraction
from operator import eq

from drivers.capabilities import Capabilities
from drivers.stimulation import Train
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities.bounds import as_float, exact, is_plain, shown
from safety.modalities.reasons import OUTPUTS, reason
from safety.remembering import Remembered

SHARE_TOLERANCE = Fraction(1, 10**9)  # own choice: thirds have no decimal; far below what any device can set


Shares = tuple[tuple[str, float, type], ...]


def shares_of(train: Train) -> Shares:
    """Name, share and its type of each output: by which of them are the same, for True is no 1.0."""
    return tuple((output.name, output.share, type(output.share)) for output in train.outputs)


def check_outputs(train: Train, limits: Limits, caps: Capabilities) -> list[Reason]:
    """Each contact known to the file and to the device, named once, with a share; shares that balance."""
    if len(train.outputs) > len(limits.contacts):  # before any of them costs time
        detail = f"{len(train.outputs)} outputs, limits.toml has {len(limits.contacts)} contacts"
        return [reason(OUTPUTS, detail, set_by="protocol")]
    return list(_outputs(limits, (shares_of(train), caps.outputs)))


def _check_shares(limits: Limits, given: tuple[Shares, tuple[str, ...]]) -> tuple[Reason, ...]:
    shares, plugged = given
    names = [name for name, _, _ in shares]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    unlisted = [name for name in dict.fromkeys(names) if limits.contact(name) is None]
    unplugged = [name for name in dict.fromkeys(names) if name not in plugged]
    unshared = [name for name, share, _ in shares if not is_share(share)]
    reasons = [
        reason(OUTPUTS, f"{what}: {listed(wrong)}", set_by=set_by)
        for what, wrong, set_by in (
            ("named more than once", twice, ""),
            ("not in limits.toml", unlisted, "protocol"),
            ("not on the device", unplugged, "device"),
            ("share is 0 or no number", unshared, ""),
        )
        if wrong
    ]
    return tuple(reasons if unshared else reasons + _check_balance(shares))


_outputs = Remembered(_check_shares, eq)  # a policy changes the amplitude, and not the contacts


def _check_balance(outputs: Shares) -> list[Reason]:
    """The shares sum to zero, and what goes in is the whole amplitude."""
    reasons = []
    shares = [exact(share) for _, share, _ in outputs]
    balance = sum(shares, Fraction(0))
    if not abs(balance) <= SHARE_TOLERANCE:
        text = f"shares sum to {as_float(balance):.10g}, expected 0"
        reasons.append(reason(OUTPUTS, text, value=as_float(balance)))
    total = sum((max(share, Fraction(0)) for share in shares), Fraction(0))
    if not abs(total - 1) <= SHARE_TOLERANCE:
        text = f"positive shares sum to {as_float(total):.10g}, expected 1"
        reasons.append(reason(OUTPUTS, text, value=as_float(total), limit=1.0))
    return reasons


def listed(names: list[str]) -> str:
    """A few of the names on one short line."""
    return ", ".join(shown(name) for name in names[:4]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )


def is_share(share: float) -> bool:
    """Whether an output carries a part of the amplitude that can be told."""
    return is_plain(share, integer=False) and share != 0
