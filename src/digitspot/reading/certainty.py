"""How sure a reading is: what speaks for the chosen number being right, beyond its own score.

The softmax over candidates knows nothing of what no candidate says: a wrong class, a digit that was not
found, a neighbour that nobody counts as part of the number. These features, weighed by a logistic regression
on images that the reader was not fitted on, do (Platt 1999, with more than one input).
"""

from __future__ import annotations

import numpy as np

from digitspot.reading import frame
from digitspot.reading.candidates import Candidates
from digitspot.types import DoubleArray, IntArray

CORE_NAMES = (
    "always", "number", "class", "weakest", "left_out", "runner_up",
    "no_digit", "one", "three", "four_or_more", "gap", "overlap", "uneven", "off_line",
)  # fmt: skip
SHAPE_NAMES = ("weakest_logit", "entropy", "rows", "widest", "narrowest", "has_one")
LOOK_NAMES = ("one_look", "first_agrees", "second_agrees", "first_is_longer", "second_is_longer")
"""Whether the first look and all others together agree; all are 0 where there is never more than one."""
NUMBER_NAMES = (*CORE_NAMES, *SHAPE_NAMES, *frame.NUMBER_NAMES, *LOOK_NAMES)
"""The first speak for any detector; how far the others do, the fit finds out."""
DIGIT_NAMES = ("always", "part", "class")


def softmax(scores: DoubleArray) -> DoubleArray:
    """Return probabilities `[C]` that sum to 1 from their logarithms up to a constant."""
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum())


def describe_number(
    candidates: Candidates, probabilities: DoubleArray, chosen: int, digits: IntArray | None = None
) -> DoubleArray:
    """Return the features of a chosen candidate, `[len(NUMBER_NAMES)]`; see there.

    Args:
        candidates: All of them.
        probabilities: Theirs, `[C]`.
        chosen: Which one.
        digits: The digit taken at each slot, `[K]`; None is the best.
    """
    member = candidates.members[chosen] > 0
    slots = candidates.slots
    digits = slots.digits if digits is None else digits
    odds = slots.odds(digits)[member]
    presence, shares = slots.presence, slots.shares[member] * odds
    second = np.sort(slots.digit_scores[member], axis=1)[:, -2]
    steps = candidates.step_features[candidates.steps[chosen] > 0]  # [S, F]
    length = int(member.sum())
    boxes, log_heights = slots.boxes[member], np.log(slots.heights[member])
    log_widths = np.log(np.maximum(boxes[:, 2] - boxes[:, 0], 1e-6)) - log_heights
    return np.array(
        [
            1.0,
            _logit(probabilities[chosen] * odds.prod()),
            np.log(1 - shares.prod() + 1e-4),
            np.log(1 - presence[member].min(initial=0.999)),
            np.log(presence[~member].max(initial=1e-3)),
            np.log(second.max(initial=0.0) + 1e-3),
            length == 0,
            length == 1,
            length == 3,
            length >= 4,
            steps[:, 3].max(initial=0),
            steps[:, 5].max(initial=0),
            np.std(log_heights) if length else 0.0,
            steps[:, 2].max(initial=0),
            _logit(presence[member].min(initial=0.999)),
            -float(probabilities @ np.log(np.maximum(probabilities, 1e-12))),
            steps[:, 0].sum(),
            log_widths.max() if length else 0.0,
            log_widths.min() if length else 0.0,
            (digits[member] == 1).any(),
            *frame.describe_frame(boxes, candidates.size_hw),
            *_describe_looks("".join(map(str, digits[member])), candidates.by_look),
        ]
    )


def _describe_looks(text: str, by_look: tuple[str, ...]) -> list[float]:
    """Return the features of `LOOK_NAMES`, for a number and those that the looks show; see `Detections`."""
    if len(by_look) < 2:
        return [float(len(by_look)), 0.0, 0.0, 0.0, 0.0]
    first, others = by_look
    same, longer = (first == text, others == text), (len(first) > len(text), len(others) > len(text))
    return [0.0, *map(float, same), *map(float, longer)]


def describe_digits(
    candidates: Candidates, probabilities: DoubleArray, chosen: int, digits: IntArray | None = None
) -> DoubleArray:
    """Return the features of each digit of a chosen candidate, `[length, len(DIGIT_NAMES)]`.

    How probable it is that the slot is part of the number, over all candidates, and how clear its class is.
    """
    member = candidates.members[chosen] > 0
    slots = candidates.slots
    odds = slots.odds(slots.digits if digits is None else digits)[member]
    part = probabilities @ candidates.members[:, member] * odds
    return np.stack(
        [np.ones(len(part)), _logit(part), np.log(1 - slots.shares[member] * odds + 1e-4)], axis=1
    )


def sigmoid(logits: DoubleArray) -> DoubleArray:
    """Return probabilities from their logits."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))


def _logit(probabilities: DoubleArray) -> DoubleArray:
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))
