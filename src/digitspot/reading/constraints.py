"""What a user knows of the number: its length, range, pattern, a list of numbers, the reading before.

Under a constraint the reader goes through texts from the most probable down, whatever digits and classes, and
takes the first that is allowed.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from digitspot.reading.candidates import Candidates
from digitspot.types import DoubleArray, IntArray

MAX_TEXTS = 20_000
"""Texts to go through; where none is allowed, there is no number."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """Which texts are allowed; what is None allows all.

    Attributes:
        length: Digits.
        at_least: Smallest value; "042" has the value 42.
        at_most: Largest value.
        pattern: A regular expression that the whole text matches.
        allowed: The texts that it can be.
        previous: The reading before, as of a meter that only counts up.
        max_change: How much more than `previous` it can be.
    """

    length: int | None = None
    at_least: int | None = None
    at_most: int | None = None
    pattern: str | None = None
    allowed: frozenset[str] | None = None
    previous: str | None = None
    max_change: int | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def allows_length(self, length: int) -> bool:
        """Return whether a text of this length can be allowed; "no number" cannot."""
        if self.allowed is not None and all(len(text) != length for text in self.allowed):
            return False
        return length > 0 and self.length in (None, length)

    def allows(self, text: str) -> bool:
        """Return whether a text, not empty, is allowed."""
        value = int(text)
        before = None if self.previous is None else int(self.previous)
        return (
            self.allows_length(len(text))
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.pattern is None or re.fullmatch(self.pattern, text) is not None)
            and (self.allowed is None or text in self.allowed)
            and (before is None or value >= before)
            and (before is None or self.max_change is None or value <= before + self.max_change)
        )


def best_allowed(
    candidates: Candidates, scores: DoubleArray, constraint: Constraint
) -> tuple[int, IntArray] | None:
    """Find the most probable candidate and digits that a constraint allows.

    Args:
        candidates: Of one image.
        scores: Theirs with the best digits, `[C]`, logarithms.
        constraint: What is known.

    Returns:
        The candidate and the digit of each place `[K]`; None where no text gone through is allowed.
    """
    possible = np.array([constraint.allows_length(int(length)) for length in candidates.lengths])
    texts = _by_probability(candidates, np.where(possible, scores, -np.inf))
    for _, (candidate, digits) in zip(range(MAX_TEXTS), texts, strict=False):
        member = candidates.members[candidate] > 0
        if constraint.allows("".join(map(str, digits[member]))):
            return candidate, digits
    return None


def _by_probability(candidates: Candidates, scores: DoubleArray) -> Iterator[tuple[int, IntArray]]:
    """Yield candidates with digits, the most probable first: a best-first search.

    Each place's digits are ranked, and a text is a rank at each place. From every text the search goes on to
    those with one rank more, at its last place that is not the best or beyond, so that each is met once.
    """
    ranked = np.argsort(-candidates.places.digit_scores, axis=1, kind="stable")
    losses = np.stack([-np.log(candidates.places.odds(digits)) for digits in ranked.T], axis=1)  # [K, 10]
    place_index = np.arange(len(ranked))
    start = (0,) * len(ranked)
    heap = [(-float(score), index, start) for index, score in enumerate(scores) if score > -np.inf]
    heapq.heapify(heap)
    while heap:
        cost, candidate, ranks = heapq.heappop(heap)
        yield candidate, ranked[place_index, list(ranks)]
        last = max((place for place, rank in enumerate(ranks) if rank), default=0)
        for place in range(last, len(ranks)):
            if candidates.members[candidate, place] and ranks[place] + 1 < ranked.shape[1]:
                more = losses[place, ranks[place] + 1] - losses[place, ranks[place]]
                following = (*ranks[:place], ranks[place] + 1, *ranks[place + 1 :])
                heapq.heappush(heap, (cost + float(more), candidate, following))
