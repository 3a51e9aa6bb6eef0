"""`digitspot predict`: images to pred.json and pred.csv."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.answering import AnswerOptions
from digitspot.commands.options import parse
from digitspot.predict import NAMES, find_images, predict
from digitspot.progress import stderr, tracking


@dataclass(frozen=True, kw_only=True)
class PredictOptions(AnswerOptions):
    """Read many images: pred.json (every digit, COCO results), pred.csv (the numbers, -1 for none) and
    readings.csv (numbers with probabilities); command.txt says how they were made.

    digitspot predict runs/mine ../data/test.json --output answers --zip
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its best model), a checkpoint, or an exported .onnx."""
    images: Annotated[Path, tyro.conf.Positional]
    """A folder of images, a .txt list of paths, an image, or a label file whose images are beside it."""
    output: Path
    """Where the answers go."""
    zip: bool = False
    """Also write pred.zip with both files."""
    overlays: int = 0
    """Draw this many images with boxes and number, and a sheet of them."""
    batch_size: int = 256
    """Images read at a time; batches of like shapes are made of them."""


def run(arguments: list[str]) -> None:
    """Predict."""
    options = parse(PredictOptions, "predict", arguments)
    reader = options.load(options.run)
    stderr().print(f"digit=category_id: {reader.categories}; {reader.settings}")
    images = find_images(options.images)
    if images.numbered:
        stderr().print(f"file names are no numbers: ids are places in the list, see {NAMES}")
    seen = reader.seen.among(images.labels) if images.labels else set()
    if seen:
        stderr().print(
            f"[bold red]The model was trained on {len(seen)} of these {len(images)} images:[/] "
            "no score on them is a validation."
        )
    with tracking("reading") as show:
        predict(
            reader,
            images,
            options.output,
            archive=options.zip,
            overlays=options.overlays,
            batch_size=options.batch_size,
            command=["digitspot", "predict", *arguments],
            progress=show,
        )
    print(options.output)
