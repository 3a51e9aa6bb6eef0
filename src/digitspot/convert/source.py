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

_FOLDER_WORDS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "data", "txt", "yolo", ""}
    | {"labels", "label", "annotations", "annotation", "ann", "anns"}
)
"""Words in folder names that say what is inside, but not which split it is of."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"^(?:(?:digit|number|num|class)[ _-]?)?([0-9])(?:\.0*)?$", re.IGNORECASE)
_QUOTES = " \t\r\n'\"\u201c\u201d\u2018\u2019`"


class Notes(Counter[str]):
    """What was left out, repaired or assumed: each a plain phrase with its count and one example."""

    def __init__(self) -> None:
        super().__init__()
        self.examples: dict[str, str] = {}

    def add(self, what: str, example: str = "", count: int = 1) -> None:
        """Count something; the first example of it is kept for people to look at."""
        if count:
            self[what] += count
            if example:
                self.examples.setdefault(what, example)

    def merge(self, other: Notes) -> None:
        """Add what another reader noted."""
        self.update(other)
        self.examples = other.examples | self.examples

    def lines(self) -> list[str]:
        """Return one line for each note, such as "Boxes were cut to the frame: 3 (such as 7.png)"."""
        shown = {what: f" (such as {example})" for what, example in self.examples.items()}
        return [
            f"{what[0].upper()}{what[1:]}: {count:,}{shown.get(what, '')}" for what, count in self.items()
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceImage:
    """One labelled image as a foreign format describes it.

    Attributes:
        path: The image, or the first path that was tried.
        label_file: The file that describes it.
        names: What the label file calls the image, the surest name first.
        bases: Folders that the names may be relative to, the likeliest first.
        where: The label file and what in it, for messages.
        split: "train", "valid", "test", or None where the format does not say.
        boxes: float64 `[N, 4]`, x1 y1 x2 y2 in pixels, each with an area; they may leave the frame.
        digits: int64 `[N]`, 0 to 9.
        size_hw: (height, width) where the format states it.
        image_id: Where the format has one.
        crowd: bool `[N]`, COCO's `iscrowd`.
        is_relative: Whether boxes are fractions of the image, as in YOLO, until its size is known.
        tried: The paths that were tried, when none of them is there.
    """

    path: Path
    label_file: Path
    names: tuple[str, ...] = ()
    bases: tuple[Path, ...] = ()
    where: str
    split: str | None
    boxes: DoubleArray
    digits: IntArray
    size_hw: tuple[int, int] | None = None
    image_id: int | None = None
    crowd: npt.NDArray[np.bool_]
    is_relative: bool = False
    tried: tuple[Path, ...] = ()


@dataclass(kw_only=True)
class Collection:
    """What a reader found.

    Attributes:
        images: In the files' order.
        classes: Which class name or number was taken for which digit, for people to see.
        notes: What was left out or assumed, counted.
        used: The label files, class files and lists that were read.
        orphans: Label files whose image is not there, in formats that do not name the image.
    """

    images: list[SourceImage] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    used: set[Path] = field(default_factory=set)
    orphans: list[Path] = field(default_factory=list)

    def add(
        self,
        names: Path | Sequence[str],
        split: str | None,
        boxes: Sequence[Sequence[float]] | DoubleArray,
        digits: Sequence[int] | IntArray,
        where: str,
        *,
        label_file: Path,
        bases: Sequence[Path] = (),
        size_hw: tuple[int, int] | None = None,
        image_id: int | None = None,
        crowd: Sequence[bool] | None = None,
        is_relative: bool = False,
    ) -> None:
        """Add an image; boxes without an area are left out and counted.

        Args are those of `SourceImage`. `names` may be the image itself, `split` any name.

        Raises:
            DataError: A coordinate is not a finite number of pixels, or there are too many boxes.
        """
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        marks = np.zeros(len(corners), np.bool_) if crowd is None else np.array(crowd, np.bool_)
        check_count(len(corners), where)
        bad = np.flatnonzero(~(np.abs(corners) < _LIMIT).all(axis=1))
        if len(bad):
            shown = ", ".join(f"{value:g}" for value in corners[bad[0]])
            raise DataError(f"{where}: box {bad[0] + 1} has corners [{shown}]; they must be finite pixels")
        if len(splits_named(split or "")) > 1:
            self.notes.add("images are in a split of two names and count as images without a split", where)
        keep = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        self.notes.add("boxes have no area and were left out", where, int((~keep).sum()))
        self.images.append(
            SourceImage(
                path=names if isinstance(names, Path) else Path(names[0]),
                label_file=label_file,
                names=() if isinstance(names, Path) else tuple(names),
                bases=tuple(bases),
                where=where,
                split=split_name(split),
                boxes=corners[keep],
                digits=np.array(digits, np.int64)[keep],
                size_hw=size_hw,
                image_id=image_id,
                crowd=marks[keep],
                is_relative=is_relative,
            )
        )


def check_count(num: int, where: str) -> None:
    """Refuse an image with more boxes than any image has."""
    if num > MAX_BOXES:
        raise DataError(f"{where}: {num:,} boxes in one image; {MAX_BOXES:,} is the most")


def splits_named(name: str) -> set[str]:
    """Return every split that a file or folder name mentions.

    >>> sorted(splits_named("train_val")), splits_named("train2017"), splits_named("images")
    (['train', 'valid'], {'train'}, set())
    """
    words = re.findall(r"[a-z]+", name.lower().replace("trainval", "train val"))
    return {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}


def split_name(name: str | None) -> str | None:
    """Return our name of a split; a name that mentions two splits tells none.

    >>> split_name("val"), split_name("train2017"), split_name("mchar_test_a"), split_name("train_val")
    ('valid', 'train', 'test', None)
    """
    found = splits_named(name or "")
    return found.pop() if len(found) == 1 else None


def plain_folder(name: str) -> str:
    """Return a folder's name without what only says that images or labels are inside.

    >>> plain_folder("train_images"), plain_folder("Labels"), plain_folder("val2017"), plain_folder("door 7")
    ('train', '', 'valid', 'door 7')
    """
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word not in _FOLDER_WORDS]
    plain = " ".join(words)
    return SPLIT_NAMES.get(re.sub(r"\d+$", "", plain), plain)


def split_of_folders(folders: Iterable[str]) -> str | None:
    """Return the split that a path's folders name, the innermost first."""
    found = [plain for name in folders if (plain := plain_folder(name)) in SPLIT_NAMES.values()]
    return found[-1] if found else None


