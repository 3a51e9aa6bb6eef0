"""Displays: seven segments and dot matrices, lit or of liquid crystal; clocks, scales, scores, buses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from digitspot.synth.canvas import Box, Canvas, Field, corners_of, inset, one_of, pick
from digitspot.synth.lettering import (
    EM,
    Face,
    FontFace,
    Glyph,
    Shape,
    extent,
    make_shape,
    moved,
    scaled,
    set_line,
)
from digitspot.synth.scene import Framing, Scene, choose_font, choose_pixels, stage
from digitspot.synth.surfaces import clouds, draw_wall
from digitspot.synth.typefaces import Typeface

DISPLAY_FRAMING = Framing(digit_height=32, around=0.9, around_spread=0.7, aspect=2.2)

LIGHTS = (
    (255, 50, 40), (255, 60, 46), (80, 255, 110), (255, 170, 40), (90, 170, 255), (235, 245, 255),
    (255, 120, 30),
)  # fmt: skip
"""Of LEDs and fluorescent tubes."""
CRYSTALS = (
    (150, 160, 138), (170, 178, 160), (128, 142, 120), (186, 190, 184), (90, 140, 190), (150, 176, 70),
)  # fmt: skip
"""Of the panes of liquid crystals."""
CASES = ((28, 28, 30), (60, 62, 66), (210, 210, 206), (236, 236, 234), (120, 124, 130))

SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
"""What lights up for each digit: a on top, then clockwise, g in the middle."""
ALL_SEGMENTS = "abcdefg"
BLANK = "█"
"""Not a character: every segment or dot, which shows faintly where it is not lit."""

DOTS = (
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111", "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip
"""The five columns and seven rows of each digit, as the HD44780's character generator has them."""


@dataclass(frozen=True, kw_only=True)
class SegmentFace:
    """Seven segments.

    Attributes:
        width: Of a digit, as a fraction of its height.
        weight: Of a segment, likewise.
        gap: Between two segments, likewise.
        slant: Shift of the top to the right, likewise.
        tails: Whether 6, 7 and 9 have their extra segment.
    """

    width: float
    weight: float
    gap: float
    slant: float
    tails: bool

    def shape(self, character: str) -> Shape:
        """Return the shape of a digit, or of all segments for `BLANK`."""
        mask = Image.new("L", (round(EM * (self.width + abs(self.slant))) + 4, EM + 4))
        draw = ImageDraw.Draw(mask)
        for segment in self._lit(character):
            points = [self._lean(x, y) for x, y in self._corners(segment)]
            draw.polygon(points, fill=255)
        return make_shape(mask, -2, -2, EM * (self.width + 0.22))

    def _lit(self, character: str) -> str:
        if character == BLANK:
            return ALL_SEGMENTS
        lit = SEGMENTS[int(character)]
        if self.tails:
            return lit
        return {"6": "cdefg", "9": "abcfg"}.get(character, lit)

    def _corners(self, segment: str) -> list[tuple[float, float]]:
        """Return a segment's six corners as fractions of the height."""
        half, gap = self.weight / 2, self.gap / 2
        left, right, middle = half, self.width - half, 0.5
        ends = {
            "a": (left, half, right, half), "g": (left, middle, right, middle),
            "d": (left, 1 - half, right, 1 - half), "f": (left, half, left, middle),
            "b": (right, half, right, middle), "e": (left, middle, left, 1 - half),
            "c": (right, middle, right, 1 - half),
        }  # fmt: skip
        x1, y1, x2, y2 = ends[segment]
        is_level = y1 == y2
        start, end, side = (x1 + gap, x2 - gap, y1) if is_level else (y1 + gap, y2 - gap, x1)
        along = (start, start + half, end - half, end, end - half, start + half)
        across = (side, side - half, side - half, side, side + half, side + half)
        return list(zip(along, across, strict=True) if is_level else zip(across, along, strict=True))

    def _lean(self, x: float, y: float) -> tuple[float, float]:
        lean = self.slant * (1 - y) if self.slant > 0 else self.slant * -y
        return 2 + EM * (x + lean), 2 + EM * y


