"""COCO label files wherever people keep them: our layout, Roboflow's and COCO's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.convert.source import Classes, Collection, Progress, check_count, digit_of, inner_path
from digitspot.errors import DataError
from digitspot.labels.coco import read_json
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import is_integer
from digitspot.labels.scan import scan_labels

ROBOFLOW = "_annotations.coco.json"


def is_coco(document: Any) -> bool:
    """Say whether a parsed JSON file is one of COCO detection labels."""
    return type(document) is dict and {"images", "annotations"} <= document.keys()


def read_coco(paths: Iterable[Path], folder: Path, skip: Iterable[str], progress: Progress) -> Collection:
    """Read COCO label files.

    Args:
        paths: The files; each is a split, named by the file or, in Roboflow's layout, by its folder.
        folder: The data set; images are looked for only inside it.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file breaks a rule, names a path outside, or a class that is no digit.
    """
    collection, files = Collection(), sorted(paths)
    for number, path in enumerate(files, 1):
        document = read_json(path)
        classes = Classes(skip, str(path))
        labels = scan_labels(_digits_only(document, classes), path)
        degenerate = 0
        for finding in labels.findings:
            degenerate += finding.kind == "boxes without area"
            if finding.severity == "error" and finding.kind != "boxes without area":
                raise DataError(str(finding), hint=f"`digitspot data check {path}` lists all.")
        if degenerate:
            collection.notes["boxes without area, left out"] += degenerate
        _add(collection, labels, path, folder)
        collection.classes |= classes.used
        progress(number, len(files))
    return collection


def _add(collection: Collection, labels: LabelSet, path: Path, folder: Path) -> None:
    split = path.parent.name if path.name == ROBOFLOW else path.stem
    if len(labels):
        images = images_folder(path, folder, labels.file_names[0])
    for image in labels.images:
        place = f"{path}: image {image.image_id}"
        check_count(len(image.boxes), place)
        corners = np.concatenate([image.xywh[:, :2], image.xywh[:, :2] + image.xywh[:, 2:]], axis=1)
        collection.add(
            inner_path(images, image.file_name, place),
            split,
            corners,
            image.labels - 1,
            place,
            size_hw=image.size_hw,
            image_id=image.image_id,
            crowd=image.crowd.tolist(),
        )


def images_folder(path: Path, folder: Path, first: str) -> Path:
    """Return the folder that the file names of a label file are relative to, by where the first one is.

    Tried are `train/` beside `train.json`, the file's own folder (Roboflow), and for
    `annotations/instances_train2017.json` the folders `train2017/` and `images/train2017/`, then `images/`.
    """
    name = path.stem.removeprefix("instances_")
    bases = [path.parent / name, path.parent]
    if path.parent != folder:
        bases += [path.parent.parent / name, path.parent.parent / "images" / name, path.parent.parent]
    bases += [base / "images" for base in (path.parent, folder)]
    safe = first.replace("\\", "/")
    if safe.startswith("/") or ".." in safe.split("/"):
        return bases[0]  # refused, by `inner_path`, where it is used
    return next((base for base in bases if (base / safe).is_file()), bases[0])


def _digits_only(document: Any, classes: Classes) -> Any:
    """Return the document with categories of digits only, each under the digit's plain name.

    A category that is no digit is dropped when no box is of it (Roboflow lists a parent of all classes)
    or when it is to be skipped; otherwise it is an error, as is a file that names none.
    """
    if not is_coco(document):
        return document  # `scan_labels` says what is wrong
    records = document.get("categories")
    if type(records) is not list or not records:
        raise DataError(
            f"{classes.place}: names no categories", hint='List them: {"id": 1, "name": "0"} and so on.'
        )
    annotations = document["annotations"] if type(document["annotations"]) is list else []
    rows = [row for row in annotations if type(row) is dict]
    used = {row.get("category_id") for row in rows if is_integer(row.get("category_id"))}
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
            raise DataError(f"{classes.place}: two categories are named for the digit {digit}")
        else:
            ids[str(digit)] = record["id"]
            kept.append(record | {"name": str(digit)})
    left = [row for row in annotations if type(row) is not dict or row.get("category_id") not in skipped]
    return document | {"categories": kept, "annotations": left}
