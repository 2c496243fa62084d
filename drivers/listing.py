"""Every installed driver as it may be told of without opening a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from drivers.capabilities import Grade, Lack
from drivers.registry import Registered, registered
from drivers.stimulator import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A driver. `lacks`: what its class says that every device of it lacks, None where it says nothing or something
    else; `note`: why it cannot be used."""

    name: str
    distribution: str
    version: str
    grade: str
    lacks: tuple[Lack, ...] | None
    note: str


def listing() -> tuple[Listed, ...]:
    """All drivers of the installed distributions, by name."""
    drivers = registered()
    names = [driver.name for driver in drivers]
    return tuple(_listed(driver, twice=names.count(driver.name) > 1) for driver in drivers)


def _listed(driver: Registered, *, twice: bool) -> Listed:
    note = "refused: the name is registered twice" if twice else ""
    grade, lacks = "", None
    try:
        loaded = driver.load()
        grade, lacks = getattr(loaded, "GRADE", ""), _lacks(getattr(loaded, "LACKS", None))
    except ConfigError as error:
        note = str(error)
    return Listed(
        name=driver.name,
        distribution=driver.distribution,
        version=driver.version,
        grade=grade if grade in get_args(Grade) else "unknown",
        lacks=lacks,
        note=note,
    )


def _lacks(said: object) -> tuple[Lack, ...] | None:
    """Third-party code: what is no tuple of known words says nothing."""
    if not isinstance(said, tuple) or not all(each in get_args(Lack) for each in said):
        return None
    return said
