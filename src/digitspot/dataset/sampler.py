"""Which images make which batch: a function of (seed, epoch), so that any moment can be returned to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from digitspot.dataset.crops import NumberCrops
from digitspot.errors import ConfigError
from digitspot.types import IntArray

SORT_WINDOW_BATCHES = 16
"""Images are sorted by aspect within this many batches: little padding, and still a random order."""
BLOCK_IMAGES = 32
"""Neighbours of the pack that are assigned to a part together, about 1 MiB of house numbers. A part is thus
read in pieces that suit a disk. The pack's own order is random, so a part still is a random sample."""
ASSIGNMENT = 2**32
"""Third number of the random key that assigns images to parts; for the order within a part it is the part."""


@dataclass(frozen=True)
class Batch:
    """One training batch, before any image is read.

    Attributes:
        epoch: From 0; with parts, a cycle through all of them.
        part: Whose images these are, from 0.
        indices: Images of the pack.
        short_side: The shorter side of its images, in pixels.
    """

    epoch: int
    part: int
    indices: tuple[int, ...]
    short_side: int


@dataclass(frozen=True)
class BatchPlan:
    """All batches of a training.

    Attributes:
        aspects: float `[N]`, width over height of each image.
        batch_size: Images in a batch. The rest of a part that fills no batch is left out of the epoch.
        short_sides: One is drawn for each batch.
        seed: The training's seed.
        num_parts: Parts that the images are assigned to, one trained on after the other.
        part_order: Whether images are assigned to parts anew in each epoch.
        hold_out: Whether one part after the other is left out of an epoch.
        num_lasting: Images that every epoch shows. The rest belong to the first `early_epochs` only. None is
            all.
        early_epochs: See there.
        crops: Cuts images before they come to a batch; None leaves them whole.
    """

    aspects: npt.NDArray[np.float64]
    batch_size: int
    short_sides: tuple[int, ...]
    seed: int
    num_parts: int = 1
    part_order: Literal["each_cycle", "once"] = "each_cycle"
    hold_out: bool = False
    num_lasting: int | None = None
    early_epochs: int = 0
    crops: NumberCrops | None = None

    def __post_init__(self) -> None:
        fewest = len(self.aspects) if self.num_lasting is None else self.num_lasting
        if self.num_parts > max(1, fewest):
            raise ConfigError(f"data.parts is {self.num_parts}, but there are {fewest} images to assign")

    def num_images(self, epoch: int) -> int:
        """Return how many images an epoch has, the first ones of the pack."""
        if self.num_lasting is None or epoch < self.early_epochs:
            return len(self.aspects)
        return self.num_lasting

    def parts(self, epoch: int) -> list[IntArray]:
        """Return the images of each part, rising; one more in the first parts."""
        num = self.num_images(epoch)
        if self.num_parts == 1:
            return [np.arange(num)]
        key = [self.seed, epoch if self.part_order == "each_cycle" else 0, ASSIGNMENT]
        block = max(1, min(BLOCK_IMAGES, num // (8 * self.num_parts)))
        starts = np.random.default_rng(key).permutation(np.arange(0, num, block))
        order = (starts[:, None] + np.arange(block)).ravel()
        return [np.sort(part) for part in np.array_split(order[order < num], self.num_parts)]

    def held_out(self, epoch: int) -> int | None:
        """Return the part that is not trained on in an epoch, or None."""
        return epoch % self.num_parts if self.hold_out else None

    def batches_per_part(self, epoch: int) -> list[int]:
        """Return the batches of each part in an epoch; a part of fewer images than a batch has one."""
        large, small = divmod(self.num_images(epoch), self.num_parts)[::-1]
        sizes = [small + 1] * large + [small] * (self.num_parts - large)
        nums = [max(1, size // self.batch_size) for size in sizes]
        return [0 if part == self.held_out(epoch) else num for part, num in enumerate(nums)]

    def num_batches(self, epoch: int = 0) -> int:
        """Return the batches of an epoch."""
        return sum(self.batches_per_part(epoch))

    def epoch(self, epoch: int) -> list[Batch]:
        """Return the batches of an epoch, in order."""
        return [
            batch
            for part, images in enumerate(self.parts(epoch))
            if part != self.held_out(epoch)
            for batch in self._part(epoch, part, images)
        ]

    def _part(self, epoch: int, part: int, images: IntArray) -> Iterator[Batch]:
        generator = np.random.default_rng([self.seed, epoch, part])
        num = max(1, len(images) // self.batch_size) * self.batch_size
        order = images[generator.permutation(len(images))[:num]]
        aspects = self.aspects[order] if self.crops is None else self.crops.aspects(epoch, order)
        window = SORT_WINDOW_BATCHES * self.batch_size
        batches: list[IntArray] = []
        for start in range(0, len(order), window):
            chunk = order[start : start + window]
            chunk = chunk[np.argsort(aspects[start : start + window], kind="stable")]
            batches += [chunk[i : i + self.batch_size] for i in range(0, len(chunk), self.batch_size)]
        sides = generator.choice(self.short_sides, len(batches))
        for i in generator.permutation(len(batches)):
            yield Batch(epoch, part, tuple(batches[i].tolist()), int(sides[i]))


def update_groups(batches: Sequence[Batch], accumulate: int) -> list[list[Batch]]:
    """Group the batches of an epoch into updates; none has batches of two parts."""
    groups: list[list[Batch]] = []
    for batch in batches:
        if groups and len(groups[-1]) < accumulate and groups[-1][0].part == batch.part:
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return groups
