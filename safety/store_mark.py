"""How far a participant's store has reached on the disk, kept apart from it: a store that was cut back is seen. Shell.

`heads/NAME.json` in the state directory is written over after each line that is durable in the store, and not synced: it is
never ahead of the store, and a power cut can only leave it behind. What it does not say, because it is not there or blank,
nobody is told.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from drivers.stimulation import Value
from safety.regular_file import read_regular, sync_directory
from safety.site_list import StoreError

HEADS = "heads"
BYTES = 512  # own choice: a sector, which a disk writes whole


class Mark(Value, frozen=True):
    """The store had at least `store_seq` lines, and this was the hash of the last of them."""

    participant: str
    store_seq: int
    store_head: str


_decoder = msgspec.json.Decoder(Mark)


def mark_path(directory: Path, participant: str) -> Path:
    return directory / HEADS / f"{participant}.json"


def read_mark(directory: Path, participant: str) -> Mark | None:
    """How far the store had reached, None where nothing says it; raises StoreError."""
    path = mark_path(directory, participant)
    try:
        content = read_regular(path, BYTES, follow=False)
        whole = content if len(content) > BYTES else content.strip(b"\0 \n")
        found = _decoder.decode(whole) if whole else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path}: found {error.strerror}, expected how far the store had reached; mend it"
        ) from error
    except (ValueError, RecursionError):
        raise StoreError(_odd(path, "something else")) from None
    if found is not None and (found.participant != participant or found.store_seq < 1):
        raise StoreError(_odd(path, f"the mark of {ascii(found.participant)[:80]}, line {found.store_seq}"))
    return found


def _odd(path: Path, what: str) -> str:
    return f"{path}: found {what}, expected how far its store had reached; an officer finds out why, then removes it"


def put_mark(directory: Path, mark: Mark, *, durable: bool = False) -> None:
    """Write it over; `durable`: down to the disk, with the folder that it lies in. Raises OSError."""
    path = mark_path(directory, mark.participant)
    if durable:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        os.pwrite(fd, msgspec.json.encode(mark).ljust(BYTES), 0)
        if durable:
            os.ftruncate(fd, BYTES)
            os.fsync(fd)
            sync_directory(path.parent)
    finally:
        os.close(fd)
