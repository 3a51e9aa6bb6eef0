"""How good whole numbers are: exact match, by length, and what kind of mistake was made."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from digitspot.errors import DataError

Id = TypeVar("Id", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What turns the true number into the predicted one, with the fewest edits.

    Of several alignments with the fewest edits the one that keeps the most digits counts: "12" read as
    "23" is a missing 1 and an extra 3, not two wrong digits.

    Attributes:
        extra: Digits predicted that the true number does not have.
        missing: Digits of the true number that were not predicted.
        wrong: Digits predicted as another digit.
    """

    extra: int
    missing: int
    wrong: int

    @property
    def distance(self) -> int:
        """The Levenshtein distance."""
        return self.extra + self.missing + self.wrong


@dataclass(frozen=True, kw_only=True)
class LengthMetrics:
    """Exact matches among the numbers of one length."""

    num_images: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class NumberMetrics:
    """How well predicted numbers agree with the true ones.

    The three counts of images with extra, missing and wrong digits are of images where both numbers
    exist; an image can be in several of them.

    Attributes:
        num_images: Images compared.
        num_digits: Digits of all true numbers.
        accuracy: Share of images whose number is exactly right, in 0..1; "042" is not "42", and no number
            is right where there is none.
        digit_error_rate: Sum of the Levenshtein distances / `num_digits` (no number counts as an empty
            one); None where no true number has a digit. Can exceed 1.
        by_length: By the number of digits of the true number, ascending; 0 is "no number".
        num_extra: Images with at least one extra digit (see `Edits`).
        num_missing: Images with at least one missing digit.
        num_wrong: Images with at least one wrong digit.
        num_invented: Images with a number where there is none.
        num_overlooked: Images without a number where there is one.
    """

    num_images: int
    num_digits: int
    accuracy: float
    digit_error_rate: float | None
    by_length: Mapping[int, LengthMetrics]
    num_extra: int
    num_missing: int
    num_wrong: int
    num_invented: int
    num_overlooked: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file; lengths become strings."""
        by_length = {str(length): vars(part).copy() for length, part in self.by_length.items()}
        return {**vars(self), "by_length": by_length}

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        rate = "-" if self.digit_error_rate is None else f"{self.digit_error_rate:.4f}"
        rows = [("accuracy", f"{self.accuracy:.4f}"), ("digit error rate", rate)]
        for length, part in self.by_length.items():
            name = f"accuracy, {length} digit{'s' * (length > 1)}" if length else "accuracy, no number"
            rows.append((name, f"{part.accuracy:.4f} of {part.num_images}"))
        counts = {
            "extra digit": self.num_extra,
            "missing digit": self.num_missing,
            "wrong digit": self.num_wrong,
            "number where there is none": self.num_invented,
            "no number where there is one": self.num_overlooked,
        }
        return rows + [(name, f"{num} ({num / self.num_images:.2%})") for name, num in counts.items()]


def evaluate_numbers(truth: Mapping[Id, str | None], predicted: Mapping[Id, str | None]) -> NumberMetrics:
    """Compare predicted numbers with the true ones.

    Args:
        truth: The number of each image as a string; None means no number.
        predicted: Likewise; an image that is missing has no number, one that `truth` lacks is left out.

    Raises:
        DataError: `truth` is empty, or `predicted` is of other images altogether.
    """
    right = exact_matches(truth, predicted)
    true = [number or "" for number in truth.values()]
    answers = [predicted.get(key) or "" for key in truth]
    edits = [edit_counts(*pair) for pair in zip(true, answers, strict=True)]
    both = [each for each, one, other in zip(edits, true, answers, strict=True) if one and other]
    num_digits = sum(map(len, true))
    return NumberMetrics(
        num_images=len(true),
        num_digits=num_digits,
        accuracy=float(right.mean()),
        digit_error_rate=sum(each.distance for each in edits) / num_digits if num_digits else None,
        by_length=_by_length(true, right),
        num_extra=sum(each.extra > 0 for each in both),
        num_missing=sum(each.missing > 0 for each in both),
        num_wrong=sum(each.wrong > 0 for each in both),
        num_invented=sum(not one and bool(other) for one, other in zip(true, answers, strict=True)),
        num_overlooked=sum(bool(one) and not other for one, other in zip(true, answers, strict=True)),
    )


def exact_matches(
    truth: Mapping[Id, str | None], predicted: Mapping[Id, str | None]
) -> npt.NDArray[np.bool_]:
    """Return which numbers are exactly right, `[N]` in the order of `truth`.

    Raises:
        DataError: `truth` is empty, or `predicted` is of other images altogether.
    """
    if not truth:
        raise DataError("there are no true numbers to compare with", hint="Give a label file with images.")
    if predicted and not any(key in truth for key in predicted):
        raise DataError(
            f"none of the {len(predicted)} predicted images is among the {len(truth)} true ones: "
            f"{next(iter(predicted))!r} is predicted, {next(iter(truth))!r} is true",
            hint="Compare predictions with the numbers of the same images.",
        )
    return np.array([(number or "") == (predicted.get(key) or "") for key, number in truth.items()])


def _by_length(true: list[str], right: npt.NDArray[np.bool_]) -> dict[int, LengthMetrics]:
    lengths = np.array([len(number) for number in true])
    parts = {int(length): right[lengths == length] for length in np.unique(lengths)}
    return {k: LengthMetrics(num_images=len(part), accuracy=float(part.mean())) for k, part in parts.items()}


def edit_counts(true: str, predicted: str) -> Edits:
    """Count the edits that turn one number into another (Wagner and Fischer 1974).

    >>> edit_counts("12", "23")
    Edits(extra=1, missing=1, wrong=0)
    >>> edit_counts("042", "42")
    Edits(extra=0, missing=1, wrong=0)
    """
    # Each cell is (edits, wrong digits): the smallest pair keeps the most digits of the fewest edits.
    row = [(column, 0) for column in range(len(predicted) + 1)]
    for above, digit in enumerate(true, start=1):
        last, row = row, [(above, 0)]
        for column, other in enumerate(predicted):
            wrong = int(digit != other)
            changed = (last[column][0] + wrong, last[column][1] + wrong)
            missing = (last[column + 1][0] + 1, last[column + 1][1])
            extra = (row[column][0] + 1, row[column][1])
            row.append(min(changed, missing, extra))
    distance, wrong = row[-1]
    surplus = len(predicted) - len(true)  # extra - missing
    return Edits(
        extra=(distance - wrong + surplus) // 2, missing=(distance - wrong - surplus) // 2, wrong=wrong
    )
