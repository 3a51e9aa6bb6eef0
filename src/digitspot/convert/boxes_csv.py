"""Boxes as CSV: a row for each box, the columns told by their names.

| what | columns, any of |
| --- | --- |
| image | `file_name`, `filename`, `image`, `image_path`, `path` |
| digit | `class`, `label`, `digit`, `name`, `digitlabel` |
| corners | `xmin, ymin, xmax, ymax` or `x1, y1, x2, y2`: then `width` and `height` are the image's |
| or corner and size | `left, top, width, height`, `x, y, width, height` or `x, y, w, h` |
| split | `split`, `subset`, `set`; may be absent |

A row with empty digit and box names an image without digits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from digitspot.convert.source import Classes, Collection, Progress, inner_path
from digitspot.errors import DataError

_IMAGE = ("file_name", "filename", "image", "image_path", "path")
_CLASS = ("class", "label", "digit", "name", "digitlabel")
_SPLIT = ("split", "subset", "set")
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIZED = (("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))


class _Columns:
    """Which column is what, from the header."""

    def __init__(self, header: list[str]) -> None:
        places = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
        self.image = next((places[name] for name in _IMAGE if name in places), None)
        self.label = next((places[name] for name in _CLASS if name in places), None)
        self.split = next((places[name] for name in _SPLIT if name in places), None)
        corners = next((names for names in _CORNERS if set(names) <= places.keys()), None)
        sized = next((names for names in _SIZED if set(names) <= places.keys()), None)
        names = corners or sized
        self.has_corners = corners is not None
        self.box = [places[name] for name in names] if names else None
        both = corners is not None and {"width", "height"} <= places.keys()
        self.size = [places["height"], places["width"]] if both else None

    @property
    def known(self) -> bool:
        return self.image is not None and self.label is not None and self.box is not None


def is_boxes_csv(path: Path) -> bool:
    """Say whether the first line of a file names the columns that are needed."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _Columns(next(csv.reader([file.readline(65536)]), [])).known
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_csv(paths: Iterable[Path], folder: Path, skip: Iterable[str], progress: Progress) -> Collection:
    """Read CSV files of boxes; paths are relative to the file, to `images/`, or to the file's stem.

    Args:
        paths: The files.
        folder: The data set, for the splits that its folders name.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A column is missing, a value is no number, a class no digit, or a path leads out.
    """
    collection, files = Collection(), sorted(paths)
    classes = Classes(skip, str(folder))
    for number, path in enumerate(files, 1):
        _read_file(collection, path, classes)
        progress(number, len(files))
    collection.classes = classes.used
    return collection


def _read_file(collection: Collection, path: Path, classes: Classes) -> None:
    images: dict[str, _Image] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            columns = _Columns(next(rows, []))
            if not columns.known:
                raise DataError(
                    f"{path}: the first line does not name image, digit and box",
                    hint="Such as file_name,label,left,top,width,height or filename,class,x1,y1,x2,y2.",
                )
            for row in rows:
                if row:
                    _read_row(images, row, columns, classes, f"{path}: line {rows.line_num}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    by_folder = path.parent.name if path.stem.startswith("_") else path.stem
    for name, image in images.items():
        place = f"{path}: {name[:60]!r}"
        bases = [path.parent, path.parent / "images", path.with_suffix("")]
        found = [inner_path(base, name, place) for base in bases]
        there = next((candidate for candidate in found if candidate.is_file()), found[0])
        split = image.split or by_folder
        collection.add(there, split, image.boxes, image.digits, place, size_hw=image.size_hw)


class _Image:
    """The rows of one image."""

    def __init__(self, split: str | None, size_hw: tuple[int, int] | None) -> None:
        self.split, self.size_hw = split, size_hw
        self.boxes: list[list[float]] = []
        self.digits: list[int] = []


def _read_row(
    images: dict[str, _Image], row: list[str], columns: _Columns, classes: Classes, place: str
) -> None:
    assert columns.image is not None
    assert columns.label is not None
    assert columns.box is not None
    wanted = [columns.image, columns.label, *columns.box, *(columns.size or [])]
    if len(row) <= max(wanted):
        raise DataError(f"{place}: has {len(row)} values, {max(wanted) + 1} are needed")
    name, label = row[columns.image].strip(), row[columns.label].strip()
    split = row[columns.split].strip() if columns.split is not None and len(row) > columns.split else None
    size = [_number(row[index], place) for index in columns.size or [] if row[index].strip()]
    size_hw = (int(size[0]), int(size[1])) if len(size) == 2 and min(size) >= 1 else None
    image = images.setdefault(name, _Image(split or None, size_hw))
    cells = [row[index].strip() for index in columns.box]
    if not label and not any(cells):
        return
    digit = classes.digit(label, place)
    x, y, third, fourth = (_number(cell, place) for cell in cells)
    if digit is not None:
        image.digits.append(digit)
        image.boxes.append([x, y, third, fourth] if columns.has_corners else [x, y, x + third, y + fourth])


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"{place}: {text[:40]!r} is not a number") from error
    if not abs(value) < 1e9:
        raise DataError(f"{place}: {text[:40]!r} is no number of pixels")
    return value
