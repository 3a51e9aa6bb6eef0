"""A simple camera for generated scenes: where it stands, the light, the lens, the sensor, the JPEG."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from digitspot.structures import FloatArray, ImageArray

Matrix = npt.NDArray[np.float64]
"""A 3 x 3 homography of column vectors x, y, 1."""


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """How a flat scene appears in the picture.

    Attributes:
        to_scene: Maps picture coordinates to scene coordinates, both in pixels.
        size_hw: (height, width) of the picture.
    """

    to_scene: Matrix
    size_hw: tuple[int, int]

    def see(
        self,
        layer: Image.Image,
        density: tuple[float, float],
        scale: int,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Image.Image:
        """Return a layer of the scene as the camera sees it, `scale` times the picture's size.

        Args:
            layer: Drawn flat, seen from the front.
            density: How many of its pixels stand for one pixel of the scene, along x and y.
            scale: Of what is returned, for antialiasing when it is reduced.
            origin: The x and y in the scene of the layer's top left corner.
        """
        height, width = self.size_hw
        to_picture = np.diag([1 / scale, 1 / scale, 1.0])
        to_layer = np.diag([*density, 1.0]) @ _shift(-origin[0], -origin[1]) @ self.to_scene @ to_picture
        seen = Image.new(layer.mode, (width * scale, height * scale))
        left, top, right, bottom = _window(layer, to_layer, seen.size)
        moved = to_layer @ _shift(left, top)
        coefficients = (moved / moved[2, 2]).ravel()[:8].tolist()
        method, resample = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
        seen.paste(layer.transform((right - left, bottom - top), method, coefficients, resample), (left, top))
        return seen


def _window(layer: Image.Image, to_layer: Matrix, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of the picture where the layer is not black: for one digit, a small part."""
    left, top, right, bottom = layer.getbbox() or (0, 0, 1, 1)
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]])
    x, y, depth = np.linalg.inv(to_layer) @ corners  # [4] each
    low = np.clip(np.floor([(x / depth).min() - 1, (y / depth).min() - 1]), 0, np.array(size) - 1)
    high = np.clip(np.ceil([(x / depth).max() + 1, (y / depth).max() + 1]), low + 1, size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def choose_viewpoint(rng: np.random.Generator, size_hw: tuple[int, int], angle: float) -> Viewpoint:
    """Stand nearly in front of the scene.

    Args:
        rng: Chooses shear and perspective.
        size_hw: (height, width) of the picture; its centre shows the scene's centre.
        angle: Of the rotation, in radians.
    """
    height, width = size_hw
    shear = rng.normal(0, 0.035)
    tilt_x, tilt_y = rng.uniform(-0.22, 0.22) / width, rng.uniform(-0.15, 0.15) / height
    rotation = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    shape = np.array([[1, shear, 0], [0, 1, 0], [tilt_x, tilt_y, 1]])
    to_scene = _shift(width / 2, height / 2) @ shape @ rotation @ _shift(-width / 2, -height / 2)
    return Viewpoint(to_scene, size_hw)


def photograph(rng: np.random.Generator, scene: FloatArray, digit_height: float) -> ImageArray:
    """Photograph a scene: light, exposure, lens, sensor, JPEG.

    Args:
        rng: Chooses everything.
        scene: float32 `[H, W, 3]` in 0..255, clean.
        digit_height: In pixels; blur is a fraction of it, so that numbers stay legible.
    """
    image = _expose(rng, _light(rng, scene))
    image = _blur(rng, image, digit_height)
    image = _add_noise(rng, image)
    return _compress(rng, np.clip(image, 0, 255).astype(np.uint8))


def _light(rng: np.random.Generator, scene: FloatArray) -> FloatArray:
    """Let the light fall off to one side, and sometimes a shadow lie across."""
    across = _ramp(scene.shape[:2], rng.uniform(0, 2 * math.pi))  # [H, W], about -1..1
    light = 1 + rng.uniform(0, 0.22) * across
    if rng.random() < 0.28:
        edge, softness = rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.25)
        side = _ramp(scene.shape[:2], rng.uniform(0, 2 * math.pi))
        shaded = 1 / (1 + np.exp(np.clip((edge - side) / softness, -40, 40)))
        light = light * (1 - rng.uniform(0.25, 0.6) * shaded)
    return np.asarray(scene * light[..., None], np.float32)


def _ramp(size_hw: tuple[int, ...], direction: float) -> npt.NDArray[np.float64]:
    """Return a plane that rises in a direction from about -1 to 1, `[H, W]`."""
    ys = np.linspace(-1, 1, size_hw[0])[:, None]
    xs = np.linspace(-1, 1, size_hw[1])[None, :]
    return xs * math.cos(direction) + ys * math.sin(direction)


def _expose(rng: np.random.Generator, image: FloatArray) -> FloatArray:
    """Choose exposure, contrast and white balance."""
    mean = image.mean()
    contrast, target = rng.uniform(0.55, 1.1), np.clip(mean * rng.uniform(0.7, 1.25), 45, 200)
    balance = rng.normal(1, 0.045, 3)
    return np.asarray(((image - mean) * contrast + target) * balance, np.float32)


def _blur(rng: np.random.Generator, image: FloatArray, digit_height: float) -> FloatArray:
    """Lose sharpness: out of focus, a moved hand, or a small picture enlarged."""
    pil = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pil = pil.filter(ImageFilter.GaussianBlur(digit_height * rng.uniform(0, 0.045)))
    if rng.random() < 0.12:
        steps = max(2, round(digit_height * rng.uniform(0.06, 0.14)))
        kernel = np.zeros((5, 5))
        kernel[2, :steps] = 1
        kernel = kernel if rng.random() < 0.5 else kernel.T
        pil = pil.filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist()))
    if rng.random() < 0.4:
        smaller = rng.uniform(1.15, min(2.2, max(1.2, digit_height / 10)))
        size = (max(2, round(pil.width / smaller)), max(2, round(pil.height / smaller)))
        pil = pil.resize(size, Image.Resampling.BOX).resize(pil.size, Image.Resampling.BICUBIC)
    return np.asarray(pil, np.float32)


def _add_noise(rng: np.random.Generator, image: FloatArray) -> FloatArray:
    """Add the sensor's noise, more of it in brightness than in colour."""
    height, width = image.shape[:2]
    strength = abs(rng.normal(0, 4.0))
    gray = rng.normal(0, strength, (height, width, 1))
    colour = rng.normal(0, strength * 0.4, (height, width, 3))
    return np.asarray(image + gray + colour, np.float32)


def _compress(rng: np.random.Generator, image: ImageArray) -> ImageArray:
    """Pass the picture through a JPEG, as nearly every photograph on the web did."""
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=int(rng.integers(45, 95)))
    with Image.open(held) as jpeg:
        return np.asarray(jpeg.convert("RGB"), np.uint8)
