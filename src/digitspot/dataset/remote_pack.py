"""Packs at an URL, as in object storage: of shards, only the ranges that a part needs are fetched.

A data set at an URL is a folder with `train.pack` and `valid.pack` (`digitspot.dataset.pack`). Any URL that
fsspec opens will do. `valid` is read again and again, so it is copied into the cache whole.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.dataset.pack import INDEX_FILE, META_FILE, Pack, shard_name
from digitspot.dataset.pack_cache import building, install, open_in_use
from digitspot.dataset.sampler import BLOCK_IMAGES
from digitspot.dataset.samples import image_bytes
from digitspot.errors import DataError
from digitspot.progress import stderr
from digitspot.types import ImageArray

NUM_REQUESTS = 8
"""Ranges that are asked for at a time, where the file system can; each is about 1 MiB of house numbers."""
FETCHED_BYTES = 16 * 2**20
"""The most that is held of what was fetched, beside the part itself; a larger image is fetched alone."""
TRIES = 5
FIRST_WAIT_SECONDS = 0.5
"""Before the second try; it doubles."""


class RemotePack(Pack):
    """A pack at an URL. Its index is in memory; bytes are compared with their CRC-32, and fetched again."""

    def check_shards(self) -> None:
        """Leave it to the reading: a request for each shard would take long."""

    def image(self, i: int, *, verify: bool = True) -> ImageArray:
        """Fetch an image, uint8 `[H, W, 3]`.

        Raises:
            DataError: It could not be fetched, or its bytes changed; names the shard and the image.
        """
        i = range(len(self))[i]
        [piece] = self._fetch([(i, 1)])
        return np.frombuffer(bytearray(piece), np.uint8).reshape(*self.sizes_hw[i].tolist(), 3)

    def read_into(self, indices: Sequence[int], buffer: memoryview) -> None:
        """Write the bytes of images back to back; neighbours in a shard are one request.

        Args:
            indices: Rising.
            buffer: As long as the images together.

        Raises:
            DataError: As for `image`.
        """
        end = 0
        for group in self._groups(indices):
            for piece in self._fetch(group):
                buffer[end : end + len(piece)] = piece
                end += len(piece)

    def _groups(self, indices: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
        """Cut rising indices into runs (first, how many), grouped by what is fetched at a time."""
        group: list[tuple[int, int]] = []
        num_bytes = 0
        for start, num in self._runs(indices):
            for first in range(start, start + num, BLOCK_IMAGES):
                run = (first, min(BLOCK_IMAGES, start + num - first))
                size = self._size(run)
                if group and (len(group) == NUM_REQUESTS or num_bytes + size > FETCHED_BYTES):
                    yield group
                    group, num_bytes = [], 0
                group.append(run)
                num_bytes += size
        if group:
            yield group

    def _size(self, run: tuple[int, int]) -> int:
        return int(image_bytes(self.sizes_hw[run[0] : sum(run)]).sum())

    def _fetch(self, runs: list[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each run; what is missing or damaged is asked for again."""
        pieces: dict[tuple[int, int], bytes] = {}
        why = ""
        for attempt in range(TRIES):
            if attempt:
                stderr().print(f"{why}; trying again", markup=False)
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            left = [run for run in runs if run not in pieces]
            for run, answer in zip(left, self._ask(left), strict=True):
                fault = self._fault(run, answer)
                if fault is None and isinstance(answer, bytes):
                    pieces[run] = answer
                why = fault or why
            if len(pieces) == len(runs):
                return [pieces[run] for run in runs]
        raise DataError(f"{why}, after {TRIES} tries", hint="Run the same command again to resume.")

    def _ask(self, runs: list[tuple[int, int]]) -> list[bytes | Exception]:
        """Ask for ranges; an error stands in the place of what it kept away."""
        files, root = _opened(self.path)
        paths = [f"{root}/{shard_name(int(self.shard_of[first]))}" for first, _ in runs]
        starts = [int(self._index.offsets[first]) for first, _ in runs]
        ends = [start + self._size(run) for start, run in zip(starts, runs, strict=True)]
        answers: list[bytes | Exception] = files.cat_ranges(paths, starts, ends, on_error="return")
        return answers

    def _fault(self, run: tuple[int, int], answer: bytes | Exception) -> str | None:
        """Return what is wrong with an answer, if anything."""
        path = self.path / shard_name(int(self.shard_of[run[0]]))
        if isinstance(answer, Exception):
            return f"{path} cannot be read: {answer or type(answer).__name__}"
        if len(answer) != self._size(run):
            return f"{path} is cut: {len(answer):,} of {self._size(run):,} bytes came"
        end = 0
        for i in range(run[0], sum(run)):
            start, end = end, end + int(self.num_bytes[i])
            if zlib.crc32(memoryview(answer)[start:end]) != self._index.crcs[i]:
                return f"{path} is damaged: the bytes of {self.file_names[i]} are not those written"
        return None


def open_remote(path: Path, root: Path, *, copied: bool) -> Pack:
    """Open a pack at an URL.

    Args:
        path: Its folder, universal_pathlib's.
        root: The cache.
        copied: Whether to copy it there whole, once.

    Raises:
        DataError: There is none, it is of another format, or its index cannot be read.
    """
    if not copied:
        return RemotePack.open(path)
    try:
        key = blake2b((path / INDEX_FILE).read_bytes(), digest_size=8).hexdigest()
        shards = [shard_name(shard) for shard in range(RemotePack.open(path).num_shards)]
        kept = root / f"{key}-remote"
        if kept.is_dir():
            return open_in_use(kept)
        with building(root, key) as folder:
            if kept.is_dir():  # another process copied it meanwhile
                return open_in_use(kept)
            folder.mkdir()
            files, where = _opened(path)
            for name in (*shards, INDEX_FILE, META_FILE):
                files.get_file(f"{where}/{name}", str(folder / name))
            return install(folder, kept.name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _opened(path: Any) -> tuple[Any, str]:
    """Return the file system of universal_pathlib's path, as fsspec has it, and the path in it."""
    return path.fs, path.path
