"""`digitspot data convert`: other formats into ours, or into YOLO's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.convert.convert import Conversion, ConversionOptions, convert
from digitspot.progress import stderr


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(ConversionOptions):
    """Bring a labelled data set into digitspot's layout, ready to train on, or into YOLO's.

    It reads SVHN's digitStruct.mat, COCO, YOLO, Pascal VOC, Tianchi's street characters (mchar_train.json)
    and CSV with a row for each box. CSV columns are named file_name, label, left, top, width, height or
    filename, class, xmin, ymin, xmax, ymax; and split, if any. Class names say which digit is meant. The
    source is never changed.

    digitspot data convert SOURCE DATA
    digitspot data convert DATA YOLO --to yolo
    """

    source: Annotated[Path, tyro.conf.Positional]
    """A folder of labels and images, a label file, or a zip or tar archive."""
    output: Annotated[Path, tyro.conf.Positional]
    """A new folder."""


def run(arguments: list[str]) -> None:
    """Convert a data set."""
    options = parse(ConvertOptions, "data convert", arguments)
    done = convert(options.source, options.output, options)
    _tell(done)
    rows = [(name, str(images), str(digits)) for name, (images, digits) in done.counts.items()]
    print_table(str(options.output), ("split", "images", "digits"), rows)


def _tell(done: Conversion) -> None:
    """Say what was taken for what, and what was left out or assumed."""
    console = stderr()
    mapping = " ".join(f"{name}={digit}" for name, digit in sorted(done.classes.items(), key=lambda c: c[1]))
    console.print(f"read as {done.format}; class=digit: {mapping}", markup=False)
    for line in done.notes.lines():
        console.print(line, markup=False)
