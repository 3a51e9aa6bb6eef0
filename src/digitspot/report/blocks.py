"""What a report is made of; a page and Markdown are both written from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from digitspot.report.svg import Line

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Code:
    """Commands or settings, as they are."""

    text: str
    caption: str = ""
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Table:
    """Rows under named columns; `marks` gives rows a class, such as "better"."""

    columns: Cells
    rows: Sequence[Cells]
    caption: str = ""
    marks: Sequence[str] = ()
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        caption: Its title.
        svg: Inline SVG.
        legend: The series to name; none where there is one.
        points: The values drawn, for those who do not see it, and for Markdown.
        note: What the drawing leaves out.
    """

    caption: str
    svg: str
    legend: Sequence[Line] = ()
    points: Table | None = None
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
