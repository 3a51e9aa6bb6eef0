"""A labelled data set in a foreign format, brought into our layout or into YOLO's."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.convert.archives import unpacked
from digitspot.convert.detect import Format, read_source
from digitspot.convert.files import SourceFiles
from digitspot.convert.locate import locate, note_unused
from digitspot.convert.repeats import each_once
from digitspot.convert.sizes import ExifBoxes, fit_to_images
from digitspot.convert.source import Collection, Notes, SourceImage
from digitspot.convert.write import RECORD, ImageMode, Target, write_data_set
from digitspot.errors import DataError
from digitspot.files import check_writable, write_error
from digitspot.labels.grouping import divide, fingerprints, group_images
from digitspot.progress import tracking

SPLITS = ("train", "valid", "test")
_NUM_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was converted.

    Attributes:
        format: Of the source.
        classes: Which class name or number was taken for which digit.
        counts: Images and digits of each split written.
        notes: What was left out, repaired or assumed, counted.
    """

    format: Format
    classes: dict[str, int]
    counts: dict[str, tuple[int, int]]
    notes: Notes


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """How a data set is read, divided and written."""

    to: Target = "coco"
    """The layout to write: coco is digitspot's own."""
    source_format: Annotated[Format | None, tyro.conf.arg(name="from")] = None
    """The source's format; none finds out."""
    image_mode: Annotated[Literal["link", "copy", "none"], tyro.conf.arg(name="images")] = "link"
    """Link to the source's images, which takes no space; copy them; or write labels only (none)."""
    exif_boxes: ExifBoxes = "upright"
    """What boxes are drawn on, where EXIF turns an image: the upright image, or the pixels as stored. Boxes
    on stored pixels are turned with their image."""
    valid_fraction: float = 0.1
    """Fraction of the training images that becomes valid where the source has none; near-repeats and
    augmented copies of one image stay together."""
    test_fraction: float = 0.0
    """Fraction that becomes test, where the source has no splits at all."""
    seed: int = 0
    """Seed of the division."""
    resplit: bool = False
    """Divide all images anew, whatever splits the source has."""
    skip: tuple[str, ...] = ()
    """Classes whose boxes are left out."""
    skip_missing: bool = False
    """Leave out labels whose image is missing."""
    overwrite: bool = False
    """Replace an earlier conversion."""


