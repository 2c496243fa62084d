"""Small charts as inline SVG, made of text: no library, no font, nothing fetched. Pure.

Colours are Okabe and Ito's, and no meaning rests on colour alone: lines differ in dash, and each is named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from controller.finished.screen import plain

WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 78, 18, 46, 40
POINTS_MAX: Final = 2000  # own choice: more than a page has pixels across
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222")
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "1 2")
INK: Final = "#222222"

GREATEST: Final = 1e12  # own choice: no amplitude, dose or time of a session is beyond it

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of (time, value), held level from each point to the next where `steps`; NaN breaks it."""

    name: str
    points: Points
    steps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An instant with a word on it."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A horizontal line, such as a limit."""

    value: float
    text: str


def chart(
    label: str,
    x_text: str,
    y_text: str,
    curves: Sequence[Curve],
    *,
    span: tuple[float, float],
    levels: Sequence[Level] = (),
    marks: Sequence[Mark] = (),
) -> str:
    """A chart as an SVG element; empty when there is nothing finite to draw."""
    values = [y for curve in curves for x, y in curve.points if _drawn(x) and _drawn(y)]
    if not values or not all(map(_drawn, span)):
        return ""
    shown = [level for level in levels if _drawn(level.value)]
    low = min(0.0, *values, *(level.value for level in shown))
    high = max(*values, *(level.value for level in shown), low + 1e-9)
    frame = _Frame(x=(span[0], max(span[1], span[0] + 1e-9)), y=(low, high + 0.06 * (high - low)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_text(label)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, DejaVu Sans, sans-serif" font-size="13">',
        *_axes(frame, x_text, y_text),
        *(part for number, curve in enumerate(curves) for part in _curve(frame, number, curve)),
        *(part for level in shown for part in _level(frame, level)),
        *(part for mark in marks for part in _mark(frame, mark)),
        *_legend(curves),
        "</svg>",
    ]
    return "\n".join(parts)


def _drawn(value: float) -> bool:
    return abs(value) <= GREATEST  # not a NaN either


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + min(1.0, max(0.0, across)) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - min(1.0, max(0.0, up)) * (HEIGHT - TOP - BOTTOM),
        )


def _axes(frame: _Frame, x_text: str, y_text: str) -> list[str]:
    parts = []
    for value in ticks(*frame.y):
        _, y = frame.at(frame.x[0], value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e0e2e4"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{value:g}</text>')
    for value in ticks(*frame.x):
        x, _ = frame.at(value, frame.y[0])
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="{INK}">{value:g}</text>'
        )
    bottom = HEIGHT - BOTTOM
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#8a8f93"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle" fill="{INK}">'
        f"{_text(x_text)}</text>"
    )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle" fill="{INK}">'
        f"{_text(y_text)}</text>"
    )
    return parts


def _curve(frame: _Frame, number: int, curve: Curve) -> list[str]:
    path, pen_up = [], True
    before: tuple[float, float] | None = None
    for x, y in thinned(curve.points):
        if not (_drawn(x) and _drawn(y)):
            pen_up = True
            continue
        px, py = frame.at(x, y)
        if pen_up or before is None:
            path.append(f"M{px:.1f} {py:.1f}")
        elif curve.steps:
            path.append(f"H{px:.1f}V{py:.1f}")
        else:
            path.append(f"L{px:.1f} {py:.1f}")
        before, pen_up = (px, py), False
    return [f'<path d="{"".join(path)}" fill="none" stroke-width="1.7" {_stroke(number)}/>']


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'stroke="{COLOURS[number % len(COLOURS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _level(frame: _Frame, level: Level) -> list[str]:
    x, y = frame.at(frame.x[1], level.value)
    return [
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{x:.1f}" y2="{y:.1f}" stroke="#a32900" stroke-width="1.4" '
        'stroke-dasharray="4 3"/>',
        f'<text x="{LEFT + 6}" y="{y - 5:.1f}" fill="#a32900">{_text(level.text)}</text>',
    ]


def _mark(frame: _Frame, mark: Mark) -> list[str]:
    if not _drawn(mark.at):
        return []
    x, _ = frame.at(mark.at, frame.y[0])
    return [
        f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="{INK}" stroke-width="1.2"/>',
        f'<text transform="translate({x - 4:.1f} {TOP + 4}) rotate(-90)" text-anchor="end" font-size="11" '
        f'fill="{INK}">{_text(mark.text)}</text>',
    ]


def _legend(curves: Sequence[Curve]) -> list[str]:
    parts, x = [], float(LEFT)
    for number, curve in enumerate(curves):
        parts.append(
            f'<line x1="{x:.0f}" y1="16" x2="{x + 30:.0f}" y2="16" stroke-width="2.2" {_stroke(number)}/>'
        )
        parts.append(f'<text x="{x + 36:.0f}" y="20" fill="{INK}">{_text(curve.name)}</text>')
        x += 60 + 7.6 * len(curve.name)
    return parts


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others, about five."""
    raw = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= 0.75 * raw)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(points: Points) -> Points:
    """At most POINTS_MAX points: of each piece the least and the greatest, in order, so that no peak is lost."""
    if len(points) <= POINTS_MAX:
        return points
    size = -(-len(points) * 2 // POINTS_MAX)
    found: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        finite = [index for index, (_, y) in enumerate(piece) if _drawn(y)]
        if not finite:
            found.append(piece[0])
            continue
        extremes = {min(finite, key=lambda i: piece[i][1]), max(finite, key=lambda i: piece[i][1])}
        found += [piece[index] for index in sorted(extremes)]
    return found


def _text(words: str) -> str:
    return escape(plain(words))
