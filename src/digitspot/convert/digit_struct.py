"""SVHN's `digitStruct.mat` (format 1): an HDF5 file in which MATLAB stores every number as an object.

`/digitStruct/name` and `/digitStruct/bbox` hold one reference for each image. A name is characters of 16
bits; a bbox is a group of five datasets, `height`, `label`, `left`, `top` and `width`. Each holds the value
itself for an image of one digit, and one reference for each digit otherwise. Label 10 is the digit 0.

The HDF5 library opens half a million objects for SVHN's training images, which takes a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.convert.files import SourceFiles, likely_folders
from digitspot.convert.source import MAX_BOXES, SPLIT_NAMES, Collection, Progress, check_count
from digitspot.errors import ConfigError, DataError

FILE_NAME = "digitStruct.mat"
FIELDS = ("height", "label", "left", "top", "width")
_MIN_ENTRY_BYTES = 100
"""An image's name and group take more than this in any file."""
_MAX_NAME = 255


def read_mat(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read `digitStruct.mat` files; the images are looked for beside them.

    Args:
        paths: The files; each is a split, named by its folder.
        files: The source.
        skip: Not used: labels are digits, not names.
        progress: Told after each image.

    Raises:
        ConfigError: h5py is not installed.
        DataError: A file is not such a file, is damaged, or says what cannot be.
    """
    collection = Collection()
    for path in paths:
        split = SPLIT_NAMES.get(path.parent.name.lower()) or ("train" if len(paths) > 1 else None)
        bases = likely_folders(path, files, "images")
        with _opened(path) as file:
            for entry in _entries(file, path, progress):
                digits = [_digit(label, entry.where) for label in entry.fields["label"]]
                left, top, width, height = (entry.fields[name] for name in ("left", "top", "width", "height"))
                corners = [(x, y, x + w, y + h) for x, y, w, h in zip(left, top, width, height, strict=True)]
                collection.add(
                    [entry.name], split, corners, digits, entry.where, label_file=path, bases=bases
                )
                collection.classes |= {str(digit or 10): digit for digit in digits}
    return collection


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One image: its name, its five fields, and where they stand, for messages."""

    name: str
    fields: dict[str, list[float]]
    where: str


def _digit(label: float, where: str) -> int:
    if label not in range(1, 11):
        raise DataError(f"{where}: label {label:g}; labels are 1 to 10, where 10 is the digit 0")
    return int(label) % 10


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
            f"{path}: cannot be read as HDF5", hint="It is damaged: copy or download it again."
        ) from error


def _entries(file: Any, path: Path, progress: Progress) -> Iterator[_Entry]:
    """Read image by image, with a limit on all that a file can claim."""
    names, groups = (_references(file, field, path) for field in ("name", "bbox"))
    if len(names) != len(groups):
        raise DataError(f"{path}: {len(names)} names but {len(groups)} bboxes")
    num_digits, most = 0, path.stat().st_size // 8
    for number, (name_ref, group_ref) in enumerate(zip(names, groups, strict=True), 1):
        where = f"{path}: entry {number}"
        letters = _array(_target(file, name_ref, where, "name"), where, "name", _MAX_NAME)
        name = letters.astype("<u2").tobytes().decode("utf-16-le", "replace")
        group = _target(file, group_ref, where, "bbox")
        fields = {field: _field(file, group, field, where) for field in FIELDS}
        where = f"{where} ({name[:40]!r})"
        if len({len(values) for values in fields.values()}) > 1:
            told = ", ".join(f"{len(values)} {field}" for field, values in fields.items())
            raise DataError(f"{where}: the fields differ in length: {told}")
        num_digits += len(fields["label"])
        if num_digits > most:
            raise DataError(f"{where}: more digits than a file of {path.stat().st_size:,} bytes can hold")
        yield _Entry(name=name, fields=fields, where=where)
        progress(number, len(names))


def _references(file: Any, field: str, path: Path) -> Any:
    """Return the references that `/digitStruct/FIELD` holds."""
    from h5py import h5t

    for link in ("digitStruct", f"digitStruct/{field}"):
        kind = type(file.get(link, getlink=True)).__name__ if link in file else "nothing"
        if kind != "HardLink":
            raise DataError(f"{path}: /{link} is {kind}, so this is no digitStruct.mat")
    dataset = file[f"digitStruct/{field}"]
    num = _checked_count(dataset.id, f"{path}: /digitStruct/{field}")
    if num * _MIN_ENTRY_BYTES > path.stat().st_size:
        size = f"{path.stat().st_size:,} bytes"
        raise DataError(f"{path}: /digitStruct/{field} claims {num:,} entries, in a file of {size}")
    if dataset.id.get_type().get_class() != h5t.REFERENCE:
        raise DataError(f"{path}: /digitStruct/{field} does not hold references")
    return dataset[()].ravel()


def _field(file: Any, group: Any, field: str, where: str) -> list[float]:
    from h5py import Dataset, h5d, h5g, h5t

    name = field.encode()
    if not isinstance(group, h5g.GroupID) or name not in group:
        raise DataError(f"{where}: its bbox has no {field}")
    if group.links.get_info(name).type != 0:
        raise DataError(f"{where}: {field} is a link to elsewhere")
    dataset = h5d.open(group, name)
    if dataset.get_type().get_class() != h5t.REFERENCE:
        return [float(value) for value in _array(dataset, where, field, MAX_BOXES)]
    check_count(_checked_count(dataset, f"{where}, {field}"), where)
    numbers = []
    for reference in Dataset(dataset)[()].ravel():
        target = _target(file, reference, where, field)
        numbers += [float(value) for value in _array(target, where, field, 1)]
    return numbers


def _target(file: Any, reference: Any, where: str, field: str) -> Any:
    from h5py import h5r

    target = h5r.dereference(reference, file.id) if reference else None
    if target is None:
        raise DataError(f"{where}: {field} refers to nothing")
    return target


def _array(dataset: Any, where: str, field: str, most: int) -> Any:
    """Return the plain numbers of a dataset, at most so many; a reference here would lead on and on."""
    from h5py import Dataset, h5d, h5t

    kind = dataset.get_type().get_class() if isinstance(dataset, h5d.DatasetID) else None
    if kind not in (h5t.INTEGER, h5t.FLOAT):
        what = "a group" if kind is None else "further references" if kind == h5t.REFERENCE else "no numbers"
        raise DataError(f"{where}: {field} refers to {what} where numbers must stand")
    num = _checked_count(dataset, f"{where}, {field}")
    if num > most:
        raise DataError(f"{where}: {field} has {num:,} values where {most:,} is the most")
    return Dataset(dataset)[()].ravel()


def _checked_count(dataset: Any, where: str) -> int:
    """Return how many values a dataset has; its data must lie in the file itself."""
    from h5py import h5d

    layout = dataset.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5d.VIRTUAL:
        raise DataError(f"{where}: its values lie in another file")
    return int(np.prod([int(side) for side in dataset.shape], dtype=object))
