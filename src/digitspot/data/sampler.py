"""Which images make which batch: a function of (seed, epoch), so that any moment can be returned to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SORT_WINDOW_BATCHES = 16
"""Images are sorted by aspect within this many batches: little padding, and still a random order."""


@dataclass(frozen=True)
class Batch:
    """One training batch, before any picture is read.

    Attributes:
        epoch: From 0.
        indices: Images of the pack.
        short_side: The shorter side of its pictures, in pixels.
    """

    epoch: int
    indices: tuple[int, ...]
    short_side: int


@dataclass(frozen=True)
class BatchPlan:
    """All batches of a training.

    Attributes:
        aspects: float `[N]`, width over height of each image.
        batch_size: Images in a batch; what is left of an epoch and fills none is left out of it.
        short_sides: One is drawn for each batch.
        seed: The training's seed.
    """

    aspects: npt.NDArray[np.float64]
    batch_size: int
    short_sides: tuple[int, ...]
    seed: int

    @property
    def num_batches(self) -> int:
        """Batches in an epoch; one where there are fewer images than a batch holds."""
        return max(1, len(self.aspects) // self.batch_size)

    def epoch(self, epoch: int) -> list[Batch]:
        """Return the batches of an epoch, in order."""
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.aspects))[: self.num_batches * self.batch_size]
        window = SORT_WINDOW_BATCHES * self.batch_size
        batches = []
        for start in range(0, len(order), window):
            chunk = order[start : start + window]
            chunk = chunk[np.argsort(self.aspects[chunk], kind="stable")]
            batches += [chunk[i : i + self.batch_size] for i in range(0, len(chunk), self.batch_size)]
        sides = generator.choice(self.short_sides, len(batches))
        return [
            Batch(epoch, tuple(batches[i].tolist()), int(sides[i]))
            for i in generator.permutation(len(batches))
        ]
