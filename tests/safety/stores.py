"""A state directory for a test, with a participant made by an officer, and sessions that reserve and settle."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.stimulation import Modality
from safety import clocks
from safety.exposures import NOTHING
from safety.history import History, Stamp
from safety.limit_values import Limits, Person
from safety.modalities import Exposure
from safety.participants import new_participant
from safety.store import Store, open_store
from safety.store_records import Reserved, Settled, StoreAct, body_of, signed_bytes
from tests.safety.world import PEOPLE, rules_of

LIMITS = rules_of().limits
S = 1_000_000_000
START = Stamp(boot_id="a boot", boot_ns=10**15, wall_ns=1_780_000_000_000_000_000)


def person(name: str) -> Person:
    found = LIMITS.person(name)
    assert found is not None
    return found


def made(folder: Path, limits: Limits = LIMITS) -> Path:
    """A state directory with the limits' participant."""
    new_participant(folder / "state", limits, person("bob"), PEOPLE["bob"], "course begins")
    return folder / "state"


def after(stamp: Stamp, seconds: float) -> Stamp:
    moved_ns = round(seconds * S)
    return msgspec.structs.replace(stamp, boot_ns=stamp.boot_ns + moved_ns, wall_ns=stamp.wall_ns + moved_ns)


def opened(
    directory: Path, now: Stamp, session_id: str = "s-1", limits: Limits = LIMITS
) -> tuple[Store, History]:
    return open_store(directory, limits, session_id, now, 0)


def spent(on_time_s: float, charge_c: float = 0.0) -> Exposure:
    return Exposure(on_time_s=on_time_s, charge_c=charge_c, n_pulses=0)


def reserved(now: Stamp, total: float, session_id: str = "s-1") -> Reserved:
    return Reserved(stamp=now, session_id="s", nonce=session_id, modality="tacs", total=spent(total))


def settled(now: Stamp, confirmed: float, outstanding: float = 0.0, session_id: str = "s-1") -> Settled:
    return Settled(
        stamp=now,
        session_id="s",
        nonce=session_id,
        modality="tacs",
        confirmed=spent(confirmed),
        outstanding=spent(outstanding) if outstanding else NOTHING,
        first_wall_ns=now.wall_ns - 10 * S,
        last_wall_ns=now.wall_ns - 1 * S,
    )


def put(store: Store, *records: Reserved | Settled) -> None:
    store.lines.write([body_of(each) for each in records])
    store.lines.sync()


def let_go(store: Store) -> None:
    """As a killed process does: nothing more is written."""
    store.lines.close()


def crashed(state: Path, *totals: float, limits: Limits = LIMITS) -> Stamp:
    """A session that reserved these totals, a second apart, and was killed."""
    now = clocks.stamp()
    store, _ = opened(state, now, limits=limits)
    for n, total in enumerate(totals):
        put(store, reserved(after(now, n), total))
    let_go(store)
    return now


def forged(
    stamp: Stamp,
    *,
    modality: Modality | None = "tacs",
    act: str = "new-course",
    signed_by: Ed25519PrivateKey = PEOPLE["bob"],
) -> StoreAct:
    """An act of the officer bob as it would be signed, written past every check."""
    unsigned = StoreAct(
        act=act,  # type: ignore[arg-type]
        person="bob",
        public_key=person("bob").public_key,
        participant="P001",
        reason="r",
        stamp=stamp,
        signature="",
        modality=modality,
    )
    return msgspec.structs.replace(unsigned, signature=signed_by.sign(signed_bytes(unsigned)).hex())
