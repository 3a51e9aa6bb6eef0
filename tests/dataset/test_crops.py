"""Crops around numbers: where they lie, that boxes follow, and that batches know of them."""

from pathlib import Path

import numpy as np
import pytest
from pack_split import write_split

from digitspot.config import AugmentConfig, Config, InputConfig, TrainConfig
from digitspot.dataset.crops import MARGINS_X, MARGINS_Y, NumberCrops, _mixed, crop_to_number, uniform
from digitspot.dataset.pack_build import open_or_build
from digitspot.training.loader import TrainingBatches, plan_batches


def test_a_crop_has_room_around_the_number() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 400, 3), np.uint8)
    boxes = np.array([[150, 80, 165, 100], [170, 80, 185, 100]], np.float32)
    rooms = []
    for key in range(50):
        crop, moved = crop_to_number(image, boxes, 1.0, (0, 0, key))
        height, width = crop.shape[:2]
        left, top = (boxes[0, :2] - moved[0, :2]).astype(int)
        np.testing.assert_array_equal(crop, image[top : top + height, left : left + width])
        rooms.append([moved[0, 0], width - moved[1, 2], moved[0, 1], height - moved[1, 3]])
    for found, (low, high) in zip(np.array(rooms).T / 20, [MARGINS_X] * 2 + [MARGINS_Y] * 2, strict=True):
        assert low - 0.05 <= found.min() < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < found.max() <= high + 0.05


def test_a_crop_ends_where_the_image_does_and_needs_a_digit() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    whole = np.array([[0, 0, 30, 20]], np.float32)
    for boxes in (whole, np.zeros((0, 4), np.float32)):
        crop, moved = crop_to_number(image, boxes, 1.0, (0, 0, 0))
        assert crop.shape == image.shape
        np.testing.assert_array_equal(moved, boxes)


def test_as_many_are_cropped_as_said_anew_in_each_epoch() -> None:
    num = 4_000
    crops = NumberCrops(
        probability=0.3,
        seed=1,
        image_ids=np.arange(num),
        sizes_hw=np.full((num, 2), 100),
        boxes=np.tile(np.array([[40, 40, 50, 60]], np.float32), (num, 1)),
        box_starts=np.arange(num + 1),
    )
    first, second = (crops.rectangles(epoch, np.arange(num))[:, 2] < 100 for epoch in (0, 1))
    assert first.mean() == pytest.approx(0.3, abs=0.03)
    assert (first & second).mean() == pytest.approx(0.09, abs=0.02), "independent"
    some = np.array([7, 3_000, 12])
    np.testing.assert_array_equal(crops.rectangles(0, some), crops.rectangles(0, np.arange(num))[some])


def test_the_random_numbers_are_splitmix64s() -> None:
    golden = 0x9E3779B97F4A7C15
    values = np.array([(1234567 + k * golden) % 2**64 for k in (1, 2, 3)], np.uint64)
    assert _mixed(values).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    numbers = uniform(0, 0, np.arange(20_000), 3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(3), atol=0.03)
    assert not np.isin(uniform(0, 1, np.arange(100), 1), numbers).any()


def test_images_of_a_batch_have_one_shape_once_they_are_cropped(tmp_path: Path) -> None:
    pack = open_or_build(write_split(tmp_path, 96, side=60), tmp_path / "train", tmp_path / "packs")
    config = Config(
        augment=AugmentConfig(preset="photo", crop_probability=0.5, zoom_out_probability=0.0),
        input=InputConfig(short_side=48, long_side=192, multiple=16),
        train=TrainConfig(batch_size=8),
    )
    made, plan = TrainingBatches(pack, config), plan_batches(pack, config)
    assert plan.crops is not None
    batches = plan.epoch(1)
    every = plan.crops.aspects(1, np.arange(len(pack)))
    assert max(every) > 3 * min(every)
    narrow = 0
    for batch in batches:
        expected = plan.crops.aspects(1, np.array(batch.indices))
        found = [width / height for height, width in made[batch].sizes_hw]
        np.testing.assert_allclose(found, np.clip(expected, 1 / 4, 4), rtol=0.05)
        narrow += max(expected) < 1.5 * min(expected)
    assert narrow > len(batches) / 2
