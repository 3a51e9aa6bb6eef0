"""What a split looks like in numbers: sizes, counts, lengths, positions, aspect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digitspot.labels.labels import LabelSet
from digitspot.types import NUM_DIGITS, DoubleArray, IntArray

GRID = (24, 48)
"""Rows and columns of the map of where digits are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """A split of I images with N digits, crowds left out.

    Attributes:
        num_images: I.
        heights: float64 `[N]`, of the digits in pixels.
        shares: float64 `[N]`, digit height over the image's.
        aspects: float64 `[N]`, width over height of the digits.
        digits: int64 `[10]`, how often each digit occurs.
        lengths: int64 `[L]`, how many images have 0, 1, 2 ... digits.
        short_sides: float64 `[I]`, of the images, in pixels.
        positions: float64 `GRID`, the share of digits whose box covers a place of the image.
    """

    num_images: int
    heights: DoubleArray
    shares: DoubleArray
    aspects: DoubleArray
    digits: IntArray
    lengths: IntArray
    short_sides: DoubleArray
    positions: DoubleArray


def measure(labels: LabelSet) -> Statistics:
    """Measure a split by its labels alone; no image is opened."""
    real = labels.with_boxes(~labels.crowd)
    sizes = labels.sizes_hw.astype(np.float64)
    boxes = real.boxes.astype(np.float64)
    of_image = sizes[real.image_of_box]  # [N, 2]
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T
    return Statistics(
        num_images=len(sizes),
        heights=high,
        shares=high / of_image[:, 0],
        aspects=wide / np.maximum(high, 1e-9),
        digits=np.bincount(real.labels - 1, minlength=NUM_DIGITS),
        lengths=np.bincount(np.diff(real.offsets)),
        short_sides=sizes.min(axis=1, initial=np.inf),
        positions=_positions(boxes / of_image[:, [1, 0, 1, 0]]),
    )


def _positions(boxes: DoubleArray) -> DoubleArray:
    """Return the share of boxes, `[N, 4]` from 0 to 1, that cover the middle of each cell of the grid."""
    rows, columns = ((np.arange(num) + 0.5) / num for num in GRID)
    down = ((boxes[:, 1, None] <= rows) & (rows < boxes[:, 3, None])).astype(np.float64)
    across = ((boxes[:, 0, None] <= columns) & (columns < boxes[:, 2, None])).astype(np.float64)
    return np.asarray(down.T @ across / max(1, len(boxes)))
