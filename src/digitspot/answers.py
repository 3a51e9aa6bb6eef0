"""What a folder of answers holds: the only place that writes and reads one.

| file | what |
| --- | --- |
| pred.json | every digit found, COCO results |
| pred.csv | the numbers as answered; -1 where there is none, or where the reader abstains |
| readings.csv | the numbers with probabilities; one that was too unsure to be answered stands here, too |
| images.csv | which file an id is, if the ids are counted |
| errors.csv | images that could not be read; their answer is -1 |
| trained-on.txt | the images that the model was trained on |
| command.txt | the command that wrote the answers |

The rule for abstaining: accuracy is that of `pred.csv`, so an abstention is a wrong answer where the image
shows a number. Probabilities are judged with `readings.csv`, where nothing is abstained.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from digitspot.dataset.seen import Seen
from digitspot.errors import DataError
from digitspot.files import encodable, printable, read_text, writing_whole
from digitspot.labels.labels import CategoryMap, LabelSet
from digitspot.labels.results import NO_NUMBER, read_numbers, read_results, write_numbers, write_results
from digitspot.reading import ReadingSettings, read_number
from digitspot.types import Detections, Reading

RESULTS, NUMBERS, READINGS = "pred.json", "pred.csv", "readings.csv"
NAMES, ERRORS, SEEN, COMMAND = "images.csv", "errors.csv", "trained-on.txt", "command.txt"
FILES = (RESULTS, NUMBERS, READINGS, NAMES, ERRORS, SEEN, COMMAND)
UNREAD = Reading(text=None, probability=0.0, decision="abstained", reason="unsure")
"""The answer to an image that could not be read."""
READING_COLUMNS = ["image_id", "pred_label", "probability"]
REASON_COLUMNS = ["decision", "reason", "corrected_from"]
"""What `predict` adds; nothing reads them but people."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered to the images of a label file.

    Attributes:
        detections: By image id.
        numbers: By image id as a string, after any abstention; None where there is no number.
        readings: Number and probability before any abstention; None if nobody says.
        seen: What the model was trained on.
        from_boxes: Whether the numbers were read from the boxes now, since no file has them.
    """

    detections: Mapping[int, Detections]
    numbers: Mapping[str, str | None]
    readings: Mapping[str, tuple[str | None, float]] | None = None
    seen: Seen = field(default_factory=Seen)
    from_boxes: bool = False


def read_answers(
    path: Path,
    labels: LabelSet,
    *,
    numbers: Path | None = None,
    readings: Path | None = None,
    settings: ReadingSettings | None = None,
) -> Answers:
    """Read answers.

    Args:
        path: A folder of answers, or a COCO results file.
        labels: The label file of the images.
        numbers: A `pred.csv` elsewhere.
        readings: A `readings.csv` elsewhere.
        settings: Read the numbers anew from the boxes, unless a file is named. None takes the folder's files.

    Raises:
        DataError: A file is missing, malformed or of other images.
    """
    results = results_path(path)
    if path.is_dir() and settings is None:
        numbers = numbers or _if_there(path / NUMBERS)
        readings = readings or _if_there(path / READINGS)
    detections = read_results(results, labels)
    read = read_readings(readings) if readings else None
    from_boxes = numbers is None and read is None
    if from_boxes:
        read = read_boxes(labels, detections, settings or ReadingSettings())
    return Answers(
        detections=detections,
        numbers=read_numbers(numbers) if numbers else {key: text for key, (text, _) in (read or {}).items()},
        readings=read,
        seen=read_seen(results.with_name(SEEN)),
        from_boxes=from_boxes,
    )


def results_path(path: Path) -> Path:
    """Return the file of boxes of a folder of answers, or the file itself.

    Raises:
        DataError: The folder has none.
    """
    if not path.is_dir():
        return path
    if not (path / RESULTS).exists():
        raise DataError(f"{path} holds no {RESULTS}", hint="`digitspot predict` writes one.")
    return path / RESULTS


def read_boxes(
    labels: LabelSet, detections: Mapping[int, Detections], settings: ReadingSettings
) -> dict[str, tuple[str | None, float]]:
    """Read the number of every image of a label file from its boxes."""
    none = Detections.empty()
    ids = [image.image_id for image in labels.images]
    reads = {str(image_id): read_number(detections.get(image_id, none), settings) for image_id in ids}
    return {key: (each.text, each.probability) for key, each in reads.items()}


def write_answers(
    folder: Path,
    detections: Iterable[tuple[int, Detections]],
    readings: Iterable[tuple[int, Reading]] | None,
    categories: CategoryMap,
    *,
    names: Iterable[tuple[int, str]] | None = None,
    errors: Iterable[tuple[int, str, str]] = (),
    seen: Seen | None = None,
    command: Sequence[str] = (),
) -> None:
    """Write boxes, numbers, probabilities, and where they come from.

    Rows are written as they come, so that they need not be in memory.

    Args:
        folder: Where the files go.
        detections: With their image ids.
        readings: With their image ids, to be gone through twice; None writes boxes only.
        categories: The category ids of the results.
        names: Image ids and file names, where the ids are counted.
        errors: Image id, file name and error of each image that could not be read.
        seen: What the model was trained on, if it says so.
        command: What to type to get the same answers; empty writes no record.

    Raises:
        DigitspotError: The folder cannot be written.
    """
    write_results(folder / RESULTS, detections, categories)
    if readings is not None:
        write_numbers(folder / NUMBERS, ((image_id, each.text) for image_id, each in readings))
        write_readings(folder / READINGS, readings)
    if names is not None:
        write_rows(folder / NAMES, ("image_id", "file_name"), names)
    failed = iter(errors)
    if first := next(failed, None):
        write_rows(folder / ERRORS, ("image_id", "file_name", "error"), chain([first], failed))
    if seen is not None and seen.keys:
        with writing_whole(folder / SEEN) as file:
            file.write(seen.to_text())
    if command:
        with writing_whole(folder / COMMAND) as file:
            file.write(shlex.join(map(encodable, command)) + "\n")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whose texts may be file names: what cannot be printed is escaped."""
    with writing_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([printable(each) if isinstance(each, str) else each for each in row] for row in rows)


