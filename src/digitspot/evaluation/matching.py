"""Which detection found which true digit: pycocotools' greedy matching, for all images at once.

pycocotools matches image by image and category by category in a Python loop. Here one step matches
the next best detection of every (image, label) group together, at all thresholds and area ranges;
detections that overlap no true box by 0.5 can never match and are left out of the steps. Matches
stay per image, which is what a bootstrap over images needs (`benchmarks/results/evaluation.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitspot.boxes import xyxy_to_xywh
from digitspot.errors import DataError
from digitspot.labels.labels import FileDetections, LabelledImage, LabelSet
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, IntArray

BoolArray = npt.NDArray[np.bool_]

MIN_IOUS: DoubleArray = np.linspace(0.5, 0.95, 10)
"""COCO's ten thresholds, `[T]`, as pycocotools computes them."""
AREA_RANGES: DoubleArray = np.array([[0, 1e5], [0, 32], [32, 96], [96, 1e5]]) ** 2
"""All, small, medium, large, `[A, 2]`: smallest and largest area in pixels, both inclusive (COCO)."""
MAX_DETECTIONS = 100
"""COCO looks at this many detections of an image and label, best first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """The detections and true digits of a set of images, matched.

    Detections are sorted by falling score, then by image id, then as given: pycocotools' order. A
    detection that is neither right nor counted matched an ignored box, or lies outside the area range.

    Attributes:
        image_ids: int64 `[I]`, ascending; `image` and `truth_image` are indices into it.
        image: int64 `[N]`.
        labels: int64 `[N]`, digit + 1.
        rank: int64 `[N]`, place among the detections of the same image and label, from 0.
        right: bool `[A, T, N]`, the detection found a true digit that counts.
        counted: bool `[A, T, N]`, the detection is right or wrong, not ignored.
        truth_image: int64 `[G]`.
        truth_labels: int64 `[G]`.
        truth_counted: bool `[A, G]`, not a crowd and inside the area range.
    """

    image_ids: IntArray
    image: IntArray
    labels: IntArray
    rank: IntArray
    right: BoolArray
    counted: BoolArray
    truth_image: IntArray
    truth_labels: IntArray
    truth_counted: BoolArray

    @property
    def num_images(self) -> int:
        """How many images were compared."""
        return len(self.image_ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Boxes of many images, one a row.

    Attributes:
        group: int64 `[N]`, image index * (NUM_DIGITS + 1) + label.
        xywh: float64 `[N, 4]`, left, top, width, height: pycocotools computes with these, and the rounding of
            corners would move an overlap off its threshold.
        areas: float64 `[N]`, in pixels; of the truth COCO's `area`, which need not be the box's.
        crowd: bool `[N]`.
    """

    group: IntArray
    xywh: DoubleArray
    areas: DoubleArray
    crowd: BoolArray

    @property
    def image(self) -> IntArray:
        return self.group // (NUM_DIGITS + 1)

    @property
    def labels(self) -> IntArray:
        return self.group % (NUM_DIGITS + 1)


def match_boxes(
    labels: LabelSet, detections: Mapping[int, Detections], image_ids: Iterable[int] | None = None
) -> Matches:
    """Match detections to true digits as pycocotools does.

    Args:
        labels: The truth, its boxes as the file has them (not clipped).
        detections: By image id; an image that is missing has no detections.
        image_ids: Compare these images only; None means all of `labels`.

    Raises:
        DataError: An id of `detections` or `image_ids` is not an image of `labels`.
    """
    images = _chosen_images(labels, detections, image_ids)
    truth = _truth_rows(images)
    found, rank = _detection_rows([detections.get(image.image_id, _NOTHING) for image in images])
    truth_counted = ~truth.crowd & _inside(truth.areas)
    right, counted = _match_rows(found, truth, truth_counted)
    return Matches(
        image_ids=np.array([image.image_id for image in images], np.int64),
        image=found.image,
        labels=found.labels,
        rank=rank,
        right=right,
        counted=counted,
        truth_image=truth.image,
        truth_labels=truth.labels,
        truth_counted=truth_counted,
    )


_NOTHING = Detections.empty()


def _chosen_images(
    labels: LabelSet, detections: Mapping[int, Detections], image_ids: Iterable[int] | None
) -> list[LabelledImage]:
    by_id = {image.image_id: image for image in labels.images}
    chosen = set(by_id) if image_ids is None else set(image_ids)
    for ids, what in ((chosen, "image_ids"), (set(detections), "detections")):
        if unknown := sorted(ids - set(by_id)):
            raise DataError(
                f"{what}: {len(unknown)} of {len(ids)} images are not in {labels.path}, such as {unknown[0]}",
                hint="Compare predictions with the label file of the same images.",
            )
    return [by_id[image_id] for image_id in sorted(chosen)]


def _truth_rows(images: Sequence[LabelledImage]) -> _Rows:
    """Return the true digits by image, in the file's order."""
    labels = np.concatenate([_NO_INTS, *(image.labels for image in images)])
    owner = np.repeat(np.arange(len(images)), [len(image.labels) for image in images])
    return _Rows(
        group=owner * (NUM_DIGITS + 1) + labels,
        xywh=np.concatenate([np.zeros((0, 4)), *(image.xywh for image in images)]),
        areas=np.concatenate([np.zeros(0), *(image.areas for image in images)]),
        crowd=np.concatenate([np.zeros(0, bool), *(image.crowd for image in images)]),
    )


_NO_INTS: IntArray = np.zeros(0, np.int64)


