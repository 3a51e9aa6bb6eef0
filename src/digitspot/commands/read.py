"""`digitspot read`: print the number in an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from digitspot.commands.answering import AnswerOptions
from digitspot.commands.model import ModelOptions
from digitspot.commands.options import parse, print_json
from digitspot.errors import ConfigError, DataError
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reads import Read
from digitspot.types import Reading


@dataclass(frozen=True, kw_only=True)
class ReadOptions(AnswerOptions):
    """Print the number in each image; an empty line where there is none or the image is broken.

    digitspot read door.jpg
    digitspot read door.jpg --model runs/mine
    digitspot read meter.jpg --length 6 --decimals 1 --json
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images."""
    model: Path | None = None
    """A name of `digitspot models`, a run folder (its best model), a checkpoint, or an exported .onnx; none
    is the default model."""
    json: bool = False
    """Print number, probability and digits of each image as JSON."""
    all: bool = False
    """Print every number of an image in its line: first the one that is meant, then the most probable."""
    burst: bool = False
    """The images are frames of one number: print that, once."""
    show: bool = False
    """Open each image with its boxes and number in the system's viewer."""


def run(arguments: list[str]) -> None:
    """Read."""
    options = parse(ReadOptions, "read", arguments, named=(AnswerOptions, ModelOptions))
    if not options.images:
        raise ConfigError("no image given", hint="digitspot read IMAGE...")
    if options.burst and options.show:
        raise ConfigError("--burst and --show", hint="A burst has one answer and many images.")
    if options.all and (options.burst or options.show):
        raise ConfigError("--all and " + ("--burst" if options.burst else "--show"), hint="Give one of them.")
    reader = options.load(options.model)
    if options.burst:
        _print_burst(reader, options)
    else:
        _print_each(reader, options)


def _print_burst(reader: Reader, options: ReadOptions) -> None:
    reading = reader.read_burst(options.images)
    if options.json:
        print_json({"images": [str(path) for path in options.images], **_document(reading)})
    else:
        print(reading)


def _print_each(reader: Reader, options: ReadOptions) -> None:
    """Print each answer; images that cannot be read have an empty line, and are named at the end."""
    documents: list[dict[str, Any]] = []
    errors: list[DataError] = []
    for path, found in zip(options.images, _found(reader, options), strict=True):
        if isinstance(found, DataError):
            if len(options.images) == 1:
                raise found
            errors.append(found)
            documents.append({"image": str(path), "error": str(found)})
        elif options.all:
            documents.append({"image": str(path), "numbers": [_document(each.reading) for each in found]})
        else:
            documents.append({"image": str(path), **_document(found[0].reading)})
        reads = [] if isinstance(found, DataError) else found
        if not options.json:
            print(" ".join(str(each.reading) for each in reads if each.reading.text))
        for read in reads:
            _say_changed(path, read.reading)
            if options.show:
                _show(path, read)
    if options.json:
        print_json(documents)
    if errors:
        raise DataError(
            f"{len(errors)} of {len(options.images)} images cannot be read:\n"
            + "\n".join(f"  {error}" for error in errors),
            hint=errors[0].hint,
        )


def _found(reader: Reader, options: ReadOptions) -> Iterator[list[Read] | DataError]:
    """Yield what is read in each image: the number, or all of them."""
    if not options.all:
        for read in reader.read_each(options.images):
            yield read if isinstance(read, DataError) else [read]
        return
    for path in options.images:
        try:
            yield reader.read_all(path)
        except DataError as error:
            yield error


def _document(reading: Reading) -> dict[str, Any]:
    return {"value": str(reading) or None, **asdict(reading), "explanation": reading.explanation}


def _say_changed(path: Path, reading: Reading) -> None:
    """Say where the answer is not what was seen."""
    if reading.decision != "accepted":
        stderr().print(escape(f"{path}: {reading.explanation}"))


def _show(path: Path, read: Read) -> None:
    from digitspot.images import decode_image
    from digitspot.overlays import draw_overlay

    draw_overlay(decode_image(path), read.reading, read.detections).show(str(path))
