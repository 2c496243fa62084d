"""A regular file, read at once and bounded: no pipe that never ends, no device, and no link where none may be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, bytes_max: int, *, follow: bool = True) -> bytes:
    """The content, at most one byte more than `bytes_max`; raises OSError, also for what is no regular file."""
    content, _ = read_with_status(path, bytes_max, follow=follow)
    return content


def read_with_status(path: Path, bytes_max: int, *, follow: bool = True) -> tuple[bytes, os.stat_result]:
    """The content, and whose it is, of one and the same open file; raises OSError as `read_regular`."""
    # O_NONBLOCK: opening a pipe that nobody writes to would wait without end.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(fd, "rb", closefd=False) as file:
            return file.read(bytes_max + 1), status
    finally:
        os.close(fd)


def is_named(path: Path, fd: int) -> bool:
    """Whether an open file is still the one that its name leads to: not taken away, and no other put in its place."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except OSError:
        return False


def put_durably(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place of an older one in one step, down to the disk: whoever reads sees the one or the other."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """A new file is there after a power cut only if its directory was synced."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
