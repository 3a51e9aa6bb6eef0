"""What augmentation does to one image and its boxes, each as a transform of `torchvision.transforms.v2`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from digitspot.preprocess import input_size

Sample = tuple[tv_tensors.Image, tv_tensors.BoundingBoxes]
Transform = Callable[[tv_tensors.Image, tv_tensors.BoundingBoxes], Sample]

HUE_FRACTION = 10 / 180
"""The report's hue shift of 10 is in OpenCV's units of 180 to the circle."""
SATURATION_FRACTION = VALUE_FRACTION = 20 / 255
"""The report's shifts of 20 are in units of 255."""
SQUARE_SIDE = (10, 20)
"""The report's black square, in pixels of the original image."""


class BlackSquare(torch.nn.Module):
    """Cover a random square with black, as the report does.

    Args:
        probability: Fraction of images that get one.
        scale: Pixels of the given image for one of the original.
    """

    def __init__(self, probability: float, scale: float = 1.0) -> None:
        super().__init__()
        self.probability = probability
        self.scale = scale

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the image with the square, and its boxes unchanged: a covered digit stays a digit."""
        if torch.rand(()) >= self.probability:
            return image, boxes
        height, width = image.shape[-2:]
        side = round(int(torch.randint(SQUARE_SIDE[0], SQUARE_SIDE[1] + 1, ())) * self.scale)
        side = min(max(1, side), height, width)
        top = int(torch.randint(height - side + 1, ()))
        left = int(torch.randint(width - side + 1, ()))
        erased = functional.erase(image, top, left, side, side, torch.zeros(3, 1, 1, dtype=image.dtype))
        return tv_tensors.wrap(erased, like=image), boxes


class Blur(torch.nn.Module):
    """Blur; an image one pixel wide or high, whose edge cannot be mirrored, stays as it is.

    Args:
        kernel_size: Of the Gaussian, in pixels; its sigma is drawn from 0.1 to 2.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.blur = v2.GaussianBlur(kernel_size)

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the blurred image and its boxes unchanged."""
        if min(image.shape[-2:]) == 1:
            return image, boxes
        with _without_onednn():
            return cast(Sample, self.blur(image, boxes))


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Have torch convolve by itself: oneDNN makes a program for each size of an image and keeps a thousand.

    They take 170 MiB and most of the time of a blur (benchmarks/results/memory.md).
    """
    mkldnn: Any = torch.backends.mkldnn
    before = mkldnn.set_flags(_enabled=False, _fp32_precision=None)[0]
    try:
        yield
    finally:
        mkldnn.set_flags(_enabled=before, _fp32_precision=None)


