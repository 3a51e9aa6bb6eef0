"""What the reader was fitted to; plain numbers that travel with the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from digitspot.reading.candidates import LENGTHS, NAMES
from digitspot.reading.certainty import DIGIT_NAMES, LOOK_NAMES, NUMBER_NAMES
from digitspot.reading.selection import RiskTable
from digitspot.reading.style import LabelStyle
from digitspot.types import DoubleArray


def _weights(names: tuple[str, ...], **known: float) -> tuple[float, ...]:
    return tuple(known.get(name, 0.0) for name in names)


PRIOR_WEIGHTS = _weights(NAMES, score=1.0, class_share=1.0, shared=-1.0)
"""Before anything is fitted, a clear digit is part of the number where its score exceeds 0.5, unless it
shares its slot with another; fitted weights are drawn towards these."""
BELIEVED, SMALLEST_SHARE = 30.0, 0.01
"""In another domain, shares of lengths count as so many numbers seen before; so much is added to each."""
PRIOR_NUMBER_WEIGHTS = _weights(NUMBER_NAMES, number=1.0)
PRIOR_DIGIT_WEIGHTS = _weights(DIGIT_NAMES, part=1.0)


@dataclass(frozen=True, kw_only=True)
class LookSettings:
    """How often an image is looked at, where, and at which sizes.

    Attributes:
        short_sides: The input size of each look in turn, of the shorter side in pixels; the first is at the
            whole image.
        margins: The others are at a crop around the number: room at the sides, and above and below, in
            heights of its digits. None looks at the whole image again.
        weights: As in `ReadingSettings`, fitted to the first look: what makes digits the number to look at.
        number_weights: Likewise: what makes that number right.
        enough: No further look is taken once the number's probability, by these weights, reaches this; at 1
            all are.
    """

    short_sides: tuple[int, ...]
    margins: tuple[float, float] | None = None
    weights: tuple[float, ...] = PRIOR_WEIGHTS
    number_weights: tuple[float, ...] = PRIOR_NUMBER_WEIGHTS
    enough: float = 1.0

    def enlarged(self, factor: float) -> LookSettings:
        """Return the same for a model whose input is so many times larger."""
        return replace(self, short_sides=tuple(round(factor * side) for side in self.short_sides))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LookSettings:
        """Build it from what `ReadingSettings.to_dict` returned, also after JSON.

        Raises:
            ValueError: Values are missing or unknown.
        """
        if set(values) != {each.name for each in fields(cls)} or not values["short_sides"]:
            raise ValueError("the looks are of another version of digitspot")
        margins = values["margins"]
        return cls(
            short_sides=tuple(map(int, values["short_sides"])),
            margins=(float(margins[0]), float(margins[1])) if margins else None,
            **_checked(values, {"weights": NAMES, "number_weights": NUMBER_NAMES}),
            enough=float(values["enough"]),
        )


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How boxes become a number, and scores a probability.

    Attributes:
        max_iou: Boxes that overlap more are one slot, whatever their classes.
        weights: Of `candidates.NAMES`: what makes a subset of the slots the number.
        number_weights: Of `certainty.NUMBER_NAMES`: what makes the number right.
        digit_weights: Of `certainty.DIGIT_NAMES`: what makes a digit right.
        risk: How often readings of each probability were wrong, on images that these were fitted without.
        style: How the training labels draw boxes.
        lengths: Shares of the fitted numbers with each of `candidates.LENGTHS` digits; empty is unknown.
        looks: The looks whose fused detections these were fitted to; None is one, at the model's own input
            size.
        num_fitted: Images that all this was fitted on; 0 means that it was not.
        accuracy: Share of them read right, each by a reader fitted without it; None where none was fitted.
    """

    max_iou: float = 0.6
    weights: tuple[float, ...] = PRIOR_WEIGHTS
    number_weights: tuple[float, ...] = PRIOR_NUMBER_WEIGHTS
    digit_weights: tuple[float, ...] = PRIOR_DIGIT_WEIGHTS
    risk: RiskTable = field(default_factory=RiskTable)
    style: LabelStyle = field(default_factory=LabelStyle)
    lengths: tuple[float, ...] = ()
    looks: LookSettings | None = None
    num_fitted: int = 0
    accuracy: float | None = None

    def for_lengths_of(self, numbers: Iterable[str | None]) -> ReadingSettings:
        """Return settings for a domain whose numbers have other lengths than those fitted to.

        The shares of the lengths are replaced (Saerens et al. 2002): how far a set of digits is preferred
        changes by the logarithm of the new share of its length over the old one. Images without a number
        stay as frequent as they were.

        Args:
            numbers: Of the domain; those that are None or empty do not count.
        """
        if not self.lengths:
            return self
        before = np.array(self.lengths[1:])
        counts = length_counts(numbers)[1:]
        if not counts.sum() or not before.sum():
            return self
        before = (before + SMALLEST_SHARE) / (before + SMALLEST_SHARE).sum()
        now = (counts + BELIEVED * before) / (counts.sum() + BELIEVED)
        change = np.zeros(len(NAMES))
        change[1 : len(LENGTHS)] = np.log(now / before)

        def changed(weights: tuple[float, ...]) -> tuple[float, ...]:
            return tuple((np.array(weights) + change).tolist())

        looks = self.looks
        return replace(
            self,
            weights=changed(self.weights),
            looks=replace(looks, weights=changed(looks.weights)) if looks else None,
            lengths=(self.lengths[0], *((1 - self.lengths[0]) * now).tolist()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`, JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ReadingSettings:
        """Build settings from what `to_dict` returned, also after JSON.

        Raises:
            ValueError: Values are missing or unknown: another version of digitspot wrote them.
        """
        values = _of_today({"lengths": (), **values})  # earlier models have no lengths
        if len(values.get("number_weights", ())) == len(NUMBER_NAMES) - len(LOOK_NAMES):
            values["number_weights"] = [*values["number_weights"], *[0.0] * len(LOOK_NAMES)]
        if set(values) != {each.name for each in fields(cls)}:
            raise ValueError("the reader's settings are of another version of digitspot")
        names = {"weights": NAMES, "number_weights": NUMBER_NAMES, "digit_weights": DIGIT_NAMES}
        return cls(
            **{
                **values,
                **_checked(values, names),
                "lengths": tuple(map(float, values["lengths"])),
                "looks": LookSettings.from_dict(looks) if (looks := values["looks"]) else None,
                "risk": RiskTable.from_dict(values["risk"]),
                "style": LabelStyle(**values["style"]),
            }
        )

    def __str__(self) -> str:
        if self.accuracy is None:
            return "not calibrated"
        return f"calibrated on {self.num_fitted} other images, of which it reads {self.accuracy:.1%}"


def _checked(values: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[float, ...]]:
    """Return weights, each as many as there are names of its features."""
    if any(len(values[key]) != len(features) for key, features in names.items()):
        raise ValueError("the reader's weights are of another version of digitspot")
    return {key: tuple(map(float, values[key])) for key in names}


def _of_today(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a model from before `LookSettings`.

    Raises:
        ValueError: These cannot say how it looks.
    """
    if "looks" in values:
        return values
    sizes, second = tuple(values.pop("short_sides", ())), values.pop("second_look", None)
    looks = LookSettings(short_sides=sizes) if sizes else None
    if second:
        if len(sizes) != 1 or tuple(second["short_sides"]) != sizes:
            raise ValueError("the looks are of an earlier version of digitspot")
        most = second.get("most", 1)
        looks = LookSettings(
            short_sides=(1 + most) * sizes, margins=second["margins"], weights=second["weights"]
        )
    return {**values, "looks": asdict(looks) if looks else None}


def length_counts(numbers: Iterable[str | None]) -> DoubleArray:
    """Return how many numbers have each of `candidates.LENGTHS` digits; None is one without a digit."""
    lengths = [min(len(number or ""), len(LENGTHS) - 1) for number in numbers]
    return np.bincount(lengths, minlength=len(LENGTHS)).astype(np.float64)
