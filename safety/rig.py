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
NOTED = ".noted"  # no rig's name begins so
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
        return (Path(own).absolute(),)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    user = Path(runtime).absolute() / "nociloop" if runtime else _users()[1]
    return (SITE_DIRECTORY, user)


def _users() -> tuple[Path, Path]:
    """Where a user's rigs and notes may be, whatever the environment says."""
    uid = os.getuid()
    return USERS / str(uid) / "nociloop", SHARED_TMP / f"nociloop-{uid}"


def is_alone() -> bool:
    """Whether NOCILOOP_RUNTIME_DIR was declared a world of its own (a test's): its simulated rigs are noted nowhere, and
    STOP from within it reaches no other."""
    return bool(os.environ.get("NOCILOOP_RUNTIME_DIR") and os.environ.get("NOCILOOP_RUNTIME_ALONE"))


def places() -> tuple[Path, ...]:
    """Every directory in which rigs are looked for; those that were noted elsewhere come on top."""
    fixed = () if is_alone() else (SITE_DIRECTORY, *_users())
    return tuple(dict.fromkeys((*directories(), *fixed)))


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


def note(path: Path) -> None:
    """Note a rig's directory where STOP finds it from a shell without this environment; raises RigError. What is noted
    of a directory that is gone goes; so does what is of this rig elsewhere and has ended, however it did: its latch speaks
    for it."""
    for other in noted():
        if other.name == path.name and other != path and not _is_locked(other):
            forget(other)
    if path.parent in (SITE_DIRECTORY, *_users()):
        return
    trouble: RigError | None = None
    kept = False
    for user in _users():
        if not user.parent.is_dir():
            continue
        try:
            _own_directory(user)
            _own_directory(user / NOTED)
            _put_note(user / NOTED, path)
            kept = True
        except RigError as error:
            trouble = error
    if not kept:
        raise RigError(f"{path}: STOP from another shell would not find this rig: {trouble}")


def _is_locked(path: Path) -> bool:
    """Whether a session has that directory; one whose lock cannot be looked at may."""
    try:
        os.close(_lock(path / "lock", ""))
    except RigError:
        return True
    return False


def _put_note(notes: Path, path: Path) -> None:
    try:
        for link in notes.iterdir():
            if not link.exists():
                link.unlink(missing_ok=True)
        link = notes / _note_of(path)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    except OSError as error:
        raise RigError(f"{notes}: {error.strerror}; remove it") from error


def _note_of(path: Path) -> str:
    """A name of its own for every directory; 214 characters at most, for a socket's path has 107 bytes."""
    return os.fsencode(path).hex()


def forget(path: Path) -> None:
    """Take the note of a rig that has ended back; what stays leads to no socket."""
    for user in _users():
        try:
            (user / NOTED / _note_of(path)).unlink(missing_ok=True)
        except OSError:
            continue


def noted() -> list[Path]:
    """The rigs' directories that were noted at their start."""
    return [path for user in _users() if _is_ours_alone(user) for path in _read_notes(user / NOTED)]


def _read_notes(notes: Path) -> list[Path]:
    """What stands in a folder of notes; whoever else made or may change one is not believed."""
    if not _is_ours_alone(notes):
        return []
    found = []
    for name in sorted(os.listdir(notes)):
        try:
            target = Path(os.readlink(notes / name))
            ours = (notes / name).lstat().st_uid == os.getuid()
        except OSError:
            continue
        if ours and _is_own(target):
            found.append(target)
    return found


def rig_directories(door: str = STOP) -> list[Path]:
    """The directory of every rig with such a socket: wherever this user's may be, whether or not the shell that asks has the
    environment of the one that started it (over ssh, by cron, after su)."""
    asked = directories() if os.environ.get("NOCILOOP_RUNTIME_DIR") else ()
    found = [
        path.parent
        for place in places()
        if place in asked or place == SITE_DIRECTORY or _is_own(place)
        for path in sorted(place.glob(f"*/{door}"))
    ]
    found += [] if is_alone() else [path for path in noted() if os.path.lexists(path / door)]
    once: dict[object, Path] = {}
    for path in found:
        once.setdefault(_identity(path), path)
    return list(once.values())


def _identity(path: Path) -> tuple[int, int] | Path:
    """The directory itself, by whatever way it was found: a second connection would be a second STOP, which cuts."""
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino


def stop_sockets() -> list[Path]:
    """The stop socket of every rig found."""
    return [path / STOP for path in rig_directories()]


def _is_own(directory: Path) -> bool:
    """Whether it is ours: whoever made another of that name would confirm a STOP that nobody took."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_ours_alone(directory: Path) -> bool:
    """Whether it is ours, and nobody else may put anything into it."""
    return _is_own(directory) and not directory.lstat().st_mode & 0o022
