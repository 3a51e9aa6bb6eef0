"""What was read in an image, and the same in pixels of the image that it was cut from or turned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitspot.boxes import box_ious
from digitspot.types import Detections, FloatArray, ImageArray, Reading

SAME_PLACE = 0.3
"""Two numbers of which a digit of one overlaps a digit of the other by more are one."""

LENGTH_POWER, SUREST = 4.0, 0.9999
"""From 40 dashboards and 100 scenes with house numbers (benchmarks/results/scenes.md). Odds count as those of
`SUREST` at most."""

SCENE_FIT = (-4.02, 0.93, 1.77)
"""Of a small number in a large image: the logit of its probability becomes a + b logit + c log(digits), or
stays where that is higher. Fitted to 220 readings of scenes and dashboards, none of them of `test`
(benchmarks/results/scenes.md)."""
NEAR = 0.15
"""A number whose digits are higher than this part of the image's shorter side is as in the images that
probabilities are fitted on."""


@dataclass(frozen=True)
class Read:
    """One image, read.

    Attributes:
        detections: Every digit found, down to the model's smallest score; boxes in the labels' style.
        reading: The number.
    """

    detections: Detections
    reading: Reading


def distinct_numbers(reads: Sequence[Read], first: Read | None = None) -> list[Read]:
    """Return the reads that show a number, and each number once.

    Args:
        reads: Those of an image.
        first: Comes first, where it shows a number. The others follow: those that are answered, the most
            probable first, then those that are not.
    """
    kept: list[Read] = [first] if first is not None and first.reading.digits else []
    for read in sorted(reads, key=lambda each: (each.reading.number is None, -each.reading.probability)):
        if read.reading.digits and not any(_same_place(read.reading, other.reading) for other in kept):
            kept.append(read)
    return kept


def most_probable(reads: Sequence[Read]) -> Read:
    """Return the most probable of the reads that show a number; the first where none does."""
    numbers = [read for read in reads if read.reading.number]
    return max(numbers, key=lambda read: read.reading.probability, default=reads[0])


def meant_first(reads: Sequence[Read]) -> list[Read]:
    """Return the reads of a large image with the number that is meant first, the others as they were.

    It is the one whose odds of being right times its number of digits to the power of `LENGTH_POWER` are the
    highest: a long number is rarely seen by chance, and short ones stand on every scale and sign.
    """
    answered = [read for read in reads if read.reading.number]
    if not answered:
        return list(reads)

    def odds(read: Read) -> float:
        probability = min(read.reading.probability, SUREST)
        return float(probability / (1 - probability) * len(read.reading.digits) ** LENGTH_POWER)

    meant = max(answered, key=odds)
    return [meant, *(read for read in reads if read is not meant)]


def in_scene(read: Read, size_hw: tuple[int, int]) -> Read:
    """Return a read of a large image, sure as it may be there.

    Many places of such an image are looked at, and some look like a number or show another one. So a small
    number that was found in it is less probable than one that an image was taken of, and never more.

    Args:
        read: Its boxes are in pixels of the image.
        size_hw: The image's height and width.
    """
    reading = read.reading
    heights = [digit.box[3] - digit.box[1] for digit in reading.digits]
    if not heights or np.mean(heights) > NEAR * min(size_hw):
        return read
    fit, probability = SCENE_FIT, np.clip(reading.probability, 1e-6, 1 - 1e-6)
    logit = fit[0] + fit[1] * np.log(probability / (1 - probability)) + fit[2] * np.log(len(heights))
    probability = min(reading.probability, float(1 / (1 + np.exp(-logit))))
    return replace(read, reading=replace(reading, probability=probability))


def _same_place(first: Reading, second: Reading) -> bool:
    """Return whether two numbers share a digit's place."""
    boxes, others = (np.array([digit.box for digit in each.digits], np.float32) for each in (first, second))
    return bool(box_ious(boxes, others).max() > SAME_PLACE)


def turn(image: ImageArray, quarters: int) -> ImageArray:
    """Turn an image anticlockwise, by so many times 90 degrees."""
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def turned_back(read: Read, quarters: int, image: ImageArray) -> Read:
    """Return what was read in an image after `turn`, with boxes in pixels of the image itself."""
    if not quarters:
        return read
    height, width = image.shape[:2]

    def back(boxes: FloatArray) -> FloatArray:
        x1, y1, x2, y2 = boxes.T
        turned = {
            1: (width - y2, x1, width - y1, x2),
            2: (width - x2, height - y2, width - x1, height - y1),
            3: (y1, height - x2, y2, height - x1),
        }
        return np.stack(turned[quarters], axis=1)

    digits = tuple(
        replace(digit, box=tuple(back(np.array([digit.box], np.float32))[0].tolist()))
        for digit in read.reading.digits
    )
    detections = replace(read.detections, boxes=back(read.detections.boxes), size_hw=(height, width))
    return Read(detections, replace(read.reading, digits=digits, turned=90 * quarters))


def moved(read: Read, left: int, top: int, image: ImageArray) -> Read:
    """Return what was read in a part of an image, with boxes in pixels of the image."""
    by = np.array([left, top, left, top], np.float32)
    size_hw = image.shape[0], image.shape[1]
    digits = tuple(
        replace(digit, box=tuple((np.array(digit.box) + by).tolist())) for digit in read.reading.digits
    )
    detections = replace(read.detections, boxes=read.detections.boxes + by, size_hw=size_hw)
    return Read(detections, replace(read.reading, digits=digits))
