"""Where every character of a number stands: in a line, stacked, in rows, on an arc, unevenly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitspot.synth.shapes import EM, Face, Shape
from digitspot.types import DoubleArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Glyph:
    """A character in its place. The scene's unit is the height of the number's digits.

    Attributes:
        character: What it shows.
        shape: In 1/128 of the digit's height.
        place: float64 `[2, 3]`, maps the shape's x, y, 1 to the scene.
        number: Which number of the image it belongs to.
        is_labelled: Whether it is a digit that the labels name, and not a part of the surroundings.
    """

    character: str
    shape: Shape
    place: DoubleArray
    number: int = 0
    is_labelled: bool = True

    @property
    def outline(self) -> DoubleArray:
        """The ink's outermost points in the scene, `[K, 2]`."""
        return np.asarray(self.shape.outline @ self.place[:, :2].T + self.place[:, 2])


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
        place = np.array([[squeeze / EM, 0, pen], [0, 1 / EM, -0.5]])
        glyphs.append(Glyph(character=character, shape=shape, place=place))
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

    def on_arc(glyph: Glyph) -> Glyph:
        outline = glyph.outline
        middle = float(outline[:, 0].min() + outline[:, 0].max()) / 2
        angle = middle / radius
        return turned(moved(glyph, dx=-middle), angle, (0.0, radius))

    return [on_arc(glyph) for glyph in glyphs]


def uneven(rng: np.random.Generator, glyphs: Sequence[Glyph], amount: float) -> list[Glyph]:
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
    place = glyph.place.copy()
    place[:, 2] += (dx, dy)
    return replace(glyph, place=place)


def turned(glyph: Glyph, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Glyph:
    """Turn a character clockwise by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return _linear(glyph, np.array([[cos, -sin], [sin, cos]]), about)


def scaled(glyph: Glyph, factor: float, about: tuple[float, float] = (0.0, 0.0)) -> Glyph:
    """Make a character larger."""
    return _linear(glyph, np.eye(2) * factor, about)


def _linear(glyph: Glyph, matrix: DoubleArray, about: tuple[float, float]) -> Glyph:
    place = matrix @ glyph.place
    place[:, 2] += np.array(about) - matrix @ np.array(about)
    return replace(glyph, place=place)


def centred(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Shift characters so that the middle of their extent is the origin."""
    left, top, right, bottom = extent(glyphs)
    return [moved(glyph, -(left + right) / 2, -(top + bottom) / 2) for glyph in glyphs]


def extent(glyphs: Sequence[Glyph]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what is there; where nothing is, two digits' worth."""
    if not glyphs:
        return -0.6, -0.5, 0.6, 0.5
    points = np.concatenate([glyph.outline for glyph in glyphs])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom
