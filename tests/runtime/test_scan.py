"""Large images: where numbers are, whatever their size and place, and how they are read there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from digitspot.config import InputConfig
from digitspot.errors import ConfigError, DataError
from digitspot.labels.labels import CategoryMap
from digitspot.preprocess import Prepared, prepare
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings
from digitspot.reading.candidates import NAMES
from digitspot.reads import Read, in_scene, meant_first
from digitspot.regions import region_in_pixels
from digitspot.runtime.scan import (
    LEVELS,
    MAX_REGIONS,
    OVERLAP,
    TILE,
    _num_tiles,
    _regions,
    _scales,
    _starts,
    find_regions,
    is_scene,
)
from digitspot.types import Detections, Digit, ImageArray, Reading

RULE = InputConfig(short_side=112, long_side=336)
SEEN_HEIGHTS = (9, 160)
"""Of a digit at the input, so that our runtime sees it; a network's are alike."""


PALE = 230


class Blocks:
    """A runtime that finds red blocks; their green says which digit each is, and pale ones are unsure."""

    rule = RULE

    def __init__(self) -> None:
        self.looks = 0

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        return prepare(image, RULE, short_side)

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        return [self._find(each) for each in inputs]

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        return self.detect_prepared([self.prepare(image) for image in images])

    def _find(self, item: Prepared) -> Detections:
        self.looks += 1
        red = (item.pixels[..., 0] > 180) & (item.pixels[..., 2] < 70)
        areas, _ = ndimage.label(red)
        boxes, labels, scores = [], [], []
        for rows, columns in ndimage.find_objects(areas):
            if SEEN_HEIGHTS[0] <= rows.stop - rows.start <= SEEN_HEIGHTS[1]:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                labels.append(1 + round(float(np.median(item.pixels[rows, columns, 1])) / 25))
                scores.append(0.95 if np.median(item.pixels[rows, columns, 0]) > PALE else 0.3)
        table = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(
            boxes=item.to_original(table),
            labels=np.array(labels, np.int64),
            scores=np.array(scores, np.float32),
            size_hw=item.original_hw,
        )


def write(image: ImageArray, number: str, left: int, top: int, height: int) -> tuple[int, int, int, int]:
    """Paint a number of blocks, half as wide as high; return its box."""
    width, gap = height // 2, max(3, height // 4)
    for index, digit in enumerate(number):
        x = left + index * (width + gap)
        image[top : top + height, x : x + width] = (255, 25 * int(digit), 0)
    return left, top, left + len(number) * (width + gap) - gap, top + height


def wall(height: int = 1800, width: int = 2400) -> ImageArray:
    return np.full((height, width, 3), (90, 90, 120), np.uint8)


def reader() -> Reader:
    together = {"wide_gap": -9.0}
    weights = tuple(
        together.get(name, weight) for name, weight in zip(NAMES, ReadingSettings().weights, strict=True)
    )
    return Reader(Blocks(), ReadingSettings(weights=weights), CategoryMap.homework())


@given(st.integers(1, 5000))
def test_tiles_cover_a_side_and_share_their_overlap(length: int) -> None:
    starts = _starts(length)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - TILE)
    assert all(0 < after - before <= TILE - OVERLAP for before, after in pairwise(starts))


@settings(max_examples=12)
@given(st.integers(20, 250), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["3", "58", "190", "2468"]))
def test_a_number_of_any_size_anywhere_is_found_and_read(
    height: int, across: float, down: float, number: str
) -> None:
    image = wall()
    room_x = image.shape[1] - len(number) * height
    left, top = round(across * room_x), round(down * (image.shape[0] - height))
    box = write(image, number, left, top, height)
    assert is_scene(image)
    [region] = find_regions(Blocks(), image)
    assert all(np.array(region[:2]) <= box[:2])
    assert all(np.array(region[2:]) >= box[2:])
    [read] = reader().read_all(image)
    assert read.reading.text == number
    assert reader().read(image).text == number
    assert read.detections.size_hw == image.shape[:2]
    found = np.array([digit.box for digit in read.reading.digits])
    assert [*found[:, :2].min(0), *found[:, 2:].max(0)] == pytest.approx(box, abs=0.15 * height + 2)


