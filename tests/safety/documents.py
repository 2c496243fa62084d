"""Bent limits files for the tests: their keys and tables, and what the loader says of a whole file or of one key."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.stimulation import Modality
from safety.limits import LimitsErrors, load
from tests.safety.strategies import Document, document, to_toml


def problems(doc: Document | bytes) -> tuple[str, ...]:
    """What the loader says of a document; a document that loads says nothing."""
    content = doc if isinstance(doc, bytes) else to_toml(doc)
    try:
        load(content)
    except LimitsErrors as error:
        assert str(error) == "\n".join(error.problems)
        return error.problems
    return ()


def leaves(doc: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in doc.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def tables(doc: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for key, value in doc.items():
        if isinstance(value, dict):
            yield from tables(value, (*path, key))


def inside(doc: Document, path: tuple[str, ...]) -> Document:
    for key in path:
        doc = doc[key]
    return doc


def bent(modality: Modality, path: tuple[str, ...], value: object) -> Document:
    doc = document(modality)
    inside(doc, path[:-1])[path[-1]] = value
    return doc


def key_lines(doc: Document, path: tuple[str, ...]) -> list[str]:
    """The problems of this very key; every problem must be one printable line."""
    found = problems(doc)
    assert all(line.isprintable() and line.startswith("limits.toml: ") for line in found)
    return [line for line in found if line.startswith(f"limits.toml: key {'.'.join(path)}: found ")]
