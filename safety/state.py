"""What the interlock knows: State, its Watch, and what is asked, running and stopping. Values only.

`Watch` is all that a foldable event (heartbeat, tick, status, durability) may touch. It stands beside the entry that
folds such events, so that a ledger can be re-executed without each of them.
"""

from __future__ import annotations

from typing import Literal

from drivers.capabilities import Capabilities
from drivers.link import ToHost
from drivers.stimulation import Train, Value
from safety.dose import Dose
from safety.events import LedgerTrouble
from safety.history import History
from safety.limit_values import Limits, Signed
from safety.messages import ActResult, Evidence, FromInterlock, Hello, Phase, Request, Row
from safety.modalities.segments import Segments
from safety.response import Response
from safety.store_records import Record
from safety.trips import How


class Rules(Value, frozen=True):
    """What holds for the whole session: the limits, what the participant was given before, and what was judged before
    it began. `signed` is None for limits that nobody signed."""

    session_id: str
    session_digest: str
    limits: Limits
    simulated: bool
    today: str
    nonce: str
    history: History
    signed: Signed | None = None


class Watch(Value, frozen=True, array_like=True):
    """The freshest word of each watched party; times are mono ns, 0 where nothing was heard."""

    tick_ns: int = 0
    beat_ns: int = 0
    beat_seq: int = -1
    progress: int = -1
    progress_ns: int = 0
    evidence: Evidence | None = None
    evidence_ns: int = 0
    crc_ns: int = 0
    clean_ns: int = 0
    anchor_samples: int = 0
    anchor_ns: int = 0
    previous_samples: int = 0
    previous_ns: int = 0
    poll: int = 0
    poll_ns: int = 0
    host_ns: int = 0
    host_state: str = ""
    host_amplitude: float = 0.0
    impedance_kohm: float | None = None
    pet_ns: int = 0
    relay_ns: int = 0
    durable: int = 0
    behind_ns: int = 0
    boot_offset_ns: int = 0
    wall_offset_ns: int = 0


class AskedFor(Value, frozen=True):
    """A permitted request on its way to the device. `after` is the entry that must be durable first."""

    request: Request
    stage: Literal["durable", "preparing", "ready"]
    since_ns: int
    after: int
    call: int
    token: int


class Firing(Value, frozen=True):
    """A fire on its way: from here on it counts as delivered until the device says otherwise. Its first slices, and
    for a short train the last, may overtake the answer: `pulses`, and the end in `ended_ns`, 0 where not told.
    `renews`: it is the running hold's own token, whose lease begins anew."""

    request: Request
    call: int
    token: int
    since_ns: int
    onset_at_ns: int
    pulses: int = 0
    ended_ns: int = 0
    renews: bool = False


class Running(Value, frozen=True):
    """A fired train or hold. `ceiling` is the amplitude that it may have until `settled_ns`, when a hold took over
    from a higher one; `until_ns` is when output must have begun to end, `zero_ns` when it must be zero. `least` is
    the least that can have come out at its onset: from there it rose."""

    id: int
    token: int
    train: Train
    onset_ns: int
    until_ns: int
    zero_ns: int
    ceiling: float
    settled_ns: int
    least: float = 0.0
    pulses: int = 0
    ended: bool = False


class Stopping(Value, frozen=True):
    """A stop on its way: sent, `taken` by the device, and over when a later status says idle at zero. Not over by
    `deadline_ns`: the relay is opened."""

    call: int
    how: How
    deadline_ns: int
    taken: bool = False


class Arming(Value, frozen=True):
    """A verified act in the making: the relay's proof test step by step, the record that the rig is armed (durable when
    every entry below `after` is), then the device's arming."""

    peer: int
    person: str
    until_wall_ns: int
    step: Literal["open_1", "close_1", "open_2", "close_2", "record", "device"]
    deadline_ns: int
    call: int
    after: int


class State(Value, frozen=True):
    """`over`: the tokens that the last stops ended, whose last slices may still be told."""

    phase: Phase = "SAFE"
    entries: int = 0
    call: int = 0
    hello: Hello | None = None
    controller: bool = False
    host: Literal["opening", "open", "failed", "gone"] = "opening"
    host_text: str = ""
    capabilities: Capabilities | None = None
    rows: tuple[Row, ...] = ()
    relay: bool = False
    relay_closed: bool = False
    arming: Arming | None = None
    armed_by: str = ""
    marked: bool = False
    armed_until_wall_ns: int = 0
    nonces: int = 0
    last_id: int = 0
    passed: Train | None = None
    asked: AskedFor | None = None
    firing: Firing | None = None
    running: Running | None = None
    before: Running | None = None
    over: tuple[int, ...] = ()
    not_before_ns: int = 0
    train_end_ns: int = 0
    rested_ns: int = 0
    segments: Segments | None = None
    last_lapse_ns: int = 0
    lapses: tuple[int, ...] = ()
    dose: Dose = Dose()
    response: Response = Response()
    stopping: Stopping | None = None
    trip: str = ""
    trip_text: str = ""
    also: tuple[str, ...] = ()
    bad_frames: int = 0
    troubles: tuple[LedgerTrouble, ...] = ()
    ending: bool = False
    done_ns: int = 0
    watch: Watch = Watch()


class ToDevice(Value, frozen=True, tag="to_device"):
    """Send the device host a message."""

    message: ToHost


class ToController(Value, frozen=True, tag="to_controller"):
    message: FromInterlock


class ToPerson(Value, frozen=True, tag="to_person"):
    """Answer the act that came in over connection `peer`."""

    peer: int
    result: ActResult


class ToStore(Value, frozen=True, tag="to_store"):
    """Append to the participant's store, durable with the entry that this stands in."""

    record: Record


class PetRelay(Value, frozen=True, tag="pet"):
    pass


class OpenRelay(Value, frozen=True, tag="open_relay"):
    pass


class MarkArmed(Value, frozen=True, tag="mark_armed"):
    """Keep beside the ledger that this rig is armed: whoever finds it at a start knows of a session without an end."""


class Latch(Value, frozen=True, tag="latch"):
    """It has tripped: nothing to send, but to be kept, and found in the ledger whoever was there to be told."""

    code: str
    text: str


class TrippedAlso(Value, frozen=True, tag="tripped_also"):
    """What would have tripped it, had it not tripped already: the first reason stays, and the ledger has them all."""

    code: str
    text: str


class Unlatch(Value, frozen=True, tag="unlatch"):
    """An orderly end, or a named person's reset: the next start may arm."""

    reset: bool


class EndProcess(Value, frozen=True, tag="end_process"):
    """Everything is safe and said: the process may end."""

    status: int


Mark = MarkArmed | Latch | TrippedAlso | Unlatch | ToStore
Effect = ToDevice | ToController | ToPerson | PetRelay | OpenRelay | Mark | EndProcess
