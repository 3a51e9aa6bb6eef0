"""What the images themselves say about their labels: sizes, EXIF turns, boxes in fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from digitspot.convert.source import Notes, SourceImage
from digitspot.cores import num_cores
from digitspot.errors import DataError
from digitspot.images import exif_orientation, image_size
from digitspot.labels.rules import size_problem
from digitspot.progress import tracking
from digitspot.types import DoubleArray

ExifBoxes = Literal["upright", "stored"]
"""Which pixels boxes are drawn on, of an image that a viewer turns by its EXIF orientation."""

_SLACK = 1.0
"""Pixels by which a box may leave its frame and still count as drawn on it."""
_NUM_NAMED = 5


Size = tuple[int, int]
"""(height, width)."""


def fit_to_images(images: Sequence[SourceImage], exif_boxes: ExifBoxes, notes: Notes) -> list[SourceImage]:
    """Bring sizes and boxes in line with the images; an image that is missing keeps what its labels say.

    Args:
        images: Entries of the labels.
        exif_boxes: Which pixels boxes are drawn on.
        notes: Told what was repaired.

    Raises:
        DataError: Sizes differ from the images in a way that cannot be repaired without guessing.
    """
    sizes = _read_sizes(images, notes)
    fractions = _files_of_fractions(images)
    fitted, wrong, turned = [], [], []
    for image, size_hw in zip(images, sizes, strict=True):
        if size_hw is None:
            fitted.append(image if image.size_hw else replace(image, size_hw=_extent(image)))
            continue
        is_same = image.size_hw in (None, size_hw)
        orientation = 1 if is_same and exif_boxes == "upright" else exif_orientation(image.path)
        is_stored = orientation != 1 and _on_stored(image, size_hw, orientation, exif_boxes)
        frame_hw = _stored(size_hw, orientation) if is_stored else size_hw
        if image.is_relative or _source(image) in fractions:
            image = _in_pixels(image, frame_hw, notes)
        if is_stored:
            if exif_boxes == "upright":
                turned.append(f"{image.path}: {size_problem(size_hw, frame_hw)}")
            notes.add("images are turned by EXIF; their boxes were turned with them", str(image.path))
            image = replace(image, boxes=turn_boxes(image.boxes, orientation, frame_hw))
        elif problem := _size_problem(image, size_hw, notes):
            wrong.append(f"{image.path}: {problem}")
        fitted.append(replace(image, size_hw=size_hw))
    _raise_turned(turned)
    if wrong:
        raise DataError(
            f"{len(wrong):,} images are not of the size that their labels state:\n{_named(wrong)}",
            hint="Their boxes were drawn on other images. Use the images that were labelled.",
        )
    return fitted


def _read_sizes(images: Sequence[SourceImage], notes: Notes) -> list[Size | None]:
    """Return the (height, width) of every image that is there, from its header."""

    def read(image: SourceImage) -> Size | DataError | None:
        try:
            return None if image.tried else image_size(image.path)
        except DataError as error:
            return error

    sizes: list[Size | None] = []
    with tracking("reading sizes") as show, ThreadPoolExecutor(num_cores()) as pool:
        for image, found in zip(images, pool.map(read, images), strict=True):
            if isinstance(found, DataError):
                if image.size_hw is None:
                    raise found
                notes.add("images cannot be read and keep the size that their labels state", str(image.path))
            sizes.append(None if isinstance(found, DataError) else found)
            show(len(sizes), len(images))
    return sizes


def _stored(size_hw: Size, orientation: int) -> Size:
    """Return the (height, width) of the pixels as they are stored."""
    return (size_hw[1], size_hw[0]) if orientation >= 5 else size_hw


def _raise_turned(turned: list[str]) -> None:
    if turned:
        raise DataError(
            f"{len(turned):,} images have an EXIF orientation, and their labels are of the pixels before the "
            f"turn:\n{_named(turned)}",
            hint="`digitspot data convert SOURCE OUT --exif-boxes stored` turns their boxes with them.",
        )


def _named(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines[:_NUM_NAMED])


def _on_stored(image: SourceImage, size_hw: Size, orientation: int, exif_boxes: ExifBoxes) -> bool:
    """Say whether the boxes of an image that EXIF turns are drawn on the stored pixels.

    A stated size tells where the turn changes it; for the others it is as the user says.
    """
    stored_hw = _stored(size_hw, orientation)
    if image.size_hw is None or stored_hw == size_hw:
        return exif_boxes == "stored"
    return image.size_hw == stored_hw


def _size_problem(image: SourceImage, size_hw: Size, notes: Notes) -> str | None:
    """Say that the stated size is another one; swapped sides are noted where the boxes fit the image."""
    if image.size_hw is None or image.size_hw == size_hw:
        return None
    height, width = size_hw
    corners = image.boxes
    fits = (corners >= -_SLACK).all() and (corners <= np.array([width, height] * 2) + _SLACK).all()
    if image.size_hw == (width, height) and fits:
        notes.add("images had width and height swapped in their labels", str(image.path))
        return None
    return size_problem(size_hw, image.size_hw)


def _files_of_fractions(images: Sequence[SourceImage]) -> set[Path]:
    """Return the label files whose every box lies within 0 to 1: fractions, where pixels should stand.

    XML files, which have an image each, are judged together.
    """
    largest: dict[Path, float] = {}
    for image in images:
        if len(image.boxes) and not image.is_relative:
            most = float(np.abs(image.boxes).max())
            source = _source(image)
            largest[source] = max(largest.get(source, 0), most)
    return {path for path, most in largest.items() if most <= 1}


def _source(image: SourceImage) -> Path:
    """Return the label file, or the folder of its kind."""
    return image.label_file.parent if image.label_file.suffix.lower() == ".xml" else image.label_file


def _in_pixels(image: SourceImage, frame_hw: Size, notes: Notes) -> SourceImage:
    """Multiply boxes by the size of the frame that they are fractions of."""
    if not image.is_relative:
        notes.add("boxes were fractions of their image and are pixels now", image.where, len(image.boxes))
    height, width = frame_hw
    return replace(image, boxes=image.boxes * [width, height, width, height], is_relative=False)


def _extent(image: SourceImage) -> Size:
    """Return the (height, width) that just holds the boxes."""
    right, bottom = image.boxes[:, 2:].max(axis=0, initial=1).tolist()
    return math.ceil(bottom), math.ceil(right)


def turn_boxes(boxes: DoubleArray, orientation: int, stored_hw: Size) -> DoubleArray:
    """Turn boxes as EXIF turns their image (EXIF 2.32, table 4, tag 274).

    Args:
        boxes: float64 `[N, 4]`, x1 y1 x2 y2 on the stored pixels.
        orientation: 1 to 8.
        stored_hw: (height, width) of the stored pixels.

    >>> turn_boxes(np.array([[0.0, 0.0, 2.0, 1.0]]), 6, (10, 20)).tolist()
    [[9.0, 0.0, 10.0, 2.0]]
    """
    height, width = stored_hw
    x1, y1, x2, y2 = boxes.T
    if orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    if orientation >= 5:
        x1, y1, x2, y2 = y1, x1, y2, x2
    return np.stack([x1, y1, x2, y2], axis=1)
