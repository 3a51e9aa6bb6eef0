"""The section of the trainings: losses, scores, speed, memory and rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from digitspot.report.blocks import Chart, Section
from digitspot.report.charts import chart, thinned
from digitspot.report.sources import Source
from digitspot.report.svg import Axis, Line, Point, axis_for

START = 0.05
"""Share of a training at whose beginning a loss may leave the chart: it would take all the room."""
Trained = tuple[int, Source]
"""A source that has records, with its number, which is its colour's."""


@dataclass(frozen=True)
class Scale:
    """What goes to the right: a record's field, how much of it is one unit, and its name."""

    key: str
    unit: float
    label: str


IMAGES, MINUTES = Scale("images_seen", 1, "images seen"), Scale("seconds", 60, "minutes of training")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One chart of the records.

    Attributes:
        title: Above it.
        label: What goes upwards.
        series: Kind of record, field and name of each.
        over: What goes to the right.
        percent: Whether values are shares.
        from_zero: Whether the axis starts at 0.
        high_start: Whether the beginning may leave the chart.
    """

    title: str
    label: str
    series: Sequence[tuple[str, str, str]]
    over: Scale = IMAGES
    percent: bool = False
    from_zero: bool = False
    high_start: bool = False


PLAIN, ZOOMED = "as they are", "zoomed out"
LEARNING = (
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
        series=[("valid", "accuracy", PLAIN), ("valid", "zoomed_accuracy", ZOOMED)],
        percent=True,
    ),
    Plot(
        title="Validation: mAP",
        label="mAP",
        series=[("valid", "map", PLAIN), ("valid", "zoomed_map", ZOOMED)],
        percent=True,
    ),
)
OVER_TIME = (
    Plot(
        title="Memory of the training and its loader processes",
        label="MiB",
        series=[("train", "memory_mib", "memory"), ("train", "device_memory_mib", "on the device")],
        over=MINUTES,
        from_zero=True,
    ),
    Plot(
        title="Learning rate",
        label="share of its peak",
        series=[("train", "rate_factor", "rate")],
        over=MINUTES,
        from_zero=True,
    ),
)


def training_section(sources: Sequence[Source]) -> Section:
    """Return how losses and scores went over the images, and speed, memory and rate over time."""
    trained = [(i, each) for i, each in enumerate(sources) if each.metrics]
    charts = [_plotted(plot, trained) for plot in LEARNING]
    charts += [_speed_chart(trained), *(_plotted(plot, trained) for plot in OVER_TIME)]
    return Section("Training", [each for each in charts if each is not None])


def _plotted(plot: Plot, trained: Sequence[Trained]) -> Chart | None:
    """Draw a chart of what the records have; None where they have nothing of it."""
    several = len(trained) > 1
    lines, notes = [], []
    for colour, source in trained:
        for number, (kind, key, what) in enumerate(plot.series):
            name = f"{source.name}, {what}" if several else what
            known = _known(source, kind, key, plot.over)
            points = thinned([point for point in known if math.isfinite(point[1])])
            if broken := [x for x, y in known if not math.isfinite(y)]:
                first = f"the first after {broken[0]:,.4g} {plot.over.label}"
                notes.append(f"{name}: {len(broken)} of {len(known)} values are not finite, {first}.")
            if points:
                lines.append(
                    Line(
                        name,
                        points,
                        colour if several else number,
                        dashed=number > 0 and several,
                        dots=len(points) == 1,
                    )
                )
    if not lines:
        return None
    x = axis_for(plot.over.label, [x for line in lines for x, _ in line.points], from_zero=True)
    y = _upwards(plot, lines)
    if any(value > y.high for line in lines for _, value in line.points):
        notes.append(f"The axis ends at {y.high:.3g}; higher at the start.")
    return chart(plot.title, x, y, lines, note=" ".join(notes))


def _known(source: Source, kind: str, key: str, over: Scale) -> list[Point]:
    rows = [row for row in source.records(kind) if row.get(key) is not None and over.key in row]
    return [(row[over.key] / over.unit, row[key]) for row in rows]


def _upwards(plot: Plot, lines: Sequence[Line]) -> Axis:
    """Return an axis that holds all, or all but a high start."""
    values = [y for line in lines for _, y in line.points]
    if plot.high_start:
        later = [y for line in lines for x, y in line.points if x > START * line.points[-1][0]]
        values = [min(values), *later]
    return axis_for(plot.label, values, percent=plot.percent, from_zero=plot.from_zero)


def _speed_chart(trained: Sequence[Trained]) -> Chart | None:
    lines = [Line(each.name, _speed(each), i) for i, each in trained]
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    x = axis_for(MINUTES.label, [x for line in lines for x, _ in line.points], from_zero=True)
    y = axis_for("images a second", [y for line in lines for _, y in line.points], from_zero=True)
    return chart("Speed", x, y, lines)


def _speed(source: Source) -> list[Point]:
    """Return minutes and images a second between records, of training alone."""
    rows = source.records("train")
    stride = max(1, len(rows) // 40)
    rows = rows[::stride]
    return [
        (b["seconds"] / 60, (b["images_seen"] - a["images_seen"]) / (b["seconds"] - a["seconds"]))
        for a, b in pairwise(rows)
        if b["seconds"] > a["seconds"]
    ]
