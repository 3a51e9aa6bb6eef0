"""Fresh augmentation: a function of (seed, epoch, image)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from digitspot.boxes import box_areas, clip_boxes
from digitspot.config import AugmentConfig
from digitspot.dataset.crops import crop_to_number
from digitspot.dataset.samples import Samples
from digitspot.dataset.transforms import (
    HUE_FRACTION,
    SATURATION_FRACTION,
    VALUE_FRACTION,
    BlackSquare,
    Blur,
    CropBesideNumber,
    LowResolution,
    RotateAndShift,
    Shrink,
    Stretch,
    Transform,
    ZoomOut,
    boxes_of,
)
from digitspot.types import FloatArray, ImageArray, IntArray

STRONG_SHEAR, STRONG_STRETCH, STRONG_SHRINK = 12.0, 1.15, 3.0
"""Degrees, and factors, of the preset `strong`."""


@lru_cache(maxsize=256)
def build_augmentation(
    config: AugmentConfig, scale: float = 1.0, largest: tuple[int, int] | None = None
) -> Transform:
    """Return the transform of a preset, but for its crop; it takes and returns (image, boxes).

    Boxes are not clipped and none are dropped: that is `keep_visible`.

    Args:
        config: The preset and its strengths.
        scale: Pixels of the given images for one of the original.
        largest: Shorter and longer side that photo and strong shrink larger images to; None shrinks none.
    """
    if config.preset == "none":
        return cast(Transform, v2.Identity())
    strong = config.preset == "strong"
    colours: list[Any] = [
        v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.5),
        v2.RandomApply(
            [v2.ColorJitter(hue=HUE_FRACTION, saturation=SATURATION_FRACTION, brightness=VALUE_FRACTION)],
            p=0.5,
        ),
        v2.RandomApply([Blur(3)], p=0.2),
    ]
    square = BlackSquare(0.1 if strong else 0.3, scale)
    if config.preset == "seed":
        return cast(Transform, v2.Compose([*colours, square]))
    cut: list[Any] = [square]  # in pixels of the original, so before it is shrunk
    if strong:
        cut.append(CropBesideNumber(0.06))
    if largest is not None:
        cut.append(Shrink(*largest))
    zoom = ZoomOut(config.zoom_out_probability, config.max_zoom_out)
    move = RotateAndShift(config.max_rotation_degrees, config.max_shift, STRONG_SHEAR if strong else 0.0)
    if not strong:
        return cast(Transform, v2.Compose([*cut, *colours, zoom, move]))
    steps = [*cut, *colours, *_strong_colours(), Stretch(STRONG_STRETCH), zoom, move]
    return cast(Transform, v2.Compose([*steps, *_strong_losses()]))


def _strong_colours() -> list[Any]:
    """Return changes that leave a digit the same digit; inversion and contrast are what AutoAugment chose for
    SVHN (Cubuk et al. 2019).
    """
    return [
        v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.5)], p=0.3),
        v2.RandomInvert(p=0.3),
        v2.RandomApply([v2.RandomChannelPermutation()], p=0.2),
        v2.RandomGrayscale(p=0.1),
        v2.RandomAutocontrast(p=0.1),
        v2.RandomEqualize(p=0.05),
    ]


def _strong_losses() -> list[Any]:
    """Return what a bad photograph loses."""
    return [
        v2.RandomApply([LowResolution(STRONG_SHRINK)], p=0.3),
        v2.RandomApply([v2.GaussianNoise(0.0, 0.04)], p=0.15),
        v2.RandomApply([v2.JPEG((25, 90))], p=0.2),
    ]


def crop_probability(config: AugmentConfig) -> float:
    """Return the fraction of images that a preset crops around their number, before anything else."""
    return config.crop_probability if config.preset in ("photo", "strong") else 0.0


def augment(
    transform: Transform,
    image: ImageArray,
    boxes: FloatArray,
    key: tuple[int, int, int],
    crop: float = 0.0,
) -> tuple[ImageArray, FloatArray]:
    """Augment one image; neither torch's generator nor anything else is changed by it.

    Args:
        transform: From `build_augmentation`, or a single one.
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` in its pixels.
        key: (seed, epoch, image id); the same key gives the same result.
        crop: Probability of a crop around the number, before all else.

    Returns:
        The image and its boxes `[N, 4]`, which may have left the frame.
    """
    if crop:
        image, boxes = crop_to_number(image, boxes, crop, key)
    pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1).contiguous())
    corners = boxes_of(torch.from_numpy(boxes.astype(np.float32)).reshape(-1, 4), pixels)
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
    samples: Samples,
    i: int,
    image: ImageArray,
    config: AugmentConfig,
    seed: int,
    epoch: int,
    largest: tuple[int, int] | None = None,
) -> tuple[ImageArray, FloatArray, IntArray]:
    """Augment one image of a training.

    Args:
        samples: The images of the training.
        i: The image's index there.
        image: Its pixels as stored, uint8 `[H, W, 3]`.
        config: The preset and its strengths.
        seed: The training's.
        epoch: With the seed and the image's id, it decides everything random.
        largest: Of `build_augmentation`.

    Returns:
        The image, its boxes `[N, 4]` in its pixels, within the frame, and their labels `[N]`.
    """
    transform = build_augmentation(config, float(samples.scale_hw(i).mean()), largest)
    own = ~samples.crowd(i)
    key = (seed, epoch, int(samples.image_ids[i]))
    image, boxes = augment(transform, image, samples.stored_boxes(i)[own], key, crop_probability(config))
    boxes, keep = keep_visible(boxes, (image.shape[0], image.shape[1]))
    return image, boxes, samples.labels(i)[own][keep]


def random_seed(*key: int) -> int:
    """Return a seed of 63 bits that depends on every number of the key."""
    return int(np.random.SeedSequence([abs(part) for part in key]).generate_state(1, np.uint64)[0] >> 1)