@dataclass(frozen=True, kw_only=True)
class DotFace:
    """Five columns and seven rows of dots.

    Attributes:
        fill: Size of a dot over the distance of two.
        is_round: Round dots, else square ones.
    """

    fill: float
    is_round: bool

    def shape(self, character: str) -> Shape:
        """Return the shape of a digit, or of all dots for `BLANK`."""
        step = EM / 7
        half = step * self.fill / 2
        mask = Image.new("L", (round(5 * step) + 4, EM + 4))
        draw = ImageDraw.Draw(mask)
        dot = draw.ellipse if self.is_round else draw.rectangle
        rows = " ".join(["11111"] * 7) if character == BLANK else DOTS[int(character)]
        for row, columns in enumerate(rows.split()):
            for column, lit in enumerate(columns):
                x, y = 2 + (column + 0.5) * step, 2 + (row + 0.5) * step
                if lit == "1":
                    dot((x - half, y - half, x + half, y + half), fill=255)
        return make_shape(mask, -2, -2, 6.2 * step)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """What stands on a display: digits, all that could light up in each slot, and points `[N, 2]`."""

    digits: list[Glyph]
    blanks: list[Glyph]
    points: list[tuple[float, float]]


def draw_display(rng: Generator, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw one or two numbers on a display."""
    face = _choose_face(rng)
    rows = _choose_rows(rng, face)
    pixels = choose_pixels(rng, framing)
    pane = inset(extent(rows.blanks), -rng.uniform(0.12, 0.45))
    points = np.concatenate([corners_of(pane), *(glyph.outline for glyph in rows.digits)])
    view, canvas = stage(rng, framing, pixels, points, tilt=0.9)
    _case(rng, canvas, pane, choose_font(rng, typefaces))
    if rng.random() < 0.62:
        _light_up(rng, canvas, pane, rows)
    else:
        _darken(rng, canvas, pane, rows)
    if rng.random() < 0.3:
        gleam = np.clip(clouds(rng, canvas.size_hw, canvas.scale * 2.5)[..., 0], 0, 2)
        canvas.pixels += (gleam * canvas.rectangle(pane) * rng.uniform(8, 40))[..., None]
    return Scene(canvas=canvas, view=view, glyphs=tuple(rows.digits), digit_height=pixels)


def _choose_face(rng: Generator) -> Face:
    if rng.random() < 0.7:
        return SegmentFace(
            width=rng.uniform(0.42, 0.66),
            weight=rng.uniform(0.08, 0.17),
            gap=rng.uniform(0.01, 0.04),
            slant=float(rng.choice([0.0, rng.uniform(0.03, 0.16)])),
            tails=rng.random() < 0.85,
        )
    return DotFace(fill=rng.uniform(0.6, 1.0), is_round=rng.random() < 0.7)


def _choose_rows(rng: Generator, face: Face) -> _Rows:
    """Choose a number, a time, two numbers side by side, or two or three below each other."""
    kind = int(rng.choice(4, p=(0.55, 0.2, 0.15, 0.1)))
    texts = [_reading(rng)]
    if kind == 1:
        texts = [f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"]
    elif kind >= 2:
        texts += [_reading(rng) for _ in range(1 + int(kind == 2 and rng.random() < 0.4))]
    rows = _Rows(digits=[], blanks=[], points=[])
    x = y = 0.0
    leading, apart = rng.uniform(1.25, 1.7), rng.uniform(0.5, 1.2)
    for number, text in enumerate(texts):
        before = len(rows.blanks)
        _add_row(rows, face, text, number, x, y)
        if kind == 2:
            y += leading
        else:
            x = extent(rows.blanks[before:])[2] + apart
    left, top, right, bottom = extent(rows.blanks)
    dx, dy = -(left + right) / 2, -(top + bottom) / 2
    return _Rows(
        digits=[moved(glyph, dx, dy) for glyph in rows.digits],
        blanks=[moved(glyph, dx, dy) for glyph in rows.blanks],
        points=[(px + dx, py + dy) for px, py in rows.points],
    )


def _reading(rng: Generator) -> str:
    digits = "".join(str(digit) for digit in rng.integers(0, 10, int(rng.integers(1, 8))))
    if len(digits) > 2 and rng.random() < 0.4:
        point = int(rng.integers(1, len(digits)))
        return f"{digits[:point]}.{digits[point:]}"
    return digits


def _add_row(rows: _Rows, face: Face, text: str, number: int, x: float, y: float) -> None:
    """Set a number from `x` on, its middle at `y`; a point takes no slot, a colon a third of one."""
    step = face.shape(BLANK).advance / EM
    for character in text:
        if character == ".":
            rows.points.append((x - step * 0.1, y + 0.46))
        elif character == ":":
            rows.points.extend([(x + step * 0.08, y - 0.2), (x + step * 0.08, y + 0.2)])
            x += step * 0.35
        else:
            rows.digits.append(_glyph_at(face, character, number, x, y))
            rows.blanks.append(_glyph_at(face, BLANK, number, x, y))
            x += step


def _glyph_at(face: Face, character: str, number: int, x: float, y: float) -> Glyph:
    """Place one character with its pen at `x` and its middle at `y`."""
    transform = np.array([[1 / EM, 0, x], [0, 1 / EM, y - 0.5]])
    return Glyph(character=character, shape=face.shape(character), transform=transform, number=number)


def _case(rng: Generator, canvas: Canvas, pane: Box, font: FontFace) -> None:
    """Draw the device around the pane, before a wall."""
    canvas.pixels[:] = draw_wall(rng, canvas.size_hw, canvas.scale * 0.7)
    case = (
        pane[0] - rng.uniform(0.2, 2), pane[1] - rng.uniform(0.15, 1), pane[2] + rng.uniform(0.2, 2),
        pane[3] + rng.uniform(0.15, 1.5),
    )  # fmt: skip
    cover = canvas.rectangle(case, rng.uniform(0, 0.3))
    canvas.mount(cover, 0.5, 0.15, pick(rng, CASES), 0.08, rng.uniform(10, 50))
    rim = canvas.rectangle(inset(pane, -0.06), 0.04)
    canvas.edge_light(rim, 0.05, rng.uniform(-60, -10))
    for _ in range(int(rng.integers(0, 4))):
        x, y, radius = rng.uniform(case[0], case[2]), case[3] - 0.3, rng.uniform(0.08, 0.2)
        if y - radius > pane[3]:
            key = canvas.disc(x, y, radius)
            canvas.paint(key, pick(rng, ((180, 40, 40), (30, 30, 30), (200, 200, 200), (50, 80, 150))))
    if rng.random() < 0.4:
        words = ("KG", "TEMP", "TARA", "MAX", "KW", "ZERO", "NET", "TARE", "PUMP", "HEAT", "GUEST", "HOME")
        word = one_of(rng, words)
        size = rng.uniform(0.2, 0.4)
        line = [moved(scaled(glyph, size), 0.0, pane[1] - size) for glyph in set_line(font, word)]
        left, _, right, _ = extent(line)
        line = [moved(glyph, -(left + right) / 2) for glyph in line]
        tone = 225.0 if canvas.pixels.mean() < 110 else 40.0
        canvas.paint(canvas.ink(line), np.full(3, tone, np.float32))


def _dots(canvas: Canvas, rows: _Rows) -> Field:
    cover = np.zeros(canvas.size_hw, np.float32)
    for x, y in rows.points:
        cover = np.maximum(cover, canvas.disc(x, y, 0.06))
    return cover


def _light_up(rng: Generator, canvas: Canvas, pane: Box, rows: _Rows) -> None:
    """Show bright digits on a dark pane; they glow, and what is not lit can just be seen."""
    colour = pick(rng, LIGHTS, 10)
    tint = colour * rng.uniform(0.0, 0.08) + rng.uniform(8, 40)
    canvas.paint(canvas.rectangle(pane, 0.03), tint)
    if rng.random() < 0.6:
        canvas.paint(canvas.ink(rows.blanks), tint + colour * 0.1, 0.7)
    lit = np.maximum(canvas.ink(rows.digits), _dots(canvas, rows))
    strength = rng.uniform(0.6, 1.1)
    canvas.paint(lit, colour * strength)
    core = canvas.softened(lit, 0.02) * lit
    canvas.pixels += (core * rng.uniform(0, 110))[..., None]  # overexposed in the middle
    glow = canvas.softened(lit, rng.uniform(0.04, 0.16)) * rng.uniform(0.1, 0.75)
    canvas.pixels += glow[..., None] * colour


def _darken(rng: Generator, canvas: Canvas, pane: Box, rows: _Rows) -> None:
    """Show dark digits on liquid crystal, with their shadow on the ground of it, or the other way round."""
    ground = pick(rng, CRYSTALS)
    cover = canvas.rectangle(pane, 0.03)
    canvas.paint(cover, ground + clouds(rng, canvas.size_hw, canvas.scale * 2) * 5)
    ink = ground * rng.uniform(0.1, 0.4)
    if rng.random() < 0.7:
        canvas.paint(canvas.ink(rows.blanks), ink, rng.uniform(0.02, 0.12))
    lit = np.maximum(canvas.ink(rows.digits), _dots(canvas, rows))
    canvas.shade(canvas.shifted(lit, rng.uniform(0.02, 0.06)), rng.uniform(0.05, 0.25))
    canvas.paint(lit, ink, rng.uniform(0.7, 1.0))
    canvas.shade(canvas.softened(canvas.rectangle(pane, 0.03, 0.08), 0.06), rng.uniform(0.1, 0.4))
