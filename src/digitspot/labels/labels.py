"""Labels and answers in memory: what every reader of a file returns and every user of one takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.boxes import xyxy_to_xywh
from digitspot.errors import DataError
from digitspot.labels.rules import Finding
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

CLIPPED = "boxes clipped to the frame"
DROPPED = "boxes dropped, empty after clipping"
"""Kinds of findings that say how reading changed boxes."""


@dataclass(frozen=True)
class CategoryMap:
    """Joins a label file's category ids with the model's labels (digit + 1).

    Attributes:
        ids: The category id of each digit, `ids[0]` that of the digit 0.

    >>> homework = CategoryMap.homework()
    >>> homework.label_of(1), homework.id_of(1)
    (1, 1)
    >>> records = [{"id": 10, "name": "0"}, *({"id": d, "name": str(d)} for d in range(1, 10))]
    >>> svhn = CategoryMap.from_records(records)
    >>> svhn.label_of(10), svhn.id_of(1), str(svhn)
    (1, 10, '0=10 1=1 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9')
    """

    ids: tuple[int, ...]

    @classmethod
    def homework(cls) -> CategoryMap:
        """Return the homework's map: category_id = digit + 1."""
        return cls(tuple(range(1, NUM_DIGITS + 1)))

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]], where: str = "categories") -> CategoryMap:
        """Read COCO's `categories`; names decide, whatever the ids.

        Digits that the file does not name get unused ids above the largest.

        Raises:
            DataError: A name is not a digit, or an id or a name stands twice.
        """
        by_digit: dict[int, int] = {}
        for record in records:
            name, category_id = str(record["name"]).strip(), int(record["id"])
            if len(name) != 1 or name not in "0123456789":
                raise DataError(
                    f"{where}: category {category_id} is named {name!r}, which is not a digit 0-9",
                    hint='Name the ten categories "0" to "9"; the ids may be any.',
                )
            if int(name) in by_digit or category_id in by_digit.values():
                raise DataError(f"{where}: category {category_id} named {name!r} stands twice")
            by_digit[int(name)] = category_id
        unused = max(by_digit.values(), default=0) + 1
        ids = []
        for digit in range(NUM_DIGITS):
            ids.append(by_digit.get(digit, unused))
            unused += digit not in by_digit
        return cls(tuple(ids))

    def label_of(self, category_id: int) -> int:
        """Return the model's label, 1..10. Raises `ValueError` for an id that the map does not have."""
        return self.ids.index(category_id) + 1

    def id_of(self, label: int) -> int:
        """Return the file's category id of a model's label, 1..10."""
        return self.ids[label - 1]

    def records(self) -> list[dict[str, Any]]:
        """Return COCO's `categories`, by id."""
        return sorted(({"id": i, "name": str(d)} for d, i in enumerate(self.ids)), key=lambda row: row["id"])

    def __str__(self) -> str:
        return " ".join(f"{digit}={category_id}" for digit, category_id in enumerate(self.ids))


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImage:
    """One image of a label file, with its digits.

    Attributes:
        image_id: The file's id.
        file_name: Relative to the split's image folder.
        size_hw: (height, width) in pixels, as the file states it.
        boxes: float32 `[N, 4]` x1 y1 x2 y2, in the file's order.
        labels: int64 `[N]`, digit + 1.
        areas: float64 `[N]`, COCO's `area` (box area where the file gives none).
        crowd: bool `[N]`, COCO's `iscrowd`.
        file_xywh: float64 `[N, 4]`, only given when the image is made: what a file says of `boxes`.
        xywh: float64 `[N, 4]`, left, top, width, height: as the file has them, else made from `boxes`. COCO's
            figures are of these, since an overlap can lie on a threshold. `dataclasses.replace` makes them
            from `boxes` again, which may be new.
    """

    image_id: int
    file_name: str
    size_hw: tuple[int, int]
    boxes: FloatArray
    labels: IntArray
    areas: DoubleArray
    crowd: BoolArray
    file_xywh: InitVar[DoubleArray | None] = None
    xywh: DoubleArray = field(init=False)

    def __post_init__(self, file_xywh: DoubleArray | None) -> None:
        made = xyxy_to_xywh(self.boxes.astype(np.float64)) if file_xywh is None else file_xywh
        object.__setattr__(self, "xywh", made)

    @property
    def number(self) -> str | None:
        """The digits by left edge as a string, or None where there is none."""
        real = ~self.crowd
        if not real.any():
            return None
        order = np.argsort(self.boxes[real, 0], kind="stable")
        return "".join(str(label - 1) for label in self.labels[real][order])


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSet:
    """A label file as columns: I images in the file's order, and N boxes ordered by their image.

    Attributes:
        path: The file.
        categories: How its category ids map to digits.
        image_ids: int64 `[I]`.
        file_names: `[I]`, relative to the split's image folder.
        sizes_hw: int64 `[I, 2]`, height and width as the file states them.
        offsets: int64 `[I + 1]`; the boxes of image `i` are rows `offsets[i]` to `offsets[i + 1]`.
        annotation_ids: int64 `[N]`, for messages.
        boxes: float32 `[N, 4]`, x1 y1 x2 y2.
        xywh: float64 `[N, 4]`, left, top, width, height, to the last bit of the file.
        labels: int64 `[N]`, digit + 1.
        areas: float64 `[N]`, COCO's `area`.
        crowd: bool `[N]`, COCO's `iscrowd`.
        findings: What is wrong or odd in the file; rows that break a rule are left out of the columns.
    """

    path: Path
    categories: CategoryMap
    image_ids: IntArray
    file_names: tuple[str, ...]
    sizes_hw: IntArray
    offsets: IntArray
    annotation_ids: IntArray
    boxes: FloatArray
    xywh: DoubleArray
    labels: IntArray
    areas: DoubleArray
    crowd: BoolArray
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, images: Sequence[LabelledImage], *, categories: CategoryMap, path: Path) -> LabelSet:
        """Join labelled images; annotation ids count from 1."""
        offsets = np.cumsum([0, *(len(image.boxes) for image in images)], dtype=np.int64)
        return cls(
            path=path,
            categories=categories,
            image_ids=np.array([image.image_id for image in images], np.int64),
            file_names=tuple(image.file_name for image in images),
            sizes_hw=np.array([image.size_hw for image in images], np.int64).reshape(-1, 2),
            offsets=offsets,
            annotation_ids=np.arange(1, offsets[-1] + 1),
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *(image.boxes for image in images)]),
            xywh=np.concatenate([np.zeros((0, 4)), *(image.xywh for image in images)]),
            labels=np.concatenate([np.zeros(0, np.int64), *(image.labels for image in images)]),
            areas=np.concatenate([np.zeros(0), *(image.areas for image in images)]),
            crowd=np.concatenate([np.zeros(0, np.bool_), *(image.crowd for image in images)]),
        )

    def with_images(self, images: Sequence[LabelledImage]) -> LabelSet:
        """Return a label set of other images, with this one's categories and path."""
        return LabelSet.of(images, categories=self.categories, path=self.path)

    def with_boxes(self, keep: BoolArray) -> LabelSet:
        """Return the same images with the boxes that a mask `[N]` keeps."""
        names = ("annotation_ids", "boxes", "xywh", "labels", "areas", "crowd")
        counts = np.bincount(self.image_of_box[keep], minlength=len(self))
        columns = {name: getattr(self, name)[keep] for name in names}
        return replace(self, offsets=np.cumsum([0, *counts], dtype=np.int64), **columns)

    def __len__(self) -> int:
        return len(self.file_names)

    @cached_property
    def images(self) -> tuple[LabelledImage, ...]:
        """The images one by one; their arrays are views of the columns."""
        ends = self.offsets.tolist()
        rows = zip(
            self.image_ids.tolist(), self.file_names, self.sizes_hw.tolist(), ends[:-1], ends[1:], strict=True
        )
        return tuple(
            LabelledImage(
                image_id=image_id,
                file_name=name,
                size_hw=(height, width),
                boxes=self.boxes[start:end],
                labels=self.labels[start:end],
                areas=self.areas[start:end],
                crowd=self.crowd[start:end],
                file_xywh=self.xywh[start:end],
            )
            for image_id, name, (height, width), start, end in rows
        )

    @property
    def image_of_box(self) -> IntArray:
        """int64 `[N]`: the index of each box's image."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def notes(self) -> dict[str, int]:
        """What reading changed, counted: `CLIPPED` and `DROPPED` boxes."""
        kinds = (finding.kind for finding in self.findings)
        return dict(Counter(kind for kind in kinds if kind in (CLIPPED, DROPPED)))


@dataclass(frozen=True, kw_only=True, eq=False)
class FileDetections(Detections):
    """Detections of a results file, with its numbers to the last bit: COCO's figures are of these.

    `select` returns plain detections.

    Attributes:
        xywh: float64 `[N, 4]`, left, top, width, height.
        file_scores: float64 `[N]`, in 0..1.
    """

    xywh: DoubleArray
    file_scores: DoubleArray
