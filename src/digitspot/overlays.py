"""Readings and labels drawn onto their images, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from digitspot import colours
from digitspot.boxes import box_ious
from digitspot.errors import ConfigError
from digitspot.types import Detections, Digit, FloatArray, ImageArray, IntArray, Reading

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Doubt = tuple[Box | None, str | None, Box | None]
"""A labelled box in doubt, the digit predicted instead, and its box; None where there is none."""

LONG_SIDE = 480
"""Pixels that the long side of a small image is enlarged to."""
MIN_SHORT_SIDE, MAX_LONG_SIDE = 160, 1280
"""A long and thin image is enlarged further, up to twice `LONG_SIDE`; a large one is reduced."""
DIGIT_COLOURS: tuple[Colour, ...] = (
    (255, 202, 58), (255, 112, 97), (94, 200, 255), (124, 224, 120), (222, 140, 255),
    (255, 160, 60), (70, 226, 204), (255, 130, 190), (150, 170, 255), (208, 228, 82),
)  # fmt: skip
"""One for each digit, all bright enough for dark text on them. The digit stands beside its box."""
GROUND, HEADER, TEXT, FAINT = (24, 27, 34), (15, 17, 22), (244, 246, 250), (150, 158, 172)
DARK, SCORE, SHEET = (16, 18, 24), (62, 64, 78), (60, 65, 76)
RIGHT, WRONG = ImageColor.getrgb(colours.RIGHT)[:3], ImageColor.getrgb(colours.WRONG)[:3]
HEADER_HEIGHT, MARGIN, CHIP_HEIGHT, CHIP_GAP, MIN_WIDTH, SHEET_GAP = 48, 30, 22, 4, 340, 10
SHEET_WH = 1400, 1000
"""Largest sheet, in pixels: a laptop shows it as it is."""
MAX_COLUMNS = 6
"""Of a sheet. In narrower columns the texts of a small image do not fit."""
MIN_TEXT = 12
"""Smallest font size, in pixels; longer texts are cut."""
SMOOTH = 3
"""Shapes are drawn this many times larger, then reduced."""
SAME_SLOT_IOU = 0.5
MIN_FAINT_SCORE = 0.1
"""Of detections that the reading left out; a detector finds something everywhere."""


class Canvas:
    """An enlarged copy of an image, with a margin and room for a header.

    Shapes are drawn smoothly first, then texts at their own resolution, so that they stay sharp.

    Args:
        image: uint8 `[H, W, 3]`.
        width: Of the canvas; the image is as high as it is wide at most. None suits the image.
    """

    def __init__(self, image: ImageArray, width: int | None = None) -> None:
        image_height, image_width = image.shape[:2]
        short, long = sorted((image_width, image_height))
        scale = max(LONG_SIDE / long, min(MIN_SHORT_SIDE / short, 2 * LONG_SIDE / long))
        self.scale = scale if long < LONG_SIDE else min(1.0, MAX_LONG_SIDE / long)
        if width is not None:
            self.scale = (width - 2 * MARGIN) / long
        self.image_wh = max(1, round(image_width * self.scale)), max(1, round(image_height * self.scale))
        canvas_width = width or max(self.image_wh[0] + 2 * MARGIN, MIN_WIDTH)
        size = canvas_width, self.image_wh[1] + 2 * MARGIN + HEADER_HEIGHT
        self.origin = (canvas_width - self.image_wh[0]) // 2, HEADER_HEIGHT + MARGIN
        self.canvas = Image.new("RGB", size, GROUND)
        resample = Image.Resampling.BICUBIC if self.scale > 1 else Image.Resampling.LANCZOS
        self.canvas.paste(Image.fromarray(image).convert("RGB").resize(self.image_wh, resample), self.origin)
        self.shapes = Image.new("RGBA", (size[0] * SMOOTH, size[1] * SMOOTH))
        self.draw = ImageDraw.Draw(self.shapes)
        self.texts: list[tuple[tuple[float, float], str, Colour, int, str]] = []

    def to_canvas(self, box: Sequence[float]) -> Box:
        """Turn a box of the image into one of the canvas, inside the margin and at least 2 px wide."""
        (left, top), (width, height) = self.origin, self.image_wh
        x1, x2 = (min(max(float(x) * self.scale, -2), width + 2) + left for x in box[::2])
        y1, y2 = (min(max(float(y) * self.scale, -2), height + 2) + top for y in box[1::2])
        return x1, y1, max(x2, x1 + 2), max(y2, y1 + 2)

    def rectangle(
        self, box: Box, colour: Colour, *, width: float = 0, radius: float = 0, alpha: int = 255
    ) -> None:
        """Draw a rounded rectangle: filled, or as a line of `width` around the box."""
        x1, y1, x2, y2 = (round(value * SMOOTH) for value in _grown(box, width))
        ink = (*colour, alpha)
        fill, outline = (None, ink) if width else (ink, None)
        line = round(width * SMOOTH)
        self.draw.rounded_rectangle((x1, y1, x2, y2), radius * SMOOTH, fill, outline, line)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """Draw a line through points."""
        scaled = [(x * SMOOTH, y * SMOOTH) for x, y in points]
        self.draw.line(scaled, (*colour, 255), round(width * SMOOTH), joint="curve")

    def text(self, xy: tuple[float, float], text: str, colour: Colour, size: int, anchor: str) -> None:
        """Write a text; `anchor` is Pillow's."""
        self.texts.append((xy, text, colour, size, anchor))

    def finish(self) -> Image.Image:
        """Return the image with everything on it."""
        self.canvas.paste(flat := self.shapes.reduce(SMOOTH), mask=flat.getchannel("A"))
        draw = ImageDraw.Draw(self.canvas)
        for xy, text, colour, size, anchor in self.texts:
            draw.text(xy, text, colour, _font(size), anchor=anchor)
        return self.canvas


