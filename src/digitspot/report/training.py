"""The section of the trainings: losses, scores, speed, memory and learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from digitspot.plots import Axis, Line, Point, axis_for
from digitspot.report.blocks import Chart, Section, line_chart, thinned
from digitspot.report.subject import Source

START = 0.05
"""The first fraction of a training, whose loss may leave the plot: it would take all the room."""
MAX_SPEEDS = 40
Trained = tuple[int, Source]
"""A source that has records, with the index of its colour."""


@dataclass(frozen=True)
class Scale:
    """A record's field on the x axis, how much of it is one unit, and its name."""

    key: str
    unit: float
    label: str


IMAGES, MINUTES = Scale("images_seen", 1, "images seen"), Scale("seconds", 60, "minutes of training")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot of the records.

    Attributes:
        title: Above it.
        label: Of the y axis.
        series: Kind of record, field and name of each.
        over: The x axis.
        percent: Whether values are fractions.
        from_zero: Whether the y axis starts at 0.
        high_start: Whether the beginning may leave the plot.
    """

    title: str
    label: str
    series: Sequence[tuple[str, str, str]]
    over: Scale = IMAGES
    percent: bool = False
    from_zero: bool = False
    high_start: bool = False


PLOTS = (
    Plot(
        title="Loss",
        label="loss",
        series=[
            ("train", "prequential_faded", "before each update, faded mean"),
            ("valid", "valid_loss", "valid"),
        ],
        high_start=True,
    ),
    Plot(
        title="Validation: numbers right",
        label="right",
        series=[("valid", "accuracy", "as they are"), ("valid", "zoomed_accuracy", "zoomed out")],
        percent=True,
    ),
    Plot(
        title="Validation: mAP",
        label="mAP",
        series=[("valid", "map", "as they are"), ("valid", "zoomed_map", "zoomed out")],
        percent=True,
    ),
    Plot(
        title="Memory of the training and its loader processes",
        label="MiB",
        series=[("train", "memory_mib", "memory"), ("train", "device_memory_mib", "on the device")],
        over=MINUTES,
        from_zero=True,
    ),
    Plot(
        title="Learning rate",
        label="fraction of its peak",
        series=[("train", "lr_factor", "lr")],
        over=MINUTES,
        from_zero=True,
    ),
)


def training_section(sources: Sequence[Source]) -> Section:
    """Return plots of losses and scores over the images, and of speed, memory and lr over time."""
    trained = [(i, each) for i, each in enumerate(sources) if each.metrics]
    charts = [_chart(plot, trained) for plot in PLOTS]
    return Section("Training", [each for each in (*charts, _speed_chart(trained)) if each is not None])


def _chart(plot: Plot, trained: Sequence[Trained]) -> Chart | None:
    """Draw what the records have of a plot; None if they have nothing of it."""
    lines, notes = [], []
    for index, source in trained:
        for number, (kind, key, what) in enumerate(plot.series):
            several = len(trained) > 1
            name = f"{source.name}, {what}" if several else what
            known = _known(source, kind, key, plot.over)
            points = thinned([point for point in known if math.isfinite(point[1])])
            if broken := [x for x, y in known if not math.isfinite(y)]:
                first = f"the first after {broken[0]:,.4g} {plot.over.label}"
                notes.append(f"{name}: {len(broken)} of {len(known)} values are not finite, {first}.")
            if points:
                dashed, single = several and number > 0, len(points) == 1
                lines.append(Line(name, points, index if several else number, dashed=dashed, dots=single))
    if not lines:
        return None
    x = axis_for(plot.over.label, [x for line in lines for x, _ in line.points], from_zero=True)
    y = _y_axis(plot, lines)
    if any(value > y.high for line in lines for _, value in line.points):
        notes.append(f"The axis ends at {y.high:.3g}; higher at the start.")
    return line_chart(plot.title, x, y, lines, note=" ".join(notes))


def _known(source: Source, kind: str, key: str, over: Scale) -> list[Point]:
    rows = [row for row in source.records(kind) if row.get(key) is not None and over.key in row]
    return [(row[over.key] / over.unit, row[key]) for row in rows]


def _y_axis(plot: Plot, lines: Sequence[Line]) -> Axis:
    """Return an axis that holds all, or all but a high start."""
    values = [y for line in lines for _, y in line.points]
    if plot.high_start:
        later = [y for line in lines for x, y in line.points if x > START * line.points[-1][0]]
        values = [min(values), *later]
    return axis_for(plot.label, values, percent=plot.percent, from_zero=plot.from_zero)


def _speed_chart(trained: Sequence[Trained]) -> Chart | None:
    lines = [Line(each.name, points, i) for i, each in trained if (points := _speed(each))]
    if not lines:
        return None
    x = axis_for(MINUTES.label, [x for line in lines for x, _ in line.points], from_zero=True)
    y = axis_for("images a second", [y for line in lines for _, y in line.points], from_zero=True)
    return line_chart("Speed", x, y, lines)


def _speed(source: Source) -> list[Point]:
    """Return minutes and images a second between records, of training alone."""
    rows = source.records("train")
    rows = rows[:: max(1, len(rows) // MAX_SPEEDS)]
    return [
        (b["seconds"] / 60, (b["images_seen"] - a["images_seen"]) / (b["seconds"] - a["seconds"]))
        for a, b in pairwise(rows)
        if b["seconds"] > a["seconds"]
    ]
