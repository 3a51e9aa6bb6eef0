"""What is around a house number: doors, frames, windows, slots, bells, lamps, hedges, names and signs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from digitspot.synth.canvas import Box, Canvas, inset, luma, one_of, pick, vary
from digitspot.synth.lettering import Face, extent, moved, scaled, set_line
from digitspot.synth.surfaces import (
    WALL_COLOURS,
    WOOD_COLOURS,
    Texture,
    foliage,
    glass,
    metal,
    pavement,
    plain,
    plaster,
    sky,
)

WORDS = (
    "RUE", "WAY", "FARM", "PARK", "NEW", "YARD", "MAYFAIR", "MAKER", "FUMER", "THE", "HEATHER", "VERTE",
    "MANKE", "PUERTA", "TANNE", "CAFE", "PRIVATE", "FAHRER", "HAUPT", "NUMMER", "AVENUE", "PEAR", "TREE",
)  # fmt: skip
"""Written here and there; no letter that looks like a digit (B, G, I, L, O, Q, S, Z)."""


def furnish(rng: Generator, canvas: Canvas, keep: Box, lettering: Face) -> None:
    """Put things around what is to be kept free.

    Args:
        rng: Chooses them.
        canvas: Shows a wall.
        keep: The number or its plate.
        lettering: For words; it has capital letters.
    """
    if rng.random() < 0.5:
        _divide(rng, canvas, keep)
    if rng.random() < 0.22:
        _mouldings(rng, canvas, keep)
    for thing, probability in THINGS:
        if rng.random() < probability:
            position = _position_beside(rng, canvas.box, keep)
            if position is not None:
                thing(rng, canvas, position)
    if rng.random() < 0.08:
        write_word(rng, canvas, lettering, keep, rng.uniform(0.18, 0.75))
    if rng.random() < 0.06:
        _cable(rng, canvas, keep)


def _divide(rng: Generator, canvas: Canvas, keep: Box) -> None:
    """End the wall at one side or two: a door, its frame, a window, the sky, a hedge, the ground."""
    left, _, right, _ = canvas.box
    far = 50.0
    sides = ("left", "right", "left", "right", "top", "bottom")
    for _ in range(1 + int(rng.random() < 0.35)):
        side = one_of(rng, sides)
        near = 0.08 + abs(rng.normal(0, 0.9))
        textures: tuple[Texture, ...] = (plain, plain, plaster, glass, metal, foliage)
        if side == "left":
            edge = min(keep[0] - near, left + 0.75 * max(0.0, keep[0] - left))
            box, lip = (-far, -far, edge, far), (edge - 0.16, -far, edge, far)
        elif side == "right":
            edge = max(keep[2] + near, right - 0.75 * max(0.0, right - keep[2]))
            box, lip = (edge, -far, far, far), (edge, -far, edge + 0.16, far)
        elif side == "top":
            edge, textures = keep[1] - near, (plain, plain, glass, sky)
            box, lip = (-far, -far, far, edge), (-far, edge - 0.16, far, edge)
        else:
            edge, textures = keep[3] + near, (plain, plain, pavement, foliage)
            box, lip = (-far, edge, far, far), (-far, edge, far, edge + 0.16)
        texture = one_of(rng, textures)(rng, canvas.size_hw, canvas.scale)
        canvas.paint(canvas.rectangle(box), texture)
        if rng.random() < 0.6:  # a frame, or the shadow in a corner
            canvas.paint(canvas.rectangle(lip), pick(rng, WALL_COLOURS))
            canvas.cast(canvas.rectangle(lip), rng.uniform(0.2, 0.6), rng.uniform(0.04, 0.2))
        else:
            canvas.shade(canvas.softened(canvas.rectangle(lip), 0.06), rng.uniform(-0.2, 0.5))


def _mouldings(rng: Generator, canvas: Canvas, keep: Box) -> None:
    """Draw lines of a door's panel or of a fascia around the number."""
    grow_x, grow_y = rng.uniform(0.3, 2.5), rng.uniform(0.15, 1.2)
    panel = (keep[0] - grow_x, keep[1] - grow_y, keep[2] + grow_x, keep[3] + grow_y)
    if rng.random() < 0.5:
        panel = (-50.0, panel[1], 50.0, panel[3])
    line = rng.uniform(0.03, 0.1)
    strength = rng.uniform(0.12, 0.5)
    canvas.shade(canvas.rectangle(panel, 0.0, line), strength)
    canvas.shade(canvas.rectangle(inset(panel, line), 0.0, line), -strength * rng.uniform(0.2, 0.8))


