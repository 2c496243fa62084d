"""A device belongs to one session, whatever its line: a file in the site's state is locked in its name."""

from __future__ import annotations

import fcntl
import hashlib
import os

from safety.rig_tables import LOWER_NAME
from safety.site import SiteError, state_folder

DEVICES = "devices"
HOLDER_BYTES = 32  # the longest name of a rig


def lock_device(endpoint: str, rig: str) -> None:
    """Hold it until this process ends: a serial line has a lock of its own, a socket has none. Raises SiteError."""
    if endpoint == "none":
        return
    path = state_folder(DEVICES) / f"{hashlib.sha256(_device(endpoint)).hexdigest()}.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(fd)
            os.close(fd)
            raise SiteError(
                f"device {endpoint}: found it held by {holder}, expected it free; end that session "
                "(`nociloop stop` sends it to zero), or give another endpoint"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, rig.encode("ascii"), 0)
    except OSError as error:
        raise SiteError(
            f"{path}: {error.strerror}, expected the lock of device {endpoint}; mend it"
        ) from error


def _device(endpoint: str) -> bytes:
    """The device by one name: where a link of udev leads to, and at whatever speed."""
    kind, _, rest = endpoint.partition(":")
    if kind == "serial":
        return os.fsencode(f"serial:{os.path.realpath(rest.partition('@')[0])}")
    return endpoint.lower().encode()


def _holder(fd: int) -> str:
    name = os.pread(fd, HOLDER_BYTES, 0).decode("ascii", "replace")
    return f"rig {name}" if LOWER_NAME.fullmatch(name) else "another session"
