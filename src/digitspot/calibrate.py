"""Fitting the reader to a detector that is there already, and storing it where the detector is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from digitspot.errors import ConfigError, DataError
from digitspot.files import read_json, writing_whole
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet
from digitspot.labels.results import read_results
from digitspot.model_file import BEST, graph_of, read_onnx, write_onnx
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reading import LookSettings, ReadingSettings, fit_settings
from digitspot.runtime import Runtime
from digitspot.runtime.looks import with_looks
from digitspot.types import Detections, FloatArray, ImageArray

Progress = Callable[[int, int], None]
CROP_MARGINS = ((0.6, 0.2), (1.0, 0.3), (1.5, 0.5))
"""Room around the number that is tried for further looks, in heights of its digits: at the sides, and above
and below. A network sees a crop best with the room that it was trained with."""
FURTHER_SIZES = (1.0, 0.75, 1.25)
"""Input sizes of the looks after the first, as parts of the size of that (benchmarks/results/accuracy.md)."""
ENOUGH = 0.9
"""A number that is so probable after some looks is not looked at again (benchmarks/results/accuracy.md)."""
MIN_SHORT_SIDE = 16
"""Pixels; a network sees no digit in less."""
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
    num_looks: int = 1,
) -> ReadingSettings:
    """Fit the reader to a model, on images as they are and zoomed out.

    Args:
        model: What `Reader.load` takes.
        labels: A label file beside the folder of its images. What the model was trained on is left out.
        progress: Called with the views done and their total.
        short_sides: Input sizes, of the shorter side in pixels, now and whenever these settings are read
            with; empty is the model's own. With one look the whole image is looked at in each, and what is
            found is fused. With more they are those of the looks in turn; of one alone the others follow
            (`FURTHER_SIZES`).
        num_looks: Looks at most, 1 to 4. Those after the first are around the number, with those of
            `CROP_MARGINS` by which most numbers are read right.

    Raises:
        CheckpointError: The model cannot be read.
        ConfigError: Sizes and looks do not go together, or are out of range.
        DataError: Labels or images cannot be read, or the model was trained on all of them.
    """
    reader = Reader.load(model)
    runtime, truth = reader.single_look, read_labels(labels, clip=False)
    sizes = _sizes_of_looks(runtime.rule.short_side, short_sides, num_looks)
    if known := reader.seen.among(truth):
        if len(known) == len(truth):
            raise DataError(f"{labels}: the model was trained on all of these images", hint="Give others.")
        stderr().print(f"{len(known)} images are left out: the model was trained on them")
        truth = truth.with_images(tuple(each for each in truth.images if each.image_id not in known))
    margins = CROP_MARGINS if num_looks > 1 else ()

    def fit(looks: LookSettings | None, number: int) -> ReadingSettings:
        show = partial(_show, progress, number, 1 + len(margins), 2 * len(truth))
        runtime_of_looks = with_looks(runtime, ReadingSettings(looks=looks))
        return replace(_fit(runtime_of_looks, truth, labels.with_suffix(""), show), looks=looks)

    if not margins:
        return fit(LookSettings(short_sides=sizes) if short_sides else None, 0)
    first = fit(LookSettings(short_sides=sizes[:1]), 0)
    looks = LookSettings(
        short_sides=sizes, weights=first.weights, number_weights=first.number_weights, enough=ENOUGH
    )
    tries = [fit(replace(looks, margins=room), number) for number, room in enumerate(margins, 1)]
    return max(tries, key=lambda each: each.accuracy or 0.0)


def _sizes_of_looks(own: int, short_sides: Sequence[int], num_looks: int) -> tuple[int, ...]:
    """Return the input size of each look, given the model's own.

    >>> _sizes_of_looks(96, (128,), 4)
    (128, 128, 96, 160)
    """
    if not 1 <= num_looks <= 1 + len(FURTHER_SIZES):
        raise ConfigError(f"{num_looks} looks: need 1 to {1 + len(FURTHER_SIZES)}")
    sizes = tuple(short_sides) or (own,)
    if num_looks > 1 and len(sizes) == 1:
        sizes += tuple(round(factor * sizes[0]) for factor in FURTHER_SIZES[: num_looks - 1])
    if num_looks > 1 and len(sizes) != num_looks:
        raise ConfigError(
            f"{len(sizes)} input sizes for {num_looks} looks", hint="Give one size, or one for each look."
        )
    if min(sizes) < MIN_SHORT_SIDE:
        raise ConfigError(f"looks at short sides {sizes}: need {MIN_SHORT_SIDE} pixels or more")
    return sizes


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
