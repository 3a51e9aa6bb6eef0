"""From a pack to batches of tensors, prepared beside the training."""

from __future__ import annotations

import gc
import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, get_worker_info

from digitspot.config import AugmentConfig, Config
from digitspot.dataset.augment import augment_sample, crop_probability
from digitspot.dataset.crops import NumberCrops
from digitspot.dataset.parts import LoadedBatch, PartFeed, PartMemory
from digitspot.dataset.sampler import Batch, BatchPlan, update_groups
from digitspot.dataset.samples import Samples
from digitspot.preprocess import Prepared, collate, collated_shape, prepare
from digitspot.processes import die_with_parent
from digitspot.ranks import Ranks
from digitspot.training.allocator import give_back_freed_memory, hand_back_freed_memory
from digitspot.types import FloatArray, ImageArray, IntArray

NICENESS = 10
"""Loader processes give way to the training: one that interrupts a thread of an operation stops all of
them. On two cores 10 % (`resnet18_fpn`) to 15 % (`nano`) faster (benchmarks/results/training_step.md)."""

SPARE_PIXELS = 1.5
"""Images are augmented at up to so many times the size of the network's input."""

HAND_BACK_EVERY = 8
"""Images after which a loader process hands back what it has freed, in about a millisecond. The heap of a
process that has read many labels is full of holes, and what is made for an image wanders over them all."""


@dataclass(frozen=True)
class TensorBatch:
    """What one step trains on.

    Attributes:
        images: float32 `[B, 3, H, W]`, normalised and padded.
        sizes_hw: Each image's size without the padding.
        targets: Each image's `boxes` `[N, 4]` in input pixels and `labels` `[N]`.
        image_ids: For messages.
        rooms_hw: The size that the images at each place need in the batches of all ranks; none is
            `sizes_hw`, of one alone.
    """

    images: Tensor
    sizes_hw: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    image_ids: list[int]
    rooms_hw: list[tuple[int, int]] | None = None

    def to(self, device: torch.device) -> TensorBatch:
        """Return the batch on a device."""
        targets = [{k: v.to(device, non_blocking=True) for k, v in target.items()} for target in self.targets]
        images = self.images.to(device, non_blocking=True)
        return replace(self, images=images, targets=targets)

    def joint(self, ranks: Ranks, multiple: int) -> TensorBatch:
        """Return the batch padded as those of all ranks together would be."""
        if ranks.size == 1:
            return self
        rooms = ranks.gathered(torch.tensor(self.sizes_hw)).amax(0).tolist()
        height, width = _padded_hw(rooms, multiple)
        missing = (0, width - self.images.shape[3], 0, height - self.images.shape[2])
        return replace(self, images=functional.pad(self.images, missing), rooms_hw=rooms)

    def pieces(self, max_pixels: int | None, multiple: int) -> list[TensorBatch]:
        """Cut into batches of at most so many padded pixels, or of one image; the padding shrinks along.

        Args:
            max_pixels: None leaves it whole.
            multiple: Sides of a piece are multiples of this.
        """
        if max_pixels is None or self.images[:, 0].numel() <= max_pixels or len(self.image_ids) == 1:
            return [self]
        half = len(self.image_ids) // 2
        return [
            piece
            for part in (slice(half), slice(half, None))
            for piece in self._part(part, multiple).pieces(max_pixels, multiple)
        ]

    def _part(self, part: slice, multiple: int) -> TensorBatch:
        rooms = (self.rooms_hw or self.sizes_hw)[part]
        height, width = _padded_hw(rooms, multiple)
        images = self.images[part, :, :height, :width].contiguous()
        return TensorBatch(images, self.sizes_hw[part], self.targets[part], self.image_ids[part], rooms)


