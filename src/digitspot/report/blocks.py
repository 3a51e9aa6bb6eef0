"""What a report is made of. The page and the Markdown are both written from these blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from digitspot.plots import Axis, Line, Point, line_plot

Cells = tuple[str, ...]
MAX_POINTS = 160
"""Of a line. The page stays small."""
MAX_ROWS = 12
"""Of a line's values in its table."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Code:
    """Commands or settings, unchanged."""

    text: str
    caption: str = ""
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Table:
    """Rows under named columns; `marks` gives each row a class, such as "better"."""

    columns: Cells
    rows: Sequence[Cells]
    caption: str = ""
    marks: Sequence[str] = ()
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Chart:
    """A plot.

    Attributes:
        caption: Its title.
        figure: The plot itself.
        values: What is drawn, for people who do not see it, and for Markdown.
        legend: The series to name; empty for a single one.
        note: What the plot leaves out.
    """

    caption: str
    figure: Figure
    values: Table
    legend: Sequence[Line] = ()
    note: str = ""
    kind: Literal["chart"] = "chart"


@dataclass(frozen=True)
class Mark:
    """A box on an image, in percent of its width and height."""

    x: float
    y: float
    width: float
    height: float
    text: str
    role: Literal["found", "true"]


@dataclass(frozen=True)
class Card:
    """An image with what is wrong with it."""

    image: str
    size_wh: tuple[int, int]
    title: str
    read: str
    true: str
    note: str
    detail: str
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Gallery:
    """Cards, the worst first."""

    title: str
    cards: Sequence[Card]
    total: int
    kind: Literal["gallery"] = "gallery"


Block = Text | Code | Table | Chart | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading of its own."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    folded: bool = False


def line_chart(
    title: str, x: Axis, y: Axis, lines: Sequence[Line], *, diagonal: bool = False, note: str = ""
) -> Chart:
    """Draw lines, with a legend if there are several, and list some of their values."""
    rows = [
        (line.name, x.names[int(px)] if x.names else _shown(px, x.percent), _shown(py, y.percent))
        for line in lines
        for px, py in thinned(line.points, MAX_ROWS)
    ]
    values = Table(("series", x.label, y.label), rows)
    figure = line_plot(x, y, lines, diagonal=diagonal)
    return Chart(title, figure, values, lines if len(lines) > 1 else (), note)


def thinned(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """Leave out points evenly; the first and the last stay."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(int))
    return [points[i] for i in chosen.tolist()]


def _shown(value: float, percent: bool) -> str:
    if percent:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
