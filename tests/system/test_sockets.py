"""What is written to a rig's sockets: whatever cannot be meant is refused and recorded, and the interlock lives on."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from drivers.link import FrameBuffer, frame
from drivers.stimulation import Output
from safety.events import BadFrame, Gone, Joined, StopPressed
from safety.messages import (
    AskStatus,
    End,
    FromInterlock,
    PhaseChanged,
    Refusal,
    Welcome,
)
from safety.peers import FRAME_BYTES_MAX, UNSENT_MAX
from safety.persons import SILENT_NS
from safety.stop import press
from tests.system.interlock_rig import ROOT, WAIT_S, Rig, interlock_rig, together, until
from tests.system.played_controller import hello_of, hold

pytestmark = pytest.mark.system

NOBODY = 65_534


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


class Line:
    """A connection without manners."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(str(path))
        self._frames = FrameBuffer()
        self._said: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def said(self) -> FromInterlock:
        """The next message; ConnectionError at the end."""
        while not self._said:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionError("closed")
            self._said += self._frames.feed(data)
        decoder: msgspec.json.Decoder[FromInterlock] = msgspec.json.Decoder(FromInterlock)
        return decoder.decode(self._said.pop(0))

    def closed(self) -> bool:
        """Read to the end: true once the interlock has closed."""
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionError:
            pass
        return True


@contextmanager
def line_to(rig: Rig, name: str) -> Iterator[Line]:
    line = Line(rig.directory / name)
    try:
        yield line
    finally:
        line.socket.close()


def bad_frames(rig: Rig) -> list[BadFrame]:
    return [entry.event for entry in rig.entries() if isinstance(entry.event, BadFrame)]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with interlock_rig() as made:
        yield made


def request(**changes: object) -> list[object]:
    """A request that would be read, as plain values in their order, some of them bent; what is unknown comes last."""
    values = {
        "type": "request",
        "id": 1,
        "train": msgspec.to_builtins(hold(0.1)),
        "onset_at_ns": 0,
        "response": 0.5,
        "evidence": ["u", 1, 1, 1, 1, 1.0],
    }
    return list((values | changes).values())


def bent(**changes: object) -> bytes:
    return json.dumps(request(**changes)).encode()


def bent_carrier(text: str) -> bytes:
    whole = bent()
    assert whole.count(b'["sine", 0.1,') == 1
    return whole.replace(b'["sine", 0.1,', b'["sine", ' + text.encode() + b",")


UNREADABLE: dict[str, bytes] = {
    "no JSON": b"{",
    "empty object": b"{}",
    "an array": b"[]",
    "null": b"null",
    "not UTF-8": b'["end","\xff\xfe"]',
    "unknown tag": b'["override"]',
    "a request as an object": json.dumps({"type": "request", "id": 1}).encode(),
    "unknown field": bent(force=True),
    "missing field": json.dumps(request()[:-1]).encode(),
    "string for a number": bent(response="0.5"),
    "bool for a number": bent(id=True),
    "float for an integer": bent(id=1.5),
    "NaN": bent(response=float("nan")),
    "Infinity": bent(response=float("inf")),
    "a NaN amplitude": bent_carrier("NaN"),
    "an amplitude beyond floats": bent_carrier("1e999"),
    "nested beyond measure": b"[" * 5000 + b"]" * 5000,
    "two messages in one frame": b'["end",""]["end",""]',
}
assert len(UNREADABLE) < 20  # the interlock lets go of who sends more


def test_each_frame_that_cannot_be_read_is_recorded_and_nothing_else_happens(rig: Rig) -> None:
    with line_to(rig, "controller.sock") as line:
        line.write(frame(hello_of("tacs")))
        assert isinstance(line.said(), Welcome)
        rig.until_ready()
        line.write(b"".join(framed(body) for body in UNREADABLE.values()))
        until(lambda: len(bad_frames(rig)) == len(UNREADABLE), "an entry for each")
        for name, entry in zip(UNREADABLE, bad_frames(rig), strict=True):
            assert entry.source == "controller" and 0 < len(entry.text) <= 200, name
        # And the same connection is still heard; numbers beyond all use are refused like any other.
        for body in (bent(), bent(id=10**400), bent(onset_at_ns=-(10**400)), bent_carrier("1e308")):
            line.write(framed(body))
            while not isinstance(line.said(), Refusal):
                pass
        assert rig.status().phase == "READY"
        line.write(frame(End(reason="done")))
    assert rig.interlock is not None and rig.interlock.wait(WAIT_S) == 0
    rig.ended_in_order()


