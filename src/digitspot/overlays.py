"""Readings drawn onto their images, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitspot.boxes import box_ious
from digitspot.types import Detections, Digit, FloatArray, ImageArray, IntArray, Reading

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

LONG_SIDE = 480
"""Pixels that the long side of a small image is enlarged to."""

MIN_SHORT_SIDE, MAX_LONG_SIDE = 160, 1280
"""A long and thin image is enlarged further, up to twice `LONG_SIDE`; a large one is reduced."""

DIGIT_COLOURS: tuple[Colour, ...] = (
    (255, 202, 58), (255, 112, 97), (94, 200, 255), (124, 224, 120), (222, 140, 255),
    (255, 160, 60), (70, 226, 204), (255, 130, 190), (150, 170, 255), (208, 228, 82),
)  # fmt: skip
"""One for each digit, all bright enough for dark text on them."""

_GROUND, _HEADER, _TEXT, _FAINT = (24, 27, 34), (15, 17, 22), (244, 246, 250), (150, 158, 172)
_DARK, _SCORE, _RIGHT, _WRONG = (16, 18, 24), (62, 64, 78), (52, 199, 89), (255, 82, 82)
_HEADER_HEIGHT, _MARGIN, _CHIP_HEIGHT, _CHIP_GAP = 48, 30, 22, 4
_MIN_WIDTH = 340
_GAP, _SHEET = 10, (60, 65, 76)
_SMOOTH = 3  # shapes are drawn this many times larger, then reduced
_SAME_PLACE_IOU = 0.5
_MIN_FAINT_SCORE = 0.1  # a detector finds something everywhere


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where the image stands on the canvas."""

    scale: float
    photo_wh: tuple[int, int]
    canvas_wh: tuple[int, int]

    @property
    def origin(self) -> tuple[int, int]:
        """The canvas position of the image's top left corner."""
        return (self.canvas_wh[0] - self.photo_wh[0]) // 2, _HEADER_HEIGHT + _MARGIN

    def place(self, box: Sequence[float]) -> Box:
        """Turn a box of the image into one of the canvas, inside the margin and at least 2 px wide."""
        (left, top), (width, height) = self.origin, self.photo_wh
        x1, x2 = (min(max(float(x) * self.scale, -2), width + 2) + left for x in box[::2])
        y1, y2 = (min(max(float(y) * self.scale, -2), height + 2) + top for y in box[1::2])
        return x1, y1, max(x2, x1 + 2), max(y2, y1 + 2)


class _Pen:
    """Draws smooth shapes first, then the texts at their own resolution, so that they stay sharp."""

    def __init__(self, canvas: Image.Image) -> None:
        self.canvas = canvas
        self.shapes = Image.new("RGBA", (canvas.width * _SMOOTH, canvas.height * _SMOOTH))
        self.draw = ImageDraw.Draw(self.shapes)
        self.texts: list[tuple[tuple[float, float], str, Colour, int, str]] = []

    def rectangle(
        self, box: Box, colour: Colour, *, width: float = 0, radius: float = 0, alpha: int = 255
    ) -> None:
        """Draw a rounded rectangle, filled, or as a line of `width` outside of the box."""
        grown = (box[0] - width, box[1] - width, box[2] + width, box[3] + width)
        place = tuple(round(value * _SMOOTH) for value in grown)
        if width:
            line = round(width * _SMOOTH)
            self.draw.rounded_rectangle(place, radius * _SMOOTH, outline=(*colour, alpha), width=line)
        else:
            self.draw.rounded_rectangle(place, radius * _SMOOTH, fill=(*colour, alpha))

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """Draw a line through points."""
        scaled = [(x * _SMOOTH, y * _SMOOTH) for x, y in points]
        self.draw.line(scaled, (*colour, 255), round(width * _SMOOTH), joint="curve")

    def text(self, place: tuple[float, float], text: str, colour: Colour, size: int, anchor: str) -> None:
        """Note a text; `anchor` as Pillow has it."""
        self.texts.append((place, text, colour, size, anchor))

    def finish(self) -> Image.Image:
        """Return the canvas with everything on it."""
        self.canvas.paste(flat := self.shapes.reduce(_SMOOTH), mask=flat.getchannel("A"))
        draw = ImageDraw.Draw(self.canvas)
        for place, text, colour, size, anchor in self.texts:
            draw.text(place, text, colour, _font(size), anchor=anchor)
        return self.canvas


