"""Where generated images go: files of a folder, or the shards of a pack."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import numpy as np
import numpy.typing as npt

from digitspot.dataset.pack import SHARD_BYTES, lay_out, pack_index, shard_name, write_index
from digitspot.dataset.samples import image_bytes
from digitspot.labels.labels import LabelSet
from digitspot.types import IntArray


class Sink(Protocol):
    """Takes images in their order."""

    def add(self, index: int, content: bytes, size_hw: tuple[int, int]) -> None:
        """Write image `index`."""
        ...

    def flush(self) -> None:
        """See that what was written is with the system."""
        ...

    def finish(self, labels: LabelSet, crcs: npt.NDArray[np.uint32], seed: int) -> None:
        """Write what belongs beside the images."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ImageSink:
    """PNG files `1.png`, `2.png`, ...

    Args:
        folder: Of the images; made when missing.
        sizes_hw: int64 `[N, 2]`, of the images that are there already.
    """

    def __init__(self, folder: Path, sizes_hw: IntArray) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def add(self, index: int, content: bytes, size_hw: tuple[int, int]) -> None:
        """Write image `index`, from 0, as `content` has it encoded."""
        (self.folder / f"{index + 1}.png").write_bytes(content)

    def flush(self) -> None:
        """Do nothing: every file was closed."""

    def finish(self, labels: LabelSet, crcs: npt.NDArray[np.uint32], seed: int) -> None:
        """Do nothing: the images are all."""


class PackSink:
    """A pack in the order of the images, which have no order of their own.

    Args:
        folder: Of the pack; made when missing.
        sizes_hw: int64 `[N, 2]`, of the images that are there already; what follows them is cut off.
    """

    def __init__(self, folder: Path, sizes_hw: IntArray) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shard_of, offsets = lay_out(image_bytes(sizes_hw))
        self._shard = int(shard_of[-1]) if len(sizes_hw) else 0
        self._end = int(offsets[-1] + image_bytes(sizes_hw)[-1]) if len(sizes_hw) else 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._end:
            self._open(self._shard, self._end)
        for path in self.folder.glob("shard-*.rgb"):
            if path.name > shard_name(self._shard) or not self._end:
                path.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, index: int, content: bytes, size_hw: tuple[int, int]) -> None:
        """Write an image's raw pixels; the shards are those of `lay_out`."""
        if self._end and self._end + len(content) > SHARD_BYTES:
            self._open(self._shard + 1, 0)
        elif self._file is None:
            self._open(self._shard, self._end)
        assert self._file is not None
        self._file.write(content)
        self._end += len(content)

    def _open(self, shard: int, end: int) -> None:
        """Go on with a shard of which `end` bytes hold."""
        if self._file is not None:
            self._file.close()
        path = self.folder / shard_name(shard)
        path.touch()
        self._file = open(path, "r+b")  # noqa: SIM115 - closed by the block that the sink is used in
        self._file.truncate(end)
        self._file.seek(end)
        self._shard, self._end = shard, end

    def flush(self) -> None:
        """Hand what was written to the system."""
        if self._file is not None:
            self._file.flush()

    def finish(self, labels: LabelSet, crcs: npt.NDArray[np.uint32], seed: int) -> None:
        """Write the index."""
        index = pack_index(labels, np.arange(len(labels)), labels.sizes_hw, crcs)
        source = labels.path.name
        write_index(self.folder, index, labels.categories, longest_side=None, seed=seed, source=source)
