"""From images to the network's input: sizes, boxes there and back, normalisation and padding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.functional import normalize

from digitspot.config import InputConfig
from digitspot.preprocess import Prepared, collate, group_by_shape, input_size, prepare

SIDES = st.integers(1, 3000)


@pytest.mark.parametrize(
    ("size_hw", "short", "long", "expected", "reason"),
    [
        ((1, 1), 96, 256, (96, 96), "one pixel"),
        ((96, 96), 96, 256, (96, 96), "as it is"),
        ((96, 256), 96, 256, (96, 256), "both limits met"),
        ((47, 104), 96, 256, (96, 212), "SVHN's median, up"),
        ((480, 640), 96, 256, (96, 128), "down"),
        ((640, 480), 96, 256, (128, 96), "upright"),
        ((100, 400), 96, 256, (64, 256), "the longer side limits"),
        ((20000, 10), 96, 256, (256, 1), "never below one pixel"),
        ((10, 20000), 96, 256, (1, 256), "the other way"),
        ((1, 2), 96, 256, (96, 192), "tiny"),
        ((3, 3), 1, 1, (1, 1), "a rule of one pixel"),
    ],
)
def test_size_rule(
    size_hw: tuple[int, int], short: int, long: int, expected: tuple[int, int], reason: str
) -> None:
    assert input_size(size_hw, short, long) == expected, reason
    image = prepare(np.zeros((*size_hw, 3), np.uint8), InputConfig(short_side=short, long_side=long))
    assert (image.size_hw, image.original_hw) == (expected, size_hw), reason
    assert (image.pixels.shape, image.pixels.dtype) == ((*expected, 3), np.uint8)


@given(SIDES, SIDES, st.integers(1, 200), st.integers(1, 400))
def test_size_rule_keeps_its_limits(height: int, width: int, short: int, extra: int) -> None:
    long = short + extra
    h, w = input_size((height, width), short, long)
    assert 1 <= min(h, w) <= short
    assert max(h, w) <= long
    assert min(h, w) == short or max(h, w) == long
    ideal = min(short / min(height, width), long / max(height, width))
    assert abs(h - max(1, height * ideal)) <= 0.51
    assert abs(w - max(1, width * ideal)) <= 0.51


def test_short_side_of_a_batch_scales_the_limit_too() -> None:
    image = np.zeros((10, 100, 3), np.uint8)
    rule = InputConfig(short_side=100, long_side=200)
    assert prepare(image, rule).size_hw == (20, 200)
    assert prepare(image, rule, short_side=50).size_hw == (10, 100)


def test_prepare_leaves_the_image_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    before = image.copy()
    for short in (10, 20, 40):
        prepare(image, InputConfig(short_side=short))
    assert (image == before).all()
    image.flags.writeable = False
    collate([prepare(image, InputConfig(short_side=20))], InputConfig(multiple=8))


@given(SIDES, SIDES, st.lists(st.tuples(*[st.floats(-1, 2)] * 4), max_size=5))
def test_boxes_return_from_the_input(height: int, width: int, shares: list[tuple[float, ...]]) -> None:
    boxes = (np.array(shares, np.float32).reshape(-1, 4) * [width, height, width, height]).astype(np.float32)
    image = Prepared(np.zeros((*input_size((height, width), 96, 256), 3), np.uint8), (height, width))
    there = image.to_input(boxes)
    assert (there.dtype, there.shape) == (np.float32, boxes.shape)
    np.testing.assert_allclose(image.to_original(there), boxes, rtol=1e-5, atol=1e-4)


def test_the_whole_image_maps_to_the_whole_input() -> None:
    image = prepare(np.zeros((47, 103, 3), np.uint8), InputConfig())
    h, w = image.size_hw
    whole = np.array([[0, 0, 103, 47]], np.float32)
    np.testing.assert_allclose(image.to_input(whole), [[0, 0, w, h]], rtol=1e-6)


def test_collate_normalises_as_torchvision_and_pads_with_the_mean() -> None:
    random = np.random.default_rng(1)
    sizes = [(5, 9), (8, 8), (1, 1)]
    images = [Prepared(random.integers(0, 256, (*size, 3), np.uint8), size) for size in sizes]
    batch = collate(images, InputConfig(multiple=8))
    assert (batch.shape, batch.dtype) == ((3, 3, 8, 16), np.float32)
    for row, image, (h, w) in zip(batch, images, sizes, strict=True):
        pixels = torch.from_numpy(image.pixels).permute(2, 0, 1).float() / 255
        expected = normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).numpy()
        np.testing.assert_allclose(row[:, :h, :w], expected, atol=1e-6)
        assert (row[:, h:] == 0).all()
        assert (row[:, :, w:] == 0).all()


@pytest.mark.parametrize(
    ("sizes", "multiple", "expected", "reason"),
    [
        ([(32, 64)], 32, (32, 64), "already a multiple"),
        ([(33, 64)], 32, (64, 64), "one above"),
        ([(1, 1)], 32, (32, 32), "one pixel"),
        ([(10, 20), (20, 10)], 1, (20, 20), "the hull of both"),
    ],
)
def test_padded_size(
    sizes: list[tuple[int, int]], multiple: int, expected: tuple[int, int], reason: str
) -> None:
    images = [Prepared(np.zeros((*size, 3), np.uint8), size) for size in sizes]
    assert collate(images, InputConfig(multiple=multiple)).shape == (len(sizes), 3, *expected), reason


@given(st.lists(st.tuples(SIDES, SIDES), max_size=40), st.integers(1, 9), st.sampled_from([1, 8, 32]))
def test_groups_deal_every_index_once_in_one_padded_shape(
    sizes: list[tuple[int, int]], size: int, multiple: int
) -> None:
    groups = group_by_shape(sizes, size, multiple)
    assert sorted(index for group in groups for index in group) == list(range(len(sizes)))
    assert all(1 <= len(group) <= size for group in groups)
    padded = [tuple(-(-side // multiple) for side in sides) for sides in sizes]
    assert all(len({padded[index] for index in group}) == 1 for group in groups)
    full = sum(len(group) == size for group in groups)
    assert len(groups) - full <= len(set(padded))  # one that is not full for each shape at most
