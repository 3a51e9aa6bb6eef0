"""A runtime that looks at an image more than once: at several input sizes, and around the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor

import numpy as np

from digitspot.config import InputConfig
from digitspot.fusion import fuse
from digitspot.preprocess import Prepared
from digitspot.reading import LookSettings, ReadingSettings, read_number
from digitspot.runtime import Runtime
from digitspot.types import Box, Detections, ImageArray, Reading

MAX_CROP = 0.9
"""Instead of a crop that covers more of its image, the whole image is looked at."""
MIN_MOVED = 0.3
"""Of a crop's height; one whose sides are all nearer to those of an earlier crop would show the same."""
MIN_CROP_SIDE = 4
"""Pixels; a smaller crop shows nothing."""


def with_looks(runtime: Runtime, settings: ReadingSettings) -> Runtime:
    """Return a runtime that looks as the settings say; without any it is the runtime itself."""
    return Looks(runtime, settings.looks) if settings.looks else runtime


@dataclass(frozen=True)
class _Kept(Prepared):
    """An image as it is, for the looks to come, and resized for the first.

    Attributes:
        first: The network's input.
    """

    first: Prepared


@dataclass(frozen=True)
class _Look:
    """One look at an image.

    Attributes:
        found: Boxes in pixels of the image.
        region: What of the image it showed.
        short_side: The input size.
    """

    found: Detections
    region: Box
    short_side: int


@dataclass
class _Seen:
    """What an image showed so far.

    Attributes:
        image: uint8 `[H, W, 3]`.
        settings: How it is looked at.
        looks: In turn.
        numbers: Readings so far. The key is the first look that was read and the one after the last.
    """

    image: ImageArray
    settings: LookSettings
    looks: list[_Look] = field(default_factory=list)
    numbers: dict[tuple[int, int], Reading] = field(default_factory=dict)

    @property
    def size_hw(self) -> tuple[int, int]:
        """The image's height and width."""
        return self.image.shape[0], self.image.shape[1]

    def add(self, found: Detections, region: Box, short_side: int) -> None:
        """Take in a look; boxes are in pixels of the region."""
        corner = np.array([*region[:2], *region[:2]], np.float32)
        found = replace(found, boxes=found.boxes + corner, size_hw=self.size_hw)
        self.looks.append(_Look(found, region, short_side))

    def next_region(self, short_side: int) -> Box | None:
        """Return what to look at next, at an input size; None where that is not worth it."""
        margins, enough = self.settings.margins, self.settings.enough
        if enough < 1 and self._number(0).probability >= enough:
            return None
        region = whole(self.size_hw)
        if margins:  # the looks after the first show it better
            number = self._number(since=min(1, len(self.looks) - 1))
            region = region_of_number(number, self.size_hw, margins)
        return None if self._is_known(region, short_side) else region

    def result(self) -> Detections:
        """Return what all looks found and, if they cropped, the number that the first and the others show."""
        found = self._joined(0)
        if self.settings.margins is None:
            return found
        by_look = [self.numbers[0, 1]]
        if len(self.looks) > 1:
            by_look.append(self._number(since=1))
        return replace(found, by_look=tuple(number.text or "" for number in by_look))

    def _is_known(self, region: Box, short_side: int) -> bool:
        """Return whether a look would show about the same as one before."""
        earlier = [look.region for look in self.looks if look.short_side == short_side]
        everything = whole(self.size_hw)
        if region == everything:
            return region in earlier
        largest = MIN_MOVED * (region[3] - region[1])
        return any(
            crop != everything and np.abs(np.subtract(region, crop)).max() <= largest for crop in earlier
        )

    def _number(self, since: int) -> Reading:
        """Return the number that the looks from one on show."""
        key = since, len(self.looks)
        if key not in self.numbers:
            reader = ReadingSettings(
                weights=self.settings.weights, number_weights=self.settings.number_weights
            )
            self.numbers[key] = read_number(self._joined(since), reader)
        return self.numbers[key]

    def _joined(self, since: int) -> Detections:
        """Return what the looks from one on found, fused."""
        looks = self.looks[since:]
        if len(looks) == 1:
            return looks[0].found
        return fuse([look.found for look in looks], regions=[look.region for look in looks])


class Looks:
    """Looks at the whole image, then around what looks like the number, until that is sure.

    A crop shows the digits larger, and another input size shows them in another way. Where a look would show
    the same as one before, it is left out. What all looks found is fused.

    Args:
        runtime: Finds digits in one look.
        settings: How many looks at most, where, and at which sizes.
    """

    def __init__(self, runtime: Runtime, settings: LookSettings) -> None:
        self.runtime = runtime
        self.settings = settings

    @property
    def rule(self) -> InputConfig:
        """How images are resized. Looks replace its short side."""
        return self.runtime.rule

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Resize an image for the first look and keep it for the others; see `Runtime.prepare`.

        With a `short_side` there is one look, of that size.
        """
        first, *others = self.settings.short_sides
        prepared = self.runtime.prepare(image, short_side or first)
        return prepared if short_side or not others else _Kept(image, prepared.original_hw, prepared)

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels; see `Runtime.detect`."""
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image; see `Runtime.detect_prepared`."""
        found = self.runtime.detect_prepared(
            [each.first if isinstance(each, _Kept) else each for each in inputs]
        )
        kept = {index: each for index, each in enumerate(inputs) if isinstance(each, _Kept)}
        seen = {index: _Seen(each.pixels, self.settings) for index, each in kept.items()}
        first, *others = self.settings.short_sides
        for index, each in seen.items():
            each.add(found[index], whole(each.size_hw), first)
        for short_side in others:
            self._look_again(list(seen.values()), short_side)
        for index, each in seen.items():
            found[index] = each.result()
        return found

    def _look_again(self, seen: Sequence[_Seen], short_side: int) -> None:
        """Look once more at each image where that is worth it."""
        regions = [(each, region) for each in seen if (region := each.next_region(short_side))]
        crops = [
            self.runtime.prepare(np.ascontiguousarray(each.image[top:bottom, left:right]), short_side)
            for each, (left, top, right, bottom) in regions
        ]
        for (each, region), found in zip(regions, self.runtime.detect_prepared(crops), strict=True):
            each.add(found, region, short_side)


def whole(size_hw: tuple[int, int]) -> Box:
    """Return all of an image."""
    return 0, 0, size_hw[1], size_hw[0]


def region_of_number(number: Reading, size_hw: tuple[int, int], margins: tuple[float, float] | None) -> Box:
    """Return the part of an image around its number.

    Args:
        number: Its boxes are in pixels of the image.
        size_hw: (height, width) of the image.
        margins: Room at the sides, and above and below, in heights of its digits.

    Returns:
        The region; all of the image where there is no number, or where it covers about all.
    """
    if not number.digits:
        return whole(size_hw)
    boxes = np.array([digit.box for digit in number.digits])
    room_x, room_y = np.array(margins) * (boxes[:, 3] - boxes[:, 1]).mean()
    height, width = size_hw
    left, top = max(0, floor(boxes[:, 0].min() - room_x)), max(0, floor(boxes[:, 1].min() - room_y))
    right = min(width, ceil(boxes[:, 2].max() + room_x))
    bottom = min(height, ceil(boxes[:, 3].max() + room_y))
    is_tiny = min(right - left, bottom - top) < MIN_CROP_SIDE
    if is_tiny or (right - left) * (bottom - top) > MAX_CROP * height * width:
        return whole(size_hw)
    return left, top, right, bottom
