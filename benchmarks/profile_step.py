"""Where the time of a training step and of a detection goes, and how far it is from what the machine can do.

python benchmarks/profile_step.py --data data/svhn > benchmarks/results/profile.md

Two floors, for operations and for bytes: those of convolutions and matrix products over the rate of a large
matrix product, and those that every operation reads and writes over the rate of a large copy. Both assume
that nothing stays in a cache and nothing overlaps, so a part may take less than its bytes' floor.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from digitspot.config import DataConfig, load_recipe
from digitspot.dataset.splits import open_split
from digitspot.detector import build_detector
from digitspot.runtime.torch_runtime import autocast
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.learner import Learner
from digitspot.training.loader import TrainingBatches, plan_batches
from training_step import matrix_rate

GROUPS = {
    "convolutions": ("convolution",),
    "batch norm": ("batch_norm",),
    "matrix products: pooling": ("bmm",),
    "matrix products: box head": ("addmm", "aten::mm"),
    "copies and casts": ("copy_", "_to_copy", "clone"),
    "optimiser and averaging": ("_fused_adamw_", "lerp_", "linalg_vector_norm"),
    "sorting": ("topk", "sort"),
}
"""Parts of a step by what is in an operation's name; the first that fits counts."""


class Bytes(TorchDispatchMode):
    """Counts what operations read and write, by part; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: Counter[str] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = op(*args, **(kwargs or {}))
        if not op.is_view:
            tensors = [x for x in tree_leaves((args, kwargs, outputs)) if isinstance(x, Tensor)]
            self.moved[part_of(str(op))] += sum(x.numel() * x.element_size() for x in tensors)
        return outputs


def part_of(name: str) -> str:
    name = name.replace("aten.", "aten::")
    return next((part for part, words in GROUPS.items() if any(w in name for w in words)), "everything else")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipes" / "nano.yaml")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    config = load_recipe(options.recipe)
    pack = open_split(options.data, "train", DataConfig())
    loader = TrainingBatches(pack, config)
    plan = plan_batches(pack, config).epoch(0)[: options.steps]
    batches = [loader[batch] for batch in plan]
    detector = build_detector(config.model)
    learner = Learner(detector, config, torch.device("cpu"))
    num = sum(len(batch.image_ids) for batch in batches)

    def train() -> None:
        for step, batch in enumerate(batches):
            learner.update([batch], 0.1, step)

    @torch.no_grad()
    def detect() -> None:
        detector.eval()
        with autocast(learner.device, config.train.precision):
            for batch in batches:
                detector(batch.images, batch.sizes_hw)

    threads = torch.get_num_threads()
    peak, bandwidth = matrix_rate(torch.device("cpu")), copy_rate()
    print(f"# Where the time goes: `{options.recipe.name}`, batch {config.train.batch_size}\n")
    print(
        f"`{Path(__file__).name}`, torch {torch.__version__}, {threads} threads, bf16. A large matrix product"
    )
    print(f"ran at {peak / 1e12:.2f} TFLOP/s, a large copy at {bandwidth / 1e9:.0f} GB/s (read and written).")
    report("A training step", train, num, options.turns, peak, bandwidth)
    report("A detection", detect, num, options.turns, peak, bandwidth)
    start = time.perf_counter()
    for batch in plan:
        loader[batch]
    each = (time.perf_counter() - start) / num
    print(f"\nReading, augmenting and preparing one image takes {1e3 * each:.1f} ms of a loader process.")


def report(title: str, work: Callable[[], None], num: int, turns: int, peak: float, bandwidth: float) -> None:
    seconds = []
    for _ in range(turns + 2):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    total = 1e3 * min(seconds[2:]) / num
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    spent: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        spent[part_of(event.key)] += event.self_cpu_time_total
    with Bytes() as counted:
        work()
    with FlopCounterMode(display=False) as operations:
        work()
    flops: Counter[str] = Counter()
    for op, value in operations.get_flop_counts()["Global"].items():
        flops[part_of(str(op))] += value
    print(f"\n## {title}: {total:.2f} ms an image\n")
    print("| part | share | ms an image | floor by operations, ms | floor by bytes, ms |")
    print("| --- | --- | --- | --- | --- |")
    whole = sum(spent.values())
    for part, value in sorted(spent.items(), key=lambda item: -item[1]):
        share = value / whole
        by_flops, by_bytes = 1e3 * flops[part] / num / peak, 1e3 * counted.moved[part] / num / bandwidth
        print(f"| {part} | {100 * share:.0f} % | {share * total:.2f} | {by_flops:.2f} | {by_bytes:.2f} |")
    by_flops = 1e3 * sum(flops.values()) / num / peak
    by_bytes = 1e3 * sum(counted.moved.values()) / num / bandwidth
    print(f"| all | 100 % | {total:.2f} | {by_flops:.2f} | {by_bytes:.2f} |")


def copy_rate(megabytes: int = 256, repeats: int = 5) -> float:
    """Return bytes a second, read and written, of a copy too large for the caches."""
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - start)
    return 2 * source.numel() / min(seconds)


if __name__ == "__main__":
    main()
