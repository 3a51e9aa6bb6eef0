"""The category map and the labelled image."""

import numpy as np
import pytest

from digitspot.errors import DataError
from digitspot.labels.labels import CategoryMap, LabelledImage

NAMED = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]


def labelled(boxes: list[list[float]], digits: list[int], crowd: list[int] | None = None) -> LabelledImage:
    return LabelledImage(
        image_id=1,
        file_name="1.png",
        size_hw=(10, 50),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(digits, np.int64) + 1,
        areas=np.ones(len(digits)),
        crowd=np.array(crowd or [0] * len(digits), bool),
    )


def test_homework_map_is_digit_plus_1() -> None:
    assert CategoryMap.from_records(NAMED) == CategoryMap.homework()
    assert CategoryMap.homework().records() == NAMED


def test_names_decide_whatever_the_ids() -> None:
    svhn = CategoryMap.from_records([{"id": digit or 10, "name": str(digit)} for digit in range(10)])
    assert (svhn.label_of(10), svhn.id_of(1), svhn.id_of(2)) == (1, 10, 1)
    assert CategoryMap.from_records(svhn.records()) == svhn


def test_digits_without_a_name_get_unused_ids() -> None:
    few = CategoryMap.from_records([{"id": 7, "name": "3"}, {"id": 2, "name": " 1 "}])
    assert (few.id_of(4), few.id_of(2)) == (7, 2)
    assert len(set(few.ids)) == 10


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": 1, "name": "house"}], "named 'house', which is not a digit"),
        ([{"id": 1, "name": "10"}], "named '10'"),
        ([{"id": 1, "name": "²"}], "which is not a digit"),
        ([{"id": 1, "name": ""}], "which is not a digit"),
        ([{"id": 1, "name": "0"}, {"id": 1, "name": "1"}], "stands twice"),
        ([{"id": 1, "name": "0"}, {"id": 2, "name": "0"}], "stands twice"),
    ],
)
def test_bad_categories(records: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CategoryMap.from_records(records)


@pytest.mark.parametrize(
    ("boxes", "digits", "crowd", "number"),
    [
        ([], [], None, None),
        ([[20, 0, 30, 9], [0, 0, 9, 9]], [2, 0], None, "02"),  # from the left, the zero kept
        ([[0, 0, 40, 9], [5, 0, 9, 9]], [1, 7], None, "17"),  # a wide box that begins first comes first
        ([[0, 0, 9, 9], [10, 0, 19, 9]], [4, 5], [1, 0], "5"),  # a crowd is no digit
        ([[0, 0, 9, 9]], [4], [1], None),
    ],
)
def test_number(
    boxes: list[list[float]], digits: list[int], crowd: list[int] | None, number: str | None
) -> None:
    assert labelled(boxes, digits, crowd).number == number
