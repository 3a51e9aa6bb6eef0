"""`digitspot data convert`: other formats into ours, or into YOLO's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.convert.convert import Conversion, Division, convert
from digitspot.convert.detect import Format
from digitspot.convert.write import Target
from digitspot.progress import stderr


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Bring a labelled data set into digitspot's layout, ready to train on, or into YOLO's.

    Read are SVHN's digitStruct.mat, COCO, YOLO, Pascal VOC, Tianchi's street characters (mchar_train.json)
    and CSV with a row for each box (columns such as file_name, label, left, top, width, height or filename,
    class, xmin, ymin, xmax, ymax; split, if any). Class names decide which digit is meant. The source stays
    as it is.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """A folder of labels and images, a label file, or a zip or tar archive."""
    output: Annotated[Path, tyro.conf.Positional]
    """A new folder."""
    to: Target = "coco"
    """The layout to write: coco is digitspot's own."""
    source_format: Annotated[Format | None, tyro.conf.arg(name="from")] = None
    """The source's format; none finds out."""
    image_mode: Literal["link", "copy", "none"] = "link"
    """Link to the source's images, which takes no space; copy them, or write labels only."""
    valid_share: float = 0.1
    """Share of the training images that becomes valid where the source has none; near-repeats and augmented
    copies of one image stay together."""
    test_share: float = 0.0
    """Likewise test, where the source has no splits at all."""
    seed: int = 0
    """Of the choice."""
    resplit: bool = False
    """Divide anew, whatever splits the source has."""
    skip: tuple[str, ...] = ()
    """Classes whose boxes are left out."""
    skip_missing: bool = False
    """Leave out labels whose image is missing."""
    overwrite: bool = False
    """Replace an earlier conversion."""


def run(arguments: list[str]) -> None:
    """Convert a data set."""
    options = parse(ConvertOptions, "data convert", arguments)
    done = convert(
        options.source,
        options.output,
        to=options.to,
        source_format=options.source_format,
        image_mode=options.image_mode,
        division=Division(
            valid_share=options.valid_share,
            test_share=options.test_share,
            seed=options.seed,
            again=options.resplit,
        ),
        skip=options.skip,
        skip_missing=options.skip_missing,
        overwrite=options.overwrite,
    )
    _tell(done)
    rows = [(name, str(images), str(digits)) for name, (images, digits) in done.counts.items()]
    print_table(str(options.output), ("split", "images", "digits"), rows)


def _tell(done: Conversion) -> None:
    """Say what was taken for what, and what was left out or assumed."""
    console = stderr()
    mapping = " ".join(f"{name}={digit}" for name, digit in sorted(done.classes.items(), key=lambda c: c[1]))
    console.print(f"read as {done.format}; class=digit: {mapping}", markup=False)
    for what, count in done.notes.items():
        console.print(f"{count:,} {what}", markup=False)
