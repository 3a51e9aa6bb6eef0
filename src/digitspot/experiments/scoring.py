"""From a trained model to its answers, and from those to figures with their resamples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.answers import read_answers
from digitspot.dataset.seen import unseen
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import ConfigError
from digitspot.evaluation.coco_metrics import PrecisionCurves
from digitspot.evaluation.intervals import accuracy_samples, mean_ap_samples
from digitspot.evaluation.matching import match_boxes
from digitspot.evaluation.number_metrics import exact_matches
from digitspot.experiments.ablation import Variant
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
        ap_samples: AP on each draw of the images, `[R]`; the draws are the same for every result.
        accuracy_samples: The accuracy on each draw, `[R]`.
        images_seen: While training, with repeats; None if nobody says.
        seconds: Of training, without validations; None if nobody says.
        peak_bytes: The most memory of the training and all processes below it; None if nobody says.
        made_with: What the answers depend on: they stand as long as it is the same.
    """

    mean_ap: float
    accuracy: float
    ap_samples: DoubleArray
    accuracy_samples: DoubleArray
    images_seen: int | None
    seconds: float | None
    peak_bytes: int | None
    made_with: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What one model answers as one variant uses it.

    Attributes:
        model: A run or a checkpoint.
        variant: How the model is used.
        folder: Where the answers go.
        data: The data set.
        split: The images to answer.
    """

    model: Path
    variant: Variant
    folder: Path
    data: Path
    split: str

    def command(self, device: str | None) -> list[str]:
        """Return the arguments of `digitspot` that answer; a variant's changed model is written.

        Args:
            device: The only one that the process sees; None is the training's own.
        """
        trained, model = load_model(self.model), self.model
        if self.variant.answering:
            model = self.folder / "model.pt"
            save_model(replace(trained, config=self.variant.answering_config(trained.config)), model)
        train = trained.config.train
        return [
            *("predict", str(model), str(self._labels_path), "--output", str(self.folder)),
            *("--device", train.device if device is None else "auto"),
            *("--precision", "bf16" if train.precision == "bf16" else "fp32"),
        ]

    def score(self, peak_bytes: int | None) -> None:
        """Score the answers, and keep the figures with what the training took.

        Raises:
            DataError: The model was trained on images of the split, or a file cannot be read.
        """
        figures = self._figures()
        samples = {name: figures.pop(name) for name in ("ap_samples", "accuracy_samples")}
        with writing_whole(self.folder / SAMPLES, "wb") as file:
            np.savez_compressed(file, **samples)
        rest = {**_cost(self.model), "peak_bytes": peak_bytes, "made_with": self._made_with()}
        with writing_whole(self.folder / RESULT) as file:  # last: once it is there, all is
            json.dump({**figures, **rest}, file, indent=1)

    def result(self) -> Result | None:
        """Return what `score` kept; None if there is nothing.

        Raises:
            ConfigError: It is of another model, data set or use.
        """
        if not (self.folder / RESULT).exists():
            return None
        with np.load(self.folder / SAMPLES) as samples:
            text = (self.folder / RESULT).read_text(encoding="utf-8")
            result = Result(**json.loads(text), **dict(samples))
        for name, value in self._made_with().items():
            if result.made_with.get(name) != value:
                raise ConfigError(
                    f"{self.folder} was answered with {name} {result.made_with.get(name)!r}, now it is "
                    f"{value!r}",
                    hint="Choose another --output, or remove that folder.",
                )
        return result

    def forget(self) -> None:
        """Drop the result: the model changes."""
        (self.folder / RESULT).unlink(missing_ok=True)

    @property
    def _labels_path(self) -> Path:
        return labels_path_of(self.data, self.split)

    def _figures(self) -> dict[str, Any]:
        labels = read_labels(self._labels_path, clip=False)
        answers = read_answers(self.folder, labels)
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

    def _made_with(self) -> dict[str, Any]:
        return {
            "answering": dict(self.variant.answering),
            "split": self.split,
            "labels": digest(self._labels_path),
            "model": digest(self.model / BEST if self.model.is_dir() else self.model),
        }


def _cost(model: Path) -> dict[str, Any]:
    """Return what the training took, as far as its folder says."""
    records = [each for each in Run(model).metrics() if "seconds" in each] if model.is_dir() else []
    return {
        "images_seen": records[-1]["images_seen"] if records else None,
        "seconds": records[-1]["seconds"] if records else None,
    }
