"""`digitspot predict`: images to pred.json and pred.csv."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.answers import ERRORS, NAMES
from digitspot.commands.answering import AnswerOptions
from digitspot.commands.options import parse
from digitspot.errors import DataError
from digitspot.files import printable
from digitspot.predict import PredictOptions as Writing
from digitspot.predict import predict
from digitspot.progress import stderr, tracking
from digitspot.sources import Images, find_images

MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class PredictOptions(AnswerOptions):
    """Read many images: pred.json (every digit, COCO results), pred.csv (the numbers, -1 for none) and
    readings.csv (numbers with probabilities); command.txt says how they were made.

    digitspot predict runs/mine ../data/test.json --output answers --zip
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A name of `digitspot models`, a run folder (its best model), a checkpoint, or an exported .onnx."""
    images: Annotated[Path, tyro.conf.Positional]
    """A folder of images, a .txt list of paths, an image, or a label file whose images are beside it."""
    output: Path
    """Where the answers go."""
    zip: bool = False
    """Also write pred.zip with both files."""
    overlays: int = 0
    """Draw this many images with boxes and number, and a sheet of them."""
    propose: Literal["label-studio", "cvat"] | None = None
    """Also write label-studio.json or cvat.xml, for people to correct there; `data convert` reads what these
    tools export."""
    batch_size: int = 256
    """Images read at a time; batches of like shapes are made of them."""
    strict: bool = False
    """Stop at the first image that cannot be read, with nothing written. Otherwise its answer is -1, it is
    listed in errors.csv, and the exit code is 3."""


def run(arguments: list[str]) -> None:
    """Predict."""
    options = parse(PredictOptions, "predict", arguments)
    writing = Writing(
        archive=options.zip,
        overlays=options.overlays,
        batch_size=options.batch_size,
        propose=options.propose,
        strict=options.strict,
        command=("digitspot", "predict", *arguments),
    )
    reader = options.load(options.run)
    stderr().print(f"digit=category_id: {reader.categories}; {reader.settings}")
    images = find_images(options.images)
    _say_what_is_read(images)
    seen = reader.seen.among(images.labels) if images.labels else set()
    if seen:
        stderr().print(
            f"[bold red]The model was trained on {len(seen)} of these {len(images)} images:[/] "
            "no score on them is a validation."
        )
    with tracking("reading") as show:
        errors = predict(reader, images, options.output, writing, progress=show)
    print(options.output)
    if errors:
        names = [f"{images.names[image_id]} ({error})" for image_id, error in errors.items()]
        raise DataError(
            f"{len(errors)} of {len(images)} images could not be read: {_listed(names)}",
            hint=f"The others are answered. {ERRORS} lists these; --strict stops at the first.",
        )


def _say_what_is_read(images: Images) -> None:
    if images.skipped:
        names = [path.name for path in images.skipped]
        message = f"skipped, since they are no images: {len(names)} ({_listed(names)})"
        stderr().print(printable(message), markup=False)
    if images.numbered:
        stderr().print(f"file names are no ids: ids are counted, see {NAMES}")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + rest
