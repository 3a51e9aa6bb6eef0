"""A flat scene in colours, and the few ways to paint on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from digitspot.synth.lettering import Glyph
from digitspot.types import DoubleArray

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the scene's unit, a digit's height."""
Field = npt.NDArray[np.floating]
"""Colours or coverage, `[H, W, 3]`, `[H, W]` or `[3]`."""
Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""
T = TypeVar("T")


def one_of(rng: Generator, items: Sequence[T]) -> T:
    """Choose one of some things, each as often as any other."""
    return items[int(rng.integers(len(items)))]


class Canvas:
    """What the camera will look at: float32 pixels of the part of the scene that it sees.

    Args:
        corner: x and y in the scene of the top left corner.
        size: Width and height in the scene's unit.
        scale: Pixels to the unit.
        light: Unit vector from which the light comes, x and y; shadows fall the other way.

    Attributes:
        pixels: float32 `[H, W, 3]`, about 0..255.
    """

    def __init__(
        self, corner: tuple[float, float], size: tuple[float, float], scale: float, light: tuple[float, float]
    ) -> None:
        self.corner, self.scale, self.light = corner, scale, light
        self.size_hw = (math.ceil(size[1] * scale) + 1, math.ceil(size[0] * scale) + 1)
        self.pixels: Field = np.zeros((*self.size_hw, 3), np.float32)

    @property
    def box(self) -> Box:
        """The part of the scene that it shows."""
        height, width = self.size_hw
        return (*self.corner, self.corner[0] + width / self.scale, self.corner[1] + height / self.scale)

    @property
    def from_scene(self) -> DoubleArray:
        """The matrix `[3, 3]` from the scene to pixels of the canvas."""
        (x, y), scale = self.corner, self.scale
        return np.array([[scale, 0, -x * scale], [0, scale, -y * scale], [0, 0, 1]])

    def rectangle(self, box: Box, radius: float = 0.0, line: float | None = None) -> Field:
        """Return the coverage `[H, W]` of a rectangle with round corners, or of its outline `line` wide."""
        layer = Image.new("L", self.size_hw[::-1])
        pixel_box = self._pixels(box)
        if pixel_box[2] > pixel_box[0] and pixel_box[3] > pixel_box[1]:
            draw, corner = ImageDraw.Draw(layer), max(0.0, radius) * self.scale
            if line is None:
                draw.rounded_rectangle(pixel_box, corner, fill=255)
            else:
                draw.rounded_rectangle(pixel_box, corner, outline=255, width=self._width(line))
        return _coverage(layer)

    def ellipse(self, box: Box, line: float | None = None) -> Field:
        """Return the coverage `[H, W]` of an ellipse, or of its outline `line` wide."""
        layer = Image.new("L", self.size_hw[::-1])
        pixel_box = self._pixels(box)
        if pixel_box[2] > pixel_box[0] and pixel_box[3] > pixel_box[1]:
            width = 1 if line is None else self._width(line)
            fill = 255 if line is None else None
            ImageDraw.Draw(layer).ellipse(pixel_box, fill=fill, outline=255, width=width)
        return _coverage(layer)

    def polygon(self, points: Sequence[tuple[float, float]], line: float | None = None) -> Field:
        """Return the coverage `[H, W]` of a polygon, or of the open line through its points."""
        layer = Image.new("L", self.size_hw[::-1])
        pixels = [self.to_pixel(x, y) for x, y in points]
        if line is None:
            ImageDraw.Draw(layer).polygon(pixels, fill=255)
        else:
            ImageDraw.Draw(layer).line(pixels, 255, self._width(line), joint="curve")
        return _coverage(layer)

    def ink(self, glyphs: Sequence[Glyph]) -> Field:
        """Return the coverage `[H, W]` of characters."""
        layer = Image.new("L", self.size_hw[::-1])
        for glyph in glyphs:
            self._stamp(layer, glyph)
        return _coverage(layer)

    def _stamp(self, layer: Image.Image, glyph: Glyph) -> None:
        """Lay one character's mask onto a layer, where it is brighter."""
        to_pixels = self._shape_to_pixels(glyph)
        mask = glyph.shape.mask
        corners = np.array([[0, 0, 1], [mask.width, 0, 1], [0, mask.height, 1], [mask.width, mask.height, 1]])
        pixels = corners @ to_pixels[:2].T
        low = np.maximum(np.floor(pixels.min(axis=0)) - 1, 0).astype(int)
        high = np.minimum(np.ceil(pixels.max(axis=0)) + 1, layer.size).astype(int)
        if (high <= low).any():
            return
        shrink = max(1, int(1 / math.sqrt(abs(np.linalg.det(to_pixels[:2, :2])))))
        if shrink > 1:
            mask = mask.reduce(shrink)
            to_pixels = to_pixels @ np.diag([shrink, shrink, 1.0])
        back = np.linalg.inv(to_pixels)
        back[:, 2] += back[:, :2] @ low
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        coefficients = back[:2].ravel().tolist()
        seen = mask.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        layer.paste(255, (int(low[0]), int(low[1])), seen)

    def _shape_to_pixels(self, glyph: Glyph) -> DoubleArray:
        """Return the matrix `[3, 3]` from a mask's pixels to the canvas's."""
        to_scene = np.vstack([glyph.transform, [0, 0, 1]])
        from_mask = np.array([[1, 0, glyph.shape.left], [0, 1, glyph.shape.top], [0, 0, 1]])
        return np.asarray(self.from_scene @ to_scene @ from_mask, np.float64)

    def paint(self, cover: Field, colour: Field, opacity: float = 1.0) -> None:
        """Lay a colour, `[3]` or `[H, W, 3]`, over what `cover`, `[H, W]`, says."""
        cover, colour = np.asarray(cover, np.float32), np.asarray(colour, np.float32)
        rows, columns = np.flatnonzero(cover.max(axis=1)), np.flatnonzero(cover.max(axis=0))
        if not len(rows):
            return
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        below = self.pixels[part]
        over = colour[part] if colour.ndim == 3 else colour
        below += (over - below) * (cover[part] * opacity)[..., None]

    def shade(self, cover: Field, strength: float) -> None:
        """Darken by this fraction where `cover`, `[H, W]`, says; a negative strength brightens."""
        self.pixels *= 1 - strength * cover[..., None]

    def cast(self, cover: Field, strength: float, distance: float, softness: float = 0.5) -> None:
        """Let a thing cast a shadow, `distance` away from the light."""
        self.shade(self.softened(self.shifted(cover, distance), distance * softness), strength)

    def shifted(self, cover: Field, distance: float) -> Field:
        """Move a cover away from the light; what comes in is empty."""
        dx, dy = (-round(part * distance * self.scale) for part in self.light)
        height, width = cover.shape
        result = np.zeros_like(cover)
        if abs(dy) < height and abs(dx) < width:
            result[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = cover[
                max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
            ]
        return result

    def softened(self, cover: Field, sigma: float) -> Field:
        """Blur a cover; sigma in the scene's unit."""
        radius = sigma * self.scale
        if radius < 0.3:
            return cover
        image = Image.fromarray((np.clip(cover, 0, 1) * 255).astype(np.uint8))
        return _coverage(image.filter(ImageFilter.GaussianBlur(radius)))

    def edge_light(self, cover: Field, depth: float, strength: float, *, inside: bool = False) -> None:
        """Brighten the edges of a raised shape that face the light, and darken the others."""
        soft = self.softened(cover, depth)
        relief = self.shifted(soft, -depth) - self.shifted(soft, depth)
        self.pixels += ((relief * cover if inside else relief) * strength)[..., None]

    def mount(
        self, cover: Field, shadow: float, distance: float, colour: Field, depth: float, light: float
    ) -> None:
        """Fix a thing to the wall: its shadow, its colour, and light on its edges."""
        self.cast(cover, shadow, distance)
        self.paint(cover, colour)
        self.edge_light(cover, depth, light)

    def disc(self, x: float, y: float, radius: float, line: float | None = None) -> Field:
        """Return the coverage `[H, W]` of a circle, or of its outline `line` wide."""
        return self.ellipse((x - radius, y - radius, x + radius, y + radius), line)

    def to_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the scene in pixels of the canvas."""
        return (x - self.corner[0]) * self.scale, (y - self.corner[1]) * self.scale

    def _width(self, line: float) -> int:
        return max(1, round(line * self.scale))

    def _pixels(self, box: Box) -> tuple[int, int, int, int]:
        left, top = self.to_pixel(box[0], box[1])
        right, bottom = self.to_pixel(box[2], box[3])
        return round(left), round(top), round(right) - 1, round(bottom) - 1


def corners_of(box: Box) -> DoubleArray:
    """Return the four corners of a box, `[4, 2]`."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (left, bottom), (right, bottom)], np.float64)


def inset(box: Box, by: float) -> Box:
    """Return a box whose sides lie further in."""
    return box[0] + by, box[1] + by, box[2] - by, box[3] - by


def _coverage(layer: Image.Image) -> Field:
    return np.asarray(layer, np.float32) / 255


def vary(rng: Generator, colour: Colour, spread: float = 12) -> Field:
    """Return a colour near the one given, float32 `[3]` in 0..255: brighter or darker, slightly tinted."""
    varied = np.array(colour, np.float32) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return np.asarray(np.clip(varied, 0, 255), np.float32)


def pick(rng: Generator, colours: tuple[Colour, ...], spread: float = 12) -> Field:
    """Choose one of some colours and vary it."""
    return vary(rng, one_of(rng, colours), spread)


def contrasting(
    rng: Generator,
    colours: tuple[Colour, ...],
    ground: Field,
    min_contrast: float,
    *,
    spread: float = 12,
    greys: tuple[float, float] = (26.0, 232.0),
) -> Field:
    """Choose a colour that stands out from the ground, `[3]`, by `min_contrast` of brightness, or a grey."""
    behind = luma(ground)
    for _ in range(12):
        colour = pick(rng, colours, spread)
        if abs(luma(colour) - behind) >= min_contrast:
            return colour
    return np.full(3, greys[int(behind < 128)], np.float32)


def luma(colour: npt.NDArray[np.floating]) -> float:
    """Return the brightness of a colour in 0..255 (ITU-R BT.601)."""
    return float(colour @ np.array([0.299, 0.587, 0.114]))
