"""What a user knows of the number, and the most probable number that agrees with it."""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import product

import numpy as np

from digitspot.errors import ConfigError
from digitspot.reading.candidates import Candidates
from digitspot.types import DoubleArray, IntArray

MAX_LENGTH = 24
"""Digits of the longest number: as many as there are slots."""
MAX_TRIED = 5
"""A pattern for numbers of a known length is tried on all of them up to this length."""
MAX_TEXTS = 2_000
"""Texts to go through in one image."""
MIN_SHARE = 1e-5
"""A text is not gone through where it is less probable than this, against the most probable one."""
MIN_CORRECTED = 0.5
"""What was not the most probable reading is answered only where the rules make it at least this probable."""
ELSEWHERE = 0.01
"""How probable it is that the number is none of the texts gone through, as a share of all.

Of 0.001 to 0.03 it has the smallest log-loss on SVHN's `valid` but for 0.03, which corrects fewer numbers
(benchmarks/results/rules.md).
"""

CONFUSED = np.array(
    [
        [469, 4, 3, 0, 1, 0, 5, 1, 3, 1],
        [5, 1129, 2, 0, 13, 2, 0, 7, 0, 0],
        [0, 5, 973, 7, 3, 1, 2, 2, 3, 13],
        [2, 8, 4, 767, 2, 45, 2, 1, 9, 1],
        [0, 12, 1, 1, 662, 0, 2, 0, 5, 0],
        [1, 7, 0, 16, 3, 603, 8, 3, 3, 1],
        [5, 4, 0, 0, 10, 8, 469, 0, 17, 0],
        [0, 15, 12, 3, 1, 1, 1, 514, 0, 2],
        [7, 6, 4, 8, 3, 1, 10, 0, 469, 4],
        [12, 4, 3, 10, 2, 2, 0, 3, 10, 385],
    ]
)
"""How often a digit (row) was read as another (column), in images with at most one such mistake.

Of the 900 images of SVHN's `valid`, as they are and with 0.4 of their resolution, read by two models.
"""
MISSED, EXTRA = 0.017, 0.013
"""How often a digit of the same images was not read, and one was read where none is."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is known of the number; what is None allows all. "No number" is always allowed.

    Attributes:
        length: Digits, leading zeros included.
        decimals: How many of them are behind the decimal point. All values below have it.
        at_least: Smallest value; "042" has the value 42.
        at_most: Largest value.
        pattern: A regular expression that all the digits match.
        known: The numbers that it can be, as digits.
        previous: The reading before, of a meter. The number is not below it, unless it may fall.
        max_change: How far from `previous` it can be. With `length` a meter may pass its highest number:
            after 99998 comes 00003.
        may_fall: Whether the number can be below `previous`.

    Raises:
        ConfigError: A rule is malformed or without effect, or no number can meet all of them.
    """

    length: int | None = None
    decimals: int = 0
    at_least: Decimal | int | None = None
    at_most: Decimal | int | None = None
    pattern: str | None = None
    known: frozenset[str] | None = None
    previous: Decimal | int | None = None
    max_change: Decimal | int | None = None
    may_fall: bool = False

    def __post_init__(self) -> None:
        self._check_each()
        if self and not self._can_be_met():
            raise ConfigError(f"no number meets these rules: {self}")

    def __bool__(self) -> bool:
        return bool(self._given.keys() - {"decimals"})

    def __str__(self) -> str:
        return ", ".join(f"{name} {_shown(value)}" for name, value in self._given.items())

    @property
    def _given(self) -> dict[str, object]:
        """The rules that are not their defaults."""
        values = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def value(self, text: str) -> Decimal:
        """Return the value of digits, with the decimal point."""
        return Decimal(text).scaleb(-self.decimals)

    def allows(self, text: str) -> bool:
        """Return whether a text is allowed; "" is no number."""
        if not text:
            return True
        value = self.value(text)
        return (
            self.length in (None, len(text))
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.pattern is None or re.fullmatch(self.pattern, text) is not None)
            and (self.known is None or text in self.known)
            and self._follows(value)
        )

    def _follows(self, value: Decimal) -> bool:
        """Return whether a meter can show a value after `previous`."""
        if self.previous is None:
            return True
        change = value - self.previous
        if self.max_change is None:
            return self.may_fall or change >= 0
        rise, fall = change, -change
        if self.length is not None:
            around = 10 ** (self.length - self.decimals)
            rise, fall = (each + around if each < 0 else each for each in (rise, fall))
        return 0 <= rise <= self.max_change or (self.may_fall and 0 <= fall <= self.max_change)

    def _check_each(self) -> None:
        """Check every rule by itself, and those that need another one."""
        if self.length is not None and not 1 <= self.length <= MAX_LENGTH:
            raise ConfigError(f"length {self.length}: need 1 to {MAX_LENGTH}")
        if not 0 <= self.decimals <= (self.length or MAX_LENGTH):
            raise ConfigError(f"decimals {self.decimals}: need 0 to {self.length or MAX_LENGTH}")
        for name in ("at_least", "at_most", "previous", "max_change"):
            value = getattr(self, name)
            if value is not None and not (Decimal(value).is_finite() and 0 <= value < 10**MAX_LENGTH):
                raise ConfigError(f"{name} {value}: need 0 or more, and at most {MAX_LENGTH} digits")
        for text in self.known or ():
            if not (text.isascii() and text.isdigit()):
                raise ConfigError(f"known {text!r} is not digits")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ConfigError(f"pattern {self.pattern!r} is no regular expression: {error}") from error
        if self.previous is None and (self.max_change is not None or self.may_fall):
            raise ConfigError("max_change and may_fall need previous")

    def _can_be_met(self) -> bool:
        """Return False where it is certain that no number is allowed."""
        if self.known is not None:
            return any(map(self.allows, self.known))
        unit = Decimal(1).scaleb(-self.decimals)
        low, high = Decimal(self.at_least or 0), Decimal("Infinity" if self.at_most is None else self.at_most)
        if self.length is not None:
            high = min(high, (10**self.length - 1) * unit)
        wraps = self.length is not None and self.max_change is not None
        if self.previous is not None and not self.may_fall and not wraps:
            low = max(low, Decimal(self.previous))
        if self.previous is not None and self.max_change is not None and not wraps:
            high = min(high, Decimal(self.previous) + self.max_change)
        if (
            self.previous is not None
            and self.length is not None
            and self.previous > (10**self.length - 1) * unit
        ):
            return False
        if math.inf > high and low.quantize(unit, "ROUND_CEILING") > high:
            return False
        if self.length is None or self.length > MAX_TRIED:
            return True
        return any(self.allows("".join(each)) for each in product("0123456789", repeat=self.length))


