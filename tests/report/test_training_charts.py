"""Charts of a training: what goes wrong is seen, and what is left out is said."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from digitspot.report.blocks import Chart
from digitspot.report.subject import Source
from digitspot.report.training import training_section


def charts(losses: Sequence[float], **fields: Sequence[float]) -> dict[str, Chart]:
    """Return the charts of a training of 64 images and 3 seconds a record."""
    metrics = [
        {
            "kind": "train",
            "images_seen": 64 * i,
            "seconds": 3.0 * i,
            "prequential_faded": loss,
            **{name: values[i - 1] for name, values in fields.items()},
        }
        for i, loss in enumerate(losses, 1)
    ]
    blocks = training_section([Source("mine", Path("mine"), metrics)]).blocks
    return {block.caption: block for block in blocks if isinstance(block, Chart)}


def drawn(chart: Chart) -> tuple[list[float], float, float]:
    """Return the values of its one line, and the ends of its y axis."""
    [axes] = chart.figure.axes
    [line] = axes.lines
    return [float(y) for y in line.get_ydata()], *axes.get_ylim()


def test_a_high_start_leaves_the_chart_and_is_said() -> None:
    losses = [20.0, 9.0, 4.0, *(1 - i / 200 for i in range(97))]
    chart = charts(losses)["Loss"]
    assert re.search(r"The axis ends at 1\.\d+; higher at the start\.", chart.note)
    values, low, high = drawn(chart)
    assert max(values) > high > 1, "the line comes in from above"
    later = [value for value in values if value <= high]
    assert max(later) - min(later) > 0.8 * (high - low), "what follows has the room"


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ([0.5] * 60 + [0.5 + 4.5 * i / 40 for i in range(1, 41)], "at the end"),
        ([0.5] * 6 + [5.0] * 94, "soon, for most of the training"),
        ([0.5] * 3 + [5.0] * 97, "within the start, which lies lower"),
    ],
)
def test_a_divergence_is_seen(losses: list[float], reason: str) -> None:
    chart = charts(losses)["Loss"]
    assert chart.note == ""
    values, low, high = drawn(chart)
    assert values == losses, reason
    assert low < min(losses), reason
    assert max(losses) < high, reason
    assert max(losses) - min(losses) > 0.8 * (high - low)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_out_and_said(odd: float) -> None:
    chart = charts([odd, 2.0, 1.5, 1.2, odd, 1.0])["Loss"]
    assert "2 of 6 values are not finite, the first after 64 images seen." in chart.note
    assert drawn(chart)[0] == [2, 1.5, 1.2, 1]
    assert [row[2] for row in chart.values.rows] == ["2", "1.5", "1.2", "1"]
    assert "Loss" not in charts([odd, odd])


def test_memory_and_rate_go_over_minutes() -> None:
    found = charts([1.0] * 40, memory_mib=[900 + i for i in range(40)], lr_factor=[1 / 40] * 40)
    for title in ("Memory of the training and its loader processes", "Learning rate", "Speed"):
        values = found[title].values
        assert values.columns[1] == "minutes of training"
        assert values.rows[-1][1] == "2", "40 records of 3 seconds"
        assert found[title].figure.axes[0].get_xlabel() == "minutes of training"


def test_a_single_value_is_seen() -> None:
    [line] = charts([1.0])["Loss"].figure.axes[0].lines
    assert line.get_marker() == "o"
