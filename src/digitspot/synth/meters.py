"""Meters and odometers: digits on wheels behind a window, the last between two, decimals in other colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from digitspot.synth.canvas import Box, Canvas, Field, corners_of, inset, one_of, pick, vary
from digitspot.synth.lettering import EM, Face, FontFace, Glyph, extent, make_shape, moved, scaled, set_line
from digitspot.synth.scene import Framing, Scene, choose_face, choose_font, choose_pixels, numbered, stage
from digitspot.synth.surfaces import clouds, metal, plain
from digitspot.synth.typefaces import Typeface

METER_FRAMING = Framing(digit_height=27, around=1.2, around_spread=0.8, aspect=2.6, tight=0.3)

MAX_TURN = 0.46
"""How far a wheel has turned towards the next digit when the one before still shows most."""
RED_WHEELS, RED_DIGITS, RED_FRAME, INVERSE = range(4)
"""How decimals differ from the digits before them; in the last, colours are the other way round."""

DIALS = (
    (226, 226, 222), (206, 208, 206), (238, 238, 236), (60, 62, 66), (150, 154, 158), (200, 196, 180),
    (26, 26, 28), (34, 30, 30),
)  # fmt: skip

DASHBOARDS = ((24, 24, 26), (16, 18, 24), (44, 44, 48), (60, 66, 78), (30, 24, 20), (120, 124, 128))
LAMPS = ((1.0, 0.75, 0.45), (0.5, 0.75, 1.1), (0.6, 1.0, 0.7), (1.0, 0.5, 0.35))
"""Colours of the light behind dashboards."""

UNITS = ("KWH", "CUM", "MWH", "KW", "M")


@dataclass(frozen=True, kw_only=True)
class _Register:
    """The row of wheels.

    Attributes:
        digits: What they show.
        decimals: How many of them are decimals.
        style: How decimals differ: `RED_WHEELS`, `RED_DIGITS`, `RED_FRAME` or `INVERSE`.
        turn: How far the last has turned towards the next digit; negative where its own has not arrived.
        step: From a digit of a wheel to the next.
        pitch: From a wheel to the next.
        half_height: Of the window.
    """

    digits: str
    decimals: int
    style: int
    turn: float
    step: float
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
        """Return how far each wheel has turned; it is carried along from its right neighbour's 9 to 0."""
        turns, turn = [self.turn], self.turn
        for digit in reversed(self.digits[1:]):
            turn = turn if digit == ("9" if turn > 0 else "0") else 0.0
            turns.append(turn)
        return turns[::-1]


