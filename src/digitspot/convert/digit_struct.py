"""SVHN's `digitStruct.mat` (format 1): an HDF5 file in which MATLAB stores every number as an object.

`/digitStruct/name` and `/digitStruct/bbox` hold one reference for each image. A name is characters of 16
bits; a bbox is a group of five datasets, `height`, `label`, `left`, `top` and `width`, each of which holds
the value itself for an image of one digit, and one reference for each digit otherwise. Label 10 is the
digit 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.convert.hdf5_bulk import FLOAT64, REFERENCE, UINT16, BulkReader, NotPlainError
from digitspot.convert.source import MAX_BOXES, Collection, Progress, check_count, inner_path
from digitspot.errors import ConfigError, DataError
from digitspot.types import DoubleArray, IntArray

FILE_NAME = "digitStruct.mat"
FIELDS = ("height", "label", "left", "top", "width")
_MIN_ENTRY_BYTES = 100
"""An image's name and group take more than this in any file."""
_MAX_NAME = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class Entries:
    """The file as columns.

    Attributes:
        names: Of N images.
        counts: int64 `[N, 5]`, how many values each field of each image has.
        values: Of each field, one image after the other.
    """

    names: list[str]
    counts: IntArray
    values: tuple[DoubleArray, ...]


def read_digit_struct(path: Path, split: str | None, progress: Progress) -> Collection:
    """Read a `digitStruct.mat`; the images are looked for beside it.

    Args:
        path: The file.
        split: Name of the split that all of its images belong to.
        progress: Told after each image.

    Raises:
        ConfigError: h5py is not installed.
        DataError: The file is not such a file, is damaged, or says what cannot be.
    """
    with _opened(path) as file:
        columns = [_references(file, field, path) for field in ("name", "bbox")]
        if len(columns[0]) != len(columns[1]):
            raise DataError(f"{path}: {len(columns[0])} names but {len(columns[1])} bboxes")
        try:
            entries = _read_bulk(path, file.userblock_size, *columns)
        except NotPlainError:
            entries = _read_each(path, file, progress)
    return _collect(path, split, entries)


def _collect(path: Path, split: str | None, entries: Entries) -> Collection:
    collection = Collection()
    uneven = np.flatnonzero((entries.counts != entries.counts[:, :1]).any(axis=1))
    if len(uneven):
        row = uneven[0]
        told = ", ".join(f"{count} {field}" for field, count in zip(FIELDS, entries.counts[row], strict=True))
        raise DataError(f"{_place(path, row, entries.names)}: the fields differ in length: {told}")
    height, label, left, top, width = entries.values
    bad = np.flatnonzero(~np.isin(label, np.arange(1, 11)))
    ends = entries.counts[:, 0].cumsum()
    if len(bad):
        place = _place(path, int(np.searchsorted(ends, bad[0], "right")), entries.names)
        raise DataError(f"{place}: label {label[bad[0]]:g}; labels are 1 to 10, where 10 is the digit 0")
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    digits = label.astype(np.int64) % 10
    for row, (start, end) in enumerate(zip(ends - entries.counts[:, 0], ends, strict=True)):
        place = _place(path, row, entries.names)
        image = inner_path(path.parent, entries.names[row], place)
        collection.add(image, split, boxes[start:end], digits[start:end], place)
    collection.classes = {str(digit or 10): digit for digit in np.unique(digits).tolist()}
    return collection


def _place(path: Path, row: int, names: list[str]) -> str:
    return f"{path}: entry {row + 1} ({names[row][:40]!r})"


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open the file; whatever the HDF5 library complains of becomes a `DataError`."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: reading it needs h5py", hint="Install it: pip install 'digitspot[convert]'."
        ) from error
    try:
        with path.open("rb") as start:
            if start.read(10) == b"MATLAB 5.0":
                raise DataError(
                    f"{path}: is a MATLAB 5 file",
                    hint="SVHN's 32x32 files hold cropped digits without boxes; its format 1 has them.",
                )
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read as HDF5: {error}", hint="Copy or download the file again."
        ) from error


def _references(file: Any, field: str, path: Path) -> IntArray:
    """Return the addresses that `/digitStruct/FIELD` holds, int64 `[N]`."""
    from h5py import h5s, h5t

    for link in ("digitStruct", f"digitStruct/{field}"):
        kind = type(file.get(link, getlink=True)).__name__ if link in file else "nothing"
        if kind != "HardLink":
            raise DataError(f"{path}: /{link} is {kind}, so this is no digitStruct.mat")
    dataset = file[f"digitStruct/{field}"].id
    num = _checked_count(dataset, f"{path}: /digitStruct/{field}")
    if num * _MIN_ENTRY_BYTES > path.stat().st_size:
        size = f"{path.stat().st_size:,} bytes"
        raise DataError(f"{path}: /digitStruct/{field} claims {num:,} entries, in a file of {size}")
    if dataset.get_type().get_class() != h5t.REFERENCE:
        raise DataError(f"{path}: /digitStruct/{field} does not hold references")
    addresses = np.zeros(dataset.shape, np.uint64)
    dataset.read(h5s.ALL, h5s.ALL, addresses, h5t.STD_REF_OBJ)
    return addresses.ravel().astype(np.int64)


