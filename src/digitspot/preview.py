"""Labelled images to look at, and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.config import AugmentConfig
from digitspot.evaluation.suspicions import Suspect
from digitspot.images import decode_image
from digitspot.labels.labels import LabelledImage, LabelSet
from digitspot.overlays import column_width, contact_sheets, draw_labels
from digitspot.types import FloatArray, ImageArray, IntArray

Progress = Callable[[int, int], None]
View = tuple[ImageArray, FloatArray, IntArray]
"""An image, its boxes and their labels."""


def choose_images(labels: LabelSet, num: int, seed: int) -> list[LabelledImage]:
    """Choose images at random, in the file's order."""
    rows = np.random.default_rng(seed).permutation(len(labels))[:num]
    return [labels.images[row] for row in sorted(rows.tolist())]


def preview_sheets(
    images: Sequence[LabelledImage], images_dir: Path, columns: int, progress: Progress
) -> list[Image.Image]:
    """Draw images with their boxes, numbers and file names.

    Raises:
        ConfigError: Too many columns.
        DataError: An image cannot be decoded.
    """
    drawn, width = [], column_width(columns)
    for image in images:
        view = (decode_image(images_dir / image.file_name), image.boxes, image.labels)
        drawn.append(draw_labels(*view, image.number, image.file_name, width=width))
        progress(len(drawn), len(images))
    return contact_sheets(drawn, columns)


def suspect_sheets(
    suspects: Sequence[Suspect], images_dir: Path, columns: int, progress: Progress
) -> list[Image.Image]:
    """Draw images whose labels may be wrong: labels, those in doubt in orange, what was predicted in white.

    Raises:
        DataError: An image cannot be decoded.
    """
    drawn, width = [], column_width(columns)
    for rank, suspect in enumerate(suspects, 1):
        image = suspect.image
        doubts = [(each.labelled_box, each.predicted, each.predicted_box) for each in suspect.suspicions]
        kind = suspect.suspicions[0].kind if suspect.suspicions else "nothing in particular"
        note = f"{rank}: {image.file_name}, {kind}, {suspect.probability:.2f}"
        pixels = decode_image(images_dir / image.file_name)
        drawn.append(draw_labels(pixels, image.boxes, image.labels, image.number, note, doubts, width))
        progress(rank, len(suspects))
    return contact_sheets(drawn, columns)


def augmentation_sheets(
    images: Sequence[LabelledImage],
    images_dir: Path,
    config: AugmentConfig,
    num_epochs: int,
    seed: int,
    progress: Progress,
) -> list[Image.Image]:
    """Draw each image as it is and, beside it, as a training with this seed sees it in its first epochs.

    Raises:
        ConfigError: Too many epochs to stand in a row.
        DataError: An image cannot be decoded.
    """
    drawn, width = [], column_width(num_epochs + 1)
    for number, image in enumerate(images, 1):
        pixels = decode_image(images_dir / image.file_name)
        own = (image.boxes, image.labels, image.number, image.file_name)
        drawn.append(draw_labels(pixels, *own, width=width))
        for epoch in range(num_epochs):
            view = _augmented(pixels, image, config, seed, epoch)
            drawn.append(draw_labels(*view, image.number, f"epoch {epoch + 1}", width=width))
        progress(number, len(images))
    return contact_sheets(drawn, num_epochs + 1)


def _augmented(
    pixels: ImageArray, image: LabelledImage, config: AugmentConfig, seed: int, epoch: int
) -> View:
    from digitspot.dataset.augment import (  # needs torch
        augment,
        build_augmentation,
        crop_probability,
        keep_visible,
    )

    own = ~image.crowd
    key = (seed, epoch, image.image_id)
    changed, boxes = augment(
        build_augmentation(config), pixels, image.boxes[own], key, crop_probability(config)
    )
    boxes, keep = keep_visible(boxes, (changed.shape[0], changed.shape[1]))
    # At the image's own size: a view that shows more is shrunk before the network sees it.
    (height, width), (old_height, old_width) = changed.shape[:2], pixels.shape[:2]
    scale = np.array([old_width / width, old_height / height] * 2, np.float32)
    resized = Image.fromarray(changed).resize((old_width, old_height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8), boxes * scale, image.labels[own][keep]
