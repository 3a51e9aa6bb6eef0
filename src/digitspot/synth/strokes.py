"""Digits drawn with a pen: endless letterforms from ten skeletons, a weight, a width and a slant.

What stands on doors is seldom set in a text typeface: enamelled and cast digits are narrow, round-ended,
painted by hand, cut by a plotter, or bent from iron. Each skeleton has the variants that people write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from digitspot.synth.lettering import EM, Shape, make_shape
from digitspot.types import DoubleArray

Points = list[tuple[float, float]]
"""A stroke's points in a unit square; y runs down."""
Skeleton = list[Points]

_PAD = 40


@dataclass(frozen=True, kw_only=True)
class StrokeFace:
    """One way of drawing the ten digits.

    Attributes:
        weight: Width of the upright strokes, as a fraction of the height.
        contrast: Width of the level strokes over that of the upright ones.
        width: Width of a digit, as a fraction of the height.
        squareness: Exponent of the round parts, 2 for ellipses, larger for rounded rectangles.
        slant: Shift of the top to the right, as a fraction of the height.
        round_ends: Whether strokes end round, else cut straight.
        wobble: How unsteady the hand is, as a fraction of the height.
        variants: uint bits that choose among the ways to write 1, 3, 4, 6 and 9, 7.
        seed: Of the wobble.
    """

    weight: float
    contrast: float
    width: float
    squareness: float
    slant: float
    round_ends: bool
    wobble: float
    variants: int
    seed: int

    def shape(self, character: str) -> Shape:
        """Return the shape of a digit 0 to 9."""
        rng = np.random.default_rng((self.seed, int(character)))
        skeleton = skeletons(self.squareness, self.variants)[int(character)]
        # A round pen on a sheet that is stretched afterwards: level strokes get thinner.
        pen = max(3.0, self.weight * EM * 2)  # on a sheet of twice the size
        tall = EM * 2 / self.contrast
        inner_w, inner_h = max(4.0, self.width * EM * 2 - pen), tall - pen
        left_most = min(x for stroke in skeleton for x, _ in stroke)
        narrow = max(x for stroke in skeleton for x, _ in stroke) - left_most
        sheet = Image.new("L", (round(inner_w + pen) + 2 * _PAD, round(tall) + 2 * _PAD))
        draw = ImageDraw.Draw(sheet)
        for stroke in skeleton:
            points = np.array(stroke) * (inner_w, inner_h) + (_PAD + pen / 2)
            if self.wobble:
                points = points + _wander(rng, len(points)) * self.wobble * EM * 2
            _sweep(draw, points, pen, self.round_ends)
        size = (sheet.width // 2, round(sheet.height * self.contrast / 2))
        small = sheet.resize(size, Image.Resampling.BOX)
        if self.slant:
            small = _shear(small, self.slant)
        box = small.getbbox() or (0, 0, 1, 1)
        left, top = max(0, box[0] - 1), max(0, box[1] - 1)
        mask = small.crop((left, top, box[2] + 1, box[3] + 1))
        gap = 0.14 * EM * (0.5 + self.width)
        advance = narrow * inner_w / 2 + pen / 2 + gap
        start = left_most * inner_w / 2 - gap / 2
        return make_shape(mask, left - _PAD / 2 - start, top - _PAD * self.contrast / 2, advance)


def choose_strokes(rng: Generator) -> StrokeFace:
    """Choose a way of drawing digits: signwriter's, engineer's, a hurried hand's."""
    by_hand = rng.random() < 0.35
    fat_and_thin = not by_hand and rng.random() < 0.3  # as enamelled plates have them
    middle = 0.2 if fat_and_thin else 0.13
    return StrokeFace(
        weight=float(np.clip(middle * math.exp(rng.normal(0, 0.35)), 0.055, 0.26)),
        contrast=float(rng.uniform(0.3, 0.6) if fat_and_thin else rng.choice([1.0, rng.uniform(0.7, 1.0)])),
        width=rng.uniform(0.42, 0.8),
        squareness=float(rng.choice([2.0, 2.0, 2.4, 3.0, 4.5])),
        slant=rng.normal(0.08, 0.1) if by_hand else 0.0,
        round_ends=bool(by_hand or rng.random() < 0.5),
        wobble=rng.uniform(0.005, 0.022) if by_hand else 0.0,
        variants=int(rng.integers(256)),
        seed=int(rng.integers(2**31)),
    )


def skeletons(squareness: float, variants: int) -> list[Skeleton]:
    """Return the strokes of the digits 0 to 9.

    Args:
        squareness: Exponent of the round parts.
        variants: Bits: flag and foot of the 1, flat 3, open 4, straight 6 and 9, crossed or curved 7, neck
            of the 2.
    """

    def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float) -> Points:
        angles = np.radians(np.linspace(start, end, max(6, round(abs(end - start) / 9))))
        cos, sin, power = np.cos(angles), np.sin(angles), 2 / squareness
        xs = cx + rx * np.sign(cos) * np.abs(cos) ** power
        ys = cy + ry * np.sign(sin) * np.abs(sin) ** power
        return list(zip(xs.tolist(), ys.tolist(), strict=True))

    bit = [bool(variants & 1 << index) for index in range(8)]
    return [
        [arc(0.5, 0.5, 0.5, 0.5, 0, 360)],
        _one(flag=bit[0] or not bit[1], foot=bit[1] and bit[2]),
        [_two(arc, curved=bit[7])],
        [_three(arc, flat=bit[3] and bit[0])],
        _four(open_top=bit[2] and bit[4]),
        [[(0.88, 0.0), (0.16, 0.0), (0.1, 0.44), *arc(0.47, 0.67, 0.52, 0.33, 222, 508)]],
        [_six(arc, straight=bit[5])],
        _seven(crossed=bit[6] and bit[3], curved=bit[4]),
        [arc(0.5, 0.255, 0.42, 0.255, 90, 450), arc(0.5, 0.745, 0.5, 0.255, 90, 450)],
        [[(1 - x, 1 - y) for x, y in _six(arc, straight=bit[5])]],
    ]


