"""Augmentation: what it draws, that boxes follow the pixels, and that nothing else is touched."""

import colorsys
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision import tv_tensors
from torchvision.transforms import v2

from digitspot.config import AugmentConfig
from digitspot.dataset.augment import (
    STRONG_STRETCH,
    augment,
    build_augmentation,
    keep_visible,
    random_seed,
)
from digitspot.dataset.transforms import (
    Blur,
    CropBesideNumber,
    LowResolution,
    RotateAndShift,
    Shrink,
    Stretch,
    Transform,
    ZoomOut,
)
from digitspot.types import FloatArray, ImageArray

NONE = np.zeros((0, 4), np.float32)
PRESETS = ("none", "seed", "photo")


def transform(preset: str, scale: float = 1.0, **changes: float) -> Transform:
    return build_augmentation(AugmentConfig(preset=preset, **changes), scale)  # type: ignore[arg-type]


def sample(height: int = 40, width: int = 60) -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> ImageArray:
    return np.full((height, width, 3), colour, np.uint8)


def drawn(shape: str, box: tuple[int, int, int, int], size_hw: tuple[int, int] = (120, 160)) -> ImageArray:
    """Draw one white rectangle or ellipse on grey; the box is half-open."""
    image = Image.new("RGB", (size_hw[1] * 4, size_hw[0] * 4), (90, 90, 90))
    corners = [box[0] * 4, box[1] * 4, box[2] * 4 - 1, box[3] * 4 - 1]
    getattr(ImageDraw.Draw(image), shape)(corners, fill=(255, 255, 255))
    return np.asarray(image.resize((size_hw[1], size_hw[0]), Image.Resampling.BOX)).copy()


def white(image: ImageArray) -> FloatArray:
    rows, columns = np.nonzero(image[..., 0] > 172)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


@pytest.mark.parametrize(
    ("shape", "box", "geometry", "reason"),
    [
        ("rectangle", (60, 40, 90, 85), ZoomOut(1.0, 2.0), "zoomed out"),
        ("rectangle", (0, 0, 25, 20), ZoomOut(1.0, 1.001), "hardly zoomed out"),
        ("rectangle", (60, 40, 90, 85), RotateAndShift(0.0, 0.15), "shifted"),
        ("ellipse", (50, 35, 75, 85), RotateAndShift(15.0, 0.1), "rotated and shifted, tall"),
        ("ellipse", (30, 45, 120, 70), RotateAndShift(15.0, 0.1), "rotated and shifted, wide"),
        ("ellipse", (20, 20, 60, 60), RotateAndShift(30.0, 0.0), "a disc far from the centre"),
        ("ellipse", (50, 35, 75, 85), RotateAndShift(10.0, 0.1, 20.0), "slanted, too"),
        ("rectangle", (60, 40, 90, 85), Stretch(1.5), "stretched"),
        ("rectangle", (60, 40, 90, 85), LowResolution(2.0), "of a low resolution"),
        ("rectangle", (60, 40, 90, 85), Shrink(90, 120), "shrunk"),
    ],
)
def test_boxes_follow_the_pixels(
    shape: str, box: tuple[int, int, int, int], geometry: Callable[..., object], reason: str
) -> None:
    image = drawn(shape, box)
    boxes = np.array([box], np.float32)
    np.testing.assert_allclose(white(image), boxes[0], atol=1, err_msg="the drawing itself")
    moved = 0
    for key in range(25):
        after, [where] = augment(geometry, image, boxes, (0, 0, key))  # type: ignore[arg-type]
        np.testing.assert_allclose(white(after), where, atol=1.5, err_msg=reason)
        moved += not np.allclose(where, boxes[0], atol=2)
    assert moved > 10 or geometry.max_factor < 1.01  # type: ignore[attr-defined]


@pytest.mark.parametrize("preset", ["photo", "strong"])
def test_a_large_image_is_augmented_at_the_size_that_it_is_seen_at(preset: str) -> None:
    """So is the crop around its number, which a small digit keeps all of its pixels in."""
    config = AugmentConfig(preset=preset, crop_probability=0.5, zoom_out_probability=0.0)  # type: ignore[arg-type]
    image, boxes = sample(900, 1200), np.array([[600, 400, 615, 430]], np.float32)
    heights = []
    for key in range(40):
        view = build_augmentation(config, largest=(90, 120))
        after, moved = augment(view, image, boxes, (0, 0, key), config.crop_probability)
        assert min(after.shape[:2]) <= 90
        assert max(after.shape[:2]) <= 120 * STRONG_STRETCH
        heights += list(moved[:, 3] - moved[:, 1])
    assert sum(height == pytest.approx(3, abs=0.5) for height in heights) > 8, "whole"
    assert sum(height > 25 for height in heights) > 8, "crops"


