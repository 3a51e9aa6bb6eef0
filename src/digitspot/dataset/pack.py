"""A split decoded once: shards of raw pixels, and an index of a few numpy arrays.

A pack is a folder:

- `shard-00000.rgb`, ...: uint8 `[H, W, 3]` images back to back, about 64 MiB a file;
- `index.npz`: one array a column, in the order of the shards (the label file's, shuffled by the seed);
- `pack.json`: format, options, categories, the size of each shard;
- `sources.npz`: what the pack was made from (`digitspot.dataset.pack_source`), not needed for reading.

Nothing in it is pickled. `digitspot.dataset.pack_build` makes packs.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.dataset.samples import Index, Samples, image_bytes
from digitspot.errors import DataError
from digitspot.labels.labels import CategoryMap
from digitspot.types import ImageArray, IntArray

FORMAT = 1
"""Raised when older packs, or the pixels that they hold, can no longer be used."""
SHARD_BYTES = 64 * 2**20
INDEX_FILE = "index.npz"
META_FILE = "pack.json"

_REBUILD = "Delete the folder {}: the next training builds it again."


def shard_name(shard: int) -> str:
    """Return a shard's file name.

    >>> shard_name(3)
    'shard-00003.rgb'
    """
    return f"shard-{shard:05d}.rgb"


class Pack(Samples):
    """A split's images and labels, ready to be read in any order and by any number of processes.

    Images are read into buffers and not mapped, so that the pages of the file never count as the
    reader's memory and a cut file is an error instead of a bus error.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], index: Index) -> None:
        super().__init__(index, CategoryMap(tuple(meta["categories"])))
        self.path = path
        self.longest_side: int | None = meta["longest_side"]
        self.seed: int = meta["seed"]
        self.shard_sizes: IntArray = np.array(meta["shard_sizes"], np.int64)  # bytes

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Open a finished pack; reads the index and the sizes of the shards, no pixels.

        Raises:
            DataError: There is no pack, it is of another format, or a file of it is missing or cut.
        """
        meta = _read_meta(path)
        try:
            with np.load(path / INDEX_FILE, allow_pickle=False) as columns:
                index = Index(**columns)
        except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise _damaged(path / INDEX_FILE, f"is missing or damaged ({error})") from error
        pack = cls(path, meta, index)
        for shard, expected in enumerate(pack.shard_sizes.tolist()):
            _check_size(path / shard_name(shard), expected)
        return pack

    def __repr__(self) -> str:
        return f"Pack({str(self.path)!r}: {len(self)} images, {self.nbytes / 2**20:.0f} MiB)"

    def image(self, i: int, *, verify: bool = True) -> ImageArray:
        """Read an image as stored, uint8 `[H, W, 3]`, an array of the caller's own.

        Args:
            i: The image's place in the pack, 0 to `len(self) - 1`.
            verify: Compare the bytes with their CRC-32.

        Raises:
            DataError: The shard is missing, cut, or its bytes changed; names the shard and the image.
        """
        height, width = self.sizes_hw[i].tolist()
        image = np.empty((height, width, 3), np.uint8)
        self._read(range(len(self))[i], 1, image.data.cast("B"), verify)
        return image

    def read_into(self, places: Sequence[int], buffer: memoryview) -> None:
        """Write the bytes of images back to back; neighbours of a shard are read at once.

        Args:
            places: Rising.
            buffer: As long as the images together.

        Raises:
            DataError: As for `image`; every checksum is compared.
        """
        end = 0
        for first, num in self._runs(places):
            num_bytes = int(image_bytes(self.sizes_hw[first : first + num]).sum())
            self._read(first, num, buffer[end : end + num_bytes], verify=True)
            end += num_bytes

    def _runs(self, places: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Cut rising places into runs (first, how many) that lie together in one shard."""
        wanted = np.asarray(places, np.int64)
        breaks = (np.diff(wanted) != 1) | (np.diff(self.shard_of[wanted]) != 0)
        starts = np.flatnonzero(np.concatenate([[True], breaks]))[: len(wanted)]
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(wanted)], strict=False):
            yield int(wanted[start]), end - start

    def _read(self, first: int, num: int, buffer: memoryview, verify: bool) -> None:
        """Read images that lie together in one shard."""
        path = self.path / shard_name(int(self.shard_of[first]))
        missing = _read_at(buffer, path, int(self._index.offsets[first]))
        if missing:
            raise _damaged(path, f"is cut: {missing} bytes of {self.file_names[first + num - 1]} are missing")
        end = 0
        for i in range(first, first + num) if verify else ():
            start, end = end, end + 3 * int(self.sizes_hw[i].prod())
            if zlib.crc32(buffer[start:end]) != self._index.crcs[i]:
                raise _damaged(path, f"is damaged: the bytes of {self.file_names[i]} are not those written")

    @property
    def shard_of(self) -> IntArray:
        """The shard that holds each image, int64 `[N]`, never decreasing."""
        return self._index.shard_of

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return len(self.shard_sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return int(self.shard_sizes.sum())


def _read_at(buffer: memoryview, path: Path, offset: int) -> int:
    """Fill `buffer` from a file at `offset`; return how many bytes were missing.

    The file is opened for every read, a few microseconds: no descriptor to inherit, to share a
    position with a forked process, or to run out of when there are thousands of shards.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            while buffer and (num_read := file.readinto(buffer)):
                buffer = buffer[num_read:]
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from error
    return len(buffer)


def _read_meta(path: Path) -> Mapping[str, Any]:
    try:
        meta: Mapping[str, Any] = json.loads((path / META_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not a pack: it has no {META_FILE}") from error
    except (OSError, ValueError) as error:
        raise _damaged(path / META_FILE, f"cannot be read ({error})") from error
    if meta["format"] != FORMAT:
        raise _damaged(path, f"is a pack of format {meta['format']}; this version reads format {FORMAT}")
    return meta


def _check_size(path: Path, expected: int) -> None:
    found = path.stat().st_size if path.is_file() else -1
    if found != expected:
        state = "is missing" if found < 0 else f"is cut: {found:,} bytes" if found < expected else "has grown"
        raise _damaged(path, f"{state}; {expected:,} bytes were written")


def _damaged(path: Path, state: str) -> DataError:
    folder = path if path.is_dir() else path.parent
    return DataError(f"{path} {state}", hint=_REBUILD.format(folder))