def _read_bulk(path: Path, base: int, names: IntArray, groups: IntArray) -> Entries:
    """Read all at once. Raises `NotPlainError` where anything is not as MATLAB writes it."""
    if not len(names):
        raise NotPlainError
    # Read, not mapped: half a million places in it, each a fault, take minutes on a slow disk.
    reader = BulkReader(np.fromfile(path, np.uint8), base)
    found = reader.datasets(names, UINT16)
    if (found.num > _MAX_NAME).any():
        raise NotPlainError
    text = reader.values(found, UINT16).astype("<u2").tobytes().decode("utf-16-le", "replace")
    ends = found.num.cumsum().tolist()
    if len(text) != ends[-1]:  # a character of two units
        raise NotPlainError
    members = reader.group_members(groups, FIELDS)
    columns = [_bulk_column(reader, addresses) for addresses in members.T]
    return Entries(
        names=[text[start:end] for start, end in zip([0, *ends], ends, strict=False)],
        counts=np.stack([counts for counts, _ in columns], axis=1),
        values=tuple(values for _, values in columns),
    )


def _bulk_column(reader: BulkReader, addresses: IntArray) -> tuple[IntArray, DoubleArray]:
    """Return how many values each image has of a field, `[N]`, and the values."""
    direct = reader.kinds(addresses) == FLOAT64
    own = reader.datasets(addresses[direct], FLOAT64)
    referring = reader.datasets(addresses[~direct], REFERENCE)
    counts = np.zeros(len(addresses), np.int64)
    counts[direct], counts[~direct] = own.num, referring.num
    if (counts > MAX_BOXES).any():
        raise NotPlainError
    single = reader.datasets(reader.values(referring, REFERENCE).astype(np.int64), FLOAT64)
    if (single.num != 1).any():
        raise NotPlainError
    values = np.zeros(counts.sum())
    is_direct = np.repeat(direct, counts)
    values[is_direct] = reader.values(own, FLOAT64)
    values[~is_direct] = reader.values(single, FLOAT64)
    return counts, values


def _read_each(path: Path, file: Any, progress: Progress) -> Entries:
    """Read object by object with the HDF5 library, which knows every layout and says what is wrong."""
    names: list[str] = []
    counts: list[list[int]] = []
    values: tuple[list[float], ...] = tuple([] for _ in FIELDS)
    most = path.stat().st_size // 8
    name_refs, group_refs = (file[f"digitStruct/{field}"][()].ravel() for field in ("name", "bbox"))
    for row, (name_ref, group_ref) in enumerate(zip(name_refs, group_refs, strict=True)):
        place = f"{path}: entry {row + 1}"
        letters = _array(_target(file, name_ref, place, "name"), place, "name", _MAX_NAME)
        names.append("".join(chr(int(letter)) for letter in letters))
        group = _target(file, group_ref, place, "bbox")
        found = [_field(file, group, field, place) for field in FIELDS]
        counts.append([len(column) for column in found])
        for column, more in zip(values, found, strict=True):
            column += more
        if len(values[0]) > most:
            raise DataError(f"{place}: more digits than a file of {path.stat().st_size:,} bytes can hold")
        progress(row + 1, len(name_refs))
    return Entries(
        names=names,
        counts=np.array(counts, np.int64).reshape(-1, len(FIELDS)),
        values=tuple(np.array(column, np.float64) for column in values),
    )


def _field(file: Any, group: Any, field: str, place: str) -> list[float]:
    from h5py import h5g, h5t

    name = field.encode()
    if not isinstance(group, h5g.GroupID) or name not in group:
        raise DataError(f"{place}: its bbox has no {field}")
    if group.links.get_info(name).type != 0:
        raise DataError(f"{place}: {field} is a link to elsewhere")
    from h5py import h5d

    dataset = h5d.open(group, name)
    if dataset.get_type().get_class() != h5t.REFERENCE:
        return [float(value) for value in _array(dataset, place, field, MAX_BOXES)]
    check_count(_checked_count(dataset, f"{place}, {field}"), place)
    import h5py

    numbers = []
    for reference in h5py.Dataset(dataset)[()].ravel():
        target = _target(file, reference, place, field)
        numbers += [float(value) for value in _array(target, place, field, 1)]
    return numbers


def _target(file: Any, reference: Any, place: str, field: str) -> Any:
    from h5py import h5r

    target = h5r.dereference(reference, file.id) if reference else None
    if target is None:
        raise DataError(f"{place}: {field} refers to nothing")
    return target


def _array(dataset: Any, place: str, field: str, most: int) -> Any:
    """Return the plain numbers of a dataset, at most so many; a reference here would lead on and on."""
    import h5py
    from h5py import h5d, h5t

    kind = dataset.get_type().get_class() if isinstance(dataset, h5d.DatasetID) else None
    if kind not in (h5t.INTEGER, h5t.FLOAT):
        what = "a group" if kind is None else "further references" if kind == h5t.REFERENCE else "no numbers"
        raise DataError(f"{place}: {field} refers to {what} where numbers must stand")
    num = _checked_count(dataset, f"{place}, {field}")
    if num > most:
        raise DataError(f"{place}: {field} has {num:,} values where {most:,} is the most")
    return h5py.Dataset(dataset)[()].ravel()


def _checked_count(dataset: Any, place: str) -> int:
    """Return how many values a dataset has; its data must lie in the file itself."""
    from h5py import h5d

    layout = dataset.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5d.VIRTUAL:
        raise DataError(f"{place}: its values lie in another file")
    return int(np.prod([int(side) for side in dataset.shape], dtype=object))
