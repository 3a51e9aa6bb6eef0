"""Checks a parsed label file row by row; cuts boxes to the frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.boxes import xywh_to_xyxy, xyxy_to_xywh
from digitspot.errors import DataError
from digitspot.labels.labels import CLIPPED, DROPPED, BoolArray, CategoryMap, LabelSet
from digitspot.labels.rules import (
    ANNOTATION_FIELDS,
    CATEGORY_FIELDS,
    IMAGE_FIELDS,
    Finding,
    Findings,
    find_duplicates,
    is_integer,
    usable_rows,
    whole,
)
from digitspot.types import DoubleArray, IntArray

Record = dict[str, Any]

_CLIP_TOLERANCE = 0.01
"""Pixels; less is the rounding of a written file and not worth a note."""
_MIN_FRACTION_IMAGES = 0.1
"""Of the images with boxes. Where fewer seem to have boxes in fractions, these are tiny boxes."""
_UNKNOWN, _REJECTED = -1, -2


def scan_labels(document: Any, path: Path) -> LabelSet:
    """Check a parsed label file.

    Returns:
        The rows that keep every rule; `findings` names the others.
    """
    findings = Findings(str(path))
    if type(document) is not dict or not {"images", "annotations"} <= document.keys():
        findings.error("wrong shape", "not COCO labels, which are an object with images and annotations")
        document = {"images": [], "annotations": []}
    elif document["images"] == []:
        findings.error("empty splits", "lists no images")
    categories, label_of_id = _scan_categories(document.get("categories"), findings)
    images = _scan_images(document["images"], findings)
    rows = list(usable_rows(document["annotations"], "annotations", ANNOTATION_FIELDS, findings).values())
    owners = _owners(document["images"], images, rows)
    good = _check_annotations(rows, owners, images, label_of_id, str(categories), findings)
    order = good[np.argsort(owners[good], kind="stable")]
    rows = [rows[row] for row in order.tolist()]
    xywh = box_column(rows)
    counts = np.bincount(owners[order], minlength=len(images))
    return LabelSet(
        path=path,
        categories=categories,
        image_ids=np.array([image["id"] for image in images], np.int64),
        file_names=tuple(image["file_name"] for image in images),
        sizes_hw=np.array([(image["height"], image["width"]) for image in images], np.int64).reshape(-1, 2),
        offsets=np.cumsum([0, *counts], dtype=np.int64),
        annotation_ids=np.array([row["id"] for row in rows], np.int64),
        boxes=xywh_to_xyxy(xywh).astype(np.float32),
        xywh=xywh,
        labels=np.array([label_of_id[row["category_id"]] for row in rows], np.int64),
        areas=np.array([row.get("area", row["bbox"][2] * row["bbox"][3]) for row in rows], np.float64),
        crowd=np.array([row.get("iscrowd", 0) for row in rows], bool),
        findings=tuple(findings),
    )


def box_column(rows: list[Record]) -> DoubleArray:
    """Return the `bbox` of every row, float64 `[N, 4]`."""
    return np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)


def _scan_categories(records: Any, findings: Findings) -> tuple[CategoryMap, dict[int, int]]:
    """Return the map, and the model's label of each category id that the file names."""
    homework = CategoryMap.homework()
    if not records and records in (None, []):
        return homework, {category_id: homework.label_of(category_id) for category_id in homework.ids}
    usable = list(usable_rows(records, "categories", CATEGORY_FIELDS, findings).values())
    try:
        categories = CategoryMap.from_records(usable, findings.where)
    except DataError as error:
        findings.error("bad categories", str(error).removeprefix(f"{findings.where}: "))
        return homework, {}
    return categories, {record["id"]: categories.label_of(record["id"]) for record in usable}


def _scan_images(rows: Any, findings: Findings) -> list[Record]:
    images = list(usable_rows(rows, "images", IMAGE_FIELDS, findings).values())
    again = find_duplicates(image["id"] for image in images)
    for position in again:
        image = images[position]
        findings.error("duplicate ids", f"image {image['id']} stands twice ({image['file_name']})")
    for position in find_duplicates(image["file_name"] for image in images):
        image = images[position]
        findings.warn("files named twice", f"image {image['id']} shares {image['file_name']} with another")
    twice = set(again)
    return [image for position, image in enumerate(images) if position not in twice]


def _owners(listed: Any, images: list[Record], rows: list[Record]) -> IntArray:
    """Return each annotation's image as a position, or why it has none: not listed, or itself bad."""
    owners = {}
    if type(listed) is list:
        ids = (whole(image.get("id")) for image in listed if type(image) is dict)
        owners = {image_id: _REJECTED for image_id in ids if is_integer(image_id)}
    owners |= {image["id"]: position for position, image in enumerate(images)}
    return np.array([owners.get(row["image_id"], _UNKNOWN) for row in rows], np.int64)


