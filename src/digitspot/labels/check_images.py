"""Findings on the images of a data set: what cannot be read, wrong sizes, and images that repeat others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from digitspot.errors import DataError
from digitspot.images import decode_image
from digitspot.labels.repeats import Fingerprint, Progress, Repeat, find_repeats, fingerprint
from digitspot.labels.rules import Finding, size_problem
from digitspot.progress import tracking


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image to check.

    Attributes:
        split: The index of its split.
        path: The file.
        size_hw: (height, width) that the labels state; None without labels.
        number: What its labels read from left to right; "" where no box is on it, None without labels.
    """

    split: int
    path: Path
    size_hw: tuple[int, int] | None = None
    number: str | None = None


def check_images(
    files: Sequence[ImageFile], progress: Progress | None = None, workers: int | None = None
) -> list[tuple[int, Finding]]:
    """Decode images and compare them with their labels and with each other.

    Args:
        files: Of all splits, the training images first.
        progress: Called in this thread after each image.
        workers: Threads that decode; as many as cores where None.

    Returns:
        (index of the split, finding); of a pair of repeats the finding is on the later one.
    """
    findings: list[tuple[int, Finding]] = []
    seen: list[tuple[ImageFile, Fingerprint]] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:  # Pillow decodes without the GIL
        for done, (file, result) in enumerate(zip(files, pool.map(_look_at, files), strict=True), 1):
            if isinstance(result, Finding):
                findings.append((file.split, result))
            else:
                seen.append((file, result))
            if progress is not None:
                progress(done, len(files))
    with tracking("comparing", "step") as show:
        repeats = find_repeats([each for _, each in seen], show)
    repeats.sort(key=lambda repeat: -repeat.similarity)
    for repeat in repeats:
        later = seen[repeat.second][0]
        findings.append((later.split, _repeat_finding(later, seen[repeat.first][0], repeat)))
    return findings


def _look_at(file: ImageFile) -> Finding | Fingerprint:
    """Decode an image; say what is wrong with it, or that its size is not the label file's."""
    try:
        image = decode_image(file.path)
    except DataError as error:
        kind = "unreadable images" if file.path.exists() else "missing images"
        return Finding(kind, "error", str(file.path), str(error).removeprefix(f"{file.path}: "))
    problem = size_problem(image.shape[:2], file.size_hw, file.path) if file.size_hw else None
    if problem:
        return Finding("sizes unlike the image", "error", str(file.path), problem)
    return fingerprint(image)


def _repeat_finding(image: ImageFile, other: ImageFile, repeat: Repeat) -> Finding:
    kind = "repeated images" if repeat.exact else "near-repeated images"
    if image.split != other.split:
        kind += " across splits"
    name = f"{other.path.parent.name}/{other.path.name}"
    text = f"has the same pixels as {name}" if repeat.exact else f"shows the same as {name}"
    text += "" if repeat.exact else f" (similarity {repeat.similarity:.3f})"
    if None not in (image.number, other.number) and image.number != other.number:
        text += f"; labelled {image.number or 'none'} here and {other.number or 'none'} there"
    return Finding(kind, "warning", str(image.path), text)