def digit_of(name: str) -> int | None:
    """Return the digit that a class name means, or None: the name decides, never its index in a list.

    >>> digit_of("7"), digit_of("seven"), digit_of("digit_7"), digit_of("7.0"), digit_of("10")
    (7, 7, 7, 7, None)
    """
    text = name.strip(_QUOTES).lower()
    if text in _WORDS:
        return _WORDS.index(text)
    match = _NAME.match(text)
    return int(match[1]) if match else None


class Classes:
    """The class names of a data set: those of digits, those to skip, and those that nobody expected.

    Args:
        skip: Class names whose boxes are left out.
        where: The file that names them, for messages.
    """

    def __init__(self, skip: Iterable[str], where: str) -> None:
        self.skip = frozenset(name.strip(_QUOTES) for name in skip)
        self.where = where
        self.used: dict[str, int] = {}

    def digit(self, name: str, where: str | None = None) -> int | None:
        """Return the digit of a box's class, or None where the class is to be skipped.

        Raises:
            DataError: The name means no digit.
        """
        name = name.strip(_QUOTES)
        if name in self.used:
            return self.used[name]
        if name in self.skip:
            return None
        digit = digit_of(name)
        if digit is None:
            ten = name in ("10", "10.0")
            raise DataError(
                f"{where or self.where}: class {name!r} is not a digit 0-9",
                hint='If 10 means the digit 0, as in SVHN, name the class "0" in the file.'
                if ten
                else f"`--skip {name}` leaves its boxes out; digits are named 0 to 9 or zero to nine.",
            )
        self.used[name] = digit
        return digit
