"""Where numbers are in a large image: a pyramid of tiles, looked at one level after the other.

A number that is small in its image is a few pixels high at the network's input. So the image is looked at
in tiles, at several scales, the last of which shows the smallest digits. What is found says only where to
look: each region is then read as an image of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitspot.boxes import box_ious, joined_groups, suppress
from digitspot.errors import ConfigError
from digitspot.runtime import Runtime
from digitspot.types import Box, Detections, FloatArray, ImageArray

TILE, OVERLAP = 320, 64
"""Pixels of a tile's side, and those that it shares with the next."""
LEVELS = (0.06, 0.2, 0.4, 0.6)
"""Scales of the pyramid, coarse to fine; the last shows a digit of 20 pixels at 12. A coarser one at which
the image is smaller than half a tile is left out."""
COARSER, STEPS = 0.9, (1.4, 2.5)
"""Neighbouring levels differ by a factor of at least 1.4; where there would be too many tiles, of 2.5. Where
there still are, the finest level is made coarser."""
MIN_CONTRAST = 24
"""A tile in which no colour varies by so much, of 255, is not looked at."""
MIN_SCORE = 0.15
"""Digits below it do not propose a region."""
MIN_SIDE = 480
"""Images whose shorter side is below this are small enough to be looked at as a whole. No image of SVHN is
larger; photographs of telephones are."""
MAX_LOOKS = 100
"""A photograph of 12 megapixels has 80 tiles, and 110 with the level 0.4."""
MAX_REGIONS, MAX_BESIDE = 10, 6
"""Regions that are read in a large image, and beside the number of a small one."""
MAX_DIGITS = 1_000
"""Of these digits, the surest, regions are made."""
MARGINS = (2.5, 1.2)
"""Room around the digits of a region, in their heights: what photographs of house numbers have."""
NEAR, ALIKE = 1.6, 1.7
"""Digits whose gap is below so many heights, and whose heights differ by less than so many times, are of one
number."""
SAME_DIGIT = 0.4
"""Digits of several levels that overlap by more are one."""
SPAN, FAINT = 8.0, 0.4
"""The digits of a number are at most so many heights away from its surest one, and at least so sure, as a
fraction of it."""


@dataclass(frozen=True)
class _Tile:
    """A tile of a level.

    Attributes:
        pixels: uint8 `[h, w, 3]`.
        left, top: In pixels of the level.
        scale: Pixels of the level for one of the image.
        inner: Which of the sides left, top, right, bottom are inside the image.
    """

    pixels: ImageArray
    left: int
    top: int
    scale: float
    inner: tuple[bool, bool, bool, bool]


def is_scene(image: ImageArray) -> bool:
    """Return whether an image is so large that numbers in it can be too small for one look."""
    return bool(min(image.shape[:2]) >= MIN_SIDE)


def find_regions(runtime: Runtime, image: ImageArray, max_looks: int = MAX_LOOKS) -> list[Box]:
    """Return the regions of an image that may show a number, the most promising first.

    Args:
        runtime: Finds digits in one look.
        image: uint8 RGB `[H, W, 3]`.
        max_looks: Tiles to look at, at most. With fewer the finest level is coarser, so that all of the image
            is still looked at.

    Returns:
        Up to `MAX_REGIONS`, each with `MARGINS` around its digits.

    Raises:
        ConfigError: `max_looks` is below 1.
    """
    if max_looks < 1:
        raise ConfigError(f"max_looks {max_looks}: need 1 or more")
    found = [_found_in(runtime, tiles) for tiles in _levels(image, max_looks)]
    boxes, scores = (np.concatenate(values) for values in zip(*found, strict=True))
    return _regions(boxes, scores, (image.shape[0], image.shape[1]), MAX_REGIONS)


def beside(found: Detections, digits: FloatArray) -> list[Box]:
    """Return the regions around digits that are not those of the number that was read.

    Args:
        found: In an image, `size_hw` included.
        digits: Boxes of the number's digits, `[N, 4]`.
    """
    assert found.size_hw is not None
    rest = found.scores >= MIN_SCORE
    if len(digits):
        rest &= box_ious(found.boxes, digits.astype(np.float32)).max(axis=1, initial=0) == 0
    return _regions(found.boxes[rest], found.scores[rest], found.size_hw, MAX_BESIDE)


def _levels(image: ImageArray, max_looks: int) -> Iterator[list[_Tile]]:
    """Yield the tiles of each level but those that are plain."""
    whole = Image.fromarray(image)
    for scale in _scales((image.shape[0], image.shape[1]), max_looks):
        height, width = _scaled((image.shape[0], image.shape[1]), scale)
        resized = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
        yield [tile for tile in _tiles(resized, scale) if _contrast(tile.pixels) >= MIN_CONTRAST]