class ZoomOut(torch.nn.Module):
    """Shrink the image within its frame, as if photographed from farther away.

    The border continues the image's edge; a constant one would show the network where images end.

    Args:
        probability: Fraction of images that are zoomed out.
        max_factor: Largest factor; log-uniform from 1.
    """

    def __init__(self, probability: float, max_factor: float) -> None:
        super().__init__()
        self.probability = probability
        self.max_factor = max_factor

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the larger frame and the boxes moved in it; the size rule does the shrinking."""
        if torch.rand(()) >= self.probability:
            return image, boxes
        factor = self.max_factor ** float(torch.rand(()))
        left, top = float(torch.rand(())), float(torch.rand(()))
        return pad_to_zoom(image, boxes, factor, (left, top))


def pad_to_zoom(
    image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes, factor: float, position: tuple[float, float]
) -> Sample:
    """Put an image into a frame `factor` times as large, the border continuing its edge.

    Args:
        image: uint8 `[3, H, W]`.
        boxes: In its pixels.
        factor: At least 1.
        position: Fractions of the new border that are on the left and on the top, 0..1.
    """
    height, width = image.shape[-2:]
    extra_x, extra_y = round(width * (factor - 1)), round(height * (factor - 1))
    left, top = round(extra_x * position[0]), round(extra_y * position[1])
    padded = functional.pad(image, [left, top, extra_x - left, extra_y - top], padding_mode="edge")
    moved = boxes.as_subclass(torch.Tensor) + torch.tensor([left, top, left, top])
    return padded, boxes_of(moved, padded)


CROP_BESIDE_GAP, CROP_BESIDE_SIDE = 0.2, 0.3
"""Between the digits and a crop beside them, and the shorter side of such a crop, in heights of a digit."""
LOWEST_DIGIT = 10.0
"""Pixels; a digit is not shrunk below this height."""


class CropBesideNumber(torch.nn.Module):
    """Cut a part of the image without a digit, to be left without an answer.

    It lies in the largest of what is to the left, to the right, above and below all digits, and has the
    image's aspect ratio, as those of its batch. An image with too little beside its number stays as it is.

    Args:
        probability: Fraction of images that are cropped.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the crop without a box in its frame."""
        if torch.rand(()) >= self.probability or len(boxes) == 0:
            return image, boxes
        height, width = image.shape[-2:]
        corners = boxes.as_subclass(torch.Tensor)
        digit = float((corners[:, 3] - corners[:, 1]).mean())
        left, top = (corners[:, :2].amin(0) - CROP_BESIDE_GAP * digit).int().tolist()
        right, bottom = (corners[:, 2:].amax(0) + CROP_BESIDE_GAP * digit).ceil().int().tolist()
        parts = (
            (0, 0, left, height),
            (right, 0, width, height),
            (0, 0, width, top),
            (0, bottom, width, height),
        )
        x1, y1, x2, y2 = max(parts, key=lambda part: max(part[2] - part[0], 0) * max(part[3] - part[1], 0))
        scale = min((x2 - x1) / width, (y2 - y1) / height)
        if min(width, height) * scale < CROP_BESIDE_SIDE * digit:
            return image, boxes
        w, h = max(1, int(width * scale)), max(1, int(height * scale))
        x1 += int(float(torch.rand(())) * (x2 - x1 - w + 1))
        y1 += int(float(torch.rand(())) * (y2 - y1 - h + 1))
        x2, y2 = x1 + w, y1 + h
        crop = tv_tensors.wrap(image[:, y1:y2, x1:x2].contiguous(), like=image)
        return crop, boxes_of(corners - torch.tensor([x1, y1, x1, y1]), crop)


class Shrink(torch.nn.Module):
    """Shrink a large image: what is random about it then costs no more than the network can see.

    Args:
        short_side: Of the size rule (`digitspot.preprocess.input_size`).
        long_side: Of the size rule.
    """

    def __init__(self, short_side: int, long_side: int) -> None:
        super().__init__()
        self.short_side = short_side
        self.long_side = long_side

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the smaller image and its boxes; a small one stays as it is."""
        size_hw = image.shape[-2], image.shape[-1]
        height, width = input_size(size_hw, self.short_side, self.long_side)
        return (image, boxes) if (height, width) >= size_hw else _resized(image, boxes, height, width)


class Stretch(torch.nn.Module):
    """Make the image wider or narrower.

    Args:
        max_factor: Largest factor of the width, and one over the smallest; log-uniform.
    """

    def __init__(self, max_factor: float) -> None:
        super().__init__()
        self.max_factor = max_factor

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the stretched image and its boxes."""
        height, width = image.shape[-2:]
        return _resized(
            image, boxes, height, round(width * self.max_factor ** (2 * float(torch.rand(())) - 1))
        )


class LowResolution(torch.nn.Module):
    """Shrink the image, as if photographed with fewer pixels; digits keep some of them.

    Args:
        max_factor: Largest factor; log-uniform from 1.
    """

    def __init__(self, max_factor: float) -> None:
        super().__init__()
        self.max_factor = max_factor

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the smaller image and its boxes."""
        height, width = image.shape[-2:]
        factor = self.max_factor ** float(torch.rand(()))
        if len(boxes):
            corners = boxes.as_subclass(torch.Tensor)
            lowest = float((corners[:, 3] - corners[:, 1]).amin())
            factor = min(factor, max(1.0, lowest / LOWEST_DIGIT))
        return _resized(image, boxes, round(height / factor), round(width / factor))