def test_a_crop_beside_the_number_shows_no_digit() -> None:
    image, boxes = drawn("rectangle", (60, 40, 90, 85)), np.array([[60, 40, 90, 85]], np.float32)
    crop, moved = augment(CropBesideNumber(1.0), image, boxes, (0, 0, 0))
    assert 20 < crop.shape[0] < image.shape[0] - 45
    assert crop.shape[1] / crop.shape[0] == pytest.approx(image.shape[1] / image.shape[0], abs=0.05)
    assert crop.max() < 128, "the digit is white"
    assert len(keep_visible(moved, crop.shape[:2])[0]) == 0
    tight = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    assert augment(CropBesideNumber(1.0), image, tight, (0, 0, 0))[0].shape == image.shape


def test_low_resolution_leaves_digits_readable() -> None:
    image, boxes = drawn("rectangle", (60, 40, 70, 60)), np.array([[60, 40, 70, 60]], np.float32)
    heights = [augment(LowResolution(50.0), image, boxes, (0, 0, key))[1][0] for key in range(30)]
    assert 9.5 < min(box[3] - box[1] for box in heights) < 11


def test_zoom_out_is_log_uniform_and_its_border_continues_the_edge() -> None:
    image = sample(50, 80)
    factors = []
    for key in range(400):
        after, boxes = augment(ZoomOut(0.6, 2.0), image, np.array([[0, 0, 80, 50]], np.float32), (0, 0, key))
        factors.append(after.shape[1] / 80)
        assert after.shape[0] / 50 == pytest.approx(factors[-1], abs=0.03)
        x1, y1, x2, y2 = boxes[0].astype(int)
        assert (after[y1:y2, x1:x2] == image).all()
        edges = np.pad(image, ((y1, after.shape[0] - y2), (x1, after.shape[1] - x2), (0, 0)), mode="edge")
        assert (after == edges).all()
    assert max(factors) <= 2.01
    zoomed = [factor for factor in factors if factor > 1.02]
    assert 0.5 < len(zoomed) / len(factors) < 0.66
    assert np.median(zoomed) == pytest.approx(2**0.5, abs=0.08)


def test_filled_corners_have_the_mean_colour() -> None:
    image = plain((200, 20, 90))
    image[10:30, 20:40] = (10, 250, 30)
    after, _ = augment(RotateAndShift(0.0, 0.3), image, NONE, (0, 0, 4))
    corners = after[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    mean = image.reshape(-1, 3).mean(0)
    assert (np.abs(corners - mean).max(1) <= 1).any()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_key_decides_and_the_generators_are_left_alone(preset: str) -> None:
    image, boxes = sample(), np.array([[5, 5, 20, 30]], np.float32)
    before = image.copy(), boxes.copy()
    results = []
    for state in (0, 12345):
        torch.manual_seed(state)
        np.random.seed(state)
        random.seed(state)
        states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
        results.append([augment(transform(preset), image, boxes, (1, 2, key)) for key in range(20)])
        assert torch.equal(torch.random.get_rng_state(), states[0])
        assert (np.random.get_state()[1] == states[1]).all()  # type: ignore[index]
        assert random.getstate() == states[2]
    for (first, moved), (second, moved_too) in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(moved, moved_too)
    assert (image == before[0]).all()
    assert (boxes == before[1]).all()


def test_every_part_of_the_key_counts() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 2, 3), (3, 2, 1), (0, 0, 2**40)]
    assert len({random_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= random_seed(*key) < 2**63 for key in keys)
    results = {augment(transform("photo"), sample(), NONE, key)[0].tobytes() for key in keys}
    assert len(results) >= len(keys) - 1


def test_none_is_the_identity() -> None:
    image, boxes = sample(), np.array([[-3, 5, 20.25, 99]], np.float32)
    after, moved = augment(transform("none"), image, boxes, (0, 0, 1))
    assert (after == image).all()
    assert (moved == boxes).all(), "boxes are not clipped here"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 300)])
