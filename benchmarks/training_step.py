"""One training step of `nano` against `resnet18_fpn`: the same pictures, augmentation and batch size.

python benchmarks/training_step.py --data data/svhn > benchmarks/results/training_step.md
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from compare import interleave
from digitspot.config import Config, load_recipe
from digitspot.data.splits import open_split
from digitspot.detector import build_detector
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch, TrainingBatches, plan_batches

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = ("resnet18_fpn", "nano")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4, help="steps of each network in a turn")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    configs = {name: load(name, options.batch_size) for name in NAMES}
    batches = load_pictures(options.data, configs["nano"], options.steps)
    ways = {name: partial(run_steps, make_learner(config), batches) for name, config in configs.items()}
    comparison = interleave(ways, options.turns)
    middle, low, high = comparison.ratio(*NAMES)
    count = options.batch_size * options.steps
    print("# One training step\n")
    print(f"`{Path(__file__).name}`, batch {options.batch_size}, {torch.get_num_threads()} threads, bf16,")
    print(f"{options.turns} turns of {options.steps} steps each, the two in turns.\n")
    print("| network | parameters | img/s |\n| --- | --- | --- |")
    for name in NAMES:
        millions = sum(p.numel() for p in build_detector(configs[name].model).parameters()) / 1e6
        print(f"| `{name}` | {millions:.1f} M | {comparison.rate(name, count):.1f} |")
    print(f"\n`nano` is {middle:.1f} times as fast (quartiles over turns {low:.1f} to {high:.1f}).")


def load(name: str, batch_size: int) -> Config:
    config = load_recipe(RECIPES / f"{name}.yaml")
    return replace(config, train=replace(config.train, batch_size=batch_size))


def load_pictures(data: Path, config: Config, count: int) -> list[TensorBatch]:
    """Return the first training batches; both networks take the same ones."""
    _, pack = open_split(data, "train")
    loader = TrainingBatches(pack, config)
    return [loader[batch] for batch in plan_batches(pack, config).epoch(0)[:count]]


def make_learner(config: Config) -> Learner:
    return Learner(build_detector(config.model), config, torch.device("cpu"))


def run_steps(learner: Learner, batches: list[TensorBatch]) -> None:
    """Do one update on each batch."""
    for step, batch in enumerate(batches):
        learner.update([batch], 0.1, step)


if __name__ == "__main__":
    main()
