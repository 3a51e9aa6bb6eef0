"""Findings on labels alone, no image opened: odd rows, rare digits, sizes far apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from digitspot.boxes import box_ious
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import Finding, Findings
from digitspot.reading.order import lay_out
from digitspot.types import NUM_DIGITS, DoubleArray, IntArray

MAX_IOU = 0.5
"""Two digits that overlap more are one; in SVHN none of 12,019 images has such a pair."""
MAX_HEIGHT_RATIO = 1.5
"""Between digits of a row; in SVHN one image has a larger one."""
MAX_GAP = 0.5
"""Between neighbours of a row, in median heights: a digit fits in. In SVHN 35 images have a larger one."""
MIN_BOXES = 200
"""With fewer, a digit may be rare by chance."""
RARE_FRACTION = 1 / 3
"""Of an even part of the boxes; SVHN's rarest digit has 0.6."""
MAX_SIZE_RATIO = 10.0
"""Between the 95th and the 5th percentile of digit heights; SVHN has 4.7."""
MAX_SCALE_RATIO = 1.25
"""Between splits' median digit heights, as fractions of the images' short sides."""


def label_findings(labels: LabelSet) -> list[Finding]:
    """Return what is odd in the labels of a split, crowds left out; all of it is a warning."""
    findings = Findings(str(labels.path))
    for image in labels.images:
        for kind, text in _row_problems(image.boxes[~image.crowd].astype(np.float64)):
            findings.warn(kind, f"image {image.image_id}, {image.file_name}: {text}")
    real = labels.with_boxes(~labels.crowd)
    if len(real.boxes) >= MIN_BOXES:
        _check_balance(real.labels - 1, _heights(real), findings)
    return list(findings)


def scale_findings(splits: Mapping[str, LabelSet]) -> dict[str, Finding]:
    """Return a warning for each split whose digits are larger or smaller than those of `train`."""
    found = {}
    heights = {name: _relative_heights(labels) for name, labels in splits.items()}
    for name, relative in heights.items():
        if name == "train" or min(len(relative), len(heights.get("train", ()))) < MIN_BOXES:
            continue
        own, other = float(np.median(relative)), float(np.median(heights["train"]))
        if max(own / other, other / own) > MAX_SCALE_RATIO:
            text = (
                f"the median digit is {own:.2f} of its image's short side high, in train {other:.2f}: "
                "what is chosen on one may not suit the other"
            )
            found[name] = Finding("scales unlike train", "warning", str(splits[name].path), text)
    return found


def _row_problems(boxes: DoubleArray) -> list[tuple[str, str]]:
    """Return the kind of each problem and what it is."""
    if len(boxes) < 2:
        return []
    problems = []
    small = boxes.astype(np.float32)
    ious = np.triu(box_ious(small, small), 1)
    first, second = np.unravel_index(int(ious.argmax()), ious.shape)
    if ious[first, second] > MAX_IOU:
        text = (
            f"boxes {_shown(boxes[first])} and {_shown(boxes[second])} overlap by {ious[first, second]:.2f}"
        )
        problems.append(("boxes on one another", text))
    layout = lay_out(boxes)
    for row in range(int(layout.row.max()) + 1):
        problems += _problems_of_row(boxes[layout.order[layout.row[layout.order] == row]])
    return problems


def _problems_of_row(boxes: DoubleArray) -> list[tuple[str, str]]:
    """Look at the boxes of one row, from left to right."""
    problems = []
    heights = boxes[:, 3] - boxes[:, 1]
    low, high = float(heights.min()), float(heights.max())
    if high > MAX_HEIGHT_RATIO * low:
        text = f"digits of one row are {low:g} and {high:g} pixels high"
        problems.append(("rows of uneven heights", text))
    gaps = boxes[1:, 0] - boxes[:-1, 2]
    if len(gaps) and gaps.max() > MAX_GAP * np.median(heights):
        left = int(gaps.argmax())
        text = f"between {_shown(boxes[left])} and {_shown(boxes[left + 1])} there is room for a digit"
        problems.append(("rows with a gap", text))
    return problems


def _check_balance(digits: IntArray, heights: DoubleArray, findings: Findings) -> None:
    counts = np.bincount(digits, minlength=NUM_DIGITS)
    for digit in np.flatnonzero(counts < RARE_FRACTION * len(digits) / NUM_DIGITS).tolist():
        findings.warn("rare digits", f"{counts[digit]} of {len(digits)} boxes are of the digit {digit}")
    small, large = np.quantile(heights, [0.05, 0.95]).tolist()
    if large > MAX_SIZE_RATIO * small:
        text = f"one digit in twenty is below {small:.0f} pixels high, one above {large:.0f}"
        findings.warn("sizes far apart", text)


def _heights(labels: LabelSet) -> DoubleArray:
    return (labels.boxes[:, 3] - labels.boxes[:, 1]).astype(np.float64)


def _relative_heights(labels: LabelSet) -> DoubleArray:
    """Return the heights of the digits, `[N]`, as fractions of their image's short side."""
    real = labels.with_boxes(~labels.crowd)
    return np.asarray(_heights(real) / real.sizes_hw.min(axis=1)[real.image_of_box])


def _shown(box: DoubleArray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box.round(1).tolist()) + "]"
