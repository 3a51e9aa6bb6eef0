"""Characters: the shape of each, and how a number's stand: in a line, stacked, on an arc, unevenly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw

from digitspot.synth.typefaces import Typeface, font_of_height
from digitspot.types import DoubleArray, ImageArray

EM = 128
"""Height of a digit in the pixels of its mask; a box is exact to 1/128 of the digit's height."""

_STENCILLED = "02345689"
"""Digits whose counter or bend a stencil has to hold with a bridge."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A character, in units of 1/128 of a digit's height; y runs down from the top of the digits.

    Attributes:
        mask: "L", how much of each pixel is ink.
        left: Where the mask's left edge is, from the pen.
        top: Where its top edge is.
        advance: How far the pen moves on.
        outline: float64 `[K, 2]`, x and y of the ink's outermost points in every row.
    """

    mask: Image.Image
    left: float
    top: float
    advance: float
    outline: DoubleArray


class Face(Protocol):
    """Anything that characters can be set in."""

    def shape(self, character: str) -> Shape:
        """Return a character's shape."""
        ...


def make_shape(mask: Image.Image, left: float, top: float, advance: float) -> Shape:
    """Measure the outline of a mask; the other arguments are those of `Shape`."""
    return Shape(mask, left, top, advance, _outline(np.asarray(mask)) + np.array([left, top]))


def _outline(mask: ImageArray) -> DoubleArray:
    """Return the corners of the first and the last inked pixel of every row, `[4 * rows, 2]`."""
    inside = mask >= 128
    rows = np.flatnonzero(inside.any(axis=1))
    first = inside[rows].argmax(axis=1)
    last = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    x, y = np.concatenate([first, last, first, last]), np.concatenate([rows, rows, rows + 1, rows + 1])
    return np.stack([x, y], axis=1).astype(np.float64)


@dataclass(frozen=True)
class FontFace:
    """A typeface from a file; `bold` thickens every stroke by so many 1/128 of the height."""

    typeface: Typeface
    bold: int = 0

    def shape(self, character: str) -> Shape:
        """Return a character's shape."""
        return _font_shape(self.typeface, self.bold, character)


@lru_cache(maxsize=2048)
def _font_shape(typeface: Typeface, bold: int, character: str) -> Shape:
    font = font_of_height(typeface, EM)
    left, top, right, bottom = font.getbbox(character, anchor="ls", stroke_width=bold)
    left, top = int(left) - 2, int(top) - 2
    mask = Image.new("L", (max(1, int(right) - left + 2), max(1, int(bottom) - top + 2)))
    ImageDraw.Draw(mask).text((-left, -top), character, 255, font, anchor="ls", stroke_width=bold)
    return make_shape(mask, left, EM + top, font.getlength(character) + bold)


@dataclass(frozen=True)
class Stencil:
    """Another face cut for a stencil: bridges cross the counters.

    Attributes:
        face: What is cut.
        bridge: Width of a bridge, as a fraction of a digit's height.
    """

    face: Face
    bridge: float

    def shape(self, character: str) -> Shape:
        """Return a character's shape."""
        whole = self.face.shape(character)
        if character not in _STENCILLED:
            return whole
        width, height = whole.mask.size
        middle, half = width * (0.42 if character == "4" else 0.5), EM * self.bridge / 2
        cut = Image.new("L", whole.mask.size, 255)
        ImageDraw.Draw(cut).rectangle((middle - half, 0, middle + half, height), fill=0)
        return make_shape(ImageChops.multiply(whole.mask, cut), whole.left, whole.top, whole.advance)


@dataclass(frozen=True)
class PlainOne:
    """Another face whose 1 is a plain bar, as on many odometers and doors.

    Attributes:
        face: The other digits.
        width: Of the bar, as a fraction of a digit's height.
    """

    face: Face
    width: float

    def shape(self, character: str) -> Shape:
        """Return a character's shape."""
        if character != "1":
            return self.face.shape(character)
        width = max(4, round(EM * self.width))
        mask = Image.new("L", (width + 4, EM + 4))
        ImageDraw.Draw(mask).rectangle((2, 2, width + 1, EM + 1), fill=255)
        return make_shape(mask, 0.1 * EM, -2, width + 0.25 * EM)


