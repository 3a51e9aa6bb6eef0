"""One training step: `nano` against torchvision's detectors, and each against what the machine can do.

python benchmarks/training_step.py --data data/svhn > benchmarks/results/training_step.md

The first four take the same batches, made by `recipes/nano.yaml`; the last is the report's way, with
batches of its own. On a GPU, batches of 64 everywhere:

python benchmarks/training_step.py --data data/svhn --device cuda --batch-size 64 --seed-batch-size 64
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from assembled import assemble_nano
from compare import Comparison, interleave
from digitspot.config import Config, DataConfig, load_recipe
from digitspot.dataset.pack import Pack
from digitspot.dataset.splits import open_split
from digitspot.detector import Detector, build_detector
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch, TrainingBatches, plan_batches

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class Way:
    """A network, what it trains on, and how it is called in the table."""

    title: str
    learner: Learner
    batches: list[TensorBatch]

    @property
    def num_images(self) -> int:
        return sum(len(batch.image_ids) for batch in self.batches)

    def run(self) -> None:
        """Do one update on each batch."""
        for step, batch in enumerate(self.batches):
            self.learner.update([batch], 0.1, step)
        if self.learner.device.type == "cuda":
            torch.cuda.synchronize()

    def flops(self) -> float:
        """Return the operations of an image: forward, backward, in convolutions and matrix products."""
        with FlopCounterMode(display=False) as counter:
            self.run()
        return counter.get_total_flops() / self.num_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed-batch-size", type=int, default=4, help="of the report's way")
    parser.add_argument("--steps", type=int, default=4, help="steps of each of the small networks in a turn")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    keep_freed_memory()
    pack = open_split(options.data, "train", DataConfig())
    ways = {}
    for name in options.ways:
        batch_size = options.seed_batch_size if name == "seed" else options.batch_size
        ways[name] = WAYS[name](pack, device, batch_size, options.steps)
    timed = interleave({name: way.run for name, way in ways.items()}, options.turns)
    peak = matrix_rate(device)
    print("# One training step\n")
    print(
        f"`{Path(__file__).name}`, batch {options.batch_size}, {machine(device)}, torch {torch.__version__};"
    )
    print(f"bf16, {options.turns} turns of one run with all ways in each. A ratio is the median over turns,")
    print(f"with quartiles. The rate of a large matrix product there: {peak / 1e12:.2f} TFLOP/s.\n")
    print("| way | parameters | GFLOP an image | img/s | share of the matrix rate | nano is faster by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, way in ways.items():
        rate, flops = way.num_images / median(timed.seconds[name]), way.flops()
        millions = sum(p.numel() for p in way.learner.detector.parameters()) / 1e6
        size = f"{millions:.1f} M | {flops / 1e9:.2f}"
        faster = ratio_text(name, ways, timed) if "nano" in ways else ""
        print(f"| {way.title} | {size} | {rate:.4g} | {100 * rate * flops / peak:.0f} % | {faster} |")


def ratio_text(name: str, ways: dict[str, Way], timed: Comparison) -> str:
    scale = ways["nano"].num_images / ways[name].num_images
    middle, low, high = (scale * value for value in timed.ratio(name, "nano"))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads"


def matrix_rate(device: torch.device, side: int = 2048, repeats: int = 5) -> float:
    """Return operations a second of a large bf16 matrix product: what the machine can do at best."""
    side = side * (4 if device.type == "cuda" else 1)
    first, second = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        (first @ second)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def same_batches(
    title: str, build: Callable[[Config], tuple[Detector, Config]]
) -> Callable[[Pack, torch.device, int, int], Way]:
    def make(pack: Pack, device: torch.device, batch_size: int, steps: int) -> Way:
        config = with_batch(load_recipe(RECIPES / "nano.yaml"), batch_size)
        detector, own = build(config)
        return Way(title, Learner(detector, own, device), images(pack, config, steps))

    return make


def of_recipe(name: str, config: Config) -> tuple[Detector, Config]:
    """Return a recipe's network and optimiser."""
    own = with_batch(load_recipe(RECIPES / f"{name}.yaml"), config.train.batch_size)
    return build_detector(own.model, load_weights=False), own


def resnet50(config: Config) -> tuple[Detector, Config]:
    """Return the report's network with the counts of `nano`, the live batch norms of the report."""
    model = replace(config.model, preset="resnet50_fpn_v2", fpn_channels=256, head_channels=1024)
    own = replace(config, model=model)
    return build_detector(model), own


def seed_way(pack: Pack, device: torch.device, batch_size: int, steps: int) -> Way:
    """Return the report's way: 800/1333 pixels, its counts, batches of its own, one step a turn."""
    config = with_batch(load_recipe(RECIPES / "seed.yaml"), batch_size)
    config = replace(config, train=replace(config.train, precision="bf16"))
    learner = Learner(build_detector(config.model, load_weights=False), config, device)
    title = f"the report's: `resnet50_fpn_v2`, 800/1333, batch {batch_size}"
    return Way(title, learner, images(pack, config, 1))


def with_batch(config: Config, batch_size: int) -> Config:
    return replace(config, train=replace(config.train, batch_size=batch_size))


def images(pack: Pack, config: Config, steps: int) -> list[TensorBatch]:
    """Return the first training batches."""
    loader = TrainingBatches(pack, config)
    return [loader[batch] for batch in plan_batches(pack, config).epoch(0)[:steps]]


WAYS = {
    "nano": same_batches("`nano`", partial(of_recipe, "nano")),
    "nano_torchvision": same_batches("`nano` in torchvision's `FasterRCNN`", assemble_nano),
    "resnet18_fpn": same_batches("`resnet18_fpn`, torchvision's classes", partial(of_recipe, "resnet18_fpn")),
    "resnet50_fpn_v2": same_batches("`resnet50_fpn_v2`, our input size and counts", resnet50),
    "seed": seed_way,
}


if __name__ == "__main__":
    main()
