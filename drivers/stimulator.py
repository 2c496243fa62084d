"""The Stimulator protocol, DeviceStatus, errors.

StimulatorError            every operating error of a driver; `device`, what was found, what to do
├── ConfigError            the driver's table in limits.toml is wrong
├── DeviceNotFound         nothing there, or something else answers
├── DeviceSilent           no answer within the deadline: after a send, delivery is *unknown*
├── DeviceLost             the link broke
│   └── Superseded         a stop overtook the call that waited; the link is well
├── DeviceRefused          the device said no
├── ReadBackMismatch       the device holds other settings than were sent
├── WrongState             the call does not belong here (fire before prepare, prepare before arm)
└── LateOnset              the onset asked for has passed; nothing was put out
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol, Self

from drivers.capabilities import Capabilities
from drivers.stimulation import Delivery, Train, Value

Stop = Literal["ramp", "cut"]
Token = int
DeviceState = Literal["closed", "idle", "armed", "running", "stopping", "fault", "unknown"]


class StimulatorError(Exception):
    """An operating error of a device: one line that says which device, what was found and what to do."""

    code = "stimulator"


class ConfigError(StimulatorError):
    code = "config"


class DeviceNotFound(StimulatorError):
    code = "not_found"


class DeviceSilent(StimulatorError):
    code = "silent"


class DeviceLost(StimulatorError):
    code = "lost"


class Superseded(DeviceLost):
    code = "superseded"


class DeviceRefused(StimulatorError):
    code = "refused"


class ReadBackMismatch(StimulatorError):
    code = "read_back"


class WrongState(StimulatorError):
    code = "wrong_state"


class LateOnset(StimulatorError):
    code = "late"


class DeviceStatus(Value, frozen=True):
    """The device's own word on itself at `at_ns` (host's monotonic clock)."""

    state: DeviceState
    at_ns: int
    amplitude: float
    fault: str
    impedance_kohm: float | None


class Stimulator(Protocol):
    """One device. Knows no limit, no policy, no other device."""

    @classmethod
    def from_config(cls, table: Mapping[str, object]) -> Self:
        """Make the driver; strict: an unknown key or a wrong type is ConfigError. Touches no hardware."""
        ...

    async def open(self) -> Capabilities:
        """Connect and identify; zero output throughout."""
        ...

    async def arm(self) -> None:
        """Energise the output stage; still zero."""
        ...

    async def prepare(self, train: Train) -> tuple[Token, Train]:
        """Set, and return a token with the settings as the *device* reads them back; no output."""
        ...

    async def fire(self, token: Token, onset_at_ns: int) -> int:
        """Start what was prepared at `onset_at_ns` (0: at once); ends by itself; returns the actual onset.

        Where Capabilities say `renews`: the token of the hold that runs, at once, begins its lease anew and changes
        nothing else; LateOnset where it is falling or over. Returns when the lease began.
        """
        ...

    async def stop(self, how: Stop) -> None:
        """Ramp or cut to zero and disarm; any state, any task, idempotent."""
        ...

    async def status(self) -> DeviceStatus:
        """Ask the device; it also keeps a link watchdog content, so it is asked for, never volunteered."""
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """What really went out, in order; ends when the device is closed."""
        ...

    async def close(self) -> None:
        """Stop, release; idempotent."""
        ...
