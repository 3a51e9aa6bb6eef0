"""Wrong numbers as small images, with what was found and what is true."""

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
from digitspot.reading.slots import find_slots
from digitspot.report.answers import ScoredAnswers
from digitspot.report.blocks import Card, Gallery, Mark, Section, Text
from digitspot.report.subject import Scored
from digitspot.types import Detections, FloatArray

SAME_SLOT_IOU = 0.5
MIN_SCORE = 0.3
"""Digits found below it are not drawn; a detector finds something everywhere."""
MARGIN = 0.6
"""Around a number, as a fraction of its height."""
LONG_SIDE, QUALITY = 320, 72
HELP = (
    "The surest first. Solid boxes were found, dashed ones are true. "
    "Arrow keys walk through the images, Enter enlarges one, Escape closes it."
)


def mistake_sections(scored: Sequence[Scored], most: int) -> list[Section]:
    """Return the wrong numbers of each source, up to `most` of each kind, the surest first.

    Raises:
        DataError: An image cannot be read.
    """
    sections = []
    for _, source, answers in scored:
        title = "Mistakes" if len(scored) == 1 else f"Mistakes of {source.name}"
        galleries = _galleries(answers, most)
        sections.append(Section(title, [Text(HELP), *galleries], folded=len(scored) > 1))
    return sections


def _galleries(answers: ScoredAnswers, most: int) -> list[Gallery]:
    images = {str(image.image_id): image for image in answers.labels.images}
    folder = answers.labels.path.with_suffix("")
    galleries = []
    for kind, mistakes in answers.scores.mistakes.items():
        cards = [_card(each, images[each.image_id], answers, folder) for each in mistakes[:most]]
        if mistakes:
            galleries.append(Gallery(kind, cards, len(mistakes)))
    return galleries


def _card(mistake: Mistake, image: LabelledImage, answers: ScoredAnswers, folder: Path) -> Card:
    pixels = decode_image(folder / image.file_name)
    boxes, digits, scores = _found(answers.detections.get(image.image_id, Detections.empty()))
    own = ~image.crowd
    truth, labels = image.boxes[own], image.labels[own]
    crop = _crop(np.concatenate([boxes, truth]), (pixels.shape[0], pixels.shape[1]))
    marks = [_mark(box, crop, str(label - 1), true=True) for box, label in zip(truth, labels, strict=True)]
    marks += [_mark(box, crop, digit, true=False) for box, digit in zip(boxes, digits, strict=True)]
    x1, y1, x2, y2 = crop
    encoded, size_wh = _encode(Image.fromarray(pixels[y1:y2, x1:x2]))
    seen = ", ".join(f"{digit} at {score:.2f}" for digit, score in zip(digits, scores, strict=True))
    return Card(
        image=encoded,
        size_wh=size_wh,
        title=image.file_name,
        read=mistake.read or "no number",
        true=mistake.true or "no number",
        note="" if mistake.probability is None else f"{mistake.probability:.1%} sure",
        detail=f"found {seen or 'nothing'}",
        marks=marks,
    )


def _found(detections: Detections) -> tuple[FloatArray, list[str], list[float]]:
    """Return the best digit of each slot from left to right: boxes, digits and scores."""
    slots = find_slots(detections, SAME_SLOT_IOU)
    if not len(slots):
        return np.zeros((0, 4), np.float32), [], []
    best = slots.digit_scores.max(axis=1)
    rows = np.flatnonzero(best >= MIN_SCORE)
    rows = rows[np.argsort(slots.boxes[rows, 0], kind="stable")]
    digits = [str(digit) for digit in slots.digits[rows].tolist()]
    return slots.boxes[rows].astype(np.float32), digits, best[rows].tolist()


def _crop(boxes: FloatArray, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the crop to show, x1 y1 x2 y2: all boxes and a margin."""
    height, width = size_hw
    if not len(boxes):
        return 0, 0, width, height
    margin = MARGIN * float((boxes[:, 3] - boxes[:, 1]).mean())
    x1, y1 = np.maximum(boxes[:, :2].min(axis=0) - margin, 0).astype(int).tolist()
    x2, y2 = np.minimum((boxes[:, 2:].max(axis=0) + margin).astype(int) + 1, (width, height)).tolist()
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else (0, 0, width, height)


def _mark(box: FloatArray, crop: Sequence[int], text: str, *, true: bool) -> Mark:
    x1, y1, x2, y2 = crop
    percent = 100 * (box - np.array([x1, y1, x1, y1])) / np.array([x2 - x1, y2 - y1] * 2)
    left, top, right, bottom = percent.round(1).tolist()
    width, height = round(right - left, 1), round(bottom - top, 1)
    return Mark(left, top, width, height, text, "true" if true else "found")


def _encode(image: Image.Image) -> tuple[str, tuple[int, int]]:
    """Return a JPEG as a data address, and its width and height."""
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.size
