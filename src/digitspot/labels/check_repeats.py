"""Findings on images that repeat others: leaks between splits, and copies that are labelled differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digitspot.labels.repeats import Fingerprint, Progress, Repeat, find_repeats
from digitspot.labels.rules import Finding


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image that was decoded.

    Attributes:
        split: Place of its split.
        path: The file.
        number: What its labels read from left to right; "" where no box is on it, None without labels.
        print: To compare it by.
    """

    split: int
    path: Path
    number: str | None
    print: Fingerprint


def repeat_findings(
    images: Sequence[SeenImage], progress: Progress | None = None
) -> list[tuple[int, Finding]]:
    """Find the images that repeat others.

    Args:
        images: Of all splits, the training images first.
        progress: Told how far the comparison is.

    Returns:
        (place of the split, finding) on the later one of each pair, the most alike first.
    """
    repeats = find_repeats([image.print for image in images], progress)
    repeats.sort(key=lambda repeat: -repeat.similarity)
    return [_finding(images[repeat.second], images[repeat.first], repeat) for repeat in repeats]


def _finding(image: SeenImage, other: SeenImage, repeat: Repeat) -> tuple[int, Finding]:
    kind = "repeated images" if repeat.exact else "near-repeated images"
    if image.split != other.split:
        kind += " across splits"
    place = f"{other.path.parent.name}/{other.path.name}"
    text = f"is {place}, pixel by pixel" if repeat.exact else f"shows what {place} shows"
    text += "" if repeat.exact else f" (alike to {repeat.similarity:.3f})"
    if None not in (image.number, other.number) and image.number != other.number:
        text += f"; labelled {image.number or 'none'} here and {other.number or 'none'} there"
    return image.split, Finding(kind, "warning", str(image.path), text)
