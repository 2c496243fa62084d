"""One law a file: Reading -> Train or nothing, pure; here what a policy is, and the door it comes in by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import ClassVar, Protocol, cast

from controller.config import Config
from controller.eeg import Reading
from controller.registry import build_config, find, keyed, kinds, load_class
from drivers.stimulation import Train
from safety.messages import Allowed

__all__ = ["GROUP", "Policy", "available", "build", "config_of", "load"]

GROUP = "nociloop.policies"


class Policy(Protocol):
    """A law. Its constructor takes (config, train, hop_s), `train` being the waveform that it may ask for at
    most; it raises a ValueError of one line where they do not fit. It has no clock: `now_ns` is handed in.

    `response` is the newest finite value it acted on, for the Request; NaN before there was one.
    """

    Config: ClassVar[type[Config]]
    response: float

    def decide(self, readings: Mapping[str, Reading], allowed: Allowed, now_ns: int) -> Train | None: ...


class _Maker(Protocol):
    def __call__(self, config: Config, train: Train, hop_s: float) -> Policy: ...


def available(entries: Iterable[EntryPoint] | None = None) -> tuple[str, ...]:
    """The kinds that are installed. RegistryError when two distributions claim one name."""
    return kinds(GROUP, entries)


def load(kind: str, entries: Iterable[EntryPoint] | None = None) -> type[Policy]:
    """The class of a kind; RegistryError (a ValueError) with one line when there is none, or it is none."""
    return cast("type[Policy]", load_class(find(GROUP, kind, entries), ("decide",)))


def config_of(kind: str, table: Mapping[str, object], key: str = "") -> Config:
    """The table of a kind, checked; ValueError with one line for each error. `key` is where it stands."""
    return build_config(load(kind).Config, table, key)


def build(kind: str, table: Mapping[str, object], train: Train, hop_s: float, key: str = "") -> Policy:
    """A policy from its table of session.toml; ValueError, a line each, of what does not fit."""
    cls = load(kind)
    config = build_config(cls.Config, table, key)
    with keyed(key):
        return cast("_Maker", cls)(config, train, hop_s)
