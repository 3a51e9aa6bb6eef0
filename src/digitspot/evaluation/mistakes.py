"""Every wrong number by the kind of its mistake, the surest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from digitspot.evaluation.number_metrics import edit_counts

Kind = Literal[
    "extra digit",
    "missing digit",
    "wrong digit",
    "several mistakes",
    "number where there is none",
    "no number where there is one",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A number that was read wrongly.

    Attributes:
        image_id: The image.
        true: Its number.
        read: What was read.
        probability: How sure the reader was; None where it does not say.
    """

    image_id: str
    true: str | None
    read: str | None
    probability: float | None


def list_mistakes(
    truth: Mapping[str, str | None],
    numbers: Mapping[str, str | None],
    probabilities: Mapping[str, float] | None = None,
) -> dict[Kind, list[Mistake]]:
    """Sort wrong numbers by kind.

    Args:
        truth: True numbers by image id.
        numbers: As read; an image that is missing has no number.
        probabilities: Theirs, where known.

    Returns:
        The mistakes of each of `KINDS`, the surest first.
    """
    mistakes: dict[Kind, list[Mistake]] = {kind: [] for kind in KINDS}
    for image_id, true in truth.items():
        read = numbers.get(image_id)
        if (read or "") != (true or ""):
            probability = None if probabilities is None else probabilities.get(image_id)
            mistake = Mistake(image_id=image_id, true=true, read=read, probability=probability)
            mistakes[kind_of(true, read)].append(mistake)
    for each in mistakes.values():
        each.sort(key=lambda mistake: -(mistake.probability or 0))
    return mistakes


def kind_of(true: str | None, read: str | None) -> Kind:
    """Return the kind of a mistake.

    >>> kind_of("12", "172"), kind_of("12", "13"), kind_of("12", None)
    ('extra digit', 'wrong digit', 'no number where there is one')
    """
    if not true:
        return "number where there is none"
    if not read:
        return "no number where there is one"
    edits = edit_counts(true, read)
    if edits.distance == edits.extra:
        return "extra digit"
    if edits.distance == edits.missing:
        return "missing digit"
    return "wrong digit" if edits.distance == edits.wrong else "several mistakes"
