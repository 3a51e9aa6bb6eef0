"""Which format a source is in, and reading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from digitspot.convert import boxes_csv, coco, cvat, digit_struct, label_studio, tianchi, voc, yolo
from digitspot.convert.archives import is_archive
from digitspot.convert.files import SourceFiles, mentions
from digitspot.convert.source import Collection, Progress
from digitspot.errors import DataError
from digitspot.files import read_json

Format = Literal["digitstruct", "coco", "yolo", "voc", "cvat", "label-studio", "tianchi", "csv"]

_NUM_NAMED = 3
CVAT_ROOT = b"<annotations>"


def read_source(
    files: SourceFiles, wanted: Format | None, skip: Iterable[str], progress: Progress
) -> tuple[Format, Collection]:
    """Read a labelled data set.

    Args:
        files: A folder, or a label file whose images are where the format keeps them.
        wanted: The format; None finds out.
        skip: Class names whose boxes are left out.
        progress: Told what is done.

    Raises:
        DataError: The source is missing, in no known format or in several, or cannot be used.
    """
    if not files.source.exists():
        raise DataError(f"{files.source}: no such file or folder")
    kinds = [wanted] if wanted else get_args(Format)
    found = {kind: paths for kind in kinds if (paths := _FORMATS[kind][0](files))}
    if not found:
        raise _nothing_found(files, wanted)
    if len(found) > 1:
        told = ", ".join(f"{kind} ({paths[0].name})" for kind, paths in found.items())
        raise DataError(
            f"{files.source}: holds labels of several formats: {told}", hint="Choose one with --from."
        )
    kind, paths = next(iter(found.items()))
    collection = _FORMATS[kind][1](paths, files, tuple(skip), progress)
    collection.used |= set(paths)
    return kind, collection


def _nothing_found(files: SourceFiles, wanted: Format | None) -> DataError:
    """Say what was looked for, and what there is instead."""
    there = [path for path in files.all if is_archive(path)] if files.source.is_dir() else []
    if there:
        named = ", ".join(path.name for path in there[:_NUM_NAMED])
        return DataError(
            f"{files.source}: no labels found, but archives: {named}",
            hint="Convert each archive by its own name, or unpack them first.",
        )
    looked = [path.name for path in files.labels][:_NUM_NAMED]
    told = f"; {', '.join(looked)} is none of them" if looked else ""
    return DataError(
        f"{files.source}: no labels found of {wanted or ', '.join(get_args(Format))}{told}",
        hint="Give the folder that holds labels and images, the label file itself, or an archive.",
    )


def _find_mat(files: SourceFiles) -> list[Path]:
    mats = [path for path in files.labels if path.suffix.lower() == ".mat"]
    name = digit_struct.FILE_NAME.lower()
    return [path for path in mats if path == files.source or path.name.lower() == name]


def _find_json(files: SourceFiles, accepts: Callable[[Any], bool], key: bytes) -> list[Path]:
    """Return the JSON files of a kind; of one that is not JSON nobody can tell, and its reader says why."""
    found = []
    for path in files.labels:
        if path.suffix.lower() == ".json" and mentions(path, key):
            try:
                good = accepts(read_json(path))
            except DataError:
                good = True
            found += [path] if good else []
    return found


def _find_voc(files: SourceFiles) -> list[Path]:
    paths = [path for path in files.labels if path.suffix.lower() == ".xml"]
    paths = [path for path in paths if not mentions(path, CVAT_ROOT)]
    good = any(mentions(path, b"<annotation") or mentions(path, b"<!") for path in paths)
    return paths if good else []


def _find_cvat(files: SourceFiles) -> list[Path]:
    paths = [path for path in files.labels if path.suffix.lower() == ".xml"]
    return [path for path in paths if mentions(path, CVAT_ROOT)]


def _find_csv(files: SourceFiles) -> list[Path]:
    tables = [path for path in files.labels if path.suffix.lower() in boxes_csv.SUFFIXES]
    return [path for path in tables if boxes_csv.is_boxes_csv(path)]


_Find = Callable[[SourceFiles], list[Path]]
_Read = Callable[[Sequence[Path], SourceFiles, Iterable[str], Progress], Collection]
_FORMATS: dict[Format, tuple[_Find, _Read]] = {
    "digitstruct": (_find_mat, digit_struct.read_mat),
    "coco": (lambda files: _find_json(files, coco.is_coco, b'"annotations"'), coco.read_coco),
    "yolo": (yolo.find_yolo, yolo.read_yolo),
    "voc": (_find_voc, voc.read_voc),
    "cvat": (_find_cvat, cvat.read_cvat),
    "label-studio": (
        lambda files: _find_json(files, label_studio.is_label_studio, b'"data"'),
        label_studio.read_label_studio,
    ),
    "tianchi": (lambda files: _find_json(files, tianchi.is_tianchi, b'"label"'), tianchi.read_tianchi),
    "csv": (_find_csv, boxes_csv.read_csv),
}