def _resized(image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes, height: int, width: int) -> Sample:
    before_height, before_width = image.shape[-2:]
    height, width = max(height, 1), max(width, 1)
    resized = functional.resize(image, [height, width], antialias=True)
    scale = torch.tensor([width / before_width, height / before_height] * 2)
    return resized, boxes_of(boxes.as_subclass(torch.Tensor) * scale, resized)


class RotateAndShift(torch.nn.Module):
    """Rotate a little, shear and shift; what comes in is filled with the image's mean colour.

    A rotated digit does not fill the corners of its rotated box, so the upright box around those
    corners would be too large: the box of the rotated inscribed ellipse is taken.

    Args:
        max_degrees: Largest rotation to either side.
        max_shift: Largest shift, as a fraction of width and height.
        max_shear: Largest slant of upright lines to either side, in degrees.
    """

    def __init__(self, max_degrees: float, max_shift: float, max_shear: float = 0.0) -> None:
        super().__init__()
        self.max_degrees = max_degrees
        self.max_shift = max_shift
        self.max_shear = max_shear

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the moved image and boxes; boxes may leave the frame."""
        height, width = image.shape[-2:]
        angle, right, down = (2 * torch.rand(3, dtype=torch.float64) - 1).tolist()
        degrees = angle * self.max_degrees
        slant = (2 * float(torch.rand(())) - 1) * self.max_shear if self.max_shear else 0.0
        shift = [round(right * self.max_shift * width), round(down * self.max_shift * height)]
        fill = image.float().mean((1, 2)).tolist()
        moved = functional.affine(
            image, degrees, shift, 1.0, [slant, 0.0], functional.InterpolationMode.BILINEAR, fill
        )
        corners = _move_ellipses(boxes, math.radians(degrees), math.radians(slant), shift, (height, width))
        return moved, boxes_of(corners, image)


def _move_ellipses(
    boxes: torch.Tensor, radians: float, slant: float, shift: list[int], size_hw: tuple[int, int]
) -> torch.Tensor:
    """Slant boxes `[N, 4]`, turn them clockwise about the image's centre, then shift them (x, y).

    The ellipse in a box becomes that under the matrix ((xx, xy), (yx, yy)), as `functional.affine` has it.
    """
    xx, yx = math.cos(radians), math.sin(radians)
    xy, yy = -xx * math.tan(slant) - yx, -yx * math.tan(slant) + xx
    middle = torch.tensor([size_hw[1], size_hw[0]]) / 2
    corners = boxes.as_subclass(torch.Tensor)
    x, y = ((corners[:, :2] + corners[:, 2:]) / 2 - middle).unbind(1)
    centres = torch.stack([x * xx + y * xy, x * yx + y * yy], 1) + middle + torch.tensor(shift)
    half_w, half_h = ((corners[:, 2:] - corners[:, :2]) / 2).unbind(1)
    halves = torch.stack([torch.hypot(half_w * xx, half_h * xy), torch.hypot(half_w * yx, half_h * yy)], 1)
    return torch.cat([centres - halves, centres + halves], 1)


def boxes_of(corners: torch.Tensor, image: torch.Tensor) -> tv_tensors.BoundingBoxes:
    """Wrap boxes `[N, 4]` that may leave the image, so that no transform clips them."""
    height, width = image.shape[-2:]
    return tv_tensors.BoundingBoxes(
        corners,
        format=tv_tensors.BoundingBoxFormat.XYXY,
        canvas_size=(height, width),
        clamping_mode=None,
    )