def _detection_rows(found: Sequence[Detections]) -> tuple[_Rows, IntArray]:
    """Return the best `MAX_DETECTIONS` of every image and label by falling score, and each one's rank."""
    labels = np.concatenate([_NO_INTS, *(each.labels for each in found)])
    scores = np.concatenate([np.zeros(0), *map(_scores, found)])
    xywh = np.concatenate([np.zeros((0, 4)), *map(_xywh, found)])
    group = np.repeat(np.arange(len(found)), [len(each) for each in found]) * (NUM_DIGITS + 1) + labels
    order = np.argsort(-scores, kind="stable")
    rank = _rank_in_group(group[order])
    kept = rank < MAX_DETECTIONS
    order, rank = order[kept], rank[kept]
    xywh = xywh[order]
    areas = xywh[:, 2] * xywh[:, 3]
    return _Rows(group=group[order], xywh=xywh, areas=areas, crowd=np.zeros(len(order), bool)), rank


def _xywh(found: Detections) -> DoubleArray:
    """Return the boxes as the file has them, or made from the detector's."""
    if isinstance(found, FileDetections):
        return found.xywh
    return xyxy_to_xywh(found.boxes.astype(np.float64))


def _scores(found: Detections) -> DoubleArray:
    """Return the scores as the file has them, or the detector's."""
    return found.file_scores if isinstance(found, FileDetections) else found.scores.astype(np.float64)


def _rank_in_group(group: IntArray) -> IntArray:
    """Return how many earlier rows have the same group, for each row: `[N]`."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    return rank


def _inside(areas: DoubleArray) -> BoolArray:
    """Return which areas lie in which of the `AREA_RANGES`: `[A, N]`."""
    return np.asarray((areas >= AREA_RANGES[:, :1]) & (areas <= AREA_RANGES[:, 1:]), bool)


def _match_rows(found: _Rows, truth: _Rows, truth_counted: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which detections are right and which count: bool `[A, T, N]` each, as in `Matches`.

    Step by step every group's next best detection takes, of the true digits still free (a crowd is
    always free) with enough overlap, the one that overlaps most; one that counts before one that does
    not; of equal ones the last in the file (pycocotools `COCOeval.evaluateImg`).
    """
    candidates, partners, ious = _overlapping(found, truth)
    step = _rank_in_group(found.group[candidates])
    shape = (len(AREA_RANGES), len(MIN_IOUS))
    free = np.ones((*shape, len(truth.group)), bool)
    right = np.zeros((*shape, len(found.group)), bool)
    counted = np.repeat(_inside(found.areas)[:, None, :], len(MIN_IOUS), axis=1)
    for now in range(step.max(initial=-1) + 1):
        rows = np.flatnonzero(step == now)
        taken = _take_best(partners[rows], ious[rows], free, truth_counted)
        area, threshold, row = np.nonzero(taken >= 0)
        digit, detection = taken[area, threshold, row], candidates[rows[row]]
        free[area, threshold, digit] = truth.crowd[digit]
        right[area, threshold, detection] = truth_counted[area, digit]
        counted[area, threshold, detection] = truth_counted[area, digit]
    return right, counted


def _take_best(partners: IntArray, ious: DoubleArray, free: BoolArray, truth_counted: BoolArray) -> IntArray:
    """Return what each of M detections of different groups takes, or -1: `[A, T, M]`.

    Args:
        partners: `[M, K]`, true digits that the detection overlaps, in the file's order; -1 fills up.
        ious: `[M, K]`; -1 fills up.
        free: `[A, T, G]`.
        truth_counted: `[A, G]`.
    """
    taken = np.full((*free.shape[:2], len(partners)), -1, np.int64)
    for wanted in (True, False):
        missing = taken < 0
        best = np.broadcast_to(MIN_IOUS[:, None], taken.shape).copy()
        for partner, iou in zip(partners.T, ious.T, strict=True):
            kind = (truth_counted[:, partner] == wanted)[:, None, :]
            better = missing & kind & free[:, :, partner] & (iou >= best)
            taken = np.where(better, partner, taken)
            best = np.where(better, iou, best)
    return taken


def _overlapping(found: _Rows, truth: _Rows) -> tuple[IntArray, IntArray, DoubleArray]:
    """Find the detections that overlap a true digit of their group by at least 0.5.

    Returns:
        Their C rows; `[C, K]` the true digits in the file's order; `[C, K]` the overlaps; -1 fills up.
    """
    by_group = np.argsort(truth.group, kind="stable")
    groups = truth.group[by_group]
    first, end = np.searchsorted(groups, found.group, "left"), np.searchsorted(groups, found.group, "right")
    row = np.repeat(np.arange(len(found.group)), end - first)
    partner = by_group[first[row] + _rank_in_group(row)]
    iou = _pair_ious(found, row, truth, partner)
    close = iou >= MIN_IOUS[0]
    row, partner, iou = row[close], partner[close], iou[close]
    candidates, which = np.unique(row, return_inverse=True)
    column = _rank_in_group(row)
    shape = (len(candidates), column.max(initial=-1) + 1)
    partners, ious = np.full(shape, -1, np.int64), np.full(shape, -1.0)
    partners[which, column], ious[which, column] = partner, iou
    return candidates, partners, ious


def _pair_ious(found: _Rows, row: IntArray, truth: _Rows, partner: IntArray) -> DoubleArray:
    """Return the overlap of each pair, `[P]`: over the union, or over the detection for a crowd.

    The formula and its order of operations are those of pycocotools' `bbIou`.
    """
    box, other = found.xywh[row], truth.xywh[partner]
    ends = np.minimum(box[:, :2] + box[:, 2:], other[:, :2] + other[:, 2:])
    sides = ends - np.maximum(box[:, :2], other[:, :2])
    inter = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0)
    area, other_area = box[:, 2] * box[:, 3], other[:, 2] * other[:, 3]
    union = np.where(truth.crowd[partner], area, area + other_area - inter)
    return np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)
