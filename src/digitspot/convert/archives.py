"""Archives of data sets, unpacked without letting a member leave the folder."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from digitspot.convert.source import Progress
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MAX_MEMBERS = 5_000_000
_MAX_RATIO = 100
"""Unpacked over packed: images hardly shrink, and label files rarely to a hundredth."""
_FREE_BYTES = 64 << 20
"""Always allowed, whatever the ratio."""


def is_archive(path: Path) -> bool:
    """Say whether a file's name is that of an archive."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def unpack(path: Path, folder: Path, progress: Progress) -> None:
    """Unpack an archive into a new folder; a wrong member is met before any is written where that can be.

    Args:
        path: A zip or tar file.
        folder: Where to; made here.
        progress: Told after each member.

    Raises:
        DataError: A member is a link or a device, or its path is absolute or leads out; or the archive is
            damaged, or far larger unpacked than its size suggests, or than the disk has room for.
    """
    budget = max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size)
    free = shutil.disk_usage(folder.parent).free
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                members: list[_Member] = [
                    (info.filename, _zip_kind(info), info.file_size, info) for info in archive.infolist()
                ]
                _check(path, members, budget, free)
                _write(archive.open, members, folder, budget, path, progress)
        else:
            with tarfile.open(path) as archive_tar:
                members = []
                for entry in archive_tar:
                    members.append((entry.name, _tar_kind(entry), entry.size, entry))
                    _check(path, members[-1:], budget, free, len(members))
                _check(path, members, budget, free)
                _write(archive_tar.extractfile, members, folder, budget, path, progress)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}", hint="Copy or download it again.") from error


_Member = tuple[str, str, int, Any]
"""Name, kind ("file", "folder" or what it is instead), bytes, and the archive's own record."""


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return "folder"
    return "a link" if stat.S_ISLNK(info.external_attr >> 16) else "file"


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return f"a link to {info.linkname[:60]!r}"
    return "file" if info.isreg() else "a device"


def _check(path: Path, members: list[_Member], budget: int, free: int, num: int | None = None) -> None:
    if (num or len(members)) > _MAX_MEMBERS:
        raise DataError(f"{path}: has more than {_MAX_MEMBERS:,} members")
    for name, kind, size, _ in members:
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        if not is_inner_path(name):
            raise DataError(f"{path}: member {shown!r} leads out of the folder it is unpacked to")
        if kind not in ("file", "folder"):
            raise DataError(f"{path}: member {shown!r} is {kind}")
        if size > budget:
            raise _too_large(path, size, budget)
    total = sum(size for _, _, size, _ in members)
    if total > budget:
        raise _too_large(path, total, budget)
    if total > free:
        raise DataError(f"{path}: unpacks to {total >> 20:,} MiB; {free >> 20:,} MiB are free")


def _too_large(path: Path, size: int, budget: int) -> DataError:
    return DataError(
        f"{path}: unpacks to {size:,} bytes and more; {budget:,} is the most for an archive of its size",
        hint="If it can be trusted, unpack it yourself and convert the folder.",
    )


def _write(
    opener: Any, members: list[_Member], folder: Path, budget: int, path: Path, progress: Progress
) -> None:
    written = 0
    for number, (name, kind, _, info) in enumerate(members, 1):
        target = folder / name.replace("\\", "/")
        if kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with opener(info) as source, open(target, "wb") as file:
                for chunk in _chunks(source):
                    written += len(chunk)
                    if written > budget:  # the sizes that it stated were wrong
                        raise _too_large(path, written, budget)
                    file.write(chunk)
        progress(number, len(members))


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(1 << 20):
        yield chunk


@contextmanager
def unpacked(source: Path, aside: Path, progress: Progress) -> Iterator[Path]:
    """Yield the folder or file to read: the source itself, or what its archive holds, removed at the end.

    Args:
        source: A folder, a file or an archive.
        aside: A folder to unpack to, which does not exist.
        progress: Told after each member.
    """
    if not is_archive(source):
        yield source
        return
    try:
        unpack(source, aside, progress)
        inner = [path for path in aside.iterdir() if not path.name.startswith((".", "__MACOSX"))]
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name not in _SPLITS else aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


_SPLITS = ("train", "valid", "test", "extra")
"""A lone folder of such a name tells the split, as in SVHN's `train.tar.gz`."""