def _check_annotations(
    rows: list[Record],
    owners: IntArray,
    images: list[Record],
    label_of_id: dict[int, int],
    categories: str,
    findings: Findings,
) -> IntArray:
    """Add what is wrong with annotations; return the positions of those to keep."""
    ids_known = all(finding.kind != "bad categories" for finding in findings)
    again = set(find_duplicates(row["id"] for row in rows))
    good = []
    for position, (row, owner) in enumerate(zip(rows, owners.tolist(), strict=True)):
        name = f"annotation {row['id']}"
        width, height = row["bbox"][2:]
        if position in again:
            findings.error("duplicate ids", f"{name} stands twice")
        elif owner == _UNKNOWN:
            text = f"{name} belongs to image {row['image_id']}, which the file does not list"
            findings.error("annotations of unknown images", text)
        elif owner == _REJECTED:
            continue
        elif ids_known and row["category_id"] not in label_of_id:
            text = f"{name} has category_id {row['category_id']} {_describe(images[owner])}"
            findings.error("unknown categories", f"{text}; known are {categories} (digit=id)")
        elif width <= 0 or height <= 0:
            side = f"width {width:g}" if width <= 0 else f"height {height:g}"
            findings.error("boxes without area", f"{name} has {side} {_describe(images[owner])}")
        elif row["category_id"] in label_of_id:
            good.append(position)
    return np.array(good, np.int64)


def _describe(image: Record) -> str:
    return f"(image {image['id']}, {image['file_name']})"


def clip_labels(labels: LabelSet) -> LabelSet:
    """Cut boxes to their frame and drop those of which nothing is left, with a warning for each."""
    limits = np.tile(labels.sizes_hw[labels.image_of_box][:, ::-1], 2)  # [N, 4]: width, height, width, height
    before = xywh_to_xyxy(labels.xywh)
    boxes = np.clip(before, 0, limits)
    moved = np.abs(boxes - before).max(axis=1, initial=0) > _CLIP_TOLERANCE
    narrow = boxes.astype(np.float32)
    kept: BoolArray = np.all(narrow[:, 2:] > narrow[:, :2], axis=1)
    cut = (boxes != before).any(axis=1)
    clipped = replace(
        labels,
        boxes=narrow,
        xywh=np.where(cut[:, None], xyxy_to_xywh(boxes), labels.xywh),
        areas=np.where(moved, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), labels.areas),
        findings=(*labels.findings, *_clip_findings(labels, before, moved, kept)),
    )
    return clipped.with_boxes(kept)


def _clip_findings(labels: LabelSet, boxes: DoubleArray, moved: BoolArray, kept: BoolArray) -> Findings:
    """Return a warning for each box that was moved or dropped."""
    findings = Findings(str(labels.path))
    owners = labels.image_of_box
    for row in np.flatnonzero(moved | ~kept).tolist():
        kind, what = (CLIPPED, "leaves the frame") if kept[row] else (DROPPED, "has nothing in the frame")
        owner = owners[row]
        height, width = labels.sizes_hw[owner]
        box = ", ".join(f"{value:g}" for value in boxes[row])
        text = f"annotation {labels.annotation_ids[row]} [{box}] {what} of {width} x {height}"
        image = f"(image {labels.image_ids[owner]}, {labels.file_names[owner]})"
        findings.warn(kind, f"{text} {image}")
    return findings


def box_format_findings(labels: LabelSet) -> list[Finding]:
    """Return what speaks for boxes that are not x, y, width, height in pixels; of labels not clipped."""
    if not len(labels.xywh):
        return []
    findings = Findings(str(labels.path))
    within = (np.abs(labels.xywh) <= 1).all(axis=1)
    counts = np.diff(labels.offsets)
    pixels = np.bincount(labels.image_of_box[~within], minlength=len(labels))
    fractions = (counts > 0) & (pixels == 0)
    if fractions.sum() >= _MIN_FRACTION_IMAGES * (counts > 0).sum():
        row = int(np.flatnonzero(within)[0])
        box = ", ".join(f"{value:g}" for value in labels.xywh[row])
        findings.error(
            "boxes as fractions",
            f"the boxes of {fractions.sum()} images are fractions of the image, such as annotation "
            f"{labels.annotation_ids[row]} [{box}]; they must be pixels: multiply x and width by the image's "
            "width, y and height by its height, or let `digitspot data convert` do it",
        )
    limits = np.tile(labels.sizes_hw[labels.image_of_box][:, ::-1], 2) + 1
    corners = (labels.xywh <= limits).all(axis=1) & (labels.xywh[:, 2:] > labels.xywh[:, :2]).all(axis=1)
    leaving = (xywh_to_xyxy(labels.xywh) > limits).any(axis=1)
    if corners.all() and leaving.sum() > len(labels.xywh) / 2:
        text = f"{leaving.sum()} of {len(labels.xywh)} boxes leave the frame of their image"
        findings.warn("boxes as corners", f"{text}: are they x1, y1, x2, y2 instead of x, y, width, height?")
    return findings


def nothing_to_learn(labels: LabelSet) -> list[Finding]:
    """Return an error where no box of the images can be learnt; crowds are never learnt."""
    if not len(labels) or not labels.crowd.all():
        return []
    text = "no image has a usable box"
    if len(labels.crowd):
        text = f"all {len(labels.crowd)} boxes have iscrowd 1, so no box can be trained on; set iscrowd to 0"
    return [Finding("splits without boxes", "error", str(labels.path), text)]
