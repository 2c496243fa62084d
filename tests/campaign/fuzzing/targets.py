"""What is fuzzed: each target takes any bytes, and may raise nothing; what it begins with, and the words that it knows.

Imported under atheris' instrumentation by `fuzzing.process`; plainly by the tests, which try the beginnings alone.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from drivers.link import FrameBuffer, FrameError, FromHost, frame
from drivers.stimulation import Modality
from safety.limits import LimitsErrors, load
from safety.verify import LedgerUnreadable, judged
from safety.wire import act_of, event_of
from tests.safety.ledgers import SOFTWARE, write
from tests.safety.strategies import document, to_toml
from tests.safety.world import World, hello_of, rules_of

_from_host: msgspec.json.Decoder[FromHost] = msgspec.json.Decoder(FromHost)


def frames(data: bytes) -> None:
    """A controller's, a person's and a host's bytes, cut anywhere: events, refusals in one line, or an end of trust."""
    cut = 1 + data[0] % 97 if data else 1
    buffer = FrameBuffer()
    for start in range(1, len(data), cut):
        try:
            bodies = buffer.feed(data[start : start + cut])
        except FrameError:
            return
        for body in bodies:
            event_of(body, known=bool(len(body) % 2))
            act_of(body)
            try:
                _from_host.decode(body)
            except (ValueError, TypeError, RecursionError):
                pass  # as `DeviceHost.said` makes a FrameError of it


def limits(data: bytes) -> None:
    """A limits file: limits, or every problem in a line of its own."""
    try:
        load(data)
    except LimitsErrors as errors:
        if not errors.problems or any("\n" in line or not line.isprintable() for line in errors.problems):
            raise AssertionError(f"not one printable line each: {errors.problems}") from None


def verifier(data: bytes) -> None:
    """A ledger: as it comes, or, by the first byte, with a chain of hashes made good, so that what lies behind is read."""
    content = rechained(data[1:]) if data[:1] < b"\x80" else data[1:]
    try:
        judged(Path("ledger.jsonl"), content, SOFTWARE, ())
    except LedgerUnreadable as error:
        if "\n" in str(error):
            raise AssertionError(f"not one line: {error}") from None


def rechained(content: bytes) -> bytes:
    """The same lines, each with the hash of the one before."""
    before, lines = "0" * 64, []
    for line in content.split(b"\n"):
        whole = re.sub(rb'"prev":"[0-9a-f]*"', b'"prev":"' + before.encode() + b'"', line, count=1)
        lines.append(whole)
        before = hashlib.sha256(whole).hexdigest()
    return b"\n".join(lines)


TARGETS: Mapping[str, Callable[[bytes], None]] = {"frames": frames, "limits": limits, "verifier": verifier}


def seeds(target: str) -> Iterator[bytes]:
    """What a target begins with: a few small inputs that are right."""
    if target == "frames":
        yield b"\x05" + frame(hello_of("tacs"))
        world = World(rules_of()).ready()
        yield b"\x40" + b"".join(frame(message) for message in (world.request(), world.act()))
        yield b"\x30" + b"".join(frame(message) for message in world.sent)
    elif target == "limits":
        for modality in get_args(Modality):
            yield to_toml(document(modality))
    else:
        for content in _ledgers():
            yield b"\x00" + content
            yield b"\xff" + content


def _ledgers() -> Iterator[bytes]:
    short = World(rules_of())
    short.stop(ends=True)
    short.run_ms(100)
    longer = World(rules_of("rtms")).armed()
    longer.ask()
    longer.run_ms(120)
    for world in (short, longer):
        with tempfile.TemporaryDirectory() as folder:
            yield write(Path(folder), world, closed=world.ended is not None).read_bytes()


def words(target: str) -> list[str]:
    """The keys and tags of its beginnings, for the fuzzer's dictionary."""
    text = b"".join(seeds(target)).decode("utf-8", "replace")
    return sorted(set(re.findall(r"[a-z][a-z0-9_]{2,30}", text)))[:400]
