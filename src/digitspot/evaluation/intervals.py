"""How far a figure would move on other images: percentile bootstrap over images.

Images are drawn with replacement, as many as there are (Efron and Tibshirani 1993, chapter 13). An
image that is drawn k times counts k times in the figure, so nothing is matched again.

AP is higher on fewer images, and a resample has about 63 % of them: on 2,820 images the resamples' mean
lies 0.002 above AP (`benchmarks/results/evaluation.md`), and the interval is too high by as much. In the
difference of two models on the same draws it all but cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.evaluation.coco_metrics import UNDEFINED, PrecisionCurves
from digitspot.evaluation.matching import Matches, match_boxes
from digitspot.evaluation.number_metrics import Id, exact_matches
from digitspot.labels.labels import LabelSet
from digitspot.types import Detections, DoubleArray, IntArray

NUM_RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with the range that other draws of as many images would give it.

    Attributes:
        value: The figure itself.
        low: Lower end.
        high: Upper end.
        level: Share of the resamples between the two, such as 0.95.
    """

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return the four values for a JSON file."""
        return vars(self).copy()


@dataclass(frozen=True, kw_only=True)
class MetricIntervals:
    """Intervals of the two scores; `accuracy` is None where no numbers were given."""

    mean_ap: Interval
    accuracy: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Return both for a JSON file, under `AP` and `accuracy`."""
        accuracy = {} if self.accuracy is None else {"accuracy": self.accuracy.to_dict()}
        return {"AP": self.mean_ap.to_dict(), **accuracy}

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        named = [("AP", self.mean_ap), ("accuracy", self.accuracy)]
        return [(f"{name}, {each.level:.0%}", str(each)) for name, each in named if each is not None]


def bootstrap_metrics(
    labels: LabelSet,
    detections: Mapping[int, Detections],
    truth: Mapping[Id, str | None] | None = None,
    predicted: Mapping[Id, str | None] | None = None,
    *,
    image_ids: Iterable[int] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> MetricIntervals:
    """Return intervals of COCO's AP and of whole-number accuracy.

    Args:
        labels: As in `evaluate_boxes`.
        detections: As in `evaluate_boxes`.
        truth: As in `evaluate_numbers`, already restricted to the images meant; None leaves numbers out.
        predicted: As in `evaluate_numbers`.
        image_ids: Compare boxes on these images only.
        num_resamples: Draws.
        level: Share of the resamples inside the interval.
        seed: Of the draws; the same seed gives the same interval.

    Raises:
        DataError: As in `evaluate_boxes` and `evaluate_numbers`.
    """
    matches = match_boxes(labels, detections, image_ids)
    how = {"num_resamples": num_resamples, "seed": seed}
    numbers = None
    if truth is not None:
        right = exact_matches(truth, predicted or {})
        numbers = percentile_interval(float(right.mean()), accuracy_samples(right, **how), level)
    once = np.ones(matches.num_images, np.int64)
    mean_ap = PrecisionCurves(matches).mean_ap(once)
    return MetricIntervals(
        mean_ap=percentile_interval(mean_ap, mean_ap_samples(matches, **how), level), accuracy=numbers
    )


def mean_ap_samples(matches: Matches, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> DoubleArray:
    """Return COCO's AP of each resample, `[R]`; -1 where a resample has no true digit.

    Two models matched on the same images and resampled with one seed see the same draws: the
    difference of their samples is a paired bootstrap.
    """
    curves = PrecisionCurves(matches)
    draws = image_weights(matches.num_images, num_resamples=num_resamples, seed=seed)
    return np.array([curves.mean_ap(weights) for weights in draws], np.float64)


def accuracy_samples(
    right: npt.NDArray[np.bool_], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> DoubleArray:
    """Return the share of right images of each resample, `[R]`, from `exact_matches`, `[N]`."""
    draws = image_weights(len(right), num_resamples=num_resamples, seed=seed)
    return np.array([weights[right].sum() / len(right) for weights in draws], np.float64)


def image_weights(num_images: int, *, num_resamples: int, seed: int) -> Iterator[IntArray]:
    """Draw images with replacement: yields int64 `[num_images]`, how often each was drawn."""
    generator = np.random.default_rng(seed)
    for _ in range(num_resamples if num_images else 0):
        drawn = generator.integers(num_images, size=num_images)
        yield np.bincount(drawn, minlength=num_images)


def percentile_interval(value: float, samples: DoubleArray, level: float = LEVEL) -> Interval:
    """Return the middle `level` of the samples around a figure.

    Args:
        value: The figure on the images themselves.
        samples: The figure of each resample, `[R]`; undefined ones (-1) are left out. Where none is left
            the interval is the value alone.
        level: Above 0 and below 1.
    """
    assert 0 < level < 1, f"level must lie between 0 and 1, not {level}"
    defined = samples[samples > UNDEFINED]
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if defined.size else (value, value)
    return Interval(value=value, low=float(low), high=float(high), level=level)
