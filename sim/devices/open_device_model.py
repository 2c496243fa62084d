"""The open device's state machine: commands in, answers and events out, with time handed in.

Pure. Written from docs/open-device-protocol.md; the numbers of rules are those of its "Rules of output".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.devices import open_device_settings as settings
from sim.devices.open_device_faults import Fault, Faults
from sim.devices.open_device_line import SEQ_COUNT, Bad, Command, parse, seal
from sim.devices.open_device_output import (
    NS_PER_MS,
    NS_PER_US,
    HoldPlan,
    How,
    Moved,
    Output,
    Plan,
    Pulsed,
    Slice,
    TrainPlan,
    wire_ua,
)
from sim.devices.open_device_settings import COIL, Refused, expect, integer
from sim.record import Bad as BadEntry
from sim.record import Break, Contact, Entry, LinkLost, Pulse, Rx, Start, State

LINK_MS = 250
ONSET_US = 500
STOP_US = 500
IN_US_MAX = 1_000_000
Z_OPEN_OHM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What HELLO tells; `outputs` named `coil` is the coil, all others are electrodes."""

    serial: str = "SIM-0001"
    model: str = "open-sim"
    firmware: str = "1.0.0"
    outputs: tuple[str, ...] = ("F3", "F4", "Oz", COIL)


