"""Follow losses from before the updates beside the loss on `valid`: how well do they stand in for it?

    python benchmarks/prequential.py --data SVHN --output runs/prequential --figure docs/prequential.png \
        > benchmarks/results/prequential.md

Trains `nano` in parts for some cycles. Before each part the same network is measured on that part and on
`valid`, both in evaluation; between, the faded mean of the losses from before the updates is on record. A
run that is already there is not repeated: its table and figure are made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from digitspot.config import AugmentConfig, Config, load_recipe
from digitspot.dataset.sampler import Batch
from digitspot.dataset.samples import Samples
from digitspot.dataset.splits import open_training
from digitspot.detector import build_detector
from digitspot.detector.model import pick_device
from digitspot.preprocess import group_by_shape
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.learner import Learner
from digitspot.training.loader import RemainingBatches, TrainingBatches, plan_batches, start_loading
from digitspot.training.loop import Trainer
from digitspot.training.losses import evaluation_losses
from digitspot.training.runlog import Run
from digitspot.training.state import TrainState
from digitspot.training.validation import Validator
from digitspot.types import DoubleArray

VALID_LOSS = "valid_loss"
"""Kind of the records of the loss on `valid` before a part."""
LAGS = np.arange(-50, 151, 5)
"""Updates that a curve is shifted by to find where it fits best."""


@dataclass(frozen=True)
class Curve:
    """A loss over a training.

    Attributes:
        steps: Updates done, `[N]`, rising.
        values: The loss there, `[N]`.
        cycles: The cycle from 1 that it is of, `[N]`.
    """

    steps: DoubleArray
    values: DoubleArray
    cycles: DoubleArray

    def where(self, chosen: np.ndarray) -> Curve:
        return Curve(self.steps[chosen], self.values[chosen], self.cycles[chosen])

    def at(self, steps: DoubleArray) -> DoubleArray:
        """Return the values between its points on straight lines; outside of them there are none."""
        return np.interp(steps, self.steps, self.values, left=np.nan, right=np.nan)


class FollowedTrainer(Trainer):
    """Measures the loss on `valid` whenever a part begins."""

    valid_batches: Sequence[Any] = ()

    def _begin_round(self, groups: Sequence[Sequence[Batch]], number: int) -> None:
        super()._begin_round(groups, number)
        self._log(VALID_LOSS, loss=self._valid_loss())

    def _valid_loss(self) -> float:
        total = 0.0
        for number, batch in enumerate(self.valid_batches):
            losses = evaluation_losses(
                self.learner.best_model, batch, self.learner.device, self.config.train.precision, (number,)
            )
            total += losses["loss"] * len(batch.image_ids)
        return total / sum(len(batch.image_ids) for batch in self.valid_batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the run folder")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/nano.yaml"))
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    run = Run(options.output)
    if not run.started:
        train(options, run)
    curves = read_curves(run.metrics())
    print("\n".join([*table(curves), "", *table_of_cycles(curves)]))
    if options.figure:
        from prequential_figure import draw

        draw(curves, options.figure)


def train(options: argparse.Namespace, run: Run) -> None:
    """Train as `digitspot train` does, measuring `valid` before each part."""
    config = load_recipe(options.recipe)
    config = replace(
        config,
        data=replace(config.data, strategy="parts", parts=options.parts),
        schedule=replace(config.schedule, branch_epochs=()),
        train=replace(
            config.train, epochs=options.cycles, validate_every_epochs=options.cycles, score_parts=True
        ),
    )
    device = pick_device(config.train.device)
    opened = open_training(options.data, config)
    plan = plan_batches(opened.samples, config)
    remaining = RemainingBatches(plan, config.optimizer.accumulate, 0, 0, config.train.epochs)
    batches = start_loading(opened.samples, config, remaining)
    keep_freed_memory()
    torch.manual_seed(config.train.seed)
    learner = Learner(build_detector(config.model), config, device)
    run.start(config, options.data.resolve())
    validator = Validator(opened.valid, opened.valid_indices.tolist())
    trainer = FollowedTrainer(config, run, opened.samples, validator, learner, batches, TrainState())
    trainer.valid_batches = as_they_are(opened.valid, config)
    trainer.train()


def as_they_are(samples: Samples, config: Config) -> list[Any]:
    """Return the batches of a split, not augmented, at the size of a prediction."""
    made = TrainingBatches(samples, replace(config, augment=AugmentConfig(preset="none")))
    groups = group_by_shape([(int(h), int(w)) for h, w in samples.sizes_hw], config.train.batch_size)
    return [made[Batch(0, 0, tuple(group), config.input.short_side)] for group in groups]


def read_curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return the loss on `valid` and those that may stand in for it, by name.

    The first update is left out: a network at its random start says nothing of how losses go together.
    """

    def of_kind(kind: str, figure: str = "loss") -> Curve:
        rows = [row for row in metrics if row["kind"] == kind and row["step"] > 0]
        # what is measured when a part begins belongs to the cycle that begins with it
        cycles = [1 + int(row["epoch"]) if kind in ("part", VALID_LOSS) else row["cycle"] for row in rows]
        columns = ([row["step"] for row in rows], [row[figure] for row in rows], cycles)
        return Curve(*(np.array(column, np.float64) for column in columns))

    return {
        "valid": of_kind(VALID_LOSS),
        "whole part, in evaluation": of_kind("part"),
        "batches, faded": of_kind("train", "prequential_faded"),
    }


