"""Overlays of ordinary and degenerate readings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitspot.errors import ConfigError
from digitspot.overlays import (
    DIGIT_COLOURS,
    MAX_COLUMNS,
    MAX_LONG_SIDE,
    RIGHT,
    SHEET_WH,
    WRONG,
    column_width,
    contact_sheet,
    contact_sheets,
    draw_overlay,
    sheet_paths,
)
from digitspot.types import Detections, Digit, ImageArray, Reading


def gray(height: int, width: int) -> ImageArray:
    return np.full((height, width, 3), 128, np.uint8)


def reading_of(text: str, *boxes: tuple[float, float, float, float]) -> Reading:
    digits = tuple(
        Digit(text=digit, box=box, score=0.9, probability=0.9) for digit, box in zip(text, boxes, strict=True)
    )
    return Reading(text=text or None, probability=0.8, digits=digits)


def has_colour(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(image) == colour).all(axis=2).any())


EMPTY = reading_of("")
CASES = [
    ("nothing read", gray(47, 104), EMPTY),
    ("one digit", gray(47, 104), reading_of("3", (40, 10, 55, 35))),
    ("touching digits", gray(47, 104), reading_of("12", (30, 10, 42, 35), (42, 10, 54, 35))),
    ("boxes at and beyond the border", gray(47, 104), reading_of("45", (-9, -9, 12, 47), (90, 0, 120, 60))),
    ("a box without area", gray(47, 104), reading_of("6", (20, 20, 20, 20))),
    ("a single pixel", gray(1, 1), reading_of("7", (0, 0, 1, 1))),
    ("very wide", gray(10, 2000), reading_of("8", (900, 0, 910, 10))),
    ("very tall", gray(900, 6), reading_of("09", (0, 0, 6, 20), (0, 20, 6, 40))),
    ("large", gray(1500, 3000), reading_of("1", (40, 40, 60, 80))),
    (
        "more digits than fit above",
        gray(40, 60),
        reading_of("1111", *[(i * 4, 10, i * 4 + 4, 20) for i in range(4)]),
    ),
]


@pytest.mark.parametrize(("photo", "reading"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("truth", [None, "", "12345678901234567890"], ids=["unknown", "none", "long"])
def test_overlay_of(photo: ImageArray, reading: Reading, truth: str | None) -> None:
    overlay = draw_overlay(photo, reading, Detections.empty(), truth)
    assert overlay.mode == "RGB"
    assert 320 <= max(overlay.size) <= MAX_LONG_SIDE + 200
    assert all(has_colour(overlay, DIGIT_COLOURS[int(digit.text)]) for digit in reading.digits)


def test_image_under_the_overlay_is_untouched() -> None:
    photo = gray(47, 104)
    draw_overlay(photo, reading_of("3", (40, 10, 55, 35)), None, "3")
    assert (photo == 128).all()


def test_digit_is_not_hidden() -> None:
    """Nothing is drawn inside the boxes, even where neighbours touch."""
    overlay = draw_overlay(gray(50, 100), reading_of("12", (30, 10, 45, 40), (45, 10, 60, 40)))
    scale, left, top = 480 / 100, 30, overlay.height - 30 - 50 * 480 // 100
    for x1, x2 in ((30, 45), (45, 60)):
        box = (left + x1 * scale + 5, top + 10 * scale + 5, left + x2 * scale - 5, top + 40 * scale - 5)
        assert (np.asarray(overlay.crop(tuple(map(round, box)))) == 128).all()


@pytest.mark.parametrize(
    ("text", "truth", "mark"),
    [
        ("42", "42", RIGHT),
        ("42", "042", WRONG),
        ("42", "", WRONG),
        ("", "", RIGHT),
        ("", "42", WRONG),
        ("42", None, None),
    ],
)
def test_mark_tells_whether_the_number_is_right(
    text: str, truth: str | None, mark: tuple[int, int, int] | None
) -> None:
    overlay = draw_overlay(gray(47, 104), Reading(text=text or None, probability=0.5), truth=truth)
    assert [colour for colour in (RIGHT, WRONG) if has_colour(overlay, colour)] == ([mark] if mark else [])


def test_detections_left_out_are_drawn() -> None:
    read = reading_of("3", (40, 10, 55, 35))
    other = np.array([[40, 10, 55, 35], [70, 10, 85, 35]], np.float32)
    found = Detections(boxes=other, labels=np.array([4, 5]), scores=np.array([0.9, 0.2], np.float32))
    plain, both = draw_overlay(gray(47, 104), read), draw_overlay(gray(47, 104), read, found)
    same = draw_overlay(gray(47, 104), read, found.select(np.array([0])))
    assert plain.tobytes() == same.tobytes() != both.tobytes()


def test_contact_sheet_holds_every_image() -> None:
    colours = [(200, i * 40, 10) for i in range(5)]
    images = [Image.new("RGB", (30 + i, 20), colour) for i, colour in enumerate(colours)]
    sheet = contact_sheet(images, columns=3)
    assert all(has_colour(sheet, colour) for colour in colours)
    assert contact_sheet(images[:1], columns=3).width < sheet.width / 2


@pytest.mark.parametrize(("num_images", "columns"), [(0, 3), (2, 0)])
def test_contact_sheet_refuses(num_images: int, columns: int) -> None:
    with pytest.raises(ValueError, match="contact sheet"):
        contact_sheet([Image.new("RGB", (4, 4))] * num_images, columns)


@pytest.mark.parametrize("columns", [1, 4, MAX_COLUMNS])
@pytest.mark.parametrize("size_hw", [(47, 104), (300, 40), (3000, 4000)], ids=["small", "tall", "large"])
def test_sheets_fit_a_screen(columns: int, size_hw: tuple[int, int]) -> None:
    tile = draw_overlay(
        gray(*size_hw), reading_of("3", (4, 1, 9, 9)), truth="1" * 60, width=column_width(columns)
    )
    assert tile.width == column_width(columns)
    sheets = contact_sheets([tile] * 30, columns)
    assert len(sheets) == len(sheet_paths(Path("a.png"), len(sheets)))
    assert all(sheet.width <= SHEET_WH[0] for sheet in sheets)
    assert all(sheet.height <= max(SHEET_WH[1], tile.height + 20) for sheet in sheets)
    assert columns < 4 or tile.height < SHEET_WH[1] / 2, "two rows at least"
    rows = [(sheet.height - 10) // (tile.height + 10) for sheet in sheets]
    assert sum(rows) == -(-30 // columns), "every row is on a sheet"


def test_sheets_have_names() -> None:
    assert sheet_paths(Path("out/a.png"), 3) == [Path("out/a.png"), Path("out/a-2.png"), Path("out/a-3.png")]


@pytest.mark.parametrize("columns", [0, MAX_COLUMNS + 1])
def test_too_many_columns(columns: int) -> None:
    with pytest.raises(ConfigError, match="in a row"):
        column_width(columns)
