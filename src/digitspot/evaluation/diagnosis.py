"""Why average precision is near zero although there are many boxes: usually a mix-up in the results file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from digitspot.evaluation.coco_metrics import evaluate_boxes
from digitspot.labels.labels import LabelSet
from digitspot.types import NUM_DIGITS, Detections, FloatArray

NEAR_ZERO_AP = 0.05
"""A result below this is looked into; a model that learnt anything is above."""
MIN_AP = 0.1
"""A change must lift AP to this, and to three times what it was, to be named as the cause."""
MAX_IMAGES = 500
"""So many images show a mix-up."""

Boxes = Mapping[int, Detections]


def likely_cause(
    labels: LabelSet, detections: Boxes, mean_ap: float, image_ids: Iterable[int] | None = None
) -> str | None:
    """Name the mix-up that makes AP near zero.

    Each common mix-up is undone in turn; the one whose undoing lifts AP most is named.

    Args:
        labels: The truth, read with `clip=False`.
        detections: By image id.
        mean_ap: AP of these detections, in 0..1, or -1 where undefined.
        image_ids: Compare these images only; None means all of `labels`.

    Returns:
        A sentence for the user; None if AP is not near zero, or there are few boxes.
    """
    chosen = {image.image_id for image in labels.images} if image_ids is None else set(image_ids)
    images = [image for image in labels.images if image.image_id in chosen and len(image.boxes)]
    ids = {image.image_id for image in images[:MAX_IMAGES]}
    num_truth = sum(len(image.boxes) for image in images[:MAX_IMAGES])
    num_found = sum(len(detections.get(each, _NONE)) for each in ids)
    if not 0 <= mean_ap < NEAR_ZERO_AP or num_found < num_truth / 2:
        return None
    sizes = {image.image_id: image.size_hw for image in labels.images}
    tries = [
        (
            evaluate_boxes(labels, {key: each for key, each in changed.items() if key in ids}, ids).mean_ap,
            name,
        )
        for name, changed in _without_mix_ups(detections, sizes)
    ]
    best_ap, name = max(tries)
    if best_ap < max(MIN_AP, 3 * mean_ap):
        return f"AP is {mean_ap:.3f} with {num_found} boxes. Are they of these images, in their pixels?"
    return f"AP is {mean_ap:.3f}; it is {best_ap:.3f} if {name}. Check how the results file was written."


_NONE = Detections.empty()


def _without_mix_ups(detections: Boxes, sizes: Mapping[int, tuple[int, int]]) -> Iterator[tuple[str, Boxes]]:
    """Yield each mix-up, as a condition, and the detections without it."""
    for step, word in ((-1, "lowered"), (1, "raised")):
        relabelled = {key: _relabel(each, step) for key, each in detections.items()}
        yield f"every category_id is {word} by one digit", relabelled
    for step, word in ((-1, "lowered"), (1, "raised")):
        moved = {key + step: each for key, each in detections.items() if key + step in sizes}
        yield f"every image_id is {word} by one", moved
    for layout, convert in _LAYOUTS.items():
        boxes = {key: convert(_file_box(each)) for key, each in detections.items()}
        if layout != _COCO:
            yield f"bbox is read as {layout}", _rebox(detections, boxes)
        in_pixels = {key: each * _whole(sizes[key]) for key, each in boxes.items()}
        condition = f"bbox is read as {layout} in fractions of the image, not in pixels"
        yield condition, _rebox(detections, in_pixels)


def _relabel(found: Detections, step: int) -> Detections:
    """Move every label by `step`; a label that leaves 1..10 is dropped."""
    labels = found.labels + step
    moved = Detections(boxes=found.boxes, labels=labels, scores=found.scores)
    return moved.select((labels >= 1) & (labels <= NUM_DIGITS))


def _rebox(detections: Boxes, boxes: Mapping[int, FloatArray]) -> dict[int, Detections]:
    return {
        key: Detections(boxes=boxes[key], labels=each.labels, scores=each.scores)
        for key, each in detections.items()
    }


def _file_box(found: Detections) -> FloatArray:
    """Return the four values that the results file has, `[N, 4]`: corners minus the first corner."""
    return np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)


def _whole(size_hw: tuple[int, int]) -> FloatArray:
    height, width = size_hw
    return np.array([width, height, width, height], np.float32)


def _from_corner(four: FloatArray) -> FloatArray:
    return np.concatenate([four[:, :2], four[:, :2] + four[:, 2:]], axis=1)


def _from_corners(four: FloatArray) -> FloatArray:
    return four


def _from_centre(four: FloatArray) -> FloatArray:
    return np.concatenate([four[:, :2] - four[:, 2:] / 2, four[:, :2] + four[:, 2:] / 2], axis=1)


def _from_rows(four: FloatArray) -> FloatArray:
    return _from_corner(four[:, [1, 0, 3, 2]])


_COCO = "[x, y, width, height]"
_LAYOUTS: dict[str, Callable[[FloatArray], FloatArray]] = {
    _COCO: _from_corner,
    "[x1, y1, x2, y2]": _from_corners,
    "[x centre, y centre, width, height]": _from_centre,
    "[y, x, height, width]": _from_rows,
}