def draw_meter(rng: Generator, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw the register of a meter in its face, or an odometer in a dashboard."""
    is_odometer = rng.random() < 0.4
    register = _choose_odometer(rng) if is_odometer else _choose_register(rng)
    face = choose_face(rng, typefaces, drawn=0.35, plain_ones=0.5)
    squeeze = _fit(face, register.pitch * rng.uniform(0.62, 0.8))
    pixels = choose_pixels(rng, framing)
    window = register.window
    view, canvas = stage(rng, framing, pixels, corners_of(inset(window, -0.12)), tilt=0.9)
    font = choose_font(rng, typefaces)
    beside = _dashboard(rng, canvas, window, font) if is_odometer else _dial(rng, canvas, window, font)
    beside = [
        replace(glyph, is_labelled=glyph.is_labelled and _size(glyph) * pixels >= 8) for glyph in beside
    ]
    glyphs = _turn_wheels(rng, canvas, register, face, squeeze, framed=not is_odometer or rng.random() < 0.3)
    if is_odometer and rng.random() < 0.3:
        canvas.pixels *= np.array(one_of(rng, LAMPS), np.float32) * rng.uniform(0.6, 1.1)
    return Scene(canvas=canvas, view=view, glyphs=(*glyphs, *beside), digit_height=pixels)


def _size(glyph: Glyph) -> float:
    """Return the height of a character."""
    return float(np.ptp(glyph.outline[:, 1]))


def _choose_register(rng: Generator) -> _Register:
    return _Register(
        digits=_choose_digits(rng, int(rng.integers(4, 9))),
        decimals=int(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.15, 0.25])),
        style=int(rng.integers(4)),
        turn=_choose_turn(rng),
        step=1.32,
        pitch=rng.uniform(0.75, 1.25),
        half_height=rng.uniform(0.62, 0.85),
    )


def _choose_odometer(rng: Generator) -> _Register:
    """Choose wheels that stand close behind a window hardly higher than they; tenths are black on white."""
    return _Register(
        digits=_choose_digits(rng, int(rng.choice([5, 6, 7], p=[0.2, 0.6, 0.2]))),
        decimals=int(rng.random() < 0.8),
        style=INVERSE if rng.random() < 0.85 else int(rng.integers(4)),
        turn=_choose_turn(rng),
        step=rng.uniform(1.12, 1.4),
        pitch=rng.uniform(0.7, 1.0),
        half_height=rng.uniform(0.52, 0.72),
    )


def _choose_digits(rng: Generator, num: int) -> str:
    digits = "".join(str(digit) for digit in rng.integers(0, 10, num))
    if rng.random() < 0.5:  # a young meter has zeros in front
        zeros = int(rng.integers(1, max(2, num - 2)))
        digits = "0" * zeros + digits[zeros:]
    return digits


def _choose_turn(rng: Generator) -> float:
    return rng.uniform(-MAX_TURN, MAX_TURN) if rng.random() < 0.75 else 0.0


def _fit(face: Face, width: float) -> float:
    """Return the squeeze at which the widest digit is at most `width`."""
    widest = max(face.shape(digit).mask.width for digit in "0468") / EM
    return min(1.1, width / widest)


def _dashboard(rng: Generator, canvas: Canvas, window: Box, font: FontFace) -> list[Glyph]:
    """Draw the dark dial around an odometer, with its scale and hand; return the numbers of the scale."""
    ground = pick(rng, DASHBOARDS)
    canvas.pixels[:] = ground + clouds(rng, canvas.size_hw, canvas.scale * 3) * rng.uniform(0, 8)
    ink = vary(rng, one_of(rng, ((232, 232, 228), (232, 232, 228), (230, 60, 40), (240, 190, 60))))
    middle = (rng.normal(0, 0.6), float(rng.choice([-1, 1])) * rng.uniform(0.5, 4))
    radius = (window[2] - window[0]) * rng.uniform(0.5, 0.9)
    size, step = rng.uniform(0.4, 1.0), int(rng.choice([1, 10, 10, 20, 20, 20]))
    spacing = rng.uniform(1.6, 2.8) * size / radius
    num = int(min(16, 5.2 / spacing))
    start = rng.uniform(0, 2 * math.pi)
    numbers: list[Glyph] = []
    keep = inset(window, -0.25)
    for index in range(num):
        angle = start + index * spacing
        towards = np.array([math.cos(angle), math.sin(angle)])
        line = [
            moved(scaled(g, size), *(middle + radius * towards)) for g in set_line(font, str(index * step))
        ]
        if not _overlaps(extent(line), keep):
            numbers += numbered(line, index + 1)
        ends = [tuple((middle + radius * far * towards).tolist()) for far in (1.2, 1.3)]
        canvas.paint(canvas.polygon(ends, 0.08), ink)
    canvas.paint(canvas.ink(numbers), ink, rng.uniform(0.7, 1))
    for y in (window[1] - 0.7, window[3] + 0.7):
        if rng.random() < 0.4:
            _print(rng, canvas, font, y, rng.uniform(0.3, 0.5), ink)
    if rng.random() < 0.3:
        angle = rng.uniform(0, 2 * math.pi)
        tip = (middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))
        canvas.paint(
            canvas.polygon([middle, tip], 0.12), pick(rng, ((220, 60, 30), (240, 160, 40), (230, 230, 226)))
        )
    return numbers


def _overlaps(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _dial(rng: Generator, canvas: Canvas, window: Box, font: FontFace) -> list[Glyph]:
    """Draw the face of the meter with what is printed on it; return the digits printed."""
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
    printed: list[Glyph] = []
    for number, (y, size) in enumerate(
        ((window[1] - 0.6, 0.4), (window[3] + 0.5, 0.35), (window[3] + 1.1, 0.25)), 1
    ):
        if rng.random() < 0.6:
            printed += _print(rng, canvas, font, y, size, dark, number)
    if rng.random() < 0.4:
        _bar_code(rng, canvas, window)
    for _ in range(int(rng.integers(0, 4))):
        _pointer(rng, canvas, rng.uniform(-2, 2), window[3] + rng.uniform(0.9, 1.8), dark)
    return printed


def _print(
    rng: Generator, canvas: Canvas, font: FontFace, y: float, size: float, colour: Field, number: int = 1
) -> list[Glyph]:
    """Print a unit or a number somewhere at a height; return the digits."""
    x = rng.normal(0, 0.8)
    is_number = rng.random() < 0.35
    text = str(int(10 ** rng.uniform(1, 8))) if is_number else one_of(rng, UNITS)
    line = numbered([moved(scaled(glyph, size), x, y) for glyph in set_line(font, text)], number)
    canvas.paint(canvas.ink(line), colour, 0.85)
    return line if is_number else []


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
    rng: Generator, canvas: Canvas, register: _Register, face: Face, squeeze: float, *, framed: bool
) -> list[Glyph]:
    """Draw the window and the wheels in it; return the digits that show most, as far as they show."""
    frame_colour = pick(rng, ((24, 24, 26), (70, 72, 76), (200, 200, 198), (30, 34, 44)))
    rim = canvas.rectangle(inset(register.window, -rng.uniform(0.08, 0.22) if framed else -0.03), 0.06)
    canvas.paint(rim, frame_colour)
    if framed:
        canvas.edge_light(rim, 0.05, rng.uniform(-50, 50))
    wheel, ink = _wheel_colours(rng)
    glyphs = []
    red = vary(rng, (170, 36, 34), 14)
    for slot, (digit, turn) in enumerate(zip(register.digits, register.turns(), strict=True)):
        is_decimal = slot >= len(register.digits) - register.decimals
        style = register.style if is_decimal else -1
        ground = {RED_WHEELS: red, INVERSE: ink}.get(style, wheel)
        own_ink = {RED_WHEELS: np.full(3, 236.0, np.float32), INVERSE: wheel}.get(style, ink)
        if style == RED_DIGITS and wheel.mean() > 110:
            own_ink = red
        cell = register.cell(slot)
        gap = register.pitch * 0.05
        body = canvas.rectangle((cell[0] + gap, cell[1], cell[2] - gap, cell[3]))
        canvas.paint(body, ground + rng.normal(0, 3))
        shown = _digits_in(
            face, cell, int(digit), (turn + rng.normal(0, 0.012)) * register.step, register.step, squeeze
        )
        canvas.paint(canvas.ink(shown), own_ink)
        glyphs.append(shown[0])
    if register.style == RED_FRAME and register.decimals:
        edge = register.cell(len(register.digits) - register.decimals)[0]
        canvas.paint(canvas.rectangle((edge, *register.window[1:]), 0.03, 0.07), red)
    _round_off(rng, canvas, register.window)
    return glyphs


def _wheel_colours(rng: Generator) -> tuple[Field, Field]:
    if rng.random() < 0.65:
        return vary(rng, (30, 30, 32), 8), vary(rng, (232, 230, 224), 10)
    return vary(rng, (232, 230, 222), 10), vary(rng, (30, 30, 34), 8)


def _digits_in(face: Face, cell: Box, digit: int, up: float, step: float, squeeze: float) -> list[Glyph]:
    """Return the digit of a wheel, moved `up`, and what the window shows of the ones before and behind it."""
    middle = (cell[0] + cell[2]) / 2
    shown = []
    for distance in (0, 1, -1):
        glyph = set_line(face, str((digit + distance) % 10), squeeze=squeeze)[0]
        seen = _clipped(moved(glyph, middle, distance * step - up), cell[1] + 0.01, cell[3] - 0.01)
        if seen is not None:
            shown.append(replace(seen, is_labelled=distance == 0))
    return shown


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
