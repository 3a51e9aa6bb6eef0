"""From scored boxes to the number, and the fit of its settings against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.reading import IOU_GRID, SCORE_GRID, ReadingSettings, fit_settings, read_number
from digitspot.structures import Detections

Row = tuple[float, int, float]
"""Left edge, digit, score; boxes are 10 wide and 20 high."""


def found(rows: list[Row]) -> Detections:
    lefts = np.array([row[0] for row in rows], np.float32)
    top = np.zeros(len(rows), np.float32)
    return Detections(
        boxes=np.stack([lefts, top, lefts + 10, top + 20], 1).reshape(-1, 4),
        labels=np.array([row[1] + 1 for row in rows], np.int64),
        scores=np.array([row[2] for row in rows], np.float32),
    )


@pytest.mark.parametrize(
    ("rows", "min_score", "text", "reason"),
    [
        ([], 0.5, None, "nothing found"),
        ([(0, 3, 0.9)], 0.5, "3", "one digit"),
        ([(40, 2, 0.9), (0, 0, 0.6), (20, 4, 0.7)], 0.5, "042", "left to right, with the leading zero"),
        ([(0, 0, 0.9), (20, 0, 0.9)], 0.5, "00", "zeros alone"),
        ([(0, 7, 0.8), (1, 1, 0.9)], 0.5, "1", "one place, one digit, whatever the classes"),
        ([(0, 7, 0.9), (1, 1, 0.8)], 0.5, "7", "the better one"),
        ([(0, 7, 0.8), (5.8, 1, 0.9)], 0.5, "71", "an overlap of 0.27 is two places"),
        ([(0, 5, 0.9), (20, 6, 0.4)], 0.5, "5", "below the threshold"),
        ([(0, 5, 0.4)], 0.5, None, "all below the threshold"),
        ([(0, 5, 0.5)], 0.5, "5", "exactly the threshold"),
        ([(0, 5, 0.7)], 0.7, "5", "0.7 is not exact in float32, and still reaches 0.7"),
        ([(0, 5, 0.1), (20, 6, 0.6)], 0.1, "56", "0.1 likewise"),
        ([(0, 5, float(np.nextafter(np.float32(0.7), np.float32(0))))], 0.7, None, "one step below"),
        ([(0, 9, 1.0)], 1.0, "9", "the surest"),
        ([(-30, 1, 0.9), (-5, 2, 0.9)], 0.5, "12", "out of the frame"),
    ],
)
def test_reading(rows: list[Row], min_score: float, text: str | None, reason: str) -> None:
    reading = read_number(found(rows), ReadingSettings(min_score=min_score))
    assert reading.text == text, reason
    assert "".join(digit.text for digit in reading.digits) == (text or "")
    lefts = [digit.box[0] for digit in reading.digits]
    assert lefts == sorted(lefts)


def test_probability_is_the_product_or_what_the_best_score_leaves() -> None:
    settings_ = ReadingSettings(min_score=0.5)
    assert read_number(found([(0, 1, 0.8), (20, 2, 0.5)]), settings_).probability == pytest.approx(0.4)
    assert read_number(found([(0, 1, 0.3), (20, 2, 0.1)]), settings_).probability == pytest.approx(0.7)
    assert read_number(Detections.empty(), settings_).probability == 1.0


def test_digits_carry_plain_values() -> None:
    digit = read_number(found([(2, 3, 0.75)]), ReadingSettings()).digits[0]
    assert (digit.text, digit.box, digit.score) == ("3", (2.0, 0.0, 12.0, 20.0), 0.75)
    assert {type(value) for value in digit.box} == {float}


ROWS = st.lists(
    st.tuples(
        st.integers(0, 40).map(float),
        st.integers(0, 9),
        st.sampled_from([*(number / 100 for number in range(0, 101, 5)), 0.07, 0.29, 0.333, 0.58]),
    ),
    max_size=5,
)


@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_detections_does_not_matter(rows: list[Row], random: np.random.Generator) -> None:
    rows = list({row[2]: row for row in {row[0]: row for row in rows}.values()}.values())  # no ties
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[arg-type]
    assert read_number(found(rows), ReadingSettings()) == read_number(found(shuffled), ReadingSettings())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(ROWS, st.sampled_from([None, "0", "12", "guess", "guess"])), max_size=4))
def test_fit_is_the_best_of_the_whole_grid(samples: list[tuple[list[Row], str | None]]) -> None:
    detections = [found(rows) for rows, _ in samples]
    guess = ReadingSettings(min_score=0.35)
    numbers = [
        read_number(each, guess).text if number == "guess" else number
        for each, (_, number) in zip(detections, samples, strict=True)
    ]

    def accuracy(chosen: ReadingSettings) -> float:
        right = [
            read_number(each, chosen).text == number for each, number in zip(detections, numbers, strict=True)
        ]
        return sum(right) / max(1, len(right))

    fitted, reached = fit_settings(detections, numbers)
    grid = [
        ReadingSettings(min_score=round(float(score), 2), max_iou=iou)
        for score, iou in product(SCORE_GRID, IOU_GRID)
    ]
    assert reached == accuracy(fitted) == max(map(accuracy, grid))


@pytest.mark.parametrize(
    ("samples", "low", "high", "accuracy", "reason"),
    [
        ([], 0.05, 0.95, 0.0, "nothing to fit on"),
        ([([], None)], 0.05, 0.95, 1.0, "an image without digits, nothing found"),
        ([([(0, 1, 0.5)], None)], 0.51, 0.95, 1.0, "a false digit: above it"),
        ([([(0, 1, 0.5)], "1")], 0.05, 0.5, 1.0, "a true digit: up to it"),
        ([([(0, 1, 0.6)], "1"), ([(0, 1, 0.3)], None)], 0.31, 0.6, 1.0, "between both"),
        ([([(0, 1, 0.7)], "1"), ([(0, 1, 0.695)], None)], 0.7, 0.7, 1.0, "only 0.70 itself lies between"),
        ([([(0, 1, 0.9)], "2")], 0.05, 0.95, 0.0, "never right"),
        ([([(0, 1, 0.99)], None)], 0.05, 0.95, 0.0, "no threshold of the grid is high enough"),
    ],
)
def test_fitted_threshold(
    samples: list[tuple[list[Row], str | None]], low: float, high: float, accuracy: float, reason: str
) -> None:
    fitted, reached = fit_settings([found(rows) for rows, _ in samples], [number for _, number in samples])
    assert low <= fitted.min_score <= high, reason
    assert reached == accuracy, reason
    middle = (low + high) / 2
    assert abs(fitted.min_score - middle) <= 0.011, "the middle depends least on chance"


def test_grid_is_every_hundredth() -> None:
    assert [round(float(score), 2) for score in SCORE_GRID] == [number / 100 for number in range(5, 96)]
