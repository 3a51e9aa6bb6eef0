"""Boxes as CSV: a row for each box, the columns told by their names.

| what | columns, any of |
| --- | --- |
| image | `file_name`, `filename`, `image`, `image_name`, `image_path`, `path`, `file` |
| digit | `class`, `label`, `digit`, `name`, `class_name`, `digitlabel` |
| corners | `xmin, ymin, xmax, ymax` or `x1, y1, x2, y2`: then `width` and `height` are the image's |
| or corner and size | `left, top, width, height`, `x, y, width, height` or `x, y, w, h` |
| split | `split`, `subset`, `set`; may be absent |

Columns are divided by commas, semicolons, tabs or bars. With semicolons and tabs "12,5" is 12.5, as Excel
writes it in most of Europe. A row with empty digit and box names an image without digits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from digitspot.convert.files import SourceFiles, likely_folders, read_text, split_of_file
from digitspot.convert.source import Classes, Collection, Progress
from digitspot.errors import DataError

SUFFIXES = (".csv", ".tsv", ".txt")
_MAX_BYTES = 1 << 30
_IMAGE = ("file_name", "filename", "image", "image_name", "image_path", "path", "file")
_CLASS = ("class", "label", "digit", "name", "class_name", "digitlabel")
_SPLIT = ("split", "subset", "set")
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("x_min", "y_min", "x_max", "y_max"))
_SIZED = (("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))


class _Columns:
    """Which column is what, from the header, and how columns are divided."""

    def __init__(self, header: list[str], delimiter: str) -> None:
        index_of = {
            name.strip().lower().replace(" ", "_"): index for index, name in reversed(list(enumerate(header)))
        }
        self.delimiter = delimiter
        self.image = next((index_of[name] for name in _IMAGE if name in index_of), None)
        self.label = next((index_of[name] for name in _CLASS if name in index_of), None)
        self.split = next((index_of[name] for name in _SPLIT if name in index_of), None)
        corners = next((names for names in _CORNERS if set(names) <= index_of.keys()), None)
        names = corners or next((names for names in _SIZED if set(names) <= index_of.keys()), None)
        self.has_corners = corners is not None
        self.box = [index_of[name] for name in names] if names else None
        both = corners is not None and {"width", "height"} <= index_of.keys()
        self.size = [index_of["height"], index_of["width"]] if both else None

    @property
    def known(self) -> bool:
        return self.image is not None and self.label is not None and self.box is not None


def _columns(lines: list[str]) -> tuple[_Columns | None, int]:
    """Return the columns that the header names, and how many lines come before the first row."""
    start = 1 if lines and lines[0].lower().startswith("sep=") else 0  # Excel's hint to itself
    for delimiter in ",;\t|":
        header = next(csv.reader(lines[start : start + 1], delimiter=delimiter), [])
        if (columns := _Columns(header, delimiter)).known:
            return columns, start + 1
    return None, start


def is_boxes_csv(path: Path) -> bool:
    """Say whether the header of a file names the columns that are needed."""
    try:
        with path.open("rb") as file:
            start = file.read(65536)
        text = start.decode("utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "ignore")
        return _columns(text.splitlines())[0] is not None
    except (OSError, csv.Error):
        return False


def read_csv(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read CSV files of boxes.

    Args:
        paths: The files.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A column is missing, a value is no number, a class no digit, or a path leads out.
    """
    collection = Collection()
    classes = Classes(skip, str(files.source))
    for number, path in enumerate(paths, 1):
        _read_file(collection, path, files, classes)
        progress(number, len(paths))
    collection.classes = classes.used
    return collection


@dataclass(kw_only=True)
class _Image:
    """The rows of one image."""

    split: str | None
    size_hw: tuple[int, int] | None
    boxes: list[list[float]] = field(default_factory=list)
    digits: list[int] = field(default_factory=list)


def _read_file(collection: Collection, path: Path, files: SourceFiles, classes: Classes) -> None:
    lines = read_text(path, _MAX_BYTES).splitlines(keepends=True)
    columns, first = _columns(lines)
    if columns is None:
        raise DataError(
            f"{path}: the first line does not name image, digit and box",
            hint="Such as file_name,label,left,top,width,height or filename,class,x1,y1,x2,y2.",
        )
    images: dict[str, _Image] = {}
    rows = csv.reader(lines[first:], delimiter=columns.delimiter, strict=True)
    try:
        for row in rows:
            if any(row):
                _read_row(images, row, columns, classes, f"{path}: line {rows.line_num + first}")
    except csv.Error as error:
        line = rows.line_num + first
        raise DataError(f"{path}: line {line} is not CSV", hint="A quote may be missing there.") from error
    by_file = split_of_file(path, files, collection.notes)
    bases = likely_folders(path, files, path.stem)
    for name, image in images.items():
        collection.add(
            [name],
            image.split or by_file,
            image.boxes,
            image.digits,
            f"{path}: {name[:60]!r}",
            label_file=path,
            bases=bases,
            size_hw=image.size_hw,
        )


def _read_row(
    images: dict[str, _Image], row: list[str], columns: _Columns, classes: Classes, where: str
) -> None:
    assert columns.image is not None
    assert columns.label is not None
    assert columns.box is not None
    wanted = [columns.image, columns.label, *columns.box, *(columns.size or [])]
    if len(row) <= max(wanted):
        raise DataError(f"{where}: has {len(row)} values, {max(wanted) + 1} are needed")
    name, label = row[columns.image].strip(), _cell(row[columns.label])
    split = row[columns.split].strip() if columns.split is not None and len(row) > columns.split else None
    comma = columns.delimiter in ";\t"
    size = [_number(row[index], where, comma) for index in columns.size or [] if _cell(row[index])]
    size_hw = (int(size[0]), int(size[1])) if len(size) == 2 and min(size) >= 1 else None
    image = images.setdefault(name, _Image(split=split or None, size_hw=size_hw))
    cells = [_cell(row[index]) for index in columns.box]
    if not label and not any(cells):
        return
    digit = classes.digit(label.replace(",", ".") if comma else label, where)
    x, y, third, fourth = (_number(cell, where, comma) for cell in cells)
    if digit is not None:
        image.digits.append(digit)
        image.boxes.append([x, y, third, fourth] if columns.has_corners else [x, y, x + third, y + fourth])


def _cell(text: str) -> str:
    """Return a cell's text, "" for what pandas writes into an empty one."""
    return "" if text.strip().lower() in ("nan", "none", "null") else text.strip()


def _number(text: str, where: str, comma: bool) -> float:
    """Read a number; `comma` says that a comma stands before its decimals."""
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError as error:
        raise DataError(f"{where}: {text[:40]!r} is not a number") from error
    if not abs(value) < 1e9:
        raise DataError(f"{where}: {text[:40]!r} is no number of pixels")
    return value
