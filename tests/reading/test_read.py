"""From scored boxes to the number, with settings that nothing was fitted to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.reading import Constraint, ReadingSettings, read_number
from digitspot.types import Detections
from reading_layouts import threshold_settings

Row = tuple[float, int, float]
"""Left edge, digit, score; boxes are 10 wide and 20 high."""
PRIOR = ReadingSettings()
THRESHOLD = threshold_settings(min_score=0.7, max_iou=0.2)


def found(rows: list[Row]) -> Detections:
    lefts = np.array([row[0] for row in rows], np.float32)
    top = np.zeros(len(rows), np.float32)
    return Detections(
        boxes=np.stack([lefts, top, lefts + 10, top + 20], 1).reshape(-1, 4),
        labels=np.array([row[1] + 1 for row in rows], np.int64),
        scores=np.array([row[2] for row in rows], np.float32),
    )


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
    reading = read_number(found(rows), settings)
    assert reading.text == text, reason
    assert "".join(digit.text for digit in reading.digits) == (text or "")
    assert 0 <= reading.probability <= 1


def test_boxes_without_an_area_are_read_as_they_are() -> None:
    flat = Detections(
        boxes=np.array([[5, 5, 5, 5], [9, 5, 9, 5]], np.float32),
        labels=np.array([4, 5]),
        scores=np.array([0.9, 0.8], np.float32),
    )
    assert read_number(flat, PRIOR).text == "34"


def test_surer_digits_make_a_surer_number() -> None:
    probabilities = [
        read_number(found([(0, 1, score), (20, 2, 0.9)]), PRIOR).probability for score in (0.6, 0.8)
    ]
    assert 0.5 < probabilities[0] < probabilities[1] < 0.9
    assert read_number(found([(0, 1, 0.1)]), PRIOR).probability == pytest.approx(0.9, abs=1e-3)


def test_a_digit_carries_its_runners_up() -> None:
    digit = read_number(found([(2, 3, 0.75), (2, 8, 0.2), (3, 9, 0.04)]), PRIOR).digits[0]
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
    assert read_number(found(rows), PRIOR) == read_number(found(shuffled), PRIOR)


@settings(deadline=None)
@given(ROWS.filter(bool), st.data())
def test_a_box_given_twice_changes_nothing(rows: list[Row], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(rows), min_size=1))
    assert read_number(found(rows), PRIOR) == read_number(found([*rows, *again]), PRIOR)


@settings(deadline=None)
@given(ROWS, st.integers(-500, 500), st.integers(-500, 500), st.integers(-4, 6))
def test_place_and_size_change_nothing(rows: list[Row], right: int, down: int, doublings: int) -> None:
    here = found(rows)
    moved = (here.boxes + np.array([right, down, right, down], np.float32)) * np.float32(2.0**doublings)
    there = Detections(boxes=moved, labels=here.labels, scores=here.scores)
    one, other = read_number(here, PRIOR), read_number(there, PRIOR)
    assert one.text == other.text
    assert one.probability == pytest.approx(other.probability, abs=1e-6)


@settings(deadline=None)
@given(st.text("0123456789", min_size=1, max_size=8))
def test_every_zero_stays(text: str) -> None:
    rows = [(15.0 * place, int(digit), 0.9) for place, digit in enumerate(text)]
    assert read_number(found(rows), PRIOR).text == text


TWO = [(0.0, 1, 0.6), (0.0, 7, 0.35), (20.0, 4, 0.9), (20.0, 9, 0.05), (40.0, 2, 0.3)]
"""Reads "14"; "142" and "74" come close."""


@pytest.mark.parametrize(
    ("constraint", "text", "reason"),
    [
        (Constraint(), "14", "nothing known"),
        (Constraint(length=2), "14", "allowed anyway"),
        (Constraint(length=3), "142", "a digit that was too weak"),
        (Constraint(length=1), "4", "the surest digit"),
        (Constraint(length=4), None, "no place for it"),
        (Constraint(at_least=20, at_most=80), "74", "the runner-up class"),
        (Constraint(pattern="7.*"), "74", "a pattern"),
        (Constraint(pattern="[79]"), "7", "the whole text matches it"),
        (Constraint(allowed=frozenset({"74", "19", "555"})), "74", "the more probable of a list"),
        (Constraint(allowed=frozenset({"38"})), None, "digits that nobody reported"),
        (Constraint(previous="139", max_change=10), "142", "a meter counts up"),
        (Constraint(previous="142", max_change=0), "142", "or stands still"),
        (Constraint(previous="15"), "74", "never down"),
    ],
)
def test_constraints(constraint: Constraint, text: str | None, reason: str) -> None:
    assert read_number(found(TWO), PRIOR, constraint).text == text, reason
    assert read_number(found([]), PRIOR, constraint).text is None


def test_what_a_constraint_turned_down_is_not_as_sure() -> None:
    free, forced = (
        read_number(found(TWO), PRIOR, constraint)
        for constraint in (None, Constraint(allowed=frozenset({"142"})))
    )
    assert forced.probability < free.probability
    runner_up = read_number(found(TWO), PRIOR, Constraint(at_least=20, at_most=80))
    assert runner_up.probability < 0.4 < free.probability
    assert runner_up.digits[0].probability < free.digits[0].probability
    assert read_number(found(TWO), PRIOR, Constraint(length=2)) == free
