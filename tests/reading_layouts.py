"""Generated numbers of known reading order, as a detector might find them: jittered, duplicated, scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digitspot.reading import ReadingSettings
from digitspot.reading.candidates import LENGTHS, NAMES
from digitspot.types import Detections, DoubleArray

Random = np.random.Generator
ASPECT = 0.6
"""Width over height of a digit."""


@dataclass(frozen=True)
class Written:
    """Digits of height 1 as written, in reading order.

    Attributes:
        centres: `[N, 2]`, x and y.
        angle: Of every digit, in radians, clockwise.
    """

    centres: DoubleArray
    angle: float = 0.0


def row(random: Random, num: int) -> DoubleArray:
    """Return centres along a line, at a usual spacing that varies a little."""
    steps = random.uniform(0.65, 1.0) * random.uniform(0.9, 1.1, num)
    return np.stack([np.cumsum(steps) - steps[0], np.zeros(num)], 1)


def straight(random: Random) -> Written:
    return Written(row(random, random.integers(1, 7)))


def tilted(random: Random) -> Written:
    return turn(row(random, random.integers(2, 7)), np.deg2rad(random.uniform(-45, 45)))


def curved(random: Random) -> Written:
    """Digits along an arc of up to 70 degrees, hollow side up or down."""
    centres = row(random, random.integers(3, 7))
    bend = np.deg2rad(random.uniform(20, 70)) / centres[-1, 0] * random.choice([-1, 1])
    angles = (centres[:, 0] - centres[:, 0].mean()) * bend
    return Written(np.stack([np.sin(angles) / bend, (1 - np.cos(angles)) / bend], 1))


def vertical(random: Random) -> Written:
    """One digit below the other."""
    num = random.integers(2, 6)
    steps = np.cumsum(random.uniform(1.05, 1.4) * np.ones(num))
    return Written(np.stack([random.normal(0, 0.05, num), steps], 1))


def stacked(random: Random) -> Written:
    """A staircase: every digit lower and further to the right."""
    num = random.integers(2, 6)
    step = np.array([random.uniform(0.3, 0.9), random.uniform(0.8, 1.3)])
    return Written(np.arange(num)[:, None] * step)


def two_rows(random: Random) -> Written:
    above, below = row(random, random.integers(2, 4)), row(random, random.integers(2, 4))
    below += [(above[-1, 0] - below[-1, 0]) / 2, random.uniform(1.15, 1.6)]
    return turn(np.concatenate([above, below]), np.deg2rad(random.uniform(-15, 15)))


def several(random: Random) -> Written:
    """Two numbers beside each other on one line, or one well below the other."""
    first, second = row(random, random.integers(1, 4)), row(random, random.integers(1, 4))
    if random.random() < 0.5:
        second += [first[-1, 0] + random.uniform(2, 5), random.uniform(-0.15, 0.15)]
    else:
        second += [random.uniform(-3, 3), random.uniform(2, 4)]
    return Written(np.concatenate([first, second]))


LAYOUTS: dict[str, Callable[[Random], Written]] = {
    layout.__name__: layout for layout in (straight, tilted, curved, vertical, stacked, two_rows, several)
}


def turn(centres: DoubleArray, angle: float) -> Written:
    cos, sin = np.cos(angle), np.sin(angle)
    return Written(centres @ np.array([[cos, sin], [-sin, cos]]), angle)


def true_boxes(written: Written) -> DoubleArray:
    """Return the axis-aligned boxes around the digits, `[N, 4]`."""
    cos, sin = abs(np.cos(written.angle)), abs(np.sin(written.angle))
    half = np.array([ASPECT * cos + sin, cos + ASPECT * sin]) / 2
    return np.concatenate([written.centres - half, written.centres + half], 1)


def found_in(random: Random, layout: str, num_false: int = 0) -> tuple[str, Detections]:
    """Write a number and find its digits: jittered, each a second time with a lower score, in any order.

    Args:
        random: Decides all.
        layout: One of `LAYOUTS`.
        num_false: Boxes where no digit is, beside the number, of half to twice its height.

    Returns:
        The number, and what is found, in pixels.
    """
    boxes = true_boxes(LAYOUTS[layout](random))
    digits = random.integers(0, 10, len(boxes))
    frame = np.array([*boxes[:, :2].min(0) - 3, *boxes[:, 2:].max(0) + 3])
    false = [false_box(random, boxes, frame) for _ in range(num_false)]
    places = np.concatenate([boxes, *false])
    scores = np.concatenate([random.uniform(0.7, 1, len(boxes)), random.uniform(0.05, 0.6, num_false)])
    labels = np.concatenate([digits, random.integers(0, 10, num_false)]) + 1
    sides = np.tile(places[:, 2:] - places[:, :2], 2)
    twice = [places + random.normal(0, 0.03, places.shape) * sides for _ in range(2)]
    order = random.permutation(2 * len(places))
    height = random.uniform(8, 200)
    return "".join(map(str, digits)), Detections(
        boxes=(np.concatenate(twice)[order] * height).astype(np.float32),
        labels=np.tile(labels, 2)[order],
        scores=np.concatenate([scores, scores * random.uniform(0.1, 0.9, len(scores))])[order].astype(
            np.float32
        ),
    )


def false_box(random: Random, boxes: DoubleArray, frame: DoubleArray) -> DoubleArray:
    """Return a box `[1, 4]` in a frame that meets none of the boxes."""
    while True:
        height = 2 ** random.uniform(-1, 1)
        centre = random.uniform(frame[:2], frame[2:])
        half = np.array([ASPECT, 1]) * height / 2
        box = np.concatenate([centre - half, centre + half])
        if not ((box[:2] < boxes[:, 2:]) & (box[2:] > boxes[:, :2])).all(1).any():
            return box[None]


def digits_at(*rows: tuple[float, int, float]) -> Detections:
    """Return boxes 10 wide and 20 high, each given as left edge, digit and score."""
    lefts = np.array([row[0] for row in rows], np.float32)
    top = np.zeros(len(rows), np.float32)
    return Detections(
        boxes=np.stack([lefts, top, lefts + 10, top + 20], 1).reshape(-1, 4),
        labels=np.array([row[1] + 1 for row in rows], np.int64),
        scores=np.array([row[2] for row in rows], np.float32),
    )


def threshold_settings(min_score: float, max_iou: float) -> ReadingSettings:
    """Return settings that take every digit from a score on."""
    bias = -float(np.log(min_score / (1 - min_score)))
    weights = {"score": 1.0, "class_share": 1.0}
    weights |= {name: bias * length for length, name in enumerate(LENGTHS)}
    return ReadingSettings(max_iou=max_iou, weights=tuple(weights.get(name, 0.0) for name in NAMES))
