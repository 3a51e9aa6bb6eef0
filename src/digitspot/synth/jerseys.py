"""Jerseys: numbers on folded cloth, with a trim, a name and stripes, on somebody before a field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from digitspot.synth import lettering
from digitspot.synth.canvas import Canvas, Colour, Field, contrasting, one_of, pick, vary
from digitspot.synth.lettering import FontFace, Glyph, extent, moved, scaled, set_line
from digitspot.synth.scene import Bend, Framing, Scene, choose_face, choose_font, choose_pixels, stage
from digitspot.synth.scenery import WORDS
from digitspot.synth.surfaces import clouds, foliage, grain, plain
from digitspot.synth.typefaces import Typeface

JERSEY_FRAMING = Framing(digit_height=34, around=0.95, around_spread=0.5, aspect=0.95)

TEAM_COLOURS: tuple[Colour, ...] = (
    (196, 24, 34), (20, 44, 130), (240, 240, 240), (22, 22, 26), (250, 204, 30), (20, 110, 60),
    (120, 190, 232),
    (240, 120, 30), (96, 22, 40), (90, 40, 130), (150, 154, 160), (16, 28, 60),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((224, 178, 148), (196, 140, 104), (140, 92, 64), (88, 58, 44))
HAIR: tuple[Colour, ...] = ((40, 30, 26), (90, 62, 40), (170, 130, 80), (24, 22, 22))


def draw_jersey(rng: Generator, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw a player's number."""
    number = str(int(rng.integers(0, 100))) if rng.random() < 0.97 else "00"
    face = choose_face(rng, typefaces, drawn=0.5)
    squeeze, tracking, aside = rng.uniform((0.7, 0, -0.1), (1.1, 0.1, 0.1)).tolist()
    line = [moved(glyph, aside) for glyph in set_line(face, number, squeeze=squeeze, tracking=tracking)]
    pixels = choose_pixels(rng, framing)
    folds = tuple(
        (float(abs(rng.normal(0, 0.025)) / frequency), float(frequency * 2.5), rng.uniform(0, 6))
        for frequency in rng.uniform(0.6, 2.5, int(rng.integers(1, 4)))
    )
    points = np.concatenate([glyph.outline for glyph in line])
    bend = Bend(sag=rng.normal(0, 0.04), folds=folds)
    view, canvas = stage(rng, framing, pixels, points, tilt=1.6, bend=bend)
    _field(rng, canvas)
    cloth = pick(rng, TEAM_COLOURS, 10)
    body = _player(rng, canvas, cloth)
    ink = _other(rng, cloth)
    if rng.random() < 0.3:
        _stripes(rng, canvas, body, _other(rng, cloth))
        left, top, right, bottom = extent(line)  # the cloth stays plain behind the number
        canvas.paint(canvas.rectangle((left - 0.25, top - 0.2, right + 0.25, bottom + 0.2), 0.05), cloth)
    if rng.random() < 0.6:
        _name(rng, canvas, choose_font(rng, typefaces), line, ink)
    _print(rng, canvas, line, ink, _other(rng, ink))
    _crease(rng, canvas, body)
    return Scene(canvas=canvas, view=view, glyphs=tuple(line), digit_height=pixels)


def _other(rng: Generator, colour: Field) -> Field:
    """Choose a team colour that stands out from another."""
    return contrasting(rng, TEAM_COLOURS, colour, 70, spread=8, greys=(22.0, 238.0))


def _field(rng: Generator, canvas: Canvas) -> None:
    """Draw grass, a crowd or a hall, out of focus."""
    kind = int(rng.choice(3, p=(0.45, 0.3, 0.25)))
    if kind == 0:
        green = vary(rng, (84, 122, 58), 14)
        field = green + grain(rng, canvas.size_hw, canvas.scale * 0.6) * 8
        bands = np.sin(np.arange(canvas.size_hw[0]) / canvas.scale * rng.uniform(0.5, 1.5))[:, None, None]
        canvas.pixels[:] = field + bands * rng.uniform(0, 9)
    elif kind == 1:
        cell = canvas.scale * rng.uniform(0.3, 0.7)
        heads = [clouds(rng, canvas.size_hw, cell) for _ in range(4)]
        crowd = vary(rng, (92, 90, 94), 18) + heads[3] * 24 + np.concatenate(heads[:3], axis=2) * 11
        canvas.pixels[:] = crowd
        if rng.random() < 0.7:
            _ground(rng, canvas)
    else:
        canvas.pixels[:] = (plain if rng.random() < 0.7 else foliage)(rng, canvas.size_hw, canvas.scale * 2)


def _ground(rng: Generator, canvas: Canvas) -> None:
    """Put the field before the crowd, with boards along its edge."""
    far, edge = 60.0, rng.uniform(-1, 2.5)
    ground = vary(rng, (84, 122, 58) if rng.random() < 0.7 else (170, 120, 76), 14)
    field = canvas.softened(canvas.rectangle((-far, edge, far, far)), 0.08)
    canvas.paint(field, ground + grain(rng, canvas.size_hw, canvas.scale * 0.6) * 6)
    if rng.random() < 0.6:
        boards = canvas.softened(canvas.rectangle((-far, edge - rng.uniform(0.4, 1.2), far, edge)), 0.08)
        colour = pick(rng, TEAM_COLOURS, 10)
        canvas.paint(boards, colour + clouds(rng, canvas.size_hw, canvas.scale * 0.7) * 24)


