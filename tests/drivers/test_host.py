"""The device host: deadlines, stops, and every way in which its link can end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

import drivers.host
import drivers.hosted
from drivers.host import main
from drivers.link import (
    ArmDevice,
    CallFailed,
    CloseDevice,
    Delivered,
    Done,
    Fire,
    OpenDevice,
    Poll,
    Prepare,
    Status,
    StopDevice,
    frame,
)
from tests.drivers.peer import hold, pulses
from tests.drivers.processes import ROOT, HostLink, HostProcess, HostThread

pytestmark = pytest.mark.system

L = TypeVar("L", bound=HostLink)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostThread]:
    for module in (drivers.host, drivers.hosted):
        monkeypatch.setattr(module, "CALL_S", 0.15)
    with HostThread(tmp_path) as host:
        yield host


@pytest.fixture
def process(tmp_path: Path) -> Iterator[HostProcess]:
    with HostProcess(tmp_path) as process:
        yield process


def rogue(host: L, wrong: str = "nothing", silence_ms: int = 0) -> L:
    host.open("rogue", silence_ms, wrong=wrong)
    return host


def test_a_whole_life(process: HostProcess) -> None:
    opened = process.open("null")
    assert (opened.capabilities.driver, opened.distribution, opened.version) == ("null", "nociloop", "0.1.0")
    assert isinstance(process.arm(), Done)
    prepared = process.prepare(pulses(n_pulses=1, rate_hz=50.0))
    assert prepared.read_back == pulses(n_pulses=1, rate_hz=50.0)
    fired = process.fire(prepared.token)
    assert abs(fired.onset_ns - time.monotonic_ns()) < 10**9
    (delivery,) = process.delivered(lambda got: len(got) == 1)
    assert (delivery.token, delivery.amplitude, delivery.confirmed) == (prepared.token, 0.0, True)
    status = process.poll()
    assert isinstance(status, Status)
    assert status.status.state == "armed"
    assert isinstance(process.ask(StopDevice(call=process.call(), how="ramp")), Done)
    assert isinstance(process.ask(CloseDevice(call=process.call())), Done)
    assert process.ended() == (0, "")


def test_calls_before_and_beside_the_opening(host: HostLink) -> None:
    for message in (
        ArmDevice(call=1),
        Poll(call=2),
        Prepare(call=3, train=hold()),
        Fire(call=4, token=1, onset_at_ns=0),
    ):
        assert host.failed(message).code == "wrong_state"
    assert isinstance(host.ask(StopDevice(call=5, how="cut")), Done)
    host.open("null")
    again = OpenDevice(call=6, driver="null", table={}, silence_ms=0)
    assert host.failed(again).code == "wrong_state"
    assert host.failed(Fire(call=7, token=1, onset_at_ns=0)).code == "wrong_state"


def test_a_wrong_table_is_told_and_a_right_one_still_opens(host: HostLink) -> None:
    wrong = OpenDevice(call=host.call(), driver="null", table={"colour": 1}, silence_ms=0)
    assert host.failed(wrong).code == "config"
    gone = OpenDevice(
        call=host.call(), driver="open_device", table={"endpoint": "tcp:127.0.0.1:1"}, silence_ms=0
    )
    assert host.failed(gone).code == "not_found"
    assert host.failed(OpenDevice(call=99, driver="nobody", table={}, silence_ms=0)).code == "internal"
    host.open("null")


@pytest.mark.parametrize(
    "wrong", ["system exit", "keyboard interrupt", "cancels itself", "group", "speechless"]
)
def test_whatever_a_driver_raises_is_one_line(host: HostLink, wrong: str) -> None:
    rogue(host, wrong)
    failed = host.failed(ArmDevice(call=host.call()))
    assert failed.code == ("silent" if wrong == "cancels itself" else "internal")
    assert "\n" not in failed.text
    assert isinstance(host.poll(), Status)
    assert isinstance(host.ask(StopDevice(call=host.call(), how="cut")), Done)


@pytest.mark.parametrize("wrong", ["nonsense", "not a train"])
def test_whatever_a_driver_returns_is_answered(host: HostLink, wrong: str) -> None:
    rogue(host, wrong).arm()
    assert host.failed(Prepare(call=host.call(), train=hold())).code == "internal"
    assert isinstance(host.poll(), Status)


def test_an_opening_that_raises_is_one_line(host: HostLink) -> None:
    table: dict[str, str | int | float | bool] = {"wrong": "open raises", "stops": str(host.stops)}
    message = OpenDevice(call=1, driver="rogue", table=table, silence_ms=0)
    assert host.failed(message).text == "the driver failed in open: ValueError: first line second line"


def test_deliveries_that_break_off_show_at_the_next_poll(host: HostLink) -> None:
    rogue(host, "deliveries break")
    failed = host.poll()
    assert isinstance(failed, CallFailed)
    assert (failed.code, "no more" in failed.text) == ("lost", True)


def test_a_fire_that_fails_counts_as_delivered_in_full(host: HostLink) -> None:
    rogue(host, "fire fails").arm()
    token = host.prepare(hold(1.5)).token
    failed = host.failed(Fire(call=host.call(), token=token, onset_at_ns=0))
    assert failed.code == "internal"
    (assumed,) = host.deliveries
    assert (assumed.token, assumed.amplitude, assumed.ended, assumed.confirmed) == (token, 1.5, True, False)
    assert assumed.end_ns - assumed.start_ns == 350_000_000
    assert host.failed(Fire(call=host.call(), token=token, onset_at_ns=0)).code == "wrong_state"
    assert len(host.deliveries) == 1


def test_a_refused_fire_counts_as_nothing(host: HostLink) -> None:
    host.open("null")
    host.arm()
    token = host.prepare(hold()).token
    assert host.failed(Fire(call=host.call(), token=token, onset_at_ns=1)).code == "late"
    host.link.shutdown(socket.SHUT_WR)
    assert not [message for message in host.last() if isinstance(message, Delivered)]


def test_a_call_that_hangs_is_answered_and_the_next_one_served(host: HostLink) -> None:
    rogue(host, "hangs")
    began = time.monotonic()
    assert host.failed(Poll(call=host.call())).code == "silent"
    assert 0.1 < time.monotonic() - began < 1.0
    assert isinstance(host.arm(), Done)


def test_a_call_that_will_not_be_cancelled_leaves_the_stop(host: HostLink) -> None:
    rogue(host, "will not be cancelled")
    host.send(Poll(call=1), ArmDevice(call=2))
    answers = [host.answer(1), host.answer(2)]
    assert [answer.code for answer in answers if isinstance(answer, CallFailed)] == ["silent", "silent"]
    assert "restart the device host" in host.failed(ArmDevice(call=3)).text
    assert isinstance(host.ask(StopDevice(call=4, how="cut")), Done)
    assert host.stops.read_text() == "cut\n"


def test_a_stop_goes_past_what_waits_and_what_waited_never_begins(host: HostLink) -> None:
    rogue(host, "hangs")
    began = time.monotonic()
    host.send(Poll(call=1), ArmDevice(call=2), Prepare(call=3, train=hold()), StopDevice(call=4, how="ramp"))
    failed = [host.receive(), host.receive()]
    assert [(each.call, each.code) for each in failed if isinstance(each, CallFailed)] == [
        (2, "superseded"),
        (3, "superseded"),
    ]
    assert isinstance(host.receive(), Done)
    assert time.monotonic() - began < 0.12
    assert isinstance(host.answer(1), CallFailed)
    assert isinstance(host.ask(ArmDevice(call=5)), Done)


def test_stops_may_overlap_and_calls_after_them_wait(host: HostLink) -> None:
    rogue(host)
    host.arm()
    calls = [StopDevice(call=host.call(), how="ramp") for _ in range(20)]
    arm = ArmDevice(call=host.call())
    host.send(*calls, arm)
    assert [host.receive().call for _ in calls] == [call.call for call in calls]  # type: ignore[union-attr]
    assert isinstance(host.answer(arm.call), Done)


def test_a_stop_that_hangs_is_answered(host: HostLink) -> None:
    rogue(host, "stop hangs")
    assert host.failed(StopDevice(call=host.call(), how="cut")).code == "silent"
    host.link.shutdown(socket.SHUT_WR)
    assert host.ended()[0] == 0


def test_too_many_that_wait_are_refused(host: HostLink) -> None:
    rogue(host, "hangs")
    host.send(*(Poll(call=call) for call in range(100)))
    answers = [host.receive() for _ in range(83)]
    assert all(isinstance(answer, CallFailed) and answer.code == "wrong_state" for answer in answers)


# ---- how the link ends


def test_end_of_file_stops_and_ends(process: HostProcess) -> None:
    rogue(process).arm()
    began = time.monotonic()
    process.link.close()
    assert process.ended() == (0, "")
    assert time.monotonic() - began < 1
    assert process.stops.read_text().startswith("ramp\n")


def test_an_end_in_the_middle_of_a_frame_stops_too(host: HostLink) -> None:
    rogue(host).arm()
    host.link.sendall(frame(Poll(call=9))[:7])
    host.link.close()
    assert host.ended()[0] == 0
    assert host.stops.read_text().startswith("ramp\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x05\xff\xfe{}\x00",
        b'\x00\x00\x00\x18{"type":"fly","call":17}',
        b'\x00\x00\x00\x20{"type":"poll","call":17,"a":123}',
        b'\x00\x00\x00\x1a{"type":"poll","call":"1"}',
        b'\x00\x00\x00\x1a{"type":"poll","call":1.5}',
    ],
)
def test_a_frame_that_cannot_be_stops_and_ends(host: HostLink, data: bytes) -> None:
    rogue(host).arm()
    host.link.sendall(data)
    assert host.ended()[0] == 1
    assert host.stops.read_text().startswith("ramp\n")


def test_a_frame_that_cannot_be_is_said_in_one_line(process: HostProcess) -> None:
    process.link.sendall(b"GET / HTTP/1.1\r\n\r\n")
    status, said = process.ended()
    assert (status, said.count("\n")) == (1, 1)
    assert "a frame from the interlock cannot be" in said


def test_silence_stops_and_ends_and_any_frame_breaks_it(process: HostProcess) -> None:
    rogue(process, silence_ms=150).arm()
    for _ in range(3):
        time.sleep(0.06)
        assert isinstance(process.poll(), Status)
    began = time.monotonic()
    status, said = process.ended()
    assert 0.1 < time.monotonic() - began < 1
    assert status == 1
    assert "nothing heard from the interlock for 150 ms" in said
    assert process.stops.read_text().startswith("ramp\n")


def test_no_silence_is_watched_before_the_opening_or_where_none_is_asked(host: HostLink) -> None:
    time.sleep(0.08)
    rogue(host)
    time.sleep(0.08)
    assert isinstance(host.poll(), Status)


def test_the_terminals_interrupt_is_not_ours_and_terminate_is(process: HostProcess) -> None:
    rogue(process).arm()
    process.process.send_signal(signal.SIGINT)
    assert isinstance(process.poll(), Status)
    process.process.send_signal(signal.SIGTERM)
    status, said = process.ended()
    assert (status, "SIGTERM" in said) == (0, True)
    assert process.stops.read_text().startswith("ramp\n")


def test_an_interlock_that_does_not_read_is_given_up(process: HostProcess) -> None:
    rogue(process).arm()
    polls = b"".join(frame(Poll(call=call)) for call in range(500))
    began = time.monotonic()
    try:
        while time.monotonic() - began < 4:
            process.link.sendall(polls)
    except OSError:
        pass  # it is gone, as it should be
    status, said = process.ended()
    assert (status, "does not read" in said) == (1, True)
    assert process.stops.read_text().startswith("ramp\n")


def test_what_was_fired_and_not_confirmed_is_assumed_at_the_end(host: HostLink) -> None:
    rogue(host, "deliveries break").arm()
    token = host.prepare(pulses(80.0)).token
    host.fire(token)
    assert isinstance(host.ask(CloseDevice(call=host.call())), Done)
    (assumed,) = host.deliveries
    assert (assumed.token, assumed.n_pulses, assumed.confirmed) == (token, 5, False)


# ---- the process


@pytest.mark.parametrize("arguments", [[], ["--fd"], ["--fd", "x"], ["--fd", "-1"], ["--fd", "997"]])
def test_a_wrong_start_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        assert main(arguments) == 2
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_start_by_hand_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drivers.host", "--fd", "0"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)


def test_it_is_small_and_starts_fast(tmp_path: Path) -> None:
    began = time.monotonic()
    with HostProcess(tmp_path) as host:
        host.open("null")
        assert time.monotonic() - began < 1.0  # 0.15 s on a quiet machine; the slack is for a busy one
        with open(f"/proc/{host.process.pid}/status") as text:
            rss_kb = next(int(line.split()[1]) for line in text if line.startswith("VmRSS"))
        assert rss_kb < 35_000
        assert len(os.listdir(f"/proc/{host.process.pid}/fd")) <= 8


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, drivers.host, drivers.open_device; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "scipy", "mne", "pydantic", "typer", "rich", "pylsl", "serialx", "safety"}
