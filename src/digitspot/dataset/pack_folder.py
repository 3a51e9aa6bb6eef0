"""The folder of packs: one builder of a pack at a time, and packs that are whole or not there."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from digitspot.dataset.pack import Pack
from digitspot.errors import DataError, DigitspotError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@dataclass(frozen=True)
class Unfinished:
    """A pack being written, in a folder of its own beside the finished ones."""

    folder: Path

    def install(self, name: str) -> Pack:
        """Rename it into place; a sound one that is there already is kept, a damaged one goes."""
        final = self.folder.parent / name
        with writing(final.parent):
            self._rename(final)
        return Pack.open(final)

    def _rename(self, final: Path) -> None:
        with suppress(DataError):
            Pack.open(final)
            return
        if final.exists():
            broken = _aside(final.parent, final.name.partition("-")[0])
            os.rename(final, broken)
            shutil.rmtree(broken, ignore_errors=True)
        try:
            os.rename(self.folder, final)
        except OSError:
            # Where locks do not work, another builder may have been faster; anything else is an error.
            if not final.exists():
                raise


@contextmanager
def being_written(root: Path, key: str) -> Iterator[Unfinished]:
    """Make a folder for a pack of this key; what was not installed at the end is removed."""
    folder = _aside(root, key)
    try:
        with writing(root):
            folder.mkdir()
        yield Unfinished(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _aside(root: Path, key: str) -> Path:
    return root / f".{key}-{secrets.token_hex(4)}.tmp"


@contextmanager
def building(root: Path, key: str) -> Iterator[None]:
    """Wait for other builders of the same pack, and remove what killed builders left of any."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with _lock(root, key) as locked:
        if locked:
            _remove_leftovers(root, key)
        yield


def _remove_leftovers(root: Path, own_key: str) -> None:
    """Remove folders of unfinished packs whose lock is free: no living process is at them."""
    for folder in root.glob(".*-*.tmp"):
        key = folder.name[1:].partition("-")[0]
        if key == own_key:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        with _lock(root, key, wait=False) as locked:
            if locked:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(root: Path, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a pack's lock, which ends with the process; yields whether it is held.

    It is not when another process has it and `wait` is false, or when the file system has no
    locks. The lock files stay: removing one is a race with whoever has just opened it.
    """
    with writing(root):
        file = open(root / f".{key}.lock", "ab")  # noqa: SIM115 - closed below, outside of writing()
    with file:
        yield _try_lock(file, wait)


def _try_lock(file: IO[bytes], wait: bool) -> bool:
    """Lock a file until it is closed; false when that cannot be."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one for people."""
    try:
        yield
    except OSError as error:
        raise DigitspotError(
            f"cannot write {path}: {error.strerror or error}",
            hint="Free space, or set DIGITSPOT_CACHE to a folder that can be written.",
        ) from error
