"""Wrong numbers as small images with what was found and what is true."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.evaluation.mistakes import Mistake
from digitspot.images import decode_image
from digitspot.labels.labels import LabelledImage
from digitspot.reading.places import find_places
from digitspot.report.blocks import Card, Gallery, Mark
from digitspot.report.sources import Answers
from digitspot.types import Detections, FloatArray

SAME_PLACE_IOU = 0.5
MIN_SCORE = 0.3
"""Found digits below it are not drawn; a detector finds something everywhere."""
MARGIN = 0.6
"""Of the number's height, shown around it."""
LONG_SIDE, QUALITY = 320, 72


def mistake_galleries(answers: Answers, most: int) -> list[Gallery]:
    """Draw up to `most` mistakes of each kind, the surest first.

    Raises:
        DataError: An image cannot be read.
    """
    images = {str(image.image_id): image for image in answers.labels.images}
    folder = answers.labels.path.with_suffix("")
    return [
        Gallery(
            kind, [_card(each, images[each.image_id], answers, folder) for each in group[:most]], len(group)
        )
        for kind, group in answers.scores.mistakes.items()
        if group
    ]


def _card(mistake: Mistake, image: LabelledImage, answers: Answers, folder: Path) -> Card:
    pixels = decode_image(folder / image.file_name)
    boxes, digits, scores = _found(answers.detections.get(image.image_id, Detections.empty()))
    truth = image.boxes[~image.crowd]
    frame = _frame(np.concatenate([boxes, truth]), (pixels.shape[0], pixels.shape[1]))
    marks = [
        _mark(box, frame, str(label - 1), "true")
        for box, label in zip(truth, image.labels[~image.crowd], strict=True)
    ]
    marks += [_mark(box, frame, digit, "found") for box, digit in zip(boxes, digits, strict=True)]
    x1, y1, x2, y2 = frame
    data, size = _encode(pixels[y1:y2, x1:x2])
    sure = "" if mistake.probability is None else f"{mistake.probability:.1%} sure"
    seen = ", ".join(f"{digit} at {score:.2f}" for digit, score in zip(digits, scores, strict=True))
    return Card(
        image=data,
        size_wh=size,
        title=image.file_name,
        read=mistake.read or "no number",
        true=mistake.true or "no number",
        note=sure,
        detail=f"found {seen or 'nothing'}",
        marks=marks,
    )


def _found(detections: Detections) -> tuple[FloatArray, list[str], list[float]]:
    """Return the best digit of each place from left to right, with its box and score."""
    places = find_places(detections, SAME_PLACE_IOU)
    if not len(places):
        return np.zeros((0, 4), np.float32), [], []
    best = places.digit_scores.max(axis=1)
    rows = np.flatnonzero(best >= MIN_SCORE)
    rows = rows[np.argsort(places.boxes[rows, 0], kind="stable")]
    digits = [str(digit) for digit in places.digits[rows].tolist()]
    return places.boxes[rows].astype(np.float32), digits, best[rows].tolist()


def _frame(boxes: FloatArray, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of the image to show, x1 y1 x2 y2: what is marked, and a margin."""
    height, width = size_hw
    if not len(boxes):
        return 0, 0, width, height
    margin = MARGIN * float((boxes[:, 3] - boxes[:, 1]).mean())
    x1, y1 = (max(0, int(value - margin)) for value in boxes[:, :2].min(axis=0))
    x2, y2 = (
        min(side, int(value + margin) + 1)
        for side, value in zip((width, height), boxes[:, 2:].max(axis=0), strict=True)
    )
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else (0, 0, width, height)


def _mark(box: FloatArray, frame: Sequence[int], text: str, role: str) -> Mark:
    x1, y1, x2, y2 = frame
    scale = 100 / np.array([x2 - x1, y2 - y1] * 2)
    left, top, right, bottom = ((box - np.array([x1, y1, x1, y1])) * scale).round(1).tolist()
    return Mark(
        left, top, round(right - left, 1), round(bottom - top, 1), text, "true" if role == "true" else "found"
    )


def _encode(pixels: np.ndarray) -> tuple[str, tuple[int, int]]:
    """Return a JPEG as a data address, and its width and height."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.size