def draw_overlay(
    image: ImageArray, reading: Reading, detections: Detections | None = None, truth: str | None = None
) -> Image.Image:
    """Draw the number read, its digits and the truth, on an enlarged copy of the image.

    Args:
        image: uint8 `[H, W, 3]`.
        reading: Its boxes in pixels of the image; a box beyond the frame is drawn at the frame.
        detections: What the detector found; what the reading left out is drawn faintly, from a score of 0.1.
        truth: The true number, shown with a tick or a cross; "" where there is truly no number,
            None where the truth is not known.

    Returns:
        An RGB image with a header strip and a margin, about 540 px wide for a small image.
    """
    layout = _arrange(image.shape[1], image.shape[0])
    canvas = _enlarged(image, layout)
    pen = _Pen(canvas)
    if detections is not None:
        for box in _left_out(detections, reading):
            pen.rectangle(layout.place(box.tolist()), _TEXT, width=1, alpha=110)
    _draw_digits(pen, layout, reading.digits)
    _draw_header(pen, reading, truth)
    return pen.finish()


def draw_labels(
    image: ImageArray, boxes: FloatArray, labels: IntArray, number: str | None, note: str = ""
) -> Image.Image:
    """Draw labelled digits on an enlarged copy of the image.

    Args:
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` in its pixels.
        labels: int64 `[N]`, digit + 1.
        number: Written to the left of the header; None says that there is none.
        note: Written to the right of it, such as the file name.
    """
    layout = _arrange(image.shape[1], image.shape[0])
    pen = _Pen(_enlarged(image, layout))
    _draw_labelled(pen, layout, boxes, labels)
    _draw_title(pen, number if number is not None else "no number", number is None, note)
    return pen.finish()


def draw_suspect(
    image: ImageArray,
    boxes: FloatArray,
    labels: IntArray,
    doubts: Sequence[tuple[Box | None, str | None, Box | None]],
    number: str | None,
    note: str,
) -> Image.Image:
    """Draw labelled digits, those in doubt framed in red, with what a detector found instead in white.

    Args:
        image, boxes, labels, number, note: As of `draw_labels`.
        doubts: The labelled box, the digit predicted and its box; None where there is none.
    """
    layout = _arrange(image.shape[1], image.shape[0])
    pen = _Pen(_enlarged(image, layout))
    for labelled, _, _ in doubts:
        if labelled is not None:
            pen.rectangle(layout.place(labelled), _WRONG, width=6, radius=6)
    _draw_labelled(pen, layout, boxes, labels)
    for _, predicted, box in doubts:
        if predicted is None or box is None:
            continue
        place = layout.place(box)
        pen.rectangle(place, _DARK, width=3, alpha=170)
        pen.rectangle(place, _TEXT, width=1.5)
        middle, bottom = (place[0] + place[2]) / 2, place[3]
        pen.rectangle((middle - 10, bottom - 24, middle + 10, bottom - 2), _TEXT, radius=4)
        pen.text((middle, bottom - 13), predicted, _DARK, 17, "mm")
    _draw_title(pen, number if number is not None else "no number", number is None, note)
    return pen.finish()


