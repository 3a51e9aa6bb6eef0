"""Box arithmetic on numpy arrays: `[N, 4]`, x1 y1 x2 y2, half-open."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from digitspot.types import FloatArray, IntArray

Real = TypeVar("Real", np.float32, np.float64)


def box_areas(boxes: FloatArray) -> FloatArray:
    """Return the areas, `[N]`; a box whose sides are out of order has area 0.

    >>> box_areas(np.array([[0, 0, 2, 3], [5, 5, 4, 9]], np.float32)).tolist()
    [6.0, 0.0]
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def box_ious(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return intersection over union of every pair, `[N, M]`; 0 where both areas are 0.

    >>> box_ious(np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2]], np.float32)).round(3).tolist()
    [[0.3330000042915344]]
    """
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    inter = sides[..., 0] * sides[..., 1]
    union = box_areas(first)[:, None] + box_areas(second)[None, :] - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0), np.float32)


def clip_boxes(boxes: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Return the boxes cut to an image of the given (height, width)."""
    height, width = size_hw
    limits = np.array([width, height, width, height], np.float32)
    return np.asarray(np.clip(boxes, 0, limits), np.float32)


def xywh_to_xyxy(boxes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Turn COCO's left, top, width, height into x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Turn x1, y1, x2, y2 into COCO's left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def suppress(boxes: FloatArray, scores: FloatArray, max_iou: float) -> IntArray:
    """Greedy non-maximum suppression whatever the class: one place, one digit.

    Args:
        boxes: float32 `[N, 4]`.
        scores: float32 `[N]`; equal scores keep their order.
        max_iou: A box that overlaps a kept one by more than this is dropped.

    Returns:
        Indices of the kept boxes, best score first.
    """
    order = np.argsort(-scores, kind="stable")
    ious = box_ious(boxes[order], boxes[order])
    alive = np.ones(len(order), bool)
    for rank in range(len(order)):
        if alive[rank]:
            alive[rank + 1 :] &= ious[rank, rank + 1 :] <= max_iou
    return np.asarray(order[alive], np.int64)


def joined_groups(are_near: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the group of each of N things, `[N]`, numbered from 0: those joined by a chain of near ones.

    Args:
        are_near: bool `[N, N]`, symmetric.

    >>> joined_groups(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool)).tolist()
    [0, 1, 0]
    """
    group = np.full(len(are_near), -1, np.int64)
    for first in range(len(group)):
        if group[first] >= 0:
            continue
        number, queue = int(group.max()) + 1, [first]
        group[first] = number
        while queue:
            joined = np.flatnonzero(are_near[queue.pop()] & (group < 0))
            group[joined] = number
            queue += joined.tolist()
    return group
