"""Charts of a report: a drawing with its legend, and its values as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from digitspot.report.blocks import Chart, Table
from digitspot.report.svg import Axis, Line, line_chart

MAX_POINTS = 160


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points so that a line stays short, its ends kept."""
    if len(points) <= MAX_POINTS:
        return points
    chosen = np.unique(np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int))
    return [points[i] for i in chosen.tolist()]


def chart(
    title: str, x: Axis, y: Axis, lines: Sequence[Line], diagonal: bool = False, note: str = ""
) -> Chart:
    """Draw lines, with a legend where there are several, and their values for a table."""
    legend = lines if len(lines) > 1 else ()
    shown: Callable[[float], str] = (lambda v: f"{v:.1%}") if y.percent else _number
    rows = []
    for line in lines:
        picked = (
            line.points if len(line.points) <= 12 else [line.points[i] for i in _spread(len(line.points))]
        )
        rows += [
            (
                line.name,
                x.names[int(px)] if x.names else (f"{px:.1%}" if x.percent else _number(px)),
                shown(py),
            )
            for px, py in picked
        ]
    table = Table(("series", x.label, y.label), rows)
    return Chart(title, line_chart(title, x, y, lines, diagonal), legend, table, note)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _spread(num: int) -> list[int]:
    return np.unique(np.linspace(0, num - 1, 12).round().astype(int)).tolist()  # type: ignore[no-any-return]
