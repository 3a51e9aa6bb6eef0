"""Labelled digits beside the places where a detector found digits, over a whole split, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digitspot.boxes import box_ious
from digitspot.labels.labels import LabelledImage
from digitspot.reading.slots import Slots, find_slots
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, IntArray

MAX_IOU = 0.3
"""Detections that overlap more are one place."""
MIN_IOU = 0.25
"""A place that overlaps a labelled digit less is another; a box off by half its width overlaps by 0.33."""
MIN_UNSEEN, MAX_UNSEEN = 1e-4, 2.5e-3
"""Score of a digit that the detector did not report at a place: what it left over, between these."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """N labelled digits and K places of I images.

    Attributes:
        image: int64 `[N]`, the image of each label, as a row of the split.
        boxes: float64 `[N, 4]`.
        digits: int64 `[N]`, 0 to 9.
        place: int64 `[N]`, the place that the label is paired with, or -1.
        place_image: int64 `[K]`.
        place_boxes: float64 `[K, 4]`.
        shares: float64 `[K, 10]`, how probable each digit is at the place by the detector; rows sum to 1.
        presence: float64 `[K]`, how probable some digit is there by the detector.
        overlap: float64 `[K]`, with the label that it overlaps most, its own left out.
        label: int64 `[K]`, the label of each place, or -1.
    """

    image: IntArray
    boxes: DoubleArray
    digits: IntArray
    place: IntArray
    place_image: IntArray
    place_boxes: DoubleArray
    shares: DoubleArray
    presence: DoubleArray
    overlap: DoubleArray
    label: IntArray


def pair(images: Sequence[LabelledImage], found: Mapping[int, Detections]) -> Pairs:
    """Pair every labelled digit with at most one place, the best overlaps first, whatever their classes.

    Args:
        images: The images; crowds are left out.
        found: Detections by image id; of images that it lacks, nothing was found.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Pairs.__annotations__}
    num_labels = num_places = 0
    for row, image in enumerate(images):
        boxes, digits = image.boxes[~image.crowd].astype(np.float64), image.labels[~image.crowd] - 1
        places = find_slots(found.get(image.image_id, Detections.empty()), MAX_IOU)
        ious = box_ious(image.boxes[~image.crowd], places.boxes.astype(np.float32)).astype(
            np.float64
        )  # [n, k]
        place, label = _pair_best(ious)
        others = ious.copy()
        others[label[label >= 0], np.flatnonzero(label >= 0)] = 0
        values = {
            "image": np.full(len(boxes), row),
            "boxes": boxes,
            "digits": digits,
            "place": np.where(place >= 0, place + num_places, -1),
            "place_image": np.full(len(places), row),
            "place_boxes": places.boxes,
            "shares": _shares(places),
            "presence": places.presence,
            "overlap": others.max(axis=0, initial=0),
            "label": np.where(label >= 0, label + num_labels, -1),
        }
        for name, value in values.items():
            columns[name].append(value)
        num_labels, num_places = num_labels + len(boxes), num_places + len(places)
    return Pairs(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _pair_best(ious: DoubleArray) -> tuple[IntArray, IntArray]:
    """Return the column of each row and the row of each column, or -1: the best overlap first."""
    column, row = np.full(ious.shape[0], -1), np.full(ious.shape[1], -1)
    for flat in np.argsort(-ious, axis=None, kind="stable").tolist():
        i, j = divmod(flat, ious.shape[1])
        if ious[i, j] < MIN_IOU:
            break
        if column[i] < 0 and row[j] < 0:
            column[i], row[j] = j, i
    return column, row


def _shares(places: Slots) -> DoubleArray:
    scores = places.digit_scores
    num_unseen = (scores == 0).sum(1)
    left = (1 - scores.sum(1)) / np.maximum(num_unseen, 1)
    unseen = np.clip(left, MIN_UNSEEN, MAX_UNSEEN)[:, None]
    scores = np.where(scores > 0, scores, unseen).reshape(-1, NUM_DIGITS)
    return np.asarray(scores / scores.sum(1, keepdims=True))
