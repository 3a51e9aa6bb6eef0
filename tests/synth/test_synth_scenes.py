"""Generated scenes: boxes true to the ink, sizes as in SVHN, each domain as it says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from digitspot.synth import lettering
from digitspot.synth.displays import DISPLAY_FRAMING, draw_display
from digitspot.synth.generate import DOMAINS, make_image, subject_of
from digitspot.synth.houses import choose_number, draw_house
from digitspot.synth.lettering import FontFace
from digitspot.synth.meters import METER_FRAMING, draw_meter
from digitspot.synth.scene import CLOSE, WIDE, Bend, Framing, Scene, choose_viewpoint
from digitspot.synth.typefaces import TRAIN_TYPEFACES
from digitspot.types import FloatArray

_RAYS = 4
"""To a pixel, along x and y, of the images that ink is looked for in."""


def scene_of(domain: str, seed: int) -> Scene:
    kind = DOMAINS[domain]
    return kind.draw(np.random.default_rng(seed), TRAIN_TYPEFACES, kind.framings[-1])


def ink_seen(scene: Scene, index: int) -> FloatArray:
    """Return how much of each ray meets one labelled digit, `[_RAYS * H, _RAYS * W]`."""
    flat = scene.canvas.ink([scene.labelled[index]])
    layer = Image.fromarray((flat * 255).astype(np.uint8))
    return np.asarray(scene.view.see(layer, scene.canvas, _RAYS), np.float32) / 255


@pytest.mark.parametrize("domain", sorted({*DOMAINS} - {"empty"}))
def test_ink_fills_its_box(domain: str) -> None:
    """Rendered another way than boxes are measured: at most a pixel, or a pixel of the canvas, apart."""
    num = 0
    for seed in range(7):
        scene = scene_of(domain, seed)
        for index, box in enumerate(scene.boxes):
            rows, columns = np.nonzero(ink_seen(scene, index) >= 0.5)
            drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / _RAYS
            coarse = scene.digit_height / scene.canvas.scale
            np.testing.assert_allclose(box, drawn, atol=max(1.0, 1.5 * coarse))
            num += 1
    assert num > 7


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_boxes_stay_in_the_image_and_say_what_is_there(domain: str) -> None:
    for index in range(10):
        image = make_image(1, "train", index, subject_of("train", domain))
        height, width = image.image.shape[:2]
        assert image.image.dtype == np.uint8
        assert len(image.boxes) == len(image.labels)
        assert set(image.labels) <= set(range(1, 11))
        assert (image.boxes[:, :2] >= -0.01).all()
        assert (image.boxes[:, 2:] <= np.array([width, height]) + 0.01).all()
        assert (image.boxes[:, 2:] - image.boxes[:, :2] > 1).all()


def test_ink_stands_out_of_its_ground() -> None:
    """Before the camera: what is a digit's ink differs from what is around it, in nearly every image."""
    told = []
    for seed in range(40):
        scene = scene_of("houses", seed)
        if not scene.labelled:
            continue
        ink = scene.canvas.ink(scene.labelled)
        near = scene.canvas.softened(ink, 0.12)
        around = (near > 0.05) & (ink == 0)
        inside, outside = scene.canvas.pixels[ink > 0.95], scene.canvas.pixels[around]
        told.append(np.abs(inside.mean(axis=0) - outside.mean(axis=0)).max())
    assert np.mean(np.array(told) > 15) > 0.9


@pytest.mark.parametrize(
    ("framing", "expected"), [(CLOSE, (104, 47, 29)), (WIDE, (132, 53, 24))], ids=["train", "test"]
)
def test_sizes_are_like_svhn(framing: Framing, expected: tuple[int, int, int]) -> None:
    """SVHN's medians of width, height and box height."""
    scenes = [draw_house(np.random.default_rng(seed), TRAIN_TYPEFACES, framing) for seed in range(90)]
    boxes = np.concatenate([scene.loose_boxes for scene in scenes])
    sizes = [scene.view.size_hw[::-1] for scene in scenes]
    medians = (*np.median(sizes, axis=0), np.median(boxes[:, 3] - boxes[:, 1]))
    np.testing.assert_allclose(medians, expected, rtol=0.25)


