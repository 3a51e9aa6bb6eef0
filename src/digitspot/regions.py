"""The part of an image that is read: as users give it, and in pixels."""

from __future__ import annotations

import numpy as np

from digitspot.errors import ConfigError, DataError
from digitspot.types import Box, Detections, ImageArray

Region = tuple[float, float, float, float]
"""x, y, width and height; fractions of the image where none is above 1, else pixels."""


def inside(found: Detections, box: Box) -> Detections:
    """Return the digits whose middle is in a part of an image."""
    middle = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    keep = np.all((middle >= box[:2]) & (middle < box[2:]), axis=1)
    return found if keep.all() else found.select(keep)


def shifted(box: Box, x: int, y: int) -> Box:
    """Return a box further right and down."""
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def turn_box(box: Box, image: ImageArray, quarters: int) -> Box:
    """Return where a part of an image is after the image was turned, as by `reads.turn`."""
    height, width = image.shape[:2]
    for _ in range(quarters):
        left, top, right, bottom = box
        box, height, width = (top, width - right, bottom, width - left), width, height
    return box


def parse_region(text: str) -> Region:
    """Return the region that a text names, as "0.25,0.4,0.5,0.2".

    Raises:
        ConfigError: It names none.
    """
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        x = y = width = height = float("nan")
    if not (0 <= x < MAX_SIDE and 0 <= y < MAX_SIDE and 0 < width < MAX_SIDE and 0 < height < MAX_SIDE):
        raise ConfigError(
            f"{text!r} is no region",
            hint="Give x,y,width,height: 0.25,0.4,0.5,0.2 of the image, or 120,300,400,150 pixels.",
        )
    return x, y, width, height


MAX_SIDE = 1e6
"""Pixels; no image is larger."""


def region_in_pixels(region: Region, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a region in pixels, within the image.

    Args:
        region: x, y, width and height; fractions of the image where none is above 1.
        size_hw: (height, width) of the image.

    Raises:
        DataError: Nothing of it is within the image.
    """
    height, width = size_hw
    scale = (width, height, width, height) if max(region) <= 1 else (1, 1, 1, 1)
    x, y, w, h = (value * unit for value, unit in zip(region, scale, strict=True))
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    if right <= left or bottom <= top:
        raise DataError(
            f"the region {','.join(f'{value:g}' for value in region)} is outside of {width} x {height}"
        )
    return left, top, right, bottom
