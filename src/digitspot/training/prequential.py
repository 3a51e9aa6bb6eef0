"""Prequential evaluation: each batch tests the network before it trains it.

Every loss is from before its own update (test-then-train: Gama, Sebastião, Rodrigues 2013,
doi 10.1007/s10994-012-5320-9; progressive validation: Blum, Kalai, Langford 1999). In the first cycle it is a
loss on unseen images, though of a network in training mode and of many states; from the second on it is
training loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from digitspot.config import TrainConfig


@dataclass
class Prequential:
    """Means of the losses before the updates.

    Attributes:
        faded_sum: Sum of the losses, each weighted by the fading factor to the power of its age.
        faded_weight: Sum of the weights.
        recent: The last losses, as many as the window holds.
        round_sum: Sum of the losses of this round.
        round_updates: Updates of this round.
    """

    faded_sum: float = 0.0
    faded_weight: float = 0.0
    recent: list[float] = field(default_factory=list)
    round_sum: float = 0.0
    round_updates: int = 0

    def add(self, loss: float, config: TrainConfig) -> None:
        """Take the loss before an update into account."""
        self.faded_sum = loss + config.prequential_fading * self.faded_sum
        self.faded_weight = 1.0 + config.prequential_fading * self.faded_weight
        self.recent = [*self.recent, loss][-config.prequential_window :]
        self.round_sum += loss
        self.round_updates += 1

    def figures(self) -> dict[str, float]:
        """Return the faded and the windowed mean; there must be a loss."""
        return {
            "prequential_faded": self.faded_sum / self.faded_weight,
            "prequential_window": sum(self.recent) / len(self.recent),
        }

    def end_round(self) -> float:
        """Return the mean of the round, and begin the next."""
        mean = self.round_sum / max(1, self.round_updates)
        self.round_sum, self.round_updates = 0.0, 0
        return mean
