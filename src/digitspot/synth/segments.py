"""Digits of displays: seven segments, and dots in five columns and seven rows."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from digitspot.synth.lettering import EM, Shape, make_shape

SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
"""What lights up for each digit: a on top, then clockwise, g in the middle."""
ALL_SEGMENTS = "abcdefg"
BLANK = "█"
"""Not a character: every segment or dot, which shows faintly where it is not lit."""

DOTS = (
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111", "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip
"""The five columns and seven rows of each digit, as the HD44780's character generator has them."""


@dataclass(frozen=True, kw_only=True)
class SegmentFace:
    """Seven segments.

    Attributes:
        width: Of a digit, as a fraction of its height.
        weight: Of a segment, likewise.
        gap: Between two segments, likewise.
        slant: Shift of the top to the right, likewise.
        tails: Whether 6, 7 and 9 have their extra segment.
    """

    width: float
    weight: float
    gap: float
    slant: float
    tails: bool

    def shape(self, character: str) -> Shape:
        """Return the shape of a digit, or of all segments for `BLANK`."""
        mask = Image.new("L", (round(EM * (self.width + abs(self.slant))) + 4, EM + 4))
        draw = ImageDraw.Draw(mask)
        for segment in self._lit(character):
            points = [self._lean(x, y) for x, y in self._corners(segment)]
            draw.polygon(points, fill=255)
        return make_shape(mask, -2, -2, EM * (self.width + 0.22))

    def _lit(self, character: str) -> str:
        if character == BLANK:
            return ALL_SEGMENTS
        lit = SEGMENTS[int(character)]
        if self.tails:
            return lit
        return {"6": "cdefg", "9": "abcfg"}.get(character, lit)

    def _corners(self, segment: str) -> list[tuple[float, float]]:
        """Return a segment's six corners as fractions of the height."""
        half, gap = self.weight / 2, self.gap / 2
        left, right, middle = half, self.width - half, 0.5
        ends = {
            "a": (left, half, right, half), "g": (left, middle, right, middle),
            "d": (left, 1 - half, right, 1 - half), "f": (left, half, left, middle),
            "b": (right, half, right, middle), "e": (left, middle, left, 1 - half),
            "c": (right, middle, right, 1 - half),
        }  # fmt: skip
        x1, y1, x2, y2 = ends[segment]
        if y1 == y2:
            x1, x2 = x1 + gap, x2 - gap
            return [(x1, y1), (x1 + half, y1 - half), (x2 - half, y1 - half), (x2, y1),
                    (x2 - half, y1 + half), (x1 + half, y1 + half)]  # fmt: skip
        y1, y2 = y1 + gap, y2 - gap
        return [(x1, y1), (x1 + half, y1 + half), (x1 + half, y2 - half), (x1, y2),
                (x1 - half, y2 - half), (x1 - half, y1 + half)]  # fmt: skip

    def _lean(self, x: float, y: float) -> tuple[float, float]:
        lean = self.slant * (1 - y) if self.slant > 0 else self.slant * -y
        return 2 + EM * (x + lean), 2 + EM * y


@dataclass(frozen=True, kw_only=True)
class DotFace:
    """Five columns and seven rows of dots.

    Attributes:
        fill: Size of a dot over the distance of two.
        is_round: Round dots, else square ones.
    """

    fill: float
    is_round: bool

    def shape(self, character: str) -> Shape:
        """Return the shape of a digit, or of all dots for `BLANK`."""
        step = EM / 7
        half = step * self.fill / 2
        mask = Image.new("L", (round(5 * step) + 4, EM + 4))
        draw = ImageDraw.Draw(mask)
        dot = draw.ellipse if self.is_round else draw.rectangle
        rows = " ".join(["11111"] * 7) if character == BLANK else DOTS[int(character)]
        for row, columns in enumerate(rows.split()):
            for column, lit in enumerate(columns):
                x, y = 2 + (column + 0.5) * step, 2 + (row + 0.5) * step
                if lit == "1":
                    dot((x - half, y - half, x + half, y + half), fill=255)
        return make_shape(mask, -2, -2, 6.2 * step)