def _shown(value: object) -> str:
    """Return a rule's value; of a long list its start."""
    if not isinstance(value, frozenset):
        return str(value)
    first = sorted(value)[:5]
    return " ".join(first) + (f" and {len(value) - 5} more" if len(value) > 5 else "")


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """The most probable of what rules allow.

    Attributes:
        text: Its digits; "" is no number.
        probability: Given the rules, in 0..1.
        shown: The candidate that shows it, and the digit of each slot, `[K]`; None where none does.
    """

    text: str
    probability: float
    shown: tuple[int, IntArray] | None = None


def best_allowed(
    candidates: Candidates, scores: DoubleArray, seen: str, probability: float, rules: Rules
) -> Allowed:
    """Find the most probable text that rules allow, and how probable it is given them.

    Texts are gone through from the most probable down, whatever digits and candidates. A known number is at
    least as probable as the seen text is a misreading of it (`misread`).

    Args:
        candidates: Of one image.
        scores: Theirs with the best digits, `[C]`, logarithms.
        seen: The most probable text, "" for no number.
        probability: How sure the reader is of that without rules.
        rules: What is known.
    """
    shares: dict[str, float] = defaultdict(float)
    first: dict[str, tuple[int, IntArray]] = {}
    for share, candidate, digits in _by_probability(candidates, scores):
        text = "".join(map(str, digits[candidates.in_order(candidate)]))
        shares[text] += share
        first.setdefault(text, (candidate, digits))
    for text in (rules.known or frozenset()) - {seen}:
        if seen and rules.allows(text):
            shares[text] = max(shares[text], shares[seen] * misread(text, seen))
    total = sum(shares.values())
    allowed = {text: share / total for text, share in shares.items() if rules.allows(text)}
    if seen in allowed:
        others = (sum(allowed.values()) - allowed[seen] + ELSEWHERE) / (1 - shares[seen] / total + ELSEWHERE)
        given = probability / (probability + (1 - probability) * others)
        return Allowed(text=seen, probability=given, shown=first[seen])
    if not allowed:
        return Allowed(text="", probability=0.0)
    best = max(allowed, key=lambda text: (allowed[text], text))
    return Allowed(
        text=best,
        probability=allowed[best] / (sum(allowed.values()) + ELSEWHERE),
        shown=first.get(best),
    )


