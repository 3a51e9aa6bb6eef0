"""The report's training, as stated and as its code ran it, against a plain rewriting of its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from digitspot.config import Config, InputConfig, load_recipe
from digitspot.detector.trained import load_model
from digitspot.training.run import start_training
from small_nano import NANO

RECIPES = Path(__file__).parents[1] / "recipes"
SEED, CODE = (load_recipe(RECIPES / f"{name}.yaml") for name in ("seed", "seed_code"))


def expected_lrs(losses: list[float], first_cycle: bool) -> tuple[list[float], int | None]:
    """Return the lr after each round, and the round that ends the training, by the report's rule."""
    lr, best, stale, lrs = 0.01, float("inf"), 0, []
    for number, loss in enumerate(losses):
        if loss < best:
            best, stale = loss, 0
        elif first_cycle or number >= 10:
            stale += 1
            if lr > 1e-5:
                lr /= 2
        lrs.append(lr)
        if stale == 7:
            return lrs, number
    return lrs, None


def on_a_cpu(config: Config, pack_root: Path) -> Config:
    """Keep all that decides the rounds; shrink the network, the images and the precision."""
    return replace(
        config,
        data=replace(config.data, workers=0, pack_root=str(pack_root)),
        input=InputConfig(short_side=32, long_side=64, multiple=32),
        model=replace(NANO, min_score=0.05),
        train=replace(config.train, precision="fp32", device="cpu"),
    )


def test_the_two_differ_in_the_first_cycle_only() -> None:
    assert replace(SEED, schedule=replace(SEED.schedule, plateau_first_cycle=True)) == CODE
    assert (SEED.optimizer.name, SEED.optimizer.lr, SEED.optimizer.momentum) == ("sgd", 0.01, 0.9)
    assert (SEED.train.batch_size, SEED.train.precision, SEED.data.parts) == (4, "fp16", 10)


@pytest.mark.parametrize(("config", "first_cycle"), [(SEED, False), (CODE, True)], ids=["stated", "code"])
def test_parts_lrs_and_stop(config: Config, first_cycle: bool, small_data: Path, tmp_path: Path) -> None:
    run = start_training(on_a_cpu(config, tmp_path), small_data, tmp_path / "run")
    rounds = [row for row in run.metrics() if row["kind"] == "round"]
    losses = [row["loss"] for row in rounds]
    lrs, stop = expected_lrs(losses, first_cycle)
    assert [row["part"] for row in rounds] == [number % 10 for number in range(len(rounds))]
    factors = [row["lr_factor"] for row in rounds[1:]]  # each is of the updates of its round
    assert factors == [pytest.approx(lr / 0.01, abs=1e-5) for lr in lrs[:-1]]
    assert len(rounds) == (100 if stop is None else stop + 1)
    assert min(lrs) < 0.01, "the lr fell, so that there is something to compare"
    assert load_model(run.best).scores["map"] >= 0, "calibrated on valid at the end"


@pytest.mark.parametrize(
    ("losses", "first_cycle", "lr", "stop"),
    [
        pytest.param([5, 6, 6, 6], True, 0.01 / 8, None, id="the code halves at once"),
        pytest.param([5, 6, 6, 6], False, 0.01, None, id="as stated, not before ten parts"),
        pytest.param([5] + [6] * 9 + [6, 6], False, 0.01 / 4, None, id="after ten parts, each worse round"),
        pytest.param([5] + [6] * 7, True, 0.01 / 2**7, 7, id="seven in a row end it"),
        pytest.param([5, 6, 6, 6, 6, 6, 6, 4, 5], True, 0.01 / 2**7, None, id="a lower loss counts anew"),
        pytest.param(
            [v for k in range(14, 0, -1) for v in (k, k)], True, 0.01 / 2**10, None, id="ten halvings at most"
        ),
    ],
)
def test_the_rule_by_hand(losses: list[float], first_cycle: bool, lr: float, stop: int | None) -> None:
    lrs, stopped = expected_lrs(losses, first_cycle)
    assert (lrs[-1], stopped) == (pytest.approx(lr), stop)
