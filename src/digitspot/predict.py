"""From images to a folder of answers, and what a person looks at."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from digitspot.answers import FILES, NUMBERS, RESULTS, UNREAD, write_answers
from digitspot.convert.cvat import write_cvat
from digitspot.convert.label_studio import write_label_studio
from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, writing_together, writing_whole
from digitspot.images import decode_image
from digitspot.overlays import column_width, contact_sheets, draw_overlay
from digitspot.reader import Reader
from digitspot.sources import Images
from digitspot.types import Detections, Reading

ARCHIVE, OVERLAYS, SHEET = "pred.zip", "overlays", "overlays.png"
PROPOSALS = {"label-studio": "label-studio.json", "cvat": "cvat.xml"}
SHEET_COLUMNS = 4
MOST_TILES = 24
"""More do not stand on one sheet."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How answers are made and what is written beside them.

    Attributes:
        archive: Also write `pred.json` and `pred.csv` into `pred.zip`.
        overlays: Draw this many images, evenly chosen, with boxes and number, and a sheet of the first.
        batch_size: Images read at a time; batches of like shapes are made of them.
        propose: Also write what is read for people to correct, for Label Studio or for CVAT.
        strict: Stop at the first image that cannot be read, with nothing written.
        command: What to type to get the same answers; empty writes no record.
    """

    archive: bool = False
    overlays: int = 0
    batch_size: int = 256
    propose: Literal["label-studio", "cvat"] | None = None
    strict: bool = False
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.overlays < 0 or self.batch_size < 1:
            raise ConfigError(
                f"{self.overlays} overlays and a batch of {self.batch_size}: need 0 or more, and 1 or more"
            )


@dataclass
class _Found:
    """What was found so far, by image id."""

    detections: dict[int, Detections] = field(default_factory=dict)
    readings: dict[int, Reading] = field(default_factory=dict)
    errors: dict[int, DataError] = field(default_factory=dict)
    drawn: dict[int, Image.Image] = field(default_factory=dict)
    tiles: list[Image.Image] = field(default_factory=list)


def predict(
    reader: Reader,
    images: Images,
    output: Path,
    options: PredictOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, DataError]:
    """Read images and write the answers, as `digitspot.answers` describes them.

    Args:
        reader: The model.
        images: What to read.
        output: Folder for the answers. Those of an earlier prediction stay whole until these are complete.
        options: What else is written; None takes the defaults.
        progress: Called with the images done and their total.

    Returns:
        Why an image could not be read, by id.

    Raises:
        DataError: An image cannot be read, and the options are strict; nothing is written.
        DigitspotError: The folder cannot be written.
    """
    options = options or PredictOptions()
    check_writable(output)
    found = _read(reader, images, options, progress)
    drawn_before = [f"{OVERLAYS}/{path.name}" for path in (output / OVERLAYS).glob("*.png")]
    with writing_together(output, [*FILES, ARCHIVE, SHEET, *PROPOSALS.values(), *drawn_before]) as aside:
        _write(aside, reader, images, found, options)
    return found.errors


def _read(
    reader: Reader, images: Images, options: PredictOptions, progress: Callable[[int, int], None]
) -> _Found:
    found = _Found()
    chosen = _evenly(list(images.paths), options.overlays)
    reads = reader.read_each(images.paths.values(), options.batch_size)
    for number, (image_id, read) in enumerate(zip(images.paths, reads, strict=True), 1):
        if isinstance(read, DataError):
            if options.strict:
                raise read
            found.errors[image_id] = read
            found.detections[image_id] = Detections.empty()
            found.readings[image_id] = UNREAD
        else:
            found.detections[image_id] = read.detections
            found.readings[image_id] = read.reading
            if image_id in chosen:
                image, truth = decode_image(images.paths[image_id]), images.numbers.get(image_id)
                shown = (image, read.reading, read.detections, truth)
                found.drawn[image_id] = draw_overlay(*shown)
                if len(found.tiles) < MOST_TILES:
                    found.tiles.append(draw_overlay(*shown, column_width(SHEET_COLUMNS)))
        progress(number, len(images))
    return found


def _write(folder: Path, reader: Reader, images: Images, found: _Found, options: PredictOptions) -> None:
    names = images.names
    write_answers(
        folder,
        found.detections.items(),
        found.readings.items(),
        images.labels.categories if images.labels else reader.categories,
        names=names.items() if images.numbered else None,
        errors=((key, names[key], str(error)) for key, error in found.errors.items()),
        seen=reader.seen,
        command=options.command,
    )
    if options.archive:
        _write_archive(folder)
    if options.propose:
        _write_proposals(folder / PROPOSALS[options.propose], images, found)
    if found.drawn:
        _write_overlays(folder, found.drawn, found.tiles)


def _write_proposals(path: Path, images: Images, found: _Found) -> None:
    """Write the readings of all images that could be read."""
    sizes = {key: each.size_hw for key, each in found.detections.items() if each.size_hw is not None}
    readings = {key: found.readings[key] for key in sizes if key not in found.errors}
    write = write_cvat if path.suffix == ".xml" else write_label_studio
    write(path, images.names, readings, sizes)


def _write_archive(folder: Path) -> None:
    with writing_whole(folder / ARCHIVE, "wb") as file:  # noqa: SIM117 - the archive ends before the file
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name in (RESULTS, NUMBERS):
                zipped.write(folder / name, name)


def _write_overlays(folder: Path, drawn: Mapping[int, Image.Image], tiles: Sequence[Image.Image]) -> None:
    """Write one image each, and a sheet of the first of them, as many as it holds."""
    for image_id, image in drawn.items():
        with writing_whole(folder / OVERLAYS / f"{image_id}.png", "wb") as file:
            image.save(file, "PNG")
    with writing_whole(folder / SHEET, "wb") as file:
        contact_sheets(tiles, SHEET_COLUMNS)[0].save(file, "PNG")


def _evenly(image_ids: Sequence[int], count: int) -> set[int]:
    """Choose `count` ids evenly over the list."""
    count = min(count, len(image_ids))
    return {image_ids[index * len(image_ids) // count] for index in range(count)}
