"""From a trained model to its answers, and from those to figures with their resamples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.ablate.study import Variant
from digitspot.data.coco import labels_path_of, read_labels, read_numbers, read_results
from digitspot.data.seen import Seen, unseen
from digitspot.errors import ConfigError
from digitspot.evaluation.coco_metrics import PrecisionCurves
from digitspot.evaluation.intervals import accuracy_samples, mean_ap_samples
from digitspot.evaluation.matching import match_boxes
from digitspot.evaluation.number_metrics import exact_matches
from digitspot.files import writing_whole
from digitspot.predict import NUMBERS, RESULTS, SEEN, find_pictures, predict
from digitspot.reader import Precision, Reader
from digitspot.structures import DoubleArray
from digitspot.training.checkpoint import BEST, load_model, save_model
from digitspot.training.runlog import Run

RESULT, SAMPLES = "result.json", "samples.npz"
Progress = Callable[[int, int], None]
"""Called with the pictures done and their total."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one variant reached with one seed.

    Attributes:
        mean_ap: COCO's AP.
        accuracy: Whole numbers that are exactly right.
        ap_samples: AP on each draw of the pictures, `[R]`, the same draws for every result.
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


def answer_and_score(
    model: Path, variant: Variant, folder: Path, data: Path, split: str, device: str, progress: Progress
) -> None:
    """Answer a split with a model as a variant uses it, in the precision of its training, and score it.

    Raises:
        DataError: The model was trained on pictures of the split, or something cannot be read.
    """
    trained = load_model(model)
    source = model
    if variant.answering:
        source = folder / "model.pt"
        save_model(replace(trained, config=variant.answering_config(trained.config)), source)
    labels_path = labels_path_of(data, split)
    precision: Precision = "bf16" if trained.config.train.precision == "bf16" else "fp32"
    reader = Reader.load(source, device, precision=precision)
    predict(reader, find_pictures(labels_path), folder, progress=progress)
    figures = _score(folder, labels_path)
    samples = {name: figures.pop(name) for name in ("ap_samples", "accuracy_samples")}
    with writing_whole(folder / SAMPLES, "wb") as file:
        np.savez_compressed(file, **samples)
    made_with = _made_with(model, variant, data, split)
    with writing_whole(folder / RESULT) as file:  # last: with it, all is there
        json.dump({**figures, **_cost(model), "made_with": made_with}, file, indent=1)


def stored_result(folder: Path) -> Result | None:
    """Return what `answer_and_score` left in a folder; None where it did not come to its end."""
    if not (folder / RESULT).exists():
        return None
    with np.load(folder / SAMPLES) as samples:
        return Result(**json.loads((folder / RESULT).read_text(encoding="utf-8")), **dict(samples))


def _score(folder: Path, labels_path: Path) -> dict[str, Any]:
    labels = read_labels(labels_path, clip=False)
    said = folder / SEEN
    unseen(Seen.from_text(said.read_text(), said) if said.exists() else Seen(), labels, None, False)
    matches = match_boxes(labels, read_results(folder / RESULTS, labels))
    truth = {str(image.image_id): image.number for image in labels.images}
    right = exact_matches(truth, read_numbers(folder / NUMBERS))
    return {
        "mean_ap": PrecisionCurves(matches).mean_ap(np.ones(matches.num_images, np.int64)),
        "accuracy": float(right.mean()),
        "ap_samples": mean_ap_samples(matches),
        "accuracy_samples": accuracy_samples(right),
    }


def _cost(model: Path) -> dict[str, Any]:
    """Return what the training took, as far as its folder says."""
    records = [each for each in Run(model).metrics() if "seconds" in each] if model.is_dir() else []
    finished = model.with_name(f"{model.name}.json")
    peak = json.loads(finished.read_text())["peak_bytes"] if finished.exists() else 0
    return {
        "images_seen": records[-1]["images_seen"] if records else None,
        "seconds": records[-1]["seconds"] if records else None,
        "peak_bytes": peak or None,
    }


def _made_with(model: Path, variant: Variant, data: Path, split: str) -> dict[str, Any]:
    return {
        "answering": dict(variant.answering),
        "split": split,
        "labels": _digest(labels_path_of(data, split)),
        "model": _digest(model / BEST if model.is_dir() else model),
    }


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:16]
