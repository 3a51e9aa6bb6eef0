"""Where in its image a number is, and how large: images that somebody cut or aimed have their number in
the middle. A number that would be there without its last digit has that digit from elsewhere.

Of an image whose size is not known, and of no digit, every feature is 0: it is as good as any other.
"""

from __future__ import annotations

import numpy as np

from digitspot.types import DoubleArray

CHOICE_NAMES = ("off_centre_x", "off_centre_y")
NUMBER_NAMES = (
    "off_centre_x", "off_centre_y", "end_off_centre", "height_in_image", "odd_height_in_image",
    "width_in_image", "aspect",
)  # fmt: skip
NEAR = 0.02
"""Share of the image's side within which the middle is the middle: half of SVHN's numbers are."""
USUAL_HEIGHT, USUAL_WIDTH, USUAL_ASPECT = 0.45, 0.2, 2.0
"""Of a number, as shares of its image, and of the image: SVHN's medians, where features are 0."""


def off_centre(boxes: DoubleArray, members: DoubleArray, size_hw: tuple[int, int] | None) -> DoubleArray:
    """Return how far the middle of each candidate is from the image's, `[C, 2]`, x and y, 0 or more.

    Logarithms beyond `NEAR`, since numbers are either in the middle or anywhere.

    Args:
        boxes: Of the slots, `[K, 4]`.
        members: `[C, K]`, 1 where the slot is in the candidate.
        size_hw: (height, width) of the image.
    """
    if size_hw is None or len(boxes) == 0:
        return np.zeros((len(members), 2))
    some = members.any(1)
    part = members[some, :, None] > 0
    low = np.where(part, boxes[:, :2], np.inf).min(1)
    high = np.where(part, boxes[:, 2:], -np.inf).max(1)
    away = np.zeros((len(members), 2))
    away[some] = (low + high) / 2 / np.array(size_hw[::-1]) - 0.5
    away[some] = np.log1p((away[some] / NEAR) ** 2) / 2
    return away


def describe_frame(boxes: DoubleArray, size_hw: tuple[int, int] | None) -> DoubleArray:
    """Return the features of a number in its image, `[len(NUMBER_NAMES)]`.

    Args:
        boxes: Of its digits, `[length, 4]`.
        size_hw: (height, width) of the image.
    """
    if size_hw is None or len(boxes) == 0:
        return np.zeros(len(NUMBER_NAMES))
    length = len(boxes)
    by_x = boxes[np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")]
    subsets = np.ones((3, length))  # all, all but the first, all but the last
    if length > 1:
        subsets[1, 0] = subsets[2, -1] = 0
    away = off_centre(by_x, subsets, size_hw)
    height = np.log(np.maximum(boxes[:, 3] - boxes[:, 1], 1e-6) / size_hw[0] / USUAL_HEIGHT).mean()
    width = (boxes[:, 2].max() - boxes[:, 0].min()) / size_hw[1]
    return np.array(
        [
            *away[0],
            away[0, 0] - away[1:, 0].min(),
            height,
            height**2,
            np.log(max(width, 1e-3) / USUAL_WIDTH),
            np.log(size_hw[1] / size_hw[0] / USUAL_ASPECT),
        ]
    )
