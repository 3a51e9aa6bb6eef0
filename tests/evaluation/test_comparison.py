"""Differences that are there are found, and chance is called chance; on made answers, nothing is trained."""

from __future__ import annotations

import numpy as np
import pytest

from digitspot.evaluation.comparison import BETTER, EQUAL, ONE_SEED, WORSE, Trainings, compare
from digitspot.evaluation.intervals import accuracy_samples
from digitspot.types import DoubleArray

NUM_IMAGES, NUM_SEEDS, NUM_RESAMPLES = 3000, 3, 200


def made_trainings(
    accuracy: float, seed: int, seed_spread: float = 0.004, num_seeds: int = NUM_SEEDS
) -> Trainings:
    """Answers that are right with a probability that depends on the image, the same for all trainings.

    Each training is better or worse than its accuracy by `seed_spread` as a rule: the spread of trainings
    that begin at one network's weights (benchmarks/results/strategies.md).
    """
    random = np.random.default_rng(seed)
    hardness = np.random.default_rng(99).beta(0.5, 2.0, NUM_IMAGES)
    right = []
    for shift in random.normal(0, seed_spread, num_seeds):
        wrong = np.clip(hardness * (1 - accuracy - shift) / hardness.mean(), 0, 1)
        right.append(random.random(NUM_IMAGES) >= wrong)
    return trainings(np.array(right))


def trainings(right: np.ndarray) -> Trainings:
    samples = [accuracy_samples(each, num_resamples=NUM_RESAMPLES) for each in right]
    return Trainings(values=right.mean(axis=1), samples=np.stack(samples))


def test_a_planted_difference_of_three_points_is_found() -> None:
    verdicts = [compare(made_trainings(0.80, i), made_trainings(0.77, 100 + i)).verdict for i in range(20)]
    assert verdicts.count(BETTER) >= 16
    assert WORSE not in verdicts
    assert compare(made_trainings(0.77, 1), made_trainings(0.80, 2)).verdict == WORSE


def test_the_same_with_other_seeds_is_not_distinguishable() -> None:
    verdicts = [compare(made_trainings(0.80, i), made_trainings(0.80, 100 + i)).verdict for i in range(40)]
    assert verdicts.count(EQUAL) >= 38, "at a level of 95 % two of forty may be wrong"


def test_seeds_that_differ_widely_hide_what_images_alone_would_show() -> None:
    comparison = compare(made_trainings(0.80, 3, 0.05), made_trainings(0.76, 4, 0.05))
    images = comparison.over_images
    assert not images.low <= 0 <= images.high
    assert comparison.verdict == EQUAL


def test_one_seed_is_said_to_be_one() -> None:
    one = compare(made_trainings(0.80, 1, num_seeds=1), made_trainings(0.70, 2, num_seeds=1))
    assert one.verdict == BETTER + ONE_SEED
    assert one.over_seeds is None
    assert compare(made_trainings(0.80, 1), made_trainings(0.70, 2, num_seeds=1)).over_seeds is None


def test_one_training_used_twice_is_compared_with_itself() -> None:
    """What is common to both uses cancels: a cut that spoils ten images of each training is found."""
    random = np.random.default_rng(0)
    right = random.random((NUM_SEEDS, NUM_IMAGES)) < np.array([[0.6], [0.7], [0.8]])
    cut = right.copy()
    for row in cut:
        row[np.flatnonzero(row)[:: row.sum() // 30]] = False
    assert compare(trainings(cut), trainings(right), paired=True).verdict == WORSE
    assert compare(trainings(cut), trainings(right)).verdict == EQUAL, "not among other trainings"


def test_the_same_answers_differ_by_nothing() -> None:
    same = made_trainings(0.8, 5)
    comparison = compare(same, same, paired=True)
    assert comparison.verdict == EQUAL
    assert (comparison.together.low, comparison.together.high) == (0, 0)


def test_many_comparisons_share_what_may_go_wrong() -> None:
    one, other = made_trainings(0.80, 1), made_trainings(0.79, 2)
    alone, among = compare(one, other).together, compare(one, other, num_comparisons=5).together
    assert among.low < alone.low < alone.high < among.high
    assert among.level == pytest.approx(0.99)


def test_intervals_over_seeds_hold_what_they_promise() -> None:
    """95 % of intervals from three values hold the mean that these were drawn around."""
    random = np.random.default_rng(0)
    no_samples: DoubleArray = np.zeros((3, 1))
    inside = 0
    for _ in range(2000):
        interval = Trainings(values=random.normal(0.7, 0.01, 3), samples=no_samples).over_seeds()
        assert interval is not None
        inside += interval.low <= 0.7 <= interval.high
    assert 0.935 <= inside / 2000 <= 0.965


@pytest.mark.parametrize("seeds_to_images", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("num", "paired"), [(2, True), (3, True), (2, False), (3, False)])
def test_equal_variants_are_told_apart_no_more_often_than_promised(
    num: int, paired: bool, seeds_to_images: float
) -> None:
    """Both chances drawn from known normal distributions, at 95 % and at the 99 % of five comparisons."""
    random = np.random.default_rng(0)
    seeds = seeds_to_images * np.sqrt(num if paired else num / 2)  # of the difference of the means
    wrong = np.zeros(2)
    for _ in range(400):
        images = random.normal(0, 1)
        values = random.normal(0, seeds, (2, num))
        samples = random.normal(0, 1, (1, 200)).repeat(num, axis=0)
        one = Trainings(values=values[0] + images, samples=samples)
        other = Trainings(values=0 * values[1] if paired else values[1], samples=0 * samples)
        for i, comparisons in enumerate((1, 5)):
            wrong[i] += compare(one, other, paired=paired, num_comparisons=comparisons).verdict != EQUAL
    assert wrong[0] <= 0.08 * 400
    assert wrong[1] <= 0.03 * 400
