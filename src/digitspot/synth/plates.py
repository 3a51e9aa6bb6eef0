"""Plates behind numbers: their outline, rim, gloss, screws, rust and dirt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from digitspot.synth.canvas import Box, Canvas, inset
from digitspot.synth.colours import PLATE_COLOURS, vary
from digitspot.synth.lettering import Glyph, extent
from digitspot.synth.surfaces import clouds, streaks
from digitspot.types import FloatArray

OUTLINES = ("square", "rounded", "ellipse", "arch", "notched")
OUTLINE_PROBABILITIES = (0.42, 0.33, 0.1, 0.1, 0.05)


def choose_colours(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Choose the colours of a plate's face and ink."""
    face, ink = PLATE_COLOURS[int(rng.integers(len(PLATE_COLOURS)))]
    return vary(rng, face, 9), vary(rng, ink, 9)


def plate_around(rng: np.random.Generator, glyphs: Sequence[Glyph], outline: str) -> Box:
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


def hang_plate(
    rng: np.random.Generator, canvas: Canvas, box: Box, outline: str, face: FloatArray, ink: FloatArray
) -> None:
    """Draw a plate in the colours of its face and its ink."""
    body = _body(canvas, box, outline)
    thick = rng.uniform(0.02, 0.12)
    canvas.cast(body, rng.uniform(0.2, 0.65), thick, rng.uniform(0.3, 0.8))
    sheen = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(1, 4)) * rng.uniform(1, 9)
    canvas.paint(body, np.asarray(face + sheen, np.float32))
    if rng.random() < 0.45:
        _rim(rng, canvas, box, outline, ink)
    if rng.random() < 0.5:
        light = canvas.relief(body, rng.uniform(0.02, 0.05)) * body
        canvas.pixels += (light * rng.uniform(10, 60))[..., None]
    if rng.random() < 0.35:
        _screws(rng, canvas, box)
    if rng.random() < 0.25:
        _age(rng, canvas, body)


def hang_tiles(rng: np.random.Generator, canvas: Canvas, glyphs: Sequence[Glyph], face: FloatArray) -> Box:
    """Put each digit on a tile of its own; return the extent of all."""
    left, top, right, bottom = extent(glyphs)
    gap = rng.uniform(0.01, 0.06)
    above, side = rng.uniform(0.1, 0.3), rng.uniform(0.06, 0.14)
    boxes = []
    for glyph in glyphs:
        own = extent([glyph])
        boxes.append((own[0] - side, own[1] - above, own[2] + side, own[3] + above))
    edges = [(before[2] + after[0]) / 2 for before, after in pairwise(boxes)]
    starts, ends = [boxes[0][0], *edges], [*edges, boxes[-1][2]]
    in_line = all(end > start for start, end in zip(starts, ends, strict=True))
    for box, start, end in zip(boxes, starts, ends, strict=True):
        tile = (start + gap, box[1], end - gap, box[3]) if in_line else box
        cover = canvas.rectangle(tile, 0.04)
        canvas.cast(cover, 0.35, 0.04)
        canvas.paint(cover, face + rng.normal(0, 5))
        canvas.pixels += (canvas.relief(cover, 0.03) * cover * rng.uniform(10, 50))[..., None]
    return left - side, top - above, right + side, bottom + above


def _body(canvas: Canvas, box: Box, outline: str) -> FloatArray:
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
        return np.asarray(whole, np.float32)
    return canvas.rectangle(box, short * (0.16 if outline == "rounded" else 0.01))


def _rim(rng: np.random.Generator, canvas: Canvas, box: Box, outline: str, ink: FloatArray) -> None:
    """Draw a line along the edge."""
    inner, line = inset(box, rng.uniform(0.0, 0.08)), rng.uniform(0.025, 0.07)
    if outline == "ellipse":
        canvas.paint(canvas.ellipse(inner, line), ink)
    elif outline in ("square", "rounded"):
        radius = min(inner[2] - inner[0], inner[3] - inner[1]) * (0.14 if outline == "rounded" else 0.01)
        canvas.paint(canvas.rectangle(inner, radius, line), ink)


def _screws(rng: np.random.Generator, canvas: Canvas, box: Box) -> None:
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
            canvas.paint(canvas.ellipse((x - radius, y - radius, x + radius, y + radius)), metal)


def _age(rng: np.random.Generator, canvas: Canvas, body: FloatArray) -> None:
    """Let a plate rust, chip or get dirty."""
    patches = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.3, 1.0))[..., 0]
    cover = np.clip((patches - rng.uniform(0.6, 1.5)) * 2, 0, 1) * body
    canvas.paint(np.asarray(cover, np.float32), vary(rng, (116, 72, 44), 14), float(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.5:
        dirt = streaks(rng, canvas.size_hw, canvas.scale)[..., 0] * body
        canvas.paint(np.asarray(np.clip(dirt, 0, 1), np.float32), vary(rng, (80, 72, 62), 10), 0.35)
