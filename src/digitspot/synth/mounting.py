"""How digits are fixed to what is behind them: painted, screwed on, cast, cut, embossed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from digitspot.synth.canvas import Canvas
from digitspot.synth.lettering import Glyph
from digitspot.synth.surfaces import clouds
from digitspot.types import FloatArray


def paint_on(rng: np.random.Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: FloatArray) -> None:
    """Paint or print digits; old paint wears off in patches."""
    ink = canvas.ink(glyphs)
    if rng.random() < 0.22:
        worn = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.08, 0.4))[..., 0]
        ink = ink * np.clip(1.2 - rng.uniform(0.2, 0.8) * np.clip(worn, 0, 2), 0.15, 1)
    if rng.random() < 0.12:
        edge = np.clip(canvas.softened(canvas.ink(glyphs), 0.035) * 2.4, 0, 1)
        canvas.paint(edge, _opposite(rng, colour))
    canvas.paint(np.asarray(ink, np.float32), colour, float(rng.uniform(0.75, 1.0)))


def screw_on(rng: np.random.Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: FloatArray) -> None:
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
    light = canvas.relief(ink, rng.uniform(0.015, 0.045)) * ink
    canvas.pixels += (light * rng.uniform(5, 70))[..., None]


def emboss(rng: np.random.Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: FloatArray) -> None:
    """Press or carve digits into the ground: only light and shadow, with or without a little paint."""
    ink = canvas.ink(glyphs)
    raised = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.75:
        canvas.paint(ink, colour, float(rng.uniform(0.3, 0.9)))
    else:
        canvas.shade(ink, float(rng.uniform(0.2, 0.45)))
    light = canvas.relief(ink, rng.uniform(0.03, 0.06))
    canvas.pixels += (light * raised * rng.uniform(35, 90))[..., None]


def outline(rng: np.random.Generator, canvas: Canvas, glyphs: Sequence[Glyph], colour: FloatArray) -> None:
    """Draw hollow digits: their edge in one colour, their inside in another or none."""
    ink = canvas.ink(glyphs)
    soft = canvas.softened(ink, rng.uniform(0.02, 0.035))
    canvas.paint(np.asarray(np.clip(soft * 3.0, 0, 1), np.float32), colour)
    inner = np.asarray(np.clip(soft * 4 - 2.9, 0, 1), np.float32)
    canvas.paint(inner, _opposite(rng, colour), float(rng.uniform(0.4, 1)))


Mounting = Callable[[np.random.Generator, Canvas, Sequence[Glyph], FloatArray], None]


def _sheen(rng: np.random.Generator, canvas: Canvas, colour: FloatArray) -> FloatArray:
    """Return a colour that runs from top to bottom and in patches, as on metal, `[H, W, 3]`."""
    height = canvas.size_hw[0]
    run = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * rng.uniform(-22, 22)
    patches = clouds(rng, canvas.size_hw, canvas.scale * rng.uniform(0.3, 1.2)) * rng.uniform(0, 14)
    return np.asarray(colour + run + patches, np.float32)


def _opposite(rng: np.random.Generator, colour: FloatArray) -> FloatArray:
    """Return white for dark colours and dark for bright ones, roughly."""
    tone = rng.uniform(170, 245) if colour.mean() < 128 else rng.uniform(10, 70)
    return np.full(3, tone, np.float32)
