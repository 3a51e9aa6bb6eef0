"""Which images a bulk prediction reads: single ones, Parquet or tar files, here or in an object store."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from tarfile import EmptyHeaderError, ReadError, TarFile, TarInfo, TruncatedHeaderError  # type: ignore[attr-defined]
from typing import Any, NamedTuple, Self

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from digitspot.errors import ConfigError, DataError
from digitspot.images import IMAGE_SUFFIXES, natural_order
from digitspot.labels.labels import LabelSet
from digitspot.sources import find_images, image_ids

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARQUET_SUFFIX = ".parquet"
MAX_IMAGES = 1_000_000
"""Images of a Parquet or tar file; the ids that are counted in a file begin at a multiple of it."""
NAMES_A_TASK = 10_000
"""Names of single images that one task hands on."""
BLOCK_BYTES = 2**18
BLOCK_ROWS = 256
"""A table of images is handed on at the first of these."""
ID_COLUMNS, NAME_COLUMNS, DATA_COLUMNS = ("id", "image_id"), ("file_name", "name"), ("bytes", "image")
"""What columns of a Parquet file are called; the first that is there counts."""
SCHEMA = pa.schema(
    [("id", pa.int64()), ("file_name", pa.string()), ("path", pa.string()), ("data", pa.large_binary())]
)
Tables = Callable[[], Iterator[pa.Table]]


class _Row(NamedTuple):
    """An image.

    Attributes:
        id: Of its answer.
        file_name: As answers name it.
        path: Where it is, as messages name it.
        data: The file's bytes; None where they are yet to be fetched.
    """

    id: int
    file_name: str
    path: str
    data: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class BulkSource:
    """The images to predict.

    Attributes:
        tasks: Each yields tables of `SCHEMA`, in the order of the ids unless a Parquet file has its own.
        files: Where `data` is to be fetched from; None where the tables hold it.
        numbered: Whether the ids are counted.
        labels: The label file, if there is one.
        digest: Tells this listing from others.
    """

    tasks: Sequence[Tables]
    files: fsspec.AbstractFileSystem | None
    numbered: bool
    labels: LabelSet | None
    digest: str


def find_bulk(source: str) -> BulkSource:
    """Find images by what `source` is: whatever `find_images` takes, or one of these as an URL of fsspec.

    A folder of images: ids are as in `find_images`. Parquet files: a column of bytes; ids are in a column of
    whole numbers. Where there is none, and in tar files, ids are counted in each file, from a multiple of
    `MAX_IMAGES`.

    Raises:
        DataError: There is nothing to read, or not one kind of it.
    """
    files, root = file_system(source)
    try:
        found = _listed(files, root)
    except OSError as error:
        raise DataError(f"{source} cannot be listed: {error.strerror or error}") from error
    archives = [path for path in found if path.lower().endswith((PARQUET_SUFFIX, *TAR_SUFFIXES))]
    if not archives:
        return _of_images(source, files, root, found)
    images = [path for path in found if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    if images:
        raise DataError(
            f"{source} has {len(archives)} Parquet or tar files and {len(images)} images: read which?",
            hint="Move one kind away.",
        )
    return _of_archives(files, root, {path: found[path] for path in archives})


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a path or an URL, and the path in it.

    Raises:
        ConfigError: There is no such kind, or it needs a package.
    """
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{url} cannot be opened: {error}") from error
    return files, root


