"""Pascal VOC: one XML file for each image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from digitspot.convert.files import SourceFiles, likely_folders, read_text
from digitspot.convert.source import (
    Classes,
    Collection,
    Progress,
    check_count,
    split_name,
)
from digitspot.errors import DataError

_MAX_BYTES = 16 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030"}
"""What the tools that declare these in fact write."""


def read_voc(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read Pascal VOC label files.

    The corners are taken as edges in pixels, as labelling tools write them. Files of the VOC challenge
    itself, which name it as their database, count pixels from 1 and include the last.

    Args:
        paths: The XML files.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file is not such a file, declares entities, names a path outside, or a class that is
            no digit.
    """
    collection = Collection()
    classes = Classes(skip, str(files.source))
    splits = _split_lists(files, collection)
    for number, path in enumerate(paths, 1):
        _add(collection, path, files, splits, classes)
        progress(number, len(paths))
    collection.classes = classes.used
    return collection


def _add(
    collection: Collection, path: Path, files: SourceFiles, splits: dict[str, str], classes: Classes
) -> None:
    root = parse_xml(path)
    if root.tag != "annotation":
        raise DataError(
            f"{path}: is <{root.tag[:40]}>, not the <annotation> of Pascal VOC",
            hint="Export the labels again as Pascal VOC, COCO or YOLO.",
        )
    objects = root.findall("object")
    check_count(len(objects), str(path))
    first = 1.0 if "VOC" in (root.findtext("source/database") or "") else 0.0
    boxes, digits = [], []
    for number, thing in enumerate(objects, 1):
        where = f"{path}: object {number}"
        digit = classes.digit(thing.findtext("name") or "", where)
        box = thing.find("bndbox")
        if box is None:
            rotated = thing.find("robndbox") is not None
            raise DataError(f"{where}: has {'a rotated box (robndbox)' if rotated else 'no bndbox'}")
        corners = [_number(box, key, where) for key in _CORNERS]
        if digit is not None:
            digits.append(digit)
            boxes.append([corners[0] - first, corners[1] - first, corners[2], corners[3]])
    split = splits.get(path.stem) or files.split_of_path(path)
    collection.add(
        _names(root, path),
        split,
        boxes,
        digits,
        str(path),
        label_file=path,
        bases=[path.parent.parent / "JPEGImages", *likely_folders(path, files, path.parent.name)],
        size_hw=_size(root, path),
    )


def _number(element: Element, key: str, where: str) -> float:
    text = element.findtext(key)
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(f"{where}: {key} is {(text or '')[:40]!r}, not a number") from error


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    """Return (height, width) as stated, or None; some tools write 0."""
    if root.find("size") is None:
        return None
    sides = [_number(root, f"size/{key}", str(path)) for key in ("height", "width")]
    return (int(sides[0]), int(sides[1])) if all(1 <= side < 1e9 for side in sides) else None


def _names(root: Element, path: Path) -> list[str]:
    """Return what the image may be called: its `filename`, else the name of the XML file.

    Images are often renamed together with their XML file, whose `filename` then stays as it was.
    """
    name = (root.findtext("filename") or "").strip()
    if not name:
        return [path.stem]
    return [name, path.stem + PurePosixPath(name.replace("\\", "/")).suffix]


def _split_lists(files: SourceFiles, collection: Collection) -> dict[str, str]:
    """Read `ImageSets/Main/train.txt` and its kin: the split by the name without ending."""
    splits = {}
    for path in files.all:
        if path.suffix.lower() == ".txt" and path.parts[-3:-1] == ("ImageSets", "Main"):
            collection.used.add(path)
            split = split_name(path.stem) if path.stem.lower() in ("train", "val", "valid", "test") else None
            for line in read_text(path, _MAX_BYTES, empty=True).splitlines() if split else ():
                splits[line.strip().strip("'\"")] = split or ""
    return splits


def parse_xml(path: Path, most: int = _MAX_BYTES) -> Element:
    """Parse an XML file that declares no document type and no entities, which no label file needs.

    Python's parser knows UTF-8, UTF-16 and encodings of one byte; the text of others, such as gb2312, is
    decoded here first, as its declaration says.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        DataError: It is not XML, too large, or declares such things.
    """
    try:
        if path.stat().st_size > most:
            raise DataError(f"{path}: has {path.stat().st_size:,} bytes; {most:,} is the most")
        root: Element = fromstring(_decoded(path.read_bytes(), path), forbid_dtd=True)
        return root
    except DefusedXmlException as error:
        raise DataError(
            f"{path}: declares a document type or an entity",
            hint="Labels need none; such a declaration can fill the memory.",
        ) from error
    except ParseError as error:
        line, column = error.position
        raise DataError(f"{path}: is not XML, see line {line}, column {column + 1}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _decoded(data: bytes, path: Path) -> bytes:
    """Return the file in UTF-8, when it declares another encoding; UTF-16 stays as it is."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    declared = _DECLARED.match(data)
    name = declared[1].decode().lower() if declared else "utf-8"
    try:
        text = data[declared.end() if declared else 0 :].decode(_SUPERSETS.get(name, name))
    except LookupError as error:
        raise DataError(f"{path}: declares the unknown encoding {name!r}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not in {name}, as it says", hint="Save it as UTF-8.") from error
    return text.encode()
