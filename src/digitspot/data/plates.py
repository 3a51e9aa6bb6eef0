"""One generated scene: a number on a plate or a wall, with the exact box of every digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from digitspot.data.camera import Viewpoint, choose_viewpoint
from digitspot.data.surfaces import INK_COLOURS, PLATE_COLOURS, clouds, draw_wall, luma, vary
from digitspot.data.typefaces import Typeface, font_of_height
from digitspot.structures import FloatArray

INK_SCALE = 4
"""Digits are drawn and measured at four times the picture's resolution: boxes hold to a quarter pixel."""

_WALL_SCALE = 2
_MIN_CONTRAST = 70.0
_NUM_COLOUR_TRIES = 12


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How much of the surroundings a picture shows, in digit heights.

    Attributes:
        digit_height: Median in pixels; single pictures go from 15 to 50.
        above: Least and most height of the picture.
        beside: Least and most width that the picture has beside the number.
    """

    digit_height: float
    above: tuple[float, float]
    beside: tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A picture before the camera has spoilt it.

    Attributes:
        image: float32 `[H, W, 3]` in 0..255.
        boxes: float32 `[N, 4]`, the tight box of each character's ink, in the text's order.
        inks: float32 `[N, H, W]`, how much of each pixel a character covers, in 0..1.
        digit_height: In pixels, as drawn.
    """

    image: FloatArray
    boxes: FloatArray
    inks: FloatArray
    digit_height: float


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of text set in type; lengths in pixels of the layer, `density` of them to one of the scene."""

    text: str
    typeface: Typeface
    height: int
    density: tuple[float, float]
    tracking: float
    stroke: int

    @cached_property
    def starts(self) -> list[float]:
        """Where each character starts, and where one more would."""
        font = font_of_height(self.typeface, self.height)
        advances = [font.getlength(character) + self.tracking for character in self.text]
        return list(accumulate(advances, initial=0.0))

    @property
    def size_wh(self) -> tuple[float, float]:
        """Width and height in pixels of the scene; no text is as wide as two or three characters."""
        height = self.height / self.density[1]
        if not self.text:
            return 1.8 * height, height
        return (self.starts[-1] - self.tracking) / self.density[0], height

    def layers(self, size_hw: tuple[int, int], drop: Sequence[float]) -> list[Image.Image]:
        """Draw each character alone, the line centred; `drop` lowers single ones by a part of the height."""
        size = (round(size_hw[1] * self.density[0]), round(size_hw[0] * self.density[1]))
        left = (size[0] - self.starts[-1] + self.tracking) / 2
        baseline = (size[1] + self.height) / 2
        font = font_of_height(self.typeface, self.height)
        drawn = []
        for character, start, lower in zip(self.text, self.starts, drop, strict=False):
            layer = Image.new("L", size)
            place = (left + start, baseline + lower * self.height)
            ImageDraw.Draw(layer).text(place, character, 255, font, anchor="ls", stroke_width=self.stroke)
            drawn.append(layer)
        return drawn


def draw_scene(rng: np.random.Generator, text: str, typefaces: Sequence[Typeface], framing: Framing) -> Scene:
    """Draw a text (a number, a word, or nothing) on a wall, with or without a plate."""
    line = _choose_line(rng, text, typefaces, framing)
    angle = float(np.clip(rng.normal(0, 0.055), -0.17, 0.17))
    view = choose_viewpoint(rng, _choose_size(rng, line, framing, angle), angle)
    image = _see_wall(rng, view)
    drop = rng.normal(0, 0.05, len(text)) if rng.random() < 0.2 else np.zeros(len(text))
    seen = [view.see(layer, line.density, INK_SCALE) for layer in line.layers(view.size_hw, drop.tolist())]
    inks = np.stack([_coverage(layer, INK_SCALE) for layer in seen]) if seen else np.zeros((0, *view.size_hw))
    if rng.random() < 0.68:
        image, colour = _hang_plate(rng, image, view, line)
    else:
        image, colour = _mount_loose(rng, image, inks)
    image = _paint(image, inks.max(axis=0, initial=0.0), colour)
    boxes = np.array([_ink_box(layer) for layer in seen], np.float32).reshape(-1, 4)
    digit_height = line.height / INK_SCALE
    return Scene(image=image, boxes=boxes, inks=np.asarray(inks, np.float32), digit_height=digit_height)


def _choose_line(
    rng: np.random.Generator, text: str, typefaces: Sequence[Typeface], framing: Framing
) -> _Line:
    """Choose typeface (every family as often as any other), size, width, spacing and weight."""
    families = sorted({typeface.family for typeface in typefaces})
    family = families[rng.integers(len(families))]
    members = [typeface for typeface in typefaces if typeface.family == family]
    height = round(INK_SCALE * float(np.clip(framing.digit_height * math.exp(rng.normal(0, 0.3)), 15, 50)))
    return _Line(
        text=text,
        typeface=members[rng.integers(len(members))],
        height=height,
        density=(INK_SCALE / rng.uniform(0.78, 1.1), INK_SCALE),
        tracking=height * rng.uniform(0.0, 0.22),
        stroke=round(height * rng.uniform(0, 0.03)),
    )


def _choose_size(rng: np.random.Generator, line: _Line, framing: Framing, angle: float) -> tuple[int, int]:
    """Choose the picture's (height, width) so that the turned number stays inside."""
    width, height = line.size_wh
    turned = abs(math.sin(angle)) * width
    tall = height * rng.uniform(*framing.above) + turned
    wide = width * 1.06 + height * rng.uniform(*framing.beside)
    return math.ceil(tall), math.ceil(wide)


