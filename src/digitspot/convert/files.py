"""The files of a source: listed once, read as text, and images found by the names that labels give them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from digitspot.convert.source import Collection, Notes, SourceImage, split_of_folders, splits_named
from digitspot.errors import DataError
from digitspot.images import IMAGE_SUFFIXES
from digitspot.labels.rules import is_inner_path

LABEL_SUFFIXES = frozenset({".mat", ".json", ".xml", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".names"})
_LABEL_FOLDERS = ("annotations", "annotation", "labels", "label")
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight hexadecimal digits and a dash before the name of an uploaded file."""

ELSEWHERE = "images were found under another name than their labels give"


def is_image(path: Path) -> bool:
    """Say whether a file has the ending of an image that can be read."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def key_of(name: str) -> str:
    """Return what two spellings of one file name have in common: case and Unicode form do not count."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


@dataclass(frozen=True)
class SourceFiles:
    """The files under a source.

    Attributes:
        source: A folder or a label file.
    """

    source: Path

    @property
    def folder(self) -> Path:
        """The folder that labels and images must stay in."""
        if self.source.is_dir():
            return self.source
        parent = self.source.parent
        return parent.parent if parent.name.lower() in _LABEL_FOLDERS else parent

    @cached_property
    def all(self) -> list[Path]:
        """Every file, by its path; hidden ones and those that systems leave behind are not listed."""
        return sorted(_walk(self.folder))

    @cached_property
    def labels(self) -> list[Path]:
        """The files that may be labels: the source itself when it is a file."""
        if not self.source.is_dir():
            return [self.source]
        return [path for path in self.all if path.suffix.lower() in LABEL_SUFFIXES]

    @cached_property
    def images(self) -> list[Path]:
        """Every image."""
        return [path for path in self.all if is_image(path)]

    @cached_property
    def _images_by_key(self) -> dict[str, list[Path]]:
        """Images by their name, and by their name without ending."""
        found: dict[str, list[Path]] = {}
        for path in self.images:
            for key in {key_of(path.name), key_of(path.stem)}:
                found.setdefault(key, []).append(path)
        return found

    def exact(self, name: str, bases: Sequence[Path], where: str) -> tuple[Path | None, list[Path]]:
        """Look for a name as it stands, in each folder; return the image, and the paths that were tried.

        Raises:
            DataError: The name leads out of the source's folder.
        """
        plain = name.replace("\\", "/")
        if plain.startswith("/") or re.match(r"^[A-Za-z]:", plain):
            return None, []  # of another machine
        tried = [path for base in bases if (path := _inside(base, plain, self.folder)) is not None]
        there = next((path for path in tried if path.is_file()), None)
        if there is None and (not tried or not is_inner_path(name)):
            raise leads_out(name, self.folder, where)
        return there, tried

    def similar(self, image: SourceImage, taken: set[Path]) -> Path | None:
        """Look for an image whose name on disk differs harmlessly from the one in the labels.

        It may differ in its case, Unicode form, percent encoding, folders and ending. Images that other
        labels name exactly are not considered, nor images in the folder of another split.

        Raises:
            DataError: Several images fit.
        """
        for name in (variant for whole in image.names for variant in _variants(whole)):
            parts = [key_of(part) for part in PurePosixPath(name).parts]
            by_name = self._images_by_key.get(parts[-1], []) if parts else []
            stem = key_of(PurePosixPath(name).stem) if is_image(Path(name)) else None
            for found in (by_name, self._images_by_key.get(stem, []) if stem else []):
                free = [path for path in found if path not in taken and not self._other_split(path, image)]
                if best := self._nearest(free, parts, image.bases):
                    return _only(best, image)
        return None

    def _other_split(self, path: Path, image: SourceImage) -> bool:
        split = split_of_folders(path.relative_to(self.folder).parts[:-1])
        return None not in (split, image.split) and split != image.split

    def _nearest(self, found: list[Path], parts: list[str], bases: Sequence[Path]) -> list[Path]:
        """Keep the images that share most folders with the name, then those in the likeliest folder."""
        if len(found) > 1:
            shared = [_common_tail(path, parts) for path in found]
            found = [path for path, num in zip(found, shared, strict=True) if num == max(shared)]
        if len(found) > 1:
            base = next((base for base in bases if any(base == path.parent for path in found)), None)
            found = [path for path in found if base in (None, path.parent)]
        return found


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder; linked folders are followed, each once."""
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _IGNORED]
        for name in files:
            if not name.startswith(".") and name not in _IGNORED:
                yield Path(root, name)


def _inside(base: Path, name: str, folder: Path) -> Path | None:
    """Join a name to a folder; None where it leaves the source."""
    if ".." in name.split("/") and not base.is_dir():
        return None
    path = Path(os.path.normpath(base / name))
    return path if path.is_relative_to(os.path.normpath(folder)) and "\0" not in name else None


def leads_out(name: str, folder: Path, where: str) -> DataError:
    """Return the error of a path that leaves the data set."""
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    return DataError(
        f"{where}: {shown!r} leads out of {folder}",
        hint="Paths must be relative and stay inside the data set's folder.",
    )


def _variants(name: str) -> list[str]:
    """Return the names that a label file's name can mean, the plainest first.

    >>> _variants("/data/local-files/?d=a%20b/1.png")
    ['/data/local-files/?d=a%20b/1.png', 'a b/1.png']
    >>> _variants("images\\\\1/0a1b2c3d-7.png")
    ['images/1/0a1b2c3d-7.png', 'images/1/7.png']
    """
    plain = name.strip().strip("'\"").replace("\\", "/")
    unquoted = unquote(plain.split("?d=")[-1]) if "?d=" in plain or "%" in plain else plain
    unquoted = unquoted.split("?")[0] if "://" in plain else unquoted
    path = PurePosixPath(unquoted)
    bare = str(path.with_name(_UPLOADED.sub("", path.name))) if path.name else unquoted
    return list(dict.fromkeys((plain, unquoted, bare)))


def _common_tail(path: Path, parts: list[str]) -> int:
    """Count the folders that a path and a name have in common before the file itself."""
    own = [key_of(part) for part in path.parts[-2::-1]]
    pairs = zip(own, parts[-2::-1], strict=False)
    return next(
        (num for num, (one, other) in enumerate(pairs) if one != other), min(len(own), len(parts) - 1)
    )


def _only(found: list[Path], image: SourceImage) -> Path:
    if len(found) > 1:
        raise DataError(
            f"{image.where}: {image.names[0]!r} may be {found[0]} or {found[1]}",
            hint="Write the image's folder into the label file, as in images/1.png.",
        )
    return found[0]


def locate(collection: Collection, files: SourceFiles) -> None:
    """Find the image of every entry, and note which names were not quite those on disk.

    Raises:
        DataError: A name leads out of the source, or fits several images.
    """
    exact = [_exact(image, files) for image in collection.images]
    taken = {image.path for image in exact if not image.tried}
    used = Counter(image.path.parent for image in exact if not image.tried)
    located = []
    for image in exact:
        if image.tried and (found := files.similar(image, taken)):
            collection.notes.add(ELSEWHERE, f"{found} for {image.names[0]!r}")
            image = replace(image, path=found, tried=())
        elif image.tried:
            if not any(is_inner_path(name) for whole in image.names for name in _variants(whole)):
                raise leads_out(image.names[0], files.folder, image.where)
            likely = sorted(image.tried, key=lambda path: -used[path.parent])
            image = replace(image, path=likely[0], tried=tuple(likely))
        located.append(image)
    collection.images = located


def _exact(image: SourceImage, files: SourceFiles) -> SourceImage:
    """Return the entry with its image's path, or with the paths that were tried."""
    if not image.names:
        return image
    tried: list[Path] = []
    for name in image.names:
        there, paths = files.exact(name, image.bases, image.where)
        if there is not None:
            return replace(image, path=there)
        tried += paths
    return replace(image, tried=tuple(dict.fromkeys(tried)) or (files.folder / Path(image.names[0]).name,))


def note_unused(collection: Collection, files: SourceFiles) -> None:
    """Count the files of a folder that the conversion did not use."""
    if not files.source.is_dir():
        return
    used = {image.path for image in collection.images} | collection.used | set(collection.orphans)
    used |= {image.label_file for image in collection.images}
    for path in files.all:
        if path not in used:
            collection.notes.add(_unused(path), str(path.relative_to(files.folder)))


def _unused(path: Path) -> str:
    if is_image(path):
        return "images are named by no label and were left out"
    if path.suffix.lower() in LABEL_SUFFIXES:
        return "text or label files hold no labels that were read"
    return "other files were left out"


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
    return named.pop() if named else split_of_folders(path.relative_to(files.folder).parts[:-1])


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
