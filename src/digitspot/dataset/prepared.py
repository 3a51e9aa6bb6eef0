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
from digitspot.dataset.pack import FORMAT, SHARD_BYTES, Pack, shard_name
from digitspot.dataset.pack_folder import being_written, building, writing
from digitspot.dataset.pack_write import Progress, write_index
from digitspot.dataset.samples import Index, Samples
from digitspot.errors import DataError


def open_or_prepare(
    samples: Samples, config: AugmentConfig, seed: int, root: Path, progress: Progress | None = None
) -> Pack:
    """Open the pack of images as the first epoch augments them, making it when there is none.

    Its places are those of `samples`. Boxes that left the frame are gone, and so are crowds.

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
    with building(root, key):
        with suppress(DataError):
            return Pack.open(root / name)
        with being_written(root, key) as unfinished:
            _write(samples, config, seed, unfinished.folder, progress)
            return unfinished.install(name)


def _key(samples: Samples, config: AugmentConfig, seed: int) -> str:
    """Name images, labels and augmentation by their content: 16 hex digits."""
    head = json.dumps([FORMAT, SHARD_BYTES, asdict(config), seed, list(map(int, samples.categories.ids))])
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
    shard_of, offsets, counts = np.zeros((3, num), np.int64)
    crcs = np.zeros(num, np.uint32)
    boxes, labels = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
    shard_sizes: list[int] = []
    for i in range(num):
        image, own_boxes, own_labels = augment_sample(samples, i, samples.image(i), config, seed, epoch=0)
        if not shard_sizes or (shard_sizes[-1] and shard_sizes[-1] + image.nbytes > SHARD_BYTES):
            shard_sizes.append(0)
        shard_of[i], offsets[i] = len(shard_sizes) - 1, shard_sizes[-1]
        shard_sizes[-1] += image.nbytes
        sizes_hw[i], counts[i], crcs[i] = image.shape[:2], len(own_labels), zlib.crc32(image.data)
        boxes.append(own_boxes)
        labels.append(own_labels)
        with writing(folder), open(folder / shard_name(len(shard_sizes) - 1), "ab") as shard:
            shard.write(image.data)
        if progress is not None:
            progress(i + 1, num)
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
    write_index(folder, index, shard_sizes, samples.categories, longest_side=None, seed=seed)
