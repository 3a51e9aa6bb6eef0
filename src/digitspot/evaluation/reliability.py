"""Whether a reader's probabilities mean what they say, and how much it answers at which accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.evaluation.intervals import LEVEL, NUM_RESAMPLES, Interval, image_weights, percentile_interval
from digitspot.types import DoubleArray

Right = npt.NDArray[np.bool_]
TARGETS = (0.95, 0.98, 0.99)
NUM_BINS = 15
NUM_SIMULATIONS = 2000


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Readings of like probability.

    Attributes:
        num_images: How many.
        probability: Their mean.
        accuracy: Share of them that are right.
    """

    num_images: int
    probability: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class ReliabilityMetrics:
    """How far probabilities can be trusted.

    Attributes:
        coverage: By accuracy: the largest share of images that can be answered with at least that accuracy,
            surest first.
        calibration_error: Expected calibration error, `NUM_BINS` bins of equal size.
        calibrated_error: What 95 % of perfectly calibrated readers with these probabilities stay below.
        bins: The reliability diagram, least sure first.
        curve: Coverage and accuracy of the surest share of images, at each percent.
    """

    coverage: Mapping[float, Interval]
    calibration_error: float
    calibrated_error: float
    bins: tuple[Bin, ...]
    curve: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file; accuracies become strings."""
        coverage = {f"{target:g}": interval.to_dict() for target, interval in self.coverage.items()}
        return {**vars(self), "coverage": coverage, "bins": [vars(each) for each in self.bins]}

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        rows = [
            (f"coverage at {target:.0%} accuracy, {interval.level:.0%}", str(interval))
            for target, interval in self.coverage.items()
        ]
        error = f"{self.calibration_error:.4f} (calibrated: up to {self.calibrated_error:.4f})"
        return [*rows, ("calibration error", error)]


def evaluate_reliability(
    probabilities: DoubleArray, right: Right, *, num_resamples: int = NUM_RESAMPLES, level: float = LEVEL
) -> ReliabilityMetrics:
    """Measure the probabilities of readings.

    Args:
        probabilities: `[N]`, at least one.
        right: Which readings are right, `[N]`.
        num_resamples: Bootstrap resamples over images for the intervals; 0 gives none but the value.
        level: Of the intervals.
    """
    draws = list(image_weights(len(right), num_resamples=num_resamples, seed=0))
    coverage = {}
    for target in TARGETS:
        samples = np.array(
            [coverage_at(probabilities, right, target, weights) for weights in draws], np.float64
        )
        coverage[target] = percentile_interval(coverage_at(probabilities, right, target), samples, level)
    return ReliabilityMetrics(
        coverage=coverage,
        calibration_error=calibration_error(probabilities, right),
        calibrated_error=calibrated_error(probabilities),
        bins=reliability_bins(probabilities, right),
        curve=accuracy_by_coverage(probabilities, right),
    )


def coverage_at(
    probabilities: DoubleArray, right: Right, target: float, weights: npt.NDArray[np.int64] | None = None
) -> float:
    """Return the largest share of images above a threshold of which the target share is right.

    Args:
        probabilities: `[N]`.
        right: `[N]`.
        target: Accuracy, in 0..1.
        weights: How often each image counts, `[N]`; None is once.
    """
    weights = np.ones(len(right), np.int64) if weights is None else weights
    order = np.argsort(-probabilities, kind="stable")
    answered, correct = np.cumsum(weights[order]), np.cumsum((weights * right)[order])
    ordered = probabilities[order]
    is_threshold = np.append(ordered[1:] < ordered[:-1], True)  # equally sure ones are answered together
    reached = is_threshold & (answered > 0) & (correct >= target * answered)
    return float(answered[reached].max(initial=0) / max(1, weights.sum()))


def accuracy_by_coverage(probabilities: DoubleArray, right: Right) -> tuple[tuple[float, float], ...]:
    """Return coverage and accuracy of the surest 1 %, 2 % up to 100 % of the images."""
    order = np.argsort(-probabilities, kind="stable")
    correct = np.cumsum(right[order])
    ends = np.unique(np.ceil(np.arange(1, 101) / 100 * len(right)).astype(int))
    return tuple((end / len(right), float(correct[end - 1] / end)) for end in ends.tolist())


def reliability_bins(probabilities: DoubleArray, right: Right) -> tuple[Bin, ...]:
    """Return `NUM_BINS` bins of equal size, the least sure first; fewer where there are fewer images."""
    order = np.argsort(probabilities, kind="stable")
    return tuple(
        Bin(
            num_images=len(part),
            probability=float(probabilities[part].mean()),
            accuracy=float(right[part].mean()),
        )
        for part in np.array_split(order, NUM_BINS)
        if len(part)
    )


def calibration_error(probabilities: DoubleArray, right: Right) -> float:
    """Return the mean distance of accuracy and probability over bins of equal size (Naeini et al. 2015)."""
    bins = reliability_bins(probabilities, right)
    return sum(abs(each.accuracy - each.probability) * each.num_images for each in bins) / len(right)


def calibrated_error(probabilities: DoubleArray, level: float = LEVEL) -> float:
    """Return the calibration error below which `level` of readers stay that are right as often as they say.

    Simulated: each draws which of its readings are right with their probabilities.
    """
    ordered = np.sort(probabilities)
    parts = np.array_split(np.arange(len(ordered)), NUM_BINS)
    starts = np.array([part[0] for part in parts if len(part)])
    random = np.random.default_rng(0)
    errors = []
    for _ in range(NUM_SIMULATIONS):
        right = random.random(len(ordered)) < ordered
        errors.append(np.abs(np.add.reduceat(right - ordered, starts)).sum() / len(ordered))
    return float(np.quantile(errors, level))
