"""Bibs of a race: who was seen when, from a folder of photographs and the list of starters.

    python examples/race_bibs.py PHOTOS starters.csv > seen.csv

starters.csv has the columns bib and name. Photographs need 480 pixels a side. A number that is no starter's
is corrected to the most probable bib, or left out. stderr names the starters that no photograph shows.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import tyro
from PIL import ExifTags, Image

import digitspot
from digitspot.errors import DataError
from digitspot.images import list_images


def time_of(photo: Path) -> datetime:
    """Return when a photograph was taken."""
    with Image.open(photo) as image:
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
    with suppress(KeyError, ValueError):  # a camera whose clock was never set
        return datetime.strptime(exif[ExifTags.Base.DateTimeOriginal], "%Y:%m:%d %H:%M:%S")
    return datetime.fromtimestamp(photo.stat().st_mtime).replace(microsecond=0)


def sightings(photos: Path, names: Mapping[str, str]) -> Iterator[tuple[object, ...]]:
    """Yield time, bib, name, photo, probability and decision of each starter in each photograph."""
    known = digitspot.Rules(known=frozenset(names))
    reader = digitspot.Reader.load().with_options(rules=known, abstain_below=0.5)
    for photo in list_images(photos).paths:
        try:
            reads = reader.read_all(photo)
        except DataError as error:
            print(error, file=sys.stderr)
            reads = []
        for reading in (read.reading for read in reads if read.reading.text):
            bib, sure = str(reading.text), round(reading.probability, 3)
            yield time_of(photo).isoformat(" "), bib, names[bib], photo.name, sure, reading.decision


def main(photos: tyro.conf.Positional[Path], starters: tyro.conf.Positional[Path]) -> None:
    """Print who was seen when, and who was not."""
    lines = starters.read_text(encoding="utf-8-sig").splitlines()
    names = {row["bib"]: row["name"] for row in csv.DictReader(lines)}
    rows = sorted(sightings(photos, names))
    columns = ("time", "bib", "name", "photo", "probability", "decision")
    csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *rows])
    for bib in sorted(names.keys() - {row[1] for row in rows}):
        print(f"not seen: {bib} {names[bib]}", file=sys.stderr)


if __name__ == "__main__":
    tyro.cli(main)
