"""Intervals: the same for the same seed, as wide as theory says, and right about as often as they claim."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.evaluation.intervals import (
    accuracy_samples,
    bootstrap_metrics,
    image_weights,
    mean_ap_samples,
    percentile_interval,
)
from digitspot.evaluation.matching import match_boxes
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.types import Detections


def some_data(num_images: int) -> tuple[LabelSet, dict[int, Detections]]:
    """One digit an image; found well, loosely or as another digit."""
    generator = np.random.default_rng(3)
    images, detections = [], {}
    for image_id in range(num_images):
        box = np.array([[10, 10, 30, 50]], np.float32)
        label = generator.integers(1, 4, size=1)
        images.append(
            LabelledImage(
                image_id=image_id,
                file_name=f"{image_id}.png",
                size_hw=(60, 60),
                boxes=box,
                labels=label,
                areas=np.array([800.0]),
                crowd=np.zeros(1, bool),
            )
        )
        detections[image_id] = Detections(
            boxes=box + generator.integers(0, 6),
            labels=label if generator.random() < 0.8 else label % 3 + 1,
            scores=generator.random(1, np.float32),
        )
    labels = LabelSet.of(images, categories=CategoryMap.homework(), path=Path("labels.json"))
    return labels, detections


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_resample_has_as_many_images(num_images: int, seed: int) -> None:
    for weights in image_weights(num_images, num_resamples=3, seed=seed):
        assert weights.shape == (num_images,)
        assert weights.sum() == num_images
        assert weights.min() >= 0


def test_the_seed_decides() -> None:
    labels, detections = some_data(30)
    truth = {image.image_id: image.number for image in labels.images}
    predicted = {image_id: str(each.labels[0] - 1) for image_id, each in detections.items()}
    first, again, other = (
        bootstrap_metrics(labels, detections, truth, predicted, num_resamples=50, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first.accuracy is not None
    assert first.accuracy.low <= first.accuracy.value <= first.accuracy.high
    assert json.loads(json.dumps(first.to_dict()))["AP"]["level"] == 0.95
    assert [name for name, _ in first.rows()] == ["AP, 95%", "accuracy, 95%"]


def test_numbers_are_optional_and_images_can_be_chosen() -> None:
    labels, detections = some_data(20)
    intervals = bootstrap_metrics(labels, detections, image_ids=range(5), num_resamples=20, level=0.9)
    assert intervals.accuracy is None
    assert list(intervals.to_dict()) == ["AP"]
    assert intervals.mean_ap.level == 0.9


def test_two_models_see_the_same_draws() -> None:
    labels, detections = some_data(20)
    matches = match_boxes(labels, detections)
    first, second = (mean_ap_samples(matches, num_resamples=10, seed=4) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_resample_without_a_true_digit_is_left_out() -> None:
    interval = percentile_interval(0.5, np.array([-1.0, 0.4, 0.5, 0.6]), 0.9)
    assert (interval.low, interval.high) == pytest.approx((0.41, 0.59))


@pytest.mark.parametrize("samples", [[], [-1.0, -1.0]])
def test_without_samples_the_figure_stands_alone(samples: list[float]) -> None:
    interval = percentile_interval(-1.0, np.array(samples))
    assert (interval.low, interval.high) == (-1.0, -1.0)


def test_no_images() -> None:
    labels = LabelSet.of((), categories=CategoryMap.homework(), path=Path("labels.json"))
    assert bootstrap_metrics(labels, {}).mean_ap.value == -1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_higher_level_is_no_narrower(samples: list[float]) -> None:
    wide, narrow = (percentile_interval(0.5, np.array(samples), level) for level in (0.95, 0.9))
    assert wide.low <= narrow.low <= narrow.high <= wide.high


def test_the_interval_is_as_wide_as_the_binomial_says() -> None:
    right = np.arange(1000) < 800
    interval = percentile_interval(0.8, accuracy_samples(right, num_resamples=2000, seed=0))
    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)


def test_accuracy_is_covered_about_as_often_as_claimed() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        right = generator.random(200) < 0.7
        interval = percentile_interval(
            right.mean(), accuracy_samples(right, num_resamples=300, seed=trial), 0.9
        )
        covered += interval.low <= 0.7 <= interval.high
    assert 0.85 <= covered / 300 <= 0.95  # 0.9 within three standard errors
