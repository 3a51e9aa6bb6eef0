"""What numbers stand on and how they are fixed to it: plates and tiles; painted, screwed on, embossed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from digitspot.synth.canvas import Box, Canvas, Colour, Field, inset, one_of, vary
from digitspot.synth.lettering import Glyph, extent
from digitspot.synth.surfaces import clouds, streaks

PLATE_COLOURS: tuple[tuple[Colour, Colour], ...] = (
    ((24, 48, 128), (240, 240, 236)), ((236, 236, 230), (24, 24, 26)), ((240, 238, 228), (26, 44, 110)),
    ((28, 28, 30), (236, 234, 228)), ((30, 28, 26), (208, 168, 84)), ((190, 152, 78), (40, 30, 20)),
    ((172, 176, 180), (26, 26, 30)), ((22, 78, 50), (236, 236, 230)), ((150, 28, 32), (240, 238, 232)),
    ((70, 76, 82), (214, 216, 218)), ((232, 220, 186), (92, 48, 30)), ((228, 190, 50), (24, 24, 24)),
    ((34, 52, 116), (236, 238, 240)), ((30, 42, 96), (240, 240, 240)), ((240, 240, 238), (20, 20, 22)),
    ((226, 226, 222), (60, 62, 70)), ((120, 92, 62), (44, 32, 22)), ((206, 200, 186), (36, 34, 30)),
    ((236, 232, 220), (160, 36, 30)), ((52, 48, 46), (196, 190, 180)), ((200, 196, 190), (20, 60, 120)),
    ((96, 70, 48), (232, 226, 210)), ((16, 16, 18), (200, 200, 204)), ((238, 236, 232), (96, 90, 84)),
)  # fmt: skip
"""Face and ink of plates: enamel blue and white, brass, aluminium, slate, house green, wood and so on."""

INK_COLOURS: tuple[Colour, ...] = (
    (22, 22, 24), (240, 240, 236), (196, 158, 82), (188, 192, 196), (74, 46, 28), (30, 44, 96), (150, 34, 30),
    (18, 18, 20), (30, 28, 28), (226, 226, 222), (120, 96, 60), (100, 100, 104), (236, 236, 232),
    (52, 44, 40),
)  # fmt: skip
"""Digits without a plate: black iron, white, brass, steel, bronze, painted blue and red."""

OUTLINES = ("square", "rounded", "ellipse", "arch", "notched")
OUTLINE_PROBABILITIES = (0.42, 0.33, 0.1, 0.1, 0.05)


def choose_colours(rng: Generator) -> tuple[Field, Field]:
    """Choose the colours of a plate's face and ink."""
    face, ink = one_of(rng, PLATE_COLOURS)
    return vary(rng, face, 9), vary(rng, ink, 9)


def plate_around(rng: Generator, glyphs: Sequence[Glyph], outline: str) -> Box:
    """Choose the extent of a plate of some outline that holds all characters."""
    left, top, right, bottom = extent(glyphs)
    if outline == "ellipse":
        width, height = right - left, bottom - top
        more = rng.uniform(1.35, 1.7)
        grow_x, grow_y = width * (more - 1) / 2 + 0.12, height * (more - 1) / 2 + 0.12
        return left - grow_x, top - grow_y, right + grow_x, bottom + grow_y
    beside, above, below = rng.uniform(0.1, 0.55), rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.45)
    if outline == "arch":
        above += 0.2
    return left - beside, top - above, right + beside, bottom + below


def hang_plate(rng: Generator, canvas: Canvas, box: Box, outline: str, face: Field, ink: Field) -> None:
    """Draw a plate in the colours of its face and its ink."""
    body = _body(canvas, box, outline)
    thick = rng.uniform(0.02, 0.12)
    canvas.cast(body, rng.uniform(0.2, 0.65), thick, rng.uniform(0.3, 0.8))
    sheen = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(1, 4)) * rng.uniform(1, 9)
    canvas.paint(body, face + sheen)
    if rng.random() < 0.45:
        _rim(rng, canvas, box, outline, ink)
    if rng.random() < 0.5:
        canvas.edge_light(body, rng.uniform(0.02, 0.05), rng.uniform(10, 60), inside=True)
    if rng.random() < 0.35:
        _screws(rng, canvas, box)
    if rng.random() < 0.25:
        _age(rng, canvas, body)


def hang_tiles(rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], face: Field) -> None:
    """Put each digit on a tile of its own."""
    gap = rng.uniform(0.01, 0.06)
    above, side = rng.uniform(0.1, 0.3), rng.uniform(0.06, 0.14)
    inks = [extent([glyph]) for glyph in glyphs]
    boxes = [(ink[0] - side, ink[1] - above, ink[2] + side, ink[3] + above) for ink in inks]
    edges = [(before[2] + after[0]) / 2 for before, after in pairwise(boxes)]
    starts, ends = [boxes[0][0], *edges], [*edges, boxes[-1][2]]
    in_line = all(end > start for start, end in zip(starts, ends, strict=True))
    for box, start, end in zip(boxes, starts, ends, strict=True):
        cover = canvas.rectangle((start + gap, box[1], end - gap, box[3]) if in_line else box, 0.04)
        canvas.cast(cover, 0.35, 0.04)
        canvas.paint(cover, face + rng.normal(0, 5))
        canvas.edge_light(cover, 0.03, rng.uniform(10, 50), inside=True)


