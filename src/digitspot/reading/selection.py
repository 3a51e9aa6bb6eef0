"""Which readings to answer: the probability from which on a wanted accuracy is guaranteed.

Selection with guaranteed risk (Geifman and El-Yaniv 2017, algorithm 1): on images that the reader was not
fitted on, the share of wrong answers above each threshold has an exact binomial bound; a binary search over
thresholds looks at few of them, and each look pays its share of the allowed failure probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.types import DoubleArray

NUM_THRESHOLDS = 128
CONFIDENCE = 0.95
"""How sure the guarantee is, over draws of the fitted images."""


@dataclass(frozen=True, kw_only=True)
class RiskTable:
    """Thresholds and what was answered and wrong from each on, the lowest threshold first.

    Counts are of images: where each was seen in several views, the views' counts divided by their number,
    since views of an image are not independent.

    Attributes:
        thresholds: Probabilities.
        answered: Images read with at least this probability.
        wrong: Those of them read wrongly.
    """

    thresholds: tuple[float, ...] = ()
    answered: tuple[float, ...] = ()
    wrong: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RiskTable:
        """Build a table from plain values, also after JSON."""
        return cls(**{name: tuple(map(float, column)) for name, column in values.items()})


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A threshold with its guarantee.

    Attributes:
        min_probability: Answer from this on.
        coverage: Share of the fitted images that are answered.
        accuracy: Share of the answers that were right there.
        guaranteed_accuracy: On further images like them, with 95 % confidence.
    """

    min_probability: float
    coverage: float
    accuracy: float
    guaranteed_accuracy: float

    def __str__(self) -> str:
        return (
            f"answers from a probability of {self.min_probability:.3f} on: {self.coverage:.1%} of the "
            f"images fitted on, {self.accuracy:.1%} of them right; of further ones like them, "
            f"{self.guaranteed_accuracy:.1%} or more ({CONFIDENCE:.0%} confidence)"
        )


def tabulate_risk(
    probabilities: DoubleArray, right: npt.NDArray[np.bool_], num_views: float = 1.0
) -> RiskTable:
    """Count answers and mistakes above thresholds that split the readings evenly.

    Args:
        probabilities: Of readings by readers that were fitted without them, `[N]`.
        right: Which are right, `[N]`.
        num_views: Readings of each image.
    """
    if len(right) == 0:
        return RiskTable()
    ordered = np.sort(probabilities)
    thresholds = np.unique(ordered[np.linspace(0, len(ordered) - 1, NUM_THRESHOLDS).astype(int)])
    above = probabilities >= thresholds[:, None]  # [T, N]
    return RiskTable(
        thresholds=tuple(thresholds.tolist()),
        answered=tuple((above.sum(1) / num_views).tolist()),
        wrong=tuple(((above & ~right).sum(1) / num_views).tolist()),
    )


def select(table: RiskTable, target_accuracy: float) -> Selection | None:
    """Find the lowest threshold whose answers have the target accuracy.

    It is guaranteed where the fitted images suffice for that. Where they do not, the threshold is the
    lowest at which that share of them was right, and `guaranteed_accuracy` says what can be guaranteed.

    Args:
        table: The reader's.
        target_accuracy: Above 0 and below 1.

    Returns:
        The selection; None where the target was not reached at any threshold.
    """
    num = len(table.thresholds)
    failure = (1 - CONFIDENCE) / max(1, math.ceil(math.log2(num + 1)))
    found, low, high = None, 0, num
    while low < high:
        middle = (low + high) // 2
        tried = _select_at(table, middle, failure)
        if tried.guaranteed_accuracy >= target_accuracy:
            found, high = tried, middle
        else:
            low = middle + 1
    if found is None:  # every threshold was looked at
        tried_all = (_select_at(table, index, (1 - CONFIDENCE) / num) for index in range(num))
        found = next((each for each in tried_all if each.accuracy >= target_accuracy), None)
    return found


def _select_at(table: RiskTable, index: int, failure: float) -> Selection:
    answered, wrong = table.answered[index], table.wrong[index]
    return Selection(
        min_probability=table.thresholds[index],
        coverage=answered / table.answered[0],
        accuracy=1 - wrong / answered,
        guaranteed_accuracy=1 - binomial_upper_bound(wrong, answered, failure),
    )


def binomial_upper_bound(wrong: float, num: float, failure: float) -> float:
    """Return the risk at which so few mistakes have probability `failure` (Clopper and Pearson 1934).

    Args:
        wrong: Mistakes; a fraction counts as the next whole number.
        num: Trials; a fraction counts as the whole number below.
        failure: Probability that the bound does not hold.

    >>> round(binomial_upper_bound(0, 10, 0.05), 4)
    0.2589
    """
    mistakes, trials = math.ceil(wrong - 1e-9), math.floor(num + 1e-9)
    if mistakes >= trials:
        return 1.0
    counts = np.arange(mistakes + 1)
    log_choose = math.lgamma(trials + 1) - np.array(
        [math.lgamma(count + 1) + math.lgamma(trials - count + 1) for count in counts.tolist()]
    )
    low, high = 0.0, 1.0
    for _ in range(50):
        risk = (low + high) / 2
        terms = log_choose + counts * math.log(risk) + (trials - counts) * math.log1p(-risk)
        tail = float(np.exp(terms).sum())
        low, high = (risk, high) if tail > failure else (low, risk)
    return high
