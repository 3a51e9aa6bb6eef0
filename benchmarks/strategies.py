"""Train with each data strategy on as many images: rate, memory, part changes, scores on `test`.

    digitspot demo --output demo
    python benchmarks/strategies.py --data SVHN --output runs/strategies --weights demo/run/best.pt \
        > benchmarks/results/strategies.md

One training at a time, in a process of its own, then `digitspot predict` and `digitspot evaluate` on `test`,
which nothing was tuned on. Memory is followed from outside once a second. Each training leaves a JSON file;
one that has it is not repeated, one that was cut off is.

A network that starts at random ends 24,000 images later ten points of accuracy from one with another seed
(benchmarks/results/tried.md), whatever its data came through. `--weights` begins all of them at the same
weights.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from digitspot.answers import NUMBERS
from digitspot.config import load_recipe
from digitspot.dataset.splits import open_training
from digitspot.evaluation.intervals import accuracy_samples
from digitspot.evaluation.number_metrics import exact_matches
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_numbers
from digitspot.training.runlog import Run
from memory import follow

STUDENT_T_90 = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895}
"""Student's t for a two-sided 90 % interval, by the number of pairs."""
DIGITSPOT = (
    sys.executable,
    "-c",
    "import sys; sys.stdout = sys.stderr; from digitspot.cli import main; main()",
)
"""The command line, its results beside the messages: stdout is for the table."""
PAIR = ("pack", "parts")
MANY, STUDENT_T_90_OF_MANY = 25, 1.71
"""Student's t for as many values; with more it is less."""


@dataclass(frozen=True)
class Result:
    """One training.

    Attributes:
        images_seen: With repeats.
        images_per_s: Without validation.
        images_per_cpu_s: By the time that the command and its processes computed, start and validation
            included: what else runs on the machine does not count.
        peak_mib: Proportional set size of the process and all below it.
        change_ms: How much longer each part's first batch was waited for than the others as a rule.
        longest_other_ms: Longest wait for a batch that was not a part's first, likewise.
        valid: mAP and accuracy, each the mean over both views.
        test: mAP and accuracy.
    """

    images_seen: int
    images_per_s: float
    images_per_cpu_s: float
    peak_mib: float
    change_ms: list[float]
    longest_other_ms: float
    valid: tuple[float, float]
    test: tuple[float, float]

    def row(self) -> str:
        changes = "none"
        if len(self.change_ms) >= MANY:
            changes = "{:+.0f} ± {:.0f} / {:+.0f}".format(*mean_and_half(self.change_ms), max(self.change_ms))
        return (
            f"{self.images_seen:,} | {self.images_per_s:.1f} | {self.images_per_cpu_s:.1f} | "
            f"{self.peak_mib:.0f} | {changes} | {self.longest_other_ms:+.0f} | "
            f"{self.test[0]:.3f} | {self.test[1]:.3f} | {self.valid[0]:.3f} | {self.valid[1]:.3f}"
        )


