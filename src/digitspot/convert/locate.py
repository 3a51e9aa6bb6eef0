"""Images found by the names that label files give them, and the files that no label names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from digitspot.convert.files import LABEL_SUFFIXES, SourceFiles
from digitspot.convert.source import Collection, SourceImage
from digitspot.errors import DataError
from digitspot.images import IMAGE_SUFFIXES
from digitspot.labels.rules import is_inner_path

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight hexadecimal digits and a dash before the name of an uploaded file."""


def locate(collection: Collection, files: SourceFiles) -> None:
    """Find the image of every entry, and note which names were not quite those on disk.

    An entry without a split takes the one that its image's folders name.

    Raises:
        DataError: A name leads out of the source, or fits several images.
    """
    exact = [_exact(image, files) for image in collection.images]
    images = _Images(files, {image.path for image in exact if not image.tried})
    used = Counter(image.path.parent for image in exact if not image.tried)
    located = []
    for image in exact:
        if image.tried and (found := images.similar(image)):
            collection.notes.add("images have another name or folder than in their labels", f"{found}")
            image = replace(image, path=found, tried=())
        elif image.tried:
            if not any(is_inner_path(name) for whole in image.names for name in _variants(whole)):
                raise leads_out(image.names[0], files.folder, image.where)
            likely = sorted(image.tried, key=lambda path: -used[path.parent])
            image = replace(image, path=likely[0], tried=tuple(likely))
        if image.split is None and not image.tried:
            image = replace(image, split=files.split_of_path(image.path))
        located.append(image)
    collection.images = located


def note_unused(collection: Collection, files: SourceFiles) -> None:
    """Count the files of a folder that the conversion did not use."""
    if not files.source.is_dir():
        return
    used = {image.path for image in collection.images} | collection.used | set(collection.orphans)
    used |= {image.label_file for image in collection.images}
    images = set(files.images)
    for path in files.all:
        if path not in used:
            what = _unused(path, is_image=path in images)
            collection.notes.add(what, str(path.relative_to(files.folder)))


def _unused(path: Path, *, is_image: bool) -> str:
    if is_image:
        return "images are named by no label and were left out"
    if path.suffix.lower() in LABEL_SUFFIXES:
        return "text or label files were not read"
    return "other files were left out"


def _exact(image: SourceImage, files: SourceFiles) -> SourceImage:
    """Look for an image by its names as they stand; return its path, or the paths that were tried.

    Raises:
        DataError: A name leads out of the source's folder.
    """
    if not image.names:
        return image
    tried: list[Path] = []
    for name in image.names:
        plain = name.replace("\\", "/")
        if plain.startswith("/") or re.match(r"^[A-Za-z]:", plain):
            continue  # of another machine
        paths = [path for base in image.bases if (path := _inside(base, plain, files.folder)) is not None]
        there = next((path for path in paths if path.is_file()), None)
        if there is not None:
            return replace(image, path=there)
        if not paths or not is_inner_path(name):
            raise leads_out(name, files.folder, image.where)
        tried += paths
    return replace(image, tried=tuple(dict.fromkeys(tried)) or (files.folder / Path(image.names[0]).name,))


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


class _Images:
    """The images under a source by what their names have in common with those in labels.

    Args:
        files: The source.
        taken: Images that labels name exactly; they are not found under another name.
    """

    def __init__(self, files: SourceFiles, taken: set[Path]) -> None:
        self.files = files
        self.by_key: dict[str, list[Path]] = {}
        for path in files.images if taken != set(files.images) else ():
            for name in {path.name, path.stem, _without_upload(path.name), _without_upload(path.stem)}:
                if path not in taken:
                    self.by_key.setdefault(key_of(name), []).append(path)

    def similar(self, image: SourceImage) -> Path | None:
        """Look for an image whose name on disk differs harmlessly from the one in the labels.

        It may differ in its case, Unicode form, percent encoding, folders and ending. Images in the folder
        of another split are not considered.

        Raises:
            DataError: Several images fit.
        """
        for name in (variant for whole in image.names for variant in _variants(whole)):
            path = PurePosixPath(name)
            stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
            for key in (key_of(path.name), key_of(stem)):
                found = [each for each in self.by_key.get(key, []) if not self._apart(each, image)]
                if found:
                    return self._nearest(found, [key_of(part) for part in path.parts], image)
        return None

    def _apart(self, path: Path, image: SourceImage) -> bool:
        """Say whether an image is in the folder of another split than its label file."""
        split = self.files.split_of_path(path)
        return None not in (split, image.split) and split != image.split

    def _nearest(self, found: list[Path], parts: list[str], image: SourceImage) -> Path:
        """Choose the image that shares most folders with the name, then the one in the likeliest folder."""
        shared = [_common_tail(path, parts) for path in found]
        found = [path for path, num in zip(found, shared, strict=True) if num == max(shared)]
        base = next((base for base in image.bases if any(base == path.parent for path in found)), None)
        found = [path for path in found if base in (None, path.parent)]
        if len(found) > 1:
            raise DataError(
                f"{image.where}: {image.names[0]!r} may be {found[0]} or {found[1]}",
                hint="Write the image's folder into the label file, as in images/1.png.",
            )
        return found[0]


def key_of(name: str) -> str:
    """Return what two spellings of one file name have in common: case and Unicode form do not count."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


def _without_upload(name: str) -> str:
    return _UPLOADED.sub("", name)


def _variants(name: str) -> list[str]:
    """Return the names that a label file's name can mean, the plainest first.

    >>> _variants("/data/local-files/?d=a%20b/1.png")
    ['/data/local-files/?d=a%20b/1.png', 'a b/1.png']
    >>> _variants("images\\\\1/0a1b2c3d-7.png")
    ['images/1/0a1b2c3d-7.png', 'images/1/7.png']
    >>> _variants("https://example.org/set/1.png?signature=x")[1:]
    ['https:/example.org/set/1.png']
    """
    plain = name.strip().strip("'\"").replace("\\", "/")
    address = plain.split("?d=")[-1]
    if "://" in plain:
        address = address.split("?")[0].replace("://", ":/")
    unquoted = unquote(address)
    spaced = unquote(unquoted.replace("+", " "))  # encoded twice, or as a form
    bare = str(PurePosixPath(unquoted).parent / _without_upload(PurePosixPath(unquoted).name))
    return list(dict.fromkeys((plain, unquoted, bare, spaced)))


def _common_tail(path: Path, parts: list[str]) -> int:
    """Count the folders that a path and a name have in common before the file itself."""
    own = [key_of(part) for part in path.parts[-2::-1]]
    pairs = zip(own, parts[-2::-1], strict=False)
    return next(
        (num for num, (one, other) in enumerate(pairs) if one != other), min(len(own), len(parts) - 1)
    )
