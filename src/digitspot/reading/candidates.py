"""Every subset of the slots is a candidate for the number; what speaks for it, as features.

Of many slots not every subset can be one: those of a single line are, and those of the surest slots together.

A candidate's score is a weighted sum of features of its length, of its slots, of each step from one digit
to the next, and of each pair of its slots: a log-linear model (a conditional random field, Lafferty et al.
2001) small enough to be computed by enumeration. All lengths are in digit heights, but for the distance from
the middle of the image, where that is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from digitspot.boxes import joined_groups
from digitspot.reading.frame import CHOICE_NAMES, off_centre
from digitspot.reading.order import Layout, lay_out
from digitspot.reading.slots import Slots
from digitspot.types import DoubleArray, IntArray

MAX_FREE = 8
"""Of more slots than this the surest are digits of every candidate, so that there are at most 256."""
MAX_SLOTS = 24
MAX_FREE_IN_LINE = 5
NEAR, ALIKE, LEVEL = 1.5, 1.35, 0.5
"""Slots of a line have at most so many heights between them, differ in height by at most so many times, and
follow each other within so many heights up or down."""

LENGTHS = ("no_digit", "one", "two", "three", "four", "five", "six_or_more")
SLOT_NAMES = ("score", "low_score", "class_share", "behind_best", "odd_height")
STEP_NAMES = ("new_row", "height_change", "off_line", "gap", "wide_gap", "overlap")
PAIR_NAMES = ("covered", "shared")
NAMES = (*LENGTHS, *SLOT_NAMES, *STEP_NAMES, *PAIR_NAMES, *CHOICE_NAMES)
"""The features, in the order of the weights."""
_SPLITS = np.cumsum([len(LENGTHS), len(SLOT_NAMES), len(STEP_NAMES), len(PAIR_NAMES)])


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The subsets of the slots of one image.

    `C` subsets of `K` slots in reading order, and `P` pairs of slots, the earlier one first.

    Attributes:
        slots: In reading order.
        layout: Of the slots; its order is 0, 1, 2, ...
        members: float64 `[C, K]`, 1 where the slot is in the subset.
        steps: float64 `[C, P]`, 1 where both are, and none between them.
        pairs: float64 `[C, P]`, 1 where both are.
        slot_features: `[K, F]`, see `SLOT_NAMES`.
        step_features: `[P, F]`, see `STEP_NAMES`.
        pair_features: `[P, F]`, see `PAIR_NAMES`.
        frame_features: `[C, F]`, see `CHOICE_NAMES`.
        size_hw: (height, width) of the image, where it is known.
        by_look: As in `Detections`.
    """

    slots: Slots
    members: DoubleArray
    steps: DoubleArray
    pairs: DoubleArray
    slot_features: DoubleArray
    step_features: DoubleArray
    pair_features: DoubleArray
    frame_features: DoubleArray
    size_hw: tuple[int, int] | None
    by_look: tuple[str, ...] = ()

    @property
    def lengths(self) -> IntArray:
        """Digits of each candidate, `[C]`."""
        return np.asarray(self.members.sum(1), np.int64)

    def in_order(self, candidate: int) -> IntArray:
        """Return the slots of a candidate in reading order.

        What it leaves out may have bent the rows: the order is that of its own digits alone.
        """
        members = np.flatnonzero(self.members[candidate])
        return members[lay_out(self.slots.boxes[members]).order]

    def scores(self, weights: DoubleArray) -> DoubleArray:
        """Return the logarithm of each candidate's probability, `[C]`, up to a constant."""
        by_length, by_slot, by_step, by_pair, by_frame = np.split(weights, _SPLITS)
        return np.asarray(
            by_length[np.minimum(self.lengths, len(LENGTHS) - 1)]
            + self.members @ (self.slot_features @ by_slot)
            + self.steps @ (self.step_features @ by_step)
            + self.pairs @ (self.pair_features @ by_pair)
            + self.frame_features @ by_frame
        )

    def features(self) -> DoubleArray:
        """Return the features of each candidate, `[C, len(NAMES)]`; times the weights they are `scores`."""
        one_hot = np.eye(len(LENGTHS))[np.minimum(self.lengths, len(LENGTHS) - 1)]
        return np.hstack(
            [
                one_hot,
                self.members @ self.slot_features,
                self.steps @ self.step_features,
                self.pairs @ self.pair_features,
                self.frame_features,
            ]
        )

    def texts(self) -> list[str]:
        """Return the text of each candidate, "" for no digit."""
        digits = [str(digit) for digit in self.slots.digits]
        return ["".join(d for d, part in zip(digits, row, strict=True) if part) for row in self.members]