def _listed(files: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """Return the size of each file below a folder, or of the file itself, in natural order."""
    found: dict[str, dict[str, Any]] = files.find(root, detail=True)
    visible = [path for path in found if not _hidden(PurePosixPath(path[len(root) :]))]
    return {path: int(found[path]["size"]) for path in sorted(visible, key=natural_order)}


def _hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _of_images(source: str, files: fsspec.AbstractFileSystem, root: str, found: dict[str, int]) -> BulkSource:
    """Return single images, whose bytes are fetched later."""
    labels: LabelSet | None = None
    if isinstance(files, LocalFileSystem):
        images = find_images(Path(source))
        names = images.names
        rows = [_Row(key, names[key], str(path)) for key, path in images.paths.items()]
        numbered = images.numbered
        labels = images.labels
    else:
        paths = [PurePosixPath(path) for path in found]
        paths = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        if not paths:
            raise DataError(f"{source} has no image, Parquet or tar file, and {len(found)} other files")
        ids = image_ids(paths, source)
        numbered = ids is None
        keys = ids or range(1, len(paths) + 1)
        rows = [_Row(key, _name(root, str(path)), str(path)) for key, path in zip(keys, paths, strict=True)]
    _require_text(rows)
    tasks = [
        partial(_tables, rows[start : start + NAMES_A_TASK]) for start in range(0, len(rows), NAMES_A_TASK)
    ]
    digest = _digest((row.id, row.file_name) for row in rows)
    return BulkSource(tasks=tasks, files=files, numbered=numbered, labels=labels, digest=digest)


def _of_archives(files: fsspec.AbstractFileSystem, root: str, sizes: dict[str, int]) -> BulkSource:
    """Return the images of Parquet and tar files."""
    tasks: list[Tables] = []
    tables = [path for path in sizes if path.lower().endswith(PARQUET_SUFFIX)]
    id_column = _id_column(files, tables[0]) if tables else None
    if id_column and len(tables) < len(sizes):
        raise DataError(f"{tables[0]} has ids of its own, and tar files beside it have none")
    for number, path in enumerate(sizes):
        name, first = _name(root, path), number * MAX_IMAGES
        rows = (
            partial(_parquet_rows, files, path, name, first, id_column)
            if path in tables
            else partial(_tar_rows, files, path, name, first)
        )
        tasks.append(partial(_tables_of, rows))
    return BulkSource(
        tasks=tasks, files=None, numbered=id_column is None, labels=None, digest=_digest(sizes.items())
    )


def _parquet_rows(
    files: fsspec.AbstractFileSystem, path: str, name: str, first: int, id_column: str | None
) -> Iterator[_Row]:
    with files.open(path, "rb") as opened, pq.ParquetFile(opened) as table:
        names = table.schema_arrow.names
        data_column = _first(DATA_COLUMNS, names)
        if data_column is None or (id_column and id_column not in names):
            missing = id_column if data_column else " or ".join(DATA_COLUMNS)
            raise DataError(f"{path} has no column {missing}; it has {', '.join(names)}")
        name_column = _first(NAME_COLUMNS, names)
        columns = [each for each in (id_column, name_column, data_column) if each]
        position = 0
        for batch in table.iter_batches(BLOCK_ROWS // 4, columns=columns):
            for row in batch.to_pylist():
                key = row[id_column] if id_column else _counted(path, first, position)
                if key is None:
                    raise DataError(f"{path}: row {position} has no {id_column}")
                data = row[data_column]
                own = row[name_column] if name_column else None
                yield _Row(
                    key,
                    own or f"{name}/{position}",
                    f"{path}/{own or position}",
                    (data.get("bytes") if isinstance(data, dict) else data) or b"",
                )
                position += 1


class _Member(TarInfo):
    """A member of a tar file; one that is cut off between or within headers is no whole one."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        """Read a header; Python's own reader takes a missing one for the end."""
        try:
            return super().fromtarfile(tarfile)
        except (EmptyHeaderError, TruncatedHeaderError) as error:
            raise ReadError("it is cut off") from error


def _tar_rows(files: fsspec.AbstractFileSystem, path: str, name: str, first: int) -> Iterator[_Row]:
    position = 0
    try:
        with (
            files.open(path, "rb") as opened,
            tarfile.open(fileobj=opened, mode="r|*", tarinfo=_Member) as tar,
        ):
            for member in tar:
                inside = PurePosixPath(member.name)
                if not member.isfile() or inside.suffix.lower() not in IMAGE_SUFFIXES or _hidden(inside):
                    continue
                content = tar.extractfile(member)
                assert content is not None, "it is a file"
                key = _counted(path, first, position)
                yield _Row(key, f"{name}/{inside}", f"{path}/{inside}", content.read())
                position += 1
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is no whole tar file: {error}", hint="Copy it again.") from error


def _counted(path: str, first: int, position: int) -> int:
    if position >= MAX_IMAGES:
        raise DataError(f"{path} has more than {MAX_IMAGES:,} images", hint="Divide it into several files.")
    return first + position


def _id_column(files: fsspec.AbstractFileSystem, path: str) -> str | None:
    """Return the column of whole numbers that are ids; None if there is none."""
    with files.open(path, "rb") as opened:
        schema = pq.read_schema(opened)
    name = _first(ID_COLUMNS, schema.names)
    return name if name and pa.types.is_integer(schema.field(name).type) else None


def _first(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _tables_of(rows: Callable[[], Iterator[_Row]]) -> Iterator[pa.Table]:
    return _tables(rows())


def _tables(rows: Iterable[_Row]) -> Iterator[pa.Table]:
    """Yield tables of `SCHEMA`."""
    block: list[_Row] = []
    size = 0
    for row in rows:
        block.append(row)
        size += len(row.data or b"")
        if len(block) == BLOCK_ROWS or size > BLOCK_BYTES:
            yield _table(block)
            block, size = [], 0
    if block:
        yield _table(block)


def _table(rows: Sequence[_Row]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA)


def _name(root: str, path: str) -> str:
    """Return a path from the folder that is read."""
    return path[len(root) :].strip("/") or PurePosixPath(path).name


def _require_text(rows: Iterable[_Row]) -> None:
    for row in rows:
        try:
            row.path.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{row.path!a} is no name in UTF-8, as Parquet needs it", hint="Rename it."
            ) from error


def _digest(items: Iterable[object]) -> str:
    digest = blake2b(digest_size=8)
    for item in items:
        digest.update(repr(item).encode())
    return digest.hexdigest()
