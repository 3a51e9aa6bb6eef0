"""Small charts drawn with Pillow alone: histograms, bars and maps of several series, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitspot.types import DoubleArray

Colour = tuple[int, int, int]

SERIES_COLOURS: tuple[Colour, ...] = ((47, 111, 200), (233, 150, 38), (200, 54, 84))
INK, FAINT, GRID, GROUND, PANEL = (
    (33, 37, 46),
    (112, 119, 132),
    (226, 229, 235),
    (246, 247, 250),
    (255, 255, 255),
)
PANEL_WH = (430, 330)
_SMOOTH = 3  # drawn so many times larger, then reduced
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 18, 46, 34


@dataclass(frozen=True, eq=False)
class Series:
    """Values of one data series, with its colour's place."""

    values: DoubleArray
    colour: int


class Panel:
    """A white card with a title and axes; coordinates inside run from 0 to 1, to the right and up.

    Args:
        title: What is shown.
        unit: Of the horizontal axis, written after the title.
    """

    def __init__(self, title: str, unit: str = "") -> None:
        self.image = Image.new("RGBA", (PANEL_WH[0] * _SMOOTH, PANEL_WH[1] * _SMOOTH), PANEL)
        self.draw = ImageDraw.Draw(self.image)
        self.text((18, 16), title, INK, 17)
        if unit:
            self.text((18 + font(17).getlength(title) + 8, 18), unit, FAINT, 14)

    def text(
        self, place: tuple[float, float], text: str, colour: Colour, size: int, anchor: str = "la"
    ) -> None:
        """Write at a place in pixels of the panel."""
        scaled = (place[0] * _SMOOTH, place[1] * _SMOOTH)
        self.draw.text(scaled, text, colour, font(size * _SMOOTH), anchor=anchor)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the drawing's pixel of a place inside the axes."""
        width, height = PANEL_WH
        inner_w, inner_h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
        return (_LEFT + x * inner_w) * _SMOOTH, (_TOP + (1 - y) * inner_h) * _SMOOTH

    def scale(self, ticks: Sequence[tuple[float, str]], highest: float) -> None:
        """Draw the base line with marks at (place from 0 to 1, text), and lines of shares to `highest`."""
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if highest / s <= 5)
        for number in range(int(highest / step + 1e-9) + 1):
            y = number * step / highest
            self.draw.line([self.at(0, y), self.at(1, y)], GRID if number else FAINT, _SMOOTH)
            x_px, y_px = self.at(0, y)
            label = f"{number * step:.0%}"
            self.text((x_px / _SMOOTH - 7, y_px / _SMOOTH), label, FAINT, 12, "rm")
        for x, label in ticks:
            x_px, y_px = self.at(x, 0)
            self.text((x_px / _SMOOTH, y_px / _SMOOTH + 8), label, FAINT, 12, "ma")

    def area(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw an area from the base line up to points, and their line."""
        layer = Image.new("RGBA", self.image.size)
        corners = [self.at(x, y) for x, y in [(points[0][0], 0), *points, (points[-1][0], 0)]]
        ImageDraw.Draw(layer).polygon(corners, (*colour, 42))
        self.image.alpha_composite(layer)
        self.draw.line([self.at(x, y) for x, y in points], colour, 2 * _SMOOTH, joint="curve")

    def bar(self, x1: float, x2: float, y: float, colour: Colour) -> None:
        """Draw a bar from the base line."""
        left, top = self.at(x1, y)
        right, bottom = self.at(x2, 0)
        if bottom - top >= 1:
            self.draw.rounded_rectangle(
                (left, top, right, bottom), 2 * _SMOOTH, colour, corners=(True, True, False, False)
            )

    def finish(self) -> Image.Image:
        """Return the panel."""
        return self.image.convert("RGB").reduce(_SMOOTH)


def histogram(
    title: str,
    unit: str,
    series: Sequence[Series],
    ticks: Sequence[float],
    *,
    logarithmic: bool = False,
    bins: int = 40,
) -> Image.Image:
    """Draw the distribution of each series between the first and the last tick, with its median.

    Values beyond are counted at the ends. The line is smoothed: pixels are whole numbers, of which one bin of
    a logarithmic axis holds more than the next.
    """
    panel = Panel(title, unit)
    change: Callable[[DoubleArray], DoubleArray] = np.log if logarithmic else np.asarray
    marks = change(np.array(ticks, np.float64))
    low, high = float(marks[0]), float(marks[-1])
    shares = []
    for each in series:
        values = change(np.maximum(each.values, 1e-9) if logarithmic else each.values)
        count, _ = np.histogram(np.clip(values, low, high), bins, (low, high))
        shares.append(_smoothed(count / max(1, len(values))))
    highest = max([float(share.max(initial=0)) for share in shares] + [0.01]) * 1.08
    places = [
        ((float(mark) - low) / (high - low), f"{tick:g}") for mark, tick in zip(marks, ticks, strict=True)
    ]
    panel.scale(places, highest)
    middles = (np.arange(bins) + 0.5) / bins
    for each, share in zip(series, shares, strict=True):
        colour = SERIES_COLOURS[each.colour]
        panel.area(list(zip(middles.tolist(), (share / highest).tolist(), strict=True)), colour)
        if len(each.values):
            median = float(np.clip(change(np.array([np.median(each.values)])), low, high)[0])
            x = (median - low) / (high - low)
            panel.draw.line([panel.at(x, 0), panel.at(x, 0.06)], colour, 3 * _SMOOTH)
    return panel.finish()


def _smoothed(shares: DoubleArray, sigma: float = 1.2) -> DoubleArray:
    """Spread each bin over its neighbours, the sum kept."""
    offset = np.arange(len(shares))
    kernel = np.exp(-((offset[:, None] - offset) ** 2) / (2 * sigma**2))
    return np.asarray((kernel / kernel.sum(axis=0)) @ shares)


def bars(title: str, unit: str, series: Sequence[Series], labels: Sequence[str]) -> Image.Image:
    """Draw the shares of each series in groups, one for each label."""
    panel = Panel(title, unit)
    shares = [each.values / max(1.0, float(each.values.sum())) for each in series]
    highest = max([float(share.max(initial=0)) for share in shares] + [0.01]) * 1.08
    panel.scale([((i + 0.5) / len(labels), label) for i, label in enumerate(labels)], highest)
    width = 0.8 / len(labels) / max(1, len(series))
    for number, (each, share) in enumerate(zip(series, shares, strict=True)):
        for i, value in enumerate(share.tolist()):
            left = (i + 0.1) / len(labels) + number * width
            panel.bar(left + 0.06 * width, left + 0.94 * width, value / highest, SERIES_COLOURS[each.colour])
    return panel.finish()


def maps(title: str, unit: str, series: Sequence[Series], names: Sequence[str]) -> Image.Image:
    """Draw a map of each series, `[rows, columns]` of values from 0, one below the other."""
    panel = Panel(title, unit)
    room = (PANEL_WH[1] - _TOP - 16) / max(1, len(series))
    for number, (each, name) in enumerate(zip(series, names, strict=True)):
        share = each.values / max(1e-9, float(each.values.max(initial=0)))
        colour = np.array(SERIES_COLOURS[each.colour])
        pixels = 255 + share[:, :, None] * (colour - 255)  # white to the colour
        height = room - 8
        width = min(height * 2.6, PANEL_WH[0] - 120)
        size = (round(width * _SMOOTH), round(height * _SMOOTH))
        map_image = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        left, top = 96, _TOP + number * room
        place = (left * _SMOOTH, round(top * _SMOOTH))
        panel.image.paste(map_image, place)
        corner = (place[0] + size[0], place[1] + size[1])
        panel.draw.rectangle((*place, *corner), outline=GRID, width=_SMOOTH)
        panel.text((left - 12, top + height / 2), name, FAINT, 14, "rm")
    return panel.finish()


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Load Pillow's own typeface."""
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return found
