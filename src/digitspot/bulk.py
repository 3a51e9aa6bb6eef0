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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import pyarrow as pa
import ray
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from pyarrow.fs import LocalFileSystem as ArrowFiles
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.data.checkpoint import CheckpointConfig

from digitspot.answers import FILES, write_answers
from digitspot.bulk_rows import ROW, Again, BulkResult, Rows, row_of, sort_rows
from digitspot.bulk_sources import BLOCK_BYTES, SCHEMA, BulkSource, file_system
from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.files import check_writable, write_error, writing_together
from digitspot.reader import Reader

ROWS, CHECKPOINT, JOB = "rows", "checkpoint", "job.json"
ROWS_A_FILE = 2048
"""Of the Parquet written. An interruption costs up to so many images, and what the workers are at."""
FETCHED_AT_ONCE = 64
SMALL_TASK_CPUS = 0.5
"""What tasks that read and write files reserve: they mostly wait. With less, Ray starts more processes for
them, and each computes for two seconds before it begins."""
SPARE_CPUS = 2
"""Beside the workers: one for those tasks, one for Ray Data's filter of what is done."""
FILTER_BYTES = 256 * 2**20
"""The least memory that this filter reserves."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


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
        rows = Rows(Path(folder, "rows.parquet"))
        sort_rows(place.files, f"{place.root}/{ROWS}", rows.path)
        with place.publishing() as aside:
            write_answers(
                aside,
                Again(rows.detections),
                Again(rows.readings),
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
    images = ray.data.read_datasource(
        _Images(source),
        num_cpus=SMALL_TASK_CPUS,
        override_num_blocks=len(source.tasks),  # else Ray Data cuts few tasks' blocks to pieces of few rows
    )
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
        rows = map(row_of, columns["id"], columns["file_name"], reads)
        return pa.Table.from_pylist(list(rows), ROW)
