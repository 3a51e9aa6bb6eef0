"""What numbers hang on and what is around them: flat textures made by procedure.

Each takes (rng, size_hw, scale) and returns float32 `[H, W, 3]`, about 0..255; `scale` is pixels to the
height of a digit, some 10 cm.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from digitspot.synth.canvas import Colour, Field, one_of, pick, vary

Size = tuple[int, int]
Texture = Callable[[Generator, Size, float], Field]

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


def draw_wall(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Draw one of the walls, stained."""
    kind = WALLS[rng.choice(len(WALLS), p=WALL_PROBABILITIES)]
    wall = kind(rng, size_hw, scale)
    if rng.random() < 0.6:
        wall = wall + clouds(rng, size_hw, scale * rng.uniform(1, 4)) * rng.uniform(1, 9)
    if rng.random() < 0.2:
        wall = wall - streaks(rng, size_hw, scale) * rng.uniform(6, 28)
    return np.asarray(wall, np.float32)


def clouds(rng: Generator, size_hw: Size, cell: float, cell_across: float | None = None) -> Field:
    """Return smooth noise of mean 0 and deviation about 1, `[H, W, 1]`.

    Args:
        rng: Chooses it.
        size_hw: (height, width) in pixels.
        cell: Height of a cell in pixels.
        cell_across: Its width, the height where None.
    """
    height, width = size_hw
    rows, columns = round(height / cell) + 2, round(width / (cell_across or cell)) + 2
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)[..., None]


def grain(rng: Generator, size_hw: Size, cell: float, octaves: int = 3) -> Field:
    """Return noise of several sizes at once, the largest `cell` pixels wide, `[H, W, 1]`."""
    field = clouds(rng, size_hw, cell)
    for octave in range(1, octaves):
        size = cell / 2.2**octave
        if size < 1:
            break
        field = field + clouds(rng, size_hw, size) * 0.65**octave
    return field