def _scales(size_hw: tuple[int, int], max_looks: int) -> list[float]:
    """Return the scales to look at, coarse to fine, whose tiles are as many as the looks or fewer."""
    finest = LEVELS[-1]
    while True:
        for step in STEPS:
            scales = [finest]
            for scale in reversed(LEVELS):
                if scales[0] >= step * scale and min(_scaled(size_hw, scale)) >= TILE / 2:
                    scales.insert(0, scale)
            if sum(_num_tiles(size_hw, scale) for scale in scales) <= max_looks:
                return scales
        finest *= COARSER


def _scaled(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def _num_tiles(size_hw: tuple[int, int], scale: float) -> int:
    height, width = _scaled(size_hw, scale)
    return len(_starts(height)) * len(_starts(width))


def _tiles(level: ImageArray, scale: float) -> Iterator[_Tile]:
    height, width = level.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            bottom, right = min(height, top + TILE), min(width, left + TILE)
            inner = (left > 0, top > 0, right < width, bottom < height)
            yield _Tile(np.ascontiguousarray(level[top:bottom, left:right]), left, top, scale, inner)


def _starts(length: int) -> list[int]:
    """Return where tiles begin, evenly, with at least the overlap."""
    if length <= TILE:
        return [0]
    num = 1 + ceil((length - TILE) / (TILE - OVERLAP))
    return [round(start) for start in np.linspace(0, length - TILE, num).tolist()]


def _contrast(pixels: ImageArray) -> int:
    return int(np.ptp(Image.fromarray(pixels).getextrema(), axis=1).max())


def _found_in(runtime: Runtime, tiles: Sequence[_Tile]) -> tuple[FloatArray, FloatArray]:
    """Return the boxes of digits `[N, 4]` in pixels of the image, and their scores `[N]`."""
    inputs = [runtime.prepare(tile.pixels, min(tile.pixels.shape[:2])) for tile in tiles]
    boxes, scores = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.float32)]
    for tile, found in zip(tiles, runtime.detect_prepared(inputs), strict=True):
        sure = found.select(np.flatnonzero((found.scores >= MIN_SCORE) & ~_cut(found, tile)))
        offset = np.array([tile.left, tile.top] * 2, np.float32)
        boxes.append(((sure.boxes + offset) / tile.scale).astype(np.float32))
        scores.append(sure.scores)
    return np.concatenate(boxes), np.concatenate(scores)


def _cut(found: Detections, tile: _Tile) -> npt.NDArray[np.bool_]:
    """Return which digits touch a side where another tile shows more of them, `[N]`."""
    height, width = tile.pixels.shape[:2]
    gaps = np.concatenate([found.boxes[:, :2], [width, height] - found.boxes[:, 2:]], axis=1)
    return np.asarray((gaps < 2)[:, list(tile.inner)].any(axis=1))


def _regions(boxes: FloatArray, scores: FloatArray, size_hw: tuple[int, int], most: int) -> list[Box]:
    """Return the room of up to so many numbers, the surest first.

    A number is what stands together with a digit that is surer than the rest of it. So a number keeps to
    itself where all around looks like digits a little, as gravel or coins do. What is inside of it and as
    high as one of its digits belongs to it; a wheel that looks like a 0 leaves the number on it alone.
    """
    with_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[with_area], scores[with_area]
    surest = np.argsort(-scores, kind="stable")[:MAX_DIGITS]
    kept = surest[suppress(boxes[surest], scores[surest], SAME_DIGIT)]
    boxes, scores = boxes[kept], scores[kept]
    heights, middles = boxes[:, 3] - boxes[:, 1], (boxes[:, :2] + boxes[:, 2:]) / 2
    taller = np.maximum(heights[:, None], heights)
    gaps = np.maximum(boxes[:, None, :2] - boxes[:, 2:], boxes[:, :2] - boxes[:, None, 2:]).max(axis=2)
    alike = taller < ALIKE * np.maximum(np.minimum(heights[:, None], heights), 1e-6)
    near = (gaps < NEAR * taller) & alike
    free = np.ones(len(boxes), bool)
    found: list[tuple[float, Box]] = []
    for seed in range(len(boxes)):
        if not free[seed]:
            continue
        within = np.abs(middles - middles[seed]).max(axis=1) < SPAN * heights[seed]
        may = np.flatnonzero(free & within & alike[seed] & (scores >= FAINT * scores[seed]))
        group = joined_groups(near[np.ix_(may, may)])
        mine = may[group == group[may == seed]]
        low, high = boxes[mine, :2].min(axis=0), boxes[mine, 2:].max(axis=0)
        inside = ((middles >= low) & (middles <= high)).all(axis=1)
        free &= ~(inside & alike[mine].any(axis=0))
        room = np.array(MARGINS) * np.median(heights[mine])
        left, top = np.maximum(low - room, 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(high + room), size_hw[::-1]).astype(int).tolist()
        found.append((float(scores[mine][:3].sum()), (left, top, right, bottom)))
    return [region for _, region in sorted(found, key=lambda each: -each[0])[:most]]