def list_candidates(
    slots: Slots, size_hw: tuple[int, int] | None, by_look: tuple[str, ...] = ()
) -> Candidates:
    """Enumerate the subsets of the surest slots and describe them.

    Args:
        slots: The surest first.
        size_hw: (height, width) of the image; None where it is not known.
        by_look: As in `Detections`.
    """
    num_likely = int((slots.presence >= 0.5).sum())
    slots = slots.select(np.arange(min(len(slots), max(MAX_FREE, min(num_likely, MAX_SLOTS)))))
    rank_is_free = np.arange(len(slots)) >= len(slots) - MAX_FREE
    layout = lay_out(slots.boxes)
    order = layout.order
    slots = slots.select(order)
    members = _subsets(tuple(rank_is_free[order].tolist()))
    if len(slots) > MAX_FREE:
        members = np.unique(np.concatenate([members, *_lines(slots)]), axis=0)
    first, second = np.triu_indices(len(slots), 1)
    pairs = members[:, first] * members[:, second]
    counted = np.cumsum(members, axis=1)
    steps = pairs * (counted[:, second] - counted[:, first] == 1)
    return Candidates(
        slots=slots,
        members=members,
        steps=steps,
        pairs=pairs,
        slot_features=_describe_slots(slots),
        step_features=_describe_steps(slots, layout, first, second),
        pair_features=_describe_pairs(slots, first, second),
        frame_features=off_centre(slots.boxes, members, size_hw),
        size_hw=size_hw,
        by_look=by_look,
    )


@lru_cache(maxsize=64)
def _subsets(free: tuple[bool, ...]) -> DoubleArray:
    """Return every subset's members, `[C, K]`, given whether each slot may be left out."""
    num_free = sum(free)
    members = np.ones((2**num_free, len(free)))
    members[:, np.flatnonzero(free)] = np.arange(2**num_free)[:, None] >> np.arange(num_free) & 1
    return members


def _lines(slots: Slots) -> list[DoubleArray]:
    """Return the members, `[C, K]`, of subsets that leave out all but one line of alike digits."""
    boxes, heights = slots.boxes, slots.heights
    taller = np.maximum(heights[:, None], heights)
    gaps = np.maximum(boxes[:, None, 0] - boxes[:, 2], boxes[:, 0] - boxes[:, None, 2])
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    alike = taller < ALIKE * np.minimum(heights[:, None], heights)
    level = np.abs(middles[:, None] - middles) < LEVEL * taller
    line = joined_groups((gaps < NEAR * taller) & alike & level)
    found = []
    for number in range(line.max() + 1):
        own = np.flatnonzero(line == number)
        unsure = np.argsort(slots.presence[own], kind="stable")[:MAX_FREE_IN_LINE]
        free = np.zeros(len(own), bool)
        free[unsure] = True
        subsets = _subsets(tuple(free.tolist()))
        members = np.zeros((len(subsets), len(slots)))
        members[:, own] = subsets
        found.append(members)
    return found


def _describe_slots(slots: Slots) -> DoubleArray:
    presence, log_heights = slots.presence, np.log(slots.heights)
    logit = np.log(presence / (1 - presence))
    usual = np.average(log_heights, weights=presence**2) if len(slots) else 0.0
    return np.stack(
        [
            logit,
            np.minimum(logit, 0),
            np.log(slots.shares),
            logit.max(initial=-np.inf) - logit,
            np.minimum(10 * (log_heights - usual) ** 2, 5),
        ],
        axis=1,
    )


def _describe_steps(slots: Slots, layout: Layout, first: IntArray, second: IntArray) -> DoubleArray:
    """Describe the step from one digit to the next; within a row, along and across it."""
    heights = slots.heights
    unit = np.sqrt(heights[first] * heights[second])
    centres = (slots.boxes[:, :2] + slots.boxes[:, 2:]) / 2
    step = (centres[second] - centres[first]) / unit[:, None]
    widths = slots.boxes[:, 2] - slots.boxes[:, 0]
    cos, sin = np.cos(layout.tilt), np.sin(layout.tilt)
    gap = step[:, 0] * cos + step[:, 1] * sin - (widths[first] + widths[second]) / 2 / unit
    off_line = np.abs(step[:, 1] * cos - step[:, 0] * sin)
    row = layout.row[layout.order]
    same_row = row[first] == row[second]
    return np.stack(
        [
            ~same_row,
            np.minimum(10 * np.log(heights[second] / heights[first]) ** 2, 5),
            np.where(same_row, np.minimum(off_line, 2), 0),
            np.where(same_row, np.clip(gap - 0.2, 0, 3), 0),
            np.where(same_row, np.clip(gap - 1, 0, 5), 0),
            np.where(same_row, np.maximum(-gap - 0.15, 0), 0),
        ],
        axis=1,
    )


def _describe_pairs(slots: Slots, first: IntArray, second: IntArray) -> DoubleArray:
    """Return the overlap of two slots as a share of the smaller one, and of both together."""
    one, other = slots.boxes[first], slots.boxes[second]
    sides = np.maximum(np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2]), 0)
    shared = sides.prod(1)
    areas = np.maximum((slots.boxes[:, 2:] - slots.boxes[:, :2]).prod(1), 1e-12)
    return np.stack(
        [
            shared / np.minimum(areas[first], areas[second]),
            shared / (areas[first] + areas[second] - shared),
        ],
        axis=1,
    )