def _body(canvas: Canvas, box: Box, outline: str) -> Field:
    left, top, right, bottom = box
    short = min(right - left, bottom - top)
    if outline == "ellipse":
        return canvas.ellipse(box)
    if outline == "arch":
        cap = canvas.ellipse((left, top, right, top + (bottom - top) * 0.9))
        return np.maximum(cap, canvas.rectangle((left, top + (bottom - top) * 0.42, right, bottom)))
    if outline == "notched":
        cut = short * 0.12
        whole = np.maximum(
            canvas.rectangle((left + cut, top, right - cut, bottom)),
            canvas.rectangle((left, top + cut, right, bottom - cut)),
        )
        return whole
    return canvas.rectangle(box, short * (0.16 if outline == "rounded" else 0.01))


def _rim(rng: Generator, canvas: Canvas, box: Box, outline: str, ink: Field) -> None:
    """Draw a line along the edge."""
    inner, line = inset(box, rng.uniform(0.0, 0.08)), rng.uniform(0.025, 0.07)
    if outline == "ellipse":
        canvas.paint(canvas.ellipse(inner, line), ink)
    elif outline in ("square", "rounded"):
        radius = min(inner[2] - inner[0], inner[3] - inner[1]) * (0.14 if outline == "rounded" else 0.01)
        canvas.paint(canvas.rectangle(inner, radius, line), ink)


def _screws(rng: Generator, canvas: Canvas, box: Box) -> None:
    """Put a screw into the middle of each short side, or into each corner; some of them rust."""
    left, top, right, bottom = inset(box, 0.09)
    ys = (top, bottom) if rng.random() < 0.5 else ((top + bottom) / 2,)
    metal, radius = vary(rng, (140, 134, 124), 35), rng.uniform(0.025, 0.05)
    rust = vary(rng, (120, 70, 40), 10)
    for x in (left, right):
        for y in ys:
            if rng.random() < 0.2:
                run = canvas.rectangle((x - radius, y, x + radius, y + rng.uniform(0.2, 0.6)))
                canvas.paint(canvas.softened(run, 0.05), rust, 0.6)
            canvas.paint(canvas.disc(x, y, radius), metal)


def _age(rng: Generator, canvas: Canvas, body: Field) -> None:
    """Let a plate rust, chip or get dirty."""
    patches = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.3, 1.0))[..., 0]
    cover = np.clip((patches - rng.uniform(0.6, 1.5)) * 2, 0, 1) * body
    canvas.paint(cover, vary(rng, (116, 72, 44), 14), rng.uniform(0.3, 0.8))
    if rng.random() < 0.5:
        dirt = streaks(rng, canvas.size_hw, canvas.scale)[..., 0] * body
        canvas.paint(np.clip(dirt, 0, 1), vary(rng, (80, 72, 62), 10), 0.35)


def paint_on(rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: Field) -> None:
    """Paint or print digits; old paint wears off in patches."""
    ink = canvas.ink(glyphs)
    if rng.random() < 0.22:
        worn = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.08, 0.4))[..., 0]
        ink = ink * np.clip(1.2 - rng.uniform(0.2, 0.8) * np.clip(worn, 0, 2), 0.15, 1)
    if rng.random() < 0.12:
        edge = np.clip(canvas.softened(canvas.ink(glyphs), 0.035) * 2.4, 0, 1)
        canvas.paint(edge, _opposite(rng, colour))
    canvas.paint(ink, colour, rng.uniform(0.75, 1.0))


def screw_on(rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: Field) -> None:
    """Mount digits of some thickness, each by itself: a shadow, sides, and light on the edges."""
    ink = canvas.ink(glyphs)
    if rng.random() < 0.75:
        distance = rng.uniform(0.03, 0.14)
        canvas.cast(ink, rng.uniform(0.25, 0.7), distance, rng.uniform(0.2, 0.7))
    depth = rng.uniform(0.0, 0.07)
    if depth > 0.02:
        steps = max(1, round(depth * canvas.scale))
        for step in range(steps, 0, -1):
            canvas.paint(canvas.shifted(ink, depth * step / steps), colour * rng.uniform(0.35, 0.6))
    canvas.paint(ink, _sheen(rng, canvas, colour))
    canvas.edge_light(ink, rng.uniform(0.015, 0.045), rng.uniform(5, 70), inside=True)


def emboss(rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: Field) -> None:
    """Press or carve digits into the ground: only light and shadow, with or without a little paint."""
    ink = canvas.ink(glyphs)
    raised = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.75:
        canvas.paint(ink, colour, rng.uniform(0.3, 0.9))
    else:
        canvas.shade(ink, rng.uniform(0.2, 0.45))
    canvas.edge_light(ink, rng.uniform(0.03, 0.06), raised * rng.uniform(35, 90))


def outline(rng: Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: Field) -> None:
    """Draw hollow digits: their edge in one colour, their inside in another or none."""
    ink = canvas.ink(glyphs)
    soft = canvas.softened(ink, rng.uniform(0.02, 0.035))
    canvas.paint(np.clip(soft * 3.0, 0, 1), colour)
    inner = np.clip(soft * 4 - 2.9, 0, 1)
    canvas.paint(inner, _opposite(rng, colour), rng.uniform(0.4, 1))


MOUNTINGS = (paint_on, screw_on, emboss, outline)


def _sheen(rng: Generator, canvas: Canvas, colour: Field) -> Field:
    """Return a colour that runs from top to bottom and in patches, as on metal, `[H, W, 3]`."""
    height = canvas.size_hw[0]
    run = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * rng.uniform(-22, 22)
    patches = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.3, 1.2)) * rng.uniform(0, 14)
    return np.asarray(colour + run + patches, np.float32)


def _opposite(rng: Generator, colour: Field) -> Field:
    """Return white for dark colours and dark for bright ones, roughly."""
    tone = rng.uniform(170, 245) if colour.mean() < 128 else rng.uniform(10, 70)
    return np.full(3, tone, np.float32)
