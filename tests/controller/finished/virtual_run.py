"""A whole run folder on virtual time: the real `step`, Ledger and Recorder, with a device and a controller made up here."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import msgspec
import numpy as np

from controller.eeg import Block, Cycle, Quality, Reading, StreamSpec
from controller.recorder import Recorder
from controller.session import load_session
from controller.taps import Event as Note
from controller.taps import Item
from drivers.capabilities import Capabilities
from drivers.link import (
    ArmDevice,
    Delivered,
    Done,
    Fire,
    Fired,
    Opened,
    Poll,
    Prepare,
    Prepared,
    Status,
    StopDevice,
)
from drivers.stimulation import Delivery, Hold, Modality, PulseTrain, Train, amplitude, duration_ns
from drivers.stimulator import DeviceStatus
from safety import acts
from safety.entries import Close, Genesis, entry_of, fold_of
from safety.events import (
    ActPresented,
    Asked,
    Beat,
    Durable,
    EndAsked,
    Event,
    Gone,
    HostSaid,
    Joined,
    Now,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.interlock import step
from safety.ledger import Ledger, Watched
from safety.limit_values import Limits
from safety.limits import load
from safety.messages import (
    PROTOCOL,
    DeliveryReport,
    End,
    Evidence,
    Heartbeat,
    Hello,
    Permit,
    PhaseChanged,
    Refusal,
    Request,
    Trip,
)
from safety.software import software
from safety.state import (
    EndProcess,
    OpenRelay,
    PetRelay,
    Rules,
    State,
    ToController,
    ToDevice,
    Watch,
)
from tests.safety.histories import NEW
from tests.safety.strategies import TODAY, caps_of, document, hold, pulses, to_toml

MS = 1_000_000
T0_NS = 7_000_000_000_000
SFREQ_HZ = 250.0
SESSION = Path(__file__).parents[3] / "sim" / "demo_files" / "session-tacs.toml"
CHANNELS = (
    "Fz",
    "FC1",
    "FC2",
    "F3",
    "F4",
    "Cz",
    "C3",
    "C4",
    "CP1",
    "CP2",
    "Pz",
    "O1",
    "Oz",
    "O2",
    "P3",
    "P4",
)
SPEC = StreamSpec(
    name="EEG", type="EEG", source_id="amp", uid="uid-1", sfreq_hz=500.0, ch_names=CHANNELS, hostname="h"
)
KEY = acts.derive_key("correct horse battery staple", "ab" * 16)


@dataclass(slots=True)
class Script:
    """What happens in a run: asks at ms of the session, when STOP is pressed or the controller falls silent."""

    modality: Modality = "tacs"
    duration_ms: int = 8_000
    asks: dict[int, Train] = field(default_factory=dict)
    stop_at_ms: int | None = None
    silent_from_ms: int | None = None
    nan_ms: tuple[int, int] = (0, 0)
    budget: dict[str, float] = field(default_factory=dict)


def rising(duration_ms: int = 8_000, top_ma_pp: float = 1.2) -> dict[int, Train]:
    """A hold asked every 200 ms, rising to `top_ma_pp` and staying there."""
    return {
        at_ms: hold(round(min(top_ma_pp, 0.06 * number), 2), ramp_up_ms=200)
        for number, at_ms in enumerate(range(1_000, duration_ms - 500, 200), start=1)
    }


class VirtualRun:
    """Runs a Script into a folder."""

    def __init__(self, run_dir: Path, script: Script) -> None:
        self._dir = run_dir
        self._script = script
        self._t_ns = T0_NS
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._token = 0
        self._left = 0
        self._held: dict[int, Train] = {}
        self._running: tuple[int, Train, int] | None = None
        self._level = 0.0
        self._device: list[dict[str, object]] = []
        self._seq = 0
        self._asked: dict[int, tuple[Request, int]] = {}
        self._silent = False
        self._fold: dict[str, int] = {}
        self.status: int | None = None
        limits = self._limits()
        self.rules = Rules(
            session_id="virtual-1",
            session_digest="5e" * 32,
            limits=limits,
            simulated=True,
            today=TODAY,
            nonce="n",
            history=NEW,
        )
        self._ledger = Ledger(
            run_dir / "ledger.jsonl", Watched(path=run_dir / "limits.toml", digest=limits.digest)
        )
        self._recorder = Recorder(run_dir, SPEC, ("theta", "alpha"), raw=True)
        now = self._now()
        self.state = State(
            entries=1,
            relay=True,
            watch=Watch(boot_offset_ns=0, wall_offset_ns=now.wall_ns - now.mono_ns, tick_ns=now.mono_ns),
        )
        genesis = Genesis(
            prev="", seq=0, kind="opened", now=now, utc="2026-06-01T10:00:00.000000+00:00", boot_id="b",
            rules=self.rules, state=self.state, software=software(),
        )  # fmt: skip
        self._entered = self.state.watch
        self._ledger.start()
        self._ledger.append(genesis)

    def lose_controller_at(self, at_ms: int) -> None:
        """The controller's connection ends."""
        self._script.silent_from_ms = at_ms
        self._at(at_ms, lambda: self.take(Gone(why="end of file")))

    def run(self) -> Path:
        """Play it to the end, and close every file."""
        script = self._script
        self._log("start", serial="SIM-1")
        self.take(Joined(hello=self._hello()))
        # As it comes over the link: what the tests write as an integer is a float then, in the state's digest, too.
        caps = msgspec.json.decode(msgspec.json.encode(caps_of(script.modality)), type=Capabilities)
        opened = Opened(call=0, capabilities=caps, distribution="nociloop", version="1")
        self.take(HostSaid(message=opened))
        self._at(300, self._arm)
        for at_ms, train in script.asks.items():
            self._at(at_ms, lambda train=train: self._ask(train))
        if script.stop_at_ms is not None:
            self._at(script.stop_at_ms, lambda: self.take(StopPressed(source="stop.sock", ends=False)))
        self._at(script.duration_ms, lambda: self.take(EndAsked(end=End(reason="duration"))))
        for at_ms in range(0, script.duration_ms + 1_500, 10):
            self._at(at_ms, lambda at_ms=at_ms: self._turn(at_ms))
        while self._queue and self.status is None:
            at_ns, _, what = heapq.heappop(self._queue)
            self._t_ns = max(self._t_ns, at_ns)
            what()
        self._close()
        return self._dir

    def take(self, event: Event) -> None:
        """As the interlock's process does: decide, record, carry out."""
        now, before = self._now(), self.state
        decided = step(self.rules, before, event, now)
        self.state = decided.state
        if decided.state.entries != before.entries:
            fold = fold_of(self._fold, self._entered, before.watch)
            self._fold, self._entered = {}, decided.state.watch
            self._ledger.append(entry_of(before, event, decided, now, fold))
        else:
            name = type(event).__name__
            self._fold[name] = self._fold.get(name, 0) + 1
        for effect in decided.effects:
            match effect:
                case ToDevice(message=message):
                    self._to_device(message)
                case ToController(message=message):
                    self._heard(message)
                case PetRelay():
                    self._after(1, lambda: self.take(RelaySaid(closed=True)))
                case OpenRelay():
                    self._after(1, lambda: self.take(RelaySaid(closed=False)))
                case EndProcess(status=status):
                    self.status = status
        was, arming = before.arming, self.state.arming
        if arming is not None and arming.step == "open_2" and (was is None or was.step != "open_2"):
            # It is not petted any more: it opens by its own silence, which is short here.
            self._after(5, lambda: self.take(RelaySaid(closed=False)))

    def _turn(self, at_ms: int) -> None:
        """Ten milliseconds: the EEG, the heartbeat, the tick; a hop every 100."""
        script = self._script
        silent = script.silent_from_ms is not None and at_ms >= script.silent_from_ms
        if not silent:
            self._seq += 1
            beat = Heartbeat(seq=self._seq, progress=self._seq, evidence=self._evidence())
            self.take(Beat(heartbeat=beat))
            if at_ms % 100 == 0:
                self.offer(self._cycle(at_ms))
        self.take(Durable(seq=self.state.entries))
        self.take(Tick(behind_ns=0))

    def _cycle(self, at_ms: int, request: Request | None = None, read_ns: int = 0) -> Cycle:
        low, high = self._script.nan_ms
        absent = low <= at_ms < high
        reason = f"quality: clean 0.{at_ms % 7} < 0.60; held" if absent else ""
        quality = Quality(ok=not absent, reasons=(), bads=(), clean_fraction=1.0, clean_s=4.0)
        values = {"theta": 0.25 + 0.08 * math.sin(at_ms / 900), "alpha": 1.0 + 0.2 * math.cos(at_ms / 700)}
        readings = {
            name: Reading(
                biomarker=name, value=math.nan if absent else value, unit="1", time_ns=self._t_ns - 20 * MS,
                window_s=4.0, latency_s=2.0, quality=quality, reason=reason,
            )
            for name, value in values.items()
        }  # fmt: skip
        return Cycle(
            index=at_ms // 100,
            sample_ns=self._t_ns - 6 * MS,
            received_ns=self._t_ns - 3 * MS,
            computed_ns=self._t_ns - 1 * MS,
            asked_ns=self._t_ns if request else 0,
            answered_ns=0,
            readings={} if request else readings,
            request=request,
        )

    def _ask(self, train: Train) -> None:
        number = len(self._asked) + 1
        request = Request(id=number, train=train, onset_at_ns=0, response=0.3, evidence=self._evidence())
        self._asked[number] = (request, self._t_ns)
        self._t_ns += MS // 2
        self.take(Asked(request=request))

    def _heard(self, message: object) -> None:
        match message:
            case Permit() | Refusal():
                request, asked_ns = self._asked[message.id]
                if isinstance(message, Permit):
                    message = msgspec.structs.replace(message, sent_ns=message.read_ns + MS // 4)
                cycle = Cycle(
                    index=0, sample_ns=asked_ns - 6 * MS, received_ns=asked_ns - 3 * MS,
                    computed_ns=asked_ns - MS, asked_ns=asked_ns, answered_ns=self._t_ns + MS,
                    readings={}, request=request, verdict=message,
                )  # fmt: skip
                self.offer(cycle)
            case Trip() | PhaseChanged() | DeliveryReport():
                self.offer(message)

    def _to_device(self, message: object) -> None:
        match message:
            case ArmDevice(call=call):
                self._after(5, lambda: self._host(Done(call=call, at_ns=self._t_ns)))
            case Prepare(call=call, train=train):
                self._token += 1
                token = self._token
                self._held[token] = train
                self._after(1, lambda: self._prepared(call, token, train))
            case Fire(call=call, token=token):
                self._after(1, lambda: self._fired(call, token))
            case StopDevice(call=call):
                self._end_running()
                self._after(20, lambda: self._host(Done(call=call, at_ns=self._t_ns)))
            case Poll(call=call):
                state = "armed" if self._running is None else "running"
                status = DeviceStatus(
                    state=state if self.state.phase == "ARMED" else "idle",
                    at_ns=self._t_ns,
                    amplitude=self._level,
                    fault="none",
                    impedance_kohm=5.0,
                )
                self._after(1, lambda: self._host(Status(call=call, status=status)))
            case _:
                pass

    def _prepared(self, call: int, token: int, train: Train) -> None:
        self._log("rx", line=f">{token} SET mod={train.modality}*0000")
        self._host(Prepared(call=call, token=token, read_back=train, at_ns=self._t_ns))

    def _fired(self, call: int, token: int) -> None:
        train = self._held[token]
        if self._running is not None and self._running[0] == token:
            self._log("rx", line=f">{token} RENEW token={token}*0000")
            self._left = duration_ns(train) // (100 * MS)
            self._host(Fired(call=call, token=token, onset_ns=self._t_ns, at_ns=self._t_ns))
            return
        self._log("rx", line=f">{token} FIRE token={token} in_us=0*0000")
        self._end_running()
        self._running = (token, train, self._t_ns)
        self._level = amplitude(train)
        self._host(Fired(call=call, token=token, onset_ns=self._t_ns, at_ns=self._t_ns))
        if isinstance(train.waveform, PulseTrain):
            self._pulse(token, train.waveform, 0)
        else:
            self._log("break", token=token, a_ma_pp=self._level)
            self._left = duration_ns(train) // (100 * MS)
            self._slice_later(token)

    def _pulse(self, token: int, wave: PulseTrain, number: int) -> None:
        if self._running is None or self._running[0] != token:
            return
        self._log("pulse", token=token, p_pct=wave.pulse.amplitude_pct_mso)
        last = number + 1 == wave.n_pulses
        start_ns = self._t_ns
        if last:
            self._running, self._level = None, 0.0
        self._deliver(token, start_ns, start_ns + MS, wave.pulse.amplitude_pct_mso, 1, ended=last)
        if not last:
            self._after(1000 / wave.rate_hz, lambda: self._pulse(token, wave, number + 1))

    def _slice_later(self, token: int) -> None:
        start_ns = self._t_ns

        def due() -> None:
            if self._running is None or self._running[0] != token:
                return
            level = self._level
            left, self._left = self._left, self._left - 1
            if left <= 1:
                self._running, self._level = None, 0.0
                self._log("break", token=token, a_ma_pp=0.0)
            self._running = None if left <= 1 else (token, self._held[token], self._t_ns)
            self._deliver(token, start_ns, self._t_ns, level, 0, ended=left <= 1)
            if left > 1:
                self._slice_later(token)

        self._after(100, due)

    def _end_running(self) -> None:
        if self._running is None:
            return
        token, train, since_ns = self._running
        self._running, level, self._level = None, self._level, 0.0
        if isinstance(train.waveform, Hold):
            self._log("break", token=token, a_ma_pp=0.0)
        self._deliver(token, since_ns, self._t_ns, level, 0, ended=True)

    def _deliver(
        self, token: int, start_ns: int, end_ns: int, level: float, n_pulses: int, *, ended: bool
    ) -> None:
        given = Delivery(
            token=token, start_ns=start_ns, end_ns=end_ns, amplitude=level, n_pulses=n_pulses, ended=ended,
            confirmed=True,
        )  # fmt: skip
        self._host(Delivered(delivery=given))

    def _host(self, message: Opened | Done | Prepared | Fired | Status | Delivered) -> None:
        self.take(HostSaid(message=message))

    def _arm(self) -> None:
        act = acts.sign(
            KEY, act="arm", person="ann", session_id=self.rules.session_id,
            nonce=f"{self.rules.nonce}-{self.state.nonces}", reason="test",
            expires_wall_ns=self._now().wall_ns + 3_600_000_000_000,
        )  # fmt: skip
        self.take(ActPresented(peer=1, uid=0, act=act))

    def _close(self) -> None:
        self.offer(Note(t_ns=self._t_ns, kind="end", code="", text="duration"))
        self._recorder.close()
        if self.status is not None:
            close = Close(prev="", seq=self.state.entries, kind="closed", now=self._now(), status=self.status)
            self._ledger.append(close)
        if not self._ledger.close(10.0):
            raise RuntimeError("the ledger did not close")
        lines = "".join(json.dumps(line) + "\n" for line in self._device)
        (self._dir / "device.jsonl").write_text(lines, encoding="utf-8")
        told = {
            "taps": [{"name": "recorder", "offered": 9, "dropped": 0}],
            "hops_skipped": 0,
            "blocks_refused": 0,
        }
        (self._dir / "controller.json").write_text(json.dumps(told), encoding="utf-8")

    def _limits(self) -> Limits:
        doc = document(self._script.modality)
        doc["people"]["ann"]["public_key"] = acts.public_key_hex(KEY)
        doc["people"]["ann"]["salt"] = "ab" * 16
        doc["device"]["endpoint"] = "tcp:127.0.0.1:4000"
        for name, high in self._script.budget.items():
            doc["budgets"]["session"][name]["max"] = high
        content = to_toml(doc)
        (self._dir / "limits.toml").write_bytes(content)
        values = {"seed": "1", "duration_s": "60.0", "source_id": "amp", "rig": "rig-1"}
        session = self._dir / "session.toml"
        session.write_text(Template(SESSION.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        session.write_text(load_session(session).resolved_toml, encoding="utf-8")
        return load(content)

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL, session_id=self.rules.session_id, session_digest=self.rules.session_digest,
            software="nociloop", modality=self._script.modality, sfreq_hz=SFREQ_HZ, stream_uid="uid-1",
        )  # fmt: skip

    def _evidence(self) -> Evidence:
        counted = round((self._t_ns - T0_NS) / 1e9 * SFREQ_HZ)
        return Evidence(
            stream_uid="uid-1", n_samples=counted, newest_ns=self._t_ns - 5 * MS, uncertainty_ns=MS,
            crc=counted, clean_fraction=1.0,
        )  # fmt: skip

    def offer(self, item: Item) -> None:
        self._recorder.consume([(self._t_ns, item)])

    def _log(self, kind: str, **more: object) -> None:
        self._device.append({"t_ns": self._t_ns, "e": kind, **more})

    def _at(self, at_ms: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (T0_NS + round(at_ms * MS), self._count, what))

    def _after(self, delay_ms: float, what: Callable[[], None]) -> None:
        self._at((self._t_ns - T0_NS) / MS + delay_ms, what)

    def _now(self) -> Now:
        return Now(mono_ns=self._t_ns, boot_ns=self._t_ns, wall_ns=self._t_ns + 1_780_000_000_000_000_000)


def block() -> Block:
    """One raw block, so that eeg.xdf names its channels."""
    evidence = Evidence(
        stream_uid="uid-1", n_samples=5, newest_ns=T0_NS, uncertainty_ns=0, crc=1, clean_fraction=1.0
    )
    return Block(
        data_uv=np.zeros((len(CHANNELS), 5)),
        stamps_ns=T0_NS + np.arange(5, dtype=np.int64),
        received_ns=T0_NS,
        first=0,
        n_missing=0,
        evidence=evidence,
    )


def trains_of_pulses() -> dict[int, Train]:
    """Three trains; the second comes too early, the third is above the threshold."""
    return {
        1_000: pulses(45.0, n_pulses=20),
        2_000: pulses(45.0, n_pulses=20),
        11_000: pulses(90.0, n_pulses=20),
    }
