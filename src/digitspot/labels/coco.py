"""Reading and writing COCO label files, and finding them in a data folder.

Boxes of x, y, width, height are read and written here and in `results.py` only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.errors import DataError
from digitspot.files import read_json, writing_whole
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import Finding, Findings
from digitspot.labels.scan import (
    box_format_findings,
    clip_labels,
    nothing_to_learn,
    scan_labels,
)
from digitspot.types import FloatArray

_DECIMALS = 3
"""Of a pixel, in written files; float32 coordinates of a 10,000-pixel image are no finer."""


def scan_file(
    path: Path, *, clip: bool = True, for_training: bool = False, needs_boxes: bool = True
) -> LabelSet:
    """Read a COCO detection file and find everything that is wrong with it.

    Reading and `data check` both call this, so that they refuse the same files, but for those without any box
    that are trained on beside others.

    Args:
        path: The label file.
        clip: Cut boxes to the frame and drop the empty ones, as training does. Evaluation leaves boxes as
            they are, as pycocotools does.
        for_training: Refuse also what only training cannot use: boxes as fractions, or no box at all.
        needs_boxes: With `for_training`: refuse also a file that lists no box.

    Returns:
        What can be used; `findings` has errors and warnings.

    Raises:
        DataError: The file is missing or not JSON.
    """
    labels = scan_labels(read_json(path), path)
    found = box_format_findings(labels) if for_training else []
    lists_boxes = len(labels.boxes) > 0
    if clip:
        labels = clip_labels(labels)
    if for_training and (needs_boxes or lists_boxes):
        found += nothing_to_learn(labels)
    return replace(labels, findings=(*labels.findings, *found))


def read_labels(
    path: Path, *, clip: bool = True, for_training: bool = False, needs_boxes: bool = True
) -> LabelSet:
    """Read a COCO detection file that keeps every rule, so that later code need not check; see `scan_file`.

    Raises:
        DataError: The file is missing or not JSON, or breaks a rule; the first one is named.
    """
    labels = scan_file(path, clip=clip, for_training=for_training, needs_boxes=needs_boxes)
    raise_first(labels.findings, f"`digitspot data check {path}` lists all.")
    return labels


def write_labels(label_set: LabelSet, path: Path) -> None:
    """Write a COCO detection file; annotations get new ids, from 1 in the order of the images."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in label_set.images:
        height, width = image.size_hw
        images.append({"id": image.image_id, "file_name": image.file_name, "width": width, "height": height})
        columns = zip(
            image.labels.tolist(), rounded_xywh(image.boxes), image.areas.tolist(), image.crowd.tolist(),
            strict=True,
        )  # fmt: skip
        annotations += [
            {
                "id": number,
                "image_id": image.image_id,
                "category_id": label_set.categories.id_of(label),
                "bbox": box,
                "area": _compact(area),
                "iscrowd": int(crowd),
            }
            for number, (label, box, area, crowd) in enumerate(columns, len(annotations) + 1)
        ]
    document = {"images": images, "annotations": annotations, "categories": label_set.categories.records()}
    _write_json(document, path)


@dataclass(frozen=True)
class Split:
    """The files of one split.

    Attributes:
        labels_path: The label file; a test split may have none, then `has_labels` is False.
        images_dir: The folder of its images.
    """

    labels_path: Path
    images_dir: Path

    @property
    def has_labels(self) -> bool:
        """Whether the label file is there."""
        return self.labels_path.is_file()


def find_split(data: Path, name: str) -> Split:
    """Find a split in the homework's layout, `train.json` beside `train/`; "test" may lack its json.

    Raises:
        DataError: The folder, the label file or the images' folder is missing; what is there is named.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such folder", hint="`digitspot demo` makes one to try with.")
    split = Split(labels_path=labels_path_of(data, name), images_dir=data / name)
    missing = [] if split.images_dir.is_dir() else [f"{name}/"]
    if not split.has_labels and name != "test":
        missing.insert(0, f"{name}.json")
    if missing:
        there = sorted(f"{path.name}/" if path.is_dir() else path.name for path in data.iterdir())
        listed = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "") or "nothing"
        raise DataError(
            f"{data}: no {' and no '.join(missing)}; there is {listed}",
            hint="A data set is train.json, COCO labels, beside the folder train/, and so on.",
        )
    return split


def labels_path_of(data: Path, name: str) -> Path:
    """Return the label file of a split, whose ending may be in capitals."""
    path = data / f"{name}.json"
    if path.is_file():
        return path
    others = (other for other in data.iterdir() if other.stem == name and other.suffix.lower() == ".json")
    return next(others, path)


def raise_first(findings: tuple[Finding, ...] | Findings, hint: str) -> None:
    """Raise the first error; warnings pass."""
    for finding in findings:
        if finding.severity == "error":
            raise DataError(str(finding), hint=hint)


def rounded_xywh(boxes: FloatArray) -> list[list[float]]:
    """Return x, y, width and height of boxes x1, y1, x2, y2, to a thousandth of a pixel."""
    corners = boxes.astype(np.float64)
    corners[:, 2:] -= corners[:, :2]
    rows: list[list[float]] = corners.round(_DECIMALS).tolist()
    return [[int(value) if value.is_integer() else value for value in row] for row in rows]


def _compact(value: float) -> float:
    """Round, and write 12 for 12.0."""
    value = round(value, _DECIMALS)
    return int(value) if value.is_integer() else value


def _write_json(document: Any, path: Path) -> None:
    with writing_whole(path) as file:
        file.write(compact_json(document))


def compact_json(document: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)
