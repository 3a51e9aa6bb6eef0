"""Reading and writing COCO results (`pred.json`) and number files (`pred.csv`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.boxes import xywh_to_xyxy
from digitspot.errors import DataError
from digitspot.files import read_json, read_text, writing_whole
from digitspot.labels.coco import compact_json, raise_first, rounded_xywh
from digitspot.labels.labels import CategoryMap, FileDetections, LabelSet
from digitspot.labels.rules import RESULT_FIELDS, Findings, usable_rows
from digitspot.labels.scan import box_column
from digitspot.types import Detections

NO_NUMBER = "-1"
"""How a number file says that an image shows no number."""


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
    raise_first(findings, "Each row needs image_id, category_id, bbox [x, y, width, height] and score.")
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
            if rows := compact_json(list(_result_rows(image_id, found, categories)))[1:-1]:
                file.write(between + rows)
                between = ","
        file.write("]" if between == "," else "[]")


def _result_rows(image_id: int, found: Detections, categories: CategoryMap) -> Iterator[dict[str, Any]]:
    scores = [float(str(score)) for score in found.scores.astype(np.float32)]
    for label, box, score in zip(found.labels.tolist(), rounded_xywh(found.boxes), scores, strict=True):
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