def table(curves: Mapping[str, Curve]) -> Iterator[str]:
    valid = curves["valid"]
    yield "| stands in | cycle | points | `valid` | difference | correlation | of the changes | lag |"
    yield "| --- " * 8 + "|"
    for name, curve in curves.items():
        if name == "valid":
            continue
        for cycles, chosen in (
            ("1, unseen", valid.cycles == 1),
            (f"2 to {int(valid.cycles.max())}, seen", valid.cycles > 1),
            ("all", valid.cycles > 0),
        ):
            yield f"| {name} | {cycles} | {' | '.join(compare(curve, valid.where(chosen)))} |"


def table_of_cycles(curves: Mapping[str, Curve]) -> Iterator[str]:
    valid, *others = curves.values()
    yield "| cycle | `valid` |" + "".join(f" {name}, less `valid` |" for name in list(curves)[1:])
    yield "| --- " * (2 + len(others)) + "|"
    for cycle in np.unique(valid.cycles):
        there = valid.where(valid.cycles == cycle)
        means = (np.nanmean(other.at(there.steps) - there.values) for other in others)
        yield f"| {cycle:.0f} | {there.values.mean():.3f} |" + "".join(f" {mean:+.3f} |" for mean in means)


def compare(curve: Curve, valid: Curve) -> list[str]:
    """Return how a curve goes with the loss on `valid`, at the points of the latter."""
    own = curve.at(valid.steps)
    there = ~np.isnan(own)
    own, loss = own[there], valid.values[there]
    return [
        str(len(own)),
        f"{loss.mean():.3f}",
        f"{(own - loss).mean():+.3f} ± {(own - loss).std(ddof=1):.3f}",
        f"{correlation(own, loss):.3f}",
        f"{correlation(np.diff(own), np.diff(loss)):.2f}",
        best_lag(curve, valid),
    ]


def best_lag(curve: Curve, valid: Curve) -> str:
    """Say how many updates later a curve is than `valid`, by the shift at which they differ most evenly.

    Correlation would not tell: a curve that falls like an exponential is, shifted, a multiple of itself.
    All shifts are judged by the same points, those that have a value at each.
    """
    shifted = np.array([curve.at(valid.steps + lag) for lag in LAGS])  # [lags, points]
    there = ~np.isnan(shifted).any(0)
    if there.sum() < 5:
        return "too few points"
    spreads = (shifted - valid.values)[:, there].std(1, ddof=1)
    best, none = int(spreads.argmin()), int(np.flatnonzero(LAGS == 0)[0])
    return f"{LAGS[best]:+d} updates: ± {spreads[best]:.3f}, unshifted ± {spreads[none]:.3f}"


def correlation(first: DoubleArray, second: DoubleArray) -> float:
    """Return Pearson's."""
    return float(np.corrcoef(first, second)[0, 1])


if __name__ == "__main__":
    main()
