"""Where a site keeps what outlives a session: /var/lib/nociloop, or the user's own; each kind in a folder of its own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from safety.regular_file import sync_directory

SITE_STATE = Path("/var/lib/nociloop")
RIGS = "rigs"


class SiteError(Exception):
    """State of the site that cannot be kept or read: one line with what to do."""


def state_directory(site: Path = SITE_STATE) -> Path:
    """NOCILOOP_STATE_DIR, else the site's where this user may write it, else the user's own; raises SiteError."""
    own = os.environ.get("NOCILOOP_STATE_DIR")
    if own:
        return _ours_alone(Path(own).absolute())
    if site.is_dir() and os.access(site, os.W_OK):
        return _ours_alone(site)
    above = os.environ.get("XDG_STATE_HOME")
    return _ours_alone(Path(above).absolute() / "nociloop" if above else _at_home())


def _at_home() -> Path:
    try:
        return Path.home().absolute() / ".local" / "state" / "nociloop"
    except RuntimeError:
        raise SiteError(
            "found no home directory, expected a user who has one; set NOCILOOP_STATE_DIR"
        ) from None


def check_for_real(site: Path = SITE_STATE) -> None:
    """The latch, the serial and the budgets of a real device are in one place, the site's where there is one, else at
    the user's home: none starts beside what it left elsewhere. Raises SiteError."""
    found = state_directory(site)
    own = site if os.path.lexists(site) else _at_home()
    if found.resolve() != own.resolve():
        raise SiteError(
            f"state directory: found {found}, expected {own}: any other is good for simulated endpoints only; unset "
            f"NOCILOOP_STATE_DIR and XDG_STATE_HOME, under an account that may write {own}"
        )


def _ours_alone(path: Path) -> Path:
    """Where anybody may write, anybody may put older stores, heads and latches in the place of these; raises SiteError."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return path  # not there yet, or told by whoever opens what is in it
    if mode & stat.S_IWOTH:
        raise SiteError(f"{path}: anybody may write it, expected the interlock's users alone; chmod o-w")
    return path


def state_folder(kind: str) -> Path:
    """The folder of one kind of state, made where it is not there; raises SiteError."""
    path = state_directory() / kind
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        for above in (path.parent, path.parent.parent):
            sync_directory(above)  # a power cut must not take the new folder, and with it what it holds
        mode = path.stat().st_mode
    except OSError as error:
        raise SiteError(
            f"{path}: found {error.strerror}, expected a folder of the site's state; set NOCILOOP_STATE_DIR to a directory "
            "of your own"
        ) from error
    if mode & stat.S_IWOTH:
        raise SiteError(f"{path}: anybody may write it, expected the interlock's users alone; chmod o-w")
    return path
