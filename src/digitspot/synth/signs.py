"""Signs: number plates of vehicles, rooms, buses, containers, telephone numbers, and text without digits."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from digitspot.synth.canvas import Canvas, contrasting, corners_of, inset, luma, one_of, pick
from digitspot.synth.lettering import Face, Glyph, centred, extent, moved, scaled, set_line
from digitspot.synth.plates import (
    INK_COLOURS,
    MOUNTINGS,
    OUTLINE_PROBABILITIES,
    OUTLINES,
    choose_colours,
    hang_plate,
    plate_around,
)
from digitspot.synth.scene import Framing, Scene, choose_font, choose_pixels, numbered, stage
from digitspot.synth.scenery import WORDS, furnish
from digitspot.synth.surfaces import draw_wall
from digitspot.synth.typefaces import Typeface

SIGN_FRAMING = Framing(digit_height=24, around=0.8, around_spread=0.8, aspect=2.6)

CAPITALS = "".join(sorted(set(string.ascii_uppercase) - set("IOQ")))
SMALL = "".join(sorted(set(string.ascii_lowercase) - set("lo")))
"""Letters that can be told from digits: I, O, Q, l and o are the same shapes in many typefaces."""

VEHICLES = (
    "A000AA", "AA00 AAA", "AA 000 AA", "A 00000", "AAA 000", "AAA-0000", "0AAA000", "000 AAA",
    "AA 00 AA 0000", "00-AA-00", "A000AA00", "AAA0A00", "AA 0000", "00 A 0000", "AA-000-AA", "AA000",
    "0000 AAA", "000-000",
)  # fmt: skip
"""Patterns of number plates: A is a letter, 0 a digit."""
NAMED = (
    "ROOM",
    "BUS",
    "EXIT",
    "GATE",
    "FLAT",
    "TRACK",
    "LANE",
    "LEVEL",
    "RUNNER",
    "HEAT",
    "CAR",
    "UNIT",
    "BAY",
)
BOUNDS = ((25, 25, 27), (236, 236, 234), (228, 196, 40), (30, 60, 130), (180, 40, 40))
"""Colours of the frame around a plate."""


def draw_sign(rng: Generator, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw a sign with letters and digits, or a text without digits."""
    face = choose_font(rng, typefaces)
    kind = one_of(rng, (_vehicle, _vehicle, _named, _container, _telephone, _text))
    glyphs = centred(kind(rng, face))
    pixels = choose_pixels(rng, framing)
    shape = OUTLINES[int(rng.choice(len(OUTLINES), p=OUTLINE_PROBABILITIES))] if kind is _named else "rounded"
    plate = plate_around(rng, glyphs, shape)
    points = np.concatenate([corners_of(inset(plate, 0.1)), *(glyph.outline for glyph in glyphs)])
    view, canvas = stage(rng, framing, pixels, points, tilt=1.2)
    canvas.pixels[:] = draw_wall(rng, canvas.size_hw, canvas.scale)
    if rng.random() < 0.5:
        furnish(rng, canvas, plate, choose_font(rng, typefaces))
    if rng.random() < 0.8:
        paper, ink = choose_colours(rng)
        if kind is _vehicle and rng.random() < 0.7:
            paper = pick(rng, ((238, 238, 236), (236, 206, 60), (232, 232, 228)))
        if abs(luma(paper) - luma(ink)) < 60:
            ink = contrasting(rng, INK_COLOURS, paper, 70)
        hang_plate(rng, canvas, plate, shape, paper, ink)
        if kind is _vehicle:
            _finish_plate(rng, canvas, plate)
    else:
        ink = contrasting(rng, INK_COLOURS, canvas.pixels.mean(axis=(0, 1)), 60)
    mounting = MOUNTINGS[int(rng.choice(4, p=(0.75, 0.05, 0.17, 0.03)))]
    mounting(rng, canvas, glyphs, ink)
    return Scene(canvas=canvas, view=view, glyphs=tuple(glyphs), digit_height=pixels)


def _set(
    face: Face, text: str, number: int = 0, *, squeeze: float = 1.0, tracking: float = 0.0
) -> list[Glyph]:
    """Set a line; its digits belong to a number, its letters to none."""
    line = numbered(set_line(face, text, squeeze=squeeze, tracking=tracking), number)
    line = [replace(glyph, is_labelled=glyph.character.isdigit()) for glyph in line]
    return [glyph for glyph in line if len(glyph.shape.outline)]  # not spaces


def _drawn(rng: Generator, pattern: str) -> str:
    """Return a pattern with letters for A and digits for 0."""
    letters, digits = list(CAPITALS), list(string.digits)
    return "".join(one_of(rng, letters if c == "A" else digits) if c in "A0" else c for c in pattern)


