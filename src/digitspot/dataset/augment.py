"""Fresh augmentation with `torchvision.transforms.v2`: a function of (seed, epoch, image)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from digitspot.boxes import box_areas, clip_boxes
from digitspot.config import AugmentConfig
from digitspot.dataset.samples import Samples
from digitspot.types import FloatArray, ImageArray, IntArray

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

    They take 170 MiB and most of the time of a blur (docs/measurements.md, Memory).
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
    return padded, _boxes(moved, padded)


CROP_MARGINS_X, CROP_MARGINS_Y = (0.2, 2.0), (0.1, 0.8)
"""Smallest and largest room around the number of a crop, in heights of its digits."""


class CropToNumber(torch.nn.Module):
    """Cut the image around its digits, as the reader does before it looks a second time.

    The room on each of the four sides is drawn for itself; it ends where the image ends.

    Args:
        probability: Fraction of images that are cropped; one without a digit never is.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the crop and the boxes moved in it."""
        if torch.rand(()) >= self.probability or len(boxes) == 0:
            return image, boxes
        corners = boxes.as_subclass(torch.Tensor)
        height = float((corners[:, 3] - corners[:, 1]).mean())
        low, high = torch.tensor([CROP_MARGINS_X, CROP_MARGINS_Y] * 2).unbind(1)
        room = (low + (high - low) * torch.rand(4)) * height
        sides = torch.cat([corners[:, :2].amin(0), corners[:, 2:].amax(0)])
        left, top, right, bottom = (sides + room * torch.tensor([-1, -1, 1, 1])).round().int().tolist()
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, image.shape[-1]), min(bottom, image.shape[-2])
        if right - left < 1 or bottom - top < 1:
            return image, boxes
        crop = tv_tensors.wrap(image[:, top:bottom, left:right].contiguous(), like=image)
        return crop, _boxes(corners - torch.tensor([left, top, left, top]), crop)


class RotateAndShift(torch.nn.Module):
    """Rotate a little and shift; what comes in is filled with the image's mean colour.

    A rotated digit does not fill the corners of its rotated box, so the upright box around those
    corners would be too large: the box of the rotated inscribed ellipse is taken.

    Args:
        max_degrees: Largest rotation to either side.
        max_shift: Largest shift, as a fraction of width and height.
    """

    def __init__(self, max_degrees: float, max_shift: float) -> None:
        super().__init__()
        self.max_degrees = max_degrees
        self.max_shift = max_shift

    def forward(self, image: tv_tensors.Image, boxes: tv_tensors.BoundingBoxes) -> Sample:
        """Return the moved image and boxes; boxes may leave the frame."""
        height, width = image.shape[-2:]
        angle, right, down = (2 * torch.rand(3, dtype=torch.float64) - 1).tolist()
        degrees = angle * self.max_degrees
        shift = [round(right * self.max_shift * width), round(down * self.max_shift * height)]
        fill = image.float().mean((1, 2)).tolist()
        moved = functional.affine(
            image, degrees, shift, 1.0, [0.0, 0.0], functional.InterpolationMode.BILINEAR, fill
        )
        return moved, _boxes(_rotate_ellipses(boxes, math.radians(degrees), shift, (height, width)), image)


def _rotate_ellipses(
    boxes: torch.Tensor, radians: float, shift: list[int], size_hw: tuple[int, int]
) -> torch.Tensor:
    """Turn boxes `[N, 4]` clockwise about the image's centre, then shift them (x, y)."""
    cos, sin = math.cos(radians), math.sin(radians)
    middle = torch.tensor([size_hw[1], size_hw[0]]) / 2
    corners = boxes.as_subclass(torch.Tensor)
    x, y = ((corners[:, :2] + corners[:, 2:]) / 2 - middle).unbind(1)
    centres = torch.stack([x * cos - y * sin, x * sin + y * cos], 1) + middle + torch.tensor(shift)
    half_w, half_h = ((corners[:, 2:] - corners[:, :2]) / 2).unbind(1)
    halves = torch.stack(
        [torch.hypot(half_w * cos, half_h * sin), torch.hypot(half_w * sin, half_h * cos)], 1
    )
    return torch.cat([centres - halves, centres + halves], 1)


