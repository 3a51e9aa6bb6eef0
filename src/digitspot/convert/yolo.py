"""YOLO data sets: a label file of text for each image, and a file that names the classes.

The classes are named by `data.yaml`, which also lists the images of each split, or by `classes.txt`,
`obj.names` (CVAT) or `_darknet.labels` (Roboflow); then every image under the source is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from digitspot.convert.files import SourceFiles, mentions, read_text
from digitspot.convert.locate import key_of, leads_out
from digitspot.convert.source import Classes, Collection, Notes, Progress, plain_folder
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

_YAML_SUFFIXES = (".yaml", ".yml")
_CLASS_FILES = ("classes.txt", "_darknet.labels", "predefined_classes.txt", "labels.txt", "names.txt")
_SPLITS = ("train", "val", "valid", "test")
_MAX_BYTES = 4 << 20
"""Of a label file, whose 10,000 boxes take less than 1 MiB, and of one that names classes."""
_MAX_LIST_BYTES = 64 << 20
_MAX_CLASSES = 10_000

_KINDS = {
    6: "predictions with a score each, not labels",
    9: "rotated boxes (OBB) or polygons of four corners",
    10: "rotated boxes in DOTA's form (OBB)",
}
"""What a row of that many values is of; five are class, centre x and y, width and height."""

_Names = dict[int, str]


def find_yolo(files: SourceFiles) -> list[Path]:
    """Return the files that name classes: every `data.yaml`, else every class file beside label files."""
    if files.source.is_file():
        is_one = _is_class_file(files.source) or _is_yaml(files.source)
        return [files.source] if is_one else []
    yamls = filter(_is_yaml, files.labels)
    if found := [path for path in yamls if mentions(path, b"names:") or mentions(path, b"train:")]:
        return found
    rows = [path for path in files.labels if path.suffix.lower() == ".txt" and _holds_rows(path)]
    return [path for path in files.all if _is_class_file(path)] or rows[:1] if rows else []


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in _YAML_SUFFIXES


def _is_class_file(path: Path) -> bool:
    """Say whether a file names classes, one a line: `classes.txt`, CVAT's `obj.names` and their kin."""
    return path.name.lower() in _CLASS_FILES or path.suffix.lower() == ".names"


def _holds_rows(path: Path) -> bool:
    """Say whether a text file begins with a row of YOLO: a class number and four values or more."""
    if _is_class_file(path):
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            words = file.readline(4096).split()
        return len(words) >= 5 and all(math.isfinite(float(word)) for word in words)
    except (OSError, ValueError):
        return False


def read_yolo(
    paths: Sequence[Path], files: SourceFiles, skip: Iterable[str], progress: Progress
) -> Collection:
    """Read YOLO data sets.

    Args:
        paths: What `find_yolo` found.
        files: The source.
        skip: Class names whose boxes are left out.
        progress: Told after each image.

    Raises:
        DataError: The boxes are rotated, a class is no digit, a path leads out of the folder, or a label
            file is malformed.
    """
    collection = Collection()
    data_sets = _data_sets(paths, files, tuple(skip))
    label_of, unpaired = _pair(files)
    images = [(data_set, *pair) for data_set in data_sets for pair in data_set.images()]
    if images and not label_of:
        raise DataError(
            f"{files.source}: no image has a label file; {images[0][2].stem}.txt is nowhere",
            hint="YOLO keeps labels/1.txt for images/1.png.",
        )
    for number, (data_set, split, image) in enumerate(images, 1):
        _add(collection, image, split, label_of.get(image), data_set)
        progress(number, len(images))
    orphans = [path for path in unpaired if _holds_rows(path)]
    for data_set in data_sets:
        collection.used |= data_set.used
        collection.classes |= data_set.classes.used
        collection.notes.merge(data_set.notes)
        orphans += data_set.missing
    collection.orphans = list({key_of(path.stem): path for path in reversed(orphans)}.values())[::-1]
    return collection


