"""What light, lens, sensor and compression do to an image, as street cameras and telephones do it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from digitspot.synth.canvas import Field
from digitspot.synth.surfaces import grain
from digitspot.types import ImageArray


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How strongly an image suffers; each is the scale of a distribution, 1 as SVHN does.

    Attributes:
        blur: Of lens, motion, and enlargement.
        noise: Of the sensor, and of JPEG.
        light: Of shadows, glare and darkness.
    """

    blur: float = 1.0
    noise: float = 1.0
    light: float = 1.0


STREET = Exposure()
INDOORS = Exposure(blur=0.8, light=0.5)
NEAR = Exposure(blur=0.4, noise=0.7, light=0.8)


def expose(rng: Generator, scene: Image.Image, digit_height: float, how: Exposure) -> ImageArray:
    """Image a scene: light, exposure, lens, sensor, JPEG.

    Args:
        rng: Chooses everything.
        scene: RGB, clean.
        digit_height: In pixels; blur is a fraction of it, so that numbers stay legible.
        how: How strongly.
    """
    image = np.asarray(scene, np.float32)
    image = _develop(rng, _light(rng, image, digit_height, how.light))
    return _capture(rng, image, digit_height, how)


def _light(rng: Generator, scene: Field, digit_height: float, amount: float) -> Field:
    """Let the light fall off to one side, shadows lie across, and something glare."""
    size_hw = (scene.shape[0], scene.shape[1])
    light = 1 + rng.uniform(0, 0.2) * amount * _ramp(size_hw, rng.uniform(0, 2 * math.pi))
    if rng.random() < 0.2 * amount:
        softness = rng.uniform(0.01, 0.2)
        side = _ramp(size_hw, rng.uniform(0, 2 * math.pi)) - rng.uniform(-0.7, 0.7)
        light = light * (1 - rng.uniform(0.25, 0.65) / (1 + np.exp(np.clip(side / softness, -40, 40))))
    if rng.random() < 0.04 * amount:  # the shadow of leaves, soft as the sun is wide
        leaves = grain(rng, size_hw, max(2.0, digit_height * rng.uniform(0.4, 1.5)), 2)[..., 0]
        light = light * (1 - rng.uniform(0.15, 0.45) / (1 + np.exp(-2.5 * leaves)))
    image = scene * light[..., None]
    if rng.random() < 0.06 * amount:
        image = image + _glare(rng, size_hw)[..., None] * rng.uniform(40, 150)
    return np.asarray(image, np.float32)


def _ramp(size_hw: tuple[int, int], direction: float) -> Field:
    """Return a plane that rises in a direction from about -1 to 1, `[H, W]`."""
    ys = np.linspace(-1, 1, size_hw[0])[:, None]
    xs = np.linspace(-1, 1, size_hw[1])[None, :]
    return xs * math.cos(direction) + ys * math.sin(direction)


def _glare(rng: Generator, size_hw: tuple[int, int]) -> Field:
    """Return a soft bright spot, `[H, W]` in 0..1."""
    ys = np.linspace(-1, 1, size_hw[0])[:, None] - rng.uniform(-1, 1)
    xs = np.linspace(-1, 1, size_hw[1])[None, :] - rng.uniform(-1, 1)
    return np.exp(-(xs**2 * rng.uniform(2, 20) + ys**2 * rng.uniform(1, 8)))


def _develop(rng: Generator, image: Field) -> Field:
    """Choose exposure, contrast, saturation and white balance; haze lifts the dark parts."""
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    image = grey[..., None] + (image - grey[..., None]) * rng.uniform(0.5, 1.4)
    mean = float(grey.mean())
    contrast = float(np.clip(math.exp(rng.normal(-0.45, 0.36)), 0.3, 1.25))
    target = np.clip(mean * 0.6 + rng.normal(36, 26), 26, 200)
    balance = 1 + rng.normal((-0.03, -0.014, 0.045), (0.035, 0.012, 0.05))
    image = ((image - mean) * contrast + target) * balance
    # A sensor bends towards white and black instead of cutting off.
    return np.asarray(np.where(image > 215, 215 + (image - 215) * 0.55, image), np.float32)


