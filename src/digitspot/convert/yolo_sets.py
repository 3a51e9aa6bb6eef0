"""What names the classes of YOLO data sets and lists their images: `data.yaml`, or class files alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from digitspot.convert.files import SourceFiles, read_text
from digitspot.convert.locate import leads_out
from digitspot.convert.source import Classes, Notes
from digitspot.convert.yolo_pairs import holds_rows, is_class_file
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

YAML_SUFFIXES = (".yaml", ".yml")
_MAX_BYTES = 4 << 20
_MAX_LIST_BYTES = 64 << 20
_MAX_CLASSES = 10_000
_SPLITS = ("train", "val", "valid", "test")

Names = dict[int, str]


def names_classes(path: Path) -> bool:
    """Say whether a file is a `data.yaml` or a class file, by its name."""
    return is_class_file(path) or path.suffix.lower() in YAML_SUFFIXES


def data_sets_of(paths: Sequence[Path], files: SourceFiles, skip: Iterable[str]) -> list[DataSet]:
    """Return every `data.yaml` that lists images, else the class files."""
    listed = [(path, _config(path)) for path in paths if path.suffix.lower() in YAML_SUFFIXES]
    found = [_Listed(path, files, skip, config) for path, config in listed if any(map(config.get, _SPLITS))]
    return [*found] or [_ClassFiles(paths, files, skip)]


class DataSet:
    """What names the classes, and says which images there are.

    Attributes:
        path: The file.
        used: The files that were read for it.
        missing: Images that a list names and that are not there.
        notes: What else is not there.
    """

    def __init__(self, path: Path, files: SourceFiles, skip: Iterable[str]) -> None:
        self.path, self.files = path, files
        self.classes = Classes(skip, str(path))
        self.used = {path}
        self.missing: list[Path] = []
        self.notes = Notes()

    def names_for(self, label_file: Path) -> Names:
        """Return the class names that a label file counts."""
        raise NotImplementedError

    def images(self) -> list[tuple[str | None, Path]]:
        """List the images with their splits."""
        raise NotImplementedError

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


class _Listed(DataSet):
    """One `data.yaml`: its class names, and the images of the splits that it lists."""

    def __init__(self, path: Path, files: SourceFiles, skip: Iterable[str], config: dict[str, Any]) -> None:
        super().__init__(path, files, skip)
        self.config = config
        self.names = _names(config.get("names"), path)

    def names_for(self, label_file: Path) -> Names:
        """Return the class names that a label file counts."""
        return self.names

    def images(self) -> list[tuple[str | None, Path]]:
        """List the images of every split; an image of two splits is of the first."""
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
                for image in self._listed(there):
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
        root = self.config.get("path")
        inner = [self.path.parent / root] if type(root) is str and is_inner_path(root) else []
        there = _longest_end(value, [*inner, self.path.parent])
        if there is None and not is_inner_path(value.removeprefix("../")):
            raise leads_out(value, self.path.parent, f"{self.path}: {split}")
        if there is None and split == "train":
            raise DataError(f"{self.path}: {split} is {value!r}, which is not in {self.path.parent}")
        return there

    def _listed(self, there: Path) -> list[Path]:
        """Return the images of a folder, with its folders, or of a list of paths."""
        if there.is_dir():
            return [path for path in self.files.images if path.is_relative_to(there)]
        return self._read_list(there, self.path.parent)


def _longest_end(name: str, bases: Sequence[Path]) -> Path | None:
    """Find a file or folder by the longest end of its path that is there, never above the folders given."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    options = [base.joinpath(*parts[start:]) for start in range(len(parts)) for base in bases]
    return next((path for path in options if path.exists()), None) if ".." not in parts else None


class _ClassFiles(DataSet):
    """Class files without a `data.yaml`: each counts for the label files in its folder and below it."""

    def __init__(self, paths: Sequence[Path], files: SourceFiles, skip: Iterable[str]) -> None:
        super().__init__(paths[0], files, skip)
        if not names_classes(self.path):
            raise DataError(
                f"{self.path}: nothing names its classes",
                hint="Put classes.txt beside it, with one class name a line: 0, 1, 2 and so on.",
            )
        self.used |= set(paths)
        self._names = {path.parent: _class_names(path) for path in paths}

    def names_for(self, label_file: Path) -> Names:
        """Return the class names of the nearest folder above, or of the only class file."""
        for folder in label_file.parents:
            if folder in self._names:
                return self._names[folder]
        first, *others = self._names.values()
        if any(other != first for other in others):
            raise DataError(
                f"{label_file}: {' and '.join(map(str, sorted(self.used)[:2]))} name other classes",
                hint="Put the one that counts into the label file's folder.",
            )
        return first

    def images(self) -> list[tuple[str | None, Path]]:
        """List every image with its split, where `train.txt` and its kin name it."""
        splits: dict[Path, str] = {}
        for path in self.files.labels:
            if path.suffix.lower() == ".txt" and path.stem.lower() in _SPLITS and not holds_rows(path):
                splits |= dict.fromkeys(self._read_list(path, path.parent), path.stem)
        self.used |= {path for path in self.files.all if path.name == "obj.data"}  # says what we know already
        return [(splits.get(path), path) for path in self.files.images]


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(read_text(path, _MAX_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(f"{path}: is not YAML" + (f", see line {mark.line + 1}" if mark else "")) from error
    if type(config) is not dict:
        raise DataError(f"{path}: holds no keys; names, train and val are needed")
    if "kpt_shape" in config:
        raise DataError(f"{path}: is of key points (kpt_shape), not of boxes")
    return config


def _names(names: Any, path: Path) -> Names:
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


def _class_names(path: Path) -> Names:
    if path.suffix.lower() in YAML_SUFFIXES:
        return _names(_config(path).get("names"), path)
    return dict(enumerate(read_text(path, _MAX_BYTES).splitlines()))
