"""What probabilities are worth, against counts by hand, and against readers of known calibration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.evaluation.mistakes import KINDS, kind_of, list_mistakes
from digitspot.evaluation.reliability import (
    accuracy_by_coverage,
    calibrated_error,
    calibration_error,
    coverage_at,
    evaluate_reliability,
)


@pytest.mark.parametrize(
    ("probabilities", "right", "target", "coverage", "reason"),
    [
        ([0.9, 0.8, 0.7], [1, 1, 1], 0.98, 1.0, "all right"),
        ([0.9, 0.8, 0.7], [0, 0, 0], 0.98, 0.0, "all wrong"),
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.7, 1.0, "3 of 4"),
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.8, 0.5, "before the mistake"),
        ([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1], 0.75, 1.0, "the surest may be wrong"),
        ([0.9, 0.9], [1, 0], 0.9, 0.0, "equally sure: both or none"),
    ],
)
def test_coverage(
    probabilities: list[float], right: list[int], target: float, coverage: float, reason: str
) -> None:
    assert coverage_at(np.array(probabilities), np.array(right, bool), target) == coverage, reason


PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


@given(PAIRS, st.sampled_from([0.5, 0.9, 0.95]))
def test_coverage_is_the_best_threshold(pairs: list[tuple[float, bool]], target: float) -> None:
    probabilities, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    shares = [0.0]
    for threshold in probabilities:
        above = probabilities >= threshold
        if right[above].sum() >= target * above.sum():
            shares.append(above.mean())
    assert coverage_at(probabilities, right, target) == pytest.approx(max(shares))


def test_weights_are_repetitions() -> None:
    random = np.random.default_rng(0)
    probabilities, right = random.random(50), random.random(50) < 0.8
    weights = random.integers(0, 4, 50)
    again = np.repeat(probabilities, weights), np.repeat(right, weights)
    assert coverage_at(probabilities, right, 0.8, weights) == coverage_at(*again, 0.8)


def test_calibration_error_of_known_readers() -> None:
    right = np.arange(300) % 4 > 0
    assert calibration_error(np.full(300, 0.75), right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(np.full(300, 0.95), right) == pytest.approx(0.2)


def test_a_calibrated_reader_stays_within_the_band() -> None:
    random = np.random.default_rng(0)
    inside = []
    for _ in range(100):
        probabilities = random.random(400) ** 0.3
        right = random.random(400) < probabilities
        inside.append(calibration_error(probabilities, right) <= calibrated_error(probabilities))
    assert 0.88 <= np.mean(inside) <= 1
    sure = 0.5 + probabilities / 2
    assert calibration_error(sure, right) > calibrated_error(sure)


def test_metrics_of_few_readings() -> None:
    metrics = evaluate_reliability(np.array([0.9, 0.4]), np.array([True, False]), num_resamples=20)
    assert [each.num_images for each in metrics.bins] == [1, 1]
    assert metrics.coverage[0.95].value == 0.5
    assert metrics.curve == ((0.5, 1.0), (1.0, 0.5))
    assert accuracy_by_coverage(np.zeros(1), np.ones(1, bool)) == ((1.0, 1.0),)


@pytest.mark.parametrize(
    ("true", "read", "kind"),
    [
        ("12", "123", "extra digit"),
        ("12", "3123", "extra digit"),
        ("12", "2", "missing digit"),
        ("12", "13", "wrong digit"),
        ("12", "31", "several mistakes"),
        ("12", "323", "several mistakes"),
        ("12", None, "no number where there is one"),
        (None, "1", "number where there is none"),
    ],
)
def test_kind_of_mistake(true: str | None, read: str | None, kind: str) -> None:
    assert kind_of(true, read) == kind


def test_mistakes_are_listed_surest_first() -> None:
    truth = {"a": "12", "b": "12", "c": "12", "d": None, "e": "7"}
    mistakes = list_mistakes(truth, {"a": "1", "b": "2", "c": "12"}, {"a": 0.4, "b": 0.9, "c": 1.0})
    assert list(mistakes) == list(KINDS)
    assert [each.image_id for each in mistakes["missing digit"]] == ["b", "a"]
    assert [each.image_id for each in mistakes["no number where there is one"]] == ["e"]
    assert sum(map(len, mistakes.values())) == 3