def test_smallest_images_and_no_boxes(preset: str, size: tuple[int, int]) -> None:
    image = sample(*size)
    for key in range(25):
        after, moved = augment(transform(preset), image, NONE, (0, 0, key))
        assert (after.ndim, after.shape[2], after.dtype) == (3, 3, np.uint8)
        assert (moved.shape, moved.dtype) == ((0, 4), np.float32)


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_mirrored(preset: str) -> None:
    """The image brightens to the right and downwards, and always does so afterwards."""
    image = (
        np.add.outer(np.linspace(40, 130, 60), np.linspace(0, 90, 80))[..., None]
        .repeat(3, 2)
        .astype(np.uint8)
    )
    boxes = np.array([[10, 20, 30, 50], [50, 20, 70, 50]], np.float32)
    for key in range(120):
        after, moved = augment(transform(preset), image, boxes, (0, 0, key))
        h, w = after.shape[:2]
        assert after[:, : w // 2].mean() < after[:, w // 2 :].mean()
        assert after[: h // 2].mean() < after[h // 2 :].mean()
        assert moved[0, 0] < moved[1, 0]


def square(image: ImageArray) -> tuple[int, int] | None:
    """Return (height, width) of the black square, or None; it must be solid."""
    rows, columns = np.nonzero((image == 0).all(2))
    if len(rows) == 0:
        return None
    side = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    assert len(rows) == side[0] * side[1]
    return side


@pytest.mark.parametrize(
    ("scale", "size", "expected", "reason"),
    [
        (1.0, (40, 60), set(range(10, 21)), "10 to 20 pixels of the original"),
        (0.5, (40, 60), set(range(5, 11)), "an image kept at half its size"),
        (1.0, (8, 60), {8}, "no larger than the image"),
        (0.01, (40, 60), {1}, "at least a pixel"),
    ],
)
def test_black_square(scale: float, size: tuple[int, int], expected: set[int], reason: str) -> None:
    image = plain((120, 140, 160), *size)
    squares = [square(augment(transform("seed", scale), image, NONE, (0, 0, key))[0]) for key in range(500)]
    sides = [each for each in squares if each is not None]
    assert all(height == width for height, width in sides)
    assert {height for height, _ in sides} == expected, reason
    assert 0.24 < len(sides) / len(squares) < 0.36


def uncovered(image: ImageArray) -> FloatArray:
    """Return the colours `[N, 3]` of what the square left."""
    return image[(image != 0).any(2)].astype(np.float32)


def test_seed_preset_brightness() -> None:
    image = plain((120, 120, 120))  # grey: contrast, hue and saturation do nothing to it
    seed = transform("seed")
    results = [uncovered(augment(seed, image, NONE, (0, 0, key))[0])[0, 0] for key in range(1000)]
    factors = np.array(results) / 120
    assert 0.2 < (factors == 1).mean() < 0.32, "each of two with p 0.5; a few draws round to 1"
    assert factors.min() >= 0.8 * (1 - 20 / 255) - 0.01
    assert factors.max() <= 1.2 * (1 + 20 / 255) + 0.01
    assert factors.min() < 0.8
    assert factors.max() > 1.2
    assert factors.mean() == pytest.approx(1, abs=0.025), "torchvision rounds down after each step"


def test_seed_preset_hue() -> None:
    image = plain((160, 100, 60))
    base = colorsys.rgb_to_hsv(160, 100, 60)[0] * 360
    shifts = []
    for key in range(400):
        red, green, blue = uncovered(augment(transform("seed"), image, NONE, (0, 0, key))[0])[0].tolist()
        shifts.append(colorsys.rgb_to_hsv(red, green, blue)[0] * 360 - base)
    assert np.abs(shifts).max() < 22, "OpenCV's 10 is 20 degrees; the rest is rounding"
    assert (max(shifts) > 15, min(shifts) < -15) == (True, True)
    assert 0.35 < (np.abs(shifts) > 2).mean() < 0.55


@pytest.mark.parametrize("size_hw", [(2, 2), (33, 70), (128, 95)])
def test_a_blur_is_torchvisions(size_hw: tuple[int, int]) -> None:
    """By another way to convolve: a value on the edge of two may be rounded to the other."""
    pixels = tv_tensors.Image(torch.from_numpy(sample(*size_hw)).permute(2, 0, 1))
    boxes = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=size_hw)  # type: ignore[call-overload]
    torch.manual_seed(0)
    ours, _ = Blur(3)(pixels, boxes)
    torch.manual_seed(0)
    theirs, _ = v2.GaussianBlur(3)(pixels, boxes)
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.001
    assert torch.backends.mkldnn.set_flags(_fp32_precision=None)[0] == torch.backends.mkldnn.is_available()


def test_seed_preset_blur() -> None:
    image = plain((120, 120, 120))
    image[:, 30:] = 180
    blurred = [
        len(np.unique(uncovered(augment(transform("seed"), image, NONE, (0, 0, key))[0]))) > 2
        for key in range(1000)
    ]
    assert 0.12 < np.mean(blurred) < 0.22, "p 0.2, of which the narrowest sigmas show nothing"


def test_photo_preset_keeps_its_limits() -> None:
    box = np.array([[70, 50, 90, 70]], np.float32)
    image = sample(120, 160)
    grown = []
    for key in range(300):
        after, moved = augment(transform("photo"), image, box, (0, 0, key))
        grown.append(after.shape[1] / 160)
        assert 19.5 < moved[0, 2] - moved[0, 0] < 20.5, "a disc's box keeps its size under rotation"
    assert 1.9 < max(grown) <= 2.01
    assert 0.5 < np.mean(np.array(grown) > 1.001) < 0.7


@pytest.mark.parametrize(
    ("box", "kept", "reason"),
    [
        ([5, 5, 15, 10], [5, 5, 15, 10], "inside"),
        ([-4, 0, 6, 10], [0, 0, 6, 10], "60 % visible"),
        ([-6, 0, 4, 10], [0, 0, 4, 10], "exactly 40 %"),
        ([-6.1, 0, 3.9, 10], None, "just below 40 %"),
        ([-10, 0, 0, 10], None, "touches the frame from outside"),
        ([50, 50, 60, 60], None, "far outside"),
        ([-100, -100, 200, 200], None, "around the frame: hardly any of it visible"),
        ([0, 0, 40, 20], [0, 0, 40, 20], "the frame itself"),
        ([5, 5, 5.9, 10], None, "narrower than a pixel"),
        ([5, 5, 6, 6], [5, 5, 6, 6], "one pixel"),
        ([5, 5, 5, 5], None, "a point"),
        ([8, 5, 4, 10], None, "sides out of order"),
        ([float("nan"), 0, 5, 5], None, "not a number"),
    ],
)
def test_keep_visible(box: list[float], kept: list[float] | None, reason: str) -> None:
    boxes, mask = keep_visible(np.array([box], np.float32), (20, 40))
    assert mask.tolist() == [kept is not None], reason
    assert boxes.tolist() == ([] if kept is None else [kept]), reason
    assert boxes.dtype == np.float32


def test_keep_visible_of_no_boxes() -> None:
    boxes, mask = keep_visible(NONE, (20, 40))
    assert (boxes.shape, mask.shape) == ((0, 4), (0,))


SIDE = st.floats(-50, 90, width=32)


@given(st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE), max_size=8))
def test_what_is_kept_is_fit_to_train_on(rows: list[tuple[float, ...]]) -> None:
    boxes, mask = keep_visible(np.array(rows, np.float32).reshape(-1, 4), (20, 40))
    assert mask.sum() == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [40, 20]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    again, all_kept = keep_visible(boxes, (20, 40))
    assert all_kept.all()
    np.testing.assert_array_equal(again, boxes)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_mirrors(preset: str) -> None:
    """A mirrored digit is another sign: what is bright at the right and below stays there."""
    ramp = np.linspace(20, 120, 60)[None, :] + np.linspace(0, 100, 40)[:, None]  # [40, 60]
    image = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
    for key in range(200):
        seen, _ = augment(transform(preset), image, NONE, (0, 0, key))
        brightness = seen.mean(axis=2)
        left, right = np.array_split(brightness.mean(axis=0), 2)
        top, bottom = np.array_split(brightness.mean(axis=1), 2)
        assert left.mean() < right.mean(), f"mirrored left to right with key {key}"
        assert top.mean() < bottom.mean(), f"mirrored upside down with key {key}"
