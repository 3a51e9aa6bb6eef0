"""A simple camera for generated scenes: where it stands and what it frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitspot.synth.canvas import Box, Canvas
from digitspot.types import DoubleArray

Matrix = npt.NDArray[np.float64]
"""A 3 x 3 homography of column vectors x, y, 1."""

_COLUMNS, _ROWS = 24, 6
"""A bent scene is seen in so many parts, each of them straight."""


@dataclass(frozen=True, kw_only=True)
class Bend:
    """How far points of the scene are lowered, by their x: a tin, a pipe, the folds of cloth.

    Attributes:
        sag: Of the unit, at a distance of one from the middle; it grows with the square.
        folds: (height, waves to the unit, phase) of each fold.
    """

    sag: float = 0.0
    folds: tuple[tuple[float, float, float], ...] = ()

    def at(self, xs: DoubleArray) -> DoubleArray:
        """Return how far points at `xs` are lowered."""
        waves = [height * np.sin(frequency * xs + phase) for height, frequency, phase in self.folds]
        return np.asarray(self.sag * xs**2 + sum(waves), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Viewpoint:
    """How a flat or bent scene appears in the image.

    Attributes:
        to_scene: Maps pixels of the image to the scene, whose unit is a digit's height.
        size_hw: (height, width) of the image.
        bend: What the scene is bent by.
    """

    to_scene: Matrix
    size_hw: tuple[int, int]
    bend: Bend = Bend()

    def look(self, points: DoubleArray) -> DoubleArray:
        """Return where points of the scene, `[N, 2]`, are in the image, `[N, 2]`."""
        flat = points.copy()
        flat[:, 1] -= self.bend.at(points[:, 0])
        return _apply(np.asarray(np.linalg.inv(self.to_scene), np.float64), flat)

    def find(self, points: DoubleArray) -> DoubleArray:
        """Return what points of the scene, `[N, 2]`, are seen at pixels `[N, 2]`: undoes `look`."""
        flat = _apply(self.to_scene, points)
        flat[:, 1] += self.bend.at(flat[:, 0])
        return flat

    def visible(self) -> Box:
        """Return the part of the scene that the image shows, with a little around."""
        height, width = self.size_hw
        xs, ys = np.meshgrid(np.linspace(0, width, 13), np.linspace(0, height, 5))
        points = self.find(np.stack([xs.ravel(), ys.ravel()], axis=1))
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        spare = 0.03 * (bottom - top) + 0.05
        return left - spare, top - spare, right + spare, bottom + spare

    def framed(self, box: Box) -> Viewpoint:
        """Return the same view of another part: `box` in this image's pixels, which may lie outside."""
        left, top, right, bottom = box
        moved = self.to_scene @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
        return replace(self, to_scene=moved, size_hw=(round(bottom - top), round(right - left)))

    def image(self, canvas: Canvas, oversample: int = 2) -> Image.Image:
        """Return the image of a canvas, RGB, averaged over `oversample` squared rays to the pixel."""
        layer = Image.fromarray(np.clip(canvas.pixels, 0, 255).astype(np.uint8))
        return self.see(layer, canvas, oversample).reduce(oversample)

    def see(self, layer: Image.Image, canvas: Canvas, oversample: int) -> Image.Image:
        """Return a layer of a canvas as it is seen, `oversample` times as large as the image."""
        height, width = self.size_hw
        size = (width * oversample, height * oversample)
        to_canvas = np.array(
            [
                [canvas.scale, 0, -canvas.corner[0] * canvas.scale],
                [0, canvas.scale, -canvas.corner[1] * canvas.scale],
                [0, 0, 1],
            ]
        )
        if self.bend == Bend():
            moved = to_canvas @ self.to_scene @ np.diag([1 / oversample, 1 / oversample, 1.0])
            coefficients = (moved / moved[2, 2]).ravel()[:8].tolist()
            method = Image.Transform.PERSPECTIVE
            return layer.transform(size, method, coefficients, Image.Resampling.BILINEAR)
        mesh = []
        for left, right in _cuts(size[0], _COLUMNS):
            for top, bottom in _cuts(size[1], _ROWS):
                corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
                found = self.find(np.array(corners, np.float64) / oversample)
                quad = _apply(to_canvas, found).ravel().tolist()
                mesh.append(((left, top, right, bottom), tuple(quad)))
        return layer.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _cuts(length: int, num: int) -> Iterator[tuple[int, int]]:
    """Cut a length into `num` parts of whole pixels, as far as there are as many."""
    edges = np.linspace(0, length, min(num, length) + 1).round().astype(int).tolist()
    return itertools.pairwise(edges)


def choose_viewpoint(
    rng: np.random.Generator, pixels: float, *, tilt: float = 1.0, bend: Bend | None = None
) -> Viewpoint:
    """Stand somewhere before the scene, most often nearly in front.

    Args:
        rng: Chooses rotation, shear and perspective.
        pixels: To the unit of the scene.
        tilt: How much of all of them; 0 is straight from the front.
        bend: Of the scene.

    Returns:
        A view that shows the scene's origin at pixel (0, 0), with a frame still to be chosen.
    """
    spread = 0.045 if rng.random() < 0.85 else 0.16
    angle = float(np.clip(rng.normal(0, spread), -0.35, 0.35)) * tilt
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    shear_x, shear_y = rng.normal(0, 0.04) * tilt, rng.normal(0, 0.05) * tilt
    shape = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
    lean = np.clip(rng.normal(0, (0.018, 0.014)), -0.035, 0.035) * tilt
    perspective = np.array([[1, 0, 0], [0, 1, 0], [lean[0], lean[1], 1]])
    to_scene = rotation @ shape @ perspective @ np.diag([1 / pixels, 1 / pixels, 1.0])
    return Viewpoint(to_scene=to_scene, size_hw=(1, 1), bend=bend or Bend())


def _apply(matrix: Matrix, points: DoubleArray) -> DoubleArray:
    """Map points `[N, 2]` by a homography."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)
