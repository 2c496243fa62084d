"""Registry: entry points -> class of a biomarker or policy; duplicate names refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points

from controller.config import Config, Problem, nearest, validate

__all__ = ["RegistryError", "build_config", "find", "keyed", "kinds", "load_class"]


class RegistryError(ValueError):
    """What is installed under a group cannot be used: one line with the name, the group and the remedy."""


def kinds(group: str, entries: Iterable[EntryPoint] | None = None) -> tuple[str, ...]:
    """The names registered in a group, sorted. RegistryError for a name that stands for two things."""
    return tuple(sorted(_table(group, entries)))


def find(group: str, kind: str, entries: Iterable[EntryPoint] | None = None) -> EntryPoint:
    """The entry point of one name."""
    table = _table(group, entries)
    if kind not in table:
        raise RegistryError(
            f'kind: found "{kind}", not installed under {group}; {nearest(kind, list(table))}'
        )
    return table[kind]


def load_class(entry: EntryPoint, methods: Sequence[str]) -> type:
    """Import what an entry point names, and see that it is a class with a Config and these methods."""
    try:
        found = entry.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RegistryError(
            f"{entry.group}: {entry.name} = {entry.value} cannot be loaded: {error}"
        ) from error
    config = getattr(found, "Config", None)
    lacking = [name for name in methods if not callable(getattr(found, name, None))]
    if not isinstance(found, type) or lacking:
        raise RegistryError(
            f"{entry.group}: {entry.name} = {entry.value} is no class with {', '.join(methods)}"
        )
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise RegistryError(
            f"{entry.group}: {entry.name} = {entry.value} has no Config made from controller.config.Config"
        )
    return found


def build_config(model: type[Config], table: Mapping[str, object], key: str) -> Config:
    """A table as its model; ValueError with every error of it, a line each."""
    problems: list[Problem] = []
    config = validate(model, table, key, problems)
    if config is None:
        raise ValueError("\n".join(map(str, problems)))
    return config


@contextmanager
def keyed(key: str) -> Iterator[None]:
    """Let each line of a ValueError begin with where in the session it stands."""
    try:
        yield
    except ValueError as error:
        if not key:
            raise
        raise ValueError("\n".join(f"{key}: {line}" for line in str(error).splitlines())) from error


def _table(group: str, entries: Iterable[EntryPoint] | None) -> dict[str, EntryPoint]:
    table: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group) if entries is None else entries:
        known = table.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise RegistryError(
                f'{group}: "{entry.name}" is registered twice, as {known.value} and {entry.value}; '
                "uninstall one of the two"
            )
    return table
