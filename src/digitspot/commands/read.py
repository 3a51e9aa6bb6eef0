"""`digitspot read`: print the number in an image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.answering import AnswerOptions
from digitspot.commands.options import parse, print_json
from digitspot.errors import ConfigError
from digitspot.reader import Read


@dataclass(frozen=True, kw_only=True)
class ReadOptions(AnswerOptions):
    """Print the number in each image; an empty line where there is none.

    digitspot read door.jpg --model runs/mine
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images."""
    model: Path
    """A run folder (its best model), a checkpoint, or an exported .onnx."""
    json: bool = False
    """Print number, probability and digits of each image as JSON."""
    burst: bool = False
    """The images are frames of one number: print that, once."""
    show: bool = False
    """Open each image with its boxes and number in the system's viewer."""


def run(arguments: list[str]) -> None:
    """Read."""
    options = parse(ReadOptions, "read", arguments)
    if not options.images:
        raise ConfigError("no image given", hint="digitspot read IMAGE... --model RUN")
    if options.burst and options.show:
        raise ConfigError("--burst and --show", hint="A burst has one answer and many images.")
    reader = options.load(options.model)
    if options.burst:
        reading = reader.read_burst(options.images)
        if options.json:
            print_json({"images": [str(path) for path in options.images], **asdict(reading)})
        else:
            print(reading.text or "")
        return
    documents = []
    for path, read in zip(options.images, reader.read_whole(options.images), strict=True):
        if options.json:
            documents.append({"image": str(path), **asdict(read.reading)})
        else:
            print(read.reading.text or "")
        if options.show:
            _show(path, read)
    if options.json:
        print_json(documents)


def _show(path: Path, read: Read) -> None:
    from digitspot.images import decode_image
    from digitspot.overlays import draw_overlay

    draw_overlay(decode_image(path), read.reading, read.detections).show(str(path))
