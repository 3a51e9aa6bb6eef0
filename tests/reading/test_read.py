"""From scored boxes to the number, with settings that nothing was fitted to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.reading import ReadingSettings, read_image, read_number
from digitspot.reading.candidates import list_candidates
from digitspot.reading.read import MIN_PART, PART_POWER
from digitspot.reading.slots import find_slots
from digitspot.types import Detections
from reading_layouts import digits_at, threshold_settings

Row = tuple[float, int, float]
"""Left edge, digit, score; boxes are 10 wide and 20 high."""
PRIOR = ReadingSettings()
THRESHOLD = threshold_settings(min_score=0.7, max_iou=0.2)


@pytest.mark.parametrize(
    ("rows", "settings", "text", "reason"),
    [
        ([], PRIOR, None, "nothing found"),
        ([(0, 3, 0.9)], PRIOR, "3", "one digit"),
        ([(40, 2, 0.9), (0, 0, 0.6), (20, 4, 0.7)], PRIOR, "042", "left to right, with the leading zero"),
        ([(0, 0, 0.9), (20, 0, 0.9)], PRIOR, "00", "zeros alone"),
        ([(0, 7, 0.8), (1, 1, 0.9)], PRIOR, "1", "one place, one digit, whatever the classes"),
        ([(0, 7, 0.9), (1, 1, 0.8)], PRIOR, "7", "the better one"),
        ([(0, 7, 0.3), (0, 1, 0.4)], PRIOR, "1", "a digit for sure, of an unsure class"),
        ([(0, 7, 0.8), (5.8, 1, 0.9)], PRIOR, "71", "an overlap of 0.27 is two places"),
        ([(0, 5, 0.9), (20, 6, 0.4)], PRIOR, "5", "more probably none than one"),
        ([(0, 5, 0.4)], PRIOR, None, "no digit is more probable"),
        ([(0, 5, 0.0)], PRIOR, None, "a score of 0"),
        ([(0, 5, 1.0)], PRIOR, "5", "a score of 1"),
        ([(-30, 1, 0.9), (-5, 2, 0.9)], PRIOR, "12", "out of the frame"),
        ([(20.0 * i, i % 10, 0.9) for i in range(12)], PRIOR, "012345678901", "more digits than are weighed"),
        ([(20.0 * i, 1, 0.9) for i in range(30)], PRIOR, "1" * 24, "the most that a number has"),
        ([(0, 5, 0.69), (20, 6, 0.71)], THRESHOLD, "6", "an earlier file's threshold"),
        ([(0, 5, 0.8), (6, 6, 0.9)], THRESHOLD, "6", "an earlier file's overlap"),
    ],
)
def test_reading(rows: list[Row], settings: ReadingSettings, text: str | None, reason: str) -> None:
    reading = read_number(digits_at(*rows), settings)
    assert reading.text == text, reason
    assert "".join(digit.text for digit in reading.digits) == (text or "")
    assert 0 <= reading.probability <= 1


def test_a_row_among_other_numbers_is_a_candidate() -> None:
    """The wheels of an odometer between the numbers of the speed scale, all of them found for sure."""
    wheels = [(30.0 + 12 * i, 10.0, 10.0, 20.0) for i in range(6)]
    scale = [
        (0.0, -10.0, 6.0, 12.0),
        (7.0, -10.0, 6.0, 12.0),
        (106.0, 14.0, 6.0, 12.0),
        (113.0, 14.0, 6.0, 12.0),
    ]
    x, y, width, height = np.array([*wheels, *scale], np.float32).T
    found = Detections(
        boxes=np.stack([x, y, x + width, y + height], 1),
        labels=np.array([1, 2, 3, 4, 5, 6, 3, 1, 8, 1]),
        scores=np.full(10, 0.99, np.float32),
    )
    candidates = list_candidates(find_slots(found, 0.5), (60, 130))
    assert "012345" in candidates.texts()
    assert len(candidates.texts()) == len(np.unique(candidates.members, axis=0)), "each subset once"
    assert (candidates.steps.sum(1) == np.maximum(candidates.lengths - 1, 0)).all()


def test_boxes_without_an_area_are_read_as_they_are() -> None:
    flat = Detections(
        boxes=np.array([[5, 5, 5, 5], [9, 5, 9, 5]], np.float32),
        labels=np.array([4, 5]),
        scores=np.array([0.9, 0.8], np.float32),
    )
    assert read_number(flat, PRIOR).text == "34"


def test_surer_digits_make_a_surer_number() -> None:
    probabilities = [
        read_number(digits_at(*[(0, 1, score), (20, 2, 0.9)]), PRIOR).probability for score in (0.6, 0.8)
    ]
    assert 0.5 < probabilities[0] < probabilities[1] < 0.9
    assert read_number(digits_at(*[(0, 1, 0.1)]), PRIOR).probability == pytest.approx(0.9, abs=1e-3)


def test_a_digit_carries_its_runners_up() -> None:
    digit = read_number(digits_at(*[(2, 3, 0.75), (2, 8, 0.2), (3, 9, 0.04)]), PRIOR).digits[0]
    assert (digit.text, digit.box) == ("3", (2.0, 0.0, 12.0, 20.0))
    assert digit.score == pytest.approx(0.75)
    assert [other for other, _ in digit.alternatives] == ["8", "9"]
    assert {type(value) for value in (*digit.box, digit.score, digit.probability)} == {float}


LEFTS = st.integers(0, 400).map(lambda value: value / 4)
SCORES = st.integers(1, 999).map(lambda value: value / 1000)
ROWS = st.lists(st.tuples(LEFTS, st.integers(0, 9), SCORES), max_size=12)
RANDOM = st.randoms(use_true_random=False)


@settings(deadline=None)
@given(ROWS, RANDOM)
def test_order_of_the_boxes_changes_nothing(rows: list[Row], random: np.random.Generator) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[arg-type]
    assert read_number(digits_at(*rows), PRIOR) == read_number(digits_at(*shuffled), PRIOR)


@settings(deadline=None)
@given(ROWS.filter(bool), st.data())
def test_a_box_given_twice_changes_nothing(rows: list[Row], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(rows), min_size=1))
    assert read_number(digits_at(*rows), PRIOR) == read_number(digits_at(*[*rows, *again]), PRIOR)


@settings(deadline=None)
@given(ROWS, st.integers(-500, 500), st.integers(-500, 500), st.integers(-4, 6))
def test_place_and_size_change_nothing(rows: list[Row], right: int, down: int, doublings: int) -> None:
    here = digits_at(*rows)
    moved = (here.boxes + np.array([right, down, right, down], np.float32)) * np.float32(2.0**doublings)
    there = Detections(boxes=moved, labels=here.labels, scores=here.scores)
    one, other = read_number(here, PRIOR), read_number(there, PRIOR)
    assert one.text == other.text
    assert one.probability == pytest.approx(other.probability, abs=1e-6)


@settings(deadline=None)
@given(st.text("0123456789", min_size=1, max_size=8))
def test_every_zero_stays(text: str) -> None:
    rows = [(15.0 * place, int(digit), 0.9) for place, digit in enumerate(text)]
    assert read_number(digits_at(*rows), PRIOR).text == text


def test_what_is_not_part_of_the_number_is_reported_with_a_lower_score() -> None:
    """The odds that a slot is in the number are those of its score; 0.005 is below what makes a slot."""
    found = digits_at((0, 3, 0.9), (0, 8, 0.5), (40, 5, 0.3), (80, 7, 0.05), (120, 1, 0.005))
    fitted = ReadingSettings(num_fitted=100)
    (as_found, unfitted_reading), (reported, reading) = (read_image(found, each) for each in (PRIOR, fitted))
    assert as_found.scores == pytest.approx(found.scores), "nothing was fitted"
    assert reading == unfitted_reading
    assert (reported.boxes == found.boxes).all()
    assert (reported.labels == found.labels).all()
    part = (reported.scores / found.scores) ** (1 / PART_POWER)
    assert part[:2] == pytest.approx(1, abs=0.01), "boxes of one slot, whatever their class"
    assert part[2] == pytest.approx(0.3, abs=0.01)
    assert part[3:] == pytest.approx(MIN_PART)
