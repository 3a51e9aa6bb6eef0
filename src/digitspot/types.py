"""The data that travels between the parts: detections of one image, and the number read from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ImageArray = npt.NDArray[np.uint8]
"""An RGB image, `[H, W, 3]`."""

NUM_DIGITS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Every digit found in one image, in no particular order.

    Attributes:
        boxes: float32 `[N, 4]`, x1 y1 x2 y2 in pixels of the original image, half-open.
        labels: int64 `[N]`, the model's index: digit + 1, in 1..10.
        scores: float32 `[N]`, in 0..1.
        size_hw: (height, width) of the image, or None where it is not known.
    """

    boxes: FloatArray
    labels: IntArray
    scores: FloatArray
    size_hw: tuple[int, int] | None = None

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


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The number in an image.

    Attributes:
        text: The number as a string ("042" keeps its zero); None means no number.
        probability: How sure the reader is of the whole number, in 0..1.
        digits: The digits in reading order.
        abstained: Whether `text` is None since the reader was not sure enough of the digits; `probability` is
            that of the number it would have read.
        not_allowed: Whether `text` is None since the constraint does not allow the number that was seen;
            `digits` and `probability` are those of that number.
    """

    text: str | None
    probability: float
    digits: tuple[Digit, ...] = field(default=())
    abstained: bool = False
    not_allowed: bool = False

    @property
    def number(self) -> str | None:
        """The number as read, whether answered or not."""
        return "".join(digit.text for digit in self.digits) or None
