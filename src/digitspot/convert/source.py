"""What every reader of a foreign label format returns, and the rules that all of them keep."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path
from digitspot.types import DoubleArray, IntArray

Progress = Callable[[int, int], None]
"""Called with what is done and its total."""

MAX_BOXES = 10_000
"""Of one image; more is a damaged or hostile file."""

_LIMIT = 1e9
"""Larger coordinates, in pixels, are a mistake."""

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What others call our splits; another name is one of training images ("extra", "train2017")."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"^(?:(?:digit|number|num|class)[ _-]?)?([0-9])$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceImage:
    """One labelled image as a foreign format describes it.

    Attributes:
        path: The image, which may be missing.
        split: "train", "valid", "test", or None where the format does not say.
        boxes: float64 `[N, 4]`, x1 y1 x2 y2 in pixels, each with an area; they may leave the frame.
        digits: int64 `[N]`, 0 to 9.
        size_hw: (height, width) where the format states it.
        image_id: Where the format has one.
        crowd: bool `[N]`, COCO's `iscrowd`.
    """

    path: Path
    split: str | None
    boxes: DoubleArray
    digits: IntArray
    size_hw: tuple[int, int] | None = None
    image_id: int | None = None
    crowd: npt.NDArray[np.bool_]


@dataclass(kw_only=True)
class Collection:
    """What a reader found.

    Attributes:
        images: In the files' order.
        classes: Which class name or number was taken for which digit, for people to see.
        notes: What was left out or assumed, counted.
    """

    images: list[SourceImage] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        path: Path,
        split: str | None,
        boxes: Sequence[Sequence[float]] | DoubleArray,
        digits: Sequence[int] | IntArray,
        place: str,
        *,
        size_hw: tuple[int, int] | None = None,
        image_id: int | None = None,
        crowd: Sequence[bool] | None = None,
    ) -> None:
        """Add an image; boxes without an area are left out and counted.

        Args:
            path: See `SourceImage`, as the others.
            split: Any name, see `split_name`.
            boxes: `[N, 4]`, x1 y1 x2 y2.
            digits: `[N]`.
            place: The file and what in it, for messages.
            size_hw: (height, width).
            image_id: The file's.
            crowd: `[N]`.

        Raises:
            DataError: A coordinate is not a finite number of pixels, or there are too many boxes.
        """
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        marks = np.zeros(len(corners), np.bool_) if crowd is None else np.array(crowd, np.bool_)
        check_count(len(corners), place)
        bad = np.flatnonzero(~(np.abs(corners) < _LIMIT).all(axis=1))
        if len(bad):
            shown = ", ".join(f"{value:g}" for value in corners[bad[0]])
            raise DataError(f"{place}: box {bad[0] + 1} has corners [{shown}]; they must be finite pixels")
        keep = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        if not keep.all():
            self.notes["boxes without area, left out"] += int((~keep).sum())
        self.images.append(
            SourceImage(
                path=path,
                split=split_name(split),
                boxes=corners[keep],
                digits=np.array(digits, np.int64)[keep],
                size_hw=size_hw,
                image_id=image_id,
                crowd=marks[keep],
            )
        )


def check_count(num: int, place: str) -> None:
    """Refuse an image with more boxes than any image has."""
    if num > MAX_BOXES:
        raise DataError(f"{place}: {num:,} boxes in one image; {MAX_BOXES:,} is the most")


def split_name(name: str | None) -> str | None:
    """Return our name of a split.

    >>> split_name("val"), split_name("train2017"), split_name("mchar_test_a"), split_name(None)
    ('valid', 'train', 'test', None)
    """
    if name is None:
        return None
    parts = re.findall(r"[a-z]+", name.lower())
    found = [SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES]
    return found[-1] if found else None


def digit_of(name: str) -> int | None:
    """Return the digit that a class name means, or None: the name decides, never its place in a list.

    >>> digit_of("7"), digit_of("seven"), digit_of("digit_7"), digit_of("10"), digit_of("plate")
    (7, 7, 7, None, None)
    """
    text = name.strip().lower()
    if text in _WORDS:
        return _WORDS.index(text)
    match = _NAME.match(text)
    return int(match[1]) if match else None


class Classes:
    """The class names of a data set: those of digits, those to skip, and those that nobody expected.

    Args:
        skip: Class names whose boxes are left out.
        place: The file that names them, for messages.
    """

    def __init__(self, skip: Iterable[str], place: str) -> None:
        self.skip = frozenset(name.strip() for name in skip)
        self.place = place
        self.used: dict[str, int] = {}

    def digit(self, name: str, place: str | None = None) -> int | None:
        """Return the digit of a box's class, or None where the class is to be skipped.

        Raises:
            DataError: The name means no digit.
        """
        name = name.strip()
        if name in self.used:
            return self.used[name]
        if name in self.skip:
            return None
        digit = digit_of(name)
        if digit is None:
            ten = name == "10"
            raise DataError(
                f"{place or self.place}: class {name!r} is not a digit 0-9",
                hint='If 10 means the digit 0, as in SVHN, name the class "0" in the file.'
                if ten
                else f"`--skip {name}` leaves its boxes out; digits are named 0 to 9 or zero to nine.",
            )
        self.used[name] = digit
        return digit


def inner_path(folder: Path, name: str, place: str) -> Path:
    """Join a path that a label file names to a folder, which it must not leave.

    Args:
        folder: Where it is relative to.
        name: As the file has it; backslashes of Windows count as slashes.
        place: The file and what in it, for messages.

    Raises:
        DataError: The path is absolute, leads out of the folder, or is empty.
    """
    if not is_inner_path(name):
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        raise DataError(
            f"{place}: {shown!r} leads out of {folder}",
            hint="Paths must be relative and stay inside the data set's folder.",
        )
    return folder / name.replace("\\", "/")
