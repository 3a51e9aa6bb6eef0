"""The file of readings: every number with its probability, answered or not."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from digitspot.errors import DataError
from digitspot.files import writing_whole
from digitspot.labels.coco import NO_NUMBER, read_text
from digitspot.types import Reading

COLUMNS = ["image_id", "pred_label", "probability"]


def write_readings(path: Path, readings: Mapping[int, Reading]) -> None:
    """Write `image_id,pred_label,probability`; no number is -1."""
    with writing_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for image_id, each in readings.items():
            writer.writerow((image_id, each.number or NO_NUMBER, f"{each.probability:.6f}"))


def read_readings(path: Path) -> dict[str, tuple[str | None, float]]:
    """Read numbers and probabilities by image id; no number is None.

    Raises:
        DataError: The file is missing, has other columns, or a probability that is none.
    """
    readings: dict[str, tuple[str | None, float]] = {}
    rows = list(csv.reader(io.StringIO(read_text(path))))
    if not rows or rows[0] != COLUMNS:
        message = f"{path}: the first line must be {','.join(COLUMNS)}"
        raise DataError(message, hint="`digitspot predict` writes it.")
    for line, row in enumerate(rows[1:], 2):
        try:
            image_id, text, probability = row[0], row[1], float(row[2])
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}: line {line} is {','.join(row)!r}, not {','.join(COLUMNS)}") from error
        if not 0 <= probability <= 1:
            raise DataError(f"{path}: line {line} has probability {probability}, which is not in 0..1")
        readings[image_id] = (None if text == NO_NUMBER else text, probability)
    return readings
