"""YOLO data sets: a label file of text for each image, and a file that names the classes.

The classes are named by `data.yaml`, which also lists the images of each split, or by `classes.txt`,
`obj.names` (CVAT) or `_darknet.labels` (Roboflow); then every image under the source is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from digitspot.convert.files import SourceFiles, mentions, read_text
from digitspot.convert.locate import key_of
from digitspot.convert.source import Collection, Progress, plain_folder
from digitspot.convert.yolo_sets import MAX_BYTES, DataSet, find_data_sets, holds_rows, is_class_file, is_yaml
from digitspot.errors import DataError

_KINDS = {
    6: "predictions with a score each, not labels",
    9: "rotated boxes (OBB) or polygons of four corners",
    10: "rotated boxes in DOTA's form (OBB)",
}
"""What a row of that many values is of; five are class, centre x and y, width and height."""


def find_yolo(files: SourceFiles) -> list[Path]:
    """Return the files that name classes: every `data.yaml`, else every class file beside label files."""
    if files.source.is_file():
        is_one = is_class_file(files.source) or is_yaml(files.source)
        return [files.source] if is_one else []
    yamls = filter(is_yaml, files.labels)
    if found := [path for path in yamls if mentions(path, b"names:") or mentions(path, b"train:")]:
        return found
    rows = [path for path in files.labels if path.suffix.lower() == ".txt" and holds_rows(path)]
    return [path for path in files.all if is_class_file(path)] or rows[:1] if rows else []


def read_yolo(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read YOLO data sets.

    Args:
        paths: What `find_yolo` found.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each image.

    Raises:
        DataError: The boxes are rotated, a class is no digit, a path leads out of the folder, or a label
            file is malformed.
    """
    collection = Collection()
    data_sets = find_data_sets(paths, files, tuple(skip))
    label_of, unpaired = _pair(files)
    images = [(data_set, *pair) for data_set in data_sets for pair in data_set.images()]
    if images and not label_of:
        raise DataError(
            f"{files.source}: no image has a label file; {images[0][2].stem}.txt is nowhere",
            hint="YOLO keeps labels/1.txt for images/1.png.",
        )
    for number, (data_set, split, image) in enumerate(images, 1):
        _add(collection, image, split, label_of.get(image), data_set)
        progress(number, len(images))
    orphans = [path for path in unpaired if holds_rows(path)]
    for data_set in data_sets:
        collection.used |= data_set.used
        collection.classes |= data_set.classes.used
        collection.notes.merge(data_set.notes)
        orphans += data_set.missing
    collection.orphans = list({key_of(path.stem): path for path in reversed(orphans)}.values())[::-1]
    return collection


def _add(
    collection: Collection, image: Path, split: str | None, label_file: Path | None, data_set: DataSet
) -> None:
    if label_file is None:
        collection.notes.add("images have no label file and count as images without digits", str(image))
        collection.add(image, split, [], [], str(image), label_file=data_set.path)
        return
    digits, rows = [], []
    for number, line in enumerate(read_text(label_file, MAX_BYTES, empty=True).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{label_file}: line {number}"
        class_number, values = _row(line, where)
        names = data_set.names_for(label_file)
        if class_number not in names:
            raise DataError(f"{where}: class {class_number} has no name; there are {len(names)}")
        digit = data_set.classes.digit(names[class_number])
        if digit is not None:
            digits.append(digit)
            rows.append(values)
    x, y, w, h = np.array(rows).reshape(-1, 4).T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    collection.add(image, split, boxes, digits, str(label_file), label_file=label_file, is_relative=True)


def _row(line: str, where: str) -> tuple[int, list[float]]:
    """Return class number and the four values of a row."""
    words = line.split()
    if len(words) != 5:
        polygon = "polygons (segmentation)" if len(words) >= 7 and len(words) % 2 else None
        kind = _KINDS.get(len(words)) or polygon or f"{len(words)} values"
        raise DataError(
            f"{where}: {kind}; a box is a class and four values",
            hint="Export the data set again for detection, as YOLO with upright boxes.",
        )
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{where}: {line.strip()[:60]!r} is not five numbers") from error
    if not all(-1 <= value <= 2 for value in values[1:]) or not values[0].is_integer() or values[0] < 0:
        raise DataError(
            f"{where}: {line.strip()[:60]!r}: a row is a class number and four fractions of the image, 0 to 1"
        )
    return int(values[0]), values[1:]


def _pair(files: SourceFiles) -> tuple[dict[Path, Path], list[Path]]:
    """Return the label file of each image, and the text files that belong to none."""
    by_stem: dict[str, list[Path]] = {}
    for path in files.all:
        if path.suffix.lower() == ".txt" and not is_class_file(path):
            by_stem.setdefault(key_of(path.stem), []).append(path)
    label_of: dict[Path, Path] = {}
    options = {}
    for image in files.images:
        options[image] = by_stem.get(key_of(image.stem), []) + by_stem.get(key_of(image.name), [])
        same = [path for path in options[image] if path.parent == image.parent]
        mirrored = [path for path in options[image] if _folders(path, files) == _folders(image, files)]
        if near := same or mirrored:
            label_of[image] = _only(near, image)
    near_ones = set(label_of.values())
    owners: dict[Path, Path] = {}
    for image, paths in options.items():
        free = [path for path in paths if path not in near_ones and not _apart(image, path, files)]
        if image not in label_of and free:
            label_of[image] = _only(free, image)
    for image, path in label_of.items():
        if path not in near_ones and owners.setdefault(path, image) != image:
            raise _ambiguous(f"{path}: its image", owners[path], image)
    used = set(label_of.values())
    return label_of, [path for paths in by_stem.values() for path in paths if path not in used]


def _folders(path: Path, files: SourceFiles) -> list[str]:
    """Return a file's folders without what only says "images" or "labels"."""
    plain = map(plain_folder, path.relative_to(files.folder).parts[:-1])
    return [name for name in plain if name]


def _apart(image: Path, path: Path, files: SourceFiles) -> bool:
    """Say whether an image and a label file are in folders of two splits."""
    return len({files.split_of_path(image), files.split_of_path(path)} - {None}) > 1


def _only(paths: list[Path], image: Path) -> Path:
    if len(paths) > 1:
        raise _ambiguous(f"{image}: its labels", *paths[:2])
    return paths[0]


def _ambiguous(what: str, first: Path, second: Path) -> DataError:
    return DataError(f"{what} may be {first} or {second}", hint="Remove the wrong one, or rename it.")
