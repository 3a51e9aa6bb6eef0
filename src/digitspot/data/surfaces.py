"""What numbers hang on: walls, doors and the faces of plates, as flat pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from digitspot.structures import FloatArray

Colour = tuple[int, int, int]

WALL_COLOURS: tuple[Colour, ...] = (
    (205, 196, 178), (226, 222, 214), (150, 146, 140), (186, 160, 122), (112, 116, 120),
    (44, 66, 54), (36, 44, 72), (92, 34, 32), (98, 68, 44), (38, 36, 36), (120, 138, 150), (170, 120, 84),
)  # fmt: skip
"""Plaster, white paint, concrete, sandstone, grey metal; doors in green, navy, red, wood, black."""

BRICK_COLOURS: tuple[Colour, ...] = (
    (142, 72, 54),
    (164, 92, 66),
    (120, 62, 52),
    (176, 140, 104),
    (128, 112, 100),
)

PLATE_COLOURS: tuple[tuple[Colour, Colour], ...] = (
    ((24, 48, 128), (240, 240, 236)), ((236, 236, 230), (24, 24, 26)), ((240, 238, 228), (26, 44, 110)),
    ((28, 28, 30), (236, 234, 228)), ((30, 28, 26), (208, 168, 84)), ((190, 152, 78), (40, 30, 20)),
    ((172, 176, 180), (26, 26, 30)), ((22, 78, 50), (236, 236, 230)), ((150, 28, 32), (240, 238, 232)),
    ((70, 76, 82), (214, 216, 218)), ((232, 220, 186), (92, 48, 30)), ((228, 190, 50), (24, 24, 24)),
)  # fmt: skip
"""Face and ink of plates: enamel blue and white, brass, aluminium, slate, house green and so on."""

INK_COLOURS: tuple[Colour, ...] = (
    (22, 22, 24), (240, 240, 236), (196, 158, 82), (188, 192, 196), (74, 46, 28), (30, 44, 96), (150, 34, 30),
)  # fmt: skip
"""Digits without a plate: black iron, white, brass, steel, bronze, painted blue and red."""


def draw_wall(rng: np.random.Generator, size_hw: tuple[int, int]) -> Image.Image:
    """Draw the surface behind a number, as an RGB image of (height, width)."""
    kinds: tuple[Callable[[np.random.Generator, tuple[int, int]], FloatArray], ...]
    kinds = (_plain, _stucco, _bricks, _boards, _frame)
    kind = kinds[rng.choice(len(kinds), p=(0.24, 0.22, 0.2, 0.17, 0.17))]
    stains = clouds(rng, size_hw, cells=3) * rng.uniform(2, 12)
    return Image.fromarray(np.clip(kind(rng, size_hw) + stains, 0, 255).astype(np.uint8))


def vary(rng: np.random.Generator, colour: Colour, spread: float = 12) -> FloatArray:
    """Return a colour near the one given, float32 `[3]` in 0..255: brighter or darker, slightly tinted."""
    varied = np.array(colour, np.float32) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return np.asarray(np.clip(varied, 0, 255), np.float32)


def clouds(rng: np.random.Generator, size_hw: tuple[int, int], cells: int) -> FloatArray:
    """Return smooth noise of mean 0 and deviation about 1, `[H, W, 1]`; `cells` across the short side."""
    height, width = size_hw
    short = min(height, width)
    grid = rng.normal(0, 1, (max(2, height * cells // short), max(2, width * cells // short)))
    smooth = Image.fromarray(grid.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)[..., None]


def luma(colour: FloatArray) -> float:
    """Return the brightness of a colour in 0..255 (ITU-R BT.601)."""
    return float(colour @ np.array([0.299, 0.587, 0.114], np.float32))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> FloatArray:
    return vary(rng, colours[rng.integers(len(colours))])


def _plain(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """Paint, running from one shade into another."""
    height, width = size_hw
    first, second = _pick(rng, WALL_COLOURS), rng.normal(0, 14, 3)
    along = (
        np.linspace(0, 1, width)[None, :, None]
        if rng.random() < 0.5
        else np.linspace(0, 1, height)[:, None, None]
    )
    return np.asarray(np.broadcast_to(first + second * along, (height, width, 3)), np.float32)


def _stucco(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """Rough plaster or stone: grain of two sizes."""
    grain = clouds(rng, size_hw, cells=int(rng.integers(18, 40))) * rng.uniform(5, 15)
    lumps = clouds(rng, size_hw, cells=int(rng.integers(6, 12))) * rng.uniform(3, 10)
    return np.asarray(_pick(rng, WALL_COLOURS) + grain + lumps, np.float32)


def _bricks(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """Courses of bricks, every other one shifted by half a brick, each brick of its own shade."""
    height, width = size_hw
    base, mortar = _pick(rng, BRICK_COLOURS), vary(rng, (176, 168, 156))
    course = max(8, round(height * rng.uniform(0.16, 0.34)))
    brick, joint = round(course * rng.uniform(2.2, 3.2)), max(1, round(course * rng.uniform(0.08, 0.15)))
    image = Image.new("RGB", (width, height), _rgb(mortar))
    draw = ImageDraw.Draw(image)
    for row, top in enumerate(range(-int(rng.integers(course)), height, course)):
        for left in range(-brick if row % 2 else -brick // 2, width, brick):
            colour = _rgb(base + rng.normal(0, 10) + rng.normal(0, 3, 3))
            draw.rectangle((left, top, left + brick - joint - 1, top + course - joint - 1), fill=colour)
    grain = clouds(rng, size_hw, cells=30) * rng.uniform(3, 8)
    return np.asarray(image, np.float32) + grain


def _boards(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """Boards side by side with dark gaps and grain along them."""
    height, width = size_hw
    upright = rng.random() < 0.4
    across, along = (width, height) if upright else (height, width)
    board = max(10, round(min(size_hw) * rng.uniform(0.3, 0.7)))
    gap = max(1, board // 18)
    position = np.arange(across) + rng.integers(board)
    shade = rng.normal(0, 7, across // board + 3)[position // board]
    shade = np.where(position % board < gap, -45, shade)[:, None]
    grain = rng.normal(0, rng.uniform(1, 5), (across, 1)) + clouds(rng, (across, along), cells=5)[..., 0] * 3
    field = (shade + grain)[..., None] + _pick(rng, WALL_COLOURS)
    return np.asarray(field.transpose(1, 0, 2) if upright else field, np.float32)


def _frame(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """A wall and, at one side, something else: a door frame, a window, the sky."""
    width = size_hw[1]
    field = _stucco(rng, size_hw) if rng.random() < 0.5 else _plain(rng, size_hw)
    edge = round(width * rng.uniform(0.08, 0.24))
    strip = np.s_[:, :edge] if rng.random() < 0.5 else np.s_[:, width - edge :]
    field = field.copy()
    field[strip] = _pick(rng, WALL_COLOURS) + clouds(rng, size_hw, cells=6)[strip] * 5
    return field


def _rgb(colour: npt.NDArray[np.floating]) -> Colour:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
