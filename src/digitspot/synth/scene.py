"""A scene, the camera before it, how it is framed, and what its labels are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image

from digitspot.boxes import box_areas, clip_boxes
from digitspot.synth.canvas import Box, Canvas, one_of
from digitspot.synth.lettering import Face, FontFace, Glyph, PlainOne, Stencil, box_around
from digitspot.synth.strokes import choose_strokes
from digitspot.synth.typefaces import Typeface
from digitspot.types import DoubleArray, FloatArray, IntArray

Matrix = npt.NDArray[np.float64]
"""A 3 x 3 homography of column vectors x, y, 1."""

_COLUMNS, _ROWS = 24, 6
"""A bent scene is seen in so many parts, each of them straight."""


@dataclass(frozen=True, kw_only=True)
class Bend:
    """How far points of the scene are lowered, by their x: a tin, a pipe, the folds of cloth.

    Attributes:
        sag: Of the unit, at a distance of one from the middle; it grows with the square.
        folds: (height, waves to the unit, phase) of each fold.
    """

    sag: float = 0.0
    folds: tuple[tuple[float, float, float], ...] = ()

    def at(self, xs: DoubleArray) -> DoubleArray:
        """Return how far points at `xs` are lowered."""
        waves = [height * np.sin(frequency * xs + phase) for height, frequency, phase in self.folds]
        return np.asarray(self.sag * xs**2 + sum(waves), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Viewpoint:
    """How a flat or bent scene appears in the image.

    Attributes:
        to_scene: Maps pixels of the image to the scene, whose unit is a digit's height.
        size_hw: (height, width) of the image.
        bend: What the scene is bent by.
    """

    to_scene: Matrix
    size_hw: tuple[int, int]
    bend: Bend = Bend()

    def look(self, points: DoubleArray) -> DoubleArray:
        """Return where points of the scene, `[N, 2]`, are in the image, `[N, 2]`."""
        flat = points.copy()
        flat[:, 1] -= self.bend.at(points[:, 0])
        return _apply(np.asarray(np.linalg.inv(self.to_scene), np.float64), flat)

    def find(self, points: DoubleArray) -> DoubleArray:
        """Return what points of the scene, `[N, 2]`, are seen at pixels `[N, 2]`: undoes `look`."""
        flat = _apply(self.to_scene, points)
        flat[:, 1] += self.bend.at(flat[:, 0])
        return flat

    def visible(self) -> Box:
        """Return the part of the scene that the image shows, with a little around."""
        height, width = self.size_hw
        xs, ys = np.meshgrid(np.linspace(0, width, 13), np.linspace(0, height, 5))
        left, top, right, bottom = box_around(self.find(np.stack([xs.ravel(), ys.ravel()], axis=1)))
        spare = 0.03 * (bottom - top) + 0.05
        return left - spare, top - spare, right + spare, bottom + spare

    def framed(self, box: Box) -> Viewpoint:
        """Return the same view of another part: `box` in this image's pixels, which may lie outside."""
        left, top, right, bottom = box
        moved = self.to_scene @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
        return replace(self, to_scene=moved, size_hw=(round(bottom - top), round(right - left)))

    def image(self, canvas: Canvas, oversample: int = 2) -> Image.Image:
        """Return the image of a canvas, RGB, averaged over `oversample` squared rays to the pixel."""
        layer = Image.fromarray(np.clip(canvas.pixels, 0, 255).astype(np.uint8))
        return self.see(layer, canvas, oversample).reduce(oversample)

    def see(self, layer: Image.Image, canvas: Canvas, oversample: int) -> Image.Image:
        """Return a layer of a canvas as it is seen, `oversample` times as large as the image."""
        height, width = self.size_hw
        size = (width * oversample, height * oversample)
        if self.bend == Bend():
            moved = canvas.from_scene @ self.to_scene @ np.diag([1 / oversample, 1 / oversample, 1.0])
            coefficients = (moved / moved[2, 2]).ravel()[:8].tolist()
            method = Image.Transform.PERSPECTIVE
            return layer.transform(size, method, coefficients, Image.Resampling.BILINEAR)
        mesh = []
        for left, right in _cuts(size[0], _COLUMNS):
            for top, bottom in _cuts(size[1], _ROWS):
                corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
                found = self.find(np.array(corners, np.float64) / oversample)
                quad = _apply(canvas.from_scene, found).ravel().tolist()
                mesh.append(((left, top, right, bottom), tuple(quad)))
        return layer.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _cuts(length: int, num: int) -> Iterator[tuple[int, int]]:
    """Cut a length into `num` parts of whole pixels, as far as there are as many."""
    edges = np.linspace(0, length, min(num, length) + 1).round().astype(int).tolist()
    return itertools.pairwise(edges)


