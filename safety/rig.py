"""Where a rig's sockets lie, who may hold them, and how the ones that are alive are found."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

SITE_DIRECTORY = Path("/run/nociloop")
USERS, SHARED_TMP = (
    Path("/run/user"),
    Path("/tmp"),
)  # where a login has its runtime directory, and who has none
CONTROLLER, ACTS, STOP = "controller.sock", "acts.sock", "stop.sock"
# Who may pass through a directory may press STOP: the two other sockets and the locks have modes of their own.
PASSABLE = 0o711
PRIVATE, SHARED, OPEN = 0o600, 0o660, 0o666
SUN_PATH_MAX = 107  # bytes of a Unix socket's path on Linux, unix(7)


class RigError(Exception):
    """A rig's directory that cannot be used: one line with what to do."""


def directories() -> tuple[Path, ...]:
    """Where rigs may be: the site's directory, then the user's. NOCILOOP_RUNTIME_DIR alone replaces both."""
    own = os.environ.get("NOCILOOP_RUNTIME_DIR")
    if own:
        return (Path(own),)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    user = Path(runtime) / "nociloop" if runtime else SHARED_TMP / f"nociloop-{os.getuid()}"
    return (SITE_DIRECTORY, user)


def writable_directory() -> Path:
    """The first of `directories` that can be written; made with mode 0700 where it is the user's own."""
    for path in directories():
        if path == SITE_DIRECTORY:
            if path.is_dir() and os.access(path, os.W_OK):
                mode = path.stat().st_mode
                if mode & stat.S_IWOTH:
                    raise RigError(
                        f"{path}: anybody may write it, expected the interlock's users alone; chmod o-w"
                    )
                if mode & stat.S_IWGRP and not mode & stat.S_ISVTX:
                    raise RigError(
                        f"{path}: its group may replace the rigs of others in it; chmod g-w, or chmod +t"
                    )
                return path
            continue
        _own_directory(path)
        return path
    raise RigError("no directory for the rig's sockets; set NOCILOOP_RUNTIME_DIR")


def _own_directory(path: Path) -> None:
    """Make a directory of our own; one that is there must be ours, and writable by nobody else. Raises RigError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o700)
            path.chmod(PASSABLE)
        except FileExistsError:
            pass  # judged below, as is what was made in between
        found = path.lstat()
    except OSError as error:
        raise RigError(
            f"{path}: {error.strerror}; set NOCILOOP_RUNTIME_DIR to a directory of your own"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RigError(f"{path}: expected a directory of yours that nobody else may write; remove it")


def group_of(directory: Path) -> int | None:
    """The group whose members may ask and act at the rigs of a directory: where its mode admits its group, shuts out all
    others, and was therefore meant so (0750, as docs/deploy makes /run/nociloop). Else None: its user and root alone."""
    found = directory.stat()
    meant = found.st_mode & 0o050 == 0o050 and not found.st_mode & 0o007
    return found.st_gid if meant and found.st_gid != 0 else None


def claim(directory: Path, rig: str) -> tuple[Path, int]:
    """Make the rig's directory and lock it; the descriptor keeps the lock while it is open. The participant's store is
    locked with it, so that one participant has one session whatever the rig."""
    path = directory / rig
    if len(os.fsencode(path / CONTROLLER)) > SUN_PATH_MAX:
        raise RigError(
            f"{path / CONTROLLER}: longer than the {SUN_PATH_MAX} bytes of a socket's path; "
            "set NOCILOOP_RUNTIME_DIR to a shorter one"
        )
    _own_directory(path)
    held = _lock(path / "lock", f"rig {rig} is in use by another session")
    for name in (CONTROLLER, ACTS, STOP):
        (path / name).unlink(missing_ok=True)  # left by a session that was killed: we hold the lock
    return path, held


def _lock(path: Path, busy: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RigError(f"{path}: {error.strerror}; expected a lock file of this user's own") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise RigError(f"{busy}; end it, or wait for its end (`nociloop stop` sends it to zero)") from None
    return fd


def stop_sockets() -> list[Path]:
    """The stop socket of every rig found: wherever this user's may be, whether or not the shell that asks has the
    environment of the one that started it (over ssh, by cron, after su)."""
    uid, named = os.getuid(), bool(os.environ.get("NOCILOOP_RUNTIME_DIR"))
    elsewhere = (USERS / str(uid) / "nociloop", SHARED_TMP / f"nociloop-{uid}")
    places = (*directories(), *(() if named else elsewhere))
    return [
        path
        for directory in dict.fromkeys(places)
        if named or directory == SITE_DIRECTORY or _is_own(directory)
        for path in sorted(directory.glob(f"*/{STOP}"))
    ]


def _is_own(directory: Path) -> bool:
    """Whether it is ours: whoever made another of that name would confirm a STOP that nobody took."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
