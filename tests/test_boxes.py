"""Box arithmetic, against torchvision's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import ops

from digitspot.boxes import box_areas, box_ious, clip_boxes, suppress, xywh_to_xyxy, xyxy_to_xywh
from digitspot.types import FloatArray

CORNERS = st.tuples(st.integers(-20, 60), st.integers(-20, 60), st.integers(0, 40), st.integers(0, 40))
BOXES = st.lists(CORNERS, max_size=12).map(
    lambda rows: xywh_to_xyxy(np.array(rows, np.float32).reshape(-1, 4))
)
NONE = np.zeros((0, 4), np.float32)


@given(BOXES, BOXES)
def test_areas_and_ious_are_torchvisions(first: FloatArray, second: FloatArray) -> None:
    np.testing.assert_allclose(box_areas(first), ops.box_area(torch.from_numpy(first)).numpy())
    expected = ops.box_iou(torch.from_numpy(first), torch.from_numpy(second)).nan_to_num(0).numpy()
    found = box_ious(first, second)
    assert (found.shape, found.dtype) == ((len(first), len(second)), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(BOXES, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.randoms(use_true_random=False))
def test_suppression_is_torchvisions(boxes: FloatArray, max_iou: float, random: np.random.Generator) -> None:
    boxes = boxes[box_areas(boxes) > 0]  # torchvision divides by zero where both areas are
    scores = np.array([random.random() for _ in boxes], np.float32)
    expected = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), max_iou)
    assert suppress(boxes, scores, max_iou).tolist() == expected.tolist()


@given(BOXES, st.randoms(use_true_random=False))
def test_suppressing_again_changes_nothing(boxes: FloatArray, random: np.random.Generator) -> None:
    scores = np.array([random.random() for _ in boxes], np.float32)
    once = suppress(boxes, scores, 0.4)
    assert suppress(boxes[once], scores[once], 0.4).tolist() == list(range(len(once)))


@pytest.mark.parametrize(
    ("boxes", "scores", "max_iou", "expected", "reason"),
    [
        ([], [], 0.5, [], "nothing"),
        ([[0, 0, 2, 2]], [0.0], 0.5, [0], "one, of score 0"),
        ([[0, 0, 2, 2]] * 2, [0.5, 0.5], 0.5, [0], "equal scores keep their order"),
        ([[0, 0, 2, 2], [0, 0, 2, 1]], [0.5, 0.6], 0.5, [1, 0], "an overlap of exactly the limit stays"),
        ([[0, 0, 2, 2], [0, 0, 2, 1]], [0.5, 0.6], 0.49, [1], "just above it does not"),
        (
            [[0, 0, 4, 1], [3, 0, 7, 1], [1, 0, 5, 1]],
            [0.9, 0.7, 0.8],
            0.3,
            [0, 1],
            "a dropped one drops none",
        ),
        ([[3, 3, 3, 3]] * 2, [0.9, 0.8], 0.5, [0, 1], "points have no overlap"),
    ],
)
def test_suppression(
    boxes: list[list[float]], scores: list[float], max_iou: float, expected: list[int], reason: str
) -> None:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    assert suppress(array, np.array(scores, np.float32), max_iou).tolist() == expected, reason


@pytest.mark.parametrize(
    ("box", "expected", "reason"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], "inside"),
        ([-5, -5, 50, 50], [0, 0, 20, 10], "larger than the image"),
        ([-9, 2, -3, 4], [0, 2, 0, 4], "left of it: no width is left"),
        ([25, 12, 30, 14], [20, 10, 20, 10], "beyond the corner: a point"),
        ([0, 0, 20, 10], [0, 0, 20, 10], "the image itself: half-open"),
    ],
)
def test_clipping(box: list[float], expected: list[float], reason: str) -> None:
    assert clip_boxes(np.array([box], np.float32), (10, 20)).tolist() == [expected], reason


@given(BOXES)
def test_clipping_is_torchvisions(boxes: FloatArray) -> None:
    expected = ops.clip_boxes_to_image(torch.from_numpy(boxes), (30, 25)).numpy()
    np.testing.assert_array_equal(clip_boxes(boxes, (30, 25)), expected)


@given(BOXES)
def test_formats_return(boxes: FloatArray) -> None:
    xywh = xyxy_to_xywh(boxes)
    expected = ops.box_convert(torch.from_numpy(boxes), "xyxy", "xywh").numpy()
    np.testing.assert_array_equal(xywh, expected)
    np.testing.assert_array_equal(xywh_to_xyxy(xywh), boxes)


def test_sides_out_of_order_have_no_area_and_no_overlap() -> None:
    wrong = np.array([[5, 0, 1, 4]], np.float32)
    assert box_areas(wrong).tolist() == [0]
    assert box_ious(wrong, np.array([[0, 0, 9, 9]], np.float32)).tolist() == [[0]]


def test_no_boxes() -> None:
    assert box_areas(NONE).shape == (0,)
    assert box_ious(NONE, NONE).shape == (0, 0)
    assert clip_boxes(NONE, (3, 3)).shape == (0, 4)
    assert xywh_to_xyxy(NONE).shape == xyxy_to_xywh(NONE).shape == (0, 4)
