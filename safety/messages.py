"""The messages between controller, named persons and interlock; and Evidence, what a Request rests on."""

from __future__ import annotations

from typing import Literal

import msgspec

from drivers.stimulation import Delivery, Train, Value

PROTOCOL = 1
Phase = Literal["SAFE", "READY", "ARMED", "TRIPPED"]


class Evidence(Value, frozen=True, array_like=True):
    """Which samples, how old, how clean. Made where the samples arrive, out of a policy's reach.

    `n_samples` counts from the opening of the stream; `newest_ns` is on the host's monotonic clock, known to
    `uncertainty_ns`; `crc` stands still while raw samples repeat; `clean_fraction` of channels, 0 to 1.
    """

    stream_uid: str
    n_samples: int
    newest_ns: int
    uncertainty_ns: int
    crc: int
    clean_fraction: float


class Asking(Value, frozen=True, array_like=True):
    """Base of what the controller sends. It is written as an array, for it stands in every entry of a ledger."""


class Hello(Asking, frozen=True, tag="hello"):
    """The controller's first message. One controller per session, ever."""

    protocol: int
    session_id: str
    session_digest: str
    software: str
    modality: str
    sfreq_hz: float
    stream_uid: str


class Heartbeat(Asking, frozen=True, tag="heartbeat"):
    """Sent by the loop itself: `progress` counts the blocks that it has worked through."""

    seq: int
    progress: int
    evidence: Evidence


class Request(Asking, frozen=True, tag="request"):
    """Ask for a train. `onset_at_ns` 0: fire as soon as it is prepared; -1: prepare, and wait for FireRequest.

    `response` is the biomarker value that it acts on, NaN never; the sign of its change is watched.
    """

    id: int
    train: Train
    onset_at_ns: int
    response: float
    evidence: Evidence


class FireRequest(Asking, frozen=True, tag="fire_request"):
    """Fire the prepared train of an earlier Request at `onset_at_ns`."""

    id: int
    onset_at_ns: int
    evidence: Evidence


class Pause(Asking, frozen=True, tag="pause"):
    """No EEG for the moment: ramp down and disarm, back to READY; a named person arms again."""

    reason: str


class End(Asking, frozen=True, tag="end"):
    """The session is over: ramp down, disarm, go to SAFE."""

    reason: str


ToInterlock = Hello | Heartbeat | Request | FireRequest | Pause | End


class Row(Value, frozen=True):
    """One effective limit: the least of its layers, and which of them set it."""

    quantity: str
    unit: str
    low: float
    high: float
    set_by: str
    source: str
    status: Literal["verified", "unverified"]


class Allowed(Value, frozen=True, tag="allowed"):
    """What the interlock would permit, as far as it can be said beforehand, so that a policy can stay inside.

    `rows` is empty where they have not changed since the last message that had them. `used` and `budget` are by
    budget name (`on_time_s`, `n_pulses`, ...), each of the one scope that has the least left (`scope`: `session`,
    `24h`, ...). `not_before_ns`: the earliest onset of the next train, gap and wash-out included; `amplitude_max` is
    the highest amplitude now, slew included, in the train's unit. `may_rise` is false while the response has the wrong
    sign. `next_from_ns` and `next_until_ns`: when the train that went out last may go on by as long a segment again,
    whatever `not_before_ns` says; 0 where it may not.
    """

    rows: tuple[Row, ...]
    used: dict[str, float]
    budget: dict[str, float]
    not_before_ns: int
    busy_until_ns: int
    amplitude_now: float
    amplitude_max: float
    may_rise: bool = True
    scope: dict[str, str] = msgspec.field(default_factory=dict)
    next_from_ns: int = 0
    next_until_ns: int = 0

    def high(self, quantity: str) -> float:
        """The effective upper limit of a quantity, 0 where none is known: a missing limit allows nothing."""
        return next((row.high for row in self.rows if row.quantity == quantity), 0.0)


class Reason(Value, frozen=True):
    """Why a Request was refused: the code, and where a limit refused it, its row, the value and the margin."""

    code: str
    text: str
    quantity: str = ""
    value: float = 0.0
    limit: float = 0.0
    set_by: str = ""


class Welcome(Value, frozen=True, tag="welcome"):
    phase: Phase
    session_id: str
    allowed: Allowed


class Permit(Value, frozen=True, tag="permit"):
    """Permitted. `token` is the number of the device call that carries it. `read_ns` and `sent_ns` are when the interlock
    had read the request's frame (of one that waited for the disk: went on with it) and had sent the command on;
    `written_ns` is when the Permit *before* this one had been written to its socket, 0 where none was, or not whole."""

    id: int
    token: int
    lease_until_ns: int
    read_ns: int
    sent_ns: int
    allowed: Allowed
    written_ns: int = 0


class Pending(Value, frozen=True, tag="pending"):
    """Nothing against it, but its reservation is not durable yet: Permit or Refusal follows."""

    id: int


class Refusal(Value, frozen=True, tag="refusal"):
    """Every limit that refused. A refusal changes no state."""

    id: int
    reasons: tuple[Reason, ...]
    allowed: Allowed


class Trip(Value, frozen=True, tag="trip"):
    """Latched to safe: code, operator's text and remedy."""

    code: str
    text: str
    remedy: str


class PhaseChanged(Value, frozen=True, tag="phase"):
    phase: Phase
    code: str
    text: str


class DeliveryReport(Value, frozen=True, tag="delivery"):
    """What the device confirmed, with the id of the Request that it answers."""

    id: int
    delivery: Delivery
    allowed: Allowed


FromInterlock = Welcome | Permit | Pending | Refusal | Trip | PhaseChanged | DeliveryReport | Allowed


class AskStatus(Value, frozen=True, tag="ask_status"):
    """Anyone who may reach the acts socket may ask; the answer carries the nonce that an Act must sign."""


class Act(Value, frozen=True, tag="act"):
    """A named person's signed act. The signature is Ed25519 over `signed_bytes` of everything else."""

    act: Literal["arm", "reset"]
    person: str
    session_id: str
    nonce: str
    reason: str
    expires_wall_ns: int
    signature: str


ToActs = AskStatus | Act


class StatusReport(Value, frozen=True, tag="status_report"):
    phase: Phase
    code: str
    text: str
    session_id: str
    nonce: str
    simulated: bool
    controller: bool
    missing: tuple[str, ...]


class ActResult(Value, frozen=True, tag="act_result"):
    ok: bool
    code: str
    text: str
    phase: Phase


FromActs = StatusReport | ActResult
