"""Reading the number in one image: places, candidates, the most probable one, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from digitspot.reading.candidates import Candidates, list_candidates
from digitspot.reading.certainty import describe_digits, describe_number, sigmoid, softmax
from digitspot.reading.constraints import Constraint, best_allowed
from digitspot.reading.order import lay_out
from digitspot.reading.places import find_places
from digitspot.reading.settings import ReadingSettings
from digitspot.types import Detections, Digit, DoubleArray, IntArray, Reading


def read_number(
    detections: Detections, settings: ReadingSettings, constraint: Constraint | None = None
) -> Reading:
    """Read the number in one image.

    Args:
        detections: Every digit found; in any order, the same found twice or more.
        settings: What the reader was fitted to.
        constraint: What is known of the number. Probabilities are fitted without any: under one, that of
            the text that the reader would have chosen anyway stays as it is, others are low.

    Returns:
        The digits in reading order; text None where the most probable is that there is no number, and, with
        probability 0, where a constraint allows none.
    """
    candidates = list_candidates(find_places(detections, settings.max_iou), detections.size_hw)
    scores = candidates.scores(_array(settings.weights))
    chosen, digits = int(np.argmax(scores)), candidates.places.digits
    if constraint:
        allowed = best_allowed(candidates, scores, constraint)
        if allowed is None:
            return Reading(text=None, probability=0.0)
        chosen, digits = allowed
    return _describe(candidates, softmax(scores), chosen, digits, settings)


def abstain(reading: Reading, below: float) -> Reading:
    """Return a reading without an answer where it is less probable than `below`."""
    unsure = reading.probability < below
    return replace(reading, text=None, abstained=True) if unsure else reading


def _describe(
    candidates: Candidates,
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
    order = lay_out(candidates.places.boxes[members]).order
    read = tuple(_digit(candidates, int(members[i]), int(digits[members[i]]), float(sure[i])) for i in order)
    return Reading(
        text="".join(digit.text for digit in read) or None,
        probability=float(sigmoid(about_number @ _array(settings.number_weights))),
        digits=read,
    )


def _digit(candidates: Candidates, place: int, digit: int, probability: float) -> Digit:
    scores = candidates.places.digit_scores[place]
    others = [
        other for other in np.argsort(-scores, kind="stable").tolist() if scores[other] > 0 and other != digit
    ]
    x1, y1, x2, y2 = candidates.places.boxes[place].tolist()
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