def contact_sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Put images into columns: the first row first, each below the one `columns` before it.

    Raises:
        ValueError: There is no image, or `columns` is below 1.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet needs images and columns, not {len(images)} and {columns}")
    columns = min(columns, len(images))
    width = max(image.width for image in images) + _GAP
    heights = [sum(image.height + _GAP for image in images[column::columns]) for column in range(columns)]
    sheet = Image.new("RGB", (columns * width + _GAP, max(heights) + _GAP), _SHEET)
    for column in range(columns):
        top = _GAP
        for image in images[column::columns]:
            left = _GAP + column * width + (width - _GAP - image.width) // 2
            sheet.paste(image.convert("RGB"), (left, top))
            top += image.height + _GAP
    return sheet


def _draw_labelled(pen: _Pen, layout: _Layout, boxes: FloatArray, labels: IntArray) -> None:
    digits = [
        Digit(text=str(label - 1), box=(box[0], box[1], box[2], box[3]), score=1.0, probability=1.0)
        for label, box in zip(labels.tolist(), boxes.tolist(), strict=True)
    ]
    _draw_digits(pen, layout, digits, scored=False)


def _draw_title(pen: _Pen, text: str, faint: bool, note: str) -> None:
    """Write the number to the left of the header, a note to the right."""
    pen.rectangle((0, 0, pen.canvas.width, _HEADER_HEIGHT), _HEADER)
    size = _fitting_size(text, 21 if faint else 28, pen.canvas.width * 0.5)
    pen.text((16, _HEADER_HEIGHT / 2), text, _FAINT if faint else _TEXT, size, "lm")
    room = pen.canvas.width - 48 - _font(size).getlength(text)
    place = (pen.canvas.width - 16, _HEADER_HEIGHT / 2)
    pen.text(place, note, _FAINT, _fitting_size(note, 18, room), "rm")


def _arrange(width: int, height: int) -> _Layout:
    """Choose scale and canvas for an image of a width and height."""
    short, long = sorted((width, height))
    scale = max(LONG_SIDE / long, min(MIN_SHORT_SIDE / short, 2 * LONG_SIDE / long))
    scale = scale if long < LONG_SIDE else min(1.0, MAX_LONG_SIDE / long)
    photo_wh = max(1, round(width * scale)), max(1, round(height * scale))
    canvas_wh = max(photo_wh[0] + 2 * _MARGIN, _MIN_WIDTH), photo_wh[1] + 2 * _MARGIN + _HEADER_HEIGHT
    return _Layout(scale=scale, photo_wh=photo_wh, canvas_wh=canvas_wh)


def _enlarged(image: ImageArray, layout: _Layout) -> Image.Image:
    """Return the canvas with the image in its place."""
    canvas = Image.new("RGB", layout.canvas_wh, _GROUND)
    resample = Image.Resampling.BICUBIC if layout.scale > 1 else Image.Resampling.LANCZOS
    canvas.paste(Image.fromarray(image).convert("RGB").resize(layout.photo_wh, resample), layout.origin)
    return canvas


def _left_out(detections: Detections, reading: Reading) -> FloatArray:
    """Return the boxes of the detections that stand where the reading has no digit."""
    read = np.array([digit.box for digit in reading.digits], np.float32).reshape(-1, 4)
    covered = (box_ious(detections.boxes, read) >= _SAME_PLACE_IOU).any(axis=1)
    return np.asarray(detections.boxes[~covered & (detections.scores >= _MIN_FAINT_SCORE)], np.float32)


def _draw_digits(pen: _Pen, layout: _Layout, digits: Sequence[Digit], scored: bool = True) -> None:
    """Box every digit, and put a chip with the digit (and its score, where all have room) above or below."""
    places = [layout.place(digit.box) for digit in digits]
    for digit, place in zip(digits, places, strict=True):
        pen.rectangle(place, _DARK, width=3.5, radius=4, alpha=150)
        pen.rectangle(place, DIGIT_COLOURS[int(digit.text)], width=2, radius=3)
    room = [place[2] - place[0] + 4 for place in places]
    scored &= all(_chip_width(digit, True) <= width for digit, width in zip(digits, room, strict=True))
    taken: list[Box] = []
    for digit, place in zip(digits, places, strict=True):
        chip = _choose_chip(place, _chip_width(digit, scored), pen.canvas.size, [*taken, *places])
        taken.append(chip)
        _draw_chip(pen, chip, digit, scored)


