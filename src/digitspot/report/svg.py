"""Charts as inline SVG; colours are the page's, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from digitspot.types import IntArray

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 44
NUM_COLOURS = 6
CELL = 32
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A series of points.

    Attributes:
        name: For the legend.
        points: (x, y).
        colour: Number of the page's series colour.
        dashed: Drawn with gaps.
        dots: Points instead of a line.
        joined: With `dots`, also a line through them.
        ranges: (low, high) of each point.
    """

    name: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False
    dots: bool = False
    joined: bool = False
    ranges: Sequence[Point] = ()


@dataclass(frozen=True)
class Axis:
    """One direction of a chart.

    Attributes:
        label: What it shows, with its unit.
        low: Its lower end.
        high: Its upper end; a line is cut where it leaves the chart there.
        percent: Whether values are shares.
        names: In the place of numbers, at 0, 1, 2 ...
    """

    label: str
    low: float
    high: float
    percent: bool = False
    names: Sequence[str] = ()

    def ticks(self) -> list[tuple[float, str]]:
        """Return about five values and their texts."""
        if self.names:
            return list(enumerate(self.names))
        step = _nice((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(number * step, self.text(number * step, step)) for number in range(first, last + 1)]

    def text(self, value: float, step: float) -> str:
        """Write a value as precisely as its step asks for."""
        if self.percent:
            return f"{100 * value:.{max(0, -math.floor(math.log10(100 * step) + 1e-9))}f}"
        if abs(self.high) >= 10_000:
            return f"{value / 1000:g}k"
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"

    def share(self, value: float) -> float:
        """Return where a value lies, 0 to 1."""
        return (value - self.low) / ((self.high - self.low) or 1)


def axis_for(label: str, values: Sequence[float], *, percent: bool = False, from_zero: bool = False) -> Axis:
    """Return an axis that holds the values with a little room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(0.0, low) if from_zero else low
    room = 0.05 * ((high - low) or abs(high) or 1)
    low = low if from_zero else low - room
    return Axis(label, low, high + room, percent)


def named_axis(label: str, names: Sequence[str]) -> Axis:
    """Return an axis of names."""
    return Axis(label, -0.5, len(names) - 0.5, names=names)


def line_chart(name: str, x: Axis, y: Axis, lines: Sequence[Line], diagonal: bool = False) -> str:
    """Draw lines or dots.

    Args:
        name: What assistive technology says.
        x: To the right.
        y: Upwards.
        lines: The series.
        diagonal: Whether to draw where both are equal.
    """
    parts = [_frame(x, y)]
    if diagonal:
        ends = max(x.low, y.low), min(x.high, y.high)
        start, end = (_at(x, y, (each, each)) for each in ends)
        parts.append(_rule("faint dashed", *start, *end))
    for number, line in enumerate(lines):
        shift = 7 * (number - (len(lines) - 1) / 2) if line.ranges or x.names else 0
        parts.append(_series(x, y, line, shift))
    return _svg(name, WIDTH, HEIGHT, parts)


def _series(x: Axis, y: Axis, line: Line, shift: float) -> str:
    places = [_at(x, y, point) for point in line.points]
    colour = f"s{line.colour % NUM_COLOURS}"
    parts = []
    if not line.dots or line.joined:
        dashed = " dashed" if line.dashed else ""
        for piece in _pieces(line.points, y.high):
            path = " ".join(f"{px + shift:g},{py:g}" for px, py in (_at(x, y, point) for point in piece))
            parts.append(f'<polyline class="line {colour}{dashed}" points="{path}"/>')
    for (px, _), ends in zip(places, line.ranges, strict=False):
        low, high = (_at(x, y, (0, end))[1] for end in ends)
        parts.append(_rule(f"line {colour}", px + shift, low, px + shift, high))
    if line.dots:
        parts += [
            f'<circle class="dot {colour}" cx="{px + shift:g}" cy="{py:g}" r="3.5">'
            f"<title>{escape(line.name)}: {value:.4g}</title></circle>"
            for (px, py), (_, value) in zip(places, line.points, strict=True)
        ]
    return "".join(parts)


def _pieces(points: Sequence[Point], high: float) -> list[list[Point]]:
    """Return the parts of a line up to a height, cut where it passes it."""
    pieces: list[list[Point]] = []
    for a, b in pairwise(points):
        if a[1] > high and b[1] > high:
            continue
        start, end = _cut(a, b, high), _cut(b, a, high)
        if pieces and pieces[-1][-1] == start:
            pieces[-1].append(end)
        else:
            pieces.append([start, end])
    return pieces


def _cut(point: Point, other: Point, high: float) -> Point:
    """Return a point, or where the way from it to the other, which is below, passes a height."""
    if point[1] <= high:
        return point
    share = (high - other[1]) / (point[1] - other[1])
    return other[0] + share * (point[0] - other[0]), high


def heatmap(name: str, names: Sequence[str], counts: IntArray, rows: str, columns: str) -> str:
    """Draw counts `[N, N]`, cells by their share of the row; the diagonal has a colour of its own."""
    left, top = 60, 34
    middle = CELL * len(names) / 2
    parts = [
        _text(columns, left + middle, 12, "label"),
        _text(rows, 11, top + middle, "label", turned=True),
    ]
    for i, each in enumerate(names):
        parts.append(_text(each, left - 6, top + CELL * (i + 0.62), anchor="end"))
        parts.append(_text(each, left + CELL * (i + 0.5), top - 6))
        shares = counts[i] / max(1, int(counts[i].sum()))
        for j, (count, share) in enumerate(zip(counts[i].tolist(), shares.tolist(), strict=True)):
            hint = f"{each} as {names[j]}: {count} ({share:.1%})"
            parts.append(_cell(left + CELL * j, top + CELL * i, count, share, hint, diagonal=i == j))
    return _svg(name, left + 2 * middle + 6, top + 2 * middle + 6, parts)


def _cell(x: float, y: float, count: int, share: float, hint: str, diagonal: bool) -> str:
    """Draw one cell; off the diagonal a sixth of a row is as strong as all of it."""
    strength = share if diagonal else min(1.0, 6 * share)
    box = f'x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" style="fill-opacity:{0.85 * strength:.3f}"'
    drawn = f'<rect class="cell {"hit" if diagonal else "miss"}" {box}><title>{escape(hint)}</title></rect>'
    if not count:
        return drawn
    kind = "count strong" if strength > 0.55 else "count"
    return drawn + _text(str(count), x + CELL / 2 - 0.5, y + 0.62 * CELL, kind)


@dataclass(frozen=True)
class Span:
    """A value with its range, on a line of its own."""

    name: str
    value: float
    low: float
    high: float
    colour: int = 0


def span_chart(name: str, label: str, spans: Sequence[Span], zero: bool = False) -> str:
    """Draw ranges below each other; `zero` marks where there is no difference."""
    left, row = 150, 30
    height = TOP + row * len(spans) + BOTTOM
    values = [end for span in spans for end in (span.low, span.high)] + ([0.0] if zero else [])
    axis = axis_for(label, values)
    width = WIDTH - left - RIGHT

    def across(value: float) -> float:
        return round(left + width * axis.share(value), 1)

    bottom = height - BOTTOM
    parts = []
    for value, text in axis.ticks():
        parts.append(_rule("grid", across(value), TOP, across(value), bottom))
        parts.append(_text(text, across(value), bottom + 16))
    if zero:
        parts.append(_rule("axis", across(0), TOP, across(0), bottom))
    for number, span in enumerate(spans):
        y = TOP + row * (number + 0.5)
        colour = f"s{span.colour % NUM_COLOURS}"
        parts.append(_text(_short(span.name), left - 8, y + 4, anchor="end"))
        parts.append(_rule(f"line {colour}", across(span.low), y, across(span.high), y))
        hint = f"<title>{escape(span.name)}: {span.value:.4g} [{span.low:.4g}, {span.high:.4g}]</title>"
        parts.append(
            f'<circle class="dot {colour}" cx="{across(span.value)}" cy="{y}" r="4.5">{hint}</circle>'
        )
    parts.append(_text(label, left + width / 2, height - 8, "label"))
    return _svg(name, WIDTH, height, parts)


def _frame(x: Axis, y: Axis) -> str:
    parts = []
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, text in y.ticks():
        _, py = _at(x, y, (x.low, value))
        parts.append(_rule("grid", LEFT, py, right, py))
        parts.append(_text(text, LEFT - 7, py + 4, anchor="end"))
    for value, text in x.ticks():
        parts.append(_text(text, _at(x, y, (value, y.low))[0], bottom + 16))
    parts.append(_rule("axis", LEFT, bottom, right, bottom))
    across, up = (f"{axis.label}, %" if axis.percent else axis.label for axis in (x, y))
    parts.append(_text(across, (LEFT + right) / 2, HEIGHT - 8, "label"))
    parts.append(_text(up, 13, (TOP + bottom) / 2, "label", turned=True))
    return "".join(parts)


def _at(x: Axis, y: Axis, point: Point) -> Point:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    across, up = (min(max(axis.share(value), 0.0), 1.0) for axis, value in zip((x, y), point, strict=True))
    return round(LEFT + width * across, 1), round(TOP + height * (1 - up), 1)


def _text(
    text: str, x: float, y: float, kind: str = "tick", anchor: str = "middle", turned: bool = False
) -> str:
    """Write a text; a turned one reads upwards."""
    place = f'transform="translate({x:g} {y:g}) rotate(-90)"' if turned else f'x="{x:g}" y="{y:g}"'
    return f'<text class="{kind}" {place} text-anchor="{anchor}">{escape(text)}</text>'


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _svg(name: str, width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}"'
    return f'<svg {size} role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'


def _nice(step: float) -> float:
    """Round a step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step - 1e-12)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
