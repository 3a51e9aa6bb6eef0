"""A label file as columns, checked: what `read_labels` builds on and `digitspot data check` reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.boxes import xywh_to_xyxy, xyxy_to_xywh
from digitspot.errors import DataError
from digitspot.labels.labels import CategoryMap, LabelledImage
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

CLIPPED = "boxes clipped to the frame"
DROPPED = "boxes dropped, empty after clipping"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_CLIP_TOLERANCE = 0.01
"""Pixels; less is the rounding of a written file and not worth a note."""
_UNKNOWN, _REJECTED = -1, -2


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelTable:
    """The rows of a label file that keep the rules, and what is wrong with the others.

    Attributes:
        place: The file, as messages name it.
        categories: The file's, or the homework's where it names none.
        image_ids: `[I]`, in the file's order.
        file_names: `[I]`.
        sizes_hw: int64 `[I, 2]`.
        annotation_ids: int64 `[N]`, in the file's order.
        owners: int64 `[N]`, the position of each annotation's image.
        boxes: float64 `[N, 4]`, x1 y1 x2 y2.
        xywh: float64 `[N, 4]`, the same as the file has them.
        labels: int64 `[N]`, digit + 1.
        areas: float64 `[N]`.
        crowd: bool `[N]`.
        findings: Everything found so far.
    """

    place: str
    categories: CategoryMap
    image_ids: list[int]
    file_names: list[str]
    sizes_hw: Integers
    annotation_ids: Integers
    owners: Integers
    boxes: Floats
    xywh: Floats
    labels: Integers
    areas: Floats
    crowd: Mask
    findings: tuple[Finding, ...]

    def select(self, keep: Mask | npt.NDArray[np.intp]) -> LabelTable:
        """Return the table with the annotations that a mask or index array names."""
        names = ("annotation_ids", "owners", "boxes", "xywh", "labels", "areas", "crowd")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def describe(self, row: int) -> str:
        """Name an annotation's image: "(image 204, 204.png)"."""
        owner = self.owners[row]
        return f"(image {self.image_ids[owner]}, {self.file_names[owner]})"

    def images(self) -> tuple[LabelledImage, ...]:
        """Return the images with their annotations, both in the file's order."""
        table = self.select(np.argsort(self.owners, kind="stable"))
        ends = np.searchsorted(table.owners, np.arange(len(self.image_ids) + 1)).tolist()
        boxes = table.boxes.astype(np.float32)
        return tuple(
            LabelledImage(
                image_id=image_id,
                file_name=name,
                size_hw=(height, width),
                boxes=boxes[start:end],
                labels=table.labels[start:end],
                areas=table.areas[start:end],
                crowd=table.crowd[start:end],
                file_xywh=table.xywh[start:end],
            )
            for image_id, name, (height, width), start, end in zip(
                self.image_ids, self.file_names, self.sizes_hw.tolist(), ends[:-1], ends[1:], strict=True
            )
        )


def scan_labels(document: Any, place: str) -> LabelTable:
    """Check a parsed label file; return what can be used of it together with all that is wrong."""
    findings = Findings(place)
    if type(document) is not dict or not {"images", "annotations"} <= document.keys():
        findings.error("wrong shape", "not COCO labels, which are an object with images and annotations")
        document = {"images": [], "annotations": []}
    elif document["images"] == []:
        findings.error("empty splits", "lists no images")
    categories, labels_by_id = _scan_categories(document.get("categories"), findings)
    images = _scan_images(document["images"], findings)
    rows = list(usable_rows(document["annotations"], "annotations", ANNOTATION_FIELDS, findings).values())
    xywh = box_column(rows)
    table = LabelTable(
        place=place,
        categories=categories,
        image_ids=[image["id"] for image in images],
        file_names=[image["file_name"] for image in images],
        sizes_hw=np.array([(image["height"], image["width"]) for image in images], np.int64).reshape(-1, 2),
        annotation_ids=np.array([row["id"] for row in rows], np.int64),
        owners=_owners(document["images"], images, rows),
        boxes=xywh_to_xyxy(xywh),
        xywh=xywh,
        labels=np.array([labels_by_id.get(row["category_id"], 0) for row in rows], np.int64),
        areas=np.array([row.get("area", row["bbox"][2] * row["bbox"][3]) for row in rows], np.float64),
        crowd=np.array([row.get("iscrowd", 0) for row in rows], bool),
        findings=(),
    )
    keep = _check_annotations(table, rows, findings)
    return replace(table.select(keep), findings=tuple(findings))


