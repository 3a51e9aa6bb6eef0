"""Colours as they stand in the street, and how well they stand out from each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitspot.types import FloatArray

Colour = tuple[int, int, int]

WALL_COLOURS: tuple[Colour, ...] = (
    (205, 196, 178), (226, 222, 214), (150, 146, 140), (186, 160, 122), (112, 116, 120), (212, 206, 196),
    (44, 66, 54), (36, 44, 72), (92, 34, 32), (98, 68, 44), (38, 36, 36), (120, 138, 150), (170, 120, 84),
    (234, 232, 228), (188, 178, 160), (160, 148, 130), (206, 184, 150), (84, 82, 80), (60, 58, 60),
    (200, 170, 110), (140, 160, 180), (122, 104, 88), (216, 190, 172), (176, 182, 178), (30, 34, 40),
)  # fmt: skip
"""Plaster, white paint, concrete, sandstone, grey metal; doors in green, navy, red, wood, black."""

BRICK_COLOURS: tuple[Colour, ...] = (
    (142, 72, 54), (164, 92, 66), (120, 62, 52), (176, 140, 104), (128, 112, 100), (96, 58, 50),
    (110, 84, 72), (190, 160, 124), (86, 74, 70), (150, 106, 84), (74, 48, 44),
)  # fmt: skip

WOOD_COLOURS: tuple[Colour, ...] = (
    (120, 82, 52), (156, 112, 70), (92, 60, 40), (70, 46, 34), (176, 138, 96), (110, 98, 86), (64, 50, 44),
)  # fmt: skip

LEAF_COLOURS: tuple[Colour, ...] = ((62, 84, 40), (88, 104, 50), (48, 62, 38), (120, 120, 60), (70, 92, 64))

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


def vary(rng: np.random.Generator, colour: Colour, spread: float = 12) -> FloatArray:
    """Return a colour near the one given, float32 `[3]` in 0..255: brighter or darker, slightly tinted."""
    varied = np.array(colour, np.float32) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return np.asarray(np.clip(varied, 0, 255), np.float32)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 12) -> FloatArray:
    """Choose one of some colours and vary it."""
    return vary(rng, colours[int(rng.integers(len(colours)))], spread)


def luma(colour: npt.NDArray[np.floating]) -> float:
    """Return the brightness of a colour in 0..255 (ITU-R BT.601)."""
    return float(colour @ np.array([0.299, 0.587, 0.114]))


def ink_on(rng: np.random.Generator, ground: FloatArray, min_contrast: float) -> FloatArray:
    """Choose a colour for digits that stands out from the ground, `[3]`, by `min_contrast` of brightness."""
    behind = luma(ground)
    for _ in range(12):
        colour = pick(rng, INK_COLOURS)
        if abs(luma(colour) - behind) >= min_contrast:
            return colour
    return np.full(3, 232.0 if behind < 128 else 26.0, np.float32)
