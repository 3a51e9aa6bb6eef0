"""Planted faults of labels stand first, named by their kind; nothing falls over where little is to see."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitspot.evaluation.pairing import pair
from digitspot.evaluation.suspicions import COLUMNS, Kind, find_suspects, write_suspects
from digitspot.labels.labels import LabelledImage
from digitspot.types import Detections

NUM = 300


def labelled(image_id: int, boxes: np.ndarray, digits: np.ndarray) -> LabelledImage:
    return LabelledImage(
        image_id=image_id,
        file_name=f"{image_id}.png",
        size_hw=(60, 160),
        boxes=boxes.astype(np.float32),
        labels=digits + 1,
        areas=np.ones(len(boxes)),
        crowd=np.zeros(len(boxes), bool),
    )


def row_of_digits(image_id: int, rng: np.random.Generator) -> LabelledImage:
    """Return one to four digits of one height, side by side."""
    num, height = int(rng.integers(1, 5)), rng.uniform(15, 40)
    left = 10 + np.arange(num) * height * 0.6
    top = np.full(num, rng.uniform(5, 15))
    boxes = np.stack([left, top, left + height * 0.55, top + height], axis=1)
    return labelled(image_id, boxes, rng.integers(0, 10, num))


def detect(image: LabelledImage, rng: np.random.Generator) -> Detections:
    """Return what a fair detector finds: boxes a little off, a second class, one place in thirty missed."""
    seen = rng.random(len(image.labels)) > 1 / 30
    boxes = image.boxes[seen] + rng.normal(0, 0.04, (seen.sum(), 4)) * 20
    second = 1 + (image.labels[seen] - 1 + rng.integers(1, 10, seen.sum())) % 10
    first = rng.uniform(0.8, 0.99, seen.sum())
    swapped = rng.random(seen.sum()) < 0.02  # it is wrong at times, and then less sure
    scores = [np.where(swapped, 0.4, first), np.where(swapped, 0.45, 0.01)]
    return Detections(
        boxes=np.concatenate([boxes, boxes]).astype(np.float32),
        labels=np.concatenate([image.labels[seen], second]),
        scores=np.concatenate(scores).astype(np.float32),
    )


def other_digit(image: LabelledImage) -> LabelledImage:
    labels = image.labels.copy()
    labels[-1] = 1 + labels[-1] % 10
    return replace(image, labels=labels)


def dropped(image: LabelledImage) -> LabelledImage:
    return labelled(image.image_id, image.boxes[:-1], image.labels[:-1] - 1)


def shifted(image: LabelledImage) -> LabelledImage:
    boxes = image.boxes.copy()
    boxes[-1, 0::2] += 0.5 * (boxes[-1, 2] - boxes[-1, 0])
    return replace(image, boxes=boxes)


def invented(image: LabelledImage) -> LabelledImage:
    box = np.array([[130, 45, 140, 58]])
    return labelled(image.image_id, np.concatenate([image.boxes, box]), np.append(image.labels - 1, 3))


FAULTS: dict[Kind, Callable[[LabelledImage], LabelledImage]] = {
    "other digit": other_digit,
    "digit without box": dropped,
    "box out of place": shifted,
    "box without digit": invented,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_planted_faults_stand_first(kind: Kind) -> None:
    rng = np.random.default_rng(5)
    images = [row_of_digits(image_id, rng) for image_id in range(NUM)]
    found = {image.image_id: detect(image, rng) for image in images}
    chosen = {image.image_id for image in images if len(image.labels) > 1 and len(found[image.image_id]) > 3}
    faulty = set(sorted(chosen)[:10])
    images = [FAULTS[kind](image) if image.image_id in faulty else image for image in images]

    suspects = find_suspects(images, found)
    first = suspects[:24]  # 8 %
    hits = [each for each in first if each.image.image_id in faulty]
    assert len(hits) >= 9, [each.image.image_id for each in hits]
    assert sum(each.suspicions[0].kind == kind for each in hits) >= 9
    probabilities = [each.probability for each in suspects]
    assert probabilities == sorted(probabilities, reverse=True)
    assert probabilities[NUM // 2] < 0.1
    assert {each.image.image_id for each in suspects} == set(range(NUM))


def test_what_a_suspicion_says() -> None:
    rng = np.random.default_rng(0)
    images = [row_of_digits(image_id, rng) for image_id in range(NUM)]
    found = {image.image_id: detect(image, rng) for image in images}
    image = labelled(0, np.array([[10, 10, 21, 30], [22, 10, 33, 30]]), np.array([4, 2]))
    missing = np.array([[34, 10, 45, 30]], np.float32)
    found[0] = Detections(
        boxes=np.concatenate([image.boxes, missing]),
        labels=np.array([5, 8, 10]),
        scores=np.array([0.99, 0.99, 0.98], np.float32),
    )
    [suspect] = [each for each in find_suspects([image, *images[1:]], found) if each.image.image_id == 0]
    said = {(each.kind, each.labelled, each.predicted) for each in suspect.suspicions}
    assert said == {("other digit", "2", "7"), ("digit without box", None, "9")}
    assert suspect.probability > max(each.probability for each in suspect.suspicions)
    by_kind = {each.kind: each for each in suspect.suspicions}
    assert by_kind["digit without box"].labelled_box is None
    assert by_kind["digit without box"].predicted_box == (34, 10, 45, 30)
    assert by_kind["other digit"].labelled_box == (22, 10, 33, 30)


@pytest.mark.parametrize(
    ("boxes", "found", "reason"),
    [
        ([], Detections.empty(), "an empty image"),
        ([[1, 1, 9, 19]], Detections.empty(), "nothing was found"),
        ([[1, 1, 1, 1]], Detections.empty(), "a box without area"),
        (
            [],
            Detections(
                boxes=np.array([[0, 0, 9, 19]], np.float32),
                labels=np.array([3]),
                scores=np.ones(1, np.float32),
            ),
            "no label",
        ),
        (
            [[0, 0, 9, 19]],
            Detections(
                boxes=np.array([[0, 0, 9, 19], [4, 4, 4, 4]], np.float32),
                labels=np.array([3, 3]),
                scores=np.array([1, 0.5], np.float32),
            ),
            "a prediction without area",
        ),
    ],
)
def test_little_to_see(boxes: list[list[float]], found: Detections, reason: str) -> None:
    image = labelled(7, np.array(boxes).reshape(-1, 4), np.full(len(boxes), 2))
    [suspect] = find_suspects([image], {7: found})
    assert 0 <= suspect.probability < 1, reason


def test_no_image_and_crowds() -> None:
    assert find_suspects([], {}) == []
    image = labelled(1, np.array([[0, 0, 9, 19]]), np.array([2]))
    crowd = replace(image, crowd=np.array([True]))
    assert len(pair([crowd], {}).boxes) == 0
    assert find_suspects([crowd], {})[0].probability == 0


def test_each_label_has_one_place_at_most() -> None:
    image = labelled(1, np.array([[0, 0, 10, 20], [4, 0, 14, 20]]), np.array([2, 3]))
    boxes = np.array([[1, 0, 11, 20], [40, 0, 50, 20]], np.float32)
    found = Detections(boxes=boxes, labels=np.array([3, 4]), scores=np.array([0.9, 0.8], np.float32))
    pairs = pair([image], {1: found})
    assert pairs.place.tolist() == [0, -1]
    assert pairs.label.tolist() == [0, -1]
    assert pairs.shares.sum(1) == pytest.approx(1)
    assert pairs.overlap[0] == pytest.approx(7 / 13)  # the other label's


def test_the_list_as_csv(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [row_of_digits(image_id, rng) for image_id in range(60)]
    found = {image.image_id: detect(image, rng) for image in images}
    images[3] = other_digit(images[3])
    suspects = find_suspects(images, found)
    write_suspects(tmp_path / "list.csv", suspects)
    with open(tmp_path / "list.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    [row] = [row for row in rows if row["image_id"] == "3" and row["kind"] == "other digit"]
    assert row["file_name"] == "3.png"
    assert int(row["labelled"]) == images[3].labels[-1] - 1 != int(row["predicted"])
    assert [float(side) for side in row["labelled_box"].split()] == pytest.approx(
        images[3].boxes[-1], abs=0.01
    )