def _see_wall(rng: np.random.Generator, view: Viewpoint) -> FloatArray:
    """Draw a wall larger than the picture and look at it."""
    height, width = view.size_hw
    pad_y, pad_x = math.ceil(0.14 * height + 0.13 * width), math.ceil(0.14 * width + 0.13 * height)
    wall = draw_wall(rng, ((height + 2 * pad_y) * _WALL_SCALE, (width + 2 * pad_x) * _WALL_SCALE))
    seen = view.see(wall, (_WALL_SCALE, _WALL_SCALE), _WALL_SCALE, (-pad_x, -pad_y))
    return np.asarray(seen.reduce(_WALL_SCALE), np.float32)


def _hang_plate(
    rng: np.random.Generator, image: FloatArray, view: Viewpoint, line: _Line
) -> tuple[FloatArray, FloatArray]:
    """Put a plate behind the number; return the picture and the colour of the plate's ink."""
    face, ink = (vary(rng, colour, 8) for colour in PLATE_COLOURS[rng.integers(len(PLATE_COLOURS))])
    width, height = line.size_wh
    center_x, center_y = view.size_hw[1] / 2, view.size_hw[0] / 2
    half_x = width / 2 + height * rng.uniform(0.22, 0.75)
    half_y = height / 2 + height * rng.uniform(0.16, 0.42)
    outline = (center_x - half_x, center_y - half_y, center_x + half_x, center_y + half_y)
    radius = min(half_x, half_y) * rng.choice([0.0, 0.12, 0.3, 1.0], p=[0.3, 0.35, 0.25, 0.1])

    body = _see_shape(view, outline, radius)
    image = _cast_shadow(image, body, rng.uniform(0.2, 0.6), height * rng.uniform(0.02, 0.1))
    sheen = clouds(rng, view.size_hw, cells=2) * rng.uniform(1, 9)
    image = _paint(image, body, face + sheen)
    if rng.random() < 0.55:
        inset, thick = height * rng.uniform(0.05, 0.1), max(0.8, height * rng.uniform(0.03, 0.06))
        image = _paint(image, _see_shape(view, _shrink(outline, inset), radius - inset, thick), ink)
    if rng.random() < 0.3:
        image = _drive_screws(rng, image, view, _shrink(outline, height * 0.14), height * 0.06)
    return image, ink