def draw_overlay(
    image: ImageArray,
    reading: Reading,
    detections: Detections | None = None,
    truth: str | None = None,
    width: int | None = None,
) -> Image.Image:
    """Draw the number read, its digits and the truth, on an enlarged copy of the image.

    Args:
        image: uint8 `[H, W, 3]`.
        reading: Its boxes in pixels of the image; a box beyond the frame is drawn at the frame.
        detections: What the detector found. What the reading left out is drawn faintly.
        truth: The true number, shown with a tick or a cross; "" if there is none, None if it is not known.
        width: Of what is returned, as `column_width` says for a sheet; None suits the image.

    Returns:
        An RGB image with a header and a margin; without a width about 540 px wide for a small image.
    """
    canvas = Canvas(image, width)
    if detections is not None:
        for box in _left_out(detections, reading):
            canvas.rectangle(canvas.to_canvas(box.tolist()), TEXT, width=1, alpha=110)
    _draw_digits(canvas, reading.digits, scored=True)
    if truth is None:
        _draw_header(canvas, reading.text, _percent(reading.probability))
    else:
        right = truth == (reading.text or "")
        note = "right" if right else f"truth {truth}" if truth else "truth: none"
        _draw_header(canvas, reading.text, _percent(reading.probability), note, right)
    return canvas.finish()


def draw_labels(
    image: ImageArray,
    boxes: FloatArray,
    labels: IntArray,
    number: str | None,
    note: str = "",
    doubts: Sequence[Doubt] = (),
    width: int | None = None,
) -> Image.Image:
    """Draw labelled digits on an enlarged copy of the image.

    Args:
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` in its pixels.
        labels: int64 `[N]`, digit + 1.
        number: Written to the left of the header; None says that there is none.
        note: Written to the right of it, such as the file name.
        doubts: Labels that may be wrong, framed in orange, and what a detector found instead, in white.
        width: Of what is returned, as `column_width` says for a sheet; None suits the image.
    """
    canvas = Canvas(image, width)
    for labelled, _, _ in doubts:
        if labelled is not None:
            canvas.rectangle(canvas.to_canvas(labelled), WRONG, width=6, radius=6)
    digits = [
        Digit(text=str(label - 1), box=(x1, y1, x2, y2), score=1.0, probability=1.0)
        for label, (x1, y1, x2, y2) in zip(labels.tolist(), boxes.tolist(), strict=True)
    ]
    _draw_digits(canvas, digits, scored=False)
    for _, predicted, box in doubts:
        if predicted is not None and box is not None:
            _draw_predicted(canvas, canvas.to_canvas(box), predicted)
    _draw_header(canvas, number, note=note)
    return canvas.finish()