def mean_and_half(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of many values and half its 90 % interval."""
    return mean(values), STUDENT_T_90_OF_MANY * stdev(values) / math.sqrt(len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="runs, answers and results go here")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/nano.yaml"))
    parser.add_argument("--weights", default="none", help="what every training begins from")
    parser.add_argument("--images", type=int, default=24_000, help="images seen, to the nearest whole epoch")
    parser.add_argument("--strategies", nargs="+", default=["pack", "parts", "files", "prepared"])
    parser.add_argument("--repeated", nargs="+", default=list(PAIR), help="trained with every seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    wanted = [
        (strategy, seed)
        for seed in options.seeds
        for strategy in options.strategies
        if strategy in options.repeated or seed == options.seeds[0]
    ]
    wanted.sort(key=lambda each: each[0] not in options.repeated)  # pairs first, side by side in time
    results = {each: train_and_score(options, *each) for each in wanted}
    print("\n".join(table(options, results)))


def table(options: argparse.Namespace, results: Mapping[tuple[str, int], Result]) -> Iterator[str]:
    yield (
        "| strategy | seed | images seen | img/s | a CPU second | peak MiB "
        "| part change, mean / longest, ms | longest other wait, ms "
        "| `test` mAP | accuracy | `valid` mAP | accuracy |"
    )
    yield "| --- " * 12 + "|"
    for strategy in options.strategies:
        for seed in options.seeds:
            if (strategy, seed) in results:
                yield f"| `{strategy}` | {seed} | {results[strategy, seed].row()} |"
    changes = [each for (name, _), result in results.items() if name == "parts" for each in result.change_ms]
    if len(changes) >= MANY:
        average, half = mean_and_half(changes)
        yield (
            "\nThe first batch of a part was waited for longer than the others as a rule, under `parts`, by "
            f"{average:+.0f} ms, 90 % interval [{average - half:+.0f}, {average + half:+.0f}] over "
            f"{len(changes)} changes."
        )
    if all(each in results for each in ((strategy, seed) for strategy in PAIR for seed in options.seeds)):
        yield "\n" + agreement(options, results)


def train_and_score(options: argparse.Namespace, strategy: str, seed: int) -> Result:
    """Train once and answer `test`, or read what was found before."""
    run, kept = options.output / f"{strategy}-{seed}", options.output / f"{strategy}-{seed}.json"
    if kept.exists():
        stored = json.loads(kept.read_text())["result"]
        return Result(**stored | {name: tuple(stored[name]) for name in ("valid", "test")})
    shutil.rmtree(run, ignore_errors=True)
    before = cpu_seconds()
    rows = train(options, strategy, seed, run)
    computed = cpu_seconds() - before
    answers, labels = answers_of(run), str(options.data / "test.json")
    scores = run / "test-scores.json"
    for command in (
        ("predict", str(run), labels, "--output", str(answers), "--precision", "bf16"),
        ("evaluate", str(answers), "--labels", labels, "--save", str(scores)),
    ):
        subprocess.run([*DIGITSPOT, *command], check=True)
    peak = max(used for _, used in rows)
    result = summarise(Run(run), computed, peak, json.loads(scores.read_text()))
    kept.write_text(json.dumps({"result": asdict(result), "memory": rows}))
    return result


def train(options: argparse.Namespace, strategy: str, seed: int, run: Path) -> list[tuple[float, int]]:
    """Train; return (second, bytes) once a second."""
    config = load_recipe(options.recipe)
    num = len(open_training(options.data, config).samples)  # packs are built before anything is measured
    epochs = max(1, round(options.images / num))
    settings = {
        "model.weights": options.weights,
        "data.strategy": strategy,
        "train.seed": seed,
        "train.epochs": epochs,
        "train.validate-every-epochs": epochs,
    }
    flags = [str(item) for name, value in settings.items() for item in (f"--{name}", value)]
    program = [*DIGITSPOT, "train", str(options.recipe), "--data", str(options.data), "--output", str(run)]
    phase = run.with_name(f"{run.name}.phase")
    phase.parent.mkdir(parents=True, exist_ok=True)
    phase.write_text("train")
    return [(row.seconds, row.pss) for row in follow([*program, *flags, "--schedule.branch-epochs"], phase)]


def cpu_seconds() -> float:
    """Return what all processes computed that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summarise(run: Run, computed: float, peak: int, scores: Mapping[str, Mapping[str, float]]) -> Result:
    metrics = run.metrics()
    valid = [row for row in metrics if row["kind"] == "valid"][-1]
    rounds = [row for row in metrics if row["kind"] == "round"]
    changes = [1000 * (row["wait_seconds"] - row["usual_wait_seconds"]) for row in rounds]
    return Result(
        images_seen=valid["images_seen"],
        images_per_s=valid["images_seen"] / valid["seconds"],
        images_per_cpu_s=valid["images_seen"] / computed,
        peak_mib=peak / 2**20,
        change_ms=changes[1:],  # the first wait is for the loader's start
        longest_other_ms=max(
            1000 * (row["longest_wait_seconds"] - row["usual_wait_seconds"]) for row in rounds
        ),
        valid=(
            mean((valid["map"], valid["zoomed_map"])),
            mean((valid["accuracy"], valid["zoomed_accuracy"])),
        ),
        test=(scores["boxes"]["AP"], scores["numbers"]["accuracy"]),
    )


def agreement(options: argparse.Namespace, results: Mapping[tuple[str, int], Result]) -> str:
    """Say how far the accuracies of `parts` and `pack` on `test` are apart, and how sure that is."""
    seeds = options.seeds
    points = [100 * (results["parts", seed].test[1] - results["pack", seed].test[1]) for seed in seeds]
    half = STUDENT_T_90[len(points)] * stdev(points) / math.sqrt(len(points))
    low, high = image_interval(options, seeds)
    shown = ", ".join(f"{point:+.2f}" for point in points)
    return (
        f"Accuracy on `test`, `parts` less `pack`, in points, pairs of one seed: {shown}; mean "
        f"{mean(points):+.2f}.\n\n"
        f"- Over seeds (other trainings, these images; Student's t, {len(points) - 1} degrees): "
        f"90 % interval [{mean(points) - half:+.2f}, {mean(points) + half:+.2f}].\n"
        f"- Over images (these trainings, other images; paired bootstrap of the mean over the "
        f"seeds): 90 % interval [{low:+.2f}, {high:+.2f}]."
    )


def image_interval(options: argparse.Namespace, seeds: Sequence[int]) -> tuple[float, float]:
    """Return the 90 % interval of the mean difference, in points, over draws of the images.

    One generator seed gives each run the same draws: the difference of the samples is paired.
    """
    labels = read_labels(options.data / "test.json", clip=False)
    truth = {str(image.image_id): image.number for image in labels.images}
    samples = {
        (strategy, seed): accuracy_samples(
            exact_matches(truth, read_numbers(answers_of(options.output / f"{strategy}-{seed}") / NUMBERS))
        )
        for strategy in PAIR
        for seed in seeds
    }
    draws = 100 * np.mean([samples["parts", seed] - samples["pack", seed] for seed in seeds], axis=0)
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(low), float(high)


def answers_of(run: Path) -> Path:
    return run / "answers"


if __name__ == "__main__":
    main()
