"""Charts of a training: what goes wrong is seen, and what is left out is said."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from digitspot.report.blocks import Chart
from digitspot.report.sources import Source
from digitspot.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Line, line_chart
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


def pieces(svg: str) -> list[list[tuple[float, float]]]:
    """Return the drawn lines, in pixels."""
    found = re.findall(r'<polyline [^>]*points="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in each.split())] for each in found]


def test_a_high_start_leaves_the_chart_and_is_said() -> None:
    losses = [20.0, 9.0, 4.0, *(1 - i / 200 for i in range(97))]
    chart = charts(losses)["Loss"]
    assert re.search(r"The axis ends at 1\.\d+; higher at the start\.", chart.note)
    [line] = pieces(chart.svg)
    assert line[0][1] == TOP, "the line comes in from above"
    assert line[0][0] > LEFT
    assert line[1][1] > TOP + 2, "nothing runs along the edge"
    assert line[-1][1] - line[1][1] > 0.8 * (HEIGHT - TOP - BOTTOM), "what follows has the room"


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
    [line] = pieces(chart.svg)
    assert len(line) == len(losses), reason
    heights = [(line[0][1] - y) / (line[0][1] - line[-1][1]) for _, y in line]
    assert heights == pytest.approx([(loss - 0.5) / 4.5 for loss in losses], abs=0.01), "drawn to scale"
    assert line[0][1] - line[-1][1] > 0.8 * (HEIGHT - TOP - BOTTOM)


@pytest.mark.parametrize(
    ("points", "expected", "reason"),
    [
        ([(0, 0), (1, 1)], [[(0, 0), (1, 1)]], "inside"),
        ([(0, 1), (1, 3), (2, 3), (4, 1)], [[(0, 1), (0.5, 2)], [(3, 2), (4, 1)]], "out and back"),
        ([(0, 3), (1, 2), (2, 3)], [[(1, 2), (1, 2)], [(1, 2), (1, 2)]], "touches the end"),
        ([(0, 3), (1, 4)], [], "outside"),
        ([], [], "nothing"),
    ],
)
def test_a_line_ends_where_it_leaves_the_axis(
    points: list[tuple[float, float]], expected: list[list[tuple[float, float]]], reason: str
) -> None:
    svg = line_chart("a", Axis("x", 0, 4), Axis("y", 0, 2), [Line("a", points, 0)])
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    places = [[(LEFT + width * x / 4, TOP + height * (1 - y / 2)) for x, y in piece] for piece in expected]
    drawn = [sorted(set(piece)) for piece in pieces(svg)]
    assert len({tuple(piece) for piece in drawn}) == len({tuple(piece) for piece in places}), reason
    for piece, wanted in zip(drawn, places, strict=False):
        assert piece == [pytest.approx(place, abs=0.06) for place in sorted(set(wanted))], reason


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_out_and_said(odd: float) -> None:
    chart = charts([odd, 2.0, 1.5, 1.2, odd, 1.0])["Loss"]
    assert "2 of 6 values are not finite, the first after 64 images seen." in chart.note
    [line] = pieces(chart.svg)
    assert len(line) == 4
    assert chart.points is not None
    assert [row[2] for row in chart.points.rows] == ["2", "1.5", "1.2", "1"]
    assert "Loss" not in charts([odd, odd])


def test_memory_and_rate_go_over_minutes() -> None:
    drawn = charts([1.0] * 40, memory_mib=[900 + i for i in range(40)], rate_factor=[1 / 40] * 40)
    for title in ("Memory of the training and its loader processes", "Learning rate", "Speed"):
        points = drawn[title].points
        assert points is not None
        assert points.columns[1] == "minutes of training"
        assert points.rows[-1][1] == "2", "40 records of 3 seconds"
        assert "minutes of training</text>" in drawn[title].svg


def test_a_single_value_is_seen() -> None:
    assert "<circle" in charts([1.0])["Loss"].svg
