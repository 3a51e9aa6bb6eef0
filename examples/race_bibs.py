"""Bibs of a race: who was seen when, from a folder of photographs and the list of starters.

    python examples/race_bibs.py PHOTOS starters.csv > seen.csv

starters.csv has the columns bib and name. Every number of each photograph is read; photographs need at least
480 pixels a side, since in smaller ones two runners' numbers can be taken for one. One that is no starter's
is corrected to the bib that it was most probably misread from, else left out. A photograph's time is that
of its EXIF data, else of its file.
Prints a row for each sighting, sorted by time: time, bib, name, photo, probability, decision. stderr names
the starters that no photograph shows.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import tyro
from PIL import ExifTags, Image

import digitspot

SURE = 0.5
"""Less probable numbers are left out."""
COLUMNS = ("time", "bib", "name", "photo", "probability", "decision")


def time_of(photo: Path) -> datetime:
    """Return when a photograph was taken."""
    with Image.open(photo) as image:
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
    if taken := exif.get(ExifTags.Base.DateTimeOriginal):
        return datetime.strptime(taken, "%Y:%m:%d %H:%M:%S")
    return datetime.fromtimestamp(photo.stat().st_mtime).replace(microsecond=0)


def sightings(photos: Path, names: Mapping[str, str]) -> Iterator[tuple[object, ...]]:
    """Yield a row of `COLUMNS` for each starter in each photograph."""
    rules = digitspot.Rules(known=frozenset(names))
    reader = digitspot.Reader.load().with_options(rules=rules, abstain_below=SURE)
    for photo in sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".png")):
        for reading in (read.reading for read in reader.read_all(photo)):
            if bib := reading.text:
                sure = round(reading.probability, 3)
                yield time_of(photo).isoformat(" "), bib, names[bib], photo.name, sure, reading.decision


def main(photos: tyro.conf.Positional[Path], starters: tyro.conf.Positional[Path]) -> None:
    """Print who was seen when, and who was not."""
    with open(starters, encoding="utf-8", newline="") as file:
        names = {row["bib"]: row["name"] for row in csv.DictReader(file)}
    rows = sorted(sightings(photos, names))
    csv.writer(sys.stdout, lineterminator="\n").writerows([COLUMNS, *rows])
    for bib in sorted(names.keys() - {row[1] for row in rows}):
        print(f"not seen: {bib} {names[bib]}", file=sys.stderr)


if __name__ == "__main__":
    tyro.cli(main)
