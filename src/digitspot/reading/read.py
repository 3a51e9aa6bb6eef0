"""Reading the number in one image: slots, candidates, the most probable one, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from digitspot.boxes import box_ious
from digitspot.reading.candidates import Candidates, list_candidates
from digitspot.reading.certainty import describe_digits, describe_number, sigmoid, softmax
from digitspot.reading.rules import MIN_CORRECTED, Rules, best_allowed
from digitspot.reading.settings import ReadingSettings
from digitspot.reading.slots import find_slots
from digitspot.reading.style import refine_boxes
from digitspot.types import Detections, Digit, DoubleArray, FloatArray, IntArray, Reading, Reason

PART_POWER, MIN_PART = 0.5, 0.1
"""A box is reported with its score times this power of the probability that it is part of the number, which
counts as at least `MIN_PART` (benchmarks/results/tried.md)."""


def read_image(
    detections: Detections, settings: ReadingSettings, rules: Rules | None = None
) -> tuple[Detections, Reading]:
    """Read the number in one image, and draw boxes as the training labels do.

    The number is read from the boxes and scores as they were found. All boxes of the answer, in the
    detections and in the digits, are the redrawn ones.

    Args:
        detections: Every digit found; in any order, the same found twice or more.
        settings: What the reader was fitted to.
        rules: What is known of the number.

    Returns:
        The detections with the boxes and scores to report (`PART_POWER`), and the number.
    """
    refined = refine_boxes(detections, settings.style)
    candidates = list_candidates(
        find_slots(detections, settings.max_iou), detections.size_hw, detections.by_look
    )
    scores = candidates.scores(_array(settings.weights))
    reading = _read(candidates, scores, refined.boxes, settings, rules)
    if not settings.num_fitted:
        return refined, reading
    part = _part_of_number(candidates, softmax(scores), detections.boxes, settings.max_iou)
    return replace(refined, scores=(refined.scores * part**PART_POWER).astype(np.float32)), reading


def read_number(detections: Detections, settings: ReadingSettings, rules: Rules | None = None) -> Reading:
    """Read the number in one image; see `read_image`.

    Returns:
        The digits in reading order. The text is None where "no number" is the most probable, and where rules
        turn down what was seen and nothing that they allow is probable.
    """
    return read_image(detections, settings, rules)[1]


def abstain(reading: Reading, below: float) -> Reading:
    """Return a reading without an answer where it is less probable than `below`."""
    if reading.decision == "abstained" or reading.probability >= below:
        return reading
    reason: Reason = "rules" if reading.decision == "corrected" else "unsure"
    return replace(reading, text=None, decision="abstained", reason=reason, corrected_from=None)


def _part_of_number(
    candidates: Candidates, probabilities: DoubleArray, boxes: FloatArray, max_iou: float
) -> DoubleArray:
    """Return how probable it is that each box is of a slot of the number, `[N]`, at least `MIN_PART`."""
    if not len(candidates.slots):
        return np.full(len(boxes), MIN_PART)
    ious = box_ious(candidates.slots.boxes.astype(np.float32), boxes)  # [K, N]
    part = np.where(ious.max(0) > max_iou, (probabilities @ candidates.members)[ious.argmax(0)], 0.0)
    return np.maximum(part, MIN_PART)


def _read(
    candidates: Candidates,
    scores: DoubleArray,
    boxes: FloatArray,
    settings: ReadingSettings,
    rules: Rules | None,
) -> Reading:
    """Read the number; `boxes` are what its digits report, in the order of the detections."""
    probabilities = softmax(scores)

    def describe(chosen: int, digits: IntArray) -> Reading:
        return _describe(candidates, boxes, probabilities, chosen, digits, settings)

    seen = describe(int(np.argmax(scores)), candidates.slots.digits)
    if rules is None:
        return seen
    seen = replace(seen, decimals=rules.decimals)
    best = best_allowed(candidates, scores, seen.text or "", seen.probability, rules)
    if best.text == (seen.text or ""):
        return replace(seen, probability=best.probability)
    if best.probability < MIN_CORRECTED:
        return replace(seen, text=None, probability=best.probability, decision="abstained", reason="rules")
    found = describe(*best.shown) if best.shown else seen
    return replace(
        found,
        text=best.text or None,
        probability=best.probability,
        decision="corrected",
        reason="known" if rules.known is not None else "rules",
        corrected_from=seen.text,
        decimals=rules.decimals,
    )


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
    sure_of = dict(zip(np.flatnonzero(candidates.members[chosen]).tolist(), sure.tolist(), strict=True))
    read = tuple(
        _digit(candidates, boxes, slot, int(digits[slot]), sure_of[slot])
        for slot in candidates.in_order(chosen).tolist()
    )
    text = "".join(digit.text for digit in read) or None
    return Reading(
        text=text,
        reason="seen" if text else "nothing",
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
