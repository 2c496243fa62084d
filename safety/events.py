"""What happens to the interlock: everything that `step` can be told, as it stands in the ledger."""

from __future__ import annotations

from drivers.link import Delivered, FromHost
from drivers.stimulation import Value
from safety.messages import Act, End, FireRequest, Heartbeat, Hello, Pause, Request


class Now(Value, frozen=True, array_like=True):
    """One reading of the clocks. Gaps and leases go by mono, suspend shows between mono and boot, budgets by wall."""

    mono_ns: int
    boot_ns: int
    wall_ns: int


class Happening(Value, frozen=True, array_like=True):
    """Base of the events. They are written as arrays, for one stands in every entry of a ledger."""


class Joined(Happening, frozen=True, tag="joined"):
    hello: Hello


class Gone(Happening, frozen=True, tag="gone"):
    """The controller's connection ended."""

    why: str


class Beat(Happening, frozen=True, tag="beat"):
    heartbeat: Heartbeat


class Asked(Happening, frozen=True, tag="asked"):
    request: Request


class FireAsked(Happening, frozen=True, tag="fire_asked"):
    request: FireRequest


class PauseAsked(Happening, frozen=True, tag="pause_asked"):
    pause: Pause


class EndAsked(Happening, frozen=True, tag="end_asked"):
    end: End


class ActPresented(Happening, frozen=True, tag="act"):
    """A named person's act; `peer` is the connection that waits for the answer, `uid` whose it is."""

    peer: int
    uid: int
    act: Act


class StopPressed(Happening, frozen=True, tag="stop"):
    """STOP: a connection to the stop socket, or a signal (which also ends the process)."""

    source: str
    ends: bool


class HostSaid(Happening, frozen=True, tag="host"):
    message: FromHost


class HostGone(Happening, frozen=True, tag="host_gone"):
    why: str


class RelaySaid(Happening, frozen=True, tag="relay"):
    closed: bool


class RelayGone(Happening, frozen=True, tag="relay_gone"):
    why: str


class Durable(Happening, frozen=True, tag="durable"):
    """Every entry below `seq` is on the disk."""

    seq: int


class LedgerTrouble(Happening, frozen=True, tag="ledger"):
    """What the ledger's thread found: `failed`, `disk_low`, `limits_changed`."""

    kind: str
    text: str


class BadFrame(Happening, frozen=True, tag="bad_frame"):
    """A frame that could not be read, and where it came from. Refused, recorded, and life goes on."""

    source: str
    text: str


class Tick(Happening, frozen=True, tag="tick"):
    """The interlock's own clock; `behind_ns` is the age of the oldest entry that is not durable yet."""

    behind_ns: int


Event = (
    Joined | Gone | Beat | Asked | FireAsked | PauseAsked | EndAsked | ActPresented | StopPressed | HostSaid | HostGone
    | RelaySaid | RelayGone | Durable | LedgerTrouble | BadFrame | Tick
)  # fmt: skip

__all__ = [
    "ActPresented", "Asked", "BadFrame", "Beat", "Delivered", "Durable", "EndAsked", "Event", "FireAsked", "Gone",
    "HostGone", "HostSaid", "Joined", "LedgerTrouble", "Now", "PauseAsked", "RelayGone", "RelaySaid", "StopPressed", "Tick",
]  # fmt: skip
