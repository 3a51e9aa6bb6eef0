"""Measure the reader: right numbers, what their probabilities are worth, boxes, and speed.

python benchmarks/reader.py --data SVHN > benchmarks/results/reader.md

Our detector's reader is fitted on `valid`, plain and zoomed out, and measured on `test`. Readers of two other
detectors, whose predictions on test images are in SVHN/predictions, are fitted and measured by five-fold
cross-validation over these images. Detections are kept in --cache, so that a second run takes a minute.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from digitspot.evaluation.coco_metrics import evaluate_boxes
from digitspot.evaluation.reliability import evaluate_reliability
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.labels.results import read_results
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings, fit_settings, read_number
from digitspot.reading.selection import select
from digitspot.reading.style import refine_boxes
from digitspot.training.validation import zoom_out
from digitspot.types import Detections
from plain_reader import PlainReader, fit_plain_reader

OTHERS = ("fasterrcnn_mobilenet", "fasterrcnn_r50v2_a")
NUM_FOLDS = 5


@dataclass
class View:
    image: LabelledImage
    found: Detections

    @property
    def number(self) -> str | None:
        return self.image.number


@dataclass
class Answers:
    """What two readers make of the same views."""

    views: list[View]
    plain: list[str | None]
    ours: list[tuple[str | None, float]]
    settings: ReadingSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("models/nano-svhn.onnx"))
    parser.add_argument("--cache", type=Path, default=None)
    options = parser.parse_args()
    valid = detect(options, "valid") + detect(options, "valid", zoomed=True)
    results = {"nano": fit_and_read(valid, detect(options, "test"))}
    for name in OTHERS:
        results[name.removeprefix("fasterrcnn_")] = cross_validate(stored(options.data, name))
    print_numbers(results)
    print_selection(results["nano"])
    print_boxes(results)
    print_speed(results["nano"])


def detect(options: argparse.Namespace, split: str, zoomed: bool = False) -> list[View]:
    """Detect on a split; each image's boxes are in the pixels of its view."""
    cached = options.cache and options.cache / f"{split}{'_zoomed' * zoomed}.pkl"
    if cached and cached.exists():
        return pickle.loads(cached.read_bytes())
    runtime = Reader.load(options.model).runtime
    views = []
    for each in read_labels(options.data / f"{split}.json", clip=False).images:
        image, boxes = decode_image(options.data / split / each.file_name), each.boxes
        if zoomed:
            image, boxes = zoom_out(image, boxes, each.image_id)
        seen = replace(each, boxes=boxes, file_xywh=None, size_hw=image.shape[:2])
        views.append(View(seen, runtime.detect([image])[0]))
    if cached:
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(pickle.dumps(views))
    return views


def stored(data: Path, name: str) -> list[View]:
    labels = read_labels(data / "test.json", clip=False)
    found = read_results(data / "predictions" / f"{name}.json", labels)
    chosen = set(json.loads((data / "predictions" / "image_ids.json").read_text()))
    return [
        View(image, found.get(image.image_id, Detections.empty()))
        for image in labels.images
        if image.image_id in chosen
    ]


def fit(views: Sequence[View]) -> tuple[ReadingSettings, PlainReader]:
    found, numbers = [view.found for view in views], [view.number for view in views]
    settings, _ = fit_settings(
        found,
        numbers,
        images=[view.image.image_id for view in views],
        boxes=[view.image.boxes for view in views],
    )
    return settings, fit_plain_reader(found, numbers)


def fit_and_read(train: Sequence[View], test: list[View]) -> Answers:
    settings, plain = fit(train)
    readings = [read_number(view.found, settings) for view in test]
    return Answers(
        test,
        [plain.read(view.found) for view in test],
        [(reading.text, reading.probability) for reading in readings],
        settings,
    )


def cross_validate(views: list[View]) -> Answers:
    fold = np.random.default_rng(0).permutation(len(views)) % NUM_FOLDS
    parts = [
        fit_and_read(
            [view for view, of in zip(views, fold, strict=True) if of != each],
            [view for view, of in zip(views, fold, strict=True) if of == each],
        )
        for each in range(NUM_FOLDS)
    ]
    return Answers(
        [view for part in parts for view in part.views],
        [text for part in parts for text in part.plain],
        [reading for part in parts for reading in part.ours],
        parts[0].settings,
    )


def print_numbers(results: dict[str, Answers]) -> None:
    print("| | " + " | ".join(results) + " |\n| --- |" + " --- |" * len(results))
    columns = []
    for answers in results.values():
        numbers = [view.number for view in answers.views]
        plain = np.array([text == number for text, number in zip(answers.plain, numbers, strict=True)])
        right = np.array([text == number for (text, _), number in zip(answers.ours, numbers, strict=True)])
        metrics = evaluate_reliability(np.array([probability for _, probability in answers.ours]), right)
        gain = right.astype(float) - plain
        spread = 1.96 * gain.std() / np.sqrt(len(gain))
        columns.append(
            {
                "images": str(len(numbers)),
                "plain reader": f"{plain.mean():.4f}",
                "reader": f"{right.mean():.4f}",
                "difference": f"{gain.mean():+.4f} ± {spread:.4f}",
                **dict(metrics.rows()),
            }
        )
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")


def print_selection(answers: Answers) -> None:
    print("\n| target | fitted images answered | guaranteed | test answered | test accuracy |")
    print("| --- | --- | --- | --- | --- |")
    probabilities = np.array([probability for _, probability in answers.ours])
    right = np.array(
        [text == view.number for (text, _), view in zip(answers.ours, answers.views, strict=True)]
    )
    for target in (0.9, 0.95, 0.98):
        selection = select(answers.settings.risk, target)
        if selection is None:
            print(f"| {target} | not reached | | | |")
            continue
        above = probabilities >= selection.min_probability
        print(
            f"| {target} | {selection.coverage:.3f} | {selection.guaranteed_accuracy:.3f} "
            f"| {above.mean():.3f} | {right[above].mean():.3f} |"
        )


def print_boxes(results: dict[str, Answers]) -> None:
    print("\n| mAP | as found | refined | |\n| --- | --- | --- | --- |")
    for name, answers in results.items():
        truth = LabelSet.of(
            images=tuple(view.image for view in answers.views),
            categories=CategoryMap.homework(),
            path=Path("labels"),
        )
        style = answers.settings.style
        scores = [
            evaluate_boxes(truth, {view.image.image_id: change(view.found) for view in answers.views}).mean_ap
            for change in (lambda found: found, lambda found, style=style: refine_boxes(found, style))
        ]
        print(f"| {name}, {style} | {scores[0]:.4f} | {scores[1]:.4f} | {scores[1] - scores[0]:+.4f} |")


def print_speed(answers: Answers) -> None:
    found = [view.found for view in answers.views]
    first = rate(lambda: [read_number(each, answers.settings) for each in found], len(found))
    print(f"\nReadings a second of CPU time on one core: {first:.0f}.")


def rate(work: Callable[[], object], num: int) -> float:
    rates = []
    for _ in range(3):
        start = time.process_time()
        work()
        rates.append(num / (time.process_time() - start))
    return float(np.median(rates))


if __name__ == "__main__":
    main()
