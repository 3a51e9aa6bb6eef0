"""The learning rate as a function of the update, and of how it goes where it is a rule on plateaus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from digitspot.config import ScheduleConfig


def lr_factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Return what the peak lr is multiplied by at an update.

    Warm-up is linear. Cosine: Loshchilov and Hutter 2017, to zero. Warm-up, stable, decay:
    constant, then 1 - sqrt of the way through the decay (Hägele et al. 2024, section 4).

    Args:
        config: Kind and lengths.
        step: The update, from 0.
        total_steps: Updates of the whole training.

    >>> wsd = ScheduleConfig(kind="wsd", warmup_steps=10, decay_fraction=0.5)
    >>> [lr_factor(wsd, step, 100) for step in (0, 4, 10, 49, 75, 100)]
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
    return math.floor(total_steps * (1 - config.decay_fraction))


Round = tuple[int, float]
"""Training on one part: the part, and the mean loss before its updates."""


def round_improved(config: ScheduleConfig, rounds: Sequence[Round], num_parts: int) -> bool | None:
    """Tell whether the last round improved; None before every part was seen once.

    The report states the last clause. Its code judged the first cycle, too (`plateau_first_cycle`).

    Args:
        config: What is compared.
        rounds: All rounds so far, at least one.
        num_parts: Parts of a cycle.

    >>> rounds = [(0, 4.0), (1, 9.0), (0, 3.0)]
    >>> code = ScheduleConfig(plateau_compare="round", plateau_first_cycle=True)
    >>> round_improved(code, rounds[:2], 2), round_improved(code, rounds, 2)
    (False, True)
    >>> stated = ScheduleConfig(plateau_compare="round")
    >>> round_improved(stated, rounds[:2], 2), round_improved(stated, rounds, 2)
    (None, True)
    """
    (*before, (_, loss)) = rounds
    all_seen = len({part for part, _ in before}) == num_parts
    if not (all_seen or config.plateau_first_cycle):
        return None
    if config.plateau_compare == "round":
        return all(loss < other for _, other in before)
    losses = [each for _, each in rounds]
    sums = [math.fsum(losses[end - num_parts : end]) for end in range(num_parts, len(losses) + 1)]
    return sums[-1] < min(sums[:-1])


def stale_after(stale: int, improved: bool | None) -> int:
    """Count the validations or rounds without improvement; one that cannot be judged does not count."""
    return stale if improved is None else 0 if improved else stale + 1


@dataclass
class Plateau:
    """Falls when nothing improves; state of the `plateau` schedule.

    Attributes:
        scale: What the lr is multiplied by.
        waited: Validations or rounds since the last improvement or fall.
        rounds: All rounds so far, where they count.
    """

    scale: float = 1.0
    waited: int = 0
    rounds: list[Round] = field(default_factory=list)

    def observe(self, config: ScheduleConfig, improved: bool, peak_lr: float) -> bool:
        """Take a validation or a round into account; return whether the lr fell."""
        if config.kind != "plateau":
            return False
        self.waited = 0 if improved else self.waited + 1
        if improved or self.waited < config.plateau_patience:
            return False
        self.waited = 0
        if self.scale * peak_lr <= config.plateau_floor:
            return False
        self.scale *= config.plateau_factor
        return True

    def observe_round(
        self, config: ScheduleConfig, part: int, loss: float, num_parts: int, peak_lr: float
    ) -> bool | None:
        """Take a round into account; return whether it improved, None where that cannot be told yet."""
        self.rounds.append((part, loss))
        improved = round_improved(config, self.rounds, num_parts)
        if improved is not None:
            self.observe(config, improved, peak_lr)
        return improved