def column_width(columns: int) -> int:
    """Return how wide images are that fill `columns` of a sheet.

    Raises:
        ConfigError: Not 1 to `MAX_COLUMNS`.
    """
    if not 1 <= columns <= MAX_COLUMNS:
        raise ConfigError(f"{columns} images in a row of a sheet: 1 to {MAX_COLUMNS} can be looked at")
    return (SHEET_WH[0] - SHEET_GAP) // columns - SHEET_GAP


def sheet_paths(path: Path, num: int) -> list[Path]:
    """Return where sheets go: a.png, a-2.png, a-3.png ..."""
    return [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, num + 1))]


def contact_sheets(images: Sequence[Image.Image], columns: int) -> list[Image.Image]:
    """Put images of `column_width` into rows of `columns`, on as many sheets of `SHEET_WH` as they fill."""
    pages: list[list[Image.Image]] = []
    room = 0
    for start in range(0, len(images), columns):
        row = images[start : start + columns]
        height = max(image.height for image in row) + SHEET_GAP
        if height > room:
            pages.append([])
            room = SHEET_WH[1] - SHEET_GAP
        pages[-1] += row
        room -= height
    return [contact_sheet(page, columns) for page in pages]


def contact_sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Put images into rows of `columns`, each in the middle of its column.

    Raises:
        ValueError: There is no image, or `columns` is below 1.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet needs images and columns, not {len(images)} and {columns}")
    columns = min(columns, len(images))
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    width = max(image.width for image in images) + SHEET_GAP
    heights = [max(image.height for image in row) + SHEET_GAP for row in rows]
    sheet = Image.new("RGB", (columns * width + SHEET_GAP, sum(heights) + SHEET_GAP), SHEET)
    top = SHEET_GAP
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            left = SHEET_GAP + column * width + (width - SHEET_GAP - image.width) // 2
            sheet.paste(image.convert("RGB"), (left, top))
        top += height
    return sheet


def _left_out(detections: Detections, reading: Reading) -> FloatArray:
    """Return the boxes of detections where the reading has no digit."""
    read = np.array([digit.box for digit in reading.digits], np.float32).reshape(-1, 4)
    covered = (box_ious(detections.boxes, read) >= SAME_SLOT_IOU).any(axis=1)
    return np.asarray(detections.boxes[~covered & (detections.scores >= MIN_FAINT_SCORE)], np.float32)


def _draw_digits(canvas: Canvas, digits: Sequence[Digit], *, scored: bool) -> None:
    """Box each digit, and put a chip with the digit, and its score if all have room, above or below."""
    boxes = [canvas.to_canvas(digit.box) for digit in digits]
    for digit, box in zip(digits, boxes, strict=True):
        canvas.rectangle(box, DARK, width=3.5, radius=4, alpha=150)
        canvas.rectangle(box, DIGIT_COLOURS[int(digit.text)], width=2, radius=3)
    scored &= all(
        _chip_width(digit, scored=True) <= box[2] - box[0] + 4
        for digit, box in zip(digits, boxes, strict=True)
    )
    chips: list[Box] = []
    for digit, box in zip(digits, boxes, strict=True):
        width = _chip_width(digit, scored=scored)
        chips.append(_choose_chip(box, width, canvas.canvas.width, [*chips, *boxes]))
        _draw_chip(canvas, chips[-1], digit, scored=scored)


def _draw_chip(canvas: Canvas, chip: Box, digit: Digit, *, scored: bool) -> None:
    """Draw the digit, and its score smaller: "1  80 %" must not look like 180 %."""
    middle = (chip[1] + chip[3]) / 2
    canvas.rectangle(chip, DIGIT_COLOURS[int(digit.text)], radius=4)
    canvas.text((chip[0] + 6, middle), digit.text, DARK, 17, "lm")
    if scored:
        canvas.text((chip[2] - 6, middle + 0.5), _percent(digit.score), SCORE, 12, "rm")


