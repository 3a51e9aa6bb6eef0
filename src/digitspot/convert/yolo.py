"""YOLO data sets: a label file of text for each image, and a file that names the classes.

The classes are named by `data.yaml`, which also lists the images of each split, or by `classes.txt`,
`obj.names` (CVAT) or `_darknet.labels` (Roboflow); then every image under the source is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from digitspot.convert.files import SourceFiles, mentions, read_text
from digitspot.convert.locate import key_of, leads_out
from digitspot.convert.source import Classes, Collection, Notes, Progress
from digitspot.convert.yolo_pairs import Pairs, holds_rows, is_class_file
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

_MAX_BYTES = 4 << 20
"""Of a label file; 10,000 boxes take less than 1 MiB."""
_MAX_LIST_BYTES = 64 << 20
_MAX_CLASSES = 10_000
_SPLITS = ("train", "val", "valid", "test")
_YAML = (".yaml", ".yml")

_KINDS = {
    6: "predictions with a score each, not labels",
    9: "rotated boxes (OBB) or polygons of four corners",
    10: "rotated boxes in DOTA's form (OBB)",
}
"""What a row of that many values is of; five are class, centre x and y, width and height."""

Names = dict[int, str]


def find_yolo(files: SourceFiles) -> list[Path]:
    """Return the files that name classes: every `data.yaml`, else every class file beside label files."""
    if files.source.is_file():
        return [files.source] if _names_classes(files.source) else []
    yamls = [path for path in files.labels if path.suffix.lower() in _YAML and _is_data_yaml(path)]
    if yamls:
        return yamls
    rows = [path for path in files.labels if path.suffix.lower() == ".txt" and holds_rows(path)]
    return [path for path in files.all if is_class_file(path)] or rows[:1] if rows else []


def _names_classes(path: Path) -> bool:
    return is_class_file(path) or path.suffix.lower() in _YAML


def _is_data_yaml(path: Path) -> bool:
    return mentions(path, b"names:") or mentions(path, b"train:")


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
    collection, skip = Collection(), tuple(skip)
    data_sets = _data_sets(paths, files, skip)
    pairs = Pairs(files)
    images = [(data_set, *pair) for data_set in data_sets for pair in data_set.images()]
    if images and not pairs.of:
        raise DataError(
            f"{files.source}: no image has a label file; {images[0][2].stem}.txt is nowhere",
            hint="YOLO keeps labels/1.txt for images/1.png.",
        )
    for number, (data_set, split, image) in enumerate(images, 1):
        _add(collection, image, split, pairs.of.get(image), data_set)
        progress(number, len(images))
    orphans = [path for path in pairs.left if holds_rows(path)]
    for data_set in data_sets:
        collection.used |= data_set.used
        collection.classes |= data_set.classes.used
        collection.notes.merge(data_set.notes)
        orphans += data_set.missing
    collection.orphans = list({key_of(path.stem): path for path in reversed(orphans)}.values())[::-1]
    return collection


def _data_sets(paths: Sequence[Path], files: SourceFiles, skip: Iterable[str]) -> list[_DataSet]:
    """Return every `data.yaml` that lists images, else the class files."""
    listed = [(path, _config(path)) for path in paths if path.suffix.lower() in _YAML]
    found = [_Listed(path, files, skip, config) for path, config in listed if any(map(config.get, _SPLITS))]
    return [*found] or [_ClassFiles(paths, files, skip)]


class _DataSet:
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


class _Listed(_DataSet):
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


class _ClassFiles(_DataSet):
    """Class files without a `data.yaml`: each counts for the label files in its folder and below it."""

    def __init__(self, paths: Sequence[Path], files: SourceFiles, skip: Iterable[str]) -> None:
        super().__init__(paths[0], files, skip)
        if not _names_classes(self.path):
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
    if path.suffix.lower() in _YAML:
        return _names(_config(path).get("names"), path)
    return dict(enumerate(read_text(path, _MAX_BYTES).splitlines()))


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
