"""Fitting the reader to a detector that is there already, and storing it where the detector is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
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
from digitspot.reading import ReadingSettings, SecondLook, fit_settings
from digitspot.runtime import Runtime
from digitspot.runtime.looks import with_looks
from digitspot.types import Detections, FloatArray, ImageArray

Progress = Callable[[int, int], None]
CHUNK = 128
"""Images in memory at a time."""


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
    second_looks: Sequence[SecondLook] = (),
) -> ReadingSettings:
    """Fit the reader to a model, on images as they are and zoomed out.

    Args:
        model: What `Reader.load` takes.
        labels: A label file beside the folder of its images. What the model was trained on is left out.
        progress: Called with the views done and their total.
        short_sides: Input sizes to detect at, now and whenever these settings are read with; empty is the
            model's own.
        second_looks: To choose from, by how many numbers are read right; their weights become those that
            are fitted to the first look. Empty is without a second look.

    Raises:
        CheckpointError: The model cannot be read.
        DataError: Labels or images cannot be read, or the model was trained on all of them.
    """
    reader = Reader.load(model)
    runtime, truth = reader.single_look, read_labels(labels, clip=False)
    if known := reader.seen.among(truth):
        if len(known) == len(truth):
            raise DataError(f"{labels}: the model was trained on all of these images", hint="Give others.")
        stderr().print(f"{len(known)} images are left out: the model was trained on them")
        truth = truth.with_images(tuple(each for each in truth.images if each.image_id not in known))

    def fit(settings: ReadingSettings, number: int) -> ReadingSettings:
        show = partial(_show, progress, number, 1 + len(second_looks), 2 * len(truth))
        fitted = _fit(with_looks(runtime, settings), truth, labels.with_suffix(""), show)
        return replace(fitted, short_sides=settings.short_sides, second_look=settings.second_look)

    first = fit(ReadingSettings(short_sides=tuple(short_sides)), 0)
    seconds = [replace(each, weights=first.weights) for each in second_looks]
    tries = [fit(replace(first, second_look=each), number) for number, each in enumerate(seconds, 1)]
    return max(tries or [first], key=lambda each: each.accuracy or 0.0)


def _show(progress: Progress, number: int, num_tries: int, num_views: int, done: int) -> None:
    progress(number * num_views + done, num_tries * num_views)


def _fit(runtime: Runtime, truth: LabelSet, folder: Path, progress: Callable[[int], None]) -> ReadingSettings:
    """Fit the reader to what a runtime finds in both views of every image."""
    views = _views(truth, folder)
    found: list[Detections] = []
    boxes: list[FloatArray] = []
    while chunk := list(islice(views, CHUNK)):
        found += runtime.detect([image for image, _ in chunk])
        boxes += [each for _, each in chunk]
        progress(len(found))
    twice = [image for image in truth.images for _ in range(2)]
    settings, _ = fit_settings(
        found,
        [image.number for image in twice],
        images=[image.image_id for image in twice],
        boxes=boxes,
    )
    return settings


def _views(truth: LabelSet, folder: Path) -> Iterator[tuple[ImageArray, FloatArray]]:
    """Yield each image with its boxes, as it is and zoomed out."""
    from digitspot.training.validation import zoom_out

    for each in truth.images:
        image = decode_image(folder / each.file_name)
        yield image, each.boxes
        yield zoom_out(image, each.boxes, each.image_id)


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