def choose_viewpoint(
    rng: Generator, pixels: float, *, tilt: float = 1.0, bend: Bend | None = None
) -> Viewpoint:
    """Stand somewhere before the scene, most often nearly in front.

    Args:
        rng: Chooses rotation, shear and perspective.
        pixels: To the unit of the scene.
        tilt: How much of all of them; 0 is straight from the front.
        bend: Of the scene.

    Returns:
        A view that shows the scene's origin at pixel (0, 0), with a frame still to be chosen.
    """
    spread = 0.045 if rng.random() < 0.85 else 0.16
    angle = float(np.clip(rng.normal(0, spread), -0.35, 0.35)) * tilt
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    shear_x, shear_y = rng.normal(0, 0.04) * tilt, rng.normal(0, 0.05) * tilt
    shape = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
    lean = np.clip(rng.normal(0, (0.018, 0.014)), -0.035, 0.035) * tilt
    perspective = np.array([[1, 0, 0], [0, 1, 0], [lean[0], lean[1], 1]])
    to_scene = rotation @ shape @ perspective @ np.diag([1 / pixels, 1 / pixels, 1.0])
    return Viewpoint(to_scene=to_scene, size_hw=(1, 1), bend=bend or Bend())


def _apply(matrix: Matrix, points: DoubleArray) -> DoubleArray:
    """Map points `[N, 2]` by a homography."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)


LOOSE_MARGINS = (0.068, 0.098, 0.055, 0.071)
"""Left, top, right and bottom of the ink to an SVHN box, in heights of the ink: medians of 1,639 digits.

What a detector trained on generated images found in `valid` against the boxes there
(benchmarks/results/generated.md).
"""
MIN_SHOWN = 0.6
"""Of a digit's box; one of which the image shows less is not labelled."""
_CANVAS_PIXELS = 160_000
"""About as many pixels has the largest canvas: large images are drawn with fewer to one of theirs."""


_MOST_AROUND, _MOST_PIXELS = 10.0, 400.0
"""An image shows at most so many digit heights or pixels above and below its text together."""
_MOST_SEEN = 4.0
"""A view shows at most so many times the area that it would show straight from the front."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How large digits are and how much of the surroundings an image shows.

    Attributes:
        digit_height: Median in pixels.
        height_spread: Deviation of its logarithm.
        around: Median of the image's height over the number's, less 1.1.
        around_spread: Deviation of its logarithm.
        aspect: Median of the image's width over its height.
        tight: Share of images that show hardly more than the number, as a region does that somebody gives.
    """

    digit_height: float
    height_spread: float = 0.44
    around: float = 0.6
    around_spread: float = 1.0
    aspect: float = 2.3
    tight: float = 0.12


CLOSE = Framing(digit_height=25.5, around=0.6, aspect=2.25)
"""SVHN's training images: boxes of 29 px in 47 of height, whose ink is about 25 px high."""
WIDE = Framing(digit_height=21.5, around=1.25, around_spread=0.9, aspect=2.38)
"""SVHN's test images show more around the number: boxes of 24 px in 53 of height."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What an image is taken of.

    Attributes:
        canvas: The scene in colours.
        view: How it is seen.
        glyphs: The characters in it, labelled ones in the order of their numbers.
        digit_height: In pixels of the image, as drawn.
    """

    canvas: Canvas
    view: Viewpoint
    glyphs: tuple[Glyph, ...]
    digit_height: float

    @cached_property
    def labelled(self) -> list[Glyph]:
        """The digits that the labels name: those that the image shows most of."""
        digits = [glyph for glyph in self.glyphs if glyph.is_labelled]
        boxes = self._boxes_of(digits)
        shown = box_areas(clip_boxes(boxes, self.view.size_hw)) >= MIN_SHOWN * box_areas(boxes)
        return [glyph for glyph, is_shown in zip(digits, shown, strict=True) if is_shown]

    @property
    def boxes(self) -> FloatArray:
        """The tight box of each labelled digit's ink, float32 `[N, 4]`, in pixels of the image."""
        return clip_boxes(self._boxes_of(self.labelled), self.view.size_hw)

    def _boxes_of(self, glyphs: Sequence[Glyph]) -> FloatArray:
        boxes = [box_around(self.view.look(glyph.outline)) for glyph in glyphs]
        return np.array(boxes, np.float32).reshape(-1, 4)

    @property
    def loose_boxes(self) -> FloatArray:
        """Boxes as people drew SVHN's: larger than the ink, and all of a number of one height, `[N, 4]`."""
        boxes = self._boxes_of(self.labelled)
        for number in set(self.numbers.tolist()):
            boxes[self.numbers == number] = _loosened(boxes[self.numbers == number])
        return clip_boxes(boxes, self.view.size_hw)

    @property
    def numbers(self) -> IntArray:
        """Which number each labelled digit is of, int64 `[N]`; 0 is the one to read, others stand near it."""
        return np.array([glyph.number for glyph in self.labelled], np.int64)

    @property
    def labels(self) -> IntArray:
        """Digit + 1 of each, int64 `[N]`."""
        return np.array([int(glyph.character) + 1 for glyph in self.labelled], np.int64)