IMPOSSIBLE = (
    struct.pack(">I", 0xFFFFFFFF),
    struct.pack(">I", FRAME_BYTES_MAX + 1),
    struct.pack(">I", 0),
    struct.pack(">I", 0xFFFFFFFF) + os.urandom(1 << 20),
)


def test_a_length_that_cannot_be_ends_the_connection() -> None:
    together(*(partial(_impossible_length, data) for data in IMPOSSIBLE))


def _impossible_length(data: bytes) -> None:
    with interlock_rig() as rig:
        rig.running().send_raw_unheard(data)
        rig.until_tripped("ILK-202")
        assert any("frame of" in entry.text for entry in bad_frames(rig)), bad_frames(rig)
        assert rig.status().phase == "TRIPPED"
        assert rig.ended_in_order() == 4


def test_who_sends_too_much_that_cannot_be_read_is_let_go(rig: Rig) -> None:
    controller = rig.running()
    controller.send_raw_unheard(framed(b"{}") * 5000)
    rig.until_tripped("ILK-261")
    assert controller.gone.wait(WAIT_S)
    assert rig.ended_in_order() == 4
    assert len(bad_frames(rig)) == 20


def test_frames_may_come_in_any_pieces(rig: Rig) -> None:
    """Byte by byte, or many at once."""
    with line_to(rig, "controller.sock") as line:
        for byte in frame(hello_of("tacs")):
            line.write(bytes([byte]))
        assert isinstance(line.said(), Welcome)
        many = b"".join(framed(bent(id=number)) for number in range(1, 201))
        line.write(many)
        refused: list[int] = []
        while len(refused) < 200:
            said = line.said()
            refused += [said.id] if isinstance(said, Refusal) else []
        assert refused == list(range(1, 201))
        largest = framed(b" " * (FRAME_BYTES_MAX - len(bent(id=201))) + bent(id=201))
        line.write(largest)
        while not (isinstance(said := line.said(), Refusal) and said.id == 201):
            pass
        assert bad_frames(rig) == []
    until(lambda: not rig.stop_sock.exists(), "the end of a session whose controller has left")
    rig.ended_in_order()


def test_nothing_is_heard_before_hello_and_hello_only_once(rig: Rig) -> None:
    with line_to(rig, "controller.sock") as line:
        line.write(framed(bent()) + frame(End(reason="early")))
        until(lambda: len(bad_frames(rig)) == 2, "both refused")
        assert [entry.text for entry in bad_frames(rig)] == ["Request before hello", "End before hello"]
        line.write(frame(hello_of("rtms")))
        said = line.said()
        assert isinstance(said, PhaseChanged) and said.code == "ILK-322"
        line.write(frame(hello_of("tacs")) * 2)
        assert isinstance(line.said(), Welcome)
        while not (isinstance(said := line.said(), PhaseChanged) and said.code):
            pass
        assert said.code == "ILK-321"
        until(
            lambda: sum(isinstance(entry.event, Joined) for entry in rig.entries()) == 3,
            "all three on record",
        )


def test_one_controller_per_session_ever(rig: Rig) -> None:
    first = rig.running()
    with line_to(rig, "controller.sock") as second:
        assert second.closed()
    until(lambda: len(bad_frames(rig)) == 1, "the second one refused")
    assert rig.status().phase == "ARMED" and not first.gone.is_set()
    first.close()
    rig.until_tripped("ILK-202")
    with line_to(rig, "controller.sock") as third:
        assert third.closed()
    assert rig.ended_in_order() == 4


def test_a_person_who_sends_nonsense_is_let_go_and_the_next_is_heard(rig: Rig) -> None:
    for data in (framed(b"{}"), framed(b'["hello"]'), struct.pack(">I", 0), os.urandom(4096)):
        with line_to(rig, "acts.sock") as person:
            person.write(data)
            assert person.closed()
    until(lambda: len(bad_frames(rig)) == 4, "an entry for each")
    assert {entry.source for entry in bad_frames(rig)} == {"person"}
    rig.running()  # nothing of it hinders a session
    assert rig.ended_in_order() == 4


