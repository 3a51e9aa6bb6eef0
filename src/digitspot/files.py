"""Files that are either whole or not there: written aside, then renamed; and text files, read whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path, PurePath
from typing import IO, Any, cast

from digitspot.errors import ConfigError, DataError, DigitspotError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


@contextmanager
def writing_together(folder: Path, earlier: Iterable[str]) -> Iterator[Path]:
    """Give a folder to write into; its content moves into `folder` when the block ends without an error.

    So a full disk or an interruption leaves what was in `folder` as it was.

    Args:
        folder: Where the files will be; made when missing.
        earlier: Files that are removed from it first, since they belong to what is replaced.

    Raises:
        DigitspotError: The folder cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    aside = folder / f".new.{os.getpid()}.tmp"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        yield aside
        for path in (folder / name for name in earlier):
            path.unlink(missing_ok=True)
            if path.parent != folder:
                with suppress(OSError):  # other files are in it, or it is not there
                    path.parent.rmdir()
        for path in (path for path in sorted(aside.rglob("*")) if path.is_file()):
            target = folder / path.relative_to(aside)
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        for each in made:
            with suppress(OSError):  # not empty: all went well
                each.rmdir()


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


@contextmanager
def claiming(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; the file is gone afterwards.

    The lock is this process's own (a POSIX record lock): a killed process leaves none, its children hold
    none (so not flock, which loader processes would go on holding), and other machines that share the folder
    see it. Where the system has no such locks, all is claimed.

    Args:
        path: The lock file; its folder is made when missing, and removed when nothing else came into it.

    Yields:
        Whether no other process holds it.

    Raises:
        DigitspotError: The folder cannot be written.
    """
    if fcntl is None:
        yield True
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")  # noqa: SIM115 - closed by the block below
    except OSError as error:
        raise write_error(path, error) from error
    with file:
        if not _locks(file, path):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(OSError):
                path.unlink()
            with suppress(OSError):
                path.parent.rmdir()


def _locks(file: IO[str], path: Path) -> bool:
    """Lock an open file; not so where its last holder has removed it meanwhile."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # this file system has no locks
        return True
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path))


def data_path(text: str | Path) -> Path:
    """Return a path, or for an URL what opens it by fsspec.

    Raises:
        ConfigError: A package for that kind of URL is missing.
    """
    if "://" not in str(text):
        return Path(text)
    try:
        from upath import UPath

        return cast(Path, UPath(str(text)))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{text} cannot be opened: {error}", hint="Install what opens URLs: pip install 'digitspot[url]'."
        ) from error


def is_remote(path: Path) -> bool:
    """Tell whether a path is that of an URL."""
    return not isinstance(path, PurePath)


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again: $DIGITSPOT_CACHE, else the user's."""
    if own := os.environ.get("DIGITSPOT_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitspot"


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal or a page would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def digest(path: Path) -> str:
    """Return sixteen hexadecimal digits that tell a file's content from others (blake2b).

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:16]


def write_error(path: Path, error: OSError) -> DigitspotError:
    """Say in words why `path` could not be written."""
    return DigitspotError(
        f"cannot write {path}: {error.strerror or error}",
        hint="Choose another --output, or free space and give the folder write permission.",
    )


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: It is missing, empty, cut off or not JSON, with the line and column.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        what = "is cut off" if cut else "is not JSON"
        raise DataError(
            f"{path}: {what}: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="Copy or download the file again." if cut else None,
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON that can be read: {error}") from error


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        DataError: It is missing, empty or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    return text


_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""What files of each kind begin with."""


def _not_text(path: Path) -> DataError:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            return DataError(f"{path}: is compressed ({kind})", hint="Unpack it first.")
    return DataError(f"{path}: not a text file in UTF-8")


def encodable(text: str) -> str:
    """Escape what a file in UTF-8 cannot hold, as bytes of a file name that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
