"""Archives of data sets, told by their content and unpacked without letting a member leave the folder."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from digitspot.convert.source import SPLIT_NAMES, Progress
from digitspot.errors import DataError
from digitspot.labels.rules import is_inner_path

SUFFIXES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".rar", ".7z", ".zst")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""gzip, bzip2 and xz, which the tar reader undoes."""
_FOREIGN = {b"Rar!\x1a\x07": "RAR", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"\x28\xb5\x2f\xfd": "Zstandard"}
_MAX_MEMBERS = 5_000_000
_MAX_RATIO = 100
"""Unpacked over packed: images hardly shrink, and label files rarely to a hundredth."""
_FREE_BYTES = 64 << 20
"""Always allowed, whatever the ratio."""
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What the readers raise for archives that are damaged, locked or of an unknown kind."""
_UTF8_NAMES = 0x800
"""The flag of a zip member whose name is declared to be UTF-8 (APPNOTE 4.4.4, bit 11)."""


def is_archive(path: Path) -> bool:
    """Say whether a file is an archive or packed, by its first bytes; its name may say anything."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(512)
    return start.startswith((*_ZIP, *_PACKED, *_FOREIGN)) or start[257:262] == b"ustar" or _named_so(path)


def _named_so(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def unpack(path: Path, folder: Path, progress: Progress) -> None:
    """Unpack a zip or tar file into a new folder; its members are checked before any is written.

    Args:
        path: The archive.
        folder: Where to; made here.
        progress: Told after each member.

    Raises:
        DataError: A member is a device or a link to no file of the archive, or its path leads out; or the
            archive is of another kind, damaged, far larger unpacked than its size suggests, or too large for
            the disk.
    """
    with path.open("rb") as file:
        start = file.read(8)
    kind = next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), None)
    if kind:
        raise DataError(
            f"{path}: is a {kind} archive, which is not read",
            hint="Unpack it yourself and convert the folder, or pack it again as zip.",
        )
    folder.mkdir()
    try:
        _unpack_zip(path, folder, progress) if start.startswith(_ZIP) else _unpack_tar(path, folder, progress)
    except tarfile.ReadError as error:
        packed = start.startswith(_PACKED) and not path.name.lower().endswith((".tgz", ".tar.gz"))
        what = "is a single packed file or damaged" if packed else "is damaged or no zip or tar archive"
        raise DataError(f"{path}: {what}", hint="Unpack it yourself, or download it again.") from error
    except _DAMAGED as error:
        locked = "encrypted" in str(error)
        what = "is locked with a password" if locked else "is damaged and cannot be unpacked"
        hint = "Unpack it yourself and convert the folder." if locked else "Copy or download it again."
        raise DataError(f"{path}: {what}", hint=hint) from error


class _Limits:
    """What an archive may unpack to, counted as its members are met."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.budget = max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size)
        self.free = shutil.disk_usage(folder).free
        self.members = self.total = 0

    def count(self, name: str, size: int) -> None:
        """Add a member; raise a `DataError` when its path leads out or the archive grows too large."""
        self.members += 1
        self.total += size
        if self.members > _MAX_MEMBERS:
            raise DataError(f"{self.path}: has more than {_MAX_MEMBERS:,} members")
        if not is_inner_path(name):
            raise DataError(
                f"{self.path}: member {_shown(name)} leads out of the folder it is unpacked to",
                hint="No honest archive does this: do not use it.",
            )
        if self.total > self.budget:
            raise DataError(
                f"{self.path}: unpacks to {self.total:,} bytes and more; "
                f"{self.budget:,} is the most for an archive of its size",
                hint="If it can be trusted, unpack it yourself and convert the folder.",
            )
        if self.total > self.free:
            raise DataError(
                f"{self.path}: unpacks to {self.total >> 20:,} MiB; {self.free >> 20:,} MiB are free"
            )


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _unpack_zip(path: Path, folder: Path, progress: Progress) -> None:
    limits = _Limits(path, folder)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for info in members:
            limits.count(info.filename, info.file_size)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(f"{path}: member {_shown(info.filename)} is a link")
        for number, info in enumerate(members, 1):
            target = folder / _zip_name(info)
            if _zip_name(info).endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
            else:
                _write(archive.open(info), target)
            progress(number, len(members))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name with slashes; Windows writes backslashes, macOS UTF-8 without saying so."""
    name = info.filename
    if not info.flag_bits & _UTF8_NAMES:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _unpack_tar(path: Path, folder: Path, progress: Progress) -> None:
    limits = _Limits(path, folder)
    with tarfile.open(path) as archive:
        for member in archive:
            limits.count(member.name, member.size)
            if member.isdev():
                raise DataError(f"{path}: member {_shown(member.name)} is a device")
        members = archive.getmembers()
        for member in members:
            if member.islnk() or member.issym():
                limits.count(member.name, _content(path, archive, member).seek(0, os.SEEK_END))
        for number, member in enumerate(members, 1):
            if member.isdir():
                (folder / member.name).mkdir(parents=True, exist_ok=True)
            else:
                _write(_content(path, archive, member), folder / member.name)
            progress(number, len(members))


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Open a member, or the member that it is a link to; so nothing outside of the archive is read."""
    try:
        found = archive.extractfile(member)
    except KeyError:
        found = None
    if found is None:
        link = f"is a link to {_shown(member.linkname)}, which is no file of the archive"
        raise DataError(f"{path}: member {_shown(member.name)} {link}")
    return found


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)  # no more than the size that was counted


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
        yield _innermost(aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _innermost(folder: Path) -> Path:
    """Return the folder that holds more than one folder alone; a lone `train` tells the split and stays."""
    inner = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if len(inner) != 1 or not inner[0].is_dir() or inner[0].name.lower() in (*SPLIT_NAMES, "extra"):
        return folder
    return _innermost(inner[0])
