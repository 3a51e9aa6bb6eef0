"""Writing a planned pack: decode in parallel into shards, then the index.

Threads and not processes decode: Pillow, the checksums and file access release the GIL, so images
scale with the cores and small images go as fast as with processes (`benchmarks/results/pack.md`);
and nothing has to be spawned, to be pickled, or outlives a killed builder.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from digitspot.dataset.image_files import decode_stored
from digitspot.dataset.pack import FORMAT, INDEX_FILE, META_FILE, shard_name
from digitspot.dataset.pack_folder import writing
from digitspot.dataset.pack_plan import PackPlan, num_workers, raise_problems
from digitspot.dataset.pack_source import DIGEST_BYTES, Sources, digest, stat_row
from digitspot.dataset.samples import Index, image_bytes
from digitspot.errors import DataError
from digitspot.files import writing_whole
from digitspot.labels.labels import CategoryMap, LabelSet
from digitspot.types import ImageArray, IntArray

Progress = Callable[[int, int], None]
"""Called in the caller's thread with the images done and their total."""

_CHUNK_BYTES = 2 * 2**20
"""Decoded: some sixty house numbers, or one image, so that every core has work."""


def write_pack(
    plan: PackPlan,
    labels: LabelSet,
    images_dir: Path,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sources:
    """Write a planned pack into an empty folder; `pack.json`, without which it is none, comes last.

    Raises:
        DataError: Images cannot be decoded, or are not of the size that was planned; all are counted.
        DigitspotError: The folder cannot be written.
    """
    shard_sizes = plan.shard_sizes
    job = _Job(plan, labels, images_dir, folder)
    with writing(folder):
        for shard, size in enumerate(shard_sizes):
            with open(folder / shard_name(shard), "wb") as file:
                file.truncate(size)
    job.run(num_workers(workers), progress)
    raise_problems(sorted(job.problems), labels)
    sources = Sources(images_dir=str(images_dir.resolve()), stats=job.stats, digests=job.digests)
    sources.save(folder)
    write_index(
        folder,
        plan.index(labels, job.crcs),
        shard_sizes,
        labels.categories,
        labels_file=labels.path.name,
        longest_side=plan.longest_side,
        seed=plan.seed,
    )
    return sources


@dataclass
class _Job:
    """The decoding of all images; threads fill disjoint rows of its arrays.

    Attributes:
        crcs: uint32 `[N]`, in the order of the pack.
        stats: int64 `[N, 3]`, in the order of the label file, as in `Sources`.
        digests: uint8 `[N, 16]`, likewise.
        problems: (file name, what is wrong).
    """

    plan: PackPlan
    labels: LabelSet
    images_dir: Path
    folder: Path
    crcs: npt.NDArray[np.uint32] = field(init=False)
    stats: IntArray = field(init=False)
    digests: npt.NDArray[np.uint8] = field(init=False)
    problems: list[tuple[str, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        num = len(self.labels)
        self.crcs = np.zeros(num, np.uint32)
        self.stats = np.zeros((num, 3), np.int64)
        self.digests = np.zeros((num, DIGEST_BYTES), np.uint8)

    def run(self, workers: int, progress: Progress | None) -> None:
        """Decode everything; an error of writing, or of `progress`, ends it early."""
        pool = ThreadPoolExecutor(workers)
        try:
            done = 0
            for future in as_completed([pool.submit(self._write, chunk) for chunk in _chunks(self.plan)]):
                done += future.result()
                if progress is not None:
                    progress(done, self.plan.images)
        finally:
            pool.shutdown(cancel_futures=True)

    def _write(self, chunk: range) -> int:
        """Decode neighbours in one shard; return how many."""
        path = self.folder / shard_name(int(self.plan.shard_of[chunk.start]))
        with writing(path), open(path, "r+b") as shard:
            for i in chunk:
                try:
                    image = self._decode(i)
                except DataError as error:
                    name = self.labels.file_names[self.plan.source_rows[i]]
                    self.problems.append((name, str(error).removeprefix("image: ")))
                else:
                    self._put(image, i, shard)
        return len(chunk)

    def _decode(self, i: int) -> ImageArray:
        """Return an image as it is to be stored, and note what its file was like when it was read."""
        row = self.plan.source_rows[i]
        content, self.stats[row] = _read(self.images_dir / self.labels.file_names[row])
        self.digests[row] = np.frombuffer(digest(content), np.uint8)
        return decode_stored(content, self.plan.original_sizes_hw[i], self.plan.sizes_hw[i])

    def _put(self, image: ImageArray, i: int, shard: IO[bytes]) -> None:
        self.crcs[i] = zlib.crc32(image.data)
        shard.seek(int(self.plan.offsets[i]))
        shard.write(image.data.cast("B"))


def _chunks(plan: PackPlan) -> Iterator[range]:
    """Cut the pack's order into runs within a shard: what a thread decodes in one go."""
    decoded = image_bytes(plan.original_sizes_hw).tolist()
    start = total = 0
    for i, shard in enumerate(plan.shard_of):
        if i > start and (total + decoded[i] > _CHUNK_BYTES or shard != plan.shard_of[start]):
            yield range(start, i)
            start, total = i, 0
        total += decoded[i]
    if plan.images:
        yield range(start, plan.images)


def _read(path: Path) -> tuple[bytes, tuple[int, int, int]]:
    """Return an image's file and its state before reading, so that a later change shows."""
    try:
        with open(path, "rb") as file:
            before = stat_row(os.fstat(file.fileno()))
            return file.read(), before
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def write_index(
    folder: Path, index: Index, shard_sizes: Sequence[int], categories: CategoryMap, **notes: Any
) -> None:
    """Write what makes a folder of shards a pack; `pack.json` comes last.

    Args:
        folder: Holds the shards.
        index: The columns.
        shard_sizes: Bytes of each shard.
        categories: The label file's category ids.
        notes: What else `pack.json` is to say; `longest_side` and `seed` are expected.
    """
    with writing_whole(folder / INDEX_FILE, "wb") as file:
        np.savez(file, **vars(index))
    ids = [int(category_id) for category_id in categories.ids]
    with writing_whole(folder / META_FILE) as file:
        json.dump(
            {"format": FORMAT, "categories": ids, **notes, "shard_sizes": list(shard_sizes)}, file, indent=1
        )
