"""What stands behind the scores: precision and recall, which digit is taken for which, groups of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import stats

from digitspot.boxes import box_ious
from digitspot.evaluation.matching import MIN_IOUS, Matches
from digitspot.labels.labels import LabelledImage
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, IntArray

NOTHING = NUM_DIGITS
"""Row and column of "no digit" in a confusion."""
CONFUSION_MIN_SCORE, CONFUSION_MIN_IOU = 0.5, 0.5
SMALL, LARGE = 0.35, 0.65
"""Heights of digits over the short side of their image."""
NEAR_BORDER = 0.25


def precision_recall(matches: Matches, min_iou: float) -> tuple[DoubleArray, DoubleArray]:
    """Return recall and precision, digits pooled, after each detection of a new recall, `[K]` each.

    Unlike COCO's average over digits, a frequent digit counts as often as it stands there.

    Args:
        matches: What was found.
        min_iou: One of COCO's thresholds.
    """
    threshold = int(np.argmin(np.abs(MIN_IOUS - min_iou)))
    right, counted = matches.right[0, threshold], matches.counted[0, threshold]
    hits = np.flatnonzero(right)
    num_right = np.arange(1, len(hits) + 1)
    recall = num_right / max(1, int(matches.truth_counted[0].sum()))
    return recall, num_right / np.cumsum(counted)[hits]


def digit_confusion(images: Iterable[LabelledImage], detections: Mapping[int, Detections]) -> IntArray:
    """Count which true digit was found as which, int64 `[11, 11]`, rows true; the last is "no digit".

    Detections of score 0.5 and above, the best first, take the true digit that they overlap most, whatever
    its class, if by 0.5 and if nothing took it before.
    """
    counts = np.zeros((NUM_DIGITS + 1, NUM_DIGITS + 1), np.int64)
    for image in images:
        found = detections.get(image.image_id, Detections.empty())
        found = found.select(found.scores >= CONFUSION_MIN_SCORE)
        found = found.select(np.argsort(-found.scores, kind="stable"))
        real = ~image.crowd
        truth = image.labels[real] - 1
        ious = box_ious(found.boxes, image.boxes[real])  # [D, T]
        free = np.ones(len(truth), bool)
        for row, label in zip(ious, found.labels.tolist(), strict=True):
            best = int(np.argmax(row * free)) if len(row) else 0
            if len(row) and free[best] and row[best] >= CONFUSION_MIN_IOU:
                free[best] = False
                counts[truth[best], label - 1] += 1
            else:
                counts[NOTHING, label - 1] += 1
        counts[:, NOTHING] += np.bincount(truth[free], minlength=NUM_DIGITS + 1)
    return counts


@dataclass(frozen=True)
class Group:
    """Images that have something in common.

    Attributes:
        name: What.
        num_images: How many.
        accuracy: Share of numbers that are right.
        low: Lower end of its 95 % interval (Wilson 1927).
        high: Upper end.
        probability: Mean of what the reader said; None where it said nothing.
    """

    name: str
    num_images: int
    accuracy: float
    low: float
    high: float
    probability: float | None = None


def groups_by(
    values: DoubleArray, right: npt.NDArray[np.bool_], edges: Sequence[float], unit: str
) -> list[Group]:
    """Group images by a value; groups of none are left out.

    Args:
        values: `[N]`.
        right: `[N]`.
        edges: Rising; a group is from one up to below the next, and there is one below and one above all.
        unit: Written after the names.
    """
    place = np.searchsorted(np.array(edges), values, side="right")
    names = [f"< {edges[0]:g}", *(f"{a:g}–{b:g}" for a, b in pairwise(edges))]
    names.append(f"≥ {edges[-1]:g}")
    return [
        group(f"{name} {unit}".strip(), right[place == number])
        for number, name in enumerate(names)
        if (place == number).any()
    ]


def group(name: str, right: npt.NDArray[np.bool_], probabilities: DoubleArray | None = None) -> Group:
    """Return a group of at least one image."""
    interval = stats.binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    said = None if probabilities is None else float(probabilities.mean())
    return Group(name, len(right), float(right.mean()), float(interval.low), float(interval.high), said)


def reading_groups(
    images: Sequence[LabelledImage], right: npt.NDArray[np.bool_], probabilities: DoubleArray
) -> list[Group]:
    """Group images by how hard their numbers are to read; they overlap, and groups of none are left out.

    Args:
        images: `N` of them.
        right: Whether the number read is the true one, `[N]`.
        probabilities: What the reader said, `[N]`.
    """
    sizes = np.array([image.size_hw for image in images]).reshape(-1, 2)
    relative = digit_heights(images) / sizes.min(axis=1, initial=1 << 30)
    lengths = np.array([len(image.number or "") for image in images])
    members = {
        f"digits below {SMALL:g} of the short side": (lengths > 0) & (relative < SMALL),
        f"digits of {LARGE:g} and more": relative >= LARGE,
        "one digit": lengths == 1,
        "two digits": lengths == 2,
        "three and more": lengths >= 3,
        f"within {NEAR_BORDER:g} digit heights of the left or right border": np.array(
            [_room(image) < NEAR_BORDER for image in images], bool
        ),
        "no number": lengths == 0,
    }
    return [
        group(name, right[member], probabilities[member]) for name, member in members.items() if member.any()
    ]


def _room(image: LabelledImage) -> float:
    """Return the space between the number and the nearer of the left and right border, in digit heights."""
    boxes = image.boxes[~image.crowd]
    if not len(boxes):
        return float("inf")
    room = min(boxes[:, 0].min(), image.size_hw[1] - boxes[:, 2].max())
    return float(room / max((boxes[:, 3] - boxes[:, 1]).mean(), 1e-6))


def digit_heights(images: Sequence[LabelledImage]) -> DoubleArray:
    """Return the mean height of each image's digits in pixels, `[N]`; 0 where there is none."""
    return np.array(
        [
            float((boxes[:, 3] - boxes[:, 1]).mean()) if len(boxes := image.boxes[~image.crowd]) else 0.0
            for image in images
        ]
    )
