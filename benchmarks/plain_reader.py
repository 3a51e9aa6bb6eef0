"""The reader to compare with: one threshold for all digits, class-agnostic suppression, left to right.

Both numbers are those that read the most numbers right; of equally good thresholds the middle of the longest
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from digitspot.boxes import suppress
from digitspot.types import Detections

SCORES = (np.arange(5, 96) / 100).astype(np.float32)
"""Thresholds to try; float32 like the scores, so that one that equals a threshold reaches it."""
IOUS = (0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class PlainReader:
    min_score: float
    max_iou: float

    def read(self, detections: Detections) -> str | None:
        kept = detections.select(suppress(detections.boxes, detections.scores, self.max_iou))
        kept = kept.select(kept.scores >= np.float32(self.min_score))
        order = np.argsort(kept.boxes[:, 0], kind="stable")
        return "".join(str(label - 1) for label in kept.labels[order]) or None


def fit_plain_reader(detections: Sequence[Detections], numbers: Sequence[str | None]) -> PlainReader:
    right = np.zeros((len(IOUS), len(SCORES)), np.int64)
    for row, max_iou in enumerate(IOUS):
        for found, number in zip(detections, numbers, strict=True):
            found = found.select(found.scores >= SCORES[0])
            kept = found.select(suppress(found.boxes, found.scores, max_iou))
            kept = kept.select(np.argsort(kept.boxes[:, 0], kind="stable"))
            edges = np.searchsorted(SCORES, np.unique(kept.scores), side="right")
            for lower, upper in zip([0, *edges], [*edges, len(SCORES)], strict=True):
                if lower < upper:
                    labels = kept.labels[kept.scores >= SCORES[lower]] - 1
                    right[row, lower:upper] += ("".join(map(str, labels)) or None) == number
    best = right.max()
    runs = {
        (end - start, row, (start + end - 1) // 2)
        for row, start, end in (
            (row, start, start + length)
            for row, start in product(range(len(IOUS)), range(len(SCORES)))
            for length in [int(np.argmin(np.append(right[row, start:] == best, False)))]
        )
        if end > start
    }
    _, row, middle = max(runs)
    return PlainReader(float(SCORES[middle]), IOUS[row])
