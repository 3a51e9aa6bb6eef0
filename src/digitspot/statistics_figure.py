"""One figure of what a data set looks like, its splits side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from digitspot.charts import (
    FAINT,
    GROUND,
    INK,
    PANEL_WH,
    SERIES_COLOURS,
    Panel,
    Series,
    bars,
    font,
    histogram,
    maps,
)
from digitspot.labels.statistics import Statistics

_COLUMNS = 4
_GAP = 18
_HEADER = 64


def draw_statistics(name: str, splits: Mapping[str, Statistics]) -> Image.Image:
    """Draw sizes, counts, lengths, positions and aspect of up to three splits.

    Args:
        name: Of the data set, for the title.
        splits: By name; the colours are given in this order.
    """
    every = list(splits.values())
    most = max(len(each.lengths) for each in every)

    def series(name: str) -> list[Series]:
        return [Series(np.asarray(getattr(each, name), np.float64), i) for i, each in enumerate(every)]

    panels = [
        _table(splits),
        histogram("Digit height", "pixels", series("heights"), [5, 10, 20, 40, 80, 160], logarithmic=True),
        histogram("Digit height", "share of the image's", series("shares"), [0, 0.25, 0.5, 0.75, 1]),
        histogram("Image, short side", "pixels", series("short_sides"), _doubling(every), logarithmic=True),
        bars("Digits of an image", "", series("lengths"), [str(length) for length in range(most)]),
        bars("Which digit", "", series("digits"), [str(digit) for digit in range(10)]),
        histogram("Box aspect", "width / height", series("aspects"), [0, 0.25, 0.5, 0.75, 1, 1.25]),
        maps("Where digits are", "", series("positions"), list(splits)),
    ]
    rows = -(-len(panels) // _COLUMNS)
    width = _COLUMNS * (PANEL_WH[0] + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _HEADER + rows * (PANEL_WH[1] + _GAP)), GROUND)
    ImageDraw.Draw(sheet).text((_GAP + 4, _HEADER / 2), name, INK, font(26), anchor="lm")
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(panel, (_GAP + column * (PANEL_WH[0] + _GAP), _HEADER + row * (PANEL_WH[1] + _GAP)))
    return sheet


def _doubling(every: list[Statistics]) -> list[float]:
    """Return marks that double and hold nearly all images' short sides."""
    sides = np.concatenate([each.short_sides for each in every])
    low, high = np.quantile(sides, [0.005, 0.995]) if len(sides) else (32, 512)
    start, end = int(np.floor(np.log2(max(1, low)))), int(np.ceil(np.log2(max(2, high))))
    return [float(2**power) for power in range(start, max(end, start + 1) + 1)]


def _table(splits: Mapping[str, Statistics]) -> Image.Image:
    """Write the counts of each split, with its colour."""
    panel = Panel("Splits")
    columns = (178, 258, 338, 412)
    for x, title in zip(columns, ("images", "digits", "empty", "height"), strict=True):
        panel.text((x, 58), title, FAINT, 13, "ra")
    for number, (name, each) in enumerate(splits.items()):
        y = 92 + number * 44
        box = (20 * 3, (y - 7) * 3, 34 * 3, (y + 7) * 3)
        panel.draw.rounded_rectangle(box, 9, SERIES_COLOURS[number])
        panel.text((44, y), name, INK, 17, "lm")
        empty = int(each.lengths[0]) if len(each.lengths) else 0
        median = f"{np.median(each.heights):.0f} px" if len(each.heights) else "-"
        cells = (f"{each.num_images:,}", f"{len(each.heights):,}", f"{empty:,}", median)
        for x, cell in zip(columns, cells, strict=True):
            panel.text((x, y), cell, INK, 16, "rm")
    panel.text(
        (20, PANEL_WH[1] - 44), "height: the median digit; marks on the base lines are medians", FAINT, 12
    )
    return panel.finish()
