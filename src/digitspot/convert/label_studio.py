"""Label Studio's own JSON: the rectangles that people drew, and those that a model proposes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from digitspot.convert.files import SourceFiles, likely_folders, split_of_file
from digitspot.convert.source import Classes, Collection, Progress, check_count
from digitspot.errors import DataError
from digitspot.files import read_json, writing_whole
from digitspot.labels.rules import is_number
from digitspot.types import Reading

IMAGE, CONTROL = "image", "label"
"""Names of the image and of the labels in the labelling set-up that is proposed for."""
SETUP = f"""<View><Image name="{IMAGE}" value="${IMAGE}"/><RectangleLabels name="{CONTROL}" toName="{IMAGE}">
{"".join(f'<Label value="{digit}"/>' for digit in range(10))}</RectangleLabels></View>"""


def is_label_studio(document: Any) -> bool:
    """Say whether a parsed JSON file is a list of Label Studio's tasks."""
    first = document[0] if type(document) is list and document else None
    return type(first) is dict and "data" in first and bool({"annotations", "predictions"} & first.keys())


def read_label_studio(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read tasks exported as JSON; of several annotations of a task the newest counts.

    Args:
        paths: The files; each is a split, if it is named so.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each file.

    Raises:
        DataError: A file is malformed, a rectangle is turned, or a class is no digit.
    """
    collection = Collection()
    classes = Classes(skip, str(files.source))
    for number, path in enumerate(paths, 1):
        document = read_json(path)
        if not is_label_studio(document):
            raise DataError(f"{path}: is no list of Label Studio's tasks")
        split = split_of_file(path, files, collection.notes)
        for index, task in enumerate(document, 1):
            _add(collection, task, path, index, split, files, classes)
        progress(number, len(paths))
    collection.classes = classes.used
    return collection


def _add(
    collection: Collection,
    task: Any,
    path: Path,
    index: int,
    split: str | None,
    files: SourceFiles,
    classes: Classes,
) -> None:
    where = f"{path}: task {index}"
    data = task.get("data") if type(task) is dict else None
    name = data.get(IMAGE) or next(iter(data.values()), None) if type(data) is dict else None
    if type(name) is not str or not name:
        raise DataError(f"{where}: its data name no image")
    done = [each for each in _records(task, "annotations", where) if not each.get("was_cancelled")]
    if not done:
        collection.notes.add("tasks that nobody has labelled were left out", where)
        return
    newest = max(done, key=lambda each: str(each.get("updated_at") or ""))
    results = _records(newest, "result", where)
    check_count(len(results), where)
    boxes, digits, size_hw = [], [], None
    for row, result in enumerate(results, 1):
        if result.get("type") != "rectanglelabels":
            collection.notes.add(f"results of type {str(result.get('type'))[:40]} were left out", where)
            continue
        size_hw = _size(result, f"{where}, result {row}")
        box, label = _rectangle(result.get("value"), size_hw, f"{where}, result {row}")
        digit = classes.digit(label, f"{where}, result {row}")
        if digit is not None:
            boxes.append(box)
            digits.append(digit)
    bases = likely_folders(path, files, path.stem)
    collection.add([name], split, boxes, digits, where, label_file=path, bases=bases, size_hw=size_hw)


def _records(owner: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """Return a list of objects, which may be missing."""
    records = owner.get(key) or []
    if type(records) is not list or any(type(each) is not dict for each in records):
        raise DataError(f"{where}: {key} is {str(records)[:60]}, not a list of objects")
    return records


def _numbers(owner: Any, keys: Sequence[str], where: str) -> list[float]:
    values = [owner.get(key) if type(owner) is dict else None for key in keys]
    if not all(map(is_number, values)):
        raise DataError(f"{where}: {', '.join(keys)} are {str(values)[:60]}, not numbers")
    return [float(value) for value in values if value is not None]


def _size(result: Mapping[str, Any], where: str) -> tuple[int, int]:
    height, width = _numbers(result, ("original_height", "original_width"), where)
    if not (1 <= height < 1e9 and 1 <= width < 1e9):
        raise DataError(f"{where}: the image has {width:g} x {height:g} pixels")
    return int(height), int(width)


def _rectangle(
    value: Any, size_hw: tuple[int, int], where: str
) -> tuple[tuple[float, float, float, float], str]:
    """Return the corners in pixels, and the label; a rectangle is given in percent of its image."""
    x, y, w, h = _numbers(value, ("x", "y", "width", "height"), where)
    if value.get("rotation"):
        raise DataError(f"{where}: the rectangle is turned by {value['rotation']} degrees")
    labels = value.get("rectanglelabels")
    label = str(labels[0]) if type(labels) is list and labels else ""
    height, width = (side / 100 for side in size_hw)
    return (x * width, y * height, (x + w) * width, (y + h) * height), label


def write_label_studio(
    path: Path,
    names: Mapping[int, str],
    readings: Mapping[int, Reading],
    sizes: Mapping[int, tuple[int, int]],
) -> None:
    """Write tasks with what a model reads, each digit with its probability, for people to correct.

    Args:
        path: The file; `SETUP` is the labelling set-up that it fits.
        names: Of the images, as Label Studio finds them, by id.
        readings: By id.
        sizes: (height, width) by id.
    """
    tasks = []
    for key, reading in readings.items():
        height, width = sizes[key]
        results = [
            {
                "id": f"{key}-{index}",
                "type": "rectanglelabels",
                "from_name": CONTROL,
                "to_name": IMAGE,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": digit.probability,
                "value": {
                    "x": 100 * digit.box[0] / width,
                    "y": 100 * digit.box[1] / height,
                    "width": 100 * (digit.box[2] - digit.box[0]) / width,
                    "height": 100 * (digit.box[3] - digit.box[1]) / height,
                    "rotation": 0,
                    "rectanglelabels": [digit.text],
                },
            }
            for index, digit in enumerate(reading.digits)
        ]
        prediction = {"model_version": "digitspot", "score": reading.probability, "result": results}
        tasks.append({"data": {IMAGE: names[key]}, "predictions": [prediction]})
    with writing_whole(path) as file:
        json.dump(tasks, file, indent=1)
