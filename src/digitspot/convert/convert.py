"""A labelled data set in a foreign format, brought into our layout or into YOLO's."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from digitspot.convert.archives import is_archive, unpacked
from digitspot.convert.detect import Format, read_source
from digitspot.convert.source import SourceImage
from digitspot.convert.write import RECORD, ImageMode, Target, write_data_set
from digitspot.cores import num_cores
from digitspot.errors import DataError
from digitspot.files import check_writable, write_error
from digitspot.images import image_size
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
        notes: What was left out or assumed, counted.
    """

    format: Format
    classes: dict[str, int]
    counts: dict[str, tuple[int, int]]
    notes: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Division:
    """How images are divided where the source does not.

    Attributes:
        valid_share: Share of the training images that becomes `valid`, where there is none.
        test_share: Likewise `test`; only of a source without any splits.
        seed: Of the choice.
        again: Divide anew, whatever splits the source has.
    """

    valid_share: float = 0.1
    test_share: float = 0.0
    seed: int = 0
    again: bool = False


def convert(
    source: Path,
    output: Path,
    *,
    to: Target = "coco",
    source_format: Format | None = None,
    image_mode: ImageMode = "link",
    division: Division | None = None,
    skip: Iterable[str] = (),
    skip_missing: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Convert a data set; the source is only read, and the output appears when all of it is written.

    Args:
        source: A folder, a label file whose images are where its format keeps them, or an archive of these.
        output: A new folder.
        to: "coco", our layout, or "yolo".
        source_format: None finds out.
        images: "link" to the source's, "copy" them, or write labels only ("none").
        division: How images are divided where the source does not say.
        skip: Class names whose boxes are left out.
        skip_missing: Leave out labels whose image is missing.
        overwrite: Replace an earlier conversion at `output`.

    Raises:
        DataError: The source cannot be used, or `output` holds something else.
        DigitspotError: The output cannot be written.
    """
    _check_output(source, output, overwrite)
    check_writable(output.absolute().parent)
    aside = output.absolute().with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with tracking("unpacking", "file") as show, unpacked(source, Path(f"{aside}.in"), show) as inner:
            with tracking("reading labels", "entry") as show_labels:
                kind, collection = read_source(inner, source_format, skip, show_labels)
            there = {image.path for image in collection.images if image.path.is_file()}
            images, image_mode, notes = _choose(collection.images, there, inner, image_mode, skip_missing)
            images = _with_sizes(images, there)
            splits = _divided(images, there, division or Division())
            if is_archive(source) and image_mode == "link":
                image_mode = "move"
            counts, more = write_data_set(
                splits, aside, to, image_mode, {"source": str(source), "format": kind}
            )
        _install(aside, output)
    except OSError as error:
        raise write_error(output, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Conversion(
        format=kind, classes=collection.classes, counts=counts, notes=collection.notes + notes + more
    )


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


def _choose(
    images: Sequence[SourceImage], there: Set[Path], source: Path, image_mode: ImageMode, skip_missing: bool
) -> tuple[list[SourceImage], ImageMode, Counter[str]]:
    """Say what missing images lead to; return those to write, how, and what to tell."""
    if not images:
        raise DataError(f"{source}: the labels list no images")
    missing = [str(image.path) for image in images if image.path not in there]
    num_missing = len(missing)
    notes: Counter[str] = Counter()
    if not num_missing:
        return list(images), image_mode, notes
    if num_missing == len(images) and not skip_missing:
        notes["images, none of which is there: labels only, sizes from the boxes"] = num_missing
        return list(images), "none", notes
    if image_mode == "none":
        notes["missing images, whose sizes are taken from the boxes"] = num_missing
        return list(images), image_mode, notes
    if not skip_missing or num_missing == len(images):
        named = "\n".join(f"  {path}" for path in missing[:_NUM_NAMED])
        raise DataError(
            f"{source}: {num_missing:,} of {len(images):,} images are missing:\n{named}",
            hint="--skip-missing leaves their labels out; --images none writes labels only.",
        )
    notes["labels left out, whose images are missing"] = num_missing
    return [image for image in images if image.path in there], image_mode, notes


def _with_sizes(images: list[SourceImage], there: Set[Path]) -> list[SourceImage]:
    """Fill in sizes that the labels do not state: from the images' headers, else what holds the boxes."""

    rows = [row for row, image in enumerate(images) if image.size_hw is None and image.path in there]
    done = [image if image.size_hw else replace(image, size_hw=_extent(image)) for image in images]
    with tracking("reading sizes") as show, ThreadPoolExecutor(num_cores()) as pool:
        sizes = pool.map(image_size, [images[row].path for row in rows])
        for number, (row, size_hw) in enumerate(zip(rows, sizes, strict=True), 1):
            done[row] = replace(images[row], size_hw=size_hw)
            show(number, len(rows))
    return done


def _extent(image: SourceImage) -> tuple[int, int]:
    """Return the (height, width) that just holds the boxes."""
    right, bottom = image.boxes[:, 2:].max(axis=0, initial=1).tolist()
    return math.ceil(bottom), math.ceil(right)


def _divided(images: list[SourceImage], there: Set[Path], division: Division) -> dict[str, list[SourceImage]]:
    """Return the images of each split; those of no split are for training."""
    given = ["train" if division.again else image.split or "train" for image in images]
    has_splits = not division.again and any(image.split for image in images)
    shares = {"valid": division.valid_share}
    if not has_splits:
        shares["test"] = division.test_share
    pool = [row for row, split in enumerate(given) if split == "train"]
    if pool and "valid" not in given and any(shares.values()):
        chosen = [images[row] for row in pool]
        paths = [image.path for image in chosen]
        groups = group_images(paths, fingerprints(paths) if there >= set(paths) else None)
        for row, split in zip(pool, divide(groups, shares, division.seed), strict=True):
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
