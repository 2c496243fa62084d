"""Ledger files for the tests: of a session on the hand clock, written by the ledger's own thread."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from safety.entries import GENESIS_HASH, Close, Genesis, Software
from safety.ledger import Ledger, Watched
from tests.safety.world import T0, World, rules_of

SOFTWARE = Software(digest="a" * 64, python="3", msgspec="0", nociloop="0")
OTHER = Software(digest="b" * 64, python="3", msgspec="0", nociloop="0")


def genesis_of(world: World, software: Software = SOFTWARE) -> Genesis:
    return Genesis(
        prev="",
        seq=0,
        kind="opened",
        now=T0,
        utc="2026-06-01T00:00:00+00:00",
        boot_id="boot",
        rules=world.rules,
        state=world.first,
        software=software,
    )


def watched(folder: Path) -> Watched:
    limits = folder / "limits.toml"
    if not limits.exists():
        limits.write_text("limits", encoding="utf-8")
    return Watched(path=limits, digest=hashlib.sha256(limits.read_bytes()).hexdigest())


def write(folder: Path, world: World, *, closed: bool = True, name: str = "ledger.jsonl") -> Path:
    """The ledger of what happened in a world."""
    path = folder / name
    ledger = Ledger(path, watched(folder))
    ledger.start()
    ledger.append(genesis_of(world))
    for entry in world.entries:
        ledger.append(entry)
    if closed and world.ended is not None:
        ledger.append(
            Close(prev="", seq=world.state.entries, kind="closed", now=world.now, status=world.ended)
        )
    if not ledger.close(10.0):
        raise AssertionError("the ledger did not end")
    return path


def session() -> World:
    """A short session with a permit, a refusal, a renewal, a delivery, a trip and a reset."""
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(150)
    world.ask()
    world.ask()
    world.run_ms(150)
    world.stop()
    world.run_ms(300)
    world.present(world.act("reset"))
    world.run_ms(50)
    return world


def rechained(lines: list[bytes]) -> bytes:
    """The lines with every hash made anew, as somebody who edits them would."""
    head, out = GENESIS_HASH, b""
    for line in lines:
        line = b'{"prev":"' + head.encode() + line[9 + 64 :]
        if b'"seal":"' in line:
            unsealed = line[: line.rindex(b'"seal":"')] + b'"seal":""}'
            seal = hashlib.sha256(unsealed).hexdigest().encode()
            line = unsealed.removesuffix(b'""}') + b'"' + seal + b'"}'
        head = hashlib.sha256(line).hexdigest()
        out += line + b"\n"
    return out


def until(holds: Callable[[], bool], wait_s: float = 5.0) -> None:
    """Wait for the ledger's thread, bounded."""
    deadline_s = time.monotonic() + wait_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise AssertionError("it did not come")
        time.sleep(0.002)