def write_readings(path: Path, readings: Iterable[tuple[int, Reading]]) -> None:
    """Write number, probability and how the reader decided; no number is -1."""
    write_rows(
        path,
        [*READING_COLUMNS, *REASON_COLUMNS],
        (
            (
                key,
                each.number or NO_NUMBER,
                f"{each.probability:.6f}",
                each.decision,
                each.reason,
                (each.corrected_from or NO_NUMBER) if each.decision == "corrected" else "",
            )
            for key, each in readings
        ),
    )


def read_readings(path: Path) -> dict[str, tuple[str | None, float]]:
    """Read numbers and probabilities by image id; no number is None.

    Raises:
        DataError: The file is missing, has other columns, or a value that is no probability.
    """
    readings: dict[str, tuple[str | None, float]] = {}
    rows = list(csv.reader(io.StringIO(read_text(path))))
    if not rows or rows[0][: len(READING_COLUMNS)] != READING_COLUMNS:
        message = f"{path}: the first line must begin with {','.join(READING_COLUMNS)}"
        raise DataError(message, hint="`digitspot predict` writes it.")
    for line, row in enumerate(rows[1:], 2):
        try:
            image_id, text, probability = row[0], row[1], float(row[2])
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}: line {line} is {','.join(row)!r}, not {','.join(READING_COLUMNS)}"
            ) from error
        if not 0 <= probability <= 1:
            raise DataError(f"{path}: line {line} has probability {probability}, which is not in 0..1")
        readings[image_id] = (None if text == NO_NUMBER else text, probability)
    return readings


def read_seen(path: Path) -> Seen:
    """Read what the model was trained on; nothing is known where there is no file.

    Raises:
        DataError: The file cannot be read.
    """
    return Seen.from_text(read_text(path), path) if path.exists() else Seen()


def read_command(folder: Path) -> list[str]:
    """Return the command that wrote the answers; empty where nothing is recorded.

    Raises:
        DataError: The record cannot be read.
    """
    path = folder / COMMAND
    try:
        return shlex.split(read_text(path)) if path.exists() else []
    except ValueError as error:
        raise DataError(f"{path} is no command: {error}", hint="Remove it, or answer again.") from error


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None
