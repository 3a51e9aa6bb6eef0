"""One image once: entries of several label files, or of several lists, that describe the same image."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from digitspot.convert.source import Notes, SourceImage
from digitspot.errors import DataError

TWICE = "entries repeat an image with the same labels and were left out"


def each_once(images: Sequence[SourceImage], notes: Notes, *, resplit: bool) -> list[SourceImage]:
    """Keep one entry of every image; an entry with a split counts more than one without.

    Args:
        images: Entries of all label files.
        notes: Told what was left out.
        resplit: Whether splits do not matter.

    Raises:
        DataError: Two entries of an image disagree about its boxes or its split.
    """
    kept: dict[Path, SourceImage] = {}
    for image in images:
        first = kept.setdefault(image.path, image)
        if first is image:
            continue
        if not _same(first, image):
            raise DataError(
                f"{image.path}: {first.where} and {image.where} give it different labels",
                hint="Remove the label file that is wrong or out of date, or convert one of them alone.",
            )
        splits = {each.split for each in (first, image)} - {None}
        if len(splits) > 1 and not resplit:
            raise DataError(
                f"{image.path}: is in {first.split} by {first.where} and in {image.split} by {image.where}",
                hint="Remove it from one of them, or let --resplit divide all images anew.",
            )
        notes.add(TWICE, image.where)
        kept[image.path] = replace(first, split=first.split or image.split)
    return _without_copies(list(kept.values()), notes)


def _without_copies(images: list[SourceImage], notes: Notes) -> list[SourceImage]:
    """Leave out images without a split whose copy, with the same labels and name, is in a split."""
    in_split = {image.path.name: image for image in images if image.split}
    kept = []
    for image in images:
        other = in_split.get(image.path.name)
        if image.split is None and other is not None and _is_copy(image, other):
            notes.add("images without a split are copies of one in a split and were left out", image.where)
        else:
            kept.append(image)
    return kept


def _is_copy(image: SourceImage, other: SourceImage) -> bool:
    if image.tried or other.tried or not _same(image, other):
        return False
    return filecmp.cmp(image.path, other.path, shallow=False)


def _same(first: SourceImage, other: SourceImage) -> bool:
    """Say whether two entries have the same boxes, in any order, to a hundredth of a pixel."""
    return np.array_equal(_rows(first), _rows(other))


def _rows(image: SourceImage) -> np.ndarray:
    rows = np.column_stack([image.digits, image.crowd, image.boxes.round(2)])
    return rows[np.lexsort(rows.T)]
