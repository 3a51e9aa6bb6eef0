"""From a pack to batches of tensors, prepared beside the training."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from digitspot.config import Config
from digitspot.data.augment import augment, build_augmentation, keep_visible
from digitspot.data.pack import Pack
from digitspot.data.sampler import Batch, BatchPlan
from digitspot.preprocess import Prepared, prepare, stack
from digitspot.structures import FloatArray, IntArray

NICENESS = 10
"""Loader processes give way to the training: one that interrupts a thread of an operation stops all of
them. On two cores 10 % (`resnet18_fpn`) to 15 % (`nano`) faster (docs/measurements.md)."""


@dataclass(frozen=True)
class TensorBatch:
    """What one step trains on.

    Attributes:
        images: float32 `[B, 3, H, W]`, normalised and padded.
        sizes_hw: Each picture's size without the padding.
        targets: Each picture's `boxes` `[N, 4]` in input pixels and `labels` `[N]`.
        image_ids: For messages.
    """

    images: Tensor
    sizes_hw: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    image_ids: list[int]

    def to(self, device: torch.device) -> TensorBatch:
        """Return the batch on a device."""
        targets = [{k: v.to(device, non_blocking=True) for k, v in target.items()} for target in self.targets]
        images = self.images.to(device, non_blocking=True)
        return TensorBatch(images, self.sizes_hw, targets, self.image_ids)


class TrainingBatches(Dataset[TensorBatch]):
    """Makes the tensors of a planned batch; the same batch always gives the same tensors."""

    def __init__(self, pack: Pack, config: Config) -> None:
        self.pack = pack
        self.config = config

    def __getitem__(self, batch: Batch) -> TensorBatch:
        """Read, augment, resize and stack the pictures of one batch."""
        samples = [self._sample(index, batch) for index in batch.indices]
        pictures = [picture for picture, _, _ in samples]
        targets = [
            {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels)}
            for _, boxes, labels in samples
        ]
        return TensorBatch(
            images=torch.from_numpy(stack(pictures, self.config.input.multiple)),
            sizes_hw=[picture.size_hw for picture in pictures],
            targets=targets,
            image_ids=[int(self.pack.image_ids[index]) for index in batch.indices],
        )

    def _sample(self, index: int, batch: Batch) -> tuple[Prepared, FloatArray, IntArray]:
        scale = self.pack.scales_hw[index]
        transform = build_augmentation(self.config.augment, float(scale.mean()))
        own = ~self.pack.crowd(index)
        boxes = (self.pack.boxes(index)[own] * np.tile(scale[::-1], 2)).astype(np.float32)
        key = (self.config.train.seed, batch.epoch, int(self.pack.image_ids[index]))
        image, boxes = augment(transform, self.pack.image(index), boxes, key)
        boxes, keep = keep_visible(boxes, (image.shape[0], image.shape[1]))
        picture = prepare(image, self.config.input, batch.short_side)
        return picture, picture.to_input(boxes), self.pack.labels(index)[own][keep]


def plan_batches(pack: Pack, config: Config) -> BatchPlan:
    """Return the batches that a configuration makes of a pack."""
    sizes = pack.sizes_hw.astype(np.float64)
    return BatchPlan(
        aspects=sizes[:, 1] / sizes[:, 0],
        batch_size=config.train.batch_size,
        short_sides=config.input.train_short_sides or (config.input.short_side,),
        seed=config.train.seed,
    )


@dataclass(frozen=True)
class RemainingBatches:
    """The batches of a training from a place on, epoch after epoch.

    Attributes:
        plan: All batches.
        epoch: Where to begin.
        batch: Batches of that epoch to leave out.
        num_epochs: Where to end.
    """

    plan: BatchPlan
    epoch: int
    batch: int
    num_epochs: int

    def __iter__(self) -> Iterator[Batch]:
        skipped = self.batch
        for epoch in range(self.epoch, self.num_epochs):
            yield from self.plan.epoch(epoch)[skipped:]
            skipped = 0


def start_loading(
    pack: Pack, config: Config, batches: Iterable[Batch], pin: bool = False
) -> Iterator[TensorBatch]:
    """Start the loader processes and return the tensors of planned batches, in order, made ahead.

    Call it before the network is built. A forked process shares the memory of that moment with the
    training only until one of them writes to it: forked later, each keeps a copy of weights and
    buffers, more than a gigabyte. For the same reason garbage collection is kept off what they share.

    Args:
        pack: The pictures.
        config: Augmentation, size rule, number of processes (0 prepares batches in this one).
        batches: What to load; iterated here, a few batches ahead.
        pin: Whether to return tensors in page-locked memory, for a GPU.
    """
    gc.collect()
    gc.freeze()
    loader = DataLoader(
        TrainingBatches(pack, config),
        sampler=batches,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=config.data.workers,
        pin_memory=pin,
        worker_init_fn=_stand_back_for_the_trainer,
    )
    loaded = iter(loader)
    gc.unfreeze()
    return loaded


def _stand_back_for_the_trainer(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
