"""A runtime that looks at an image more than once: at several input sizes, and again around the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from digitspot.fusion import fuse
from digitspot.preprocess import Prepared
from digitspot.reading import ReadingSettings, SecondLook, read_number
from digitspot.runtime import Runtime
from digitspot.types import Detections, ImageArray, Reading

MAX_CROP = 0.9
"""A crop that covers more of its image would show the network the same again."""
MIN_MOVED = 0.3
"""Of a crop's height; one whose sides are all nearer to those of the crop before would show the same."""
MIN_CROP_SIDE = 4
"""Pixels; a smaller crop shows nothing."""

Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image, half-open."""


def with_looks(runtime: Runtime, settings: ReadingSettings) -> Runtime:
    """Return a runtime that looks as the settings say; with one look it is the runtime itself."""
    if settings.short_sides or settings.second_look:
        return Looks(runtime, settings.short_sides, settings.second_look)
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

    A look is at each of its input sizes, fused. A crop shows the digits larger; what both looks found there
    is fused. Where the number is another one then, a crop around that one follows.

    Args:
        runtime: Finds digits in one look.
        short_sides: Input sizes of the first look, of the shorter side in pixels; empty is the model's own.
        second: How crops are looked at; None looks at whole images only.
    """

    def __init__(
        self,
        runtime: Runtime,
        short_sides: Sequence[int] = (),
        second: SecondLook | None = None,
    ) -> None:
        self.runtime = runtime
        self.short_sides = tuple(short_sides)
        self.second = second

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Resize an image for the first look and keep it for the second; see `Runtime.prepare`."""
        if short_side is not None:
            return self.runtime.prepare(image, short_side)
        return _Kept(image, (image.shape[0], image.shape[1]), self._at_sizes(image, self.short_sides))

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels; see `Runtime.detect`."""
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image; see `Runtime.detect_prepared`."""
        found = self._look([each.first if isinstance(each, _Kept) else (each,) for each in inputs])
        if self.second is None:
            return found
        alone = ReadingSettings(weights=self.second.weights)
        numbers = [read_number(each, alone) for each in found]
        by_look: list[tuple[str, ...]] = [(number.text or "",) for number in numbers]
        seen: dict[int, Region] = {}
        for _ in range(self.second.most):
            regions = {
                index: region
                for index, (image, number) in enumerate(zip(inputs, numbers, strict=True))
                if isinstance(image, _Kept)
                and (region := region_of_number(number, image.size_hw, self.second))
                and not _is_known(region, seen.get(index))
            }
            crops = [
                self._at_sizes(
                    np.ascontiguousarray(inputs[index].pixels[top:bottom, left:right]),
                    self.second.short_sides,
                )
                for index, (left, top, right, bottom) in regions.items()
            ]
            for (index, region), second in zip(regions.items(), self._look(crops), strict=True):
                size_hw = inputs[index].original_hw
                corner = np.array([*region[:2], *region[:2]], np.float32)
                second = replace(second, boxes=second.boxes + corner, size_hw=size_hw)
                found[index] = join_looks(found[index], second, region)
                numbers[index] = read_number(second, alone)
                by_look[index] = (by_look[index][0], numbers[index].text or "")
            seen |= regions
        return [replace(each, by_look=texts) for each, texts in zip(found, by_look, strict=True)]

    def _at_sizes(self, image: ImageArray, short_sides: Sequence[int]) -> tuple[Prepared, ...]:
        return tuple(self.runtime.prepare(image, short_side) for short_side in short_sides or (None,))

    def _look(self, inputs: Sequence[tuple[Prepared, ...]]) -> list[Detections]:
        """Detect in images that are given at several sizes."""
        if not inputs:
            return []
        found = [self.runtime.detect_prepared(of_size) for of_size in zip(*inputs, strict=True)]
        return found[0] if len(found) == 1 else [fuse(of_image) for of_image in zip(*found, strict=True)]


def _is_known(region: Region, seen: Region | None) -> bool:
    """Return whether a region shows about the same as one that was looked at."""
    if seen is None:
        return False
    moved = np.abs(np.subtract(region, seen)).max()
    return bool(moved <= MIN_MOVED * (region[3] - region[1]))


def region_of_number(number: Reading, size_hw: tuple[int, int], second: SecondLook) -> Region | None:
    """Return the part of an image around its number.

    Args:
        number: That of the first look, its boxes in pixels of the image.
        size_hw: (height, width) of the image.
        second: How much room the number gets.

    Returns:
        The region; None where there is no number, or where it covers about the whole image.
    """
    if not number.digits:
        return None
    boxes = np.array([digit.box for digit in number.digits])
    room_x, room_y = np.array(second.margins) * (boxes[:, 3] - boxes[:, 1]).mean()
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

    Inside the region both looks are fused, outside it the first counts.

    Args:
        first: In pixels of the image.
        second: Likewise.
        region: Of the image.

    Returns:
        Detections in pixels of the image.
    """
    left, top, right, bottom = region
    middle = (first.boxes[:, :2] + first.boxes[:, 2:]) / 2
    inside = np.all((middle >= (left, top)) & (middle < (right, bottom)), axis=1)
    joined = fuse([first.select(np.flatnonzero(inside)), second])
    rest = first.select(np.flatnonzero(~inside))
    return Detections(
        boxes=np.concatenate([joined.boxes, rest.boxes]),
        labels=np.concatenate([joined.labels, rest.labels]),
        scores=np.concatenate([joined.scores, rest.scores]),
        size_hw=first.size_hw,
    )
