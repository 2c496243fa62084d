"""A tiny scripted device: its own hand on the wire, sharing no code with the driver."""

from __future__ import annotations

import asyncio
import binascii
import os
from collections.abc import Callable

from drivers.open_device import OpenDevice
from drivers.stimulation import Delivery, Hold, MagneticPulse, Output, PulseTrain, Sine, Train

Fields = dict[str, str]
# What to answer to a word: texts without mark, seq and check ("OK state=idle"); raw bytes go out as they are.
Script = Callable[[Fields], "list[str | bytes]"]

CAPS = {
    "tacs": "OK mod=tacs a=0:4000:10 f=100:100000:10 ph=0:359999:1 up=10:30000:1 dn=10:30000:1 dur=50:500:1",
    "rtms": "OK mod=rtms p=0:1000:10 r=100:100000:100 n=1:10000:1",
}
HELLO = "OK v=1 model=M serial=S7 fw=F mod=tacs,rtms out=F3,F4,Oz,coil link_ms=250 onset_us=500 stop_us=400"

IDLE = "OK state=idle a=0 en=1 z_ohm=4800 fault=none t_us=5000000 bad=0"


def line(text: str) -> bytes:
    raw = text.encode()
    return raw + b"*" + f"{binascii.crc_hqx(raw, 0):04X}".encode() + b"\n"


class Peer:
    """Answers as a healthy device would, except where a test puts a script in `script`."""

    def __init__(self) -> None:
        self.heard: list[str] = []  # "WORD key=value ...", seq and check taken off
        self.seqs: list[int] = []
        self.script: dict[str, Script] = {}
        self.state = "idle"
        self.a = 0
        self.t_us = 1_000_000
        self.token = 0
        self.connections = 0
        self.disconnected = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self.connections:
            await asyncio.wait_for(self.disconnected.wait(), 2)

    def device(self, *, answer_ms: int = 80, open_ms: int = 1000) -> OpenDevice:
        table = {"endpoint": f"tcp:127.0.0.1:{self.port}", "answer_ms": answer_ms, "open_ms": open_ms}
        return OpenDevice.from_config(table)

    def words(self) -> list[str]:
        return [text.split()[0] for text in self.heard]

    def say(self, text: str | bytes) -> None:
        """Send something unasked: an event, noise."""
        assert self._writer is not None
        self._writer.write(text if isinstance(text, bytes) else line(text))

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def mute(self, word: str) -> None:
        self.script[word] = lambda _: []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        self.disconnected.clear()
        try:
            while raw := await reader.readline():
                if raw == b"\n":
                    continue
                body, _, check = raw.rstrip(b"\n").rpartition(b"*")
                assert f"{binascii.crc_hqx(body, 0):04X}".encode() == check, raw
                head, _, rest = body.decode().partition(" ")
                assert head[0] == ">"
                self._answer(int(head[1:]), rest)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.disconnected.set()

    def _answer(self, seq: int, text: str) -> None:
        self.heard.append(text)
        self.seqs.append(seq)
        word, *pairs = text.split()
        fields = dict(pair.split("=") for pair in pairs)
        for answer in self.script.get(word, self._healthy)({"WORD": word, **fields}):
            self.say(answer if isinstance(answer, bytes) else f"<{seq} {answer}")

    def _healthy(self, fields: Fields) -> list[str | bytes]:
        self.t_us += 1000
        word = fields.pop("WORD")
        match word:
            case "HELLO":
                return [HELLO]
            case "CAPS":
                return [CAPS[fields["mod"]]]
            case "ARM":
                self.state = "armed"
                return ["OK state=armed"]
            case "SET":
                self.token += 1
                stored = " ".join(f"{key}={value}" for key, value in fields.items())
                return [f"OK token={self.token} {stored}"]
            case "FIRE":
                self.state = "running"
                return [f"OK token={fields['token']} in_us={fields['in_us']} t_us={self.t_us}"]
            case "STOP":
                self.state = "idle"
                return ["OK state=idle"]
            case _:
                return [f"OK state={self.state} a={self.a} en=1 z_ohm=4800 fault=none t_us={self.t_us} bad=0"]


def hold(amplitude_ma_pp: float = 1.0, *, phase_rad: float = 0.0, duration_ms: int = 300) -> Train:
    return Train(
        modality="tacs",
        outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
        waveform=Hold(
            carrier=Sine(amplitude_ma_pp=amplitude_ma_pp, frequency_hz=10.0, phase_rad=phase_rad),
            ramp_up_ms=50,
            ramp_down_ms=50,
            duration_ms=duration_ms,
        ),
    )


def pulses(amplitude_pct_mso: float = 60.0, *, n_pulses: int = 5, rate_hz: float = 50.0) -> Train:
    return Train(
        modality="rtms",
        outputs=(Output(name="coil", share=1.0),),
        waveform=PulseTrain(
            pulse=MagneticPulse(amplitude_pct_mso=amplitude_pct_mso), rate_hz=rate_hz, n_pulses=n_pulses
        ),
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110  it waits for the peer's side of the wire
            await asyncio.sleep(0.001)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def out(device: OpenDevice, n: int) -> list[Delivery]:
    got: list[Delivery] = []
    async with asyncio.timeout(2):
        async for delivery in device.deliveries():
            got.append(delivery)
            if len(got) == n:
                break
    return got
