"""From a trained model to its answers, and from those to figures with their resamples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.ablate.study import Variant
from digitspot.answers import read_answers
from digitspot.dataset.seen import unseen
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import ConfigError
from digitspot.evaluation.coco_metrics import PrecisionCurves
from digitspot.evaluation.intervals import accuracy_samples, mean_ap_samples
from digitspot.evaluation.matching import match_boxes
from digitspot.evaluation.number_metrics import exact_matches
from digitspot.files import digest, writing_whole
from digitspot.labels.coco import labels_path_of, read_labels
from digitspot.model_file import BEST
from digitspot.training.runlog import Run
from digitspot.types import DoubleArray

RESULT, SAMPLES = "result.json", "samples.npz"


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one variant reached with one seed.

    Attributes:
        mean_ap: COCO's AP.
        accuracy: Whole numbers that are exactly right.
        ap_samples: AP on each draw of the images, `[R]`, the same draws for every result.
        accuracy_samples: Likewise of the accuracy, `[R]`.
        images_seen: While training, with repeats; None where nobody says.
        seconds: Of training, without validations; likewise.
        peak_bytes: Most memory of the training and all below it; likewise.
        made_with: What answers depend on, to tell whether they still stand.
    """

    mean_ap: float
    accuracy: float
    ap_samples: DoubleArray
    accuracy_samples: DoubleArray
    images_seen: int | None
    seconds: float | None
    peak_bytes: int | None
    made_with: Mapping[str, Any]

    def check(self, model: Path, variant: Variant, data: Path, split: str, folder: Path) -> None:
        """See that the answers are of this model and data set.

        Raises:
            ConfigError: They are not.
        """
        wanted = _made_with(model, variant, data, split)
        for name, value in wanted.items():
            if self.made_with.get(name) != value:
                raise ConfigError(
                    f"{folder} was answered with {name} {self.made_with.get(name)!r}, now it is {value!r}",
                    hint="Choose another --output, or remove that folder.",
                )


def answering_command(
    model: Path, variant: Variant, folder: Path, data: Path, split: str, device: str | None
) -> list[str]:
    """Return the arguments of `digitspot` that answer a split with a model as a variant uses it.

    Args:
        model: A run or a checkpoint; where the variant uses it differently, a changed one is written.
        variant: What is answered.
        folder: Where the answers go.
        data: The data set.
        split: What is answered.
        device: The only one that the process sees; None is what the training had.
    """
    trained = load_model(model)
    if variant.answering:
        model = folder / "model.pt"
        save_model(replace(trained, config=variant.answering_config(trained.config)), model)
    train = trained.config.train
    return [
        *("predict", str(model), str(labels_path_of(data, split)), "--output", str(folder)),
        *("--device", train.device if device is None else "auto"),
        *("--precision", "bf16" if train.precision == "bf16" else "fp32"),
    ]


def score_answers(
    model: Path, variant: Variant, folder: Path, data: Path, split: str, peak_bytes: int | None
) -> None:
    """Score what was answered, and keep it with what the training took.

    Raises:
        DataError: The model was trained on images of the split, or something cannot be read.
    """
    figures = _score(folder, labels_path_of(data, split))
    samples = {name: figures.pop(name) for name in ("ap_samples", "accuracy_samples")}
    with writing_whole(folder / SAMPLES, "wb") as file:
        np.savez_compressed(file, **samples)
    made_with = _made_with(model, variant, data, split)
    cost = {**_cost(model), "peak_bytes": peak_bytes}
    with writing_whole(folder / RESULT) as file:  # last: with it, all is there
        json.dump({**figures, **cost, "made_with": made_with}, file, indent=1)


def stored_result(folder: Path) -> Result | None:
    """Return what `score_answers` left in a folder; None where it did not come to its end."""
    if not (folder / RESULT).exists():
        return None
    with np.load(folder / SAMPLES) as samples:
        return Result(**json.loads((folder / RESULT).read_text(encoding="utf-8")), **dict(samples))


def _score(folder: Path, labels_path: Path) -> dict[str, Any]:
    labels = read_labels(labels_path, clip=False)
    answers = read_answers(folder, labels)
    unseen(answers.seen, labels, None, False)
    matches = match_boxes(labels, answers.detections)
    truth = {str(image.image_id): image.number for image in labels.images}
    right = exact_matches(truth, answers.numbers)
    return {
        "mean_ap": PrecisionCurves(matches).mean_ap(np.ones(matches.num_images, np.int64)),
        "accuracy": float(right.mean()),
        "ap_samples": mean_ap_samples(matches),
        "accuracy_samples": accuracy_samples(right),
    }


def _cost(model: Path) -> dict[str, Any]:
    """Return what the training took, as far as its folder says."""
    records = [each for each in Run(model).metrics() if "seconds" in each] if model.is_dir() else []
    return {
        "images_seen": records[-1]["images_seen"] if records else None,
        "seconds": records[-1]["seconds"] if records else None,
    }


def _made_with(model: Path, variant: Variant, data: Path, split: str) -> dict[str, Any]:
    return {
        "answering": dict(variant.answering),
        "split": split,
        "labels": digest(labels_path_of(data, split)),
        "model": digest(model / BEST if model.is_dir() else model),
    }
