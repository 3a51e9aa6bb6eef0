"""What labels alone give away: one row of the table for each kind, and what must stay quiet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digitspot.labels.check_labels import label_findings, scale_findings
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.labels.rules import Finding

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


def joined(images: list[LabelledImage], name: str = "train") -> LabelSet:
    return LabelSet.of(images, categories=CategoryMap.homework(), path=Path(f"{name}.json"))


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
    findings = label_findings(joined([labelled(boxes)]))
    assert kinds is None or [finding.kind for finding in findings] == kinds, reason
    assert all("image 7, 7.png" in finding.message for finding in findings)
    assert label_findings(joined([labelled(boxes, crowd=True)])) == [], "crowds are left out"


def test_rare_digits_need_enough_boxes() -> None:
    each = [labelled(ROW, digit) for digit in range(10)]
    assert label_findings(joined(each * 10)) == []
    assert label_findings(joined(each[:9] * 7)) == []  # 189 boxes may lack one by chance
    [finding] = label_findings(joined(each[:9] * 10))
    assert (finding.kind, finding.message) == ("rare digits", "0 of 270 boxes are of the digit 9")


def test_sizes_far_apart() -> None:
    small = [labelled([[0, 0, 2, 4]], digit) for digit in range(10)]
    large = [labelled([[0, 0, 22, 44]], digit) for digit in range(10)]
    assert label_findings(joined(small * 30)) == []
    [finding] = label_findings(joined(small * 15 + large * 15))
    assert finding.kind == "sizes far apart"


def test_scales_of_splits() -> None:
    near, far = [labelled(ROW, side=40)] * 100, [labelled(ROW, side=80)] * 100

    def found(**splits: list[LabelledImage]) -> dict[str, Finding]:
        return scale_findings({name: joined(images, name) for name, images in splits.items()})

    larger = found(train=near, valid=near, test=far)
    assert list(larger) == ["test"]
    assert "0.25 of its image's short side high, in train 0.50" in larger["test"].message
    assert larger["test"].where == "test.json"
    assert found(train=near[:9], test=far) == {}, "too few to tell"
    assert found(test=far) == {}, "nothing to compare with"
    assert found(train=[], test=far) == {}
