"""`digitspot read`: print the number in an image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from digitspot.commands.answering import AnswerOptions
from digitspot.commands.options import parse, print_json
from digitspot.errors import ConfigError, DataError
from digitspot.progress import stderr
from digitspot.reader import Read, Reader
from digitspot.types import Reading


@dataclass(frozen=True, kw_only=True)
class ReadOptions(AnswerOptions):
    """Print the number in each image; an empty line where there is none or the image is broken.

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
        _print_burst(reader, options)
    else:
        _print_each(reader, options)


def _print_burst(reader: Reader, options: ReadOptions) -> None:
    reading = reader.read_burst(options.images)
    if options.json:
        print_json({"images": [str(path) for path in options.images], **asdict(reading)})
    else:
        print(reading.text or "")


def _print_each(reader: Reader, options: ReadOptions) -> None:
    """Print each answer; images that cannot be read have an empty line, and are named at the end."""
    documents: list[dict[str, Any]] = []
    errors: list[DataError] = []
    for path, read in zip(options.images, reader.read_each(options.images), strict=True):
        if isinstance(read, DataError):
            if len(options.images) == 1:
                raise read
            errors.append(read)
            documents.append({"image": str(path), "error": str(read)})
        else:
            documents.append({"image": str(path), **asdict(read.reading)})
        if not options.json:
            print("" if isinstance(read, DataError) else read.reading.text or "")
        if isinstance(read, Read):
            _say_not_allowed(path, read.reading)
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


def _say_not_allowed(path: Path, reading: Reading) -> None:
    """Tell a number that was seen and is not allowed from no number."""
    if reading.not_allowed:
        stderr().print(escape(f"{path}: {reading.number} was seen, which is not allowed"))


def _show(path: Path, read: Read) -> None:
    from digitspot.images import decode_image
    from digitspot.overlays import draw_overlay

    draw_overlay(decode_image(path), read.reading, read.detections).show(str(path))
