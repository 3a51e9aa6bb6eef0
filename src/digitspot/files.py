"""Files that are either whole or not there: written aside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from digitspot.errors import DigitspotError


@contextmanager
def writing_whole(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears at `path` only when the block ends without an error.

    Args:
        path: Where the file will be; its folder is made when missing.
        mode: "w" for text (UTF-8, newlines as written) or "wb".

    Raises:
        DigitspotError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def check_writable(folder: Path) -> None:
    """See, before long work begins, that a folder can be made and written to; leaves things as they were.

    Raises:
        DigitspotError: It cannot.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        for place in missing:
            with suppress(OSError):
                place.rmdir()


def write_error(path: Path, error: OSError) -> DigitspotError:
    """Say in words why `path` could not be written."""
    return DigitspotError(
        f"cannot write {path}: {error.strerror or error}",
        hint="Choose another --output, or free space and give the folder write permission.",
    )