def _player(rng: Generator, canvas: Canvas, cloth: Field) -> Field:
    """Draw shoulders, arms, neck and head; return where the cloth is, `[H, W]`."""
    half, top = rng.uniform(1.25, 1.8), -rng.uniform(1.1, 1.6)
    skin, far = pick(rng, SKIN), 60.0
    lean = rng.normal(0, 0.25)
    for side in (-1, 1):  # an arm, bare from the elbow on
        shoulder, elbow = side * half * 0.92, side * (half + rng.uniform(0.35, 1.0))
        arm = [(shoulder, top + 0.5), (elbow, top + 1.9 + lean * side), (elbow + side * 0.2, top + 4)]
        _limb(rng, canvas, canvas.polygon(arm, 0.62), skin)
    left_sleeve = _sleeve(canvas, -1, half, top)
    right_sleeve = _sleeve(canvas, 1, half, top)
    torso = canvas.polygon(
        [(-0.45, top), (0.45, top), (half, top + 0.45), (half * 0.93, top + 2.5), (half * 0.9, far),
         (-half * 0.9, far), (-half * 0.93, top + 2.5), (-half, top + 0.45)]
    )  # fmt: skip
    body = np.maximum(np.maximum(torso, left_sleeve), right_sleeve)
    canvas.paint(body, cloth)
    if rng.random() < 0.5:
        other = _other(rng, cloth)
        canvas.paint(np.maximum(left_sleeve, right_sleeve) * (1 - torso), other)
    collar = canvas.ellipse((-0.44, top - 0.14, 0.44, top + 0.16))
    canvas.paint(collar, _other(rng, cloth) if rng.random() < 0.5 else cloth * 0.8)
    _limb(rng, canvas, canvas.rectangle((-0.34, top - 0.7, 0.34, top + 0.07), 0.1), skin * 0.85)
    hair = pick(rng, HAIR) + clouds(rng, canvas.size_hw, canvas.scale * 0.12) * 12
    _limb(rng, canvas, canvas.ellipse((-0.6, top - 1.9, 0.6, top - 0.3)), hair)
    return body


def _limb(rng: Generator, canvas: Canvas, cover: Field, colour: Field) -> None:
    """Paint a part of the body, round: lit from one side, darker towards its edges."""
    canvas.paint(canvas.softened(cover, 0.05), colour)
    inner = np.clip(canvas.softened(cover, 0.3) * 2 - 1, 0, 1)
    canvas.pixels *= (1 - cover * (1 - inner) * rng.uniform(0.2, 0.45))[..., None]
    canvas.edge_light(cover, 0.25, rng.uniform(5, 30), inside=True)


def _sleeve(canvas: Canvas, side: int, half: float, top: float) -> Field:
    return canvas.polygon(
        [(side * 0.45, top), (side * half, top + 0.4), (side * (half + 0.5), top + 1.4),
         (side * (half - 0.15), top + 1.65), (side * half * 0.8, top + 1.0)]
    )  # fmt: skip


def _stripes(rng: Generator, canvas: Canvas, body: Field, colour: Field) -> None:
    """Put stripes on the cloth, upright or level."""
    height, width = canvas.size_hw
    step = canvas.scale * rng.uniform(0.4, 1.0)
    along = np.arange(width)[None, :] if rng.random() < 0.6 else np.arange(height)[:, None]
    cover = body * ((along / step) % 2 < rng.uniform(0.4, 1.2))
    canvas.paint(cover, colour)


def _name(rng: Generator, canvas: Canvas, font: FontFace, line: Sequence[Glyph], colour: Field) -> None:
    """Write a name above the number, on an arc as they are."""
    word = one_of(rng, WORDS)
    size = rng.uniform(0.2, 0.34)
    letters = [scaled(glyph, size) for glyph in set_line(font, word, tracking=0.05)]
    if rng.random() < 0.5:
        letters = lettering.bent(letters, 4.0)
    top = extent(line)[1] - size * rng.uniform(0.8, 1.1) - 0.04
    canvas.paint(canvas.ink([moved(glyph, 0.0, top) for glyph in letters]), colour)


def _print(rng: Generator, canvas: Canvas, line: Sequence[Glyph], ink: Field, trim: Field) -> None:
    """Print the number, often with a trim around it."""
    cover = canvas.ink(line)
    if rng.random() < 0.5:
        wide = np.clip(canvas.softened(cover, rng.uniform(0.025, 0.06)) * 4, 0, 1)
        canvas.paint(wide, trim)
    canvas.paint(cover, ink, rng.uniform(0.85, 1))


def _crease(rng: Generator, canvas: Canvas, body: Field) -> None:
    """Shade the folds of the cloth and the sides of the body."""
    height, width = canvas.size_hw
    cell = canvas.scale * rng.uniform(0.5, 1.1)
    folds = clouds(rng, (height, width), cell * rng.uniform(1.2, 3), cell * 0.6)[..., 0]
    lit = folds - np.roll(folds, (2, max(1, round(cell * 0.12))), (0, 1))
    xs = np.abs(np.arange(width) / canvas.scale + canvas.corner[0])
    turn = np.clip(xs - 0.6, 0, 2)[None, :] * rng.uniform(0.1, 0.35)
    shade = np.clip(1 + lit * rng.uniform(0.25, 0.7) - turn, 0.35, 1.5)
    canvas.pixels *= (1 + (shade - 1) * body)[..., None]
    mesh = grain(rng, (height, width), max(1.2, canvas.scale * 0.03), 1)[..., 0]
    canvas.pixels += (mesh * body * rng.uniform(0, 4))[..., None]