def is_answered(person: Line) -> bool:
    person.write(frame(AskStatus()))
    return person.socket.recv(65_536) != b""


def test_who_only_connects_keeps_nobody_from_arming(rig: Rig) -> None:
    """Places are few: who says nothing gives his to the next at once, and has none after a few seconds."""
    rig.controller()
    asked = Line(rig.directory / "acts.sock")
    assert is_answered(asked)
    crowd = []
    for number in range(20):
        crowd.append(Line(rig.directory / "acts.sock"))
        if (
            number % 2 == 0
        ):  # the beginning of something, while nobody has come after it: its place may be gone later
            crowd[-1].write(b"\0\0")
    rig.arm()
    assert is_answered(asked)  # who was heard keeps a place before those who were not
    begun_s = time.monotonic()
    for each in crowd:
        assert each.closed()
        each.socket.close()
    assert time.monotonic() - begun_s < SILENT_NS / 1e9 + 1
    assert is_answered(asked)
    assert press(rig.stop_sock) is not None
    asked.socket.close()
    assert rig.ended_in_order() == 4


def test_a_controller_that_never_reads_is_bounded_then_gone(rig: Rig) -> None:
    rss_kb = resident_kb(rig.pid)
    with line_to(rig, "controller.sock") as line:
        line.write(frame(hello_of("tacs")))
        until(lambda: rig.status().controller, "the hello")
        asked = 0
        try:
            while asked < 20_000:
                asked += 50
                line.write(b"".join(framed(bent(id=asked + number)) for number in range(50)))
        except ConnectionError:
            pass  # let go
        until(lambda: not rig.stop_sock.exists(), "the end")
    assert asked < 20_000
    gone = [entry.event for entry in rig.entries() if isinstance(entry.event, Gone)]
    assert gone == [Gone(why="reads no more")]
    assert rig.interlock is not None and rig.interlock.wait(WAIT_S) == 0
    rig.ended_in_order()
    assert resident_kb(rig.pid, default=rss_kb) - rss_kb <= 3 * UNSENT_MAX // 1024


def resident_kb(pid: int, default: int = 0) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return default
    return int(status.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in status else default


KNOCK = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:]:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(5)
    try:
        line.connect(path)
        print("taken" if line.recv(64) else "closed")
    except PermissionError:
        print("refused")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_may_press_stop_and_nothing_else(rig: Rig) -> None:
    rig.running()
    rig.folder.chmod(0o711)  # as a site's directory is
    names = ("controller.sock", "acts.sock", "stop.sock")
    since_ns = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-I", "-c", KNOCK, *(str(rig.directory / name) for name in names)],
        capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "refused", "taken"], done
    rig.zero_ms(since_ns, 3000)
    assert rig.ended_in_order() == 4
    stops = [entry for entry in rig.entries() if isinstance(entry.event, StopPressed)]
    assert len(stops) == 2  # and the end by a signal


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_s_credentials_are_asked_for_even_where_the_path_is_open(rig: Rig) -> None:
    for path in (rig.folder, rig.directory.parent, rig.directory):
        path.chmod(0o755)
    for name in ("controller.sock", "acts.sock"):
        (rig.directory / name).chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-I", "-c", KNOCK, str(rig.directory / "controller.sock"), str(rig.directory / "acts.sock")],
        capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == ["closed", "closed"], done
    assert rig.status().phase == "SAFE" and not rig.status().controller
    rig.running()  # the session has its one controller still before it
    assert rig.ended_in_order() == 4


def test_a_request_far_too_large_is_refused_with_a_short_answer(rig: Rig) -> None:
    with line_to(rig, "controller.sock") as line:
        line.write(frame(hello_of("tacs")))
        rig.until_ready()
        names = tuple(Output(name=f"E{number}", share=0.0) for number in range(300))
        train = msgspec.structs.replace(hold(0.1), outputs=names)
        line.write(framed(bent(train=msgspec.to_builtins(train))))
        said = line.said()
        while not isinstance(said, Refusal):
            said = line.said()
        assert len(msgspec.json.encode(said)) < 4096
        assert rig.status().phase == "READY"
