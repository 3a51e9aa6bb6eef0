"""Which label file of YOLO belongs to which image, wherever the two are kept."""

from __future__ import annotations

import math
from pathlib import Path

from digitspot.convert.files import SourceFiles
from digitspot.convert.locate import key_of
from digitspot.convert.source import plain_folder
from digitspot.errors import DataError

_CLASS_FILES = ("classes.txt", "_darknet.labels", "predefined_classes.txt", "labels.txt", "names.txt")


def is_class_file(path: Path) -> bool:
    """Say whether a file names classes, one a line: `classes.txt`, CVAT's `obj.names` and their kin."""
    return path.name.lower() in _CLASS_FILES or path.suffix.lower() == ".names"


def holds_rows(path: Path) -> bool:
    """Say whether a text file begins with a row of YOLO: a class number and four values or more."""
    if is_class_file(path):
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            words = file.readline(4096).split()
        return len(words) >= 5 and all(math.isfinite(float(word)) for word in words)
    except (OSError, ValueError):
        return False


class Pairs:
    """Which label file belongs to which image.

    Attributes:
        of: The label file of an image.
        left: Text files that belong to none.
    """

    def __init__(self, files: SourceFiles) -> None:
        self.files = files
        self.of: dict[Path, Path] = {}
        by_stem: dict[str, list[Path]] = {}
        for path in files.all:
            if path.suffix.lower() == ".txt" and not is_class_file(path):
                by_stem.setdefault(key_of(path.stem), []).append(path)
        options = {}
        for image in files.images:
            options[image] = by_stem.get(key_of(image.stem), []) + by_stem.get(key_of(image.name), [])
            if found := self._beside(image, options[image]):
                self.of[image] = found
        taken = set(self.of.values())
        for image, found_by_name in options.items():
            free = [path for path in found_by_name if path not in taken and not self._apart(image, path)]
            if image not in self.of and free:
                self.of[image] = _only(free, f"{image}: its labels")
        owners: dict[Path, Path] = {}
        for image, path in self.of.items():
            if path not in taken and owners.setdefault(path, image) != image:
                raise _ambiguous(f"{path}: its image", owners[path], image)
        used = set(self.of.values())
        self.left = [path for paths in by_stem.values() for path in paths if path not in used]

    def _beside(self, image: Path, options: list[Path]) -> Path | None:
        """Return the label file in the image's folder, or in the folder of labels that mirrors it."""
        same = [path for path in options if path.parent == image.parent]
        mirrored = [path for path in options if self._plain(path) == self._plain(image)]
        return _only(same or mirrored, f"{image}: its labels") if same or mirrored else None

    def _plain(self, path: Path) -> list[str]:
        """Return a file's folders without what only says "images" or "labels"."""
        plain = map(plain_folder, path.relative_to(self.files.folder).parts[:-1])
        return [name for name in plain if name]

    def _apart(self, image: Path, path: Path) -> bool:
        """Say whether an image and a label file are in folders of two splits."""
        splits = [self.files.split_of_path(each) for each in (image, path)]
        return None not in splits and splits[0] != splits[1]


def _only(paths: list[Path], what: str) -> Path:
    if len(paths) > 1:
        raise _ambiguous(what, *paths[:2])
    return paths[0]


def _ambiguous(what: str, first: Path, second: Path) -> DataError:
    return DataError(f"{what} may be {first} or {second}", hint="Remove the wrong one, or rename it.")
