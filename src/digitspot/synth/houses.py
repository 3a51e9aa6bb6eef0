"""House numbers: sizes, lengths and framing as in SVHN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from digitspot.synth import lettering
from digitspot.synth.canvas import Box, Canvas, Field, contrasting, corners_of, luma, one_of
from digitspot.synth.lettering import Face, FontFace, Glyph, extent, moved, scaled, set_line
from digitspot.synth.plates import (
    INK_COLOURS,
    MOUNTINGS,
    OUTLINE_PROBABILITIES,
    OUTLINES,
    choose_colours,
    hang_plate,
    hang_tiles,
    plate_around,
)
from digitspot.synth.scene import (
    Bend,
    Framing,
    Scene,
    choose_face,
    choose_font,
    choose_pixels,
    numbered,
    stage,
)
from digitspot.synth.scenery import furnish, write_word
from digitspot.synth.surfaces import draw_wall
from digitspot.synth.typefaces import Typeface

LENGTH_PROBABILITIES = (0.15, 0.56, 0.24, 0.045, 0.005)
"""How often a number has 1 to 5 digits; between SVHN's train and test."""
LEADING_ZERO_SHARE = 0.01
"""Of numbers with two digits or more. Rare in SVHN (9 of 13,068), but a number is a string."""

LETTERS = ("A", "B", "C", "D", "E", "F", "H", "K", "R", "T", "BIS", "TER")
"""What follows a number now and then, in the same letterforms; the labels do not name it."""
LETTER_SHARE = 0.09
"""Of numbers set in type; a pen draws no letters."""

LAYOUTS = ("line", "steps", "arc", "stack", "upright", "rows", "several")
LAYOUT_PROBABILITIES = (0.91, 0.04, 0.02, 0.01, 0.005, 0.005, 0.01)


@dataclass(frozen=True, kw_only=True)
class Style:
    """How varied house numbers are.

    Attributes:
        without_number: Share of images with a word, or with nothing.
        drawn: Share of numbers drawn by pen instead of set in type.
        squeeze: Median width of a digit over the typeface's own.
        plated: Share of numbers on a plate.
        unusual: Scale of how often a number is not simply in a line, or a letter follows it.
        furnished: Share of images with something around the number.
        tilt: Of the camera.
        contrast: Least and most that digits without a plate stand out, of 255.
    """

    without_number: float = 0.04
    drawn: float = 0.45
    squeeze: float = 0.76
    plated: float = 0.58
    unusual: float = 1.0
    furnished: float = 1.0
    tilt: float = 1.0
    contrast: tuple[float, float] = (40.0, 95.0)


STREETS = Style()
PLATES = Style(
    drawn=0.0, squeeze=0.95, plated=0.75, unusual=0.0, furnished=0.25, tilt=0.5, contrast=(80.0, 110.0)
)
"""Numbers in type, in a line, mostly on plates: learnt in minutes, for trying things out."""


EMPTY = Style(without_number=1.0)
"""Walls and what hangs on them, for a network to learn that these are no digits."""


def draw_house(
    rng: Generator, typefaces: Sequence[Typeface], framing: Framing, style: Style = STREETS
) -> Scene:
    """Draw a house number, or in a few images a word or nothing."""
    number = choose_number(rng, style.without_number)
    face = choose_face(rng, typefaces, style.drawn)
    glyphs = [] if number is None else _arrange(rng, face, number, style)
    if glyphs and isinstance(face, FontFace) and rng.random() < LETTER_SHARE * style.unusual:
        glyphs = _with_letter(rng, face, glyphs)
    pixels = choose_pixels(rng, framing)
    # one wall in twenty is round: a post, a bin, a pillar
    bend = Bend(sag=rng.normal(0, 0.03)) if rng.random() < 0.05 * style.unusual else None
    points = np.concatenate([glyph.outline for glyph in glyphs] or [corners_of(extent(glyphs))])
    view, canvas = stage(rng, framing, pixels, points, tilt=style.tilt, bend=bend)
    canvas.pixels[:] = draw_wall(rng, canvas.size_hw, canvas.scale)
    plated = rng.random() < style.plated
    shape = OUTLINES[int(rng.choice(len(OUTLINES), p=OUTLINE_PROBABILITIES))]
    keep = plate_around(rng, glyphs, shape) if plated else extent(glyphs)
    if rng.random() < style.furnished:
        furnish(rng, canvas, keep, choose_font(rng, typefaces))
    if glyphs:
        _fix(rng, canvas, glyphs, (keep, shape) if plated else None, style)
    elif rng.random() < 0.5:
        write_word(rng, canvas, choose_font(rng, typefaces), size=rng.uniform(0.5, 1))
    return Scene(canvas=canvas, view=view, glyphs=tuple(glyphs), digit_height=pixels)


