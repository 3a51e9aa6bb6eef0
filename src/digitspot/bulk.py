"""Predict very many images with Ray Data: one reader a core, on one machine or a cluster.

| in the output | what |
| --- | --- |
| rows/ | Parquet, a row an image, as `ROW` says |
| checkpoint/ | ids that are done; Ray Data's own |
| job.json | what is being read, and how: only the same job goes on |

and the files of `digitspot.answers`, made from the rows at the end.
"""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from pyarrow.fs import LocalFileSystem as ArrowFiles
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.data.checkpoint import CheckpointConfig

from digitspot.answers import FILES, UNREAD, write_answers
from digitspot.bulk_sources import BLOCK_BYTES, SCHEMA, BulkSource, file_system
from digitspot.cores import num_cores
from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, write_error, writing_together
from digitspot.reader import Reader
from digitspot.reads import Read
from digitspot.types import Detections, Digit, Reading

Item = TypeVar("Item")
ROWS, CHECKPOINT, JOB = "rows", "checkpoint", "job.json"
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
ROWS_A_FILE = 2048
"""Of the Parquet written. An interruption costs up to so many images, and what the workers are at."""
FETCHED_AT_ONCE = 64
SMALL_TASK_CPUS = 0.25
"""What tasks that read and write files reserve: they mostly wait."""
SPARE_CPUS = 2
"""Beside the workers: one for those tasks, one for Ray Data's filter of what is done."""
FILTER_BYTES = 256 * 2**20
"""The least memory that this filter reserves."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
MOST_NAMED = 20
MAX_ID = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """How images are read in bulk.

    Attributes:
        workers: Readers at work; None is one for each CPU of the cluster that is not spare.
        batch_size: Images read at a time.
        rows_a_file: Images of a Parquet file that is written, about.
        progress: Whether Ray Data shows its bars.
        job: What else makes a job the same, as the reader's options.
        command: What to type to get the same answers.
    """

    workers: int | None = None
    batch_size: int = 256
    rows_a_file: int = ROWS_A_FILE
    progress: bool = False
    job: Mapping[str, object] = field(default_factory=dict)
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.workers is not None and self.workers < 1):
            raise ConfigError(f"{self.workers} workers and a batch of {self.batch_size}: need 1 or more")


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


def predict_bulk(reader: Reader, source: BulkSource, output: str, options: BulkOptions) -> BulkResult:
    """Read images and write rows and answers. The same call goes on where an earlier one was interrupted.

    Args:
        reader: The model, with one thread. Its file must be at the same path on every node.
        source: What to read.
        output: A folder, or its URL; on a cluster, all nodes see it.
        options: How.

    Raises:
        ConfigError: The output holds another job.
        DataError: A Parquet or tar file cannot be read, or an id stands twice.
        DigitspotError: The folder cannot be written.
    """
    place = _Place.of(output)
    place.claim({**options.job, "listing": source.digest})
    with _cluster(options.workers) as workers:
        _write_rows(reader, source, place, options, workers)
    with TemporaryDirectory() as folder:
        rows = _Rows(Path(folder, "rows.parquet"))
        _sort_rows(place, rows.path)
        with place.publishing() as aside:
            write_answers(
                aside,
                _Again(rows.detections),
                _Again(rows.readings),
                source.labels.categories if source.labels else reader.categories,
                names=rows.names() if source.numbered else None,
                errors=rows.errors(),
                seen=reader.seen,
                command=options.command,
            )
        return rows.result()


@dataclass(frozen=True)
class _Place:
    """Where the output is.

    Attributes:
        files: The file system, as fsspec has it.
        root: The folder in it.
    """

    files: fsspec.AbstractFileSystem
    root: str

    @classmethod
    def of(cls, output: str) -> _Place:
        return cls(*file_system(output))

    @property
    def is_local(self) -> bool:
        return isinstance(self.files, LocalFileSystem)

    @property
    def arrow(self) -> FileSystem:
        """The file system, as Arrow has it."""
        return ArrowFiles() if self.is_local else PyFileSystem(FSSpecHandler(self.files))

    def claim(self, job: Mapping[str, object]) -> None:
        """Make the folder this job's; refuse one that holds rows of another."""
        try:
            self._claim(job)
        except OSError as error:
            raise write_error(Path(self.root), error) from error

    def _claim(self, job: Mapping[str, object]) -> None:
        if self.is_local:
            check_writable(Path(self.root))
        text = json.dumps(job, indent=1, sort_keys=True, default=str)
        path = f"{self.root}/{JOB}"
        if self.files.exists(path):
            earlier = self.files.cat_file(path).decode()
            if earlier != text:
                before, now = json.loads(earlier), json.loads(text)
                other = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
                raise ConfigError(
                    f"{path} is of another job: {', '.join(other)} differ",
                    hint="Choose another --output, or delete this one.",
                )
            return
        if self.files.exists(f"{self.root}/{ROWS}"):
            raise ConfigError(
                f"{self.root} has {ROWS}/ and no {JOB}: it is nobody's", hint="Choose another --output."
            )
        self.files.makedirs(self.root, exist_ok=True)
        self.files.pipe_file(path, text.encode())

    @contextmanager
    def publishing(self) -> Iterator[Path]:
        """Give a folder of this machine, whose files are in the output when the block ends well."""
        if self.is_local:
            with writing_together(Path(self.root), FILES) as aside:
                yield aside
            return
        with TemporaryDirectory() as folder:
            yield Path(folder)
            for path in Path(folder).iterdir():
                self.files.put_file(str(path), f"{self.root}/{path.name}")


