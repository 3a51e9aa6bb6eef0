"""A scene ready to be seen, how it is framed, and what its labels are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitspot.boxes import clip_boxes
from digitspot.synth.camera import Viewpoint
from digitspot.synth.canvas import Canvas
from digitspot.synth.lettering import Face, FontFace, Glyph, Stencil
from digitspot.synth.strokes import choose_strokes
from digitspot.synth.typefaces import Typeface
from digitspot.types import DoubleArray, FloatArray, IntArray

LOOSE_MARGINS = (0.068, 0.098, 0.055, 0.071)
"""Left, top, right and bottom of the ink to an SVHN box, in heights of the ink: medians of 1,639 digits.

What a detector trained on generated images found in `valid` against the boxes there (docs/measurements.md).
"""
_CANVAS_PIXELS = 160_000
"""About as many pixels has the largest canvas: large images are drawn with fewer to one of theirs."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How large digits are and how much of the surroundings an image shows.

    Attributes:
        digit_height: Median in pixels.
        height_spread: Deviation of its logarithm.
        around: Median of the image's height over the number's, less 1.1.
        around_spread: Deviation of its logarithm.
        aspect: Median of the image's width over its height.
    """

    digit_height: float
    height_spread: float = 0.44
    around: float = 0.6
    around_spread: float = 1.0
    aspect: float = 2.3


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

    @property
    def labelled(self) -> list[Glyph]:
        """The digits that the labels name."""
        return [glyph for glyph in self.glyphs if glyph.is_labelled]

    @property
    def boxes(self) -> FloatArray:
        """The tight box of each labelled digit's ink, float32 `[N, 4]`, in pixels of the image."""
        boxes = [tight_box(self.view.look(glyph.outline)) for glyph in self.labelled]
        return np.array(boxes, np.float32).reshape(-1, 4)

    @property
    def loose_boxes(self) -> FloatArray:
        """Boxes as people drew SVHN's: larger than the ink, and all of a number of one height, `[N, 4]`."""
        boxes = self.boxes.copy()
        owners = np.array([glyph.number for glyph in self.labelled])
        for number in set(owners.tolist()):
            boxes[owners == number] = _loosened(boxes[owners == number])
        return clip_boxes(boxes, self.view.size_hw)

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


def tight_box(points: DoubleArray) -> tuple[float, float, float, float]:
    """Return the box around points `[N, 2]`."""
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def choose_pixels(rng: np.random.Generator, framing: Framing) -> float:
    """Choose how many pixels high a digit is."""
    height = framing.digit_height * math.exp(rng.normal(0, framing.height_spread))
    return float(np.clip(height, 11, 130))


def frame(rng: np.random.Generator, view: Viewpoint, points: DoubleArray, framing: Framing) -> Viewpoint:
    """Choose what the image shows so that points of the scene, `[N, 2]`, are inside.

    The number is near the middle, as in SVHN.
    """
    left, top, right, bottom = tight_box(view.look(points))
    wide, tall = right - left, bottom - top
    more = math.exp(math.log(framing.around) + rng.normal(0, framing.around_spread))
    height = tall * (1.1 + min(more, 7.0))
    width = max(height * framing.aspect * math.exp(rng.normal(0, 0.15)), wide + 0.25 * tall)
    fraction_x, fraction_y = np.clip(rng.normal(0.5, (0.07, 0.08)), 0.1, 0.9).tolist()
    x, y = left - fraction_x * (width - wide), top - fraction_y * (height - tall)
    return view.framed((x, y, x + max(8.0, width), y + max(8.0, height)))


def canvas_of(rng: np.random.Generator, view: Viewpoint, pixels: float) -> Canvas:
    """Return an empty canvas that holds what a view shows, finer than the image if affordable."""
    left, top, right, bottom = view.visible()
    area = (right - left) * (bottom - top)
    scale = min(3 * pixels, max(pixels, math.sqrt(_CANVAS_PIXELS / area)))
    angle = rng.uniform(0.15, 0.85) * math.pi  # light comes from above
    light = (math.cos(angle), -math.sin(angle))
    return Canvas((left, top), (right - left, bottom - top), scale, light)


def choose_face(rng: np.random.Generator, typefaces: Sequence[Typeface], drawn: float = 0.45) -> Face:
    """Choose letterforms for digits: drawn by pen with probability `drawn`, else from every family alike."""
    if rng.random() < drawn:
        face: Face = choose_strokes(rng)
    else:
        face = choose_font(rng, typefaces)
    return Stencil(face, float(rng.uniform(0.05, 0.09))) if rng.random() < 0.03 else face


def choose_font(rng: np.random.Generator, typefaces: Sequence[Typeface]) -> FontFace:
    """Choose one of the typefaces, every family as often as any other."""
    families = sorted({typeface.family for typeface in typefaces})
    family = families[int(rng.integers(len(families)))]
    members = [typeface for typeface in typefaces if typeface.family == family]
    return FontFace(members[int(rng.integers(len(members)))], int(rng.choice([0, 0, 0, 2, 4])))


def numbered(glyphs: Sequence[Glyph], number: int) -> list[Glyph]:
    """Say which number of the image characters belong to."""
    return [replace(glyph, number=number) for glyph in glyphs]
