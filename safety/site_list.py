"""The site's list of heads: how every store and every ledger was left. Shell.

`site.jsonl` is chained like a store. A store that is older than the newest line about it, or another, is refused.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from drivers.stimulation import Value
from safety.chained import FIRST, BrokenChain, Chain, LongLine, next_line, read_chain
from safety.regular_file import is_named, read_regular, sync_directory
from safety.site import SiteError

SITE_LIST = "site.jsonl"
BYTES_MAX = 134_217_728  # own choice, as a store's: some 400 bytes a line, two lines a session
LOCK_S = 2.0  # own choice: the site's list is locked for one line


class StoreError(SiteError):
    """A store that cannot be used: one line that says what was found and what to do."""


AnchorKind = Literal["new", "opened", "closed", "confirm-date", "new-course"]


class Anchor(Value, frozen=True):
    """One line of the site's list: how a store, and a ledger if one ended, was left."""

    kind: AnchorKind
    participant: str
    store_seq: int
    store_head: str
    session_id: str
    ledger_head: str
    wall_ns: int


_anchor = msgspec.json.Decoder(Anchor)


class Lines:
    """An open file of chained lines, locked by us. Raises OSError where it cannot be written, StoreError for a line that
    could not be read again."""

    def __init__(self, path: Path, fd: int, chain: Chain) -> None:
        self.path = path
        self._fd = fd
        self.seq = len(chain.bodies)
        self.head = chain.head

    def write(self, bodies: Iterable[bytes]) -> None:
        data, head, seq = bytearray(), self.head, self.seq
        for body in bodies:
            try:
                line, head = next_line(head, body)
            except LongLine as error:
                raise StoreError(f"{self.path}: found {error}; give shorter words") from error
            seq += 1
            data += line
        self.head, self.seq = head, seq
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def is_named(self) -> bool:
        """Whether what is written here is what will be read under this name."""
        return is_named(self.path, self._fd)

    def close(self) -> None:
        os.close(self._fd)


def newest(anchors: tuple[Anchor, ...], participant: str) -> Anchor | None:
    """The last line about a participant, None where there is none."""
    return next((each for each in reversed(anchors) if each.participant == participant), None)


def bounded(path: Path, content: bytes, bytes_max: int) -> bytes:
    """What was read of a file, at most a byte beyond the bound; raises StoreError where it is longer."""
    if len(content) > bytes_max:
        raise StoreError(
            f"{path}: found more than {bytes_max} bytes, expected fewer; find out what wrote them"
        )
    return content


def site_list(directory: Path) -> tuple[Chain, tuple[Anchor, ...]]:
    """The site's list of heads, empty where there is none yet; raises StoreError."""
    path = directory / SITE_LIST
    try:
        chain = read_chain(bounded(path, read_regular(path, BYTES_MAX, follow=False), BYTES_MAX))
        return chain, tuple(map(_anchor.decode, chain.bodies))
    except FileNotFoundError:
        return Chain(bodies=(), hashes=(), length=0, torn=False), ()
    except OSError as error:
        raise StoreError(
            f"{path}: found {error.strerror}, expected the site's list of heads; mend it"
        ) from error
    except (BrokenChain, ValueError) as error:
        raise StoreError(
            f"{path}: found {error}, expected a whole list: it was tampered with, or its disk fails; bring back a whole copy"
        ) from error


def anchor(directory: Path, line: Anchor) -> str:
    """Append to the site's list, durable; its head then. Raises StoreError, OSError."""
    path = directory / SITE_LIST
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        _lock_soon(path, fd)
        chain, _ = site_list(directory)
        if chain.torn:
            os.ftruncate(fd, chain.length)
        lines = Lines(path, fd, chain)
        lines.write([msgspec.json.encode(line)])
        lines.sync()
        if chain.head == FIRST:
            sync_directory(directory)
        return lines.head
    finally:
        os.close(fd)


def _lock_soon(path: Path, fd: int) -> None:
    until_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise StoreError(
                    f"{path}: found it locked for {LOCK_S:g} s, expected it free at once; find out by whom"
                ) from None
            time.sleep(0.01)
