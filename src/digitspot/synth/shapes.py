"""The shape of one character: a mask to paint with and the outline that its box is measured from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
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
        bridge: Width of a bridge, as a share of a digit's height.
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
