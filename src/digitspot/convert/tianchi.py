"""The labels of Tianchi's street character contest: SVHN, re-packed as `mchar_train.json` and its kin.

`{"000000.png": {"height": [219, 219], "label": [1, 9], "left": [246, 323], "top": [77, 81],
"width": [81, 96]}, ...}`; labels are the digits themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from digitspot.convert.files import SourceFiles, likely_folders, split_of_file
from digitspot.convert.source import Collection, Progress
from digitspot.errors import DataError
from digitspot.files import read_json
from digitspot.labels.rules import is_number

KEYS = ("left", "top", "width", "height", "label")


def is_tianchi(document: Any) -> bool:
    """Say whether a parsed JSON file is one of these."""
    first = next(iter(document.values()), None) if type(document) is dict and document else None
    return type(first) is dict and set(KEYS) <= first.keys()


def read_tianchi(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read such label files; the images of `mchar_train.json` are in `mchar_train/`.

    Args:
        paths: The files; each is a split, named by the file.
        files: The source.
        skip: Not used: labels are digits, not names.
        progress: Told after each file.

    Raises:
        DataError: A file is malformed, or names a path outside of its folder.
    """
    collection = Collection()
    for number, path in enumerate(paths, 1):
        document = read_json(path)
        if not is_tianchi(document):
            raise DataError(f"{path}: is not of the form name: {{{', '.join(KEYS)}}}")
        split = split_of_file(path, files, collection.notes)
        bases = likely_folders(path, files, path.stem)
        for name, record in document.items():
            where = f"{path}: {name[:60]!r}"
            left, top, width, height, label = _columns(record, where)
            bad = [value for value in label if value not in range(10)]
            if bad:
                raise DataError(f"{where}: label {bad[0]:g}; labels are the digits 0 to 9")
            boxes = [(x, y, x + w, y + h) for x, y, w, h in zip(left, top, width, height, strict=True)]
            digits = [int(value) for value in label]
            collection.add([name], split, boxes, digits, where, label_file=path, bases=bases)
            collection.classes |= {str(digit): digit for digit in digits}
        progress(number, len(paths))
    return collection


def _columns(record: Any, where: str) -> list[list[float]]:
    """Return the five lists of an image, which must be equally long."""
    columns = []
    for key in KEYS:
        values = record.get(key) if type(record) is dict else None
        if type(values) is not list or not all(map(is_number, values)):
            raise DataError(f"{where}: {key} is {str(values)[:60]}, not a list of numbers")
        columns.append(values)
    lengths = {len(values) for values in columns}
    if len(lengths) > 1:
        told = ", ".join(f"{len(values)} {key}" for key, values in zip(KEYS, columns, strict=True))
        raise DataError(f"{where}: the lists differ in length: {told}")
    return columns