class OpenDevice:
    """One device from power-on. `handle` a line, `advance` time; take `events` and `entries` away."""

    def __init__(self, *, identity: Identity, started_ns: int, enabled: bool, faults: Faults) -> None:
        self.output = Output(lease_ends="runaway" not in faults)
        self.faults = faults
        self.heard = 0  # valid lines so far
        self.last_word = ""
        self._identity = identity
        self._started_ns = started_ns
        self._enabled = enabled
        self._state = "idle"
        self._fault = "none"
        self._prepared: Plan | None = None
        self._tokens = 0
        self._fired_max = 0
        self._heard_ns = started_ns
        self._electrode_off_ns: int | None = None
        self._bad = 0
        self._event_seq = 0
        self._last: tuple[bytes, bytes] | None = None
        self._events: list[bytes] = []
        skew = faults.get("skew")
        self._skew_ppm = skew.number if skew is not None else 0
        self._entries: list[Entry] = [Start(t_ns=started_ns, serial=identity.serial, skew_ppm=self._skew_ppm)]
        self._enter("idle", "power-on", started_ns)

    # -- what comes in ------------------------------------------------------------------------------------

    def handle(self, line: bytes | Bad, now_ns: int) -> bytes:
        """One line without its newline; the answer, empty where the line is dropped."""
        self.advance(now_ns)
        command = parse(line) if isinstance(line, bytes) else line
        if isinstance(command, Bad):
            self._bad += 1
            self._entries.append(BadEntry(t_ns=now_ns, why=command.why))
            return b""
        self._heard_ns = now_ns
        self.heard += 1
        self.last_word = command.word
        self._entries.append(Rx(t_ns=now_ns, line=command.text.decode("ascii")))
        if self._last is not None and self._last[0] == command.text:
            return self._last[1]
        try:
            said = "OK" + self._obey(command, now_ns)
        except Refused as refused:
            said = f"ERR code={refused.code}"
        answer = seal(f"<{command.seq} {said}")
        self._last = (command.text, answer)
        self.advance(now_ns)
        return answer

    def advance(self, now_ns: int) -> None:
        """Let happen all that is due by `now_ns`, each at its own time: a late step changes nothing."""
        while (due_ns := self.next_ns()) is not None and due_ns <= now_ns:
            self.output.advance(due_ns)
            self._settle(due_ns)
            if self._electrode_off_ns is not None and self._electrode_off_ns <= due_ns:
                self._break_down("electrode", due_ns)
            struck_ns = self._link_due_ns()
            if struck_ns is not None and struck_ns <= due_ns:
                self._lose_link(due_ns)

    def next_ns(self) -> int | None:
        """When something happens next by itself."""
        dues = (self.output.next_ns(), self._link_due_ns(), self._electrode_off_ns)
        return min((due_ns for due_ns in dues if due_ns is not None), default=None)

    def set_enable(self, closed: bool, now_ns: int) -> None:
        """The contact of the watchdog relay moved (rule 4)."""
        self.advance(now_ns)
        if closed == self._enabled:
            return
        self._enabled = closed
        self._entries.append(Contact(t_ns=now_ns, closed=closed))
        if not closed:
            self._end("cut", "enable input opened", now_ns)
            self._tell("ENABLE en=0")

    def inject(self, fault: Fault, now_ns: int) -> None:
        """Make a fault active in mid-run; the clock's skew is fixed at power-on."""
        self.advance(now_ns)
        self.faults.inject(fault)
        if fault.name == "fault_electrode" and self.output.hold is not None and not self.output.waiting:
            self._electrode_off_ns = now_ns + fault.number * NS_PER_MS
        self.output.lease_ends = "runaway" not in self.faults

    def clear_faults(self, now_ns: int) -> None:
        """End all faults; a lease that ran out meanwhile ends now."""
        self.advance(now_ns)
        self.faults.clear()
        self._electrode_off_ns = None
        self._heard_ns = max(self._heard_ns, now_ns - LINK_MS * NS_PER_MS)
        self.output.keep_lease(now_ns)
        self.advance(now_ns)

    def power_off(self, now_ns: int) -> None:
        """The supply goes: no output can remain."""
        self.advance(now_ns)
        self.output.stop("cut", now_ns)
        self._drain()
        self._prepared = None
        self._enter("off", "power-off", now_ns)

    # -- what goes out ------------------------------------------------------------------------------------

    def events(self) -> list[bytes]:
        """The event lines since the last call, in order."""
        events, self._events = self._events, []
        return events

    def entries(self) -> list[Entry]:
        """The entries of the device's own record since the last call, in order."""
        entries, self._entries = self._entries, []
        return entries

    @property
    def state(self) -> str:
        """The state as STAT tells it."""
        return self._state

    # -- commands -----------------------------------------------------------------------------------------

    def _obey(self, command: Command, now_ns: int) -> str:
        """What follows OK; raises Refused."""
        keys = command.keys
        match command.word:
            case "HELLO":
                return self._hello(keys)
            case "CAPS":
                return settings.caps_text(keys)
            case "ARM":
                return self._arm(keys, now_ns)
            case "SET":
                return self._set(keys)
            case "FIRE":
                return self._fire(keys, now_ns)
            case "RENEW":
                return self._renew(keys, now_ns)
            case "STOP":
                return self._stop(keys, now_ns)
            case "STAT":
                return self._stat(keys, now_ns)
            case _:
                raise Refused("syntax")

    def _hello(self, keys: dict[str, str]) -> str:
        expect(keys, "v")
        if integer(keys["v"]) != 1:
            raise Refused("range")
        it = self._identity
        return (
            f" v=1 model={it.model} serial={it.serial} fw={it.firmware} mod={','.join(settings.KINDS)} "
            f"out={','.join(it.outputs)} link_ms={LINK_MS} onset_us={ONSET_US} stop_us={STOP_US} renews=1"
        )

    def _arm(self, keys: dict[str, str], now_ns: int) -> str:
        expect(keys)
        self._need_health()
        if self._state not in ("idle", "armed"):
            raise Refused("state")
        if self._state == "idle":
            self._enter("armed", "ARM", now_ns)
        return " state=armed"

    def _set(self, keys: dict[str, str]) -> str:
        numbers = settings.values(keys)
        if self._state == "fault":
            raise Refused("fault")
        if self._state not in ("armed", "running"):
            raise Refused("state")
        settings.check_values(keys, numbers)
        settings.check_outputs(keys, self._identity.outputs)
        amplitude = "a" if keys["mod"] == "tacs" else "p"
        stored = numbers | {amplitude: self._stored(numbers[amplitude])}
        self._tokens += 1
        self._prepared = settings.plan(self._tokens, keys, stored)
        told = " ".join(f"{name}={value}" for name, value in stored.items())
        return f" token={self._tokens} mod={keys['mod']} {told} out={keys['out']}"

    def _fire(self, keys: dict[str, str], now_ns: int) -> str:
        expect(keys, "token", "in_us")
        token, in_us = integer(keys["token"]), integer(keys["in_us"])
        self._need_health()
        if self._state not in ("armed", "running"):
            raise Refused("state")
        plan = self._prepared
        if 0 < token <= self._fired_max:
            raise Refused("token")
        if plan is None:
            raise Refused("state")
        if plan.token != token:
            raise Refused("token")
        if not 0 <= in_us <= IN_US_MAX:
            raise Refused("range")
        for code in ("busy", "late"):
            if code in self.faults:
                raise Refused(code)
        # Rule 2; and one start may wait at a time.
        meets = isinstance(plan, TrainPlan) and not self.output.idle
        if self.output.train is not None or self.output.waiting or meets:
            raise Refused("busy")
        # The onset falls on a whole µs of the device, so that the time told is the time kept.
        since_ns = now_ns - self._started_ns + in_us * NS_PER_US
        onset_ns = self._started_ns + -(-since_ns // NS_PER_US) * NS_PER_US
        self._prepared = None
        self._fired_max = token
        self.output.start(plan, onset_ns)
        electrode = self.faults.get("fault_electrode")
        if electrode is not None and isinstance(plan, HoldPlan) and self._electrode_off_ns is None:
            self._electrode_off_ns = onset_ns + electrode.number * NS_PER_MS
        if self._state == "armed":
            self._enter("running", "FIRE", now_ns)
        return f" token={token} in_us={in_us} t_us={self._device_us(onset_ns)}"

    def _renew(self, keys: dict[str, str], now_ns: int) -> str:
        expect(keys, "token")
        token = integer(keys["token"])
        self._need_health()
        if self._state not in ("armed", "running"):
            raise Refused("state")
        if not 0 < token <= self._fired_max or self.output.train is not None:
            raise Refused("token")
        if self.output.waiting or "busy" in self.faults:
            raise Refused("busy")
        # The lease begins on a whole µs of the device, so that the time told is the time kept.
        at_ns = self._started_ns + -(-(now_ns - self._started_ns) // NS_PER_US) * NS_PER_US
        if "late" in self.faults or not self.output.renew(token, at_ns):
            raise Refused("late")
        return f" token={token} t_us={self._device_us(at_ns)}"

    def _stop(self, keys: dict[str, str], now_ns: int) -> str:
        expect(keys, "how")
        hows: dict[str, How] = {"ramp": "ramp", "cut": "cut"}
        if keys["how"] not in hows:
            raise Refused("syntax")
        if not ("stuck_on" in self.faults or "runaway" in self.faults):
            self._end(hows[keys["how"]], "STOP", now_ns)
        return f" state={self._state}"

    def _stat(self, keys: dict[str, str], now_ns: int) -> str:
        expect(keys)
        train = self.output.train
        now = train.p if train is not None and not self.output.waiting else 0
        a = now if train is not None else wire_ua(self.output.amplitude_ua(now_ns))
        return (
            f" state={self._state} a={a} en={int(self._enabled)} z_ohm={self._z_ohm(now_ns)} "
            f"fault={self._fault} t_us={self._device_us(now_ns)} bad={self._bad}"
        )

    # -- rules --------------------------------------------------------------------------------------------

    def _need_health(self) -> None:
        """What ARM and FIRE need before anything else."""
        if self._state == "fault":
            raise Refused("fault")
        if not self._enabled:
            raise Refused("enable")

    def _stored(self, amplitude: int) -> int:
        """The amplitude that the device keeps."""
        if "clamp_silently" in self.faults:
            return amplitude // 20 * 10
        if "clamp_up" in self.faults:
            return amplitude + max(10, amplitude // 100 * 10)
        return amplitude

    def _end(self, how: How, why: str, now_ns: int) -> None:
        """To zero and disarmed; nothing stays prepared (rule 5)."""
        self.output.stop(how, now_ns)
        self._drain()
        self._prepared = None
        self._electrode_off_ns = None
        if self._state != "fault":
            self._enter("idle" if self.output.idle else "stopping", why, now_ns)

    def _settle(self, at_ns: int) -> None:
        """Turn what came out into events and entries; follow an output that ended by itself."""
        self._drain()
        if self.output.idle:
            self._electrode_off_ns = None
            if self._state == "running":
                self._enter("armed", "ended", at_ns)
            elif self._state == "stopping":
                self._enter("idle", "stopped", at_ns)

    def _link_due_ns(self) -> int | None:
        """When the link watchdog strikes if nothing more is heard (rule 3)."""
        if self._state not in ("armed", "running") or "runaway" in self.faults:
            return None
        return self._heard_ns + LINK_MS * NS_PER_MS

    def _lose_link(self, at_ns: int) -> None:
        """Rule 3: as by STOP how=ramp."""
        self._entries.append(LinkLost(t_ns=at_ns))
        self._end("ramp", "link lost", at_ns)
        self._tell("LINK")

    def _break_down(self, code: str, at_ns: int) -> None:
        """The device stops by itself; the fault stays until power-off."""
        self._fault = code
        self._enter("fault", code, at_ns)
        self._end("cut", code, at_ns)
        self._tell(f"FAULT code={code}")

    def _enter(self, state: str, why: str, at_ns: int) -> None:
        """Change state; the first `why` of a state that is kept stands."""
        if state != self._state or why == "power-on":
            self._state = state
            self._entries.append(State(t_ns=at_ns, state=state, why=why))

    def _drain(self) -> None:
        """The output's effects as entries of the record and OUT events."""
        for effect in self.output.effects():
            match effect:
                case Moved():
                    self._entries.append(
                        Break(
                            t_ns=effect.at_ns,
                            token=effect.token,
                            a_ma_pp=effect.a_ua / 1000,
                            to_ma_pp=effect.to_ua / 1000,
                        )
                    )
                case Pulsed():
                    self._entries.append(Pulse(t_ns=effect.at_ns, token=effect.token, p_pct=effect.p / 10))
                case Slice():
                    self._tell(self._slice_text(effect))

    def _slice_text(self, part: Slice) -> str:
        """An OUT event."""
        half = 2 if "lie_delivery" in self.faults else 1
        from_us, to_us = self._device_us(part.from_ns), self._device_us(part.to_ns)
        return (
            f"OUT token={part.token} from_us={from_us} to_us={to_us} "
            f"a={part.a // half} n={part.n // half} end={int(part.end)}"
        )

    def _tell(self, text: str) -> None:
        """Queue an event line."""
        self._events.append(seal(f"!{self._event_seq} {text}"))
        self._event_seq = (self._event_seq + 1) % SEQ_COUNT

    def _device_us(self, t_ns: int) -> int:
        """A time of the host on the device's clock."""
        return (t_ns - self._started_ns) * (1_000_000 + self._skew_ppm) // (1_000_000 * NS_PER_US)

    def _z_ohm(self, now_ns: int) -> int:
        """Impedance; falls over the first minutes (*phenomenological*, the fall seen by Hahn 2013)."""
        if self._fault == "electrode":
            return Z_OPEN_OHM
        return round(4000 + 4000 * math.exp((self._started_ns - now_ns) / 60e9))
