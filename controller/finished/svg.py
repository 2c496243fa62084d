"""Figures of a report as SVG elements: style, thinning of long lines, what is taken out of matplotlib's SVG."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.finished.screen import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Floats: TypeAlias = NDArray[np.float64]

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
SKY: Final = "#56B4E9"
INK: Final = "#222222"
FAINT: Final = "#8a8a8a"
WIDTH_IN: Final = 9.6
POINTS_MAX: Final = 2400  # of a line: more than a page has pixels across (own choice)
STYLE: Final[Mapping[str, object]] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and printed sharp
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.4,
    "hatch.color": "#777777",
    "path.simplify": True,
    "text.parse_math": False,  # a dollar sign in what somebody wrote is no formula
}


@contextmanager
def style() -> Iterator[None]:
    """The style of every figure made and drawn within."""
    import matplotlib as mpl

    with mpl.rc_context(dict(STYLE)), warnings.catch_warnings():
        # A letter that this font lacks only makes a width uncertain: the page is drawn with the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def svg_of(figure: Figure, label: str) -> str:
    """The figure as an SVG element of a page: no prologue, no outside name, no id that two figures could share."""
    import matplotlib as mpl

    text = io.StringIO()
    # The salt makes ids differ between the figures of a page, and the same run give the same bytes.
    with mpl.rc_context({"svg.hashsalt": label}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    found = found[found.index("<svg") :]
    found = re.sub(r"<metadata>.*?</metadata>", "", found, flags=re.DOTALL)
    found = re.sub(r'<g id="[^"]*"', "<g", found)
    found = re.sub(r' (?:width|height)="[\d.]+pt"', "", found, count=2)
    return found.replace("<svg ", f'<svg role="img" aria-label="{escape(plain(label))}" ', 1)


def few_of(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most POINTS_MAX points of a curve that only rises, the last among them."""
    if len(x) <= POINTS_MAX:
        return x, y
    picks = np.unique(np.linspace(0, len(x) - 1, POINTS_MAX).round().astype(np.int64))
    return x[picks], y[picks]


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """A long line by the least and greatest of each piece, so that no peak is lost; a piece without values is a gap."""
    if len(x) <= POINTS_MAX:
        return x, y
    edges = np.linspace(0, len(x), POINTS_MAX // 2 + 1).round().astype(np.int64)
    xs: list[float] = []
    ys: list[float] = []
    for low, high in pairwise(edges.tolist()):
        piece = y[low:high]
        if not np.isfinite(piece).any():
            xs.append(float(x[low]))
            ys.append(math.nan)
            continue
        for index in sorted({int(np.nanargmin(piece)), int(np.nanargmax(piece))}):
            xs.append(float(x[low + index]))
            ys.append(float(piece[index]))
    return np.array(xs), np.array(ys)