def _add(
    collection: Collection, image: Path, split: str | None, label_file: Path | None, data_set: _DataSet
) -> None:
    if label_file is None:
        collection.notes.add("images have no label file and count as images without digits", str(image))
        collection.add(image, split, [], [], str(image), label_file=data_set.path)
        return
    digits, rows = [], []
    for number, line in enumerate(read_text(label_file, _MAX_BYTES, empty=True).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{label_file}: line {number}"
        class_number, values = _row(line, where)
        names = data_set.names_for(label_file)
        if class_number not in names:
            raise DataError(f"{where}: class {class_number} has no name; there are {len(names)}")
        digit = data_set.classes.digit(names[class_number])
        if digit is not None:
            digits.append(digit)
            rows.append(values)
    x, y, w, h = np.array(rows).reshape(-1, 4).T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    collection.add(image, split, boxes, digits, str(label_file), label_file=label_file, is_relative=True)


def _row(line: str, where: str) -> tuple[int, list[float]]:
    """Return class number and the four values of a row."""
    words = line.split()
    if len(words) != 5:
        polygon = "polygons (segmentation)" if len(words) >= 7 and len(words) % 2 else None
        kind = _KINDS.get(len(words)) or polygon or f"{len(words)} values"
        raise DataError(
            f"{where}: {kind}; a box is a class and four values",
            hint="Export the data set again for detection, as YOLO with upright boxes.",
        )
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{where}: {line.strip()[:60]!r} is not five numbers") from error
    if not all(-1 <= value <= 2 for value in values[1:]) or not values[0].is_integer() or values[0] < 0:
        raise DataError(
            f"{where}: {line.strip()[:60]!r}: a row is a class number and four fractions of the image, 0 to 1"
        )
    return int(values[0]), values[1:]


def _pair(files: SourceFiles) -> tuple[dict[Path, Path], list[Path]]:
    """Return the label file of each image, and the text files that belong to none."""
    by_stem: dict[str, list[Path]] = {}
    for path in files.all:
        if path.suffix.lower() == ".txt" and not _is_class_file(path):
            by_stem.setdefault(key_of(path.stem), []).append(path)
    label_of: dict[Path, Path] = {}
    options = {}
    for image in files.images:
        options[image] = by_stem.get(key_of(image.stem), []) + by_stem.get(key_of(image.name), [])
        same = [path for path in options[image] if path.parent == image.parent]
        mirrored = [path for path in options[image] if _folders(path, files) == _folders(image, files)]
        if near := same or mirrored:
            label_of[image] = _only(near, image)
    near_ones = set(label_of.values())
    owners: dict[Path, Path] = {}
    for image, paths in options.items():
        free = [path for path in paths if path not in near_ones and not _apart(image, path, files)]
        if image not in label_of and free:
            label_of[image] = _only(free, image)
    for image, path in label_of.items():
        if path not in near_ones and owners.setdefault(path, image) != image:
            raise _ambiguous(f"{path}: its image", owners[path], image)
    used = set(label_of.values())
    return label_of, [path for paths in by_stem.values() for path in paths if path not in used]


def _folders(path: Path, files: SourceFiles) -> list[str]:
    """Return a file's folders without what only says "images" or "labels"."""
    plain = map(plain_folder, path.relative_to(files.folder).parts[:-1])
    return [name for name in plain if name]


def _apart(image: Path, path: Path, files: SourceFiles) -> bool:
    """Say whether an image and a label file are in folders of two splits."""
    return len({files.split_of_path(image), files.split_of_path(path)} - {None}) > 1


def _only(paths: list[Path], image: Path) -> Path:
    if len(paths) > 1:
        raise _ambiguous(f"{image}: its labels", *paths[:2])
    return paths[0]


def _ambiguous(what: str, first: Path, second: Path) -> DataError:
    return DataError(f"{what} may be {first} or {second}", hint="Remove the wrong one, or rename it.")


def _data_sets(paths: Sequence[Path], files: SourceFiles, skip: Sequence[str]) -> list[_DataSet]:
    """Return every `data.yaml` that lists images, else the class files as one data set."""
    configs = {path: _config(path) for path in paths if _is_yaml(path)}
    listed = {path: config for path, config in configs.items() if any(map(config.get, _SPLITS))}
    found = [
        _DataSet({path: _names(config.get("names"), path)}, files, skip, config)
        for path, config in listed.items()
    ]
    if found:
        return found
    if not (_is_class_file(paths[0]) or _is_yaml(paths[0])):
        raise DataError(
            f"{paths[0]}: nothing names its classes",
            hint="Put classes.txt beside it, with one class name a line: 0, 1, 2 and so on.",
        )
    return [_DataSet({path: _class_names(path, configs) for path in paths}, files, skip)]


class _DataSet:
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
            if path.suffix.lower() == ".txt" and path.stem.lower() in _SPLITS and not _holds_rows(path):
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
        config = yaml.safe_load(read_text(path, _MAX_BYTES))
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
    return dict(enumerate(read_text(path, _MAX_BYTES).splitlines()))
