"""Meters: digits on wheels behind a window, the last ones between two digits, decimals in red."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from digitspot.synth.canvas import Box, Canvas, Field, corners_of, inset, one_of, pick, vary
from digitspot.synth.lettering import EM, Face, FontFace, Glyph, make_shape, moved, scaled, set_line
from digitspot.synth.scene import Framing, Scene, choose_face, choose_font, choose_pixels, stage
from digitspot.synth.surfaces import clouds, metal, plain
from digitspot.synth.typefaces import Typeface

METER_FRAMING = Framing(digit_height=27, around=1.2, around_spread=0.7, aspect=2.6)

MAX_TURN = 0.48
"""How far a wheel has turned towards the next digit when the one before still shows most."""

DIALS = (
    (226, 226, 222), (206, 208, 206), (238, 238, 236), (60, 62, 66), (150, 154, 158), (200, 196, 180),
    (26, 26, 28), (34, 30, 30),
)  # fmt: skip

UNITS = ("KWH", "CUM", "MWH", "KW", "M")


@dataclass(frozen=True, kw_only=True)
class _Register:
    """The row of wheels: how far the last has turned, the distance of two, and the window's half height."""

    digits: str
    decimals: int
    turn: float
    pitch: float
    half_height: float

    @property
    def window(self) -> Box:
        half = self.pitch * len(self.digits) / 2
        return -half, -self.half_height, half, self.half_height

    def cell(self, slot: int) -> Box:
        left = self.window[0] + slot * self.pitch
        return left, -self.half_height, left + self.pitch, self.half_height

    def turns(self) -> list[float]:
        """Return how far each wheel has turned; one is carried along while its right neighbour shows a 9."""
        turns, turn = [self.turn], self.turn
        for digit in reversed(self.digits[1:]):
            turn = turn if digit == "9" else 0.0
            turns.append(turn)
        return turns[::-1]


