"""COCO's twelve figures for boxes, equal to pycocotools', and their average precision per digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from digitspot.evaluation.matching import AREA_RANGES, MIN_IOUS, BoolArray, Matches, match_boxes
from digitspot.labels.labels import LabelSet
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, IntArray

UNDEFINED = -1.0
"""What COCO gives where there is no true digit to find."""
RECALLS: DoubleArray = np.linspace(0, 1, 101)
"""Where COCO reads the precision-recall curve."""
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's names, in the order of pycocotools' `stats`."""


@dataclass(frozen=True, kw_only=True)
class BoxMetrics:
    """How well boxes and digits agree with the truth.

    Attributes:
        figures: COCO's twelve by name (`FIGURES`), in 0..1, or -1 where undefined.
        digit_ap: AP of each digit, "0" to "9", in 0..1, or -1 where the truth has none.
        num_images: Images compared.
        num_truth: True digits, crowds left out.
        num_detections: Detections compared (at most 100 of an image and digit).
    """

    figures: Mapping[str, float]
    digit_ap: Mapping[str, float]
    num_images: int
    num_truth: int
    num_detections: int

    @property
    def mean_ap(self) -> float:
        """COCO's main figure: AP over IoU 0.50 to 0.95 and over digits."""
        return self.figures["AP"]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file: the twelve, `digit_ap` and the counts."""
        return {
            **self.figures,
            "digit_ap": dict(self.digit_ap),
            "num_images": self.num_images,
            "num_truth": self.num_truth,
            "num_detections": self.num_detections,
        }

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table; "-" where undefined."""
        values = {**self.figures, **{f"AP of {digit}": value for digit, value in self.digit_ap.items()}}
        return [(name, "-" if value == UNDEFINED else f"{value:.4f}") for name, value in values.items()]


def evaluate_boxes(
    labels: LabelSet, detections: Mapping[int, Detections], image_ids: Iterable[int] | None = None
) -> BoxMetrics:
    """Return COCO's figures, equal to pycocotools'.

    Args:
        labels: The truth, read with `clip=False`: COCO scores the boxes as they are in the file.
        detections: By image id; an image that is missing has no detections.
        image_ids: Compare these images only; None means all of `labels`.

    Raises:
        DataError: An id of `detections` or `image_ids` is not an image of `labels`.
    """
    return box_metrics(match_boxes(labels, detections, image_ids))


def box_metrics(matches: Matches) -> BoxMetrics:
    """Return COCO's figures of matched detections."""
    once = np.ones(matches.num_images, np.int64)
    precisions = [PrecisionCurves(matches, area).average(once) for area in range(len(AREA_RANGES))]
    recalls = [_recalls(matches, 0, num) for num in (1, 10, 100)]
    recalls += [_recalls(matches, area, 100) for area in range(1, len(AREA_RANGES))]
    over_all = precisions[0]  # [D, T]
    ap50, ap75 = over_all[:, MIN_IOUS == 0.5], over_all[:, MIN_IOUS == 0.75]
    values = [over_all, ap50, ap75, *precisions[1:], *recalls]
    return BoxMetrics(
        figures={name: _mean(value) for name, value in zip(FIGURES, values, strict=True)},
        digit_ap={str(digit): _mean(over_all[digit]) for digit in range(NUM_DIGITS)},
        num_images=matches.num_images,
        num_truth=int(matches.truth_counted[0].sum()),
        num_detections=len(matches.image),
    )


def _mean(values: DoubleArray) -> float:
    """Return the mean of what is defined."""
    defined = values[values > UNDEFINED]
    return float(defined.mean()) if defined.size else UNDEFINED


def _recalls(matches: Matches, area: int, max_detections: int) -> DoubleArray:
    """Return recall with so many detections of an image and label at most: `[D, T]`."""
    recalls = np.full((NUM_DIGITS, len(MIN_IOUS)), UNDEFINED)
    early = matches.rank < max_detections
    for digit in range(NUM_DIGITS):
        num_truth = np.count_nonzero(matches.truth_counted[area] & (matches.truth_labels == digit + 1))
        if num_truth:
            chosen = early & (matches.labels == digit + 1)
            recalls[digit] = matches.right[area][:, chosen].sum(axis=1) / num_truth
    return recalls


class PrecisionCurves:
    """Average precision of one set of matches under any weighting of its images.

    What does not depend on the weights is prepared once, so that a resample of a bootstrap costs
    little more than one running sum over the detections.
    """

    def __init__(self, matches: Matches, area: int = 0) -> None:
        self._digits = [_DigitCurves(matches, area, label) for label in range(1, NUM_DIGITS + 1)]

    def average(self, weights: IntArray) -> DoubleArray:
        """Return average precision, `[D, T]` by digit and threshold, -1 where the digit is absent.

        Args:
            weights: int64 `[I]`, how many times each image counts: the result is that of a data set in
                which the image stands so many times.
        """
        return np.stack([digit.average(weights) for digit in self._digits])

    def mean_ap(self, weights: IntArray) -> float:
        """Return COCO's AP under these weights, or -1 where no image of weight has a digit."""
        return _mean(self.average(weights))


class _DigitCurves:
    """The precision-recall curves of one digit, at all thresholds."""

    def __init__(self, matches: Matches, area: int, label: int) -> None:
        rows = np.flatnonzero(matches.labels == label)
        counted: BoolArray = matches.counted[area][:, rows]  # [T, N]
        self._image = matches.image[rows]
        self._hits = [np.flatnonzero(right) for right in matches.right[area][:, rows]]
        # Without crowds and area ranges the same detections count at every threshold: one sum serves all.
        self._counted = counted[:1] if (counted == counted[:1]).all() else counted
        of_digit = matches.truth_counted[area] & (matches.truth_labels == label)
        self._truth_image = matches.truth_image[of_digit]

    def average(self, weights: IntArray) -> DoubleArray:
        """Return average precision at each threshold, `[T]`."""
        num_truth = weights[self._truth_image].sum()
        if not num_truth:
            return np.full(len(self._hits), UNDEFINED)
        weight = weights[self._image]
        num_counted = np.broadcast_to(
            np.cumsum(weight * self._counted, axis=1), (len(self._hits), len(weight))
        )
        return np.array(
            [
                _average_precision(np.cumsum(weight[hits]), counted[hits], num_truth)
                for hits, counted in zip(self._hits, num_counted, strict=True)
            ]
        )


def _average_precision(num_right: IntArray, num_counted: IntArray, num_truth: int) -> float:
    """Return the mean over `RECALLS` of the best precision at that recall or above (COCO).

    Looking only where a detection was right is enough: elsewhere precision falls and recall stands.

    Args:
        num_right: `[H]`, right detections so far, at each right detection by falling score.
        num_counted: `[H]`, detections so far that count, right or wrong.
        num_truth: True digits, above 0.
    """
    precision = num_right / (num_counted + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(num_right / num_truth, RECALLS, side="left")
    return float(np.append(best, 0.0)[reached].mean())
