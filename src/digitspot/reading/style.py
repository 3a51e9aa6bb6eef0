"""How the training labels draw boxes, and boxes redrawn in that style.

In some data sets all digits of an image have boxes of one height, at whole pixels (SVHN: 99.96 %). A
detector that looks at one place at a time cannot keep to that; here its boxes are made to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitspot.types import Detections, FloatArray

MIN_SHARE = 0.98
"""Share of the images that must keep to a style before boxes are redrawn in it."""
MIN_IMAGES = 50
SCORE_POWER = 4
"""How much more the surer boxes say of the common height; from `valid` (benchmarks/results/reader.md)."""
MAX_RATIO = 1.65
"""Boxes that are higher or lower than the common height by more than this factor are something else."""


@dataclass(frozen=True, kw_only=True)
class LabelStyle:
    """What boxes of the labels have in common.

    Attributes:
        equal_heights: All boxes of an image are of one height.
        whole_pixels: Corners lie at whole pixels.
    """

    equal_heights: bool = False
    whole_pixels: bool = False

    def __str__(self) -> str:
        heights = "all boxes of an image have one height" if self.equal_heights else "boxes of any height"
        return f"{heights}, corners {'at whole pixels' if self.whole_pixels else 'anywhere'}"


def fit_style(boxes: Sequence[FloatArray]) -> LabelStyle:
    """Find the style of labels; boxes that are too few show none.

    Args:
        boxes: Of each image, `[N, 4]`.
    """
    several = [each for each in boxes if len(each) > 1]
    any_ = [each for each in boxes if len(each)]
    heights = [each[:, 3] - each[:, 1] for each in several]
    # Within a thousandth of a pixel, since files are rounded to it.
    equal = [np.ptp(each) < 2e-3 for each in heights]
    whole = [np.abs(each - np.round(each)).max() < 2e-3 for each in any_]
    return LabelStyle(
        equal_heights=len(equal) >= MIN_IMAGES and float(np.mean(equal)) >= MIN_SHARE,
        whole_pixels=len(whole) >= MIN_IMAGES and float(np.mean(whole)) >= MIN_SHARE,
    )


def refine_boxes(detections: Detections, style: LabelStyle) -> Detections:
    """Return the detections of one image with boxes in the labels' style; centres and scores stay."""
    if len(detections) == 0 or not (style.equal_heights or style.whole_pixels):
        return detections
    boxes = detections.boxes.astype(np.float64)
    if style.equal_heights:
        heights = np.maximum(boxes[:, 3] - boxes[:, 1], 1e-6)
        weights = np.maximum(detections.scores.astype(np.float64), 1e-6) ** SCORE_POWER
        common = float(np.exp(np.average(np.log(heights), weights=weights)))
        if style.whole_pixels:
            common = max(1.0, round(common))
        alike = np.abs(np.log(heights / common)) < np.log(MAX_RATIO)
        centres = (boxes[:, 1] + boxes[:, 3]) / 2
        boxes[alike, 1] = (centres - common / 2)[alike]
        boxes[alike, 3] = boxes[alike, 1] + common
    if style.whole_pixels:
        boxes = np.floor(boxes + 0.5)  # half up, so that equal heights stay equal
    return replace(detections.select(np.arange(len(boxes))), boxes=boxes.astype(np.float32))
