"""Batches are planned from (seed, epoch) alone: each image at most once, like aspects together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.data.sampler import Batch, BatchPlan


def plan(num: int, size: int, seed: int = 0, sides: tuple[int, ...] = (96,)) -> BatchPlan:
    return BatchPlan(np.random.default_rng(2).uniform(0.3, 6, num), size, sides, seed)


def images(batches: list[Batch]) -> list[int]:
    return [index for batch in batches for index in batch.indices]


@given(st.integers(0, 400), st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
def test_each_image_at_most_once_in_full_batches(num: int, size: int, seed: int, epoch: int) -> None:
    planned = plan(num, size, seed)
    batches = planned.epoch(epoch)
    chosen = images(batches)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(range(num))
    if num >= size:
        assert {len(batch.indices) for batch in batches} == {size}
        assert num - len(chosen) < size
        assert len(batches) == planned.num_batches
    assert all(batch.epoch == epoch for batch in batches)
    assert all(type(value) is int for batch in batches for value in (*batch.indices, batch.short_side))


@pytest.mark.parametrize(
    ("num", "size", "expected", "reason"),
    [
        (0, 4, [], "no images"),
        (1, 4, [1], "one image"),
        (3, 4, [3], "fewer images than a batch holds"),
        (4, 4, [4], "exactly one batch"),
        (7, 4, [4], "what is left fills none"),
        (8, 4, [4, 4], "two"),
        (5, 1, [1] * 5, "batches of one"),
    ],
)
def test_batch_lengths(num: int, size: int, expected: list[int], reason: str) -> None:
    assert [len(batch.indices) for batch in plan(num, size).epoch(0)] == expected, reason


def test_plans_are_functions_of_seed_and_epoch() -> None:
    np.random.seed(0)
    first = plan(100, 8, seed=1).epoch(3)
    np.random.seed(1)
    assert plan(100, 8, seed=1).epoch(3) == first
    assert plan(100, 8, seed=1).epoch(4) != first
    assert plan(100, 8, seed=2).epoch(3) != first
    planned = plan(100, 8, seed=1)
    planned.epoch(7)
    assert planned.epoch(3) == first, "asking for another epoch leaves no trace"


def test_a_resumed_epoch_is_the_rest_of_it() -> None:
    whole = plan(100, 8).epoch(2)
    assert [*plan(100, 8).epoch(2)[:5], *plan(100, 8).epoch(2)[5:]] == whole
    assert set(images(whole[:5])).isdisjoint(images(whole[5:]))


def test_what_is_left_out_changes_with_the_epoch() -> None:
    left = [set(range(10)) - set(images(plan(10, 8).epoch(epoch))) for epoch in range(40)]
    assert set().union(*left) == set(range(10))


def test_like_aspects_share_a_batch() -> None:
    planned = plan(640, 16)
    random = np.random.default_rng(0)

    def spread(groups: list[tuple[int, ...]]) -> float:
        """Padded area over real area, pictures of one height."""
        widths = [planned.aspects[list(group)] for group in groups]
        return float(np.mean([each.max() * len(each) / each.sum() for each in widths]))

    shuffled = random.permutation(640).reshape(-1, 16)
    ours = [batch.indices for batch in planned.epoch(0)]
    assert spread([tuple(row) for row in shuffled.tolist()]) > 1.5
    assert spread(ours) < 1.15


def test_batches_are_not_in_order_of_aspect() -> None:
    planned = plan(256, 16)
    means = [planned.aspects[list(batch.indices)].mean() for batch in planned.epoch(0)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_short_sides_are_drawn_evenly() -> None:
    sides = [
        batch.short_side for epoch in range(30) for batch in plan(320, 8, sides=(80, 96, 112)).epoch(epoch)
    ]
    assert set(sides) == {80, 96, 112}
    assert all(abs(sides.count(side) / len(sides) - 1 / 3) < 0.05 for side in (80, 96, 112))
