"""COCO label files wherever people keep them: our layout, Roboflow's, FiftyOne's, CVAT's and COCO's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.convert.files import SourceFiles, likely_folders, split_of_file
from digitspot.convert.source import Classes, Collection, Notes, Progress, check_count, digit_of
from digitspot.errors import DataError
from digitspot.files import read_json
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import is_inner_path, is_integer, is_side, whole
from digitspot.labels.scan import scan_labels

_UNKNOWN_SIZE = 1
"""Stands for a side that the file does not state, until the image tells it."""


def is_coco(document: Any) -> bool:
    """Say whether a parsed JSON file is one of COCO detection labels."""
    return type(document) is dict and {"images", "annotations"} <= document.keys()


def read_coco(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read COCO label files.

    Args:
        paths: The files; each is a split, named by the file or by its folder.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file breaks a rule, names a path outside, or a class that is no digit.
    """
    collection = Collection()
    for number, path in enumerate(paths, 1):
        classes = Classes(skip, str(path))
        document = read_json(path)
        if not is_coco(document):
            raise DataError(f"{path}: not COCO labels, which are an object with images and annotations")
        repaired = _repaired(_digits_only(document, classes), path, collection.notes)
        labels = scan_labels(repaired.document, path)
        _raise_errors(labels, collection.notes)
        _add(collection, labels, repaired, files)
        collection.classes |= classes.used
        progress(number, len(paths))
    return collection


def _raise_errors(labels: LabelSet, notes: Notes) -> None:
    """Raise the first error; boxes without an area are only left out."""
    for finding in labels.findings:
        if finding.kind == "boxes without area":
            notes.add("boxes have no area and were left out", str(finding))
        elif finding.severity == "error":
            raise DataError(str(finding), hint=f"`digitspot data check {labels.path}` lists all.")


def _add(collection: Collection, labels: LabelSet, repaired: _Repaired, files: SourceFiles) -> None:
    path = labels.path
    split = split_of_file(path, files, collection.notes)
    bases = likely_folders(path, files, path.stem.removeprefix("instances_"))
    for image in labels.images:
        where = f"{path}: image {image.image_id}"
        check_count(len(image.boxes), where)
        corners = np.concatenate([image.xywh[:, :2], image.xywh[:, :2] + image.xywh[:, 2:]], axis=1)
        collection.add(
            [repaired.names.get(image.image_id, image.file_name)],
            split,
            corners,
            image.labels - 1,
            where,
            label_file=path,
            bases=bases,
            size_hw=None if image.image_id in repaired.without_size else image.size_hw,
            image_id=image.image_id,
            crowd=image.crowd.tolist(),
        )


@dataclass(frozen=True, kw_only=True)
class _Repaired:
    """A document that `scan_labels` can read, and what was set aside for it.

    Attributes:
        document: With ids, sizes and names that keep the rules.
        names: Names that are no relative path, by image id: those of Label Studio, or of another machine.
        without_size: Ids of the images whose size the file does not state.
    """

    document: dict[str, Any]
    names: dict[int, str]
    without_size: set[int]


def _repaired(document: dict[str, Any], path: Path, notes: Notes) -> _Repaired:
    """Set aside what the images tell better, and number annotations whose ids are missing or stand twice."""
    names, without_size, images = {}, set(), []
    rows = document["images"] if type(document["images"]) is list else None
    for row in rows or []:
        if type(row) is dict and is_integer(image_id := whole(row.get("id"))):
            name = row.get("file_name")
            if is_integer(name):  # "file_name": 7 for 7.png
                name, row = str(name), row | {"file_name": str(name)}
            if type(name) is str and name.strip() and not is_inner_path(name):
                names[image_id] = name
                row = row | {"file_name": f"{image_id}"}
            if not all(is_side(whole(row.get(side))) for side in ("width", "height")):
                without_size.add(image_id)
                notes.add("images have no usable size in their labels; it was taken from them", path.name)
                row = row | {"width": _UNKNOWN_SIZE, "height": _UNKNOWN_SIZE}
        images.append(row)
    annotations = document["annotations"]
    if type(annotations) is list and all(type(row) is dict for row in annotations):
        ids = [whole(row.get("id")) for row in annotations]
        num_wrong = len(ids) - len({each for each in ids if is_integer(each)})
        if num_wrong:
            annotations = [row | {"id": number} for number, row in enumerate(annotations, 1)]
            notes.add("annotation ids were missing or stood twice; all got new ids", path.name, num_wrong)
    images = document["images"] if rows is None else images
    return _Repaired(
        document=document | {"images": images, "annotations": annotations},
        names=names,
        without_size=without_size,
    )


def _digits_only(document: dict[str, Any], classes: Classes) -> dict[str, Any]:
    """Return the document with categories of digits only, each under the digit's plain name.

    A category that is no digit is dropped when no box is of it (Roboflow lists a parent of all classes)
    or when it is to be skipped; otherwise it is an error, as is a file that names none.
    """
    records = document.get("categories")
    if type(records) is not list or not records:
        raise DataError(
            f"{classes.where}: names no categories", hint='List them: {"id": 1, "name": "0"} and so on.'
        )
    annotations = document["annotations"] if type(document["annotations"]) is list else []
    rows = [row for row in annotations if type(row) is dict]
    used = {row.get("category_id") for row in rows if is_integer(whole(row.get("category_id")))}
    kept, skipped, ids = [], set(), {}
    for record in records:
        if type(record) is not dict or not is_integer(record.get("id")) or type(record.get("name")) is bool:
            kept.append(record)
            continue
        name = str(record.get("name", "")).strip()
        if digit_of(name) is None and record["id"] not in used:
            continue
        digit = classes.digit(name)
        if digit is None:
            skipped.add(record["id"])
        elif str(digit) in ids:  # "0" and "zero"
            raise DataError(f"{classes.where}: two categories are named for the digit {digit}")
        else:
            ids[str(digit)] = record["id"]
            kept.append(record | {"name": str(digit)})
    left = [row for row in annotations if type(row) is not dict or row.get("category_id") not in skipped]
    return document | {"categories": kept, "annotations": left}
