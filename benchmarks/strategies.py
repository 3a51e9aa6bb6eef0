"""Train with each data strategy on as many images and compare: rate, memory, part changes, scores.

    python benchmarks/strategies.py --data SVHN --output runs/strategies > benchmarks/results/strategies.md

One training at a time, each in a process of its own; memory is followed from outside once a second.
Scores are of `valid`, as it is and zoomed out (mean), by the run's last validation.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from digitspot.config import load_recipe
from digitspot.data.splits import open_training
from digitspot.training.runlog import METRICS
from memory import follow

STUDENT_T_90 = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015}
"""Student's t for a two-sided 90 % interval, by the number of pairs."""


@dataclass(frozen=True)
class Result:
    """One training.

    Attributes:
        images_per_s: Without validation.
        peak_mib: Proportional set size of the process and all below it.
        change_ms: How much longer a part's first batch was waited for than the others, mean and longest.
        map: Mean over both views.
        accuracy: Likewise.
    """

    images_per_s: float
    peak_mib: float
    change_ms: tuple[float, float]
    map: float
    accuracy: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="runs go here; finished ones are not repeated"
    )
    parser.add_argument("--recipe", type=Path, default=Path("recipes/nano.yaml"))
    parser.add_argument("--images", type=int, default=24_000, help="images seen, to the next whole epoch")
    parser.add_argument("--strategies", nargs="+", default=["files", "pack", "parts", "prepared"])
    parser.add_argument("--repeated", nargs="+", default=["pack", "parts"], help="trained with every seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    results: dict[tuple[str, int], Result] = {}
    print("| strategy | seed | img/s | peak MiB | part change, mean / longest ms | mAP | accuracy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for strategy in options.strategies:
        for seed in options.seeds if strategy in options.repeated else options.seeds[:1]:
            result = results[strategy, seed] = train(options, strategy, seed)
            change = "{:.0f} / {:.0f}".format(*result.change_ms)
            print(
                f"| {strategy} | {seed} | {result.images_per_s:.1f} | {result.peak_mib:.0f} | {change} | "
                f"{result.map:.3f} | {result.accuracy:.3f} |",
                flush=True,
            )
    if {"pack", "parts"} <= set(options.repeated) and len(options.seeds) > 1:
        print("\n" + difference(results, options.seeds))


def train(options: argparse.Namespace, strategy: str, seed: int) -> Result:
    """Train once, or read what a training before found."""
    run = options.output / f"{strategy}-{seed}"
    outside = options.output / f"{strategy}-{seed}.json"
    if not outside.exists():
        config = load_recipe(options.recipe)
        open_training(options.data, config)  # packs are built before anything is measured
        epochs = math.ceil(options.images / len(open_training(options.data, config).samples))
        settings = {
            "data.strategy": strategy,
            "train.seed": seed,
            "train.epochs": epochs,
            "train.validate-every-epochs": epochs,
        }
        flags = [str(item) for name, value in settings.items() for item in (f"--{name}", value)]
        program = [
            sys.executable,
            "-c",
            "from digitspot.cli import main; main()",
            "train",
            str(options.recipe),
        ]
        rows = follow([*program, "--data", str(options.data), "--output", str(run), *flags,
                       "--schedule.branch-epochs"])  # fmt: skip
        outside.write_text(json.dumps(rows))
    rows = json.loads(outside.read_text())
    return summarise(run, max(used for _, used in rows))


def summarise(run: Path, peak: int) -> Result:
    metrics: list[dict[str, Any]] = [
        json.loads(line) for line in (run / METRICS).read_text().splitlines() if line
    ]
    valid = [row for row in metrics if row["kind"] == "valid"][-1]
    rounds = [row for row in metrics if row["kind"] == "round"]
    waits = [1000 * (row["wait_seconds"] - row["usual_wait_seconds"]) for row in rounds][1:] or [0.0]
    return Result(
        images_per_s=valid["images_seen"] / valid["seconds"],
        peak_mib=peak / 2**20,
        change_ms=(mean(waits), max(waits)),
        map=(valid["map"] + valid["zoomed_map"]) / 2,
        accuracy=(valid["accuracy"] + valid["zoomed_accuracy"]) / 2,
    )


def difference(results: dict[tuple[str, int], Result], seeds: list[int]) -> str:
    """Say the difference of the accuracies in pairs of one seed, with its 90 % interval (Student's t)."""
    points = [100 * (results["parts", seed].accuracy - results["pack", seed].accuracy) for seed in seeds]
    half = STUDENT_T_90[len(points)] * stdev(points) / math.sqrt(len(points))
    return (
        f"`parts` less `pack`: {mean(points):+.2f} points of accuracy, "
        f"90 % interval [{mean(points) - half:+.2f}, {mean(points) + half:+.2f}] over {len(points)} seeds."
    )


if __name__ == "__main__":
    main()
