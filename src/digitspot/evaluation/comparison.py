"""Whether one way of training is better than another, by trainings with several seeds on the same images.

Two things could have been otherwise: the seeds, and the images scored on. The first moves a mean over n
trainings with the variance s²/n; the second is what a paired bootstrap over images shows. An interval of
the difference from both together decides: its half is the root of the sum of squares of theirs, Student's t
for the seeds (freedom of Satterthwaite 1946, doi 10.2307/3002019) and the normal distribution for the
images. One t for the summed variance would promise too much where the seeds differ most: their variance
is known from two or three values. Chance in single images of single trainings is in both parts and so
counts twice: where in doubt, two variants are not distinguishable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scipy import stats

from digitspot.evaluation.intervals import LEVEL, Interval, percentile_interval
from digitspot.types import DoubleArray

BETTER, WORSE, EQUAL = "better", "worse", "not distinguishable"
ONE_SEED = " by one seed"
"""Follows a verdict that says nothing about other seeds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trainings:
    """A figure of several trainings of one variant.

    Attributes:
        values: On the images themselves, `[n]`.
        samples: On each draw of the images, `[n, R]`; the draws are the same for everything compared.
    """

    values: DoubleArray
    samples: DoubleArray

    def over_seeds(self, level: float = LEVEL) -> Interval | None:
        """Return the mean and where that of endless seeds lies on these images; None with one seed."""
        if len(self.values) < 2:
            return None
        variance = float(self.values.var(ddof=1)) / len(self.values)
        return _student(float(self.values.mean()), variance, len(self.values) - 1, level)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One variant less another.

    Attributes:
        over_seeds: The difference of the means, and its interval over seeds on these images; None with one.
        over_images: Likewise over images, with these trainings.
        together: Over both, which the verdict is by; with one seed, over images alone.
        verdict: "better", "worse" or "not distinguishable", and whether by one seed only.
    """

    over_seeds: Interval | None
    over_images: Interval
    together: Interval
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        each = {"over_images": self.over_images.to_dict(), "together": self.together.to_dict()}
        seeds = None if self.over_seeds is None else self.over_seeds.to_dict()
        return {"over_seeds": seeds, **each, "verdict": self.verdict}


def compare(
    variant: Trainings,
    baseline: Trainings,
    *,
    paired: bool = False,
    level: float = LEVEL,
    num_comparisons: int = 1,
) -> Comparison:
    """Compare two variants.

    Args:
        variant: Its trainings.
        baseline: Its trainings; the two need not be as many.
        paired: Whether both are of the same trainings in the same order, used differently. Else a seed is
            another training in each variant, and pairing by it would throw degrees of freedom away.
        level: Of the intervals.
        num_comparisons: How many comparisons are read at once; the joint interval shares what may go wrong
            among them (Bonferroni).
    """
    difference = float(variant.values.mean() - baseline.values.mean())
    draws = variant.samples.mean(axis=0) - baseline.samples.mean(axis=0)
    seeds, freedom = _seed_variance(variant.values, baseline.values, paired)
    shared = 1 - (1 - level) / num_comparisons
    if math.isnan(seeds):
        over_seeds = None
        together = percentile_interval(difference, draws, shared)
    else:
        over_seeds = _student(difference, seeds, freedom, level)
        halves = (
            _half_width(shared, freedom) * math.sqrt(seeds),
            _half_width(shared, math.inf) * float(draws.std(ddof=1)),
        )
        half = math.hypot(*halves)
        together = Interval(value=difference, low=difference - half, high=difference + half, level=shared)
    return Comparison(
        over_seeds=over_seeds,
        over_images=percentile_interval(difference, draws, level),
        together=together,
        verdict=_verdict(together) + ("" if over_seeds else ONE_SEED),
    )


def _verdict(interval: Interval) -> str:
    if interval.low <= 0 <= interval.high:
        return EQUAL
    return BETTER if interval.low > 0 else WORSE


def _seed_variance(one: DoubleArray, other: DoubleArray, paired: bool) -> tuple[float, float]:
    """Return the variance of the difference of means over seeds and its degrees of freedom; NaN with one."""
    figures = [one - other] if paired else [one, other]
    if any(len(each) < 2 for each in figures):
        return math.nan, math.nan
    parts = [(float(each.var(ddof=1)) / len(each), len(each) - 1) for each in figures]
    total = sum(variance for variance, _ in parts)
    if not total:
        return 0.0, math.inf
    return total, total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def _student(value: float, variance: float, freedom: float, level: float) -> Interval:
    half = _half_width(level, freedom) * math.sqrt(variance)
    return Interval(value=value, low=value - half, high=value + half, level=level)


def _half_width(level: float, freedom: float) -> float:
    """Return how many standard errors an interval of Student's t reaches to each side."""
    return float(stats.t.ppf((1 + level) / 2, freedom))
