"""The null device: does everything that a stimulator does, but puts out nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Self

from drivers.capabilities import Capabilities, Envelope, Grade, Lack
from drivers.stimulation import MODALITIES, Delivery, Hold, Train, duration_ns, is_whole, quantities
from drivers.stimulator import (
    ConfigError,
    DeviceRefused,
    DeviceState,
    DeviceStatus,
    LateOnset,
    Stop,
    Token,
    WrongState,
)

GRADE: Grade = "simulated"
# As wide as the simulated stimulator of docs/open-device-protocol.md, and without steps. Own choice.
ENVELOPES = {
    "amplitude_ma_pp": Envelope(low=0.0, high=4.0, step=0.0),
    "frequency_hz": Envelope(low=0.1, high=100.0, step=0.0),
    "phase_rad": Envelope(low=0.0, high=6.283185307179586, step=0.0),
    "amplitude_ma": Envelope(low=0.0, high=100.0, step=0.0),
    "width_us": Envelope(low=1.0, high=1000.0, step=0.0),
    "gap_us": Envelope(low=0.0, high=1000.0, step=0.0),
    "second_width_us": Envelope(low=1.0, high=10_000.0, step=0.0),
    "pulses_per_burst": Envelope(low=1.0, high=100.0, step=1.0),
    "rate_in_burst_hz": Envelope(low=0.1, high=10_000.0, step=0.0),
    "low_hz": Envelope(low=0.1, high=640.0, step=0.0),
    "high_hz": Envelope(low=0.1, high=640.0, step=0.0),
    "ramp_up_ms": Envelope(low=10.0, high=30_000.0, step=1.0),
    "ramp_down_ms": Envelope(low=10.0, high=30_000.0, step=1.0),
    "duration_ms": Envelope(low=50.0, high=500.0, step=1.0),
    "amplitude_pct_mso": Envelope(low=0.0, high=100.0, step=0.0),
    "rate_hz": Envelope(low=0.1, high=10_000.0, step=0.0),
    "n_pulses": Envelope(low=1.0, high=10_000.0, step=1.0),
    "bursts_hz": Envelope(low=0.1, high=100.0, step=0.0),
    "n_bursts": Envelope(low=1.0, high=10_000.0, step=1.0),
    "amplitude_mpa_water": Envelope(low=0.0, high=5.0, step=0.0),
    "frequency_khz": Envelope(low=200.0, high=1000.0, step=0.0),
    "pulse_us": Envelope(low=1.0, high=1_000_000.0, step=1.0),
    "pulse_interval_us": Envelope(low=1.0, high=1_000_000.0, step=1.0),
    "train_ms": Envelope(low=1.0, high=10_000.0, step=1.0),
    "train_interval_ms": Envelope(low=1.0, high=10_000.0, step=1.0),
    "sonication_ms": Envelope(low=1.0, high=10_000.0, step=1.0),
}
OUTPUTS = ("F3", "F4", "Oz", "coil", "transducer")
# Of good contacts, on the skin or implanted, so that a shadow session is judged as one with a stimulator; nothing is
# measured. Own choice.
IMPEDANCE_KOHM = 1.0
_DELIVERIES_MAX = 4096
_AHEAD_NS_MAX = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class _Running:
    token: Token
    train: Train
    onset_ns: int
    falls_ns: int = 0
    ends: asyncio.TimerHandle | None = None


class NullDevice:
    """Takes every call, keeps the order that a device would, and confirms each delivery as amplitude 0."""

    GRADE = GRADE
    LACKS: tuple[Lack, ...] = ()

    def __init__(
        self, now_ns: Callable[[], int] = time.monotonic_ns, outputs: tuple[str, ...] = OUTPUTS
    ) -> None:
        self._now_ns = now_ns
        self._outputs = outputs
        self._state: DeviceState = "closed"
        self._token = 0
        self._prepared: tuple[Token, Train] | None = None
        self._running: _Running | None = None
        self._reports: deque[Delivery] = deque(maxlen=_DELIVERIES_MAX)
        self._more = asyncio.Event()

    @classmethod
    def from_config(cls, table: Mapping[str, object]) -> Self:
        """`outputs`, comma-separated: the contacts of the stimulator that it stands for."""
        unknown = set(table) - {"outputs"}
        if unknown:
            raise ConfigError(f"null: unknown key {min(unknown)!r}; the null device takes outputs alone")
        named = table.get("outputs", ",".join(OUTPUTS))
        if not isinstance(named, str) or not all(named.split(",")):
            raise ConfigError(f'null: key outputs: found {named!r}, expected names as in "F3,Oz"')
        return cls(outputs=tuple(named.split(",")))

    async def open(self) -> Capabilities:
        """Nothing to connect to."""
        if self._state != "closed":
            raise WrongState("null: is open already; close it first")
        self._state = "idle"
        self._reports.clear()
        return Capabilities(
            driver="null",
            model="null",
            serial="none",
            firmware="0",
            modalities=MODALITIES,
            outputs=self._outputs,
            envelopes=dict(ENVELOPES),
            onset_latency_ns=0,
            stop_latency_ns=0,
            link_timeout_ms=250,
            ends_by_itself=True,
            stops_on_link_loss=True,
            confirms=True,
            reads_back=True,
            measures_impedance=True,
            renews=True,
            grade=GRADE,
        )

    async def arm(self) -> None:
        """Nothing to energise."""
        if self._state != "idle":
            raise WrongState(f"null: is {self._state}, and arms only from idle")
        self._state = "armed"

    async def prepare(self, train: Train) -> tuple[Token, Train]:
        """Keep the train; it reads back as it was asked."""
        self._check_armed("prepares")
        if not is_whole(train):
            raise DeviceRefused(f"null: {train.modality} does not take a {type(train.waveform).__name__}")
        for name, value in quantities(train).items():
            envelope = ENVELOPES[name]
            if not envelope.low <= value <= envelope.high:
                raise DeviceRefused(
                    f"null: {name} is {value!r}, expected {envelope.low:g} to {envelope.high:g}"
                )
        self._token += 1
        self._prepared = (self._token, train)
        return self._prepared

    async def fire(self, token: Token, onset_at_ns: int) -> int:
        """Run a clock, and nothing else."""
        self._check_armed("fires")
        running = self._running
        if running is not None and running.token == token and running.onset_ns <= self._now_ns():
            return self._renew(running, onset_at_ns)
        if self._prepared is None or self._prepared[0] != token:
            raise WrongState(f"null: token {token} is not the prepared one")
        now_ns = self._now_ns()
        onset_ns = onset_at_ns or now_ns
        if onset_ns < now_ns:
            raise LateOnset(f"null: onset is {(now_ns - onset_ns) // 1000} µs past")
        if onset_ns > now_ns + _AHEAD_NS_MAX:
            raise DeviceRefused("null: onset is more than 1 s ahead")
        train = self._prepared[1]
        running = self._running
        if running is not None and not (
            isinstance(running.train.waveform, Hold) and isinstance(train.waveform, Hold)
        ):
            raise DeviceRefused("null: a train runs (busy)")
        self._end(min(onset_ns, now_ns))
        self._prepared = None
        self._run(_Running(token=token, train=train, onset_ns=onset_ns), onset_ns)
        self._state = "running"
        return onset_ns

    async def stop(self, how: Stop) -> None:
        """There is nothing to ramp."""
        self._end(self._now_ns())
        self._prepared = None
        if self._state != "closed":
            self._state = "idle"

    async def status(self) -> DeviceStatus:
        """Its state, amplitude 0, and the impedance of good contacts."""
        if self._state == "closed":
            raise WrongState("null: is not open")
        return DeviceStatus(
            state=self._state, at_ns=self._now_ns(), amplitude=0.0, fault="", impedance_kohm=IMPEDANCE_KOHM
        )

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """One for each train, when it ends: amplitude 0, no pulse."""
        while True:
            while self._reports:
                yield self._reports.popleft()
            if self._state == "closed":
                return
            self._more.clear()
            await self._more.wait()

    async def close(self) -> None:
        """Nothing to release."""
        await self.stop("cut")
        self._state = "closed"
        self._more.set()

    def _renew(self, running: _Running, onset_at_ns: int) -> int:
        """The lease of the hold that runs begins anew, at once, until it falls."""
        now_ns = self._now_ns()
        if onset_at_ns != 0:
            raise WrongState(f"null: token {running.token} runs, and is renewed at once only")
        if not isinstance(running.train.waveform, Hold) or now_ns >= running.falls_ns:
            raise LateOnset(f"null: token {running.token} is no hold that still stands")
        self._run(running, now_ns)
        return now_ns

    def _run(self, running: _Running, from_ns: int) -> None:
        """Let it end by itself."""
        if running.ends is not None:
            running.ends.cancel()
        running.falls_ns = from_ns + duration_ns(running.train)
        wave = running.train.waveform
        zero_ns = running.falls_ns + (wave.ramp_down_ms * 1_000_000 if isinstance(wave, Hold) else 0)
        delay_s = (zero_ns - self._now_ns()) / 1e9
        running.ends = asyncio.get_running_loop().call_later(delay_s, self._ended_by_itself, zero_ns)
        self._running = running

    def _check_armed(self, what: str) -> None:
        if self._state not in ("armed", "running"):
            raise WrongState(f"null: is {self._state}, and {what} only while armed")

    def _ended_by_itself(self, at_ns: int) -> None:
        self._end(at_ns)
        self._state = "armed"

    def _end(self, at_ns: int) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        if running.ends is not None:
            running.ends.cancel()
        start_ns = min(running.onset_ns, at_ns)
        self._reports.append(
            Delivery(
                token=running.token,
                start_ns=start_ns,
                end_ns=at_ns,
                amplitude=0.0,
                n_pulses=0,
                ended=True,
                confirmed=True,
            )
        )
        self._more.set()
