"""What keeping freed memory is worth: `nano`'s training step in two processes, with and without.

python benchmarks/allocator.py --data data/svhn > benchmarks/results/allocator.md
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from compare import interleave
from digitspot.config import DataConfig, load_recipe
from digitspot.dataset.splits import open_split
from digitspot.detector import build_detector
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.learner import Learner
from digitspot.training.loader import TrainingBatches, plan_batches

RECIPE = Path(__file__).parents[1] / "recipes" / "nano.yaml"
WAYS = {"as the C library does": False, "kept": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    for name, keep in WAYS.items():
        ends[name], theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, keep, options.data, options.steps), daemon=True).start()
        ends[name].recv()
    timed = interleave({name: partial(ask, end) for name, end in ends.items()}, options.turns, warmups=2)
    default, kept = WAYS
    middle, low, high = timed.ratio(default, kept)
    count = load_recipe(RECIPE).train.batch_size * options.steps
    print("# Freed memory\n")
    print(
        f"`{Path(__file__).name}`: `nano`'s training step, {torch.get_num_threads()} threads, {options.turns}"
    )
    print(f"turns of {options.steps} steps in two processes that alternate.\n")
    print("| freed memory | img/s | peak resident memory |\n| --- | --- | --- |")
    for name, end in ends.items():
        end.send("peak")
        print(f"| {name} | {timed.rate(name, count):.1f} | {end.recv():.0f} MiB |")
    print(f"\nKept, a step is {middle:.2f} times as fast (quartiles {low:.2f} to {high:.2f}).")


def ask(end: Connection) -> None:
    end.send("train")
    end.recv()


def serve(end: Connection, keep: bool, data: Path, steps: int) -> None:
    """Train when asked to, and tell the peak of the process."""
    if keep:
        keep_freed_memory()
    config = load_recipe(RECIPE)
    pack = open_split(data, "train", DataConfig())
    loader = TrainingBatches(pack, config)
    batches = [loader[batch] for batch in plan_batches(pack, config).epoch(0)[:steps]]
    learner = Learner(build_detector(config.model), config, torch.device("cpu"))
    end.send("ready")
    while True:
        if end.recv() == "peak":
            end.send(peak_mebibytes())
            continue
        for step, batch in enumerate(batches):
            learner.update([batch], 0.1, step)
        end.send("done")


def peak_mebibytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
