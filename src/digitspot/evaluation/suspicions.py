"""Which labels are probably wrong, by predictions of a detector that was not trained on them.

Each labelled digit, and each place where the detector found one that nobody boxed, gets a probability of
being a fault of one kind (`fault_odds`). So all kinds have one scale, and an image is as suspicious as it is
probable that at least one thing in it is wrong. What is compared is ObjectLab's (Tkachenko, Thyagarajan and
Mueller 2023, arXiv 2309.00832): swapped classes, badly located boxes and overlooked objects. That
out-of-sample probabilities rank them, calibrated by the labels themselves, is confident learning (Northcutt,
Jiang and Chuang 2021).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from digitspot.evaluation.fault_odds import class_odds, empty_odds, location_odds, missing_odds
from digitspot.evaluation.pairing import Pairs, pair
from digitspot.files import writing_whole
from digitspot.labels.labels import LabelledImage
from digitspot.types import Detections, DoubleArray

Kind = Literal["other digit", "box out of place", "digit without box", "box without digit"]
Box = tuple[float, float, float, float]

MIN_PROBABILITY = 0.02
"""Less probable faults count for their image and are not listed."""

COLUMNS = (
    "rank", "image_id", "file_name", "image", "kind", "probability", "labelled", "predicted",
    "labelled_box", "predicted_box",
)  # fmt: skip
"""Of the written list: `image` is the probability that anything in the image is wrong."""


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """One thing that may be wrong with an image's labels.

    Attributes:
        kind: What.
        probability: That it is.
        labelled: The digit labelled; None of a digit without a box.
        labelled_box: x1, y1, x2, y2 in pixels; None likewise.
        predicted: The digit that the detector found there; None of a box without a digit.
        predicted_box: Likewise.
    """

    kind: Kind
    probability: float
    labelled: str | None
    labelled_box: Box | None
    predicted: str | None
    predicted_box: Box | None


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An image whose labels may be wrong.

    Attributes:
        image: The image with its labels.
        probability: That at least one of them is, or is missing.
        suspicions: The most probable first.
    """

    image: LabelledImage
    probability: float
    suspicions: tuple[Suspicion, ...]


def find_suspects(images: Sequence[LabelledImage], found: Mapping[int, Detections]) -> list[Suspect]:
    """Rank images by how probable it is that their labels are wrong.

    Args:
        images: A split; the more images, the better what is usual is known. Crowds are left out.
        found: Detections by image id, down to low scores and of all digits, by models that were not trained
            on the image. Of images that it lacks, nothing was found.

    Returns:
        All images, the most suspicious first; equal ones in the order given.
    """
    if not images:
        return []
    pairs = pair(images, found)
    by_kind: dict[Kind, DoubleArray] = {
        "other digit": class_odds(pairs),
        "box out of place": location_odds(pairs),
        "box without digit": empty_odds(pairs),
        "digit without box": missing_odds(pairs),
    }
    doubts = np.zeros(len(images))  # minus the logarithm of the probability that all is right
    suspicions: list[list[Suspicion]] = [[] for _ in images]
    for kind, odds in by_kind.items():
        owners = pairs.place_image if kind == "digit without box" else pairs.image
        np.add.at(doubts, owners, np.log1p(odds))
        for row, suspicion in _listed(pairs, kind, odds / (1 + odds)):
            suspicions[owners[row]].append(suspicion)
    order = np.argsort(-doubts, kind="stable").tolist()
    return [
        Suspect(
            image=images[row],
            probability=float(-np.expm1(-doubts[row])),
            suspicions=tuple(sorted(suspicions[row], key=lambda each: -each.probability)),
        )
        for row in order
    ]


def _listed(pairs: Pairs, kind: Kind, probabilities: DoubleArray) -> Iterator[tuple[int, Suspicion]]:
    """Yield the suspicions of a kind that are worth a line, each with its row."""
    for row in np.flatnonzero(probabilities >= MIN_PROBABILITY).tolist():
        label, place = (-1, row) if kind == "digit without box" else (row, int(pairs.place[row]))
        yield (
            row,
            Suspicion(
                kind=kind,
                probability=float(probabilities[row]),
                labelled=str(pairs.digits[label]) if label >= 0 else None,
                labelled_box=_box(pairs.boxes[label]) if label >= 0 else None,
                predicted=str(pairs.shares[place].argmax()) if place >= 0 else None,
                predicted_box=_box(pairs.place_boxes[place]) if place >= 0 else None,
            ),
        )


def _box(box: DoubleArray) -> Box:
    x1, y1, x2, y2 = box.round(2).tolist()
    return x1, y1, x2, y2


def suspect_rows(suspects: Sequence[Suspect]) -> list[dict[str, object]]:
    """Return a row of `COLUMNS` for each suspicion, the most suspicious image first."""
    return [
        {
            "rank": rank,
            "image_id": suspect.image.image_id,
            "file_name": suspect.image.file_name,
            "image": round(suspect.probability, 4),
            "kind": each.kind,
            "probability": round(each.probability, 4),
            "labelled": each.labelled,
            "predicted": each.predicted,
            "labelled_box": each.labelled_box,
            "predicted_box": each.predicted_box,
        }
        for rank, suspect in enumerate(suspects, 1)
        for each in suspect.suspicions
    ]


def write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write the list as CSV; boxes are x1 y1 x2 y2 in pixels, parted by spaces."""
    with writing_whole(path) as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        rows.writeheader()
        for row in suspect_rows(suspects):
            rows.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: object) -> object:
    return " ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else value
