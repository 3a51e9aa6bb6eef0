"""Pascal VOC: one XML file for each image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from digitspot.convert.source import (
    SPLIT_NAMES,
    Classes,
    Collection,
    Progress,
    check_count,
    inner_path,
    split_name,
)
from digitspot.errors import DataError

_MAX_BYTES = 16 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(paths: Iterable[Path], folder: Path, skip: Iterable[str], progress: Progress) -> Collection:
    """Read Pascal VOC label files.

    The corners are taken as edges in pixels, as labelling tools write them. Files of the VOC challenge
    itself, which name it as their database, count pixels from 1 and include the last.

    Args:
        paths: The XML files.
        folder: The data set; images are looked for only inside it.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file is not such a file, declares entities, names a path outside, or a class that is
            no digit.
    """
    collection, files = Collection(), sorted(paths)
    classes = Classes(skip, str(folder))
    splits = _split_lists(folder)
    for number, path in enumerate(files, 1):
        _add(collection, path, folder, splits, classes)
        progress(number, len(files))
    collection.classes = classes.used
    return collection


def _add(collection: Collection, path: Path, folder: Path, splits: dict[str, str], classes: Classes) -> None:
    root = parse_xml(path)
    if root.tag != "annotation":
        raise DataError(f"{path}: is <{root.tag[:40]}>, not the <annotation> of Pascal VOC")
    objects = root.findall("object")
    check_count(len(objects), str(path))
    first = 1.0 if "VOC" in (root.findtext("source/database") or "") else 0.0
    boxes, digits = [], []
    for number, thing in enumerate(objects, 1):
        place = f"{path}: object {number}"
        digit = classes.digit(thing.findtext("name") or "", place)
        box = thing.find("bndbox")
        if box is None:
            rotated = thing.find("robndbox") is not None
            raise DataError(f"{place}: has {'a rotated box (robndbox)' if rotated else 'no bndbox'}")
        corners = [_number(box, key, place) for key in _CORNERS]
        if digit is not None:
            digits.append(digit)
            boxes.append([corners[0] - first, corners[1] - first, corners[2], corners[3]])
    image = _image(root, path, folder)
    split = splits.get(path.stem) or _split_by_folder(path, folder)
    collection.add(image, split, boxes, digits, str(path), size_hw=_size(root, path))


def _number(element: Element, key: str, place: str) -> float:
    text = element.findtext(key)
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(f"{place}: {key} is {(text or '')[:40]!r}, not a number") from error


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    """Return (height, width) as stated, or None; some tools write 0."""
    if root.find("size") is None:
        return None
    height, width = (int(_number(root, f"size/{key}", str(path))) for key in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else None


def _image(root: Element, path: Path, folder: Path) -> Path:
    """Find the image: by its `filename` beside the file, in `JPEGImages` or in `images`."""
    name = (root.findtext("filename") or "").strip()
    if not name:
        raise DataError(f"{path}: has no filename")
    places = [path.parent, path.parent.parent / "JPEGImages", path.parent.parent / "images"]
    inside = [place for place in places if place == folder or folder in place.parents]
    found = [inner_path(place, name, str(path)) for place in inside]
    return next((image for image in found if image.is_file()), found[0])


def _split_lists(folder: Path) -> dict[str, str]:
    """Read `ImageSets/Main/train.txt` and its kin: the split by the name without ending."""
    splits = {}
    for path in sorted(folder.glob("**/ImageSets/Main/*.txt")):
        split = split_name(path.stem) if path.stem.lower() in ("train", "val", "valid", "test") else None
        for line in path.read_text(encoding="utf-8", errors="replace").split() if split else ():
            splits[line] = split or ""
    return splits


def _split_by_folder(path: Path, folder: Path) -> str | None:
    names = path.relative_to(folder).parts[:-1]
    return next((name for name in names if name.lower() in SPLIT_NAMES), None)


def parse_xml(path: Path) -> Element:
    """Parse an XML file that declares no document type and no entities, which no label file needs.

    Expat itself expands entities; refusing their declaration leaves nothing to expand
    (https://docs.python.org/3/library/xml.html#xml-security).

    Raises:
        DataError: It is not XML, too large, or declares such things.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(name: str, *_: object) -> None:
        raise DataError(
            f"{path}: declares the document type or entity {name[:40]!r} at line {parser.CurrentLineNumber}",
            hint="Labels need none; such a declaration can fill the memory.",
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path}: has {path.stat().st_size:,} bytes; {_MAX_BYTES:,} is the most")
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except expat.ExpatError as error:
        raise DataError(f"{path}: is not XML: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