def _draw_chip(pen: _Pen, chip: Box, digit: Digit, scored: bool) -> None:
    """Draw the digit, and smaller beside it its score: "1  80 %" must not look like 180 %."""
    middle = (chip[1] + chip[3]) / 2
    pen.rectangle(chip, DIGIT_COLOURS[int(digit.text)], radius=4)
    pen.text((chip[0] + 6, middle), digit.text, _DARK, 17, "lm")
    if scored:
        pen.text((chip[2] - 6, middle + 0.5), _percent(digit.score), _SCORE, 12, "rm")


def _chip_width(digit: Digit, scored: bool) -> float:
    width = _font(17).getlength(digit.text) + 12
    return width + _font(12).getlength(_percent(digit.score)) + 7 if scored else width


def _choose_chip(box: Box, width: float, canvas_wh: tuple[int, int], avoid: Sequence[Box]) -> Box:
    """Place a chip above its box or, where that would hide something, below; above where both would."""
    left = min(max((box[0] + box[2] - width) / 2, 2), canvas_wh[0] - width - 2)
    above, below = box[1] - _CHIP_GAP - _CHIP_HEIGHT, box[3] + _CHIP_GAP
    for top in (above, below):
        chip = (left, top, left + width, top + _CHIP_HEIGHT)
        if not any(_overlap(chip, other) for other in avoid):
            return chip
    return left, above, left + width, above + _CHIP_HEIGHT


def _overlap(first: Box, second: Box) -> bool:
    across = min(first[2], second[2]) - max(first[0], second[0])
    return across > 0 and min(first[3], second[3]) - max(first[1], second[1]) > 0


def _draw_header(pen: _Pen, reading: Reading, truth: str | None) -> None:
    """Write the number and its probability to the left, the truth and its mark to the right."""
    width, middle = pen.canvas.width, _HEADER_HEIGHT / 2
    pen.rectangle((0, 0, width, _HEADER_HEIGHT), _HEADER)
    number = reading.text if reading.text is not None else "no number"
    size = _fitting_size(number, 28 if reading.text is not None else 21, width * 0.45)
    pen.text((16, middle), number, _TEXT if reading.text is not None else _FAINT, size, "lm")
    beside = 16 + _font(size).getlength(number) + 14
    pen.text((beside, middle + 1), _percent(reading.probability), _FAINT, 18, "lm")
    if truth is None:
        return
    right = truth == (reading.text or "")
    _draw_mark(pen, (width - 28, middle), right)
    pen.text((width - 50, middle), _truth_text(truth, right), _FAINT, 18, "rm")


def _truth_text(truth: str, right: bool) -> str:
    return "right" if right else f"truth {truth}" if truth else "truth: none"


def _draw_mark(pen: _Pen, center: tuple[float, float], right: bool) -> None:
    """Draw a green disc with a tick, or a red one with a cross."""
    x, y = center
    pen.rectangle((x - 13, y - 13, x + 13, y + 13), _RIGHT if right else _WRONG, radius=13)
    if right:
        pen.line([(x - 6, y + 0.5), (x - 1.5, y + 5), (x + 6.5, y - 5)], _TEXT, 2.6)
    else:
        pen.line([(x - 5, y - 5), (x + 5, y + 5)], _TEXT, 2.6)
        pen.line([(x - 5, y + 5), (x + 5, y - 5)], _TEXT, 2.6)


def _percent(probability: float) -> str:
    """Write a probability; only a certain one reads 100 %."""
    return f"{math.floor(probability * 100 + 1e-9)} %"


def _fitting_size(text: str, size: int, width: float) -> int:
    """Return the largest font size, from `size` down to 8, at which the text fits into the width."""
    while size > 8 and _font(size).getlength(text) > width:
        size -= 1
    return size


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Load Pillow's own typeface, which needs no file and no other package."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