def _capture(rng: Generator, image: Field, digit_height: float, how: Exposure) -> ImageArray:
    """Pass through lens and sensor at the camera's own resolution, then enlarge to the image's.

    Street cameras see a digit some 8 to 15 pixels high, and what is published was enlarged, with the noise
    and the JPEG blocks in it.
    """
    height, width = image.shape[:2]
    pil = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    sigma = digit_height * 0.018 * math.exp(rng.normal(0, 0.65)) * how.blur
    pil = pil.filter(ImageFilter.GaussianBlur(min(sigma, digit_height * 0.09)))
    if rng.random() < 0.08 * how.blur:
        pil = _move(rng, pil, digit_height * rng.uniform(0.08, 0.2))
    least = 9.0 if rng.random() < 0.65 else 6.5  # rows that a digit needs to stay legible
    most = max(1.0, digit_height / least)
    shrink = 1 + (most - 1) * min(1.0, rng.beta(1.1, 2.2) * how.blur)
    if shrink > 1.08:
        small = (max(4, round(width / shrink)), max(4, round(height / shrink)))
        pil = pil.resize(small, Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        pil = pil.filter(ImageFilter.UnsharpMask(rng.uniform(0.6, 1.6), int(rng.integers(40, 200)), 0))
    if rng.random() < 0.4:
        pil = _fringe(rng, pil)
    pil = _compress(_add_noise(rng, pil, how.noise), int(rng.integers(40, 93)))
    if shrink > 1.08:
        kind = Image.Resampling.BICUBIC if rng.random() < 0.6 else Image.Resampling.BILINEAR
        pil = pil.resize((width, height), kind)
        if rng.random() < 0.5:
            pil = _compress(pil, int(rng.integers(70, 96)))
    return np.asarray(pil, np.uint8)


def _fringe(rng: Generator, pil: Image.Image) -> Image.Image:
    """Shift red against blue by a part of a pixel, as cheap lenses do: edges get coloured seams."""
    dx, dy = np.clip(rng.normal(0, 0.32, 2), -1, 1).tolist()
    pixels = np.asarray(pil, np.float32)
    shifted = pixels.copy()
    for channel, sign in ((0, 1), (2, -1)):
        shifted[..., channel] = _shift(pixels[..., channel], sign * dx, sign * dy)
    return Image.fromarray(np.clip(shifted, 0, 255).astype(np.uint8))


def _shift(band: Field, dx: float, dy: float) -> Field:
    """Move a band `[H, W]` by at most a pixel, between its pixels; the border is repeated."""
    padded = np.pad(band, 1, mode="edge")
    for axis, part in ((0, dy), (1, dx)):
        other = np.roll(padded, 1 if part > 0 else -1, axis)
        padded = padded * (1 - abs(part)) + other * abs(part)
    return padded[1:-1, 1:-1]


def _move(rng: Generator, pil: Image.Image, length: float) -> Image.Image:
    """Move the camera during the exposure, by `length` pixels in any direction."""
    angle, steps = rng.uniform(0, math.pi), 5
    pixels = np.asarray(pil, np.float32)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="edge")
    total = np.zeros_like(pixels)
    for step in np.linspace(-0.5, 0.5, steps):
        x = 4 + max(-4, min(4, round(math.cos(angle) * length * step)))
        y = 4 + max(-4, min(4, round(math.sin(angle) * length * step)))
        total += padded[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    return Image.fromarray((total / steps).astype(np.uint8))


def _add_noise(rng: Generator, pil: Image.Image, amount: float) -> Image.Image:
    """Add the sensor's noise, more of it in brightness than in colour, and more in the dark."""
    pixels = np.asarray(pil, np.float32)
    strength = abs(rng.normal(0, 4.0)) * amount
    if strength < 0.4:
        return pil
    noise = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * strength
    tint = rng.standard_normal(pixels.shape, dtype=np.float32) * (strength * 0.5)
    return Image.fromarray(np.clip(pixels + noise + tint, 0, 255).astype(np.uint8))


def _compress(pil: Image.Image, quality: int) -> Image.Image:
    """Pass the image through a JPEG, as nearly every image on the web did."""
    held = io.BytesIO()
    pil.save(held, "JPEG", quality=quality)
    with Image.open(held) as jpeg:
        return jpeg.convert("RGB")
