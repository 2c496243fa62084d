"""A new run folder, never over an old one; files in it are made once."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

RUNS_A_SECOND_MAX = 99  # own choice: more runs of one second are a runaway script


class RunFolderError(Exception):
    """A run cannot be recorded: one line with the folder, what is wrong and what to do."""

    exit_status = 3


def new_run_folder(parent: Path, now: datetime | None = None) -> Path:
    """Make `PARENT/2026-01-31T12-00-00Z`, or `...Z-2` and so on where that exists; only the owner may read it."""
    stamp = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, RUNS_A_SECOND_MAX + 1):
            folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                folder.mkdir(mode=0o700)  # of two that try at once only one succeeds
            except FileExistsError:
                continue
            _sync(parent)
            return folder
    except OSError as error:
        raise RunFolderError(_line(parent, error)) from error
    raise RunFolderError(f"{parent}: has {RUNS_A_SECOND_MAX} runs of {stamp}; name another folder with --out")


def write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, down to the disk."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunFolderError(_line(path, error)) from error


def _sync(folder: Path) -> None:
    """The folder's own entry survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


REMEDIES = {
    errno.EACCES: "name a folder that you may write with --out, or correct its permissions",
    errno.EPERM: "name a folder that you may write with --out, or correct its permissions",
    errno.EROFS: "name a folder on a disk that may be written with --out",
    errno.ENOSPC: "free some disk space, or name a folder on another disk with --out",
    errno.EDQUOT: "free some of your quota, or name a folder on another disk with --out",
    errno.ENOTDIR: "a part of the path is a file; name a folder with --out",
    errno.EEXIST: "it exists already, and nothing is written over; name another with --out",
    errno.ENAMETOOLONG: "name a shorter path with --out",
}


def _line(path: Path, error: OSError) -> str:
    remedy = REMEDIES.get(error.errno or 0, "name another folder with --out")
    return f"{path}: cannot be written ({error.strerror}); {remedy}"
