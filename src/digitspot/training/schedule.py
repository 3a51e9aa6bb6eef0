"""The learning rate as a function of the update, and of validation where it is a rule on plateaus."""

from __future__ import annotations

import math
from dataclasses import dataclass

from digitspot.config import ScheduleConfig


def rate_factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Return what the peak rate is multiplied by at an update.

    Warm-up is linear. Cosine: Loshchilov and Hutter 2017, to zero. Warm-up, stable, decay:
    constant, then 1 - sqrt of the way through the decay (Hägele et al. 2024, section 4).

    Args:
        config: Kind and lengths.
        step: The update, from 0.
        total_steps: Updates of the whole training.

    >>> wsd = ScheduleConfig(kind="wsd", warmup_steps=10, decay_share=0.5)
    >>> [rate_factor(wsd, step, 100) for step in (0, 4, 10, 49, 75, 100)]
    [0.1, 0.5, 1.0, 1.0, 0.2928932188134524, 0.0]
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.kind == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total_steps))))
    if config.kind == "wsd":
        start = decay_start(config, total_steps)
        through = max(0, step - start) / max(1, total_steps - start)
        return warm * (1 - math.sqrt(min(1.0, through)))
    return warm


def decay_start(config: ScheduleConfig, total_steps: int) -> int:
    """Return the update at which the decay of `wsd` begins."""
    return math.floor(total_steps * (1 - config.decay_share))


@dataclass
class Plateau:
    """Falls when validation does not improve; state of the `plateau` schedule.

    Attributes:
        scale: What the rate is multiplied by.
        waited: Validations since the last improvement or fall.
    """

    scale: float = 1.0
    waited: int = 0

    def observe(self, config: ScheduleConfig, improved: bool, peak_rate: float) -> bool:
        """Take a validation into account; return whether the rate fell."""
        if config.kind != "plateau":
            return False
        self.waited = 0 if improved else self.waited + 1
        if improved or self.waited < config.plateau_patience:
            return False
        self.waited = 0
        floor = min(1.0, config.plateau_floor / peak_rate)
        fell = self.scale > floor
        self.scale = max(floor, self.scale * config.plateau_factor)
        return fell