def _boxes(corners: torch.Tensor, image: torch.Tensor) -> tv_tensors.BoundingBoxes:
    """Wrap boxes `[N, 4]` that may leave the image, so that no transform clips them."""
    height, width = image.shape[-2:]
    return tv_tensors.BoundingBoxes(
        corners,
        format=tv_tensors.BoundingBoxFormat.XYXY,
        canvas_size=(height, width),
        clamping_mode=None,
    )


@lru_cache(maxsize=256)
def build_augmentation(config: AugmentConfig, scale: float = 1.0) -> Transform:
    """Return the transform of a preset; it takes and returns (image, boxes).

    Boxes are not clipped and none are dropped: that is `keep_visible`.

    Args:
        config: The preset and its strengths.
        scale: Pixels of the given images for one of the original.
    """
    if config.preset == "none":
        return cast(Transform, v2.Identity())
    seed: list[Any] = [
        v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.5),
        v2.RandomApply(
            [v2.ColorJitter(hue=HUE_FRACTION, saturation=SATURATION_FRACTION, brightness=VALUE_FRACTION)],
            p=0.5,
        ),
        v2.RandomApply([Blur(3)], p=0.2),
        BlackSquare(0.3, scale),
    ]
    if config.preset == "seed":
        return cast(Transform, v2.Compose(seed))
    crop = [CropToNumber(config.crop_probability)] if config.crop_probability else []
    geometry: list[Any] = [
        *crop,
        ZoomOut(config.zoom_out_probability, config.max_zoom_out),
        RotateAndShift(config.max_rotation_degrees, config.max_shift),
    ]
    return cast(Transform, v2.Compose(seed + geometry))


def augment(
    transform: Transform, image: ImageArray, boxes: FloatArray, key: tuple[int, int, int]
) -> tuple[ImageArray, FloatArray]:
    """Augment one image; neither torch's generator nor anything else is changed by it.

    Args:
        transform: From `build_augmentation`, or a single one.
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` in its pixels.
        key: (seed, epoch, image id); the same key gives the same result.

    Returns:
        The image and its boxes `[N, 4]`, which may have left the frame.
    """
    pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1).contiguous())
    corners = _boxes(torch.from_numpy(boxes.astype(np.float32)).reshape(-1, 4), pixels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_seed(*key))
        pixels, corners = transform(pixels, corners)
    moved = corners.as_subclass(torch.Tensor).numpy().astype(np.float32)
    return pixels.permute(1, 2, 0).contiguous().numpy(), moved


def keep_visible(
    boxes: FloatArray, size_hw: tuple[int, int], min_visible: float = 0.4
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Clip boxes to the frame and drop those that are mostly outside.

    Args:
        boxes: float32 `[N, 4]`.
        size_hw: The frame.
        min_visible: Smallest fraction of a box's area that must be inside the frame.

    Returns:
        Boxes `[M, 4]`, each at least a pixel wide and high, and the mask `[N]` of those that stay.
    """
    inside = clip_boxes(boxes, size_hw)
    visible = box_areas(inside) >= min_visible * box_areas(boxes)
    keep = visible & ((inside[:, 2:] - inside[:, :2]) >= 1).all(1)
    return inside[keep], keep


def augment_sample(
    samples: Samples, i: int, image: ImageArray, config: AugmentConfig, seed: int, epoch: int
) -> tuple[ImageArray, FloatArray, IntArray]:
    """Augment one image of a training.

    Args:
        samples: The images of the training.
        i: The image's index there.
        image: Its pixels as stored, uint8 `[H, W, 3]`.
        config: The preset and its strengths.
        seed: The training's.
        epoch: With the seed and the image's id, it decides everything random.

    Returns:
        The image, its boxes `[N, 4]` in its pixels, within the frame, and their labels `[N]`.
    """
    transform = build_augmentation(config, float(samples.scale_hw(i).mean()))
    own = ~samples.crowd(i)
    key = (seed, epoch, int(samples.image_ids[i]))
    image, boxes = augment(transform, image, samples.stored_boxes(i)[own], key)
    boxes, keep = keep_visible(boxes, (image.shape[0], image.shape[1]))
    return image, boxes, samples.labels(i)[own][keep]


def random_seed(*key: int) -> int:
    """Return a seed of 63 bits that depends on every number of the key."""
    return int(np.random.SeedSequence([abs(part) for part in key]).generate_state(1, np.uint64)[0] >> 1)