def _padded_hw(sizes_hw: Sequence[tuple[int, int]], multiple: int) -> tuple[int, int]:
    height, width = (-(-max(sides) // multiple) * multiple for sides in zip(*sizes_hw, strict=True))
    return height, width


class TrainingBatches(Dataset[TensorBatch]):
    """Makes the tensors of a planned batch; the same batch always gives the same tensors."""

    def __init__(self, samples: Samples, config: Config) -> None:
        self.samples = samples
        self.config = config
        self.augmentation = (
            AugmentConfig(preset="none") if config.data.strategy == "prepared" else config.augment
        )

    def __getitem__(self, batch: Batch) -> TensorBatch:
        """Read, augment, resize and collate the images of one batch."""
        return self.make(batch, self.samples.image)

    def make(self, batch: Batch, read: Callable[[int], ImageArray]) -> TensorBatch:
        """Augment, resize and collate the images of one batch, which `read` gives by index."""
        samples = []
        for number, index in enumerate(batch.indices):
            if get_worker_info() is not None and number % HAND_BACK_EVERY == 0:
                hand_back_freed_memory()
            samples.append(self._sample(index, read(index), batch))
        inputs = [item for item, _, _ in samples]
        targets = [
            {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels)}
            for _, boxes, labels in samples
        ]
        rule = self.config.input
        images = _zeros(collated_shape(inputs, rule.multiple))
        collate(inputs, rule, out=images.numpy())
        return TensorBatch(
            images=images,
            sizes_hw=[item.size_hw for item in inputs],
            targets=targets,
            image_ids=[int(self.samples.image_ids[index]) for index in batch.indices],
        )

    def _sample(self, i: int, image: ImageArray, batch: Batch) -> tuple[Prepared, FloatArray, IntArray]:
        rule, seed = self.config.input, self.config.train.seed
        short = SPARE_PIXELS * batch.short_side
        largest = round(short), round(short * rule.long_side / rule.short_side)
        image, boxes, labels = augment_sample(
            self.samples, i, image, self.augmentation, seed, batch.epoch, largest
        )
        item = prepare(image, rule, batch.short_side)
        return item, item.to_input(boxes), labels


def _zeros(shape: tuple[int, ...]) -> Tensor:
    """Return float32 zeros; in a loader process, in memory that the training sees without a copy of them."""
    if get_worker_info() is None:
        return torch.zeros(shape)
    kind: Any = torch.UntypedStorage
    shared = kind._new_shared(math.prod(shape) * torch.float32.itemsize)  # as torch's own collating does
    return torch.empty(0).set_(shared).view(shape)


class PartBatches(Dataset[TensorBatch | None]):
    """Makes the tensors of a batch whose images are in memory; of nothing, nothing."""

    def __init__(self, batches: TrainingBatches, memory: PartMemory) -> None:
        self.batches = batches
        self.memory = memory

    def __getitem__(self, placed: LoadedBatch | None) -> TensorBatch | None:
        """Augment, resize and collate the images of one batch."""
        if placed is None:
            return None
        return self.batches.make(placed.batch, partial(self.memory.image, placed.slot))


def plan_batches(samples: Samples, config: Config) -> BatchPlan:
    """Return the batches that a configuration makes of images."""
    sizes = samples.sizes_hw.astype(np.float64)
    data = config.data
    probability = 0.0 if data.strategy == "prepared" else crop_probability(config.augment)
    return BatchPlan(
        aspects=sizes[:, 1] / sizes[:, 0],
        batch_size=config.train.batch_size,
        short_sides=config.input.train_short_sides or (config.input.short_side,),
        seed=config.train.seed,
        num_parts=data.parts if data.in_parts else 1,
        part_order=data.part_order,
        hold_out=data.hold_out,
        num_lasting=None if data.also_epochs is None else samples.num_own,
        early_epochs=data.also_epochs or 0,
        crops=NumberCrops.of(samples, probability, config.train.seed) if probability else None,
    )


def largest_part(samples: Samples, plan: BatchPlan, num_epochs: int) -> int:
    """Return the bytes of the largest part of a training."""
    is_dealt_again = plan.part_order == "each_cycle" or plan.num_lasting is not None
    epochs = range(num_epochs if is_dealt_again else 1)
    sizes = samples.num_bytes
    return max(int(sizes[part].sum()) for epoch in epochs for part in plan.parts(epoch))


@dataclass(frozen=True)
class RemainingBatches:
    """The batches of a training from a place on, epoch after epoch.

    Attributes:
        plan: All batches.
        accumulate: Batches of an update.
        epoch: Where to begin.
        update: Updates of that epoch to leave out.
        num_epochs: Where to end.
    """

    plan: BatchPlan
    accumulate: int
    epoch: int
    update: int
    num_epochs: int

    def __iter__(self) -> Iterator[Batch]:
        skipped = self.update
        for epoch in range(self.epoch, self.num_epochs):
            for group in update_groups(self.plan.epoch(epoch), self.accumulate)[skipped:]:
                yield from group
            skipped = 0


def own_share(batch: Batch, ranks: Ranks) -> Batch:
    """Return the images of a batch that this rank trains on.

    Raises:
        ConfigError: They cannot be divided.
    """
    ranks.num_own(len(batch.indices), "the number of images in a batch")
    return replace(batch, indices=tuple(ranks.own(batch.indices)))


def start_loading(
    samples: Samples, config: Config, batches: Iterable[Batch], pin: bool = False
) -> Iterator[TensorBatch]:
    """Start the loader processes and return the tensors of planned batches, in order, made ahead.

    Call it before the network is built. A forked process shares the memory of that moment with the
    training only until one of them writes to it: forked later, each keeps a copy of weights and
    buffers, more than a gigabyte. For the same reason garbage collection is kept off what they share.

    Args:
        samples: The images.
        config: Strategy, augmentation, size rule, number of processes (0 prepares batches in this one).
        batches: What to load; iterated here, a few batches ahead.
        pin: Whether to return tensors in page-locked memory, for a GPU.
    """
    dataset: Dataset[Any] = TrainingBatches(samples, config)
    source: Iterable[Any] = batches
    if config.data.in_parts:
        capacity = largest_part(samples, plan_batches(samples, config), config.train.epochs)
        memory = PartMemory(samples, capacity)
        dataset = PartBatches(TrainingBatches(samples, config), memory)
        source = PartFeed(batches, memory, ahead=max(1, config.data.workers * config.data.read_ahead))
    gc.collect()
    gc.freeze()
    loader = DataLoader(
        dataset,
        sampler=source,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=config.data.workers,
        prefetch_factor=config.data.read_ahead if config.data.workers else None,
        multiprocessing_context="fork" if config.data.in_parts and config.data.workers else None,
        pin_memory=pin,
        worker_init_fn=_stand_back_for_the_trainer,
    )
    handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    return _loaded(iter(loader), handler)


def _loaded(batches: Iterator[TensorBatch | None], handler: Any) -> Iterator[TensorBatch]:
    """Yield the batches; to the end, garbage collection stays off what was there at the fork.

    Then SIGCHLD goes again where it went: with torch's handler left behind, a process that had read with all
    runtimes, too, was ended by the kernel (SI_KERNEL, Linux 6.18, four times of four) at its next child.
    """
    try:
        yield from (batch for batch in batches if batch is not None)
    finally:
        gc.unfreeze()
        if handler is not None:
            with suppress(ValueError):  # not the main thread: torch has set none
                signal.signal(signal.SIGCHLD, handler)


def _stand_back_for_the_trainer(_: int) -> None:
    die_with_parent()
    give_back_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
