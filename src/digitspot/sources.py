"""Which images to read, and the id that the answers of each carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from digitspot.errors import DataError
from digitspot.images import READABLE, list_images
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Images:
    """The images to predict, each with the id that the answers carry.

    Attributes:
        paths: By image id, in order.
        numbers: The true numbers if labels are known, "" for none.
        labels: The label file, if there is one.
        numbered: Whether the ids are counted, since the file names are no numbers.
        root: Names are relative to this folder.
        skipped: Files of the folder that are no images.
    """

    paths: Mapping[int, Path]
    numbers: Mapping[int, str] = field(default_factory=dict)
    labels: LabelSet | None = None
    numbered: bool = False
    root: Path | None = None
    skipped: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> dict[int, str]:
        """Return the path of each image from the source folder, by id."""
        return {image_id: self._name(path) for image_id, path in self.paths.items()}

    def _name(self, path: Path) -> str:
        inside = self.root is not None and path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if self.root is not None and inside else str(path)


def find_images(source: Path) -> Images:
    """Find images by what `source` is.

    A folder of images, or a text file that lists one path a line: the id is the number that the
    file name is. If no name is a number, or two folders have the same, ids are counted from 1. A label file
    (`test.json`): its images and ids; the images are in the folder of the same name beside it.

    Raises:
        DataError: There is nothing to read, or some names are numbers and others not.
    """
    if source.suffix.lower() == ".json":
        return _labelled_images(source)
    skipped: Sequence[Path] = ()
    root = source if source.is_dir() else source.parent
    if source.is_dir():
        listed = list_images(source)
        paths, skipped = listed.paths, listed.skipped
    elif source.suffix.lower() == ".txt" and source.is_file():
        paths = _listed_images(source)
    elif source.is_file():
        paths = [source]
    else:
        raise DataError(
            f"no such folder or file: {source}",
            hint="Give a folder of images, an image, a .txt list of paths, or a label file.",
        )
    if not paths:
        raise DataError(f"{source}: no image in it; other files: {len(skipped)}", hint=READABLE)
    ids = image_ids(paths, source)
    by_id = dict(zip(ids or range(1, len(paths) + 1), paths, strict=True))
    return Images(by_id, numbered=ids is None, root=root, skipped=skipped)


def _labelled_images(path: Path) -> Images:
    labels = read_labels(path, clip=False)
    folder = path.with_suffix("")
    return Images(
        {image.image_id: folder / image.file_name for image in labels.images},
        {image.image_id: image.number or "" for image in labels.images},
        labels,
        root=folder,
    )


def _listed_images(path: Path) -> list[Path]:
    """Return the paths that a text file lists, relative ones from its folder.

    Notepad writes UTF-8 with a byte order mark, or UTF-16.
    """
    data = path.read_bytes()
    try:
        lines = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not a list of paths in UTF-8 or UTF-16: {error.reason}", hint="Save it as UTF-8."
        ) from error
    return [path.parent / line.strip() for line in lines if line.strip()]


def image_ids(paths: Sequence[PurePath], source: str | Path) -> list[int] | None:
    """Return the numbers that the file names are; None if they cannot tell the images apart.

    Raises:
        DataError: Some names are numbers and others not, or two of a folder are the same number.
    """
    numeric = [path.stem.isascii() and path.stem.isdecimal() for path in paths]
    if not any(numeric):
        return None
    if not all(numeric):
        odd = paths[numeric.index(False)]
        raise DataError(
            f"{source}: {sum(numeric)} file names are numbers, but {odd.name} is not: which id is it?",
            hint="Rename it, move it away, or give a label file.",
        )
    ids = [int(path.stem) for path in paths]
    by_id: dict[int, PurePath] = {}
    for image_id, path in zip(ids, paths, strict=True):
        other = by_id.setdefault(image_id, path)
        if other is path:
            continue
        if other.parent != path.parent:
            return None
        raise DataError(f"{source}: {other.name} and {path.name} are both image {image_id}")
    return ids
