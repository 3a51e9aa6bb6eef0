"""Images and their labels by index: what a training reads, wherever the pixels lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.labels.labels import CategoryMap
from digitspot.types import FloatArray, ImageArray, IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The columns of a pack of N images with M boxes, as `index.npz` holds them.

    Attributes:
        image_ids: int64 `[N]`, the label file's ids.
        file_names: str `[N]`, relative to the image folder.
        source_rows: int64 `[N]`, the image's row in the label file.
        sizes_hw: int64 `[N, 2]`, height and width as stored.
        original_sizes_hw: int64 `[N, 2]`, height and width of the image itself.
        shard_of: int64 `[N]`, never decreasing.
        offsets: int64 `[N]`, in bytes from the start of the shard.
        crcs: uint32 `[N]`, CRC-32 of the stored bytes.
        box_starts: int64 `[N + 1]`: image i has the boxes `box_starts[i]` to `box_starts[i + 1]`.
        boxes: float32 `[M, 4]`, x1 y1 x2 y2 in pixels of the original image.
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


class Samples(ABC):
    """N images with their boxes and labels; an index means the same image wherever the pixels are read from.

    It holds numpy arrays only and no open file: it pickles, and forked processes share its memory.

    Args:
        index: The columns.
        categories: The label file's category ids.

    Attributes:
        num_own: How many are the data set's own; the rest are of other data sets that are also trained on.
    """

    def __init__(self, index: Index, categories: CategoryMap) -> None:
        self._index = index
        self.categories = categories
        self.num_own = len(index.image_ids)

    def __len__(self) -> int:
        return len(self._index.image_ids)

    @abstractmethod
    def image(self, i: int) -> ImageArray:
        """Return an image as stored, uint8 `[H, W, 3]`, an array of the caller's own; i is 0 to N - 1."""

    def read_into(self, indices: Sequence[int], buffer: memoryview) -> None:
        """Write the bytes of images back to back.

        Args:
            indices: Rising.
            buffer: As long as the images together, `num_bytes[indices].sum()`.
        """
        end = 0
        for i in indices:
            image = self.image(i)
            buffer[end : end + image.nbytes] = image.data.cast("B")
            end += image.nbytes

    def columns(self) -> Iterator[npt.NDArray[Any]]:
        """Return the columns of the index, which together name the content."""
        yield from vars(self._index).values()

    def boxes(self, i: int) -> FloatArray:
        """Return a copy of an image's boxes, float32 `[n, 4]`, x1 y1 x2 y2 in ORIGINAL pixels."""
        return self._index.boxes[self._box_rows(i)].copy()

    def digit_boxes(self) -> tuple[FloatArray, IntArray]:
        """Return all boxes but crowds, `[M, 4]` in ORIGINAL pixels, and where an image's start, `[N + 1]`."""
        index = self._index
        starts = np.concatenate([[0], np.cumsum(~index.crowd)])[index.box_starts]
        return index.boxes[~index.crowd], starts

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
        """The row of each image in the label file, int64 `[N]`."""
        return self._index.source_rows

    @property
    def sizes_hw(self) -> IntArray:
        """Height and width as stored, int64 `[N, 2]`."""
        return self._index.sizes_hw

    @property
    def original_sizes_hw(self) -> IntArray:
        """Height and width of the images themselves, int64 `[N, 2]`."""
        return self._index.original_sizes_hw

    def scale_hw(self, i: int) -> npt.NDArray[np.float64]:
        """Return stored over original height and width, float64 `[2]`: exact; 1 where not reduced."""
        return np.asarray(self.sizes_hw[i] / self.original_sizes_hw[i], np.float64)

    def stored_boxes(self, i: int) -> FloatArray:
        """Return an image's boxes `[n, 4]` in pixels of the image as stored."""
        return (self.boxes(i) * np.tile(self.scale_hw(i)[::-1], 2)).astype(np.float32)

    @property
    def num_bytes(self) -> IntArray:
        """Bytes of each image as stored, int64 `[N]`."""
        return image_bytes(self.sizes_hw)


class Merged(Samples):
    """Chosen images of several sources, one after the other.

    An id that would occur twice is raised above those of all sources before.

    Args:
        sources: Samples, and the indices to take, `[n]`. The first ones' categories are everyone's.
    """

    def __init__(self, sources: Sequence[tuple[Samples, IntArray]]) -> None:
        parts: list[Index] = []
        for samples, indices in sources:
            index = _select(samples._index, indices)
            taken = np.concatenate([part.image_ids for part in parts]) if parts else index.image_ids[:0]
            if np.isin(index.image_ids, taken).any():
                index = replace(index, image_ids=index.image_ids + taken.max() + 1 - index.image_ids.min())
            parts.append(index)
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in vars(parts[0])
            if name != "box_starts"
        }
        counts = np.concatenate([np.diff(part.box_starts) for part in parts])
        starts = np.concatenate([[0], counts.cumsum()])
        super().__init__(Index(**columns, box_starts=starts), sources[0][0].categories)
        self._sources = [samples for samples, _ in sources]
        self._source_of = np.repeat(np.arange(len(sources)), [len(indices) for _, indices in sources])
        self._indices = np.concatenate([indices for _, indices in sources])

    def image(self, i: int) -> ImageArray:
        """Return an image as its source stores it, uint8 `[H, W, 3]`."""
        return self._sources[int(self._source_of[i])].image(int(self._indices[i]))

    def read_into(self, indices: Sequence[int], buffer: memoryview) -> None:
        """Write the bytes of images back to back; each source reads its own at once."""
        wanted, end = np.asarray(indices, np.int64), 0
        for number, samples in enumerate(self._sources):
            own = wanted[self._source_of[wanted] == number]
            num_bytes = int(self.num_bytes[own].sum())
            samples.read_into(self._indices[own].tolist(), buffer[end : end + num_bytes])
            end += num_bytes


def _select(index: Index, indices: IntArray) -> Index:
    """Return the columns of some images."""
    per_box = ("boxes", "labels", "crowd")
    starts, box_rows = rows_of(index.box_starts, indices)
    columns = {
        name: column[box_rows if name in per_box else indices]
        for name, column in vars(index).items()
        if name != "box_starts"
    }
    return Index(**columns, box_starts=starts)


def rows_of(starts: IntArray, indices: IntArray) -> tuple[IntArray, IntArray]:
    """Gather the boxes of some images.

    Args:
        starts: int64 `[N + 1]`: image i has the boxes `starts[i]` to `starts[i + 1]`.
        indices: int64 `[K]`, the images.

    Returns:
        The same starts for the K images, `[K + 1]`, and the rows of their boxes, in order.
    """
    counts = np.diff(starts)[indices]
    new_starts = np.concatenate([[0], counts.cumsum()]).astype(np.int64)
    return new_starts, np.repeat(starts[indices] - new_starts[:-1], counts) + np.arange(new_starts[-1])


def image_bytes(sizes_hw: IntArray) -> IntArray:
    """Return the bytes of images of sizes `[N, 2]`, `[N]`."""
    return np.asarray(sizes_hw.prod(axis=1) * 3, np.int64)
