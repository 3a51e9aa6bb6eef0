"""From scored boxes to the number: one place, one digit, above a threshold, left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from digitspot.boxes import suppress
from digitspot.structures import Detections, Digit, Reading

SCORE_GRID = (np.arange(5, 96) / 100).astype(np.float32)
"""Thresholds to try; float32 like the scores, so that one that equals a threshold reaches it."""
IOU_GRID = (0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """What the reader was fitted to; travels with the model.

    Attributes:
        min_score: A digit must score at least this.
        max_iou: Of two boxes that overlap more, whatever their classes, the better one stays.
    """

    min_score: float = 0.5
    max_iou: float = 0.4


def read_number(detections: Detections, settings: ReadingSettings) -> Reading:
    """Read the number in one image.

    Args:
        detections: Every digit found.
        settings: Threshold and overlap.

    Returns:
        The digits by left edge. Its probability is the product of the digits' scores, or, where
        nothing reaches the threshold, one minus the best score.
    """
    kept = _one_place_one_digit(detections, settings.max_iou)
    chosen = kept.select(kept.scores >= settings.min_score)
    if len(chosen) == 0:
        return Reading(text=None, probability=1.0 - float(detections.scores.max(initial=0.0)))
    chosen = chosen.select(np.argsort(chosen.boxes[:, 0], kind="stable"))
    digits = tuple(
        Digit(text=str(label - 1), box=_corners(box), score=float(score))
        for box, label, score in zip(chosen.boxes, chosen.labels, chosen.scores, strict=True)
    )
    return Reading(
        text="".join(digit.text for digit in digits), probability=float(chosen.scores.prod()), digits=digits
    )


def fit_settings(
    detections: Sequence[Detections], numbers: Sequence[str | None]
) -> tuple[ReadingSettings, float]:
    """Find the threshold and overlap that read the most numbers right.

    Among equals the middle of the longest run of thresholds is taken, which depends least on chance.

    Args:
        detections: Of the images to fit on.
        numbers: Their true numbers; None where there is none.

    Returns:
        The settings, and the accuracy they reach on these images.
    """
    settings, best = ReadingSettings(), -1.0
    for max_iou in IOU_GRID:
        right = _right_at_each_score(detections, numbers, max_iou)
        if right.max(initial=0) / max(1, len(numbers)) > best:
            best = float(right.max(initial=0)) / max(1, len(numbers))
            min_score = float(SCORE_GRID[_middle_of_longest_run(right == right.max())])
            settings = replace(settings, min_score=round(min_score, 2), max_iou=max_iou)
    return settings, best


def _right_at_each_score(
    detections: Sequence[Detections], numbers: Sequence[str | None], max_iou: float
) -> npt.NDArray[np.int64]:
    """Count the numbers read right at every threshold of `SCORE_GRID`."""
    right = np.zeros(len(SCORE_GRID), np.int64)
    for found, number in zip(detections, numbers, strict=True):
        floor = found.select(found.scores >= SCORE_GRID[0])
        kept = _one_place_one_digit(floor, max_iou)
        kept = kept.select(np.argsort(kept.boxes[:, 0], kind="stable"))
        labels, scores = kept.labels - 1, kept.scores
        for lower, upper in _score_steps(scores):
            text = "".join(map(str, labels[scores >= SCORE_GRID[lower]])) or None
            right[lower:upper] += text == number
    return right


def _score_steps(scores: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the ranges of `SCORE_GRID` within which the same boxes stand above the threshold."""
    edges = np.unique(np.searchsorted(SCORE_GRID, scores, side="right"))
    bounds = [0, *(int(edge) for edge in edges if 0 < edge < len(SCORE_GRID)), len(SCORE_GRID)]
    return list(pairwise(bounds))


def _middle_of_longest_run(mask: npt.NDArray[np.bool_]) -> int:
    """Return the middle index of the longest run of True; 0 where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    if len(edges) == 0:
        return 0
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int((starts[longest] + ends[longest] - 1) // 2)


def _one_place_one_digit(detections: Detections, max_iou: float) -> Detections:
    return detections.select(suppress(detections.boxes, detections.scores, max_iou))


def _corners(box: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