def _loosened(boxes: FloatArray) -> FloatArray:
    """Grow the boxes of one number, `[N, 4]`."""
    heights = boxes[:, 3] - boxes[:, 1]
    tall = float(heights.max())
    spare = (tall - heights) / 2
    left, top, right, bottom = (margin * tall for margin in LOOSE_MARGINS)
    grown = [boxes[:, 0] - left, boxes[:, 1] - top - spare, boxes[:, 2] + right, boxes[:, 3] + bottom + spare]
    return np.stack(grown, axis=1).astype(np.float32)


def choose_pixels(rng: Generator, framing: Framing) -> float:
    """Choose how many pixels high a digit is."""
    height = framing.digit_height * math.exp(rng.normal(0, framing.height_spread))
    return float(np.clip(height, 11, 130))


def stage(
    rng: Generator,
    framing: Framing,
    pixels: float,
    points: DoubleArray,
    *,
    tilt: float,
    bend: Bend | None = None,
) -> tuple[Viewpoint, Canvas]:
    """Choose a view that holds points of the scene, `[N, 2]`, and return it with an empty canvas.

    The canvas is finer than the image if affordable. The arguments are those of `choose_viewpoint` and
    `frame`.
    """
    while True:
        view = frame(rng, choose_viewpoint(rng, pixels, tilt=tilt, bend=bend), points, framing)
        left, top, right, bottom = view.visible()
        area = (right - left) * (bottom - top)
        if area * pixels**2 < _MOST_SEEN * view.size_hw[0] * view.size_hw[1]:
            break
        tilt /= 2  # a wide scene seen from the side reaches to the horizon
    scale = min(3 * pixels, max(pixels, math.sqrt(_CANVAS_PIXELS / area)))
    angle = rng.uniform(0.15, 0.85) * math.pi  # light comes from above
    light = (math.cos(angle), -math.sin(angle))
    return view, Canvas((left, top), (right - left, bottom - top), scale, light)


def frame(rng: Generator, view: Viewpoint, points: DoubleArray, framing: Framing) -> Viewpoint:
    """Choose what the image shows so that points of the scene, `[N, 2]`, are inside.

    The number is near the middle, as in SVHN.
    """
    left, top, right, bottom = box_around(view.look(points))
    wide, tall = right - left, bottom - top
    if framing.tight and rng.random() < framing.tight:
        x, y = rng.uniform(-0.12, 0.25, 2) * tall
        width, height = wide + x + rng.uniform(-0.12, 0.25) * tall, tall * rng.uniform(0.95, 1.3) + y
        return view.framed((left - x, top - y, left - x + max(8.0, width), top - y + max(8.0, height)))
    more = math.exp(math.log(framing.around) + rng.normal(0, framing.around_spread))
    most = min(_MOST_AROUND / float(np.ptp(points[:, 1])), _MOST_PIXELS / tall)
    height = tall * (1.1 + min(more, 7.0, most))
    width = max(height * framing.aspect * math.exp(rng.normal(0, 0.15)), wide + 0.25 * tall)
    fraction_x, fraction_y = np.clip(rng.normal(0.5, (0.07, 0.08)), 0.1, 0.9).tolist()
    x, y = left - fraction_x * (width - wide), top - fraction_y * (height - tall)
    return view.framed((x, y, x + max(8.0, width), y + max(8.0, height)))


def choose_face(
    rng: Generator, typefaces: Sequence[Typeface], drawn: float = 0.45, plain_ones: float = 0.12
) -> Face:
    """Choose letterforms for digits: drawn by pen with probability `drawn`, else from every family alike.

    With probability `plain_ones` the 1 is a bar.
    """
    if rng.random() < drawn:
        face: Face = choose_strokes(rng)
    else:
        face = choose_font(rng, typefaces)
    if rng.random() < plain_ones:
        face = PlainOne(face, rng.uniform(0.08, 0.2))
    return Stencil(face, rng.uniform(0.05, 0.09)) if rng.random() < 0.03 else face


def choose_font(rng: Generator, typefaces: Sequence[Typeface]) -> FontFace:
    """Choose one of the typefaces, every family as often as any other."""
    families = sorted({typeface.family for typeface in typefaces})
    family = one_of(rng, families)
    members = [typeface for typeface in typefaces if typeface.family == family]
    return FontFace(one_of(rng, members), int(rng.choice([0, 0, 0, 2, 4])))


def numbered(glyphs: Sequence[Glyph], number: int) -> list[Glyph]:
    """Say which number of the image characters belong to."""
    return [replace(glyph, number=number) for glyph in glyphs]
