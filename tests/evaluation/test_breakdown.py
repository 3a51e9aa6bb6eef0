"""Precision and recall, confusions and groups, against counts by hand and pycocotools' curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitspot.evaluation.breakdown import (
    digit_confusion,
    digit_heights,
    group,
    groups_by,
    precision_recall,
    reading_groups,
)
from digitspot.evaluation.matching import match_boxes
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.types import Detections


def image(image_id: int, digits: list[int], crowd: int | None = None) -> LabelledImage:
    boxes = np.array([[20 * i, 0, 20 * i + 10, 20] for i in range(len(digits))], np.float32).reshape(-1, 4)
    crowds = np.array([i == crowd for i in range(len(digits))], bool)
    labels = np.array(digits, np.int64) + 1
    areas = np.full(len(digits), 200.0)
    return LabelledImage(
        image_id=image_id,
        file_name=f"{image_id}.png",
        size_hw=(40, 100),
        boxes=boxes,
        labels=labels,
        areas=areas,
        crowd=crowds,
    )


def found(*rows: tuple[float, int, float]) -> Detections:
    """Return detections from (left, digit, score)."""
    return Detections(
        boxes=np.array([[x, 0, x + 10, 20] for x, _, _ in rows], np.float32).reshape(-1, 4),
        labels=np.array([digit + 1 for _, digit, _ in rows], np.int64),
        scores=np.array([score for _, _, score in rows], np.float32),
    )


IMAGES = (image(1, [4, 2]), image(2, [7]), image(3, []), image(4, [1, 5], crowd=1))
DETECTIONS = {
    1: found((0, 4, 0.9), (1, 4, 0.8), (20, 3, 0.7)),
    2: found((0, 7, 0.4)),
    3: found((50, 8, 0.95)),
    4: found((0, 1, 0.6)),
}


def test_confusion_by_hand() -> None:
    counts = digit_confusion(IMAGES, DETECTIONS)
    expected = {(4, 4): 1, (10, 4): 1, (2, 3): 1, (7, 10): 1, (10, 8): 1, (1, 1): 1}
    assert {(i, j): counts[i, j] for i, j in zip(*np.nonzero(counts), strict=True)} == expected


def test_precision_and_recall_by_hand() -> None:
    labels = LabelSet.of(IMAGES, categories=CategoryMap(tuple(range(1, 11))), path=Path("x"))
    recall, precision = precision_recall(match_boxes(labels, DETECTIONS), 0.5)
    # By score: 8 wrong, 4 right, 4 again wrong, 3 for 2 wrong, 1 right, 7 right; four true digits.
    np.testing.assert_allclose(recall, [1 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(precision, [1 / 2, 2 / 5, 3 / 6])


def test_nothing_found_is_an_empty_curve() -> None:
    labels = LabelSet.of(IMAGES, categories=CategoryMap(tuple(range(1, 11))), path=Path("x"))
    recall, precision = precision_recall(match_boxes(labels, {}), 0.5)
    assert len(recall) == len(precision) == 0
    assert digit_confusion(IMAGES, {}).sum() == 4


def test_groups_hold_every_image_once() -> None:
    heights = digit_heights(IMAGES)
    assert heights.tolist() == [20, 20, 0, 20]
    right = np.array([True, False, True, True])
    groups = groups_by(heights, right, (10, 20, 30), "px")
    assert [(each.name, each.num_images, each.accuracy) for each in groups] == [
        ("< 10 px", 1, 1.0),
        ("20–30 px", 3, pytest.approx(2 / 3)),
    ]


@pytest.mark.parametrize(
    ("right", "num", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_as_published(right: int, num: int, low: float, high: float) -> None:
    """Newcombe 1998, table I: 81 of 263; the others follow from his formula for 0 and n of n."""
    found = group("", np.arange(num) < right)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


def test_groups_of_readings() -> None:
    """By the size and number of digits, and the room at the left and right; an image can be in several."""
    right, said = np.array([True, False, True, True]), np.array([0.9, 0.5, 0.7, 0.8])
    found = {each.name: each for each in reading_groups(IMAGES, right, said)}
    assert sum(found[name].num_images for name in found if name.endswith(("digit", "digits", "number"))) == 4
    none = found["no number"]
    assert (none.num_images, none.accuracy, none.probability) == (1, 1.0, pytest.approx(0.7))
    narrow = replace(IMAGES[0], size_hw=(40, int(IMAGES[0].boxes[:, 2].max()) + 1))
    [*_, border] = reading_groups([narrow], right[:1], said[:1])
    assert "border" in border.name
