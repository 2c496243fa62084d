"""Reset a rig that a session before left TRIPPED: an interlock is started for it alone, told the act, and ends.

It drives the null device: nothing can be armed in it, and the act stands in a ledger of its own beside the rig's latch.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safety.latch import kept
from safety.rig import ACTS
from safety.site import RIGS, SiteError, state_folder

START_S = 10.0
END_S = 8.0
KEPT_S, POLL_S = 3.0, 0.02


class NotReset(Exception):
    """There is nothing to reset, or it could not be: one line each."""


@contextmanager
def interlock_for_reset(limits: Path, rig: str) -> Iterator[Path]:
    """The acts socket of an interlock that is TRIPPED as the last session left it; raises NotReset.

    After the act it ends by itself; it is ended in every case.
    """
    session = f"reset-{secrets.token_hex(6)}"
    try:
        run_dir = state_folder(f"{RIGS}/resets-of-{rig}") / session
        run_dir.mkdir()
        errors = (run_dir / "interlock.err").open("wb")
    except SiteError as error:
        raise NotReset(str(error)) from error
    except OSError as error:
        raise NotReset(f"{error.filename}: {error.strerror}; the reset needs a ledger of its own") from error
    alive, ours = os.pipe2(os.O_CLOEXEC)
    files = ["--limits", str(limits), "--run-dir", str(run_dir)]
    with errors:
        interlock = subprocess.Popen(
            [
                *(sys.executable, "-m", "safety.start", "--shadow", *files, "--session-id", session),
                *("--session-digest", "0" * 64, "--parent-fd", str(alive)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=(alive,),
        )
    os.close(alive)
    try:
        yield Path(_tripped(interlock, rig)) / ACTS
        interlock.wait(END_S)
    except subprocess.TimeoutExpired:
        raise NotReset(f"rig {rig}: the interlock did not end after the reset; see {run_dir}") from None
    finally:
        os.close(ours)
        _ended(interlock)


def is_kept(rig: str) -> bool:
    """Whether the reset has reached the disk: before that a power cut would find the rig tripped again. Where the rig is
    kept by another account, its interlock alone can tell."""
    for _ in range(round(KEPT_S / POLL_S)):
        found = kept(rig)
        if found is None or found.mark == "reset":
            return True
        time.sleep(POLL_S)
    return False


def _tripped(interlock: subprocess.Popen[bytes], rig: str) -> str:
    """The directory of the rig's sockets, once it has said that it is tripped."""
    if interlock.stdout is None:
        raise NotReset(f"rig {rig}: the interlock has no output")
    readable, _, _ = select.select([interlock.stdout], [], [], START_S)
    try:
        said = json.loads(interlock.stdout.readline() if readable else b"")
    except ValueError:
        raise NotReset(f"rig {rig}: the interlock did not start within {START_S:g} s") from None
    if "refused" in said:
        raise NotReset("\n".join(said["refused"]))
    if not said["latched"]:
        raise NotReset(f"rig {rig}: it is not tripped, there is nothing to reset")
    return str(said["ready"])


def _ended(interlock: subprocess.Popen[bytes]) -> None:
    """The pipe's end has told it to end; one that does not is killed."""
    try:
        interlock.wait(END_S)
    except subprocess.TimeoutExpired:
        interlock.kill()
        interlock.wait()
    if interlock.stdout is not None:
        interlock.stdout.close()
