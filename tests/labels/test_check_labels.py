"""What labels alone give away: one row of the table for each kind, and what must stay quiet."""

from __future__ import annotations

import numpy as np
import pytest

from digitspot.labels.check_labels import label_findings, scale_findings
from digitspot.labels.labels import LabelledImage

ROW = [[10, 10, 20, 30], [21, 10, 31, 30], [32, 10, 42, 30]]
TILTED = [[10, 10, 20, 30], [21, 14, 31, 34], [32, 18, 42, 38]]


def labelled(boxes: list[list[float]], digit: int = 1, crowd: bool = False, side: int = 100) -> LabelledImage:
    num = len(boxes)
    return LabelledImage(
        image_id=7,
        file_name="7.png",
        size_hw=(side, 2 * side),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.full(num, digit + 1),
        areas=np.ones(num),
        crowd=np.full(num, crowd),
    )


@pytest.mark.parametrize(
    ("boxes", "kinds", "reason"),
    [
        ([], [], "no box"),
        (ROW[:1], [], "one box"),
        (ROW, [], "an even row"),
        (TILTED, [], "a tilted row"),
        ([ROW[0], ROW[2]], ["rows with a gap"], "the one in the middle is missing"),
        ([ROW[2], ROW[0]], ["rows with a gap"], "in any order"),
        ([ROW[0], [10, 40, 20, 60]], [], "one above the other is no gap"),
        ([ROW[0], [30, 60, 40, 80]], [], "two rows"),
        ([*ROW[:2], [32, 10, 42, 45]], ["rows of uneven heights"], "one reaches too far down"),
        ([*ROW, [11, 11, 20, 30]], ["boxes on one another"], "one digit twice"),
        ([*ROW, [10, 10, 20, 30]], ["boxes on one another"], "exactly"),
        ([ROW[0], [16, 10, 26, 30]], [], "neighbours overlap by a quarter"),
        ([ROW[0], [25, 20, 25, 20]], None, "a box without area does not stop it"),
    ],
)
def test_rows(boxes: list[list[float]], kinds: list[str] | None, reason: str) -> None:
    findings = label_findings([labelled(boxes)], "train.json")
    assert kinds is None or [finding.kind for finding in findings] == kinds, reason
    assert all("image 7, 7.png" in finding.message for finding in findings)
    assert label_findings([labelled(boxes, crowd=True)], "train.json") == [], "crowds are left out"


def test_rare_digits_need_enough_boxes() -> None:
    each = [labelled(ROW, digit) for digit in range(10)]
    assert label_findings(each * 10, "train.json") == []
    assert label_findings(each[:9] * 7, "train.json") == []  # 189 boxes may lack one by chance
    [finding] = label_findings(each[:9] * 10, "train.json")
    assert (finding.kind, finding.message) == ("rare digits", "0 of 270 boxes are of the digit 9")


def test_sizes_far_apart() -> None:
    small = [labelled([[0, 0, 2, 4]], digit) for digit in range(10)]
    large = [labelled([[0, 0, 22, 44]], digit) for digit in range(10)]
    assert label_findings(small * 30, "train.json") == []
    [finding] = label_findings(small * 15 + large * 15, "train.json")
    assert finding.kind == "sizes far apart"


def test_scales_of_splits() -> None:
    near, far = [labelled(ROW, side=40)] * 100, [labelled(ROW, side=80)] * 100
    places = {name: f"{name}.json" for name in ("train", "valid", "test")}
    found = scale_findings({"train": near, "valid": near, "test": far}, places)
    assert list(found) == ["test"]
    assert "0.25 of its image's short side high, in train 0.50" in found["test"].message
    assert scale_findings({"train": near[:9], "test": far}, places) == {}, "too few to tell"
    assert scale_findings({"test": far}, places) == {}, "nothing to compare with"
    assert scale_findings({"train": [], "test": far}, places) == {}
