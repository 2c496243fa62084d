"""What `nociloop stop` says and returns, of rigs that confirm, hang, or were left by an interlock that was killed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safety.rig import STOP
from safety.stop import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def rig(place: Path, name: str, reply: bytes | None) -> Iterator[list[int]]:
    """A rig that listens; it answers each connection, or none of them. Yields how many there were."""
    (place / name).mkdir()
    taken: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(place / name / STOP))
        door.listen()

        def serve() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                with line:
                    taken.append(1)
                    if reply is None:
                        line.recv(1)  # until the one who pressed gives up
                    else:
                        line.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield taken
        door.shutdown(socket.SHUT_RDWR)
        thread.join(20.0)


def left_over(place: Path, name: str) -> None:
    """The socket of an interlock that was killed: there, and nobody behind it."""
    (place / name).mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(place / name / STOP))


def test_a_rig_that_confirms(place: Path, capsys: pytest.CaptureFixture[str]):
    with rig(place, "one", b'{"seq":7}') as taken:
        assert main([]) == 0
    assert capsys.readouterr().out == "one: STOP taken, it goes to zero (ledger entry 7)\n"
    assert len(taken) == 1


def test_a_rig_that_hangs_is_pressed_once(place: Path, capsys: pytest.CaptureFixture[str]):
    """A second connection would be a second STOP, which cuts."""
    with rig(place, "one", None) as taken:
        assert main([]) == 1
    assert capsys.readouterr().out == "one: NOT CONFIRMED: use the hardware stop\n"
    assert len(taken) == 1


def test_a_rig_whose_interlock_was_killed_is_told_apart(place: Path, capsys: pytest.CaptureFixture[str]):
    left_over(place, "dead")
    with rig(place, "one", b'{"seq":7}'):
        assert main([]) == 1  # of the dead one nobody knows what comes out
    dead, one = capsys.readouterr().out.splitlines()
    assert dead.startswith(
        "dead: NOT CONFIRMED: its interlock does not run: killed, crashed, or just ended; use the hardware stop"
    )
    assert one == "one: STOP taken, it goes to zero (ledger entry 7)"


def test_json_is_for_programs(place: Path, capsys: pytest.CaptureFixture[str]):
    left_over(place, "dead")
    assert main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [{"rig": "dead", "confirmed": False, "seq": None}]


def test_a_name_stays_on_its_line(place: Path, capsys: pytest.CaptureFixture[str]):
    left_over(place, "two\nlines\x1b[2J")
    assert main([]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("two\\nlines\\x1b[2J: NOT CONFIRMED")


def test_no_rig_and_a_wrong_call(place: Path, capsys: pytest.CaptureFixture[str]):
    assert main([]) == 1
    assert f"no rig found in {place}, nor noted by one: nothing" in capsys.readouterr().out
    assert main(["now"]) == 2
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for status in ("0 each rig confirmed", "1 one did not or none was found", "2 a wrong call"):
        assert status in said
