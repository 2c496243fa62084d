"""Entry points -> class; duplicate names refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from drivers.stimulator import ConfigError, Stimulator

GROUP = "nociloop.stimulators"
_METHODS = (
    "from_config",
    "open",
    "arm",
    "prepare",
    "fire",
    "stop",
    "status",
    "deliveries",
    "close",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One driver as a distribution registers it; nothing of it is imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def load(self) -> type[Stimulator]:
        """Import the driver; ConfigError where that fails or gives no Stimulator."""
        where = f"driver {self.name!r} of {self.distribution} {self.version}"
        try:
            loaded: object = self.entry_point.load()
        except Exception as error:  # noqa: BLE001  third-party code: whatever it raises is one line
            raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from None
        missing = [name for name in _METHODS if not callable(getattr(loaded, name, None))]
        if not isinstance(loaded, type) or missing:
            raise ConfigError(f"{where} is no Stimulator: {', '.join(missing) or 'not a class'}")
        return loaded


def registered(points: Iterable[EntryPoint] | None = None) -> tuple[Registered, ...]:
    """All drivers of the installed distributions, by name, duplicates included."""
    found = [
        Registered(
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "unknown",
            entry_point=point,
        )
        for point in (entry_points(group=GROUP) if points is None else points)
    ]
    return tuple(sorted(found, key=lambda driver: (driver.name, driver.distribution)))


def find(name: str, points: Iterable[EntryPoint] | None = None) -> Registered:
    """The one driver of that name; ConfigError for none, or for more than one, whoever they are."""
    drivers = registered(points)
    same = [driver for driver in drivers if driver.name == name]
    if not same:
        known = ", ".join(sorted({driver.name for driver in drivers})) or "none"
        raise ConfigError(f"driver {name!r} is not installed; there are: {known}")
    if len(same) > 1:
        owners = " and ".join(f"{driver.distribution} {driver.version}" for driver in same)
        raise ConfigError(f"driver {name!r} is registered by {owners}; uninstall all but one")
    return same[0]
