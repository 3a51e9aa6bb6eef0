"""Batches are planned from (seed, epoch) alone: each image at most once, like aspects together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.dataset.sampler import Batch, BatchPlan, update_groups
from digitspot.errors import ConfigError


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
        assert len(batches) == planned.num_batches(epoch)
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
        """Padded area over real area, images of one height."""
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


def in_parts(num: int, parts: int, size: int = 4, **options: Any) -> BatchPlan:
    return replace(plan(num, size), num_parts=parts, **options)


@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 9), st.integers(0, 3))
def test_parts_hold_all_images(num: int, parts: int, size: int, epoch: int) -> None:
    if parts > num:
        with pytest.raises(ConfigError, match=f"data.parts is {parts}, but there are {num} images"):
            in_parts(num, parts)
        return
    planned = in_parts(num, parts, size)
    assigned = planned.parts(epoch)
    assert sorted(i for part in assigned for i in part.tolist()) == list(range(num))
    assert {len(part) for part in assigned} <= {num // parts, num // parts + 1}
    batches = planned.epoch(epoch)
    assert [batch.part for batch in batches] == sorted(batch.part for batch in batches)
    assert all(set(batch.indices) <= set(assigned[batch.part].tolist()) for batch in batches)
    assert [sum(batch.part == part for batch in batches) for part in range(parts)] == (
        planned.batches_per_part(epoch)
    )
    assert len(batches) == planned.num_batches(epoch)


def test_one_part_is_the_full_shuffle() -> None:
    assert in_parts(100, 1, 8).epoch(2) == plan(100, 8).epoch(2)


def test_parts_are_assigned_anew_or_kept() -> None:
    def parts(part_order: str, epoch: int) -> list[list[int]]:
        return [part.tolist() for part in in_parts(200, 5, part_order=part_order).parts(epoch)]

    assert parts("once", 0) == parts("once", 1) == parts("each_cycle", 0)
    assert parts("each_cycle", 1) != parts("each_cycle", 0)
    kept = in_parts(200, 5, part_order="once")
    assert kept.epoch(0) != [replace(batch, epoch=0) for batch in kept.epoch(1)], "in another order"


def test_parts_are_random_samples_read_in_runs() -> None:
    """Neighbours travel together in blocks of 32, so a part of 1,000 is some 32 runs and not 1,000."""
    part = in_parts(10_000, 10).parts(0)[3]
    runs = 1 + int((np.diff(part) > 1).sum())
    assert 20 <= runs <= 35
    assert abs(part.mean() - 5000) < 1500


def test_a_held_out_part_is_left_out_in_turn() -> None:
    planned = in_parts(43, 4, part_order="once", hold_out=True)
    for epoch in range(6):
        held = planned.held_out(epoch)
        assert held == epoch % 4
        batches = planned.epoch(epoch)
        assert {batch.part for batch in batches} == {0, 1, 2, 3} - {held}
        assert len(batches) == planned.num_batches(epoch) == sum(planned.batches_per_part(epoch))
    assert in_parts(43, 4).held_out(0) is None


def test_no_update_is_of_two_parts() -> None:
    batches = in_parts(60, 3).epoch(0)  # five batches a part
    groups = update_groups(batches, 2)
    assert [batch for group in groups for batch in group] == batches
    assert [len(group) for group in groups] == [2, 2, 1] * 3


@pytest.mark.parametrize("num_parts", [1, 3])
def test_images_of_the_first_epochs_only(num_parts: int) -> None:
    planned = replace(plan(64, 8), num_parts=num_parts, num_lasting=24, early_epochs=2)
    shown = [set(images(planned.epoch(epoch))) for epoch in range(4)]
    assert [max(each) >= 24 for each in shown] == [True, True, False, False]
    assert shown[3] == set(range(24)), "all that last, in parts of whole batches"
    for epoch in range(4):
        assert len(planned.epoch(epoch)) == planned.num_batches(epoch)
    with pytest.raises(ConfigError, match="parts is 25, but there are 24 images"):
        replace(planned, num_parts=25)
