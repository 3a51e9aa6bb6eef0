"""Each mix-up of a results file is named, and nothing is named where boxes are good or few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from digitspot.boxes import xywh_to_xyxy
from digitspot.evaluation.diagnosis import likely_cause
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.types import Detections, FloatArray

SIZE_HW = (60, 120)
WHOLE = np.array([120, 60, 120, 60], np.float32)


def label_set() -> LabelSet:
    """Images of three digits each, no two boxes alike."""
    draws = np.random.default_rng(3)
    images = []
    for image_id in range(1, 9):
        left = np.array([8, 40, 75]) + draws.uniform(0, 6, 3)
        sizes = draws.uniform([14, 22], [24, 34], (3, 2))
        xywh = np.column_stack([left, draws.uniform(2, 20, 3), sizes])
        images.append(
            LabelledImage(
                image_id=image_id,
                file_name=f"{image_id}.png",
                size_hw=SIZE_HW,
                boxes=xywh_to_xyxy(xywh).astype(np.float32),
                labels=draws.integers(2, 10, 3),
                areas=xywh[:, 2] * xywh[:, 3],
                crowd=np.zeros(3, bool),
            )
        )
    return LabelSet.of(images, categories=CategoryMap.homework(), path=Path("test.json"))


def written(
    labels: LabelSet, bbox: Callable[[FloatArray], FloatArray], step: int = 0
) -> dict[int, Detections]:
    """Perfect detections as read from a file whose `bbox` has these four values of x, y, width, height."""
    return {
        image.image_id: Detections(
            boxes=xywh_to_xyxy(bbox(image.xywh.astype(np.float32))),
            labels=image.labels + step,
            scores=np.full(3, 0.9, np.float32),
        )
        for image in labels.images
    }


def centre(four: FloatArray) -> FloatArray:
    return np.column_stack([four[:, :2] + four[:, 2:] / 2, four[:, 2:]])


@pytest.mark.parametrize(
    ("bbox", "step", "words"),
    [
        (lambda four: four, 1, "category_id is lowered by one"),
        (lambda four: four, -1, "category_id is raised by one"),
        (lambda four: xywh_to_xyxy(four), 0, "bbox is read as [x1, y1, x2, y2]. "),
        (centre, 0, "bbox is read as [x centre, y centre, width, height]. "),
        (lambda four: four[:, [1, 0, 3, 2]], 0, "bbox is read as [y, x, height, width]. "),
        (lambda four: four / WHOLE, 0, "[x, y, width, height] in fractions"),
        (lambda four: xywh_to_xyxy(four) / WHOLE, 0, "[x1, y1, x2, y2] in fractions"),
        (lambda four: centre(four) / WHOLE, 0, "[x centre, y centre, width, height] in fractions"),
        (lambda four: four + 500, 0, "Are they of these images, in their pixels?"),
    ],
)
def test_each_mix_up_is_named(bbox: Callable[[FloatArray], FloatArray], step: int, words: str) -> None:
    labels = label_set()
    cause = likely_cause(labels, written(labels, bbox, step), mean_ap=0.0)
    assert cause is not None
    assert words in cause


@pytest.mark.parametrize(("step", "word"), [(1, "lowered"), (-1, "raised")])
def test_shifted_image_ids_are_named(step: int, word: str) -> None:
    labels = label_set()
    ids = {image.image_id for image in labels.images}
    right = written(labels, lambda four: four)
    moved = {key + step: each for key, each in right.items() if key + step in ids}
    cause = likely_cause(labels, moved, mean_ap=0.0)
    assert cause is not None
    assert f"every image_id is {word} by one" in cause


def test_nothing_is_named_without_a_reason() -> None:
    labels = label_set()
    shifted = written(labels, lambda four: four, 1)
    assert likely_cause(labels, shifted, mean_ap=0.3) is None  # good
    assert likely_cause(labels, shifted, mean_ap=-1.0) is None  # undefined
    assert likely_cause(labels, {1: shifted[1]}, mean_ap=0.0) is None  # few boxes
    assert likely_cause(labels, {}, mean_ap=0.0) is None
