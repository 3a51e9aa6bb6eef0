"""Reading and writing COCO label files, COCO results, number files, and finding them in a data folder.

The only place where boxes of x, y, width, height are read and written; COCO's figures are computed of them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.boxes import xywh_to_xyxy
from digitspot.errors import DataError
from digitspot.files import writing_whole
from digitspot.labels.labels import CategoryMap, FileDetections, LabelSet
from digitspot.labels.rules import RESULT_FIELDS, Finding, Findings, usable_rows
from digitspot.labels.scan import (
    box_column,
    box_format_findings,
    clip_labels,
    nothing_to_learn,
    scan_labels,
)
from digitspot.types import Detections, FloatArray

NO_NUMBER = "-1"
"""How a number file says that an image shows no number."""

_DECIMALS = 3
"""Of a pixel, in written files; float32 coordinates of a 10,000-pixel image are no finer."""


def scan_file(path: Path, *, clip: bool = True, for_training: bool = False) -> LabelSet:
    """Read a COCO detection file and find everything that is wrong with it.

    Reading and `data check` both call this, so that they refuse the same files.

    Args:
        path: The label file.
        clip: Cut boxes to the frame and drop the empty ones, as training does. Evaluation leaves boxes as
            they are, as pycocotools does.
        for_training: Refuse also what only training cannot use: boxes as fractions, or no box at all.

    Returns:
        What can be used; `findings` has errors and warnings.

    Raises:
        DataError: The file is missing or not JSON.
    """
    labels = scan_labels(read_json(path), path)
    found = box_format_findings(labels) if for_training else []
    if clip:
        labels = clip_labels(labels)
    if for_training:
        found += nothing_to_learn(labels)
    return replace(labels, findings=(*labels.findings, *found))


def read_labels(path: Path, *, clip: bool = True, for_training: bool = False) -> LabelSet:
    """Read a COCO detection file that keeps every rule, so that later code need not check; see `scan_file`.

    Raises:
        DataError: The file is missing or not JSON, or breaks a rule; the first one is named.
    """
    labels = scan_file(path, clip=clip, for_training=for_training)
    _raise_first(labels.findings, f"`digitspot data check {path}` lists all.")
    return labels


def write_labels(label_set: LabelSet, path: Path) -> None:
    """Write a COCO detection file; annotations get new ids, from 1 in the order of the images."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in label_set.images:
        height, width = image.size_hw
        images.append({"id": image.image_id, "file_name": image.file_name, "width": width, "height": height})
        columns = zip(
            image.labels.tolist(), _rounded_xywh(image.boxes), image.areas.tolist(), image.crowd.tolist(),
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


def read_results(path: Path, labels: LabelSet) -> dict[int, Detections]:
    """Read COCO results (`pred.json`) of the images of a label set.

    Boxes are neither clipped nor sorted, and empty ones stay: a detector's rounded box may be empty.

    Returns:
        The detections by image id, in the file's order, as `FileDetections`; images without any are absent.

    Raises:
        DataError: The file is missing or not JSON, or a row is malformed or of an unknown image.
    """
    document = read_json(path)
    findings = Findings(str(path))
    if type(document) is not list:
        findings.error("wrong shape", "not COCO results, which are a list of objects with bbox and score")
    known = {image.image_id for image in labels.images}
    usable = usable_rows(document, "results", RESULT_FIELDS, findings)
    for position, row in usable.items():
        if problem := _result_problem(row, known, labels):
            findings.error("bad results", f"results[{position}] {problem}")
    _raise_first(findings, "Each row needs image_id, category_id, bbox [x, y, width, height] and score.")
    return _group_results(list(usable.values()), labels)


def _result_problem(row: dict[str, Any], known: set[int], labels: LabelSet) -> str | None:
    if row["image_id"] not in known:
        return f"is of image {row['image_id']}, which {labels.path} does not list"
    if row["category_id"] not in labels.categories.ids:
        return f"has category_id {row['category_id']}; known are {labels.categories} (digit=id)"
    width, height = row["bbox"][2:]
    if width < 0 or height < 0:
        side = f"width {width:g}" if width < 0 else f"height {height:g}"
        return f"has {side} (image {row['image_id']})"
    return None


def _group_results(rows: list[dict[str, Any]], labels: LabelSet) -> dict[int, Detections]:
    labels_by_id = {category_id: label for label, category_id in enumerate(labels.categories.ids, 1)}
    sizes_hw = {image.image_id: image.size_hw for image in labels.images}
    xywh = box_column(rows)
    scores = np.array([row["score"] for row in rows], np.float64)
    columns: dict[str, Any] = {
        "boxes": xywh_to_xyxy(xywh).astype(np.float32),
        "labels": np.array([labels_by_id[row["category_id"]] for row in rows], np.int64),
        "scores": scores.astype(np.float32),
        "xywh": xywh,
        "file_scores": scores,
    }
    rows_of: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        rows_of.setdefault(row["image_id"], []).append(position)
    return {
        image_id: FileDetections(
            size_hw=sizes_hw[image_id], **{name: column[positions] for name, column in columns.items()}
        )
        for image_id, positions in rows_of.items()
    }


def write_results(path: Path, detections: Iterable[tuple[int, Detections]], categories: CategoryMap) -> None:
    """Write COCO results (`pred.json`): boxes to a thousandth of a pixel, scores exactly.

    Scores keep every digit of their float32, since a rounded tie would change the ranking and so
    the figures. Rows are written as they come.

    Raises:
        DataError: A detection is not finite; nothing is written.
    """
    with writing_whole(path) as file:
        between = "["
        for image_id, found in detections:
            if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
                raise DataError(
                    f"image {image_id} has a detection that is not finite; {path} was not written"
                )
            if rows := _json(list(_result_rows(image_id, found, categories)))[1:-1]:
                file.write(between + rows)
                between = ","
        file.write("]" if between == "," else "[]")


def _result_rows(image_id: int, found: Detections, categories: CategoryMap) -> Iterator[dict[str, Any]]:
    scores = [float(str(score)) for score in found.scores.astype(np.float32)]
    for label, box, score in zip(found.labels.tolist(), _rounded_xywh(found.boxes), scores, strict=True):
        category_id = categories.id_of(label)
        yield {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


def write_numbers(path: Path, numbers: Iterable[tuple[int | str, str | None]]) -> None:
    """Write `image_id,pred_label`; a number is written as it is ("042"), none as -1."""
    with writing_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_id", "pred_label"))
        writer.writerows((key, NO_NUMBER if text is None else text) for key, text in numbers)


def read_numbers(path: Path) -> dict[str, str | None]:
    """Read `image_id,pred_label`; numbers stay strings, -1 becomes None.

    Raises:
        DataError: The file is missing, has no such columns, an id twice, or a label that is no number.
    """
    numbers: dict[str, str | None] = {}
    try:
        rows = list(csv.reader(io.StringIO(read_text(path)), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if header[:2] != ["image_id", "pred_label"]:
        raise DataError(f"{path}: the first line must be image_id,pred_label, not {','.join(header)!r}")
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        key, text = (row[0].strip(), row[1].strip()) if len(row) >= 2 else (row[0], "")
        if text != NO_NUMBER and not (text.isascii() and text.isdigit()):
            raise DataError(
                f"{path}: line {line} has pred_label {text!r}",
                hint="A number is digits only, written as text (not 42.0); no number is -1.",
            )
        if key in numbers:
            raise DataError(f"{path}: line {line}: image_id {key} stands twice")
        numbers[key] = None if text == NO_NUMBER else text
    return numbers


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


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: It is missing, empty, cut off or not JSON, with the line and column.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        what = "is cut off" if cut else "is not JSON"
        raise DataError(
            f"{path}: {what}: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="Copy or download the file again." if cut else None,
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON that can be read: {error}") from error


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        DataError: It is missing, empty or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    return text


_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""What files of each kind begin with."""


def _not_text(path: Path) -> DataError:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            return DataError(f"{path}: is compressed ({kind})", hint="Unpack it first.")
    return DataError(f"{path}: not a text file in UTF-8")


def _raise_first(findings: tuple[Finding, ...] | Findings, hint: str) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise DataError(str(finding), hint=hint)


def _rounded_xywh(boxes: FloatArray) -> list[list[float]]:
    corners = boxes.astype(np.float64)
    corners[:, 2:] -= corners[:, :2]
    return [[_compact(value) for value in box] for box in corners.tolist()]


def _compact(value: float) -> float:
    """Round, and write 12 for 12.0."""
    value = round(value, _DECIMALS)
    return int(value) if value.is_integer() else value


def _write_json(document: Any, path: Path) -> None:
    with writing_whole(path) as file:
        file.write(_json(document))


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)
