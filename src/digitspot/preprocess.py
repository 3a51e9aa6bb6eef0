"""The one way from an image to the network's input, for training and for every runtime.

Pillow on uint8, then normalisation to float32; numpy out, so that torch and ONNX Runtime
take the same array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from digitspot.config import InputConfig
from digitspot.types import FloatArray, ImageArray

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Channel statistics of ImageNet, as torchvision's detectors and their COCO weights use."""


@dataclass(frozen=True)
class Prepared:
    """An image resized for the network, and the way back.

    Attributes:
        pixels: uint8 `[h, w, 3]`.
        original_hw: (height, width) of the image before.
    """

    pixels: ImageArray
    original_hw: tuple[int, int]

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Map boxes `[N, 4]` from the original image to the input."""
        return np.asarray(boxes * self._scale(), np.float32)

    def to_original(self, boxes: FloatArray) -> FloatArray:
        """Map boxes `[N, 4]` from the input back to the original image."""
        return np.asarray(boxes / self._scale(), np.float32)

    def _scale(self) -> FloatArray:
        (height, width), (original_height, original_width) = self.size_hw, self.original_hw
        x, y = width / original_width, height / original_height
        return np.array([x, y, x, y], np.float32)


def input_size(size_hw: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """Apply the size rule: shorter side to `short_side`, unless the longer would exceed `long_side`.

    Both sides stay at least one pixel, whatever the aspect. Source of the rule: Faster R-CNN
    (Ren et al. 2015, section 3.3); sizes are rounded, where torchvision floors.

    >>> input_size((47, 104), 96, 256)
    (96, 212)
    >>> input_size((10, 20000), 96, 256)
    (1, 256)
    """
    height, width = size_hw
    scale = min(short_side / min(height, width), long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def prepare(image: ImageArray, rule: InputConfig, short_side: int | None = None) -> Prepared:
    """Resize one RGB image `[H, W, 3]` by the size rule (bilinear, antialiased when it shrinks).

    Args:
        image: uint8 `[H, W, 3]`.
        rule: The size rule.
        short_side: Replaces the rule's; the limit of the longer side scales with it.
    """
    short = rule.short_side if short_side is None else short_side
    long = round(rule.long_side * short / rule.short_side)
    size_hw = image.shape[0], image.shape[1]
    image = _upscaled(image, rule.upscale)
    height, width = input_size((image.shape[0], image.shape[1]), short, long)
    if (height, width) == image.shape[:2]:
        return Prepared(image, size_hw)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return Prepared(np.asarray(resized), size_hw)


def _upscaled(image: ImageArray, factor: int) -> ImageArray:
    if factor == 1:
        return image
    size_wh = image.shape[1] * factor, image.shape[0] * factor
    return np.asarray(Image.fromarray(image).resize(size_wh, Image.Resampling.BICUBIC))


def collate(images: Sequence[Prepared], rule: InputConfig, out: FloatArray | None = None) -> FloatArray:
    """Normalise and pad images into one batch, float32 `[B, 3, H, W]`.

    Each image is at the top left; H and W are the smallest multiples that hold all.
    Padding is 0, the mean colour.

    Args:
        images: The images.
        rule: H and W are multiples of its `multiple`.
        out: Zeros of `collated_shape` to write into, instead of a new array.
    """
    batch = np.zeros(collated_shape(images, rule.multiple), np.float32) if out is None else out
    scale, offset = 1 / (255 * STD), MEAN / STD
    for row, image in zip(batch, images, strict=True):
        h, w = image.size_hw
        row[:, :h, :w] = (image.pixels * scale - offset).transpose(2, 0, 1)
    return batch


def collated_shape(images: Sequence[Prepared], multiple: int) -> tuple[int, int, int, int]:
    """Return the (B, 3, H, W) that `collate` makes of images."""
    height = _round_up(max(image.size_hw[0] for image in images), multiple)
    width = _round_up(max(image.size_hw[1] for image in images), multiple)
    return len(images), 3, height, width


def group_by_shape(sizes_hw: Sequence[tuple[int, int]], batch_size: int, multiple: int) -> list[list[int]]:
    """Group indices into batches of one padded shape.

    Detections of an image must not depend on the others of its batch, and a wider one would pad it more.

    >>> group_by_shape([(10, 10), (10, 40), (12, 12), (11, 45)], 2, 16)
    [[0, 2], [1, 3]]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, (height, width) in enumerate(sizes_hw):
        groups.setdefault((_round_up(height, multiple), _round_up(width, multiple)), []).append(index)
    return [
        group[start : start + batch_size]
        for _, group in sorted(groups.items())
        for start in range(0, len(group), batch_size)
    ]


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
