"""Which format a source is in, and reading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from digitspot.convert import boxes_csv, coco_source, digit_struct, tianchi, voc, yolo
from digitspot.convert.source import SPLIT_NAMES, Collection, Progress
from digitspot.errors import DataError
from digitspot.labels.coco import read_json

Format = Literal["digitstruct", "coco", "yolo", "voc", "tianchi", "csv"]

_YAML = (".yaml", ".yml")
_LOOK_AT = 3
"""XML files that are looked at to tell Pascal VOC."""

Found = dict[Format, list[Path]]


def read_source(
    source: Path, wanted: Format | None, skip: Iterable[str], progress: Progress
) -> tuple[Format, Collection]:
    """Read a labelled data set.

    Args:
        source: A folder, or a label file whose images are where the format keeps them.
        wanted: The format; None finds out.
        skip: Class names whose boxes are left out.
        progress: Told what is done.

    Raises:
        DataError: The source is missing, in no known format or in several, or cannot be used.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    folder = source if source.is_dir() else source.parent
    found = find_formats(source, wanted)
    if wanted is not None:
        found = {wanted: found.get(wanted, [])}
    if not any(found.values()):
        kinds = wanted or ", ".join(get_args(Format))
        raise DataError(
            f"{source}: no labels found of {kinds}",
            hint="Give the folder that holds labels and images, the label file itself, or an archive.",
        )
    if len(found) > 1:
        told = ", ".join(f"{kind} ({paths[0].name})" for kind, paths in found.items())
        raise DataError(f"{source}: holds labels of several formats: {told}", hint="Choose one with --from.")
    kind, paths = next(iter(found.items()))
    return kind, _READERS[kind](paths, folder, tuple(skip), progress)


def find_formats(source: Path, wanted: Format | None = None) -> Found:
    """Return the label files of every format that a source holds.

    Args:
        source: A folder or a file.
        wanted: Look for this format only.
    """
    files = [source] if source.is_file() else _files_of(source)
    found: Found = {}
    for kind, find in _FINDERS.items():
        if wanted in (None, kind) and (paths := find(files, source)):
            found[kind] = paths
    return found


def _files_of(folder: Path) -> list[Path]:
    """Return the files that may be labels: in the folder, and two folders down."""
    suffixes = {".mat", ".json", ".xml", ".csv", ".txt", *_YAML}
    patterns = ("*", "*/*", "*/*/*")
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))


def _find_mat(files: list[Path], source: Path) -> list[Path]:
    mats = [path for path in files if path.suffix.lower() == ".mat"]
    return [path for path in mats if path == source or path.name.lower() == digit_struct.FILE_NAME.lower()]


def _find_yolo(files: list[Path], source: Path) -> list[Path]:
    yamls = [path for path in files if path.suffix.lower() in _YAML]
    named = [path for path in yamls if _mentions(path, b"names") or _mentions(path, b"train:")]
    if named:
        return named[:1]
    return [path for path in files if path.name == "classes.txt"][:1]


def _find_json(files: list[Path], accepts: Callable[[Any], bool], key: bytes) -> list[Path]:
    """Return the JSON files of a kind; of one that is not JSON nobody can tell, and its reader says why."""
    found = []
    for path in files:
        if path.suffix.lower() == ".json" and _mentions(path, key):
            try:
                good = accepts(read_json(path))
            except DataError:
                good = True
            found += [path] if good else []
    return found


def _find_coco(files: list[Path], source: Path) -> list[Path]:
    return _find_json(files, coco_source.is_coco, b'"annotations"')


def _find_tianchi(files: list[Path], source: Path) -> list[Path]:
    return _find_json(files, tianchi.is_tianchi, b'"label"')


def _find_voc(files: list[Path], source: Path) -> list[Path]:
    paths = [path for path in files if path.suffix.lower() == ".xml"]
    good = any(_mentions(path, b"<annotation") or _mentions(path, b"<!") for path in paths[:_LOOK_AT])
    return paths if good else []


def _find_csv(files: list[Path], source: Path) -> list[Path]:
    return [path for path in files if path.suffix.lower() == ".csv" and boxes_csv.is_boxes_csv(path)]


def _mentions(path: Path, word: bytes) -> bool:
    """Say whether a word stands in a file; read in pieces, since label files may be large."""
    tail = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                if word in tail + chunk:
                    return True
                tail = chunk[-len(word) :]
    except OSError:
        return False
    return False


def _read_mat(paths: list[Path], folder: Path, skip: tuple[str, ...], progress: Progress) -> Collection:
    """Read one file for each split, named by its folder: `train/digitStruct.mat`."""
    whole = Collection()
    for path in paths:
        split = SPLIT_NAMES.get(path.parent.name.lower()) or ("train" if len(paths) > 1 else None)
        part = digit_struct.read_digit_struct(path, split, progress)
        whole.images += part.images
        whole.classes |= part.classes
        whole.notes += part.notes
    return whole


_FINDERS: dict[Format, Callable[[list[Path], Path], list[Path]]] = {
    "digitstruct": _find_mat,
    "yolo": _find_yolo,
    "coco": _find_coco,
    "tianchi": _find_tianchi,
    "voc": _find_voc,
    "csv": _find_csv,
}
_READERS: dict[Format, Callable[[list[Path], Path, tuple[str, ...], Progress], Collection]] = {
    "digitstruct": _read_mat,
    "yolo": lambda paths, folder, skip, progress: yolo.read_yolo(paths[0], skip, progress),
    "coco": coco_source.read_coco,
    "tianchi": lambda paths, folder, skip, progress: tianchi.read_tianchi(paths, progress),
    "voc": voc.read_voc,
    "csv": boxes_csv.read_csv,
}