def convert(source: Path, output: Path, options: ConversionOptions | None = None) -> Conversion:
    """Convert a data set; the source is only read, and the output appears when all of it is written.

    Args:
        source: A folder, a label file whose images are where its format keeps them, or an archive of these.
        output: A new folder.
        options: How.

    Raises:
        DataError: The source cannot be used, or `output` holds something else.
        DigitspotError: The output cannot be written.
    """
    options = options or ConversionOptions()
    _check_output(source, output, options.overwrite)
    check_writable(output.absolute().parent)
    aside = output.absolute().with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with tracking("unpacking", "file") as show, unpacked(source, Path(f"{aside}.in"), show) as inner:
            kind, collection = _read(inner, options)
            splits = _divided(collection.images, options)
            image_mode: ImageMode = options.image_mode
            if inner != source and image_mode == "link":
                image_mode = "move"
            record = {"source": str(source), "format": kind}
            counts, notes = write_data_set(splits, aside, options.to, image_mode, record)
        _install(aside, output)
    except OSError as error:
        raise write_error(output, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    collection.notes.merge(notes)
    return Conversion(format=kind, classes=collection.classes, counts=counts, notes=collection.notes)


def _read(source: Path, options: ConversionOptions) -> tuple[Format, Collection]:
    """Read the labels, find their images and repair what the images tell."""
    files = SourceFiles(source)
    with tracking("reading labels", "entry") as show:
        kind, collection = read_source(files, options.source_format, options.skip, show)
    locate(collection, files)
    note_unused(collection, files)
    _check_missing(collection, files, options)
    once = each_once(collection.images, collection.notes, resplit=options.resplit)
    collection.images = fit_to_images(once, options.exif_boxes, collection.notes)
    if not any(len(image.boxes) for image in collection.images):
        raise DataError(
            f"{source}: none of {len(once):,} images has a box of a digit, read as {kind}",
            hint="Look whether the labels are where the format keeps them, or choose another with --from.",
        )
    return kind, collection


def _check_output(source: Path, output: Path, overwrite: bool) -> None:
    here, there = source.resolve(), output.resolve()
    if source.is_dir() and (here == there or here in there.parents or there in here.parents):
        raise DataError(f"{output}: is the source, inside it or around it", hint="Choose a folder elsewhere.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / RECORD).is_file():
        raise DataError(f"{output} exists already and is no earlier conversion", hint="Choose a new folder.")
    if not overwrite:
        raise DataError(f"{output} holds an earlier conversion", hint="--overwrite replaces it.")


def _check_missing(collection: Collection, files: SourceFiles, options: ConversionOptions) -> None:
    """Refuse labels whose image is missing, or leave them out where the user wants it."""
    images, orphans = collection.images, collection.orphans
    if not images and not orphans:
        raise DataError(f"{files.source}: the labels list no images")
    missing = [image for image in images if image.tried]
    if options.image_mode == "none" and len(images) > 0:
        collection.notes.add(
            "images are missing; their sizes are those of the labels or boxes", "", len(missing)
        )
        missing = []
    num_missing, num_all = len(missing) + len(orphans), len(images) + len(orphans)
    if num_missing == 0:
        return
    if num_missing == num_all or not options.skip_missing:
        told = [f"{image.path}" + _also_tried(image) for image in missing[:_NUM_NAMED]]
        told += [_orphan(path, files) for path in orphans[:_NUM_NAMED]]
        named = "\n".join(f"  {line}" for line in told[:_NUM_NAMED])
        what = "no image was found, " if num_missing == num_all else ""
        raise DataError(
            f"{files.source}: {what}{num_missing:,} of {num_all:,} images are missing:\n{named}",
            hint="--images none writes labels only."
            if num_missing == num_all
            else "--skip-missing leaves their labels out; --images none writes labels only.",
        )
    example = missing[0].where if missing else str(orphans[0])
    collection.notes.add("labels were left out because their images are missing", example, num_missing)
    collection.images = [image for image in images if not image.tried]


def _also_tried(image: SourceImage) -> str:
    return f" (tried also {image.tried[1]})" if len(image.tried) > 1 else ""


def _orphan(path: Path, files: SourceFiles) -> str:
    """Name a label file without an image, and a file of its name that is no image that can be read."""
    others = [each.name for each in files.all if each.stem == path.stem and each.suffix != path.suffix]
    return f"the image of {path}" + (f" ({others[0]} is none that can be read)" if others else "")


def _divided(images: list[SourceImage], options: ConversionOptions) -> dict[str, list[SourceImage]]:
    """Return the images of each split; those of no split are for training."""
    given = ["train" if options.resplit else image.split or "train" for image in images]
    has_splits = not options.resplit and any(image.split for image in images)
    fractions = {"valid": options.valid_fraction}
    if not has_splits:
        fractions["test"] = options.test_fraction
    pool = [row for row, split in enumerate(given) if split == "train"]
    if pool and "valid" not in given and any(fractions.values()):
        chosen = [images[row] for row in pool]
        paths = [image.path for image in chosen]
        all_there = not any(image.tried for image in images)
        groups = group_images(paths, fingerprints(paths) if all_there else None)
        for row, split in zip(pool, divide(groups, fractions, options.seed), strict=True):
            given[row] = split
    return {
        name: [image for image, split in zip(images, given, strict=True) if split == name]
        for name in SPLITS
        if name in given
    }


def _install(aside: Path, output: Path) -> None:
    """Put the finished folder in its place; an earlier conversion goes."""
    old = aside.with_name(f"{aside.name}.old")
    if output.exists():
        output.rename(old)
    try:
        aside.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)
