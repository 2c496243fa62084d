"""The emulated open device as a process: both transports, contact, field, record, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from sim.devices.open_device import main
from sim.record import State, deliveries, load, told, zero_since
from tests.sim.open_device_bench import HOLD, MS, TRAIN
from tests.sim.processes import DEADLINE_S, Talker, run_to_end, running, tcp, until

pytestmark = pytest.mark.system

DEVICE = "sim.devices.open_device"


def test_over_tcp_with_contact_and_field(tmp_path: Path):
    record, contact, field = tmp_path / "d.jsonl", tmp_path / "contact", tmp_path / "field"
    felt = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    felt.bind(str(field))
    felt.setblocking(False)
    arguments = ("--tcp", "127.0.0.1:0", "--record", record, "--contact", contact, "--field", field)
    with running(DEVICE, *arguments) as device, felt:
        client, host = tcp(device.ready["endpoint"])
        with client, socket.socket(socket.AF_UNIX) as relay:
            assert host.say("HELLO v=1").startswith("OK v=1 model=open-sim serial=SIM-0001 ")
            assert host.say("ARM") == "ERR code=enable"
            relay.connect(str(contact))
            relay.send(b"1")
            until(lambda: "en=1" in host.say("STAT"))
            host.say("ARM")
            host.say(HOLD.replace("up=100", "up=10"))
            asked_ns = time.monotonic_ns()
            host.say("FIRE token=1 in_us=0")
            end_ns = asked_ns + 150 * MS
            while time.monotonic_ns() < end_ns:
                host.say("STAT")
                time.sleep(0.01)
            with socket.create_connection(client.getpeername(), DEADLINE_S) as second:
                second.settimeout(DEADLINE_S)
                assert second.recv(1) == b""
            cut_ns = time.monotonic_ns()
            relay.send(b"0")
            until(lambda: "en=0" in host.say("STAT"))
            assert "ENABLE en=0" in host.told
        assert device.end() == 0
        datagrams = [json.loads(felt.recv(4096)) for _ in range(10)]
    kept = load(record)
    since_ns = zero_since(kept, asked_ns)
    assert since_ns is not None and cut_ns <= since_ns < cut_ns + 100 * MS
    assert [(d.token, d.amplitude) for d in deliveries(kept)] == [(1, 1.0)]
    slices = told(kept)
    assert slices[-1].ended and abs(slices[-1].end_ns - since_ns) < 2_000
    assert {d["modality"] for d in datagrams} == {"tacs"} and datagrams[0]["amplitude_ma_pp"] == 0.0
    assert datagrams[1]["amplitude_ma_pp"] == 1.0 and datagrams[1]["frequency_hz"] == 10.0
    assert not contact.exists()


def test_over_a_pty_a_lost_host_a_second_one_and_faults_typed_in(tmp_path: Path):
    record, link = tmp_path / "d.jsonl", tmp_path / "dev"
    with running(
        DEVICE, "--pty", "--link", link, "--record", record, "--no-relay", "--serial", "X1"
    ) as device:
        assert device.ready["endpoint"] == f"serial:{os.readlink(link)}"
        far = os.open(link, os.O_RDWR | os.O_NOCTTY)
        host = Talker(lambda: os.read(far, 4096), lambda data: os.write(far, data))
        assert " serial=X1 " in host.say("HELLO v=1")
        host.say("ARM")
        host.say(TRAIN)
        host.say("FIRE token=1 in_us=0")
        lost_ns = time.monotonic_ns()
        os.close(far)
        until(
            lambda: any(
                isinstance(e, State) and e.state == "idle" and e.why == "link lost"
                for e in load(record).entries
            )
        )
        far = os.open(link, os.O_RDWR | os.O_NOCTTY)
        host = Talker(lambda: os.read(far, 4096), lambda data: os.write(far, data))
        assert " serial=X1 " in host.say("HELLO v=1")
        assert host.told[-1] == "LINK"  # said while nobody listened
        device.type("fault clamp_silently")
        device.type("nonsense")
        device.type("fault nosuch")
        until(lambda: "clamp_silently" in record.read_text())
        host.say("ARM")
        assert " p=300 " in host.say(TRAIN)
        device.type("fault vanish_after:0")
        with pytest.raises((OSError, EOFError)):  # by whether the read had begun when the far end went
            while True:
                host.say("STAT")
        os.close(far)
        assert device.end() == 0
    kept = load(record)
    assert 1 <= len(kept.pulses) <= 4
    since_ns = zero_since(kept, lost_ns)
    assert since_ns is not None and since_ns < lost_ns + 300 * MS
    assert not link.is_symlink()


def test_a_host_that_floods_or_vanishes_does_not_stop_the_device(tmp_path: Path):
    record = tmp_path / "d.jsonl"
    with running(DEVICE, "--tcp", "127.0.0.1:0", "--record", record, "--no-relay") as device:
        client, host = tcp(device.ready["endpoint"])
        client.sendall(os.urandom(100_000) + b"\n")
        assert host.say("ARM") == "OK state=armed"
        host.say(HOLD)
        host.say("FIRE token=1 in_us=0")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()  # a reset, not an end of file
        client, host = tcp(device.ready["endpoint"])
        with client:
            assert "state=running" in host.say("STAT")
            device.popen.send_signal(signal.SIGTERM)
            assert device.popen.wait(DEADLINE_S) == 0
    kept = load(record)
    assert zero_since(kept, 0) is not None
    assert isinstance(kept.entries[-1], State) and kept.entries[-1].state == "off"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tcp", "127.0.0.1", "--no-relay", "--record", "r"],
        ["--tcp", "127.0.0.1:99999", "--no-relay", "--record", "r"],
        ["--pty", "--no-relay", "--record", "no/such/folder/r"],
        ["--pty", "--contact", "x" * 200, "--record", "r"],
        ["--pty", "--contact", "no/such/folder/c", "--record", "r"],
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments: list[str], tmp_path: Path):
    done = run_to_end(DEVICE, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--record", "r", "--no-relay"],
        ["--pty", "--record", "r"],
        ["--pty", "--no-relay"],
        ["--pty", "--record", "r", "--no-relay", "--fault", "nosuch"],
        ["--pty", "--record", "r", "--no-relay", "--serial", "a b"],
        ["--pty", "--record", "r", "--no-relay", "--outputs", "F3,F3"],
    ],
)
def test_wrong_options_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err
