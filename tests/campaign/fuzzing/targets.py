"""What is fuzzed: each target takes any bytes, and may raise nothing; what it begins with, and the words that it knows.

Imported under atheris' instrumentation by `fuzzing.process`; plainly by the tests, which try the beginnings alone.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from drivers.link import (
    CallFailed,
    Delivered,
    Done,
    Fired,
    FrameBuffer,
    FrameError,
    FromHost,
    Prepared,
    Status,
    frame,
)
from drivers.stimulation import MODALITIES, Delivery, Modality
from drivers.stimulator import DeviceStatus
from safety.limits import LimitsErrors, load
from safety.messages import FireRequest, Heartbeat
from safety.show import Wanted, shown
from safety.verdict_words import said_of
from safety.verify import LedgerUnreadable, judged
from safety.wire import act_of, event_of
from tests.campaign.fuzzing import talking
from tests.safety.ledgers import SOFTWARE, write
from tests.safety.strategies import caps_of, document, to_toml, valid_train
from tests.safety.world import T0, World, hello_of, opened_of, rules_of

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
    """A ledger, judged and shown: as it comes, or, by the first byte, with chain and seal made good, so that what lies
    behind is read."""
    content = rechained(data[1:]) if data[:1] < b"\x80" else data[1:]
    try:
        _one_line_each(said_of(judged(Path("ledger.jsonl"), content, SOFTWARE, ())).split("\n"))
    except LedgerUnreadable as error:
        _one_line_each((str(error),))
    file = _scratch()
    os.ftruncate(file, 0)
    os.pwrite(file, content, 0)
    try:
        _one_line_each([each.text for each in shown(Path(f"/proc/self/fd/{file}"), Wanted())])
    except LedgerUnreadable as error:
        _one_line_each((str(error),))


@functools.cache
def _scratch() -> int:
    """A file of this process, on no disk."""
    return os.memfd_create("ledger.jsonl")


def _one_line_each(lines: Sequence[str]) -> None:
    for line in lines:
        if "\n" in line or not line.isprintable():
            raise AssertionError(f"not one printable line: {line!r}")


def rechained(content: bytes) -> bytes:
    """The same lines, each with the hash of the one before, a closing one with its seal."""
    before, lines = "0" * 64, []
    for line in content.split(b"\n"):
        whole = re.sub(rb'"prev":"[0-9a-f]*"', b'"prev":"' + before.encode() + b'"', line, count=1)
        unsealed = re.sub(rb'"seal":"[0-9a-f]*"}$', b'"seal":""}', whole)
        if unsealed != whole:
            seal = hashlib.sha256(unsealed).hexdigest().encode()
            whole = unsealed.removesuffix(b'""}') + b'"' + seal + b'"}'
        lines.append(whole)
        before = hashlib.sha256(whole).hexdigest()
    return b"\n".join(lines)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "frames": frames, "talk": talking.talk, "limits": limits, "verifier": verifier,
}  # fmt: skip


def seeds(target: str) -> Iterator[bytes]:
    """What a target begins with: a few small inputs that are right."""
    if target == "frames":
        yield b"\x05" + frame(hello_of("tacs"))
        world = World(rules_of()).ready()
        yield b"\x40" + b"".join(frame(message) for message in (world.request(), world.act()))
        yield b"\x30" + b"".join(frame(message) for message in world.sent)
    elif target == "talk":
        yield from _talks()
    elif target == "limits":
        for modality in MODALITIES:
            yield to_toml(document(modality))
        yield b"a = " + b"[" * 3000
        yield b"a = " + b"9" * 5000
    else:
        for content in _ledgers():
            yield b"\x00" + content
            yield b"\xff" + content


def _talks() -> Iterator[bytes]:
    """Of each modality a session told in symbols, and at each stage what may be said then."""
    for number, modality in enumerate(MODALITIES):
        yield bytes([number, 0]) + b"".join(talking.symbol(name) for name in talking.WAY)
        world = World(rules_of(modality)).armed()
        request = msgspec.json.encode(world.request())
        fire = msgspec.json.encode(FireRequest(id=1, onset_at_ns=0, evidence=world.evidence()))
        act, hello = msgspec.json.encode(world.act()), msgspec.json.encode(hello_of(modality))
        beat = Heartbeat(seq=99, progress=99, evidence=world.evidence())
        yield bytes([number, 9]) + b"\n".join([request, b"2", msgspec.json.encode(beat), fire, request])
        yield bytes([number, 2]) + b"\n".join([hello, b"p" + act, b"8" * 4])
        said = _said_by_host(modality)
        yield bytes([number, 13]) + b"\n".join([request, *said])
        yield bytes([number, 10]) + b"\n".join([*said, request])


def _said_by_host(modality: Modality) -> list[bytes]:
    train = valid_train(modality)
    status = DeviceStatus(state="running", at_ns=T0.mono_ns, amplitude=0.1, fault="", impedance_kohm=5.0)
    delivery = Delivery(
        token=101,
        start_ns=T0.mono_ns,
        end_ns=T0.mono_ns + 1,
        amplitude=0.1,
        n_pulses=1,
        ended=False,
        confirmed=True,
    )
    messages: list[msgspec.Struct] = [
        opened_of(caps_of(modality)), Done(call=3, at_ns=T0.mono_ns),
        Prepared(call=4, token=101, read_back=train, at_ns=T0.mono_ns),
        Fired(call=5, token=101, onset_ns=T0.mono_ns, at_ns=T0.mono_ns), Status(call=-1, status=status),
        Delivered(delivery=delivery), CallFailed(call=4, code="failed", text="x"),
    ]  # fmt: skip
    return [b"h" + msgspec.json.encode(message) for message in messages]


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
