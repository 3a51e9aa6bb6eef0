"""Fitting the reader to a detector that is there already, and storing it where the detector is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from digitspot.errors import DataError
from digitspot.files import read_json, writing_whole
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet
from digitspot.labels.results import read_results
from digitspot.model_file import BEST, graph_of, read_onnx, write_onnx
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings, fit_settings
from digitspot.runtime.look_fit import LabelledView, Progress, fit_looks
from digitspot.types import Detections


def calibrate_results(results: Path, labels: Path) -> ReadingSettings:
    """Fit the reader to COCO results, of whatever detector, and the labels of their images.

    Raises:
        DataError: A file cannot be read, or no image has a result.
    """
    truth = read_labels(labels, clip=False)
    found = read_results(results, truth)
    if not found:
        raise DataError(f"{results} has no result of any image of {labels}")
    settings, _ = fit_settings(
        [found.get(image.image_id, Detections.empty()) for image in truth.images],
        [image.number for image in truth.images],
        boxes=[image.boxes for image in truth.images],
    )
    return settings


def calibrate_model(
    model: Path,
    labels: Path,
    progress: Progress = lambda done, total: None,
    short_sides: Sequence[int] = (),
    num_looks: int = 1,
) -> ReadingSettings:
    """Fit the reader to a model, on images as they are and zoomed out.

    Args:
        model: What `Reader.load` takes.
        labels: A label file beside the folder of its images. What the model was trained on is left out.
        progress: Called with the views done and their total.
        short_sides: See `fit_looks`; they are those of whenever these settings are read with, too.
        num_looks: See `fit_looks`.

    Raises:
        CheckpointError: The model cannot be read.
        ConfigError: Sizes and looks do not go together, or are out of range.
        DataError: Labels or images cannot be read, or the model was trained on all of them.
    """
    reader, truth = Reader.load(model), read_labels(labels, clip=False)
    if known := reader.seen.among(truth):
        if len(known) == len(truth):
            raise DataError(f"{labels}: the model was trained on all of these images", hint="Give others.")
        stderr().print(f"{len(known)} images are left out: the model was trained on them")
        truth = truth.with_images(tuple(each for each in truth.images if each.image_id not in known))
    return fit_looks(
        reader.single_look,
        partial(_views, truth, labels.with_suffix("")),
        2 * len(truth),
        num_looks=num_looks,
        short_sides=short_sides,
        progress=progress,
    )


def _views(truth: LabelSet, folder: Path) -> Iterator[LabelledView]:
    """Yield each image as it is and zoomed out."""
    from digitspot.training.validation import zoom_out

    for each in truth.images:
        image = decode_image(folder / each.file_name)
        for seen, boxes in ((image, each.boxes), zoom_out(image, each.boxes, each.image_id)):
            yield LabelledView(seen, boxes, each.number, each.image_id)


def store_settings(settings: ReadingSettings, model: Path, output: Path | None = None) -> Path:
    """Put the reader's settings into a model.

    Args:
        settings: The reader's.
        model: A run folder (its best model), a checkpoint, or an exported .onnx.
        output: Write a new file; None replaces the model.

    Returns:
        The file written.
    """
    if model.suffix.lower() == ".onnx":
        data, info = read_onnx(model)
        path = output or model
        write_onnx(graph_of(data, model), replace(info, reading=settings), path)
        return path
    from digitspot.detector.trained import load_model, save_model

    path = output or (model / BEST if model.is_dir() else model)
    save_model(replace(load_model(model), reading=settings), path)
    return path


def write_settings(settings: ReadingSettings, path: Path) -> None:
    """Write the reader's settings as JSON, for results of a detector that is not ours."""
    with writing_whole(path) as file:
        json.dump(settings.to_dict(), file, indent=1)


def read_settings(path: Path) -> ReadingSettings:
    """Read what `write_settings` wrote.

    Raises:
        DataError: The file cannot be read, or another version wrote it.
    """
    document = read_json(path)
    try:
        return ReadingSettings.from_dict(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: {error}",
            hint="`digitspot calibrate PRED.json --labels LABELS.json` writes such a file.",
        ) from error


def is_results(path: Path) -> bool:
    """Return whether a path is of COCO results rather than of a model."""
    return path.suffix.lower() == ".json"
