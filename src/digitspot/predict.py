"""From a folder of images to `pred.json`, `pred.csv`, and what a person looks at."""

from __future__ import annotations

import csv
import shlex
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, writing_whole
from digitspot.images import decode_image, list_images
from digitspot.labels.coco import read_labels, read_text, write_numbers, write_results
from digitspot.labels.labels import LabelSet
from digitspot.overlays import contact_sheet, draw_overlay
from digitspot.reader import Reader
from digitspot.readings_csv import write_readings
from digitspot.types import Detections, Reading

RESULTS, NUMBERS, ARCHIVE, NAMES = "pred.json", "pred.csv", "pred.zip", "images.csv"
SEEN = "trained-on.txt"
"""The images that the model was trained on; `evaluate` finds it beside the answers."""
READINGS = "readings.csv"
COMMAND = "command.txt"
"""The command that wrote the answers, in one line for a shell."""
OVERLAYS, SHEET = "overlays", "overlays.png"
SHEET_COLUMNS = 4
SHEET_IMAGES = 24


@dataclass(frozen=True)
class Images:
    """The images to predict, each with the id that the answers carry.

    Attributes:
        paths: By image id, in order.
        numbers: The true numbers where labels are known, "" where there is none.
        labels: The label file, where there is one.
        numbered: Whether the ids are places in the list, since the file names are no numbers.
    """

    paths: Mapping[int, Path]
    numbers: Mapping[int, str] = field(default_factory=dict)
    labels: LabelSet | None = None
    numbered: bool = False

    def __len__(self) -> int:
        return len(self.paths)


def find_images(source: Path) -> Images:
    """Find images by what `source` is.

    A folder of images, or a text file that lists one path a line: the id is the number that the
    file name is; where no name is a number, the place in the list, from 1. A label file
    (`test.json`): its images, its ids, with the images in the folder of the same name beside it.

    Raises:
        DataError: There is nothing to read, or some names are numbers and others not.
    """
    if source.suffix.lower() == ".json":
        return _labelled_images(source)
    if source.is_dir():
        paths = list_images(source).paths
    elif source.suffix.lower() == ".txt" and source.is_file():
        paths = _listed_images(source)
    elif source.is_file():
        paths = [source]
    else:
        raise DataError(
            f"no such folder or file: {source}",
            hint="Give a folder of images, an image, a .txt list of paths, or a label file.",
        )
    if not paths:
        raise DataError(f"{source} has no image", hint="Known endings: .png, .jpg and their kin.")
    ids = _image_ids(paths, source)
    if ids is None:
        return Images(dict(enumerate(paths, 1)), numbered=True)
    return Images(dict(zip(ids, paths, strict=True)))