def _chip_width(digit: Digit, *, scored: bool) -> float:
    width = _font(17).getlength(digit.text) + 12
    return width + _font(12).getlength(_percent(digit.score)) + 7 if scored else width


def _choose_chip(box: Box, width: float, canvas_width: int, avoid: Sequence[Box]) -> Box:
    """Return where a chip goes: above its box, or below if that hides less."""
    left = min(max((box[0] + box[2] - width) / 2, 2), canvas_width - width - 2)
    above, below = box[1] - CHIP_GAP - CHIP_HEIGHT, box[3] + CHIP_GAP
    chips = [(left, top, left + width, top + CHIP_HEIGHT) for top in (above, below)]
    free = [chip for chip in chips if not any(_overlap(chip, other) for other in avoid)]
    return (free or chips)[0]


def _overlap(first: Box, second: Box) -> bool:
    across = min(first[2], second[2]) - max(first[0], second[0])
    return across > 0 and min(first[3], second[3]) - max(first[1], second[1]) > 0


def _draw_predicted(canvas: Canvas, box: Box, digit: str) -> None:
    """Draw a digit that a detector found, with its chip inside the box."""
    canvas.rectangle(box, DARK, width=3, alpha=170)
    canvas.rectangle(box, TEXT, width=1.5)
    middle, bottom = (box[0] + box[2]) / 2, box[3]
    canvas.rectangle((middle - 10, bottom - 24, middle + 10, bottom - 2), TEXT, radius=4)
    canvas.text((middle, bottom - 13), digit, DARK, 17, "mm")


def _draw_header(
    canvas: Canvas, number: str | None, beside: str = "", note: str = "", right: bool | None = None
) -> None:
    """Write the number and a text beside it to the left, a note and a mark to the right."""
    width, middle = canvas.canvas.width, HEADER_HEIGHT / 2
    canvas.rectangle((0, 0, width, HEADER_HEIGHT), HEADER)
    text, colour, size = ("no number", FAINT, 21) if number is None else (number, TEXT, 28)
    text, size = _fitted(text, size, width * 0.45)
    canvas.text((16, middle), text, colour, size, "lm")
    end = 30 + _font(size).getlength(text)
    canvas.text((end, middle + 1), beside, FAINT, 18, "lm")
    edge = width - 16
    if right is not None:
        _draw_mark(canvas, (width - 28, middle), right)
        edge -= 34
    room = edge - end - _font(18).getlength(beside) - 8
    note, size = _fitted(note, 18, room)
    canvas.text((edge, middle), note, FAINT, size, "rm")


def _draw_mark(canvas: Canvas, center: tuple[float, float], right: bool) -> None:
    """Draw a blue disc with a tick, or an orange one with a cross."""
    x, y = center
    canvas.rectangle((x - 13, y - 13, x + 13, y + 13), RIGHT if right else WRONG, radius=13)
    if right:
        canvas.line([(x - 6, y + 0.5), (x - 1.5, y + 5), (x + 6.5, y - 5)], TEXT, 2.6)
    else:
        canvas.line([(x - 5, y - 5), (x + 5, y + 5)], TEXT, 2.6)
        canvas.line([(x - 5, y + 5), (x + 5, y - 5)], TEXT, 2.6)


def _grown(box: Box, width: float) -> Box:
    return box[0] - width, box[1] - width, box[2] + width, box[3] + width


def _percent(probability: float) -> str:
    """Write a probability; only a certain one reads 100 %."""
    return f"{math.floor(probability * 100 + 1e-9)} %"


def _fitted(text: str, size: int, width: float) -> tuple[str, int]:
    """Return a text and the largest font size, from `size` down, at which it fits; its end matters most."""
    while size > MIN_TEXT and _font(size).getlength(text) > width:
        size -= 1
    kept = text
    while kept and _font(size).getlength(f"…{kept}") > width:
        kept = kept[1:]
    return (text if _font(size).getlength(text) <= width else f"…{kept}"), size


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Load Pillow's own typeface, which needs no file and no other package."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
