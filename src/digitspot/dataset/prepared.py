"""Packs of images that were augmented once: the report's way, to compare fresh augmentation with."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import numpy as np

from digitspot.config import AugmentConfig
from digitspot.dataset.augment import augment_sample
from digitspot.dataset.pack import DECODING, FORMAT, SHARD_BYTES, Pack, lay_out, shard_name, write_index
from digitspot.dataset.pack_build import Progress
from digitspot.dataset.pack_cache import building, install, open_in_use, writing
from digitspot.dataset.pack_limit import cache_limit_bytes, keep_limit
from digitspot.dataset.samples import Index, Samples, image_bytes
from digitspot.errors import DataError


def open_or_prepare(
    samples: Samples, config: AugmentConfig, seed: int, root: Path, progress: Progress | None = None
) -> Pack:
    """Open the pack of images as the first epoch augments them, making it when there is none.

    Its order is that of `samples`. Boxes that left the frame are gone, and so are crowds.

    Args:
        samples: Images as they are.
        config: The preset and its strengths.
        seed: The training's.
        root: The folder of packs.
        progress: Called with the images done and their total.

    Raises:
        DataError: Images cannot be read.
        DigitspotError: The root cannot be written.
    """
    key = _key(samples, config, seed)
    name = f"{key}-prepared"
    limit = cache_limit_bytes()
    with building(root, key) as folder:
        with suppress(DataError):
            return open_in_use(root / name)
        _write(samples, config, seed, folder, progress)
        pack = install(folder, name)
    keep_limit(root, pack.path, limit)
    return pack


def _key(samples: Samples, config: AugmentConfig, seed: int) -> str:
    """Name images, labels and augmentation by their content: 16 hex digits."""
    head = json.dumps(
        [FORMAT, DECODING, SHARD_BYTES, asdict(config), seed, list(map(int, samples.categories.ids))]
    )
    hasher = blake2b(head.encode(), digest_size=8)
    for column in samples.columns():
        hasher.update(column.tobytes())
    return hasher.hexdigest()


def _write(
    samples: Samples, config: AugmentConfig, seed: int, folder: Path, progress: Progress | None
) -> None:
    """Write image after image: memory holds one, and the labels."""
    num = len(samples)
    sizes_hw = np.zeros((num, 2), np.int64)
    counts = np.zeros(num, np.int64)
    crcs = np.zeros(num, np.uint32)
    boxes, labels = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
    shard = size = 0
    with writing(folder):
        folder.mkdir()
    for i in range(num):
        image, own_boxes, own_labels = augment_sample(samples, i, samples.image(i), config, seed, epoch=0)
        if size and size + image.nbytes > SHARD_BYTES:  # as `lay_out` does
            shard, size = shard + 1, 0
        size += image.nbytes
        sizes_hw[i], counts[i], crcs[i] = image.shape[:2], len(own_labels), zlib.crc32(image.data)
        boxes.append(own_boxes)
        labels.append(own_labels)
        with writing(folder), open(folder / shard_name(shard), "ab") as file:
            file.write(image.data)
        if progress is not None:
            progress(i + 1, num)
    shard_of, offsets = lay_out(image_bytes(sizes_hw))
    index = Index(
        image_ids=samples.image_ids,
        file_names=samples.file_names,
        source_rows=samples.source_rows,
        sizes_hw=sizes_hw,
        original_sizes_hw=sizes_hw,
        shard_of=shard_of,
        offsets=offsets,
        crcs=crcs,
        box_starts=np.concatenate([[0], counts.cumsum()]),
        boxes=np.concatenate(boxes),
        labels=np.concatenate(labels),
        crowd=np.zeros(int(counts.sum()), np.bool_),
    )
    source = f"{num} images augmented once, seed {seed}"
    write_index(folder, index, samples.categories, longest_side=None, seed=seed, source=source)
