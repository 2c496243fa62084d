"""TOML: a file read, and plain values written; for session.toml and for lines to paste."""

from __future__ import annotations

import json
import math
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

FILE_BYTES_MAX = 256 * 1024  # own choice: a long session file has some 10 kB


def toml_value(value: object) -> str:
    """One value in one line; a table in a line is an inline table."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else str(value)
        case Mapping():
            return "{" + ", ".join(f"{toml_key(str(k))} = {toml_value(v)}" for k, v in value.items()) + "}"
        case Sequence():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case _:
            raise TypeError(f"no TOML for {type(value).__name__}")


def toml_key(key: str) -> str:
    """A key, quoted where it has to be."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else toml_value(key)


def toml_document(tables: Mapping[str, object]) -> str:
    """A document of tables and lists of tables, one level deep; what is None is left out."""
    lines: list[str] = []
    for name, content in tables.items():
        items = content if isinstance(content, (list, tuple)) else [content]
        header = f"[[{toml_key(name)}]]" if isinstance(content, (list, tuple)) else f"[{toml_key(name)}]"
        for table in items:
            if not isinstance(table, Mapping):
                raise TypeError(f"{name} is not a table")
            lines.append(header)
            lines += [f"{toml_key(str(k))} = {toml_value(v)}" for k, v in table.items() if v is not None]
            lines.append("")
    return "\n".join(lines)


class TomlError(ValueError):
    """A file that is no TOML document: one line with the file, what was found and what to do."""


def read_toml(path: Path) -> dict[str, object]:
    """The document of a regular file of bounded size: a pipe or a device would hang, or never end."""
    try:
        mode = path.stat().st_mode
        content = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        text = f"cannot be read ({error.strerror}), expected a TOML file; check path and permissions"
        raise TomlError(f"{path}: {text}") from error
    except ValueError as error:  # a NUL in it
        raise TomlError(f"{str(path)!r}: is no file name ({error}); check it") from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise TomlError(f"{path}: found {kind}, expected a TOML file; name the file itself")
    if len(content) > FILE_BYTES_MAX:
        raise TomlError(f"{path}: found more than {FILE_BYTES_MAX} bytes; is it the right file?")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TomlError(f"{path}: byte {error.start} is no UTF-8; save the file as UTF-8") from error
    except RecursionError as error:
        raise TomlError(f"{path}: is nested too deeply, expected plain tables; correct it") from error
    except ValueError as error:  # TOMLDecodeError, and a number of thousands of digits
        raise TomlError(f"{path}: is no TOML: {error}; correct that place") from error
