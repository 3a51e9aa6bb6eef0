"""The learning rate, against values worked out by hand and against torch's own schedules."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digitspot.config import ScheduleConfig
from digitspot.training.schedule import Plateau, decay_start, lr_factor, stale_after

SQRT_HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("kind", "warmup", "step", "total", "expected", "reason"),
    [
        ("constant", 0, 0, 100, 1.0, "no warm-up"),
        ("constant", 4, 0, 100, 0.25, "the first update is not lost"),
        ("constant", 4, 3, 100, 1.0, "the last of the warm-up"),
        ("constant", 4, 99, 100, 1.0, "constant"),
        ("constant", 4, 500, 100, 1.0, "beyond the end"),
        ("plateau", 4, 1, 100, 0.5, "plateau warms up too"),
        ("plateau", 4, 50, 100, 1.0, "its falls are validation's"),
        ("cosine", 0, 0, 100, 1.0, "cos 0"),
        ("cosine", 0, 25, 100, 0.5 + SQRT_HALF / 2, "cos 45 degrees"),
        ("cosine", 0, 50, 100, 0.5, "half way"),
        ("cosine", 0, 100, 100, 0.0, "the end"),
        ("cosine", 0, 130, 100, 0.0, "beyond the end it does not rise again"),
        ("cosine", 100, 49, 100, 0.25 * (1 + math.cos(math.pi * 0.49)), "warm-up multiplies"),
        ("cosine", 0, 0, 0, 1.0, "a training of no updates"),
        ("wsd", 0, 69, 100, 1.0, "the trunk"),
        ("wsd", 0, 70, 100, 1.0, "where the decay starts"),
        ("wsd", 0, 85, 100, 1 - SQRT_HALF, "half way through it"),
        ("wsd", 0, 100, 100, 0.0, "the end"),
        ("wsd", 10, 4, 100, 0.5, "warm-up"),
        ("wsd", 0, 0, 1, 1.0, "one update"),
    ],
)
def test_lr_factor(kind: str, warmup: int, step: int, total: int, expected: float, reason: str) -> None:
    config = ScheduleConfig(kind=kind, warmup_steps=warmup, decay_fraction=0.3)  # type: ignore[arg-type]
    assert lr_factor(config, step, total) == pytest.approx(expected, abs=1e-12), reason


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=37)
    for step in range(37):
        config = ScheduleConfig(kind="cosine", warmup_steps=0)
        assert lr_factor(config, step, 37) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        theirs.step()


@given(
    st.sampled_from(["constant", "cosine", "plateau", "wsd"]),
    st.integers(0, 50),
    st.floats(0, 1),
    st.integers(1, 300),
    st.integers(0, 400),
)
def test_factor_is_a_share(kind: str, warmup: int, share: float, total: int, step: int) -> None:
    config = ScheduleConfig(kind=kind, warmup_steps=warmup, decay_fraction=share)  # type: ignore[arg-type]
    assert 0 <= lr_factor(config, step, total) <= 1
    if step >= warmup:
        assert lr_factor(config, step + 1, total) <= lr_factor(config, step, total)


@given(st.integers(1, 200), st.integers(1, 200), st.floats(0, 1), st.integers(0, 30))
def test_a_branch_is_the_trunk_up_to_its_decay(shorter: int, more: int, share: float, warmup: int) -> None:
    """What makes a branch of a long training equal to a training of the short length."""
    config = ScheduleConfig(kind="wsd", decay_fraction=share, warmup_steps=warmup)
    start = decay_start(config, shorter)
    assert 0 <= start <= decay_start(config, shorter + more)
    for step in range(start):
        assert lr_factor(config, step, shorter) == lr_factor(config, step, shorter + more)


@pytest.mark.parametrize(
    ("patience", "improved", "scales", "reason"),
    [
        (1, [False, False], [0.5, 0.25], "at once"),
        (2, [False, False, False, False], [1, 0.5, 0.5, 0.25], "each second time"),
        (2, [False, True, False, False], [1, 1, 1, 0.5], "an improvement starts the count again"),
        (1, [True, True], [1, 1], "never while it improves"),
        (0, [True, False], [1, 0.5], "no patience is still not a fall on improvement"),
        (1, [False] * 5, [0.5, 0.25, 0.125, 0.0625, 0.0625], "it falls while it is above the floor"),
    ],
)
def test_plateau(patience: int, improved: list[bool], scales: list[float], reason: str) -> None:
    config = ScheduleConfig(kind="plateau", plateau_patience=patience, plateau_factor=0.5, plateau_floor=1e-4)
    plateau, before = Plateau(), 1.0
    for each, expected in zip(improved, scales, strict=True):
        fell = plateau.observe(config, each, peak_lr=1e-3)
        assert plateau.scale == pytest.approx(expected), reason
        assert fell == (plateau.scale < before)
        before = plateau.scale


@pytest.mark.parametrize("kind", ["constant", "cosine", "wsd"])
def test_other_schedules_do_not_fall(kind: str) -> None:
    plateau = Plateau()
    config = ScheduleConfig(kind=kind)  # type: ignore[arg-type]
    assert not any(plateau.observe(config, False, 1e-3) for _ in range(9))
    assert plateau == Plateau()


def test_a_floor_above_the_rate_does_not_raise_it() -> None:
    plateau = Plateau()
    config = ScheduleConfig(kind="plateau", plateau_patience=1, plateau_floor=1.0)
    assert not plateau.observe(config, False, peak_lr=1e-3)
    assert plateau.scale == 1


@pytest.mark.parametrize(
    ("compare", "patience", "losses", "rates", "stop", "reason"),
    [
        ("cycle", 1, [9, 8, 7, 9.5, 8.5, 7.5], [8, 8, 8, 4, 2, 1], 4, "never in the first cycle"),
        (
            "cycle",
            1,
            [1, 9, 1, 0.9, 8, 0.9, 0.8, 7, 0.8],
            [8] * 9,
            None,
            "a hard part is no plateau, it improves",
        ),
        ("cycle", 1, [5, 5, 5, 5, 5], [8, 8, 8, 4, 2], 4, "equal is no improvement"),
        ("cycle", 2, [5, 5, 5, 5, 4, 5, 5], [8, 8, 8, 8, 8, 8, 4], 6, "patience is in rounds"),
        ("cycle", 1, [5, 5, 5] + [9] * 5, [8, 8, 8, 4, 2, 1, 1, 1], 4, "the floor"),
        ("stated", 1, [1, 9, 1, 0.5, 9, 9], [8, 8, 8, 8, 4, 2], 5, "as the report: not in the first cycle"),
        ("code", 1, [1, 9, 1], [8, 4, 2], 2, "as the report's code: in the first cycle, too"),
        ("code", 1, [5, 4, 3, 2, 3, 1], [8, 8, 8, 8, 4, 4], None, "against the lowest of all"),
        ("code", 2, [1, 9, 9, 9, 9], [8, 8, 4, 4, 2], 2, "with patience"),
        ("code", 1, [float("nan"), 1, 1], [8, 4, 2], 2, "nothing is below what is no number"),
    ],
)
def test_rounds(
    compare: str, patience: int, losses: list[float], rates: list[int], stop: int | None, reason: str
) -> None:
    """Three parts; rates in multiples of 1e-5, the floor; the round at which a patience of two stops."""
    config = ScheduleConfig(
        kind="plateau",
        plateau_patience=patience,
        plateau_compare="cycle" if compare == "cycle" else "round",
        plateau_first_cycle=compare == "code",
        plateau_floor=1e-5,
    )
    plateau, stale, stopped = Plateau(), 0, None
    for number, (loss, rate) in enumerate(zip(losses, rates, strict=True)):
        improved = plateau.observe_round(config, number % 3, loss, num_parts=3, peak_lr=8e-5)
        assert 8 * plateau.scale == pytest.approx(rate), f"{reason}: round {number}"
        stale = stale_after(stale, improved)
        stopped = number if stopped is None and stale >= 2 else stopped
    assert stopped == stop, reason
