"""Boxes in the labels' style."""

import numpy as np
import pytest

from digitspot.reading.style import LabelStyle, fit_style, refine_boxes
from digitspot.types import Detections, FloatArray

BOTH = LabelStyle(equal_heights=True, whole_pixels=True)


def boxes(heights: list[float], top: float = 3, step: float = 10) -> FloatArray:
    return np.array([[step * i, top, step * i + 6, top + h] for i, h in enumerate(heights)], np.float32)


def found(boxes_: FloatArray, scores: list[float]) -> Detections:
    return Detections(
        boxes=boxes_, labels=np.ones(len(boxes_), np.int64), scores=np.array(scores, np.float32)
    )


@pytest.mark.parametrize(
    ("labels", "style", "reason"),
    [
        ([], LabelStyle(), "no labels"),
        ([boxes([12, 12])] * 10, LabelStyle(), "too few to tell"),
        ([boxes([12, 12])] * 60, BOTH, "SVHN's style"),
        ([boxes([12])] * 60, LabelStyle(whole_pixels=True), "single digits say nothing of equal heights"),
        ([boxes([12.5, 12.5])] * 60, LabelStyle(equal_heights=True), "between pixels"),
        ([boxes([12, 14])] * 60, LabelStyle(whole_pixels=True), "heights of their own"),
        ([boxes([12, 12])] * 57 + [boxes([12, 13])] * 3, LabelStyle(whole_pixels=True), "5 % differ"),
        ([boxes([12, 12])] * 99 + [boxes([12, 13])], BOTH, "1 % may be mistakes"),
        ([np.zeros((0, 4), np.float32)] * 60, LabelStyle(), "images without a digit"),
    ],
)
def test_style_of_labels(labels: list[FloatArray], style: LabelStyle, reason: str) -> None:
    assert fit_style(labels) == style, reason


def test_boxes_get_the_height_of_the_surer_ones() -> None:
    refined = refine_boxes(found(boxes([20, 20, 24]), [0.9, 0.9, 0.3]), BOTH).boxes
    assert (refined[:, 3] - refined[:, 1]).tolist() == [20, 20, 20]
    assert (refined == np.round(refined)).all()
    assert refined[2, 1] == 5, "its centre stays"


def test_boxes_of_another_size_stay() -> None:
    before = found(boxes([20, 20, 60]), [0.9, 0.9, 0.3])
    assert refine_boxes(before, BOTH).boxes[2].tolist() == before.boxes[2].tolist()


def test_without_a_style_nothing_changes() -> None:
    before = found(boxes([20.3, 21.7]), [0.9, 0.2])
    assert refine_boxes(before, LabelStyle()) is before
    assert len(refine_boxes(Detections.empty(), BOTH)) == 0


@pytest.mark.parametrize("style", [BOTH, LabelStyle(equal_heights=True), LabelStyle(whole_pixels=True)])
def test_refining_twice_is_refining_once(style: LabelStyle, random: np.random.Generator) -> None:
    for _ in range(50):
        before = found(boxes(list(random.uniform(10, 14, 4)), top=random.uniform(0, 9)), [0.9, 0.5, 0.3, 0.1])
        once = refine_boxes(before, style)
        assert refine_boxes(once, style).boxes == pytest.approx(once.boxes, abs=1e-4)


def test_jittered_boxes_come_closer_to_the_labels(random: np.random.Generator) -> None:
    errors = np.zeros(2)
    for _ in range(200):
        true = np.round(boxes([random.integers(12, 40)] * 3, top=random.integers(0, 9)))
        before = found((true + random.normal(0, 0.8, true.shape)).astype(np.float32), [0.9, 0.8, 0.7])
        errors += [np.abs(each.boxes - true).sum() for each in (before, refine_boxes(before, BOTH))]
    assert errors[1] < 0.9 * errors[0]


def test_labels_of_no_style_leave_boxes_to_the_bit(random: np.random.Generator) -> None:
    """Digits whose heights differ within an image, between pixels."""
    labels = [boxes(list(random.uniform(10, 20, 3)), top=random.uniform(0, 9)) for _ in range(200)]
    before = found(labels[0], [0.9, 0.8, 0.7])
    assert refine_boxes(before, fit_style(labels)).boxes is before.boxes
