"""Crops around numbers, as the reader makes before it looks a second time.

Which images are cropped, and how, is known without their pixels: so batches are made of images that are of
one shape when they are cropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitspot.dataset.samples import Samples, rows_of
from digitspot.types import FloatArray, ImageArray, IntArray

MARGINS_X, MARGINS_Y = (0.2, 2.0), (0.1, 0.8)
"""Smallest and largest room on each side of the number, in heights of its digits; it ends where the image
does."""
DRAWS = 5
"""Whether an image is cropped, then its room on the left, at the top, on the right and at the bottom."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberCrops:
    """The crops of N images with M boxes, a function of (seed, epoch, image id).

    Attributes:
        probability: Fraction of images that are cropped; one without digits never is.
        seed: The training's seed.
        image_ids: int64 `[N]`.
        sizes_hw: int64 `[N, 2]`, height and width.
        boxes: `[M, 4]`, x1 y1 x2 y2 in pixels.
        box_starts: int64 `[N + 1]`: image i has the boxes `box_starts[i]` to `box_starts[i + 1]`.
    """

    probability: float
    seed: int
    image_ids: IntArray
    sizes_hw: IntArray
    boxes: FloatArray
    box_starts: IntArray

    @classmethod
    def of(cls, samples: Samples, probability: float, seed: int) -> NumberCrops:
        """Return the crops of the images of a training, in pixels of the original images."""
        boxes, starts = samples.digit_boxes()
        return cls(
            probability=probability,
            seed=seed,
            image_ids=samples.image_ids,
            sizes_hw=samples.original_sizes_hw,
            boxes=boxes,
            box_starts=starts,
        )

    def rectangles(self, epoch: int, images: IntArray) -> IntArray:
        """Return what is left of images `[K]` in an epoch, int64 `[K, 4]`, x1 y1 x2 y2; mostly the whole."""
        whole = np.concatenate([np.zeros((len(images), 2), np.int64), self.sizes_hw[images][:, ::-1]], 1)
        starts, rows = rows_of(self.box_starts, images)
        counts = np.diff(starts)
        some = counts > 0
        if not some.any():
            return whole
        boxes, firsts = self.boxes[rows].astype(np.float64), starts[:-1][some]
        heights = np.add.reduceat(boxes[:, 3] - boxes[:, 1], firsts) / counts[some]
        low, high = np.minimum.reduceat(boxes[:, :2], firsts), np.maximum.reduceat(boxes[:, 2:], firsts)
        draws = uniform(self.seed, epoch, self.image_ids[images][some], DRAWS)
        smallest, largest = np.array([MARGINS_X, MARGINS_Y] * 2).T
        room = (smallest + (largest - smallest) * draws[:, 1:]) * heights[:, None]
        sides = np.concatenate([low - room[:, :2], high + room[:, 2:]], 1).round().astype(np.int64)
        frames = np.tile(whole[some][:, 2:], 2)
        sides = np.clip(sides, 0, frames)
        is_cropped = (draws[:, 0] < self.probability) & (sides[:, 2:] > sides[:, :2]).all(1)
        whole[some] = np.where(is_cropped[:, None], sides, whole[some])
        return whole

    def aspects(self, epoch: int, images: IntArray) -> npt.NDArray[np.float64]:
        """Return width over height of what is left of images `[K]`, `[K]`."""
        x1, y1, x2, y2 = self.rectangles(epoch, images).T
        return np.asarray((x2 - x1) / (y2 - y1), np.float64)


def crop_to_number(
    image: ImageArray, boxes: FloatArray, probability: float, key: tuple[int, int, int]
) -> tuple[ImageArray, FloatArray]:
    """Crop one image, as `NumberCrops` does.

    Args:
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` in its pixels.
        probability: That it is cropped.
        key: (seed, epoch, image id).

    Returns:
        The crop, a part of the same memory, and the boxes in its pixels.
    """
    seed, epoch, image_id = key
    one = NumberCrops(
        probability=probability,
        seed=seed,
        image_ids=np.array([image_id]),
        sizes_hw=np.array([image.shape[:2]]),
        boxes=boxes,
        box_starts=np.array([0, len(boxes)]),
    )
    x1, y1, x2, y2 = one.rectangles(epoch, np.array([0]))[0].tolist()
    return image[y1:y2, x1:x2], (boxes - np.array([x1, y1, x1, y1])).astype(np.float32)


def uniform(seed: int, epoch: int, ids: IntArray, num: int) -> npt.NDArray[np.float64]:
    """Return numbers of [0, 1) that depend on (seed, epoch, id) alone, `[N, num]`.

    They are SplitMix64's (Steele et al. 2014), one stream an id.
    """
    start = np.random.SeedSequence([abs(seed), epoch]).generate_state(1, np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    streams = _mixed(start + _mixed(ids.astype(np.uint64) * golden))
    values = streams[:, None] + np.arange(1, num + 1, dtype=np.uint64) * golden
    return np.asarray((_mixed(values) >> np.uint64(11)) * 2.0**-53, np.float64)


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
