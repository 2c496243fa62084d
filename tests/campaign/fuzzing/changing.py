"""How an input is changed: half of the time as libFuzzer does, else by its own grammar, so that what lies behind a reader of
JSON or TOML is tried, too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

Default = Callable[[bytes, int], bytes]
# What breaks code: ends of types, what is no number, what is nearly right.
NUMBERS = (
    0, -0.0, 1, -1, 2, 0.1, 0.5, 1.5, 100, 1e-9, 5e-324, 1e308, -1e308, 255, 65_536, 2**31, 2**53, 2**53 + 1, 2**63 - 1,
    2**63, -(2**63), 10**30, 10**320, -(10**320),
)  # fmt: skip
TEXTS = (
    "",
    "x",
    "é" * 50,
    "\u0000",
    "\u202e",
    "'",
    "2026-01-01",
    "a" * 300,
    "nonce-0",
    "s-1",
    "stream-1",
    "tacs",
    "ann",
)
OTHERS = (True, False, None, [], {}, [1], [[]])
TOML = (
    b"nan", b"inf", b"-inf", b"1e400", b"0x10", b"1_000", b"-0.0", b"true", b'""', b'"\\u0000"', b"1979-05-27", b"12:00:00",
    b"2026-01-01T00:00:00Z", b"[]", b"[1, 2]", b"{a = 1}", b"1" * 400, b"9" * 5000, b"9223372036854775808", b'"""x\ny"""',
    b"[" * 900,
)  # fmt: skip


def talk(data: bytes, size_max: int, seed: int, default: Default) -> bytes:
    """A conversation: two bytes, then lines."""
    return _lines(data, size_max, seed, default, header=2)


def ledger(data: bytes, size_max: int, seed: int, default: Default) -> bytes:
    """A ledger: one byte, then lines."""
    return _lines(data, size_max, seed, default, header=1)


def _lines(data: bytes, size_max: int, seed: int, default: Default, *, header: int) -> bytes:
    dice = random.Random(seed)
    if dice.random() < 0.4:
        return default(data, size_max)
    head, lines = bytearray(data[:header]), data[header:].split(b"\n")
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(lines))
        match dice.randrange(10):
            case 0:
                del lines[at]
                lines = lines or [b""]
            case 1:
                lines.insert(dice.randrange(len(lines) + 1), lines[at])
            case 2:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3 if head:
                head[dice.randrange(len(head))] = dice.randrange(256)
            case 4:
                lines.insert(at, bytes(dice.randrange(48, 122) for _ in range(dice.randrange(1, 6))))
            case _:
                lines[at] = _changed(lines[at], dice) or default(lines[at], size_max)
    return (bytes(head) + b"\n".join(lines))[:size_max]


def _changed(line: bytes, dice: random.Random) -> bytes | None:
    """A line of JSON with one value of it changed; None where it is no JSON."""
    start = 1 if line[:1] in b"hp" else 0
    try:
        content = json.loads(line[start:])
    except (ValueError, RecursionError):
        return None
    places = list(_places(content, 0))
    if not places:
        return None
    holder, key = dice.choice(places)
    held = holder[key]
    match dice.randrange(12):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[dice.choice((*TEXTS, "id", "kind", "type"))] = held
        case 2:
            holder[key] = dice.choice(places)[0]
        case 3:
            holder[key] = dice.choice(OTHERS)
        case _ if isinstance(held, int | float) and not isinstance(held, bool):
            holder[key] = dice.choice(
                (*NUMBERS, -held, held + 1, held - 1, held * 2, held / 2 if abs(held) < 1e300 else 0)
            )
        case _ if isinstance(held, str):
            holder[key] = dice.choice((*TEXTS, held + "x", held[:-1]))
        case _:
            holder[key] = dice.choice(NUMBERS)
    try:
        return line[:start] + json.dumps(content, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # a circle, or too many digits
        return None


def _places(content: object, depth: int) -> list[tuple[dict[object, object] | list[object], object]]:
    found: list[tuple[dict[object, object] | list[object], object]] = []
    if isinstance(content, dict | list) and depth < 12:
        for key in content if isinstance(content, dict) else range(len(content)):
            found.append((content, key))
            found += _places(content[key], depth + 1)
    return found


def toml(data: bytes, size_max: int, seed: int, default: Default) -> bytes:
    """A limits file: lines of tables, keys and values."""
    dice = random.Random(seed)
    if dice.random() < 0.4:
        return default(data, size_max)
    lines = data.split(b"\n")
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(lines))
        key, equals, value = lines[at].partition(b" = ")
        other = dice.randrange(len(lines))
        match dice.randrange(8):
            case 0:
                del lines[at]
                lines = lines or [b""]
            case 1:
                lines.insert(dice.randrange(len(lines) + 1), lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3 if equals:
                lines[at] = key + equals + lines[other].partition(b" = ")[2]
            case 4 if equals:
                lines[at] = default(key, 60) + equals + value
            case 5 if equals:
                lines[at] = key + equals + default(value, 60)
            case _ if equals:
                lines[at] = key + equals + _toml_value(value, dice)
            case _:
                lines[at] = default(lines[at], 100)
    return b"\n".join(lines)[:size_max]


def _toml_value(value: bytes, dice: random.Random) -> bytes:
    try:
        number = float(value)
    except ValueError:
        return dice.choice(TOML)
    near = (
        number * 2,
        number / 2,
        -number,
        number + 1,
        number - 1,
        number * 1000,
        number + 1e-9,
        int(number) if abs(number) < 1e300 else 0,
    )
    return dice.choice((*TOML, *(repr(each).encode() for each in near)))


CHANGES: dict[str, Callable[[bytes, int, int, Default], bytes]] = {
    "talk": talk,
    "verifier": ledger,
    "limits": toml,
}
