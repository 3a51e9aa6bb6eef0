"""Parts in memory: the one that is trained on, and the next, read meanwhile."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from digitspot.dataset.sampler import Batch
from digitspot.dataset.samples import Samples
from digitspot.types import ImageArray, IntArray

NUM_SLOTS = 2


@dataclass(frozen=True)
class LoadedBatch:
    """A batch whose images are in memory.

    Attributes:
        batch: The batch.
        slot: Which of the two buffers holds them.
    """

    batch: Batch
    slot: int


@dataclass
class PartMemory:
    """Two buffers that forked processes share, each for the images of a part.

    The memory is anonymous and shared: processes forked after it was made see what is read into it later.
    Pages count once for all of them, from the first write until they are released.

    Args:
        samples: What the parts are of.
        capacity: Bytes of the largest part.
    """

    samples: Samples
    capacity: int
    _memory: mmap.mmap = field(init=False, repr=False)
    _pixels: npt.NDArray[np.uint8] = field(init=False, repr=False)
    _starts: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        num = len(self.samples)
        self._memory, pixels = _shared(NUM_SLOTS * self.capacity)
        self._pixels = pixels.reshape(NUM_SLOTS, self.capacity)
        self._starts = _shared(NUM_SLOTS * num * 8)[1].view(np.int64).reshape(NUM_SLOTS, num)

    def read(self, slot: int, indices: Sequence[int]) -> None:
        """Read images into a buffer; what it held is gone.

        Args:
            slot: Which buffer.
            indices: Images of a part, rising.

        Raises:
            DataError: They cannot be read.
        """
        sizes = self.samples.num_bytes[indices]
        self._starts[slot, indices] = np.cumsum(sizes) - sizes
        self.samples.read_into(indices, self._pixels[slot].data[: int(sizes.sum())])

    def image(self, slot: int, i: int) -> ImageArray:
        """Return a copy of an image, uint8 `[H, W, 3]`, of those last read into a buffer."""
        height, width = self.samples.sizes_hw[i].tolist()
        start = int(self._starts[slot, i])
        return self._pixels[slot, start : start + 3 * height * width].reshape(height, width, 3).copy()

    def release(self, slot: int, indices: Sequence[int]) -> None:
        """Give the pages of images back to the system, for all processes; what shares a page stays.

        Where the system cannot (only Linux can), they stay until the buffer is read into again.
        """
        if not hasattr(mmap, "MADV_REMOVE"):
            return
        for i in indices:
            start = slot * self.capacity + int(self._starts[slot, i])
            first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (start + int(3 * self.samples.sizes_hw[i].prod())) // mmap.PAGESIZE * mmap.PAGESIZE
            if first < end:
                self._memory.madvise(mmap.MADV_REMOVE, first, end - first)


class PartFeed:
    """Planned batches in order, each given out when its part is in memory.

    Whoever asks for another batch has received all but the last `ahead - 1`. The images of received batches
    are released. The other buffer is filled when no batch of its old part can be in the making, and when half
    of the current part is released. So both parts take one and a half. If a part has too few batches for
    that, None is given out, and the loader makes nothing of it.

    Args:
        batches: What to give out.
        memory: Where the parts are read into.
        ahead: Batches that are in the making at a time, at most.
    """

    def __init__(self, batches: Iterable[Batch], memory: PartMemory, ahead: int) -> None:
        self.batches, self.memory, self.ahead = batches, memory, ahead

    def __iter__(self) -> Iterator[LoadedBatch | None]:
        """Give out the batches; a change of part waits for what is left of its reading."""
        parts = (list(batches) for _, batches in groupby(self.batches, lambda each: (each.epoch, each.part)))
        batches, slot, first = next(parts, []), 0, True
        making: deque[LoadedBatch | None] = deque()
        with ThreadPoolExecutor(1, "reading parts") as reader:
            reading = self._read(reader, batches, slot)
            while batches:
                reading.result()
                wait = max(0 if first else self.ahead - 1, len(batches) // 2)
                yield from self._give(batches[:wait], slot, wait, making)
                self._release_made(making)  # no batch of the part before is in the making now
                following = next(parts, [])
                reading = self._read(reader, following, 1 - slot)
                rest = batches[wait:]
                yield from self._give(rest, slot, len(rest), making)
                batches, slot, first = following, 1 - slot, False

    def _give(
        self, batches: list[Batch], slot: int, num: int, making: deque[LoadedBatch | None]
    ) -> Iterator[LoadedBatch | None]:
        """Give out batches, then None, `num` in all."""
        for i in range(num):
            self._release_made(making)
            making.append(LoadedBatch(batches[i], slot) if i < len(batches) else None)
            yield making[-1]

    def _release_made(self, making: deque[LoadedBatch | None]) -> None:
        """Release the batches that must have been made by now, since another one is asked for."""
        while len(making) >= self.ahead:
            made = making.popleft()
            if made is not None:
                self.memory.release(made.slot, made.batch.indices)

    def _read(self, reader: ThreadPoolExecutor, batches: list[Batch], slot: int) -> Future[None]:
        indices = sorted({i for batch in batches for i in batch.indices})
        return reader.submit(self.memory.read, slot, indices)


def _shared(num_bytes: int) -> tuple[mmap.mmap, npt.NDArray[np.uint8]]:
    """Return zeros that forked processes share, and them as uint8 `[num_bytes]`."""
    memory = mmap.mmap(-1, max(1, num_bytes))
    return memory, np.frombuffer(memory, np.uint8)[:num_bytes]
