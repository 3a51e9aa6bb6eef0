"""The files of a source: listed once, and read as text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from digitspot.convert.source import Notes, split_of_folders, splits_named
from digitspot.errors import DataError
from digitspot.images import is_image, refuse_folder

LABEL_SUFFIXES = frozenset({".mat", ".json", ".xml", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".names"})
_LABEL_FOLDERS = ("annotations", "annotation", "labels", "label")
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class SourceFiles:
    """The files under a source.

    Attributes:
        source: A folder or a label file.
    """

    source: Path

    @cached_property
    def folder(self) -> Path:
        """The folder that labels and images must stay in: around a folder of labels alone, the one above."""
        folder = self.source if self.source.is_dir() else self.source.parent
        alone = folder.name.lower() in _LABEL_FOLDERS and not any(map(_may_be_image, _walk(folder)))
        return folder.parent if alone else folder

    @cached_property
    def all(self) -> list[Path]:
        """Every file, by its path; hidden ones and those that systems leave behind are not listed."""
        return sorted(_walk(self.folder))

    @cached_property
    def labels(self) -> list[Path]:
        """The files that may be labels: the source itself when it is a file."""
        if not self.source.is_dir():
            return [self.source]
        inside = (path for path in self.all if path.is_relative_to(self.source))
        return [path for path in inside if path.suffix.lower() in LABEL_SUFFIXES]

    @cached_property
    def images(self) -> list[Path]:
        """Every image."""
        return [path for path in self.all if _may_be_image(path)]

    def split_of_path(self, path: Path) -> str | None:
        """Return the split that a file's folders name."""
        return split_of_folders(path.relative_to(self.folder).parts[:-1])


def _may_be_image(path: Path) -> bool:
    return path.suffix.lower() not in LABEL_SUFFIXES and is_image(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder; linked folders are followed, each once."""
    seen = set()
    for root, folders, files in os.walk(folder, onerror=refuse_folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _IGNORED]
        for name in files:
            if not name.startswith(".") and name not in _IGNORED:
                yield Path(root, name)


def split_of_file(path: Path, files: SourceFiles, notes: Notes) -> str | None:
    """Return the split of a label file: by its name, else by its folders.

    A name that mentions two splits, such as train_val.json, tells none; that is noted.
    """
    named = splits_named(path.stem)
    if len(named) > 1:
        notes.add(
            "label files are named for two splits; their images count as images without a split", path.name
        )
        return None
    return named.pop() if named else files.split_of_path(path)


def likely_folders(path: Path, files: SourceFiles, name: str) -> list[Path]:
    """Return the folders that a label file's image names may be relative to, the likeliest first.

    Tried are `train/` beside `train.json`, the file's own folder (Roboflow), `images/` and `data/`
    (FiftyOne), and the same beside the file's folder, as for `annotations/instances_train2017.json`.

    Args:
        path: The label file.
        files: The source.
        name: What its images' folder may be called.
    """
    found = []
    for root in (path.parent, path.parent.parent, files.folder):
        if root.is_relative_to(files.folder):
            inside = [root / name, root, root / "images" / name, root / "images", root / "data"]
            found += inside
    return list(dict.fromkeys(found))


def read_text(path: Path, most: int, *, empty: bool = False) -> str:
    """Read a text file in UTF-8, or in UTF-16 with its mark, as Excel and PowerShell write it.

    Args:
        path: The file.
        most: Bytes; a larger file is refused.
        empty: Whether it may be empty.

    Raises:
        DataError: It is missing, too large, empty or not text.
    """
    try:
        size = path.stat().st_size
        if size > most:
            raise DataError(f"{path}: has {size:,} bytes; {most:,} is the most for such a file")
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8", hint="Save it again as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not text.strip() and not empty:
        raise DataError(f"{path}: the file is empty")
    return text


def mentions(path: Path, word: bytes) -> bool:
    """Say whether a word stands in a file; read in pieces, since label files may be large."""
    tail = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                chunk = chunk.replace(b"\0", b"")  # UTF-16 becomes ASCII where it is ASCII
                if word in tail + chunk:
                    return True
                tail = chunk[-len(word) :]
    except OSError:
        return False
    return False
