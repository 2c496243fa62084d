"""A named person's acts upon a participant's store: make it, confirm the date; and how a participant stands."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import clocks
from safety.admission import Refused
from safety.chained import BrokenChain
from safety.history import Stamp
from safety.limit_values import Budget, Limits, Person, Spacing
from safety.site import SITE_STATE, SiteError, state_directory
from safety.site_list import StoreError
from safety.store import append_confirmation, create, read_store, store_path
from safety.store_records import Created, DateConfirmed, StoreAct, history_of, signed_bytes
from safety.trips import PERMISSIVES
from safety.windows import clock_trouble, next_start_wall_ns, room, waits


def new_participant(
    directory: Path, limits: Limits, person: Person, key: Ed25519PrivateKey, reason: str
) -> Path:
    """Make the store of the limits' participant: the course begins. An officer's act; raises Refused."""
    if person.role != "officer":
        raise Refused(
            f"participant {limits.participant}: {person.name} is an {person.role}, expected an officer"
        )
    now = clocks.stamp()
    record = Created(stamp=now, act=_act("new", limits, person, key, reason, now))
    try:
        create(directory, record, limits.participant)
    except SiteError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename}: found {error.strerror}, expected the site's state directory; mend it"
        ) from error
    return store_path(directory, limits.participant)


def confirm_date(
    directory: Path, limits: Limits, person: Person, key: Ed25519PrivateKey, reason: str
) -> None:
    """A named person vouches for the wall clock of this machine since its start; raises Refused. A clock that is earlier
    than the store's last entry nobody can vouch for."""
    now = clocks.stamp()
    record = DateConfirmed(stamp=now, act=_act("confirm-date", limits, person, key, reason, now))
    try:
        append_confirmation(directory, record, limits.participant)
    except StoreError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename}: found {error.strerror}, expected the site's state directory; mend it"
        ) from error


def _act(
    kind: Literal["new", "confirm-date"],
    limits: Limits,
    person: Person,
    key: Ed25519PrivateKey,
    reason: str,
    now: Stamp,
) -> StoreAct:
    unsigned = StoreAct(
        act=kind,
        person=person.name,
        public_key=person.public_key,
        participant=limits.participant,
        reason=reason,
        stamp=now,
        signature="",
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(signed_bytes(unsigned)).hex())


def site_directory() -> Path:
    """Where the stores of this site lie; raises Refused."""
    try:
        return state_directory()
    except SiteError as error:
        raise Refused(str(error)) from error


def kept_by_another(site: Path = SITE_STATE) -> bool:
    """Whether the stores of this site lie with another account, the interlock's own: then this one cannot tell."""
    return not os.environ.get("NOCILOOP_STATE_DIR") and site.is_dir() and not os.access(site, os.W_OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a participant stands against the budgets that outlive a session. `next_wall_ns` is None where no waiting
    makes a session possible; `trouble` is why none may start whatever the budgets, "" where nothing is."""

    participant: str
    since_wall_ns: int
    sessions: int
    budgets: tuple[tuple[Budget, float], ...]
    waits: tuple[tuple[Spacing, int], ...]
    now_wall_ns: int
    next_wall_ns: int | None
    trouble: str


def standing(directory: Path, limits: Limits) -> Standing:
    """Read the store of the limits' participant and hold it against them; raises Refused."""
    stamp, now = clocks.stamp(), clocks.now()
    try:
        records, chain = read_store(directory, limits.participant)
        history = history_of(records, chain, limits, stamp, clocks.utc_offset_s(), "")
    except (StoreError, BrokenChain) as error:
        raise Refused(str(error)) from error
    code = clock_trouble(history, now)
    return Standing(
        participant=limits.participant,
        since_wall_ns=records[0].stamp.wall_ns,
        sessions=sum(each.n_sessions for each in history.courses if each.modality == limits.modality),
        budgets=room(limits, history, now),
        waits=waits(limits, history, now.wall_ns),
        now_wall_ns=now.wall_ns,
        next_wall_ns=next_start_wall_ns(limits, history, now),
        trouble=f"{code} {'; '.join(PERMISSIVES[code])}" if code else "",
    )


def said_of(found: Standing, limits: Limits) -> tuple[str, ...]:
    """A standing in words: each budget with what is used and left, and when the next session may begin."""
    since = _local(found.since_wall_ns)
    lines = [f"participant {found.participant}, since {since}: {limits.modality}, {found.sessions} sessions"]
    lines += (
        f"  {budget.scope:<9}{budget.name:<11}{used:>10.6g} of {budget.high:<10.6g}{budget.unit:<9} "
        f"{max(0.0, budget.high - used):.6g} left"
        for budget, used in found.budgets
    )
    lines += (
        f"  {spacing.name:<9} {left_ns / 1e9:.0f} s are left of {spacing.low:g} s"
        for spacing, left_ns in found.waits
    )
    if found.next_wall_ns is None:
        lines.append("  the next session: never, by these limits")
    elif found.next_wall_ns > found.now_wall_ns:
        lines.append(f"  the next session may begin on {_local(found.next_wall_ns)}")
    else:
        lines.append("  the next session may begin now")
    return tuple(lines)


def _local(wall_ns: int) -> str:
    """A wall time as people here read it, rounded up to the second."""
    seconds = -(-wall_ns // 1_000_000_000)
    try:
        return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "a date that no calendar has"
