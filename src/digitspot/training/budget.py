"""From a memory budget to a training that keeps it: workers, read-ahead, parts, pixels at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from digitspot.config import Config, parse_size
from digitspot.dataset.sampler import Batch
from digitspot.dataset.samples import Samples
from digitspot.errors import ConfigError, MemoryBudgetError
from digitspot.preprocess import input_size
from digitspot.ranks import ALONE, Ranks
from digitspot.training.allocator import hand_back_freed_memory
from digitspot.training.loader import largest_part, plan_batches
from digitspot.training.memory import can_measure, size_text, status_bytes
from digitspot.training.rehearsal import Trial, rehearse

RESERVE = 0.06
"""Share of the budget that is left free: freed memory in pieces, validation, checkpoints."""
WORKER_BYTES = 40 * 2**20
"""What a loader process adds beside the batches that it makes (benchmarks/results/memory.md)."""
TYPICAL = 0.95
"""Share of the batches that are to be computed in one go; larger ones may be cut into pieces."""
MAX_PARTS = 1000


@dataclass(frozen=True)
class Pixels:
    """The batches of an epoch in padded pixels, and the size of an image in rehearsals.

    Attributes:
        size_hw: The largest single image, padded.
        typical: All but a few batches have no more.
        largest: No batch of the first epoch has more.
    """

    size_hw: tuple[int, int]
    typical: int
    largest: int

    def shared(self, num: int) -> Pixels:
        """Return what each of so many ranks has of the batches."""
        return replace(self, typical=math.ceil(self.typical / num), largest=math.ceil(self.largest / num))

    @property
    def each(self) -> int:
        """Pixels of the largest image."""
        return self.size_hw[0] * self.size_hw[1]


def fit_to_budget(config: Config, samples: Samples, ranks: Ranks = ALONE) -> Config:
    """Return the configuration with what follows from its budget; without one, as it is.

    Read-ahead and workers are given up before parts grow in number, and those before typical batches are
    cut into pieces: the first two change no result.

    Args:
        config: With `train.memory_budget`.
        samples: What is trained on, open.
        ranks: Who shares batches and parts; those of a machine share its budget, too.

    Raises:
        MemoryBudgetError: The budget is too small; says the least that would do.
        ConfigError: This system does not say what processes have in memory.
    """
    if config.train.memory_budget is None:
        return config
    if not can_measure():
        raise ConfigError("train.memory_budget needs Linux: /proc/self/smaps_rollup")
    budget = parse_size(config.train.memory_budget) // ranks.local_size
    hand_back_freed_memory()
    pixels = measure_pixels(config, samples).shared(ranks.size)
    usable = int((1 - RESERVE) * budget) - status_bytes("VmRSS")  # libraries in full: others may end
    rooms = [
        (each, usable - loader_bytes(each, samples, pixels, ranks.size)) for each in _ways(config, samples)
    ]
    full = max(config.train.batch_size // ranks.size, math.ceil(pixels.largest / pixels.each))
    counts = sorted({1, 2, *(2**power for power in range(2, full.bit_length()) if 2**power < full), full})
    trials = rehearse(config, pixels.size_hw, counts, limit=max(room for _, room in rooms), now=usable)
    typical = bytes_at(trials, pixels.typical / pixels.each)
    way, room = next((each for each in rooms if each[1] >= typical), max(rooms, key=lambda each: each[1]))
    images = images_within(trials, room, full)
    if images < 1:
        least = (budget - room + trials[0].bytes) / (1 - RESERVE)
        raise MemoryBudgetError(
            f"a memory budget of {size_text(budget)} does not suffice for this training"
            + (f", for each of {ranks.local_size} processes" if ranks.local_size > 1 else ""),
            hint=f"The least that would do is about {math.ceil(ranks.local_size * least / 2**20)} MiB.",
        )
    return replace(way, train=replace(way.train, max_batch_pixels=images * pixels.each * ranks.size))


def describe(config: Config, samples: Samples) -> str:
    """Say in one line what a budget led to."""
    data = config.data
    parts = f"{data.parts} parts of {size_text(_part_bytes(config, samples))}, " if data.in_parts else ""
    return (
        f"memory budget {config.train.memory_budget}: {parts}{data.workers} loader processes, "
        f"{data.read_ahead} batches ahead each, {config.train.max_batch_pixels or 0:,} pixels at once"
    )


def _ways(config: Config, samples: Samples) -> Iterator[Config]:
    """Give up one thing after the other, what costs least first."""
    data = config.data
    yield config
    for workers in range(data.workers, -1, -1):
        config = replace(config, data=replace(data, workers=workers, read_ahead=1))
        yield config
    parts, fewest = data.parts, len(samples) if data.also_epochs is None else samples.num_own
    while data.in_parts and (parts := 2 * parts) <= min(MAX_PARTS, fewest):
        yield replace(config, data=replace(config.data, parts=parts, workers=min(1, data.workers)))


def loader_bytes(config: Config, samples: Samples, pixels: Pixels, num_ranks: int = 1) -> int:
    """Return what a rank's share of the parts, its loader processes and their batches take."""
    data = config.data
    batches = data.workers * data.read_ahead + 2  # one in the making and one that is trained on
    return (
        2 * _part_bytes(config, samples) // num_ranks
        + data.workers * WORKER_BYTES
        + batches * 3 * np.dtype(np.float32).itemsize * pixels.typical
    )


def _part_bytes(config: Config, samples: Samples) -> int:
    if not config.data.in_parts:
        return 0
    return largest_part(samples, plan_batches(samples, config), config.train.epochs)


def measure_pixels(config: Config, samples: Samples) -> Pixels:
    """Work out the padded sizes of the first epoch's batches, without reading an image."""
    plan = plan_batches(samples, config)
    padded = [_padded_pixels(batch, samples, config) for batch in plan.epoch(0)]
    short = max(plan.short_sides)
    long = round(config.input.long_side * short / config.input.short_side)
    size_hw = _round_up(short, config.input.multiple), _round_up(long, config.input.multiple)
    return Pixels(size_hw, int(np.quantile(padded, TYPICAL)), max(padded))


def _padded_pixels(batch: Batch, samples: Samples, config: Config) -> int:
    rule = config.input
    long = round(rule.long_side * batch.short_side / rule.short_side)
    sizes = [
        input_size((height, width), batch.short_side, long)
        for height, width in samples.sizes_hw[list(batch.indices)].tolist()
    ]
    height, width = (_round_up(max(sides), rule.multiple) for sides in zip(*sizes, strict=True))
    return len(sizes) * height * width


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple


def bytes_at(trials: list[Trial], images: float) -> float:
    """Return the memory of a batch of so many images, between and beyond what was tried."""
    xs, ys = [float(trial.images) for trial in trials], [float(trial.bytes) for trial in trials]
    if images <= xs[-1] or len(xs) == 1:
        return float(np.interp(images, xs, ys)) if len(xs) > 1 else ys[0] * max(1.0, images)
    return ys[-1] + (images - xs[-1]) * (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])


def images_within(trials: list[Trial], room: float, most: int) -> int:
    """Return how many images fit at once, up to `most`; 0 where not even one does."""
    return max((images for images in range(1, most + 1) if bytes_at(trials, images) <= room), default=0)
