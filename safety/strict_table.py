"""A TOML table read strictly: every key asked for once, every problem kept as one line, nothing assumed.

A reader goes on after a problem with a placeholder of the right type, so that all problems are found in one
pass; whoever uses it must look at `problems` before it uses a value.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import TypeVar

from safety.modalities.bounds import is_number, shown

FILE = "limits.toml"
# Neither what moves a terminal nor what makes a line read otherwise than it is written: marks of direction, and nothing
# that is not seen (Unicode TR36).
TEXT = re.compile(
    r"[^\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]{1,200}"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

Choice = TypeVar("Choice", bound=str)


class Problems:
    """The lines of what is wrong with one file."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, path: str, found: str, expected: str) -> None:
        self._lines.append(f"{FILE}: key {path}: found {found}, expected {expected}")

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


class Table:
    """One table of the file under its path. Each getter takes one key; `close` reports what nobody asked for."""

    def __init__(self, content: Mapping[str, object], path: str, problems: Problems) -> None:
        self._content = content
        self._path = path
        self._problems = problems
        self._asked: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._content)

    def path(self, key: str) -> str:
        """The dotted path of a key, as it would be written in the file."""
        part = key if _BARE_KEY.fullmatch(key) else shown(key)
        return f"{self._path}.{part}" if self._path else part

    def refuse(self, key: str, expected: str) -> None:
        """Report the value of a key as wrong."""
        found = _found(self._content[key]) if key in self._content else "nothing"
        self._problems.add(self.path(key), found, expected)

    def refuse_all(self, found: str, expected: str) -> None:
        """Report the table itself as wrong."""
        self._problems.add(self._path, found, expected)

    def table(self, key: str, expected: str = "a table (it may be empty)") -> Table:
        """A table inside this one; an empty placeholder, not closed, where there is none."""
        value = self._take(key)
        if type(value) is dict:
            return Table(value, self.path(key), self._problems)
        self.refuse(key, expected)
        return Table({}, self.path(key), Problems())

    def text(self, key: str, expected: str = "a text on one line", pattern: re.Pattern[str] = TEXT) -> str:
        value = self._take(key)
        if type(value) is str and pattern.fullmatch(value):
            return value
        self.refuse(key, expected)
        return ""

    def choice(self, key: str, options: tuple[Choice, ...]) -> Choice | None:
        """The option that the value equals, None (reported) where it equals none."""
        value = self._take(key)
        for option in options:
            if value == option:
                return option
        self.refuse(key, " or ".join(f'"{option}"' for option in options))
        return None

    def word(self, key: str, options: tuple[Choice, ...]) -> Choice:
        """The option that the value equals, the first (reported) where it equals none."""
        found = self.choice(key, options)
        return options[0] if found is None else found

    def integer(self, key: str, low: int, high: int, about: str = "") -> int:
        value = self._take(key)
        if type(value) is int and low <= value <= high:
            return value
        self.refuse(key, _range("an integer", low, high, about))
        return low

    def number(self, key: str, low: float, high: float, about: str = "") -> float:
        value = self._take(key)
        if is_number(value, integer=False) and low <= value <= high and not _negative_zero(value):
            return float(value)
        self.refuse(key, _range("a finite number", low, high, about))
        return low

    def date(self, key: str) -> str:
        value = self._take(key)
        if type(value) is datetime.date:
            return value.isoformat()
        self.refuse(key, "a date without quotes, as 2026-01-31")
        return ""

    def close(self, *more: str) -> None:
        """Report every key that was not asked for: an unknown key is a limit that would not be kept. `more`: keys that are
        known, too."""
        known = ", ".join(sorted(self._asked.union(more))) or "none"
        for key in self._content:
            if key not in self._asked:
                self.refuse(key, f"no such key here (known: {known})")

    def _take(self, key: str) -> object:
        self._asked.add(key)
        return self._content.get(key)


def _range(what: str, low: float, high: float, about: str) -> str:
    return f"{what} from {low:.10g} to {high:.10g}{' ' if about else ''}{about}"


def _negative_zero(value: float) -> bool:
    return value == 0 and str(value).startswith("-")


def _found(value: object) -> str:
    """A found value on one short line, as the file would write it."""
    if type(value) is dict:
        return "a table"
    if type(value) is list:
        return "an array"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return '"' + ascii(value)[1:-1][:60] + '"'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return shown(value)
