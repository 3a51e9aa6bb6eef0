"""One slot, one digit: overlapping boxes become one slot that knows the score of every digit there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitspot.boxes import box_ious, suppress
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, IntArray

MIN_SCORE = 0.005
"""Boxes below say nothing about the number."""
MIN_PRESENCE = 0.01
MAX_PRESENCE = 0.999
"""Where scores saturate, one in a thousand is wrong all the same; without it calibration is worse."""
UNSEEN = 1e-3
"""A digit that was not reported at a slot is taken to be this much less probable than the best."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where digits may be in one image, the surest first.

    Attributes:
        boxes: float64 `[K, 4]`, x1 y1 x2 y2.
        digit_scores: float64 `[K, 10]`, the best score of each digit at the slot, 0 where none was found.
        index: int64 `[K]`, which of the image's detections the box is.
    """

    boxes: DoubleArray
    digit_scores: DoubleArray
    index: IntArray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def presence(self) -> DoubleArray:
        """How probable some digit is there, by the detector: `[K]`, in 0.01..0.999."""
        return np.asarray(np.clip(self.digit_scores.sum(1), MIN_PRESENCE, MAX_PRESENCE))

    @property
    def digits(self) -> IntArray:
        """The best digit of each slot, `[K]`."""
        return np.asarray(self.digit_scores.argmax(1), np.int64)

    @property
    def shares(self) -> DoubleArray:
        """The best digit's share of the scores, `[K]`, above 0 and up to 1."""
        return np.asarray(self.digit_scores.max(1) / self.digit_scores.sum(1))

    def odds(self, digits: IntArray) -> DoubleArray:
        """How probable some digits `[K]` are against the best ones, `[K]`, in 0.001..1."""
        best = self.digit_scores.max(1)
        scores = self.digit_scores[np.arange(len(self)), digits]
        return np.asarray(np.maximum(scores, UNSEEN * best) / best)

    @property
    def heights(self) -> DoubleArray:
        """Heights `[K]`, above 0."""
        return np.asarray(np.maximum(self.boxes[:, 3] - self.boxes[:, 1], 1e-6))

    def select(self, keep: npt.NDArray[np.bool_] | IntArray) -> Slots:
        """Return the slots that a mask or index array names, in its order."""
        return Slots(boxes=self.boxes[keep], digit_scores=self.digit_scores[keep], index=self.index[keep])


def find_slots(detections: Detections, max_iou: float) -> Slots:
    """Join boxes that overlap.

    The best box of a slot gives its frame; the others add what they say of its digit. A box is of the
    slot that it overlaps most. Neither the order of the boxes nor a box given twice matters.

    Args:
        detections: Every digit found, of any class.
        max_iou: Boxes that overlap more are one slot.
    """
    index = _in_fixed_order(detections)
    found = detections.select(index)
    if len(found) == 0:
        return Slots(boxes=np.zeros((0, 4)), digit_scores=np.zeros((0, NUM_DIGITS)), index=index)
    kept = suppress(found.boxes, found.scores, max_iou)
    ious = box_ious(found.boxes[kept], found.boxes)  # [K, N]
    ious[np.arange(len(kept)), kept] = 2.0  # its own slot, also where an area of 0 overlaps nothing
    slot, member = ious.argmax(0), ious.max(0) > max_iou
    digit_scores = np.zeros((len(kept), NUM_DIGITS))
    np.maximum.at(digit_scores, (slot[member], found.labels[member] - 1), found.scores[member])
    slots = Slots(boxes=found.boxes[kept].astype(np.float64), digit_scores=digit_scores, index=index[kept])
    surest_first = np.argsort(-digit_scores.sum(1), kind="stable")
    return slots.select(surest_first[digit_scores.sum(1)[surest_first] >= MIN_PRESENCE])


def _in_fixed_order(detections: Detections) -> IntArray:
    """Return the indices of the boxes that count, by score, then by box and label.

    So the order in the file decides nothing.
    """
    keys = (detections.labels, *detections.boxes.T, -detections.scores)
    order = np.lexsort(keys)
    return order[detections.scores[order] >= MIN_SCORE]
