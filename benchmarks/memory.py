"""Follow the memory of a training on a generated pack, from outside the process, once a second.

    python benchmarks/memory.py --output runs/memory --images 100000 --cycles 2

The pack is written straight (noise in house numbers' sizes, one to four digits), since decoding is not
what is measured. `loader` only loads, with the strategy's memory; `train` trains `nano`, with or without a
budget. Memory is the proportional set size of the process and all below it, from /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.config import Config, DataConfig, load_recipe
from digitspot.data.sampler import BatchPlan
from digitspot.data.splits import open_training
from digitspot.training.loader import plan_batches, start_loading
from digitspot.training.memory import size_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="data set, packs and tables go here")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cycles", type=int, default=2)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/nano.yaml"))
    parser.add_argument(
        "--train", help="train with this budget, e.g. 2GiB, or `none`, instead of only loading"
    )
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options)
        return
    data = options.output / "data"
    if not data.exists():
        write_data(data, options.images)
    os.environ["DIGITSPOT_CACHE"] = str(options.output / "cache")
    open_training(data, Config())  # the pack is built before anything is measured
    rows = follow(train_command(options, data) if options.train else [sys.executable, *sys.argv, "--load"])
    table = options.output / f"memory-{options.train or 'load'}.json"
    table.write_text(json.dumps(rows))
    report(rows, options, data)


def report(rows: Sequence[tuple[float, int]], options: argparse.Namespace, data: Path) -> None:
    """Print the peak of each half, and what `parts` may take."""
    half = rows[-1][0] / 2
    halves = [max(used for at, used in rows if (at > half) == later) for later in (False, True)]
    print("| what | measured |\n| --- | --- |")
    print(f"| peak, first half | {size_text(halves[0])} |\n| peak, second half | {size_text(halves[1])} |")
    if not options.train:
        pack = int(open_training(data, Config()).samples.num_bytes.sum())
        start = min(used for at, used in rows if at > 1)
        print(f"| pack | {size_text(pack)} |")
        print(f"| allowed above the start: 2/{options.parts} of it and 100 MiB | "
              f"{size_text(2 * pack / options.parts + 100 * 2**20)} |")  # fmt: skip
        print(f"| taken above the start ({size_text(start)}) | {size_text(max(halves) - start)} |")


def train_command(options: argparse.Namespace, data: Path) -> list[str]:
    budget = [] if options.train == "none" else ["--train.memory-budget", options.train]
    output = options.output / f"run-{options.train}-{int(time.time())}"
    settings = ["--data.strategy", "parts", "--data.parts", str(options.parts)]
    program = [sys.executable, "-c", "from digitspot.cli import main; main()", "train", str(options.recipe)]
    length = ["--train.max-updates", str(options.updates)]
    return [*program, "--data", str(data), "--output", str(output), *settings, *length, *budget]


def load(options: argparse.Namespace) -> None:
    """Load whole cycles of parts and throw the batches away."""
    config = load_recipe(options.recipe)
    data = DataConfig(strategy="parts", parts=options.parts, workers=options.workers)
    config = replace(config, data=data, train=replace(config.train, epochs=options.cycles))
    samples = open_training(options.output / "data", config).samples
    time.sleep(3)  # the start, to compare with
    plan: BatchPlan = plan_batches(samples, config)
    planned = (batch for epoch in range(options.cycles) for batch in plan.epoch(epoch))
    begun, part, waits = time.monotonic(), -1, []
    expected = [batch.part for epoch in range(options.cycles) for batch in plan.epoch(epoch)]
    batches = start_loading(samples, config, planned)
    for wanted in expected:
        start = time.monotonic()
        next(batches)
        if wanted != part:
            waits.append(time.monotonic() - start)
        part = wanted
    images = len(expected) * config.train.batch_size
    slowest = 1000 * max(waits[1:])
    print(f"{images / (time.monotonic() - begun):.0f} img/s, longest wait at a change {slowest:.0f} ms",
          file=sys.stderr)  # fmt: skip


def follow(command: Sequence[str]) -> list[tuple[float, int]]:
    """Run a command; return (second, bytes) once a second."""
    process = subprocess.Popen(command)
    rows, begun = [], time.monotonic()
    while process.poll() is None:
        rows.append((time.monotonic() - begun, sum(map(pss_bytes, below(process.pid)))))
        time.sleep(1)
    print(f"exit code {process.returncode}", file=sys.stderr)
    return rows


def below(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    pids = [pid]
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                pids += below(int(child))
    except OSError:  # it has just ended
        pass
    return pids


def pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def write_data(folder: Path, num: int) -> None:
    """Write noise as BMP, in the sizes of house numbers' photographs; `valid` has a hundredth."""
    random = np.random.default_rng(0)
    for name, count in (("train", num), ("valid", max(1, num // 100))):
        (folder / name).mkdir(parents=True)
        images, boxes = [], []
        for i in range(count):
            height = int(np.clip(random.lognormal(3.9, 0.5), 20, 400))
            width = int(height * random.uniform(1.2, 3.5))
            Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(
                folder / name / f"{i}.bmp"
            )
            images.append({"id": i, "file_name": f"{i}.bmp", "height": height, "width": width})
            digits = int(random.integers(1, 5))
            for digit in range(digits):
                box = [width * digit / digits, height * 0.2, width / digits * 0.8, height * 0.6]
                boxes.append(
                    {
                        "id": len(boxes),
                        "image_id": i,
                        "category_id": int(random.integers(1, 11)),
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
        document = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{name}.json").write_text(json.dumps(document))


if __name__ == "__main__":
    main()
