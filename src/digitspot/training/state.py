"""Where a training is, and which update of which epoch that makes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from digitspot.config import Config
from digitspot.dataset.sampler import BatchPlan
from digitspot.reading import ReadingSettings
from digitspot.training.checkpoint import load_training
from digitspot.training.prequential import Prequential
from digitspot.training.schedule import Plateau, decay_start


@dataclass
class TrainState:
    """Where a training is: with the learner's state, all that a resumed one needs.

    Attributes:
        epoch: From 0.
        update: Updates done in this epoch.
        step: Updates done in all.
        images_seen: Training images seen, counting repeats.
        seconds: Spent in updates and in waiting for batches.
        best: Best validation so far, by the figure that selects.
        validated: Updates done at the last validation; -1 before any.
        waited: Validations since then; where rounds count, rounds since one improved.
        plateau: State of that schedule.
        prequential: Means of the losses before the updates.
        reading: The reader's settings, fitted to the part scored last.
    """

    epoch: int = 0
    update: int = 0
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    validated: int = -1
    waited: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    prequential: Prequential = field(default_factory=Prequential)
    reading: ReadingSettings = field(default_factory=ReadingSettings)


def stored_state(path: Path) -> TrainState:
    """Read where a saved training is, without reading its weights."""
    values = dict(load_training(path, mmap=True)["state"])
    for name, kind in (("plateau", Plateau), ("prequential", Prequential)):
        values[name] = kind(**values.get(name, {}))
    values["reading"] = (
        ReadingSettings.from_dict(values["reading"]) if "reading" in values else ReadingSettings()
    )
    return TrainState(**values)


def total_steps(config: Config, plan: BatchPlan) -> int:
    """Return the updates of a training."""
    return sum(updates_in(config, plan, epoch) for epoch in range(config.train.epochs))


def total_images(config: Config, plan: BatchPlan) -> int:
    """Return about how many images a training sees, or its trial where `train.max_updates` ends it."""
    num_batches = sum(map(plan.num_batches, range(config.train.epochs)))
    num_steps = total_steps(config, plan)
    return (
        round(num_batches * min(1.0, (config.train.max_updates or num_steps) / num_steps)) * plan.batch_size
    )


def updates_in(config: Config, plan: BatchPlan, epoch: int) -> int:
    """Return the updates of an epoch; the last one of a part may be of fewer batches."""
    return sum(-(-num // config.optimizer.accumulate) for num in plan.batches_per_part(epoch))


def branch_step(config: Config, plan: BatchPlan) -> int:
    """Return the update of the trunk after which a training of `config.train.epochs` goes its own way."""
    return decay_start(config.schedule, total_steps(config, plan))


def position_of_step(config: Config, plan: BatchPlan, step: int) -> tuple[int, int]:
    """Return the epoch of an update and its number there."""
    epoch = 0
    while step >= (num := updates_in(config, plan, epoch)):
        epoch, step = epoch + 1, step - num
    return epoch, step