def test_numbers_have_all_lengths_digits_zeros_and_none() -> None:
    numbers = [choose_number(np.random.default_rng(seed), 0.04) for seed in range(4000)]
    real = [number for number in numbers if number is not None]
    assert 0.02 < 1 - len(real) / len(numbers) < 0.06
    lengths = Counter(map(len, real))
    assert set(lengths) == {1, 2, 3, 4, 5}
    assert lengths[2] > lengths[3] > lengths[1] > lengths[4] > lengths[5]  # as in SVHN
    digits = Counter("".join(real))
    assert len(digits) == 10
    assert 2 < digits["1"] / digits["9"] < 4  # three times as common in SVHN
    assert any(number[0] == "0" for number in real if len(number) > 1)


def test_loose_boxes_hold_the_ink_and_share_a_height() -> None:
    for seed in range(20):
        scene = scene_of("plates", seed)
        inside, outside = scene.boxes, scene.loose_boxes
        height = scene.view.size_hw[0]
        assert (outside[:, :2] <= inside[:, :2] + 1e-3).all()
        assert (outside[:, 2:] >= inside[:, 2:] - 1e-3).all()
        free = (outside[:, 1] > 0) & (outside[:, 3] < height)
        heights = (outside[:, 3] - outside[:, 1])[free]
        assert np.ptp(heights) < 0.01 if len(heights) else True


def test_wheels_of_meters_turn() -> None:
    """Some show the next digit too, which is not labelled, and a digit's box ends where the window does."""
    turning = 0
    for seed in range(30):
        scene = draw_meter(np.random.default_rng(seed), TRAIN_TYPEFACES, METER_FRAMING)
        wheels = [glyph for glyph in scene.glyphs if glyph.number == 0 and glyph.is_labelled]
        assert 4 <= len(wheels) <= 8
        tops = [glyph.outline[:, 1].min() for glyph in wheels]
        bottoms = [glyph.outline[:, 1].max() for glyph in wheels]
        assert max(bottoms) - min(tops) <= 1.75
        heights = np.subtract(bottoms, tops)
        turning += heights.min() < 0.9 * heights.max()
    assert turning > 3


def test_displays_show_one_or_two_numbers_in_one_or_two_rows() -> None:
    rows = Counter()
    for seed in range(40):
        scene = draw_display(np.random.default_rng(seed), TRAIN_TYPEFACES, DISPLAY_FRAMING)
        numbers = {glyph.number for glyph in scene.labelled}
        middles = {round(float(glyph.transform[1, 2]), 2) for glyph in scene.labelled}
        rows[len(numbers), len(middles)] += 1
    assert {(1, 1), (2, 2), (2, 1)} <= set(rows)


def test_layouts() -> None:
    face = FontFace(TRAIN_TYPEFACES[0])
    line, stack = lettering.set_line(face, "123"), lettering.set_stack(face, "123")
    line_boxes = np.array([lettering.extent([glyph]) for glyph in line])
    stack_boxes = np.array([lettering.extent([glyph]) for glyph in stack])
    assert (line_boxes[1:, 0] > line_boxes[:-1, 2] - 0.05).all()
    assert (stack_boxes[1:, 1] > stack_boxes[:-1, 3]).all()
    assert np.ptp(line_boxes[:, 3] - line_boxes[:, 1]) < 0.05
    arc = np.array([lettering.extent([glyph]) for glyph in lettering.bent(line, 3.0)])
    assert arc[1, 1] < min(arc[0, 1], arc[2, 1]), "the middle of an arc is highest"


@given(st.integers(0, 10_000), st.floats(-0.1, 0.1), st.floats(0, 0.1))
def test_looking_undoes_finding(seed: int, sag: float, fold: float) -> None:
    bend = Bend(sag=sag, folds=((fold, 2.0, 0.3),))
    view = choose_viewpoint(np.random.default_rng(seed), 30.0, tilt=1.5, bend=bend)
    view = view.framed((-70, -30, 70, 30))
    pixels = np.random.default_rng(seed).uniform((0, 0), (140, 60), (20, 2))
    np.testing.assert_allclose(view.look(view.find(pixels)), pixels, atol=1e-6)
