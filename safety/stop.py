"""`nociloop stop`: STOP to every rig found. Standard library only; nothing heavy is imported before it has acted."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from safety.rig import stop_sockets

REPLY_S = 1.0
USAGE = """usage: nociloop stop [--json]

STOP to every rig found: output goes to zero and stays there until a named person resets."""


def press(path: Path, reply_s: float = REPLY_S) -> int | None:
    """Connect, which *is* STOP; the ledger's sequence of it, or None where no interlock confirmed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stop:
        stop.settimeout(reply_s)
        try:
            stop.connect(str(path))
            reply = json.loads(stop.recv(256) or b"{}")
        except (OSError, ValueError):
            return None
    sequence = reply.get("seq")
    return sequence if isinstance(sequence, int) else None


def main(argv: list[str]) -> int:
    """Press STOP on every rig; 0 when each confirmed, 1 when one did not or none was found, 2 for a wrong call."""
    if argv in (["--help"], ["-h"]):
        sys.stdout.write(USAGE + "\n")
        return 0
    if argv not in ([], ["--json"]):
        sys.stderr.write(f"nociloop stop: found {' '.join(argv)}, expected nothing or --json\n")
        return 2
    pressed = {path: press(path) for path in stop_sockets()}
    if argv:
        sys.stdout.write(
            json.dumps(
                [{"rig": p.parent.name, "confirmed": s is not None, "seq": s} for p, s in pressed.items()]
            )
        )
        sys.stdout.write("\n")
    else:
        for path, sequence in pressed.items():
            said = (
                f"stopped (ledger entry {sequence})"
                if sequence is not None
                else "NOT CONFIRMED: use the hardware stop"
            )
            sys.stdout.write(f"{path.parent.name}: {said}\n")
        if not pressed:
            sys.stdout.write(
                "no rig found: nothing of nociloop runs for this user; if something stimulates, use the hardware stop\n"
            )
    return 0 if pressed and all(sequence is not None for sequence in pressed.values()) else 1
