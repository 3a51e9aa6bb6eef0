"""The number in its image: features by hand, and readings that may or may not hang on them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.reading import ReadingSettings, fit_settings, read_number
from digitspot.reading.certainty import CORE_NAMES, NUMBER_NAMES
from digitspot.reading.frame import NEAR, describe_frame, off_centre
from digitspot.types import Detections
from reading_layouts import found_in


def test_off_centre_by_hand() -> None:
    boxes = np.array([[40, 10, 50, 30], [50, 10, 60, 30], [80, 10, 90, 30]], float)
    members = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], float)
    away = off_centre(boxes, members, (40, 100))
    expected = [np.log1p((x / NEAR) ** 2) / 2 for x in (0, 0, 0.35, 0.15)]
    assert away[:, 0] == pytest.approx(expected)
    assert away[:, 1] == pytest.approx(np.zeros(4))
    assert off_centre(boxes, members, None).tolist() == np.zeros((4, 2)).tolist()


def test_a_digit_at_the_end_that_moves_the_number_off_the_middle() -> None:
    boxes = np.array([[40, 10, 50, 30], [50, 10, 60, 30], [60, 10, 70, 30]], float)
    two, three = describe_frame(boxes[:2], (40, 100)), describe_frame(boxes, (40, 100))
    assert two[2] < 0 < three[2]
    assert describe_frame(boxes, None).tolist() == [0] * len(two)
    assert describe_frame(boxes[:0], (40, 100)).tolist() == [0] * len(two)


def in_images(centred: bool) -> tuple[list[Detections], list[str]]:
    """Numbers, in the middle of their images or anywhere, with a false box of any score."""
    random = np.random.default_rng(5)
    samples = [found_in(random, "straight", num_false=0) for _ in range(500)]
    found = [_place(random, each, centred) for _, each in samples]
    return found, [number for number, _ in samples]


def _place(random: np.random.Generator, found: Detections, centred: bool) -> Detections:
    """Put a digit in line with the number, as sure as its own, and the whole into an image."""
    height = float(np.median(found.boxes[:, 3] - found.boxes[:, 1]))
    side, top = found.boxes[:, 2].max(), float(np.median(found.boxes[:, 1]))
    low, high = found.boxes[:, :2].min(0), found.boxes[:, 2:].max(0)
    extra = np.array([[side + 0.2 * height, top, side + 0.8 * height, top + height]], np.float32)
    width = 20 * height
    at = (width / 2 if centred else random.uniform(0.3, 0.7) * width) - (low[0] + high[0]) / 2
    boxes = np.concatenate([found.boxes, extra]) if random.random() < 0.5 else found.boxes
    return Detections(
        boxes=(boxes + np.array([at, 0, at, 0])).astype(np.float32),
        labels=np.append(found.labels, 1)[: len(boxes)],
        scores=np.append(found.scores, found.scores.max())[: len(boxes)],
        size_hw=(round(3 * height), round(width)),
    )


def test_the_middle_is_learnt_where_numbers_are_there() -> None:
    """A digit too many cannot be told by its score here, but by the middle of the image."""
    accuracies = {}
    for centred in (True, False):
        found, numbers = in_images(centred)
        accuracies[centred] = fit_settings(found, numbers)[0].accuracy
        unknown = [replace(each, size_hw=None) for each in found]
        accuracies["unknown", centred] = fit_settings(unknown, numbers)[0].accuracy
    assert accuracies[True] > 0.95 > 0.8 > accuracies["unknown", True]
    assert abs(accuracies[False] - accuracies["unknown", False]) < 0.03


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(-3, 4))
def test_scale_changes_nothing_in_an_image_either(seed: int, doublings: int) -> None:
    fitted = replace(
        ReadingSettings(),
        weights=(*ReadingSettings().weights[:-2], -0.8, -0.3),
        number_weights=(*ReadingSettings().number_weights[: len(CORE_NAMES)], *[0.1] * _MORE),
    )
    _, found = found_in(np.random.default_rng(seed), "straight", num_false=1)
    here = replace(found, size_hw=(64, 256))
    factor = 2.0**doublings
    size = (int(64 * factor), int(256 * factor))
    there = replace(here, boxes=here.boxes * np.float32(factor), size_hw=size)
    one, other = read_number(here, fitted), read_number(there, fitted)
    assert one.text == other.text
    assert one.probability == pytest.approx(other.probability, abs=1e-6)


_MORE = len(NUMBER_NAMES) - len(CORE_NAMES)
