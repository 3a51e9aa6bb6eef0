"""Weighted box fusion: by hand, and what holds whatever was found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.fusion import fuse, fuse_runs
from digitspot.types import Detections

Row = tuple[float, float, int, float]
"""Left edge, width, digit, score; boxes are 10 high."""


def found(*rows: Row) -> Detections:
    table = np.array([(x, 0, x + width, 10) for x, width, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(
        boxes=table,
        labels=np.array([digit + 1 for _, _, digit, _ in rows], np.int64),
        scores=np.array([score for *_, score in rows], np.float32),
        size_hw=(20, 200),
    )


def test_two_runs_by_hand() -> None:
    """A 3 in both runs, a 5 in one, and a 7 where the other run says 1: they do not join."""
    first = found((0, 10, 3, 0.9), (50, 10, 5, 0.8), (100, 10, 7, 0.6))
    second = found((2, 10, 3, 0.3), (100, 10, 1, 0.4))
    fused = fuse([first, second])
    # x of the 3: (0.9 * 0 + 0.3 * 2) / 1.2 = 0.5; score (0.9 + 0.3) / 2; the others halve, as 1 of 2 runs.
    assert (fused.labels - 1).tolist() == [3, 5, 7, 1]
    assert fused.scores == pytest.approx([0.6, 0.4, 0.3, 0.2])
    assert fused.boxes[0] == pytest.approx([0.5, 0, 10.5, 10])
    assert fused.size_hw == (20, 200)


def test_a_box_joins_the_fused_box_not_the_first_one() -> None:
    """The third overlaps the first by 5 / 9 = 0.556, the mean of the first two, at 1.13, by 0.76."""
    runs = [found((0, 7, 3, 0.9)), found((2.5, 7, 3, 0.75)), found((2, 7, 3, 0.7))]
    fused = fuse(runs, min_iou=0.45)
    assert len(fused) == 1
    assert fused.boxes[0, 0] == pytest.approx((2.5 * 0.75 + 2 * 0.7) / 2.35, abs=1e-5)


def test_one_run_that_finds_a_place_twice_has_one_vote() -> None:
    fused = fuse([found((0, 10, 3, 0.8), (0, 10, 3, 0.6)), found()])
    assert fused.scores == pytest.approx([0.7])
    alone = fuse([found((0, 10, 3, 0.8)), found(), found()])
    assert alone.scores == pytest.approx([0.8 / 3])


def test_nothing_found() -> None:
    assert len(fuse([found(), found()])) == 0
    assert len(fuse([Detections.empty()])) == 0


def test_runs_join_by_image() -> None:
    both = fuse_runs([{1: found((0, 10, 3, 0.8))}, {1: found((0, 10, 3, 0.6)), 2: found((0, 10, 4, 0.5))}])
    assert both[1].scores == pytest.approx([0.7])
    assert both[2].scores == pytest.approx([0.25])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 100).map(float),
        st.integers(1, 30).map(float),
        st.integers(0, 9),
        st.integers(1, 999).map(lambda value: value / 1000),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_order_of_runs_and_boxes_changes_nothing(runs: list[list[Row]], random: np.random.Generator) -> None:
    shuffled = [list(rows) for rows in runs]
    for rows in (shuffled, *shuffled):
        random.shuffle(rows)  # type: ignore[arg-type]
    one, other = (fuse([found(*rows) for rows in each]) for each in (runs, shuffled))
    assert one.labels.tolist() == other.labels.tolist()
    assert one.boxes == pytest.approx(other.boxes, abs=1e-4)
    assert one.scores == pytest.approx(other.scores, abs=1e-6)


@settings(deadline=None)
@given(ROWS, st.integers(2, 4))
def test_a_run_fused_with_itself_is_that_run_fused_alone(rows: list[Row], times: int) -> None:
    apart = [(200.0 * place, *row[1:]) for place, row in enumerate(rows)]
    alone = found(*apart)
    fused = fuse([alone] * times)
    assert sorted(fused.scores.tolist()) == pytest.approx(sorted(alone.scores.tolist()), abs=1e-6)
    assert len(fused) == len(rows)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_fused_boxes_lie_among_those_fused(runs: list[list[Row]]) -> None:
    fused = fuse([found(*rows) for rows in runs])
    rows = [row for each in runs for row in each]
    assert sorted(set(fused.labels - 1)) == sorted({digit for _, _, digit, _ in rows})
    for box, label, score in zip(fused.boxes, fused.labels, fused.scores, strict=True):
        alike = [row for row in rows if row[2] + 1 == label]
        assert min(x for x, *_ in alike) - 1e-3 <= box[0] < box[2]
        assert box[2] <= max(x + width for x, width, *_ in alike) + 1e-3
        assert 0 < score <= max(each for *_, each in alike) + 1e-6
