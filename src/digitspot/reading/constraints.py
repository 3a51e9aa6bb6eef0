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
        max_change: How much more than `previous` it can be. With `length` a meter may pass its highest
            number: after 99998 comes 00003.
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
        """Return whether a text of this length can be allowed; "no number" always is."""
        if length == 0:
            return True
        if self.allowed is not None and all(len(text) != length for text in self.allowed):
            return False
        return self.length in (None, length)

    def allows(self, text: str) -> bool:
        """Return whether a text is allowed; "", no number, always is."""
        if not text:
            return True
        value = int(text)
        return (
            self.allows_length(len(text))
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.pattern is None or re.fullmatch(self.pattern, text) is not None)
            and (self.allowed is None or text in self.allowed)
            and self._follows(value)
        )

    def _follows(self, value: int) -> bool:
        """Return whether a meter can show a value after `previous`."""
        if self.previous is None:
            return True
        change = value - int(self.previous)
        if self.max_change is None:
            return change >= 0
        if self.length is not None:
            change %= 10**self.length
        return 0 <= change <= self.max_change


def best_allowed(
    candidates: Candidates, scores: DoubleArray, constraint: Constraint
) -> tuple[int, IntArray] | None:
    """Find the most probable candidate and digits that a constraint allows; "no number" is one of them.

    Only digits that the detector reported count: nothing speaks for others.

    Args:
        candidates: Of one image.
        scores: Theirs with the best digits, `[C]`, logarithms.
        constraint: What is known.

    Returns:
        The candidate and the digit of each slot `[K]`; None where "no number" is the most probable of what
        is allowed, or no text gone through is.
    """
    possible = np.array([constraint.allows_length(int(length)) for length in candidates.lengths])
    texts = _by_probability(candidates, np.where(possible, scores, -np.inf))
    for _, (candidate, digits) in zip(range(MAX_TEXTS), texts, strict=False):
        member = candidates.members[candidate] > 0
        if constraint.allows("".join(map(str, digits[member]))):
            return (candidate, digits) if member.any() else None
    return None


def _by_probability(candidates: Candidates, scores: DoubleArray) -> Iterator[tuple[int, IntArray]]:
    """Yield candidates with digits, the most probable first: a best-first search.

    Each slot's reported digits are ranked, and a text is a rank at each slot. From every text the search goes
    on to those with one rank more, at its last slot that is not the best or beyond. So each is met once.
    """
    ranked = np.argsort(-candidates.slots.digit_scores, axis=1, kind="stable")
    losses = np.stack([-np.log(candidates.slots.odds(digits)) for digits in ranked.T], axis=1)  # [K, 10]
    num_reported = (candidates.slots.digit_scores > 0).sum(1)
    slot_index = np.arange(len(ranked))
    start = (0,) * len(ranked)
    heap = [(-float(score), index, start) for index, score in enumerate(scores) if score > -np.inf]
    heapq.heapify(heap)
    while heap:
        cost, candidate, ranks = heapq.heappop(heap)
        yield candidate, ranked[slot_index, list(ranks)]
        last = max((slot for slot, rank in enumerate(ranks) if rank), default=0)
        for slot in range(last, len(ranks)):
            if candidates.members[candidate, slot] and ranks[slot] + 1 < num_reported[slot]:
                more = losses[slot, ranks[slot] + 1] - losses[slot, ranks[slot]]
                following = (*ranks[:slot], ranks[slot] + 1, *ranks[slot + 1 :])
                heapq.heappush(heap, (cost + float(more), candidate, following))