def choose_number(rng: Generator, without_number: float) -> str | None:
    """Choose a number of one to five digits, or none; low ones are common, as short streets are."""
    if rng.random() < without_number:
        return None
    length = 1 + int(rng.choice(len(LENGTH_PROBABILITIES), p=LENGTH_PROBABILITIES))
    if length > 1 and rng.random() < LEADING_ZERO_SHARE:
        return "0" + "".join(str(digit) for digit in rng.integers(0, 10, length - 1))
    low, high = 10 ** (length - 1), 10**length
    if rng.random() < 0.9:
        return str(min(high - 1, int(low * (high / low) ** rng.random())))
    return str(int(rng.integers(low, high)))


def _arrange(rng: Generator, face: Face, number: str, style: Style) -> list[Glyph]:
    """Set a number: nearly always in a line."""
    layout = "line"
    if rng.random() < style.unusual:
        layout = LAYOUTS[int(rng.choice(len(LAYOUTS), p=LAYOUT_PROBABILITIES))]
    squeeze = float(np.clip(math.exp(rng.normal(math.log(style.squeeze), 0.19)), 0.45, 1.2))
    tracking = float(np.clip(rng.normal(-0.01, 0.05), -0.08, 0.2))
    if rng.random() < 0.12:
        tracking += abs(rng.normal(0, 0.18))
    if layout == "stack":
        return lettering.set_stack(face, number, squeeze=squeeze, leading=rng.uniform(1.1, 1.4))
    if layout in ("rows", "several") and len(number) > 1:
        return _two_numbers(rng, face, number, squeeze, below=layout == "rows")
    line = lettering.set_line(face, number, squeeze=squeeze, tracking=tracking)
    if layout == "upright":
        angle = float(rng.choice([-1, 1])) * math.pi / 2
        return lettering.centred([lettering.turned(glyph, angle) for glyph in line])
    if layout == "arc":
        line = lettering.bent(line, rng.uniform(2.0, 5.0))
    if layout == "steps":
        slope = rng.uniform(0.2, 0.7) * rng.choice([-1, 1])
        line = [moved(glyph, dy=slope * index) for index, glyph in enumerate(line)]
    if rng.random() < 0.4:
        line = lettering.uneven(rng, line, rng.uniform(0.2, 1.0))
    return lettering.centred(line)


def _with_letter(rng: Generator, face: Face, glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Add a letter behind a number, as high or smaller; rarely before it."""
    word = set_line(face, one_of(rng, LETTERS))
    size = float(rng.choice([1.0, rng.uniform(0.4, 0.8)]))
    word = [replace(scaled(glyph, size), is_labelled=False) for glyph in word]
    left, _, right, _ = extent(glyphs)
    gap, half = rng.uniform(0.08, 0.4), extent(word)[2]
    x = left - gap - half if rng.random() < 0.1 else right + gap + half
    y = (1 - size) / 2 * float(rng.choice([-1, 1]))
    return lettering.centred([*glyphs, *(moved(glyph, x, y) for glyph in word)])


def _two_numbers(rng: Generator, face: Face, number: str, squeeze: float, below: bool) -> list[Glyph]:
    """Set two numbers, one below the other or beside it."""
    first = lettering.set_line(face, number, squeeze=squeeze)
    other = str(int(rng.integers(1, 10 ** int(rng.integers(1, 4)))))
    second = lettering.set_line(face, other, squeeze=squeeze)
    if below:
        second = [moved(glyph, dy=rng.uniform(1.2, 1.6)) for glyph in second]
    else:
        gap = rng.uniform(0.6, 1.5)
        second = [moved(glyph, dx=extent(first)[2] - extent(second)[0] + gap) for glyph in second]
    return lettering.centred([*first, *numbered(second, 1)])


def _fix(
    rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], plate: tuple[Box, str] | None, style: Style
) -> None:
    """Fix the digits to a plate, to tiles, or to the wall itself."""
    if plate is None:
        ground = _mean_colour(canvas, glyphs)
        kind = MOUNTINGS[int(rng.choice(4, p=(0.34, 0.55, 0.07, 0.04)))]
        kind(rng, canvas, glyphs, contrasting(rng, INK_COLOURS, ground, rng.uniform(*style.contrast)))
        return
    face, ink = choose_colours(rng)
    if abs(luma(face) - luma(ink)) < 45:
        ink = contrasting(rng, INK_COLOURS, face, 60)
    if rng.random() < 0.08:
        hang_tiles(rng, canvas, glyphs, face)
    else:
        hang_plate(rng, canvas, *plate, face, ink)
    kind = MOUNTINGS[int(rng.choice(4, p=(0.78, 0.1, 0.09, 0.03)))]
    kind(rng, canvas, glyphs, ink)


def _mean_colour(canvas: Canvas, glyphs: Sequence[Glyph]) -> Field:
    """Return the mean colour behind characters, `[3]`."""
    cover = canvas.rectangle(extent(glyphs)) > 0
    return np.asarray(canvas.pixels[cover].mean(axis=0), np.float32)
