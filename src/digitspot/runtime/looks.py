"""A runtime that looks at an image more than once: at several input sizes, and again around the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from digitspot.boxes import box_ious
from digitspot.fusion import MIN_IOU, fuse
from digitspot.preprocess import Prepared
from digitspot.reading import ReadingSettings, read_number
from digitspot.runtime import Runtime
from digitspot.types import Detections, ImageArray

MAX_CROP = 0.9
"""A crop that covers more of its image would show the network the same again."""
MIN_CROP_SIDE = 4
"""Pixels; a smaller crop shows nothing."""

Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image, half-open."""


def with_looks(runtime: Runtime, settings: ReadingSettings) -> Runtime:
    """Return a runtime that looks as the settings say; with one look it is the runtime itself."""
    if settings.short_sides or settings.crop_margins:
        return Looks(runtime, settings.short_sides, settings.crop_margins)
    return runtime


@dataclass(frozen=True)
class _Kept(Prepared):
    """An image as it is, for the second look, and resized for the first.

    Attributes:
        first: One of each input size.
    """

    first: tuple[Prepared, ...]


class Looks:
    """Looks at whole images, then at crops around what looks like the number.

    Both looks are at every input size, fused. A crop shows the digits larger: the second look decides which
    digits there are, and its boxes are averaged with those of the first.

    Args:
        runtime: Finds digits in one look.
        short_sides: Input sizes, of the shorter side in pixels; empty is the model's own.
        crop_margins: Room that a crop has at the sides, and above and below, in heights of the digits.
            None looks at whole images only.
    """

    def __init__(
        self,
        runtime: Runtime,
        short_sides: Sequence[int] = (),
        crop_margins: tuple[float, float] | None = None,
    ) -> None:
        self.runtime = runtime
        self.short_sides: tuple[int | None, ...] = tuple(short_sides) or (None,)
        self.crop_margins = crop_margins

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Resize an image for the first look and keep it for the second; see `Runtime.prepare`."""
        if short_side is not None:
            return self.runtime.prepare(image, short_side)
        return _Kept(image, (image.shape[0], image.shape[1]), self._at_sizes(image))

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels; see `Runtime.detect`."""
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image; see `Runtime.detect_prepared`."""
        found = self._look([each.first if isinstance(each, _Kept) else (each,) for each in inputs])
        regions = {}
        for index, (image, first) in enumerate(zip(inputs, found, strict=True)):
            if self.crop_margins and isinstance(image, _Kept):
                region = region_of_number(first, image.size_hw, self.crop_margins)
                if region:
                    regions[index] = region
        crops = [
            self._at_sizes(np.ascontiguousarray(inputs[index].pixels[top:bottom, left:right]))
            for index, (left, top, right, bottom) in regions.items()
        ]
        for (index, region), second in zip(regions.items(), self._look(crops), strict=True):
            found[index] = join_looks(found[index], second, region)
        return found

    def _at_sizes(self, image: ImageArray) -> tuple[Prepared, ...]:
        return tuple(self.runtime.prepare(image, short_side) for short_side in self.short_sides)

    def _look(self, inputs: Sequence[tuple[Prepared, ...]]) -> list[Detections]:
        """Detect in images that are given at several sizes."""
        if not inputs:
            return []
        found = [self.runtime.detect_prepared(of_size) for of_size in zip(*inputs, strict=True)]
        return found[0] if len(found) == 1 else [fuse(of_image) for of_image in zip(*found, strict=True)]


def region_of_number(
    found: Detections, size_hw: tuple[int, int], margins: tuple[float, float]
) -> Region | None:
    """Return the part of an image around its number.

    Args:
        found: By the first look, in pixels of the image.
        size_hw: (height, width) of the image.
        margins: Room at the sides, and above and below, in heights of the digits.

    Returns:
        The region; None where no number was found, or where it covers about the whole image.
    """
    digits = read_number(found, ReadingSettings()).digits
    if not digits:
        return None
    boxes = np.array([digit.box for digit in digits])
    room_x, room_y = np.array(margins) * (boxes[:, 3] - boxes[:, 1]).mean()
    height, width = size_hw
    left, top = max(0, floor(boxes[:, 0].min() - room_x)), max(0, floor(boxes[:, 1].min() - room_y))
    right = min(width, ceil(boxes[:, 2].max() + room_x))
    bottom = min(height, ceil(boxes[:, 3].max() + room_y))
    if min(right - left, bottom - top) < MIN_CROP_SIDE:
        return None
    if (right - left) * (bottom - top) > MAX_CROP * height * width:
        return None
    return left, top, right, bottom


def join_looks(first: Detections, second: Detections, region: Region) -> Detections:
    """Join what was found in an image and in a region of it.

    Inside the region the second look counts: its digits with its scores. A box that both looks found for
    the same digit is the mean of the two, weighted by score. Outside the region the first look counts.

    Args:
        first: In pixels of the image.
        second: In pixels of the region.
        region: Of the image.

    Returns:
        Detections in pixels of the image.
    """
    left, top, right, bottom = region
    boxes = second.boxes + np.array([left, top, left, top], np.float32)
    if len(first) and len(second):
        ious = np.where(second.labels[:, None] == first.labels, box_ious(boxes, first.boxes), 0)
        match = ious.argmax(axis=1)
        both = ious.max(axis=1) > MIN_IOU
        weight = first.scores[match] / np.maximum(first.scores[match] + second.scores, 1e-12)
        mean = boxes + weight[:, None] * (first.boxes[match] - boxes)
        boxes = np.where(both[:, None], mean, boxes)
    middle = (first.boxes[:, :2] + first.boxes[:, 2:]) / 2
    inside = np.all((middle >= (left, top)) & (middle < (right, bottom)), axis=1)
    rest = first.select(np.flatnonzero(~inside))
    return Detections(
        boxes=np.concatenate([boxes, rest.boxes]).astype(np.float32),
        labels=np.concatenate([second.labels, rest.labels]),
        scores=np.concatenate([second.scores, rest.scores]),
        size_hw=first.size_hw,
    )
