"""What the tests of the device host start: the host with our end of its link, and the emulator."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.host import Host
from drivers.link import (
    ArmDevice,
    CallFailed,
    Delivered,
    Fire,
    Fired,
    FrameBuffer,
    FromHost,
    OpenDevice,
    Opened,
    Poll,
    Prepare,
    Prepared,
    ToHost,
    frame,
    from_host,
)
from drivers.stimulation import Delivery, Train
from tests.bounded import line_of
from tests.drivers.host_of import finder

ROOT = Path(__file__).parents[2]
M = TypeVar("M", bound=FromHost)


class HostLink:
    """The interlock's end of the link to a device host."""

    def __init__(self, folder: Path) -> None:
        self.stops = folder / "stops"
        self.stops.touch()
        self.link, self.theirs = socket.socketpair()
        self.link.settimeout(5)
        self.deliveries: list[Delivery] = []
        self._frames = FrameBuffer()
        self._inbox: list[FromHost] = []
        self._call = 0

    def ended(self, within_s: float = 3.0) -> tuple[int, str]:
        """The exit status and what was said on standard error, when it has ended by itself."""
        raise NotImplementedError

    def call(self) -> int:
        self._call += 1
        return self._call

    def send(self, *messages: ToHost) -> None:
        self.link.sendall(b"".join(map(frame, messages)))

    def receive(self) -> FromHost:
        """The next message, deliveries included; ConnectionError at the end of the link."""
        while not self._inbox:
            data = self.link.recv(65_536)
            if not data:
                raise ConnectionError("the host ended")
            self._inbox += map(from_host.decode, self._frames.feed(data))
        return self._inbox.pop(0)

    def answer(self, call: int) -> FromHost:
        while True:
            message = self.receive()
            if isinstance(message, Delivered):
                self.deliveries.append(message.delivery)
            elif message.call == call:
                return message

    def ask(self, message: ToHost) -> FromHost:
        self.send(message)
        return self.answer(message.call)

    def failed(self, message: ToHost) -> CallFailed:
        return self.expect(CallFailed, message)

    def expect(self, kind: type[M], message: ToHost) -> M:
        answer = self.ask(message)
        assert isinstance(answer, kind), answer
        return answer

    def open(self, driver: str, silence_ms: int = 0, **table: str | int | float | bool) -> Opened:
        if driver == "rogue":
            table["stops"] = str(self.stops)
        return self.expect(
            Opened, OpenDevice(call=self.call(), driver=driver, table=table, silence_ms=silence_ms)
        )

    def arm(self) -> FromHost:
        return self.ask(ArmDevice(call=self.call()))

    def prepare(self, train: Train) -> Prepared:
        return self.expect(Prepared, Prepare(call=self.call(), train=train))

    def fire(self, token: int, onset_at_ns: int = 0) -> Fired:
        return self.expect(Fired, Fire(call=self.call(), token=token, onset_at_ns=onset_at_ns))

    def poll(self) -> FromHost:
        return self.ask(Poll(call=self.call()))

    def delivered(self, enough: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Wait until the deliveries are enough."""
        while not enough(self.deliveries):
            message = self.receive()
            assert isinstance(message, Delivered), message
            self.deliveries.append(message.delivery)
        return self.deliveries

    def last(self) -> list[FromHost]:
        """All that came before the link ended."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except (ConnectionError, msgspec.DecodeError):
            return messages


class HostProcess(HostLink):
    """A device host as it is in earnest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.host_of", "--fd", str(self.theirs.fileno())],
            pass_fds=[self.theirs.fileno()],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.theirs.close()

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise
        finally:
            assert self.process.stderr is not None
            self.process.stderr.close()

    def ended(self, within_s: float = 3.0) -> tuple[int, str]:
        status = self.process.wait(within_s)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()


class HostThread(HostLink):
    """A device host on a loop of its own in this process, for what needs no process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.theirs.setblocking(False)
        self._status: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> HostThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()
        self._thread.join(6)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        async def serve() -> int:
            host = Host(finder)
            await asyncio.get_running_loop().create_unix_connection(lambda: host, sock=self.theirs)
            status = await host.ended
            await asyncio.sleep(0)  # the transport closes its socket on the next turn
            return status

        self._status.append(asyncio.run(serve()))

    def ended(self, within_s: float = 3.0) -> tuple[int, str]:
        self._thread.join(within_s)
        assert not self._thread.is_alive()
        return self._status[0], ""


class Emulator:
    """The simulated device, and what it put down as the truth."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.record = folder / "device.jsonl"
        self._from = 0
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sim.devices.open_device",
                *(arguments or ("--tcp", "127.0.0.1:0")),
                *("--record", str(self.record), "--no-relay", "--die-with-stdin"),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.endpoint: str = json.loads(line_of(self.process.stdout))["endpoint"]

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it was killed by the test
        self.process.stdout.close()
        self.process.wait(5)

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        time.sleep(0.01)  # it reads on its own turn, and says nothing about it

    def forget(self) -> None:
        """Look from here on only at what it puts down next: it writes behind our back, so wait until it rests."""
        size = -1
        while size != (size := self.record.stat().st_size):
            time.sleep(0.02)
        self._from = size

    def truth(self, kind: str, at_least: int = 1) -> list[dict[str, object]]:
        """The entries of a kind; waits for so many, for its record is written behind its back."""
        until = time.monotonic() + 2
        while True:
            lines = self.record.read_text()[self._from :].splitlines(keepends=True)
            whole = [json.loads(line) for line in lines if line.endswith("\n")]
            found = [entry for entry in whole if entry["e"] == kind]
            if len(found) >= at_least or time.monotonic() > until:
                return found
            time.sleep(0.002)

    def heard(self, word: str, at_least: int = 1) -> list[str]:
        """The commands of a word that it took, seq and check included."""
        until = time.monotonic() + 2
        while True:
            lines = [str(entry["line"]) for entry in self.truth("rx")]
            found = [line for line in lines if line.split()[1].startswith(word)]
            if len(found) >= at_least or time.monotonic() > until:
                return found
            time.sleep(0.002)
