"""Reading the number in one image: slots, candidates, the most probable one, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from digitspot.reading.candidates import Candidates, list_candidates
from digitspot.reading.certainty import describe_digits, describe_number, sigmoid, softmax
from digitspot.reading.constraints import Constraint, best_allowed
from digitspot.reading.order import lay_out
from digitspot.reading.settings import ReadingSettings
from digitspot.reading.slots import find_slots
from digitspot.reading.style import refine_boxes
from digitspot.types import Detections, Digit, DoubleArray, FloatArray, IntArray, Reading


def read_image(
    detections: Detections, settings: ReadingSettings, constraint: Constraint | None = None
) -> tuple[Detections, Reading]:
    """Read the number in one image, and draw boxes as the training labels do.

    The number is read from the boxes as they were found. All boxes of the answer, in the detections and in
    the digits, are the redrawn ones.

    Args:
        detections: Every digit found; in any order, the same found twice or more.
        settings: What the reader was fitted to.
        constraint: What is known of the number.

    Returns:
        The detections with the boxes to report, and the number.
    """
    refined = refine_boxes(detections, settings.style)
    return refined, _read(detections, refined.boxes, settings, constraint)


def read_number(
    detections: Detections, settings: ReadingSettings, constraint: Constraint | None = None
) -> Reading:
    """Read the number in one image; see `read_image`.

    Returns:
        The digits in reading order. The text is None where "no number" is the most probable. Where the
        constraint allows none of the numbers that were seen, it is None too, and `not_allowed` is true.
    """
    return read_image(detections, settings, constraint)[1]


def abstain(reading: Reading, below: float) -> Reading:
    """Return a reading without an answer where it is less probable than `below`."""
    unsure = reading.probability < below
    return replace(reading, text=None, abstained=True) if unsure else reading


def _read(
    detections: Detections, boxes: FloatArray, settings: ReadingSettings, constraint: Constraint | None
) -> Reading:
    """Read the number; `boxes` are what its digits report, in the order of the detections."""
    candidates = list_candidates(find_slots(detections, settings.max_iou), detections.size_hw)
    scores = candidates.scores(_array(settings.weights))
    probabilities = softmax(scores)

    def describe(chosen: int, digits: IntArray) -> Reading:
        return _describe(candidates, boxes, probabilities, chosen, digits, settings)

    seen = describe(int(np.argmax(scores)), candidates.slots.digits)
    if not constraint or seen.text is None or constraint.allows(seen.text):
        return seen
    allowed = best_allowed(candidates, scores, constraint)
    return describe(*allowed) if allowed else replace(seen, text=None, not_allowed=True)


def _describe(
    candidates: Candidates,
    boxes: FloatArray,
    probabilities: DoubleArray,
    chosen: int,
    digits: IntArray,
    settings: ReadingSettings,
) -> Reading:
    """Make the reading of a candidate."""
    about_number = describe_number(candidates, probabilities, chosen, digits)
    about_digits = describe_digits(candidates, probabilities, chosen, digits)
    sure = sigmoid(about_digits @ _array(settings.digit_weights))
    members = np.flatnonzero(candidates.members[chosen])
    # What was left out may have bent the rows: the order is that of the digits alone.
    order = lay_out(candidates.slots.boxes[members]).order
    read = tuple(
        _digit(candidates, boxes, int(members[i]), int(digits[members[i]]), float(sure[i])) for i in order
    )
    return Reading(
        text="".join(digit.text for digit in read) or None,
        probability=float(sigmoid(about_number @ _array(settings.number_weights))),
        digits=read,
    )


def _digit(candidates: Candidates, boxes: FloatArray, slot: int, digit: int, probability: float) -> Digit:
    scores = candidates.slots.digit_scores[slot]
    others = [
        other for other in np.argsort(-scores, kind="stable").tolist() if scores[other] > 0 and other != digit
    ]
    x1, y1, x2, y2 = boxes[candidates.slots.index[slot]].tolist()
    return Digit(
        text=str(digit),
        box=(x1, y1, x2, y2),
        score=float(scores[digit]),
        probability=probability,
        alternatives=tuple((str(other), float(scores[other])) for other in others),
    )


@lru_cache(maxsize=16)
def _array(weights: tuple[float, ...]) -> DoubleArray:
    return np.array(weights)