def _vehicle(rng: Generator, face: Face) -> list[Glyph]:
    """A number plate in one row or two; all its digits are one number."""
    text = _drawn(rng, one_of(rng, VEHICLES))
    squeeze, tracking = rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.14)
    if " " in text and rng.random() < 0.25:
        above, _, below = text.partition(" ")
        rows = [_set(face, row, squeeze=squeeze, tracking=tracking) for row in (above, below)]
        return [*rows[0], *(moved(glyph, dy=rng.uniform(1.2, 1.4)) for glyph in rows[1])]
    return _set(face, text, squeeze=squeeze, tracking=tracking)


def _named(rng: Generator, face: Face) -> list[Glyph]:
    """A word and a number, side by side or below each other, or the number with a letter."""
    number = str(int(10 ** rng.uniform(0, 4)))
    if rng.random() < 0.25:
        letter = one_of(rng, list(CAPITALS))
        return _set(face, number + letter if rng.random() < 0.5 else letter + number)
    digits = _set(face, number, squeeze=rng.uniform(0.7, 1.0))
    size = rng.uniform(0.3, 1.0)
    word = [scaled(glyph, size) for glyph in _set(face, one_of(rng, NAMED))]
    (left, top, right, _), (w_left, _, w_right, w_bottom) = extent(digits), extent(word)
    if rng.random() < 0.5:
        word = [moved(glyph, (left + right) / 2, top - w_bottom - rng.uniform(0.1, 0.4)) for glyph in word]
    elif rng.random() < 0.8:
        word = [moved(glyph, left - w_right - rng.uniform(0.2, 0.6)) for glyph in word]
    else:
        word = [moved(glyph, right - w_left + rng.uniform(0.2, 0.6)) for glyph in word]
    return [*word, *digits]


def _container(rng: Generator, face: Face) -> list[Glyph]:
    """An owner's code, a serial number and a check digit, in one row or two."""
    squeeze, tracking = rng.uniform(0.7, 1.0), rng.uniform(0.0, 0.12)
    owner, serial = _drawn(rng, "AAAA"), _drawn(rng, one_of(rng, ("000000", "000000 0", "00000", "000 000")))
    if rng.random() < 0.5:
        return _set(face, f"{owner} {serial}", squeeze=squeeze, tracking=tracking)
    above = _set(face, owner, squeeze=squeeze, tracking=tracking)
    below = _set(face, serial, squeeze=squeeze, tracking=tracking)
    return [*above, *(moved(glyph, dy=1.35) for glyph in below)]


def _telephone(rng: Generator, face: Face) -> list[Glyph]:
    """A row of 6 to 12 digits, perhaps behind a word, in groups or not."""
    length = int(rng.integers(6, 13))
    digits = _drawn(rng, "0" * length)
    if rng.random() < 0.4:
        cut = int(rng.integers(2, length - 2))
        digits = f"{digits[:cut]}{one_of(rng, (' ', '-', '/'))}{digits[cut:]}"
    before = one_of(rng, ("", "", "TEL ", "NR ", "REF "))
    return _set(face, before + digits, squeeze=rng.uniform(0.65, 1.0), tracking=rng.uniform(0, 0.1))


def _text(rng: Generator, face: Face) -> list[Glyph]:
    """One to five lines of words, none with a digit."""
    glyphs: list[Glyph] = []
    size = rng.uniform(0.4, 1.1)
    for row in range(int(rng.integers(1, 6))):
        words = [_word(rng) for _ in range(int(rng.integers(1, 4)))]
        glyphs += [moved(scaled(glyph, size), dy=row * size * 1.5) for glyph in _set(face, " ".join(words))]
    return glyphs


def _word(rng: Generator) -> str:
    if rng.random() < 0.3:
        return one_of(rng, WORDS)
    letters = list(CAPITALS if rng.random() < 0.5 else SMALL)
    return "".join(one_of(rng, letters) for _ in range(int(rng.integers(2, 9))))


def _finish_plate(rng: Generator, canvas: Canvas, plate: tuple[float, float, float, float]) -> None:
    """Draw what a vehicle's plate has: a holder around it, and a coloured strip at its left."""
    if rng.random() < 0.5:
        canvas.paint(canvas.rectangle(inset(plate, -0.08), 0.08, 0.1), pick(rng, BOUNDS))
    if rng.random() < 0.4:
        left, top, _, bottom = inset(plate, 0.03)
        canvas.paint(
            canvas.rectangle((left, top, left + 0.3, bottom)), pick(rng, ((30, 60, 150), (30, 90, 60)))
        )
