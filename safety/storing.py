"""What a session writes into the participant's store: each reservation before its output, and the settlement. Pure."""

from __future__ import annotations

from safety.dose import Dose, committed
from safety.events import Now
from safety.exposures import minus
from safety.history import Stamp
from safety.state import Rules, ToStore
from safety.store_records import Reserved, Settled


def reservation(rules: Rules, dose: Dose, now: Now) -> ToStore:
    """All that the session has reserved, this time's among it."""
    return ToStore(
        record=Reserved(
            stamp=_stamp(rules, now),
            session_id=rules.session_id,
            nonce=rules.nonce,
            modality=rules.limits.modality,
            total=committed(dose),
        )
    )


def settlement(rules: Rules, dose: Dose, now: Now) -> tuple[ToStore, ...]:
    """What a session that ends at zero has spent; nothing where it never reserved anything."""
    if dose.marked_ns == dose.coming_after == 0:
        return ()
    return (
        ToStore(
            record=Settled(
                stamp=_stamp(rules, now),
                session_id=rules.session_id,
                nonce=rules.nonce,
                modality=rules.limits.modality,
                confirmed=dose.confirmed,
                outstanding=minus(dose.granted, dose.confirmed),
                first_wall_ns=_wall_ns(dose.first_ns, now),
                last_wall_ns=_wall_ns(dose.last_ns, now),
            )
        ),
    )


def _stamp(rules: Rules, now: Now) -> Stamp:
    return Stamp(boot_id=rules.history.boot_id, boot_ns=now.boot_ns, wall_ns=now.wall_ns)


def _wall_ns(mono_ns: int, now: Now) -> int:
    return now.wall_ns + mono_ns - now.mono_ns
