"""Packs by the content of their source: opened when there is one, else built.

Threads and not processes decode: Pillow, the checksums and file access release the GIL, so images scale with
the cores and small images go as fast as with processes (`benchmarks/results/pack.md`).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from digitspot.dataset.image_files import decode_stored
from digitspot.dataset.pack import Pack, pack_index, shard_name, write_index
from digitspot.dataset.pack_cache import (
    DIGEST_BYTES,
    Sources,
    building,
    default_pack_root,
    digest,
    find_pack,
    install,
    labels_key,
    stat_row,
    writing,
)
from digitspot.dataset.pack_limit import cache_limit_bytes, keep_limit
from digitspot.dataset.pack_plan import PackPlan, num_workers, plan_pack, raise_problems
from digitspot.dataset.samples import Index, image_bytes
from digitspot.errors import DataError
from digitspot.labels.labels import LabelSet
from digitspot.types import ImageArray, IntArray

Announce = Callable[[PackPlan], None]
"""Called with the plan before an image is decoded; may raise to call the building off."""
Progress = Callable[[int, int], None]
"""Called in the caller's thread with the images done and their total."""

_CHUNK_BYTES = 2 * 2**20
"""Decoded: some sixty house numbers, or one image, so that every core has work."""


def open_or_build(
    labels: LabelSet,
    images_dir: Path,
    root: Path | None = None,
    *,
    longest_side: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Pack:
    """Open the pack of a split, building it when there is none of the same labels, images and settings.

    Args:
        labels: The split's labels.
        images_dir: The folder that their file names are relative to.
        root: The folder of packs, `default_pack_root()` when None.
        longest_side: Images with a longer side than this are reduced to it; None keeps all as they are.
        seed: Of the order.
        workers: Threads that decode, as many as there are cores when None.
        progress: Called with the images done and their total.
        announce: Called with the plan before a building begins.

    Raises:
        DataError: Images are missing, cannot be decoded or are not of the size that the labels say.
        DigitspotError: The disk has too little space, or the root cannot be written.
    """
    root = default_pack_root() if root is None else root
    limit = cache_limit_bytes()
    key = labels_key(labels, longest_side=longest_side, seed=seed)
    pack = find_pack(root, key, labels, images_dir)
    if pack is not None:
        return pack
    with building(root, key) as folder:
        pack = find_pack(root, key, labels, images_dir)  # another builder's, which we waited for
        if pack is not None:
            return pack
        plan = plan_pack(labels, images_dir, root, longest_side=longest_side, seed=seed, workers=workers)
        if announce is not None:
            announce(plan)
        plan.require_space()
        sources = _write_pack(_Job(plan, labels, images_dir, folder), num_workers(workers), progress)
        pack = install(folder, f"{key}-{sources.key}")
    keep_limit(root, pack.path, limit)
    return pack


@dataclass
class _Job:
    """The decoding of all images; threads fill disjoint rows of its arrays.

    Attributes:
        index: The columns of the pack; its `crcs` are filled here.
        stats: int64 `[N, 3]`, in the order of the label file, as in `Sources`.
        digests: uint8 `[N, 16]`, likewise.
        problems: (file name, what is wrong).
    """

    plan: PackPlan
    labels: LabelSet
    images_dir: Path
    folder: Path
    index: Index = field(init=False)
    stats: IntArray = field(init=False)
    digests: npt.NDArray[np.uint8] = field(init=False)
    problems: list[tuple[str, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        num = len(self.labels)
        self.index = pack_index(self.labels, self.plan.rows, self.plan.sizes_hw, np.zeros(num, np.uint32))
        self.stats = np.zeros((num, 3), np.int64)
        self.digests = np.zeros((num, DIGEST_BYTES), np.uint8)

    def run(self, workers: int, progress: Progress | None) -> None:
        """Decode everything; an error of writing, or of `progress`, ends it early."""
        pool = ThreadPoolExecutor(workers)
        try:
            done = 0
            for future in as_completed([pool.submit(self._write, chunk) for chunk in self._chunks()]):
                done += future.result()
                if progress is not None:
                    progress(done, self.plan.images)
        finally:
            pool.shutdown(cancel_futures=True)

    def _chunks(self) -> Iterator[range]:
        """Cut the pack's order into runs within a shard: what a thread decodes in one go."""
        decoded = image_bytes(self.plan.original_sizes_hw).tolist()
        start = total = 0
        for i, shard in enumerate(self.index.shard_of):
            if i > start and (total + decoded[i] > _CHUNK_BYTES or shard != self.index.shard_of[start]):
                yield range(start, i)
                start, total = i, 0
            total += decoded[i]
        if self.plan.images:
            yield range(start, self.plan.images)

    def _write(self, chunk: range) -> int:
        """Decode neighbours in one shard; return how many."""
        path = self.folder / shard_name(int(self.index.shard_of[chunk.start]))
        path.touch()
        with writing(path), open(path, "r+b") as shard:
            for i in chunk:
                try:
                    image = self._decode(i)
                except DataError as error:
                    name = self.labels.file_names[self.plan.rows[i]]
                    self.problems.append((name, str(error).removeprefix("image: ")))
                else:
                    self._put(image, i, shard)
        return len(chunk)

    def _decode(self, i: int) -> ImageArray:
        """Return an image as it is to be stored, and note what its file was like when it was read."""
        row = self.plan.rows[i]
        content, self.stats[row] = _read(self.images_dir / self.labels.file_names[row])
        self.digests[row] = np.frombuffer(digest(content), np.uint8)
        return decode_stored(content, self.plan.original_sizes_hw[i], self.plan.sizes_hw[i])

    def _put(self, image: ImageArray, i: int, shard: IO[bytes]) -> None:
        self.index.crcs[i] = zlib.crc32(image.data)
        shard.seek(int(self.index.offsets[i]))
        shard.write(image.data.cast("B"))


def _write_pack(job: _Job, workers: int, progress: Progress | None) -> Sources:
    """Write a planned pack; `pack.json`, without which it is none, comes last.

    Raises:
        DataError: Images cannot be decoded, or are not of the size that was planned; all are counted.
        DigitspotError: The folder cannot be written.
    """
    with writing(job.folder):
        job.folder.mkdir()
    job.run(workers, progress)
    raise_problems(sorted(job.problems), job.labels)
    sources = Sources(images_dir=str(job.images_dir.resolve()), stats=job.stats, digests=job.digests)
    sources.save(job.folder)
    write_index(
        job.folder,
        job.index,
        job.labels.categories,
        longest_side=job.plan.longest_side,
        seed=job.plan.seed,
        source=str(job.labels.path.resolve()),
    )
    return sources


def _read(path: Path) -> tuple[bytes, tuple[int, int, int]]:
    """Return an image's file and its state before reading, so that a later change shows."""
    try:
        with open(path, "rb") as file:
            before = stat_row(os.fstat(file.fileno()))
            return file.read(), before
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