@dataclass(frozen=True, kw_only=True, eq=False)
class Glyph:
    """A character and where it stands. The scene's unit is the height of the number's digits.

    Attributes:
        character: What it shows.
        shape: In 1/128 of the digit's height.
        transform: float64 `[2, 3]`, maps the shape's x, y, 1 to the scene.
        number: Which number of the image it belongs to.
        is_labelled: Whether it is a digit that the labels name, and not a part of the surroundings.
    """

    character: str
    shape: Shape
    transform: DoubleArray
    number: int = 0
    is_labelled: bool = True

    @property
    def outline(self) -> DoubleArray:
        """The ink's outermost points in the scene, `[K, 2]`."""
        return np.asarray(self.shape.outline @ self.transform[:, :2].T + self.transform[:, 2])


def set_line(face: Face, text: str, *, squeeze: float = 1.0, tracking: float = 0.0) -> list[Glyph]:
    """Set a line of text, centred on the origin.

    Args:
        face: The letterforms.
        text: What the face has.
        squeeze: Width over the face's own.
        tracking: Additional space between characters, in the unit.
    """
    glyphs, pen = [], 0.0
    for character in text:
        shape = face.shape(character)
        transform = np.array([[squeeze / EM, 0, pen], [0, 1 / EM, -0.5]])
        glyphs.append(Glyph(character=character, shape=shape, transform=transform))
        pen += shape.advance * squeeze / EM + tracking
    return centred(glyphs)


def set_stack(face: Face, text: str, *, squeeze: float = 1.0, leading: float = 1.25) -> list[Glyph]:
    """Set one character below the other, each upright, centred on the origin."""
    glyphs = []
    for row, character in enumerate(text):
        glyphs += [moved(glyph, dy=row * leading) for glyph in set_line(face, character, squeeze=squeeze)]
    return centred(glyphs)


def bent(glyphs: Sequence[Glyph], radius: float) -> list[Glyph]:
    """Lay a line on an arc: with a positive radius the middle is highest."""
    result = []
    for glyph in glyphs:
        xs = glyph.outline[:, 0]
        middle = float(xs.min() + xs.max()) / 2
        result.append(turned(moved(glyph, dx=-middle), middle / radius, (0.0, radius)))
    return result


def uneven(rng: Generator, glyphs: Sequence[Glyph], amount: float) -> list[Glyph]:
    """Shift, turn and scale each character by itself, as nails and hands do; `amount` is about 0 to 1."""
    result = []
    for glyph in glyphs:
        outline = glyph.outline
        centre = (float(outline[:, 0].mean()), float(outline[:, 1].mean()))
        glyph = turned(glyph, rng.normal(0, 0.08) * amount, centre)
        glyph = scaled(glyph, 1 + float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)) * amount, centre)
        result.append(moved(glyph, rng.normal(0, 0.02) * amount, rng.normal(0, 0.1) * amount))
    return result


def moved(glyph: Glyph, dx: float = 0.0, dy: float = 0.0) -> Glyph:
    """Shift a character."""
    transform = glyph.transform.copy()
    transform[:, 2] += (dx, dy)
    return replace(glyph, transform=transform)


def turned(glyph: Glyph, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Glyph:
    """Turn a character clockwise by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return _linear(glyph, np.array([[cos, -sin], [sin, cos]]), about)


def scaled(glyph: Glyph, factor: float, about: tuple[float, float] = (0.0, 0.0)) -> Glyph:
    """Make a character larger."""
    return _linear(glyph, np.eye(2) * factor, about)


def _linear(glyph: Glyph, matrix: DoubleArray, about: tuple[float, float]) -> Glyph:
    transform = matrix @ glyph.transform
    transform[:, 2] += np.array(about) - matrix @ np.array(about)
    return replace(glyph, transform=transform)


def centred(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Shift characters so that the middle of their extent is the origin."""
    left, top, right, bottom = extent(glyphs)
    return [moved(glyph, -(left + right) / 2, -(top + bottom) / 2) for glyph in glyphs]


def extent(glyphs: Sequence[Glyph]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what is there; where nothing is, two digits' worth."""
    if not glyphs:
        return -0.6, -0.5, 0.6, 0.5
    return box_around(np.concatenate([glyph.outline for glyph in glyphs]))


def box_around(points: DoubleArray) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of points `[N, 2]`."""
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom
