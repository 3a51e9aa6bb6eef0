"""House numbers of a street: from a folder of photographs to a table.

    python examples/house_numbers.py PHOTOS numbers.csv

Each photograph is a row of numbers.csv: its file, the number, its probability, the decision, the number's
place in the photograph (pixels), and whether a person should look, with the reason. Rows are sorted by
number; those without one stand last.
Prints the photographs that a person should look at, the most doubtful first, and why.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

import digitspot

SURE = 0.9
"""A person should look at numbers that are less probable than this."""
COLUMNS = ("file", "number", "probability", "decision", "left", "top", "right", "bottom", "look", "why")


def read_folder(photos: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each file of a folder; one that is no image is to be looked at, too."""
    reader = digitspot.Reader.load().with_options(abstain_below=SURE)
    paths = sorted(path for path in photos.iterdir() if path.is_file())
    for path, read in zip(paths, reader.read_each(paths), strict=True):
        if isinstance(read, Exception):
            yield {"file": path.name, "probability": 0.0, "look": "yes", "why": str(read)}
            continue
        reading = read.reading
        row = {
            "file": path.name,
            "number": reading.number,
            "probability": round(reading.probability, 3),
            "decision": reading.decision,
            "look": "no" if reading.text else "yes",
            "why": reading.explanation,
        }
        yield row | dict(zip(COLUMNS[4:8], map(round, reading.box or ()), strict=False))


def main(photos: tyro.conf.Positional[Path], table: tyro.conf.Positional[Path]) -> None:
    """Read a folder, write the table, and say what to look at."""
    rows = sorted(read_folder(photos), key=lambda row: int(row.get("number") or 10**9))
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    doubtful = sorted((row for row in rows if row["look"] == "yes"), key=lambda row: row["probability"])
    print(f"{len(rows)} photographs, {len(doubtful)} to look at")
    for row in doubtful:
        print(f"{row['file']}: {row['why']}")


if __name__ == "__main__":
    tyro.cli(main)
