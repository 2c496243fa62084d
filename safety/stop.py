"""`nociloop stop`: STOP to every rig found. Standard library only; nothing heavy is imported before it has acted."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from safety.rig import places, stop_sockets

REPLY_S = 1.0
AGAIN_S = 0.002
USAGE = """usage: nociloop stop [--json]

STOP to every rig found: output goes to zero and stays there until a named person resets.
A second STOP before zero is confirmed cuts the output and opens the relay.

  --json   one JSON list, for programs: rig, confirmed, seq (the ledger's entry)

Exit status: 0 each rig confirmed, 1 one did not or none was found (use the hardware stop), 2 a wrong call."""


def press(path: Path, reply_s: float = REPLY_S) -> int | None:
    """Connect, which *is* STOP; the ledger's sequence of it, or None where no interlock confirmed."""
    return press_all([path], reply_s)[path]


def press_all(paths: Iterable[Path], reply_s: float = REPLY_S) -> dict[Path, int | None]:
    """Connect to all before any is waited for: a rig that hangs keeps no other from its STOP."""
    return _press(paths, set(), reply_s)


def _press(paths: Iterable[Path], dead: set[Path], reply_s: float = REPLY_S) -> dict[Path, int | None]:
    """As `press_all`; those at which nobody listens are put into `dead`."""
    end_s = time.monotonic() + reply_s
    lines: dict[Path, socket.socket | None] = dict.fromkeys(paths)
    full = [path for path in lines if not _connect(path, lines, dead)]
    while full and time.monotonic() < end_s:
        time.sleep(AGAIN_S)
        full = [path for path in full if not _connect(path, lines, dead)]
    return {path: _reply(line, end_s) for path, line in lines.items()}


def _connect(path: Path, lines: dict[Path, socket.socket | None], dead: set[Path]) -> bool:
    """Connect, if anyone listens; False when more wait there already than the kernel holds (each of them is a STOP)."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.setblocking(False)
    try:
        line.connect(str(path))
    except OSError as error:
        line.close()
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            dead.add(path)
        return not isinstance(error, BlockingIOError)
    lines[path] = line
    return True


def _reply(line: socket.socket | None, end_s: float) -> int | None:
    if line is None:
        return None
    with line:
        line.settimeout(max(AGAIN_S, end_s - time.monotonic()))
        try:
            reply = json.loads(line.recv(256))
        except (OSError, ValueError):
            return None
    sequence = reply.get("seq") if isinstance(reply, dict) else None
    return sequence if isinstance(sequence, int) else None


def _said(sequence: int | None, *, dead: bool) -> str:
    """What became of one STOP, for the one who pressed it."""
    if sequence is not None:
        return f"STOP taken, it goes to zero (ledger entry {sequence})"
    if dead:
        return (
            "NOT CONFIRMED: its interlock does not run: killed, crashed, or just ended; use the hardware stop, then "
            "nociloop reset"
        )
    return "NOT CONFIRMED: use the hardware stop"


def _plain(name: str) -> str:
    """The name of a directory, whatever somebody put into it, on one line."""
    return ascii(name)[1:-1]


def main(argv: list[str]) -> int:
    """Press STOP on every rig; 0 when each confirmed, 1 when one did not or none was found, 2 for a wrong call."""
    if argv in (["--help"], ["-h"]):
        sys.stdout.write(USAGE + "\n")
        return 0
    if argv not in ([], ["--json"]):
        sys.stderr.write(f"nociloop stop: found {' '.join(argv)}, expected nothing or --json\n")
        return 2
    dead: set[Path] = set()
    pressed = _press(stop_sockets(), dead)
    if argv:
        sys.stdout.write(
            json.dumps(
                [{"rig": p.parent.name, "confirmed": s is not None, "seq": s} for p, s in pressed.items()]
            )
        )
        sys.stdout.write("\n")
    else:
        for path, sequence in pressed.items():
            sys.stdout.write(f"{_plain(path.parent.name)}: {_said(sequence, dead=path in dead)}\n")
        if not pressed:
            looked = ", ".join(_plain(str(path)) for path in places())
            sys.stdout.write(
                f"no rig found in {looked}, nor noted by one: nothing of nociloop runs for this user; "
                "if something stimulates, use the hardware stop\n"
            )
    return 0 if pressed and all(sequence is not None for sequence in pressed.values()) else 1
