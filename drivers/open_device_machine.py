"""What the host knows of an open device, and what may be sent next. Pure: no socket, no clock, no asyncio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from drivers.capabilities import Capabilities, Envelope, Grade
from drivers.device_clock import DeviceClock
from drivers.open_device_codec import (
    Disarmed,
    Event,
    Identity,
    Line,
    LineError,
    Out,
    Span,
    Stat,
    renewed,
    span,
    started,
)
from drivers.open_device_settings import COIL, KEYS, envelopes, from_answer, to_fields
from drivers.stimulation import Delivery, Modality, Train
from drivers.stimulator import (
    DeviceLost,
    DeviceRefused,
    DeviceState,
    DeviceStatus,
    LateOnset,
    ReadBackMismatch,
    WrongState,
)

GRADE: Grade = "simulated"  # never yet met a device of copper
_IN_US_MAX = 1_000_000
_TOKENS_MAX = 64  # of trains fired and not ended; two can overlap, the rest is slack for lost events


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the device holds and has not been told to start."""

    token: int
    train: Train


class Machine:
    """One device from its opening to its closing: every rule about order. `OpenDevice` only carries bytes.

    `state` is the device's last word on itself, "unknown" until it has confirmed zero after a STOP.
    """

    def __init__(self) -> None:
        self.state: DeviceState = "unknown"
        self.prepared: Prepared | None = None
        self.clock = DeviceClock()
        self.disarmed_by = ""
        self._identity: Identity | None = None
        self._spans: dict[Modality, dict[str, Span]] = {}
        self._fired: dict[int, Modality] = {}
        self._newest_fired: Modality | None = None
        self._reported_ns = 0
        self._armed = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those of the device that this driver knows, in its order."""
        names = self._identity.modalities if self._identity else ()
        return tuple(cast(Modality, name) for name in names if name in KEYS)

    def identified(self, identity: Identity) -> None:
        """The device said who it is."""
        self._identity = identity
        self._spans.clear()

    def can(self, modality: Modality, line: Line) -> None:
        """The device said what it can do in one modality."""
        if line.fields.get("mod") != modality:
            raise LineError(f"CAPS mod={modality} was answered for mod={line.fields.get('mod')}")
        found = {key.name: span(line, key.name) for key in KEYS[modality]}
        ours = envelopes(modality, found)
        for other, spans in self._spans.items():
            theirs = envelopes(other, spans)
            apart = min((name for name in ours.keys() & theirs if ours[name] != theirs[name]), default="")
            if apart:
                raise LineError(
                    f"CAPS of {modality} and of {other} differ in {apart}, expected one range of it"
                )
        self._spans[modality] = found

    def capabilities(self) -> Capabilities:
        """All that was read, once everything was."""
        identity = self._identity
        if identity is None:
            raise WrongState("not identified yet; open the device first")
        merged: dict[str, Envelope] = {}
        for modality, spans in self._spans.items():
            merged |= envelopes(modality, spans)
        return Capabilities(
            driver="open_device",
            model=identity.model,
            serial=identity.serial,
            firmware=identity.firmware,
            modalities=self.modalities,
            outputs=identity.outputs,
            envelopes=merged,
            onset_latency_ns=identity.onset_us * 1000,
            stop_latency_ns=identity.stop_us * 1000,
            link_timeout_ms=identity.link_ms,
            ends_by_itself=True,
            stops_on_link_loss=True,
            confirms=True,
            reads_back=True,
            measures_impedance=True,
            renews=identity.renews,
            grade=GRADE,
        )

    def told(self, stat: Stat, *, sent_ns: int, received_ns: int) -> DeviceStatus:
        """The device answered STAT; DeviceLost where its clock shows that it has restarted meanwhile."""
        forward = self.clock.sample(t_us=stat.t_us, sent_ns=sent_ns, received_ns=received_ns)
        if not forward:
            self._forget("unknown")
            raise DeviceLost("the device has restarted by itself; stop, then arm anew")
        pulses = stat.state == "running" and self._newest_fired in COIL
        if stat.state == "idle" and stat.a == 0:
            self._forget("idle")
        elif not self._armed:
            # It puts out, or could, and not by our arming: nothing goes on from here but STOP.
            self._forget("unknown")
        elif stat.state in ("armed", "running"):
            self.state = stat.state
        else:
            self._forget(stat.state)
        return DeviceStatus(
            state=stat.state,
            at_ns=received_ns,
            amplitude=stat.a / 10 if pulses else stat.a / 1000,
            fault="" if stat.fault == "none" else stat.fault,
            impedance_kohm=stat.z_ohm / 1000 if stat.z_ohm > 0 else None,
        )

    def check_idle(self, stat: Stat) -> None:
        """Refuse a device that has not come to zero after a STOP."""
        if stat.state != "idle" or stat.a != 0:
            raise DeviceRefused(
                f"is {stat.state}, output {stat.a}, fault {stat.fault} after STOP, expected idle at 0; "
                "take the output off the person and switch the device off"
            )

    def check_arm(self) -> None:
        """May ARM be sent?"""
        if self.state != "idle":
            raise WrongState(f"is {self._why()}, and arms only from a confirmed idle; stop it and try again")

    def armed(self) -> None:
        """The device answered ARM."""
        self.disarmed_by = ""
        self.prepared = None
        self.state = "armed"
        self._armed = True

    def set_fields(self, train: Train) -> dict[str, str | int]:
        """The fields of SET for this train, or why it may not be sent."""
        if self.state not in ("armed", "running"):
            raise WrongState(f"is {self._why()}, and prepares only while armed")
        fields = to_fields(train, self._spans, self._identity.outputs if self._identity else ())
        self.prepared = None  # from here on the device may hold either of the two
        return fields

    def stored(self, line: Line, asked: Train, sent: dict[str, str | int]) -> Prepared:
        """The device answered SET."""
        token, train = from_answer(line, asked, sent)
        if token in self._fired:
            raise ReadBackMismatch(f"gave token {token} to a train while another with that token still runs")
        self.prepared = Prepared(token=token, train=train)
        return self.prepared

    def fire_fields(self, token: int, onset_at_ns: int, now_ns: int) -> dict[str, str | int]:
        """The fields of FIRE; from here on the token counts as fired, whatever the device answers."""
        prepared = self.prepared
        if self.state not in ("armed", "running"):
            raise WrongState(f"is {self._why()}, and fires only while armed")
        if prepared is None or prepared.token != token:
            raise WrongState(
                f"token {token} is not the prepared one ({prepared.token if prepared else 'none'})"
            )
        in_us = 0
        if onset_at_ns:
            # The device counts from when the line arrives: one transit from now.
            in_us = (onset_at_ns - now_ns - self.clock.transit_ns) // 1000
            if in_us < 0:
                raise LateOnset(f"onset is {-in_us} µs past; nothing was sent")
            if in_us > _IN_US_MAX:
                raise DeviceRefused(f"onset is {in_us} µs ahead, at most {_IN_US_MAX} can be waited for")
        self.prepared = None
        if len(self._fired) >= _TOKENS_MAX:
            del self._fired[next(iter(self._fired))]
        self._fired[token] = self._newest_fired = prepared.train.modality
        return {"token": token, "in_us": in_us}

    def fired(self, line: Line, sent: dict[str, str | int]) -> int:
        """The device answered FIRE; the onset that it plans, on the host's clock."""
        answer = started(line)
        if (answer.token, answer.in_us) != (sent["token"], sent["in_us"]):
            raise ReadBackMismatch(f"was told FIRE {sent} and answered for token {answer.token}")
        self.state = "running"
        return self.clock.host_ns(answer.t_us)

    def renews(self, token: int, onset_at_ns: int) -> bool:
        """Whether firing this token renews the hold that runs."""
        running = self.state == "running" and token in self._fired and onset_at_ns == 0
        return running and self._identity is not None and self._identity.renews

    def renewed(self, line: Line, token: int) -> int:
        """The device answered RENEW; when the lease began, on the host's clock."""
        answer = renewed(line)
        if answer.token != token:
            raise ReadBackMismatch(f"was told RENEW {token} and answered for token {answer.token}")
        return self.clock.host_ns(answer.t_us)

    def not_fired(self, token: int) -> None:
        """The device refused FIRE by its own word: the token is spent, and nothing went out."""
        self._fired.pop(token, None)

    def stopping(self) -> None:
        """STOP goes out: from now on nothing is armed, and nothing known until the device says so."""
        self._forget("unknown")

    def happened(self, event: Event) -> Delivery | None:
        """The device spoke by itself."""
        if isinstance(event, Disarmed):
            self.disarmed_by = event.why
            self._forget("unknown")
            return None
        return self._delivery(event)

    def _delivery(self, out: Out) -> Delivery:
        # A token never fired should not deliver. It is reported all the same, in the reading that is larger.
        modality = self._fired.get(out.token, "rtms")
        if out.end:
            self._fired.pop(out.token, None)
        # A better estimate of the offset may move a time back; what was reported before stays before.
        start_ns = max(self.clock.host_ns(out.from_us), self._reported_ns)
        end_ns = max(self.clock.host_ns(out.to_us), start_ns)
        self._reported_ns = end_ns
        return Delivery(
            token=out.token,
            start_ns=start_ns,
            end_ns=end_ns,
            amplitude=out.a / 10 if modality in COIL else out.a / 1000,
            n_pulses=out.n,
            ended=out.end,
            confirmed=True,
        )

    def _forget(self, state: DeviceState) -> None:
        self.prepared = None
        self.state = state
        self._armed = False

    def _why(self) -> str:
        return f"{self.state} ({self.disarmed_by})" if self.disarmed_by else self.state
