"""Which images and classes YOLO data sets have: `data.yaml`, class files, and lists of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from digitspot.convert.files import SourceFiles, read_text
from digitspot.convert.locate import leads_out
from digitspot.convert.source import Classes, Notes
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

_YAML_SUFFIXES = (".yaml", ".yml")
_CLASS_FILES = ("classes.txt", "_darknet.labels", "predefined_classes.txt", "labels.txt", "names.txt")
_SPLITS = ("train", "val", "valid", "test")
MAX_BYTES = 4 << 20
"""Of a label file, whose 10,000 boxes take less than 1 MiB, and of one that names classes."""
_MAX_LIST_BYTES = 64 << 20
_MAX_CLASSES = 10_000

_Names = dict[int, str]


def is_yaml(path: Path) -> bool:
    """Say whether a file is YAML, by its ending."""
    return path.suffix.lower() in _YAML_SUFFIXES


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


def find_data_sets(paths: Sequence[Path], files: SourceFiles, skip: Sequence[str]) -> list[DataSet]:
    """Return every `data.yaml` that lists images, else the class files as one data set."""
    configs = {path: _config(path) for path in paths if is_yaml(path)}
    listed = {path: config for path, config in configs.items() if any(map(config.get, _SPLITS))}
    found = [
        DataSet({path: _names(config.get("names"), path)}, files, skip, config)
        for path, config in listed.items()
    ]
    if found:
        return found
    if not (is_class_file(paths[0]) or is_yaml(paths[0])):
        raise DataError(
            f"{paths[0]}: nothing names its classes",
            hint="Put classes.txt beside it, with one class name a line: 0, 1, 2 and so on.",
        )
    return [DataSet({path: _class_names(path, configs) for path in paths}, files, skip)]


class DataSet:
    """What names the classes, and says which images there are.

    Args:
        names: The class names of each file; each counts for the label files in its folder and below it.
        config: A `data.yaml` that lists the images; without it, every image is taken.
    """

    def __init__(
        self,
        names: dict[Path, _Names],
        files: SourceFiles,
        skip: Iterable[str],
        config: dict[str, Any] | None = None,
    ) -> None:
        self.path, self.files, self.config = next(iter(names)), files, config
        self.classes = Classes(skip, str(self.path))
        self.names = {path.parent: each for path, each in names.items()}
        self.used = set(names)
        self.missing: list[Path] = []
        """Images that a list names and that are not there."""
        self.notes = Notes()

    def names_for(self, label_file: Path) -> _Names:
        """Return the class names of the nearest folder above, or of the only class file."""
        for folder in label_file.parents:
            if folder in self.names:
                return self.names[folder]
        first, *others = self.names.values()
        if any(other != first for other in others):
            raise DataError(
                f"{label_file}: {' and '.join(map(str, sorted(self.used)[:2]))} name other classes",
                hint="Put the one that counts into the label file's folder.",
            )
        return first

    def images(self) -> list[tuple[str | None, Path]]:
        """List the images with their splits; an image of two splits of a `data.yaml` is of the first."""
        if self.config is None:
            return self._all_images()
        found: dict[Path, str] = {}
        for split in _SPLITS:
            values = self.config.get(split)
            for value in values if type(values) is list else [values] if values else []:
                if type(value) is not str:
                    raise DataError(f"{self.path}: {split} is {str(value)[:40]!r}, not a folder")
                there = self._resolve(split, value)
                if there is None:  # Roboflow names a test folder that it does not export
                    self.notes.add("folders that data.yaml names are not there", f"{split}: {value}")
                    continue
                in_folder = [path for path in self.files.images if path.is_relative_to(there)]
                for image in in_folder if there.is_dir() else self._read_list(there, self.path.parent):
                    found.setdefault(image, split)
        if not found:
            raise DataError(f"{self.path}: names no images", hint="train and val name their folders.")
        return [(split, image) for image, split in found.items()]

    def _resolve(self, split: str, value: str) -> Path | None:
        """Find a folder or a list that the file names, always inside the file's own folder.

        The leading folders are often those of the machine that wrote the file ("/content/set/train/images"),
        or "../", which Roboflow writes for the file's own folder. So the longest end of the path counts that
        is there.
        """
        assert self.config is not None
        root = self.config.get("path")
        inner = [self.path.parent / root] if type(root) is str and is_inner_path(root) else []
        there = _longest_end(value, [*inner, self.path.parent])
        if there is None and not is_inner_path(value.removeprefix("../")):
            raise leads_out(value, self.path.parent, f"{self.path}: {split}")
        if there is None and split == "train":
            raise DataError(f"{self.path}: {split} is {value!r}, which is not in {self.path.parent}")
        return there

    def _read_list(self, path: Path, folder: Path) -> list[Path]:
        """Return the images that a text file lists, one path a line."""
        self.used.add(path)
        found: list[Path] = []
        for number, line in enumerate(read_text(path, _MAX_LIST_BYTES, empty=True).splitlines(), 1):
            name = line.strip().removeprefix("./")
            if name:
                there = _longest_end(name, [folder, path.parent])
                if there is None and not is_inner_path(name):
                    raise leads_out(name, folder, f"{path}: line {number}")
                (self.missing if there is None else found).append(there or folder / name)
        return found

    def _all_images(self) -> list[tuple[str | None, Path]]:
        """List every image with its split, where `train.txt` and its kin name it."""
        splits: dict[Path, str] = {}
        for path in self.files.labels:
            if path.suffix.lower() == ".txt" and path.stem.lower() in _SPLITS and not holds_rows(path):
                splits |= dict.fromkeys(self._read_list(path, path.parent), path.stem)
        self.used |= {path for path in self.files.all if path.name == "obj.data"}  # says what we know already
        return [(splits.get(path), path) for path in self.files.images]


def _longest_end(name: str, bases: Sequence[Path]) -> Path | None:
    """Find a file or folder by the longest end of its path that is there, never above the folders given."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    options = [base.joinpath(*parts[start:]) for start in range(len(parts)) for base in bases]
    return next((path for path in options if path.exists()), None) if ".." not in parts else None


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(read_text(path, MAX_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(f"{path}: is not YAML" + (f", see line {mark.line + 1}" if mark else "")) from error
    if type(config) is not dict:
        raise DataError(f"{path}: holds no keys; names, train and val are needed")
    if "kpt_shape" in config:
        raise DataError(f"{path}: is of key points (kpt_shape), not of boxes")
    return config


def _names(names: Any, path: Path) -> _Names:
    """Return the class names by number, from a list or a mapping."""
    pairs = enumerate(names) if type(names) is list else names.items() if type(names) is dict else None
    if pairs is None or not names or len(names) > _MAX_CLASSES:
        raise DataError(
            f"{path}: names no classes",
            hint='Add `names: ["0", "1", ...]` in the order of the class numbers.',
        )
    found = {}
    for number, name in pairs:
        if not str(number).isdigit() or type(name) not in (str, int, float):
            raise DataError(f"{path}: names has {number!r}: {str(name)[:40]!r}; it needs numbers with names")
        found[int(number)] = str(name)
    return found


def _class_names(path: Path, configs: dict[Path, dict[str, Any]]) -> _Names:
    if path in configs:
        return _names(configs[path].get("names"), path)
    return dict(enumerate(read_text(path, MAX_BYTES).splitlines()))
