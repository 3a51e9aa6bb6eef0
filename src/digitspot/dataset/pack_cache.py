"""The folder of packs: found by their content, one builder at a time, whole or not there, within a limit.

A pack's folder is named by a hash of its labels and settings, then a hash of its images. Images are compared
by size and times. Only where those differ, their contents are hashed: a touched, copied or moved folder is
the same source, and an image replaced by one of equal size is not.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt

from digitspot.dataset.pack import DECODING, FORMAT, META_FILE, SHARD_BYTES, Pack
from digitspot.errors import DataError, DigitspotError
from digitspot.files import cache_folder, writing_whole
from digitspot.labels.labels import LabelSet
from digitspot.types import IntArray

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed
    fcntl = None  # type: ignore[assignment]

SOURCES_FILE = "sources.npz"
DIGEST_BYTES = 16


def default_pack_root() -> Path:
    """Return the folder for packs; not beside the data, which may be read-only."""
    return cache_folder() / "packs"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """The images of a pack as they were, in the label file's order.

    Attributes:
        images_dir: Resolved; the times of files elsewhere say nothing about these.
        stats: int64 `[N, 3]`: size in bytes, mtime and ctime in nanoseconds. The ctime also gives away a
            replaced image whose mtime was set back.
        digests: uint8 `[N, 16]`, blake2b of the contents.
    """

    images_dir: str
    stats: IntArray
    digests: npt.NDArray[np.uint8]

    @property
    def key(self) -> str:
        """Names the images' contents, 16 hex digits."""
        return blake2b(self.digests.tobytes(), digest_size=8).hexdigest()

    def save(self, pack: Path) -> None:
        """Write into a pack's folder, replacing what is there."""
        with writing_whole(pack / SOURCES_FILE, "wb") as file:
            np.savez(file, images_dir=self.images_dir, stats=self.stats, digests=self.digests)

    @classmethod
    def load(cls, pack: Path) -> Sources | None:
        """Read from a pack's folder; None where there is nothing to be read."""
        try:
            with np.load(pack / SOURCES_FILE, allow_pickle=False) as columns:
                return cls(
                    images_dir=str(columns["images_dir"]), stats=columns["stats"], digests=columns["digests"]
                )
        except (EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None


def labels_key(labels: LabelSet, *, longest_side: int | None, seed: int) -> str:
    """Name the labels and the settings by their content, wherever the file lies: 16 hex digits."""
    ids = list(map(int, labels.categories.ids))
    head = [FORMAT, DECODING, SHARD_BYTES, longest_side, seed, ids, list(labels.file_names)]
    hasher = blake2b(json.dumps(head).encode(), digest_size=8)
    for name in ("image_ids", "sizes_hw", "offsets", "boxes", "labels", "crowd"):
        hasher.update(getattr(labels, name).tobytes())
    return hasher.hexdigest()


def digest(content: bytes) -> bytes:
    """Return the hash of an image's file."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def stat_row(stat: os.stat_result) -> tuple[int, int, int]:
    """Return a row of `Sources.stats`."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def find_pack(root: Path, key: str, labels: LabelSet, images_dir: Path) -> Pack | None:
    """Open the pack of these labels whose images are the same; one that is damaged does not count."""
    for path in sorted(root.glob(f"{key}-*")):
        with suppress(DataError):
            pack = open_in_use(path)
            if _same_images(path, labels, images_dir):
                return pack
    return None


def open_in_use(path: Path) -> Pack:
    """Open a pack of the cache; while the object lives, no process removes the pack.

    Raises:
        DataError: As for `Pack.open`.
    """
    with suppress(OSError):  # a folder that cannot be written to is not ours to clear
        os.utime(path / META_FILE)  # when it was last used
        descriptor = os.open(path / META_FILE, os.O_RDONLY)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            pack = Pack.open(path)
        except BaseException:
            os.close(descriptor)
            raise
        weakref.finalize(pack, os.close, descriptor)
        return pack
    return Pack.open(path)


def _same_images(pack: Path, labels: LabelSet, images_dir: Path) -> bool:
    """Tell whether the images of a label set are those that a pack was made from.

    Where only times or the folder differ, they are noted in the pack, so that the next call need not hash.
    A pack that cannot be written stays as it is.
    """
    known = Sources.load(pack)
    if known is None or len(known.stats) != len(labels):
        return False
    paths = [images_dir / name for name in labels.file_names]
    stats = np.full((len(paths), 3), -1, np.int64)
    for row, path in zip(stats, paths, strict=True):
        with suppress(OSError):
            row[:] = stat_row(path.stat())
    if not np.array_equal(stats[:, 0], known.stats[:, 0]):
        return False
    here = str(images_dir.resolve())
    changed = (stats != known.stats).any(axis=1) | (here != known.images_dir)
    if not _digests_agree([paths[i] for i in np.flatnonzero(changed)], known.digests[changed]):
        return False
    if changed.any():
        with suppress(DigitspotError):
            Sources(images_dir=here, stats=stats, digests=known.digests).save(pack)
    return True


def _digests_agree(paths: Sequence[Path], expected: npt.NDArray[np.uint8]) -> bool:
    """Tell whether every file has its digest, `[N, 16]`; stops soon after the first that has not."""

    def agrees(path: Path, wanted: npt.NDArray[np.uint8]) -> bool:
        try:
            return digest(path.read_bytes()) == wanted.tobytes()
        except OSError:
            return False

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # hashing and reading release the GIL
    try:
        return all(pool.map(agrees, paths, expected))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def building(root: Path, key: str) -> Iterator[Path]:
    """Wait for other builders of the same pack; yields a folder to write the pack into.

    At the end the folder is removed, unless `install` moved it. What killed builders left is removed, too.
    """
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / f".{key}.lock")
        with suppress(
            NotImplementedError
        ):  # this file system has no locks: `install` copes with two builders
            lock.acquire()
    folder = _aside(root, key)
    try:
        remove_leftovers(root, key)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def install(folder: Path, name: str) -> Pack:
    """Rename the folder of a finished pack, in place of a damaged one of the same name."""
    root, final = folder.parent, folder.parent / name
    with writing(root):
        _discard(final)
        try:
            os.rename(folder, final)
        except OSError:
            if not final.exists():  # else another builder was faster
                raise
    return open_in_use(final)


def _aside(root: Path, key: str) -> Path:
    return root / f".{key}-{secrets.token_hex(4)}.tmp"


def _discard(path: Path) -> None:
    """Remove a folder; nobody sees half of it."""
    aside = _aside(path.parent, path.name.partition("-")[0])
    with suppress(FileNotFoundError):
        os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def discard_unused(path: Path) -> bool:
    """Remove a pack that no process uses (`open_in_use`); returns whether it is gone."""
    try:
        with open(path / META_FILE, "rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _discard(path)
    except FileNotFoundError:  # what has no such file is no pack
        _discard(path)
    except OSError:
        return False
    return not path.exists()


def remove_leftovers(root: Path, own_key: str | None = None) -> None:
    """Remove folders of unfinished packs whose lock is free: no living process is at them."""
    for folder in root.glob(".*-*.tmp"):
        key = folder.name[1:].partition("-")[0]
        if key == own_key:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        with (
            suppress(filelock.Timeout, NotImplementedError),
            filelock.FileLock(root / f".{key}.lock", timeout=0),
        ):
            shutil.rmtree(folder, ignore_errors=True)


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