def test_a_number_keeps_to_itself_where_all_around_looks_like_digits_a_little() -> None:
    image = wall()
    pebbles = wall(900, 900)
    for index in range(20 * 20):
        write(pebbles, "1", 10 + 44 * (index % 20), 10 + 44 * (index // 20), 30)
    pebbles[pebbles[..., 0] == 255, 0] = PALE - 10
    image[300:1200, 300:1200] = pebbles
    image[700:780, 700:820] = wall(80, 120)
    box = write(image, "58", 730, 720, 40)
    first, *others = find_regions(Blocks(), image)
    assert all(np.array(first[:2]) <= box[:2])
    assert all(np.array(first[2:]) >= box[2:])
    assert first[2] - first[0] < 400, "the number and its room, and not all pebbles"
    assert others
    assert reader().read_all(image)[0].reading.text == "58"


def test_what_looks_like_a_large_digit_leaves_the_number_on_it_alone() -> None:
    wheel = [0, 0, 400, 600]
    boxes = np.array([wheel, [150, 300, 180, 360], [190, 300, 220, 360]], np.float32)
    regions = _regions(boxes, np.array([0.95, 0.9, 0.9], np.float32), (3000, 4000), 10)
    assert len(regions) == 2
    number = min(regions, key=lambda region: region[2] - region[0])
    assert number[2] - number[0] < 400


def test_boxes_without_an_area_are_left_out() -> None:
    boxes = np.array([[5, 7, 9, 7], [5, 7, 5, 20]], np.float32)
    assert _regions(boxes, np.array([0.9, 0.8], np.float32), (600, 600), 10) == []


def test_every_number_is_given_once() -> None:
    image = wall()
    places = {"12": (100, 100, 40), "345": (1500, 300, 90), "6": (900, 1500, 200)}
    for number, (left, top, height) in places.items():
        write(image, number, left, top, height)
    reads = reader().read_all(image)
    assert sorted(str(each.reading.text) for each in reads) == ["12", "345", "6"]
    assert reads[0].reading.text == reader().read(image).text == "345", "the longest, of about equal ones"
    sureness = [each.reading.probability for each in reads[1:]]
    assert sureness == sorted(sureness, reverse=True)
    small = wall(200, 500)
    write(small, "12", 30, 60, 40)
    write(small, "7", 420, 60, 40)
    assert not is_scene(small)
    assert {each.reading.text for each in reader().read_all(small)} == {"12", "7"}


def test_a_small_number_of_a_large_image_is_less_sure() -> None:
    alone, far, near = wall(200, 400), wall(), wall()
    write(alone, "345", 40, 60, 90)
    write(far, "345", 1500, 300, 90)
    write(near, "345", 300, 300, 500)
    sure, small, large = (reader().read(image).probability for image in (alone, far, near))
    assert small < 0.8 * sure
    assert large == pytest.approx(sure, abs=0.02), "as if the image had been taken of it"
    unsure = reader().with_options(abstain_below=(small + sure) / 2)
    assert (unsure.read(alone).text, unsure.read(far).text) == ("345", None)
    assert unsure.read(far).reason == "unsure"
    assert unsure.read(far).number == "345" or unsure.read(far).seen == "345"


def test_equally_sure_the_longer_number_is_surer_in_a_scene() -> None:
    digits = tuple(
        Digit(text="7", box=(i, 0, i + 1, 2), score=1.0, probability=1.0, alternatives=()) for i in range(6)
    )
    reads = [
        Read(Detections.empty(), Reading(text="7" * num, probability=0.9, digits=digits[:num]))
        for num in (1, 3, 6)
    ]
    one, three, six = (in_scene(read, (900, 900)).reading.probability for read in reads)
    assert one < three < six < 0.9
    long = Read(Detections.empty(), Reading(text="7" * 12, probability=0.5, digits=digits * 2))
    assert in_scene(long, (900, 900)).reading.probability == 0.5, "never surer than alone"
    assert in_scene(reads[0], (10, 900)) == reads[0], "its digits are a fifth of the image high"


@pytest.mark.parametrize(
    ("numbers", "meant", "reason"),
    [
        ([("7", 0.9), ("042913", 0.1)], "042913", "a long number is rarely seen by chance"),
        ([("7", 0.99), ("28", 0.7)], "7", "the other is only one digit longer, and much less sure"),
        ([("7", 0.9), ("28", 0.7)], "28", "and here it is not"),
        ([("1", 1.0), ("2", 1.0)], "1", "the first of equal ones, with odds that have no end"),
        ([("1", 0.0), ("2", 0.5)], "2", "odds of 0"),
        ([("", 0.99), ("2", 0.5)], "2", "no number at all is not meant"),
        ([("", 0.99)], "", "none is there"),
    ],
)
def test_which_number_is_meant(numbers: list[tuple[str, float]], meant: str, reason: str) -> None:
    digits = [
        Digit(text="7", box=(i, 0, i + 1, 2), score=1.0, probability=1.0, alternatives=()) for i in range(6)
    ]
    reads = [
        Read(Detections.empty(), Reading(text=text or None, probability=p, digits=tuple(digits[: len(text)])))
        for text, p in numbers
    ]
    ordered = meant_first(reads)
    assert ordered[0].reading.text == (meant or None), reason
    assert sorted(map(id, ordered)) == sorted(map(id, reads))


def test_nothing_and_too_much() -> None:
    empty = reader()
    assert empty.read_all(wall()) == []
    assert empty.read(wall()).text is None
    image = wall()
    for index in range(24):
        write(image, "4", 100 + 180 * (index % 12), 200 + 500 * (index // 12) + 100 * (index % 3), 40)
    assert len(find_regions(Blocks(), image)) == MAX_REGIONS


def test_plain_tiles_are_left_out() -> None:
    runtime = Blocks()
    find_regions(runtime, wall())
    assert runtime.looks == 0, "a plain wall"


@settings(max_examples=50, deadline=None)
@given(st.integers(480, 9_000), st.integers(480, 9_000), st.integers(1, 200))
def test_looks_are_limited_and_the_finest_level_gets_coarser(height: int, width: int, looks: int) -> None:
    scales = _scales((height, width), looks)
    assert scales == sorted(scales)
    tiles = [_num_tiles((height, width), scale) for scale in scales]
    assert sum(tiles) <= looks
    more = _scales((height, width), 2 * looks)
    assert scales[-1] <= more[-1] <= LEVELS[-1]


def test_with_few_looks_large_digits_are_still_found_anywhere() -> None:
    noisy = np.random.default_rng(0).integers(0, 100, (1800, 2400, 3), np.uint8)
    for left in (100, 2000):
        image = noisy.copy()
        write(image, "58", left, 1500, 90)
        runtime = Blocks()
        assert len(find_regions(runtime, image, max_looks=7)) == 1
        assert 1 <= runtime.looks <= 7


def test_at_least_one_look() -> None:
    with pytest.raises(ConfigError, match="max_looks 0: need 1 or more"):
        reader().with_options(max_looks=0).read(wall())


def test_only_the_region_is_read() -> None:
    image = wall(300, 600)
    write(image, "12", 40, 100, 60)
    right = write(image, "89", 400, 100, 60)
    one = reader()
    one.region = (0.5, 0.0, 0.5, 1.0)
    read = next(one.read_whole([image]))
    assert read.reading.text == one.read(image).text == "89"
    assert read.reading.digits[0].box[0] == pytest.approx(right[0], abs=4), "in pixels of the whole image"
    assert read.detections.size_hw == (300, 600)
    one.region = (0, 50, 300, 200)
    assert [each.reading.text for each in one.read_all(image)] == ["12"]
    one.region = (700, 0, 100, 100)
    with pytest.raises(DataError, match="outside of 600 x 300"):
        one.read(image)


@given(st.tuples(*[st.floats(0.01, 1)] * 4))
def test_regions_are_within_the_image(region: tuple[float, float, float, float]) -> None:
    try:
        left, top, right, bottom = region_in_pixels(region, (50, 80))
    except DataError:
        assert region[0] > 0.98 or region[1] > 0.98 or min(region[2:]) < 0.03
    else:
        assert 0 <= left < right <= 80
        assert 0 <= top < bottom <= 50