Arc = Callable[[float, float, float, float, float, float], Points]


def _one(flag: bool, foot: bool) -> Skeleton:
    strokes: Skeleton = [[(0.3, 0.24), (0.56, 0.0), (0.56, 1.0)] if flag else [(0.5, 0.0), (0.5, 1.0)]]
    return [*strokes, [(0.28, 1.0), (0.84, 1.0)]] if foot else strokes


def _two(arc: Arc, curved: bool) -> Points:
    top = arc(0.49, 0.29, 0.47, 0.29, 195, 385 if curved else 395)
    middle = [(0.6, 0.62), (0.25, 0.8)] if curved else []
    return [*top, *middle, (0.02, 1.0), (1.0, 1.0)]


def _three(arc: Arc, flat: bool) -> Points:
    if flat:
        return [(0.06, 0.0), (0.92, 0.0), (0.45, 0.38), *arc(0.46, 0.69, 0.52, 0.31, 285, 510)]
    return [*arc(0.47, 0.25, 0.43, 0.25, 205, 445), *arc(0.46, 0.74, 0.53, 0.26, 275, 515)]


def _four(open_top: bool) -> Skeleton:
    if open_top:
        return [[(0.2, 0.0), (0.04, 0.62), (1.0, 0.62)], [(0.74, 0.25), (0.74, 1.0)]]
    return [[(0.74, 1.0), (0.74, 0.0), (0.0, 0.7), (1.0, 0.7)]]


def _six(arc: Arc, straight: bool) -> Points:
    stem = [(0.68, 0.0), (0.1, 0.52)] if straight else arc(0.96, 0.66, 0.96, 0.66, 262, 184)
    return [*stem, *arc(0.5, 0.68, 0.5, 0.32, 180, 540)]


def _seven(crossed: bool, curved: bool) -> Skeleton:
    down = [(0.62, 0.4), (0.4, 0.72), (0.32, 1.0)] if curved else [(0.28, 1.0)]
    strokes: Skeleton = [[(0.0, 0.0), (1.0, 0.0), *down]]
    return [*strokes, [(0.22, 0.52), (0.84, 0.52)]] if crossed else strokes


def _wander(rng: Generator, num: int) -> DoubleArray:
    """Return smooth noise of deviation about 1 along a stroke, `[num, 2]`."""
    knots = rng.normal(0, 1, (max(2, num // 6 + 2), 2))
    knot = np.linspace(0, len(knots) - 1, num)
    columns = [np.interp(knot, np.arange(len(knots)), knots[:, axis]) for axis in (0, 1)]
    return np.stack(columns, axis=1)


def _sweep(draw: ImageDraw.ImageDraw, points: DoubleArray, pen: float, round_ends: bool) -> None:
    """Draw a stroke of a pen `pen` wide through points `[N, 2]`."""
    path = [(x, y) for x, y in points.tolist()]
    draw.line(path, 255, max(1, round(pen)), joint="curve")
    closed = math.dist(path[0], path[-1]) < 1
    for x, y in (path[0], path[-1]) if round_ends or closed else ():
        draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)


def _shear(sheet: Image.Image, slant: float) -> Image.Image:
    """Lean a sheet to the right about its bottom."""
    shift = slant * (sheet.height - _PAD / 2)
    return sheet.transform(
        sheet.size, Image.Transform.AFFINE, (1, slant, -shift, 0, 1, 0), Image.Resampling.BILINEAR
    ).filter(ImageFilter.SMOOTH)
