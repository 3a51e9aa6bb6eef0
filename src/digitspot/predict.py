"""From a folder of pictures to `pred.json`, `pred.csv`, and what a person looks at."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from digitspot.data.coco import read_labels, write_numbers, write_results
from digitspot.data.images import list_images
from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, writing_whole
from digitspot.overlays import contact_sheet, draw_overlay
from digitspot.reader import Reader
from digitspot.structures import Detections

RESULTS, NUMBERS, ARCHIVE, OVERLAYS = "pred.json", "pred.csv", "pred.zip", "overlays"
SHEET = "overlays.png"
SHEET_COLUMNS = 4
SHEET_IMAGES = 24


@dataclass(frozen=True)
class Pictures:
    """The pictures to predict, each with the id that the answers carry.

    Attributes:
        paths: By image id, in order.
        numbers: The true numbers where labels are known, "" where there is none.
    """

    paths: Mapping[int, Path]
    numbers: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.paths)


def find_pictures(source: Path) -> Pictures:
    """Find pictures by what `source` is.

    A folder of pictures, or a text file that lists one path a line: the id is the number that the
    file name is, or, where a name is none or stands twice, the place in the list, from 1. A label
    file (`test.json`): its images, its ids, with the pictures in the folder of the same name beside it.

    Raises:
        DataError: There is nothing to read.
    """
    if source.suffix == ".json":
        return _labelled_pictures(source)
    if source.is_dir():
        paths = list_images(source)
    elif source.suffix == ".txt" and source.is_file():
        paths = _listed_pictures(source)
    elif source.is_file():
        paths = [source]
    else:
        raise DataError(
            f"no such folder or file: {source}",
            hint="Give a folder of pictures, a picture, a .txt list of paths, or a label file.",
        )
    if not paths:
        raise DataError(f"{source} has no picture", hint="Known endings: .png, .jpg and their kin.")
    return Pictures(dict(zip(_image_ids(paths), paths, strict=True)), {})


def predict(
    reader: Reader,
    pictures: Pictures,
    output: Path,
    *,
    archive: bool = False,
    overlays: int = 0,
    batch_size: int = 256,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Read pictures and write the answers.

    Args:
        reader: The model.
        pictures: What to read.
        output: Folder for `pred.json`, every digit down to the model's smallest score, and `pred.csv`.
        archive: Also write both into `pred.zip`.
        overlays: Draw this many pictures, evenly chosen, with boxes and number, and a sheet of them.
        batch_size: Pictures in memory at a time; batches of like shapes are made of them.
        progress: Called with the pictures done and their total.

    Raises:
        DataError: A picture cannot be read; nothing is written.
        DigitspotError: The folder cannot be written.
    """
    if overlays < 0:
        raise ConfigError(f"--overlays is {overlays}, must be at least 0")
    check_writable(output)
    found: dict[int, Detections] = {}
    numbers: dict[int, str | None] = {}
    drawn: dict[int, Image.Image] = {}
    chosen = _evenly(list(pictures.paths), overlays)
    reads = reader.read_whole(pictures.paths.values(), batch_size)
    for image_id, read in zip(pictures.paths, reads, strict=True):
        found[image_id], numbers[image_id] = read.detections, read.reading.text
        if image_id in chosen:
            truth = pictures.numbers.get(image_id)
            drawn[image_id] = draw_overlay(read.image, read.reading, read.detections, truth)
        progress(len(found), len(pictures))
    write_results(output / RESULTS, found, reader.categories)
    write_numbers(output / NUMBERS, numbers)
    if archive:
        _write_archive(output)
    if drawn:
        _write_overlays(output, drawn)


def _write_archive(output: Path) -> None:
    with writing_whole(output / ARCHIVE, "wb") as file:  # noqa: SIM117 - the archive ends before the file
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name in (RESULTS, NUMBERS):
                zipped.write(output / name, name)


def _write_overlays(output: Path, drawn: Mapping[int, Image.Image]) -> None:
    """Write one picture each, and a sheet of the first of them."""
    for image_id, picture in drawn.items():
        with writing_whole(output / OVERLAYS / f"{image_id}.png", "wb") as file:
            picture.save(file, "PNG")
    with writing_whole(output / SHEET, "wb") as file:
        contact_sheet(list(drawn.values())[:SHEET_IMAGES], SHEET_COLUMNS).save(file, "PNG")


def _labelled_pictures(path: Path) -> Pictures:
    labels = read_labels(path, clip=False)
    folder = path.with_suffix("")
    return Pictures(
        {image.image_id: folder / image.file_name for image in labels.images},
        {image.image_id: image.number or "" for image in labels.images},
    )


def _listed_pictures(path: Path) -> list[Path]:
    """Return the paths that a text file lists, relative ones from its folder."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [path.parent / line.strip() for line in lines if line.strip()]


def _image_ids(paths: Sequence[Path]) -> list[int]:
    stems = [path.stem for path in paths]
    if all(stem.isdecimal() and stem.isascii() for stem in stems) and len(set(map(int, stems))) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(paths) + 1))


def _evenly(image_ids: Sequence[int], count: int) -> set[int]:
    """Choose `count` ids evenly over the list."""
    count = min(count, len(image_ids))
    return {image_ids[index * len(image_ids) // count] for index in range(count)}
