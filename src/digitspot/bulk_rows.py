"""What reading in bulk writes, a row an image, and how rows in any order become sorted answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from digitspot.answers import UNREAD
from digitspot.errors import DataError
from digitspot.reads import Read
from digitspot.types import Detections, Digit, Reading

Item = TypeVar("Item")
BOX = pa.list_(pa.float32(), 4)
DIGIT = pa.struct(
    [
        ("text", pa.string()),
        ("box", pa.list_(pa.float64(), 4)),
        ("score", pa.float64()),
        ("probability", pa.float64()),
    ]
)
ROW = pa.schema(
    [
        ("id", pa.int64()),
        ("file_name", pa.string()),
        ("number", pa.string()),
        ("probability", pa.float64()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("corrected_from", pa.string()),
        ("error", pa.string()),
        ("digits", pa.list_(DIGIT)),
        ("boxes", pa.list_(BOX)),
        ("labels", pa.list_(pa.int8())),
        ("scores", pa.list_(pa.float32())),
    ]
)
"""An image's row. `number` is null where there is none or no answer, and `error` where it was read. `digits`
are those of the number; `boxes` (x1, y1, x2, y2), `labels` (0 to 9) and `scores` are every digit found."""
ROWS_AT_ONCE = 2048
MOST_NAMED = 20
MAX_ID = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class BulkResult:
    """What was done.

    Attributes:
        num_images: In all.
        num_errors: Images that could not be read.
        first_errors: File name and error of the first of them.
    """

    num_images: int
    num_errors: int
    first_errors: Sequence[tuple[str, str]]


def row_of(image_id: int, file_name: str, read: Read | DataError) -> dict[str, object]:
    """Return an image's row, as `ROW` says."""
    error = str(read) if isinstance(read, DataError) else None
    read = Read(Detections.empty(), UNREAD) if isinstance(read, DataError) else read
    reading, found = read.reading, read.detections
    return {
        "id": image_id,
        "file_name": file_name,
        "number": reading.text,
        "probability": reading.probability,
        "decision": reading.decision,
        "reason": reading.reason,
        "corrected_from": reading.corrected_from,
        "error": error,
        "digits": [{name: getattr(digit, name) for name in DIGIT.names} for digit in reading.digits],
        "boxes": found.boxes.tolist(),
        "labels": (found.labels - 1).tolist(),
        "scores": found.scores.tolist(),
    }


def sort_rows(files: fsspec.AbstractFileSystem, folder: str, path: Path) -> None:
    """Write all rows of a folder into one file of this machine, by id, each once.

    Files are read in the order of their smallest ids, and rows are held until no other file can have a
    smaller one. So in memory are those of the files whose ids overlap. A row that stands twice, since workers
    outlived the process that was killed, is written once.

    Raises:
        DataError: Two images have one id.
    """
    files.invalidate_cache()
    found = sorted((_first_id(files, each), each) for each in files.find(folder))
    held = ROW.empty_table()
    last: tuple[int, str] | None = None
    with pq.ParquetWriter(path, ROW) as writer:
        for (_, file), (following, _) in zip(found, [*found[1:], (None, "")], strict=True):
            with files.open(file, "rb") as opened:
                held = pa.concat_tables([held, pq.read_table(opened, schema=ROW)])
            ready = pc.less(held["id"], MAX_ID if following is None else following)
            last = _write_once(writer, held.filter(ready).sort_by("id"), last)
            held = held.filter(pc.invert(ready))


def _first_id(files: fsspec.AbstractFileSystem, path: str) -> int:
    """Return the smallest id in a file of rows, from its statistics."""
    with files.open(path, "rb") as opened:
        about = pq.read_metadata(opened)
    groups = (about.row_group(number).column(0) for number in range(about.num_row_groups))
    return min(int(group.statistics.min) for group in groups)


def _write_once(
    writer: pq.ParquetWriter, rows: pa.Table, last: tuple[int, str] | None
) -> tuple[int, str] | None:
    """Write rows but for those that equal the one before; return the id and name of the last."""
    kept = []
    for key in zip(rows["id"].to_pylist(), rows["file_name"].to_pylist(), strict=True):
        kept.append(key != last)
        if kept[-1] and last is not None and key[0] == last[0]:
            raise DataError(f"{last[1]} and {key[1]} are both image {key[0]}")
        last = key
    writer.write_table(rows.filter(pa.array(kept, pa.bool_())))
    return last


@dataclass(frozen=True)
class Rows:
    """The sorted rows, read as often as needed and never all at once."""

    path: Path

    def _read(self, *columns: str) -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                yield from batch.to_pylist()

    def detections(self) -> Iterator[tuple[int, Detections]]:
        """Yield ids and every digit found."""
        for row in self._read("id", "boxes", "labels", "scores"):
            yield (
                row["id"],
                Detections(
                    boxes=np.array(row["boxes"], np.float32).reshape(-1, 4),
                    labels=np.array(row["labels"], np.int64) + 1,
                    scores=np.array(row["scores"], np.float32),
                ),
            )

    def readings(self) -> Iterator[tuple[int, Reading]]:
        """Yield ids and readings."""
        for row in self._read(
            "id", "number", "probability", "decision", "reason", "corrected_from", "digits"
        ):
            digits = tuple(Digit(**{**each, "box": tuple(each["box"])}) for each in row.pop("digits"))
            yield row.pop("id"), Reading(text=row.pop("number"), digits=digits, **row)

    def names(self) -> Iterator[tuple[int, str]]:
        """Yield ids and file names."""
        for row in self._read("id", "file_name"):
            yield row["id"], row["file_name"]

    def errors(self) -> Iterator[tuple[int, str, str]]:
        """Yield the id, the file name and the error of images that could not be read."""
        for row in self._read("id", "file_name", "error"):
            if row["error"] is not None:
                yield row["id"], row["file_name"], row["error"]

    def result(self) -> BulkResult:
        """Count images and errors."""
        first = [(name, error) for _, name, error in islice(self.errors(), MOST_NAMED)]
        return BulkResult(
            num_images=pq.read_metadata(self.path).num_rows,
            num_errors=sum(1 for _ in self.errors()),
            first_errors=first,
        )


@dataclass(frozen=True)
class Again(Generic[Item]):
    """What can be gone through again."""

    start: Callable[[], Iterator[Item]]

    def __iter__(self) -> Iterator[Item]:
        return self.start()
