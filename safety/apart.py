"""A thread with descriptors of its own: what it waits for in the kernel keeps no link of the others open.

A killed process closes a descriptor when the last thread that shares it has gone, and a thread that waits for the disk goes
when the disk has answered. Under load that was up to 40 ms in which the device host did not learn that its interlock is
dead.
"""

from __future__ import annotations

import ctypes
import os
import stat

UNSHARE = 2  # CLOSE_RANGE_UNSHARE of linux/close_range.h: Linux 5.9, glibc 2.34; no privilege is needed
_NONE = 2**31 - 1  # a descriptor that nothing has: none is closed by the call itself


def let_sockets_go() -> bool:
    """Give the calling thread descriptors of its own, no socket among them; the other threads keep theirs. False, and
    nothing changed, where the system cannot. Nobody may open a descriptor meanwhile."""
    call = getattr(ctypes.CDLL(None), "close_range", None)
    if call is None:
        return False
    try:
        sockets = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_socket(fd)]
    except OSError:
        return False
    call.argtypes = (ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
    if call(_NONE, _NONE, UNSHARE) != 0:
        return False
    for fd in sockets:
        os.close(fd)
    return True


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False  # the directory that was listed
