"""A split decoded once. The format, and reading it.

A pack is a folder:

- `shard-00000.rgb`, `shard-00001.rgb`, ...: uint8 `[H, W, 3]` images back to back. A shard ends before the
  image that would exceed 64 MiB, so a larger image has a shard of its own.
- `index.npz`: the columns of `digitspot.dataset.samples.Index`, one row an image, in the order of the shards.
  The order is the label file's, shuffled by a seed. Every image has a CRC-32.
- `pack.json`: `format`, `decoding`, `categories` (ids of the digits 0 to 9), `longest_side` (larger images
  are reduced to it, null keeps all), `seed`, `shard_sizes` (bytes), `source` (the label file). It is written
  last: a folder without it is no pack.
- `sources.npz`: the images' files (`digitspot.dataset.pack_cache.Sources`). Only the cache needs it.

Nothing in it is pickled. `digitspot.dataset.pack_build` makes packs and `pack_cache` keeps them.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.dataset.samples import Index, Samples, image_bytes, rows_of
from digitspot.errors import DataError
from digitspot.files import writing_whole
from digitspot.labels.labels import CategoryMap, LabelSet
from digitspot.types import ImageArray, IntArray

FORMAT = 1
"""Raised when the files of older packs can no longer be read."""
DECODING = 2
"""Raised when images decode to other pixels than before: the cache builds its packs again."""
SHARD_BYTES = 64 * 2**20
INDEX_FILE = "index.npz"
META_FILE = "pack.json"


def shard_name(shard: int) -> str:
    """Return a shard's file name.

    >>> shard_name(3)
    'shard-00003.rgb'
    """
    return f"shard-{shard:05d}.rgb"


def lay_out(num_bytes: IntArray) -> tuple[IntArray, IntArray]:
    """Put images of given sizes, `[N]`, into shards in order.

    Returns:
        The shard, `[N]`, and the offset within it, `[N]`.
    """
    shard_of, offsets = np.zeros((2, len(num_bytes)), np.int64)
    shard = end = 0
    for i, size in enumerate(num_bytes.tolist()):
        if end and end + size > SHARD_BYTES:
            shard, end = shard + 1, 0
        shard_of[i], offsets[i] = shard, end
        end += size
    return shard_of, offsets


def pack_index(labels: LabelSet, rows: IntArray, sizes_hw: IntArray, crcs: npt.NDArray[np.uint32]) -> Index:
    """Return the columns of a pack.

    Args:
        labels: The labels.
        rows: int64 `[N]`, the row of `labels` of each image of the pack.
        sizes_hw: int64 `[N, 2]`, as stored.
        crcs: uint32 `[N]`, the checksums.
    """
    shard_of, offsets = lay_out(image_bytes(sizes_hw))
    box_starts, box_rows = rows_of(labels.offsets, rows)
    return Index(
        image_ids=labels.image_ids[rows],
        file_names=np.array(labels.file_names, np.str_)[rows],
        source_rows=rows,
        sizes_hw=sizes_hw,
        original_sizes_hw=labels.sizes_hw[rows],
        shard_of=shard_of,
        offsets=offsets,
        crcs=crcs,
        box_starts=box_starts,
        boxes=labels.boxes[box_rows],
        labels=labels.labels[box_rows],
        crowd=labels.crowd[box_rows],
    )


def shard_sizes(index: Index) -> list[int]:
    """Return the bytes of each shard."""
    sizes = np.zeros(int(index.shard_of.max(initial=-1)) + 1, np.int64)
    np.add.at(sizes, index.shard_of, image_bytes(index.sizes_hw))
    return sizes.tolist()


def write_index(
    folder: Path, index: Index, categories: CategoryMap, *, longest_side: int | None, seed: int, source: str
) -> None:
    """Write what makes a folder of shards a pack; `pack.json` comes last."""
    with writing_whole(folder / INDEX_FILE, "wb") as file:
        np.savez(file, **vars(index))
    meta = {
        "format": FORMAT,
        "decoding": DECODING,
        "categories": list(map(int, categories.ids)),
        "longest_side": longest_side,
        "seed": seed,
        "source": source,
        "shard_sizes": shard_sizes(index),
    }
    with writing_whole(folder / META_FILE) as file:
        json.dump(meta, file, indent=1)


class Pack(Samples):
    """A split's images and labels, ready to be read in any order and by any number of processes.

    Images are read into buffers and not mapped: the pages of the file never count as the reader's memory,
    and a cut file is an error instead of a bus error.
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
        meta = read_meta(path)
        try:
            with (path / INDEX_FILE).open("rb") as file, np.load(file, allow_pickle=False) as columns:
                index = Index(**columns)
        except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise _damaged(path / INDEX_FILE, "is missing or damaged") from error
        pack = cls(path, meta, index)
        pack.check_shards()
        return pack

    def check_shards(self) -> None:
        """Compare the sizes of the shards with those written.

        Raises:
            DataError: One is missing or cut.
        """
        for shard, expected in enumerate(self.shard_sizes.tolist()):
            _check_size(self.path / shard_name(shard), expected)

    def __repr__(self) -> str:
        return f"Pack({str(self.path)!r}: {len(self)} images, {self.nbytes / 2**20:.0f} MiB)"

    def image(self, i: int, *, verify: bool = True) -> ImageArray:
        """Read an image as stored, uint8 `[H, W, 3]`, an array of the caller's own.

        Args:
            i: The image's index in the pack, 0 to `len(self) - 1`.
            verify: Compare the bytes with their CRC-32.

        Raises:
            DataError: The shard is missing, cut, or its bytes changed; names the shard and the image.
        """
        height, width = self.sizes_hw[i].tolist()
        image = np.empty((height, width, 3), np.uint8)
        self._read(range(len(self))[i], 1, image.data.cast("B"), verify)
        return image

    def read_into(self, indices: Sequence[int], buffer: memoryview) -> None:
        """Write the bytes of images back to back; neighbours in a shard are read at once.

        Args:
            indices: Rising.
            buffer: As long as the images together.

        Raises:
            DataError: As for `image`; every checksum is compared.
        """
        end = 0
        for first, num in self._runs(indices):
            num_bytes = int(image_bytes(self.sizes_hw[first : first + num]).sum())
            self._read(first, num, buffer[end : end + num_bytes], verify=True)
            end += num_bytes

    def _runs(self, indices: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Cut rising indices into runs (first, how many) that lie together in one shard."""
        wanted = np.asarray(indices, np.int64)
        breaks = (np.diff(wanted) != 1) | (np.diff(self._index.shard_of[wanted]) != 0)
        starts = np.flatnonzero(np.concatenate([[True], breaks]))[: len(wanted)]
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(wanted)], strict=False):
            yield int(wanted[start]), end - start

    def _read(self, first: int, num: int, buffer: memoryview, verify: bool) -> None:
        """Read images that lie together in one shard."""
        path = self.path / shard_name(int(self._index.shard_of[first]))
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


def read_meta(path: Path) -> dict[str, Any]:
    """Read `pack.json`.

    Raises:
        DataError: It is missing, damaged or of another format.
    """
    try:
        meta: dict[str, Any] = json.loads((path / META_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not a pack: it has no {META_FILE}") from error
    except (OSError, ValueError) as error:
        raise _damaged(path / META_FILE, "cannot be read") from error
    if meta.get("format") != FORMAT:
        raise _damaged(path, f"is a pack of format {meta.get('format')}; this version reads format {FORMAT}")
    return meta


def _read_at(buffer: memoryview, path: Path, offset: int) -> int:
    """Fill `buffer` from a file at `offset`; return how many bytes were missing.

    The file is opened for every read, a few microseconds. So there is no descriptor to inherit, to share a
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


def _check_size(path: Path, expected: int) -> None:
    found = path.stat().st_size if path.is_file() else -1
    if found != expected:
        state = "is missing" if found < 0 else f"is cut: {found:,} bytes" if found < expected else "has grown"
        raise _damaged(path, f"{state}; {expected:,} bytes were written")


def _damaged(path: Path, state: str) -> DataError:
    folder = path if path.is_dir() else path.parent
    return DataError(
        f"{path} {state}", hint=f"Delete the folder {folder}: the next training builds it again."
    )