def draw_meter(rng: Generator, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw the register of a meter in its face."""
    register = _choose_register(rng)
    face = choose_face(rng, typefaces, drawn=0.35, plain_ones=0.5)
    squeeze = _fit(face, register.pitch * 0.78)
    pixels = choose_pixels(rng, framing)
    window = register.window
    view, canvas = stage(rng, framing, pixels, corners_of(inset(window, -0.15)), tilt=0.8)
    _dial(rng, canvas, window, choose_font(rng, typefaces))
    glyphs = _turn_wheels(rng, canvas, register, face, squeeze)
    return Scene(canvas=canvas, view=view, glyphs=tuple(glyphs), digit_height=pixels)


def _choose_register(rng: Generator) -> _Register:
    num = int(rng.integers(4, 9))
    digits = "".join(str(digit) for digit in rng.integers(0, 10, num))
    if rng.random() < 0.5:  # a young meter has zeros in front
        zeros = int(rng.integers(1, max(2, num - 2)))
        digits = "0" * zeros + digits[zeros:]
    return _Register(
        digits=digits,
        decimals=int(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.15, 0.25])),
        turn=rng.uniform(0.05, MAX_TURN) if rng.random() < 0.7 else 0.0,
        pitch=rng.uniform(0.75, 1.25),
        half_height=rng.uniform(0.62, 0.85),
    )


def _fit(face: Face, width: float) -> float:
    """Return the squeeze at which the widest digit is at most `width`."""
    widest = max(face.shape(digit).mask.width for digit in "0468") / EM
    return min(1.1, width / widest)


def _dial(rng: Generator, canvas: Canvas, window: Box, font: FontFace) -> None:
    """Draw the face of the meter with what is printed on it."""
    texture = (plain, metal)[int(rng.random() < 0.25)](rng, canvas.size_hw, canvas.scale)
    colour = pick(rng, DIALS)
    canvas.pixels[:] = colour + (texture - texture.mean(axis=(0, 1))) * 0.5
    dark = np.full(3, 40.0 if colour.mean() > 110 else 220.0, np.float32)
    if rng.random() < 0.5:  # a round dial on a darker body
        radius = (window[2] - window[0]) * rng.uniform(0.6, 0.9)
        y = rng.uniform(-0.2, 0.5) * radius
        outside = 1 - canvas.ellipse((-radius, y - radius, radius, y + radius))
        canvas.paint(outside, pick(rng, ((40, 60, 90), (30, 30, 32), (150, 120, 70))))
        canvas.shade(canvas.softened(outside, 0.15), -0.15)
    for y, size in ((window[1] - 0.6, 0.4), (window[3] + 0.5, 0.35), (window[3] + 1.1, 0.25)):
        if rng.random() < 0.6:
            _print(rng, canvas, font, y, size, dark)
    if rng.random() < 0.4:
        _bar_code(rng, canvas, window)
    for _ in range(int(rng.integers(0, 4))):
        _pointer(rng, canvas, rng.uniform(-2, 2), window[3] + rng.uniform(0.9, 1.8), dark)


def _print(rng: Generator, canvas: Canvas, font: FontFace, y: float, size: float, colour: Field) -> None:
    """Print a unit somewhere at a height."""
    x = rng.normal(0, 0.8)
    text = one_of(rng, UNITS)
    line = [moved(scaled(glyph, size), x, y) for glyph in set_line(font, text)]
    canvas.paint(canvas.ink(line), colour, 0.85)


def _bar_code(rng: Generator, canvas: Canvas, window: Box) -> None:
    """Stick a label with a bar code above the window."""
    left, top = window[0] + rng.uniform(-0.5, 2), window[1] - rng.uniform(1.2, 1.8)
    label = canvas.rectangle((left - 0.1, top - 0.05, left + 2.1, top + 0.6))
    canvas.paint(label, np.full(3, 236, np.float32))
    x = left
    while x < left + 2:
        wide = rng.uniform(0.02, 0.08)
        canvas.paint(canvas.rectangle((x, top, x + wide, top + 0.55)), np.full(3, 30, np.float32))
        x += wide + rng.uniform(0.02, 0.08)


def _pointer(rng: Generator, canvas: Canvas, x: float, y: float, colour: Field) -> None:
    """Draw a small dial with a red hand."""
    radius = rng.uniform(0.25, 0.5)
    canvas.paint(canvas.disc(x, y, radius, 0.03), colour)
    angle = rng.uniform(0, 2 * math.pi)
    tip = (x + 0.85 * radius * math.cos(angle), y + 0.85 * radius * math.sin(angle))
    canvas.paint(canvas.polygon([(x, y), tip], 0.08), vary(rng, (176, 40, 36), 12))


def _turn_wheels(
    rng: Generator, canvas: Canvas, register: _Register, face: Face, squeeze: float
) -> list[Glyph]:
    """Draw the window and the wheels in it; return the digits that show most, as far as they show."""
    frame_colour = pick(rng, ((24, 24, 26), (70, 72, 76), (200, 200, 198), (30, 34, 44)))
    rim = canvas.rectangle(inset(register.window, -rng.uniform(0.08, 0.22)), 0.06)
    canvas.paint(rim, frame_colour)
    canvas.edge_light(rim, 0.05, rng.uniform(-50, 50))
    wheel, ink = _wheel_colours(rng)
    glyphs = []
    red = vary(rng, (170, 36, 34), 14)
    style = int(
        rng.integers(4)
    )  # decimals: red wheels, red digits, a red frame, or colours the other way round
    for slot, (digit, turn) in enumerate(zip(register.digits, register.turns(), strict=True)):
        is_decimal = slot >= len(register.digits) - register.decimals
        ground = red if is_decimal and style == 0 else ink if is_decimal and style == 3 else wheel
        own_ink = np.full(3, 236.0, np.float32) if is_decimal and style == 0 else ink
        if is_decimal and style == 1 and wheel.mean() > 110:
            own_ink = red
        if is_decimal and style == 3:
            own_ink = wheel
        cell = register.cell(slot)
        gap = register.pitch * 0.05
        body = canvas.rectangle((cell[0] + gap, cell[1], cell[2] - gap, cell[3]))
        canvas.paint(body, ground + rng.normal(0, 3))
        shown = _digits_in(face, cell, int(digit), turn, squeeze, rng.normal(0, 0.015))
        canvas.paint(canvas.ink(shown), own_ink)
        glyphs.append(shown[0])
    if style == 2 and register.decimals:
        edge = register.cell(len(register.digits) - register.decimals)[0]
        canvas.paint(canvas.rectangle((edge, *register.window[1:]), 0.03, 0.07), red)
    _round_off(rng, canvas, register.window)
    return glyphs


def _wheel_colours(rng: Generator) -> tuple[Field, Field]:
    if rng.random() < 0.65:
        return vary(rng, (30, 30, 32), 8), vary(rng, (232, 230, 224), 10)
    return vary(rng, (232, 230, 222), 10), vary(rng, (30, 30, 34), 8)


def _digits_in(face: Face, cell: Box, digit: int, turn: float, squeeze: float, jitter: float) -> list[Glyph]:
    """Return the digit of a wheel, and the next one in view: what the window shows of each."""
    middle, step = (cell[0] + cell[2]) / 2, 1.32
    shown = []
    for character, y in ((digit, -turn * step), ((digit + 1) % 10, (1 - turn) * step)):
        glyph = set_line(face, str(character), squeeze=squeeze)[0]
        glyph = moved(glyph, middle, y + jitter)
        seen = _clipped(glyph, cell[1] + 0.01, cell[3] - 0.01)
        if seen is not None:
            shown.append(seen)
    return [shown[0], *(replace(glyph, is_labelled=False) for glyph in shown[1:])]


def _clipped(glyph: Glyph, top: float, bottom: float) -> Glyph | None:
    """Return the part of an upright character between two heights, or None where there is hardly any."""
    slope, offset = glyph.transform[1, 1], glyph.transform[1, 2]
    shape = glyph.shape
    first = max(0, math.ceil((top - offset) / slope - shape.top))
    last = min(shape.mask.height, math.floor((bottom - offset) / slope - shape.top))
    if last - first < 4:
        return None
    part = shape.mask.crop((0, first, shape.mask.width, last))
    if np.asarray(part).max() < 128:
        return None
    return replace(glyph, shape=make_shape(part, shape.left, shape.top + first, shape.advance))


def _round_off(rng: Generator, canvas: Canvas, window: Box) -> None:
    """Shade the wheels towards the top and the bottom, and let the glass before them gleam."""
    ys = np.arange(canvas.size_hw[0], dtype=np.float32) / canvas.scale + canvas.corner[1]
    bow = np.clip(np.abs(ys) / window[3], 0, 1) ** rng.uniform(2, 5) * rng.uniform(0.3, 0.8)
    cover = canvas.rectangle(window)
    canvas.shade(cover * bow[:, None], 1.0)
    if rng.random() < 0.4:
        gleam = np.clip(clouds(rng, canvas.size_hw, canvas.scale * 2)[..., 0], 0, 2)
        canvas.pixels += (gleam * rng.uniform(8, 36))[..., None]
