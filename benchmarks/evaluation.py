"""Seconds that COCO evaluation takes: ours, pycocotools, and its faster replacements if installed.

    python benchmarks/evaluation.py --data data/svhn

`--data` is a folder with `test.json` and `predictions/` (COCO results, and `image_ids.json`: the images
that were predicted). Two inputs are made of each: the predictions as stored, and "unfiltered", with
random boxes of low score added up to 100 an image, as a detector writes that keeps every box.
Loading files is not timed. The table is also written to `results/evaluation.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.evaluation.coco_metrics import PrecisionCurves, evaluate_boxes
from digitspot.evaluation.intervals import bootstrap_metrics, mean_ap_samples, percentile_interval
from digitspot.evaluation.matching import Matches, match_boxes
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_numbers, read_results

Figures = list[float]
OTHERS = {
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval", "COCOeval"),
    "faster-coco-eval": ("faster_coco_eval", "faster_coco_eval", "COCOeval_faster"),
    "hotcoco": ("hotcoco", "hotcoco", "COCOeval"),
}
"""Package: the modules of its label class and of its evaluation class, and the name of the latter."""
BOXES_PER_IMAGE = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """One label file with one file of predictions."""

    name: str
    labels: Path
    results: Path
    image_ids: list[int]


def seconds_of(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the shortest of some runs, and what the last returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def unfiltered(case: Case, folder: Path) -> Case:
    """Add random boxes of low score until each image has 100."""
    generator = np.random.default_rng(0)
    rows = json.loads(case.results.read_text())
    sizes = {
        image["id"]: (image["width"], image["height"])
        for image in json.loads(case.labels.read_text())["images"]
    }
    num = dict.fromkeys(case.image_ids, 0)
    for row in rows:
        num[row["image_id"]] += 1
    for image_id in case.image_ids:
        width, height = sizes[image_id]
        for _ in range(BOXES_PER_IMAGE - num[image_id]):
            x, y, w, h = generator.random(4) * (width, height, width / 2, height)
            score = float(0.001 + 0.499 * generator.random() ** 4)
            box = [round(float(value), 3) for value in (x, y, w, h)]
            category_id = int(generator.integers(1, 11))
            rows.append(
                {"image_id": image_id, "category_id": category_id, "bbox": box, "score": round(score, 6)}
            )
    path = folder / f"{case.name}.json"
    path.write_text(json.dumps(rows))
    return Case(name=f"{case.name}, unfiltered", labels=case.labels, results=path, image_ids=case.image_ids)


def ours(case: Case, repeats: int) -> tuple[float, Figures]:
    labels = read_labels(case.labels, clip=False)
    detections = read_results(case.results, labels)
    seconds, metrics = seconds_of(lambda: evaluate_boxes(labels, detections, case.image_ids), repeats)
    return seconds, list(metrics.figures.values())


def other(package: str, case: Case, repeats: int) -> tuple[float, Figures]:
    coco_module, eval_module, eval_name = OTHERS[package]
    coco_class = importlib.import_module(coco_module).COCO
    eval_class = getattr(importlib.import_module(eval_module), eval_name)

    def run() -> Any:
        evaluation = eval_class(labels, results, "bbox")
        evaluation.params.imgIds = case.image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return evaluation

    with contextlib.redirect_stdout(io.StringIO()):
        labels = coco_class(str(case.labels))
        results = labels.loadRes(str(case.results))
        seconds, evaluation = seconds_of(run, repeats)
    return seconds, [float(value) for value in evaluation.stats[:12]]


def bootstrap_row(case: Case, numbers: Path) -> list[str]:
    """Return seconds and intervals of 1,000 resamples of AP and of accuracy."""
    labels = read_labels(case.labels, clip=False)
    detections = read_results(case.results, labels)
    true = {key: number for key, number in read_numbers(numbers).items() if int(key) in set(case.image_ids)}
    naive = {
        str(image_id): "".join(str(label - 1) for label in each.labels[np.argsort(each.boxes[:, 0])])
        for image_id, each in ((i, d.select(d.scores >= 0.5)) for i, d in detections.items())
    }
    run = lambda: bootstrap_metrics(labels, detections, true, naive, image_ids=case.image_ids)  # noqa: E731
    seconds, intervals = seconds_of(run, 1)
    shift = mean_ap_samples(matches_of(case)).mean() - intervals.mean_ap.value
    return [case.name, f"{seconds:.1f}", str(intervals.mean_ap), str(intervals.accuracy), f"{shift:+.4f}"]


def shift_rows(cases: list[Case]) -> list[list[str]]:
    """Return how AP on half and a quarter of the images differs from AP on all, over 300 draws."""
    rows = []
    for case in cases:
        matches = matches_of(case)
        curves, num = PrecisionCurves(matches), matches.num_images
        whole = curves.mean_ap(np.ones(num, np.int64))
        generator = np.random.default_rng(0)
        shifts = []
        for share in (0.5, 0.25):
            draws = [(generator.permutation(num) < share * num).astype(np.int64) for _ in range(300)]
            shifts.append(np.mean([curves.mean_ap(weights) for weights in draws]) - whole)
        rows.append([case.name, f"{whole:.4f}", *(f"{shift:+.4f}" for shift in shifts)])
    return rows


def paired_line(first: Case, second: Case) -> str:
    """Say how the difference of two models behaves under the same draws."""
    matches = [matches_of(case) for case in (first, second)]
    once = np.ones(matches[0].num_images, np.int64)
    one, two = (PrecisionCurves(each).mean_ap(once) for each in matches)
    samples = mean_ap_samples(matches[1]) - mean_ap_samples(matches[0])
    interval = percentile_interval(two - one, samples)
    return (
        f"In the difference of two models on the same draws it all but cancels: {second.name} - {first.name} "
        f"is {interval} at 95 %, the mean of the resamples {samples.mean():.4f}."
    )


def matches_of(case: Case) -> Matches:
    labels = read_labels(case.labels, clip=False)
    return match_boxes(labels, read_results(case.results, labels), case.image_ids)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare(cases: list[Case], repeats: int) -> list[list[str]]:
    rows = []
    for case in cases:
        num_boxes = len(json.loads(case.results.read_text()))
        mine, figures = ours(case, repeats)
        seconds, oracle = other("pycocotools", case, 1)
        gaps = {"digitspot": (mine, figures), "pycocotools": (seconds, oracle)}
        for package in ("faster-coco-eval", "hotcoco"):
            with contextlib.suppress(ImportError):
                gaps[package] = other(package, case, repeats)
        for name, (taken, values) in gaps.items():
            gap = np.abs(np.subtract(values, oracle)).max()
            rows.append([case.name, f"{num_boxes:,}", name, f"{taken:.3f}", f"{values[0]:.4f}", f"{gap:.0e}"])
    return rows


def versions() -> str:
    names = [*OTHERS, "numpy"]
    found = []
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return f"Python {platform.python_version()}, {', '.join(found)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "evaluation.md")
    parser.add_argument("--repeats", type=int, default=3, help="the shortest counts (pycocotools runs once)")
    args = parser.parse_args()
    folder = args.data / "predictions"
    image_ids = json.loads((folder / "image_ids.json").read_text())
    paths = sorted(path for path in folder.glob("*.json") if path.name != "image_ids.json")
    stored = [
        Case(name=p.stem, labels=args.data / "test.json", results=p, image_ids=image_ids) for p in paths
    ]
    with tempfile.TemporaryDirectory() as made:
        cases = [*stored, *(unfiltered(case, Path(made)) for case in stored)]
        speed = table(
            ["predictions", "boxes", "with", "seconds", "AP", "largest gap"], compare(cases, args.repeats)
        )
        intervals = table(
            ["predictions", "seconds", "AP, 95 %", "accuracy, 95 %", "mean of resamples - AP"],
            [bootstrap_row(case, args.data / "test.csv") for case in cases],
        )
    text = (
        REPORT.format(
            speed=speed,
            intervals=intervals,
            versions=versions(),
            num_images=len(image_ids),
            repeats=args.repeats,
            shifts=table(["predictions", "AP", "on half", "on a quarter"], shift_rows(stored)),
            paired=paired_line(*stored[:2]) if len(stored) > 1 else "",
        ).rstrip()
        + "\n"
    )
    args.output.write_text(text)
    print(text)


REPORT = """# COCO evaluation: seconds, agreement, intervals

Written by `benchmarks/evaluation.py` on {num_images:,} test images.
{versions}.

One process, files already read, the shortest of {repeats} runs (pycocotools: of one) on a shared machine.
"Unfiltered" adds random boxes of low score up to 100 an image. "Largest gap" is the largest difference from
pycocotools over the twelve figures.

{speed}

hotcoco is the fastest. The project matches by itself, in numpy, because a bootstrap over images needs to know
which image each match is in, at this size either is far below a second, and it is one dependency less.

## 1,000 resamples of AP and of whole-number accuracy

Numbers are the boxes of score 0.5 or more, by left edge: a check of the intervals, not a reader.

{intervals}

The mean of the resamples lies above AP because AP itself is higher on fewer images, and a resample has about
63 % of them. Half of the images, drawn without repetition, shift it as much:

{shifts}

{paired}
"""


if __name__ == "__main__":
    main()