def misread(text: str, seen: str) -> float:
    """Return how probable it is that a number is read as another text: an edit distance with probabilities.

    A digit is read rightly, as another one, or not at all, and one can be read where none is (Wagner and
    Fischer 1974, with the costs of `CONFUSED`, `MISSED` and `EXTRA`). The most probable way counts.
    """
    as_read = _confusion()
    before = [EXTRA**column for column in range(len(seen) + 1)]
    for true in text:
        row = [before[0] * MISSED]
        for column, read in enumerate(seen):
            row.append(
                max(
                    before[column] * as_read[int(true)][int(read)],
                    before[column + 1] * MISSED,
                    row[column] * EXTRA,
                )
            )
        before = row
    return before[-1]


def _confusion() -> list[list[float]]:
    """Return how probable each digit (row) is read as each (column)."""
    counts = CONFUSED + 0.5
    return (counts / counts.sum(axis=1, keepdims=True)).tolist()  # type: ignore[no-any-return]


def _by_probability(candidates: Candidates, scores: DoubleArray) -> Iterator[tuple[float, int, IntArray]]:
    """Yield share, candidate and digits `[K]` of texts, the most probable first: a best-first search.

    Each slot's reported digits are ranked, and a text is a rank at each slot. From every text the search goes
    on to those with one rank more, at its last slot that is not the best or beyond. So each is met once.
    Shares are against the most probable text.
    """
    ranked = np.argsort(-candidates.slots.digit_scores, axis=1, kind="stable")
    losses = np.stack([-np.log(candidates.slots.odds(digits)) for digits in ranked.T], axis=1)  # [K, 10]
    num_reported = (candidates.slots.digit_scores > 0).sum(1)
    slot_index = np.arange(len(ranked))
    start = (0,) * len(ranked)
    heap = [(float(scores.max() - score), index, start) for index, score in enumerate(scores)]
    heapq.heapify(heap)
    for _ in range(MAX_TEXTS):
        if not heap or heap[0][0] > -math.log(MIN_SHARE):
            return
        cost, candidate, ranks = heapq.heappop(heap)
        yield math.exp(-cost), candidate, ranked[slot_index, list(ranks)]
        last = max((slot for slot, rank in enumerate(ranks) if rank), default=0)
        for slot in range(last, len(ranks)):
            if candidates.members[candidate, slot] and ranks[slot] + 1 < num_reported[slot]:
                more = losses[slot, ranks[slot] + 1] - losses[slot, ranks[slot]]
                following = (*ranks[:slot], ranks[slot] + 1, *ranks[slot + 1 :])
                heapq.heappush(heap, (cost + float(more), candidate, following))
