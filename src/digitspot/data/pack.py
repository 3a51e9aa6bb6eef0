"""A split decoded once: shards of raw pixels, and an index of a few numpy arrays.

A pack is a folder:

- `shard-00000.rgb`, ...: uint8 `[H, W, 3]` images back to back, about 64 MiB a file;
- `index.npz`: one array a column, in the order of the shards (the label file's, shuffled by the seed);
- `pack.json`: format, options, categories, the size of each shard;
- `sources.npz`: what the pack was made from (`digitspot.data.pack_source`), not needed for reading.

Nothing in it is pickled. `digitspot.data.pack_build` makes packs.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.data.labels import CategoryMap
from digitspot.errors import DataError
from digitspot.structures import FloatArray, ImageArray, IntArray

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The columns of a pack of N images with M boxes, as `index.npz` holds them.

    Attributes:
        image_ids: int64 `[N]`, the label file's ids.
        file_names: str `[N]`, relative to the image folder.
        source_rows: int64 `[N]`, the image's place in the label file.
        sizes_hw: int64 `[N, 2]`, height and width as stored.
        original_sizes_hw: int64 `[N, 2]`, height and width of the picture itself.
        shard_of: int64 `[N]`, never decreasing.
        offsets: int64 `[N]`, in bytes from the start of the shard.
        crcs: uint32 `[N]`, CRC-32 of the stored bytes.
        box_starts: int64 `[N + 1]`: image i has the boxes `box_starts[i]` to `box_starts[i + 1]`.
        boxes: float32 `[M, 4]`, x1 y1 x2 y2 in pixels of the original picture.
        labels: int64 `[M]`, digit + 1.
        crowd: bool `[M]`, COCO's `iscrowd`.
    """

    image_ids: IntArray
    file_names: npt.NDArray[np.str_]
    source_rows: IntArray
    sizes_hw: IntArray
    original_sizes_hw: IntArray
    shard_of: IntArray
    offsets: IntArray
    crcs: npt.NDArray[np.uint32]
    box_starts: IntArray
    boxes: FloatArray
    labels: IntArray
    crowd: npt.NDArray[np.bool_]


class Pack:
    """A split's images and labels, ready to be read in any order and by any number of processes.

    It holds numpy arrays only and no open file: it pickles, and forked workers share its memory.
    Images are read into buffers and not mapped, so that the pages of the file never count as the
    reader's memory and a cut file is an error instead of a bus error.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], index: Index) -> None:
        self.path = path
        self.categories = CategoryMap(tuple(meta["categories"]))
        self.longest_side: int | None = meta["longest_side"]
        self.seed: int = meta["seed"]
        self.shard_sizes: IntArray = np.array(meta["shard_sizes"], np.int64)  # bytes
        self._index = index

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

    def __len__(self) -> int:
        return len(self._index.image_ids)

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
        height, width = self._index.sizes_hw[i].tolist()
        image = np.empty((height, width, 3), np.uint8)
        path = self.path / shard_name(int(self._index.shard_of[i]))
        missing = _read_into(image.data.cast("B"), path, int(self._index.offsets[i]))
        if missing:
            raise _damaged(path, f"is cut: {missing} bytes of {self.file_names[i]} are missing")
        if verify and zlib.crc32(image.data) != self._index.crcs[i]:
            raise _damaged(path, f"is damaged: the bytes of {self.file_names[i]} are not those written")
        return image

    def boxes(self, i: int) -> FloatArray:
        """Return a copy of an image's boxes, float32 `[n, 4]`, x1 y1 x2 y2 in ORIGINAL pixels."""
        return self._index.boxes[self._box_rows(i)].copy()

    def labels(self, i: int) -> IntArray:
        """Return a copy of an image's labels, int64 `[n]`, digit + 1."""
        return self._index.labels[self._box_rows(i)].copy()

    def crowd(self, i: int) -> npt.NDArray[np.bool_]:
        """Return a copy of an image's crowd marks, bool `[n]`: boxes that stand for more than a digit."""
        return self._index.crowd[self._box_rows(i)].copy()

    def _box_rows(self, i: int) -> slice:
        # Not box_starts[i : i + 2], which is empty for i = -1.
        i = range(len(self))[i]
        return slice(int(self._index.box_starts[i]), int(self._index.box_starts[i + 1]))

    @property
    def image_ids(self) -> IntArray:
        """The label file's ids, int64 `[N]`, in the order of the pack."""
        return self._index.image_ids

    @property
    def file_names(self) -> npt.NDArray[np.str_]:
        """File names relative to the image folder, `[N]`."""
        return self._index.file_names

    @property
    def source_rows(self) -> IntArray:
        """Where each image stands in the label file, int64 `[N]`."""
        return self._index.source_rows

    @property
    def sizes_hw(self) -> IntArray:
        """Height and width as stored, int64 `[N, 2]`."""
        return self._index.sizes_hw

    @property
    def original_sizes_hw(self) -> IntArray:
        """Height and width of the pictures themselves, int64 `[N, 2]`."""
        return self._index.original_sizes_hw

    @property
    def scales_hw(self) -> npt.NDArray[np.float64]:
        """Stored over original height and width, float64 `[N, 2]`: the exact factors; 1 where not reduced."""
        return np.asarray(self.sizes_hw / self.original_sizes_hw, np.float64)

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


def _read_into(buffer: memoryview, path: Path, offset: int) -> int:
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
