"""Reading order by geometry: rows from top to bottom, and along each from left to right.

A row may be tilted by up to 45 degrees, or curved; a number that stands upright is rows of one digit. The
tilt is the one at which the fewest and flattest rows hold all slots, the smaller the better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digitspot.types import DoubleArray, IntArray

TILTS = np.deg2rad(np.arange(-50, 51, 5))
MAX_STEP = 0.5
"""Digits of one row, sorted across it, follow each other by less than this share of their height."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where slots stand in the text.

    Attributes:
        order: int64 `[K]`, indices of the slots in reading order.
        row: int64 `[K]`, the row of each slot, in the order of the slots.
        tilt: Of the rows, in radians; a row that falls to the right has a positive one.
    """

    order: IntArray
    row: IntArray
    tilt: float


def lay_out(boxes: DoubleArray) -> Layout:
    """Find the rows.

    Args:
        boxes: `[K, 4]`, x1 y1 x2 y2.

    Returns:
        The layout. Two slots at the same point keep their order.
    """
    if len(boxes) < 2:
        return Layout(order=np.arange(len(boxes)), row=np.zeros(len(boxes), np.int64), tilt=0.0)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 1e-6)
    across = centres[:, 1] * np.cos(TILTS)[:, None] - centres[:, 0] * np.sin(TILTS)[:, None]  # [T, K]
    down = np.argsort(across, axis=1, kind="stable")
    sorted_heights = heights[down]
    steps = (
        np.diff(np.take_along_axis(across, down, 1)) * 2 / (sorted_heights[:, 1:] + sorted_heights[:, :-1])
    )
    breaks = steps > MAX_STEP
    costs = (
        breaks.sum(1) + np.where(breaks, 0, steps).sum(1) + TILTS**2
    )  # a row counts as a height, or 57 degrees
    best = int(np.argmin(costs))
    row = np.zeros(len(boxes), np.int64)
    row[down[best, 1:]] = np.cumsum(breaks[best])
    along = centres[:, 0] * np.cos(TILTS[best]) + centres[:, 1] * np.sin(TILTS[best])
    return Layout(order=np.lexsort((along, row)), row=row, tilt=float(TILTS[best]))
