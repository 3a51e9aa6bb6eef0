"""Findings on pictures that repeat others: leaks between splits, and copies that are labelled differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digitspot.data.repeats import Fingerprint, Progress, Repeat, find_repeats
from digitspot.data.rules import Finding


@dataclass(frozen=True, kw_only=True)
class SeenPicture:
    """A picture that was decoded.

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
    pictures: Sequence[SeenPicture], progress: Progress | None = None
) -> list[tuple[int, Finding]]:
    """Find the pictures that repeat others.

    Args:
        pictures: Of all splits, the training pictures first.
        progress: Told how far the comparison is.

    Returns:
        (place of the split, finding) on the later one of each pair, the most alike first.
    """
    repeats = find_repeats([picture.print for picture in pictures], progress)
    repeats.sort(key=lambda repeat: -repeat.similarity)
    return [_finding(pictures[repeat.second], pictures[repeat.first], repeat) for repeat in repeats]


def _finding(picture: SeenPicture, other: SeenPicture, repeat: Repeat) -> tuple[int, Finding]:
    kind = "repeated pictures" if repeat.exact else "near-repeated pictures"
    if picture.split != other.split:
        kind += " across splits"
    place = f"{other.path.parent.name}/{other.path.name}"
    text = f"is {place}, pixel by pixel" if repeat.exact else f"shows what {place} shows"
    text += "" if repeat.exact else f" (alike to {repeat.similarity:.3f})"
    if None not in (picture.number, other.number) and picture.number != other.number:
        text += f"; labelled {picture.number or 'none'} here and {other.number or 'none'} there"
    return picture.split, Finding(kind, "warning", str(picture.path), text)