def streaks(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Return what rain leaves, `[H, W, 1]` in 0..1: stripes that run down and fade."""
    height = size_hw[0]
    across = clouds(rng, size_hw, height, scale * rng.uniform(0.15, 0.6))
    along = np.linspace(1, rng.uniform(0, 0.7), height, dtype=np.float32)[:, None, None]
    return np.asarray(np.clip(across - 0.3, 0, 1.2) * along, np.float32)


def plain(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Paint, running a little from one shade into another."""
    height, width = size_hw
    ys, xs = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    slope = ys * rng.normal(0, 6) + xs * rng.normal(0, 6)
    return np.asarray(pick(rng, WALL_COLOURS) + slope[..., None], np.float32)


def plaster(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Rough plaster lit from the side."""
    bumps = grain(rng, size_hw, max(1.5, scale * rng.uniform(0.05, 0.3)), octaves=4)
    lit = bumps - np.roll(bumps, (1, 1), (0, 1))
    field = pick(rng, WALL_COLOURS) + lit * rng.uniform(3, 14) + bumps * rng.uniform(0, 4)
    return field


def pebbledash(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Pebbles of two colours thrown at a wall."""
    speck = clouds(rng, size_hw, max(1.2, scale * rng.uniform(0.02, 0.05)))
    base, other = pick(rng, WALL_COLOURS), rng.normal(0, 15)
    return np.asarray(base + np.clip(speck, -1.5, 1.5) * other + rng.normal(0, 4, 3) * speck, np.float32)


def concrete(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Concrete or old render: patches, pores, now and then a crack."""
    shade = rng.uniform(70, 200)
    field = vary(rng, (int(shade + 4), int(shade), int(shade - 8)), 6) + grain(rng, size_hw, scale * 1.5) * 7
    field = field - np.clip(clouds(rng, size_hw, max(1.2, scale * 0.06)) - 1.5, 0, 1) * 60
    if rng.random() < 0.3:
        layer = Image.new("L", size_hw[::-1])
        _crack(rng, ImageDraw.Draw(layer), size_hw, scale)
        field = field - (np.asarray(layer, np.float32) * rng.uniform(0.15, 0.4))[..., None]
    return np.asarray(field, np.float32)


def _crack(rng: Generator, draw: ImageDraw.ImageDraw, size_hw: Size, scale: float) -> None:
    height, width = size_hw
    x, y = rng.uniform(0, width), 0.0
    points: list[tuple[float, float]] = []
    while y < height and len(points) < 60:
        points.append((x, y))
        x, y = x + rng.normal(0, 0.25) * scale, y + rng.uniform(0.05, 0.5) * scale
    draw.line(points, 255, max(1, round(scale * 0.03)))


def bricks(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Courses of bricks, each of its own shade; sometimes all of them painted over."""
    course, ratio = scale * rng.uniform(0.38, 1.0), rng.uniform(2.0, 3.3)
    base = pick(rng, BRICK_COLOURS)
    mortar = pick(rng, ((176, 168, 156), (140, 132, 124), (196, 190, 180), (90, 84, 80), (214, 210, 204)))
    spread = rng.uniform(4, 18)
    if rng.random() < 0.16:
        base, spread = pick(rng, WALL_COLOURS), 3.0
        mortar = base - rng.uniform(10, 40)
    return _courses(
        rng, size_hw, course, course * ratio, course * rng.uniform(0.1, 0.2), base, mortar, spread
    )


def blocks(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Large stones with thin joints."""
    base = pick(rng, WALL_COLOURS[:4] + WALL_COLOURS[14:17])
    course = scale * rng.uniform(1.4, 3.5)
    joint = scale * rng.uniform(0.04, 0.12)
    return _courses(rng, size_hw, course, course * rng.uniform(1.2, 2.4), joint, base, base - 45, 7.0)


def tiles(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Ceramic tiles, joint above joint."""
    side, base = scale * rng.uniform(0.6, 2.2), pick(rng, WALL_COLOURS)
    joint, mortar = scale * rng.uniform(0.03, 0.08), base + rng.choice([-40, 40])
    field = _courses(rng, size_hw, side, side * rng.uniform(0.8, 2), joint, base, mortar, 4.0, bond=0.0)
    return field + clouds(rng, size_hw, scale * 3) * 8


def _courses(
    rng: Generator,
    size_hw: Size,
    course: float,
    brick: float,
    joint: float,
    base: Field,
    mortar: Field,
    spread: float,
    bond: float = 0.5,
) -> Field:
    """Lay bricks of the given sizes in pixels, every other course shifted by `bond` of a brick."""
    height, width = size_hw
    course, brick, joint = max(3.0, course), max(6.0, brick), max(0.6, joint)
    image = Image.new("RGB", (width, height), _rgb(mortar))
    draw = ImageDraw.Draw(image)
    top, row = -rng.uniform(0, course), 0
    start = rng.uniform(0, brick)
    num_rows, num_columns = int(height / course) + 2, int(width / brick) + 3
    shades = (
        base
        + rng.normal(0, spread, (num_rows, num_columns, 1))
        + rng.normal(0, spread / 3, (num_rows, num_columns, 3))
    )
    for row in range(num_rows):
        y = top + row * course
        x = -start - (row % 2) * bond * brick
        for column in range(num_columns):
            draw.rectangle((x, y, x + brick - joint, y + course - joint), fill=_rgb(shades[row, column]))
            x += brick
    field = np.asarray(image.filter(ImageFilter.SMOOTH), np.float32)
    rough = clouds(rng, size_hw, max(1.2, course * 0.12)) * rng.uniform(2, 9)
    return np.asarray(field + rough, np.float32)


def boards(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Boards side by side: siding with a shadow below each, or planks with grain."""
    height, width = size_hw
    upright = rng.random() < 0.4
    across, along = (width, height) if upright else (height, width)
    is_wood = rng.random() < 0.5
    colour = pick(rng, WOOD_COLOURS if is_wood else WALL_COLOURS)
    board = max(4.0, scale * rng.uniform(0.7, 2.2))
    position = (np.arange(across) + rng.uniform(0, board)) / board
    number, within = position.astype(int), position % 1
    shade = rng.normal(0, 9 if is_wood else 2.5, number.max() + 1)[number]
    gap, depth = max(1.2 / board, rng.uniform(0.03, 0.1)), rng.uniform(18, 60)
    shade = shade - depth * np.clip(1 - within / gap, 0, 1) + 6 * within
    fibre = max(1.3, scale * 0.05)
    lengthwise = clouds(rng, (across, along), fibre, fibre * 25)
    field = shade[:, None, None] + lengthwise * (7 if is_wood else 1.5) + colour
    return np.asarray(field.transpose(1, 0, 2) if upright else field, np.float32)


def metal(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Sheet metal: brushed, or folded into ribs like a garage door."""
    height, width = size_hw
    tone = rng.uniform(60, 210)
    colour = (
        vary(rng, (int(tone), int(tone), int(tone + 4)), 6) if rng.random() < 0.6 else pick(rng, WALL_COLOURS)
    )
    brushed = clouds(rng, size_hw, 1.3, width) * rng.uniform(0, 5)
    sheen = clouds(rng, size_hw, height, max(2.0, scale * 3)) * rng.uniform(3, 14)
    field = colour + brushed + sheen
    if rng.random() < 0.35:
        wave = np.sin(np.arange(width) * 2 * np.pi / (scale * rng.uniform(0.4, 1.6)))
        field = field + wave[None, :, None] * rng.uniform(6, 25)
    return np.asarray(field, np.float32)


def foliage(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Leaves, lit and in the shade of others."""
    colour = pick(rng, LEAF_COLOURS)
    leaf = max(1.5, scale * rng.uniform(0.12, 0.35))
    light = (
        clouds(rng, size_hw, leaf) + clouds(rng, size_hw, leaf * 3) + clouds(rng, size_hw, leaf * 0.6) * 0.6
    )
    light = np.clip(light, -1.6, 2.2)
    field = colour * (1 + 0.38 * light) + np.clip(light - 1, 0, 2) * (22, 20, 6)
    return np.asarray(field, np.float32)


def glass(rng: Generator, size_hw: Size, scale: float) -> Field:
    """A window: dark, with what it reflects, or lit."""
    colour = vary(rng, (48, 56, 64) if rng.random() < 0.75 else (150, 160, 170), 18)
    field = colour + clouds(rng, size_hw, scale * rng.uniform(1, 3)) * rng.uniform(4, 24)
    height, width = size_hw
    lean = (np.arange(width)[None, :] + np.arange(height)[:, None] * rng.uniform(-1, 1)) / max(2.0, scale)
    return np.asarray(
        field + (np.sin(lean + rng.uniform(0, 6)) > 0.7)[..., None] * rng.uniform(0, 25), np.float32
    )


def sky(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Sky, brighter towards the bottom, with clouds."""
    top, bottom = vary(rng, (150, 178, 214), 20), vary(rng, (216, 222, 230), 14)
    along = np.linspace(0, 1, size_hw[0])[:, None, None]
    cover = np.clip(grain(rng, size_hw, scale * 4) * 0.5, 0, 1)
    field = top + (bottom - top) * along
    return np.asarray(field + (240 - field) * cover, np.float32)


def pavement(rng: Generator, size_hw: Size, scale: float) -> Field:
    """Asphalt or gravel."""
    tone = rng.uniform(70, 150)
    field = vary(rng, (int(tone), int(tone), int(tone)), 5) + grain(rng, size_hw, max(1.3, scale * 0.1)) * 7
    return field


def bars(rng: Generator, size_hw: Size, scale: float) -> Field:
    """A fence or a gate: bars before something dark or green."""
    behind = one_of(rng, (foliage, glass, plain))(rng, size_hw, scale) * rng.uniform(0.35, 0.9)
    step = max(4.0, scale * rng.uniform(0.5, 1.6))
    position = (np.arange(size_hw[1]) + rng.uniform(0, step)) % step / step
    bar = ((position < rng.uniform(0.12, 0.5)) * 1.0)[None, :, None]
    colour = pick(rng, WALL_COLOURS)
    round_off = (np.sin(position * np.pi * 3) * 14)[None, :, None]
    return np.asarray(behind + (colour + round_off - behind) * bar, np.float32)


WALLS: tuple[Texture, ...] = (
    plain, plaster, pebbledash, concrete, bricks, blocks, tiles, boards, metal, foliage, bars,
)  # fmt: skip
WALL_PROBABILITIES = (0.26, 0.15, 0.04, 0.08, 0.2, 0.05, 0.02, 0.11, 0.05, 0.01, 0.03)


def _rgb(colour: Field) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
