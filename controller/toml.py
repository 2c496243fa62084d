"""TOML of plain values, for the resolved session.toml and for lines to paste."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence


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
