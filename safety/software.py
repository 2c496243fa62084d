"""What runs: the digest of the deciding code, so that a re-execution knows whether it is by the same hand."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

from safety.entries import Software

DECIDING = (
    *(
        "interlock",
        "arming",
        "acts",
        "requests",
        "judging",
        "firing",
        "delivery",
        "watchdogs",
        "safing",
        "dose",
        "response",
        "exposures",
        "windows",
        "remembering",
        "history",
        "storing",
        "store_records",
        "earlier",
        "chained",
        "needs",
    ),
    *(
        "trips",
        "state",
        "events",
        "messages",
        "entries",
        "limits",
        "limit_values",
        "strict_table",
        "rig_tables",
    ),
    *("modalities/__init__", "modalities/bounds", "modalities/facts"),
    *("modalities/skin", "modalities/tes_numbers", "modalities/tacs", "modalities/tdcs", "modalities/trns"),
    *("modalities/tens", "modalities/tens_numbers"),
    *(
        "modalities/magnetic",
        "modalities/magnetic_numbers",
        "modalities/washout",
        "modalities/rtms",
        "modalities/rtms_numbers",
    ),
    *("modalities/tbs", "modalities/tbs_numbers"),
    *("modalities/ctbs", "modalities/ctbs_numbers", "modalities/segments"),
    *("modalities/tus", "modalities/tus_numbers", "modalities/tus_physics", "modalities/tus_thermal"),
    *("modalities/added", "modalities/quantities", "modalities/reasons", "modalities/rules"),
    *("modalities/contacts", "modalities/held", "modalities/shannon"),
    *("modalities/implanted", "modalities/implanted_numbers"),
    *("modalities/dbs", "modalities/scs", "modalities/drg", "modalities/pns"),
    *("../drivers/stimulation", "../drivers/capabilities", "../drivers/link", "../drivers/stimulator"),
)


def software() -> Software:
    """The digest of the deciding code, and the versions under it."""
    digest = hashlib.sha256()
    for name in DECIDING:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return Software(
        digest=digest.hexdigest(),
        python=platform.python_version(),
        msgspec=metadata.version("msgspec"),
        nociloop=metadata.version("nociloop"),
    )
