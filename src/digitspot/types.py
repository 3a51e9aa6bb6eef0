"""The data that travels between the parts: detections of one image, and the number read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ImageArray = npt.NDArray[np.uint8]
"""An RGB image, `[H, W, 3]`."""
Box = tuple[int, int, int, int]
"""A part of an image: left, top, right, bottom in pixels, half-open."""

NUM_DIGITS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Every digit found in one image, in no particular order.

    Attributes:
        boxes: float32 `[N, 4]`, x1 y1 x2 y2 in pixels of the original image, half-open.
        labels: int64 `[N]`, the model's index: digit + 1, in 1..10.
        scores: float32 `[N]`, in 0..1.
        size_hw: (height, width) of the image, or None where it is not known.
        by_look: The number that the first look shows and, where there were more, that all others together
            show, "" for none. Empty where no look is at a crop around it.
    """

    boxes: FloatArray
    labels: IntArray
    scores: FloatArray
    size_hw: tuple[int, int] | None = None
    by_look: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        num = len(self.boxes)
        assert self.boxes.shape == (num, 4), f"boxes must be [N, 4], not {self.boxes.shape}"
        assert self.labels.shape == (num,), f"labels must be [{num}], not {self.labels.shape}"
        assert self.scores.shape == (num,), f"scores must be [{num}], not {self.scores.shape}"

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """Return the rows that a mask or index array names, in its order."""
        return Detections(
            boxes=self.boxes[keep],
            labels=self.labels[keep],
            scores=self.scores[keep],
            size_hw=self.size_hw,
            by_look=self.by_look,
        )

    @classmethod
    def empty(cls) -> Detections:
        """Return the detections of an image in which nothing was found."""
        return cls(
            boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64), scores=np.zeros(0, np.float32)
        )


@dataclass(frozen=True, kw_only=True)
class Digit:
    """One digit of a reading.

    Attributes:
        text: The digit as a string, "0" to "9".
        box: x1, y1, x2, y2 in pixels of the original image.
        score: The detector's score, in 0..1.
        probability: How sure the reader is that this digit is there, is part of the number, and is this one.
        alternatives: Other digits at the same place with their scores, best first.
    """

    text: str
    box: tuple[float, float, float, float]
    score: float
    probability: float
    alternatives: tuple[tuple[str, float], ...] = ()


Decision = Literal["accepted", "corrected", "abstained"]
Reason = Literal["seen", "nothing", "rules", "known", "unsure"]
"""Why a reading is as it is: the number was seen; no number was; the rules changed or turned down what was
seen; the nearest known number is answered; the reader is not sure enough."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The number in an image.

    Attributes:
        text: The number as a string ("042" keeps its zero); None means no number, or no answer.
        probability: How sure the reader is of the number, given the rules, in 0..1; where it abstains, of the
            number that it would have answered.
        digits: The digits that were seen, in reading order.
        decision: Whether the number is as it was seen, was changed by rules, or is not answered.
        reason: Why, in a word; `explanation` has a sentence.
        corrected_from: What was seen, where rules changed it; None is no number.
        decimals: How many digits are behind the decimal point.
        turned: Degrees, clockwise, by which the number is turned in the image: 0, 90, 180 or 270.
    """

    text: str | None
    probability: float
    digits: tuple[Digit, ...] = field(default=())
    decision: Decision = "accepted"
    reason: Reason = "seen"
    corrected_from: str | None = None
    decimals: int = 0
    turned: int = 0

    def __str__(self) -> str:
        """Return the number with its decimal point; "" where there is none."""
        if not self.text or not self.decimals:
            return self.text or ""
        padded = self.text.zfill(self.decimals + 1)
        return f"{padded[: -self.decimals]}.{padded[-self.decimals :]}"

    @property
    def seen(self) -> str | None:
        """The number that the digits show, whatever the rules say."""
        return "".join(digit.text for digit in self.digits) or None

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """The box around all digits that were seen, x1, y1, x2, y2 in pixels of the image."""
        if not self.digits:
            return None
        lefts, tops, rights, bottoms = zip(*(digit.box for digit in self.digits), strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)

    @property
    def number(self) -> str | None:
        """The number as read, whether the reader is sure enough to answer or not."""
        return self.seen if self.reason == "unsure" else self.text

    @property
    def explanation(self) -> str:
        """The decision and its reason in a sentence."""
        sure = f"probability {self.probability:.3f}"
        before = f"{self.corrected_from or 'no number'} was seen, which the rules do not allow"
        if self.reason == "unsure":
            return f"{self.seen or 'no number'} was seen, but not surely enough: {sure}"
        if self.decision == "abstained":
            return f"{self.seen or 'no number'} was seen; nothing that the rules allow is probable: {sure}"
        if self.reason == "known":
            return f"{before}; the nearest known number is {self.text or 'none'}: {sure}"
        if self.reason == "rules":
            return f"{before}; {self.text or 'no number'} is the most probable that they allow: {sure}"
        return f"{self.text or 'no number'} was seen: {sure}"