def _mount_loose(
    rng: np.random.Generator, image: FloatArray, inks: npt.NDArray[np.floating]
) -> tuple[FloatArray, FloatArray]:
    """Mount or paint the digits on the wall itself; return the picture and a colour that stands out."""
    behind = luma(image.reshape(-1, 3).mean(axis=0))
    colour = vary(rng, INK_COLOURS[rng.integers(len(INK_COLOURS))])
    for _ in range(_NUM_COLOUR_TRIES):
        if abs(luma(colour) - behind) >= _MIN_CONTRAST:
            break
        colour = vary(rng, INK_COLOURS[rng.integers(len(INK_COLOURS))])
    else:
        colour = np.full(3, 235.0 if behind < 128 else 25.0, np.float32)
    if rng.random() < 0.6:
        cover = np.asarray(inks.max(axis=0, initial=0.0), np.float32)
        image = _cast_shadow(image, cover, rng.uniform(0.2, 0.6), rng.uniform(0.6, 2.2))
    return image, colour


def _see_shape(
    view: Viewpoint, outline: tuple[float, float, float, float], radius: float, thick: float = 0.0
) -> FloatArray:
    """Return the coverage, `[H, W]`, of a rounded rectangle or, `thick` pixels wide, of its outline."""
    layer = Image.new("L", (view.size_hw[1] * INK_SCALE, view.size_hw[0] * INK_SCALE))
    place = tuple(round(value * INK_SCALE) for value in outline)
    radius = max(0.0, radius) * INK_SCALE
    draw = ImageDraw.Draw(layer)
    if thick:
        draw.rounded_rectangle(place, radius, outline=255, width=max(1, round(thick * INK_SCALE)))
    else:
        draw.rounded_rectangle(place, radius, fill=255)
    return _coverage(view.see(layer, (INK_SCALE, INK_SCALE), _WALL_SCALE), _WALL_SCALE)


def _drive_screws(
    rng: np.random.Generator,
    image: FloatArray,
    view: Viewpoint,
    corners: tuple[float, float, float, float],
    radius: float,
) -> FloatArray:
    """Put a screw into the middle of each short side, or into each corner."""
    left, top, right, bottom = corners
    ys = (top, bottom) if rng.random() < 0.5 else ((top + bottom) / 2,)
    metal = vary(rng, (150, 146, 138), 25)
    for x in (left, right):
        for y in ys:
            head = _see_shape(view, (x - radius, y - radius, x + radius, y + radius), radius)
            image = _paint(image, head, metal)
    return image


def _shrink(outline: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return outline[0] + by, outline[1] + by, outline[2] - by, outline[3] - by


def _cast_shadow(image: FloatArray, cover: FloatArray, strength: float, distance: float) -> FloatArray:
    """Darken the picture to the lower right of what covers it."""
    shape = Image.fromarray((cover * 255).astype(np.uint8))
    moved = Image.new("L", shape.size)
    moved.paste(shape, (max(1, round(distance)), max(1, round(distance))))
    soft = np.asarray(moved.filter(ImageFilter.GaussianBlur(distance * 0.6)), np.float32) / 255
    return np.asarray(image * (1 - strength * soft[..., None]), np.float32)


def _paint(image: FloatArray, cover: npt.NDArray[np.floating], colour: FloatArray) -> FloatArray:
    """Lay a colour over the picture where `cover`, `[H, W]`, says."""
    return np.asarray(image + (colour - image) * cover[..., None], np.float32)


def _coverage(layer: Image.Image, scale: int) -> FloatArray:
    """Return how much of each pixel is covered, 0..1, from a layer `scale` times as large."""
    return np.asarray(np.asarray(layer.reduce(scale), np.float32) / 255, np.float32)


def _ink_box(layer: Image.Image) -> tuple[float, float, float, float]:
    """Return the tight box around what is more than half covered, in pixels of the picture."""
    inside = layer.point([0] * 128 + [255] * 128).getbbox()
    assert inside is not None, "a character has no ink inside the picture"
    left, top, right, bottom = inside
    return left / INK_SCALE, top / INK_SCALE, right / INK_SCALE, bottom / INK_SCALE
