"""CVAT for images 1.1: one XML file of all images, each box with its corners in pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from digitspot.convert.files import SourceFiles, likely_folders, split_of_file
from digitspot.convert.source import Classes, Collection, Progress, check_count
from digitspot.convert.voc import parse_xml
from digitspot.errors import DataError
from digitspot.files import printable, writing_whole
from digitspot.types import Reading

_MAX_BYTES = 1 << 30
"""All images are in one file."""
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
SCORE = "probability"
"""The attribute of a box that says how sure the model is of it."""


def read_cvat(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read boxes that were exported as CVAT for images 1.1.

    Args:
        paths: The files; an image's `subset` is its split, else the file's name says it.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file is malformed, a box is turned, or a class is no digit.
    """
    collection = Collection()
    classes = Classes(skip, str(files.source))
    for number, path in enumerate(paths, 1):
        root = parse_xml(path, _MAX_BYTES)
        split = split_of_file(path, files, collection.notes)
        for image in root.iter("image"):
            _add(collection, image, path, split, files, classes)
        progress(number, len(paths))
    collection.classes = classes.used
    return collection


def _add(
    collection: Collection,
    image: Element,
    path: Path,
    split: str | None,
    files: SourceFiles,
    classes: Classes,
) -> None:
    name = image.get("name") or ""
    where = f"{path}: image {name[:60]!r}"
    if not name:
        raise DataError(f"{path}: an image has no name")
    shapes = [each for each in image if each.tag not in ("box", "tag")]
    collection.notes.add("shapes that are no boxes were left out", where, len(shapes))
    found = image.findall("box")
    check_count(len(found), where)
    boxes, digits = [], []
    for box in found:
        digit = classes.digit(box.get("label") or "", where)
        if box.get("rotation") and _number(box, "rotation", where):
            raise DataError(f"{where}: a box is turned by {box.get('rotation')} degrees")
        corners = [_number(box, key, where) for key in _CORNERS]
        if digit is not None:
            boxes.append(corners)
            digits.append(digit)
    height, width = _number(image, "height", where), _number(image, "width", where)
    if not (0 <= height < 1e9 and 0 <= width < 1e9):
        raise DataError(f"{where}: has {width:g} x {height:g} pixels")
    size_hw = (int(height), int(width))
    bases = likely_folders(path, files, path.stem)
    collection.add(
        [name],
        image.get("subset") or split,
        boxes,
        digits,
        where,
        label_file=path,
        bases=bases,
        size_hw=size_hw if min(size_hw) > 0 else None,
    )


def _number(element: Element, key: str, where: str) -> float:
    text = element.get(key) or ""
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where}: {key} is {text[:40]!r}, not a number") from error


def write_cvat(
    path: Path,
    names: Mapping[int, str],
    readings: Mapping[int, Reading],
    sizes: Mapping[int, tuple[int, int]],
) -> None:
    """Write what a model reads as annotations for people to correct, each digit with its probability.

    Args:
        path: The file.
        names: Of the images, as the task names them, by id.
        readings: By id.
        sizes: (height, width) by id.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    for key, reading in readings.items():
        height, width = sizes[key]
        about = {"id": str(key), "name": printable(names[key]), "width": str(width), "height": str(height)}
        image = SubElement(root, "image", about)
        for digit in reading.digits:
            corners = {key: f"{value:.2f}" for key, value in zip(_CORNERS, digit.box, strict=True)}
            box = SubElement(
                image,
                "box",
                {"label": digit.text, "source": "auto", "occluded": "0", **corners, "z_order": "0"},
            )
            SubElement(box, "attribute", {"name": SCORE}).text = f"{digit.probability:.4f}"
    ElementTree.indent(root)
    with writing_whole(path) as file:
        file.write(ElementTree.tostring(root, encoding="unicode", xml_declaration=True))
