"""What a reading says of itself."""

from __future__ import annotations

import pytest

from digitspot.types import Digit, Reading

Box = tuple[float, float, float, float]


@pytest.mark.parametrize(
    ("boxes", "around"),
    [
        ([], None),
        ([(1, 2, 3, 4)], (1, 2, 3, 4)),
        ([(1, 2, 3, 9), (3, 1, 5, 8)], (1, 1, 5, 9)),
    ],
    ids=["nothing seen", "one digit", "two digits"],
)
def test_the_box_of_a_number(boxes: list[Box], around: Box | None) -> None:
    digits = tuple(Digit(text="1", box=box, score=1, probability=1) for box in boxes)
    assert Reading(text="1" * len(digits) or None, probability=1, digits=digits).box == around
