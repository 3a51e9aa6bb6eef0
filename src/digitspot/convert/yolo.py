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
from digitspot.convert.source import Collection, Progress
from digitspot.convert.yolo_pairs import Pairs, holds_rows, is_class_file
from digitspot.convert.yolo_sets import YAML_SUFFIXES, DataSet, data_sets_of, names_classes
from digitspot.errors import DataError

_MAX_BYTES = 4 << 20
"""Of a label file; 10,000 boxes take less than 1 MiB."""

_KINDS = {
    6: "predictions with a score each, not labels",
    9: "rotated boxes (OBB) or polygons of four corners",
    10: "rotated boxes in DOTA's form (OBB)",
}
"""What a row of that many values is of; five are class, centre x and y, width and height."""


def find_yolo(files: SourceFiles) -> list[Path]:
    """Return the files that name classes: every `data.yaml`, else every class file beside label files."""
    if files.source.is_file():
        return [files.source] if names_classes(files.source) else []
    yamls = [path for path in files.labels if path.suffix.lower() in YAML_SUFFIXES and _is_data_yaml(path)]
    if yamls:
        return yamls
    rows = [path for path in files.labels if path.suffix.lower() == ".txt" and holds_rows(path)]
    return [path for path in files.all if is_class_file(path)] or rows[:1] if rows else []


def _is_data_yaml(path: Path) -> bool:
    return mentions(path, b"names:") or mentions(path, b"train:")


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
    collection, skip = Collection(), tuple(skip)
    data_sets = data_sets_of(paths, files, skip)
    pairs = Pairs(files)
    images = [(data_set, *pair) for data_set in data_sets for pair in data_set.images()]
    if images and not pairs.of:
        raise DataError(
            f"{files.source}: no image has a label file; {images[0][2].stem}.txt is nowhere",
            hint="YOLO keeps labels/1.txt for images/1.png.",
        )
    for number, (data_set, split, image) in enumerate(images, 1):
        _add(collection, image, split, pairs.of.get(image), data_set)
        progress(number, len(images))
    orphans = [path for path in pairs.left if holds_rows(path)]
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
    for number, line in enumerate(read_text(label_file, _MAX_BYTES, empty=True).splitlines(), 1):
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
