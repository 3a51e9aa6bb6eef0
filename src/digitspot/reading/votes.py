"""One number from readings of several frames of it: a burst of images, or a video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from digitspot.reading.certainty import softmax
from digitspot.types import Reading

CORRELATION = 0.5
"""How far frames of one number are right or wrong together: a guess, not fitted to any burst."""
NUM_OTHERS = 10
"""Over how many other numbers a wrong reading is spread: how far two frames that agree by mistake
surprise."""
MAX_SURE = 1e-6
"""No frame is surer than this leaves, so that none outvotes all others by a rounding error."""


def vote(readings: Sequence[Reading], correlation: float = CORRELATION) -> Reading:
    """Read one number from frames.

    Bayes' rule over the numbers that frames were read as, and "another one". A frame that was read with
    probability p says p for its number and shares the rest among `NUM_OTHERS`. Frames resemble each other, so
    each of n weighs 1 / (1 + (n - 1) correlation), the design effect (Kish 1965): where the correlation is 1,
    one frame many times says no more than once.

    Args:
        readings: Of each frame, in any order, also those that were not answered. Frames in which rules allow
            nothing are left out. Where these are most, so are those that rules changed.
        correlation: Of the frames, in 0..1; 0 is independent.

    Returns:
        The most probable number with the digits of the frame that was surest of it.

    Raises:
        ValueError: There is no frame, or the correlation is out of range.
    """
    if not readings or not 0 <= correlation <= 1:
        raise ValueError(f"{len(readings)} frames with a correlation of {correlation}")
    turned_down = [each for each in readings if each.reason == "rules" and not each.text]
    others = [each for each in readings if each.reason != "rules" or each.text]
    if len(turned_down) > len(others):
        others = [each for each in others if each.decision != "corrected"]
    readings = others or turned_down
    weight = 1 / (1 + (len(readings) - 1) * correlation)
    read_as: dict[str | None, list[Reading]] = defaultdict(list)
    for reading in readings:
        read_as[reading.number].append(reading)
    elsewhere, gains = 0.0, dict.fromkeys(read_as, 0.0)
    for number, frames in read_as.items():
        sure = np.sort(np.clip([each.probability for each in frames], MAX_SURE, 1 - MAX_SURE))
        against = np.log((1 - sure) / NUM_OTHERS)
        elsewhere += float(against.sum())
        gains[number] = float((np.log(sure) - against).sum())
    # Of all numbers that no frame was read as, those that a frame's doubt is shared among.
    others = np.log(max(1, NUM_OTHERS + 1 - len(read_as)))
    scores = weight * (elsewhere + np.array([*gains.values(), 0.0])) + np.array([0.0] * len(gains) + [others])
    best = max(range(len(gains)), key=lambda index: (scores[index], str(list(gains)[index])))
    number = list(gains)[best]
    surest = max(read_as[number], key=lambda reading: reading.probability)
    probability = float(softmax(scores)[best])
    if surest.reason != "unsure":
        return replace(surest, probability=probability)
    return replace(
        surest,
        text=number,
        probability=probability,
        decision="accepted",
        reason="seen" if number else "nothing",
    )
