"""Config: base of the strict tables; each error of a table as one line with key, found, expected."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

FOUND_CHARS = 60  # own choice: enough to recognise a value, short enough for one line

ModelT = TypeVar("ModelT", bound=BaseModel)


class Config(BaseModel):
    """A table of session.toml: strict types, no unknown key, no NaN or infinity, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a table: where, and what a person has to know to mend it."""

    key: str
    text: str

    def __str__(self) -> str:
        return printable(f"key {self.key}: {self.text}" if self.key else self.text)


def validate(
    model: type[ModelT], table: Mapping[str, object], key: str, problems: list[Problem]
) -> ModelT | None:
    """The table as `model`, or None with every error of it added to `problems`.

    It goes by way of JSON because there, unlike in Python, an array may become a tuple under strict rules.
    """
    try:
        return model.model_validate_json(json.dumps(table))
    except ValidationError as error:
        seen: set[str] = set()
        for detail in error.errors(include_url=False):
            problem = _problem(model, detail, key)
            if problem.key not in seen:  # each arm of a union reports; one line says it
                problems.append(problem)
            seen.add(problem.key)
        return None


def printable(text: str) -> str:
    """One line that a terminal only shows: what would move its cursor, or break the line, is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def found(value: object) -> str:
    """A value as a person would have written it, cut to one short piece of a line."""
    match value:
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "a table"
        case float():
            return repr(value)
        case _:
            text = json.dumps(value, ensure_ascii=False, default=str)
            return text if len(text) <= FOUND_CHARS else text[: FOUND_CHARS - 1] + "…"


def nearest(word: str, words: Sequence[str]) -> str:
    """A hint for a mistyped word: the one most like it, or all there are."""
    folded = {each.casefold(): each for each in words}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{folded[close[0]]}"?'
    return "expected one of: " + ", ".join(words) if words else "nothing is expected here"


def join(key: str, *parts: str | int) -> str:
    """The dotted path of a key; an item of a list is written [0]."""
    for part in parts:
        key = f"{key}[{part}]" if isinstance(part, int) else f"{key}.{part}" if key else part
    return key


def _problem(model: type[BaseModel], detail: ErrorDetails, key: str) -> Problem:
    place = _follow(model, detail["loc"])
    where = join(key, *place.path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        *_, name = place.path
        return Problem(key=where, text=f"unknown; {nearest(str(name), place.siblings)}")
    expected = describe(place.annotation, place.metadata) if place.known else ""
    if kind == "missing":
        return Problem(key=where, text=f"missing, expected {expected or 'a value'}")
    if kind in {"value_error", "assertion_error"}:
        text = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if isinstance(detail["input"], Mapping):
            return Problem(key=where, text=text)
        return Problem(key=where, text=f"found {found(detail['input'])}, {text}")
    return Problem(key=where, text=f"found {found(detail['input'])}, expected {expected or detail['msg']}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in a model an error lies: the path without pydantic's additions, and what is declared there."""

    path: tuple[str | int, ...]
    annotation: object
    metadata: tuple[object, ...]
    siblings: tuple[str, ...]
    known: bool


def _follow(model: type[BaseModel], loc: Sequence[str | int]) -> _Place:
    """Walk an error's location through the model. It stops where a union begins: the whole is described."""
    annotation: object = model
    metadata: tuple[object, ...] = ()
    siblings: tuple[str, ...] = ()
    path: list[str | int] = []
    for part in loc:
        annotation, extra = _bare(annotation)
        metadata += extra
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
            siblings = tuple(fields)
            path.append(part)
            field = fields.get(str(part))
            if field is None:
                return _Place(path=tuple(path), annotation=None, metadata=(), siblings=siblings, known=False)
            annotation, metadata = field.annotation, tuple(field.metadata)
        elif get_origin(annotation) in (tuple, list) and isinstance(part, int):
            path.append(part)
            annotation, metadata = get_args(annotation)[0], ()
        elif get_origin(annotation) in (dict, Mapping):
            if part != "[key]":
                path.append(part)
                annotation, metadata = get_args(annotation)[1], ()
        else:
            break
    return _Place(path=tuple(path), annotation=annotation, metadata=metadata, siblings=siblings, known=True)


def _bare(annotation: object) -> tuple[object, tuple[object, ...]]:
    """Without Annotated, and X of `X | None`."""
    metadata: tuple[object, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extra = get_args(annotation)
            for item in extra:
                metadata += tuple(item.metadata) if isinstance(item, FieldInfo) else (item,)
        elif _is_union(annotation):
            some = [arm for arm in get_args(annotation) if arm is not type(None)]
            if len(some) != 1:
                return annotation, metadata
            annotation = some[0]
        else:
            return annotation, metadata


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def describe(annotation: object, metadata: tuple[object, ...] = ()) -> str:
    """What is expected, in words: "a whole number from 4 to 1000"; empty where no words are known."""
    annotation, extra = _bare(annotation)
    metadata += extra
    origin = get_origin(annotation)
    if _is_union(annotation):
        arms = [describe(arm, metadata) for arm in get_args(annotation) if arm is not type(None)]
        return " or ".join(arm for arm in arms if arm)
    if origin is Literal:
        values = [found(value) for value in get_args(annotation)]
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    if origin in (tuple, list):
        return f"{_sized('a list', metadata, 'items')}, each {describe(get_args(annotation)[0])}"
    if origin in (dict, Mapping):
        return f"a table, each value {describe(get_args(annotation)[1])}"
    if annotation is bool:
        return "true or false"
    if annotation is int:
        return "a whole number" + _range(metadata)
    if annotation is float:
        return "a number" + _range(metadata)
    if annotation is str:
        return _sized("text", metadata, "characters") + _pattern(metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table with " + ", ".join(annotation.model_fields)
    return ""


def _bound(metadata: tuple[object, ...], name: str) -> object:
    return next((value for item in metadata if (value := getattr(item, name, None)) is not None), None)


def _range(metadata: tuple[object, ...]) -> str:
    low, high = _bound(metadata, "ge"), _bound(metadata, "le")
    above, below = _bound(metadata, "gt"), _bound(metadata, "lt")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"at least {low}" if low is not None else f"above {above}" if above is not None else "",
        f"at most {high}" if high is not None else f"below {below}" if below is not None else "",
    ]
    text = " and ".join(part for part in parts if part)
    return f" {text}" if text else ""


def _sized(text: str, metadata: tuple[object, ...], unit: str) -> str:
    low, high = _bound(metadata, "min_length"), _bound(metadata, "max_length")
    if low is not None and high is not None:
        return f"{text} ({low} to {high} {unit})"
    if low == 1:
        return f"{text} (not empty)"
    if low is not None:
        return f"{text} (at least {low} {unit})"
    return f"{text} (at most {high} {unit})" if high is not None else text


def _pattern(metadata: tuple[object, ...]) -> str:
    pattern = _bound(metadata, "pattern")
    return f" matching {pattern}" if pattern else ""
