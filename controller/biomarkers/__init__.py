"""One family a file: Epoch -> Reading, pure numpy; here what a biomarker is, and the door it comes in by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import ClassVar, Protocol, cast

from controller.config import Config
from controller.eeg import Reading
from controller.montage import Montage
from controller.registry import build_config, find, keyed, kinds, load_class
from controller.window import Epoch

__all__ = ["GROUP", "Biomarker", "available", "build", "config_of", "load"]

GROUP = "nociloop.biomarkers"


class Biomarker(Protocol):
    """A pure measure of an Epoch. Its constructor takes (name, config, montage, sfreq_hz), and raises a
    ValueError of one line where they do not fit; `measure` raises on no data: NaN comes with a reason."""

    Config: ClassVar[type[Config]]
    name: str
    unit: str
    window_s: float

    def measure(self, epoch: Epoch) -> Reading: ...


class _Maker(Protocol):
    def __call__(self, name: str, config: Config, montage: Montage, sfreq_hz: float) -> Biomarker: ...


def available(entries: Iterable[EntryPoint] | None = None) -> tuple[str, ...]:
    """The kinds that are installed. RegistryError when two distributions claim one name."""
    return kinds(GROUP, entries)


def load(kind: str, entries: Iterable[EntryPoint] | None = None) -> type[Biomarker]:
    """The class of a kind; RegistryError (a ValueError) with one line when there is none, or it is none."""
    return cast("type[Biomarker]", load_class(find(GROUP, kind, entries), ("measure",)))


def config_of(kind: str, table: Mapping[str, object], key: str = "") -> Config:
    """The table of a kind, checked; ValueError with one line for each error. `key` is where it stands."""
    return build_config(load(kind).Config, table, key)


def build(
    name: str, kind: str, table: Mapping[str, object], montage: Montage, sfreq_hz: float, key: str = ""
) -> Biomarker:
    """A biomarker from its table of session.toml; ValueError, a line each, of what does not fit."""
    cls = load(kind)
    config = build_config(cls.Config, table, key)
    with keyed(key):
        return cast("_Maker", cls)(name, config, montage, sfreq_hz)
