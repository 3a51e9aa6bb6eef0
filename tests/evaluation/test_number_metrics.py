"""Whole-number figures: cases computed by hand, and what must hold for any numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.errors import DataError
from digitspot.evaluation.number_metrics import edit_counts, evaluate_numbers, exact_matches

NUMBERS = st.one_of(st.none(), st.text("0123", min_size=1, max_size=5))


@pytest.mark.parametrize(
    ("true", "predicted", "extra", "missing", "wrong", "reason"),
    [
        ("", "", 0, 0, 0, "nothing and nothing"),
        ("12", "12", 0, 0, 0, "equal"),
        ("12", "", 0, 2, 0, "all missing"),
        ("", "7", 1, 0, 0, "all extra"),
        ("042", "42", 0, 1, 0, "a leading zero is a digit"),
        ("42", "042", 1, 0, 0, "and an extra one is extra"),
        ("12", "112", 1, 0, 0, "doubled digit"),
        ("123", "173", 0, 0, 1, "one wrong"),
        ("12", "23", 1, 1, 0, "as cheap as two wrong digits, but keeps the 2"),
        ("12", "21", 1, 1, 0, "swapped digits: one is kept"),
        ("12", "34", 0, 0, 2, "nothing to keep"),
        ("123", "14", 0, 1, 1, "one missing, one wrong"),
        ("1234", "92345", 1, 0, 1, "wrong first, extra last: two edits, three digits kept"),
    ],
)
def test_edits(true: str, predicted: str, extra: int, missing: int, wrong: int, reason: str) -> None:
    edits = edit_counts(true, predicted)
    assert (edits.extra, edits.missing, edits.wrong) == (extra, missing, wrong), reason


def test_golden() -> None:
    truth = {"a": "12", "b": "042", "c": "5", "d": None, "e": None, "f": "77", "g": "123"}
    predicted = {"a": "12", "b": "42", "c": "56", "d": None, "e": "8", "g": "173", "z": "9"}
    metrics = evaluate_numbers(truth, predicted)
    assert metrics.num_images == 7
    assert metrics.num_digits == 2 + 3 + 1 + 2 + 3
    assert metrics.accuracy == pytest.approx(2 / 7)  # a, d
    assert metrics.digit_error_rate == pytest.approx((1 + 1 + 1 + 2 + 1) / 11)  # b c e f g
    assert {n: (part.num_images, part.accuracy) for n, part in metrics.by_length.items()} == {
        0: (2, 0.5),
        1: (1, 0.0),
        2: (2, 0.5),
        3: (2, 0.0),
    }
    assert (metrics.num_extra, metrics.num_missing, metrics.num_wrong) == (1, 1, 1)  # c, b, g
    assert (metrics.num_invented, metrics.num_overlooked) == (1, 1)  # e, f


def test_what_goes_to_files_and_tables() -> None:
    metrics = evaluate_numbers({1: "12", 2: None}, {1: "12", 2: "4"})
    stored = json.loads(json.dumps(metrics.to_dict()))
    assert stored["by_length"]["0"] == {"num_images": 1, "accuracy": 0.0}
    assert stored["accuracy"] == 0.5
    rows = dict(metrics.rows())
    assert rows["accuracy"] == "0.5000"
    assert rows["number where there is none"] == "1 (50.00%)"


def test_without_a_true_digit_there_is_no_digit_error_rate() -> None:
    metrics = evaluate_numbers({1: None}, {})
    assert (metrics.accuracy, metrics.digit_error_rate) == (1.0, None)
    assert dict(metrics.rows())["digit error rate"] == "-"


def test_missing_predictions_count_as_no_number() -> None:
    truth = {1: "3", 2: None}
    assert evaluate_numbers(truth, {}) == evaluate_numbers(truth, {1: None, 2: None})
    assert exact_matches(truth, {}).tolist() == [False, True]


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="no true numbers"):
        evaluate_numbers({}, {})
    with pytest.raises(DataError, match="none of the 1 predicted images is among the 1 true ones: '1'"):
        evaluate_numbers({1: "3"}, {"1": "3"})  # type: ignore[misc]


@given(st.text("0123", max_size=6), st.text("0123", max_size=6))
def test_edits_are_consistent(true: str, predicted: str) -> None:
    edits, back = edit_counts(true, predicted), edit_counts(predicted, true)
    assert (edits.extra, edits.missing, edits.wrong) == (back.missing, back.extra, back.wrong)
    assert edits.extra - edits.missing == len(predicted) - len(true)
    assert min(edits.extra, edits.missing, edits.wrong) >= 0
    assert abs(len(true) - len(predicted)) <= edits.distance <= max(len(true), len(predicted))
    assert (edits.distance == 0) == (true == predicted)


@given(st.dictionaries(st.integers(0, 20), NUMBERS, min_size=1), st.dictionaries(st.integers(0, 20), NUMBERS))
def test_parts_add_up(truth: dict[int, str | None], predicted: dict[int, str | None]) -> None:
    predicted = {key: number for key, number in predicted.items() if key in truth}
    metrics = evaluate_numbers(truth, predicted)
    parts = metrics.by_length.values()
    assert sum(part.num_images for part in parts) == metrics.num_images == len(truth)
    assert sum(p.num_images * p.accuracy for p in parts) == pytest.approx(
        metrics.accuracy * metrics.num_images
    )
    mistakes = round((1 - metrics.accuracy) * len(truth))
    kinds = (
        metrics.num_extra,
        metrics.num_missing,
        metrics.num_wrong,
        metrics.num_invented,
        metrics.num_overlooked,
    )
    assert max(kinds) <= mistakes <= sum(kinds)
    assert evaluate_numbers(truth, truth).accuracy == 1.0
