"""A device for the tests of the interlock: pure, tiny, obedient unless told to misbehave. Its output is the truth."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.link import (
    ArmDevice,
    CallFailed,
    CloseDevice,
    Delivered,
    Done,
    Fire,
    Fired,
    FromHost,
    OpenDevice,
    Poll,
    Prepare,
    Prepared,
    Status,
    StopDevice,
    ToHost,
)
from drivers.stimulation import (
    BurstTrain,
    Delivery,
    Hold,
    PulseTrain,
    Sonication,
    Train,
    amplitude,
    n_pulses,
    with_amplitude,
)
from drivers.stimulator import DeviceStatus

MS = 1_000_000
SLICE_NS = 100 * MS


@dataclass(slots=True, kw_only=True)
class Line:
    """The output between two instants: straight."""

    from_ns: int = 0
    from_a: float = 0.0
    to_ns: int = 0
    to_a: float = 0.0

    def at(self, t_ns: int) -> float:
        if t_ns >= self.to_ns:
            return self.to_a
        if t_ns <= self.from_ns:
            return self.from_a
        return self.from_a + (self.to_a - self.from_a) * (t_ns - self.from_ns) / (self.to_ns - self.from_ns)


@dataclass(slots=True, kw_only=True)
class Going:
    """What comes out: a train from its onset on, and its open slice."""

    token: int
    train: Train
    onset_ns: int
    lease_ns: int
    slice_ns: int
    peak: float = 0.0
    in_slice: int = 0
    pulses: int = 0
    falling: bool = False


@dataclass(slots=True, kw_only=True)
class BenchDevice:
    """Holds and trains by the rules of docs/open-device-protocol.md; `said` is what it told since the last look."""

    enabled: bool = True
    late: bool = False
    armed: bool = False
    stopping: bool = False
    impedance_kohm: float | None = 5.0
    now_ns: int = 0
    line: Line = field(default_factory=Line)
    going: Going | None = None
    waiting: tuple[int, Train, int] | None = None
    prepared: tuple[int, Train] | None = None
    tokens: int = 100
    on_time_ns: int = 0
    charge_c: float = 0.0
    n_pulses: int = 0
    rise_ma_per_s: float = 0.0
    said: list[FromHost] = field(default_factory=list)

    @property
    def output(self) -> float:
        """What comes out now: mA peak to peak, or % MSO while a pulse train runs."""
        if self.going is not None and not isinstance(self.going.train.waveform, Hold):
            return amplitude(self.going.train)
        return self.line.at(self.now_ns)

    def call(self, message: ToHost) -> None:
        """Do as the host is told, and answer."""
        match message:
            case ArmDevice(call=call):
                if self.enabled and not self.armed and self.going is None:
                    self.armed = True
                    self.said.append(Done(call=call, at_ns=self.now_ns))
                else:
                    self._fail(call, "wrong_state")
            case Prepare(call=call, train=train):
                if not self.armed:
                    self._fail(call, "wrong_state")
                    return
                self.tokens += 1
                self.prepared = (self.tokens, train)
                self.said.append(Prepared(call=call, token=self.tokens, read_back=train, at_ns=self.now_ns))
            case Fire():
                self._fire(message)
            case StopDevice(call=call, how=how):
                self.stop(how)
                self.said.append(Done(call=call, at_ns=self.now_ns))
            case Poll(call=call):
                self.said.append(Status(call=call, status=self.status()))
            case OpenDevice() | CloseDevice():
                pass

    def status(self) -> DeviceStatus:
        state = "idle" if not self.armed else "running" if self.going is not None else "armed"
        if self.stopping:
            state = "stopping"
        return DeviceStatus(
            state=state,  # type: ignore[arg-type]
            at_ns=self.now_ns,
            amplitude=self.output,
            fault="",
            impedance_kohm=self.impedance_kohm,
        )

    def _fail(self, call: int, code: str) -> None:
        self.said.append(CallFailed(call=call, code=code, text="refused by the bench device"))

    def _fire(self, message: Fire) -> None:
        going = self.going
        if self.armed and going is not None and going.token == message.token and message.onset_at_ns == 0:
            if self.late or going.falling or not isinstance(going.train.waveform, Hold):
                self._fail(message.call, "late")
                return
            going.lease_ns = self.now_ns
            self.said.append(
                Fired(call=message.call, token=message.token, onset_ns=self.now_ns, at_ns=self.now_ns)
            )
            return
        if not self.armed or self.prepared is None or self.prepared[0] != message.token:
            self._fail(message.call, "wrong_state")
            return
        onset_ns = message.onset_at_ns or self.now_ns
        if onset_ns < self.now_ns:
            self._fail(message.call, "late")
            return
        _, train = self.prepared
        self.prepared = None
        self.waiting = (message.token, train, onset_ns)
        self.said.append(Fired(call=message.call, token=message.token, onset_ns=onset_ns, at_ns=self.now_ns))
        self.advance(self.now_ns)

    def stop(self, how: str) -> None:
        """Down and disarmed."""
        self.prepared, self.waiting = None, None
        going = self.going
        if going is None:
            self.armed = False
            return
        if how == "cut" or not isinstance(going.train.waveform, Hold):
            self.line = Line()
            self.armed = False
            self._end()
            return
        self.stopping = True
        if not going.falling:  # a fall that is under way is not begun anew: it would last longer for it
            self._fall(going, going.train.waveform)

    def enable(self, closed: bool) -> None:
        """The relay's contact."""
        self.enabled = closed
        if not closed:
            self.stop("cut")
            self.line, self.armed, self.stopping = Line(), False, False

    def advance(self, to_ns: int) -> None:
        """Let time pass; everything that is due happens at its own time."""
        while True:
            due_ns = self._due_ns()
            if due_ns is None or due_ns > to_ns:
                break
            self._pass(due_ns)
            self._happen()
        self._pass(to_ns)

    def _pass(self, to_ns: int) -> None:
        """Between two happenings the output is one straight piece, or rests."""
        if to_ns <= self.now_ns:
            return
        a, b = self.line.at(self.now_ns), self.line.at(to_ns)
        span_ns = to_ns - self.now_ns
        if a > 0.0 or b > 0.0:
            self.on_time_ns += span_ns
            self.charge_c += self._charging_ma((a + b) / 2.0) / 1000.0 * span_ns / 1e9
        if b > a:
            self.rise_ma_per_s = max(self.rise_ma_per_s, (b - a) / (span_ns / 1e9))
        if self.going is not None:
            self.going.peak = max(self.going.peak, a, b)
        self.now_ns = to_ns

    def _charging_ma(self, level: float) -> float:
        """What of a level counts as charge, by the carrier that comes out."""
        if self.going is None:
            return 0.0
        wave = with_amplitude(self.going.train, level).waveform
        return wave.carrier.charging_ma if isinstance(wave, Hold) else 0.0

    def _due_ns(self) -> int | None:
        dues = []
        if self.waiting is not None:
            dues.append(self.waiting[2])
        going = self.going
        if going is not None:
            dues.append(going.slice_ns + SLICE_NS)
            wave = going.train.waveform
            if self.now_ns < self.line.to_ns:
                dues.append(self.line.to_ns)
            if not isinstance(wave, Hold):
                dues.append(_next_ns(going))
            elif not going.falling:
                dues.append(going.lease_ns + wave.duration_ms * MS)
            else:
                dues.append(self.line.to_ns)
        return max(min(dues), self.now_ns) if dues else None

    def _happen(self) -> None:
        now_ns, going = self.now_ns, self.going
        if going is not None:
            wave = going.train.waveform
            if not isinstance(wave, Hold):
                if now_ns >= _next_ns(going):
                    if going.pulses == n_pulses(going.train):
                        self._end()
                    else:
                        going.pulses += 1
                        going.in_slice += 1
                        going.peak = amplitude(going.train)
                        self.n_pulses += 1
            elif not going.falling and now_ns >= going.lease_ns + wave.duration_ms * MS:
                taken_over = self.waiting is not None and self.waiting[2] <= now_ns
                if not taken_over:
                    self._fall(going, wave)
            elif going.falling and now_ns >= self.line.to_ns:
                self._end()
        if self.waiting is not None and now_ns >= self.waiting[2]:
            self._begin(*self.waiting)
        if self.going is not None and now_ns >= self.going.slice_ns + SLICE_NS:
            self._slice(self.going, ended=False)

    def _begin(self, token: int, train: Train, onset_ns: int) -> None:
        self.waiting = None
        if self.going is not None:
            self._slice(self.going, ended=True)
        level = self.line.at(onset_ns)
        self.going = Going(
            token=token, train=train, onset_ns=onset_ns, lease_ns=onset_ns, slice_ns=onset_ns, peak=level
        )
        wave = train.waveform
        if isinstance(wave, Hold):
            target = amplitude(train)
            ramp_ms = wave.ramp_up_ms if target > level else wave.ramp_down_ms
            ramp_ns = ramp_ms * MS if target != level else 0
            self.line = Line(from_ns=onset_ns, from_a=level, to_ns=onset_ns + ramp_ns, to_a=target)

    def _fall(self, going: Going, wave: Hold) -> None:
        going.falling = True
        to_ns = self.now_ns + wave.ramp_down_ms * MS
        self.line = Line(from_ns=self.now_ns, from_a=self.line.at(self.now_ns), to_ns=to_ns, to_a=0.0)

    def _end(self) -> None:
        if self.going is not None:
            self._slice(self.going, ended=True)
        self.going = None
        if self.stopping:
            self.stopping, self.armed = False, False

    def _slice(self, going: Going, *, ended: bool) -> None:
        told = Delivery(
            token=going.token,
            start_ns=going.slice_ns,
            end_ns=self.now_ns,
            amplitude=going.peak,
            n_pulses=going.in_slice,
            ended=ended,
            confirmed=True,
        )
        going.slice_ns, going.in_slice = self.now_ns, 0
        going.peak = self.line.at(self.now_ns)
        self.said.append(Delivered(delivery=told))


def _next_ns(going: Going) -> int:
    """When the next pulse of a train begins, or its end after the last."""
    wave = going.train.waveform
    if isinstance(wave, PulseTrain):
        return going.onset_ns + round(going.pulses / wave.rate_hz * 1e9)
    if isinstance(wave, BurstTrain):
        if going.pulses == n_pulses(going.train):
            return going.onset_ns + round(wave.n_bursts / wave.bursts_hz * 1e9)
        burst, pulse = divmod(going.pulses, wave.pulses_per_burst)
        return going.onset_ns + round((burst / wave.bursts_hz + pulse / wave.rate_in_burst_hz) * 1e9)
    assert isinstance(wave, Sonication)
    if going.pulses == n_pulses(going.train):
        return going.onset_ns + wave.sonication_ms * MS
    trains, pulses = divmod(going.pulses, -(-wave.train_ms * 1000 // wave.pulse_interval_us))
    return going.onset_ns + trains * wave.train_interval_ms * MS + pulses * wave.pulse_interval_us * 1000
