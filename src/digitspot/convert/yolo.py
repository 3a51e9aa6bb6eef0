"""YOLO data sets: `data.yaml` with class names, and beside each image's folder one of label files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from digitspot.convert.source import Classes, Collection, Progress, inner_path
from digitspot.errors import DataError
from digitspot.images import IMAGE_SUFFIXES, image_size
from digitspot.labels.rules import is_inner_path

_MAX_BYTES = 4 << 20
"""Of a label file; 10,000 boxes take less than 1 MiB."""
_MAX_CLASSES = 10_000
_SPLITS = ("train", "val", "valid", "test")

_KINDS = {
    6: "predictions with a score each, not labels",
    9: "rotated boxes (OBB) or polygons of four corners",
    10: "rotated boxes in DOTA's form (OBB)",
}
"""What a row of that many values is of; five are class, centre x and y, width and height."""


def read_yolo(path: Path, skip: Iterable[str], progress: Progress) -> Collection:
    """Read a YOLO data set.

    Args:
        path: `data.yaml`, or the `classes.txt` that labelling tools write.
        skip: Class names whose boxes are left out.
        progress: Told after each image.

    Raises:
        DataError: The boxes are rotated, a class is no digit, a path leads out of the folder, or a label
            file is malformed.
    """
    folder = path.parent
    images: list[tuple[str | None, Path]]
    if path.suffix.lower() == ".txt":
        names = dict(enumerate(_text(path).split("\n")))
        images = [(None, image) for image in _images_in(folder)]
    else:
        config = _config(path)
        names = _names(config.get("names"), path)
        images = _images_of(config, path)
    classes, collection = Classes(skip, str(path)), Collection()
    for number, (split, image) in enumerate(images, 1):
        _add(collection, image, split, names, classes, folder)
        progress(number, len(images))
    collection.classes = classes.used
    return collection


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: is not YAML: {error}") from error
    if type(config) is not dict:
        raise DataError(f"{path}: holds no keys; names, train and val are needed")
    if "kpt_shape" in config:
        raise DataError(f"{path}: is of key points (kpt_shape), not of boxes")
    return config


def _names(names: Any, path: Path) -> dict[int, str]:
    """Return the class names by number, from a list or a mapping."""
    pairs = enumerate(names) if type(names) is list else names.items() if type(names) is dict else None
    if pairs is None or not names or len(names) > _MAX_CLASSES:
        raise DataError(
            f"{path}: names no classes",
            hint='Add `names: ["0", "1", ...]` in the order of the class numbers.',
        )
    found = {}
    for number, name in pairs:
        if not str(number).isdigit() or type(name) not in (str, int):
            raise DataError(f"{path}: names has {number!r}: {str(name)[:40]!r}; it needs numbers with names")
        found[int(number)] = str(name)
    return found


def _images_of(config: dict[str, Any], path: Path) -> list[tuple[str | None, Path]]:
    """List the images of every split that the file names."""
    found: dict[Path, str] = {}
    for split in _SPLITS:
        places = config.get(split)
        for place in places if type(places) is list else [places] if places else []:
            if type(place) is not str:
                raise DataError(f"{path}: {split} is {str(place)[:40]!r}, not a folder")
            for image in _listed(_resolve(config, path, split, place), path, split):
                found.setdefault(image, split)
    if not found:
        raise DataError(f"{path}: names no images", hint="train and val name their folders.")
    return [(split, image) for image, split in found.items()]


def _resolve(config: dict[str, Any], path: Path, split: str, place: str) -> Path:
    """Find a folder or a list that the file names, always inside the file's own folder.

    A `path` that is absolute is of the machine that wrote the file and is not followed; nor is a leading
    "../", which Roboflow writes for the file's own folder.
    """
    folder, root = path.parent, config.get("path")
    name = place.removeprefix("../").removeprefix("./")
    if not is_inner_path(name):
        inner_path(folder, place, f"{path}: {split}")
    candidates = [folder / name]
    if type(root) is str and is_inner_path(root):
        candidates.insert(0, folder / root / name)
    there = next((candidate for candidate in candidates if candidate.exists()), None)
    if there is None:
        raise DataError(f"{path}: {split} is {place!r}, which is not in {folder}")
    return there


def _listed(place: Path, path: Path, split: str) -> list[Path]:
    """Return the images of a folder, with its folders, or of a list of paths."""
    if place.is_dir():
        return _images_in(place)
    folder, images = path.parent, []
    for number, line in enumerate(_text(place, 64 << 20).split("\n"), 1):
        if line.strip():
            name = line.strip().removeprefix("./")
            images.append(inner_path(folder, name, f"{place}: line {number}"))
    return images


def _images_in(folder: Path) -> list[Path]:
    def walk() -> Iterator[Path]:
        for place, folders, files in os.walk(folder):
            folders.sort()
            yield from (Path(place) / name for name in sorted(files) if not name.startswith("."))

    return [path for path in walk() if path.suffix.lower() in IMAGE_SUFFIXES]


def labels_of(image: Path, folder: Path) -> Path:
    """Return an image's label file: under `labels` where the image is under `images`, or beside it."""
    parts = list(PurePosixPath(image.relative_to(folder).as_posix()).parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts[last] = "labels"
    return (folder / Path(*parts)).with_suffix(".txt")


def _add(
    collection: Collection,
    image: Path,
    split: str | None,
    names: dict[int, str],
    classes: Classes,
    folder: Path,
) -> None:
    path = labels_of(image, folder)
    if not path.is_file():
        collection.notes["images without a label file, taken as without digits"] += 1
        collection.add(image, split, [], [], str(path))
        return
    digits, rows = [], []
    for number, line in enumerate(_text(path, empty=True).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        class_number, values = _row(line, place)
        if class_number not in names:
            raise DataError(f"{place}: class {class_number} has no name; there are {len(names)}")
        digit = classes.digit(names[class_number])
        if digit is not None:
            digits.append(digit)
            rows.append(values)
    if not rows:
        collection.add(image, split, [], [], str(path))
        return
    height, width = size = image_size(image)
    x, y, w, h = (np.array(rows) * [width, height, width, height]).T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    collection.add(image, split, boxes, digits, str(path), size_hw=size)


def _row(line: str, place: str) -> tuple[int, list[float]]:
    """Return class number and the four values of a row."""
    words = line.split()
    if len(words) != 5:
        polygon = "polygons (segmentation)" if len(words) >= 7 and len(words) % 2 else None
        kind = _KINDS.get(len(words)) or polygon or f"{len(words)} values"
        raise DataError(
            f"{place}: {kind}; a box is a class and four values",
            hint="Export the data set again for detection, as YOLO with upright boxes.",
        )
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{place}: {line.strip()[:60]!r} is not five numbers") from error
    if not all(-1 <= value <= 2 for value in values[1:]) or not values[0].is_integer() or values[0] < 0:
        raise DataError(
            f"{place}: {line.strip()[:60]!r}: a class number and shares of the image from 0 to 1 are needed"
        )
    return int(values[0]), values[1:]


def _text(path: Path, most: int = _MAX_BYTES, *, empty: bool = False) -> str:
    try:
        size = path.stat().st_size
        if size > most:
            raise DataError(f"{path}: has {size:,} bytes; {most:,} is the most for such a file")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not text.strip() and not empty:
        raise DataError(f"{path}: the file is empty")
    return text
