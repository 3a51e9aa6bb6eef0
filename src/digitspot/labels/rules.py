"""The rules that labels and results must keep, each stated once.

Reading raises on the first error found here; `digitspot data check` lists them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from digitspot.images import exif_orientation

Severity = Literal["error", "warning"]

_MISSING = object()
_SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category", "results": "result"}
_LIMIT = 1e15
"""Larger coordinates would overflow float32 areas; NaN and infinity fail the same comparison."""
_LEAVES_FOLDER = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about a data set.

    Attributes:
        kind: What many findings have in common, in the plural: "duplicate ids".
        severity: "error" where training cannot use the data as it is, else "warning".
        where: The file.
        message: What is wrong there, with the value.
    """

    kind: str
    severity: Severity
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Field:
    """What one key of a record must hold.

    Exporters also write 104.0 for a whole number and null for what they do not know: an integer field
    takes the first as 104, an optional field the second as absent.
    """

    key: str
    wants: str
    accepts: Callable[[Any], bool]
    optional: bool = False
    integer: bool = False


def is_integer(value: Any) -> bool:
    """Say whether a JSON value is a whole number that fits 64 bits; true and false are none."""
    return type(value) is int and -(2**63) <= value < 2**63


def whole(value: Any) -> Any:
    """Return 104 for 104.0, and anything else as it is."""
    return int(value) if type(value) is float and value.is_integer() else value


def is_side(value: Any) -> bool:
    """Say whether a JSON value is a whole number above 0."""
    return is_integer(value) and value > 0


def is_flag(value: Any) -> bool:
    """Say whether a JSON value is 0 or 1."""
    return is_integer(value) and value in (0, 1)


def is_number(value: Any) -> bool:
    """Say whether a JSON value is a finite number; true, false and "3" are none."""
    return type(value) in (int, float) and -_LIMIT < value < _LIMIT


def is_inner_path(value: Any) -> bool:
    """Say whether a JSON value is a relative path that stays in its folder: overlays are written by it."""
    return type(value) is str and value != "" and _LEAVES_FOLDER.search(value) is None


def is_box(value: Any) -> bool:
    """Say whether a JSON value is four finite numbers."""
    return type(value) is list and len(value) == 4 and all(map(is_number, value))


_ID = Field("id", "a whole number", is_integer, integer=True)
_BOX = Field("bbox", "four finite numbers [x, y, width, height]", is_box)
_IMAGE_ID = Field("image_id", "a whole number", is_integer, integer=True)
_CATEGORY_ID = Field("category_id", "a whole number", is_integer, integer=True)
_SIDE = "a whole number above 0"
IMAGE_FIELDS = (
    _ID,
    Field("file_name", "a file name inside the image folder", is_inner_path),
    Field("width", _SIDE, is_side, integer=True),
    Field("height", _SIDE, is_side, integer=True),
)
ANNOTATION_FIELDS = (
    _ID,
    _IMAGE_ID,
    _CATEGORY_ID,
    _BOX,
    Field("area", "a number, 0 or more", lambda value: is_number(value) and value >= 0, optional=True),
    Field("iscrowd", "0 or 1", is_flag, optional=True, integer=True),
)
CATEGORY_FIELDS = (
    _ID,
    Field("name", "a digit as a string", lambda value: type(value) is str or is_integer(value)),
)
RESULT_FIELDS = (
    _IMAGE_ID,
    _CATEGORY_ID,
    _BOX,
    Field("score", "a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
)


class Findings(list[Finding]):
    """Findings of one file as they are met."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def error(self, kind: str, message: str) -> None:
        """Add something that reading must refuse."""
        self.append(Finding(kind, "error", self.where, message))

    def warn(self, kind: str, message: str) -> None:
        """Add something that reading gets over."""
        self.append(Finding(kind, "warning", self.where, message))


def usable_rows(rows: Any, section: str, fields: Sequence[Field], findings: Findings) -> dict[int, Any]:
    """Return the records whose every field is of the right kind, by their position in the list."""
    if type(rows) is not list:
        findings.error("wrong shape", f"{section} is {_shown(rows)}, not a list")
        return {}
    good = {}
    for position, listed in enumerate(rows):
        row = _plain(listed, fields) if type(listed) is dict else listed
        problem = _row_problem(row, fields)
        if problem is None:
            good[position] = row
        else:
            kind, text = problem
            findings.error(kind, f"{_row_name(row, section, position)} {text}")
    return good


def _plain(row: dict[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the record with 104 for 104.0 and without optional nulls (see `Field`)."""
    changes = {}
    for field in fields:
        value = row.get(field.key, _MISSING)
        if field.integer and type(value) is float:
            changes[field.key] = whole(value)
        elif field.optional and value is None:
            changes[field.key] = _MISSING
    if not changes:
        return row
    return {key: value for key, value in (row | changes).items() if value is not _MISSING}


def _row_problem(row: Any, fields: Sequence[Field]) -> tuple[str, str] | None:
    if type(row) is not dict:
        return "wrong shape", f"is {_shown(row)}, not an object"
    for field in fields:
        value = row.get(field.key, _MISSING)
        if value is _MISSING:
            if not field.optional:
                return "missing keys", f"has no {field.key}"
        elif not field.accepts(value):
            return f"bad {field.key}", f"has {field.key} {_shown(value)}; it must be {field.wants}"
    return None


def _row_name(row: Any, section: str, position: int) -> str:
    """Name a record by its id, or by its position (from 0) where it has none that can be trusted."""
    if type(row) is dict and is_integer(row.get("id")):
        return f"{_SINGULAR[section]} {row['id']}"
    return f"{section}[{position}]"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def find_duplicates(values: Iterable[int]) -> list[int]:
    """Return the positions of values that stood before."""
    seen: set[int] = set()
    again = []
    for position, value in enumerate(values):
        if value in seen:
            again.append(position)
        seen.add(value)
    return again


def size_problem(found_hw: Sequence[int], stated_hw: Sequence[int], path: Path | None = None) -> str | None:
    """Say that an image is not of the size that the label file states, or None where it is.

    Args:
        found_hw: (height, width) of the upright image.
        stated_hw: (height, width) in the label file.
        path: The image, to look for an EXIF turn where the sides are swapped.
    """
    if tuple(found_hw) == tuple(stated_hw):
        return None
    (found_h, found_w), (stated_h, stated_w) = found_hw, stated_hw
    text = f"the image is {found_w} x {found_h} pixels, the label file says {stated_w} x {stated_h}"
    if path is None or (found_h, found_w) != (stated_w, stated_h):
        return text
    orientation = exif_orientation(path)
    if orientation == 1:
        return f"{text}: width and height are swapped, which `digitspot data convert` repairs"
    return (
        f"{text}: the labels were made before the image's EXIF turn (orientation {orientation}); "
        "`digitspot data convert --exif-boxes stored` turns the boxes"
    )