def predict(
    reader: Reader,
    images: Images,
    output: Path,
    *,
    archive: bool = False,
    overlays: int = 0,
    batch_size: int = 256,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Read images and write the answers.

    Args:
        reader: The model.
        images: What to read.
        output: Folder for `pred.json`, every digit down to the model's smallest score, its box in the style
            of the training labels; `pred.csv`, the numbers; `readings.csv`, the numbers with probabilities,
            also those that the reader does not answer; `images.csv` where the ids are places in a list;
            `trained-on.txt` where the model says what it was trained on; `command.txt`, the command.
        archive: Also write both into `pred.zip`.
        overlays: Draw this many images, evenly chosen, with boxes and number, and a sheet of them.
        batch_size: Images read at a time; batches of like shapes are made of them.
        command: What to type to have the same answers again; of none, there is no record.
        progress: Called with the images done and their total.

    Raises:
        DataError: An image cannot be read; nothing is written.
        DigitspotError: The folder cannot be written.
    """
    if overlays < 0 or batch_size < 1:
        raise ConfigError(f"{overlays} overlays and a batch of {batch_size}: need 0 or more, and 1 or more")
    check_writable(output)
    found: dict[int, Detections] = {}
    readings: dict[int, Reading] = {}
    drawn: dict[int, Image.Image] = {}
    chosen = _evenly(list(images.paths), overlays)
    reads = reader.read_whole(images.paths.values(), batch_size)
    for image_id, read in zip(images.paths, reads, strict=True):
        found[image_id] = read.detections
        readings[image_id] = read.reading
        if image_id in chosen:
            image, truth = decode_image(images.paths[image_id]), images.numbers.get(image_id)
            drawn[image_id] = draw_overlay(image, read.reading, read.detections, truth)
        progress(len(found), len(images))
    _remove_optional(output)
    categories = images.labels.categories if images.labels else reader.categories
    write_results(output / RESULTS, found, categories)
    write_numbers(output / NUMBERS, {image_id: each.text for image_id, each in readings.items()})
    write_readings(output / READINGS, readings)
    if reader.seen.keys:
        with writing_whole(output / SEEN) as file:
            file.write(reader.seen.to_text())
    if command:
        write_command(output, command)
    if images.numbered:
        _write_names(output / NAMES, images.paths)
    if archive:
        _write_archive(output)
    if drawn:
        _write_overlays(output, drawn)


def write_command(output: Path, command: Sequence[str]) -> None:
    """Record in a folder of answers the command that wrote them."""
    with writing_whole(output / COMMAND) as file:
        file.write(shlex.join(command) + "\n")


def read_command(output: Path) -> list[str]:
    """Return the command that wrote answers; of none, nothing is recorded.

    Raises:
        DataError: The record cannot be read.
    """
    path = output / COMMAND
    try:
        return shlex.split(read_text(path)) if path.exists() else []
    except ValueError as error:
        raise DataError(f"{path} is no command: {error}", hint="Remove it, or answer again.") from error


def _remove_optional(output: Path) -> None:
    """Remove what an earlier prediction left here and this one may not write again."""
    names = (ARCHIVE, NAMES, SEEN, COMMAND, SHEET)
    for path in (*(output / name for name in names), *(output / OVERLAYS).glob("*.png")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # not there, or somebody else's files are in it
        (output / OVERLAYS).rmdir()


def _write_names(path: Path, paths: Mapping[int, Path]) -> None:
    """Write which file each id is."""
    with writing_whole(path) as file:
        rows = csv.writer(file)
        rows.writerow(["image_id", "file_name"])
        rows.writerows((image_id, image.name) for image_id, image in paths.items())


def _write_archive(output: Path) -> None:
    with writing_whole(output / ARCHIVE, "wb") as file:  # noqa: SIM117 - the archive ends before the file
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name in (RESULTS, NUMBERS):
                zipped.write(output / name, name)


def _write_overlays(output: Path, drawn: Mapping[int, Image.Image]) -> None:
    """Write one image each, and a sheet of the first of them."""
    for image_id, image in drawn.items():
        with writing_whole(output / OVERLAYS / f"{image_id}.png", "wb") as file:
            image.save(file, "PNG")
    with writing_whole(output / SHEET, "wb") as file:
        contact_sheet(list(drawn.values())[:SHEET_IMAGES], SHEET_COLUMNS).save(file, "PNG")


def _labelled_images(path: Path) -> Images:
    labels = read_labels(path, clip=False)
    folder = path.with_suffix("")
    return Images(
        {image.image_id: folder / image.file_name for image in labels.images},
        {image.image_id: image.number or "" for image in labels.images},
        labels,
    )


def _listed_images(path: Path) -> list[Path]:
    """Return the paths that a text file lists, relative ones from its folder."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a list of paths in UTF-8: {error.reason}") from error
    return [path.parent / line.strip() for line in lines if line.strip()]


def _image_ids(paths: Sequence[Path], source: Path) -> list[int] | None:
    """Return the numbers that the file names are; None where none is one."""
    numeric = [path.stem.isascii() and path.stem.isdecimal() for path in paths]
    if not any(numeric):
        return None
    if not all(numeric):
        odd = paths[numeric.index(False)]
        raise DataError(
            f"{source}: {sum(numeric)} file names are numbers, but {odd.name} is not: which id is it?",
            hint="Rename it, move it away, or give a label file.",
        )
    ids = [int(path.stem) for path in paths]
    by_id: dict[int, Path] = {}
    for image_id, path in zip(ids, paths, strict=True):
        if image_id in by_id:
            raise DataError(f"{source}: {by_id[image_id].name} and {path.name} are both image {image_id}")
        by_id[image_id] = path
    return ids


def _evenly(image_ids: Sequence[int], count: int) -> set[int]:
    """Choose `count` ids evenly over the list."""
    count = min(count, len(image_ids))
    return {image_ids[index * len(image_ids) // count] for index in range(count)}
