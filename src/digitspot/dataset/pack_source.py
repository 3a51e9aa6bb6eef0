"""What a pack was made from: is it still the same?

The labels and the options name the pack (`labels_key`). The images are compared by size and
times, which costs a stat each; only where those differ are contents hashed. A touched, copied or
moved folder is thus the same source, and an image replaced by one of equal size is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digitspot.dataset.pack import FORMAT, SHARD_BYTES
from digitspot.errors import DigitspotError
from digitspot.files import writing_whole
from digitspot.labels.labels import LabelSet
from digitspot.types import IntArray

SOURCES_FILE = "sources.npz"
DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """The images of a pack as they were, in the label file's order.

    Attributes:
        images_dir: Resolved; the times of files elsewhere say nothing about these.
        stats: int64 `[N, 3]`: size in bytes, mtime and ctime in nanoseconds. The ctime also gives
            away a replaced image whose mtime was set back.
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
    """Name the labels and the options by their content, wherever the file lies: 16 hex digits."""
    rows = [
        [int(row.image_id), row.file_name, *map(int, row.size_hw), len(row.boxes)] for row in labels.images
    ]
    head = [FORMAT, SHARD_BYTES, longest_side, seed, list(map(int, labels.categories.ids)), rows]
    hasher = blake2b(json.dumps(head).encode(), digest_size=8)
    for row in labels.images:
        hasher.update(row.boxes.tobytes() + row.labels.tobytes() + row.crowd.tobytes())
    return hasher.hexdigest()


def digest(content: bytes) -> bytes:
    """Return the hash of an image's file."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def stat_row(stat: os.stat_result) -> tuple[int, int, int]:
    """Return a row of `Sources.stats`."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def same_images(pack: Path, labels: LabelSet, images_dir: Path) -> bool:
    """Tell whether the images of a label set are those that a pack was made from.

    Where only times or the place differ, the pack is told the new ones, so that the next call
    need not hash; a pack that cannot be written stays as it is.
    """
    known = Sources.load(pack)
    if known is None or len(known.stats) != len(labels):
        return False
    paths = [images_dir / image.file_name for image in labels.images]
    stats = _stat_all(paths)
    if not np.array_equal(stats[:, 0], known.stats[:, 0]):
        return False
    here = str(images_dir.resolve())
    changed = (stats != known.stats).any(axis=1) | (here != known.images_dir)
    if not _digests_agree([paths[i] for i in np.flatnonzero(changed)], known.digests[changed]):
        return False
    if changed.any():
        with contextlib.suppress(DigitspotError):
            Sources(images_dir=here, stats=stats, digests=known.digests).save(pack)
    return True


def _stat_all(paths: Sequence[Path]) -> IntArray:
    """Return `Sources.stats` of files, `[N, 3]`; a row of -1 for one that is not there."""
    stats = np.full((len(paths), 3), -1, np.int64)
    for row, path in zip(stats, paths, strict=True):
        with contextlib.suppress(OSError):
            row[:] = stat_row(path.stat())
    return stats


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
