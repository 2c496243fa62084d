"""A folder of this run's own that everything temporary of it lies in: gone with the run, and with the next one if the run
was killed.

Whoever makes a temporary folder in a test, or in a process that a test starts, makes it in here. While its process lives
the folder is locked; one that is not is left over.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "nlt-"  # short: a socket's path may have 107 bytes
YOUNG_S = 60.0  # own choice: one that is only just made may not be locked yet


def own_folder() -> Path:
    """Make it, and take away those of runs that were killed."""
    above = Path(tempfile.gettempdir())
    _sweep(above)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
    path.chmod(0o711)  # another account may be let into a folder in it
    fcntl.flock(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX)
    atexit.register(_remove, path, os.getpid())
    return path


def _remove(path: Path, pid: int) -> None:
    if os.getpid() == pid:  # a fork is not the run
        shutil.rmtree(path, ignore_errors=True)


def _sweep(above: Path) -> None:
    for path in above.glob(f"{PREFIX}*"):
        try:
            found = path.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < YOUNG_S:
                continue
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # gone meanwhile, or no folder
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass  # its run lives
        finally:
            os.close(fd)