@contextmanager
def _cluster(workers: int | None) -> Iterator[int]:
    """Join the cluster that RAY_ADDRESS names, or make one of this machine; yield how many workers it has."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module="ray")
    ours = not ray.is_initialized()
    if ours and "RAY_ADDRESS" in os.environ:
        try:
            ray.init(logging_level="error", log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(
                f"no Ray cluster answers at {os.environ['RAY_ADDRESS']}, which RAY_ADDRESS names: {error}",
                hint="`ray start` starts one; without RAY_ADDRESS this machine is used.",
            ) from error
    elif ours:
        num = (workers or num_cores()) + SPARE_CPUS
        ray.init("local", num_cpus=num, include_dashboard=False, logging_level="error", log_to_driver=False)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        total = int(ray.cluster_resources().get("CPU", 0))
        if total - SPARE_CPUS < (workers or 1):
            raise ConfigError(
                f"{workers or 1} workers need {SPARE_CPUS} CPUs more than they are; the cluster has {total}",
                hint="Give nodes more with `ray start --num-cpus`: the spare ones hardly compute.",
            )
        yield workers or total - SPARE_CPUS
    finally:
        if ours:
            ray.shutdown()


class _Images(Datasource):  # type: ignore[misc]
    """A source, as Ray Data reads it."""

    def __init__(self, source: BulkSource) -> None:
        super().__init__()
        self.tasks = source.tasks

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: it is not known."""
        return None

    def get_read_tasks(self, parallelism: int, **_: Any) -> list[ReadTask]:
        """Return a task for each file, or for many single images."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(task, unknown, SCHEMA) for task in self.tasks]


def _write_rows(
    reader: Reader, source: BulkSource, place: _Place, options: BulkOptions, workers: int
) -> None:
    """Read the images that no row is of yet."""
    context = DataContext.get_current()
    context.enable_progress_bars, context.print_on_execution_start = options.progress, False
    images = ray.data.read_datasource(_Images(source), num_cpus=SMALL_TASK_CPUS)
    done = CheckpointConfig(
        "id",
        f"{place.root}/{CHECKPOINT}",
        override_filesystem=place.arrow,
        delete_checkpoint_on_success=False,
    )
    done.checkpoint_actor_memory_bytes = FILTER_BYTES
    images.context.checkpoint_config = done
    images.context.target_max_block_size = BLOCK_BYTES
    if source.files is not None:
        images = images.map_batches(
            _fetch,
            batch_size=FETCHED_AT_ONCE,
            batch_format="pyarrow",
            fn_args=(source.files,),
            num_cpus=SMALL_TASK_CPUS,
        )
    rows = images.map_batches(
        _Worker,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(reader, options.batch_size),
        compute=ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    rows.write_parquet(
        f"{place.root}/{ROWS}",
        filesystem=place.arrow,
        min_rows_per_file=options.rows_a_file,
        ray_remote_args={"num_cpus": SMALL_TASK_CPUS},
    )


def _fetch(images: pa.Table, files: fsspec.AbstractFileSystem) -> pa.Table:
    """Fill in the bytes; of what cannot be had, null, and the reason in `error`."""
    contents = files.cat_ranges(images["path"].to_pylist(), 0, None, on_error="return")
    failed = [isinstance(each, Exception) for each in contents]
    data = [None if fails else each for each, fails in zip(contents, failed, strict=True)]
    errors = [_reason(each) if fails else None for each, fails in zip(contents, failed, strict=True)]
    images = images.set_column(
        images.schema.get_field_index("data"), "data", pa.array(data, pa.large_binary())
    )
    return images.append_column("error", pa.array(errors, pa.string()))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _File(io.BytesIO):
    """The bytes of an image under its name, or why there are none, as `decode_image` takes it."""

    def __init__(self, name: str, data: bytes | None, error: str | None) -> None:
        super().__init__(data or b"")
        self.name, self.error = name, error

    def read(self, size: int | None = -1) -> bytes:
        """Return the bytes; raise an `OSError` where there are none."""
        if self.error:
            raise OSError(self.error)
        return super().read(size)


class _Worker:
    """A reader in a process of its own."""

    def __init__(self, reader: Reader, batch_size: int) -> None:
        self.reader, self.batch_size = reader, batch_size

    def __call__(self, images: pa.Table) -> pa.Table:
        """Return the rows of images."""
        columns = {name: images[name].to_pylist() for name in images.schema.names}
        errors = columns.get("error") or [None] * len(images)
        files = map(_File, columns["path"], columns["data"], errors)
        reads = self.reader.read_each(files, self.batch_size)
        rows = map(_row, columns["id"], columns["file_name"], reads)
        return pa.Table.from_pylist(list(rows), ROW)


def _row(image_id: int, file_name: str, read: Read | DataError) -> dict[str, object]:
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


def _sort_rows(place: _Place, path: Path) -> None:
    """Write all rows into one file of this machine, by id, each once.

    Files are read in the order of their smallest ids, and rows are held until no other file can have a
    smaller one. So in memory are those of the files whose ids overlap. A row that stands twice, since workers
    outlived the process that was killed, is written once.

    Raises:
        DataError: Two images have one id.
    """
    place.files.invalidate_cache()
    files = sorted((_first_id(place, each), each) for each in place.files.find(f"{place.root}/{ROWS}"))
    held = ROW.empty_table()
    last: tuple[int, str] | None = None
    with pq.ParquetWriter(path, ROW) as writer:
        for (_, file), (following, _) in zip(files, [*files[1:], (None, "")], strict=True):
            with place.files.open(file, "rb") as opened:
                held = pa.concat_tables([held, pq.read_table(opened, schema=ROW)])
            ready = pc.less(held["id"], MAX_ID if following is None else following)
            last = _write_once(writer, held.filter(ready).sort_by("id"), last)
            held = held.filter(pc.invert(ready))


def _first_id(place: _Place, path: str) -> int:
    """Return the smallest id in a file of rows, from its statistics."""
    with place.files.open(path, "rb") as opened:
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
class _Rows:
    """The sorted rows, read as often as needed and never all at once."""

    path: Path

    def _read(self, *columns: str) -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_A_FILE, columns=list(columns)):
                yield from batch.to_pylist()

    def detections(self) -> Iterator[tuple[int, Detections]]:
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
        for row in self._read(
            "id", "number", "probability", "decision", "reason", "corrected_from", "digits"
        ):
            digits = tuple(Digit(**{**each, "box": tuple(each["box"])}) for each in row.pop("digits"))
            yield row.pop("id"), Reading(text=row.pop("number"), digits=digits, **row)

    def names(self) -> Iterator[tuple[int, str]]:
        for row in self._read("id", "file_name"):
            yield row["id"], row["file_name"]

    def errors(self) -> Iterator[tuple[int, str, str]]:
        for row in self._read("id", "file_name", "error"):
            if row["error"] is not None:
                yield row["id"], row["file_name"], row["error"]

    def result(self) -> BulkResult:
        first = [(name, error) for _, name, error in islice(self.errors(), MOST_NAMED)]
        return BulkResult(
            num_images=pq.read_metadata(self.path).num_rows,
            num_errors=sum(1 for _ in self.errors()),
            first_errors=first,
        )


@dataclass(frozen=True)
class _Again(Generic[Item]):
    """What can be gone through again."""

    start: Callable[[], Iterator[Item]]

    def __iter__(self) -> Iterator[Item]:
        return self.start()