def _position_beside(rng: Generator, view: Box, keep: Box) -> tuple[float, float] | None:
    """Choose a point in view and at least half a unit away from what is kept free, or None."""
    for _ in range(6):
        x, y = rng.uniform(view[0], view[2]), rng.uniform(view[1], view[3])
        if not (keep[0] - 0.5 < x < keep[2] + 0.5 and keep[1] - 0.5 < y < keep[3] + 0.5):
            return float(x), float(y)
    return None


def _around(x: float, y: float, half_x: float, half_y: float) -> Box:
    return x - half_x, y - half_y, x + half_x, y + half_y


def _slot(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A slot for letters: brass, steel or black, as a lid."""
    half_x, half_y = rng.uniform(0.35, 0.5) * 2.4, rng.uniform(0.18, 0.35)
    x = position[0] + (half_x if position[0] > 0 else -half_x)
    box = _around(x, position[1] * 0.3, half_x, half_y)
    colour = pick(rng, ((150, 124, 84), (128, 104, 70), (160, 160, 162), (40, 40, 42), (222, 222, 220)))
    canvas.mount(canvas.rectangle(box, 0.03), 0.4, 0.08, colour, 0.04, rng.uniform(10, 60))
    if rng.random() < 0.5:
        canvas.paint(canvas.rectangle(inset(box, 0.1), 0.02), colour * rng.uniform(0.6, 0.9))


def _bell(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A bell: a plate with a round button, or an intercom with a column of them."""
    wide, num = rng.uniform(0.15, 0.4), int(rng.integers(1, 5))
    step = rng.uniform(0.25, 0.5)
    tall = num * step / 2 + 0.12
    cover = canvas.rectangle(_around(*position, wide, tall), 0.05)
    canvas.cast(cover, 0.4, 0.06)
    canvas.paint(cover, pick(rng, ((60, 60, 62), (190, 190, 192), (226, 224, 218), (150, 124, 84))))
    button = pick(rng, ((30, 30, 30), (236, 236, 230), (170, 60, 50)))
    for row in range(num):
        y = position[1] + (row - (num - 1) / 2) * step
        canvas.paint(canvas.disc(position[0], y, 0.1), button)


def _lamp(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A lamp, a bowl of flowers, a vent: something round."""
    half_x, half_y = rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.9)
    cover = canvas.ellipse(_around(*position, half_x, half_y))
    canvas.mount(cover, 0.4, 0.2, pick(rng, WALL_COLOURS), 0.15, rng.uniform(10, 50))


def _handle(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A handle or a rod, level or upright."""
    length, width = rng.uniform(0.5, 2.0), rng.uniform(0.04, 0.12)
    half = (length / 2, width / 2) if rng.random() < 0.4 else (width / 2, length / 2)
    cover = canvas.rectangle(_around(*position, *half), width / 2)
    canvas.mount(cover, 0.45, 0.12, pick(rng, ((190, 190, 192), (160, 130, 80), (30, 30, 32))), 0.03, 50)


def _window(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A window with its frame and bars."""
    half_x, half_y = rng.uniform(0.8, 3.0), rng.uniform(0.8, 3.0)
    x = position[0] + (half_x if position[0] > 0 else -half_x)
    box = _around(x, position[1], half_x, half_y)
    canvas.paint(canvas.rectangle(box), glass(rng, canvas.size_hw, canvas.scale))
    frame = pick(rng, ((236, 236, 234), (230, 228, 222), (70, 50, 40), (40, 42, 46)))
    line = rng.uniform(0.08, 0.25)
    canvas.paint(canvas.rectangle(box, 0, line), frame)
    canvas.paint(canvas.rectangle((x - line / 3, box[1], x + line / 3, box[3])), frame)


def _box(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A box on the wall: for letters, the meter, a switch."""
    half_x, half_y = rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.2)
    box = _around(position[0] * 1.2, position[1], half_x, half_y)
    cover = canvas.rectangle(box, rng.uniform(0, 0.1))
    shadow = rng.uniform(0.08, 0.25)
    canvas.mount(cover, 0.5, shadow, pick(rng, WALL_COLOURS), 0.04, rng.uniform(10, 40))
    if rng.random() < 0.5:
        canvas.shade(canvas.rectangle((box[0] + 0.1, box[1] + 0.12, box[2] - 0.1, box[1] + 0.2)), 0.6)


def _bush(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A bush or an overhanging branch."""
    half_x, half_y = rng.uniform(0.8, 3.0), rng.uniform(0.5, 2.0)
    cover = canvas.ellipse(_around(*position, half_x, half_y))
    texture = foliage(rng, canvas.size_hw, canvas.scale)
    ragged = np.clip(canvas.softened(cover, 0.3) * 2 - 0.7 + (texture[..., 1] - 90) / 200, 0, 1)
    canvas.paint(np.round(ragged), texture)


def _poster(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A notice with lines too small to read."""
    half_x, half_y = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.8)
    box = _around(*position, half_x, half_y)
    paper = pick(rng, ((238, 236, 230), (230, 200, 60), (180, 40, 36), (40, 70, 150), (236, 236, 236)))
    canvas.paint(canvas.rectangle(box), paper)
    ink = np.full(3, 30.0 if luma(paper) > 128 else 232.0, np.float32)
    y = box[1] + 0.12
    while y < box[3] - 0.12:
        right = box[2] - 0.1 - rng.uniform(0, half_x)
        canvas.paint(canvas.rectangle((box[0] + 0.1, y, right, y + 0.05)), ink, 0.7)
        y += rng.uniform(0.1, 0.2)


def _door_furniture(rng: Generator, canvas: Canvas, position: tuple[float, float]) -> None:
    """A panel of a door or a shutter, raised or sunk."""
    half_x, half_y = rng.uniform(0.6, 2.5), rng.uniform(0.6, 2.5)
    x = position[0] + (half_x if position[0] > 0 else -half_x)
    box = _around(x, position[1], half_x, half_y)
    if rng.random() < 0.4:
        canvas.paint(canvas.rectangle(box), pick(rng, WALL_COLOURS + WOOD_COLOURS))
    cover = canvas.rectangle(inset(box, 0.08))
    canvas.edge_light(cover, 0.06, rng.uniform(-60, 60))


THINGS: tuple[tuple[Callable[[Generator, Canvas, tuple[float, float]], None], float], ...] = (
    (_slot, 0.1), (_bell, 0.1), (_lamp, 0.06), (_handle, 0.08), (_window, 0.1), (_box, 0.1), (_bush, 0.05),
    (_poster, 0.06), (_door_furniture, 0.12), (_box, 0.04), (_window, 0.04),
)  # fmt: skip
"""Each thing and how often it is tried."""


def write_word(
    rng: Generator, canvas: Canvas, face: Face, keep: Box | None = None, size: float = 0.8
) -> None:
    """Write a word without look-alikes of digits, in the middle or on one side of what is kept free."""
    word = one_of(rng, WORDS)
    line = [scaled(glyph, size) for glyph in set_line(face, word, tracking=rng.uniform(0, 0.1))]
    if keep is not None:
        half_x, half_y = extent(line)[2] + 0.25, extent(line)[3] + 0.1
        x, y = (keep[0] + keep[2]) / 2, (keep[1] + keep[3]) / 2
        above, below = (x, keep[1] - half_y), (x, keep[3] + half_y)
        dx, dy = one_of(rng, (above, below, (keep[0] - half_x, y), (keep[2] + half_x, y)))
        line = [moved(glyph, dx, dy) for glyph in line]
    dark = luma(canvas.pixels.reshape(-1, 3).mean(axis=0)) < 110
    colour = vary(rng, (226, 224, 218) if dark else (36, 36, 40), 12)
    canvas.paint(canvas.ink(line), colour, rng.uniform(0.6, 1))


def _cable(rng: Generator, canvas: Canvas, keep: Box) -> None:
    """A cable, a pipe or a crack beside the number."""
    view = canvas.box
    edge, side = (keep[0], view[0]) if rng.random() < 0.5 else (keep[2], view[2])
    x = edge + (side - edge) * rng.random()
    points = [(x + rng.normal(0, 0.05), y) for y in np.linspace(view[1], view[3], 5).tolist()]
    cover = canvas.polygon(points, rng.uniform(0.03, 0.2))
    canvas.cast(cover, 0.4, 0.08)
    canvas.paint(cover, pick(rng, WALL_COLOURS))