def box_column(rows: list[dict[str, Any]]) -> Floats:
    """Return the `bbox` of every row, float64 `[N, 4]`."""
    return np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)


def _scan_categories(records: Any, findings: Findings) -> tuple[CategoryMap, dict[int, int]]:
    """Return the map, and the model's label of each category id that the file names."""
    homework = CategoryMap.homework()
    if not records and records in (None, []):
        return homework, {category_id: homework.label_of(category_id) for category_id in homework.ids}
    usable = list(usable_rows(records, "categories", CATEGORY_FIELDS, findings).values())
    try:
        categories = CategoryMap.from_records(usable, findings.place)
    except DataError as error:
        findings.error("bad categories", str(error).removeprefix(f"{findings.place}: "))
        return homework, {}
    return categories, {record["id"]: categories.label_of(record["id"]) for record in usable}


def _scan_images(rows: Any, findings: Findings) -> list[dict[str, Any]]:
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


def _owners(listed: Any, images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Integers:
    """Return each annotation's image as a position, or why it has none: not listed, or itself bad."""
    owners = {}
    if type(listed) is list:
        ids = (whole(image.get("id")) for image in listed if type(image) is dict)
        owners = {image_id: _REJECTED for image_id in ids if is_integer(image_id)}
    owners |= {image["id"]: position for position, image in enumerate(images)}
    return np.array([owners.get(row["image_id"], _UNKNOWN) for row in rows], np.int64)


def _check_annotations(table: LabelTable, rows: list[dict[str, Any]], findings: Findings) -> Mask:
    """Add what is wrong with annotations; return a mask of those to keep."""
    keep = table.owners >= 0
    for row in np.flatnonzero(table.owners == _UNKNOWN).tolist():
        image_id = rows[row]["image_id"]
        text = f"annotation {rows[row]['id']} belongs to image {image_id}, which the file does not list"
        findings.error("annotations of unknown images", text)
    for row in find_duplicates(table.annotation_ids.tolist()):
        findings.error("duplicate ids", f"annotation {rows[row]['id']} stands twice")
        keep[row] = False
    categories_known = all(finding.kind != "bad categories" for finding in findings)
    for row in np.flatnonzero(keep & categories_known & (table.labels == 0)).tolist():
        text = (
            f"annotation {rows[row]['id']} has category_id {rows[row]['category_id']} {table.describe(row)}"
        )
        findings.error("unknown categories", f"{text}; known are {table.categories} (digit=id)")
    for row in np.flatnonzero(keep & np.any(table.xywh[:, 2:] <= 0, axis=1)).tolist():
        width, height = rows[row]["bbox"][2:]
        side = f"width {width:g}" if width <= 0 else f"height {height:g}"
        findings.error("boxes without area", f"annotation {rows[row]['id']} has {side} {table.describe(row)}")
        keep[row] = False
    return np.asarray(keep & (table.labels > 0), bool)


def clip_table(table: LabelTable) -> LabelTable:
    """Cut boxes to their frame and drop those of which nothing is left, with a warning for each."""
    limits = np.tile(table.sizes_hw[table.owners][:, ::-1], 2)  # [N, 4]: width, height, width, height
    boxes = np.clip(table.boxes, 0, limits)
    moved = np.abs(boxes - table.boxes).max(axis=1, initial=0) > _CLIP_TOLERANCE
    narrow = boxes.astype(np.float32)
    kept: Mask = np.all(narrow[:, 2:] > narrow[:, :2], axis=1)
    findings = Findings(table.place)
    for row in np.flatnonzero(moved | ~kept).tolist():
        kind, what = (CLIPPED, "leaves the frame") if kept[row] else (DROPPED, "has nothing in the frame")
        height, width = table.sizes_hw[table.owners[row]]
        box = ", ".join(f"{value:g}" for value in table.boxes[row])
        text = f"annotation {table.annotation_ids[row]} [{box}] {what} of {width} x {height}"
        findings.warn(kind, f"{text} {table.describe(row)}")
    areas = np.where(moved, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), table.areas)
    cut = (boxes != table.boxes).any(axis=1)
    xywh = np.where(cut[:, None], xyxy_to_xywh(boxes), table.xywh)
    found = (*table.findings, *findings)
    return replace(table, boxes=boxes, xywh=xywh, areas=areas, findings=found).select(kept)
